"""What the manifest records of the objects of a level, read a chunk at a time."""

from __future__ import annotations

import numpy as np

from bigimg.errors import CorruptChunk, MissingChunk
from bigimg.geometry.region import full, pieces, shape_of
from bigimg.omezarr.manifest import array_meta, check_small, read_chunk, read_objects, zarr_at
from bigimg.omezarr.metadata import ARRAY, MANIFEST
from bigimg.omezarr.objects import Location
from bigimg.omezarr.shard import object_key
from bigimg.types import Array, Shape

KEPT = 16
"""Chunks in memory, of 1.6 MB at most."""
COLUMNS = (2, 3)
"""Length and checksum; and in stores of format 2 that of the index."""


class Records:
    """Records of the objects of one level. Safe for use by many threads.

    Parameters
    ----------
    root : Location
        The store.
    level : str

    Raises
    ------
    MissingChunk, CorruptChunk
        The manifest, or its part for this level, is gone or changed; of a later chunk, at the first access to it.
    """

    def __init__(self, root: Location, level: str) -> None:
        self.root, self.key, self.zarr = root, f"{MANIFEST}/{level}", zarr_at(root)
        self.meta = array_meta(root / self.key, self.zarr)
        self.objects = read_objects(root) or {}
        self._check(ARRAY[self.zarr])
        if self.meta.shape[-1] not in COLUMNS or self.meta.chunk[-1] != self.meta.shape[-1]:
            raise CorruptChunk(f"{root / self.key}: has no records of objects; restore it, or convert again")
        self.grid: Shape = self.meta.shape[:-1]
        """Objects along each axis."""
        self.chunks: dict[Shape, Array] = {}
        if self.meta.chunk == self.meta.shape:
            self._chunk((0,) * len(self.grid))

    def __getitem__(self, index: Shape) -> Array:
        """Return length, checksum and, if it is known, the crc32c of the index of one object."""
        at = tuple(i // n for i, n in zip(index, self.meta.chunk, strict=False))
        inside = tuple(i % n for i, n in zip(index, self.meta.chunk, strict=False))
        row: Array = self._chunk(at)[inside]
        return row

    def all(self) -> Array:
        """Return all records, of shape (*grid, columns)."""
        found = np.empty(self.meta.shape, self.meta.dtype)
        for index, region in pieces(full(self.meta.shape), self.meta.chunk):
            found[region] = self._chunk(index[:-1])[tuple(slice(n) for n in shape_of(region))]
        return found

    def _chunk(self, at: Shape) -> Array:
        if (chunk := self.chunks.get(at)) is not None:
            return chunk
        index = (*at, 0)
        chunk = read_chunk(self.root / self.key, self.meta, index, self.zarr)
        self._check(object_key(index, self.zarr))
        while len(self.chunks) >= KEPT:
            self.chunks.pop(next(iter(self.chunks), at), None)  # another thread may have been faster
        self.chunks[at] = chunk
        return chunk

    def _check(self, name: str) -> None:
        """Compare an object of the manifest with what the list of objects has of it."""
        key = f"{self.key}/{name}"
        if key not in self.objects:
            raise MissingChunk(f"{self.root / key}: is not in the manifest; restore it, or convert again")
        check_small(self.root, key, self.objects[key])
