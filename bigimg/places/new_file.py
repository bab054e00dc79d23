"""A new file that is written from front to end, past the page cache where the system can do so.

The pixels of a large image are written once and not read again soon. The page cache would copy each byte once more
and push out data of other programs, and in a memory group its dirty pages count as ours. So large objects are written
from an aligned buffer straight to the disk (``O_DIRECT``), except the last bytes that fill no page, while a second
buffer is filled. Codecs write into the buffers, so no compressed chunk needs memory of its own.
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
"""Addresses, offsets and lengths of direct writes are multiples of this; every current disk accepts it."""
BUFFER_BYTES = 1 << 20
"""Size of each of the two buffers of a thread; with writes of this size disks are near their full speed."""
LEAST_DIRECT = 1 << 20
"""Objects that cannot be larger go through the page cache: waiting for the disk takes longer than the copy."""

_per_thread = threading.local()


class NewFile:
    """A new file, written from front to end through buffers that the caller fills.

    Parameters
    ----------
    path : Path
        Nothing has this name yet.
    most : int
        About the largest length that the file can have, in bytes.
    room : int
        The largest size that :meth:`room` is called with.
    durable : bool
        Sync it to the disk before the block ends.

    If the block fails, the file is removed.
    """

    def __init__(self, path: Path, most: int, room: int, *, durable: bool = False) -> None:
        self.length = 0
        """Bytes appended so far."""
        self._filled = 0
        """Bytes of the buffer that wait to be written."""
        self._buffer, self._other = _buffers(room + PAGE)
        self._under_way: Future[None] | None = None
        self._path, self._durable = path, durable
        self._file = files.create(path)
        self._direct = most >= LEAST_DIRECT and files.pass_cache(self._file, True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        whole = False
        try:
            if error is None and self._direct:
                self._begin_writing()
            self._wait()
            if error is None:
                self._direct = files.pass_cache(self._file, False)
                self._write(self._buffer[: self._filled])
                (sync.sync_data if self._durable else sync.start_writing_back)(self._file)
                whole = True
        finally:
            os.close(self._file)
            if not whole:
                self._path.unlink(missing_ok=True)

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
        """Begin to write the whole pages of the buffer, and continue in the other buffer with the rest."""
        self._wait()
        whole = self._filled // PAGE * PAGE if self._direct else self._filled
        rest = self._buffer[whole : self._filled]
        self._other[: rest.size] = rest
        self._under_way = _writer().submit(self._write, self._buffer[:whole])
        self._buffer, self._other = self._other, self._buffer
        self._filled = rest.size

    def _wait(self) -> None:
        """Wait until the other buffer is free again; raise the error if it could not be written."""
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
                written = 0  # the disk needs larger pages than PAGE
            if not written or written % PAGE:  # a short write is legal, and likely on a nearly full disk
                self._direct = files.pass_cache(self._file, False)
            data = data[written:]


def _buffers(size: int) -> tuple[Array, Array]:
    """Return this thread's buffers, of at least ``size`` bytes each, on pages of their own."""
    buffers: tuple[Array, Array] | None = getattr(_per_thread, "buffers", None)
    if buffers is None or buffers[0].size < size:
        buffers = _per_thread.buffers = _aligned(max(size, BUFFER_BYTES)), _aligned(max(size, BUFFER_BYTES))
    return buffers


def _aligned(size: int) -> Array:
    # Not an anonymous mmap: those of Python are shared, so forked workers would write into each other's buffers.
    memory = np.empty(size + 2 * PAGE, np.uint8)
    first = -memory.ctypes.data % PAGE
    return memory[first : first + -(-size // PAGE) * PAGE]


def _writer() -> Executor:
    """Return the thread that writes for this one; a forked process starts one of its own."""
    writer: Executor | None = getattr(_per_thread, "writer", None)
    if writer is None:
        writer = _per_thread.writer = ThreadPoolExecutor(1, "bigimg-write")
    return writer


after_fork(lambda: _per_thread.__dict__.clear())
