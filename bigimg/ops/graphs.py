"""What the layers of a dask graph say of its blocks: whether each is made from its own, and in which order they come.

No task is built for it, but for those of an ordered source.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

from dask.blockwise import Blockwise
from dask.core import get_dependencies
from dask.highlevelgraph import MaterializedLayer

from bigimg.ops.gathering import StackedLayer
from bigimg.readers.bands import OrderedLayer
from bigimg.readers.spread import is_spread, spread, with_known
from bigimg.types import Shape

NONE = 1 << 62
"""Beyond every place in an order."""
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
    bands = _bands(with_known(array, needs, dict.fromkeys(needs)))
    first, steps = bands[(0,) * array.ndim], []
    for axis, count in enumerate(array.numblocks):
        if count > 1:
            step = bands[tuple(int(i == axis) for i in range(array.ndim))][0] - first[0]
            steps.append((step, axis))
    cut = [axis for _, axis in sorted(steps, reverse=True)]
    row = sorted(bands, key=lambda index: [index[axis] for axis in cut])
    if any(bands[one][1] >= bands[other][0] for one, other in itertools.pairwise(row)):
        return None
    thin = [axis for axis, size in enumerate(array.shape) if size == 1]
    whole = sorted({*range(array.ndim)} - {*cut, *thin}, key=lambda axis: (dims[axis] == "c", axis))
    return (*thin, *cut, *whole)


def _bands(array: Any) -> dict[Shape, tuple[int, int]]:
    """Return the first and last place in the order of their source of what each block needs, by its index."""
    graph = array.__dask_graph__()
    rank = {
        key: n
        for layer in graph.layers.values()
        if isinstance(layer, OrderedLayer)
        for key, n in layer.rank.items()
    }
    below = graph.get_all_dependencies()
    known: dict[Any, tuple[int, int]] = {}

    def ends(key: Any) -> tuple[int, int]:
        if key not in known:
            found = [(rank[key],) * 2] if key in rank else [ends(source) for source in below[key]]
            known[key] = (min((a for a, _ in found), default=NONE), max((b for _, b in found), default=-NONE))
        return known[key]

    return {index: ends((array.name, *index)) for index in itertools.product(*map(range, array.numblocks))}
