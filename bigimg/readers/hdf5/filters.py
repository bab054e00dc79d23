"""What HDF5 packs a chunk with, undone by imagecodecs: bounded, outside the lock of the HDF5 library, without plugins.

The library inflates without a limit, with one lock for the whole process, and has no LZ4, Blosc or Zstandard. Checksums
(fletcher32, those of deflate, LZ4 and Zstandard where a writer put them) are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from bigimg.errors import InputError

type Filter = tuple[int, tuple[int, ...]]
"""Number and parameters of a filter."""
type Decoder = Callable[[bytes, int, tuple[int, ...]], bytes]
"""Takes the bytes, how many it may make of them, and the parameters."""

SLACK_BYTES = 1 << 10
"""What a chunk may be longer than its pixels: checksums, heads of blocks."""

NAMES = {
    1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 307: "bzip2", 32000: "lzf",
    32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32017: "sz", 32026: "blosc2",
}  # fmt: skip

BY_LIBRARY = {4, 5, 6}
"""Filters that are parts of the HDF5 library, and left to it."""


def check_filters(source: str, filters: Sequence[Filter]) -> None:
    """Check that all ``filters`` are read.

    Raises
    ------
    InputError
        One is not; the message names it.
    """
    for number, _ in filters:
        if number not in DECODERS and number not in BY_LIBRARY:
            name = NAMES.get(number, "unknown")
            what = f"its pixels are packed by the filter {name} ({number}) of HDF5, which is not read"
            remedy = "unpack them with h5repack -f NONE, which needs the plugin of that filter (pip install hdf5plugin)"
            raise InputError(f"{source}: {what}; {remedy}")


def most_packed(nbytes: int) -> int:
    """Return the most bytes that a chunk of ``nbytes`` takes in a file: no filter adds more than some per cent."""
    return nbytes + nbytes // 8 + SLACK_BYTES


def unpack(packed: bytes, filters: Sequence[Filter], skipped: int, nbytes: int) -> bytes:
    """Return the ``nbytes`` of a chunk.

    Parameters
    ----------
    packed : bytes
    filters : sequence of Filter
        In the order in which they packed it.
    skipped : int
        Bit i is set where filter i was left out of this chunk.
    nbytes : int
        Of the pixels.

    Raises
    ------
    Exception
        Of imagecodecs, or a ValueError: it is damaged, or holds more or fewer bytes.
    """
    for i in reversed(range(len(filters))):
        if not skipped >> i & 1:
            number, parameters = filters[i]
            packed = DECODERS[number](packed, nbytes + 4 * len(filters), parameters)
    if len(packed) != nbytes:
        raise ValueError(f"{len(packed)} bytes where {nbytes} are expected")
    return packed


def _by(codec: str, **options: Any) -> Decoder:
    """Return the decoder ``codec`` of imagecodecs, which makes no more than it may."""

    def decode(data: bytes, most: int, _: tuple[int, ...]) -> bytes:
        import imagecodecs

        found: bytes = getattr(imagecodecs, f"{codec}_decode")(data, out=most, **options)
        return found

    return decode


def _shuffle(data: bytes, _: int, parameters: tuple[int, ...]) -> bytes:
    size = parameters[0]
    count = len(data) // size
    found = np.empty(len(data), np.uint8)
    whole = found[: count * size].reshape(count, size)
    for byte, plane in enumerate(np.frombuffer(data, np.uint8, count * size).reshape(size, count)):
        whole[:, byte] = plane
    found[count * size :] = np.frombuffer(data, np.uint8)[count * size :]
    return found.tobytes()


def _fletcher32(data: bytes, _: int, __: tuple[int, ...]) -> bytes:
    import imagecodecs

    content, checksum = data[:-4], data[-4:]
    if imagecodecs.h5checksum_fletcher32(content) != int.from_bytes(checksum, "little"):
        raise ValueError("its checksum is wrong")
    return content


def _said_at(said: slice, order: Literal["little", "big"], decode: Decoder) -> Decoder:
    """Return ``decode``, for what says in its first bytes how large it will be: not larger than its place."""

    def checked(data: bytes, most: int, parameters: tuple[int, ...]) -> bytes:
        if (size := int.from_bytes(data[said], order)) > most:
            raise ValueError(f"it says {size} bytes where at most {most} are expected")
        return decode(data, most, parameters)

    return checked


DECODERS: dict[int, Decoder] = {
    1: _by("deflate"), 2: _shuffle, 3: _fletcher32, 307: _by("bz2"), 32000: _by("lzf"),
    32001: _said_at(slice(4, 8), "little", _by("blosc", numthreads=1)),
    32004: _said_at(slice(8), "big", _by("lz4h5")), 32015: _by("zstd"),
}  # fmt: skip
