"""The check of stores that others wrote. They have no manifest, so metadata can be checked, but a loss hardly.

An absent chunk means the fill value in zarr, so it is a doubt and no finding. The method of the levels is not written
down, so levels are decoded and not derived. Each id in a level of a label image must also be in level 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property

import numpy as np

from bigimg.errors import InputError, IntegrityError, MissingChunk, few
from bigimg.geometry.region import full, grid, pieces
from bigimg.omezarr.archive import Archive
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
UNKNOWN = "missing or fill value; nobody can tell which"
MOST_IDS = 1_000_000
"""Ids of level 0 that are held in memory, eight bytes each."""


class ForeignLevel(Level):
    """One level of a store of others; regions and chunks in the order of ``store.dims``."""

    def __init__(self, store: Store, index: int) -> None:
        self.store, self.index, self.reader = store, index, StoreReader(store, index)
        self.path, self.meta = join(store.group, store.levels[index].path), store.arrays[index]
        spec = self.reader.spec
        self.dims, self.shape, self.dtype, self.chunk = spec.dims, spec.shape, spec.dtype, spec.chunks
        self.shard, self.piece = store.levels[index].shard, spec.chunks

    @cached_property
    def name_of(self) -> Callable[[Shape], str]:
        """From the index of an object to its name in the folder of the array."""
        node = self.store.tree.node(self.path) or {"zarr_format": 2}
        if node["zarr_format"] == 2:
            return lambda index: (node.get("dimension_separator") or ".").join(map(str, index))
        encoding = node.get("chunk_key_encoding") or {"name": "default"}
        separator, prefix = ("/", ("c",)) if encoding["name"] != "v2" else (".", ())
        separator = (encoding.get("configuration") or {}).get("separator") or separator
        return lambda index: separator.join((*prefix, *map(str, index)))

    def finding(self, kind: Problem, shard: Shape, chunk: Shape | None, message: str) -> Finding:
        """Return a finding on an object or, if ``chunk`` is given, on a chunk of it; both as they are stored."""
        what = "the object" if chunk is None else f"chunk {chunk}"
        text, file = f"level {self.index}, {what}: {message}", join(self.path, self.name_of(shard))
        return Finding(kind, file, text, self.path, self.index, shard, chunk)

    def of_chunk(self, kind: Problem, chunk: Shape, message: str) -> Finding:
        """Return a finding on one chunk, by its index in the grid of chunks."""
        stored = self.store.as_stored(chunk)
        shard = tuple(i * c // s for i, c, s in zip(stored, self.meta.chunk, self.meta.shard, strict=True))
        return self.finding(kind, shard, stored, message)

    def _whole(self, region: Region, position: int | None) -> Array:
        return self.reader.read(region)

    def _read_piece(self, out: Array, index: Shape, part: Region, findings: list[Finding]) -> list[Region]:
        try:
            out[...] = self.reader.read(part)
        except (IntegrityError, InputError) as error:
            kind: Problem = "missing" if isinstance(error, MissingChunk) else "corrupt"
            _, decoding, cause = str(error).partition("does not decode (")
            if decoding:
                message = f"{decoding}{cause.rsplit(');', 1)[0]}); restore the object"
            else:
                message = str(error).split(": ", 1)[-1]
            findings.append(self.of_chunk(kind, index, message))
            return [part]
        return []


def check_foreign(levels: Sequence[ForeignLevel], found: Findings) -> None:
    """Check metadata and presence in a store without a manifest of ours."""
    store = levels[0].store
    if store.has_manifest:
        found.note(f"the manifest was not compared: give the address of {store.group} itself, or unzip it")
    else:
        found.note("no manifest: lost, swapped or exchanged chunks cannot be told from what was written")
    found.objects += 1 + len(levels)
    found.add(*_of_geometry(levels))
    begin_alike = [
        i for i, level in enumerate(store.levels) if i and level.origin == store.levels[0].origin
        and any(f > 1 + NEARLY for f in _factors(store, i))
    ]  # fmt: skip
    if begin_alike:
        found.note(
            f"level {few(begin_alike)}: begins where level 0 does: right if every n-th pixel was taken, "
            "(f - 1) / 2 pixels off if pixels were averaged"
        )
    if store.tree.folder is None and not isinstance(store.tree.objects, Archive):
        found.note("absent chunks were not looked for: the store is not on this machine")
        return
    for level in levels:
        _find_absent(level, found)


def _factors(store: Store, index: int) -> tuple[float, ...]:
    """Return how many pixels of level 0 a pixel of a level covers, by its scale."""
    pairs = zip(store.levels[index].spacing, store.levels[0].spacing, strict=True)
    return tuple(abs(spacing / finest) for spacing, finest in pairs)


def _of_geometry(levels: Sequence[ForeignLevel]) -> Iterator[Finding]:
    store = levels[0].store
    first = store.levels[0]
    file = "zarr.json" if store.tree.read(join(store.group, "zarr.json")) is not None else ".zattrs"
    for each, level in zip(levels, store.levels, strict=True):
        if store.image.levels[each.index].scale is None:
            continue  # old versions have no scales
        wrong = []
        for axis, factor in enumerate(_factors(store, each.index)):
            name, n, m = store.dims[axis], first.shape[axis], level.shape[axis]
            if abs(m * factor - n) >= factor * (1 + NEARLY):
                wrong.append(
                    f"{m} pixels along {name}, of {n} at level 0, and its scale says 1 of {factor:g}"
                )
            offset = (level.origin[axis] - first.origin[axis]) / first.spacing[axis]
            if min(abs(offset), abs(offset - (factor - 1) / 2)) > NEARLY * max(1.0, factor):
                right = f"0 or {(factor - 1) / 2:g} would be right"
                wrong.append(f"begins {offset:g} pixels from level 0 along {name}; {right}")
        for message in wrong:
            text = f"level {each.index}: {message}; correct the metadata"
            yield Finding("metadata", join(store.group, file), text, each.path, each.index)


# ------------------------------------------------------------------------------------------------ absent chunks


def _find_absent(level: ForeignLevel, found: Findings) -> None:
    """Doubt the objects of one level that are not there."""
    meta, shape = level.meta, grid(level.meta.shape, level.meta.shard)
    count, absent = math.prod(shape), 0
    if count > MOST_OBJECTS:
        found.note(f"level {level.index}: {count} objects, too many to look for those that are absent")
        return
    found.objects += count
    parent: str | None = None
    names: Collection[str] = ()
    for where in itertools.product(*map(range, shape)):
        head, _, name = level.name_of(where).rpartition("/")
        if head != parent:
            parent, names = head, set(level.store.tree.children(join(level.path, head)))
        if name not in names:
            absent += 1
            if absent <= MOST_DOUBTS:
                chunk = None if meta.shard != meta.chunk else where
                found.doubts.append(level.finding("missing", where, chunk, UNKNOWN))
    if absent:
        found.note(
            f"level {level.index}: {absent} of {count} objects are absent: lost, or never written because they hold "
            "the fill value"
        )


def find_unlisted(level: ForeignLevel, found: Findings) -> None:
    """Doubt chunks that a shard of a layout like ours does not list."""
    meta, tree = level.meta, level.store.tree
    if meta.layout is None or meta.layout.zarr == 2 or tree.folder is None:
        return
    for shard, region in pieces(full(meta.shape), meta.shard):
        try:
            with ShardFile(tree.folder / level.path, shard, meta.layout) as file:
                listed = file.offsets[..., 0] != ABSENT
        except (IntegrityError, OSError):
            continue  # reported when the chunks were read
        for chunk, _ in pieces(region, meta.chunk):
            where = tuple(c % n for c, n in zip(chunk, meta.layout.chunks_per_shard, strict=True))
            if not listed[where] and len(found.doubts) < MOST_DOUBTS:
                found.doubts.append(level.finding("missing", shard, chunk, UNKNOWN))


# ------------------------------------------------------------------------------------------------ ids of labels


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
    named = zip(level.dims, region, strict=True)
    where = ", ".join(f"{name} {s.start} to {s.stop - 1}" for name, s in named)
    message = f"ids that level 0 lacks ({few(ids)}) in {where}: labels were averaged; "
    return level.of_chunk("derived", chunk, f"{message}make the levels again by mode")
