"""Any count over pixels as a lazy reduction: a few tasks, and each makes a pass over its share of the image.

One task for each block would take longer than the block itself, and the graph would grow with the image. Here a task
reads a run of cells one after another, in pieces that fit a core's cache. So an image of any size has ``PARTS`` tasks,
each thread holds one piece, and any dask scheduler can run them. The mask is read before the image, and chunks in
which it is nowhere true are not read. If dask computes the pixels, its own graph runs, with one task for each block.

A task returns a tally for each index along the kept axes and, if there are labels, for each label id.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import dask.array as da
import dask.threaded
import numpy as np
import xarray

from bigimg.geometry.region import edges_of
from bigimg.lazy.dask_compute import LocatedTask, Task, boxed, computed, one_object
from bigimg.lazy.dask_edge import as_dask, fitted
from bigimg.lazy.foreign import over_dask
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.node_of_array import node_of
from bigimg.lazy.pieces import region_at
from bigimg.ops.masks_on_grid import mask_on
from bigimg.ops.statistics.passes import Counting, Found, Make, Pass, merged, pass_over
from bigimg.ops.statistics.tallies import held_bytes
from bigimg.system.memory import heap_trimmer
from bigimg.system.processes import usable_cpus
from bigimg.types import Array, Shape

PARTS = 32
"""Tasks of a reduction: several for each core of a workstation, so that all cores are busy until the end."""
HELD_BYTES = 64 << 20
"""Memory of the tallies of all tasks; with many histograms of 16 bits there are fewer tasks."""


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
        See :func:`bigimg.ops.masks_on_grid.mask_on`.
    shared : dask array of one object, optional
        Passed to ``make``; it is computed once, before any pixel is read.
    """
    sizes = {name: img.sizes[name] for name in img.dims if name in by}
    parts = _parts(img, by, make, where, None, shared)
    extra = [] if shared is None else [shared, ()]
    return da.blockwise(
        Task(partial(_as_array, make=make, sizes=tuple(sizes.values()))), tuple(sizes), parts, ("part",), *extra,
        new_axes=sizes, concatenate=True, token="bigimg-counted", dtype=object,
        meta=np.empty((0,) * len(sizes), object),
    )  # fmt: skip


def count_labels(
    img: xarray.DataArray, by: Sequence[str], make: Make, labels: OnGrid, *, where: Any = None
) -> Found:
    """Return a tally for each index along ``by`` and each label id but 0, computed now."""
    parts = _parts(img, by, make, where, labels, None)
    return merged(computed(parts), make)


def _parts(
    img: xarray.DataArray, by: Sequence[str], make: Make, where: Any, ids: OnGrid | None, shared: Any
) -> Any:
    """Return the tallies of each part of the image, as a dask array with one axis."""
    keep = tuple(i for i, name in enumerate(img.dims) if name in by)
    mask = None if where is None else mask_on(img, where)
    task = pass_over(img, node_of(img), mask, ids, keep, make)
    if over_dask(*task.nodes):
        return _by_dask(task, img.chunks or tuple((n,) for n in img.shape), shared)
    each = held_bytes(make) * math.prod(img.shape[axis] for axis in keep)
    most = min(PARTS, max(2, HELD_BYTES // max(1, each)), math.prod(map(len, task.lengths)))
    parts = 1 if task.in_order else max(1, most)
    values = {value.token: value for node in task.nodes for value in node.values}
    count = Task(partial(_count, task=task, parts=parts, values=list(values.values())))
    numbers = da.from_array(np.arange(parts), chunks=1, name=False)
    extra = [*(value.array for value in values.values()), *([] if shared is None else [shared])]
    return da.map_blocks(
        count, numbers, *extra, name=f"bigimg-pass-{uuid.uuid4().hex}", dtype=object, meta=np.empty(0, object)
    )


def _count(number: Array, *extra: Array, task: Pass, parts: int, values: list[Any]) -> Array:
    for value, found in zip(values, extra, strict=False):
        value.set(found.item())
    return boxed(task.count(number.item(), parts, tuple(item.item() for item in extra[len(values) :])), 1)


def _as_array(parts: Array, *shared: Array, make: Make, sizes: Shape) -> Array:
    empty = partial(make, *(item.item() for item in shared))
    found, out = merged(parts, empty), np.empty(sizes, object)
    for index in np.ndindex(sizes):
        out[index] = found[index] if index in found else empty()
    return out


# ------------------------------------------------------------------------------------ in the graph of dask


def _by_dask(task: Pass, chunks: tuple[Shape, ...], shared: Any) -> Any:
    """Return a dask array of one item that holds all tallies, made by one task for each block.

    If dask computes only the mask, a task gets the mask alone and reads the pixels of the image that it needs.
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
    grids = [as_dask(grid, fitted(chunks, grid.shape)) for grid in task.grids]
    reads = bool(grids) and not over_dask(task.pixels) and not task.pixels.in_order
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
    rest = iter(grids)
    mask, labels = (None if grid is None else next(rest) for grid in (task.mask, task.labels))
    counting = Counting(task.keep, make, task.padding, task.missing)
    if mask is None or mask.any():
        task.count_cell(counting, region_at(block_id, edges), mask, labels, None if reads else block)
    heap_trimmer.count(block.nbytes)
    return boxed(counting.found, block.ndim)
