"""Where the pixels of a labelled array come from: an opened source, memory, or blocks that dask computes.

An opened source and an array in memory give any region. Of computed blocks a pass takes one after another, which
is possible without computing anything twice when each of them is made from blocks of its own: that is read from
the layers of the graph, without building its tasks (:func:`needed_by_all`). Of an ordered source it is the only way
that does not read ahead; what all of its blocks need, as a threshold, is then computed first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
import xarray
from dask.blockwise import Blockwise
from dask.core import get, get_dependencies
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.optimization import cull

from bigimg.ops.derived import InOrder
from bigimg.ops.gathering import StackedLayer
from bigimg.planning.heap import heap
from bigimg.readers.bands import OrderedLayer
from bigimg.readers.labelled import opened_pixels
from bigimg.readers.lazy import COMPUTED, LazyPixels, block_shape
from bigimg.types import Array, DType, Region, Shape

PIECE_BYTES = 1 << 20
"""What a pass reads at once of an opened source, unless a chunk has more: small enough for the cache of a core,
large enough that finding the piece costs a tenth of reading it."""
PAGE_BYTES = 1 << 12
"""The least that a mask spares, unless a chunk has more: no disk reads less, and to look at the mask of each run of 64
plain pixels would cost a hundred times what reading them does."""
CUTS = ("getitem-", "stack-", "concatenate-")
"""Names of dask's layers that are no Blockwise ones and still make each block from blocks of its own."""

type Reads = Callable[[Shape], Array]
"""From the index of a block to its pixels."""


@dataclass(frozen=True, eq=False)
class Opened:
    """Pixels of which any region can be read, as they were opened or made of an ordered source in its order."""

    read: Callable[[Region], Array]
    """Returns the pixels of a region; a view when the reader gives one."""
    shape: Shape
    dtype: DType
    piece: Shape
    """What a pass reads at once."""
    chunk: Shape
    """What a mask can spare: what is decoded at once, or a page of what is not."""
    order: tuple[int, ...]
    """Axes from slowest to fastest, where the source is read in one order alone; empty otherwise."""

    @property
    def in_order(self) -> bool:
        """Whether the source has an order of its own."""
        return bool(self.order)


def _opened(pixels: LazyPixels, blocks: tuple[tuple[int, ...], ...]) -> Opened:
    """Return the pixels of a reader, just as they were opened."""
    reader, spec, access = pixels.reader, pixels.reader.spec, pixels.reader.access
    in_order, itemsize = access.kind == "sequential", pixels.dtype.itemsize
    largest = tuple(max(lengths) for lengths in blocks)
    chunk_bytes = itemsize * math.prod(min(c, n) for c, n in zip(spec.chunks, spec.shape, strict=True))
    # Never less than a chunk, or it would be decoded for each of its pieces, nor more than the budget gave.
    most = min(itemsize * math.prod(largest), max(PIECE_BYTES, chunk_bytes))
    piece = largest if in_order else block_shape(spec, most, itemsize=itemsize)
    spared = block_shape(spec, max(PAGE_BYTES, chunk_bytes), itemsize=itemsize)
    return Opened(
        reader.read if pixels.scaling is None else pixels.__getitem__,
        pixels.shape,
        pixels.dtype,
        piece,
        tuple(min(c, p) for c, p in zip(spared, piece, strict=True)),
        tuple(map(spec.axis, access.order)) if in_order else (),
    )


def _banded(made: InOrder) -> Opened:
    """Return what is made of a source that is read in one order alone, in bands of that order."""
    piece = tuple(map(min, made.piece, made.shape))
    return Opened(made.__getitem__, made.shape, made.dtype, piece, piece, made.order)


class InMemory:
    """An array that is there already."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape: Shape = array.shape
        self.dtype: DType = array.dtype

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` as a view."""
        return self.array[region]


class Computed:
    """A dask array whose blocks are independent of one another, but for what all of them need.

    Parameters
    ----------
    array : dask array
    first : mapping
        Arrays of one block that all need; see :func:`needed_by_all`.
    """

    def __init__(self, array: Any, first: Mapping[str, int]) -> None:
        self.array = array
        self.first = first
        self.shape: Shape = array.shape
        self.dtype: DType = array.dtype
        self.chunks: tuple[tuple[int, ...], ...] = array.chunks
        self.in_order = is_ordered(array)
        """Whether the source below has an order of its own."""

    def blocks(self, indices: Sequence[Shape]) -> Reads:
        """Return what computes each of the blocks ``indices``, in this thread; the graph of these alone is built."""
        keys = [(self.array.name, *index) for index in dict.fromkeys(indices)]
        graph = self._begun()
        # In the graph of many blocks an ordered one waits for all before it; in one of its own it does not.
        tasks = {} if self.in_order else dict(self.array.__dask_optimize__(graph, keys))

        def compute(index: Shape) -> Array:
            keys = [(self.array.name, *index)]
            if self.in_order:
                block = np.asarray(_computed(graph, keys)[0])
            else:
                needed, _ = cull(tasks, keys)
                # Not dask.get, whose closures keep the block until the collector of cycles comes by.
                block = np.asarray(get(needed, keys)[0])
            heap.made(block.nbytes)
            return block

        return compute

    def _begun(self) -> HighLevelGraph:
        """Return the graph, in which what all blocks need is computed."""
        graph = self.array.__dask_graph__()
        if not self.first:
            return graph
        layers, below = dict(graph.layers), dict(graph.dependencies)
        keys = [(name, *(0,) * ndim) for name, ndim in self.first.items()]
        for key, value in zip(
            keys, _computed(graph, keys), strict=True
        ):  # together: they may come of one pass
            layers[key[0]], below[key[0]] = MaterializedLayer({key: value}), set()
        return HighLevelGraph(layers, below)


def _computed(graph: HighLevelGraph, keys: list[Any]) -> Any:
    # Not by __dask_optimize__, which makes one layer of several roots: the tasks of all bands, each waiting.
    return dask.get(dict(graph.cull(set(keys))), keys)


type Values = Opened | InMemory | Computed


def values_of(img: xarray.DataArray) -> Values | None:
    """Return where the pixels of ``img`` come from; None when blocks of it share what they are computed from."""
    if img.chunks is None:
        if isinstance(img.variable._data, np.ndarray):
            return InMemory(img.variable._data)
        img = img.chunk()
    pixels = opened_pixels(img)
    if pixels is not None:
        return _opened(pixels, img.chunks or ())
    made = COMPUTED.get(img.data.name)
    if isinstance(made, InOrder):
        return _banded(made)
    return computed(img.data)


def computed(array: Any) -> Computed | None:
    """Return a dask array to be gone through block by block; None when its blocks share what they are computed from.

    One block that all need is no hindrance where the source has an order of its own: one task goes through it, and
    computes that block before.
    """
    first = needed_by_all(array)
    found = None if first is None else Computed(array, first)
    return found if found is None or not first or found.in_order else None


def is_ordered(array: Any) -> bool:
    """Return whether a dask array is computed from a source that has an order of its own."""
    return any(isinstance(layer, OrderedLayer) for layer in array.__dask_graph__().layers.values())


def needed_by_all(array: Any) -> dict[str, int] | None:
    """Return arrays of one block that each block of a dask array is computed from: their axes, by name.

    None when two blocks are computed from the same block of any other array. An array in memory or a file at the
    bottom of the graph does not count: to read it anew costs little.
    """
    graph = array.__dask_graph__()
    layers, below = graph.layers, graph.dependencies
    found: dict[str, int] = {}
    waiting = [array.name] if array.name in layers else list(layers)
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        shared = _shared(name, layers[name], layers, below)
        if shared is None:
            return None
        found |= shared
        new = {source for source in below[name] if source not in shared} - seen
        seen |= new
        waiting += new
    return found


def _shared(name: str, layer: Any, layers: Any, below: Any) -> dict[str, int] | None:
    """Return the arrays of one block that several blocks of a layer need; None when they share any others."""
    if isinstance(layer, Blockwise):
        known, found = set(layer.output_indices), {}
        for source, indices in layer.indices:
            if indices is None:
                continue
            if not set(indices) <= known:
                return None  # a contraction
            if source in layers and below[source] and _is_spread(layer, source, indices):
                if math.prod(layer.numblocks[source]) > 1:
                    return None
                found[source] = len(indices)
        return found
    if isinstance(layer, OrderedLayer | StackedLayer):
        return {}
    if type(layer) is not MaterializedLayer:
        return None
    if below[name]:
        return {} if name.startswith(CUTS) else None
    alone = len(layer) == 1 or not any(_leans(task, layer) for task in layer.mapping.values())
    return {} if alone else None


def _is_spread(layer: Any, source: str, indices: Sequence[Any]) -> bool:
    """Return whether one block of ``source`` goes into several of ``layer``."""
    counts, own = layer.dims, layer.numblocks[source]
    found = dict(zip(indices, own, strict=True))
    return any(counts[index] > found.get(index, 1) for index in layer.output_indices)


def _leans(task: Any, layer: Any) -> bool:
    """Return whether a task of ``layer`` needs another one of it."""
    needs = getattr(task, "dependencies", None)
    if needs is None:
        needs = get_dependencies(layer.mapping, task=task)
    return any(key in layer.mapping for key in needs)
