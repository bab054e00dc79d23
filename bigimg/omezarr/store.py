"""One image in a store: its levels, and their pixels as a source (``bigimg.reader.Reader``).

:mod:`~bigimg.omezarr.open` makes these values. This module turns stored axes into ``t c z y x`` when pixels are read.
Of a store of ours every byte is checked with the manifest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import holes_of_levels
from bigimg.geometry.levels import checked_level
from bigimg.geometry.region import grid
from bigimg.geometry.spec import Channel, ImageSpec
from bigimg.omezarr.archive import Archive
from bigimg.omezarr.manifest import (
    GROUP,
    HISTOGRAM,
    StoredStatistics,
    check_small,
    read_objects,
    read_statistics,
)
from bigimg.omezarr.parse import ArrayMeta, ImageMeta
from bigimg.omezarr.pixels import AHEAD_CHUNK_BYTES, AT_ONCE, INDEX_CACHE_BYTES, ChunkPixels, ShardPixels
from bigimg.omezarr.tree import Tree, join
from bigimg.omezarr.web import AHEAD_BYTES, Web
from bigimg.reader import Access, Reader, check_source, files_of, open_source_of
from bigimg.types import Array, DType, Kind, Region, Shape

WEB_BYTES = 56 << 20
"""Memory of the libraries that fetch, and of their running requests."""


def extra_read_bytes(tree: Tree, shard_bytes: int) -> tuple[int, int]:
    """Return the extra bytes that reading by hand needs for objects that are no files: for each read, and once."""
    if isinstance(tree.objects, Web):
        return AHEAD_BYTES, WEB_BYTES
    return (shard_bytes if isinstance(tree.objects, Archive) else 0), 0  # a member may be deflated


@dataclass(frozen=True, slots=True)
class StoredLevel:
    """One level of a store, everything in the order of :attr:`Store.dims`."""

    path: str
    """Of the array, inside the store."""
    shape: Shape
    dtype: DType
    """In native byte order."""
    chunk: Shape
    """Unit of reading."""
    shard: Shape
    """Unit of writing; the chunk itself where there are no shards."""
    spacing: tuple[float, ...]
    origin: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """An image in a store, opened without reading a pixel."""

    path: str
    """As given; for people and messages."""
    image: ImageMeta
    levels: tuple[StoredLevel, ...]
    order: tuple[int, ...]
    """Stored position of each axis of :attr:`dims`."""
    tree: Tree
    group: str
    """Path of the image inside ``tree``."""
    has_manifest: bool
    labels: tuple[str, ...]
    """Names of the label images beside it; each opens as ``<path>/labels/<name>``."""
    series: tuple[str, ...]
    """Names of all images in the store, this one among them."""
    notes: tuple[str, ...]
    arrays: tuple[ArrayMeta, ...]
    """The arrays as stored, one a level from :attr:`finer` on."""
    finer: int = 0
    """How many levels are not stored, level 0 among them: they are read from the source."""
    source: tuple[Reader, ...] = ()
    """Readers of these levels, where the store was opened as an image (:mod:`bigimg.opening.finer_levels`)."""

    @property
    def version(self) -> str | None:
        """Version of OME-Zarr; None for a bare zarr array."""
        return self.image.version or None

    @property
    def dims(self) -> tuple[str, ...]:
        """Axis names in the order ``t c z y x``, singletons kept."""
        return tuple(self.image.dims[i] for i in self.order)

    @property
    def kind(self) -> Kind:
        """What the numbers mean."""
        if self.image.kind is not None:
            return self.image.kind
        if self.image.is_label:
            return "labels"
        return "mask" if self.levels[0].dtype.kind == "b" else "image"

    @property
    def is_boolean(self) -> bool:
        """Whether the integers are a mask of ours: labels have to be integers, so true and false are 1 and 0."""
        image = self.image
        is_mask = image.manifest is not None and image.kind == "mask" and image.is_label
        return is_mask and self.levels[0].dtype == np.uint8

    def spec(self, level: int = 0) -> ImageSpec:
        """Return what one level is.

        Raises
        ------
        UsageError
            There is no such level; ``-1`` is the smallest.
        """
        stored, image = self.levels[checked_level(level, len(self.levels), self.path)], self.image
        axes = tuple(
            Axis(name, size, spacing, image.units[i], origin)
            for name, size, spacing, origin, i in zip(
                self.dims, stored.shape, stored.spacing, stored.origin, self.order, strict=True
            )
        )
        return ImageSpec(
            axes,
            np.dtype(bool) if self.is_boolean else stored.dtype,
            stored.chunk,
            channels=self.channels,
            world=image.world,
            convention=image.convention,
            kind=self.kind,
            scaling=image.scaling,
            window=image.window,
            meta=image.meta,
            padding=image.padding,
            missing=self._missing(level),
            notes=image.notes,
            of_source=self.notes[len(image.notes) :],
        )

    def _missing(self, level: int) -> tuple[Region, ...]:
        """Return the boxes of a level that are no measurements."""
        holes, levels = self.image.missing, self.levels
        if not holes:
            return ()
        shape = levels[0].shape
        inside = (
            len(hole) == len(shape)
            and all(0 <= s.start < s.stop <= n for s, n in zip(hole, shape, strict=True))
            for hole in holes
        )
        if not all(inside):
            raise InputError(
                f"{self.path}: 'missing' lists boxes that are not in the image; restore its metadata"
            )
        shapes = [each.shape for each in levels[: checked_level(level, len(levels), self.path) + 1]]
        steps = [shape, *itertools.starmap(grid, itertools.pairwise(shapes))]
        return holes_of_levels(holes, shapes, steps, self.image.method)[-1]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """One channel for each index along c, or none; without that axis, the one that a store of ours names."""
        channels, alone = self.image.channels, int(self.has_manifest)
        count = self.levels[0].shape[self.dims.index("c")] if "c" in self.dims else alone
        return channels if len(channels) == count else ()

    def as_stored[T](self, values: Sequence[T]) -> tuple[T, ...]:
        """Return one value an axis, given in the order of :attr:`dims`, in the order in which axes are stored."""
        return tuple(values[self.order.index(axis)] for axis in range(len(self.order)))

    def statistics(self) -> StoredStatistics | None:
        """Return the statistics kept in a store of ours, with the present names of its channels, or None.

        Raises
        ------
        MissingChunk, CorruptChunk
            They are not as they were written.
        """
        if not self.has_manifest:
            return None
        root = self.tree.location(self.group)
        for key, record in (read_objects(root) or {}).items():
            if key.startswith((f"{HISTOGRAM}/", f"{GROUP}/z", f"{GROUP}/.z")):
                check_small(root, key, record)
        found = read_statistics(root)
        if found is None or len(found.statistics["channels"]) != len(self.channels):
            return found
        pairs = zip(found.statistics["channels"], self.channels, strict=True)
        entries = [{**entry, "name": channel.name} for entry, channel in pairs]
        return replace(found, statistics={**found.statistics, "channels": entries})


class StoreReader:
    """One level of a store as a source of pixels (:class:`bigimg.reader.Reader`)."""

    def __init__(self, store: Store, level: int = 0) -> None:
        self.store = store
        self.level = checked_level(level, len(store.levels), store.path)
        self.spec = store.spec(self.level)
        self.source = store.path
        self._pixels: ShardPixels | ChunkPixels | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The folder or zip file of the store; empty for a URL."""
        tree = self.store.tree
        found = tree.folder or getattr(tree.objects, "path", None)
        beside = files_of(self.store.source[0]) if self.store.source else ()
        return (*(() if found is None else (str(found),)), *beside)

    def open_source(self) -> None:
        """Open the source of a level that is not stored, so that ``access`` is what that costs."""
        open_source_of(self._of_source)

    @property
    def access(self) -> Access:
        """Any region; the unit is the inner chunk. That of the source where the level is not stored."""
        if self._of_source is not None:
            return self._of_source.access
        stored = self.store.levels[self.level]
        chunk_bytes = math.prod(stored.chunk) * stored.dtype.itemsize
        size = " x ".join(map(str, stored.chunk))
        if self._own and self._array.layout is not None:
            fixed = INDEX_CACHE_BYTES + 16 * math.prod(grid(stored.shape, stored.shard))
            each, once = extra_read_bytes(self.store.tree, math.prod(stored.shard) * stored.dtype.itemsize)
            why = f"chunks of {size}, checked by the manifest"
            return Access("random", why, fixed_bytes=fixed + once, read_bytes=3 * chunk_bytes + each)
        # Packed, decoded, and a copy where codecs or the order of axes need one; of a shard its index too.
        widest = self._array.encoding.widest_bytes
        each = 3 * widest + 48 * math.prod(grid(stored.shard, stored.chunk))
        if isinstance(self.store.tree.objects, Web):
            each *= AT_ONCE if chunk_bytes <= AHEAD_CHUNK_BYTES else 1
            return Access("random", f"chunks of {size}", fixed_bytes=WEB_BYTES, read_bytes=each)
        if isinstance(self.store.tree.objects, Archive):
            each += math.prod(stored.shard) * stored.dtype.itemsize  # a member may be deflated
        return Access("random", f"chunks of {size}", read_bytes=each)

    @property
    def _own(self) -> bool:
        return self.store.image.manifest is not None

    @property
    def _array(self) -> ArrayMeta:
        return self.store.arrays[self.level - self.store.finer]

    @property
    def _of_source(self) -> Reader | None:
        """The reader of a level that is not stored; None for one that is."""
        if self.level >= self.store.finer:
            return None
        if not self.store.source:
            what = f"level {self.level} is not in this store, and its source was not opened with it"
            raise InputError(f"{self.source}: {what}; open the store by its path with bigimg.open")
        return self.store.source[self.level]

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, given in the order of ``spec.dims``.

        Raises
        ------
        MissingChunk, CorruptChunk
            What was written is gone or changed.
        InputError
            It cannot be read.
        """
        if self._of_source is not None:
            return self._of_source.read(region)
        if self._pixels is None:  # two threads may both open it, which does no harm
            self._pixels = self._open()
        found = self._pixels.read(self.store.as_stored(region)).transpose(self.store.order)
        if not self.store.is_boolean:
            return found
        # Compared in the same memory. A mere view as bool would be wrong: a mask may hold 255.
        return np.not_equal(found, 0, out=found.view(bool) if found.flags.writeable else None)

    def check(self) -> None:
        """Refuse a level that is not stored if its source is gone, before a pixel is read.

        Raises
        ------
        InputError
        """
        check_source(self._of_source)

    def _open(self) -> ShardPixels | ChunkPixels:
        store, meta, path = self.store, self._array, self.store.levels[self.level].path
        if self._own and meta.layout is not None:
            return ShardPixels(store.tree.location(store.group), path, meta.layout)
        return ChunkPixels(store.tree, join(store.group, path), meta, complete=self._own)

    def close(self) -> None:
        """Close what is open; reading opens it again."""
        if self._pixels is not None:
            self._pixels.close()
        self._pixels = None
        for reader in self.store.source:
            reader.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None}
