"""The target: made, filled, finished with its metadata last, or taken away again.

The root ``zarr.json`` is what makes a folder an OME-Zarr store, so it is written after everything else. Until
then nobody can open the store; when the run fails, what it wrote is removed and nothing else.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bigimg.errors import OutputError, TargetExistsError, UsageError
from bigimg.omezarr.metadata import dumps
from bigimg.planning.memory import human_bytes
from bigimg.types import Json


def checked_target(target: str | os.PathLike[str], source: str | None = None) -> Path:
    """Return the path to write to, which does not exist and can be made.

    Raises
    ------
    TargetExistsError
        Something is there already; it is left alone.
    OutputError
        The folder around it does not exist or cannot be written to.
    UsageError
        It lies inside the source, or is the source.
    """
    path = Path(os.path.abspath(target))
    if source is not None and os.path.isdir(source) and path.is_relative_to(os.path.abspath(source)):
        raise UsageError(f"{target}: the target lies inside the source {source}: write it elsewhere")
    if os.path.lexists(path):
        raise TargetExistsError(
            f"{target}: exists already, and nothing was changed: remove it or choose another name"
        )
    if not path.parent.is_dir():
        raise OutputError(f"{target}: the folder {path.parent} does not exist: make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: no permission to write in {path.parent}: choose another folder")
    return path


@contextmanager
def made(path: Path) -> Iterator[Path]:
    """Make the folder ``path`` for the length of a run; when the run fails, remove what it wrote.

    Raises
    ------
    OutputError
        The disk is full or cannot be written to; the message says what is free.
    """
    with explained(path):
        begun = False
        try:
            _make(path)
            begun = True
            yield path
        except TargetExistsError:
            raise
        except BaseException:
            if begun:
                _remove(path)
            else:  # Ctrl-C between the two lines above: the folder may be there, and is empty then
                with suppress(OSError):
                    path.rmdir()
            raise


def _make(path: Path) -> None:
    try:
        path.mkdir()
    except FileExistsError:
        raise TargetExistsError(f"{path}: was made by somebody else just now; nothing was changed") from None


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says of writing into an :class:`OutputError` with the place and the remedy."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError) or error.errno is None:
            raise
        remedy = "choose another folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free
            remedy = f"{human_bytes(free)} are free there: make room or choose another disk"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "choose a folder that you may write to"
        raise OutputError(f"{path}: cannot write ({error.strerror}); {remedy}") from error


def _remove(path: Path) -> None:
    """Remove what a run puts into a store; whatever else lies there stays, and the folder with it."""
    for entry in list(path.iterdir()):
        if entry.name.isdecimal() or entry.name in ("bigimg", "zarr.json"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if not any(path.iterdir()):
        path.rmdir()


def write_json(path: Path, document: Mapping[str, Json]) -> None:
    """Write one metadata document, making the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(dumps(document))
