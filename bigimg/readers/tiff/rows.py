"""Rows of large compressed strips, from the top of a page to its bottom, with the memory of a few rows.

Deflate and zstd are streams. LZW and PackBits are decoded in pieces that end where a decoder may begin: LZW where its
table is cleared, which it is every few thousand codes, PackBits between two packets. Where a table is cleared follows
from the codes alone: how many bits a code has depends only on its number since then.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol, cast

import numpy as np

from bigimg.errors import InputError, one_line, warn
from bigimg.readers.raw.plain import RawFile
from bigimg.readers.raw.streams import stream_errors, unpacked
from bigimg.types import Array

BAND_BYTES = 1 << 20
"""Bytes of rows that are decoded at once."""
PORTION_BYTES = 64 << 10
"""Coded bytes that are read at once."""
CODER_BYTES = 24 << 20
"""What a decoder holds: the pixels of an LZW table, which are 8 MB at most, or all of zstd but its window."""
ZSTD = frozenset({50000, 34926})
"""Compression tags of zstd."""
ZSTD_HEAD, MOST_WINDOW = 18, 128 << 20
"""Bytes of the longest header of a frame, and of the largest window that its decoder takes."""

CLEAR, END, FIRST = 256, 257, 9
"""Codes of LZW, and the bits of the first."""
WIDER = np.array([254, 766, 1790])
"""Numbers of the codes, since the table was cleared, from which on they have 10, 11 and 12 bits."""
MOST_CODES = 3840
"""Codes that are looked at together: writers clear the table after 3837."""

MOST_TABLE = 128 << 10
"""Coded bytes without a code that clears the table, which has room for 6 KB of them."""


class Strips(Protocol):
    """What is needed of the segments of a series; see :class:`bigimg.readers.tiff.segments.Segments`."""

    scheme: Any

    def coded(self, page: int, number: int) -> Any:
        """Return the decoded bytes of a strip as a file."""

    def error(self, page: int, number: int, what: str, *why: str) -> InputError:
        """Return the error of a damaged strip."""

    def path_of(self, page: int) -> str:
        """Return the file that holds a page."""


class InOrder:
    """The rows of pages of strips, decoded in order; the band that was decoded last stays in memory.

    Parameters
    ----------
    segments : Strips
        Strips of the codecs in :data:`STREAMED`, with a ``predictor``.
    """

    def __init__(self, segments: Strips) -> None:
        self._segments, scheme = segments, segments.scheme
        self.rows = min(max(1, BAND_BYTES // scheme.row_bytes), scheme.shape[2])
        """Rows of a band."""
        self._bands = -(-scheme.shape[2] // self.rows)
        self._lock = threading.Lock()
        self._warned = False
        self.forget()

    def forget(self) -> None:
        """Drop the decoder and the last band, after a read that is under way."""
        with self._lock:
            self._last: tuple[int, Array] | None = None
            self._next = -1  # number of the band that follows, counted through all pages
            self._bytes: Iterator[Any] = iter(())

    def read(self, page: int, rows: slice, put: Callable[[slice, Array], None]) -> None:
        """Decode rows of a page, band by band.

        Parameters
        ----------
        page : int
        rows : slice
        put : callable
            Takes which of ``rows`` a band is, from 0, and its pixels, of shape (rows, columns, samples). It copies
            them: all bands together would be the page once more.

        Raises
        ------
        InputError
            The page is cut or damaged within or above the rows.
        """
        with self._lock:
            first, last = rows.start // self.rows, (rows.stop - 1) // self.rows
            for band in range(first, last + 1):
                top = band * self.rows
                pixels = self._band(page, band)[max(rows.start - top, 0) : rows.stop - top]
                start = max(top - rows.start, 0)
                put(slice(start, start + len(pixels)), pixels)

    def _band(self, page: int, band: int) -> Array:
        number = page * self._bands + band
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        if self._next < 0 or number < self._next or number - band >= self._next:
            if band and number < self._next and not self._warned:
                self._warned = True
                what = f"rows from {band * self.rows} on are read again, so decoding starts again at the top"
                path = self._segments.path_of(page)
                warn(f"{path}: {what}; for repeated access convert it first (bigimg convert)")
            self._last, self._next = None, number - band
            self._bytes = self._filled(page)
        ahead = range(self._next, number + 1)
        self._last, self._next = None, -1  # after an error, decoding starts again at the top
        for _ in ahead:
            pixels = cast(Array, next(self._bytes))
        self._last, self._next = (number, pixels), number + 1
        return pixels

    def _filled(self, page: int) -> Iterator[Array]:
        """Yield the bands of a page."""
        scheme = self._segments.scheme
        height, row_bytes, top = scheme.shape[2], scheme.row_bytes, 0
        strip, coded = -1, None
        while top < height:
            rows = min(self.rows, height - top)
            band, at = np.empty(rows * row_bytes, np.uint8), 0
            while at < band.size:
                row = top + at // row_bytes
                if strip != row // scheme.chunk[1]:
                    strip = row // scheme.chunk[1]
                    coded = self._segments.coded(page, strip)
                below = min((strip + 1) * scheme.chunk[1], height)
                stop = min(top + rows, below)
                part = memoryview(band)[at : (stop - top) * row_bytes]
                self._fill(coded, part, page, strip, row, last=stop == below)
                at += len(part)
            yield self._unpredicted(band.view(scheme.dtype).reshape(rows, scheme.chunk[2], scheme.shape[4]))
            top += rows

    def _fill(self, coded: Any, view: memoryview, page: int, strip: int, row: int, *, last: bool) -> None:
        done = 0
        broken: tuple[type[Exception], ...] = (OSError, EOFError, RuntimeError, ValueError, *stream_errors())
        try:
            while done < len(view):
                got = coded.readinto(view[done:])
                if not got:
                    raise EOFError("the data end there")
                done += got
            if last:
                rest = (
                    coded.readinto(bytearray(PORTION_BYTES)) for _ in range(BAND_BYTES // PORTION_BYTES + 1)
                )
                next((None for got in rest if not got), None)  # at the end a checksum is compared
        except broken as error:
            first = min(row + done // self._segments.scheme.row_bytes, self._segments.scheme.shape[2] - 1)
            what = f"cannot be decoded from row {first} of {self._segments.scheme.shape[2]} on"
            raise self._segments.error(page, strip, f"{what} ({one_line(error)})") from error

    def _unpredicted(self, pixels: Array) -> Array:
        from imagecodecs import delta_decode, floatpred_decode

        scheme = self._segments.scheme
        if scheme.predictor == 3:  # its bytes are in an order of their own
            native = pixels.view(scheme.dtype.newbyteorder("="))
            found: Array = floatpred_decode(native.copy(), axis=-2, out=native)
            return found
        native = pixels.astype(scheme.dtype.newbyteorder("="), copy=False)
        return native if scheme.predictor == 1 else delta_decode(native, axis=-2, out=native)


class Coded(io.RawIOBase):
    """The bytes of a segment as a file."""

    def __init__(self, file: RawFile, start: int, size: int) -> None:
        self._file, self._at, self._end = file, start, start + size

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the start of ``buffer`` and return the number of bytes; 0 at the end."""
        view = memoryview(buffer)
        size = min(len(view), PORTION_BYTES, self._end - self._at)
        if size > 0:
            view[:size] = self._file.read((slice(self._at, self._at + size),)).data
            self._at += size
        return max(size, 0)


class _Pieces(io.RawIOBase):
    """Decoded pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readinto(self, buffer: Any, /) -> int:
        """Fill the start of ``buffer`` and return the number of bytes; 0 at the end."""
        view = memoryview(buffer)
        while not self._rest:
            if (piece := next(self._pieces, None)) is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def packbits(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes that PackBits codes, in pieces of at most 4 MB."""
    from imagecodecs import packbits_decode

    data = b""
    while more := file.read(PORTION_BYTES):
        data += more
        at, size = 0, len(data)
        while at < size:
            head = data[at]
            step = head + 2 if head < 128 else 1 if head == 128 else 2
            if at + step > size:
                break
            at += step
        yield bytes(packbits_decode(data[:at]))
        data = data[at:]


def lzw(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes that LZW codes, in pieces of one table or several."""
    from imagecodecs import lzw_decode

    data, start, ended = b"", FIRST, False  # ``start``: the bit behind a code CLEAR
    wanted = PORTION_BYTES  # bytes of a piece, coded; few where they stand for many
    while not ended:
        more = file.read(PORTION_BYTES)
        data += more
        bits = np.frombuffer(data + b"\0\0\0", np.uint8).astype(np.uint32)
        while not ended:
            stop = behind = start
            while (found := _next_stop(bits, behind, 8 * len(data))) is not None:
                stop, behind, ended = found
                if ended or stop - start >= 8 * wanted:
                    break
            if found is None and more:
                if len(data) - behind // 8 > MOST_TABLE:  # each portion is looked at again with the next
                    raise ValueError(f"no code clears its table within {MOST_TABLE} bytes")
                break
            if found is None:  # there is no code at the end
                stop, ended = 8 * len(data), True
            piece = _from_clear(data, start, stop)
            pixels = lzw_decode(piece)
            wanted = max(1, PORTION_BYTES * len(piece) // max(1, len(pixels)))
            yield bytes(pixels)
            start = behind
        unused = (start - FIRST) // 8
        data, start = data[unused:], start - 8 * unused


def zstd_window(head: bytes) -> int:
    """Return how many bytes the decoder of a frame of zstd keeps of what it decoded, by the header of the frame."""
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return 0  # its decoder refuses it
    how = head[4]
    if how & 0x20:  # one segment: all of the content is the window, and its size is written
        start, size = 5 + (0, 1, 2, 4)[how & 3], (1, 2, 4, 8)[how >> 6]
        window = int.from_bytes(head[start : start + size], "little") + (256 if size == 2 else 0)
    else:
        window = (1 << 10 + (head[5] >> 3)) // 8 * (8 + (head[5] & 7))
    return min(window, MOST_WINDOW)


def _next_stop(bits: Array, start: int, size: int) -> tuple[int, int, bool] | None:
    """Return the bit of the next code CLEAR or END, the bit behind it, and whether it is END; None if there is none.

    Parameters
    ----------
    bits : ndarray of uint32
        The bytes, and three more.
    start : int
        The bit behind the last CLEAR.
    size : int
        Bits that are there.
    """
    first = 0
    while start < size:
        width = 9 + np.searchsorted(WIDER, np.arange(first, first + MOST_CODES), "right")
        at = start + np.cumsum(width) - width
        inside = at + width <= size
        at, width = at[inside], width[inside]
        byte = at >> 3
        word = bits[byte] << 16 | bits[byte + 1] << 8 | bits[byte + 2]
        codes = word >> (24 - (at & 7) - width) & ((1 << width) - 1)
        for i in np.flatnonzero((codes == CLEAR) | (codes == END))[:1].tolist():
            return int(at[i]), int(at[i] + width[i]), bool(codes[i] == END)
        if len(at) < MOST_CODES:
            return None
        start, first = int(at[-1] + width[-1]), first + MOST_CODES
    return None


def _from_clear(data: bytes, start: int, stop: int) -> bytes:
    """Return the bits from ``start`` to ``stop`` behind a code CLEAR of 9 bits, as at the begin of a strip."""
    begin = start - FIRST
    part = np.frombuffer(data[begin // 8 : -(-stop // 8)] + b"\0", np.uint8).astype(np.uint16)
    found = ((part[:-1] << 8 | part[1:]) >> (8 - begin % 8)).astype(np.uint8)
    found[:2] = found[:2] & (0, 127) | (128, 0)
    return found.tobytes()


def _stream(packing: Any) -> Callable[[BinaryIO], Any]:
    return lambda file: unpacked(file, packing)


STREAMED: dict[int, Callable[[BinaryIO], Any]] = {
    8: _stream("zlib"), 32946: _stream("zlib"), **dict.fromkeys(ZSTD, _stream("zstd")),
    5: lambda file: _Pieces(lzw(file)), 32773: lambda file: _Pieces(packbits(file)),
}  # fmt: skip
"""Compression tag to what makes a file of decoded bytes of one of coded bytes."""
