"""Any region of C-order pixels behind gzip, zlib or bzip2, read in one ordered pass.

The sister of :class:`bigimg.readers.raw.plain.RawFile`: the same regions, but the stream only goes forwards.
What only this module knows is where the stream stands. Going back starts it again, warned of once; reading
the last pixel also reads to the end of the stream, so that a full pass has checked the length and CRC.

``isal.igzip`` inflates at 1.0 GB/s in under 1 MB; its threaded reader was no faster and takes 11 MB more.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.region import shape_of
from bigimg.reader import Access
from bigimg.readers.failures import reading
from bigimg.readers.raw.plain import READ_BYTES, Pixels, RawFile, as_native, gather, is_wide
from bigimg.readers.raw.streams import Packing, UnpackedStream, stream_errors, unpacked
from bigimg.types import Array, DType, Region, Shape

if TYPE_CHECKING:
    from gzip import GzipFile

SKIP_BYTES = 256 << 10
"""Bytes inflated at once on the way to a region."""

STREAM_BYTES = 1 << 20
"""Memory an open stream holds: tables and buffers of igzip, in bytes, rounded up from 0.7 MB measured."""

MOST_INFLATION = {"gzip": 1032, "zlib": 1032, "bzip2": 2_000_000}
"""What one byte unpacks to at most; a file that would need more is shorter than its header says. Deflate cannot do
better; bzip2 makes 1.4 million zeros of one byte."""


class RawGzip:
    """C-order numbers in a compressed file, from byte ``offset`` of the inflated stream on.

    Reads from many threads wait for one another.

    Parameters
    ----------
    path : str or path-like
    offset : int
        Inflated byte of the first pixel.
    shape : tuple of int
        Pixels along each axis, slowest first.
    dtype : dtype
        As stored, byte order included.
    start : int
        Byte of the file where the stream begins.
    packing : {"gzip", "zlib", "bzip2"}

    Raises
    ------
    InputError
        The file is too short for ``offset`` and ``shape``, however well it is compressed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        offset: int,
        shape: Shape,
        dtype: DType,
        start: int = 0,
        packing: Packing = "gzip",
    ) -> None:
        self.path = os.fspath(path)
        self.start = start
        self.packing: Packing = packing
        self.offset = offset
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._end = offset + math.prod(shape) * self.dtype.itemsize
        self._file: BinaryIO | None = None
        self._stream: UnpackedStream | None = None
        self._position = 0
        self._warned = False
        self._lock = threading.Lock()
        size = _size(self.path)
        if offset < 0 or max(size - start, 0) * MOST_INFLATION[packing] < self._end:
            raise InputError(
                f"{self.path}: pixels should take bytes {offset} to {self._end} (shape {shape}, "
                f"{self.dtype}), but {size} bytes of {packing} cannot hold them; it is truncated, "
                "or its header is wrong"
            )

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, C-contiguous and in native byte order.

        Raises
        ------
        InputError
            The stream is truncated or corrupt.

        Warns
        -----
        UserWarning
            The first time that ``region`` lies before what was read last.
        """
        result = np.empty(shape_of(region), self.dtype)
        with self._lock:
            gather(result, region, self.shape, self._inflate)
            if self._position == self._end:
                self._finish()
        return as_native(result)

    def close(self) -> None:
        """Let go of the file; a later read starts it again."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        if hasattr(self, "_stream"):  # not when __init__ failed early
            self._close()

    def __reduce__(self) -> tuple[object, ...]:
        return (_open_gzip, (self.path, self.offset, self.shape, self.dtype, self.start, self.packing))

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

    def _stream_before(self, byte: int) -> UnpackedStream:
        if self._stream is not None and self._position <= byte:
            return self._stream
        if self._position > byte and not self._warned:
            self._warned = True  # first, since a warning may be an error
            warnings.warn(
                f"{self.path}: is read backwards, which inflates it again from its start; "
                "bigimg.convert makes a store that is read in any order",
                UserWarning,
                stacklevel=7,
            )
        self._close()
        _size(self.path)  # says kindly what is wrong when it cannot be opened
        self._file = open(self.path, "rb")  # noqa: SIM115  (_close does)
        self._file.seek(self.start)
        self._stream, self._position = unpacked(self._file, self.packing), 0
        return self._stream

    def _fill(self, stream: UnpackedStream, view: memoryview) -> None:
        done = 0
        while done < len(view):
            got = self._readinto(stream, view[done:])
            if not got:
                raise self._error("ends there")
            done += got

    def _finish(self) -> None:
        """Read on to the end, where igzip compares length and CRC."""
        if self._stream is None:
            return
        rest = memoryview(bytearray(SKIP_BYTES))
        while self._readinto(self._stream, rest):
            pass
        self._close()

    def _readinto(self, stream: UnpackedStream, view: memoryview) -> int:
        try:
            got = stream.readinto(view)
        except stream_errors() as error:
            raise self._error(str(error)) from error
        self._position += got
        return got

    def _error(self, why: str) -> InputError:
        at, self._position = self._position, 0
        self._close()
        return InputError(
            f"{self.path}: {self.packing} stream is truncated or corrupt after {at} of {self._end} bytes ({why}); "
            f"fetch the file again{', or check it with gzip -t' if self.packing == 'gzip' and not self.start else ''}"
        )


def open_gzip(path: str) -> GzipFile:
    """Return ``path`` as a stream of inflated bytes.

    Raises
    ------
    InputError
        It cannot be opened.
    """
    from isal import igzip

    _size(path)
    stream: GzipFile = igzip.open(path, "rb")
    return stream


def is_gzip(path: str) -> bool:
    """Return whether the file at ``path`` begins as gzip does.

    Raises
    ------
    InputNotFoundError, InputError
        It cannot be opened.
    """
    with reading(path), open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def read_start(path: str, size: int) -> bytes:
    """Return the first ``size`` bytes of the file at ``path``, inflated where it is gzip; fewer when it ends.

    Raises
    ------
    InputNotFoundError, InputError
        It cannot be opened, or is damaged there.
    """
    gzipped = is_gzip(path)
    try:
        with open_gzip(path) if gzipped else open(path, "rb") as file:
            return file.read(size)
    except stream_errors() as error:
        raise InputError(f"{path}: its header cannot be read ({error}); fetch the file again") from error


def open_pixels(
    path: str, *, offset: int, shape: Shape, dtype: DType, dims: tuple[str, ...]
) -> tuple[Pixels, Access]:
    """Return the pixels of a file that is plain or gzip as a whole, and how they can be had.

    Parameters
    ----------
    path : str
    offset : int
        Byte of the first pixel, inflated.
    shape, dims : tuple
        Pixels along each axis and their names, slowest first.
    dtype : dtype
        As stored, byte order included.

    Raises
    ------
    InputNotFoundError, InputError
        There is no such file, or it is too short.
    """
    native = dtype.newbyteorder("=")
    if is_gzip(path):
        access = Access("sequential", f"one gzip stream, {native}", dims, STREAM_BYTES, READ_BYTES)
        return RawGzip(path, offset=offset, shape=shape, dtype=dtype), access
    wide = is_wide(dims, shape[-1] * dtype.itemsize)
    access = Access("random", f"uncompressed, {native}", dims, read_bytes=READ_BYTES, wide=wide)
    return RawFile(path, offset=offset, shape=shape, dtype=dtype), access


def _size(path: str) -> int:
    with reading(path), open(path, "rb") as file:
        return file.seek(0, os.SEEK_END)


def _open_gzip(path: str, offset: int, shape: Shape, dtype: DType, start: int, packing: Packing) -> RawGzip:
    return RawGzip(path, offset=offset, shape=shape, dtype=dtype, start=start, packing=packing)
