"""Regions put together from pieces that are only made whole: blocks that dask computes, bands of an ordered source.

Regions that follow one another share pieces, so the pieces used last are kept.
"""

from __future__ import annotations

import bisect
import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from bigimg.geometry.region import cells, edges_of, overlap, shape_of, shift
from bigimg.lazy.node import Node
from bigimg.types import Array, Region, Shape

AHEAD = 4
"""Pieces before the wanted one that are read and kept: threads are likely to ask for so many out of turn."""
PATIENCE = 0.02
"""Seconds to wait for the thread that needs an earlier piece; going back to that piece would cost more."""


class Pieces:
    """A cache of what ``read`` returns for an index; the least recently used piece is dropped first. Thread-safe.

    If two threads need the same piece, it is read once. A piece is dropped before the next one is read. A pickled
    cache is empty.
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

    def drop(self) -> None:
        """Let go of all pieces."""
        with self.lock:
            self.found.clear()

    def __reduce__(self) -> Any:
        return Pieces, (self.read, self.most)


class InTurn:
    """The cells between ``edges`` of a source that can only be read forwards: several threads get them in its order.

    A thread that would skip cells waits a moment for another thread that is about to ask for them. A few cells between
    the last one and the wanted one are read too and kept for those threads: dask begins a later block before an
    earlier one when its threads have nothing else to do.

    Parameters
    ----------
    read : callable
        Returns the pixels of a region.
    edges : sequence of sequence of int
        Ends of the cells along each axis.
    order : sequence of int
        Axes of the source from slowest to fastest.
    """

    def __init__(
        self, read: Callable[[Region], Array], edges: Sequence[Sequence[int]], order: Sequence[int]
    ) -> None:
        self.read, self.edges, self.order = read, edges, tuple(order)
        self.counts = [len(edges[axis]) - 1 for axis in order]
        self._next = 0
        self._kept: dict[int, Array] = {}
        self._wanted: list[int] = []
        self._busy = False
        self._free = threading.Condition()

    def get(self, index: Shape) -> Array:
        """Return the cell at ``index``."""
        rank = int(np.ravel_multi_index([index[axis] for axis in self.order], self.counts))
        with self._free:
            bisect.insort(self._wanted, rank)
            self._free.notify_all()
            try:
                if rank > self._next:
                    self._free.wait_for(lambda: len(self._wanted) > 1, PATIENCE)
                self._free.wait_for(lambda: not self._busy and self._wanted[0] == rank)
                self._busy = True
            finally:  # after Ctrl-C too, or all others would wait for it
                self._wanted.remove(rank)
                self._free.notify_all()
        try:
            if rank in self._kept:
                return self._kept.pop(rank)
            if self._next < rank <= self._next + AHEAD:
                for passed in range(self._next, rank):
                    self._kept[passed] = self._at(passed)
            while len(self._kept) > AHEAD:
                del self._kept[next(iter(self._kept))]
            found = self._at(rank)
            self._next = rank + 1
            return found
        finally:
            with self._free:
                self._busy = False
                self._free.notify_all()

    def _at(self, rank: int) -> Array:
        index = [0] * len(self.edges)
        for axis, i in zip(self.order, np.unravel_index(rank, self.counts), strict=True):
            index[axis] = int(i)
        return self.read(region_at(index, self.edges))

    def __reduce__(self) -> Any:
        return InTurn, (self.read, self.edges, self.order)


def region_at(index: Sequence[int], edges: Sequence[Sequence[int]]) -> Region:
    """Return the cell at ``index`` between ``edges``."""
    return tuple(slice(ends[i], ends[i + 1]) for i, ends in zip(index, edges, strict=True))


class Pieced(Node):
    """Any region of pixels, put together from chunks of them.

    Parameters
    ----------
    pixels : Node
        Only whole chunks are read of it.
    chunks : tuple of tuple of int
        Their lengths along each axis.
    kept_bytes : int
        The chunks used last are kept, up to so many bytes; at least one.
    """

    def __init__(self, pixels: Node, chunks: Sequence[Sequence[int]], *, kept_bytes: int = 0) -> None:
        self.sources = (pixels,)
        self.order, self.token = pixels.order, pixels.token
        self._cut(pixels, chunks, kept_bytes)

    def _cut(self, pixels: Any, chunks: Sequence[Sequence[int]], kept_bytes: int) -> None:
        self.shape, self.dtype = tuple(pixels.shape), np.dtype(pixels.dtype)
        self.edges = edges_of(chunks)
        self.chunks = tuple(map(max, chunks))
        chunk_bytes = math.prod(self.chunks) * self.dtype.itemsize
        most = max(1, kept_bytes // max(1, chunk_bytes))
        self.read_bytes, self.own_bytes = 2 * chunk_bytes, (most - 1) * chunk_bytes
        self._pieces = Pieces(self._read_piece, most)
        self._turns: InTurn | None = None

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        out = np.empty(shape_of(region), self.dtype)
        start = tuple(s.start for s in region)
        met = cells(region, self.edges)
        for index, whole in sorted(met, key=lambda cell: [cell[0][axis] for axis in self.order]):
            part = overlap(whole, region)
            out[shift(part, start)] = self._pieces.get(index)[shift(part, tuple(s.start for s in whole))]
        return out

    def _read_piece(self, index: Shape) -> Array:
        if not self.order:
            return self._whole(region_at(index, self.edges))
        if self._turns is None:
            self._turns = InTurn(self._whole, self.edges, self.order)
        return self._turns.get(index)

    def _whole(self, region: Region) -> Array:
        return self.sources[0].read(region)


def grouped(lengths: Sequence[Sequence[int]], most: int) -> list[Shape]:
    """Return lengths of larger chunks: neighbours are joined, along the fastest axes first, up to ``most`` pixels.

    >>> grouped([(2, 2), (3, 3, 3)], 14)
    [(2, 2), (6, 3)]
    """
    room = most // math.prod(map(max, lengths))
    found = []
    for line in reversed(lengths):
        step = max(1, min(len(line), room))
        room //= step
        found.append(tuple(sum(part) for part in itertools.batched(line, step)))
    return found[::-1]
