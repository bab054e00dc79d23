"""PNG: plain ones in bands of full-width rows by :mod:`~bigimg.readers.pictures.png_rows`, all others by libvips.

Plain ones are grey or colour, with or without alpha, of 8 or 16 bits, not interlaced. Palettes, fewer bits, a
transparent colour, an orientation, or anything strange before the pixels:
:class:`~bigimg.readers.pictures.vips.VipsReader`.
"""

from __future__ import annotations

import os
import threading

import numpy as np

from bigimg.errors import InputError, UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec
from bigimg.reader import Access, Reader
from bigimg.readers.failures import warn_of_return
from bigimg.readers.pictures.header import PngHeader, read_png_header
from bigimg.readers.pictures.png_rows import MOST_WIDTH, Damage, PngRows
from bigimg.types import Array, Json, Region

STRIP_BYTES = 1 << 20
"""Bytes of the rows that are decoded at once, where they are no longer than a quarter of it."""

LIBRARY_BYTES = 6_000_000
"""What importing isal and libpng takes, 3 MB, and freed strips that glibc keeps."""

CHANNELS: dict[int, tuple[Channel, ...]] = {
    1: (),
    2: (Channel("grey"), Channel("A", "FFFFFF")),
    3: RGB,
    4: RGBA,
}
"""By samples a pixel."""


def open_png(path: str | os.PathLike[str], *, series: int | None = None) -> Reader:
    """Return a reader of the PNG at ``path``; of an animated one, of its first frame.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, or its header is damaged.
    UsageError
        ``series`` is not 0: a PNG holds one image.
    """
    path = os.fspath(path)
    if series not in (None, 0):
        raise UsageError(f"{path}: series {series} was asked for, and a PNG holds one image, 0")
    header = read_png_header(path)
    if header.plain and header.width < MOST_WIDTH:
        return PngReader(path, header)
    from bigimg.readers.pictures.vips import VipsReader

    return VipsReader(path, "png")


class PngReader:
    """A plain PNG, read in order.

    Parameters
    ----------
    path : str
    header : PngHeader
        Of that file.
    """

    def __init__(self, path: str, header: PngHeader) -> None:
        self.source = path
        self._header = header
        self._lock = threading.Lock()
        self._rows: PngRows | None = None
        self._last: tuple[int, Array] | None = None  # number and rows (y, x, c) of the strip decoded last
        self._warned = False
        row_bytes = header.width * header.bands * header.bits // 8
        self._strip = min(max(STRIP_BYTES // row_bytes, 4), header.height)
        self._dtype = np.dtype(np.uint8 if header.bits == 8 else np.uint16)
        self.access = Access(
            "sequential",
            "PNG, decoded row by row",
            order=("y", "x") if header.bands == 1 else ("y", "x", "c"),
            # The strip that is kept; one that is decoded and its filtered form.
            fixed_bytes=LIBRARY_BYTES + self._strip * row_bytes,
            read_bytes=3 * (self._strip + 1) * (row_bytes + 1),
        )
        self.spec = self._describe()

    def __reduce__(self) -> tuple[object, ...]:
        return PngReader, (self.source, self._header)

    def read(self, region: Region) -> Array:
        """Return ``region`` as a view whose colour lies last in memory, as it was decoded.

        Going back to rows already read starts again at the top, and warns once.

        Raises
        ------
        InputError
            The file is cut or damaged within or above the region.
        """
        *channel, rows, columns = region
        with self._lock:
            pixels = self._read(rows, columns)
        return np.moveaxis(pixels[:, :, channel[0]], 2, 0) if channel else pixels[:, :, 0]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._forget()

    def _read(self, rows: slice, columns: slice) -> Array:
        """Return the pixels (y, x, c) of ``rows``, read on from where the last call ended if it can be."""
        first, last = rows.start // self._strip, (rows.stop - 1) // self._strip
        if first == last:
            return self._strip_at(first)[rows.start - first * self._strip :, columns][
                : rows.stop - rows.start
            ]
        wide = columns == slice(0, self._header.width)
        out = self._empty(rows.stop - rows.start, columns.stop - columns.start)
        for index in range(first, last + 1):
            at = index * self._strip - rows.start
            if wide and at >= 0 and index < last and not (self._last and self._last[0] == index):
                # Straight to its place: the row above is there already, or is the spare one of ``_empty``.
                self._decode(index, out[at : at + self._strip + 1])
                continue
            strip = self._strip_at(index)[max(-at, 0) : rows.stop - index * self._strip, columns]
            out[1 + max(at, 0) :][: len(strip)] = strip
        return out[1:]

    def _empty(self, rows: int, columns: int) -> Array:
        return np.empty((1 + rows, columns, self._header.bands), self._dtype)

    def _strip_at(self, index: int) -> Array:
        """Return strip ``index`` (y, x, c): the last one again, or one further down, or from the top anew."""
        if self._last is None or self._last[0] != index:
            rows = min(self._strip, self._header.height - index * self._strip)
            out = self._empty(rows, self._header.width)
            self._decode(index, out)
            self._last = (index, out[1:])
        return self._last[1]

    def _decode(self, index: int, out: Array) -> None:
        """Decode strip ``index`` into ``out[1:]``, and whatever lies before it."""
        top = index * self._strip
        if self._rows is not None and top < self._rows.row:
            if not self._warned:
                self._warned = True
                warn_of_return(self.source, top)
            self._forget()
        self._last = None
        rows = self._rows = self._rows or self._open()
        try:
            while rows.row < top:
                rows.read_into(self._empty(self._strip, self._header.width))
            rows.read_into(out)
        except Damage as damage:
            first = min(rows.row, self._header.height - 1)
            last = min((first // self._strip + 1) * self._strip, self._header.height) - 1
            self._forget()
            raise InputError(
                f"{self.source}: the PNG is damaged or cut: rows {first} to {last} of {self._header.height}"
                f" cannot be decoded ({damage}); copy or download it again"
            ) from damage

    def _open(self) -> PngRows:
        if read_png_header(self.source) != self._header:
            raise InputError(f"{self.source}: was rewritten since it was opened; open it again")
        return PngRows(self.source, self._header)

    def _forget(self) -> None:
        if self._rows is not None:
            self._rows.close()
        self._rows = self._last = None

    def _describe(self) -> ImageSpec:
        header = self._header
        axes, chunks = [Axis("y", header.height), Axis("x", header.width)], [self._strip, header.width]
        if header.bands > 1:
            axes.insert(0, Axis("c", header.bands))
            chunks.insert(0, header.bands)
        meta: dict[str, Json] = {"format": "PNG", "bits_per_sample": header.bits}
        if header.profile:
            meta["icc_profile"] = True
        if header.dpi is not None:  # the size of a print, not of what is shown: never the spacing
            meta["dpi"] = [round(value, 2) for value in header.dpi]
        return ImageSpec(
            axes=tuple(axes),
            dtype=self._dtype,
            chunks=tuple(chunks),
            channels=CHANNELS[header.bands],
            meta=meta,
            notes=("an animated PNG: only its first frame is read",) if header.animated else (),
        )
