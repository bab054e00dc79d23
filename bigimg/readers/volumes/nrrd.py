"""A reader of NRRD, attached (``.nrrd``) and detached (``.nhdr``).

The header is lines of ``field: value`` and is parsed here: pynrrd reads neither lists nor patterns of files and does
not tell where the pixels begin. The first axis is the fastest, axes without a direction are channels or time, and
``space`` gives the directions of the world. ``scanner-xyz`` and a space without a name are read as LPS, as in ITK.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from bigimg.errors import InputError, reading
from bigimg.geometry.axes import MILLIMETERS, long_unit
from bigimg.geometry.spec import RGB, RGBA, Channel
from bigimg.readers.raw.detached import Encoding, Layout, data_files, number, numbers, open_detached, text_of
from bigimg.readers.raw.plain import RawReader, Stored
from bigimg.readers.volumes.headers import Step, Volume, checked_shape
from bigimg.types import Array

TYPES = {
    "i1": "signed char, int8, int8_t", "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t", "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float", "f8": "double",
}  # fmt: skip
"""Names of numpy, and all names of the format for each."""

ENCODINGS: dict[str, Encoding] = {
    "raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "ascii": "text", "text": "text", "txt": "text",
}  # fmt: skip

SPACES = {"right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1), "rast": (1, 1, 1),
          "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1), "last": (-1, 1, 1),
          "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1), "lpst": (-1, -1, 1)}  # fmt: skip
"""Factors that turn the axes of each world to right, anterior, superior; a world may have time as its fourth axis."""

SPATIAL = {"space", "domain"}
CHANNELS = {"list", "vector", "covariant-vector", "normal", "scalar", "stub", "complex", "point",
            "quaternion"}  # fmt: skip
CHANNELS_OF = {"rgb-color": RGB, "rgba-color": RGBA, "complex": (Channel("real"), Channel("imaginary"))}
"""Names along an axis of channels, by its kind."""

MOST_HEADER = 16 << 20
"""Bytes of a header at most, its list of files included."""

LAYOUT = {"type", "dimension", "sizes", "encoding", "endian", "data file", "byte skip", "line skip",
          "block size"}  # fmt: skip
"""Fields that describe the file and not the image."""

ALIASES = {"datafile": "data file", "byteskip": "byte skip", "lineskip": "line skip", "centerings": "centers",
           "axismins": "axis mins", "axismaxs": "axis maxs", "blocksize": "block size"}  # fmt: skip


type Vectors = list[list[float] | None]
"""One for each axis; None for an axis without one."""


def open_nrrd(source: str) -> RawReader:
    """Return a reader of the NRRD at ``source``.

    Parameters
    ----------
    source : str
        The ``.nrrd`` or ``.nhdr``.

    Raises
    ------
    InputNotFoundError
        The data file is not there.
    InputError
        The header makes no sense, names data outside its folder, or the data are too short.
    """
    fields, pairs, listed, end = _read_header(source)
    notes: list[str] = []
    with reading(source, (ValueError, OverflowError)):
        sizes = checked_shape(source, numbers(fields, "sizes", int))
        if number(fields, "dimension", int) != len(sizes):
            raise ValueError(f"dimension is {fields['dimension']}, and there are {len(sizes)} sizes")
        directions = _directions(fields, len(sizes))
        names = _names(fields, directions, sizes)
        kept = [axis for axis, name in reversed(list(enumerate(names))) if name]  # others have one pixel
        layout = _layout(fields, tuple(names[axis] for axis in kept), tuple(sizes[axis] for axis in kept))
        layout = replace(layout, stored=_paired(layout, _kinds(fields)))
        steps, starts = _steps(fields, names, directions, notes)
        affine = _affine(fields, names, directions, notes)
        if affine is not None and "z" not in names and _is_picture(fields, affine):
            starts |= dict(zip("xy", _origin(fields) or (), strict=False))
            affine = None
        skip = number(fields, "line skip", int, 0)
        if skip < 0:
            raise ValueError(f"line skip is {skip}")
    named = fields.get("data file")
    files = [source] if named is None else data_files(source, named, listed, layout.stored.shape[0])
    start = end if files == [source] else 0
    layout = replace(layout, start=_after_lines(files[0], start, skip) if skip else start)
    pixels, access = open_detached(source, files, layout)
    volume = Volume(
        stored=layout.stored, affine=affine, steps=steps, starts=starts,
        body=_space(fields) in SPACES,
        channels=_channels(fields, names, sizes) if "c" in layout.stored.dims else (), family="nrrd",
        fields={name: value for name, value in (pairs | fields).items() if name not in LAYOUT},
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes)


def _read_header(path: str) -> tuple[dict[str, str], dict[str, str], list[str], int]:
    """Return the fields, the ``key:=value`` lines, the names behind ``data file: LIST``, and where the header ends."""
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    listed: list[str] = []
    with reading(path), open(path, "rb") as file:
        file.readline(64)
        while line := file.readline(1 << 20):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text.strip() or file.tell() > MOST_HEADER:
                break
            if fields.get("data file", "").split()[:1] == ["LIST"]:
                listed.append(text.strip())
            elif not text.startswith("#"):
                name, colon, value = text.partition(":")
                if not colon:
                    raise InputError(f"{path}: a line is no 'field: value' ({text[:40]!r}); correct it")
                if value.startswith("="):
                    pairs[name] = value[1:]
                else:
                    lower = name.strip().lower()
                    fields[ALIASES.get(lower, lower)] = value.strip()
        return fields, pairs, listed, file.tell()


def _layout(fields: dict[str, str], dims: tuple[str, ...], shape: tuple[int, ...]) -> Layout:
    """Return how the pixels lie in their files; the caller adds where they start."""
    word = text_of(fields, "type").lower()
    kind = next((code for code, names in TYPES.items() if word in names.split(", ")), None)
    if kind is None:
        raise ValueError(f"type {word!r} is no number")
    encoding = ENCODINGS.get(text_of(fields, "encoding").lower())
    if encoding is None:
        raise ValueError(f"encoding {fields['encoding']!r} is not one of {', '.join(ENCODINGS)}")
    order = "little" if kind[1] == "1" or encoding == "text" else text_of(fields, "endian").lower()
    if order not in ("little", "big"):
        raise ValueError(f"endian is {order!r}, not little or big")
    dtype = np.dtype((">" if order == "big" else "<") + kind)
    skip = number(fields, "byte skip", int, 0)
    if skip < -1 or (skip and encoding == "text"):
        raise ValueError(f"byte skip is {skip}")
    return Layout(Stored(dims, shape, dtype), encoding, offset=skip)


def _paired(layout: Layout, kinds: list[str]) -> Stored:
    """Return how complex numbers lie in the file where two floats that follow one another are one."""
    dims, shape, dtype = layout.stored
    if (
        kinds[:1] != ["complex"]
        or dims[-1] != "c"
        or shape[-1] != 2
        or dtype.kind != "f"
        or layout.encoding == "text"
    ):
        return layout.stored
    return Stored(dims[:-1], shape[:-1], np.dtype(f"{dtype.byteorder}c{2 * dtype.itemsize}"))


def _kinds(fields: dict[str, str]) -> list[str]:
    return fields.get("kinds", "").lower().split()


def _after_lines(path: str, start: int, lines: int) -> int:
    """Return the byte behind the first ``lines`` lines of ``path``, counted from byte ``start``."""
    with reading(path), open(path, "rb") as file:
        file.seek(start)
        for _ in range(lines):
            if not file.readline(MOST_HEADER):
                raise InputError(f"{path}: ends before line {lines} and its pixels; fetch it again")
        return file.tell()


def _vectors(fields: dict[str, str], name: str) -> Vectors:
    """Return ``(1,0,0) none (0,1,0)`` as vectors; teem writes a vector of nan for none too."""
    text = fields.get(name, "")
    vector = r"\([^()]*\)|none"
    if re.sub(vector, "", text).strip():
        raise ValueError(f"{name} is {text!r:.80}, not vectors like (1,0,0)")
    found = [
        None if word == "none" else numbers({name: word[1:-1].replace(",", " ")}, name, float)
        for word in re.findall(vector, text)
    ]
    if any(each and 0 < sum(map(math.isnan, each)) < len(each) for each in found):
        raise ValueError(f"{name} is {text!r:.80}: a vector has some nan, and only all of them mean none")
    return [None if each and math.isnan(each[0]) else each for each in found]


def _directions(fields: dict[str, str], ndim: int) -> Vectors:
    """Return the vector of each axis in the world; None for an axis without one."""
    found = _vectors(fields, "space directions") or [None] * ndim
    if len(found) != ndim:
        raise ValueError(f"space directions has {len(found)} vectors for {ndim} axes")
    if len({len(vector) for vector in found if vector}) > 1:
        raise ValueError("vectors of space directions have different lengths")
    return found


def _names(fields: dict[str, str], directions: Vectors, sizes: tuple[int, ...]) -> list[str]:
    """Return one of ``x y z t c`` for each axis, fastest first; "" for an axis of one pixel that has no other name."""
    kinds = _kinds(fields) or ["???"] * len(sizes)
    if len(kinds) != len(sizes):
        raise ValueError(f"kinds has {len(kinds)} words for {len(sizes)} axes")
    has_directions = any(directions)
    names: list[str] = []
    space = iter("xyz")
    for kind, vector in zip(kinds, directions, strict=True):
        if kind == "time" or (vector and len(vector) == 4 and vector[3] and not any(vector[:3])):
            names.append("t")
        elif vector is not None or kind in SPATIAL or (kind in ("???", "none") and not has_directions):
            names.append(next(space, "t" if "t" not in names else "c"))
        elif kind in ("???", "none") or kind in CHANNELS or kind in CHANNELS_OF or re.match(r"\d|3d-", kind):
            names.append("c")
        else:
            raise ValueError(f"an axis of kind {kind!r} is none of t c z y x")
    for axis, name in enumerate(names):
        if names.count(name) > 1 and sizes[axis] == 1:
            names[axis] = ""
    if any(name and names.count(name) > 1 for name in names):
        raise ValueError(f"axes of kinds {' '.join(kinds)} would be {' '.join(names)}; split it first")
    if not {"x", "y"} <= set(names):
        raise ValueError("it has fewer than two axes of space")
    return names


def _quoted(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text)


def _steps(
    fields: dict[str, str], names: list[str], directions: Vectors, notes: list[str]
) -> tuple[dict[str, Step], dict[str, float]]:
    """Return spacing and unit by name, and the coordinate of the first pixel.

    A spacing is the length of a direction, a word in ``spacings``, or follows from ``axis mins`` and ``axis maxs``.
    These are edges of the first and last pixel, and their centres where ``centers`` says ``node``, as in teem and ITK.
    """
    spacings, lows, highs = (
        _along_axes(fields, name, names) for name in ("spacings", "axis mins", "axis maxs")
    )
    centers = fields.get("centers", "").lower().split()
    sizes = numbers(fields, "sizes", int)
    units, world_units = _quoted(fields.get("units", "")), _quoted(fields.get("space units", ""))
    origin = _origin(fields)
    known = _space(fields) in SPACES
    steps, starts = dict[str, Step](), dict[str, float]()
    for axis, (name, vector) in enumerate(zip(names, directions, strict=True)):
        unit = long_unit(units[axis]) if axis < len(units) and units[axis] != "???" else None
        step, low, node = spacings[axis], lows[axis], centers[axis : axis + 1] == ["node"]
        if vector is not None:
            unit = long_unit(world_units[-1 if name == "t" else 0]) if world_units else unit
            default = "millimeter" if known and name != "t" else None
            steps[name] = (float(np.linalg.norm(vector)), unit or default)
            if name == "t" and origin and len(origin) == 4:
                starts[name] = origin[3]
        elif name not in ("c", ""):
            between = sizes[axis] - node
            if math.isnan(step) and between > 0:
                step = (highs[axis] - low) / between
            if step < 0:
                notes.append(f"{name} runs backwards ({step:g}); its place is left out")
            elif math.isfinite(low):
                starts[name] = low if node or math.isnan(step) else low + step / 2
            if not math.isnan(step):
                steps[name] = (step, unit)
    return steps, starts


def _along_axes(fields: dict[str, str], name: str, axes: list[str]) -> list[float]:
    """Return the number of each axis in the field ``name``; nan where there is none."""
    found = numbers(fields, name, float, "") or [math.nan] * len(axes)
    if len(found) != len(axes):
        raise ValueError(f"{name} has {len(found)} words for {len(axes)} axes")
    return found


def _space(fields: dict[str, str]) -> str:
    return fields.get("space", "").lower().removesuffix("-time")


def _origin(fields: dict[str, str]) -> list[float] | None:
    return (_vectors(fields, "space origin") or [None])[0]


def _affine(fields: dict[str, str], names: list[str], directions: Vectors, notes: list[str]) -> Array | None:
    """Return the affine from index (x, y, z) to RAS+ millimetres; None when the header has no directions."""
    columns = dict(zip(names, directions, strict=True))
    if not any(columns.get(name) for name in "xyz"):
        return None
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    columns["origin"] = _origin(fields) or [0.0]
    for column, name in enumerate(("x", "y", "z", "origin")):
        if vector := columns.get(name):
            affine[:3, column] = (*vector, 0.0, 0.0)[:3]
    space = _space(fields)
    turns = SPACES.get(space, (-1, -1, 1))
    if space not in SPACES:
        what = "the space of the header is not anatomical" if space else "the header names no space"
        notes.append(f"{what}; it is read as LPS, as in ITK")
    units = _quoted(fields.get("space units", ""))
    affine[:3] *= MILLIMETERS.get(long_unit(units[0]) or "", 1.0) if units else 1.0
    found: Array = np.diag([*turns, 1.0]) @ affine
    return found


def _is_picture(fields: dict[str, str], affine: Array) -> bool:
    """Return whether a plane lies in no anatomical space and its axes are not turned."""
    directions = np.abs(affine[:2, :2])
    return _space(fields) not in SPACES and not directions[[0, 1], [1, 0]].any()


def _channels(fields: dict[str, str], names: list[str], sizes: tuple[int, ...]) -> tuple[Channel, ...]:
    """Return the channels of a colour image, or of complex integers; other channels have no names."""
    named = CHANNELS_OF.get(dict(zip(names, _kinds(fields), strict=False)).get("c", ""), ())
    return named if named and len(named) == sizes[names.index("c")] else ()
