"""Decompressed streams of an open file: gzip, zlib, bzip2 or zstd from its current position on.

``isal`` decompresses two to three times as fast as zlib. It has no file object for a bare zlib stream, so this module
has one. Each stream compares its checksum at the end, and raises if the file ends before the stream does.
"""

from __future__ import annotations

import importlib
import io
import sys
import zlib
from collections.abc import Buffer
from contextlib import suppress
from typing import Any, BinaryIO, Literal, cast

from bigimg.errors import MissingExtraError

type Packing = Literal["gzip", "zlib", "bzip2", "zstd"]

MAGIC: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of a file that is compressed as a whole."""

PACKED = (".gz", ".bz2", ".zst")
"""Endings of the names of such files."""

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
    if packing == "zstd":
        return cast(io.BufferedIOBase, _zstd().ZstdFile(file))
    return ZlibStream(file)


def stream_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a truncated or corrupt stream raises."""
    from isal import igzip_lib

    corrupt: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]  # its stub says an instance
    return EOFError, OSError, corrupt, zlib.error, *_zstd_errors()


def _zstd() -> Any:
    """Return the module of Python 3.14 that reads zstd, or the same one as a package before."""
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return importlib.import_module(name)
    line = "pip install backports.zstd"
    raise MissingExtraError(
        f"zstd files are read by Python 3.14, or before by a package that is not installed: {line}"
    )


def _zstd_errors() -> tuple[type[Exception], ...]:
    """Return what a corrupt stream of zstd raises; nothing if none was read."""
    known = (sys.modules.get(name) for name in ("compression.zstd", "backports.zstd"))
    return tuple(module.ZstdError for module in known if module is not None)
