"""What dask computes for the lazy tree: a region of an array, and single values that many blocks need.

Nothing here knows a node, and dask is imported only where something is computed: a file is opened without it.
"""

from __future__ import annotations

import itertools
import sys
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bigimg.geometry.region import edges_of, shape_of
from bigimg.lazy.masked import unmasked
from bigimg.system.memory import heap_trimmer
from bigimg.types import Array, Region, Shape


class Task:
    """A function of ours, which dask names without looking into it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.token = uuid.uuid4().hex

    def __dask_tokenize__(self) -> str:
        return self.token

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the function does."""
        return self.function(*arguments, **named)


def boxed(item: Any, ndim: int = 0) -> Array:
    """Return ``item`` as the only one of an array."""
    box = np.empty((1,) * ndim, object)
    box[(0,) * ndim] = item
    return box


def computed(lazy: Any) -> Any:
    """Return ``lazy``, a DataArray, Dataset or dask array, with its values, computed where dask computes.

    Asked without a scheduler, dask imports ``distributed`` to look for a client: 25 MB and half a second. A client can
    be active only where it was imported already.
    """
    import dask
    import dask.threaded

    chosen = "distributed" in sys.modules or dask.config.get("scheduler", None)
    return lazy.compute(scheduler=None if chosen else dask.threaded.get)


def computed_region(array: Any, region: Region) -> Array:
    """Return ``region`` of a dask array, computed in this thread."""
    import dask
    import dask.array as da

    part = array[region]
    found: dict[Shape, Array] = {}
    ones = tuple((1,) * len(lengths) for lengths in part.chunks)
    # dask's scheduler holds results until the collector of cycles comes by: it gets none.
    taken = da.map_blocks(
        _Taking(found), part, chunks=ones, dtype=bool, meta=np.empty((0,) * part.ndim, bool)
    )
    dask.compute(taken, scheduler=dask.get)  # by its name dask warns of it where a cluster is connected
    edges = edges_of(part.chunks)
    if len(found) == 1:
        (out,) = found.values()
    else:
        out = np.empty(shape_of(region), array.dtype)
        for index in itertools.product(*map(range, map(len, part.chunks))):
            out[tuple(slice(own[i], own[i + 1]) for i, own in zip(index, edges, strict=True))] = found.pop(
                index
            )
    heap_trimmer.count(out.nbytes)
    return out


class _Taking:
    """Takes blocks and gives nothing in their place."""

    def __init__(self, found: dict[Shape, Array]) -> None:
        self.found = found

    def __dask_tokenize__(self) -> int:
        return id(self.found)

    def __call__(self, block: Array, block_id: Shape) -> Array:
        self.found[tuple(block_id)] = unmasked(block)
        return np.zeros((1,) * block.ndim, bool)


def item_of(array: Any, *, here: bool) -> Any:
    """Return the only item of a dask array of no axes, computed in this thread when ``here``."""
    import dask

    return (array.compute(scheduler=dask.get) if here else computed(array)).item()


def one_object(function: Callable[..., Any], *arrays: Any) -> Any:
    """Return a dask array of no axes whose value is ``function`` of dask arrays of one block each."""
    import dask.array as da

    pairs = [(array, tuple(f"{n}{axis}" for axis in range(array.ndim))) for n, array in enumerate(arrays)]
    make = Task(partial(_boxed_result, function))
    return da.blockwise(
        make, (), *itertools.chain(*pairs), concatenate=True, dtype=object, meta=np.empty((), object)
    )


def unboxed(box: Any, shape: Shape, called: str) -> Any:
    """Return the float64 array of ``shape`` that is the only item of a dask array of no axes."""
    import dask.array as da

    return da.map_blocks(
        Task(_item), box, name=f"{called}-{uuid.uuid4().hex}", new_axis=list(range(len(shape))),
        chunks=tuple((n,) for n in shape), dtype=np.float64, meta=np.empty((0,) * len(shape)),
    )  # fmt: skip


def _item(box: Array) -> Array:
    found: Array = box.item()
    return found


def _boxed_result(function: Callable[..., Any], *values: Any) -> Array:
    return boxed(function(*values))
