"""What may be replaced: a folder of which all belongs to one zarr tree with a root we recognise, and no labels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigimg.errors import OutputError, UsageError
from bigimg.omezarr.manifest import raise_it
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.parse import label_names

METADATA = {"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"}
NAMED = 5
"""Label images that a message names."""
OME_XML = {"METADATA.ome.xml"}
"""What bioformats2raw puts into the group ``OME``."""


def check_replaceable(path: Path, source: str | None = None) -> None:
    """Return when ``path`` is a store and nothing else, that no one would miss but for being replaced.

    Raises
    ------
    UsageError
        It is the source, or around it, or a place such as home that is never replaced.
    OutputError
        It is no zarr tree, or holds something that is no part of one, or label images; the message names it.
    """
    _check_root(path, source)
    check_contents(path)


def may_be_replaceable(path: Path, source: str | None = None) -> bool:
    """Return whether :func:`check_replaceable` has nothing against it, as far as the nodes of the tree tell.

    What lies between the chunks is not looked at: that takes as long as there are files.
    """
    try:
        _check_root(path, source)
        _check_labels(path)
    except (OutputError, UsageError):
        return False
    return True


def _check_root(path: Path, source: str | None) -> None:
    """Refuse a place that is never replaced, or no store."""
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
    if (
        source is not None
        and os.path.exists(source)
        and Path(os.path.realpath(source)).is_relative_to(path.resolve())
    ):
        raise UsageError(f"{path}: holds the source {source}: write elsewhere")
    if not path.is_dir():
        raise OutputError(f"{path}: is not a folder: only a zarr store is overwritten; remove it by hand")
    if not _is_root(path):
        raise OutputError(f"{path}: is no zarr store (no group or array at its root): remove it by hand")


def check_contents(path: Path) -> None:
    """Return when everything in the folder ``path`` belongs to one zarr tree, and none of it is a label image.

    Labels are somebody's work that no conversion makes again.

    Raises
    ------
    OutputError
        Something does not belong, or is a label; the message names it.
    """
    alien = _alien(path)
    if alien is not None:
        raise OutputError(
            f"{alien}: is no part of the zarr store {path}: move it away, or remove the store by hand"
        )
    _check_labels(path)


def _check_labels(path: Path) -> None:
    if labels := [label.relative_to(path).as_posix() for label in _labels(path)]:
        named = ", ".join(labels[:NAMED]) + (
            f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
        )
        raise OutputError(
            f"{path}: holds label images, which would be lost with it ({named}): move them away, or write to "
            "another name"
        )


def _labels(folder: Path, *, below: bool = False) -> Iterator[Path]:
    """Yield the label images in the group ``folder`` and its groups: all that a group called ``labels`` holds."""
    if _keys(folder) is not None:
        return
    holds = (below and folder.name == LABELS) or _lists_labels(folder)
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_dir(follow_symlinks=False):
            if holds:
                yield Path(entry.path)
            else:
                yield from _labels(Path(entry.path), below=True)


def _lists_labels(folder: Path) -> bool:
    """Return whether the attributes of a group have a list of labels, whatever its name."""
    attributes = _document(folder / ".zattrs"), _document(folder / "zarr.json").get("attributes")
    return any(label_names(block) for block in attributes if isinstance(block, dict))


def _is_root(path: Path) -> bool:
    return any(document.get("zarr_format") in (2, 3) for document in map(_document, _metadata(path)))


def _metadata(folder: Path) -> list[Path]:
    return [folder / name for name in ("zarr.json", ".zarray", ".zgroup") if (folder / name).is_file()]


def _document(path: Path) -> dict[str, Any]:
    """Return a metadata document, or an empty one for what is none."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _alien(folder: Path) -> Path | None:
    """Return the first entry in or below the node ``folder`` that is not zarr's, or None."""
    if (keys := _keys(folder)) is not None:
        return _alien_in_array(folder, keys)
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        path = Path(entry.path)
        if entry.is_symlink():
            return path
        if entry.is_file():
            if entry.name not in METADATA and not (folder.name == "OME" and entry.name in OME_XML):
                return path
        elif not _metadata(path) and entry.name != "OME":
            return path  # a folder that is no node of the tree
        elif (found := _alien(path)) is not None:
            return found
    return None


@dataclass(frozen=True, slots=True)
class _Keys:
    """How the chunks of one array are called; exactly, for what only looks like one is somebody's file."""

    grid: tuple[int, ...] | None
    """Chunks along each axis; None when the metadata does not say, and then nothing is a chunk."""
    prefix: str = ""
    separator: str = "/"

    def has(self, key: str) -> bool:
        """Return whether ``key`` is that of a chunk that the array has."""
        if self.grid is None:
            return False
        if not self.grid:
            return key == (self.prefix or "0")
        start = self.prefix + self.separator if self.prefix else ""
        index = key.removeprefix(start).split(self.separator)
        return key.startswith(start) and len(index) == len(self.grid) and all(
            part.isascii() and part.isdecimal() and part == str(int(part)) and int(part) < n
            for part, n in zip(index, self.grid, strict=True)
        )  # fmt: skip


def _keys(folder: Path) -> _Keys | None:
    """Return how the chunks of the array in ``folder`` are called; None for a group."""
    for document in map(_document, _metadata(folder)):
        if "shape" not in document:
            continue
        try:
            new = document["zarr_format"] == 3
            encoding: Any = document["chunk_key_encoding"] if new else {"name": "v2"}
            options = encoding.get("configuration", {}) if new else document
            first = encoding["name"] == "default"
            separator = options.get("separator" if new else "dimension_separator", "/" if first else ".")
            chunks = document["chunk_grid"]["configuration"]["chunk_shape"] if new else document["chunks"]
            grid = tuple(max(1, -(-n // c)) for n, c in zip(document["shape"], chunks, strict=True))
            return _Keys(grid, "c" if first else "", separator if separator in ("/", ".") else "/")
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
            return _Keys(None)
    return None


def _alien_in_array(folder: Path, keys: _Keys) -> Path | None:
    for where, folders, files in os.walk(folder, onerror=raise_it):
        here = Path(where)
        for name in sorted(folders):
            parts = (here / name).relative_to(folder).parts
            if (here / name).is_symlink() or not all(_is_part(i, part) for i, part in enumerate(parts)):
                return here / name
        for name in sorted(files):
            path = here / name
            if not (here == folder and name in METADATA) and (
                path.is_symlink() or not keys.has(path.relative_to(folder).as_posix())
            ):
                return path
    return None


def _is_part(position: int, part: str) -> bool:
    return part.isdecimal() or (position == 0 and part == "c")
