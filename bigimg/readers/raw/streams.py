"""Streams of unpacked bytes out of an open file: gzip, zlib or bzip2 from where the file stands.

``isal`` inflates two to three times as fast as zlib; a bare zlib stream has no file object there, so that one is
made here. Each stream checks its checksum at the end and raises where it ends early.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Literal, Protocol, cast

type Packing = Literal["gzip", "zlib", "bzip2"]

PORTION_BYTES = 256 << 10
"""What a zlib stream reads and inflates at once."""


class UnpackedStream(Protocol):
    """What is read forwards, once."""

    def readinto(self, view: memoryview, /) -> int:
        """Fill the start of ``view`` and return how many bytes; 0 at the end."""

    def close(self) -> None:
        """Let go of buffers; the file below stays open."""


class ZlibStream:
    """The bytes of a zlib or gzip stream in ``file``, from where it stands."""

    def __init__(self, file: BinaryIO) -> None:
        from isal import isal_zlib

        self._file = file
        self._inflater = isal_zlib.decompressobj(47)  # either kind of header
        self._rest = b""
        self._held = False

    def readinto(self, view: memoryview, /) -> int:
        """Fill the start of ``view`` and return how many bytes; 0 after the end, whose checksum then is right."""
        while not self._inflater.eof:
            # isal keeps input of its own: what it was not asked for may come out of no input at all.
            packed = self._rest or (b"" if self._held else self._file.read(PORTION_BYTES))
            ended = not packed and not self._held
            got = self._inflater.decompress(packed, min(len(view), PORTION_BYTES))
            self._rest = self._inflater.unconsumed_tail
            self._held = bool(got)
            if got:
                view[: len(got)] = got
                return len(got)
            if ended and not self._inflater.eof:
                raise EOFError("no end marker")
        return 0

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._rest = b""


def unpacked(file: BinaryIO, packing: Packing) -> UnpackedStream:
    """Return the bytes that ``file`` holds packed from where it stands."""
    if packing == "gzip":
        from isal import igzip

        return cast(UnpackedStream, igzip.IGzipFile(fileobj=file, mode="rb"))
    if packing == "bzip2":
        import bz2

        return cast(UnpackedStream, bz2.BZ2File(file))
    return ZlibStream(file)


def stream_errors() -> tuple[type[Exception], ...]:
    """Return what reading a truncated or corrupt stream raises."""
    from isal import igzip_lib

    corrupt: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]  # its stub says an instance
    return EOFError, OSError, corrupt, zlib.error
