"""What was written, on the disk: after these functions return, a power cut does not take it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bigimg.system import files, means

WRITE = 2
"""``SYNC_FILE_RANGE_WRITE``."""


def sync_volume(folder: Path) -> None:
    """Have all files below ``folder`` on the disk; an error of writing one of them is raised here.

    Linux has ``syncfs``: one wait instead of one an object, and it reports a page that could not be written, which
    ``sync`` does not. Elsewhere each file and folder is synced.
    """
    if means.found.syncfs is None:
        _sync_each(folder)
        return
    descriptor = files.open_to_read(folder)
    try:
        means.found.syncfs(descriptor)
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
    """Have the bytes of the file at ``path`` on the disk."""
    descriptor = os.open(path, os.O_RDWR | files.BINARY)  # Windows syncs only what may be written to
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_data(file: int) -> None:
    """Have the bytes written to the descriptor ``file`` on the disk."""
    (means.found.fdatasync or os.fsync)(file)


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on the disk, where folders can be synced.

    Windows and some network volumes cannot: there the file system itself keeps names in order.
    """
    if means.found.folder is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | means.found.folder)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def start_writing_back(file: int) -> None:
    """Let Linux begin to put on the disk what its cache has of ``file``, and do not wait for it.

    The one sync at the end then finds most of its work done, while other blocks were computed. Only a hint:
    what it cannot do, as on other systems, is left to the sync.
    """
    if means.found.sync_file_range is not None:
        try:
            means.found.sync_file_range(file, 0, 0, WRITE)
        except OSError:
            return
