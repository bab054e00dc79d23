"""Shards of zarr v3, assembled and read by hand: chunk after chunk, then the index, then its checksum.

Written once, in order, so the checksum of the whole object is known without a second read and no more than
one compressed chunk is in memory. Each chunk is ``codec(chunk) + crc32c``; the index holds the offset and
length of each chunk in C order, (2**64 - 1) twice for a chunk that lies beyond the array. What zarr itself
does with the same metadata is the oracle in ``tests/omezarr/test_shard.py``.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from bigimg.errors import CorruptChunk, MissingChunk
from bigimg.geometry.region import full, grid, pieces, shape_of, shift
from bigimg.omezarr.codecs import Codec
from bigimg.types import Array, DType, Region, Shape

ABSENT = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """How the objects of one array are made."""

    shape: Shape
    """Of the whole array."""
    dtype: DType
    chunk: Shape
    """Unit of reading; divides ``shard``."""
    shard: Shape
    """Unit of writing."""
    codec: Codec

    @property
    def chunks_per_shard(self) -> Shape:
        """Number of chunks along each axis of a shard."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def index_bytes(self) -> int:
        """Length of the index with its checksum, at the end of each object."""
        return 16 * int(np.prod(self.chunks_per_shard)) + 4


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """What the manifest keeps of one object."""

    index: Shape
    """Position in the grid of shards."""
    length: int
    """Bytes."""
    crc32c: int


def object_key(index: Shape) -> str:
    """Return the path of a shard inside its array.

    >>> object_key((0, 3, 12))
    'c/0/3/12'
    """
    return "/".join(("c", *map(str, index)))


def write_shard(array: Path, index: Shape, data: Array, layout: ShardLayout) -> ObjectRecord:
    """Write the shard ``index`` of the array folder ``array`` and return its length and checksum.

    Parameters
    ----------
    array : Path
    index : tuple of int
        Position in the grid of shards.
    data : ndarray
        The pixels of the shard that lie inside the array: smaller than the shard at the far edges.
    layout : ShardLayout
    """
    offsets = np.full((*layout.chunks_per_shard, 2), ABSENT, dtype="<u8")
    buffer = np.empty(layout.chunk, layout.dtype)
    path = array / object_key(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    length = checksum = 0
    with open(path, "xb", buffering=0) as file:
        for position, region in pieces(full(data.shape), layout.chunk):
            encoded = layout.codec.encode(_whole_chunk(data[region], buffer))
            crc = google_crc32c.value(encoded)
            trailer = struct.pack("<I", crc)
            _write_all(file.fileno(), encoded, trailer)
            offsets[position] = length, len(encoded) + 4
            length += len(encoded) + 4
            checksum = google_crc32c.extend(google_crc32c.extend(checksum, encoded), trailer)
        table = offsets.tobytes()
        table += struct.pack("<I", google_crc32c.value(table))
        _write_all(file.fileno(), table)
    return ObjectRecord(index, length + len(table), google_crc32c.extend(checksum, table))


def _whole_chunk(data: Array, buffer: Array) -> Array:
    """Return ``data`` as one full contiguous chunk, in ``buffer`` unless it is one already; edges get zeros."""
    if data.shape == buffer.shape:
        if data.flags.c_contiguous:
            return data
        buffer[...] = data
    else:
        buffer[...] = 0
        buffer[tuple(slice(n) for n in data.shape)] = data
    return buffer


def _write_all(fd: int, *parts: bytes) -> None:
    """Write every byte of ``parts``: a short write is legal, on a nearly full disk even likely."""
    written = os.writev(fd, parts)
    for part in parts:
        if written < len(part):
            rest = memoryview(part)[max(written, 0) :]
            while rest:
                rest = rest[os.write(fd, rest) :]
        written -= len(part)


class ShardFile:
    """One object opened for reading, with its index checked."""

    def __init__(
        self, array: Path, index: Shape, layout: ShardLayout, record: tuple[int, int] | None = None
    ) -> None:
        """Open shard ``index`` of the folder ``array``.

        Parameters
        ----------
        record : (length, crc32c), optional
            What the manifest says of the object; its length is compared.

        Raises
        ------
        MissingChunk
            The object is not there.
        CorruptChunk
            Its length or the checksum of its index is wrong.
        """
        self.path = array / object_key(index)
        self.layout = layout
        self.start: Shape = tuple(i * n for i, n in zip(index, layout.shard, strict=True))
        try:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingChunk(f"{self.path}: the object is gone; its pixels are lost, restore the store") from None
        try:
            self.offsets = self._checked_index(record)
        except BaseException:
            os.close(self.fd)
            raise

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.fd)

    def _checked_index(self, record: tuple[int, int] | None) -> Array:
        self.length = os.fstat(self.fd).st_size
        n = self.layout.index_bytes
        if self.length < n or (record is not None and record[0] != self.length):
            wanted = f"{record[0]}" if record is not None else f"at least {n}"
            raise CorruptChunk(f"{self.path}: {self.length} bytes instead of {wanted}; restore the object")
        table = os.pread(self.fd, n, self.length - n)
        if len(table) != n or struct.unpack("<I", table[-4:])[0] != google_crc32c.value(table[:-4]):
            raise CorruptChunk(f"{self.path}: the checksum of the shard index is wrong; restore the object")
        return np.frombuffer(table[:-4], "<u8").reshape(*self.layout.chunks_per_shard, 2)

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
        for position, part in pieces(shift(region, self.start), chunk):
            where = tuple(
                slice(p.start + b - o, p.stop + b - o)
                for p, b, o in zip(part, self.start, origin, strict=True)
            )
            target = out[where]
            if shape_of(part) == chunk and target.flags.c_contiguous:
                self._decode(position, target)
                continue
            if buffer is None:
                buffer = np.empty(chunk, self.layout.dtype)
            self._decode(position, buffer)
            target[...] = buffer[
                tuple(slice(p.start - i * c, p.stop - i * c) for p, i, c in zip(part, position, chunk, strict=True))
            ]

    def _decode(self, position: Shape, out: Array) -> None:
        offset, length = map(int, self.offsets[position])
        if offset == ABSENT:
            raise MissingChunk(f"{self.path}: chunk {position} is not in the shard index; restore the object")
        if offset + length > self.length or length < 4:
            raise CorruptChunk(f"{self.path}: chunk {position} lies outside the object; restore the object")
        data = os.pread(self.fd, length, offset)
        if len(data) != length or struct.unpack("<I", data[-4:])[0] != google_crc32c.value(data[:-4]):
            raise CorruptChunk(f"{self.path}: the checksum of chunk {position} is wrong; restore the object")
        try:
            self.layout.codec.decode(data[:-4], out)
        except (RuntimeError, ValueError) as error:
            raise CorruptChunk(f"{self.path}: chunk {position} does not decode ({error})") from error


def read_region(array: Path, region: Region, layout: ShardLayout, records: Array | None = None) -> Array:
    """Return the pixels of ``region`` from the array folder ``array``.

    Parameters
    ----------
    records : ndarray of shape (*grid, 2), optional
        Length and crc32c of every object, from the manifest.

    Raises
    ------
    MissingChunk, CorruptChunk
        Something that was written is gone or changed.
    """
    out = np.empty(shape_of(region), layout.dtype)
    origin = tuple(s.start for s in region)
    for index, part in pieces(region, layout.shard):
        record = None if records is None else (int(records[index][0]), int(records[index][1]))
        with ShardFile(array, index, layout, record) as shard:
            shard.read_into(out[shift(part, origin)], part)
    return out


def object_grid(layout: ShardLayout) -> Shape:
    """Return how many objects the array has along each axis."""
    return grid(layout.shape, layout.shard)
