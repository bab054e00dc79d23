"""Where the lazy tree meets dask: a node as a dask array, and blocks of a dask array as pixels.

The one file that makes dask arrays of nodes, through dask's public functions alone. What all blocks need enters as an
argument, so that a cluster computes it once. Where a source goes forward only, or may, each block has one more
argument: its place in a running sum of zeros. dask begins blocks in whatever order suits its graph (measured with
2026.8: band 9, 8, ... 2, 11, 10, 1, 0), and follows that sum; it costs nothing, and a block near the end does not have
those before it read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np

from bigimg.geometry.region import edges_of
from bigimg.lazy.dask_compute import Task, boxed
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.node import Node, token_of
from bigimg.lazy.pieces import InTurn
from bigimg.lazy.pointwise import Pointwise, Stack
from bigimg.lazy.values import Value
from bigimg.types import Array, Region, Shape

type Chunks = tuple[Shape, ...]

MOST_PLACES = 1 << 12
"""Blocks above what dask computes, which may go forward only, that are put in order: it takes three tasks a block."""


def as_dask(node: Node, chunks: Chunks) -> Any:
    """Return ``node`` as a dask array in blocks of ``chunks``, of one name whenever it is asked for."""
    foreign = any(isinstance(leaf, Foreign) for leaf in node.leaves())
    if foreign and (found := _in_its_graph(node, chunks)) is not None:
        return found
    name = f"{node.called}-{token_of(node.token, chunks)}"
    meta = np.empty((0,) * node.ndim, node.dtype)
    values, blocks = node.values, math.prod(map(len, chunks))
    forwards = bool(node.order) or (foreign and blocks <= MOST_PLACES)
    if not values and not forwards:
        # Not fancy=False: dask 2026.8 merges a slice into the read of a block only without it.
        return da.from_array(node, chunks, name=name, asarray=False, meta=meta)
    regions = da.from_array(
        _Regions(node.shape), chunks, name=f"{name}-regions", asarray=False, meta=np.empty(meta.shape, object)
    )
    places = _places(chunks, node.order) if forwards else None
    making = _Making(node, values, edges_of(chunks))
    extra = [value.array for value in values] + ([] if places is None else [places])
    return da.map_blocks(making, regions, *extra, name=name, chunks=chunks, dtype=node.dtype, meta=meta)


def _in_its_graph(node: Node, chunks: Chunks) -> Any:
    """Return what is made pixel by pixel of blocks that dask computes, in dask's own graph of them; None for others.

    So what several of these blocks share, as a mean, is computed once.
    """
    if isinstance(node, Foreign):
        return node.array.rechunk(chunks)
    if isinstance(node, OnGrid) and not node.is_mapped:
        own = tuple(lengths for lengths, axis in zip(chunks, node.axes, strict=True) if axis is not None)
        data = as_dask(node.pixels, own)
        return da.map_blocks(
            Task(node.spread), data, new_axis=[i for i, axis in enumerate(node.axes) if axis is None], chunks=chunks,
            dtype=node.dtype, meta=np.empty((0,) * node.ndim, node.dtype),
        )  # fmt: skip
    if isinstance(node, Stack):
        own = (*chunks[: node.axis], *chunks[node.axis + 1 :])
        return da.stack([as_dask(source, own) for source in node.sources], node.axis)
    if not isinstance(node, Pointwise):
        return None
    name, meta = f"{node.called}-{token_of(node.token, chunks)}", np.empty((0,) * node.ndim, node.dtype)
    regions = da.from_array(_Regions(node.shape), chunks, name=f"{name}-regions", asarray=False, meta=meta)
    sources = [as_dask(source, fitted(chunks, source.shape)) for source in node.sources]
    values = [value.array for value in node.own_values]
    made = Task(partial(_of_blocks, function=node.function, count=len(sources)))
    return da.map_blocks(
        made, regions, *sources, *values, name=name, chunks=chunks, dtype=node.dtype, meta=meta
    )


def _of_blocks(region: Array, *extra: Array, function: Any, count: int) -> Array:
    found: Array = function(extra[:count], region.item(), [value.item() for value in extra[count:]])
    return found


def fitted(chunks: Chunks, shape: Shape) -> Chunks:
    """Return ``chunks`` for an array of ``shape``, which may be of size 1 along some axes."""
    return tuple(own if n > 1 else (1,) for own, n in zip(chunks, shape, strict=True))


class _Regions:
    """An array whose blocks say where they lie."""

    dtype = np.dtype(object)

    def __init__(self, shape: Shape) -> None:
        self.shape, self.ndim = shape, len(shape)

    def __dask_tokenize__(self) -> tuple[str, Shape]:
        return "bigimg-regions", self.shape

    def __getitem__(self, key: Any) -> Array:
        return boxed(key, self.ndim)


class _Making:
    """Makes a block of a node from its region and what all blocks need."""

    def __init__(self, node: Node, values: list[Value], edges: list[list[int]]) -> None:
        self.node, self.values, self.edges = node, values, edges
        self.turns = InTurn(node.__getitem__, edges, node.order) if node.order else None

    def __dask_tokenize__(self) -> str:
        return token_of(self.node.token, self.edges)

    def __call__(self, region: Array, *extra: Array) -> Array:
        where: Region = region.item()
        for value, found in zip(self.values, extra, strict=False):
            value.tell(found.item())
        if self.turns is None:
            self.node.look()
            return self.node[where]
        return self.turns.get(tuple(own.index(s.start) for own, s in zip(self.edges, where, strict=True)))


def _places(chunks: Chunks, order: Sequence[int]) -> Any:
    """Return a dask array of zeros, one a block, each of which dask computes after those before it in ``order``.

    None where dask has no running sums: its array expressions have none yet, and take their own order.
    """
    counts = tuple(map(len, chunks))
    cut = [axis for axis in order or range(len(counts)) if counts[axis] > 1]
    if not cut:
        return None
    try:
        if len(cut) == 1:  # the fewer tasks stand between two blocks, the surer their order
            ones = [n if axis in cut else 1 for axis, n in enumerate(counts)]
            return da.cumsum(da.zeros(ones, chunks=1, dtype=np.int8), axis=cut[0])
        row = da.cumsum(da.zeros(math.prod(counts), chunks=1, dtype=np.int8), axis=0)
    except NotImplementedError:
        return None
    found = _folded(row, [counts[axis] for axis in cut])
    found = found.transpose([cut.index(axis) for axis in sorted(cut)])
    return found[tuple(slice(None) if axis in cut else None for axis in range(len(counts)))]


def _folded(row: Any, counts: Sequence[int]) -> Any:
    if len(counts) == 1:
        return row
    each = math.prod(counts[1:])
    return da.stack([_folded(row[i * each : (i + 1) * each], counts[1:]) for i in range(counts[0])])
