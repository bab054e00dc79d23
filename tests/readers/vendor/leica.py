"""Small LIF and LOF files, written by hand: a header in XML and blocks of pixels."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bigimg.types import Array

IDS = {"x": 1, "y": 2, "z": 3, "t": 4, "λ": 5, "A": 6, "Λ": 9, "M": 10}
UNITS = {"t": "s"}


class Image(NamedTuple):
    """An image of a file."""

    name: str
    description: str
    data: bytes


def image(
    name: str,
    pixels: Array,
    dims: str,
    *,
    row: int = 0,
    lengths: Mapping[str, tuple[float, float]] | None = None,
    channels: Sequence[str] = ("0 Green",),
    extra: str = "",
) -> Image:
    """Return an image whose numbers lie in the file as in ``pixels``.

    ``dims`` names the axes as they lie, slowest first; C counts groups of the channels c. A row takes ``row`` bytes, or
    as many as it has. ``lengths`` has origin and length of axes in metres or seconds, ``channels`` the tag and lookup
    table of each.
    """
    item, steps = pixels.itemsize, {}
    stride = item
    for axis, size in zip(reversed(dims), reversed(pixels.shape), strict=True):
        if axis == "y" and row:
            stride = row
        steps[axis] = (size, stride)
        stride *= size
    data = bytearray(stride)
    strides = [steps[axis][1] for axis in dims]
    np.ndarray(pixels.shape, pixels.dtype, data, strides=strides)[...] = pixels
    (count, apart), (groups, between) = steps.pop("c", (1, 0)), steps.pop("C", (1, 0))
    kind = int(pixels.dtype.kind == "f")
    described = "".join(
        f'<ChannelDescription DataType="{kind}" ChannelTag="{tag}" Resolution="{8 * item}" NameOfMeasuredQuantity="" '
        f'Min="0" Max="1" Unit="" LUTName="{lut}" IsLUTInverted="0" BytesInc="{k * between + i * apart}" BitInc="0"/>'
        for k in range(groups)
        for i in range(count)
        for tag, _, lut in [channels[i % len(channels)].partition(" ")]
    )
    for axis, (size, stride) in steps.items():
        origin, length = (lengths or {}).get(axis, (0, 0))
        described += "" if "</Channels>" in described else "</Channels><Dimensions>"
        described += (
            f'<DimensionDescription DimID="{IDS[axis]}" NumberOfElements="{size}" Origin="{origin}" '
            f'Length="{length}" Unit="{UNITS.get(axis, "m")}" BitInc="0" BytesInc="{stride}"/>'
        )
    inside = f"<Channels>{described}</Dimensions></ImageDescription>{extra}"
    return Image(name, f"<Data><Image><ImageDescription>{inside}</Image></Data>", bytes(data))


def text(words: str) -> bytes:
    return words.encode("utf-16-le")


def element(each: Image, number: int) -> str:
    memory = f'<Memory Size="{len(each.data)}" MemoryBlockID="MemBlock_{number}"/>'
    return f'<Element Name="{each.name}" UniqueID="{number}">{each.description}{memory}</Element>'


def header(inside: str) -> bytes:
    words = f'<LMSDataContainerHeader Version="2">{inside}</LMSDataContainerHeader>'
    return struct.pack("<IIBI", 0x70, 2 * len(words) + 5, 0x2A, len(words)) + text(words)


def write_lif(path: Path, *images: Image) -> Path:
    inside = "".join(element(each, i) for i, each in enumerate(images))
    root = f'<Element Name="root"><Data><Experiment/></Data><Children>{inside}</Children></Element>'
    with path.open("wb") as file:
        file.write(header(root))
        for i, each in enumerate(images):
            name = f"MemBlock_{i}"
            file.write(
                struct.pack("<IIBQBI", 0x70, 14 + 2 * len(name), 0x2A, len(each.data), 0x2A, len(name))
            )
            file.write(text(name) + each.data)
    return path


def write_lof(path: Path, each: Image) -> Path:
    word = "LMS_Object_File"
    start = struct.pack("<IIBI", 0x70, 2 * len(word) + 5, 0x2A, len(word)) + text(word)
    size = struct.pack("<BIBIBQ", 0x2A, 2, 0x2A, 0, 0x2A, len(each.data))
    path.write_bytes(start + size + each.data + header(element(each, 0)))
    return path


def write_project(folder: Path, each: Image, blocks: str) -> Path:
    """Write a project of one image, whose pixels lie in the files that ``blocks`` (XML) names."""
    (folder / "Metadata").mkdir()
    memory = f'<Memory Size="{len(each.data)}" MemoryBlockID="MemBlock_0">{blocks}</Memory>'
    inner = f'<Element Name="{each.name}" UniqueID="0">{each.description}{memory}</Element>'
    outer = (
        '<Element Name="project"><Data><Experiment/></Data>'
        f'<Children><Reference File="Metadata/{each.name}.xlif" UUID="0"/></Children></Element>'
    )
    for name, inside in (("project.xlef", outer), (f"Metadata/{each.name}.xlif", inner)):
        words = f'<LMSDataContainerHeader Version="2">{inside}</LMSDataContainerHeader>'
        (folder / name).write_text(f'<?xml version="1.0" encoding="utf-8"?>{words}', "utf-8")
    return folder / "project.xlef"
