"""What the commit asks of the system that Python has no words for: sync a volume, rename without replacing."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def sync_volume(folder: Path) -> None:
    """Have everything on the volume of ``folder`` on the disk; an error of writing it is raised here.

    ``syncfs`` and not ``fsync`` of each file: one wait instead of one an object, and it reports a page that
    could not be written, which ``sync`` does not.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if sys.platform == "linux":
            libc = _libc()
            if libc.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(folder))
        else:
            os.sync()
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_without_replacing(source: Path, target: Path) -> None:
    """Rename ``source``; when ``target`` exists, even as an empty folder, raise FileExistsError.

    Where the system has no such rename the target is looked for first: a race that can replace nothing but
    an empty folder.
    """
    if not _renameat2(source, target, NOREPLACE):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(source, target)


def exchange(source: Path, target: Path) -> None:
    """Let two folders change places, at one moment where the system can.

    Elsewhere the old one is moved aside first and back again when the new one cannot take its place; a kill
    between the two leaves both whole, the old one as ``source`` with ``.old`` to its name.
    """
    if _renameat2(source, target, EXCHANGE):
        return
    aside = source.with_name(source.name + ".old")
    os.rename(target, aside)
    try:
        os.rename(source, target)
    except OSError:
        os.rename(aside, target)
        raise
    os.rename(aside, source)


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Return whether the system's ``renameat2`` did it; False where there is none or the volume cannot."""
    if sys.platform != "linux":
        return False
    libc = _libc()
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number), str(target))
