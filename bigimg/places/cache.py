"""The cache folder: downloads that stay, and temporary copies that are removed after use.

All of it lies in one folder (``BIGIMG_CACHE``, or the cache folder of the system) that only its owner can read. Locks
mark what is in use. They end with their process, however it ended, so the next process removes what a killed one left.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bigimg.errors import BigimgError, OutputError
from bigimg.system.files import user_cache_folder
from bigimg.system.locks import Lock, take

MOST_DOWNLOADED = 20_000_000_000
"""Bytes of all downloads together; the least recently used are removed first."""


def cache_folder() -> Path:
    """Return the cache folder, which may not exist yet."""
    if named := os.environ.get("BIGIMG_CACHE"):
        return Path(named).absolute()
    return user_cache_folder() / "bigimg"


def make_private(folder: Path) -> None:
    """Make ``folder`` in the cache; only its owner can read the cache, because it holds images of people."""
    cache_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise an OutputError if the cache cannot be written.

    Raises
    ------
    OutputError
        There is no permission or no space.
    """
    try:
        yield
    except BigimgError:  # some kinds are OSErrors too
        raise
    except OSError as error:
        what = f"the cache cannot be written ({error.strerror})"
        raise OutputError(f"{folder}: {what}; set BIGIMG_CACHE to a folder with room") from error


class TemporaryFolder:
    """A folder that is removed with this object, at the end of the process, or by the next bigimg process."""

    def __init__(self) -> None:
        parent = cache_folder() / "temporary"
        with writing(parent):
            make_private(parent)
            _sweep(parent)
            self.path, self._lock = _new_folder(parent)
        self.remove = weakref.finalize(self, _remove, self.path, self._lock)


@dataclass(frozen=True)
class TemporaryCopy:
    """A copy in the cache; it is removed with this object."""

    path: Path
    """A file, or a folder if a folder was copied."""
    shown: str
    """Name of the source in messages."""
    folder: TemporaryFolder


def _new_folder(parent: Path) -> tuple[Path, Lock]:
    while True:
        path = Path(tempfile.mkdtemp(prefix="copy-", dir=parent))
        with suppress(BlockingIOError, FileNotFoundError):  # another process removed the folder in between
            return path, take(path.with_suffix(".lock"), create=True)


def _remove(folder: Path, lock: Lock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.path.unlink(missing_ok=True)
    lock.release()


def _sweep(parent: Path) -> None:
    """Remove temporary folders that an ended process left."""
    for path in parent.glob("copy-*.lock"):
        with suppress(OSError):
            _remove(path.with_suffix(""), take(path))


def entry_folder(url: str) -> Path:
    """Return the folder for the download of ``url``; its name does not reveal the address."""
    return cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]


def entry_lock(entry: Path) -> Path:
    """Return the file that a process locks while it changes the folder of a download."""
    return entry.with_name(f"{entry.name}.lock")


def bound_downloads(*, keep: Path, most_bytes: int = MOST_DOWNLOADED) -> None:
    """Remove the least recently used downloads until all take ``most_bytes``; ``keep`` and those in use stay."""
    entries = [entry for entry in (cache_folder() / "downloads").glob("*") if entry.is_dir()]
    sizes = {entry: sum(f.stat().st_size for f in entry.rglob("*") if f.is_file()) for entry in entries}
    total = sum(sizes.values())
    for entry in sorted(entries, key=lambda e: e.stat().st_mtime):
        if total <= most_bytes:
            return
        if entry != keep and _remove_unused(entry):
            total -= sizes[entry]


def _remove_unused(entry: Path) -> bool:
    with suppress(OSError):
        locks = [take(entry_lock(entry), create=True), *map(take, versions(entry))]  # until this returns
        shutil.rmtree(entry, ignore_errors=True)
        locks[0].path.unlink(missing_ok=True)
        return True
    return False


def versions(entry: Path) -> list[Path]:
    """Return the finished copies in the folder of a download, each in a folder of its own."""
    return [path for path in entry.glob("*/*") if not path.name.startswith(".")]
