"""Any region of C-order pixels in a gzip, zlib, bzip2 or zstd stream, read in one ordered pass.

:class:`RawGzip` reads the same regions as :class:`bigimg.readers.raw.plain.RawFile`, but the stream only goes forwards.
A region before the last one starts it again and warns once. Reading the last pixel also reads to the end of the
stream, so that a full pass checks the length and CRC.

``isal.igzip`` inflates at 1.0 GB/s in under 1 MB; its threaded reader was no faster and takes 11 MB more.
"""

from __future__ import annotations

import io
import os
import threading
from functools import partial
from typing import BinaryIO

import numpy as np

from bigimg.errors import InputError, reading, warn
from bigimg.reader import Access
from bigimg.readers.raw.plain import READ_BYTES, Opened, RawFile, RawPixels, Stored, is_wide, read_runs
from bigimg.readers.raw.streams import MAGIC, Packing, stream_errors, unpacked
from bigimg.types import Array, DType, Region, Shape

SKIP_BYTES = 256 << 10
"""Bytes inflated at once on the way to a region."""

MOST_REST = 64 << 20
"""Bytes that may follow the last pixel. They are read for the checksum alone; 20 GB of zeros in 20 MB took 25 s."""

STREAM_BYTES = {"gzip": 1 << 20, "zlib": 1 << 20, "bzip2": 8 << 20, "zstd": 160 << 20}
"""Memory an open stream holds: tables and buffers, rounded up from 0.7 MB of igzip and 3.6 MB of bzip2 (blocks of
900 kB), measured. zstd may look back 128 MiB (``--long`` and level 22); its decoder refuses more."""

MOST_INFLATION = {"gzip": 1032, "zlib": 1032, "bzip2": 2_000_000, "zstd": 50_000}
"""Bytes that one byte unpacks to at most; a file that needs more is shorter than its header says. 1032 is the limit of
deflate; bzip2 packs 1.4 million zeros into one byte, zstd a block of 128 KiB into four."""


class RawGzip(RawPixels):
    """Pixels in a compressed file; see :class:`~bigimg.readers.raw.plain.RawPixels`.

    Reads from many threads wait for one another. The first read of a region before the last one warns.

    Parameters
    ----------
    path : str
    offset : int
        Byte of the first pixel in the inflated stream.
    shape, dtype
        Of the pixels as stored.
    start : int
        Byte of the file where the stream begins.
    packing : {"gzip", "zlib", "bzip2", "zstd"}

    Raises
    ------
    InputError
        The file is too short for ``offset`` and ``shape``, however well it is compressed.
    """

    def __init__(
        self, path: str, *, offset: int, shape: Shape, dtype: DType, start: int = 0, packing: Packing = "gzip"
    ) -> None:
        super().__init__(path, offset=offset, shape=shape, dtype=dtype)
        self.start, self.packing = start, packing
        self._file: BinaryIO | None = None
        self._stream: io.BufferedIOBase | None = None
        self._position = 0
        self._warned = False
        self._lock = threading.Lock()
        with reading(self.path), open(self.path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
        most = max(size - start, 0) * MOST_INFLATION[packing]
        self._check_length(most, f"{size} bytes of {packing} cannot hold them")

    def read_into(self, result: Array, region: Region) -> None:
        """Fill ``result``, C-contiguous and of the dtype as stored, with the pixels of ``region``."""
        with self._lock:
            read_runs(result, region, self.shape, self._inflate)

    def close(self) -> None:
        """Let go of the file; a later read starts it again."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        if hasattr(self, "_stream"):  # not when __init__ failed early
            self._close()

    def __reduce__(self) -> tuple[object, ...]:
        where = partial(RawGzip, self.path, offset=self.offset, start=self.start, packing=self.packing)
        return partial(where, shape=self.shape, dtype=self.dtype), ()

    def _close(self) -> None:
        for part in (self._stream, self._file):
            if part is not None:
                part.close()
        self._stream = self._file = None

    def _inflate(self, flat: Array, first: int) -> None:
        """Fill ``flat`` with the pixels from number ``first`` on."""
        byte = self.offset + first * self.dtype.itemsize
        stream = self._stream_before(byte)
        if self._position < byte:
            skip = memoryview(bytearray(min(SKIP_BYTES, byte - self._position)))
            while self._position < byte:
                self._fill(stream, skip[: byte - self._position])
        self._fill(stream, memoryview(flat.view(np.uint8)))
        if self._position == self.end:  # igzip checks the length and CRC at the end of the stream
            rest = memoryview(bytearray(SKIP_BYTES))
            while self._readinto(stream, rest):
                if self._position > self.end + MOST_REST:
                    raise self._error(f"it goes on for more than {MOST_REST >> 20} MiB after the last pixel")
            self._close()

    def _stream_before(self, byte: int) -> io.BufferedIOBase:
        if self._stream is not None and self._position <= byte:
            return self._stream
        if self._position > byte and not self._warned:
            self._warned = True  # before the warning, which may be an error
            what = "is read backwards, which inflates it again from its start"
            remedy = "bigimg.convert makes a store that can be read in any order"
            warn(f"{self.path}: {what}; {remedy}")
        self._close()
        with reading(self.path):
            self._file = open(self.path, "rb")  # noqa: SIM115  (_close does)
            self._file.seek(self.start)
        self._stream, self._position = unpacked(self._file, self.packing), 0
        return self._stream

    def _fill(self, stream: io.BufferedIOBase, view: memoryview) -> None:
        done = 0
        while done < len(view):
            got = self._readinto(stream, view[done:])
            if not got:
                raise self._error("ends there")
            done += got

    def _readinto(self, stream: io.BufferedIOBase, view: memoryview) -> int:
        try:
            got = stream.readinto(view)
        except stream_errors() as error:
            raise self._error(str(error)) from error
        self._position += got
        return got

    def _error(self, why: str) -> InputError:
        at, self._position = self._position, 0
        self._close()
        more = ", or check it with gzip -t" if self.packing == "gzip" and not self.start else ""
        what = f"{self.packing} stream is truncated or corrupt after {at} of {self.end} bytes ({why})"
        return InputError(f"{self.path}: {what}; fetch the file again{more}")


def packing_of(path: str) -> Packing | None:
    """Return how the file at ``path`` is compressed, by its first bytes; None if it is not.

    Raises
    ------
    InputNotFoundError, InputError
        It cannot be opened.
    """
    with reading(path), open(path, "rb") as file:
        head = file.read(4)
    return next((packing for magic, packing in MAGIC.items() if head.startswith(magic)), None)


def read_bytes(path: str, size: int, offset: int = 0, *, what: str = "its header cannot be read") -> bytes:
    """Return ``size`` bytes of the file at ``path``, decompressed where it is compressed; fewer when it ends.

    Parameters
    ----------
    path : str
    size : int
    offset : int
        Byte of the first one, inflated.
    what : str
        What is wrong if this fails, for the message.

    Raises
    ------
    InputNotFoundError, InputError
        It cannot be opened, or is damaged before the last of these bytes.
    """
    packing = packing_of(path)
    with reading(path, stream_errors(), "fetch the file again", what=what), open(path, "rb") as raw:
        if packing is None:
            raw.seek(offset)
            return raw.read(size)
        with unpacked(raw, packing) as file:
            at = 0
            while at < offset:  # its own seek takes small steps
                got = len(file.read(min(SKIP_BYTES, offset - at)))
                if not got:
                    raise EOFError(f"the {packing} stream ends at byte {at}")
                at += got
            parts = bytearray()
            while len(parts) < size and (part := file.read(size - len(parts))):
                parts += part
            return bytes(parts)


def open_packed(path: str, offset: int, stored: Stored, start: int = 0, packing: Packing = "gzip") -> Opened:
    """Return the pixels of a :class:`RawGzip`, and how they can be read."""
    dims, shape, dtype = stored
    pixels = RawGzip(path, offset=offset, shape=shape, dtype=dtype, start=start, packing=packing)
    why = f"one {packing} stream, {dtype.newbyteorder('=')}"
    return pixels, Access("sequential", why, dims, STREAM_BYTES[packing], READ_BYTES)


def open_pixels(path: str, offset: int, stored: Stored) -> Opened:
    """Return the pixels of a file that is plain or compressed as a whole, and how they can be read.

    Parameters
    ----------
    path : str
    offset : int
        Byte of the first pixel, inflated.
    stored : Stored

    Raises
    ------
    InputNotFoundError, InputError
        There is no such file, or it is too short.
    """
    if packing := packing_of(path):
        return open_packed(path, offset, stored, packing=packing)
    return RawFile(path, offset=offset, shape=stored.shape, dtype=stored.dtype), plain_access(stored)


def plain_access(stored: Stored) -> Access:
    """Return how pixels are read that are not compressed."""
    dims, shape, dtype = stored
    wide = is_wide(dims, shape[-1] * dtype.itemsize)
    return Access(
        "random", f"uncompressed, {dtype.newbyteorder('=')}", dims, read_bytes=READ_BYTES, wide=wide
    )
