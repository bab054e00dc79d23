"""Folders of ours outside the user's own: downloads that may be kept, and copies that are gone after use.

Everything lies under one folder (``BIGIMG_CACHE``, else where the system keeps caches), readable by its owner
alone. Locks say what is in use, and end with the process that held them, however it ended: what a killed process left
is removed by the next one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigimg.errors import BigimgError, OutputError
from bigimg.system.files import user_cache_folder
from bigimg.system.locks import Lock, take

MOST_KEPT = 20_000_000_000
"""Bytes of downloads kept in all; beyond it the ones unused for longest go."""


def cache_folder() -> Path:
    """Return the folder of our cache, which may not exist yet."""
    if named := os.environ.get("BIGIMG_CACHE"):
        return Path(named).absolute()
    return user_cache_folder() / "bigimg"


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
        with suppress(BlockingIOError, FileNotFoundError):  # another process swept it in between
            return path, take(path.with_suffix(".lock"), create=True)


def _remove(folder: Path, lock: Lock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.path.unlink(missing_ok=True)
    lock.release()


def _sweep(parent: Path) -> None:
    """Remove copies whose process has ended without doing so."""
    for path in parent.glob("copy-*.lock"):
        with suppress(OSError):
            _remove(path.with_suffix(""), take(path))


def entry_folder(url: str) -> Path:
    """Return the folder for the download of ``url``; its name tells nothing of it."""
    return cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]


def entry_lock(entry: Path) -> Path:
    """Return the file that is locked by whoever changes the folder of a download."""
    return entry.with_name(f"{entry.name}.lock")


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
        locks.append(take(entry_lock(entry), create=True))
        locks += [take(path) for path in versions(entry)]
        shutil.rmtree(entry, ignore_errors=True)
        locks[0].path.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        for lock in locks:
            lock.release()


def versions(entry: Path) -> list[Path]:
    """Return the finished copies in the folder of a download, each in a folder of its own."""
    return [path for path in entry.glob("*/*") if not path.name.startswith(".")]
