"""Two ways to read the pixels of a stored array: our own layout, and the arrays of others. Neither needs zarr.

Of an array of ours, length and checksums of a shard are compared with the manifest at the first access, and
everything that is missing is an error. In an array of others an absent object is the fill value: the writer may have
meant that, and a loss looks the same. No object becomes more bytes than the metadata of its array allow. Regions and
results are in the stored order of axes.
"""

from __future__ import annotations

import math
import struct
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import batched

import google_crc32c
import numpy as np

from bigimg.errors import CorruptChunk, InputError, IntegrityError, MissingChunk, one_line
from bigimg.geometry.region import full, grid, pieces, shape_of, shift
from bigimg.omezarr.decoders import UNDECODABLE
from bigimg.omezarr.objects import ANY, Location, ObjectPath, OpenObject, opened, readable
from bigimg.omezarr.parse import ArrayMeta, parse_array
from bigimg.omezarr.records import Records
from bigimg.omezarr.shard import ABSENT, CachedIndex, ShardLayout, object_grid, read_region
from bigimg.omezarr.tree import Tree
from bigimg.omezarr.web import Web
from bigimg.types import Array, Region, Shape

INDEX_CACHE_BYTES = 4 << 20
"""Size of the cache of checked shard indices in one reader: those of 2700 shards of 64 chunks."""
ENTRY_BYTES = 512
"""Of the names and states of an index in the cache, measured."""
AT_ONCE = 8
"""Requests to a server that one read keeps open."""
AHEAD_CHUNK_BYTES = 2 << 20
"""Larger chunks are fetched one at a time."""


class IndexCache:
    """Checked shard indices; the oldest one makes room for a new one. Safe for use by many threads.

    They lie in one table. As arrays of their own they would lie between the chunks that are read and given back, and
    the allocator would keep those: 15 kB a shard, 870 MB of a store of 35,000 shards that was planned with 150.
    """

    def __init__(self, layout: ShardLayout) -> None:
        limit = max(1, INDEX_CACHE_BYTES // (layout.index_bytes + ENTRY_BYTES))
        self.table = np.empty((limit, *layout.chunks_per_shard, 2), "<u8")
        self.places: dict[Shape, tuple[int, object]] = {}
        """Row and state of each, the oldest first."""
        self.lock = threading.Lock()

    def get(self, key: Shape, /) -> CachedIndex | None:
        """Return a copy of the index of a shard, or None."""
        with self.lock:
            if key not in self.places:
                return None
            row, state = self.places[key]
            return CachedIndex(self.table[row].copy(), state)

    def __setitem__(self, key: Shape, value: CachedIndex, /) -> None:
        with self.lock:
            row = len(self.places)
            if key in self.places:
                row, _ = self.places.pop(key)
            elif row >= len(self.table):
                row, _ = self.places.pop(next(iter(self.places)))
            self.table[row] = value.offsets
            self.places[key] = row, value.state


class ShardPixels:
    """An array of ours, read by hand."""

    def __init__(self, root: Location, level: str, layout: ShardLayout) -> None:
        self.folder = root / level
        self.layout = layout
        self.records = Records(root, level)
        if self.records.grid != object_grid(layout):
            raise IntegrityError(f"{self.folder}: the manifest is of another array; restore the store")
        # A bare chunk has no index.
        bare = layout.zarr == 2
        self.cache = None if bare else IndexCache(layout)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, every byte of them checked."""
        return read_region(self.folder, region, self.layout, self.records, cache=self.cache)

    def close(self) -> None:
        """Do nothing: no file stays open between reads."""


class ChunkPixels:
    """An array of anybody."""

    def __init__(self, tree: Tree, key: str, meta: ArrayMeta, *, complete: bool = False) -> None:
        """Open the array.

        Parameters
        ----------
        complete : bool
            Every object was written, so one that is gone is an error and not the fill value.
        """
        self.where = tree.where(key)
        self.folder = tree.location(key)
        self.meta, self.encoding, self.complete = meta, meta.encoding, complete
        self.at_once = AT_ONCE if isinstance(tree.objects, Web) else 1

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` in native byte order."""
        out = np.empty(shape_of(region), self.meta.dtype.newbyteorder("="))
        origin = tuple(s.start for s in region)
        wanted = ((index, part, out[shift(part, origin)]) for index, part in pieces(region, self.meta.shard))
        if self.at_once == 1 or self.encoding.chunk_bytes > AHEAD_CHUNK_BYTES:
            for each in wanted:
                self._read_object(*each)
        else:
            with ThreadPoolExecutor(self.at_once) as pool:
                for some in batched(wanted, 100 * self.at_once):  # a region may have millions
                    deque(pool.map(lambda each: self._read_object(*each), some), maxlen=0)
        return out

    def _read_object(self, index: Shape, part: Region, out: Array) -> None:
        """Fill ``out`` with ``part`` of the array, which lies in the object ``index``."""
        path = self.folder / self.encoding.key(index)
        with readable(path):
            try:
                file = opened(path)
                with closing(file):
                    self._read_chunks(file, path, index, part, out)
            except (FileNotFoundError, NotADirectoryError):
                if self.complete:
                    gone = "the object is gone; its pixels are lost, restore it"
                    raise MissingChunk(f"{path}: {gone}") from None
                out[...] = self.encoding.fill

    def _read_chunks(self, file: OpenObject, path: Location, index: Shape, part: Region, out: Array) -> None:
        encoding, chunk = self.encoding, self.meta.chunk
        if encoding.index is None:
            out[...] = self._decoded(file.whole(encoding.most_bytes), index)[_inside(part, index, chunk)]
            return
        start = tuple(i * n for i, n in zip(index, self.meta.shard, strict=True))
        origin = tuple(s.start for s in part)
        offsets = self._offsets(file, path)
        wanted = list(pieces(shift(part, start), chunk))
        file.expect(
            [(offset, n) for at, _ in wanted for offset, n in (offsets[at].tolist(),) if offset != ABSENT]
        )
        for at, inside in wanted:
            offset, length = offsets[at].tolist()
            target = out[shift(inside, tuple(o - s for o, s in zip(origin, start, strict=True)))]
            if offset == length == ABSENT:
                target[...] = encoding.fill
                continue
            position = tuple(i * n + a for i, n, a in zip(index, offsets.shape, at, strict=False))
            data = file.pread(length, offset)
            if len(data) != length:
                raise CorruptChunk(f"{path}: chunk {position} is cut; restore the object")
            target[...] = self._decoded(data, position)[_inside(inside, at, chunk)]

    def _decoded(self, data: bytes, position: Shape) -> Array:
        try:
            return self.encoding.decode(data)
        except UNDECODABLE as error:
            what = f"chunk {position} does not decode ({one_line(error)})"
            raise CorruptChunk(f"{self.where}: {what}; restore the object") from error

    def _offsets(self, file: OpenObject, path: Location) -> Array:
        """Return offset and length of each chunk of a shard; refuse those outside it, or too long."""
        encoding, chunks = self.encoding, grid(self.meta.shard, self.meta.chunk)
        length = 16 * math.prod(chunks)
        # A member of a zip file may have to be unpacked as a whole.
        if (
            isinstance(path, ObjectPath)
            and 2 * encoding.most_bytes * math.prod(chunks) + length < file.known_size() < ANY
        ):
            raise InputError(
                f"{path}: has {file.known_size()} bytes, more than its chunks may have; restore the object"
            )
        trailer = 4 * encoding.index_checked
        data = file.pread(length + trailer, 0) if encoding.index == "start" else file.ending(length + trailer)
        if len(data) != length + trailer or (
            trailer and struct.unpack("<I", data[length:])[0] != google_crc32c.value(data[:length])
        ):
            raise CorruptChunk(f"{path}: the checksum of the shard index is wrong; restore the object")
        pairs = np.frombuffer(data[:length], "<u8").reshape(-1, 2)
        size = min(file.known_size(), 2**63)
        bad = ((pairs > size).any(1) | (pairs.sum(1) > size)) & (pairs != ABSENT).any(1)
        long = (pairs[:, 1] > encoding.most_bytes) & (pairs != ABSENT).any(1)
        for wrong, what in ((bad, f"and the object has {size}"), (long, f"of at most {encoding.most_bytes}")):
            if wrong.any():
                at = int(np.flatnonzero(wrong)[0])
                where = tuple(map(int, np.unravel_index(at, chunks)))
                first, count = pairs[at].tolist()
                raise InputError(
                    f"{path}: the shard index has chunk {where} at byte {first} with {count} bytes, {what}; "
                    "restore the object"
                )
        return pairs.reshape(*chunks, 2)

    def close(self) -> None:
        """Do nothing: no file stays open between reads."""


def _inside(part: Region, index: Shape, chunk: Shape) -> Region:
    """Return ``part`` as a region of the chunk ``index``."""
    return shift(part, tuple(i * n for i, n in zip(index, chunk, strict=True)))


def values_of(tree: Tree, key: str, most: int, *, texts: bool = False) -> Array:
    """Return all of a small array of numbers or texts, such as a coordinate that xarray wrote.

    Raises
    ------
    InputError
        It cannot be read, or has chunks of more than ``most`` values.
    """
    meta = parse_array(tree.node(key) or {}, source=tree.where(key), texts=texts)
    if math.prod(meta.shape) > most or math.prod(meta.shard) > most:
        raise InputError(f"{tree.where(key)}: has more than {most} values; store less of them together")
    return ChunkPixels(tree, key, meta).read(full(meta.shape))
