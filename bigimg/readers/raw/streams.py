"""Decompressed streams of an open file: gzip, zlib or bzip2 from its current position on.

``isal`` decompresses two to three times as fast as zlib. It has no file object for a bare zlib stream, so this module
has one. Each stream compares its checksum at the end, and raises if the file ends before the stream does.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Buffer
from typing import BinaryIO, Literal, cast

type Packing = Literal["gzip", "zlib", "bzip2"]

PORTION_BYTES = 256 << 10
"""Bytes that a zlib stream reads at once, and decompresses at once."""


class ZlibStream(io.BufferedIOBase):
    """The decompressed bytes of a zlib or gzip stream in ``file``, from its current position on."""

    def __init__(self, file: BinaryIO) -> None:
        from isal import isal_zlib

        self._file = file
        self._inflater = isal_zlib.decompressobj(47)  # either kind of header
        self._rest = b""
        self._buffered = False

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the start of ``buffer`` and return the number of bytes; 0 after the end, if the checksum is right."""
        view = memoryview(buffer)
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


def unpacked(file: BinaryIO, packing: Packing) -> io.BufferedIOBase:
    """Return the decompressed bytes of ``file`` from its current position on."""
    if packing == "gzip":
        from isal import igzip

        return cast(io.BufferedIOBase, igzip.IGzipFile(fileobj=file, mode="rb"))
    if packing == "bzip2":
        import bz2

        return cast(io.BufferedIOBase, bz2.BZ2File(file))
    return ZlibStream(file)


def stream_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a truncated or corrupt stream raises."""
    from isal import igzip_lib

    corrupt: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]  # its stub says an instance
    return EOFError, OSError, corrupt, zlib.error
