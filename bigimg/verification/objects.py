"""Which objects of a store of ours are lost, cut, changed or not ours: small ones are read, shards measured.

Works on objects and on nothing that the store says of itself without a checksum, so that one damage does not hide
the next. Lengths come from one walk with ``scandir``, a folder at a time: no object is opened, and memory does not
grow with the store. In a zip file they come from its directory, behind a URL from listings where there are any.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

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
from bigimg.omezarr.metadata import ARRAY, ATTRIBUTES, LABELS, MANIFEST, group_documents
from bigimg.omezarr.objects import Listed, ObjectPath, Place
from bigimg.omezarr.parse import ArrayMeta, parse_array
from bigimg.omezarr.shard import ShardLayout, object_grid, object_key
from bigimg.omezarr.tree import Tree
from bigimg.types import Array, Json, Shape, ZarrFormat
from bigimg.verification.report import Finding, Findings, Problem

type Entries = Mapping[str, os.DirEntry[str] | Listed]
"""What lies in a folder, by name."""

UNTOLD = -1
"""Length of an object where the place does not tell."""


@dataclass(frozen=True, slots=True)
class CheckedLevel:
    """One level whose metadata can be believed."""

    index: int
    folder: Place
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


def is_ours(root: Place) -> bool:
    """Return whether there is a manifest of ours, or what is left of one, in the store ``root``."""
    if isinstance(root, Path):
        return (root / MANIFEST).is_dir()
    return any((root / MANIFEST / name).exists() for name in ATTRIBUTES.values()) or (
        _listing(root) is not None and bool(entries(root / MANIFEST))
    )


def _listing(root: Place) -> Entries | None:
    """Return what lies in a store of ours, by name; None where the place does not say: web servers need not."""
    if isinstance(root, Path):
        return entries(root)
    try:
        found = entries(root)
    except (OSError, InputError, NotImplementedError):  # each refuses in its own way
        return None
    return found if GROUP in found else None


def check_objects(tree: Tree, found: Findings) -> Known:
    """Check presence and length of every object and the bytes of the small ones; return what can be believed."""
    root = tree.place("")
    zarr = zarr_at(root)
    at_root = _listing(root)
    names: set[str] = set() if at_root is None else {*at_root, *entries(root / MANIFEST)}
    objects = _objects(root, zarr, names, found)
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
        node = tree.node("")
        known.root = None if node is None else node["attributes"]
    listed = at_root is not None
    if not listed:
        found.note("objects were not looked for: they cannot be listed there, so their lengths are not known")
    for index in _level_numbers(names, zarr, objects):
        level = _level(tree, index, zarr, damaged, found, listed=listed)
        if level is not None:
            known.levels[index] = level
        known.documents &= level is not None and level.records is not None
    known.documents &= bool(objects) and not damaged
    if at_root is not None:
        _find_strangers(root, at_root, zarr, objects, found)
    return known


def _objects(root: Place, zarr: ZarrFormat, names: Set[str], found: Findings) -> dict[str, tuple[int, int]]:
    """Return what the manifest says of the small objects; its document must be as we would write it from that.

    ``names`` are those at the root and in the manifest.
    """
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
    needed = {ATTRIBUTES[zarr], f"{GROUP}/{ATTRIBUTES[zarr]}", *_listed_levels(names, zarr, objects)}
    for key in sorted(needed - set(objects)):
        found.add(Finding("metadata", listing, f"does not list {key}; restore the object"))
    return objects


def _listed_levels(names: Set[str], zarr: ZarrFormat, objects: Mapping[str, Any]) -> Iterator[str]:
    for index in _level_numbers(names, zarr, objects):
        yield f"{index}/{ARRAY[zarr]}"
        yield f"{index}/{ATTRIBUTES[zarr]}"
        yield f"{MANIFEST}/{index}/{ARRAY[zarr]}"


def _level_numbers(names: Set[str], zarr: ZarrFormat, objects: Mapping[str, Any]) -> list[int]:
    """Return the levels that the manifest or ``names`` of what is there know of."""
    listed = {
        key.split("/")[-2] for key in objects if key.startswith(f"{MANIFEST}/") and key.endswith(f"/{ARRAY[zarr]}")
    }  # fmt: skip
    return sorted(int(name) for name in listed | names if name.isdecimal())


def _level(
    tree: Tree, index: int, zarr: ZarrFormat, damaged: set[str], found: Findings, *, listed: bool
) -> CheckedLevel | None:
    """Check the objects of one level; return None when its metadata cannot be believed."""
    root = tree.place("")
    records = _records(root, index, zarr, damaged, found)
    meta = _metadata(tree, index, zarr, damaged, found)
    lengths = None if records is None else records[..., 0]
    if meta is None or meta.layout is None:
        found.note(f"level {index}: its metadata is damaged, so its pixels were not checked")
        if listed:
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
    if listed:
        _measure(root, index, zarr, expected, found, measured=lengths is not None)
    return CheckedLevel(index, root / str(index), meta, meta.layout, records)


def _metadata(
    tree: Tree, index: int, zarr: ZarrFormat, damaged: set[str], found: Findings
) -> ArrayMeta | None:
    root = tree.place("")
    key = f"{index}/{ARRAY[zarr]}"
    if key in damaged or f"{index}/{ATTRIBUTES[zarr]}" in damaged:
        return None
    try:
        node = tree.node(str(index))
        if node is None:
            raise MissingChunk(f"{root / key}: the object is gone; restore it, or convert the source again")
        meta = parse_array(node, source=str(root / str(index)))
        if meta.layout is None:
            raise InputError(f"{root / key}: not an array as bigimg writes it; restore the object")
    except BigimgError as error:
        found.add(_of_small(root, key, error))
        return None
    return meta


def _records(root: Place, index: int, zarr: ZarrFormat, damaged: set[str], found: Findings) -> Array | None:
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


def entries(folder: Place) -> Entries:
    """Return what lies in ``folder`` by name; nothing when it is not there or not a folder."""
    try:
        if isinstance(folder, ObjectPath):
            return folder.objects.listed(f"{folder.key}/".lstrip("/"))
        assert isinstance(folder, Path)
        with os.scandir(folder) as listing:
            return {entry.name: entry for entry in listing}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _measure(
    root: Place, index: int, zarr: ZarrFormat, lengths: Array | None, found: Findings, *, measured: bool
) -> None:
    """Compare the files of one level with what should be there, and with their ``lengths`` where these are known."""
    documents = {ARRAY[zarr], ATTRIBUTES[zarr]}
    if zarr == 3:
        _find_others(root, str(index), entries(root / str(index)), {*documents, "c"}, found)
    if lengths is not None:
        found.objects += lengths.size
        chunks, beside = (f"{index}/c", set()) if zarr == 3 else (str(index), documents)
        _compare(root, chunks, index, zarr, (), lengths, measured, found, beside)


def _compare(
    root: Place, key: str, level: int, zarr: ZarrFormat, index: Shape, lengths: Array, measured: bool,
    found: Findings, beside: Set[str] = frozenset(),
) -> None:  # fmt: skip
    """Compare the folder ``key`` with ``lengths`` of what should be in it, of shape grid[len(index):].

    ``beside`` names what else belongs there.
    """
    inside = entries(root / key)
    known = {*beside, *map(str, range(len(lengths)))}
    for i in range(len(lengths)) if lengths.ndim > 1 else ():
        _compare(root, f"{key}/{i}", level, zarr, (*index, i), lengths[i], measured, found)
    for i, length in enumerate(lengths.tolist()) if lengths.ndim == 1 else ():
        entry = inside.get(str(i))
        size = None if entry is None else _length(entry)
        if size is None:
            said = "the object is gone; its pixels are lost, restore it"
            found.add(of_object("missing", level, (*index, i), said, zarr))
        elif measured and size not in (length, UNTOLD):
            said = f"{size} bytes instead of {length}; restore the object"
            found.add(of_object("corrupt", level, (*index, i), said, zarr))
    _find_others(root, key, inside, known, found)


def _length(entry: os.DirEntry[str] | Listed) -> int | None:
    """Return the length of an object in bytes; None when it is a link that leads nowhere."""
    if isinstance(entry, Listed):
        return UNTOLD if entry.length is None else entry.length
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return None


def of_object(kind: Problem, level: int, shard: Shape, said: str, zarr: ZarrFormat) -> Finding:
    """Return a finding on a whole object of a level."""
    key = f"{level}/{object_key(shard, zarr)}"
    return Finding(kind, key, f"level {level}, {said}", str(level), level, shard)


def _find_strangers(
    root: Place, at_root: Entries, zarr: ZarrFormat, objects: Mapping[str, Any], found: Findings
) -> None:
    """Find objects at the root and in our own group that the manifest does not know."""
    levels = (name for name in at_root if name.isdecimal())
    _find_others(root, "", at_root, {LABELS, ATTRIBUTES[zarr], GROUP, *objects, *levels}, found)
    known = {*objects, *(f"{group}/{ATTRIBUTES[zarr]}" for group in (MANIFEST, PROVENANCE))}
    for key in _files(root, GROUP, entries(root / GROUP)):
        if key not in known and objects:
            found.add(_stranger(key))


def _find_others(root: Place, key: str, inside: Entries, known: Set[str], found: Findings) -> None:
    """Report every object ``inside`` the folder ``key`` but what has ``known`` names."""
    others = {name: entry for name, entry in inside.items() if name not in known}
    found.add(*map(_stranger, _files(root, key, others)))


def _stranger(key: str) -> Finding:
    return Finding("extra", key, "is not in the manifest; remove it, bigimg did not write it")


def _files(root: Place, key: str, inside: Entries) -> Iterator[str]:
    """Yield the paths of all objects ``inside`` the folder ``key``; a linked folder is not entered."""
    for name, entry in sorted(inside.items()):
        path = f"{key}/{name}".lstrip("/")
        if entry.folder if isinstance(entry, Listed) else entry.is_dir(follow_symlinks=False):
            yield from _files(root, path, entries(root / path))
        else:
            yield path


def _of_small(root: Place, key: str, error: BigimgError) -> Finding:
    """Return the finding on a small object from the error that reading it raised."""
    said = str(error).removeprefix(f"{root / key}: ").removeprefix(f"{root}/")
    array = re.sub(r"/(zarr\.json|\.zarray|\.zattrs|c/[0-9/]+)$", "", key)
    level = array.rsplit("/", 1)[-1]
    return Finding(
        "missing" if isinstance(error, MissingChunk) else "corrupt", key, said,
        array if array != key or "/c/" in key else None,
        int(level) if level.isdecimal() else None,
    )  # fmt: skip
