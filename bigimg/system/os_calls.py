"""The functions that only some systems have; a missing one is None.

The other files of this folder use them where they exist, and a portable way elsewhere. They read :data:`found` at
each call, so that a test can replace it by ``OsCalls()``, a system that has none of them.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class OsCalls:
    """Functions of POSIX or Linux on this system."""

    pread: Callable[[int, int, int], bytes] | None = None
    preadv: Callable[..., int] | None = None
    pwrite: Callable[..., int] | None = None
    fdatasync: Callable[[int], None] | None = None
    fcntl: ModuleType | None = None
    """Its ``fcntl`` and ``flock``."""
    direct: int | None = None
    """``O_DIRECT``: writes past the page cache."""
    folder: int | None = None
    """``O_DIRECTORY``: folders can be opened, and so be locked and synced."""
    syncfs: Callable[..., None] | None = None
    sync_file_range: Callable[..., None] | None = None
    renameat2: Callable[..., None] | None = None
    malloc_trim: Callable[..., int] | None = None
    affinity: Callable[[int], set[int]] | None = None
    """``sched_getaffinity``."""
    priorities: bool = False
    """Each thread has a priority of its own."""
    proc: Path | None = None
    """``/proc/self``, where the kernel describes this process."""
    resource: ModuleType | None = None


def _find() -> OsCalls:
    proc = Path("/proc/self")
    linux = proc.exists()
    libc = _libc()
    of_os: dict[str, Any] = {
        name: getattr(os, name, None) for name in ("pread", "preadv", "pwrite", "fdatasync")
    }
    return OsCalls(
        **of_os,
        fcntl=_module("fcntl"),
        direct=getattr(os, "O_DIRECT", None),
        folder=getattr(os, "O_DIRECTORY", None),
        syncfs=_raising(libc, "syncfs", "int"),
        sync_file_range=_raising(libc, "sync_file_range", "int int64 int64 uint"),
        renameat2=_raising(libc, "renameat2", "int char_p int char_p uint"),
        malloc_trim=getattr(libc, "malloc_trim", None),
        affinity=getattr(os, "sched_getaffinity", None),
        priorities=linux and hasattr(os, "setpriority"),
        proc=proc if linux else None,
        resource=_module("resource"),
    )


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _libc() -> Any:
    """Return the C library, or None where its functions cannot be called by name."""
    try:
        import ctypes

        return ctypes.CDLL(None, use_errno=True)
    except (ImportError, OSError, TypeError):  # Windows has no library without a name
        return None


def _raising(libc: Any, name: str, types: str) -> Callable[..., None] | None:
    """Return a function of the C library that raises OSError where the C function returns -1."""
    function = getattr(libc, name, None)
    if function is None:
        return None
    import ctypes

    function.argtypes = [getattr(ctypes, f"c_{each}") for each in types.split()]

    def call(*arguments: object) -> None:
        if function(*arguments) == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return call


found = _find()
