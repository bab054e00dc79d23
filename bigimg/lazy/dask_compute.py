"""Computing with dask for the lazy tree: a region of an array, and single values that many blocks need.

Nothing here knows nodes. dask is imported only where something is computed, so a file is opened without it.
"""

from __future__ import annotations

import itertools
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from bigimg.geometry.region import edges_of, shape_of
from bigimg.lazy.masked import unmasked
from bigimg.system.memory import heap_trimmer
from bigimg.types import Array, Region, Shape


class Task:
    """A function that dask names without pickling it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.token = uuid.uuid4().hex

    def __dask_tokenize__(self) -> str:
        return self.token

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function."""
        return self.function(*arguments, **named)


class LocatedTask(Task):
    """A function that gets the index of the block; dask passes it only to functions with this parameter."""

    def __call__(self, *blocks: Array, block_id: Shape) -> Any:
        """Call the function."""
        return self.function(*blocks, block_id=block_id)


def boxed(item: Any, ndim: int = 0) -> Array:
    """Return an object array whose only item is ``item``."""
    box = np.empty((1,) * ndim, object)
    box[(0,) * ndim] = item
    return box


def computed(lazy: Any) -> Any:
    """Return ``lazy``, a DataArray, Dataset or dask array, computed by the active scheduler of dask.

    If no scheduler is named, dask imports ``distributed`` to look for a client, which takes 25 MB and half a second. A
    client can only be active if ``distributed`` was imported before.
    """
    import dask
    import dask.threaded

    chosen = "distributed" in sys.modules or dask.config.get("scheduler", None)
    return lazy.compute(scheduler=None if chosen else dask.threaded.get)


def computed_region(array: Any, region: Region, *, there: bool = False) -> Array:
    """Return ``region`` of a dask array, computed in this thread or ``there``, on the cluster that keeps its blocks."""
    import dask
    import dask.array as da

    part = array[region]
    if there:
        return unmasked(_computed_there(part))
    found: dict[Shape, Array] = {}
    ones = tuple((1,) * len(lengths) for lengths in part.chunks)
    # dask's scheduler holds its results until Python collects cycles. So blocks go to ``found``, and it gets no pixels.
    take, meta = LocatedTask(partial(_take, found)), np.empty((0,) * part.ndim, bool)
    taken = da.map_blocks(take, part, chunks=ones, dtype=bool, meta=meta)
    dask.compute(taken, scheduler=dask.get)  # not by its name: dask would warn if a cluster is connected
    edges = edges_of(part.chunks)
    if len(found) == 1:
        (out,) = found.values()
    else:
        out = np.empty(shape_of(region), array.dtype)
        for index in itertools.product(*map(range, map(len, part.chunks))):
            out[tuple(slice(e[i], e[i + 1]) for i, e in zip(index, edges, strict=True))] = found.pop(index)
    heap_trimmer.count(out.nbytes)
    return out


def on_cluster(array: Any) -> bool:
    """Return whether blocks of a dask array are kept by the workers of a cluster, as ``persist`` leaves them."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    # dask imports distributed without a cluster too, and to look for futures makes all keys of the graph: 100 MB for
    # 100,000 blocks. A worker may have no client of its own.
    for find in (distributed.default_client, distributed.get_worker):
        with suppress(ValueError):
            find()
            return bool(distributed.futures_of(array))
    return False


def in_a_task() -> bool:
    """Return whether this thread runs a task of a cluster, whose worker has no client of its own."""
    import distributed

    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True


def _computed_there(array: Any) -> Any:
    """Return a dask array computed by the cluster that keeps its blocks; no scheduler of this process can read them."""
    import distributed

    client: Any
    if not in_a_task():
        client = distributed.get_client()
        return client.compute(array).result()
    with distributed.worker_client() as client:  # this task gives up its thread, or it might wait for itself
        return client.compute(array).result()


def _take(found: dict[Shape, Array], block: Array, *, block_id: Shape) -> Array:
    found[tuple(block_id)] = unmasked(block)
    return np.zeros((1,) * block.ndim, bool)


def item_of(array: Any, *, here: bool) -> Any:
    """Return the only item of a dask array of no axes; it is computed in this thread if ``here`` is true."""
    import dask

    if here and on_cluster(array):
        return _computed_there(array).item()
    return (array.compute(scheduler=dask.get) if here else computed(array)).item()


def one_object(function: Callable[..., Any], *arrays: Any) -> Any:
    """Return a dask array of no axes whose value is ``function`` of dask arrays of one block each."""
    import dask.array as da

    pairs = [(array, tuple(f"{n}{axis}" for axis in range(array.ndim))) for n, array in enumerate(arrays)]
    make = Task(partial(_boxed_result, function))
    return da.blockwise(
        make, (), *itertools.chain(*pairs), concatenate=True, dtype=object, meta=np.empty((), object)
    )


def unboxed(
    box: Any,
    shape: Shape,
    prefix: str,
    dtype: Any = np.float64,
    take: Callable[[Any], Array] | None = None,
) -> Any:
    """Return the array of ``shape`` and ``dtype`` that ``take`` finds in the only item of ``box``, or that item."""
    import dask.array as da

    return da.map_blocks(
        Task(partial(_item, take=take)), box, name=f"{prefix}-{uuid.uuid4().hex}", new_axis=list(range(len(shape))),
        chunks=tuple((n,) for n in shape), dtype=dtype, meta=np.empty((0,) * len(shape), dtype),
    )  # fmt: skip


def _item(box: Array, *, take: Callable[[Any], Array] | None) -> Array:
    found: Array = box.item() if take is None else take(box.item())
    return found


def _boxed_result(function: Callable[..., Any], *values: Any) -> Array:
    return boxed(function(*values))
