"""Counting in dask's own graph, one task for each block: for images whose pixels dask computes.

If dask computes only the mask, a task gets the mask alone and reads the pixels of the image that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import dask.array as da
import dask.threaded
import numpy as np

from bigimg.geometry.region import edges_of
from bigimg.lazy.dask_compute import LocatedTask, Task, boxed, one_object
from bigimg.lazy.dask_edge import as_dask, fitted
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.pieces import region_at
from bigimg.ops.statistics.passes import Counting, Make, Pass, merged
from bigimg.system.memory import heap_trimmer
from bigimg.system.processes import usable_cpus
from bigimg.types import Array, Shape


def by_dask(task: Pass, chunks: tuple[Shape, ...], shared: Any) -> Any:
    """Return a dask array of one item that holds all tallies, made by one task for each block.

    With ``shared`` a single task runs the whole graph once that value is known: the reduction before needs the same
    blocks, and dask would hold them all until then.
    """
    if shared is None:
        found = _by_blocks(task, chunks, task.make)
    else:
        found = one_object(partial(_then, task=task, chunks=chunks), shared)
    return found[None]


def _then(shared: Array, *, task: Pass, chunks: tuple[Shape, ...]) -> Any:
    make = partial(task.make, shared.item())
    # Threads of its own: a task that waits for a cluster, or for the pool that runs it, may wait for itself.
    with ThreadPoolExecutor(usable_cpus()) as pool:
        return _by_blocks(task, chunks, make).compute(scheduler=dask.threaded.get, pool=pool).item()


def _by_blocks(task: Pass, chunks: tuple[Shape, ...], make: Make) -> Any:
    grids = [
        as_dask(grid, fitted(chunks, grid.shape)) for grid in (task.mask, task.labels) if grid is not None
    ]
    computed = any(isinstance(leaf, Foreign) for leaf in task.pixels.leaves())
    reads = bool(grids) and not computed and not task.pixels.in_order
    if reads:  # zeros only tell dask the shape of a block
        blocks = da.zeros(task.pixels.shape, chunks=chunks, dtype=bool)
    else:
        blocks = as_dask(task.pixels, chunks)
    counting = partial(_count_block, task=task, make=make, edges=edges_of(chunks), reads=reads)
    ones = tuple((1,) * len(lengths) for lengths in chunks)
    meta = np.empty((0,) * len(chunks), object)
    found = da.map_blocks(LocatedTask(counting), blocks, *grids, chunks=ones, dtype=object, meta=meta)
    merge = _Merge(partial(merged, make=make))
    return da.reduction(found, chunk=merge, aggregate=merge, dtype=object, meta=np.empty((), object))


class _Merge(Task):
    """Merges the tallies of blocks, as dask's reductions call it."""

    def __call__(self, blocks: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        # dask's array expressions call it without tallies to find out the type of the result.
        if keepdims and all(found is None for found in blocks.flat):
            return blocks[(slice(0),) * blocks.ndim]
        return boxed(self.function(blocks), blocks.ndim if keepdims else 0)


def _count_block(
    block: Array,
    *grids: Array,
    block_id: Shape,
    task: Pass,
    make: Make,
    edges: Sequence[Sequence[int]],
    reads: bool,
) -> Array:
    rest = list(grids)
    mask = None if task.mask is None else rest.pop(0)
    labels = None if task.labels is None else rest.pop(0)
    counting = Counting(task.keep, make, task.padding)
    if mask is None or mask.any():
        task.count_cell(counting, region_at(block_id, edges), mask, labels, None if reads else block)
    heap_trimmer.count(block.nbytes)
    return boxed(counting.found, block.ndim)
