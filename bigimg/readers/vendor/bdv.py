"""A reader of BigDataViewer images: an XML with the meaning, and an HDF5 file with the pixels of each setup and time.

A *setup* is a channel of an angle, a tile, an illumination. Setups that differ in their channel alone are the channels
of one series; the others are series with names. Each level of a pyramid is a dataset of its own. The affines that
register the views to one another are not applied. Pixels are unsigned, though the file says signed, as Java has no
others.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bigimg.errors import InputError, damage, reading
from bigimg.geometry.axes import Axis, long_unit
from bigimg.geometry.spec import Channel, ImageSpec, SpacingNote
from bigimg.readers.allowed import known_channels, known_unit
from bigimg.readers.beside import file_beside
from bigimg.readers.extras import imported
from bigimg.readers.hdf5.inside import find_inside, reading_hdf5
from bigimg.readers.hdf5.pixels import Hdf5Pixels
from bigimg.readers.hdf5.reader import hdf5_reader
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.several import Named, pick
from bigimg.types import Array, DType, Shape

MOST_XML = 64 << 20
"""Bytes of an XML; one of 10,000 views has 10 MB."""
XML_FACTOR = 17
"""Bytes of the tree of an XML for each of its bytes: 6 where it is as BigDataViewer writes it, measured; at most 17."""

MOST_TIMES = 100_000

MOST_VIEWS = 1_000_000
"""Time points times channels of a series."""


@dataclass(frozen=True)
class Setup:
    """What the XML says about one setup."""

    number: int
    channel: str = ""
    others: tuple[tuple[str, str], ...] = ()
    """Angle, tile, illumination and so on, and the name of each."""
    size: Shape | None = None
    """Along z, y and x; None where there is no XML."""
    spacing: tuple[float, ...] = ()
    """Along z, y and x."""
    unit: str | None = None


def open_bdv(
    source: str, *, series: int | str | None = None, allow_partial: bool = False, level: int = 0
) -> RawReader:
    """Return a reader of one series of a BigDataViewer image.

    Parameters
    ----------
    source : str
        The XML, or the HDF5 file; the XML of its name beside it is read then, if it is of this file.
    series : int or str, optional
        Which angle, tile or illumination, by number or name.
    allow_partial : bool
        Open what is there where views or chunks were never written.
    level : int
        Of the pyramid of each view; 0 is full resolution.

    Raises
    ------
    MissingExtraError
        h5py is not installed.
    InputError
        The files do not fit, or views or chunks were never written.
    UsageError
        There is no such series.
    """
    xml, why = (source, "") if _is_xml(source) else _beside(source)
    setups, times, path = _read_xml(xml) if xml else ([], [], source)
    h5py = imported("h5py", source)
    with reading_hdf5(path), h5py.File(path, "r") as file:
        there = sorted(int(name[1:]) for name in file if re.fullmatch(r"s\d{2,6}", name))
        times = times or sorted(int(name[1:]) for name in file if re.fullmatch(r"t\d{5,7}", name))
        setups = setups or [Setup(number, others=(("setup", str(number)),)) for number in there]
        groups = _grouped(setups)
        sizes = [_named(group, len(times)) for group in groups]
        number, others = pick(source, sizes, series)
        group = groups[number]
        if len(times) * len(group) > MOST_VIEWS:
            raise damage(source, f"says {len(times)} time points of {len(group)} channels")
        names = np.array(
            [[_view(path, file, t, setup.number, level) for setup in group] for t in times], object
        )
        like = _dtype(path, file, names)
        size = None if level else group[0].size
        pixels = Hdf5Pixels(path, file, names.squeeze(), shape=size, dtype=like)
        views = [f"t{t:05d}/s{group[0].number:02d}" for t in times]
        levels = max(len(find_inside(path, file, view) or ()) for view in views)
    notes: list[str] = []
    if not xml:
        notes.append(SpacingNote(f"{why}, so spacing and channels are not known", "zyx"))
    channels, hidden = known_channels([Channel(setup.channel) for setup in group] if xml else [])
    axes = _axes(names.shape, pixels.shape[-3:], group[0], notes)
    spec = ImageSpec(
        tuple(axis for axis in axes if axis.name in "zyx" or axis.size > 1), pixels.dtype, pixels.chunks,
        channels=channels, notes=tuple(notes), private=hidden, of_source=others,
    )  # fmt: skip
    opener = partial(open_bdv, source, series=number, allow_partial=allow_partial)
    reader = replace(
        hdf5_reader(source, spec, pixels, spec.dims, allow_partial=allow_partial),
        coarser=tuple(partial(opener, level=each) for each in range(level + 1, levels)),
    )
    if xml is None:
        return reader
    fixed = reader.access.fixed_bytes + XML_FACTOR * os.path.getsize(xml)
    return replace(reader, beside=(xml,), access=replace(reader.access, fixed_bytes=fixed))


def _is_xml(path: str) -> bool:
    with open(path, "rb") as file:
        return b"<SpimData" in file.read(4096)


def _beside(source: str) -> tuple[str | None, str]:
    """Return the XML of an HDF5 file; if there is none, None and why.

    Of a copy under another name, or of an image that was exported twice, the XML beside is of other pixels.
    """
    beside = os.path.splitext(source)[0] + ".xml"
    if not os.path.isfile(beside) or not _is_xml(beside):
        return None, "there is no XML beside it"
    try:
        own = os.path.samefile(_read_xml(beside)[2], source)
    except InputError:
        own = False
    return (beside, "") if own else (None, "the XML beside it is not of this file and left out")


def _read_xml(path: str) -> tuple[list[Setup], list[int], str]:
    """Return the setups, the numbers of the time points, and the HDF5 file."""
    if os.path.getsize(path) > MOST_XML:
        raise damage(path, f"is an XML of more than {MOST_XML >> 20} MiB")
    errors = (ET.ParseError, ValueError, AttributeError, KeyError, TypeError)
    with reading(path, errors, "export it again", what="its XML makes no sense"):
        root = ET.parse(path).getroot()
        sequence = _child(root, "SequenceDescription")
        loader = _child(sequence, "ImageLoader")
        if (kind := loader.get("format", "")) != "bdv.hdf5":
            what = f"keeps its pixels as {kind!r}, and of BigDataViewer HDF5 is read"
            remedy = "open the folder of its N5 instead" if kind == "bdv.n5" else "export it as HDF5"
            raise InputError(f"{path}: {what}; {remedy}")
        named = {
            (attributes.get("name", ""), _text(entry, "id")): _text(entry, "name")
            for attributes in sequence.iter("Attributes")
            for entry in attributes
        }
        setups = [_setup(each, named) for each in _child(sequence, "ViewSetups").iter("ViewSetup")]
        times = _times(_child(sequence, "Timepoints"))
        name = _text(loader, "hdf5")
    if not setups or not times:
        raise damage(path, f"has {len(setups)} setups and {len(times)} time points")
    return setups, times, file_beside(path, name)


def _child(parent: Any, name: str) -> Any:
    found = parent.find(name)
    if found is None:
        raise ValueError(f"there is no {name}")
    return found


def _text(parent: Any, name: str) -> str:
    return (parent.findtext(name) or "").strip()


def _setup(element: Any, named: dict[tuple[str, str], str]) -> Setup:
    """Return what an element ``ViewSetup`` says."""
    size = [int(word) for word in _text(element, "size").split()]
    voxel = element.find("voxelSize")
    spacing = [float(word) for word in _text(voxel, "size").split()] if voxel is not None else []
    if len(size) != 3 or min(size) < 1 or len(spacing) not in (0, 3):
        raise ValueError(f"a setup has the size {size} and the spacing {spacing}")
    own = element.find("attributes")
    said = {each.tag: (each.text or "").strip() for each in (own if own is not None else ())}
    words = {kind: named.get((kind, number)) or number for kind, number in said.items()}
    return Setup(
        int(_text(element, "id")), words.get("channel", ""),
        tuple((kind, word) for kind, word in words.items() if kind != "channel"), tuple(reversed(size)),
        tuple(reversed(spacing)), None if voxel is None else known_unit(long_unit(_text(voxel, "unit"))),
    )  # fmt: skip


def _times(element: Any) -> list[int]:
    """Return the time points; a few bytes can promise any number of them."""
    found = list(itertools.islice(_promised(element), MOST_TIMES + 1))
    if len(found) > MOST_TIMES:
        raise ValueError(f"it has more than {MOST_TIMES} time points")
    return found


def _promised(element: Any) -> Iterator[int]:
    """Yield the time points: a range, a pattern such as ``0-5:2, 9``, or a list."""
    if element.get("type") == "range":
        first, last = int(_text(element, "first")), int(_text(element, "last"))
        if not 0 <= first <= last:
            raise ValueError(f"time points from {first} to {last}")
        yield from range(first, last + 1)
    elif element.get("type") == "list":
        yield from (int(_text(each, "id")) for each in element.iter("Timepoint"))
    else:
        for part in filter(None, re.split(r"\s*,\s*", _text(element, "integerpattern"))):
            match = re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6})(?:\s*:\s*(\d{1,6}))?)?", part)
            if match is None:
                raise ValueError(f"the time points are {part!r:.80}")
            start, end, step = match.groups()
            yield from range(int(start), int(end or start) + 1, int(step or 1))


def _grouped(setups: list[Setup]) -> list[list[Setup]]:
    """Return the setups of each series: those that differ in the channel alone."""
    found: dict[tuple[object, ...], list[Setup]] = {}
    for setup in setups:
        found.setdefault((setup.others, setup.size, setup.spacing, setup.unit), []).append(setup)
    groups: list[list[Setup]] = []
    for group in found.values():
        distinct = len({setup.channel for setup in group}) == len(group)
        groups += [group] if distinct else [[setup] for setup in group]
    return groups


def _named(group: list[Setup], times: int) -> Named:
    """Return name and shape of a series, which is named by what its setup has in common."""
    name = " ".join(f"{kind} {word}" for kind, word in group[0].others)
    outer = tuple(n for n in (times, len(group)) if n > 1)
    return Named(name, (*outer, *(group[0].size or ())))


def _view(path: str, file: Any, time: int, setup: int, level: int) -> str | None:
    """Return the name of the dataset of a view; None if it was never written."""
    name = f"t{time:05d}/s{setup:02d}/{level}/cells"
    return None if find_inside(path, file, name) is None else name


def _dtype(path: str, file: Any, names: Array) -> DType | None:
    """Return uint16 for pixels that the file calls int16."""
    first = next((name for name in names.flat if name is not None), None)
    stored = None if first is None else find_inside(path, file, first).dtype
    if stored is None or stored.kind != "i":
        return None
    return np.dtype(f"{stored.byteorder}u{stored.itemsize}")


def _axes(outer: Shape, inner: Shape, setup: Setup, notes: list[str]) -> tuple[Axis, ...]:
    """Return the axes t, c, z, y and x."""
    axes = [Axis("t", outer[0]), Axis("c", outer[1])]
    for name, size, spacing in zip("zyx", inner, setup.spacing or (1.0, 1.0, 1.0), strict=True):
        if not 0 < spacing < math.inf:
            notes.append(
                SpacingNote(f"the XML gives no spacing along {name} ({spacing:g}); 1 is assumed", name)
            )
            spacing = 1.0
        axes.append(Axis(name, size, spacing, setup.unit if setup.spacing else None))
    return tuple(axes)
