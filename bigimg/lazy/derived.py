"""Nodes that an operation makes of another one: regions of the result from regions of the source.

An operation says which region of its source a region of its result is made from, and makes it. If the source can only
be read in one order, the result is made in that order, band by band (:mod:`bigimg.lazy.bands`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bigimg.geometry.region import full, pieces, shape_of, shift
from bigimg.lazy.bands import Rolling, band_of
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node import Node, reading_apart, token_of
from bigimg.lazy.operation import Operation
from bigimg.lazy.pieces import Pieced
from bigimg.pyramid.kernels import SCRATCH_BYTES
from bigimg.types import Array, Region, Shape

PIECE_BYTES = 8 << 20
"""Source pixels behind a block at most, unless one chunk has more. Sums take as much memory again, and larger blocks
are no faster."""
SAMPLES = 64
"""Samples on a line through an ordered source that are made at once: the box around them lies in few bands."""


class Derived(Node):
    """The result of an operation on the pixels of another node.

    If these have an order, pieces of a region are made in that order, whichever way they run in the result.

    Parameters
    ----------
    pixels : Node
    operation : Operation
    piece : tuple of int
        Pixels of the result that are made at once.
    order : tuple of int, optional
        Axes of the result from slowest to fastest, if it is best read in one order.
    along : (int, int), optional
        The axis of the result along which bands follow one another, and that axis of the source. What two bands share
        is kept, so that each pixel of the source is read once while bands are read in order.
    """

    def __init__(
        self, pixels: Node, operation: Operation, piece: Shape,
        order: tuple[int, ...] = (), along: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        self.pixels, self.sources, self.operation = pixels, (pixels,), operation
        self.prefix = f"bigimg-{type(operation).__name__.lower()}"
        self.shape, self.dtype, self.order = operation.shape, np.dtype(operation.dtype), order
        if operation.moves or operation.padding == pixels.padding:
            self.padding = pixels.padding
        self.piece = self.shape if operation.copies and not order else piece
        self._rolling = None if along is None else Rolling(pixels, operation, *along)
        self.token = token_of(pixels.token, operation, self.piece)
        self.chunks, self.read_bytes = self._chunks(), self._read_bytes()

    def _chunks(self) -> Shape:
        """Return what the source decodes at once, scaled to the result."""
        if self.pixels.ndim != self.ndim:
            return self.piece
        sizes = zip(self.pixels.chunks, self.shape, self.pixels.shape, strict=True)
        return tuple(max(1, chunk * size // whole) for chunk, size, whole in sizes)

    def _read_bytes(self) -> int:
        """Return the bytes of a region of the source, and of the sums that it takes."""
        if self.operation.copies:
            return self.pixels.read_bytes
        source = shape_of(self.operation.source(full(tuple(map(min, self.piece, self.shape)))))
        value = self.pixels.dtype.itemsize + self.operation.extra_bytes
        return int(math.prod(source) * value) + SCRATCH_BYTES + self.pixels.read_bytes

    def read(self, region: Region) -> Array:
        """Return ``region`` of the result, piece by piece."""
        if all(n <= m for n, m in zip(shape_of(region), self.piece, strict=True)):
            return self._made(region)
        out = np.empty(shape_of(region), self.dtype)
        origin = tuple(s.start for s in region)
        parts = [part for _, part in pieces(region, self.piece)]
        if self.pixels.order:
            parts.sort(key=self._rank)
        for part in parts:
            out[shift(part, origin)] = self._made(part)
        return out

    def _rank(self, region: Region) -> list[int]:
        """Return where the source of ``region`` begins along each axis, the slowest first."""
        source = self.operation.source(region)
        return [source[axis].start for axis in self.pixels.order]

    def _made(self, region: Region) -> Array:
        source = self.operation.source(region)
        with reading_apart():
            read = self.pixels.read(source) if self._rolling is None else self._rolling.read(source, region)
        return self.operation.make(read, source, region)


def derived(
    pixels: Node,
    operation: Operation,
    chunks: Sequence[Shape],
    dims: Sequence[str],
    source_dims: Sequence[str],
    bands: Sequence[Shape],
) -> Derived:
    """Return the result of ``operation`` on ``pixels``: in the order of an ordered source, else in any.

    Parameters
    ----------
    chunks : sequence of tuple of int
        Of the result, where any order will do.
    dims, source_dims : sequence of str
        Axes of the result and of the source.
    bands : sequence of tuple of int
        How the source is cut into bands, if it has an order.
    """
    most = PIECE_BYTES // pixels.dtype.itemsize
    if not pixels.order or not dims:
        return Derived(pixels, operation, _cut(tuple(map(max, chunks)), operation, most))
    order = [source_dims[axis] for axis in pixels.order]
    if not set(dims) <= set(source_dims):
        pieced = pixels if isinstance(pixels, Pieced) else Pieced(pixels, bands)
        return Derived(pieced, operation, _samples(operation.shape, dims, source_dims, order))
    if isinstance(pixels, LazyPixels):
        most = min(most, math.prod(map(max, bands)))  # opening it found that memory has room for a band
    band, name = band_of(operation, dims, source_dims, order, most)
    along = dims.index(name), source_dims.index(name)
    return Derived(pixels, operation, band, tuple(dims.index(n) for n in order if n in dims), along)


def _cut(block: Shape, operation: Operation, most: int) -> Shape:
    """Return ``block`` of the result, halved along its longest side until its source has about ``most`` pixels."""
    piece = list(block)
    while math.prod(shape_of(operation.source(full(tuple(piece))))) > 2 * most and max(piece) > 1:
        longest = max(range(len(piece)), key=piece.__getitem__)
        piece[longest] = -(-piece[longest] // 2)
    return tuple(piece)


def _samples(shape: Shape, dims: Sequence[str], source_dims: Sequence[str], order: Sequence[str]) -> Shape:
    """Return how much of a line through some axes of an ordered source is made at once.

    Several samples; one if each sample has all of an axis that is faster than those the line runs through.
    """
    first = min(i for i, name in enumerate(order) if name not in dims)
    faster = [name for name in order[first:] if name in dims]
    samples = 1 if set(faster) - {"c"} else SAMPLES
    sizes = zip(dims, shape, strict=True)
    return tuple(n if name in faster else 1 if name in source_dims else samples for name, n in sizes)
