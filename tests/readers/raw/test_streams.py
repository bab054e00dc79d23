"""Packed streams against the standard library: any portion sizes, cut, flipped and with something behind."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.readers.raw.streams import Packing, stream_errors, unpacked

PACK: dict[Packing, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
}


def drained(packed: bytes, packing: Packing, portion: int) -> bytes:
    stream = unpacked(io.BytesIO(packed), packing)
    found = bytearray()
    view = memoryview(bytearray(portion))
    while got := stream.readinto(view):
        found += view[:got]
    stream.close()
    return bytes(found)


@settings(max_examples=60)
@given(
    size=st.sampled_from([0, 1, 1000, 700_001]),
    portion=st.sampled_from([1_000, 4_096, 65_537, 1 << 20]),
    noise=st.booleans(),
    packing=st.sampled_from(list(PACK)),
)
def test_what_was_packed_comes_out(size: int, portion: int, noise: bool, packing: Packing) -> None:
    content = np.random.default_rng(0).integers(0, 256 if noise else 2, size, np.uint8).tobytes()
    assert drained(PACK[packing](content), packing, portion) == content


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("kept", [-1, -4, -9, 3000])
def test_a_cut_stream_raises(packing: Packing, kept: int) -> None:
    content = np.random.default_rng(0).integers(0, 40, 50_000, np.uint8).tobytes()
    with pytest.raises(stream_errors()):
        drained(PACK[packing](content)[:kept], packing, 10_000)


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("at", [0.2, 0.6, 0.99])
def test_a_flipped_byte_raises(packing: Packing, at: float) -> None:
    packed = bytearray(PACK[packing](np.random.default_rng(0).integers(0, 40, 50_000, np.uint8).tobytes()))
    packed[int(at * len(packed))] ^= 0xFF
    with pytest.raises(stream_errors()):
        drained(bytes(packed), packing, 10_000)


def test_a_bare_stream_may_be_gzip_too() -> None:
    assert drained(gzip.compress(b"pixels"), "zlib", 100) == b"pixels"
