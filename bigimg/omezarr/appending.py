"""A new file written from front to end, past the page cache where the system can.

The pixels of a large image are written once and not read again soon. Through the page cache each byte is copied
once more, and pushes out what the machine has better use for; in a memory group the dirty pages count as ours. So
large objects go from a small aligned buffer straight to the disk (``O_DIRECT``), all but the bytes that fill no page.
Codecs write into that same buffer: no compressed chunk is an object of its own.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
import threading
from pathlib import Path
from typing import Self

import numpy as np

from bigimg.types import Array

PAGE = 4096
"""Of addresses, offsets and lengths, in bytes: what every disk of today takes."""
BUFFER_BYTES = 2 << 20
"""A thread keeps so much; disks are near their full speed with writes of this size."""
LEAST_DIRECT = 1 << 20
"""Objects that cannot be larger go through the page cache: to wait for the disk would cost more than the copy."""

_kept = threading.local()


class Appending:
    """A file that did not exist before, filled from front to end through a buffer that others may fill."""

    def __init__(self, path: Path, most: int) -> None:
        """Create the file ``path``, which will hold about ``most`` bytes at most.

        Raises
        ------
        FileExistsError
            It is there already.
        """
        self.length = 0
        """Bytes appended so far."""
        self._start = 0
        """First byte of the buffer that is not in the file."""
        self._end = 0
        self._buffer = _buffer(BUFFER_BYTES)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o666)
        self._direct = most >= LEAST_DIRECT and _set_direct(self._file, True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None:
                self._write_whole_pages()
                self._write_through_cache()
                _start_writing_back(self._file)
        finally:
            os.close(self._file)

    def room(self, size: int) -> Array:
        """Return the next ``size`` bytes to be filled, uint8; :meth:`fill` says how many were."""
        if self._end + size > self._buffer.size:
            self._write_whole_pages()
            rest = self._buffer[self._start : self._end]
            self._buffer = _buffer(rest.size + size)
            self._buffer[: rest.size] = rest
            self._start, self._end = 0, rest.size
        return self._buffer[self._end : self._end + size]

    def fill(self, size: int) -> None:
        """Count the first ``size`` bytes of the last :meth:`room` as appended."""
        self._end += size
        self.length += size

    def append(self, data: bytes) -> None:
        """Append ``data``."""
        self.room(len(data))[:] = np.frombuffer(data, np.uint8)
        self.fill(len(data))

    def _write_whole_pages(self) -> None:
        """Write what fills pages; the rest of the last one stays in the buffer."""
        last = self._end // PAGE * PAGE
        while self._direct and self._start < last:
            try:
                self._start += os.write(self._file, self._buffer[self._start : last].data)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._direct = _set_direct(self._file, False)  # larger pages than ours
            if self._start % PAGE:  # a short write is legal, on a nearly full disk even likely
                self._direct = _set_direct(self._file, False)
        if not self._direct:
            self._write_through_cache()

    def _write_through_cache(self) -> None:
        if self._direct:
            self._direct = _set_direct(self._file, False)
        while self._start < self._end:
            self._start += os.write(self._file, self._buffer[self._start : self._end].data)


def _set_direct(file: int, wanted: bool) -> bool:
    """Let writes to the descriptor ``file`` pass by the page cache, or not; return whether they do."""
    if not hasattr(os, "O_DIRECT"):
        return False
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
    except OSError:  # a file system that has no such thing, as many in memory
        return False
    return wanted


def _start_writing_back(file: int) -> None:
    """Let the system begin to put on the disk what the cache has of ``file``, and do not wait for it.

    The one sync at the end then finds most of its work done, while other blocks were computed. Only a hint:
    what it cannot do is left to the sync.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.sync_file_range(file, ctypes.c_int64(0), ctypes.c_int64(0), 2)  # SYNC_FILE_RANGE_WRITE


def _buffer(size: int) -> Array:
    """Return this thread's buffer, of at least ``size`` bytes, on a page of its own."""
    kept: Array | None = getattr(_kept, "buffer", None)
    if kept is None or kept.size < size:
        rounded = -(-max(size, BUFFER_BYTES) // PAGE) * PAGE
        # Not an anonymous mmap: Python's are shared, so forked workers would write into one another's.
        memory = np.empty(rounded + PAGE, np.uint8)
        first = -memory.ctypes.data % PAGE
        kept = _kept.buffer = memory[first : first + rounded]
    return kept
