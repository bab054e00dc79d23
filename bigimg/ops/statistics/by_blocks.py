"""Counting by dask's own graph, a task a block: for blocks that dask computes.

Where only the mask is such, a task gets the mask alone, and reads of the image what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import dask.array as da
import dask.threaded
import numpy as np

from bigimg.geometry.region import edges_of, shift
from bigimg.lazy.dask_compute import Task, boxed, one_object
from bigimg.lazy.dask_edge import as_dask, fitted
from bigimg.lazy.foreign import Foreign
from bigimg.ops.statistics.passes import Counting, Found, Make, Pass, cut_of, put_all
from bigimg.system.memory import heap_trimmer
from bigimg.types import Array, Shape


def by_dask(task: Pass, chunks: tuple[Shape, ...], shared: Any) -> Any:
    """Return a dask array of one item that holds all tallies, made of a task a block.

    With ``shared`` the graph is run within one task, once that is known: dask would hold the blocks until then, which
    the reduction before needs too.
    """
    if shared is None:
        found = _by_blocks(task, chunks, task.make)
    else:
        found = one_object(partial(_then, task=task, chunks=chunks), shared)
    return found[None]


def _then(shared: Array, *, task: Pass, chunks: tuple[Shape, ...]) -> Any:
    make = partial(task.make, shared.item())
    # Not the scheduler of a cluster: a task that waits for it may wait for itself.
    return _by_blocks(task, chunks, make).compute(scheduler=dask.threaded.get).item()


def _by_blocks(task: Pass, chunks: tuple[Shape, ...], make: Make) -> Any:
    grids = [grid for grid in (task.mask, task.labels) if grid is not None]
    beside = [as_dask(grid, fitted(chunks, grid.shape)) for grid in grids]
    computed = any(isinstance(leaf, Foreign) for leaf in task.pixels.leaves())
    inside = bool(grids) and not computed and not task.pixels.in_order
    if not inside:
        beside.insert(0, as_dask(task.pixels, chunks))
    else:
        beside.insert(0, da.zeros(task.pixels.shape, chunks=chunks, dtype=bool))  # says where the block lies
    counting = partial(_count_block, task=task, make=make, starts=edges_of(chunks), inside=inside)
    ones = tuple((1,) * len(lengths) for lengths in chunks)
    meta = np.empty((0,) * len(chunks), object)
    found = da.map_blocks(_Located(counting), *beside, chunks=ones, dtype=object, meta=meta)
    merge = _Merge(partial(_merged, make=make))
    return da.reduction(found, chunk=merge, aggregate=merge, dtype=object, meta=np.empty((), object))


class _Located(Task):
    """Calls a function with the index of the block, which dask passes only to those that name it."""

    def __call__(self, *blocks: Array, block_id: Shape) -> Array:
        found: Array = self.function(*blocks, block_id=block_id)
        return found


class _Merge(Task):
    """Merges the tallies of blocks, as dask's reductions call it."""

    def __call__(self, blocks: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        if keepdims and all(
            found is None for found in blocks.flat
        ):  # dask's expressions ask of which type the result is
            return blocks[(slice(0),) * blocks.ndim]
        return boxed(self.function(blocks), blocks.ndim if keepdims else 0)


def _merged(blocks: Array, *, make: Make) -> Found:
    whole: Found = {}
    for found in blocks.flat:
        put_all(whole, found or {}, make)
    return whole


def _count_block(
    block: Array,
    *beside: Array,
    block_id: Shape,
    task: Pass,
    make: Make,
    starts: Sequence[Sequence[int]],
    inside: bool,
) -> Array:
    rest = list(beside)
    mask = None if task.mask is None else rest.pop(0)
    labels = None if task.labels is None else rest.pop(0)
    if labels is not None:
        mask = labels != 0 if mask is None else mask & (labels != 0)
    count = Counting(task.keep, make, task.padding)
    region = tuple(slice(s[i], s[i] + n) for s, i, n in zip(starts, block_id, block.shape, strict=True))
    if mask is None or mask.any():
        for part in task.needed(region, mask) if inside else [region]:
            own = shift(part, tuple(s.start for s in region))
            values = task.pixels.read(part) if inside else block
            count.add(values, part, cut_of(mask, own), cut_of(labels, own))
    heap_trimmer.count(block.nbytes)
    return boxed(count.found, block.ndim)
