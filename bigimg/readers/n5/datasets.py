"""A reader of N5: a folder whose ``attributes.json`` describe datasets in it or below, each a tree of chunk files.

Sizes count from the fastest axis on. A dataset ``s0`` is the full resolution of the group that holds it, and ``s1``,
``s2`` are coarser levels: these are series too, behind the others. N5 names no axes; what
names them are ``axes`` (Fiji) or ``transform`` (COSEM), else the first three are x, y and z.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bigimg.errors import InputError, damage
from bigimg.geometry.axes import ORDER, Axis, long_unit
from bigimg.geometry.region import grid
from bigimg.geometry.spec import ImageSpec, SpacingNote
from bigimg.readers.allowed import known_unit
from bigimg.readers.n5.pixels import TensorPixels, document, is_number, tensor_reader, whole_numbers
from bigimg.readers.never_written import unwritten
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.several import Named, pick
from bigimg.types import Array, DType, Shape

DOCUMENT = "attributes.json"
MOST_FOLDERS = 20_000
"""Folders that are looked at for datasets."""
DEEPEST = 6
DIMS = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}

type Placed = dict[str, tuple[float, str | None, float]]
"""By axis: spacing, unit and origin."""


def open_n5(source: str, *, series: int | str | None = None, allow_partial: bool = False) -> RawReader:
    """Return a reader of one dataset of the N5 folder ``source``.

    Parameters
    ----------
    source : str
        The container, a group in it, or a dataset.
    series : int or str, optional
        Which dataset, by number or path; the first of full resolution by default.
    allow_partial : bool
        Open what is there where chunks were never written.

    Raises
    ------
    MissingExtraError
        tensorstore is not installed.
    InputError
        There is no dataset, its attributes make no sense, or chunks were never written.
    UsageError
        There is no such series.
    """
    source = os.path.dirname(source) if os.path.isfile(source) else source
    every, notes = _datasets(source)
    if not every:
        raise InputError(
            f"{source}: is an N5 folder without a dataset of two to five axes; give one that has some"
        )
    number, others = pick(source, every, series)
    folder = os.path.join(source, every[number].name) if every[number].name else source
    own, group = (
        document(os.path.join(folder, DOCUMENT)),
        document(os.path.join(os.path.dirname(folder), DOCUMENT)),
    )
    path = os.path.join(folder, DOCUMENT)
    shape = whole_numbers(path, "dimensions", own.get("dimensions"))[::-1]
    chunks = whole_numbers(path, "blockSize", own.get("blockSize"), len(shape))[::-1]
    dtype = _dtype(path, own.get("dataType"))
    dims = _dims(path, own, len(shape), notes)
    placed = _placed(own, group, dims)
    if not placed:
        notes.append(SpacingNote("its attributes give no spacing", "zyx"))
    sizes = dict(zip(dims, shape, strict=True))
    axes = tuple(
        Axis(name, sizes[name], *placed.get(name, (1.0, None, 0.0))) for name in ORDER if name in dims
    )
    steps = {name: min(n, sizes[name]) for name, n in zip(dims, chunks, strict=True)}
    pixels = TensorPixels(
        source, {"driver": "n5", "kvstore": {"driver": "file", "path": folder}}, shape, chunks, dtype,
        written=_written(folder, grid(shape, chunks)),
    )  # fmt: skip
    spec = ImageSpec(
        axes, dtype, tuple(steps[axis.name] for axis in axes), notes=tuple(notes), of_source=others,
    )  # fmt: skip
    reader = tensor_reader(source, "N5", spec, pixels, dims, allow_partial=allow_partial)
    return replace(
        reader, coarser=tuple(partial(open_n5, source, series=name, allow_partial=allow_partial)
                              for name in _coarser(every[number].name, [each.name for each in every])),
    )  # fmt: skip


def _file(source: str, name: str) -> str:
    return os.path.join(source, name, DOCUMENT)


def _datasets(source: str) -> tuple[list[Named], list[str]]:
    """Return the datasets in a folder, full resolutions first, and a note where not all of it was searched.

    Links are not followed, and chunks of a dataset not looked at.
    """
    found: list[Named] = []
    notes: list[str] = []
    folders = [("", 0)]
    for count, (name, depth) in enumerate(folders):
        if count == MOST_FOLDERS:
            notes.append(
                f"its first {MOST_FOLDERS} folders were searched for datasets: open others by their folders"
            )
            break
        sizes = document(_file(source, name)).get("dimensions")
        if isinstance(sizes, list):
            if len(sizes) in DIMS:
                found.append(Named(name, tuple(reversed(sizes))))
            continue
        if depth < DEEPEST:
            with os.scandir(os.path.join(source, name)) as entries:
                inside = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            folders += [(os.path.join(name, each), depth + 1) for each in inside]
    return sorted(found, key=lambda each: _order(each.name)), notes


def _order(name: str) -> tuple[object, ...]:
    """Return a key that puts full resolutions first, and numbers in their order."""
    level = re.search(r"(?:^|[/\\])s(\d+)$", name)
    words = [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", name)]
    return (level is not None and int(level[1]) > 0, *words)


def _coarser(name: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the names of the next levels of the dataset ``s0``, as far as they are there."""
    if re.search(r"(?:^|[/\\])s0$", name):
        levels = (f"{name[:-1]}{level}" for level in itertools.count(1))
        yield from itertools.takewhile(set(names).__contains__, levels)


def _dtype(path: str, said: object) -> DType:
    if not isinstance(said, str) or not re.fullmatch(r"u?int(8|16|32|64)|float(32|64)", said):
        raise damage(path, f"its dataType is {said!r:.40}, and integers and floats are read")
    return np.dtype(said)


def _dims(path: str, own: Mapping[str, Any], count: int, notes: list[str]) -> tuple[str, ...]:
    """Return the names of the axes, slowest first."""
    transform = own.get("transform")
    in_order = transform.get("axes") if isinstance(transform, dict) else None  # COSEM's: slowest first
    if in_order is None and isinstance(own.get("axes"), list):
        in_order = own["axes"][::-1]
    if isinstance(in_order, list) and len(in_order) == count:
        found = tuple(str(name).lower()[:1] for name in in_order)
        if set(found) <= set(ORDER) and len(set(found)) == count and {"y", "x"} <= set(found):
            return found
    if count not in DIMS:
        raise InputError(f"{path}: has {count} axes, and an image has 2 to 5")
    if count > 3:
        notes.append(f"its axes have no names; {' '.join(DIMS[count])} are assumed")
    return tuple(DIMS[count])


def _placed(own: Mapping[str, Any], group: Mapping[str, Any], dims: tuple[str, ...]) -> Placed:
    """Return spacing, unit and origin of the axes that have a spacing."""
    if isinstance(transform := own.get("transform"), dict):
        names = [str(name) for name in transform.get("axes") or ()]
        return _of(names, transform.get("scale"), transform.get("units"), transform.get("translate"))
    fastest_first = list(dims[::-1])
    for attributes, factors in ((own, None), (group, own.get("downsamplingFactors"))):
        said: Any = attributes.get("pixelResolution", attributes.get("resolution"))
        units = attributes.get("units")
        if isinstance(said, dict):
            said, units = said.get("dimensions"), said.get("unit")
        if isinstance(said, list):
            if isinstance(factors, list) and all(map(is_number, (*said, *factors))):
                said = [n * f for n, f in zip(said, factors, strict=False)]
            return _of(fastest_first, said, units, None)
    return {}


def _of(names: list[str], steps: Any, units: Any, starts: Any) -> Placed:
    """Return what lists along the same axes say."""
    found: Placed = {}
    for i, name in enumerate(names):
        step = steps[i] if isinstance(steps, list) and i < len(steps) else None
        unit = units[i] if isinstance(units, list) and i < len(units) else units
        start = starts[i] if isinstance(starts, list) and i < len(starts) else 0.0
        if name != "c" and is_number(step) and step > 0:
            known = known_unit(long_unit(unit)) if isinstance(unit, str) else None
            found[name] = (float(step), known, float(start) if is_number(start) else 0.0)
    return found


def _written(folder: str, chunks: Shape) -> Array:
    """Return which chunks have a file, slowest axis first: its numbers are the names of folders, fastest axis first."""
    found = unwritten(folder, chunks[::-1])
    _mark(folder, found)
    return found.transpose()


def _mark(folder: str, found: Array) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.isdecimal() or not (number := int(entry.name)) < len(found):
                continue
            if found.ndim == 1:
                found[number] = True
            elif entry.is_dir(follow_symlinks=False):
                _mark(entry.path, found[number])
