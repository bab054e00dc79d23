"""A store packed into one file, and a file unpacked into a folder: whole or absent, nothing but bytes copied."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bigimg.conversion import commit
from bigimg.conversion.progress import Meter, Report, reporting
from bigimg.conversion.target import checked_target
from bigimg.errors import InputError, UsageError, counted
from bigimg.omezarr.archive import Archive
from bigimg.omezarr.documents import is_key
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.packed import (
    DIRECTORY_BYTES,
    PACKED,
    PIECE_BYTES,
    is_packed,
    objects_below,
    write_packed,
)
from bigimg.omezarr.parse import ome_block
from bigimg.omezarr.tree import Tree
from bigimg.planning.disk import check_free
from bigimg.planning.memory import human_bytes
from bigimg.planning.room import LATER, room


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed or unpacked. Print it, or take :meth:`to_dict`."""

    source: str
    target: str
    objects: int
    stored_bytes: int
    """Of all objects."""
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return asdict(self) | {"seconds": round(self.seconds, 3), "notes": list(self.notes)}

    def __str__(self) -> str:
        size, rate = self.stored_bytes, self.stored_bytes / max(self.seconds, 1e-3)
        said = (
            f"{self.target}: {counted(self.objects, 'object')} of {self.source}, {human_bytes(size)} in "
            f"{self.seconds:.1f} s, {human_bytes(rate)}/s"
        )
        return "\n".join([said, *(f"note: {note}" for note in self.notes)])


def pack_store(
    tree: Tree, target: str | os.PathLike[str], *,
    memory: int | float | str | None, overwrite: bool, progress: bool | Report | None,
) -> Packed:  # fmt: skip
    """Pack the store in the folder ``tree``; see :func:`bigimg.pack`."""
    if tree.folder is None:
        raise UsageError(
            f"{tree.path}: is no folder on this machine, and only a folder is packed: fetch it first"
        )
    labels, started = tree.children(LABELS), time.monotonic()
    path = checked_target(target, tree.path, overwrite=overwrite, labels=labels)
    if not is_packed(target):
        raise UsageError(f"{target}: a store in one file has a name that ends in {PACKED}: give it one")
    version, objects = _version(tree), objects_below(tree.folder)
    _check_memory(path, len(objects), memory)
    _check_disk(path, objects)
    with (
        commit.staged(path, None, overwrite=overwrite, one_file=True, labels=labels) as staging,
        reporting(progress) as report,
    ):
        meter = Meter(sum(objects.values()), report)
        meter.begin("packing")
        write_packed(tree.folder, objects, staging.made, version, meter.advance)
        commit.hook("packed")
    return Packed(
        tree.path, os.fspath(target), len(objects), sum(objects.values()), time.monotonic() - started
    )


def _version(tree: Tree) -> str | None:
    """Return the version of OME-Zarr of the root, which must be of zarr 3; None if it is no OME-Zarr."""
    node = tree.node("")
    if node is None:
        raise InputError(f"{tree.path}: no zarr.json here: give the folder of a store")
    if node["zarr_format"] != 3:
        raise UsageError(
            f"{tree.path}: is of zarr 2, as OME-Zarr 0.4 is, and a store in one file is of zarr 3: "
            f"bigimg convert {tree.path} NAME{PACKED} makes one"
        )
    version = ome_block(node["attributes"]).get("version")
    return version if isinstance(version, str) else None


def unpack_store(
    tree: Tree, target: str | os.PathLike[str], *,
    memory: int | float | str | None, overwrite: bool, progress: bool | Report | None,
) -> Packed:  # fmt: skip
    """Unpack the store in the zip file ``tree``; see :func:`bigimg.unpack`."""
    archive = tree.objects
    if not isinstance(archive, Archive):
        raise UsageError(
            f"{tree.path}: is no file in which a store is packed: give one named {PACKED}, or a zip file"
        )
    path, started = checked_target(target, str(archive.path), overwrite=overwrite), time.monotonic()
    if is_packed(target):
        raise UsageError(f"{target}: {PACKED} is the name of a file, and a store is unpacked into a folder")
    _check_memory(path, archive.most_members, memory)
    if tree.node("") is None:
        raise InputError(f"{tree.path}: holds no zarr.json, .zgroup or .zarray at its root: it is no store")
    members = _by_key(archive, tree.path)
    sizes = {key: info.file_size for key, info in members.items()}
    _check_disk(path, sizes)
    with commit.staged(path, None, overwrite=overwrite) as staging, reporting(progress) as report:
        meter = Meter(sum(sizes.values()), report)
        meter.begin("unpacking")
        for key, info in members.items():
            file = staging.store / key
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "xb") as out:
                for piece in archive.pieces(info):
                    out.write(piece)
                    meter.advance(len(piece))
        commit.hook("unpacked")
    return Packed(tree.path, os.fspath(target), len(sizes), sum(sizes.values()), time.monotonic() - started)


def _by_key(archive: Archive, shown: str) -> dict[str, zipfile.ZipInfo]:
    """Return the members by their keys.

    Raises
    ------
    InputError
        One of them leads out of the store, or two have one name, or one is a file and a folder.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    folders = set[str]()
    for info in archive.members():
        key = info.filename.removeprefix(archive.prefix)
        if not key or not is_key(key) or any(part in ("", ".") for part in key.split("/")):
            raise InputError(
                f"{shown}: holds {key!r:.80}, which is no place in a store; nothing was unpacked"
            )
        if key in found:
            raise InputError(
                f"{shown}: holds {key} twice, and nobody can tell which counts; nothing was unpacked"
            )
        found[key] = info
        parts = key.split("/")
        folders.update("/".join(parts[:n]) for n in range(1, len(parts)))
    if both := sorted(folders & found.keys()):
        raise InputError(f"{shown}: holds {both[0]} as a file and as a folder; nothing was unpacked")
    return found


def _check_memory(target: Path, objects: int, memory: int | float | str | None) -> None:
    parts = {"its list of objects": objects * DIRECTORY_BYTES, "pieces": 2 * PIECE_BYTES, **LATER}
    room(memory).take(str(target), parts)


def _check_disk(target: Path, sizes: Mapping[str, int]) -> None:
    check_free(target, target.parent, sum(sizes.values()) + len(sizes) * 200)
