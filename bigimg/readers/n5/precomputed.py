"""A reader of Neuroglancer's precomputed volumes: a folder whose ``info`` describes scales, each with chunks or shards.

The scales are series; the first one has the full resolution. Lengths are in nanometres.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial

import numpy as np

from bigimg.errors import InputError, damage
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import grid
from bigimg.geometry.spec import ImageSpec
from bigimg.readers.beside import path_beside
from bigimg.readers.n5.pixels import TensorPixels, document, is_number, tensor_reader, whole_numbers
from bigimg.readers.never_written import unwritten
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.several import Named, pick
from bigimg.types import Array, Shape

LOSSY = ("jpeg", "jxl")
"""Encodings that may change pixels."""
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
NAME = re.compile(r"(-?\d{1,18})-[-\d]+_(-?\d{1,18})-[-\d]+_(-?\d{1,18})-[-\d]+(?:\.gz)?")
"""Of the file of a chunk: where it begins along x, y and z, and where it ends."""
DIMS: tuple[str, ...] = ("c", "z", "y", "x")


def open_precomputed(
    source: str, *, series: int | str | None = None, allow_partial: bool = False
) -> RawReader:
    """Return a reader of one scale of the precomputed volume ``source``.

    Parameters
    ----------
    source : str
    series : int or str, optional
        Which scale, by number or key; the finest by default.
    allow_partial : bool
        Open what is there where chunks were never written.

    Raises
    ------
    MissingExtraError
        tensorstore is not installed.
    InputError
        It is no volume, its ``info`` makes no sense, or chunks were never written.
    UsageError
        There is no such series.
    """
    source = os.path.dirname(source) if os.path.isfile(source) else source
    path = os.path.join(source, "info")
    info = document(path)
    scales, dtype, channels = info.get("scales"), info.get("data_type"), info.get("num_channels")
    if not isinstance(scales, list) or not scales or not all(isinstance(each, dict) for each in scales):
        raise damage(path, "describes no scales; a volume has some, and meshes and skeletons are not read")
    if str(dtype).lower() not in TYPES or type(channels) is not int or not 0 < channels < 1 << 16:
        raise damage(path, f"says {channels!r:.20} channels of {dtype!r:.20}")
    sizes = [whole_numbers(path, "size", scale.get("size"), 3)[::-1] for scale in scales]
    number, others = pick(source, list(map(Named, (str(s.get("key", "")) for s in scales), sizes)), series)
    scale, shape = scales[number], (channels, *sizes[number])
    chunk = scale.get("chunk_sizes")
    steps = whole_numbers(path, "chunk_sizes", chunk[0] if isinstance(chunk, list) and chunk else None, 3)[
        ::-1
    ]
    offset = _numbers(path, "voxel_offset", scale.get("voxel_offset", [0, 0, 0]))[::-1]
    spacing = _numbers(path, "resolution", scale.get("resolution"))[::-1]
    if min(spacing) <= 0:
        raise damage(path, f"its resolution is {spacing}")
    notes: list[str] = []
    start = tuple(map(int, offset))
    key, written = str(scale.get("key", "")), None
    if key.endswith("/") or "." in key.split("/"):
        what = f"a scale lies in {key!r:.80}, a name that tensorstore does not take"
        raise InputError(f"{path}: {what}; give it a folder of its own, and correct its key")
    folder = path_beside(path, key)
    if scale.get("sharding") is None:
        written = _written(path, folder, shape[1:], steps, start)
    else:
        notes.append("its chunks lie in shards, so one that was never written is found when it is read")
    axes = [
        Axis(name, size, step, "nanometer", step * first)
        for name, size, step, first in zip("zyx", shape[1:], spacing, offset, strict=True)
    ]
    dims, chunks = DIMS[1:], steps
    if channels > 1:
        axes, dims, chunks, start = [Axis("c", channels), *axes], DIMS, (channels, *steps), (0, *start)
        written = None if written is None else written[None]
    place = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": source}}
    pixels = TensorPixels(
        source, place | {"scale_index": number}, tuple(axis.size for axis in axes), chunks,
        np.dtype(str(dtype).lower()), origin=start, written=written, single=channels == 1,
    )  # fmt: skip
    spec = ImageSpec(
        tuple(axes), pixels.dtype, tuple(map(min, chunks, pixels.shape)), notes=tuple(notes), of_source=others,
        kind="labels" if info.get("type") == "segmentation" else "image",
    )  # fmt: skip
    reader = tensor_reader(source, "precomputed", spec, pixels, dims, allow_partial=allow_partial)
    coarser = range(number + 1, len(scales))
    return replace(
        reader, coarser=tuple(partial(open_precomputed, source, series=each, allow_partial=allow_partial)
                              for each in coarser),
        lossy=scale.get("encoding") in LOSSY,
    )  # fmt: skip


def _numbers(path: str, name: str, value: object) -> tuple[float, ...]:
    """Return three finite numbers of the document."""
    if not isinstance(value, list) or len(value) != 3 or not all(map(is_number, value)):
        raise damage(path, f"its {name} is {str(value)[:80]}")
    return tuple(value)


def _written(path: str, folder: str, shape: Shape, chunks: Shape, start: Shape) -> Array:
    """Return which chunks along z, y and x have a file, which is named by its voxels."""
    found = unwritten(path, grid(shape, chunks))
    if not os.path.isdir(folder):
        return found
    with os.scandir(folder) as entries:
        for entry in entries:  # not over the chunks: of a large volume far fewer may be there
            if (named := NAME.fullmatch(entry.name)) is None:
                continue
            index = tuple(
                (int(at) - o) // n
                for at, n, o in zip(reversed(named.group(1, 2, 3)), chunks, start, strict=True)
            )
            name = entry.name.removesuffix(".gz")
            if not all(0 <= i < n for i, n in zip(index, found.shape, strict=True)):
                continue
            if name != _chunk_name(index, shape, chunks, start):
                continue
            if name == entry.name:
                found[index] = True
            elif not os.path.exists(os.path.join(folder, name)):
                what = "its chunks are packed as .gz files, which are not read"
                raise InputError(f"{path}: {what}; unpack them: gunzip -r")
    return found


def _chunk_name(index: Shape, shape: Shape, chunks: Shape, start: Shape) -> str:
    """Return the name of the file of a chunk: its first and last but one voxel along x, y and z."""
    along = zip(index, shape, chunks, start, strict=True)
    return "_".join(reversed([f"{o + i * n}-{o + min((i + 1) * n, size)}" for i, size, n, o in along]))
