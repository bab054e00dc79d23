"""A pass over cells of an image: the mask first, then what is needed of the image, each pixel into its tally."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray

from bigimg.geometry.region import edges_of, pieces, rows, shift
from bigimg.opening.labelled import opened_pixels
from bigimg.ops.aligning import OnGrid, needed_region
from bigimg.ops.statistics.tallies import Tally
from bigimg.ops.values import PIECE_BYTES, Computed, InMemory, Opened, Reads, Values
from bigimg.readers.lazy import explicit, scaled
from bigimg.types import Array, Region, Shape

COUNTED = 1 << 20
"""Pixels that are counted at once: it takes some float64 a pixel beside a block, which may be as large as the budget
allows."""

type Lengths = tuple[tuple[int, ...], ...]
type Found = dict[tuple[int, ...], Tally]
"""Tallies by index along the kept axes, with the label id at the end where labels are told apart."""
type Make = Callable[..., Tally]
"""Makes an empty tally; gets what the reduction is told by an earlier one, where there is such."""


@dataclass(frozen=True, eq=False)
class Pass:
    """What is counted of which pixels, in cells that are gone through one after another."""

    values: Values
    mask: OnGrid | None
    labels: OnGrid | None
    keep: tuple[int, ...]
    make: Make
    padding: tuple[Any, Any] | None
    lengths: Lengths
    """Of the cells along each axis."""

    @property
    def in_order(self) -> bool:
        """Whether the cells are to be gone through one after another, by one task."""
        grids = [grid.values for grid in (self.mask, self.labels) if grid is not None]
        return any(isinstance(v, Opened | Computed) and v.in_order for v in (self.values, *grids))

    @property
    def order(self) -> tuple[int, ...]:
        """Axes from slowest to fastest where the source has an order of its own."""
        return self.values.order if isinstance(self.values, Opened) else ()

    @property
    def needs(self) -> dict[str, Any]:
        """Dask arrays that are to be computed before, by name."""
        grids = [grid.values for grid in (self.mask, self.labels) if grid is not None]
        computed = [values for values in (self.values, *grids) if isinstance(values, Computed)]
        return {name: array for values in computed for name, array in values.needs.items()}

    def count(self, part: int, parts: int, told: tuple[Any, ...], known: Mapping[str, Any]) -> Found:
        """Return the tallies of one of ``parts`` runs of cells; ``known`` are the values of what it needs."""
        indices = list(self._indices(part, parts))
        starts = edges_of(self.lengths)
        image = self._blocks(self.values, None, indices, known)
        mask = None if self.mask is None else self._blocks(self.mask.values, self.mask, indices, known)
        ids = None if self.labels is None else self._blocks(self.labels.values, self.labels, indices, known)
        count = Counting(self.keep, partial(self.make, *told), self.padding)
        for index in indices:
            region = tuple(slice(s[i], s[i + 1]) for s, i in zip(starts, index, strict=True))
            chosen = None if mask is None else mask(region, index)
            if chosen is not None and not chosen.any():
                continue
            label = None if ids is None else ids(region, index)
            if label is not None:
                chosen = label != 0 if chosen is None else chosen & (label != 0)
                if not chosen.any():
                    continue
            for piece in self._read(region, chosen):
                inside = shift(piece, tuple(s.start for s in region))
                count.add(image(piece, index), piece, cut_of(chosen, inside), cut_of(label, inside))
        return count.found

    def _indices(self, part: int, parts: int) -> Iterator[Shape]:
        counts = tuple(map(len, self.lengths))
        order = self.order or tuple(range(len(counts)))
        total = math.prod(counts)
        for flat in range(total * part // parts, total * (part + 1) // parts):
            index = [0] * len(counts)
            for axis in reversed(order):
                flat, index[axis] = divmod(flat, counts[axis])
            yield tuple(index)

    def _blocks(
        self, values: Values | None, grid: OnGrid | None, indices: list[Shape], known: Mapping[str, Any]
    ) -> Callable[[Region, Shape], Array]:
        """Return what gives the pixels of a region that lies in the cell of an index."""
        if isinstance(values, Computed):
            own = [_index_of(grid, index) for index in indices]
            reads: Reads = values.blocks(own, known)
            if grid is None:
                return lambda region, index: reads(index)
            return lambda region, index: grid.spread(reads(_index_of(grid, index)))
        assert values is not None
        read = values.read if grid is None else grid.read
        return lambda region, index: read(region)

    def _read(self, cell: Region, chosen: Array | None) -> Iterator[Region]:
        """Yield the regions of a cell to read, without those of the source's chunks where nothing is chosen."""
        if not isinstance(self.values, Opened):
            yield cell
            return
        if chosen is None:
            yield from (piece for _, piece in pieces(cell, self.values.piece))
        else:
            yield from needed(self.values, cell, chosen)


def needed(source: Opened, region: Region, chosen: Array) -> Iterator[Region]:
    """Yield the parts of ``region`` to read, without the chunks of ``source`` where nothing is chosen."""
    start = tuple(s.start for s in region)
    for _, piece in pieces(region, source.piece):
        inside = cut_of(chosen, shift(piece, start))
        assert inside is not None
        yield from needed_region(piece, source.chunk, inside)


class Counting:
    """Sorts pixels into tallies."""

    def __init__(
        self, keep: Sequence[int], make: Callable[[], Tally], padding: tuple[Any, Any] | None
    ) -> None:
        self.keep, self.make, self.padding = keep, make, padding
        self.found: Found = {}

    def add(self, values: Array, region: Region, mask: Array | None, labels: Array | None) -> None:
        """Count the pixels ``values`` of ``region``, where ``mask`` is true, under each of ``labels``."""
        whole = tuple(slice(0, n) for n in values.shape)
        back = tuple(-s.start for s in region)
        for _, cut in pieces(whole, rows(values.shape, COUNTED)):
            self._add_piece(values[cut], shift(cut, back), cut_of(mask, cut), cut_of(labels, cut))

    def _add_piece(self, values: Array, region: Region, mask: Array | None, labels: Array | None) -> None:
        kept = [range(n) if axis in self.keep else (None,) for axis, n in enumerate(values.shape)]
        for at in itertools.product(*kept):
            cut = tuple(slice(None) if i is None else slice(i, i + 1) for i in at)
            key = tuple(region[axis].start + at[axis] for axis in self.keep)
            chosen = values[cut]
            where = None if mask is None else _spread(mask, cut, chosen.shape)
            if labels is not None:
                ids = _spread(labels, cut, chosen.shape)
                self._add_labels(key, chosen[where], ids[where])
                continue
            self._add(key, chosen if where is None or where.all() else chosen[where])

    def _add(self, key: tuple[int, ...], values: Array) -> None:
        left_out = 0
        if self.padding is not None:
            real = values[(values < self.padding[0]) | (values > self.padding[1])]
            left_out, values = values.size - real.size, real
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


def _spread(values: Array, cut: Region, shape: Shape) -> Array:
    """Return the ``cut`` of what may be of size 1 along some axes, as an array of ``shape``."""
    short = tuple(s if values.shape[axis] > 1 else slice(None) for axis, s in enumerate(cut))
    return np.broadcast_to(values[short], shape)


def cut_of(values: Array | None, region: Region) -> Array | None:
    """Return ``region`` of what may be of size 1 along some axes."""
    if values is None:
        return None
    return values[tuple(s if n > 1 else slice(0, 1) for s, n in zip(region, values.shape, strict=True))]


def _index_of(grid: OnGrid | None, index: Shape) -> Shape:
    """Return the index of a block of a mask, which may have fewer axes than the image."""
    if grid is None:
        return index
    own = [(axis, i) for axis, i in zip(grid.axes, index, strict=True) if axis is not None]
    return tuple(i for _, i in sorted(own))


def cells_of(values: Values, others: Sequence[OnGrid]) -> Lengths | None:
    """Return the cells of a pass, the blocks of whatever is computed; None when these do not agree."""
    sources = [values, *(grid.values for grid in others)]
    if sum(not isinstance(s, InMemory) and s is not None and s.in_order for s in sources) > 1:
        return None  # two readings of one ordered source would take turns in going back
    found: list[tuple[int, ...] | None] = [None] * len(values.shape)
    if isinstance(values, Computed):
        found = list(values.chunks)
    for grid in others:
        if grid.values is None or (isinstance(grid.values, Computed) and grid.is_mapped):
            return None
        if isinstance(grid.values, Computed):
            for i, axis in enumerate(grid.axes):
                own = None if axis is None else grid.values.chunks[axis]
                if own is not None and found[i] not in (None, own):
                    return None
                found[i] = found[i] if own is None else own
    if all(lengths is None for lengths in found):
        if isinstance(values, Opened):
            return explicit(values.piece, values.shape)
        return explicit(rows(values.shape, PIECE_BYTES // values.dtype.itemsize), values.shape)
    if isinstance(values, Opened) and values.in_order:
        return None  # its own bands come in their order; a mask in other blocks would go back and forth
    return tuple((n,) if own is None else own for own, n in zip(found, values.shape, strict=True))


def put(total: Tally, tally: Tally) -> None:
    """Add ``tally`` to ``total``, with what was left out."""
    total.merge(tally)
    total.left_out += tally.left_out


def padding_of(img: xarray.DataArray) -> tuple[Any, Any] | None:
    """Return the values that are no measurement, of an image that is the whole of what was opened.

    Of anything else, values may have been changed, and what was padding may be none.
    """
    pixels = opened_pixels(img)
    if pixels is None or (padding := pixels.reader.spec.padding) is None:
        return None
    if pixels.scaling is None:
        return padding
    ends = sorted(scaled(np.array(padding), pixels.scaling, img.dtype).tolist())
    return ends[0], ends[1]
