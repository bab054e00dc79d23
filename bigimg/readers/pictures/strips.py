"""What the readers of pictures share: how a picture is described, and strips of a decoder that only goes forwards."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from bigimg.errors import warn
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import pieces
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec
from bigimg.reader import Access
from bigimg.readers.allowed import public_and_private
from bigimg.readers.resolution import NO_RESOLUTION, of_dots
from bigimg.types import Array, DType, Json, Kind, Region

STRIP_BYTES = 1 << 20
"""Bytes that a strip of rows aims at."""

GREY_ALPHA = (Channel("grey"), Channel("A", "FFFFFF"))
CMYK = tuple(Channel(name) for name in "CMYK")
CHANNELS: dict[int, tuple[Channel, ...]] = {1: (), 2: GREY_ALPHA, 3: RGB, 4: RGBA}
"""By samples a pixel."""


def picture_spec(
    height: int, width: int, dtype: DType, channels: tuple[Channel, ...], meta: Mapping[str, Json],
    notes: Sequence[str], *, rows: int = 0, frames: int = 1, orientation: int = 1,
    dpi: tuple[float, float] | None = None,
) -> ImageSpec:  # fmt: skip
    """Return the description of a picture of axes t (of frames), c (of samples), y and x.

    Parameters
    ----------
    height, width : int
        Pixels as stored, before the orientation is applied.
    dtype : dtype
    channels : tuple of Channel
        One for each sample of a pixel; empty for one sample.
    meta : mapping
        Fields of the file; None and False are left out.
    notes : sequence of str
    rows : int
        Rows that are decoded at once; all by default.
    frames : int
    orientation : int
        The EXIF tag 274; numbers that are not 2 to 8 change nothing.
    dpi : (float, float), optional
        Pixels an inch along x and y as stored: the spacing, unless it is the resolution of a print; in ``meta`` too.
    """
    fields = {name: value for name, value in meta.items() if value is not None and value is not False}
    if dpi is not None:
        fields["dpi"] = [round(value, 2) for value in dpi]
    if orientation != 1:
        fields["orientation"] = orientation
    public, private = public_and_private(fields, "picture")
    if orientation in range(2, 9):
        notes = (*notes, f"EXIF orientation {orientation} is applied")
    resolution = of_dots(*dpi) if dpi and min(dpi) > 0 else NO_RESOLUTION
    spacing, notes = resolution.spacing, (*notes, *([resolution.note] if resolution.note else []))
    if orientation in range(5, 9):
        height, width = width, height
        spacing = {{"y": "x", "x": "y"}[name]: step for name, step in spacing.items()}
    sizes = {"t": frames, "c": max(len(channels), 1), "y": height, "x": width}
    axes = tuple(
        Axis(name, size, *spacing.get(name, (1.0, None)))
        for name, size in sizes.items()
        if size > 1 or name in "yx"
    )
    chunk = sizes | {"t": 1, "y": min(rows or height, height)}
    chunks = tuple(chunk[axis.name] for axis in axes)
    kind: Kind = "mask" if dtype == np.bool_ else "image"
    return ImageSpec(
        axes, dtype, chunks, channels=channels, kind=kind, meta=public, private=private, notes=tuple(notes)
    )


class StripReader(ABC):
    """A picture that is decoded in order, in strips of full-width rows; the last strip stays in memory.

    A subclass sets ``spec`` and ``access``, decodes a strip, and lets go of its decoder.

    Parameters
    ----------
    source : str
    shape : tuple of int
        Rows, columns and samples as stored.
    strip_rows : int
        Rows of a strip; the last one may have fewer.
    """

    spec: ImageSpec
    access: Access
    decodes_into = False
    """Whether ``_decode`` can fill an array of ours."""

    def __init__(self, source: str, shape: tuple[int, int, int], strip_rows: int) -> None:
        self.source = source
        self._shape, self._strip_rows = shape, strip_rows
        self._lock = threading.Lock()
        self._last: tuple[int, Array] | None = None  # number and rows (y, x, c) of the strip decoded last
        self._next = 0  # number of the strip that the decoder has not yet passed
        self._warned = False

    def read(self, region: Region) -> Array:
        """Return ``region`` as a view with colours last in memory, the order in which they are decoded.

        A region above the last one starts the decoder again at the top, and warns once.

        Raises
        ------
        InputError
            The file is cut or damaged within or above the region.
        """
        *channel, rows, columns = region
        with self._lock:
            pixels = self._read(rows, columns, channel[0] if channel else slice(0, 1))
        return np.moveaxis(pixels, 2, 0) if channel else pixels[:, :, 0]

    def close(self) -> None:
        """Let go of the file and of decoded pixels."""
        with self._lock:
            self._forget()

    def _in_order(self, codec: str, fixed_bytes: int, read_bytes: int) -> Access:
        """Return how the rows of this picture are read, if they are decoded in order."""
        order = ("y", "x") if self._shape[2] == 1 else ("y", "x", "c")
        return Access("sequential", f"{codec}, decoded row by row", order, fixed_bytes, read_bytes)

    @abstractmethod
    def _decode(self, index: int, rows: int, out: Array | None) -> Array:
        """Return the ``rows`` of strip ``index``, (y, x, c); in ``out[1:]`` where an array is given."""

    def _forget(self) -> None:
        """Drop the decoder and the last strip."""
        self._last, self._next = None, 0

    def _read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return pixels (y, x, c); decoding goes on from the last call where it can."""
        first, last = rows.start // self._strip_rows, (rows.stop - 1) // self._strip_rows
        if first == last:
            strip, top = self._strip(first), first * self._strip_rows
            return strip[rows.start - top : rows.stop - top, columns, bands]
        shape = tuple(s.stop - s.start for s in (rows, columns, bands))
        out = np.empty((1 + shape[0], *shape[1:]), self.spec.dtype)  # decoding needs the row above
        for (index,), (piece,) in pieces((rows,), (self._strip_rows,)):
            top = index * self._strip_rows
            target = out[piece.start - rows.start : piece.stop - rows.start + 1]
            whole = len(target) == 1 + self._strip_rows and shape[1:] == self._shape[1:]
            if self.decodes_into and whole and index < last and not (self._last and self._last[0] == index):
                self._advance(index, target)
            else:
                target[1:] = self._strip(index)[piece.start - top : piece.stop - top, columns, bands]
        return out[1:]

    def _strip(self, index: int) -> Array:
        """Return strip ``index`` (y, x, c), decoded unless it is the last one again."""
        if self._last is None or self._last[0] != index:
            self._last = (index, self._advance(index, None))
        return self._last[1]

    def _advance(self, index: int, out: Array | None) -> Array:
        """Decode strip ``index``; start again at the top when the decoder is past it."""
        top = index * self._strip_rows
        if index < self._next:
            if not self._warned:
                self._warned = True
                what = f"rows from {top} on are read again, so decoding starts again at the top"
                remedy = "for repeated access convert it first (bigimg convert)"
                warn(f"{self.source}: {what}; {remedy}")
            self._forget()
        self._last = None
        strip = self._decode(index, min(self._strip_rows, self._shape[0] - top), out)
        self._next = index + 1
        return strip
