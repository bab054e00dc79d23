"""Any count over pixels as a lazy reduction: some tasks that each drive a pass over their share of the blocks.

A task a block would cost more than the block, and a graph that grows with the image. Here a task takes a run of
blocks and reads them one after another in pieces that fit a core's cache, so there are ``PARTS`` tasks whatever
the image, memory is that of a piece a thread, and any dask scheduler runs them. A mask is read before the image,
and chunks in which nothing is chosen are not read. Where blocks are computed from what they share (a mean, new
chunks), dask runs its own graph with a task a block.

What a task gives is a tally for each index along the kept axes, and for each label where these are asked for.
"""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray
from dask.highlevelgraph import HighLevelGraph

from bigimg.geometry.region import pieces, shift
from bigimg.ops.aligning import OnGrid, mask_on, needed_region
from bigimg.ops.tallies import Tally
from bigimg.ops.values import PIECE_BYTES, Computed, Opened, Reads, Values, values_of
from bigimg.readers.labelled import opened_pixels
from bigimg.readers.lazy import explicit, scaled
from bigimg.types import Array, Region, Shape

PARTS = 32
"""Tasks of a reduction: several for each core of a workstation, so that a slow one does not keep all waiting."""

type Lengths = tuple[tuple[int, ...], ...]
type Found = dict[tuple[int, ...], Tally]
"""Tallies by index along the kept axes, with the label id at the end where labels are told apart."""
type Make = Callable[..., Tally]
"""Makes an empty tally; gets what the reduction is told by an earlier one, where there is such."""


def reduce_image(
    img: xarray.DataArray, by: Sequence[str], make: Make, *, where: Any = None, shared: Any = None
) -> Any:
    """Return a dask array of tallies over the axes ``by`` (in the order of the image's dims).

    Parameters
    ----------
    img : DataArray
    by : sequence of str
        Axes to keep.
    make : callable
        Makes an empty tally; can be pickled.
    where : mask, optional
        See :func:`bigimg.ops.aligning.mask_on`.
    shared : dask array of one object, optional
        Passed to ``make``, computed once and before any pixel is read.
    """
    sizes = tuple(img.sizes[name] for name in img.dims if name in by)
    graph, keys, below, shared_key = _reduced(img, by, make, where, None, shared)
    name = f"bigimg-counted-{uuid.uuid4().hex}"
    finish = partial(_as_array, make=make, sizes=sizes)
    graph[(name, *(0,) * len(sizes))] = (finish, keys, shared_key)
    layers = HighLevelGraph.from_collections(name, graph, below)
    meta = np.empty((0,) * len(sizes), object)
    return da.Array(layers, name, tuple((n,) for n in sizes), meta=meta)


def count_labels(
    img: xarray.DataArray, by: Sequence[str], make: Make, labels: OnGrid, *, where: Any = None
) -> Found:
    """Return a tally for each index along ``by`` and each label id but 0, computed now."""
    from dask.base import compute_as_if_collection

    graph, keys, below, _ = _reduced(img, by, make, where, labels, None)
    name = f"bigimg-labels-{uuid.uuid4().hex}"
    graph[name] = (partial(_merged, make=make), keys, None)
    layers = HighLevelGraph.from_collections(name, graph, below)
    found: Found = compute_as_if_collection(da.Array, layers, name)
    return found


def _reduced(
    img: xarray.DataArray, by: Sequence[str], make: Make, where: Any, ids: OnGrid | None, shared: Any
) -> tuple[dict[Any, Any], list[Any], list[Any], Any]:
    """Return tasks, the keys of all parts, what these depend on, and the key of ``shared``."""
    keep = tuple(i for i, name in enumerate(img.dims) if name in by)
    mask = None if where is None else mask_on(img, where)
    below = [] if shared is None else [shared]
    shared_key = None if shared is None else (shared.name, *(0,) * shared.ndim)
    values = values_of(img)
    lengths = None if values is None else _cells(values, [v for v in (mask, ids) if v is not None])
    if lengths is None:
        whole = _by_dask(img, keep, make, mask, ids, shared)
        return {}, [(whole.name,)], [whole, *below], shared_key
    assert values is not None
    task = Pass(values, mask, ids, keep, make, padding_of(img), lengths)
    parts = max(1, min(PARTS, math.prod(map(len, lengths)))) if not task.order else 1
    name = f"bigimg-pass-{uuid.uuid4().hex}"
    keys = [(name, number) for number in range(parts)]
    graph: dict[Any, Any] = {f"{name}-source": task}
    for number, key in enumerate(keys):
        graph[key] = (partial(_count, part=number, parts=parts), f"{name}-source", shared_key)
    return graph, keys, below, shared_key


def _count(task: Pass, shared: Any, *, part: int, parts: int) -> Found:
    return task.count(part, parts, _told(shared))


def _told(shared: Any) -> tuple[Any, ...]:
    """Return what ``make`` is called with."""
    return () if shared is None else (shared.item() if isinstance(shared, np.ndarray) else shared,)


def _merged(parts: Sequence[Any], shared: Any, *, make: Make) -> Found:
    """Return all parts together; none of them is changed, for dask may use it again."""
    told, total = _told(shared), {}
    for part in parts:
        found: Found = part.item()[1] if isinstance(part, np.ndarray) else part
        for key, tally in found.items():
            if key not in total:
                total[key] = make(*told)
            _put(total[key], tally)
    return total


def _as_array(parts: Sequence[Any], shared: Any, *, make: Make, sizes: Shape) -> Array:
    found, out = _merged(parts, shared, make=make), np.empty(sizes, object)
    for index in np.ndindex(sizes):
        out[index] = found[index] if index in found else make(*_told(shared))
    return out


# -------------------------------------------------------------------------------------------- a pass over blocks


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
    def order(self) -> tuple[int, ...]:
        """Axes from slowest to fastest where the source has an order of its own."""
        return self.values.order if isinstance(self.values, Opened) else ()

    def count(self, part: int, parts: int, told: tuple[Any, ...]) -> Found:
        """Return the tallies of one of ``parts`` runs of cells."""
        indices = list(self._indices(part, parts))
        starts = [np.concatenate([[0], np.cumsum(n)]).tolist() for n in self.lengths]
        image = self._blocks(self.values, None, indices)
        mask = None if self.mask is None else self._blocks(self.mask.values, self.mask, indices)
        ids = None if self.labels is None else self._blocks(self.labels.values, self.labels, indices)
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
                count.add(image(piece, index), piece, _cut(chosen, inside), _cut(label, inside))
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
        self, values: Values | None, grid: OnGrid | None, indices: list[Shape]
    ) -> Callable[[Region, Shape], Array]:
        """Return what gives the pixels of a region that lies in the cell of an index."""
        if isinstance(values, Computed):
            own = [_index_of(grid, index) for index in indices]
            reads: Reads = values.blocks(own)
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
        start = tuple(s.start for s in cell)
        for _, piece in pieces(cell, self.values.piece):
            if chosen is None:
                yield piece
            else:
                inside = _cut(chosen, shift(piece, start))
                assert inside is not None
                yield from needed_region(piece, self.values.chunk, inside)


class Counting:
    """Sorts pixels into tallies."""

    def __init__(
        self, keep: Sequence[int], make: Callable[[], Tally], padding: tuple[Any, Any] | None
    ) -> None:
        self.keep, self.make, self.padding = keep, make, padding
        self.found: Found = {}

    def add(self, values: Array, region: Region, mask: Array | None, labels: Array | None) -> None:
        """Count the pixels ``values`` of ``region``, where ``mask`` is true, under each of ``labels``."""
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


def _cut(values: Array | None, region: Region) -> Array | None:
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


def _cells(values: Values, others: Sequence[OnGrid]) -> Lengths | None:
    """Return the cells of a pass, the blocks of whatever is computed; None when these do not agree."""
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
        return explicit(_rows(values.shape, PIECE_BYTES // values.dtype.itemsize), values.shape)
    if isinstance(values, Opened) and values.in_order:
        return None  # its own bands come in their order; a mask in other blocks would go back and forth
    return tuple((n,) if own is None else own for own, n in zip(found, values.shape, strict=True))


def _rows(shape: Shape, most: int) -> Shape:
    """Return the shape of pieces of at most ``most`` pixels, cut along the slow axes."""
    piece = list(shape)
    for axis in range(len(piece)):
        if math.prod(piece) > most:
            piece[axis] = max(1, most // math.prod(piece[axis + 1 :]))
    return tuple(max(1, n) for n in piece)


# ------------------------------------------------------------------------------------------- dask's own reduction


def _by_dask(
    img: xarray.DataArray, keep: tuple[int, ...], make: Make, mask: OnGrid | None, ids: OnGrid | None, shared: Any
) -> Any:  # fmt: skip
    """Return a dask array of no axes that holds all tallies, made of a task a block."""
    data = img.data if img.chunks is not None else img.chunk().data
    if shared is not None:
        from dask.graph_manipulation import bind

        data = bind(data, shared)  # or dask would hold all blocks until the first reduction has ended
    grids = [grid.as_dask(data.chunks) for grid in (mask, ids) if grid is not None]
    extra = [] if shared is None else [shared.reshape((1,) * data.ndim)]
    starts = [np.cumsum([0, *lengths]).tolist() for lengths in data.chunks]
    counted = partial(
        _count_block, starts=starts, keep=keep, make=make, padding=padding_of(img),
        masked=mask is not None, labelled=ids is not None,
    )  # fmt: skip
    ones = tuple((1,) * len(lengths) for lengths in data.chunks)
    meta = np.empty((0,) * data.ndim, object)
    found = da.map_blocks(_Located(counted), data, *grids, *extra, chunks=ones, dtype=object, meta=meta)
    merge = _Merge(make)
    return da.reduction(found, chunk=merge, aggregate=merge, dtype=object, meta=np.empty((), object))


class _Located:
    """Calls a function with the index of the block, which dask passes only to those that name it."""

    def __init__(self, function: Callable[..., Array]) -> None:
        self.function = function

    def __call__(self, *blocks: Array, block_id: Shape) -> Array:
        return self.function(*blocks, block_id=block_id)


def _count_block(
    block: Array, *extra: Array, block_id: Shape, starts: Sequence[Sequence[int]], keep: tuple[int, ...],
    make: Make, padding: Any, masked: bool, labelled: bool,
) -> Array:  # fmt: skip
    rest = list(extra)
    mask = rest.pop(0) if masked else None
    labels = rest.pop(0) if labelled else None
    told = tuple(item.flat[0] for item in rest)
    if labels is not None:
        mask = labels != 0 if mask is None else mask & (labels != 0)
    count = Counting(keep, partial(make, *told), padding)
    region = tuple(slice(s[i], s[i] + n) for s, i, n in zip(starts, block_id, block.shape, strict=True))
    if mask is None or mask.any():
        count.add(block, region, mask, labels)
    out = np.empty((1,) * block.ndim, object)
    out.flat[0] = (told, count.found)
    return out


class _Merge:
    """Merges the tallies of blocks, as dask's reductions call it."""

    def __init__(self, make: Make) -> None:
        self.make = make

    def __call__(self, blocks: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        told = blocks.flat[0][0]
        whole: Found = {}
        for _, found in blocks.flat:
            for key, tally in found.items():
                if key not in whole:
                    whole[key] = self.make(*told)
                _put(whole[key], tally)
        out = np.empty((1,) * blocks.ndim if keepdims else (), object)
        out[...] = None
        out.flat[0] = (told, whole)
        return out


def _put(total: Tally, tally: Tally) -> None:
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


def one_object(function: Callable[..., Any], *arrays: Any) -> Any:
    """Return a dask array of no axes whose value is ``function`` of dask arrays of one block each."""
    name = f"bigimg-one-{uuid.uuid4().hex}"
    keys = [(array.name, *(0,) * array.ndim) for array in arrays]
    graph = HighLevelGraph.from_collections(name, {(name,): (partial(_boxed, function), *keys)}, arrays)
    return da.Array(graph, name, (), meta=np.empty((), object))


def _boxed(function: Callable[..., Any], *values: Any) -> Array:
    box = np.empty((), object)
    box[()] = function(*values)
    return box
