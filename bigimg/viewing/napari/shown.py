"""Pixels as a viewer takes them: one channel of a level, or its colours side by side, read when sliced.

Nothing between a viewer and the chunks it looks at: a slice reads the region it covers and no more, where a
dask array would read the whole of each block that the region touches.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from bigimg.geometry.region import full
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access, Reader
from bigimg.readers.lazy import LazyPixels
from bigimg.types import Array, Region, Shape


class Shown:
    """A level for a viewer.

    Parameters
    ----------
    reader : Reader
        Of the level.
    channel : int, optional
        The one that is shown, without its axis. None for an image without channels, and for colours, whose axis
        comes last as napari wants it.
    """

    def __init__(self, reader: Reader, channel: int | None = None) -> None:
        spec = reader.spec
        self.pixels = LazyPixels(reader, raw=False)
        self.channel = channel
        self.axis = spec.axis("c") if "c" in spec.dims else None
        order = [i for i in range(len(spec.dims)) if i != self.axis]
        if self.axis is not None and channel is None:
            order.append(self.axis)
        self.shape: Shape = tuple(spec.shape[i] for i in order)
        self.chunks: Shape = tuple(min(spec.chunks[i], spec.shape[i]) for i in order)
        # Label layers take no booleans: ids 0 and 1 are the same bytes.
        stored = self.pixels.dtype
        self.dtype: np.dtype[Any] = np.dtype(np.uint8) if stored.kind == "b" else stored
        self.ndim = len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """Decoded bytes."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Array:
        """Return what integers and slices select, as numpy does."""
        items = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in items:
            at = items.index(Ellipsis)
            items[at : at + 1] = [slice(None)] * (self.ndim - len(items) + 1)
        items += [slice(None)] * (self.ndim - len(items))
        if len(items) != self.ndim:
            raise IndexError(f"{len(items)} indices for {self.ndim} axes")
        if self.axis is None:
            return self._ids(self.pixels[tuple(items)])
        if self.channel is not None:
            items.insert(self.axis, self.channel)
            return self._ids(self.pixels[tuple(items)])
        color = items.pop()
        kept = sum(isinstance(item, slice) for item in items[: self.axis])
        items.insert(self.axis, color)
        found = self.pixels[tuple(items)]
        return np.moveaxis(found, kept, -1) if isinstance(color, slice) else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[...], dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def _ids(self, found: Array) -> Array:
        return found.view(np.uint8) if found.dtype.kind == "b" else found

    def __repr__(self) -> str:
        where = "" if self.channel is None else f", channel {self.channel}"
        return f"<{' x '.join(map(str, self.shape))} {self.dtype} of {self.pixels.reader.source}{where}>"


class Kept:
    """A small source whose pixels cannot be had piece by piece, decoded once and kept (a Reader)."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.spec: ImageSpec = reader.spec
        self.source = reader.source
        self.access = Access("random", "decoded once and kept")
        self._pixels: Array | None = None
        self._lock = threading.Lock()

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        with self._lock:
            if self._pixels is None:
                self._pixels = self.reader.read(full(self.spec.shape))
                self.reader.close()
        return self._pixels[region]

    def close(self) -> None:
        """Keep what was decoded: a viewer goes on to show it."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
