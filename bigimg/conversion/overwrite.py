"""What may be replaced: a store that bigimg wrote, with nothing in it that bigimg did not write, and no labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from bigimg.errors import BigimgError, OutputError, UsageError
from bigimg.omezarr.manifest import PROVENANCE, raise_it, read_objects, read_records, zarr_at
from bigimg.omezarr.metadata import ATTRIBUTES, LABELS, MANIFEST
from bigimg.omezarr.shard import object_key
from bigimg.types import Shape, ZarrFormat

NAMED = 5
"""Label images that a message names."""
LISTS_LABELS = {f"{LABELS}/{name}" for name in ("zarr.json", ".zgroup", ".zattrs")}
"""What is left of labels that were moved away."""


def check_replaceable(path: Path) -> None:
    """Return when ``path`` is a store of bigimg's and nothing else, that no one would miss but for being replaced.

    Raises
    ------
    UsageError
        It is a place such as home that is never replaced.
    OutputError
        It is no store that bigimg wrote, or holds label images or something else; the message names it.
    """
    _check_root(path)
    check_contents(path)


def may_be_replaceable(path: Path) -> bool:
    """Return whether :func:`check_replaceable` has nothing against it, as far as can be told without a walk."""
    try:
        _check_root(path)
        _check_labels(path)
    except (OutputError, UsageError):
        return False
    return True


def _check_root(path: Path) -> None:
    """Refuse a place that is never replaced, or no store of ours."""
    if path.is_symlink():
        raise OutputError(
            f"{path}: is a link, which is never overwritten: remove it, or name what it points to"
        )
    if (
        path in (Path.home(), Path("/"), Path.cwd())
        or Path.cwd().is_relative_to(path)
        or os.path.ismount(path)
    ):
        raise UsageError(f"{path}: is never overwritten (home, root, a mount, or the folder you are in)")
    if not (path / MANIFEST).is_dir():
        raise OutputError(
            f"{path}: is no store that bigimg wrote, and nothing else is overwritten: remove it by hand"
        )


def check_contents(path: Path) -> None:
    """Return when bigimg wrote everything in the folder ``path``, and none of it is a label image.

    Labels are somebody's work that no conversion makes again.

    Raises
    ------
    OutputError
        Something does not belong, or is a label, or what belongs cannot be told; the message names it.
    """
    _check_labels(path)
    try:
        stranger = next(_strangers(path), None)
    except BigimgError as error:
        raise OutputError(
            f"{path}: what of it bigimg wrote cannot be told ({error}): remove the store by hand"
        ) from error
    if stranger is not None:
        raise OutputError(
            f"{stranger}: is no part of the zarr store {path}: move it away, or remove the store by hand"
        )


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


def _strangers(root: Path) -> Iterator[Path]:
    """Yield the files and links in the store ``root`` that its manifest does not know."""
    zarr = zarr_at(root)
    known = {*(read_objects(root) or {}), *LISTS_LABELS}
    known |= {f"{group}/{ATTRIBUTES[zarr]}" for group in (MANIFEST, PROVENANCE)}
    levels = {key.split("/")[2] for key in known if key.startswith(f"{MANIFEST}/") and key.count("/") > 2}
    grids = {level: read_records(root, level).shape[:-1] for level in levels}
    for where, folders, files in os.walk(root, onerror=raise_it):
        here = Path(where)
        yield from (here / name for name in folders if (here / name).is_symlink())
        for path in (here / name for name in files):
            key = path.relative_to(root).as_posix()
            if path.is_symlink() or not (key in known or _is_object(key, grids, zarr)):
                yield path


def _is_object(key: str, grids: Mapping[str, Shape], zarr: ZarrFormat) -> bool:
    """Return whether ``key`` is exactly that of an object of a level: what only looks like one is somebody's file."""
    level, _, inside = key.partition("/")
    numbers = inside.removeprefix("c/").split("/")
    if not all(map(str.isdecimal, numbers)):
        return False
    index, grid = tuple(map(int, numbers)), grids.get(level, ())
    within = len(index) == len(grid) and all(i < n for i, n in zip(index, grid, strict=True))
    return within and inside == object_key(index, zarr)
