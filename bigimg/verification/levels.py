"""One stored level as a check reads it: by region or, if something is damaged, piece by piece, to name each chunk."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from bigimg.errors import CorruptChunk, InputError, IntegrityError, MissingChunk
from bigimg.geometry.region import full, pieces, shape_of, shift
from bigimg.omezarr.objects import Location
from bigimg.omezarr.shard import ABSENT, ShardFile, ShardLayout, object_key, open_object, read_region
from bigimg.types import Array, DType, Region, Shape, ZarrFormat
from bigimg.verification.report import Finding, Problem

_per_thread = threading.local()


class Level(ABC):
    """One level of a store, of ours or of others."""

    index: int
    dims: tuple[str, ...]
    shape: Shape
    dtype: DType
    chunk: Shape
    shard: Shape
    piece: Shape
    """Pixels that are read at once where something is damaged."""

    def read(
        self, region: Region, findings: list[Finding], position: int | None = None
    ) -> tuple[Array, list[Region]]:
        """Return the pixels of ``region``, and the parts of it that are lost and zero.

        Parameters
        ----------
        findings : list of Finding
            Those on the lost parts are appended.
        position : int, optional
            Which memory of this thread the pixels may lie in; the next read into the same one changes them.
        """
        try:
            return self._whole(region, position), []
        except (IntegrityError, InputError):
            pass  # reported below
        pixels = np.zeros(shape_of(region), self.dtype)
        start = tuple(s.start for s in region)
        lost: list[Region] = []
        for index, part in pieces(region, self.piece):
            lost += self._read_piece(pixels[shift(part, start)], index, part, findings)
        return pixels, lost

    @abstractmethod
    def of_chunk(self, kind: Problem, chunk: Shape, message: str) -> Finding:
        """Return a finding on one chunk, by its index in the grid of chunks."""

    @abstractmethod
    def _whole(self, region: Region, position: int | None) -> Array:
        """Return the pixels of ``region``, or raise if a part of it is damaged."""

    @abstractmethod
    def _read_piece(self, out: Array, index: Shape, part: Region, findings: list[Finding]) -> list[Region]:
        """Fill ``out`` with ``part``, piece ``index`` of the level, as far as possible; return what of it is lost."""


class OwnLevel(Level):
    """A level of ours with undamaged metadata, read with the manifest.

    Parameters
    ----------
    index : int
    folder : Location
    dims : tuple of str
    layout : ShardLayout
    records : ndarray, optional
        Length and checksums of every shard, uint64 of shape (*grid, 2) or (*grid, 3); None when that is damaged.
    """

    def __init__(
        self, index: int, folder: Location, dims: tuple[str, ...], layout: ShardLayout, records: Array | None
    ) -> None:
        self.index, self.folder, self.dims, self.layout, self.records = index, folder, dims, layout, records
        self.shape, self.dtype, self.chunk = layout.shape, layout.dtype, layout.chunk
        self.shard = self.piece = layout.shard

    def of_chunk(self, kind: Problem, chunk: Shape, message: str) -> Finding:
        """Return a finding on one chunk, by its index in the grid of chunks."""
        shard = tuple(c // n for c, n in zip(chunk, self.layout.chunks_per_shard, strict=True))
        file, text = f"{self.index}/{self.layout.key(shard)}", f"level {self.index}, chunk {chunk}: {message}"
        return Finding(kind, file, text, str(self.index), self.index, shard, chunk)

    def _whole(self, region: Region, position: int | None) -> Array:
        out = None if position is None else _own_memory(position, shape_of(region), self.dtype)
        return read_region(self.folder, region, self.layout, self.records, out=out)

    def _read_piece(self, out: Array, index: Shape, part: Region, findings: list[Finding]) -> list[Region]:
        damage = self._damage(index)
        findings += damage
        damaged = {finding.chunk for finding in damage}
        if None in damaged:  # the whole object
            return [part]
        lost = []
        start = tuple(s.start for s in part)
        for chunk, inside in pieces(part, self.chunk):
            if chunk in damaged:
                lost.append(inside)
            else:
                with open_object(self.folder, index, self.layout) as file:
                    file.read_into(out[shift(inside, start)], inside)
        return lost

    def _damage(self, shard: Shape) -> list[Finding]:
        """Return everything that is wrong with one object: with all of it, or with chunks of it."""
        layout, folder = self.layout, self.folder
        try:
            with open_object(folder, shard, layout) as file:
                chunks = list(self._bad_chunks(shard, file))
            if not chunks and self.records is not None:
                # Each chunk is undamaged: then this is the object of another shard, or it has grown.
                record = tuple(self.records[shard].tolist())
                open_object(folder, shard, layout, record).file.close()
            return chunks
        except (IntegrityError, InputError, OSError) as error:
            message = str(error).removeprefix(f"{folder / layout.key(shard)}: ")
            if isinstance(error, OSError) and error.strerror:
                message = f"cannot be read ({error.strerror}); check the disk"
            kind: Problem = "missing" if isinstance(error, MissingChunk) else "corrupt"
            return [of_object(kind, self.index, shard, message, layout.zarr)]

    def _bad_chunks(self, shard: Shape, file: ShardFile) -> Iterator[Finding]:
        layout = self.layout
        buffer = np.empty(layout.chunk, layout.dtype)
        inside = map(min, layout.shard, (n - s for n, s in zip(layout.shape, file.start, strict=True)))
        for position, _ in pieces(full(tuple(inside)), layout.chunk):
            chunk = tuple(s * n + p for s, n, p in zip(shard, layout.chunks_per_shard, position, strict=True))
            if file.offsets[position][0] == ABSENT:
                yield self.of_chunk("missing", chunk, "is not in the shard index; restore the object")
                continue
            try:
                layout.codec.decode(file.encoded(position), buffer)
            except CorruptChunk:
                yield self.of_chunk("corrupt", chunk, "its checksum is wrong; restore the object")
            except (RuntimeError, ValueError) as error:
                yield self.of_chunk("corrupt", chunk, f"does not decode ({error}); restore the object")


def of_object(kind: Problem, level: int, shard: Shape, message: str, zarr: ZarrFormat) -> Finding:
    """Return a finding on a whole object of a level."""
    key = f"{level}/{object_key(shard, zarr)}"
    return Finding(kind, key, f"level {level}, {message}", str(level), level, shard)


def _own_memory(position: int, shape: Shape, dtype: DType) -> Array:
    """Return memory of this thread, which the next block uses again."""
    buffers: dict[int, Array] = _per_thread.__dict__.setdefault("buffers", {})
    size = math.prod(shape) * dtype.itemsize
    if position not in buffers or buffers[position].size < size:
        buffers.pop(position, None)  # free the smaller one before the larger one is allocated
        buffers[position] = np.empty(size, np.uint8)
    return buffers[position][:size].view(dtype).reshape(shape)
