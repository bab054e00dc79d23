"""A new file written from front to end, past the page cache where the system can.

The pixels of a large image are written once and not read again soon. Through the page cache each byte is copied
once more, and pushes out what the machine has better use for; in a memory group the dirty pages count as ours. So
large objects go from an aligned buffer straight to the disk (``O_DIRECT``), all but the bytes that fill no page, while
a second buffer is filled. Codecs write into the buffers: no compressed chunk is an object of its own.
"""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np

from bigimg.system import files, sync
from bigimg.system.processes import after_fork
from bigimg.types import Array

PAGE = 4096
"""Of addresses, offsets and lengths, in bytes: what every disk of today takes."""
BUFFER_BYTES = 1 << 20
"""Of each of the two buffers that a thread keeps; disks are near their full speed with writes of this size."""
LEAST_DIRECT = 1 << 20
"""Objects that cannot be larger go through the page cache: to wait for the disk would cost more than the copy."""

_kept = threading.local()


class Appending:
    """A file that did not exist before, filled from front to end through buffers that others may fill.

    Parameters
    ----------
    path : Path
    most : int
        Bytes that the file will have, at most; about.
    room : int
        Bytes that will be asked for at once, at most.

    Raises
    ------
    FileExistsError
        It is there already.
    """

    def __init__(self, path: Path, most: int, room: int) -> None:
        self.length = 0
        """Bytes appended so far."""
        self._filled = 0
        """Bytes of the buffer that wait to be written; those before them are written, or under way."""
        self._buffer, self._other = _buffers(room + PAGE)
        self._under_way: Future[None] | None = None
        self._file = files.create(path)
        self._direct = most >= LEAST_DIRECT and files.pass_cache(self._file, True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None and self._direct:
                self._begin_writing()
            self._wait()
            if error is None:
                self._direct = files.pass_cache(self._file, False)
                self._write(self._buffer[: self._filled])
                sync.start_writing_back(self._file)
        finally:
            os.close(self._file)

    def room(self, size: int) -> Array:
        """Return the next ``size`` bytes to be filled, uint8; :meth:`fill` says how many were."""
        if self._filled + size > self._buffer.size:
            self._begin_writing()
        return self._buffer[self._filled : self._filled + size]

    def fill(self, size: int) -> None:
        """Count the first ``size`` bytes of the last :meth:`room` as appended."""
        self._filled += size
        self.length += size

    def append(self, data: bytes) -> None:
        """Append ``data``, however long."""
        values = np.frombuffer(data, np.uint8)
        for start in range(0, values.size, BUFFER_BYTES - PAGE):
            part = values[start : start + BUFFER_BYTES - PAGE]
            self.room(part.size)[:] = part
            self.fill(part.size)

    def _begin_writing(self) -> None:
        """Begin to write the buffer as far as it fills pages, and go on in the other one with the rest."""
        self._wait()
        whole = self._filled // PAGE * PAGE if self._direct else self._filled
        rest = self._buffer[whole : self._filled]
        self._other[: rest.size] = rest
        self._under_way = _writer().submit(self._write, self._buffer[:whole])
        self._buffer, self._other = self._other, self._buffer
        self._filled = rest.size

    def _wait(self) -> None:
        """Wait until the other buffer is free again, and raise what went wrong with it."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _write(self, data: Array) -> None:
        while data.size:
            try:
                written = os.write(self._file, data.data)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._direct:
                    raise
                written = 0  # the disk wants larger pages than ours
            if not written or written % PAGE:  # a short write is legal, on a nearly full disk even likely
                self._direct = files.pass_cache(self._file, False)
            data = data[written:]


def _buffers(size: int) -> tuple[Array, Array]:
    """Return this thread's buffers, of at least ``size`` bytes each, on pages of their own."""
    kept: tuple[Array, Array] | None = getattr(_kept, "buffers", None)
    if kept is None or kept[0].size < size:
        kept = _kept.buffers = _aligned(max(size, BUFFER_BYTES)), _aligned(max(size, BUFFER_BYTES))
    return kept


def _aligned(size: int) -> Array:
    # Not an anonymous mmap: Python's are shared, so forked workers would write into one another's.
    memory = np.empty(size + 2 * PAGE, np.uint8)
    first = -memory.ctypes.data % PAGE
    return memory[first : first + -(-size // PAGE) * PAGE]


def _writer() -> Executor:
    """Return the thread that writes for this one; a forked process starts one of its own."""
    kept: Executor | None = getattr(_kept, "writer", None)
    if kept is None:
        kept = _kept.writer = ThreadPoolExecutor(1, "bigimg-write")
    return kept


after_fork(lambda: _kept.__dict__.clear())
