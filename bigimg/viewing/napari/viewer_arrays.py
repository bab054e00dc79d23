"""Arrays for a viewer: one channel of a level, or its colours as the last axis, read when they are sliced.

A slice reads the region that it covers and no more; a dask array would read all of each block that the region touches.

A viewer cannot draw an error. So if a function is set that reports damage (``Shown.tell``), a slice over lost or
damaged chunks is a masked array: these pixels are masked, their values are stripes, and the error is reported. napari
ignores the mask and draws the stripes; numpy leaves masked pixels out; bigimg refuses them.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from bigimg.errors import BigimgError
from bigimg.geometry.region import full
from bigimg.geometry.spec import ImageSpec
from bigimg.lazy.leaves import LazyPixels
from bigimg.reader import Access, Reader
from bigimg.types import Array, Region, Shape

PLANE = 2
"""Axes of a picture that a viewer draws."""
STRIPE = 8
"""Width of a stripe over damage along an axis, in pixels."""


class Part:
    """A part of a level: if it is more than a plane, it is read when it is cut to a plane or made an array."""

    def __init__(self, whole: Shown, items: list[Any]) -> None:
        self.whole, self.items, self.dtype = whole, items, whole.dtype
        self._ranges = [
            range(n)[item] for n, item in zip(whole.shape, items, strict=True) if isinstance(item, slice)
        ]
        self.shape: Shape = tuple(len(each) for each in self._ranges)
        self.ndim = len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Decoded bytes."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Array | Part:
        """Return what integers and slices select, as numpy does; it is read now if it is a plane or less.

        napari first cuts all planes of a volume to the window, and then takes one plane.
        """
        cuts = iter(zip(self._ranges, _items(key, self.ndim), strict=True))
        items = list(self.items)
        for i, item in enumerate(items):
            if isinstance(item, slice):
                line, wanted = next(cuts)
                items[i] = _as_slice(line[wanted]) if isinstance(wanted, slice) else line[wanted]
        space = items[:-1] if self.whole.is_color else items
        if sum(isinstance(item, slice) for item in space) > PLANE:
            return Part(self.whole, items)
        return self.whole.select(items)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asanyarray(self.whole.select(self.items), dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]


class Shown(Part):
    """A level for a viewer.

    Parameters
    ----------
    reader : Reader
        Reads the level.
    channel : int, optional
        The channel that is shown, without its axis. None for an image without channels, and for colours; their
        axis is the last one, as napari needs it.

    Attributes
    ----------
    tell : callable, optional
        Gets a message about damage; damaged pixels are then masked in slices. Without it damage raises an error.
    is_thumbnail : bool
        Whether napari reads the whole level too. If not, only computations do, for which damage raises an error.
    damaged : list of str
        The errors that were reported.
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
        super().__init__(self, [slice(None)] * len(order))
        self.tell: Callable[[str], None] | None = None
        self.is_thumbnail = False
        self.damaged: list[str] = []

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.pixels.reader.source

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        read = self.select if self.is_thumbnail else self._exact
        return np.asanyarray(read(self.items), dtype=dtype)

    def exact(self) -> Shown:
        """Return the same level for computations: damage raises an error."""
        found = Shown(self.pixels.reader, self.channel)
        found.pixels = self.pixels
        return found

    def select(self, items: list[Any]) -> Array:
        """Return what ``items``, an integer or slice for each axis, select; a masked array where there is damage.

        Raises
        ------
        MissingChunk, CorruptChunk, InputError
            Pixels cannot be read, and no function reports it.
        """
        try:
            return self._exact(items)
        except BigimgError:
            if self.tell is None:
                raise
            found, errors = _masked(self, items)
        new = [error for error in errors if error not in self.damaged]  # each once
        self.damaged += new
        if new:
            more = f"; and {len(new) - 1} more places" if len(new) > 1 else ""
            self.tell(f"{new[0]} (drawn as stripes, no pixels){more}")
        return found

    def _exact(self, items: list[Any]) -> Array:
        items = list(items)
        if self.axis is not None:
            items.insert(self.axis, items.pop() if self.is_color else self.channel)
        found = self.pixels[tuple(items)]
        if self.axis is not None and isinstance(items[self.axis], slice):  # colours come last
            found = np.moveaxis(found, sum(isinstance(item, slice) for item in items[: self.axis]), -1)
        return found.view(np.uint8) if found.dtype.kind == "b" else found

    @property
    def is_color(self) -> bool:
        """Whether the last axis holds the colours."""
        return self.axis is not None and self.channel is None

    def __repr__(self) -> str:
        where = "" if self.channel is None else f", channel {self.channel}"
        return f"<{' x '.join(map(str, self.shape))} {self.dtype} of {self.pixels.reader.source}{where}>"


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


def _as_slice(line: range) -> slice:
    return slice(line.start, line.stop if line.stop >= 0 else None, line.step)


def _masked(shown: Shown, items: list[Any]) -> tuple[Array, list[str]]:
    """Return what ``items`` select, with masked stripes for lost or damaged chunks, and the errors."""
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
    """Return oblique stripes of the smallest and the largest value of the type, the same in all colours and planes.

    Different stripes in each plane would hide each other where a volume is drawn by its brightest values.
    """
    # Graphics cards have no values beyond float32.
    floats = np.finfo(np.float16 if shown.dtype == np.float16 else np.float32)
    about = floats if shown.dtype.kind == "f" else np.iinfo(shown.dtype)
    odd = sum(np.ix_(*piece[: shown.ndim - shown.is_color][-PLANE:])) // STRIPE % 2
    found: Array = np.array([about.min, about.max], shown.dtype)[odd]
    return found[..., None] if shown.is_color else found


def _pieces(line: range, chunk: int) -> list[tuple[int, int]]:
    """Return ``line`` cut where chunks begin, as pairs of indices."""
    numbers = [pixel // chunk for pixel in line]
    cuts = [0, *(i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1]), len(numbers)]
    return list(itertools.pairwise(cuts)) if numbers else []


class Decoded:
    """A small source that can only be decoded whole: decoded once and kept (a Reader)."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.spec: ImageSpec = reader.spec
        self.source = reader.source
        self.access = Access("random", "decoded once and kept")
        self._decoded: Future[Array] | None = None
        self._lock = threading.Lock()

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        with self._lock:
            if self._decoded is None:
                found: Future[Array] = Future()
                try:
                    found.set_result(self.reader.read(full(self.spec.shape)))
                except BigimgError as error:  # kept, so that it is not decoded again for each piece
                    found.set_exception(error)
                self._decoded = found
                self.reader.close()
        return self._decoded.result()[region]

    def close(self) -> None:
        """Do nothing: a viewer still shows the pixels."""

    def __reduce__(self) -> Any:
        return Decoded, (self.reader,)
