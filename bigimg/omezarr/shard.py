"""Objects of our arrays, written and read by hand: shards of zarr v3, and the bare chunks of zarr v2.

A shard consists of its chunks, then the index, then the checksum of the index. Each chunk is ``codec(chunk) +
crc32c``. The index holds the offset and length of each chunk in C order, and (2**64 - 1) twice for a chunk that lies
outside the array. A shard is written once, in order, so the checksum of the object needs no second read, and one
compressed chunk is in memory at a time. ``tests/omezarr/test_shard.py`` compares all this with zarr itself.

The checksum of an object is the crc32c *of the chunk checksums and the index*, not of all its bytes. The crc32c
of bytes followed by their own crc32c is always the same constant, so over a whole shard it would depend on the
lengths alone, and two shards of noise would share it (``test_checksum_tells_shards_of_equal_length_apart``). The
checksum used here differs, and checking it reads four bytes a chunk instead of the whole object.

Zarr v2 has neither shards nor checksums. There an object is ``codec(chunk)`` alone, and only the manifest has the
crc32c of all its bytes, which is compared at each read.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import google_crc32c
import numpy as np

from bigimg.errors import CorruptChunk, MissingChunk
from bigimg.geometry.region import full, grid, pieces, shape_of, shift
from bigimg.omezarr.codecs import Codec
from bigimg.omezarr.objects import Location, opened, readable
from bigimg.places.target import Sink, Target
from bigimg.types import Array, DType, Region, Shape, ZarrFormat

ABSENT = 2**64 - 1
type Record = tuple[int, ...]
"""Length and crc32c of an object, and the crc32c of its index where the manifest has it."""


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """Chunks, shards and codec of one array."""

    shape: Shape
    """Of the whole array."""
    dtype: DType
    chunk: Shape
    """Unit of reading; divides ``shard``."""
    shard: Shape
    """Unit of writing."""
    codec: Codec
    zarr: ZarrFormat = 3
    """In version 2 an object is one bare chunk, and ``shard`` is ``chunk``."""

    def key(self, index: Shape) -> str:
        """Return the path of an object inside its array."""
        return object_key(index, self.zarr)

    @property
    def chunks_per_shard(self) -> Shape:
        """Number of chunks along each axis of a shard."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def index_bytes(self) -> int:
        """Length of the index with its checksum, at the end of each object; a bare chunk has none."""
        return 0 if self.zarr == 2 else 16 * math.prod(self.chunks_per_shard) + 4


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """The entry of the manifest for one object."""

    index: Shape
    """Position in the grid of shards."""
    length: int
    """Bytes."""
    crc32c: int
    """Checksum of the chunk checksums and the index, as the head of this module explains."""
    index_crc32c: int
    """The crc32c of the index alone, which the first request for the end of a shard can be compared with; 0 where there
    is no index."""


def object_key(index: Shape, zarr: ZarrFormat = 3) -> str:
    """Return the path of an object inside its array.

    >>> object_key((0, 3, 12)), object_key((0, 3, 12), 2)
    ('c/0/3/12', '0/3/12')
    """
    return "/".join(("c", *map(str, index)) if zarr == 3 else map(str, index))


def write_shard(array: Target, index: Shape, data: Array, layout: ShardLayout) -> ObjectRecord:
    """Write the shard ``index`` of ``array`` and return its length and checksum.

    Parameters
    ----------
    array : Target
    index : tuple of int
        Position in the grid of shards.
    data : ndarray
        The pixels of the shard that lie inside the array: smaller than the shard at the far edges. Of the
        type of the layout, in any byte order.
    layout : ShardLayout
    """
    buffer = np.empty(layout.chunk, layout.dtype)
    key, most = layout.key(index), layout.codec.most(buffer.nbytes)
    if layout.zarr == 2:
        with array.sink(key, most, most) as file:
            bare = _append_chunk(file, _whole_chunk(data, buffer), layout.codec)
            return ObjectRecord(index, file.length, google_crc32c.value(bare), 0)
    offsets = np.full((*layout.chunks_per_shard, 2), ABSENT, dtype="<u8")
    checksum = 0
    with array.sink(key, offsets[..., 0].size * most, most) as file:
        for position, region in pieces(full(data.shape), layout.chunk):
            start = file.length
            encoded = _append_chunk(file, _whole_chunk(data[region], buffer), layout.codec)
            trailer = struct.pack("<I", google_crc32c.value(encoded))
            file.append(trailer)
            offsets[position] = start, file.length - start
            checksum = google_crc32c.extend(checksum, trailer)
        table = offsets.tobytes()
        own = google_crc32c.value(table)
        file.append(table + struct.pack("<I", own))
        return ObjectRecord(index, file.length, google_crc32c.extend(checksum, table), own)


def _append_chunk(file: Sink, chunk: Array, codec: Codec) -> Array:
    """Append the compressed ``chunk``, and return its bytes as a view of the buffer."""
    room = file.room(codec.most(chunk.nbytes))
    size = codec.encode(chunk, room)
    file.fill(size)
    return room[:size]


def _whole_chunk(data: Array, buffer: Array) -> Array:
    """Return ``data`` as one full contiguous chunk, in ``buffer`` unless it is one already; it is padded with zeros."""
    if data.shape == buffer.shape and data.dtype == buffer.dtype and data.flags.c_contiguous:
        return data
    if data.shape != buffer.shape:
        buffer[...] = 0
    # "equiv" allows another byte order, and refuses any other change of type.
    np.copyto(buffer[tuple(slice(n) for n in data.shape)], data, casting="equiv")
    return buffer


class CachedIndex(NamedTuple):
    """The index of a shard that was read and checked."""

    offsets: Array
    """Offset and length of each chunk, of shape (*chunks_per_shard, 2)."""
    state: object
    """State of the object at that time: see :meth:`~bigimg.omezarr.objects.OpenObject.state`."""


class KnownIndices(Protocol):
    """Where indices of shards are kept from one read to the next; a dict is one."""

    def get(self, key: Shape, /) -> CachedIndex | None:
        """Return the index of a shard, or None."""

    def __setitem__(self, key: Shape, value: CachedIndex, /) -> None:
        """Keep it."""


class KnownRecords(Protocol):
    """What the manifest records of the objects of an array; an array of shape (*grid, columns) is that too."""

    def __getitem__(self, index: Shape, /) -> Array:
        """Return the record of one object."""


class ShardFile:
    """One object opened for reading, with its index checked."""

    def __init__(
        self, array: Location, index: Shape, layout: ShardLayout, record: Record | None = None,
        cached: CachedIndex | None = None,
    ) -> None:  # fmt: skip
        """Open shard ``index`` of the folder ``array``.

        Parameters
        ----------
        record : (length, crc32c) or (length, crc32c, index_crc32c), optional
            The entry of the manifest for the object.
        cached : CachedIndex, optional
            The index, if it was read and checked before; if the object has changed since, it is read again.

        Raises
        ------
        MissingChunk
            The object is not there.
        CorruptChunk
            Its length, the checksum of its index or that of the whole is wrong.
        """
        self.path = array / layout.key(index)
        self.layout = layout
        self.start: Shape = tuple(i * n for i, n in zip(index, layout.shard, strict=True))
        try:
            self.file = opened(self.path)
        except (FileNotFoundError, NotADirectoryError):
            raise self._gone() from None
        try:
            self.state = self.file.state()
            if cached is None or record is None or cached.state != self.state:
                self.length = self._checked_length(record)
                self.offsets = self._checked_index(record)
            else:  # each chunk is checked when it is read
                self.length, self.offsets = record[0], cached.offsets
        except FileNotFoundError:
            raise self._gone() from None
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()

    def _gone(self) -> MissingChunk:
        return MissingChunk(f"{self.path}: the object is gone; its pixels are lost, restore the store")

    def _checked_length(self, record: Record | None) -> int:
        length, least = self.file.size(None if record is None else record[0]), self.layout.index_bytes
        if length < least or (record is not None and record[0] != length):
            wanted = f"at least {least}" if record is None else f"{record[0]}"
            raise CorruptChunk(f"{self.path}: {length} bytes instead of {wanted}; restore the object")
        return length

    def _checked_index(self, record: Record | None) -> Array:
        n = self.layout.index_bytes
        table = self.file.pread(n, self.length - n)
        if len(table) != n or struct.unpack("<I", table[-4:])[0] != google_crc32c.value(table[:-4]):
            raise CorruptChunk(f"{self.path}: the checksum of the shard index is wrong; restore the object")
        offsets = np.frombuffer(table[:-4], "<u8").reshape(*self.layout.chunks_per_shard, 2)
        # A chunk that is missing from the index is reported when it is read; the other chunks are good.
        if (
            record is not None
            and not self._missing(offsets)
            and self._is_another(record, offsets, table[-4:])
        ):
            raise CorruptChunk(f"{self.path}: holds other pixels than were written; restore the object")
        return offsets

    def _is_another(self, record: Record, offsets: Array, own: bytes) -> bool:
        """Return whether the shard has another checksum than was recorded.

        Far away each chunk of four bytes costs as much as one of pixels. There the index alone is compared, if chunks
        differ in length: two such shards of other pixels do not share it.
        """
        if len(record) > 2 and struct.pack("<I", record[2]) != own:
            return True
        lengths = offsets[..., 1][offsets[..., 0] != ABSENT]
        told_apart = len(record) > 2 and lengths.size and lengths.min() < lengths.max()
        return not (self.file.far and told_apart) and self._checksum(offsets) != record[1]

    def _missing(self, offsets: Array) -> bool:
        """Return whether the index lacks a chunk that lies inside the array."""
        inside = map(
            min, self.layout.shard, (n - o for n, o in zip(self.layout.shape, self.start, strict=True))
        )
        chunks = tuple(slice(n) for n in grid(tuple(inside), self.layout.chunk))
        return bool(np.any(offsets[chunks][..., 0] == ABSENT))

    def _checksum(self, offsets: Array) -> int:
        ends = (offset + length for offset, length in offsets.reshape(-1, 2).tolist() if offset != ABSENT)
        trailers = [(end - 4, 4) for end in ends if 4 <= end <= self.length]
        self.file.expect(trailers)
        checksum = 0
        for offset, length in trailers:
            checksum = google_crc32c.extend(checksum, self.file.pread(length, offset))
        return int(google_crc32c.extend(checksum, offsets.tobytes()))

    def read_into(self, out: Array, region: Region) -> None:
        """Fill ``out`` with ``region`` of the array, which must lie inside this shard.

        Raises
        ------
        MissingChunk
            The index has no entry for a chunk that lies inside the array.
        CorruptChunk
            The checksum of a chunk is wrong, or it does not decode to a chunk.
        """
        chunk = self.layout.chunk
        origin = tuple(s.start for s in region)
        buffer: Array | None = None
        wanted = list(pieces(shift(region, self.start), chunk))
        self.file.expect([(offset, n) for offset, n in (self.offsets[i].tolist() for i, _ in wanted)])
        for position, part in wanted:
            target = out[shift(part, tuple(o - b for o, b in zip(origin, self.start, strict=True)))]
            if shape_of(part) == chunk and target.flags.c_contiguous:
                self._decode(position, target)
                continue
            if buffer is None:
                buffer = np.empty(chunk, self.layout.dtype)
            inside = shift(part, tuple(i * c for i, c in zip(position, chunk, strict=True)))
            target[...] = self._decode(position, buffer, inside)

    def encoded(self, position: Shape) -> bytes:
        """Return the bytes of one chunk without their checksum, after comparing it.

        Raises
        ------
        MissingChunk, CorruptChunk
            The chunk is not in the index, or has another checksum.
        """
        offset, length = self.offsets[position].tolist()
        if offset == ABSENT:
            raise MissingChunk(
                f"{self.path}: its chunk {position} is not in the shard index; restore the object"
            )
        if offset + length > self.length or length < 4:
            raise CorruptChunk(
                f"{self.path}: its chunk {position} lies outside the object; restore the object"
            )
        # Two reads, because slicing the checksum off would copy the chunk: crc32c accepts nothing but bytes.
        data, trailer = self.file.pread(length - 4, offset), self.file.pread(4, offset + length - 4)
        if len(data) != length - 4 or trailer != struct.pack("<I", google_crc32c.value(data)):
            raise CorruptChunk(
                f"{self.path}: the checksum of its chunk {position} is wrong; restore the object"
            )
        return data

    def _decode(self, position: Shape, out: Array, part: Region | None = None) -> Array:
        """Return a chunk in ``out``, or only ``part`` of it; in both cases ``out`` is overwritten."""
        data = self.encoded(position)
        try:
            if part is not None:
                return self.layout.codec.decode_part(data, part, out)
            self.layout.codec.decode(data, out)
            return out
        except (RuntimeError, ValueError) as error:  # imagecodecs raises RuntimeErrors of its own
            raise CorruptChunk(f"{self.path}: its chunk {position} does not decode ({error})") from error


class BareFile(ShardFile):
    """A chunk of zarr v2: read as a whole when it is opened, and compared with its record if there is one.

    It is never opened with a cached index, because only reading all of it can show that it is undamaged.
    """

    def _checked_index(self, record: Record | None) -> Array:
        self.data = self.file.pread(self.length, 0)
        if record is not None and google_crc32c.value(self.data) != record[1]:
            raise CorruptChunk(f"{self.path}: holds other bytes than were written; restore the object")
        return np.array([0, self.length], "<u8").reshape(*self.layout.chunks_per_shard, 2)

    def _checksum(self, offsets: Array) -> int:
        return int(google_crc32c.value(self.data))

    def encoded(self, position: Shape) -> bytes:
        """Return the bytes of the chunk."""
        return self.data


def open_object(
    array: Location, index: Shape, layout: ShardLayout, record: Record | None = None,
    cached: CachedIndex | None = None,
) -> ShardFile:  # fmt: skip
    """Open one object for reading; the arguments are those of :class:`ShardFile`."""
    if layout.zarr == 2:
        return BareFile(array, index, layout, record)
    return ShardFile(array, index, layout, record, cached)


def read_region(
    array: Location, region: Region, layout: ShardLayout, records: KnownRecords | Array | None = None, *,
    cache: KnownIndices | None = None, out: Array | None = None,
) -> Array:  # fmt: skip
    """Return the pixels of ``region`` from the array folder ``array``.

    Parameters
    ----------
    records : ndarray of shape (*grid, 2) or (*grid, 3), or Records, optional
        Length, crc32c and perhaps that of the index of every object, from the manifest.
    cache : KnownIndices, optional
        Indices of shards that were checked already; new ones are added.
    out : ndarray, optional
        Array for the pixels; new memory costs a page fault for every 4 kB.

    Raises
    ------
    MissingChunk, CorruptChunk
        Something that was written is gone or changed.
    InputError
        The system refuses to read an object.
    """
    if out is None:
        out = np.empty(shape_of(region), layout.dtype)
    origin = tuple(s.start for s in region)
    for index, part in pieces(region, layout.shard):
        record = None if records is None else tuple(records[index].tolist())
        cached = None if cache is None else cache.get(index)
        with readable(array / layout.key(index)), open_object(array, index, layout, record, cached) as shard:
            if cache is not None and (cached is None or cached.offsets is not shard.offsets):
                cache[index] = CachedIndex(shard.offsets, shard.state)
            shard.read_into(out[shift(part, origin)], part)
    return out


def read_record(array: Location, index: Shape, layout: ShardLayout) -> ObjectRecord:
    """Return the record of a shard as it is on disk, with every chunk checked against its checksum.

    Raises
    ------
    MissingChunk, CorruptChunk
        It is gone or damaged.
    """
    with open_object(array, index, layout) as shard:
        for position in np.ndindex(*layout.chunks_per_shard):
            if shard.offsets[position][0] != ABSENT:
                shard.encoded(position)
        own = 0 if layout.zarr == 2 else google_crc32c.value(shard.offsets.tobytes())
        return ObjectRecord(index, shard.length, shard._checksum(shard.offsets), own)


def object_grid(layout: ShardLayout) -> Shape:
    """Return how many objects the array has along each axis."""
    return grid(layout.shape, layout.shard)
