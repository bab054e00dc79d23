"""Compressed bytes of others, decompressed to no more bytes than their metadata allows.

A few bytes may say that they are gigabytes. So each decoder is told how many bytes there may be at most, before it
allocates them, and bytes that would be more are an error.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bigimg.types import Array, Json

UNDECODABLE = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, OSError, MemoryError,
               zlib.error, lzma.LZMAError, struct.error)  # fmt: skip
"""What decoders raise for bytes that are not what the metadata says."""
LZMA_BYTES = 256 << 20
"""Memory of a decoder of LZMA; the largest preset needs 65 MB, and the data may ask for gigabytes."""


def decompressed(name: str, data: bytes, most: int) -> bytes | Array:
    """Return what ``data`` holds, compressed by the codec ``name`` of :data:`COMPRESSORS`.

    Parameters
    ----------
    most : int
        Bytes that it may hold.

    Raises
    ------
    ValueError and others of :data:`UNDECODABLE`
        It holds more, or is damaged.
    """
    found = COMPRESSORS[name](data, most)
    if len(found) > most:
        raise ValueError(f"it decodes to more than the {most} bytes of a chunk")
    return found


def _room(size: int, most: int) -> Array:
    """Return memory for the ``size`` bytes that a header names."""
    if not 0 <= size <= most:
        raise ValueError(f"it decodes to {size} bytes, more than the {most} of a chunk")
    return np.empty(size, np.uint8)


def _imagecodecs() -> Any:
    import imagecodecs  # takes 40 ms, which only the use of pixels should cost

    return imagecodecs


def _blosc(data: bytes, most: int) -> Array:
    size, _, packed = struct.unpack_from("<3i", data, 4)
    if packed > len(data):
        raise ValueError(f"{len(data)} bytes of {packed}")
    out: Array = _imagecodecs().blosc_decode(data, out=_room(size, most), numthreads=1)
    return out


def _lz4(data: bytes, most: int) -> Array:
    (size,) = struct.unpack_from("<i", data)
    out: Array = _imagecodecs().lz4_decode(data[4:], out=_room(size, most))
    return out


def _zstd(data: bytes, most: int) -> Array:
    out: Array = _imagecodecs().zstd_decode(data, out=np.empty(most, np.uint8))
    return out


def _gzip(data: bytes, most: int) -> bytes:
    from isal import igzip

    try:
        with igzip.IGzipFile(fileobj=io.BytesIO(data)) as file:
            found: bytes = file.read(most + 1)
            return found
    except Exception as error:  # isal's are of no kind but their own
        raise ValueError(str(error)) from error


def _stream(make: Callable[[], Any]) -> Callable[[bytes, int], bytes]:
    """Return the decoder that a decompressor of the standard library's kind is."""

    def decode(data: bytes, most: int) -> bytes:
        stream = make()
        found: bytes = stream.decompress(data, most + 1)
        if not stream.eof and len(found) <= most:
            raise EOFError("it ends early")
        return found

    return decode


def _crc32c(data: bytes, most: int) -> bytes:
    import google_crc32c

    if len(data) < 4 or struct.unpack("<I", data[-4:])[0] != google_crc32c.value(data[:-4]):
        raise ValueError("the checksum is wrong")
    return data[:-4]


COMPRESSORS: dict[str, Callable[[bytes, int], bytes | Array]] = {
    "blosc": _blosc,
    "lz4": _lz4,
    "zstd": _zstd,
    "gzip": _gzip,
    "zlib": _stream(zlib.decompressobj),
    "bz2": _stream(bz2.BZ2Decompressor),
    "lzma": _stream(lambda: lzma.LZMADecompressor(memlimit=LZMA_BYTES)),
    "crc32c": _crc32c,
}
"""By the names that zarr gives them, each takes bytes and how many they may become."""
FILTERS = (
    "delta",
    "fixedscaleoffset",
    "quantize",
    "bitround",
    "astype",
    "shuffle",
    "crc32",
    "adler32",
    "fletcher32",
)
"""Codecs of numcodecs that change values or check them; none makes more than eight bytes of a byte."""


def unfiltered(config: Mapping[str, Json], data: Any) -> Array:
    """Return ``data`` before the filter of numcodecs that ``config`` describes."""
    import numcodecs

    return np.ascontiguousarray(numcodecs.get_codec(dict(config)).decode(data)).reshape(-1).view(np.uint8)
