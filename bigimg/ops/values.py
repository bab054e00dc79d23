"""Where the pixels of a labelled array come from: an opened source, memory, or blocks that dask computes.

An opened source and an array in memory give any region. Of computed blocks a pass takes one after another, which
is possible without computing anything twice when each of them is made from blocks of its own: that is read from
the layers of the graph, without building its tasks (:func:`computed`). Of an ordered source it is the only way
that does not read ahead. What all blocks need, as a threshold, is computed before the first of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from dask.blockwise import Blockwise
from dask.core import get, get_dependencies
from dask.highlevelgraph import MaterializedLayer
from dask.optimization import cull

from bigimg.ops.derived import InOrder
from bigimg.ops.gathering import StackedLayer
from bigimg.planning.heap import heap
from bigimg.readers.bands import OrderedLayer
from bigimg.readers.labelled import opened_pixels
from bigimg.readers.lazy import COMPUTED, LazyPixels, block_shape
from bigimg.readers.spread import is_spread, spread, with_known
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
    needs : mapping
        What is to be computed before any block; see :func:`bigimg.readers.spread.spread`.
    """

    def __init__(self, array: Any, needs: Mapping[str, Any]) -> None:
        self.array = array
        self.needs = needs
        self.shape: Shape = array.shape
        self.dtype: DType = array.dtype
        self.chunks: tuple[tuple[int, ...], ...] = array.chunks
        self.in_order = is_ordered(array)
        """Whether the source below has an order of its own."""

    def blocks(self, indices: Sequence[Shape], known: Mapping[str, Any]) -> Reads:
        """Return what computes each of the blocks ``indices``, in this thread; the graph of these alone is built.

        Parameters
        ----------
        indices : sequence of tuple
        known : mapping
            The values of :attr:`needs`, by name.
        """
        keys = [(self.array.name, *index) for index in dict.fromkeys(indices)]
        graph = with_known(self.array, self.needs, known)
        optimize = self.array.__dask_optimize__
        # In the graph of many blocks an ordered one waits for all before it; in one of its own it does not.
        tasks = {} if self.in_order else dict(optimize(graph, keys))

        def compute(index: Shape) -> Array:
            keys = [(self.array.name, *index)]
            needed = dict(optimize(graph, keys)) if self.in_order else cull(tasks, keys)[0]
            # Not dask.get, whose closures keep the block until the collector of cycles comes by.
            block = np.asarray(get(needed, keys)[0])
            heap.made(block.nbytes)
            return block

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
        return _opened(pixels, img.chunks or ())
    made = COMPUTED.get(img.data.name)
    if isinstance(made, InOrder):
        return _banded(made)
    return computed(img.data)


def computed(array: Any) -> Computed | None:
    """Return a dask array to be gone through block by block; None when its blocks share what they are computed from.

    What all of them need is no hindrance.
    """
    needs = spread(array)
    return Computed(array, needs) if _independent(array, needs) else None


def is_ordered(array: Any) -> bool:
    """Return whether a dask array is computed from a source that has an order of its own."""
    return any(isinstance(layer, OrderedLayer) for layer in array.__dask_graph__().layers.values())


def _independent(array: Any, first: Collection[str]) -> bool:
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
