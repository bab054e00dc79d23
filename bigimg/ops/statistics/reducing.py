"""Any count over pixels as a lazy reduction: some tasks that each drive a pass over their share of the blocks.

A task a block would cost more than the block, and a graph that grows with the image. Here a task takes a run of
blocks and reads them one after another in pieces that fit a core's cache, so there are ``PARTS`` tasks whatever
the image, memory is that of a piece a thread, and any dask scheduler runs them. A mask is read before the image,
and chunks in which nothing is chosen are not read. Where blocks are computed from what they share (a mean, new
chunks), dask runs its own graph with a task a block.

What a task gives is a tally for each index along the kept axes, and for each label where these are asked for.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray
from dask.highlevelgraph import HighLevelGraph

from bigimg.ops.aligning import OnGrid, mask_on
from bigimg.ops.statistics.by_blocks import by_dask
from bigimg.ops.statistics.passes import Found, Make, Pass, cells_of, padding_of, put
from bigimg.ops.statistics.tallies import held_bytes
from bigimg.ops.values import values_of
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
    lengths = None if values is None else cells_of(values, [v for v in (mask, ids) if v is not None])
    if lengths is None:
        whole = by_dask(img, values, keep, make, mask, ids, shared)
        return {}, [(whole.name,)], [whole, *below], shared_key
    assert values is not None
    task = Pass(values, mask, ids, keep, make, padding_of(img), lengths)
    each = held_bytes(make) * math.prod(img.sizes[name] for name in img.dims if name in by)
    most = min(PARTS, max(2, HELD_BYTES // max(1, each)), math.prod(map(len, lengths)))
    parts = 1 if task.in_order else max(1, most)
    name = f"bigimg-pass-{uuid.uuid4().hex}"
    keys = [(name, number) for number in range(parts)]
    needs = task.needs
    known = [(array.name, *(0,) * array.ndim) for array in needs.values()]
    graph: dict[Any, Any] = {f"{name}-source": task}
    for number, key in enumerate(keys):
        count = partial(_count, part=number, parts=parts, needs=tuple(needs))
        graph[key] = (count, f"{name}-source", shared_key, *known)
    return graph, keys, [*below, *needs.values()], shared_key


def _count(task: Pass, shared: Any, *known: Any, part: int, parts: int, needs: tuple[str, ...]) -> Found:
    return task.count(part, parts, _told(shared), dict(zip(needs, known, strict=True)))


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
            put(total[key], tally)
    return total


def _as_array(parts: Sequence[Any], shared: Any, *, make: Make, sizes: Shape) -> Array:
    found, out = _merged(parts, shared, make=make), np.empty(sizes, object)
    for index in np.ndindex(sizes):
        out[index] = found[index] if index in found else make(*_told(shared))
    return out


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
