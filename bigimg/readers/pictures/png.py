"""PNG: plain ones in bands of full-width rows by :mod:`~bigimg.readers.pictures.png_rows`, all others by libvips.

A plain PNG is grey or colour, with or without alpha, of 8 or 16 bits, and not interlaced. These go to
:class:`~bigimg.readers.pictures.vips.VipsReader`: palettes, fewer bits, a transparent colour, an orientation,
and files with anything unusual before the pixels.
"""

from __future__ import annotations

import numpy as np

from bigimg.errors import InputError
from bigimg.reader import Access, Reader
from bigimg.readers.failures import damage
from bigimg.readers.pictures.header import PngHeader, read_png_header
from bigimg.readers.pictures.png_rows import MOST_WIDTH, Damage, PngRows
from bigimg.readers.pictures.strips import CHANNELS, STRIP_BYTES, StripReader, picture_spec, rounded_dpi
from bigimg.types import Array

LIBRARY_BYTES = 6_000_000
"""What importing isal and libpng takes, 3 MB, and freed strips that glibc keeps."""


def open_png(path: str) -> Reader:
    """Return a reader of the PNG at ``path``; of an animated one, of its first frame.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, or its header is damaged.
    """
    header = read_png_header(path)
    if header.plain and header.width < MOST_WIDTH:
        return PngReader(path, header)
    from bigimg.readers.pictures.vips import VipsReader

    return VipsReader(path, "png")


class PngReader(StripReader):
    """A plain PNG, read in order.

    Parameters
    ----------
    path : str
    header : PngHeader
        Of that file.
    """

    decodes_into = True

    def __init__(self, path: str, header: PngHeader) -> None:
        row_bytes = header.width * header.bands * header.bits // 8
        rows = min(max(STRIP_BYTES // row_bytes, 4), header.height)
        super().__init__(path, (header.height, header.width, header.bands), rows)
        self._header = header
        self._rows: PngRows | None = None
        self.access = Access(
            "sequential",
            "PNG, decoded row by row",
            order=("y", "x") if header.bands == 1 else ("y", "x", "c"),
            # The last strip; one that is decoded and its filtered form.
            fixed_bytes=LIBRARY_BYTES + rows * row_bytes,
            read_bytes=3 * (rows + 1) * (row_bytes + 1),
        )
        self.spec = picture_spec(
            header.height, header.width, np.dtype(np.uint8 if header.bits == 8 else np.uint16),
            CHANNELS[header.bands],
            {
                "format": "PNG", "bits_per_sample": header.bits, "icc_profile": header.profile,
                "dpi": rounded_dpi(header.dpi),
            },
            ("an animated PNG: only its first frame is read",) if header.animated else (),
            rows=rows,
        )  # fmt: skip

    def __reduce__(self) -> tuple[object, ...]:
        return PngReader, (self.source, self._header)

    def _decode(self, index: int, rows: int, out: Array | None) -> Array:
        """Decode what lies before strip ``index``, and the strip."""
        decoder = self._rows = self._rows or self._open()
        try:
            while decoder.row < index * self._strip_rows:
                decoder.read_into(self._empty(self._strip_rows))
            out = self._empty(rows) if out is None else out
            decoder.read_into(out)
        except Damage as error:
            height, strip = self._header.height, self._strip_rows
            first = min(decoder.row, height - 1)
            last = min((first // strip + 1) * strip, height) - 1
            self._forget()
            what = f"the PNG is damaged: rows {first} to {last} of {height} cannot be decoded ({error})"
            raise damage(self.source, what) from error
        return out[1:]

    def _empty(self, rows: int) -> Array:
        return np.empty((1 + rows, *self._shape[1:]), self.spec.dtype)

    def _open(self) -> PngRows:
        if read_png_header(self.source) != self._header:
            raise InputError(f"{self.source}: was rewritten since it was opened; open it again")
        return PngRows(self.source, self._header)

    def _forget(self) -> None:
        super()._forget()
        if self._rows is not None:
            self._rows.close()
        self._rows = None
