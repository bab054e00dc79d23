"""A pass over the cells of an image: the mask is read first, then the pixels it needs; each goes into its tally."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray

from bigimg.geometry.holes import holes_in
from bigimg.geometry.padding import is_padding
from bigimg.geometry.region import edges_of, pieces, rows, shift
from bigimg.lazy.blocks import explicit, multiplied
from bigimg.lazy.derived import Derived
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.leaves import Plain
from bigimg.lazy.node import Node
from bigimg.lazy.node_of_array import padding_of
from bigimg.lazy.pieces import region_at
from bigimg.lazy.pointwise import within
from bigimg.ops.derived import space_axes
from bigimg.ops.statistics.tallies import Tally
from bigimg.readers.arrays.array import missing_of
from bigimg.types import Array, Region, Shape

PIECE_BYTES = 1 << 20
"""Bytes that a pass reads at once of an opened source, unless a chunk has more: small enough for the cache of a core,
and large enough that finding the piece takes a tenth of the time of reading it."""
PAGE_BYTES = 1 << 12
"""The smallest part that a mask can leave unread, unless a chunk has more. No disk reads less, and to check the mask of
each run of 64 pixels would take a hundred times as long as reading them."""
COUNTED = 1 << 20
"""Pixels that are counted at once: counting takes several float64 for each, and a block may be as large as the budget
allows."""

type Lengths = tuple[tuple[int, ...], ...]
type Found = dict[tuple[int, ...], Tally]
"""Tallies by index along the kept axes; with labels their id is the last number of the index."""
type Make = Callable[..., Tally]
"""Makes an empty tally; gets the result of an earlier reduction, if there is one."""


@dataclass(frozen=True, eq=False)
class Pass:
    """A pass over an image: its pixels, mask and labels, and the tallies to make, cell by cell."""

    pixels: Node
    mask: OnGrid | None
    labels: OnGrid | None
    keep: tuple[int, ...]
    make: Make
    padding: tuple[Any, Any] | None
    missing: tuple[Region, ...]
    piece: Shape
    """Pixels that are read at once."""
    chunk: Shape
    """The smallest part that a mask can leave unread: what is decoded at once, or a page of pixels in memory."""

    @property
    def grids(self) -> list[OnGrid]:
        """The mask and the labels, if there are any."""
        return [grid for grid in (self.mask, self.labels) if grid is not None]

    @property
    def nodes(self) -> list[Node]:
        """The nodes that are read."""
        return [self.pixels, *self.grids]

    @property
    def in_order(self) -> bool:
        """Whether one task must read the cells one after another."""
        return any(node.in_order for node in self.nodes)

    @property
    def lengths(self) -> Lengths:
        """Lengths of the cells along each axis."""
        return explicit(self.piece, self.pixels.shape)

    def count(self, part: int, parts: int, shared: tuple[Any, ...]) -> Found:
        """Return the tallies of one of ``parts`` runs of cells."""
        edges = edges_of(self.lengths)
        counting = Counting(self.keep, partial(self.make, *shared), self.padding, self.missing)
        for index in self._indices(part, parts):
            region = region_at(index, edges)
            mask = None if self.mask is None else self.mask.read(within(region, self.mask.shape))
            if mask is None or mask.any():
                labels = None if self.labels is None else self.labels.read(within(region, self.labels.shape))
                self.count_cell(counting, region, mask, labels)
        return counting.found

    def count_cell(
        self, counting: Counting, region: Region, mask: Array | None, labels: Array | None,
        block: Array | None = None,
    ) -> None:  # fmt: skip
        """Count the pixels of ``region``; they are ``block``, or the parts that the mask needs are read."""
        if labels is not None:
            mask = labels != 0 if mask is None else mask & (labels != 0)
            if not mask.any():
                return
        start = tuple(s.start for s in region)
        for part in self._needed(region, mask) if block is None else [region]:
            values, inside = self.pixels.read(part) if block is None else block, shift(part, start)
            counting.add(values, part, cut_of(mask, inside), cut_of(labels, inside))

    def _indices(self, part: int, parts: int) -> Iterator[Shape]:
        """Yield the cells of a part of the pass, in the order of the source."""
        counts = tuple(map(len, self.lengths))
        order = next((node.order for node in self.nodes if node.order), tuple(range(len(counts))))
        total = math.prod(counts)
        for rank in range(total * part // parts, total * (part + 1) // parts):
            index = np.unravel_index(rank, [counts[axis] for axis in order])
            yield tuple(int(index[order.index(axis)]) for axis in range(len(counts)))

    def _needed(self, region: Region, mask: Array | None) -> Iterator[Region]:
        """Yield the parts of ``region`` to read, without the chunks in which the mask is nowhere true."""
        if mask is None or self.in_order:
            yield region
            return
        start = tuple(s.start for s in region)
        for _, piece in pieces(region, self.piece):
            chunks = [chunk for _, chunk in pieces(piece, self.chunk)]
            needed = [chunk for chunk in chunks if mask[within(shift(chunk, start), mask.shape)].any()]
            yield from [piece] if len(needed) == len(chunks) else needed


def pass_over(
    img: xarray.DataArray,
    pixels: Node,
    mask: OnGrid | None,
    labels: OnGrid | None,
    keep: tuple[int, ...],
    make: Make,
) -> Pass:
    """Return the pass over the pixels of ``img``, in pieces that suit them."""
    largest = tuple(map(max, img.chunks)) if img.chunks else pixels.shape
    itemsize, space = pixels.dtype.itemsize, space_axes(img)
    if pixels.order or isinstance(pixels, Derived):
        piece = chunk = largest
    elif isinstance(pixels, Plain) and pixels.in_memory:
        piece = chunk = rows(pixels.shape, max(1, PIECE_BYTES // itemsize))
    else:
        chunk_bytes = itemsize * math.prod(map(min, pixels.chunks, pixels.shape))
        # Not less than a chunk, or it would be decoded once for each piece; not more than the budget allows.
        most = min(itemsize * math.prod(largest), max(PIECE_BYTES, chunk_bytes))
        piece = multiplied(pixels.chunks, pixels.shape, space, max(1, most // itemsize))
        spared = multiplied(pixels.chunks, pixels.shape, space, max(PAGE_BYTES, chunk_bytes) // itemsize)
        chunk = tuple(map(min, spared, piece))
    missing = missing_of(img, list(map(str, img.dims)))
    return Pass(pixels, mask, labels, keep, make, padding_of(img), missing, piece, chunk)


class Counting:
    """Sorts pixels into tallies."""

    def __init__(
        self,
        keep: Sequence[int],
        make: Callable[[], Tally],
        padding: tuple[Any, Any] | None,
        missing: Sequence[Region] = (),
    ) -> None:
        self.keep, self.make, self.padding, self.missing = keep, make, padding, missing
        self.found: Found = {}

    def add(self, values: Array, region: Region, mask: Array | None, labels: Array | None) -> None:
        """Count the pixels ``values`` of ``region``, where ``mask`` is true, under each of ``labels``."""
        whole = tuple(slice(0, n) for n in values.shape)
        back = tuple(-s.start for s in region)
        for _, cut in pieces(whole, rows(values.shape, COUNTED)):
            self._add_piece(values[cut], shift(cut, back), cut_of(mask, cut), cut_of(labels, cut))

    def _add_piece(self, values: Array, region: Region, mask: Array | None, labels: Array | None) -> None:
        holes = holes_in(self.missing, region)
        kept = [range(n) if axis in self.keep else (None,) for axis, n in enumerate(values.shape)]
        for at in itertools.product(*kept):
            cut = tuple(slice(None) if i is None else slice(i, i + 1) for i in at)
            key = tuple(region[axis].start + at[axis] for axis in self.keep)
            chosen = values[cut]
            where = None if mask is None else _broadcast(mask, cut, chosen.shape)
            lost = 0
            if holes is not None:
                asked = holes[cut] if where is None else holes[cut] & where
                lost, where = int(asked.sum()), ~holes[cut] if where is None else where & ~asked
            if labels is not None:
                ids = _broadcast(labels, cut, chosen.shape)
                self._add_labels(key, chosen[where], ids[where])
                continue
            self._add(key, chosen if where is None or where.all() else chosen[where], lost)

    def _add(self, key: tuple[int, ...], values: Array, left_out: int = 0) -> None:
        if self.padding is not None:
            real = values[~is_padding(values, self.padding)]
            left_out, values = left_out + values.size - real.size, real
        if values.size or left_out:
            tally = self.found.get(key)
            if tally is None:
                tally = self.found[key] = self.make()
            tally.left_out += left_out
            tally.add(values)

    def _add_labels(self, key: tuple[int, ...], values: Array, ids: Array) -> None:
        order = np.argsort(ids, kind="stable")
        values, ids = values[order], ids[order]
        cuts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        for start, stop in itertools.pairwise([0, *cuts.tolist(), len(ids)]):
            if stop > start:
                self._add((*key, int(ids[start])), values[start:stop])


def _broadcast(values: Array, cut: Region, shape: Shape) -> Array:
    """Return the ``cut`` of an array that may have size 1 along some axes, as an array of ``shape``."""
    short = tuple(s if values.shape[axis] > 1 else slice(None) for axis, s in enumerate(cut))
    return np.broadcast_to(values[short], shape)


def cut_of(values: Array | None, region: Region) -> Array | None:
    """Return ``region`` of an array that may have size 1 along some axes."""
    return None if values is None else values[within(region, values.shape)]


def merged(parts: Array, make: Callable[[], Tally]) -> Found:
    """Return the tallies of all parts together; the parts do not change, because dask may use them again."""
    total: Found = {}
    for part in parts.flat:
        for key, tally in (part or {}).items():
            if key not in total:
                total[key] = make()
            total[key].merge(tally)
            total[key].left_out += tally.left_out
    return total
