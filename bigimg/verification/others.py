"""The check of stores that others wrote. They have no manifest, so metadata can be checked, but a loss hardly.

An absent chunk means the fill value in zarr, so it is a doubt and no finding. The method of the levels is not written
down, so levels are decoded and not derived. Each id in a level of a label image must also be in level 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np

from bigimg.errors import InputError, IntegrityError, MissingChunk
from bigimg.geometry.region import full, grid, pieces
from bigimg.omezarr.open import few_names
from bigimg.omezarr.shard import ABSENT, ShardFile
from bigimg.omezarr.store import Store, StoreReader
from bigimg.omezarr.tree import join
from bigimg.types import Array, Region, Shape
from bigimg.verification.levels import Level
from bigimg.verification.report import Finding, Findings, Problem

NEARLY = 1e-3
"""Tolerance of offsets in pixels: others round them to decimals."""
MOST_OBJECTS = 10_000_000
"""Objects of one level that are looked for; this takes a minute."""
MOST_DOUBTS = 1000
"""Absent chunks of one level that are named; sparse stores have millions."""
MOST_IDS = 1_000_000
"""Ids of level 0 that are held in memory, eight bytes each."""


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
            f"level {few_names(begin_alike)}: begins where level 0 does: right if every n-th pixel was taken, "
            "(f - 1) / 2 pixels off if pixels were averaged"
        )
    if store.tree.folder is None:
        found.note("absent chunks were not looked for: the store is not a folder on this machine")
        return
    for index in range(len(store.levels)):
        _find_absent(store, index, found)


def _factors(store: Store, index: int) -> tuple[float, ...]:
    """Return how many pixels of level 0 a pixel of a level covers, by its scale."""
    pairs = zip(store.levels[index].spacing, store.levels[0].spacing, strict=True)
    return tuple(abs(spacing / finest) for spacing, finest in pairs)


def _of_geometry(store: Store) -> Iterator[Finding]:
    first = store.levels[0]
    for index, level in enumerate(store.levels):
        if store.image.levels[index].scale is None:
            continue  # old versions have no scales
        for axis, factor in enumerate(_factors(store, index)):
            name, n, m = store.dims[axis], first.shape[axis], level.shape[axis]
            if abs(m * factor - n) >= factor * (1 + NEARLY):
                message = f"{m} pixels along {name}, of {n} at level 0, and its scale says 1 of {factor:g}"
                yield _of_level(store, index, message)
            offset = (level.origin[axis] - first.origin[axis]) / first.spacing[axis]
            if min(abs(offset), abs(offset - (factor - 1) / 2)) > NEARLY * max(1.0, factor):
                right = f"0 or {(factor - 1) / 2:g} would be right"
                message = f"begins {offset:g} pixels from level 0 along {name}; {right}"
                yield _of_level(store, index, message)


def _of_level(store: Store, index: int, message: str) -> Finding:
    path, file = join(store.group, store.levels[index].path), join(store.group, "zarr.json")
    if store.tree.read(file) is None:
        file = join(store.group, ".zattrs")
    return Finding("metadata", file, f"level {index}: {message}; correct the metadata", path, index)


# ------------------------------------------------------------------------------------------------ absent chunks


def _find_absent(store: Store, index: int, found: Findings) -> None:
    """Doubt the objects of one level that are not there."""
    meta, path = store.arrays[index], join(store.group, store.levels[index].path)
    node, shape = store.tree.node(path), grid(meta.shape, meta.shard)
    count, absent = math.prod(shape), 0
    if node is None:
        return
    if count > MOST_OBJECTS:
        found.note(f"level {index}: {count} objects, too many to look for those that are absent")
        return
    found.objects += count
    parent: str | None = None
    names: Collection[str] = ()
    name_of = _naming(node)
    for where in itertools.product(*map(range, shape)):
        key = name_of(where)
        head, _, name = key.rpartition("/")
        if head != parent:
            parent, names = head, set(store.tree.children(join(path, head)))
        if name not in names:
            absent += 1
            if absent <= MOST_DOUBTS:
                sharded = meta.shard != meta.chunk
                found.doubts.append(_absent_chunk(path, index, key, where, None if sharded else where))
    if absent:
        message = (
            f"level {index}: {absent} of {count} objects are absent: lost, or never written because they "
        )
        found.note(f"{message}hold the fill value")


def _absent_chunk(path: str, level: int, key: str, shard: Shape, chunk: Shape | None) -> Finding:
    """Return the doubt about an object or a chunk that is not there."""
    what = "the object" if chunk is None else f"chunk {chunk}"
    message = f"level {level}, {what}: missing or fill value; nobody can tell which"
    return Finding("missing", join(path, key), message, path, level, shard, chunk)


def _naming(node: Mapping[str, Any]) -> Callable[[Shape], str]:
    """Return the function from the index of an object to its name in the folder of its array."""
    if node["zarr_format"] == 2:
        return lambda index: (node.get("dimension_separator") or ".").join(map(str, index))
    encoding = node.get("chunk_key_encoding") or {"name": "default"}
    separator, prefix = ("/", ("c",)) if encoding["name"] != "v2" else (".", ())
    separator = (encoding.get("configuration") or {}).get("separator") or separator
    return lambda index: separator.join((*prefix, *map(str, index)))


# ------------------------------------------------------------------------------------------------------ pixels


class ForeignLevel(Level):
    """One level of a store of others; regions and chunks in the order of ``store.dims``."""

    def __init__(self, store: Store, index: int) -> None:
        self.store, self.index, self.reader = store, index, StoreReader(store, index)
        spec = self.reader.spec
        self.shape, self.dtype, self.chunk, self.piece = spec.shape, spec.dtype, spec.chunks, spec.chunks

    def of_chunk(self, kind: Problem, chunk: Shape, message: str) -> Finding:
        """Return a finding on one chunk, by its index in the grid of chunks."""
        store, index = self.store, self.index
        path, meta = join(store.group, store.levels[index].path), store.arrays[index]
        stored = store.as_stored(chunk)
        shard = tuple(i * c // s for i, c, s in zip(stored, meta.chunk, meta.shard, strict=True))
        key = _naming(store.tree.node(path) or {"zarr_format": 2})(shard)
        text = f"level {index}, chunk {stored}: {message}"
        return Finding(kind, join(path, key), text, path, index, shard, stored)

    def _whole(self, region: Region, position: int | None) -> Array:
        return self.reader.read(region)

    def _read_piece(self, out: Array, index: Shape, part: Region, findings: list[Finding]) -> list[Region]:
        try:
            out[...] = self.reader.read(part)
        except (IntegrityError, InputError) as error:
            kind: Problem = "missing" if isinstance(error, MissingChunk) else "corrupt"
            findings.append(self.of_chunk(kind, index, _cause(error)))
            return [part]
        return []


def _cause(error: Exception) -> str:
    _, decoding, cause = str(error).partition("does not decode (")
    if decoding:
        return f"{decoding}{cause.rsplit(');', 1)[0]}); restore the object"
    return str(error).split(": ", 1)[-1]


def find_unlisted(store: Store, index: int, found: Findings) -> None:
    """Doubt chunks that a shard of a layout like ours does not list."""
    meta, path = store.arrays[index], join(store.group, store.levels[index].path)
    if meta.layout is None or meta.layout.zarr == 2 or store.tree.folder is None:
        return
    folder = store.tree.folder / path
    for shard, region in pieces(full(meta.shape), meta.shard):
        try:
            with ShardFile(folder, shard, meta.layout) as file:
                listed = file.offsets[..., 0] != ABSENT
        except (IntegrityError, OSError):
            continue  # reported when the chunks were read
        for chunk, _ in pieces(region, meta.chunk):
            where = tuple(c % n for c, n in zip(chunk, meta.layout.chunks_per_shard, strict=True))
            if not listed[where] and len(found.doubts) < MOST_DOUBTS:
                key = "/".join(("c", *map(str, shard)))
                found.doubts.append(_absent_chunk(path, index, key, shard, chunk))


class LevelIds:
    """The ids of level 0, to find ids of coarser levels that are not among them."""

    def __init__(self) -> None:
        self.ids = np.empty(0, np.int64)
        self.complete = True
        """False when ids of level 0 are not known, so that nothing can be compared with them."""

    def add(self, ids: Array | None) -> None:
        """Add ids of level 0; None stands for a block that does not decode."""
        if self.complete and ids is not None:
            self.ids = np.union1d(self.ids, ids) if self.ids.size else ids
        self.complete = self.complete and ids is not None and self.ids.size <= MOST_IDS

    def unknown(self, ids: Array | None) -> list[int]:
        """Return which ``ids`` level 0 lacks."""
        if ids is None or not self.complete:
            return []
        found: list[int] = np.setdiff1d(ids, self.ids, assume_unique=True).tolist()
        return found


def unknown_ids(level: ForeignLevel, region: Region, ids: list[int]) -> Finding:
    """Return the finding on ids of a coarser level that level 0 lacks."""
    chunk = tuple(s.start // c for s, c in zip(region, level.chunk, strict=True))
    named = zip(level.store.dims, region, strict=True)
    where = ", ".join(f"{name} {s.start} to {s.stop - 1}" for name, s in named)
    message = f"ids that level 0 lacks ({few_names(ids)}) in {where}: labels were averaged; "
    return level.of_chunk("derived", chunk, f"{message}make the levels again by mode")
