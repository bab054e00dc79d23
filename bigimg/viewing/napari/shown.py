"""Pixels as a viewer takes them: one channel of a level, or its colours side by side, read when sliced.

Nothing between a viewer and the chunks it looks at: a slice reads the region it covers and no more, where a
dask array would read the whole of each block that the region touches.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from bigimg.errors import BigimgError
from bigimg.geometry.region import full
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access, Reader
from bigimg.readers.lazy import LazyPixels
from bigimg.types import Array, Region, Shape

PLANE = 2
"""Axes of what a viewer draws at once."""


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
        self.tell: Callable[[str], None] | None = None
        self._told: set[str] = set()

    @property
    def source(self) -> str:
        """What is read."""
        return self.pixels.reader.source

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Decoded bytes."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Array | Part:
        """Return what integers and slices select, as numpy does; read at once where it is a plane or less.

        napari cuts a volume to what the window shows, through all its planes, and then takes the plane.
        """
        items = _items(key, self.ndim)
        space = items[:-1] if self._is_color else items
        if sum(isinstance(item, slice) for item in space) > PLANE:
            return Part(self, items)
        return self.read(items)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.read([slice(None)] * self.ndim), dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, items: list[Any]) -> Array:
        """Return what ``items``, an integer or slice for each axis, select.

        What is lost or damaged raises, except where napari draws: there it is told, and left out of the picture.
        napari would keep half a layer otherwise, which it can neither show nor remove.

        Raises
        ------
        MissingChunk, CorruptChunk, InputError
            Its pixels cannot be had.
        """
        try:
            return self._exact(items)
        except BigimgError as error:
            if self.tell is None or not _is_napari_drawing():
                raise
            if str(error) not in self._told:  # and not again with each view
                self._told.add(str(error))
                self.tell(f"{error} (left out of the picture)")
            return _whole_pieces(self, items)

    def _exact(self, items: list[Any]) -> Array:
        items = list(items)
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

    @property
    def _is_color(self) -> bool:
        return self.axis is not None and self.channel is None

    def _ids(self, found: Array) -> Array:
        return found.view(np.uint8) if found.dtype.kind == "b" else found

    def __repr__(self) -> str:
        where = "" if self.channel is None else f", channel {self.channel}"
        return f"<{' x '.join(map(str, self.shape))} {self.dtype} of {self.pixels.reader.source}{where}>"


class Part:
    """A part of a level that is more than a plane: read when it is cut to one, or asked for its pixels."""

    def __init__(self, whole: Shown, items: list[Any]) -> None:
        self.whole, self.items = whole, items
        self._ranges = [
            range(n)[item] for n, item in zip(whole.shape, items, strict=True) if isinstance(item, slice)
        ]
        self.shape: Shape = tuple(len(each) for each in self._ranges)
        self.dtype = whole.dtype
        self.ndim = len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __getitem__(self, key: Any) -> Array | Part:
        """Return a part of this part, as numpy does."""
        own = iter(zip(self._ranges, _items(key, self.ndim), strict=True))
        items = []
        for item in self.items:
            if isinstance(item, slice):
                kept, wanted = next(own)
                item = _as_slice(kept[wanted]) if isinstance(wanted, slice) else kept[wanted]
            items.append(item)
        return self.whole[tuple(items)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.whole.read(self.items), dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]


def _items(key: Any, ndim: int) -> list[Any]:
    """Return an integer or slice for each axis."""
    items = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in items:
        at = items.index(Ellipsis)
        items[at : at + 1] = [slice(None)] * (ndim - len(items) + 1)
    items += [slice(None)] * (ndim - len(items))
    if len(items) != ndim:
        raise IndexError(f"{len(items)} indices for {ndim} axes")
    return items


def _as_slice(kept: range) -> slice:
    return slice(kept.start, kept.stop if kept.stop >= 0 else None, kept.step)


def _is_napari_drawing() -> bool:
    """Return whether it is a layer of napari that asks, and not somebody who computes: who must get an error."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith("napari.layers")


def _whole_pieces(shown: Shown, items: list[Any]) -> Array:
    """Return what ``items`` select with nothing where chunks are lost or damaged."""
    ranges = [
        range(n)[item] if isinstance(item, slice) else range(n)[item : item + 1 or None]
        for n, item in zip(shown.shape, items, strict=True)
    ]
    nothing = np.nan if shown.dtype.kind == "f" else 0
    found = np.full([len(each) for each in ranges], nothing, shown.dtype)
    for part in itertools.product(*map(_pieces, ranges, shown.chunks)):
        at = tuple(slice(low, high) for low, high in part)
        with contextlib.suppress(BigimgError):
            found[at] = shown._exact([_as_slice(each[where]) for each, where in zip(ranges, at, strict=True)])
    return found[tuple(slice(None) if isinstance(item, slice) else 0 for item in items)]


def _pieces(line: range, chunk: int) -> list[tuple[int, int]]:
    """Return ``line`` cut where chunks begin, as places in it."""
    numbers = [place // chunk for place in line]
    cuts = [0, *(i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1]), len(numbers)]
    return list(itertools.pairwise(cuts)) if numbers else []


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
