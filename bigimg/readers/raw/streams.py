"""Decompressed streams of an open file: gzip, zlib or bzip2 from its current position on.

``isal`` decompresses two to three times as fast as zlib. It has no file object for a bare zlib stream, so this module
has one. Each stream compares its checksum at the end, and raises if the file ends before the stream does.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Literal, Protocol, cast

type Packing = Literal["gzip", "zlib", "bzip2"]

PORTION_BYTES = 256 << 10
"""Bytes that a zlib stream reads at once, and decompresses at once."""


class UnpackedStream(Protocol):
    """A stream that is read forwards, once."""

    def readinto(self, view: memoryview, /) -> int:
        """Fill the start of ``view`` and return the number of bytes; 0 at the end."""

    def close(self) -> None:
        """Free the buffers; the file stays open."""


class ZlibStream:
    """The decompressed bytes of a zlib or gzip stream in ``file``, from its current position on."""

    def __init__(self, file: BinaryIO) -> None:
        from isal import isal_zlib

        self._file = file
        self._inflater = isal_zlib.decompressobj(47)  # either kind of header
        self._rest = b""
        self._buffered = False

    def readinto(self, view: memoryview, /) -> int:
        """Fill the start of ``view`` and return the number of bytes; 0 after the end, if the checksum is right."""
        while not self._inflater.eof:
            # isal buffers input: it may return more bytes although it is given no input.
            packed = self._rest or (b"" if self._buffered else self._file.read(PORTION_BYTES))
            ended = not packed and not self._buffered
            got = self._inflater.decompress(packed, min(len(view), PORTION_BYTES))
            self._rest = self._inflater.unconsumed_tail
            self._buffered = bool(got)
            if got:
                view[: len(got)] = got
                return len(got)
            if ended and not self._inflater.eof:
                raise EOFError("no end marker")
        return 0

    def close(self) -> None:
        """Drop the bytes that were read ahead."""
        self._rest = b""


def unpacked(file: BinaryIO, packing: Packing) -> UnpackedStream:
    """Return the decompressed bytes of ``file`` from its current position on."""
    if packing == "gzip":
        from isal import igzip

        return cast(UnpackedStream, igzip.IGzipFile(fileobj=file, mode="rb"))
    if packing == "bzip2":
        import bz2

        return cast(UnpackedStream, bz2.BZ2File(file))
    return ZlibStream(file)


def stream_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a truncated or corrupt stream raises."""
    from isal import igzip_lib

    corrupt: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]  # its stub says an instance
    return EOFError, OSError, corrupt, zlib.error
