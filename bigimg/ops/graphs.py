"""What the layers of a dask graph say of its blocks: whether each is made from its own, and in which order they come.

No task is built for it, but for a few blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from dask.blockwise import Blockwise
from dask.core import get_dependencies
from dask.highlevelgraph import MaterializedLayer

from bigimg.ops.gathering import StackedLayer
from bigimg.readers.bands import OrderedLayer
from bigimg.readers.spread import is_spread, spread, with_known

CUTS = ("getitem-", "stack-", "concatenate-")
"""Names of dask's layers that are no Blockwise ones and still make each block from blocks of its own."""


def is_ordered(array: Any) -> bool:
    """Return whether a dask array is computed from a source that has an order of its own."""
    return any(isinstance(layer, OrderedLayer) for layer in array.__dask_graph__().layers.values())


def independent(array: Any, first: Collection[str]) -> bool:
    """Return whether no two blocks of a dask array are computed from the same block of any other but ``first``.

    An array in memory or a file at the bottom of the graph does not count: to read it anew costs little.
    """
    graph = array.__dask_graph__()
    layers, below = graph.layers, graph.dependencies
    waiting = [array.name] if array.name in layers else list(layers)
    seen = {*waiting, *first}
    while waiting:
        name = waiting.pop()
        if not _keeps_apart(name, layers[name], layers, below, first):
            return False
        new = below[name] - seen
        seen |= new
        waiting += new
    return True


def _keeps_apart(name: str, layer: Any, layers: Any, below: Any, first: Collection[str]) -> bool:
    """Return whether each block of a layer is made from blocks of its own, and of ``first``."""
    if isinstance(layer, Blockwise):
        known = set(layer.output_indices)
        sources = [(source, indices) for source, indices in layer.indices if indices is not None]
        if not all(set(indices) <= known for _, indices in sources):
            return False  # a contraction
        return not any(
            source in layers and below[source] and source not in first and is_spread(layer, source, indices)
            for source, indices in sources
        )
    if isinstance(layer, OrderedLayer | StackedLayer):
        return True
    if type(layer) is not MaterializedLayer:
        return False
    if below[name]:
        return bool(name.startswith(CUTS))
    return len(layer) == 1 or not any(_leans(task, layer) for task in layer.mapping.values())


def _leans(task: Any, layer: Any) -> bool:
    """Return whether a task of ``layer`` needs another one of it."""
    needs = getattr(task, "dependencies", None)
    if needs is None:
        needs = get_dependencies(layer.mapping, task=task)
    return any(key in layer.mapping for key in needs)


def is_apart(array: Any) -> bool:
    """Return whether each block of a dask array can be computed by itself, with nothing computed twice."""
    return not is_ordered(array) and independent(array, spread(array))


def order_of(array: Any, dims: Sequence[str]) -> tuple[int, ...] | None:
    """Return the axes of a dask array from slowest to fastest, in which its blocks are those of an ordered source.

    None when that source would be read otherwise than forwards, or there is none. Of axes that are not cut, ``c`` is
    taken for the fastest, as in the rows of a picture.
    """
    if not is_ordered(array):
        return None
    needs = spread(array)
    if not independent(array, needs):
        return None
    graph = with_known(array, needs, dict.fromkeys(needs)).__dask_graph__()
    first = _rank(graph, (array.name, *(0,) * array.ndim))
    steps: list[tuple[int, int]] = []
    for axis, count in enumerate(array.numblocks):
        if count > 1:
            index = tuple(int(i == axis) for i in range(array.ndim))
            steps.append((_rank(graph, (array.name, *index)) - first, axis))
    if any(step <= 0 for step, _ in steps):
        return None
    cut = [axis for _, axis in sorted(steps, reverse=True)]
    thin = [axis for axis, size in enumerate(array.shape) if size == 1]
    whole = sorted({*range(array.ndim)} - {*cut, *thin}, key=lambda axis: (dims[axis] == "c", axis))
    return (*thin, *cut, *whole)


def _rank(graph: Any, key: tuple[Any, ...]) -> int:
    """Return the last place in the order of its source that a block needs; -1 if it needs none."""
    bands = [layer for layer in graph.cull({key}).layers.values() if isinstance(layer, OrderedLayer)]
    return max((layer.rank[band] for layer in bands for band in layer.mapping), default=-1)
