"""Decoded tiles of which a part is wanted later: each is kept until all of it was read once.

Where the blocks of a conversion cut tiles, the next block wants the rest of them. In a pass over a plane, row of blocks
by row of blocks, what is kept at any time is about one row of tiles, and each tile is decoded once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable


class KeptTiles[T]:
    """Decoded tiles by number; from any thread.

    Parameters
    ----------
    most : int
        Tiles that are kept; those that were not read for the longest time are dropped first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._tiles: OrderedDict[int, _Tile[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, number: int, wanted: int, seen: int, decode: Callable[[], T]) -> T:
        """Return a decoded tile; threads that want the same one wait for the first.

        Parameters
        ----------
        number : int
        wanted : int
            Values that are read now.
        seen : int
            Values that are ever read in a pass: with the last of them the tile is dropped.
        decode : callable
        """
        with self._lock:
            tile = self._tiles.setdefault(number, _Tile(seen))
            self._tiles.move_to_end(number)
            tile.left -= wanted
            if tile.left <= 0:
                del self._tiles[number]
            while len(self._tiles) > self.most:
                self._tiles.popitem(last=False)
        with tile.lock:
            if tile.decoded is None:
                tile.decoded = decode()
            return tile.decoded

    def clear(self) -> None:
        """Drop all tiles."""
        with self._lock:
            self._tiles.clear()

    def __reduce__(self) -> tuple[object, ...]:
        return KeptTiles, (self.most,)


class _Tile[T]:
    def __init__(self, left: int) -> None:
        self.left, self.lock = left, threading.Lock()
        self.decoded: T | None = None
