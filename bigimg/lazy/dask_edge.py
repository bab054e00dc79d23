"""The lazy tree as dask arrays; the only file that makes a dask array of a node.

It calls public functions of dask only. A value that all blocks need is an argument of each block, so that a cluster
computes it once. If a source can or may only be read forwards, each block has one more argument: an item of a running
sum of zeros. dask begins blocks in an order that suits its graph (measured with 2026.8: band 9, 8, ... 2, 11, 10, 1,
0), but it computes a running sum from first to last. The sum takes three small tasks for each block, and a block near
the end does not make dask read the blocks before it.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array

from bigimg.geometry.region import edges_of, shape_of
from bigimg.lazy.dask_compute import Task, boxed, one_object
from bigimg.lazy.declared import declared, padding_of_meta
from bigimg.lazy.foreign import Foreign, over_dask
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.node import Node, token_of
from bigimg.lazy.pieces import AHEAD, PATIENCE, InTurn
from bigimg.lazy.pointwise import Pointwise, Stack
from bigimg.lazy.values import Value
from bigimg.types import Array, Padding, Region, Shape

type Chunks = tuple[Shape, ...]

MOST_LINKS = 1 << 10
"""Sums that follow one another, for dask to keep blocks in order."""
MOST_RANKED = 1 << 12
"""Blocks over a dask array, whose source may have an order, that are put in order at most: it takes three tasks a
block."""


def as_dask(node: Node, chunks: Chunks) -> Any:
    """Return ``node`` as a dask array in blocks of ``chunks``; its name is the same each time."""
    foreign = over_dask(node)
    if foreign and (found := _in_dask(node, chunks)) is not None:
        return found
    name = f"{node.prefix}-{token_of(node.token, chunks)}"
    meta = declared(np.empty((0,) * node.ndim, node.dtype), node.padding)
    values, blocks = node.values, math.prod(map(len, chunks))
    ranked = bool(node.order) or (foreign and blocks <= MOST_RANKED)
    if not values and not ranked:
        # Without fancy=False: with it dask 2026.8 does not merge a slice into the read of a block.
        return da.from_array(node, chunks, name=name, asarray=False, meta=meta)
    regions = da.from_array(
        _Regions(node.shape), chunks, name=f"{name}-regions", asarray=False, meta=np.empty(meta.shape, object)
    )
    links = _Links(tuple(map(len, chunks)), node.order or range(node.ndim)) if ranked else None
    ranks = links and _ranks(links, f"{name}-links")
    extra = [value.array for value in values] + ([] if ranks is None else [ranks])
    if foreign:
        extra = [
            da.stack([one_object(_Use)]),
            *extra,
        ]  # a stack is not merged into each block, as the object would be
    make = _MakeBlock(node, values, edges_of(chunks), links, foreign=foreign)
    return da.map_blocks(make, regions, *extra, name=name, chunks=chunks, dtype=node.dtype, meta=meta)


def padding_in(array: Any) -> Padding | None:
    """Return the padding of the source of a dask array, if nothing was done but to move its pixels."""
    return padding_of_meta(meta_from_array(array))


def _in_dask(node: Node, chunks: Chunks) -> Any:
    """Return a node over a dask array as part of dask's graph, if it is made pixel by pixel; else None.

    So a value that several blocks of that array share, as a mean, is computed once.
    """
    if isinstance(node, Foreign):
        return node.array.rechunk(chunks)
    if isinstance(node, OnGrid) and not node.is_mapped:
        theirs = tuple(lengths for lengths, axis in zip(chunks, node.axes, strict=True) if axis is not None)
        # Not by map_blocks with new axes: dask 2026.8 cannot merge these into blocks of several channels.
        return node.with_all_axes(as_dask(node.pixels, theirs))
    if isinstance(node, Stack):
        theirs = (*chunks[: node.axis], *chunks[node.axis + 1 :])
        return da.stack([as_dask(source, theirs) for source in node.sources], node.axis)
    if not isinstance(node, Pointwise):
        return None
    name, meta = f"{node.prefix}-{token_of(node.token, chunks)}", np.empty((0,) * node.ndim, node.dtype)
    regions = da.from_array(_Regions(node.shape), chunks, name=f"{name}-regions", asarray=False, meta=meta)
    sources = [as_dask(source, fitted(chunks, source.shape)) for source in node.sources]
    values = [value.array for value in node.own_values]
    make = Task(partial(_of_blocks, function=node.function, count=len(sources)))
    return da.map_blocks(
        make, regions, *sources, *values, name=name, chunks=chunks, dtype=node.dtype, meta=meta
    )


def _of_blocks(region: Array, *extra: Array, function: Any, count: int) -> Array:
    found: Array = function(extra[:count], region.item(), [value.item() for value in extra[count:]])
    return found


def fitted(chunks: Chunks, shape: Shape) -> Chunks:
    """Return ``chunks`` for an array of ``shape``, which may be of size 1 along some axes."""
    return tuple(lengths if n > 1 else (1,) for lengths, n in zip(chunks, shape, strict=True))


class _Regions:
    """An array each of whose blocks holds its own region."""

    dtype = np.dtype(object)

    def __init__(self, shape: Shape) -> None:
        self.shape, self.ndim = shape, len(shape)

    def __dask_tokenize__(self) -> tuple[str, Shape]:
        return "bigimg-regions", self.shape

    def __getitem__(self, key: Any) -> Array:
        return boxed(key, self.ndim)


class _Links:
    """Zeros that dask adds up, one for each block; a zero far ahead of the blocks that were begun comes a little later.

    A thread of dask that has nothing else to do makes all zeros. If another thread is slow at that moment, dask has
    the whole sum before it begins the second block, and begins the last block next.
    """

    dtype = np.dtype(np.int8)

    def __init__(self, counts: Shape, order: Sequence[int]) -> None:
        self.counts, self.order = counts, tuple(order)
        self.cut = [axis for axis in order if counts[axis] > 1]
        # If only one axis is cut, there are fewer tasks between two blocks, and their order is more certain.
        along = self.cut[0] if len(self.cut) == 1 else None
        self.shape = (math.prod(counts),) if along is None else counts
        self.axis, self.ndim = along or 0, len(self.shape)
        self._begun = 0.0
        self._moved = threading.Condition()

    def begin(self, index: Shape) -> None:
        """Note that the block at ``index`` is begun."""
        order = list(self.order)
        with self._moved:
            self._begun = 1 + int(np.ravel_multi_index(np.take(index, order), np.take(self.counts, order)))
            self._moved.notify_all()

    def __getitem__(self, key: Any) -> Array:
        first = key[self.axis].start
        with self._moved:
            if not first:
                self._begun = 0
            if not self._moved.wait_for(lambda: first < self._begun + AHEAD, PATIENCE):
                self._begun = math.inf  # none of the blocks before is wanted: the other zeros need not wait
        return np.zeros(shape_of(key), np.int8)

    def __reduce__(self) -> Any:
        return _Links, (self.counts, self.order)


class _Use:
    """An object that dask makes for one computation and lets go when no block needs it any more."""

    node: Node | None = None

    def ends_with(self, node: Node) -> None:
        """Let ``node`` drop what it keeps when this computation has ended."""
        if self.node is not node:
            self.node = node
            weakref.finalize(self, node.drop)

    def __reduce__(self) -> Any:
        return _Use, ()


class _MakeBlock:
    """Makes a block of a node from its region and from the values that all blocks need."""

    def __init__(
        self, node: Node, values: list[Value], edges: list[list[int]], links: _Links | None, *, foreign: bool
    ) -> None:
        self.node, self.values, self.edges = node, values, edges
        self.links, self.foreign = links, foreign
        self.turns = InTurn(node.__getitem__, edges, node.order) if node.order else None

    def __dask_tokenize__(self) -> str:
        return token_of(self.node.token, self.edges)

    def __call__(self, region: Array, *extra: Array) -> Array:
        part: Region = region.item()
        index = tuple(ends.index(s.start) for ends, s in zip(self.edges, part, strict=True))
        if self.foreign:
            extra[0].item().ends_with(self.node)
            extra = extra[1:]
        for value, found in zip(self.values, extra, strict=False):
            value.set(found.item())
        if self.links is not None:
            self.links.begin(index)
        if self.turns is None:
            self.node.find_order()
            return self.node[part]
        return self.turns.get(index)


def _ranks(links: _Links, name: str) -> Any:
    """Return a dask array of zeros, one for each block; dask computes each after the blocks before it.

    None if dask has no running sums: its array expressions have none yet, and read in an order of their own.

    dask.order notes from which first tasks each task comes, so a chain of n sums costs n * n: 75 MB for 1,800 and 5 GB
    for 16,000. Beyond ``MOST_LINKS`` neighbours share a link, and a source keeps what it passes over among them.
    """
    counts, cut, axis = links.counts, links.cut, links.axis
    if not cut:
        return None
    step = -(-links.shape[axis] // MOST_LINKS)
    chunks = tuple(step if i == axis else 1 for i in range(links.ndim))
    zeros = da.from_array(links, chunks, name=name, asarray=False, meta=np.empty((0,) * links.ndim, np.int8))
    try:
        row = da.cumsum(zeros, axis=axis)
    except NotImplementedError:  # dask's array expressions have no running sums yet
        return None
    row = row if step == 1 else row.rechunk({axis: 1})
    if len(cut) == 1:
        return row
    found = _folded(row, [counts[i] for i in cut])
    found = found.transpose([cut.index(i) for i in sorted(cut)])
    return found[tuple(slice(None) if i in cut else None for i in range(len(counts)))]


def _folded(row: Any, counts: Sequence[int]) -> Any:
    if len(counts) == 1:
        return row
    each = math.prod(counts[1:])
    return da.stack([_folded(row[i * each : (i + 1) * each], counts[1:]) for i in range(counts[0])])
