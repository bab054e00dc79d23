"""What many blocks of a dask array are computed from, as a threshold or a mean, to be computed once before them.

dask computes a graph once for all blocks that it is asked for together. Whoever asks for some at a time, as a pass
or a conversion does, would have such a value computed each time, which may read the whole image.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import dask
import dask.array as da
from dask._task_spec import DataNode
from dask.blockwise import Blockwise
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer


def spread(array: Any) -> dict[str, Any]:
    """Return the arrays of one block that several blocks of a dask array are computed from, by name.

    They are found in the layers of the graph, of which no task is built. One that lies at the bottom, in memory or a
    file, does not count: to read it anew costs little.
    """
    graph = array.__dask_graph__()
    layers, below = graph.layers, graph.dependencies
    found: dict[str, Any] = {}
    waiting = [array.name] if array.name in layers else list(layers)
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        for source, ndim in _ones(layers[name]):
            if source in layers and below[source] and source not in found:
                found[source] = da.Array(graph.cull_layers([source]), source, ((1,),) * ndim, dtype=object)
        new = below[name] - seen - found.keys()
        seen |= new
        waiting += new
    return found


def _ones(layer: Any) -> Iterator[tuple[str, int]]:
    """Yield names and axes of the arrays of one block that go into several blocks of ``layer``."""
    if isinstance(layer, Blockwise):
        for source, indices in layer.indices:
            if (
                indices is not None
                and math.prod(layer.numblocks[source]) == 1
                and is_spread(layer, source, indices)
            ):
                yield source, len(indices)


def is_spread(layer: Any, source: str, indices: Any) -> bool:
    """Return whether one block of ``source`` goes into several of a Blockwise ``layer``."""
    own = dict(zip(indices, layer.numblocks[source], strict=True))
    return any(layer.dims[index] > own.get(index, 1) for index in layer.output_indices)


def with_known(array: Any, needs: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """Return the same dask array, with the values ``known`` in place of what :func:`spread` gives in its graph."""
    if not needs:
        return array
    graph = array.__dask_graph__()
    layers, below = dict(graph.layers), dict(graph.dependencies)
    for name, need in needs.items():
        key = (name, *(0,) * need.ndim)
        layers[name], below[name] = MaterializedLayer({key: DataNode(key, known[name])}), set()
    graph = HighLevelGraph(layers, below).cull_layers([array.name])
    return da.Array(graph, array.name, array.chunks, meta=array._meta)


def settled(array: Any, scheduler: str | None = None) -> Any:
    """Return the same dask array, in whose graph what is spread over its blocks is computed, now."""
    needs = spread(array)
    values = dask.compute(*needs.values(), scheduler=scheduler) if needs else ()
    return with_known(array, needs, dict(zip(needs, values, strict=True)))


class Once:
    """A dask array in which what is spread over its blocks is computed once, when it is first asked for.

    Pickled before that it is computed once in each process, in the thread that asks: a worker that asks its cluster
    for it may wait for itself. Pickling computes nothing, for a client of a cluster holds a lock meanwhile.
    """

    def __init__(self, array: Any, scheduler: str | None = None) -> None:
        self._array = array
        self._scheduler = scheduler
        self._known = False
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        """Return the dask array."""
        with self._lock:
            if not self._known:
                self._array = settled(self._array, self._scheduler)
                self._known = True
            return self._array

    def __reduce__(self) -> Any:
        return Once, (self._array, "synchronous")
