"""Two ways to read the pixels of a stored array: by hand for our own layout, through zarr for all others.

Reading by hand does not import zarr. It compares length and checksums of a shard with the manifest at the first
access, and raises an error for everything that is missing. Through zarr an absent object reads as the fill value: the
writer may have meant that, and a loss looks the same. Regions and results are in the stored order of axes.
"""

from __future__ import annotations

import math
import os
import threading
import zlib
from contextlib import suppress
from typing import Any

import numpy as np

from bigimg.errors import BigimgError, CorruptChunk, InputError, IntegrityError, MissingChunk
from bigimg.geometry.region import grid, pieces, shape_of, shift
from bigimg.omezarr.archive import Archive
from bigimg.omezarr.manifest import read_records
from bigimg.omezarr.objects import Location
from bigimg.omezarr.parse import ArrayMeta
from bigimg.omezarr.shard import ABSENT, CachedIndex, ShardLayout, object_grid, read_region
from bigimg.omezarr.tree import DOCUMENTS, Tree
from bigimg.omezarr.web import Web, answer_of, patiently
from bigimg.types import Array, Region, Shape

INDEX_CACHE_BYTES = 4 << 20
"""Size of the cache of checked shard indices in one reader: those of 4000 shards of 64 chunks."""
IN_FLIGHT_BYTES = 16 << 20
"""What one read through zarr may hold in addition to its result, unless a single chunk is larger."""
IN_FLIGHT_CHUNKS = 20
"""zarr reads ten chunks at once (``async.concurrency``), each compressed and decoded: of 8 chunks, 7 were measured."""
BROKEN = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError, MemoryError,
          zlib.error)  # fmt: skip
"""What zarr, zarrs and the codecs raise for bytes that do not decode."""


class IndexCache(dict[Shape, CachedIndex]):
    """Checked shard indices; the oldest one makes room for a new one. Safe for use by many threads."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.lock = threading.Lock()

    def __setitem__(self, key: Shape, value: CachedIndex) -> None:
        with self.lock:
            if len(self) >= self.limit:
                del self[next(iter(self))]
            super().__setitem__(key, value)


class ShardPixels:
    """An array of ours, read by hand."""

    def __init__(self, root: Location, level: str, layout: ShardLayout) -> None:
        self.folder = root / level
        self.layout = layout
        self.records = read_records(root, level)
        if self.records.shape != (*object_grid(layout), 2):
            raise IntegrityError(f"{self.folder}: the manifest is of another array; restore the store")
        # A bare chunk has no index.
        bare = layout.zarr == 2
        self.cache = None if bare else IndexCache(max(1, INDEX_CACHE_BYTES // layout.index_bytes))

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, every byte of them checked."""
        return read_region(self.folder, region, self.layout, self.records, cache=self.cache)

    def close(self) -> None:
        """Do nothing: no file stays open between reads."""


class ZarrPixels:
    """An array of anybody, read through zarr."""

    def __init__(self, tree: Tree, key: str, meta: ArrayMeta, *, complete: bool) -> None:
        """Open the array.

        Parameters
        ----------
        complete : bool
            Every object was written, so one that is gone is an error and not the fill value.
        """
        self.where = tree.where(key)
        self.folder = None if tree.folder is None else tree.folder / key
        self.meta = meta
        self.remote = isinstance(tree.objects, Web)
        try:
            self.array = _open_array(tree, key, meta, complete)
        except BROKEN as error:
            if isinstance(error, BigimgError):
                raise
            message = f"{type(error).__name__}: {error}"
            raise InputError(f"{self.where}: zarr cannot open it ({message}); write it again") from error

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` in native byte order."""
        try:
            return self._read(region)
        except (MissingChunk, InputError):
            raise
        except BROKEN as error:
            raise self._blamed(region, error) from error

    def _read(self, region: Region) -> Array:
        try:
            self._check_indices(region)
            data = patiently(lambda: self._in_pieces(region)) if self.remote else self._in_pieces(region)
        except OSError as error:
            message = error.strerror or str(error) or type(error).__name__
            raise InputError(f"{self.where}: cannot be read ({message}); check disk or connection") from error
        except BaseException as error:
            if type(error).__module__ == "pyo3_runtime":  # a panic of zarrs, which is no Exception
                raise RuntimeError(str(error)) from error
            if self.remote and isinstance(
                getattr(error, "status", None), int
            ):  # of aiohttp: no kind of OSError
                assert isinstance(error, Exception)
                what = f"cannot be fetched ({answer_of(error)})"
                raise InputError(f"{self.where}: {what}; check the address") from error
            raise
        return data.astype(data.dtype.newbyteorder("="), copy=False)

    def _check_indices(self, region: Region) -> None:
        """Refuse a shard of ``region`` whose index points outside the object: zarrs would panic there."""
        sharding: Any = getattr(self.array.metadata, "codecs", (None,))[0]
        if self.folder is None or not hasattr(sharding, "index_codecs"):
            return
        chunks = grid(self.meta.shard, self.meta.chunk)
        trailer = 4 * (len(sharding.index_codecs) - 1)  # a checksum, behind the numbers
        length = 16 * math.prod(chunks)
        for index, _ in pieces(region, self.meta.shard):
            path = self.folder / self.array.metadata.encode_chunk_key(index)
            with suppress(FileNotFoundError), open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0 if "start" in str(sharding.index_location) else max(size - length - trailer, 0))
                table = np.fromfile(file, "<u8", 2 * math.prod(chunks)).reshape(-1, 2)
                outside = (table > size).any(1) | (table.sum(1) > size)
                bad = np.flatnonzero(outside & (table != ABSENT).any(1))
                if bad.size:
                    where = tuple(map(int, np.unravel_index(bad[0], chunks)))
                    first, count = table[bad[0]].tolist()
                    raise InputError(
                        f"{path}: the shard index has chunk {where} at byte {first} with {count} bytes, and the object "
                        f"has {size}; restore the object"
                    )

    def _in_pieces(self, region: Region) -> Array:
        """Return the region, read chunk by chunk where zarr would hold too many chunks at once."""
        unit_bytes = math.prod(self.meta.shard) * self.meta.dtype.itemsize
        if IN_FLIGHT_CHUNKS * unit_bytes <= IN_FLIGHT_BYTES:
            return np.asarray(self.array[region])
        out = np.empty(shape_of(region), self.meta.dtype)
        origin = tuple(s.start for s in region)
        for _, part in pieces(region, self.meta.chunk):
            out[shift(part, origin)] = self.array[part]
        return out

    def close(self) -> None:
        """Close the zip file, where there is one."""
        self.array.store.close()

    def _blamed(self, region: Region, error: Exception) -> CorruptChunk:
        """Return the error that names the first chunk in ``region`` that does not decode."""
        for index, part in pieces(region, self.meta.chunk):
            try:
                self._read(part)
            except BROKEN as cause:
                message = " ".join(str(cause).split()) or type(cause).__name__
                return CorruptChunk(
                    f"{self.where}: chunk {index} does not decode ({message}); restore the object"
                )
        return CorruptChunk(f"{self.where}: a chunk does not decode ({error}); restore the object")


def _open_array(tree: Tree, key: str, meta: ArrayMeta, complete: bool) -> Any:
    import zarr

    if tree.folder is None or complete:
        store = _store(tree)
        prefix = tree.objects.prefix if isinstance(tree.objects, Archive) else ""
        return zarr.open_array(_strict(store, tree) if complete else store, path=prefix + key, mode="r")
    return _fast(zarr.open_array(str(tree.folder / key), mode="r"))


def values_of(tree: Tree, key: str) -> Array:
    """Return all of a small array of numbers or text, such as a coordinate that xarray wrote.

    Raises
    ------
    InputError
        It cannot be read.
    """
    import zarr

    prefix = tree.objects.prefix if isinstance(tree.objects, Archive) else ""
    try:
        return np.asarray(zarr.open_array(_store(tree), path=prefix + key, mode="r")[...])
    except Exception as error:  # of zarr, numcodecs or a server
        raise InputError(f"{tree.where(key)}: cannot be read ({answer_of(error)}); restore it") from error


def _fast(array: Any) -> Any:
    """Return ``array`` with the pipeline of zarrs, which takes about half the CPU time, wherever zarrs can read it.

    zarr chooses the pipeline of every array by a setting of the whole process, which is the user's. So it is set on
    this one array. zarrs has no bytes in foreign order, no order F and no arrays without a fill value, and not all
    codecs: the pipeline of zarr itself reads these.
    """
    try:
        from zarrs.pipeline import (
            UnsupportedMetadataError,
            ZarrsCodecPipeline,
            get_codec_pipeline_fallback,
            get_codec_pipeline_impl,
        )
    except ImportError:
        return array
    metadata, store = array.metadata, array.store
    pipeline = plain = get_codec_pipeline_fallback(metadata, strict=False)
    if array.dtype.isnative and array.order == "C" and array.fill_value is not None:
        with suppress(UnsupportedMetadataError):
            rust = get_codec_pipeline_impl(metadata, store, strict=True)
            pipeline = ZarrsCodecPipeline(metadata, store, rust, plain)
    object.__setattr__(array.async_array, "codec_pipeline", pipeline)  # a public field of a frozen class
    return array


def _store(tree: Tree) -> Any:
    from zarr.storage import FsspecStore, LocalStore, ZipStore

    if isinstance(tree.objects, Archive):
        # Not the zip of fsspec: it has one file position that zarr's threads share, which gives wrong bytes.
        return ZipStore(tree.objects.path, read_only=True)
    if isinstance(tree.objects, Web):
        return FsspecStore.from_url(tree.objects.address, read_only=True)
    return LocalStore(tree.folder, read_only=True)


def _strict(store: Any, tree: Tree) -> Any:
    """Return ``store`` as one that raises where a chunk is gone, for a store of ours that zarr must read."""
    from zarr.storage import WrapperStore

    class Complete(WrapperStore):  # type: ignore[misc]
        async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
            found = await super().get(key, *args, **kwargs)
            if found is None and not key.endswith((*DOCUMENTS, ".zmetadata")):
                raise MissingChunk(f"{tree.where(key)}: the object is gone; its pixels are lost, restore it")
            return found

    return Complete(store)
