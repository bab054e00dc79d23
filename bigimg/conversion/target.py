"""The check of every target: a source is never written over, and an existing target only with ``overwrite``."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from bigimg.conversion.overwrite import check_replaceable, may_be_replaceable
from bigimg.errors import OutputError, TargetExistsError, UsageError
from bigimg.lazy.link import linked_node
from bigimg.omezarr.manifest import files_below
from bigimg.places.address import is_url, split_member


def checked_target(
    target: str | os.PathLike[str],
    *sources: object,
    overwrite: bool | None = None,
    file: bool = False,
    label: bool = False,
) -> Path:
    """Return the path to write to, which does not exist, or may be replaced, and can be made.

    Parameters
    ----------
    target : path
    *sources
        What is read: anything that opens, or several of these in a list.
    overwrite : bool, optional
        Whether an existing target may be replaced; None where the caller has no such option.
    file : bool
        Whether a file is written, which may replace a file. Otherwise a store is written, which may replace a store
        of bigimg's.
    label : bool
        Whether a label image is written, which may lie inside the store that it was made from.

    Raises
    ------
    TargetExistsError
        The target exists; it is left alone.
    OutputError
        Its folder does not exist or cannot be written to, or the existing target is never replaced.
    UsageError
        It is a source or a link to one, lies inside one, or holds one.
    """
    path = Path(os.path.abspath(target))
    if ".." in Path(target).parts:  # the system follows a link before "..", and abspath does not
        path = Path(os.path.realpath(Path(target).parent), Path(target).name)
    for source in paths_of(sources):
        _check_apart(path, source, label=label)
    if os.path.lexists(path):
        if not overwrite:
            # Advise overwrite=True only where it would work.
            replaceable = _is_plain_file(path) if file else may_be_replaceable(path)
            works = overwrite is not None and replaceable
            way = ", choose another name, or overwrite=True" if works else " or choose another name"
            raise TargetExistsError(f"{target}: exists already, and nothing was changed: remove it{way}")
        if not file:
            check_replaceable(path)
        elif not _is_plain_file(path):
            raise OutputError(f"{target}: is a folder or a link, which no file replaces: remove it by hand")
    if not path.parent.is_dir():
        raise OutputError(f"{target}: the folder {path.parent} does not exist: make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: no permission to write in {path.parent}: choose another folder")
    return path


def paths_of(source: object) -> Iterator[Path]:
    """Yield the files and folders of this machine from which ``source`` is read, as far as it has their names."""
    if isinstance(source, list | tuple):
        for each in source:
            yield from paths_of(each)
    elif isinstance(source, str | os.PathLike):
        name = re.sub("^(file|local)://", "", os.fspath(source))
        if os.path.lexists(name):
            yield Path(name)
        elif (inside := split_member(name)) is not None:
            yield from paths_of(inside[0])
        elif not is_url(name):
            yield from map(Path, glob.glob(name, recursive=True))
    else:
        if isinstance(attrs := getattr(source, "attrs", None), Mapping):  # a DataArray or DataTree
            node = linked_node(cast("Any", source)) if hasattr(source, "variable") else None
            found = [attrs.get("source"), attrs.get("sources"), node and node.files()]
        else:  # a reader or patches, a store, numpy.memmap, an open file
            names = (
                "source",
                "sources",
                "paths",
                "path",
                "filename",
                *(["name"] if hasattr(source, "read") else []),
            )
            found = [getattr(source, name, None) for name in names]
        for each in found:
            if isinstance(each, str | os.PathLike | list | tuple) and each != "array":
                yield from paths_of(each)


def _check_apart(path: Path, source: Path, *, label: bool) -> None:
    """Refuse a target that is ``source`` or a link to it, lies inside it, or holds it."""
    real, original = Path(os.path.realpath(path)), Path(os.path.realpath(source))
    if _is_same(path, source):
        raise UsageError(f"{path}: is the source {source}, or a link to it: write to another name")
    if original.is_relative_to(real):
        raise UsageError(f"{path}: holds the source {source}: write elsewhere")
    if original.is_dir() and real.is_relative_to(original) and not label:
        raise UsageError(f"{path}: the target lies inside the source {source}: write it elsewhere")


def _is_same(path: Path, source: Path) -> bool:
    """Return whether both are one file or folder, or ``path`` one file of the folder ``source``, by their inodes."""
    try:
        target = os.stat(path)
    except OSError:  # it does not exist, or is a link that leads nowhere
        return False
    if os.path.samestat(target, os.stat(source)):
        return True
    linked = target.st_nlink > 1 and path.is_file() and source.is_dir()
    return linked and any(os.path.samestat(target, os.lstat(each)) for each in files_below(source))


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
