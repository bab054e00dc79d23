"""Folders of ours outside the user's own: downloads that may be kept, and copies that are gone after use.

Everything lies under one folder (``BIGIMG_CACHE``, else where the system keeps caches), readable by its owner
alone. Locks of the kernel say what is in use, so they end with the process that held them, however it ended:
what a killed process left is removed by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigimg.errors import BigimgError, OutputError

MOST_KEPT = 20_000_000_000
"""Bytes of downloads kept in all; beyond it the ones unused for longest go."""


def cache_folder() -> Path:
    """Return the folder of our cache, which may not exist yet."""
    if named := os.environ.get("BIGIMG_CACHE"):
        return Path(named).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bigimg"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "bigimg"


def make_private(folder: Path) -> None:
    """Make ``folder`` in the cache, where others may not look: images of people lie there."""
    cache_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say what is wrong when the cache cannot be written.

    Raises
    ------
    OutputError
        No permission, or no space.
    """
    try:
        yield
    except BigimgError:  # some kinds are OSErrors too
        raise
    except OSError as error:
        raise OutputError(
            f"{folder}: the cache cannot be written ({error.strerror}); set BIGIMG_CACHE to a folder with room"
        ) from error


class Lock:
    """A lock on a file, held until :meth:`release` or the end of the object."""

    def __init__(self, path: Path, *, shared: bool = False, create: bool = False) -> None:
        self.path = path
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        made = os.O_CREAT if create else 0
        self._number = os.open(path, os.O_RDWR | os.O_CLOEXEC | made, 0o600)

    def try_now(self) -> bool:
        """Return whether the lock was free, and the file is still the one at its path."""
        try:
            fcntl.flock(self._number, self._kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            return os.path.samestat(os.fstat(self._number), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have it."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def __del__(self) -> None:
        if hasattr(self, "_number"):  # not when os.open failed
            self.release()


@contextmanager
def locked(path: Path, *, every: float = 0.05) -> Iterator[None]:
    """Hold the exclusive lock at ``path``; who had it before is waited for."""
    while True:
        make_private(path.parent)
        try:
            lock = Lock(path, create=True)
        except FileNotFoundError:  # the folder went between the two lines: another process clears the cache
            continue
        try:
            if lock.try_now():
                yield
                return
        finally:
            lock.release()
        time.sleep(every)


class TemporaryFolder:
    """A folder that is removed with this object, at the end of the process, or by the next process of ours."""

    def __init__(self) -> None:
        parent = cache_folder() / "temporary"
        with writing(parent):
            make_private(parent)
            _sweep(parent)
            self.path, self._lock = _made(parent)
        self.remove = weakref.finalize(self, _remove, self.path, self._lock)


def _made(parent: Path) -> tuple[Path, Lock]:
    while True:
        path = Path(tempfile.mkdtemp(prefix="copy-", dir=parent))
        lock = Lock(path.with_suffix(".lock"), create=True)
        if lock.try_now():  # else another process swept it in between
            return path, lock
        lock.release()


def _remove(folder: Path, lock: Lock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.path.unlink(missing_ok=True)
    lock.release()


def _sweep(parent: Path) -> None:
    """Remove copies whose process has ended without doing so."""
    for path in parent.glob("copy-*.lock"):
        with suppress(OSError):
            lock = Lock(path)
            if lock.try_now():
                _remove(path.with_suffix(""), lock)
            lock.release()


def entry_folder(url: str) -> Path:
    """Return the folder for the download of ``url``; its name tells nothing of it."""
    return cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]


def bound_downloads(*, keep: Path, most_bytes: int = MOST_KEPT) -> None:
    """Remove the downloads unused for longest until all take ``most_bytes``; never ``keep``, nor one in use."""
    entries = [
        entry for entry in (cache_folder() / "downloads").glob("*") if entry.is_dir() and entry != keep
    ]
    sizes = {
        entry: sum(file.stat().st_size for file in entry.rglob("*") if file.is_file()) for entry in entries
    }
    own = sum(file.stat().st_size for file in keep.rglob("*") if file.is_file())
    total = own + sum(sizes.values())
    for entry in sorted(entries, key=lambda e: e.stat().st_mtime):
        if total <= most_bytes:
            return
        if _remove_unused(entry):
            total -= sizes[entry]


def _remove_unused(entry: Path) -> bool:
    locks = []
    try:
        for path in (entry / "lock", *entry.glob("*/*")):
            locks.append(Lock(path))
            if not locks[-1].try_now():
                return False
        shutil.rmtree(entry, ignore_errors=True)
        return True
    except OSError:
        return False
    finally:
        for lock in locks:
            lock.release()
