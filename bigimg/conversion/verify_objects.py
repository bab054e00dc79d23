"""Which objects of a store of ours are lost, cut, changed or not ours: small ones are read, shards measured.

Works on files and on nothing that the store says of itself without a checksum, so that one damage does not hide
the next. Lengths come from one walk with ``scandir``, a folder at a time: no object is opened, and memory does not
grow with the store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bigimg.conversion.report import Finding, Findings, Problem
from bigimg.errors import BigimgError, InputError, MissingChunk
from bigimg.omezarr.manifest import (
    GROUP,
    HISTOGRAM,
    PROVENANCE,
    check_provenance,
    check_small,
    read_array,
    read_objects,
    zarr_at,
)
from bigimg.omezarr.metadata import ARRAY, ATTRIBUTES, MANIFEST, group_documents
from bigimg.omezarr.parse import ArrayMeta, parse_array
from bigimg.omezarr.shard import ShardLayout, object_grid, object_key
from bigimg.omezarr.tree import tree_of
from bigimg.types import Array, Json, Shape, ZarrFormat

LABELS = "labels"
"""Label images beside the image: stores of their own, with manifests of their own."""


@dataclass(frozen=True, slots=True)
class CheckedLevel:
    """One level whose metadata can be believed."""

    index: int
    folder: Path
    meta: ArrayMeta
    layout: ShardLayout
    records: Array | None
    """Length and checksum of every shard, uint64 of shape (*grid, 2); None when that is damaged."""


@dataclass(slots=True)
class Known:
    """What is left to build on once the small objects were checked."""

    root: Mapping[str, Any] | None = None
    """Attributes of the image; None when its document is not what was written."""
    levels: dict[int, CheckedLevel] = field(default_factory=dict)
    statistics: bool = True
    """Whether the statistics and the histogram are as written."""
    documents: bool = True
    """Whether all small objects are as written."""
    zarr: ZarrFormat = 3


def is_ours(root: Path) -> bool:
    """Return whether there is a manifest of ours, or what is left of one, in the folder ``root``."""
    return (root / MANIFEST).is_dir()


def check_objects(root: Path, found: Findings) -> Known:
    """Check presence and length of every object and the bytes of the small ones; return what can be believed."""
    zarr = zarr_at(root)
    objects = _objects(root, zarr, found)
    damaged = set()
    for key, record in objects.items():
        found.objects += 1
        try:
            check_small(root, key, record)
        except BigimgError as error:
            found.add(_of_small(root, key, error))
            damaged.add(key)
    try:
        found.objects += 1
        check_provenance(root)
    except BigimgError as error:
        found.add(_of_small(root, f"{PROVENANCE}/{ATTRIBUTES[zarr]}", error))
    about_statistics = (f"{GROUP}/{ATTRIBUTES[zarr]}", HISTOGRAM)
    known = Known(statistics=not any(key.startswith(about_statistics) for key in damaged), zarr=zarr)
    if ATTRIBUTES[zarr] in objects and ATTRIBUTES[zarr] not in damaged:
        node = tree_of(root).node("")
        known.root = None if node is None else node["attributes"]
    for index in _level_numbers(root, zarr, objects):
        level = _level(root, index, zarr, damaged, found)
        if level is not None:
            known.levels[index] = level
        known.documents &= level is not None and level.records is not None
    known.documents &= bool(objects) and not damaged
    _find_strangers(root, zarr, objects, found)
    return known


def _objects(root: Path, zarr: ZarrFormat, found: Findings) -> dict[str, tuple[int, int]]:
    """Return what the manifest says of the small objects; its document must be as we would write it from that."""
    found.objects += 1
    listing = f"{MANIFEST}/{ATTRIBUTES[zarr]}"
    try:
        objects = read_objects(root)
        if objects is None:
            raise MissingChunk(f"{root / listing}: the list of objects is gone; restore it, or convert again")
    except BigimgError as error:
        found.add(_of_small(root, listing, error))
        found.note("the list of small objects is damaged: metadata was not compared with it")
        return {}
    listed: dict[str, Json] = {key: [length, crc] for key, (length, crc) in objects.items()}
    if (root / listing).read_bytes() != group_documents({"objects": listed}, zarr)[ATTRIBUTES[zarr]]:
        found.add(Finding("corrupt", listing, "other bytes than bigimg writes; restore the object"))
    needed = {ATTRIBUTES[zarr], f"{GROUP}/{ATTRIBUTES[zarr]}", *_listed_levels(root, zarr, objects)}
    for key in sorted(needed - set(objects)):
        found.add(Finding("metadata", listing, f"does not list {key}; restore the object"))
    return objects


def _listed_levels(root: Path, zarr: ZarrFormat, objects: Mapping[str, Any]) -> Iterator[str]:
    for index in _level_numbers(root, zarr, objects):
        yield f"{index}/{ARRAY[zarr]}"
        yield f"{index}/{ATTRIBUTES[zarr]}"
        yield f"{MANIFEST}/{index}/{ARRAY[zarr]}"


def _level_numbers(root: Path, zarr: ZarrFormat, objects: Mapping[str, Any]) -> list[int]:
    """Return the levels that the manifest or the folder knows of."""
    listed = {
        key.split("/")[-2] for key in objects if key.startswith(f"{MANIFEST}/") and key.endswith(f"/{ARRAY[zarr]}")
    }  # fmt: skip
    names = listed | {name for folder in (root, root / MANIFEST) for name in entries(folder)}
    return sorted(int(name) for name in names if name.isdecimal())


def _level(
    root: Path, index: int, zarr: ZarrFormat, damaged: set[str], found: Findings
) -> CheckedLevel | None:
    """Check the files of one level; return None when its metadata cannot be believed."""
    records = _records(root, index, zarr, damaged, found)
    meta = _metadata(root, index, zarr, damaged, found)
    lengths = None if records is None else records[..., 0]
    if meta is None or meta.layout is None:
        found.note(f"level {index}: its metadata is damaged, so its pixels were not checked")
        _measure(root, index, zarr, lengths, found, measured=True)
        return None
    wanted = object_grid(meta.layout)
    if records is not None and records.shape != (*wanted, 2):
        said = f"lists a grid of {records.shape[:-1]} objects, and the array has {wanted}; restore both"
        found.add(Finding("metadata", f"{MANIFEST}/{index}/{ARRAY[zarr]}", said))
        records = lengths = None
    if records is None:
        own = "have no checksums" if zarr == 2 else "have their own checksums alone"
        found.note(f"level {index}: its part of the manifest is damaged: chunks {own}")
    expected = np.zeros(wanted) if lengths is None else lengths
    _measure(root, index, zarr, expected, found, measured=lengths is not None)
    return CheckedLevel(index, root / str(index), meta, meta.layout, records)


def _metadata(
    root: Path, index: int, zarr: ZarrFormat, damaged: set[str], found: Findings
) -> ArrayMeta | None:
    key = f"{index}/{ARRAY[zarr]}"
    if key in damaged or f"{index}/{ATTRIBUTES[zarr]}" in damaged:
        return None
    try:
        node = tree_of(root).node(str(index))
        if node is None:
            raise MissingChunk(f"{root / key}: the object is gone; restore it, or convert the source again")
        meta = parse_array(node, source=str(root / str(index)))
        if meta.layout is None:
            raise InputError(f"{root / key}: not an array as bigimg writes it; restore the object")
    except BigimgError as error:
        found.add(_of_small(root, key, error))
        return None
    return meta


def _records(root: Path, index: int, zarr: ZarrFormat, damaged: set[str], found: Findings) -> Array | None:
    """Return length and checksum of every shard of a level, or None when these are damaged."""
    folder = f"{MANIFEST}/{index}"
    if any(name.startswith(f"{folder}/") for name in damaged):
        return None
    try:
        return read_array(root / folder, zarr)
    except BigimgError as error:
        place = str(error).split(": ")[0].removeprefix(f"{root}/")
        found.add(_of_small(root, place, error))
        return None


# ------------------------------------------------------------------------------------------------ the folders


def entries(folder: str | Path) -> dict[str, os.DirEntry[str]]:
    """Return what lies in ``folder`` by name; nothing when it is not there or not a folder."""
    try:
        with os.scandir(folder) as listing:
            return {entry.name: entry for entry in listing}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _measure(
    root: Path, index: int, zarr: ZarrFormat, lengths: Array | None, found: Findings, *, measured: bool
) -> None:
    """Compare the files of one level with what should be there, and with their ``lengths`` where these are known."""
    documents = {ARRAY[zarr], ATTRIBUTES[zarr]}
    if zarr == 3:
        for name in sorted(set(entries(root / str(index))) - {*documents, "c"}):
            _add_strangers(root, f"{index}/{name}", found)
    if lengths is not None:
        found.objects += lengths.size
        chunks, beside = (f"{index}/c", set()) if zarr == 3 else (str(index), documents)
        _compare(root, chunks, index, zarr, (), lengths, measured, found, beside)


def _compare(
    root: Path, key: str, level: int, zarr: ZarrFormat, index: Shape, lengths: Array, measured: bool,
    found: Findings, beside: Set[str] = frozenset(),
) -> None:  # fmt: skip
    """Compare the folder ``key`` with ``lengths`` of what should be in it, of shape grid[len(index):].

    ``beside`` names what else belongs there.
    """
    inside = {name: entry for name, entry in entries(f"{root}/{key}").items() if name not in beside}
    for i in range(len(lengths)) if lengths.ndim > 1 else ():
        name = str(i)
        _compare(root, f"{key}/{name}", level, zarr, (*index, i), lengths[i], measured, found)
        inside.pop(name, None)
    for i, length in enumerate(lengths.tolist()) if lengths.ndim == 1 else ():
        entry = inside.pop(str(i), None)
        size = None if entry is None else _length(entry)
        if size is None:
            said = "the object is gone; its pixels are lost, restore it"
            found.add(of_object("missing", level, (*index, i), said, zarr))
        elif measured and size != length:
            said = f"{size} bytes instead of {length}; restore the object"
            found.add(of_object("corrupt", level, (*index, i), said, zarr))
    for name in sorted(inside):
        _add_strangers(root, f"{key}/{name}", found)


def _length(entry: os.DirEntry[str]) -> int | None:
    """Return the length of a file in bytes; None when it is a link that leads nowhere."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return None


def of_object(kind: Problem, level: int, shard: Shape, said: str, zarr: ZarrFormat) -> Finding:
    """Return a finding on a whole object of a level."""
    key = f"{level}/{object_key(shard, zarr)}"
    return Finding(kind, key, f"level {level}, {said}", str(level), level, shard)


def _find_strangers(root: Path, zarr: ZarrFormat, objects: Mapping[str, Any], found: Findings) -> None:
    """Find files at the root and in our own group that the manifest does not know."""
    for name in sorted(entries(root)):
        if name == LABELS:
            found.note("labels: an image of its own each, verify them one by one")
        elif not name.isdecimal() and name not in (ATTRIBUTES[zarr], GROUP, *objects):
            _add_strangers(root, name, found)
    known = {*objects, *(f"{group}/{ATTRIBUTES[zarr]}" for group in (MANIFEST, PROVENANCE))}
    for key in _files(root, GROUP):
        if key not in known and objects:
            found.add(_stranger(key))


def _add_strangers(root: Path, key: str, found: Findings) -> None:
    for inside in _files(root, key):
        found.add(_stranger(inside))


def _stranger(key: str) -> Finding:
    return Finding("extra", key, "is not in the manifest; remove it, bigimg did not write it")


def _files(root: Path, key: str) -> Iterator[str]:
    """Yield the paths of all files under ``key``, itself when it is one; a linked folder is not entered."""
    path = root / key
    if path.is_dir() and not path.is_symlink():
        for name in sorted(entries(path)):
            yield from _files(root, f"{key}/{name}")
    else:
        yield key


def _of_small(root: Path, key: str, error: BigimgError) -> Finding:
    """Return the finding on a small object from the error that reading it raised."""
    said = str(error).removeprefix(f"{root / key}: ").removeprefix(f"{root}/")
    array = re.sub(r"/(zarr\.json|\.zarray|\.zattrs|c/[0-9/]+)$", "", key)
    level = array.rsplit("/", 1)[-1]
    return Finding(
        "missing" if isinstance(error, MissingChunk) else "corrupt", key, said,
        array if array != key or "/c/" in key else None,
        int(level) if level.isdecimal() else None,
    )  # fmt: skip
