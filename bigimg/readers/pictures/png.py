"""PNG: plain ones in bands of full-width rows by ISA-L and libpng, all others by libvips.

A plain PNG is grey or colour, with or without alpha, of 8 or 16 bits, and not interlaced. These go to
:class:`~bigimg.readers.pictures.vips.VipsReader`: palettes, fewer bits, a transparent colour, an orientation,
and files with anything unusual before the pixels.

libpng and libspng inflate with zlib, which takes most of the time of a PNG. Here ``isal`` inflates, two to three times
as fast. libpng gets the result as a small PNG whose deflate blocks are *stored*, so that it only undoes the filters
(3 GB/s for Sub, 0.6 for Paeth). Filters need the row above, so each small PNG begins with the last row of the one
before, without a filter.

Checked are the CRC of every chunk of pixels, the Adler-32 of all pixels, and the number of rows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from bigimg.errors import InputError, damage, warn
from bigimg.readers.pictures.header import PNG_BANDS, PngHeader, read_png_header
from bigimg.readers.pictures.strips import CHANNELS, STRIP_BYTES, StripReader, picture_spec
from bigimg.readers.pictures.texts import texts_in
from bigimg.readers.raw.streams import stream_errors
from bigimg.types import Array

LIBRARY_BYTES = 6_000_000
"""What importing isal and libpng takes, 3 MB, and freed strips that glibc keeps."""

PORTION_BYTES = 32 << 10
"""Compressed bytes inflated at once."""

STORED_MOST = 0xFFFF
"""Bytes that a stored deflate block holds at most."""

MOST_WIDTH = 1_000_000
"""Pixels a row that libpng takes; it is built with this limit."""

_COLOR = {bands: color for color, bands in PNG_BANDS.items()}
"""Colour type of a PNG by samples a pixel."""

_TAIL = b"\0\0\0\0IEND\xaeB`\x82"


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
        # The last strip; one that is decoded and its filtered form.
        fixed, read = LIBRARY_BYTES + rows * row_bytes, 3 * (rows + 1) * (row_bytes + 1)
        self.access = self._in_order("PNG", fixed, read)
        self.spec = picture_spec(
            header.height, header.width, np.dtype(np.uint8 if header.bits == 8 else np.uint16),
            CHANNELS[header.bands],
            (texts_in(path, "png") if header.texts else {}) | {
                "format": "PNG", "bits_per_sample": header.bits, "icc_profile": header.profile,
            },
            ("an animated PNG: only its first frame is read",) if header.animated else (),
            rows=rows, dpi=header.dpi,
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
        if decoder.longer:
            decoder.longer = False
            what = "more data follow the last row than the PNG's header says; they are left out"
            warn(f"{self.source}: {what}")
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


class Damage(Exception):
    """The file is cut or damaged; the text completes a message."""


class PngRows:
    """The rows of the PNG at ``path``, from the first to the last.

    Parameters
    ----------
    path : str
    header : PngHeader
        Of the same file, ``plain``.
    """

    def __init__(self, path: str, header: PngHeader) -> None:
        from isal import igzip_lib

        self.row = 0
        """The row that is read next; after damage, the first row that cannot be read."""
        self.longer = False
        """More data followed the last row, and were left out."""
        self._header = header
        self._row_bytes = header.width * header.bands * header.bits // 8
        self._above = bytes(self._row_bytes)  # the row above the first counts as zeros
        self._file = open(path, "rb")  # noqa: SIM115  (close does)
        self._file.seek(header.data)
        self._deflated = _idat(self._file)
        self._inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)

    def read_into(self, out: Array) -> None:
        """Decode the next rows into ``out[1:]``; ``out[0]`` becomes the row above them.

        Parameters
        ----------
        out : ndarray of shape (1 + rows, x, c)
            C-contiguous, uint8 or uint16.

        Raises
        ------
        Damage
        """
        from imagecodecs import PngError, png_decode

        rows = len(out) - 1
        try:
            png_decode(self._small_png(rows), out=out[:, :, 0] if out.shape[2] == 1 else out)
        except PngError as error:
            raise Damage(str(error)) from error
        self._above = (out[-1].astype(">u2") if out.itemsize == 2 else out[-1]).tobytes()
        self.row += rows
        if self.row == self._header.height:
            self._finish()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _small_png(self, rows: int) -> bytearray:
        """Return a PNG of the row above and the next ``rows``, still filtered, in stored blocks."""
        from isal.isal_zlib import adler32, crc32

        header = self._header
        size = struct.pack(">II", header.width, rows + 1)
        ihdr = b"IHDR" + size + bytes((header.bits, _COLOR[header.bands], 0, 0, 0))
        png = bytearray(b"\x89PNG\r\n\x1a\n\0\0\0\r" + ihdr + struct.pack(">I", crc32(ihdr)))
        start = len(png)
        png += b"\0\0\0\0IDAT\x78\x01"  # the length comes last
        adler = 1
        for piece in self._pieces(rows):
            png += struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF)
            png += piece
            adler = adler32(piece, adler)
        png += b"\x01\0\0\xff\xff" + struct.pack(">I", adler)  # an empty block ends it
        struct.pack_into(">I", png, start, len(png) - start - 8)
        with memoryview(png) as view:
            crc = crc32(view[start + 4 :])
        png += struct.pack(">I", crc) + _TAIL
        return png

    def _pieces(self, rows: int) -> Iterator[bytes]:
        """Yield the bytes of the row above, which has no filter, and the filtered bytes of the next ``rows``."""
        above = b"\0" + self._above
        for at in range(0, len(above), STORED_MOST):
            yield above[at : at + STORED_MOST]
        rest = rows * (1 + self._row_bytes)
        try:
            while rest:
                piece = self._inflate(min(rest, STORED_MOST))
                if not piece:
                    raise Damage("the compressed data ends there")
                rest -= len(piece)
                yield piece
        except Damage:  # count the rows before it
            self.row += rows - -(-rest // (1 + self._row_bytes))
            raise

    def _inflate(self, most: int) -> bytes:
        """Return up to ``most`` more bytes; none at the end of the data, where the Adler-32 has been checked."""
        inflater = self._inflater
        while not inflater.eof:
            packed = b""
            if inflater.needs_input and not (packed := next(self._deflated, b"")):
                raise Damage("the data ends there")
            try:
                piece = inflater.decompress(packed, most)
            except stream_errors() as error:
                raise Damage(f"cannot be inflated: {error}") from error
            if piece:
                return piece
        return b""

    def _finish(self) -> None:
        """Read to the end of the data, where the checksums are.

        libpng takes more data after the last row, and so does this; the Adler-32 of all data is then not checked.
        """
        self.longer = bool(self._inflate(STORED_MOST))
        for _ in self._deflated:
            pass


def _idat(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of the IDAT chunks from where ``file`` stands; the last bytes of each follow its CRC check."""
    from isal.isal_zlib import crc32

    name_crc = crc32(b"IDAT")
    while len(start := file.read(8)) == 8 and start[4:] == b"IDAT":
        rest, crc, part = int.from_bytes(start[:4]), name_crc, b""
        while rest:
            if part:
                yield part
            part = file.read(min(rest, PORTION_BYTES))
            if not part:
                raise Damage("the file ends there")
            crc = crc32(part, crc)
            rest -= len(part)
        if file.read(4) != crc.to_bytes(4):
            raise Damage("a checksum is wrong")
        if part:
            yield part
