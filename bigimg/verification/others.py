"""What can be said of stores that others wrote, which have no manifest: much of the metadata, little of a loss.

An absent chunk means the fill value to zarr, so it is a doubt and no finding. How levels were made is not written
down, so they are decoded and not derived; of label images the ids of each level must be among those of level 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigimg.errors import InputError, IntegrityError, MissingChunk
from bigimg.geometry.region import grid, pieces, shape_of, shift
from bigimg.omezarr.shard import ABSENT, ShardFile
from bigimg.omezarr.store import Store, StoreReader
from bigimg.omezarr.tree import join
from bigimg.types import Array, Region, Shape
from bigimg.verification.objects import entries
from bigimg.verification.report import Finding, Findings

NEARLY = 1e-3
"""Of a pixel: offsets that others round to decimals."""
MOST_OBJECTS = 10_000_000
"""Chunks of one level that are looked for: a minute."""
MOST_DOUBTS = 1000
"""Absent chunks of one level that are named; sparse stores have millions."""
MOST_IDS = 1_000_000
"""Ids of level 0 that are remembered, eight bytes each."""


def check_foreign(store: Store, found: Findings) -> None:
    """Check metadata and presence in a store without a manifest of ours."""
    if store.has_manifest:
        found.note(f"the manifest was not compared: give the address of {store.group} itself, or unzip it")
    else:
        found.note("no manifest: lost, swapped or exchanged chunks cannot be told from what was written")
    found.objects += 1 + len(store.levels)
    found.add(*_of_geometry(store))
    begin_alike = [
        i for i, level in enumerate(store.levels) if i and level.origin == store.levels[0].origin
        and any(f > 1 + NEARLY for f in _factors(store, i))
    ]  # fmt: skip
    if begin_alike:
        found.note(
            f"level {_few(begin_alike)}: begins where level 0 does: right when every n-th pixel was kept, "
            "(f - 1) / 2 pixels off when pixels were averaged"
        )
    if store.tree.folder is None:
        found.note("absent chunks were not looked for: the store is not a folder on this machine")
        return
    for index in range(len(store.levels)):
        _find_absent(store, index, found)


def _few(names: list[Any]) -> str:
    return ", ".join(map(str, names[:8])) + (", …" if len(names) > 8 else "")


def _factors(store: Store, index: int) -> tuple[float, ...]:
    """Return how many pixels of level 0 a pixel of a level covers, by its scale."""
    first, level = store.levels[0], store.levels[index]
    return tuple(abs(a / b) for a, b in zip(level.spacing, first.spacing, strict=True))


def _of_geometry(store: Store) -> Iterator[Finding]:
    first = store.levels[0]
    for index, level in enumerate(store.levels):
        if store.image.levels[index].scale is None:
            continue  # versions without scales say nothing that could be wrong
        for axis, factor in enumerate(_factors(store, index)):
            name, n, m = store.dims[axis], first.shape[axis], level.shape[axis]
            if abs(m * factor - n) >= factor * (1 + NEARLY):
                said = f"{m} pixels along {name}, of {n} at level 0, and its scale says 1 of {factor:g}"
                yield _of_level(store, index, said)
            offset = (level.origin[axis] - first.origin[axis]) / first.spacing[axis]
            if min(abs(offset), abs(offset - (factor - 1) / 2)) > NEARLY * max(1.0, factor):
                said = f"begins {offset:g} pixels from level 0 along {name}; 0 or {(factor - 1) / 2:g} would be right"
                yield _of_level(store, index, said)


def _of_level(store: Store, index: int, said: str) -> Finding:
    path = join(store.group, store.levels[index].path)
    document = "zarr.json" if store.tree.read(join(store.group, "zarr.json")) is not None else ".zattrs"
    file = join(store.group, document)
    return Finding("metadata", file, f"level {index}: {said}; correct the metadata", path, index)


# ------------------------------------------------------------------------------------------------ absent chunks


def _find_absent(store: Store, index: int, found: Findings) -> None:
    """Name the objects of one level that are not there."""
    meta, path = store.arrays[index], join(store.group, store.levels[index].path)
    node = store.tree.node(path)
    shape = grid(meta.shape, meta.shard)
    if store.tree.folder is None or node is None:
        return
    if math.prod(shape) > MOST_OBJECTS:
        found.note(f"level {index}: {math.prod(shape)} objects, too many to look for those that are absent")
        return
    found.objects += math.prod(shape)
    absent = 0
    parent: str | None = None
    names: Collection[str] = ()
    name_of = _naming(node)
    for where in itertools.product(*map(range, shape)):
        key = name_of(where)
        head, _, name = key.rpartition("/")
        if head != parent:
            parent, names = head, entries(store.tree.folder / path / head)
        if name not in names:
            absent += 1
            if absent <= MOST_DOUBTS:
                sharded = meta.shard != meta.chunk
                found.doubts.append(absent_chunk(path, index, key, where, None if sharded else where))
    if absent:
        found.note(
            f"level {index}: {absent} of {math.prod(shape)} objects are absent, lost or never written because they "
            "hold the fill value"
        )


def absent_chunk(path: str, level: int, key: str, shard: Shape, chunk: Shape | None) -> Finding:
    """Return the doubt about an object or a chunk that is not there."""
    what = "the object" if chunk is None else f"chunk {chunk}"
    said = f"level {level}, {what}: missing or fill value; nobody can tell which"
    return Finding("missing", join(path, key), said, path, level, shard, chunk)


def _naming(node: Mapping[str, Any]) -> Callable[[Shape], str]:
    """Return the function from the index of an object to its name in the folder of its array."""
    prefix: tuple[str, ...] = ()
    if node["zarr_format"] == 2:
        separator = node.get("dimension_separator") or "."
    else:
        encoding = node.get("chunk_key_encoding") or {"name": "default"}
        plain = encoding["name"] == "v2"
        separator = (encoding.get("configuration") or {}).get("separator") or ("." if plain else "/")
        prefix = () if plain else ("c",)
    return lambda index: str(separator).join((*prefix, *map(str, index)))


# ------------------------------------------------------------------------------------------------------ pixels


def read_foreign(
    reader: StoreReader, index: int, region: Region, findings: list[Finding]
) -> tuple[Array, list[Region]]:
    """Return the pixels of ``region`` and the parts of it that do not decode, which read as zeros."""
    try:
        return reader.read(region), []
    except (IntegrityError, InputError):
        pass  # said below, of each chunk
    pixels = np.zeros(shape_of(region), reader.spec.dtype)
    lost: list[Region] = []
    origin = tuple(s.start for s in region)
    for chunk, part in pieces(region, reader.spec.chunks):
        try:
            pixels[shift(part, origin)] = reader.read(part)
        except (IntegrityError, InputError) as error:
            lost.append(part)
            kind = "missing" if isinstance(error, MissingChunk) else "corrupt"
            findings.append(of_foreign_chunk(reader.store, index, kind, chunk, _cause(error)))
    return pixels, lost


def _cause(error: Exception) -> str:
    said = str(error).split("does not decode (", 1)
    text = said[1].rsplit(");", 1)[0] if len(said) > 1 else str(error).split(": ", 1)[-1]
    return f"does not decode ({text}); restore the object" if len(said) > 1 else text


def of_foreign_chunk(store: Store, level: int, kind: Any, chunk: Shape, said: str) -> Finding:
    """Return a finding on a chunk of a level, by its index in the order of ``store.dims``."""
    path, meta = join(store.group, store.levels[level].path), store.arrays[level]
    stored = [0] * len(chunk)
    for canonical, position in enumerate(store.order):
        stored[position] = chunk[canonical]
    shard = tuple(i * c // s for i, c, s in zip(stored, meta.chunk, meta.shard, strict=True))
    key = _naming(store.tree.node(path) or {"zarr_format": 2})(shard)
    text = f"level {level}, chunk {tuple(stored)}: {said}"
    return Finding(kind, join(path, key), text, path, level, shard, tuple(stored))


def find_unlisted(store: Store, index: int, found: Findings) -> None:
    """Doubt chunks that a shard of a layout like ours does not list."""
    meta, path = store.arrays[index], join(store.group, store.levels[index].path)
    if meta.layout is None or meta.layout.zarr == 2 or store.tree.folder is None:
        return
    folder = store.tree.folder / path
    for shard, region in pieces(tuple(slice(0, n) for n in meta.shape), meta.shard):
        try:
            with ShardFile(folder, shard, meta.layout) as file:
                listed = file.offsets[..., 0] != ABSENT
        except (IntegrityError, OSError):
            continue  # said when the chunks were read
        for chunk, _ in pieces(region, meta.chunk):
            where = tuple(c % n for c, n in zip(chunk, meta.layout.chunks_per_shard, strict=True))
            if not listed[where] and len(found.doubts) < MOST_DOUBTS:
                key = "/".join(("c", *map(str, shard)))
                found.doubts.append(absent_chunk(path, index, key, shard, chunk))


class LabelIds:
    """The ids of level 0, to find those of coarser levels that it lacks."""

    def __init__(self) -> None:
        self.known = np.empty(0, np.int64)
        self.whole = True
        """False when not every id of level 0 is known, so that nothing can be said."""

    def add(self, ids: Array | None) -> None:
        """Remember ids of level 0; None for a block that does not decode."""
        if self.whole and ids is not None:
            self.known = np.union1d(self.known, ids) if self.known.size else ids
        self.whole = self.whole and ids is not None and self.known.size <= MOST_IDS

    def strange(self, ids: Array | None) -> list[int]:
        """Return the ids that level 0 lacks."""
        if ids is None or not self.whole:
            return []
        found: list[int] = np.setdiff1d(ids, self.known, assume_unique=True).tolist()
        return found


@dataclass(slots=True)
class Decoded:
    """What one block of a level gave."""

    region: Region
    findings: list[Finding]
    ids: Array | None
    """The different ids in it; None when not asked for, or when it does not decode."""
    decoded_bytes: int


def check_region(reader: StoreReader, index: int, region: Region, *, ids: bool) -> Decoded:
    """Decode ``region`` of one level."""
    findings: list[Finding] = []
    pixels, lost = read_foreign(reader, index, region, findings)
    return Decoded(region, findings, np.unique(pixels) if ids and not lost else None, pixels.nbytes)


def strange_ids(store: Store, index: int, region: Region, ids: list[int]) -> Finding:
    """Return the finding on ids of a coarser level that level 0 lacks."""
    chunk = tuple(s.start // c for s, c in zip(region, store.levels[index].chunk, strict=True))
    place = ", ".join(f"{name} {s.start} to {s.stop - 1}" for name, s in zip(store.dims, region, strict=True))
    said = f"ids that level 0 lacks ({_few(ids)}) in {place}: labels were averaged; make the levels again by mode"
    return of_foreign_chunk(store, index, "derived", chunk, said)
