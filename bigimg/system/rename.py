"""Rename that replaces nothing, and two folders that change places."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bigimg.errors import OutputError
from bigimg.system import files, means

AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
"""What file systems without hard links say to ``link``."""


def rename_without_replacing(source: Path, target: Path) -> None:
    """Rename a file or folder; when ``target`` exists, even as an empty folder, raise FileExistsError.

    Linux decides and renames at one moment. Elsewhere a file gets its name by a hard link, which is made only where
    there is no such name. On a volume without links an empty file of that name is made first, which only its maker
    then replaces. For a folder the name is looked for and then taken: Windows refuses to replace what came in between,
    and other systems can replace nothing but an empty folder.
    """
    if _renameat2(source, target, NOREPLACE):
        return
    if not source.is_dir():
        _name_file(source, target)
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(source, target)


def _name_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.close(files.create(target))
        os.replace(source, target)
    else:
        source.unlink()


def exchange(source: Path, target: Path) -> None:
    """Let two folders change places, at one moment where the system can (Linux).

    Elsewhere the old one is moved aside first and back again when the new one cannot take its place. After a kill
    between these steps both are whole, and :func:`finish_exchange` goes on.
    """
    if _renameat2(source, target, EXCHANGE):
        return
    aside = _aside(source)
    os.rename(target, aside)
    try:
        os.rename(source, target)
    except OSError:
        os.rename(aside, target)
        raise
    os.rename(aside, source)


def finish_exchange(source: Path, target: Path) -> bool:
    """Undo or end what a kill left of ``exchange(source, target)``; return whether it left anything.

    Raises
    ------
    OutputError
        Something new has the name of the target.
    """
    aside = _aside(source)
    if not aside.exists():
        return False
    there = os.path.lexists(target)
    if there and source.exists():
        raise OutputError(
            f"{target}: was made by somebody else after a run was killed that was to replace the store of that name; "
            f"that store is {aside}: give it another name"
        )
    os.rename(aside, source if there else target)
    return True


def _aside(source: Path) -> Path:
    return source.with_name(source.name + ".old")


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Return whether the system's ``renameat2`` did it; False where there is none or the volume cannot."""
    if means.found.renameat2 is None:
        return False
    try:
        means.found.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL):
            return False
        raise OSError(error.errno, error.strerror, str(target)) from None
    return True
