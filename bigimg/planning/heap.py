"""Memory that was let go, given back to the system while an operation goes on.

glibc keeps blocks of up to 32 MB that were freed for the next ones, in a heap for each thread, and a heap that is no
longer in one piece grows: `stats` of `2 a + 1` of a 16-GiB store went from 300 to 680 MB in half a minute, of which
270 MB were in use. Whoever makes block after block for minutes asks now and then for the rest of it.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache

EVERY_BYTES = 128 << 20
"""Of blocks made between two times: some milliseconds for what takes a quarter of a second to make."""


class Heap:
    """Counts the bytes of blocks that were made, by all threads, and gives back what was freed now and then."""

    def __init__(self) -> None:
        self._made = 0
        self._lock = threading.Lock()

    def made(self, size: int) -> None:
        """Take notice of a block of ``size`` bytes."""
        with self._lock:
            self._made += size
            if self._made < EVERY_BYTES:
                return
            self._made = 0
        _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    """Return glibc's function; other C libraries have none, and ways of their own."""
    found: Callable[[int], object] = getattr(ctypes.CDLL(None), "malloc_trim", lambda keep: 0)
    return found


heap = Heap()
