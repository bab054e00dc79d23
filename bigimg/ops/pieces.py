"""Regions put together from pieces that can only be had whole: blocks that dask computes, bands of an ordered source.

Regions that follow one another share pieces, so those used last are kept.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any

import numpy as np
from dask.core import get

from bigimg.geometry.region import cells, edges_of, overlap, shape_of, shift
from bigimg.readers.spread import Once
from bigimg.system.memory import heap_trimmer
from bigimg.types import Array, Region, Shape


class Pieces:
    """What ``read`` gives for an index, the least recently used dropped first; safe from many threads.

    Two threads that want the same piece read it once. What is dropped is let go before the next one is read.
    """

    def __init__(self, read: Callable[[Shape], Array], most: int) -> None:
        self.read, self.most = read, most
        self.found: OrderedDict[Shape, Future[Array]] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, index: Shape) -> Array:
        """Return the piece at ``index``."""
        with self.lock:
            future = self.found.get(index)
            mine = future is None
            if future is None:
                future = self.found[index] = Future()
                while len(self.found) > self.most:
                    self.found.popitem(last=False)
            else:
                self.found.move_to_end(index)
        if mine:
            try:
                future.set_result(self.read(index))
            except BaseException as error:
                with self.lock:
                    if self.found.get(index) is future:
                        del self.found[index]
                future.set_exception(error)
                raise
        return future.result()


class Pieced:
    """Any region of pixels, put together from chunks of them.

    Parameters
    ----------
    pixels : array-like
        Asked for whole chunks alone.
    chunks : tuple of tuple of int
        Their lengths along each axis.
    kept_bytes : int
        The chunks used last are kept up to here, one at least.
    order : tuple of int
        Axes from slowest to fastest, where they are best had in that order: then by one thread at a time.
    """

    def __init__(
        self, pixels: Any, chunks: tuple[Shape, ...], *, kept_bytes: int = 0, order: tuple[int, ...] = ()
    ) -> None:
        self.pixels, self.edges, self.order = pixels, edges_of(chunks), order
        self.shape, self.dtype, self.chunks = pixels.shape, pixels.dtype, tuple(map(max, chunks))
        each = math.prod(self.chunks) * self.dtype.itemsize
        self.most = max(1, kept_bytes // max(1, each))
        self.read_bytes, self.fixed_bytes = 2 * each, (self.most - 1) * each
        self._begin()

    def __getitem__(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        out = np.empty(shape_of(region), self.dtype)
        start = tuple(s.start for s in region)
        with self._turn:
            met = cells(region, self.edges)
            for index, whole in sorted(met, key=lambda cell: [cell[0][axis] for axis in self.order]):
                part = overlap(whole, region)
                out[shift(part, start)] = self._pieces.get(index)[shift(part, tuple(s.start for s in whole))]
        return out

    def _whole(self, index: Shape) -> Array:
        found: Array = self.pixels[
            tuple(slice(own[i], own[i + 1]) for i, own in zip(index, self.edges, strict=True))
        ]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_pieces", "_turn")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _begin(self) -> None:
        self._pieces = Pieces(self._whole, self.most)
        self._turn: Any = threading.Lock() if self.order else nullcontext()


class Blocks:
    """The blocks of a dask array, each computed alone and in the thread that asks, by index or as the region it fills.

    In the graph of many blocks one of an ordered source waits for all before it.
    """

    def __init__(self, array: Any) -> None:
        self._array = Once(array)
        self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunks
        self._edges = edges_of(array.chunks)

    def __getitem__(self, region: Region) -> Array:
        """Return the block that begins where ``region`` does."""
        index, _ = next(cells(region, self._edges))
        return self.at(index)

    def at(self, index: Shape) -> Array:
        """Return the block of an index."""
        array = self._array()
        key = (array.name, *index)
        return computed_block(dict(array.__dask_optimize__(array.__dask_graph__(), [key])), key)


def computed_block(tasks: Mapping[Any, Any], key: tuple[Any, ...]) -> Array:
    """Return the block of a key, computed in this thread from tasks that are all needed for it."""
    # Not dask.get, whose closures keep the block until the collector of cycles comes by.
    block = np.asarray(get(tasks, [key])[0])
    heap_trimmer.count(block.nbytes)
    return block
