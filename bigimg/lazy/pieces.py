"""Regions put together from pieces that can only be had whole: blocks that dask computes, bands of an ordered source.

Regions that follow one another share pieces, so those used last are kept.
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

AHEAD = 8
"""Pieces that may be passed over and kept: as many as threads are likely to ask for out of turn."""
PATIENCE = 0.005
"""Seconds to wait for a thread that was to come first, where pieces would be left out: less than to go back costs."""


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


class Turn:
    """Pieces of a source that goes forward only, for threads that ask at once: one after another, the first one first.

    A thread that would leave pieces out waits a moment for another one that was about to ask for them. Where several
    threads ask, the few pieces before its own are read too, and kept for who comes for them: dask begins a later block
    before an earlier one when its threads have nothing else to do.
    """

    def __init__(self, read: Callable[[int], Array]) -> None:
        self.read = read
        self._next = 0
        self._kept: dict[int, Array] = {}
        self._wanted: list[int] = []
        self._busy = False
        self._free = threading.Condition()

    def get(self, rank: int) -> Array:
        """Return the piece that comes at place ``rank`` in the order of the source."""
        with self._free:
            alone = not self._busy and not self._wanted
            bisect.insort(self._wanted, rank)
            self._free.notify_all()
            if rank > self._next:
                self._free.wait_for(lambda: len(self._wanted) > 1, PATIENCE)
            self._free.wait_for(lambda: not self._busy and self._wanted[0] == rank)
            alone = alone and len(self._wanted) == 1
            self._wanted.remove(rank)
            self._busy = True
        try:
            if rank in self._kept:
                return self._kept.pop(rank)
            if not alone and rank <= self._next + AHEAD:
                for passed in range(self._next, rank):
                    self._kept[passed] = self.read(passed)
            while len(self._kept) > AHEAD:
                del self._kept[next(iter(self._kept))]
            found = self.read(rank)
            self._next = rank + 1
            return found
        finally:
            with self._free:
                self._busy = False
                self._free.notify_all()


class InTurn:
    """The cells between ``edges``, each read in its turn."""

    def __init__(
        self, whole: Callable[[Region], Array], edges: Sequence[Sequence[int]], order: Sequence[int]
    ) -> None:
        self.whole, self.edges, self.order = whole, edges, tuple(order)
        self.counts = [len(own) - 1 for own in edges]
        self._turn = Turn(self._at)

    def get(self, index: Shape) -> Array:
        """Return the cell at ``index``."""
        rank = 0
        for axis in self.order:
            rank = rank * self.counts[axis] + index[axis]
        return self._turn.get(rank)

    def _at(self, rank: int) -> Array:
        index = [0] * len(self.counts)
        for axis in reversed(self.order):
            rank, index[axis] = divmod(rank, self.counts[axis])
        return self.whole(region_at(index, self.edges))

    def __reduce__(self) -> Any:
        return InTurn, (self.whole, self.edges, self.order)


def region_at(index: Sequence[int], edges: Sequence[Sequence[int]]) -> Region:
    """Return the cell at ``index`` between ``edges``."""
    return tuple(slice(own[i], own[i + 1]) for i, own in zip(index, edges, strict=True))


class Pieced(Node):
    """Any region of pixels, put together from chunks of them.

    Parameters
    ----------
    pixels : Node
        Asked for whole chunks alone.
    chunks : tuple of tuple of int
        Their lengths along each axis.
    kept_bytes : int
        The chunks used last are kept up to here, one at least.
    """

    def __init__(self, pixels: Node, chunks: Sequence[Sequence[int]], *, kept_bytes: int = 0) -> None:
        self.sources = (pixels,)
        self._cut(pixels, chunks, kept_bytes)
        self.order = pixels.order

    def _cut(self, pixels: Any, chunks: Sequence[Sequence[int]], kept_bytes: int) -> None:
        self.shape, self.dtype = tuple(pixels.shape), np.dtype(pixels.dtype)
        self.edges = edges_of(chunks)
        self.piece: Shape = tuple(map(max, chunks))
        self.piece_bytes = math.prod(self.piece) * self.dtype.itemsize
        self.most = max(1, kept_bytes // max(1, self.piece_bytes))
        self._pieces = Pieces(self._read_piece, self.most)
        self._turns: InTurn | None = None

    @property
    def chunks(self) -> Shape:
        """The largest chunk."""
        return self.piece

    @property
    def read_bytes(self) -> int:
        """A chunk, and what it is made from."""
        return 2 * self.piece_bytes

    @property
    def own_bytes(self) -> int:
        """The chunks that are kept."""
        return (self.most - 1) * self.piece_bytes

    @property
    def token(self) -> str:
        """That of the pixels."""
        return self.sources[0].token

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

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_pieces", "_turns")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pieces = Pieces(self._read_piece, self.most)
        self._turns = None


def grouped(lengths: Sequence[Sequence[int]], most: int) -> list[Shape]:
    """Return chunk lengths with neighbours put together, the fastest axes first, up to ``most`` pixels a chunk.

    >>> grouped([(2, 2), (3, 3, 3)], 14)
    [(2, 2), (6, 3)]
    """
    room = most // math.prod(map(max, lengths))
    found = []
    for own in reversed(lengths):
        step = max(1, min(len(own), room))
        room //= step
        found.append(tuple(sum(part) for part in itertools.batched(own, step)))
    return found[::-1]
