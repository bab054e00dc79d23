"""Arithmetic of regions, which are tuples of slices."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence

from bigimg.geometry.axes import ORDER
from bigimg.types import Region, Shape


def full(shape: Shape) -> Region:
    """Return the region that covers an array of ``shape``."""
    return tuple(slice(0, size) for size in shape)


def shape_of(region: Region) -> Shape:
    """Return the number of pixels of ``region`` along each axis.

    >>> shape_of((slice(2, 5), slice(0, 4)))
    (3, 4)
    """
    return tuple(s.stop - s.start for s in region)


def shift(region: Region, start: Shape) -> Region:
    """Return ``region`` in the coordinates of an array that begins at ``start``.

    >>> shift((slice(12, 14),), (10,))
    (slice(2, 4, None),)
    """
    return tuple(slice(s.start - o, s.stop - o) for s, o in zip(region, start, strict=True))


def grid(shape: Shape, step: Shape) -> Shape:
    """Return the number of pieces of ``step`` that tile ``shape`` along each axis."""
    return tuple(-(-size // n) for size, n in zip(shape, step, strict=True))


def piece(index: Shape, step: Shape, shape: Shape) -> Region:
    """Return the region of piece ``index`` in a tiling of ``shape`` by ``step``, cut at the edge.

    >>> piece((1,), (4,), (7,))
    (slice(4, 7, None),)
    """
    return tuple(slice(i * n, min((i + 1) * n, size)) for i, n, size in zip(index, step, shape, strict=True))


def pieces(region: Region, step: Shape) -> Iterator[tuple[Shape, Region]]:
    """Yield ``(index, piece)`` of the tiles of ``step`` that overlap ``region``, in C order.

    Each piece is cut to ``region``; its index counts tiles from the origin of the array.
    """
    ranges = [range(s.start // n, -(-s.stop // n)) for s, n in zip(region, step, strict=True)]
    for index in itertools.product(*ranges):
        ends = zip(index, step, region, strict=True)
        yield index, tuple(slice(max(i * n, s.start), min((i + 1) * n, s.stop)) for i, n, s in ends)


def rows(shape: Shape, most: int) -> Shape:
    """Return the shape of pieces of at most ``most`` pixels, cut along the slow axes.

    >>> rows((2, 30, 40), 100)
    (1, 2, 40)
    """
    found = list(shape)
    for axis in range(len(found)):
        if math.prod(found) > most:
            found[axis] = max(1, most // math.prod(found[axis + 1 :]))
    return tuple(max(1, n) for n in found)


def cells(region: Region, edges: Sequence[Sequence[int]]) -> Iterator[tuple[Shape, Region]]:
    """Yield ``(index, cell)`` of the cells that overlap ``region``, in C order; ``edges`` separate cells along an axis.

    >>> list(cells((slice(3, 6),), [[0, 2, 4, 9]]))
    [((1,), (slice(2, 4, None),)), ((2,), (slice(4, 9, None),))]
    """
    ranges = [
        range(bisect.bisect_right(own, s.start) - 1, bisect.bisect_left(own, s.stop))
        for s, own in zip(region, edges, strict=True)
    ]
    for index in itertools.product(*ranges):
        yield index, tuple(slice(own[i], own[i + 1]) for i, own in zip(index, edges, strict=True))


def edges_of(chunks: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the starts of chunks of these lengths along each axis, and the end of the last chunk.

    >>> edges_of([[2, 2, 5]])
    [[0, 2, 4, 9]]
    """
    return [list(itertools.accumulate(lengths, initial=0)) for lengths in chunks]


def overlap(region: Region, other: Region) -> Region:
    """Return the overlap of two regions, which must not be empty.

    >>> overlap((slice(0, 5),), (slice(3, 9),))
    (slice(3, 5, None),)
    """
    pairs = zip(region, other, strict=True)
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in pairs)


def on_all_axes(region: Region, dims: Sequence[str]) -> Region:
    """Return ``region`` of an image with the axes ``dims`` along t, c, z, y and x: one pixel along those that it lacks.

    >>> on_all_axes((slice(2, 5), slice(0, 4)), "yx")[1:4]
    (slice(0, 1, None), slice(0, 1, None), slice(2, 5, None))
    """
    along = dict(zip(dims, region, strict=True))
    return tuple(along.get(name, slice(0, 1)) for name in ORDER)


def of_axes(dims: Sequence[str]) -> tuple[slice | int, ...]:
    """Return the index that leaves the axes ``dims`` of an array with t, c, z, y and x, the others one pixel long.

    >>> of_axes("zyx")
    (0, 0, slice(None, None, None), slice(None, None, None), slice(None, None, None))
    """
    return tuple(slice(None) if name in dims else 0 for name in ORDER)


def count(region: Region) -> int:
    """Return the number of pixels in ``region``."""
    return math.prod(shape_of(region))


def scale_up(region: Region, factors: Shape, shape: Shape) -> Region:
    """Return the part of the next finer level, of ``shape``, that ``region`` of a coarse level covers.

    >>> scale_up((slice(1, 3),), (2,), (5,))
    (slice(2, 5, None),)
    """
    axes = zip(region, factors, shape, strict=True)
    return tuple(slice(s.start * f, min(s.stop * f, size)) for s, f, size in axes)
