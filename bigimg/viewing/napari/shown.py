"""Pixels as a viewer takes them: one channel of a level, or its colours side by side, read when sliced.

Nothing between a viewer and the chunks it looks at: a slice reads the region it covers and no more, where a
dask array would read the whole of each block that the region touches.

A viewer cannot draw an error. So once somebody is there to be told of damage (``Shown.tell``), a slice over lost
or damaged chunks is a masked array: these pixels are masked, stripes lie below the mask, and the error is told.
napari drops the mask and draws the stripes; numpy leaves masked pixels out; bigimg refuses them.
"""

from __future__ import annotations

import copy
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from bigimg.errors import BigimgError
from bigimg.geometry.region import full
from bigimg.geometry.spec import ImageSpec
from bigimg.lazy.leaves import LazyPixels
from bigimg.reader import Access, Reader
from bigimg.types import Array, Region, Shape

PLANE = 2
"""Axes of what a viewer draws at once."""
STRIPE = 8
"""Pixels along an axis that a stripe over damage covers."""


class Shown:
    """A level for a viewer.

    Parameters
    ----------
    reader : Reader
        Of the level.
    channel : int, optional
        The one that is shown, without its axis. None for an image without channels, and for colours, whose axis
        comes last as napari wants it.

    Attributes
    ----------
    tell : callable, optional
        Is told of damage; damage then is masked in slices. Without it damage raises.
    is_thumbnail : bool
        Whether napari takes the level as a whole, too. Otherwise only somebody who computes does: damage raises.
    damaged : list of str
        What was told.
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
        self.is_thumbnail = False
        self.damaged: list[str] = []

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
        space = items[:-1] if self.is_color else items
        if sum(isinstance(item, slice) for item in space) > PLANE:
            return Part(self, items)
        return self.select(items)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        read = self.select if self.is_thumbnail else self._exact
        return np.asanyarray(read([slice(None)] * self.ndim), dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def exact(self) -> Shown:
        """Return the same level for somebody who computes: damage raises."""
        found = copy.copy(self)
        found.tell = None
        return found

    def select(self, items: list[Any]) -> Array:
        """Return what ``items``, an integer or slice for each axis, select; a masked array where there is damage.

        Raises
        ------
        MissingChunk, CorruptChunk, InputError
            Its pixels cannot be had, and nobody is there to be told.
        """
        try:
            return self._exact(items)
        except BigimgError:
            if self.tell is None:
                raise
            found, errors = _masked(self, items)
        new = [error for error in errors if error not in self.damaged]  # and not again with each view
        self.damaged += new
        if new:
            more = f"; and {len(new) - 1} more places" if len(new) > 1 else ""
            self.tell(f"{new[0]} (drawn as stripes, no pixels){more}")
        return found

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
    def is_color(self) -> bool:
        """Whether the last axis holds the colours."""
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
        return np.asanyarray(self.whole.select(self.items), dtype=dtype)

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


def _masked(shown: Shown, items: list[Any]) -> tuple[Array, list[str]]:
    """Return what ``items`` select, masked over stripes where chunks are lost or damaged, and the errors."""
    ranges = [
        range(n)[item] if isinstance(item, slice) else range(n)[item : item + 1 or None]
        for n, item in zip(shown.shape, items, strict=True)
    ]
    found = np.empty([len(each) for each in ranges], shown.dtype)
    lost = np.zeros(found.shape, bool)
    errors: dict[str, None] = {}
    for part in itertools.product(*map(_pieces, ranges, shown.chunks)):
        at = tuple(slice(low, high) for low, high in part)
        piece = [each[where] for each, where in zip(ranges, at, strict=True)]
        try:
            found[at] = shown._exact([_as_slice(each) for each in piece])
        except BigimgError as error:
            errors[str(error)] = None
            found[at], lost[at] = _stripes(piece, shown), True
    # With the dots a single pixel stays a masked array.
    kept = (*(slice(None) if isinstance(item, slice) else 0 for item in items), ...)
    return np.ma.masked_array(found, lost)[kept], list(errors)


def _stripes(piece: list[range], shown: Shown) -> Array:
    """Return oblique stripes of the least and the largest value of the type, alike in all colours and planes.

    Planes with stripes of their own would fill each other's gaps where a volume is shown by its brightest values.
    """
    floats = np.finfo(
        np.float16 if shown.dtype == np.float16 else np.float32
    )  # beyond, graphics have infinity
    about = floats if shown.dtype.kind == "f" else np.iinfo(shown.dtype)
    odd = sum(np.ix_(*piece[: shown.ndim - shown.is_color][-PLANE:])) // STRIPE % 2
    found: Array = np.array([about.min, about.max], shown.dtype)[odd]
    return found[..., None] if shown.is_color else found


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
        self._error: BigimgError | None = None
        self._lock = threading.Lock()

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._pixels is None:
                try:
                    self._pixels = self.reader.read(full(self.spec.shape))
                except BigimgError as error:
                    self._error = error  # and not decoded again for each piece of the picture
                    raise
                self.reader.close()
        return self._pixels[region]

    def close(self) -> None:
        """Keep what was decoded: a viewer goes on to show it."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
