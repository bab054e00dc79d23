"""Holes: boxes of an image that a damaged source does not hold. Like padding, their pixels are no measurements.

A box is a region. Boxes of one image do not overlap.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bigimg.errors import AGAIN, CUT_HERE, InputError
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import count, overlap, shift
from bigimg.geometry.spec import Channel, ImageSpec
from bigimg.types import Array, DType, Json, Padding, Region, Shape

MOST_HOLES = 10_000
"""Boxes of one image. A store lists them all, and each read compares its region with each."""

SAME = 1e-12
"""Relative difference of coordinates that are equal."""


def hole_value(dtype: DType, padding: Padding | None) -> float:
    """Return what stands in holes: padding if the image has some, NaN if it can, else 0."""
    if padding is not None and dtype.kind != "b":
        return padding[0]
    return math.nan if dtype.kind == "f" else 0


def holes_in(holes: Sequence[Region], region: Region) -> Array | None:
    """Return where ``region`` lies in ``holes``; None if it does nowhere.

    Examples
    --------
    >>> holes_in([(slice(2, 5),)], (slice(0, 4),)).tolist()
    [False, False, True, True]
    """
    found: Array | None = None
    for hole in holes:
        part = overlap(hole, region)
        if all(s.start < s.stop for s in part):
            if found is None:
                found = np.zeros([s.stop - s.start for s in region], bool)
            found[shift(part, tuple(s.start for s in region))] = True
    return found


def coarser_holes(
    holes: Sequence[Region], shape: Shape, step: Shape, *, first: bool = False, met: bool = False
) -> tuple[Region, ...]:
    """Return the holes of the next coarser level: pixels whose windows of ``step`` pixels lie in holes.

    Parameters
    ----------
    holes : sequence of Region
        Of the level of ``shape``.
    first : bool
        A pixel of the coarser level is the first one of its window, as with the method ``nearest``.
    met : bool
        Also pixels whose windows only meet a hole, because another program made them of what lies there.

    Examples
    --------
    >>> coarser_holes([(slice(3, 8),)], (9,), (2,))
    ((slice(2, 4, None),),)
    """
    starts = [np.arange(0, n, f) for n, f in zip(shape, step, strict=True)]
    stops = [start + (1 if first else f) for start, f in zip(starts, step, strict=True)]
    return holes_of_windows(holes, shape, starts, stops, met=met)


def holes_of_windows(
    holes: Sequence[Region],
    shape: Shape,
    starts: Sequence[Array],
    stops: Sequence[Array],
    *,
    met: bool = False,
) -> tuple[Region, ...]:
    """Return the holes of an image whose pixels are made from windows of another: those whose windows lie in holes.

    Parameters
    ----------
    holes : sequence of Region
        Of the source of ``shape``.
    starts, stops : sequence of ndarray of int
        First and last but one pixel of the source, for each pixel along each axis. Windows may reach beyond the end.
    met : bool
        Also those whose windows meet a hole.

    Examples
    --------
    >>> holes_of_windows([(slice(3, 8),)], (9,), [np.array([0, 3, 6])], [np.array([3, 6, 8])])
    ((slice(1, 3, None),),)
    """
    if not holes:
        return ()
    edges = [_edges(ends, n) for ends, n in zip(zip(*holes, strict=True), shape, strict=True)]
    cells = np.zeros([len(own) - 1 for own in edges], bool)
    for hole in holes:
        cells[
            tuple(slice(*np.searchsorted(own, (s.start, s.stop))) for s, own in zip(hole, edges, strict=True))
        ] = True
    coarse = []
    for axis, (own, n, start, stop) in enumerate(zip(edges, shape, starts, stops, strict=True)):
        low = np.searchsorted(own, start, "right") - 1
        high = np.searchsorted(own, np.minimum(stop, n))
        # Between these edges all windows meet the same cells.
        changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0)) + 1
        ends = np.array([0, *changes, len(start)])
        lines = np.moveaxis(cells, axis, 0)
        pieces = (lines[low[i] : high[i]] for i in ends[:-1])
        kept = [piece.any(axis=0) if met else piece.all(axis=0) for piece in pieces]
        cells = np.moveaxis(np.array(kept), 0, axis)
        coarse.append(ends)
    return boxes_of(cells, coarse)


def holes_of_levels(
    holes: Sequence[Region], shapes: Sequence[Shape], steps: Sequence[Shape], method: str | None
) -> list[tuple[Region, ...]]:
    """Return the holes of each level from those of the first one; ``steps`` of the first are not used."""
    found = [tuple(holes)]
    for below, step in zip(shapes, steps[1:], strict=False):
        found.append(coarser_holes(found[-1], below, step, first=method == "nearest"))
    return found


def _edges(parts: Iterable[slice], size: int) -> Array:
    ends = {0, size, *itertools.chain.from_iterable((s.start, s.stop) for s in parts)}
    return np.array(sorted(ends), np.int64)


def boxes_of(cells: Array, edges: Sequence[Sequence[int] | Array]) -> tuple[Region, ...]:
    """Return the boxes that the true ``cells`` make; ``edges`` separate cells along each axis.

    Examples
    --------
    >>> boxes_of(np.array([[True, True, False], [True, True, False]]), [[0, 2, 4], [0, 5, 6, 9]])
    ((slice(0, 4, None), slice(0, 6, None)),)
    """
    return tuple(each_box(cells, edges))


def each_box(cells: Array, edges: Sequence[Sequence[int] | Array]) -> Iterator[Region]:
    """Yield what :func:`boxes_of` returns, so that a caller who has too many can stop."""
    if not cells.any():
        return
    changes = (cells[1:] != cells[:-1]).reshape(len(cells) - 1, -1).any(axis=1) if len(cells) > 1 else ()
    for start, stop in itertools.pairwise([0, *(np.flatnonzero(changes) + 1).tolist(), len(cells)]):
        part = slice(int(edges[0][start]), int(edges[0][stop]))
        rest = each_box(cells[start], edges[1:]) if cells.ndim > 1 else [()] * bool(cells[start])
        for box in rest:
            yield part, *box


def few_enough(holes: Iterable[Region], source: str, remedy: str = AGAIN) -> tuple[Region, ...]:
    """Return ``holes``, which are taken one by one.

    Raises
    ------
    InputError
        There are more than ``MOST_HOLES``. None is left out: its pixels would count as measurements.
    """
    found = tuple(itertools.islice(holes, MOST_HOLES + 1))
    if len(found) > MOST_HOLES:
        raise InputError(
            f"{source}: lacks pixels in more than {MOST_HOLES} places, the most that are kept; {remedy}"
        )
    return found


def with_holes(spec: ImageSpec, holes: Iterable[Region], *, source: str, remedy: str = AGAIN) -> ImageSpec:
    """Return ``spec`` with ``holes``, and a note on them.

    Raises
    ------
    InputError
        They are too many, see :func:`few_enough`.
    """
    found = replace(spec, missing=few_enough(holes, source, remedy))
    return replace(found, notes=(*found.notes, said(found))) if found.missing else spec


OF_THE_PIXELS = "% of the pixels "
"""What every note on holes says."""


def on_missing(notes: Iterable[str]) -> str:
    """Return those of ``notes`` that say what a source lacks; empty if it is whole."""
    return "; ".join(note for note in notes if OF_THE_PIXELS in note or CUT_HERE in note)


def said(spec: ImageSpec, *, exported: bool = False) -> str:
    """Return the sentence that says how many pixels are missing, in which planes, and what is there instead.

    In an ``exported`` file nothing marks them.
    """
    pixels, value = sum(map(count, spec.missing)), hole_value(spec.dtype, spec.padding)
    where, shown = "", "NaN" if math.isnan(value) else f"{value:g}"
    for axis, name in enumerate(spec.dims):
        gone = np.zeros(spec.shape[axis], bool)
        for hole in spec.missing:
            gone[hole[axis]] = True
        if name in "tcz" and not gone.all():
            runs = [run for (run,) in boxes_of(gone, [range(len(gone) + 1)])]
            first = [f"{s.start}" if s.stop == s.start + 1 else f"{s.start} to {s.stop - 1}" for s in runs]
            more = f" and {len(first) - 5} more runs" if len(first) > 5 else ""
            where += f", at {name} {', '.join(first[:5])}{more}"
    return (
        f"{100 * pixels / spec.size:.3g} {OF_THE_PIXELS}are missing from the source{where}: they are {shown}"
        + (
            " in the file, which does not mark them"
            if exported
            else ", and left out of statistics and coarser levels"
        )
    )


def told_apart(channels: Sequence[Channel], holes: Sequence[Region], axis: int) -> tuple[Channel, ...]:
    """Return ``channels``, with a number behind the name where names repeat and a hole is in some of them alone.

    Parameters
    ----------
    channels : sequence of Channel
    holes : sequence of Region
    axis : int
        Which axis of the holes is ``c``.

    Examples
    --------
    >>> [each.name for each in told_apart([Channel("DAPI"), Channel("DAPI")], [(slice(0, 1),)], 0)]
    ['DAPI', 'DAPI 2']
    """
    if all(hole[axis] == slice(0, len(channels)) for hole in holes):
        return tuple(channels)
    taken, found = {each.name for each in channels}, dict[str, Channel]()
    for each in channels:
        more = (f"{each.name} {n}".strip() for n in itertools.count(2))
        name = (
            each.name if each.name not in found else next(new for new in more if new not in taken | {*found})
        )
        found[name] = replace(each, name=name)
    return tuple(found.values())


def by_coordinate(
    holes: Sequence[Region], axes: Sequence[Axis], channels: Sequence[Channel] = ()
) -> list[Json]:
    """Return ``holes`` for the attrs of an array: the edges of each along the axes of which it is a part.

    Edges are coordinates, and along ``c`` names, so that they stay true for any part of the image; see
    :func:`told_apart` for names that repeat. A channel without a name has its number.
    """
    found: list[Json] = []
    for hole in holes:
        box: dict[str, Json] = {}
        for axis, s in zip(axes, hole, strict=True):
            if axis.name == "c" and s != slice(0, axis.size):
                box["c"] = [channels[i].name if channels else i for i in range(s.start, s.stop)]
            elif s != slice(0, axis.size):
                ends = (axis.origin + (end - 0.5) * axis.spacing for end in (s.start, s.stop))
                box[axis.name] = list[Json](sorted(ends))
        found.append(box)
    return found


def at_coordinates(boxes: Any, sizes: Mapping[str, int], coords: Mapping[str, Array]) -> tuple[Region, ...]:
    """Return the holes of an array of which :func:`by_coordinate` gave ``boxes`` for the image that it is a part of.

    Parameters
    ----------
    boxes : sequence of mapping
    sizes : mapping of str to int
        Pixels along the present axes.
    coords : mapping of str to ndarray
        Coordinates of the present axes, and of those of which one position is left.
    """
    found: list[Region] = []
    for box in boxes or ():
        lines: list[list[slice]] = []
        for name in {**sizes, **box}:
            line = slice(0, sizes.get(name, 1))
            if name in box:
                inside = _inside(name, box[name], coords.get(name, np.arange(sizes.get(name, 0))))
                runs = [part for (part,) in boxes_of(inside, [range(len(inside) + 1)])] if len(inside) else []
            else:
                runs = [line]
            if name in sizes:
                lines.append(runs)
            elif not runs:
                lines = [[]]
                break
        found += itertools.product(*lines)
    return tuple(found)


def _inside(name: str, ends: Sequence[Any], coord: Array) -> Array:
    """Return which values of the coordinate ``name`` lie between ``ends``; along c, which are among these."""
    line = np.atleast_1d(coord)
    if name == "c":
        return np.isin(line.astype(str), [str(channel) for channel in ends])
    low, high = ends
    margin = SAME * max(abs(low), abs(high))
    inside: Array = (line > low + margin) & (line < high - margin)
    return inside


def through(holes: Sequence[Region], at: Sequence[int | None]) -> tuple[Region, ...]:
    """Return the holes of a cut at one index along some axes, without these axes.

    Examples
    --------
    >>> through([(slice(2, 4), slice(0, 9))], (3, None)), through([(slice(2, 4), slice(0, 9))], (4, None))
    (((slice(0, 9, None),),), ())
    """
    met = [
        hole
        for hole in holes
        if all(i is None or s.start <= i < s.stop for s, i in zip(hole, at, strict=True))
    ]
    return tuple(tuple(s for s, i in zip(hole, at, strict=True) if i is None) for hole in met)


def as_json(holes: Sequence[Region]) -> list[Json]:
    """Return ``holes`` as first and last but one pixel along each axis."""
    return [[[s.start, s.stop] for s in hole] for hole in holes]


def of_json(holes: Any) -> tuple[Region, ...]:
    """Return the holes of which :func:`as_json` made ``holes``; a ValueError or TypeError where they are none."""
    return tuple(tuple(slice(int(a), int(b)) for a, b in hole) for hole in holes or ())
