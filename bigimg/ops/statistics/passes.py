"""A pass over cells of an image: the mask first, then what is needed of the image, each pixel into its tally."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray

from bigimg.geometry.region import edges_of, pieces, rows, shift
from bigimg.lazy.blocks import explicit, multiplied
from bigimg.lazy.derived import Derived
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.leaves import Plain, scaled
from bigimg.lazy.link import opened_pixels
from bigimg.lazy.node import Node
from bigimg.lazy.pointwise import within
from bigimg.ops.aligning import needed_region
from bigimg.ops.statistics.tallies import Tally
from bigimg.types import Array, Region, Shape

PIECE_BYTES = 1 << 20
"""What a pass reads at once of an opened source, unless a chunk has more: small enough for the cache of a core,
large enough that finding the piece costs a tenth of reading it."""
PAGE_BYTES = 1 << 12
"""The least that a mask spares, unless a chunk has more: no disk reads less, and to look at the mask of each run of 64
plain pixels would cost a hundred times what reading them does."""
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

    pixels: Node
    mask: OnGrid | None
    labels: OnGrid | None
    keep: tuple[int, ...]
    make: Make
    padding: tuple[Any, Any] | None
    piece: Shape
    """What is read at once."""
    chunk: Shape
    """What a mask can spare: what is decoded at once, or a page of what is not."""

    @property
    def nodes(self) -> list[Node]:
        """What is read."""
        return [node for node in (self.pixels, self.mask, self.labels) if node is not None]

    @property
    def in_order(self) -> bool:
        """Whether the cells are to be gone through one after another, by one task."""
        return any(node.in_order for node in self.nodes)

    @property
    def lengths(self) -> Lengths:
        """Of the cells along each axis."""
        return explicit(self.piece, self.pixels.shape)

    def count(self, part: int, parts: int, told: tuple[Any, ...]) -> Found:
        """Return the tallies of one of ``parts`` runs of cells."""
        starts = edges_of(self.lengths)
        count = Counting(self.keep, partial(self.make, *told), self.padding)
        for index in self._indices(part, parts):
            region = tuple(slice(s[i], s[i + 1]) for s, i in zip(starts, index, strict=True))
            chosen = None if self.mask is None else self.mask.read(within(region, self.mask.shape))
            if chosen is not None and not chosen.any():
                continue
            label = None if self.labels is None else self.labels.read(within(region, self.labels.shape))
            if label is not None:
                chosen = label != 0 if chosen is None else chosen & (label != 0)
                if not chosen.any():
                    continue
            for piece in self.needed(region, chosen):
                inside = shift(piece, tuple(s.start for s in region))
                count.add(self.pixels.read(piece), piece, cut_of(chosen, inside), cut_of(label, inside))
        return count.found

    def _indices(self, part: int, parts: int) -> Iterator[Shape]:
        counts = tuple(map(len, self.lengths))
        order = next((node.order for node in self.nodes if node.order), tuple(range(len(counts))))
        total = math.prod(counts)
        for flat in range(total * part // parts, total * (part + 1) // parts):
            index = [0] * len(counts)
            for axis in reversed(order):
                flat, index[axis] = divmod(flat, counts[axis])
            yield tuple(index)

    def needed(self, region: Region, chosen: Array | None) -> Iterator[Region]:
        """Yield the parts of ``region`` to read, without the chunks in which nothing is chosen."""
        if chosen is None or self.in_order:
            yield region
            return
        start = tuple(s.start for s in region)
        for _, piece in pieces(region, self.piece):
            inside = cut_of(chosen, shift(piece, start))
            assert inside is not None
            yield from needed_region(piece, self.chunk, inside)


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
    itemsize, space = pixels.dtype.itemsize, [i for i, name in enumerate(img.dims) if name in ("z", "y", "x")]
    if pixels.order or isinstance(pixels, Derived):
        piece = chunk = largest
    elif isinstance(pixels, Plain) and pixels.in_memory:
        piece = chunk = rows(pixels.shape, max(1, PIECE_BYTES // itemsize))
    else:
        chunk_bytes = itemsize * math.prod(map(min, pixels.chunks, pixels.shape))
        # Never less than a chunk, or it would be decoded for each of its pieces, nor more than the budget gave.
        most = min(itemsize * math.prod(largest), max(PIECE_BYTES, chunk_bytes))
        piece = multiplied(pixels.chunks, pixels.shape, space, max(1, most // itemsize))
        spared = multiplied(pixels.chunks, pixels.shape, space, max(PAGE_BYTES, chunk_bytes) // itemsize)
        chunk = tuple(map(min, spared, piece))
    return Pass(pixels, mask, labels, keep, make, padding_of(img), piece, chunk)


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


def put_all(total: Found, found: Found, make: Callable[[], Tally]) -> None:
    """Add tallies to those of ``total``."""
    for key, tally in found.items():
        if key not in total:
            total[key] = make()
        total[key].merge(tally)
        total[key].left_out += tally.left_out


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
