"""A rename that replaces nothing, and the exchange of two folders."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bigimg.errors import OutputError
from bigimg.system import files, os_calls

AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
"""Errors of ``link`` on file systems without hard links."""


def rename_without_replacing(source: Path, target: Path) -> None:
    """Rename a file or folder; if ``target`` exists, even as an empty folder, raise FileExistsError.

    On Linux the test and the rename are one step. Elsewhere a file gets its new name by a hard link, which fails if
    the name exists. On a volume without links an empty file of that name is made first and then replaced. For a folder
    the name is tested first. If somebody makes a folder of that name between test and rename, Windows refuses to
    replace it, and other systems replace it only if it is empty.
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
    """Exchange two folders, in one step where the system can (Linux).

    Elsewhere the folder at ``target`` is renamed first, and renamed back if the new one cannot get its name. After a
    kill between these steps both folders are complete, and :func:`finish_exchange` continues.
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
    """Undo or finish an ``exchange(source, target)`` that was killed; return whether there was one.

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
            f"{target}: was made by somebody else after a run was killed that replaced the store of that name; "
            f"that store is {aside}: give it another name"
        )
    os.rename(aside, source if there else target)
    return True


def _aside(source: Path) -> Path:
    return source.with_name(source.name + ".old")


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Return whether ``renameat2`` renamed the folder; False where the system or the volume does not have it."""
    if os_calls.found.renameat2 is None:
        return False
    try:
        os_calls.found.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL):
            return False
        raise OSError(error.errno, error.strerror, str(target)) from None
    return True
