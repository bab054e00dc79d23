"""The check of every target: a source is never written over, and an existing target only with ``overwrite``.

What may be replaced is a file or a store that bigimg wrote, if it holds no label images and no files of others.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from bigimg.errors import BigimgError, InputError, OutputError, TargetExistsError, UsageError, few
from bigimg.geometry.spec import from_text
from bigimg.lazy.node_of_array import linked_node
from bigimg.omezarr import manifest
from bigimg.omezarr.archive import Archive
from bigimg.omezarr.documents import DOCUMENTS
from bigimg.omezarr.manifest import GROUP
from bigimg.omezarr.metadata import ATTRIBUTES, LABELS, MANIFEST
from bigimg.omezarr.packed import is_packed
from bigimg.omezarr.records import Records
from bigimg.omezarr.shard import object_key
from bigimg.omezarr.tree import tree_of
from bigimg.places.address import is_address, is_fetched, redacted, split_dataset, split_member
from bigimg.places.staging import HOME
from bigimg.types import Shape, ZarrFormat

FIELDS = 3
"""How deep the fields of a plate lie: row, well, field."""
LISTS_LABELS = {f"{LABELS}/{name}" for name in ("zarr.json", ".zgroup", ".zattrs")}
"""Documents that remain when label images are moved away."""


def checked_target(
    target: str | os.PathLike[str],
    *sources: object,
    overwrite: bool | None = None,
    file: bool = False,
    label: bool = False,
    labels: Collection[str] = (),
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
    labels : collection of str
        Label images that the new store in one file holds, and the old one may hold too.

    Raises
    ------
    TargetExistsError
        The target exists; it is left alone.
    OutputError
        Its folder does not exist or cannot be written to, or the existing target is never replaced.
    UsageError
        It is an address, a source or a link to one, lies inside one, or holds one.
    """
    name = os.fspath(target)
    if not isinstance(name, str) or "\0" in name:
        raise UsageError(f"{name!r}: is no name that a file can have: give a path as text")
    check_local(name)
    path, packed = Path(os.path.abspath(target)), is_packed(name)
    file = file or packed
    if ".." in Path(target).parts:  # the system follows a link before "..", and abspath does not
        path = Path(os.path.realpath(Path(target).parent), Path(target).name)
    there = os.path.lexists(path)
    for source in paths_of(sources):
        if there or os.path.isdir(source):  # a file can neither hold nor be what is not there
            _check_apart(path, source, label=label)
    if there:
        if not overwrite:
            replaceable = _is_plain_file(path) if file and not packed else may_be_replaceable(path)
            ways = ["remove it", "choose another name"]
            if overwrite is not None and replaceable:  # advised only where it would work
                ways.append("overwrite=True")
            raise TargetExistsError(f"{target}: exists already, and nothing was changed:", ways=ways)
        if not file:
            check_replaceable(path)
        elif packed:
            check_file(path, labels)
        elif not _is_plain_file(path):
            what = "is a folder, a link, a pipe or a device"
            raise OutputError(f"{target}: {what}, which no file replaces: choose another name")
    if not path.parent.is_dir():
        remedy = HOME if name.startswith("~") else "make it first"
        raise OutputError(f"{target}: the folder {path.parent} does not exist: {remedy}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: no permission to write in {path.parent}: choose another folder")
    return path


def check_local(target: str | os.PathLike[str]) -> None:
    """Refuse an address as a target, by a UsageError; no folder is ever named after a scheme."""
    name = os.fspath(target)
    if is_address(name):
        raise UsageError(
            f"{redacted(name)}: is an address, and bigimg writes to folders of this machine: give a path, and copy the "
            "finished result there; if it is a folder, write ./ before its name"
        )


def paths_of(source: object) -> Iterator[Path]:
    """Yield the files and folders of this machine from which ``source`` is read, as far as it has their names."""
    if isinstance(source, list | tuple):
        for each in source:
            yield from paths_of(each)
    elif isinstance(source, str | os.PathLike):
        name = re.sub("^(file|local)://", "", os.fspath(source))
        if os.path.lexists(name):
            yield Path(name)
        elif (inside := split_member(name) or split_dataset(name)) is not None:
            yield from paths_of(inside[0])
        elif not is_fetched(name):
            yield from map(Path, glob.glob(name, recursive=True))
    else:
        if isinstance(attrs := getattr(source, "attrs", None), Mapping):  # a DataArray or DataTree
            node = linked_node(cast("Any", source)) if hasattr(source, "variable") else None
            found = [attrs.get("source"), from_text(attrs.get("sources")), node and node.files()]
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
    return linked and any(os.path.samestat(target, os.lstat(each)) for each in manifest.files_below(source))


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


# ------------------------------------------------------------------------------------------ stores that may be replaced


def check_replaceable(path: Path) -> None:
    """Return if ``path`` is a store that bigimg wrote, without anything else in it.

    Raises
    ------
    UsageError
        It is a folder that is never replaced, such as home.
    OutputError
        It is no store that bigimg wrote, or holds label images or something else; the message names it.
    """
    _check_root(path)
    check_contents(path)


def may_be_replaceable(path: Path) -> bool:
    """Return whether :func:`check_replaceable` would return, as far as can be known without listing all files."""
    try:
        if is_packed(path):
            check_file(path)
        else:
            _check_root(path)
            _check_labels(path)
    except (OutputError, UsageError):
        return False
    return True


def _check_root(path: Path) -> None:
    """Refuse a folder that is never replaced, or that is no store of ours."""
    if path.is_symlink():
        raise OutputError(f"{path}: is a link, which is never overwritten: remove it, or name its target")
    if path in (Path.home(), Path("/")) or Path.cwd().is_relative_to(path) or os.path.ismount(path):
        raise UsageError(f"{path}: is never overwritten (home, root, a mount, or the folder you are in)")
    if not ((path / MANIFEST).is_dir() or is_own_plate(path)):
        raise OutputError(f"{path}: is no store that bigimg wrote, and never overwritten: remove it by hand")


def check_contents(path: Path) -> None:
    """Return if bigimg wrote everything in the folder ``path``, and nothing in it is a label image.

    Label images are the work of a person; a conversion cannot make them again.

    Raises
    ------
    OutputError
        It holds a file of others or a label image, or the manifest is damaged; the message names it.
    """
    if is_own_plate(path):
        _check_plate(path)
        return
    _check_labels(path)
    try:
        unlisted = next(_unlisted(path), None)
    except BigimgError as error:
        message = f"its manifest does not say what bigimg wrote ({error}): remove the store by hand"
        raise OutputError(f"{path}: {message}") from error
    if unlisted is not None:
        message = f"is no part of the zarr store {path}: move it away, or remove the store by hand"
        raise OutputError(f"{unlisted}: {message}")


def check_file(path: Path, labels: Collection[str] = ()) -> None:
    """Return if the file ``path`` is a store in one file that bigimg wrote, without label images but ``labels``.

    Raises
    ------
    OutputError
        It is something else, or holds label images.
    """
    objects = None
    if _is_plain_file(path):
        with suppress(InputError):
            objects = tree_of(path).objects
    if not isinstance(objects, Archive) or MANIFEST.rpartition("/")[2] not in objects.listed(f"{GROUP}/"):
        raise OutputError(
            f"{path}: is no store in one file that bigimg wrote, and never overwritten: remove it by hand"
        )
    ours = {GROUP, LABELS, ATTRIBUTES[3]}
    if others := [name for name in objects.listed("") if name not in ours and not name.isdecimal()]:
        raise OutputError(f"{path}: holds {others[0]!r}, which bigimg did not write: remove the file by hand")
    held = (name for name, each in objects.listed(f"{LABELS}/").items() if each.folder)
    _no_labels(path, sorted(name for name in held if name not in labels), "unpack it")


def is_own_plate(path: Path) -> bool:
    """Return whether ``path`` is a plate that bigimg wrote."""
    try:
        node = tree_of(path).node("")
    except BigimgError:
        return False
    own = {} if node is None else node["attributes"].get("bigimg")
    return isinstance(own, dict) and own.get("kind") == "plate"


def _check_plate(path: Path) -> None:
    """Refuse what is no document of the plate, its rows and its wells, and no field that may be replaced."""
    for part, depth in _below(path):
        if depth < FIELDS and part.is_dir() and not part.is_symlink():
            continue
        if depth == FIELDS and (part / MANIFEST).is_dir() and not part.is_symlink():
            check_contents(part)
        elif part.name not in DOCUMENTS or not _is_plain_file(part):
            message = f"is no part of the plate {path}: move it away, or remove the plate by hand"
            raise OutputError(f"{part}: {message}")


def _below(folder: Path, depth: int = 1) -> Iterator[tuple[Path, int]]:
    """Yield what lies in a plate, its rows and its wells, and how deep."""
    for part in sorted(folder.iterdir()):
        yield part, depth
        if depth < FIELDS and part.is_dir() and not part.is_symlink():
            yield from _below(part, depth + 1)


def _check_labels(path: Path) -> None:
    folder = path / LABELS
    _no_labels(
        path, sorted(each.name for each in os.scandir(folder) if each.is_dir()) if folder.is_dir() else []
    )


def _no_labels(path: Path, labels: Sequence[str], way: str = "move them away") -> None:
    if labels:
        named = few([f"{LABELS}/{name}" for name in labels])
        raise OutputError(
            f"{path}: holds label images, which overwrite never replaces ({named}): {way}, or write to another name"
        )


def _unlisted(root: Path) -> Iterator[Path]:
    """Yield the files and links in the store ``root`` that its manifest does not list."""
    zarr = manifest.zarr_at(root)
    known = {*(manifest.read_objects(root) or {}), *LISTS_LABELS}
    replaced = {ATTRIBUTES[zarr], f"{MANIFEST}/{ATTRIBUTES[zarr]}"}
    known |= {*replaced, f"{manifest.PROVENANCE}/{ATTRIBUTES[zarr]}", *map(manifest.unfinished, replaced)}
    levels = {key.split("/")[2] for key in known if key.startswith(f"{MANIFEST}/") and key.count("/") > 2}
    grids = {level: Records(root, level).grid for level in levels}
    for where, folders, files in os.walk(root, onerror=manifest.raise_error):
        here = Path(where)
        yield from (here / name for name in folders if (here / name).is_symlink())
        for path in (here / name for name in files):
            key = path.relative_to(root).as_posix()
            if path.is_symlink() or not (key in known or _is_object(key, grids, zarr)):
                yield path


def _is_object(key: str, grids: Mapping[str, Shape], zarr: ZarrFormat) -> bool:
    """Return whether ``key`` is exactly the key of an object of a level; ``01`` for ``1`` is a file of others."""
    level, _, inside = key.partition("/")
    numbers = inside.removeprefix("c/").split("/")
    if not all(map(str.isdecimal, numbers)):
        return False
    index, grid = tuple(map(int, numbers)), grids.get(level, ())
    within = len(index) == len(grid) and all(i < n for i, n in zip(index, grid, strict=True))
    return within and inside == object_key(index, zarr)
