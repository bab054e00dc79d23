"""Any count over pixels as a lazy reduction: some tasks that each drive a pass over their share of the blocks.

A task a block would cost more than the block, and a graph that grows with the image. Here a task takes a run of
blocks and reads them one after another in pieces that fit a core's cache, so there are ``PARTS`` tasks whatever
the image, memory is that of a piece a thread, and any dask scheduler runs them. A mask is read before the image,
and chunks in which nothing is chosen are not read. Where dask computes the blocks, it runs its own graph with a task
a block.

What a task gives is a tally for each index along the kept axes, and for each label where these are asked for.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray

from bigimg.lazy.dask_compute import Task, boxed, computed
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.link import node_of
from bigimg.ops.aligning import mask_on
from bigimg.ops.statistics.by_blocks import by_dask
from bigimg.ops.statistics.passes import Found, Make, Pass, pass_over, put_all
from bigimg.ops.statistics.tallies import held_bytes
from bigimg.types import Array, Shape

PARTS = 32
"""Tasks of a reduction: several for each core of a workstation, so that a slow one does not keep all waiting."""
HELD_BYTES = 64 << 20
"""What the tallies of all tasks may hold together; with many histograms of 16 bits there are fewer tasks."""


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
    sizes = {name: img.sizes[name] for name in img.dims if name in by}
    parts = _parts(img, by, make, where, None, shared)
    told = [] if shared is None else [shared, ()]
    return da.blockwise(
        Task(partial(_as_array, make=make, sizes=tuple(sizes.values()))), tuple(sizes), parts, ("part",), *told,
        new_axes=sizes, concatenate=True, token="bigimg-counted", dtype=object,
        meta=np.empty((0,) * len(sizes), object),
    )  # fmt: skip


def count_labels(
    img: xarray.DataArray, by: Sequence[str], make: Make, labels: OnGrid, *, where: Any = None
) -> Found:
    """Return a tally for each index along ``by`` and each label id but 0, computed now."""
    parts = _parts(img, by, make, where, labels, None)
    return _merged(computed(parts), make, ())


def _parts(
    img: xarray.DataArray, by: Sequence[str], make: Make, where: Any, ids: OnGrid | None, shared: Any
) -> Any:
    """Return a dask array of what each part of the image gives, with one axis."""
    keep = tuple(i for i, name in enumerate(img.dims) if name in by)
    mask = None if where is None else mask_on(img, where)
    task = pass_over(img, node_of(img), mask, ids, keep, make)
    if any(isinstance(leaf, Foreign) for node in task.nodes for leaf in node.leaves()):
        return by_dask(task, img.chunks or tuple((n,) for n in img.shape), shared)
    each = held_bytes(make) * math.prod(img.shape[axis] for axis in keep)
    most = min(PARTS, max(2, HELD_BYTES // max(1, each)), math.prod(map(len, task.lengths)))
    parts = 1 if task.in_order else max(1, most)
    values = {value.token: value for node in task.nodes for value in node.values}
    told = [] if shared is None else [shared]
    count = Task(partial(_count, task=task, parts=parts, values=list(values.values())))
    numbers = da.from_array(np.arange(parts), chunks=1, name=False)
    extra = [*(value.array for value in values.values()), *told]
    return da.map_blocks(
        count, numbers, *extra, name=f"bigimg-pass-{uuid.uuid4().hex}", dtype=object, meta=np.empty(0, object)
    )


def _count(number: Array, *extra: Array, task: Pass, parts: int, values: list[Any]) -> Array:
    for value, found in zip(values, extra, strict=False):
        value.tell(found.item())
    told = tuple(item.item() for item in extra[len(values) :])
    return boxed(task.count(number.item(), parts, told), 1)


def _merged(parts: Array, make: Make, told: tuple[Any, ...]) -> Found:
    """Return all parts together; none of them is changed, for dask may use it again."""
    total: Found = {}
    for part in parts.flat:
        put_all(total, part, partial(make, *told))
    return total


def _as_array(parts: Array, *shared: Array, make: Make, sizes: Shape) -> Array:
    told = tuple(item.item() for item in shared)
    found, out = _merged(parts, make, told), np.empty(sizes, object)
    for index in np.ndindex(sizes):
        out[index] = found[index] if index in found else make(*told)
    return out
