"""Counting by dask's own graph, a task a block: for blocks that are computed from what they share.

Of an opened image only the mask is such; then a task gets the mask alone, and reads of the image what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray

from bigimg.geometry.region import shift
from bigimg.ops.aligning import OnGrid
from bigimg.ops.statistics.passes import Counting, Found, Make, cut_of, needed, padding_of, put
from bigimg.ops.values import Opened, Values
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
    elif shared is not None:
        from dask.graph_manipulation import bind

        data = bind(data, shared)  # or dask would hold all blocks until the first reduction has ended
    grids = [grid.as_dask(data.chunks) for grid in (mask, ids) if grid is not None]
    extra = [] if shared is None else [shared.reshape((1,) * data.ndim)]
    starts = [np.cumsum([0, *lengths]).tolist() for lengths in data.chunks]
    counted = partial(
        _count_block, starts=starts, keep=keep, make=make, padding=padding_of(img),
        masked=mask is not None, labelled=ids is not None, source=source,
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
                put(whole[key], tally)
        out = np.empty((1,) * blocks.ndim if keepdims else (), object)
        out[...] = None
        out.flat[0] = (told, whole)
        return out
