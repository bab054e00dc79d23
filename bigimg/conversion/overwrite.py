"""What may be replaced: a store that bigimg wrote, if it holds no label images and no files of others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from bigimg.errors import BigimgError, OutputError, UsageError
from bigimg.omezarr.manifest import PROVENANCE, raise_error, read_objects, read_records, zarr_at
from bigimg.omezarr.metadata import ATTRIBUTES, LABELS, MANIFEST
from bigimg.omezarr.shard import object_key
from bigimg.types import Shape, ZarrFormat

NAMED = 5
"""Number of label images that a message names."""
LISTS_LABELS = {f"{LABELS}/{name}" for name in ("zarr.json", ".zgroup", ".zattrs")}
"""Documents that remain when label images are moved away."""


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
    if not (path / MANIFEST).is_dir():
        raise OutputError(f"{path}: is no store that bigimg wrote, and never overwritten: remove it by hand")


def check_contents(path: Path) -> None:
    """Return if bigimg wrote everything in the folder ``path``, and nothing in it is a label image.

    Label images are the work of a person; a conversion cannot make them again.

    Raises
    ------
    OutputError
        It holds a file of others or a label image, or the manifest is damaged; the message names it.
    """
    _check_labels(path)
    try:
        unlisted = next(_unlisted(path), None)
    except BigimgError as error:
        message = f"its manifest does not say what bigimg wrote ({error}): remove the store by hand"
        raise OutputError(f"{path}: {message}") from error
    if unlisted is not None:
        message = f"is no part of the zarr store {path}: move it away, or remove the store by hand"
        raise OutputError(f"{unlisted}: {message}")


def _check_labels(path: Path) -> None:
    folder = path / LABELS
    labels = sorted(each.name for each in os.scandir(folder) if each.is_dir()) if folder.is_dir() else []
    if labels:
        named = ", ".join(f"{LABELS}/{name}" for name in labels[:NAMED])
        more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
        raise OutputError(
            f"{path}: holds label images, which would be lost with it ({named}{more}): move them away, or write to "
            "another name"
        )


def _unlisted(root: Path) -> Iterator[Path]:
    """Yield the files and links in the store ``root`` that its manifest does not list."""
    zarr = zarr_at(root)
    known = {*(read_objects(root) or {}), *LISTS_LABELS}
    known |= {f"{group}/{ATTRIBUTES[zarr]}" for group in (MANIFEST, PROVENANCE)}
    levels = {key.split("/")[2] for key in known if key.startswith(f"{MANIFEST}/") and key.count("/") > 2}
    grids = {level: read_records(root, level).shape[:-1] for level in levels}
    for where, folders, files in os.walk(root, onerror=raise_error):
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
