"""Where the pixels of a labelled array come from: an opened source, memory, or blocks that dask computes.

An opened source and an array in memory give any region. Of computed blocks a pass takes one after another, which
is possible without computing anything twice when each of them is made from blocks of its own: that is read from
the layers of the graph, without building its tasks (:func:`are_independent`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import dask
import numpy as np
import xarray
from dask.blockwise import Blockwise
from dask.core import get_dependencies
from dask.highlevelgraph import MaterializedLayer
from dask.optimization import cull

from bigimg.ops.derived import Derived
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


class Opened:
    """The pixels of a reader, just as they were opened."""

    def __init__(self, pixels: LazyPixels, blocks: tuple[tuple[int, ...], ...]) -> None:
        self.pixels = pixels
        self.shape: Shape = pixels.shape
        self.dtype: DType = pixels.dtype
        spec, access = pixels.reader.spec, pixels.reader.access
        self.in_order = access.kind == "sequential"
        largest = tuple(max(lengths) for lengths in blocks)
        itemsize = self.dtype.itemsize
        chunk_bytes = itemsize * math.prod(min(c, n) for c, n in zip(spec.chunks, spec.shape, strict=True))
        # Never less than a chunk, or it would be decoded for each of its pieces, nor more than the budget gave.
        most = min(itemsize * math.prod(largest), max(PIECE_BYTES, chunk_bytes))
        self.piece: Shape = largest if self.in_order else block_shape(spec, most, itemsize=itemsize)
        spared = block_shape(spec, max(PAGE_BYTES, chunk_bytes), itemsize=itemsize)
        self.chunk: Shape = tuple(min(c, p) for c, p in zip(spared, self.piece, strict=True))
        """What a mask can spare: what is decoded at once, or a page of what is not."""
        self.order = tuple(spec.axis(name) for name in access.order) if self.in_order else ()

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``; a view when the reader gives one."""
        pixels = self.pixels
        return pixels[region] if pixels.scaling is not None else pixels.reader.read(region)


class InOrder(Opened):
    """What is made region by region of a source that is read in one order alone, in bands of that order."""

    def __init__(self, made: Derived, dims: Sequence[Hashable]) -> None:
        self.made = made
        self.shape, self.dtype, self.in_order = made.shape, made.dtype, True
        self.piece = self.chunk = tuple(map(min, made.piece, made.shape))
        self.order = tuple(dims.index(name) for name in made.order)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        return self.made[region]


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
    """A dask array whose blocks are independent of one another."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape: Shape = array.shape
        self.dtype: DType = array.dtype
        self.chunks: tuple[tuple[int, ...], ...] = array.chunks
        layers = array.__dask_graph__().layers.values()
        self.in_order = any(isinstance(layer, OrderedLayer) for layer in layers)
        """Whether the source below has an order of its own."""

    def blocks(self, indices: Sequence[Shape]) -> Reads:
        """Return what computes each of the blocks ``indices``, in this thread; the graph of these alone is built."""
        keys = [(self.array.name, *index) for index in dict.fromkeys(indices)]
        graph = self.array.__dask_graph__()
        # In the graph of many blocks an ordered one waits for all before it; in one of its own it does not.
        tasks = {} if self.in_order else dict(self.array.__dask_optimize__(graph, keys))

        def compute(index: Shape) -> Array:
            key = (self.array.name, *index)
            if self.in_order:
                return np.asarray(dask.get(dict(self.array.__dask_optimize__(graph, [key])), key))
            needed, _ = cull(tasks, [key])
            return np.asarray(dask.get(needed, key))

        return compute


type Values = Opened | InMemory | Computed


def values_of(img: xarray.DataArray) -> Values | None:
    """Return where the pixels of ``img`` come from; None when blocks of it share what they are computed from."""
    if img.chunks is None:
        if isinstance(img.variable._data, np.ndarray):
            return InMemory(img.variable._data)
        img = img.chunk()
    pixels = opened_pixels(img)
    if pixels is not None:
        return Opened(pixels, img.chunks or ())
    made = COMPUTED.get(img.data.name)
    if isinstance(made, Derived) and made.order:
        return InOrder(made, img.dims)
    return Computed(img.data) if are_independent(img.data) else None


def are_independent(array: Any) -> bool:
    """Return whether no two blocks of a dask array are computed from the same block of another one.

    An array in memory or a file at the bottom of the graph does not count: to read it anew costs little.
    """
    graph = array.__dask_graph__()
    layers, below = graph.layers, graph.dependencies
    return all(_is_independent(name, layer, layers, below) for name, layer in layers.items())


def _is_independent(name: str, layer: Any, layers: Any, below: Any) -> bool:
    if isinstance(layer, Blockwise):
        known = set(layer.output_indices)
        for source, indices in layer.indices:
            if indices is None:
                continue
            if not set(indices) <= known:
                return False  # a contraction
            if source in layers and below[source] and _is_spread(layer, source, indices):
                return False
        return True
    if isinstance(layer, OrderedLayer):
        return True
    if type(layer) is not MaterializedLayer:
        return False
    if below[name]:
        return name.startswith(CUTS)
    return len(layer) == 1 or not any(_leans(task, layer) for task in layer.mapping.values())


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
