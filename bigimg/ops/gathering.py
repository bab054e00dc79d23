"""Regions of a dask array to blocks of another, by tasks that are written down when they are asked for.

``rechunk`` and ``overlap`` of dask write all of theirs at once, 0.7 s for 10**5 chunks, and know only one margin
for all blocks. A layer that forms its tasks from the operation costs nothing to build, and a part of the result
only that part.
"""

from __future__ import annotations

import abc
import itertools
import math
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import dask.array
import numpy as np
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer

from bigimg.geometry.region import cells, edges_of, shape_of, shift
from bigimg.types import Array, Region

type Chunks = tuple[tuple[int, ...], ...]


def gathered(data: Any, operation: Any, chunks: Chunks) -> Any:
    """Return the result of ``operation`` on the dask array ``data``, in blocks of ``chunks``.

    Parameters
    ----------
    data : dask array
    operation : bigimg.ops.derived.Operation
    chunks : tuple of tuple of int
        Of the result, along each axis.
    """
    called = f"bigimg-{type(operation).__name__.lower()}-{uuid.uuid4().hex}"
    layer = GatheredLayer(called, operation, chunks, data.name, data.chunks)
    graph = HighLevelGraph.from_collections(called, layer, dependencies=[data])
    meta = np.empty((0,) * len(chunks), operation.dtype)
    return dask.array.Array(graph, called, chunks, meta=meta)


class OnDemandLayer(Layer, abc.ABC):  # type: ignore[misc]  # dask has no types
    """Blocks of one array, each a task that is made when it is asked for."""

    def __init__(self, name: str, counts: Sequence[int]) -> None:
        super().__init__()
        self.name = name
        self.counts = tuple(counts)
        """Blocks along each axis."""

    @abc.abstractmethod
    def task(self, index: Sequence[int]) -> tuple[Any, list[Any]]:
        """Return the task of block ``index``, and the keys that it needs."""

    def is_materialized(self) -> bool:
        """Return False: tasks are made when they are asked for."""
        return False

    def get_output_keys(self) -> set[Any]:
        """Return the keys of all blocks."""
        return set(self)

    def __iter__(self) -> Iterator[Any]:
        return ((self.name, *index) for index in itertools.product(*map(range, self.counts)))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __contains__(self, key: Any) -> bool:
        return (
            isinstance(key, tuple)
            and len(key) == len(self.counts) + 1
            and key[0] == self.name
            and all(0 <= i < count for i, count in zip(key[1:], self.counts, strict=True))
        )

    def __getitem__(self, key: Any) -> Any:
        if key not in self:
            raise KeyError(key)
        return self.task(key[1:])[0]

    def cull(self, keys: set[Any], all_hlg_keys: Collection[Any]) -> tuple[Layer, dict[Any, set[Any]]]:
        """Return the layer of ``keys`` alone, and which chunks each needs."""
        tasks = {key: self.task(key[1:]) for key in keys if key in self}
        layer = MaterializedLayer(
            {key: task for key, (task, _) in tasks.items()}, annotations=self.annotations
        )
        return layer, {key: set(needs) for key, (_, needs) in tasks.items()}


class GatheredLayer(OnDemandLayer):
    """One task a block of the result; its arguments are the chunks that the block is made of."""

    def __init__(self, name: str, operation: Any, chunks: Chunks, source: str, source_chunks: Chunks) -> None:
        super().__init__(name, list(map(len, chunks)))
        self.operation = operation
        self.source = source
        self.edges = edges_of(chunks)
        self.source_edges = edges_of(source_chunks)

    def task(self, index: Sequence[int]) -> tuple[Any, list[Any]]:
        """Return the task of block ``index``, and the keys that it needs."""
        region = tuple(slice(edges[i], edges[i + 1]) for i, edges in zip(index, self.edges, strict=True))
        source = self.operation.source(region)
        keys, places = [], []
        for chunk, cell in cells(source, self.source_edges):
            keys.append((self.source, *chunk))
            places.append([s.start for s in cell])
        # Lists, not tuples: dask looks into tuples for tasks and keys.
        return (Made(self.operation, source, region, places), keys), keys


def stacked(arrays: Sequence[Any], axis: int) -> Any:
    """Return dask arrays of one shape, type and chunks side by side along a new ``axis``."""
    called = f"bigimg-stack-{uuid.uuid4().hex}"
    chunks = arrays[0].chunks
    layer = StackedLayer(called, [data.name for data in arrays], axis, list(map(len, chunks)))
    graph = HighLevelGraph.from_collections(called, layer, dependencies=list(arrays))
    chunks = (*chunks[:axis], (1,) * len(arrays), *chunks[axis:])
    return dask.array.Array(graph, called, chunks, meta=np.empty((0,) * len(chunks), arrays[0].dtype))


class StackedLayer(OnDemandLayer):
    """One task a block, which gives it its new axis."""

    def __init__(self, name: str, sources: Sequence[str], axis: int, counts: Sequence[int]) -> None:
        super().__init__(name, [*counts[:axis], len(sources), *counts[axis:]])
        self.sources = list(sources)
        self.axis = axis

    def task(self, index: Sequence[int]) -> tuple[Any, list[Any]]:
        """Return the task of block ``index``, and the key that it needs."""
        key = (self.sources[index[self.axis]], *index[: self.axis], *index[self.axis + 1 :])
        return (np.expand_dims, key, self.axis), [key]


class Made:
    """Puts chunks together to a region, and makes a block of it."""

    def __init__(self, operation: Any, source: Region, region: Region, places: list[list[int]]) -> None:
        self.operation = operation
        self.source = source
        self.region = region
        self.places = places
        """First pixel of each chunk."""

    def __call__(self, chunks: list[Array]) -> Array:
        """Return the block."""
        made: Array = self.operation.make(self._joined(chunks), self.source, self.region)
        return made

    def _joined(self, chunks: list[Array]) -> Array:
        if len(chunks) == 1:
            found = chunks[0][shift(self.source, tuple(self.places[0]))]
            # A view would keep the whole chunk.
            return found if 2 * found.size > chunks[0].size else found.copy()
        block = np.empty(shape_of(self.source), chunks[0].dtype)
        for chunk, place in zip(chunks, self.places, strict=True):
            part = tuple(
                slice(max(s.start, p), min(s.stop, p + n))
                for s, p, n in zip(self.source, place, chunk.shape, strict=True)
            )
            origin = tuple(s.start for s in self.source)
            block[shift(part, origin)] = chunk[shift(part, tuple(place))]
        return block
