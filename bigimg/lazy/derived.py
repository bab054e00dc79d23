"""Nodes that an operation makes of another one: regions of the result from regions of the source.

An operation says which region of its source a region of its result is made of, and makes it. Of a source that is read
in one order the result is made in that order, band by band (:mod:`bigimg.lazy.bands`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from bigimg.geometry.region import full, pieces, shape_of, shift
from bigimg.lazy.bands import Rolling, band_of
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node import Node, token_of
from bigimg.lazy.operation import Operation
from bigimg.lazy.pieces import Pieced
from bigimg.pyramid.kernels import SCRATCH_BYTES
from bigimg.types import Array, Region, Shape

PIECE_BYTES = 8 << 20
"""Source pixels behind a block at most, unless one chunk has more: sums beside them take as much again, and
larger blocks are no faster."""
SAMPLES = 64
"""On a line through an ordered source, made at once: the box around them is in few bands."""


class Derived(Node):
    """The result of an operation as an array: shape, dtype, and ``[...]`` that computes that region and no more."""

    def __init__(self, pixels: Node, operation: Operation, piece: Shape) -> None:
        self.pixels, self.sources = pixels, (pixels,)
        self.called = f"bigimg-{type(operation).__name__.lower()}"
        self.operation = operation
        self.shape = operation.shape
        self.dtype = np.dtype(operation.dtype)
        self.copies = getattr(operation, "copies", False)
        self.piece = self.shape if self.copies else piece
        """Of the result, made at once."""

    @property
    def chunks(self) -> Shape:
        """What the source decodes at once, as far as it makes a part of the result."""
        theirs = self.pixels.chunks
        if len(theirs) != self.ndim:
            return self.piece
        scaled = (max(1, c * n // m) for c, n, m in zip(theirs, self.shape, self.pixels.shape, strict=True))
        return tuple(scaled)

    @property
    def read_bytes(self) -> int:
        """Memory one call uses beside its result: a region of the source, and what its sums take."""
        if self.copies:
            return self.pixels.read_bytes
        source = shape_of(self.operation.source(full(tuple(map(min, self.piece, self.shape)))))
        value = np.dtype(self.pixels.dtype).itemsize + self.operation.extra_bytes
        return int(math.prod(source) * value) + SCRATCH_BYTES + self.pixels.read_bytes

    @property
    def token(self) -> str:
        """Of the source and the operation."""
        return token_of(self.pixels.token, self.operation, self.piece)

    def read(self, region: Region) -> Array:
        """Return ``region`` of the result, piece by piece."""
        if all(n <= m for n, m in zip(shape_of(region), self.piece, strict=True)):
            return self._made(region)
        out = np.empty(shape_of(region), self.dtype)
        origin = tuple(s.start for s in region)
        for part in self._pieces(region):
            out[shift(part, origin)] = self._made(part)
        return out

    def _pieces(self, region: Region) -> Iterator[Region]:
        return (part for _, part in pieces(region, self.piece))

    def _made(self, region: Region) -> Array:
        source = self.operation.source(region)
        return self.operation.make(self._read(source, region), source, region)

    def _read(self, source: Region, region: Region) -> Array:
        """Return the pixels of ``source``, which ``region`` is made of."""
        return self.pixels.read(source)


class InOrder(Derived):
    """The same of a source that is read in one order alone: each of its pixels once, while regions come in order.

    Parameters
    ----------
    pixels : Node
    operation : Operation
    band : tuple of int
        Of the result, made at once.
    order : tuple of int
        Axes of the result from slowest to fastest.
    along : tuple of int
        Axis of the result along which bands follow one another, and that of the source.
    """

    def __init__(
        self, pixels: Node, operation: Operation, band: Shape, order: tuple[int, ...], along: tuple[int, int]
    ) -> None:
        super().__init__(pixels, operation, band)
        self.piece, self.order = band, order
        self._source = Rolling(pixels, operation, *along)

    def _pieces(self, region: Region) -> Iterator[Region]:
        found = sorted(pieces(region, self.piece), key=lambda found: [found[0][axis] for axis in self.order])
        return (part for _, part in found)

    def _read(self, source: Region, region: Region) -> Array:
        return self._source.read(source, region)


class Crossing(Derived):
    """Samples on a way through a source that is read in one order: made in that order, whichever way they run.

    Parameters
    ----------
    pixels : Node
    operation : Operation
    piece : tuple of int
    source_order : tuple of int
        Axes of the source from slowest to fastest.
    """

    def __init__(
        self, pixels: Node, operation: Operation, piece: Shape, source_order: tuple[int, ...]
    ) -> None:
        super().__init__(pixels, operation, piece)
        self.source_order = source_order

    def _pieces(self, region: Region) -> Iterator[Region]:
        def place(part: Region) -> list[int]:
            source = self.operation.source(part)
            return [source[axis].start for axis in self.source_order]

        return iter(sorted(super()._pieces(region), key=place))


def derived(
    pixels: Node,
    operation: Operation,
    chunks: Sequence[Shape],
    dims: Sequence[str],
    own: Sequence[str],
    cut: Sequence[Shape],
) -> Derived:
    """Return the result of ``operation`` on ``pixels``: in the order of an ordered source, else in any.

    Parameters
    ----------
    chunks : sequence of tuple of int
        Of the result, where any order will do.
    dims, own : sequence of str
        Axes of the source and of the result.
    cut : sequence of tuple of int
        How the source is cut into bands, where it has an order.
    """
    if not pixels.order or not own:
        block = tuple(map(max, chunks))
        return Derived(pixels, operation, _cut(block, operation, PIECE_BYTES // pixels.dtype.itemsize))
    order, band = [dims[axis] for axis in pixels.order], tuple(map(max, cut))
    if not set(own) <= set(dims):
        bands = pixels if isinstance(pixels, Pieced) else Pieced(pixels, cut)
        return _crossing(bands, operation, own, dims, order)
    most = PIECE_BYTES // pixels.dtype.itemsize
    if isinstance(pixels, LazyPixels):
        most = min(most, math.prod(band))  # what opening it found that memory has room for
    piece, along = band_of(operation, own, dims, order, most)
    axis = own.index(along), dims.index(along)
    return InOrder(pixels, operation, piece, tuple(own.index(n) for n in order if n in own), axis)


def _cut(block: Shape, operation: Operation, most: int) -> Shape:
    """Return ``block`` of the result cut along its longest side until what it is made of has about ``most`` pixels."""
    piece = list(block)
    while math.prod(shape_of(operation.source(full(tuple(piece))))) > 2 * most and max(piece) > 1:
        longest = max(range(len(piece)), key=piece.__getitem__)
        piece[longest] = -(-piece[longest] // 2)
    return tuple(piece)


def _crossing(
    pixels: Pieced, operation: Operation, own: Sequence[str], dims: Sequence[str], order: Sequence[str]
) -> Crossing:
    """Return samples that a line through some axes has: some at a time, or one where each leaves faster ones whole."""
    first = min(place for place, name in enumerate(order) if name not in own)
    faster = [name for name in order[first:] if name in own]
    samples = 1 if set(faster) - {"c"} else SAMPLES
    sizes = dict(zip(own, operation.shape, strict=True))
    piece = [sizes[name] if name in faster else 1 if name in dims else samples for name in own]
    return Crossing(pixels, operation, tuple(piece), tuple(map(dims.index, order)))
