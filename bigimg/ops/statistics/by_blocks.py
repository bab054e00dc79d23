"""Counting by dask's own graph, a task a block: for blocks that are computed from what they share.

Of an opened image only the mask is such; then a task gets the mask alone, and reads of the image what it needs.
Where image and mask come from one source that is read in order, one task computes their blocks together, one after
another: dask's scheduler would read ahead of the counting.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray
from dask.highlevelgraph import HighLevelGraph

from bigimg.geometry.region import edges_of, shift
from bigimg.ops.aligning import OnGrid
from bigimg.ops.graphs import is_ordered
from bigimg.ops.statistics.passes import Counting, Found, Make, cut_of, needed, padding_of, put
from bigimg.ops.values import Computed, Opened, Values, computed
from bigimg.system.memory import heap_trimmer
from bigimg.types import Array, Shape


def by_dask(
    img: xarray.DataArray, values: Values | None, keep: tuple[int, ...], make: Make, mask: OnGrid | None,
    ids: OnGrid | None, shared: Any,
) -> Any:  # fmt: skip
    """Return a dask array of no axes that holds all tallies, made of a task a block."""
    data = img.data if img.chunks is not None else img.chunk().data
    source = values if isinstance(values, Opened) and not values.in_order and (mask or ids) else None
    if source is not None:  # read within the task, once the mask is known; these blocks are never touched
        data = da.empty(data.shape, dtype=data.dtype, chunks=data.chunks)
    grids = [grid.as_dask(data.chunks) for grid in (mask, ids) if grid is not None]
    starts = edges_of(data.chunks)
    counted = partial(
        _count_block, starts=starts, keep=keep, make=make, padding=padding_of(img),
        masked=mask is not None, labelled=ids is not None, source=source,
    )  # fmt: skip
    ones = tuple((1,) * len(lengths) for lengths in data.chunks)
    meta = np.empty((0,) * data.ndim, object)
    if any(map(is_ordered, (data, *grids))):
        together = computed(da.map_blocks(_joined, data, *grids, chunks=ones, dtype=object, meta=meta))
        if together is not None:
            return _in_a_row(together, counted, make, shared)
    if source is None and shared is not None:
        from dask.graph_manipulation import bind

        data = bind(data, shared)  # or dask would hold all blocks until the first reduction has ended
    extra = [] if shared is None else [shared.reshape((1,) * data.ndim)]
    merge = _Merge(make)
    found = da.map_blocks(_Located(counted), data, *grids, *extra, chunks=ones, dtype=object, meta=meta)
    return da.reduction(found, chunk=merge, aggregate=merge, dtype=object, meta=np.empty((), object))


def _joined(*blocks: Array) -> Array:
    """Return several blocks as the only item of an array."""
    box = np.empty((1,) * blocks[0].ndim, object)
    box.flat[0] = blocks
    return box


def _in_a_row(together: Computed, counted: Callable[..., Array], make: Make, shared: Any) -> Any:
    """Return all tallies as a dask array of one task, which computes the blocks one after another."""
    name = f"bigimg-row-{uuid.uuid4().hex}"
    needs = together.needs
    task = partial(_count_in_a_row, together=together, counted=counted, make=make, needs=tuple(needs))
    below = [*needs.values(), *([] if shared is None else [shared])]
    keys = [(array.name, *(0,) * array.ndim) for array in below]
    graph = HighLevelGraph.from_collections(name, {(name,): (task, *keys)}, below)
    return da.Array(graph, name, (), meta=np.empty((), object))


def _count_in_a_row(
    *values: Any, together: Computed, counted: Callable[..., Array], make: Make, needs: tuple[str, ...]
) -> Array:
    known, extra = dict(zip(needs, values, strict=False)), []
    for shared in values[len(needs) :]:
        extra.append(np.empty(1, object))
        extra[-1][0] = shared.item() if isinstance(shared, np.ndarray) else shared
    indices = list(itertools.product(*(range(len(lengths)) for lengths in together.chunks)))
    compute = together.blocks(indices, known)
    whole: Found = {}
    for index in indices:
        told, found = counted(*compute(index).flat[0], *extra, block_id=index).flat[0]
        _put_all(whole, found, make, told)
    out = np.empty((), object)
    out[()] = (told, whole)
    return out


def _put_all(whole: Found, found: Found, make: Make, told: tuple[Any, ...]) -> None:
    """Add tallies to those that are there."""
    for key, tally in found.items():
        if key not in whole:
            whole[key] = make(*told)
        put(whole[key], tally)


class _Located:
    """Calls a function with the index of the block, which dask passes only to those that name it."""

    def __init__(self, function: Callable[..., Array]) -> None:
        self.function = function

    def __call__(self, *blocks: Array, block_id: Shape) -> Array:
        return self.function(*blocks, block_id=block_id)


def _count_block(
    block: Array, *extra: Array, block_id: Shape, starts: Sequence[Sequence[int]], keep: tuple[int, ...],
    make: Make, padding: Any, masked: bool, labelled: bool, source: Opened | None,
) -> Array:  # fmt: skip
    rest = list(extra)
    mask = rest.pop(0) if masked else None
    labels = rest.pop(0) if labelled else None
    told = tuple(item.flat[0] for item in rest)
    if labels is not None:
        mask = labels != 0 if mask is None else mask & (labels != 0)
    count = Counting(keep, partial(make, *told), padding)
    region = tuple(slice(s[i], s[i] + n) for s, i, n in zip(starts, block_id, block.shape, strict=True))
    if mask is None:
        count.add(block, region, mask, labels)
    elif mask.any():
        for part in [region] if source is None else needed(source, region, mask):
            inside = shift(part, tuple(s.start for s in region))
            values = block if source is None else source.read(part)
            count.add(values, part, cut_of(mask, inside), cut_of(labels, inside))
    heap_trimmer.count(block.nbytes)
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
            _put_all(whole, found, self.make, told)
        out = np.empty((1,) * blocks.ndim if keepdims else (), object)
        out[...] = None
        out.flat[0] = (told, whole)
        return out
