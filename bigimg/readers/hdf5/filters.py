"""What HDF5 packs a chunk with, undone by imagecodecs: bounded, outside the lock of the HDF5 library, without plugins.

The library inflates without a limit, with one lock for the whole process, and has no LZ4, Blosc or Zstandard. Checksums
(fletcher32, those of deflate, LZ4 and Zstandard where a writer put them) are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bigimg.errors import InputError

type Filter = tuple[int, tuple[int, ...]]
"""Number and parameters of a filter."""

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


def _deflate(data: bytes, most: int, _: tuple[int, ...]) -> bytes:
    import imagecodecs

    return imagecodecs.deflate_decode(data, out=most)  # type: ignore[no-any-return]


def _shuffle(data: bytes, _: int, parameters: tuple[int, ...]) -> bytes:
    size = parameters[0]
    count = len(data) // size
    found = np.empty(len(data), np.uint8)
    whole = found[: count * size].reshape(count, size)
    for byte, plane in enumerate(np.frombuffer(data, np.uint8, count * size).reshape(size, count)):
        whole[:, byte] = plane
    found[count * size :] = np.frombuffer(data, np.uint8)[count * size :]
    return found.data


def _fletcher32(data: bytes, _: int, __: tuple[int, ...]) -> bytes:
    import imagecodecs

    content, checksum = data[:-4], data[-4:]
    if imagecodecs.h5checksum_fletcher32(content) != int.from_bytes(checksum, "little"):
        raise ValueError("its checksum is wrong")
    return content


def _lz4(data: bytes, most: int, _: tuple[int, ...]) -> bytes:
    import imagecodecs

    _check_said(int.from_bytes(data[:8], "big"), most)
    return imagecodecs.lz4h5_decode(data, out=most)  # type: ignore[no-any-return]


def _blosc(data: bytes, most: int, _: tuple[int, ...]) -> bytes:
    import imagecodecs

    _check_said(int.from_bytes(data[4:8], "little"), most)
    return imagecodecs.blosc_decode(data, numthreads=1, out=most)  # type: ignore[no-any-return]


def _zstd(data: bytes, most: int, _: tuple[int, ...]) -> bytes:
    import imagecodecs

    return imagecodecs.zstd_decode(data, out=most)  # type: ignore[no-any-return]


def _lzf(data: bytes, most: int, _: tuple[int, ...]) -> bytes:
    import imagecodecs

    return imagecodecs.lzf_decode(data, out=most)  # type: ignore[no-any-return]


def _bzip2(data: bytes, most: int, _: tuple[int, ...]) -> bytes:
    import imagecodecs

    return imagecodecs.bz2_decode(data, out=most)  # type: ignore[no-any-return]


def _check_said(said: int, most: int) -> None:
    """Refuse a chunk that says it is larger than its place before it is decoded."""
    if said > most:
        raise ValueError(f"it says {said} bytes where at most {most} are expected")


DECODERS: dict[int, Callable[[bytes, int, tuple[int, ...]], bytes]] = {
    1: _deflate, 2: _shuffle, 3: _fletcher32, 307: _bzip2, 32000: _lzf, 32001: _blosc, 32004: _lz4, 32015: _zstd,
}  # fmt: skip
