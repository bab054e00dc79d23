"""Functions that put written data on the disk: after they return, a power cut does not lose it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bigimg.system import files, os_calls

WRITE = 2
"""``SYNC_FILE_RANGE_WRITE``."""


def sync_volume(folder: Path) -> None:
    """Put all files below ``folder`` on the disk; raise the error if one of them cannot be written.

    Linux has ``syncfs``: it waits once instead of once an object, and unlike ``sync`` it reports a page that could
    not be written. Elsewhere each file and folder is synced.
    """
    if os_calls.found.syncfs is None:
        _sync_each(folder)
        return
    descriptor = files.open_to_read(folder)
    try:
        os_calls.found.syncfs(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(descriptor)


def _sync_each(folder: Path) -> None:
    for name in os.listdir(folder):
        path = folder / name
        if path.is_dir():
            _sync_each(path)
        else:
            sync_file(path)
    sync_folder(folder)


def sync_file(path: Path) -> None:
    """Put the bytes of the file at ``path`` on the disk."""
    descriptor = os.open(path, os.O_RDWR | files.BINARY)  # Windows syncs only files that are open for writing
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_data(file: int) -> None:
    """Put the bytes that were written to the descriptor ``file`` on the disk."""
    (os_calls.found.fdatasync or os.fsync)(file)


def sync_folder(folder: Path) -> None:
    """Put the names in ``folder`` on the disk, where folders can be synced.

    On Windows and some network volumes they cannot; there the file system itself takes care of the names.
    """
    if os_calls.found.folder is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | os_calls.found.folder)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def start_writing_back(file: int) -> None:
    """Let Linux begin to write the cached data of ``file`` to the disk, without waiting for it.

    Then the sync at the end finds most of its work done. On other systems, and if this fails, the sync does it all.
    """
    if os_calls.found.sync_file_range is not None:
        try:
            os_calls.found.sync_file_range(file, 0, 0, WRITE)
        except OSError:
            return
