"""Files by descriptor: reads and writes at a position from any thread, writes past the page cache, the cache folder.

Only this module opens descriptors, because Windows changes line ends in a file that is not opened as binary.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bigimg.system import os_calls

BINARY: int = getattr(os, "O_BINARY", 0)
_seeking = [threading.Lock() for _ in range(64)]
"""For systems without reads at a position: a descriptor has one position, so its threads must take turns."""


def open_to_read(path: str | os.PathLike[str]) -> int:
    """Return a descriptor for reading an existing file."""
    return os.open(path, os.O_RDONLY | BINARY)


def create(path: str | os.PathLike[str]) -> int:
    """Return a descriptor for writing a new file; FileExistsError if it exists, on every system."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)


def open_to_append(path: str | os.PathLike[str]) -> int:
    """Return a descriptor whose writes go to the end of the file; a missing file is made."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | BINARY, 0o644)


def read_at(file: int, length: int, offset: int) -> bytes:
    """Return up to ``length`` bytes from ``offset`` on, fewer where the file ends. Safe for use by many threads.

    Without ``pread`` (Windows) the threads that read one file take turns, and the descriptor must not be shared with
    a forked process.
    """
    if (pread := os_calls.found.pread) is not None:
        return pread(file, length, offset)
    return _at(file, offset, lambda: os.read(file, length))


def read_into(file: int, view: memoryview, offset: int) -> int:
    """Fill ``view`` from ``offset`` on, as :func:`read_at` reads, and return how many bytes were read."""
    if (preadv := os_calls.found.preadv) is not None:
        return preadv(file, [view], offset)
    return _at(file, offset, lambda: io.FileIO(file, closefd=False).readinto(view))


def write_at(file: int, data: memoryview, offset: int) -> int:
    """Write ``data`` from ``offset`` on and return how many bytes were written."""
    if (pwrite := os_calls.found.pwrite) is not None:
        return pwrite(file, data, offset)
    return _at(file, offset, lambda: os.write(file, data))


def _at[T](file: int, offset: int, work: Callable[[], T]) -> T:
    with _seeking[file % len(_seeking)]:
        os.lseek(file, offset, os.SEEK_SET)
        return work()


def pass_cache(file: int, wanted: bool) -> bool:
    """Turn writing past the page cache (``O_DIRECT``) on or off for ``file``; return whether it is on.

    It needs Linux and a file system that supports it; elsewhere it stays off.
    """
    fcntl, direct = os_calls.found.fcntl, os_calls.found.direct
    if fcntl is None or direct is None:
        return False
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | direct if wanted else flags & ~direct)
    except OSError:  # a file system without it, such as many in memory
        return False
    return wanted


def user_cache_folder() -> Path:
    """Return the folder for the caches of this user's programs."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local").absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
