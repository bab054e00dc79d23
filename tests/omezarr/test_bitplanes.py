"""Thin parts of chunks, against numpy's slices of what was encoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.omezarr.bitplanes import thin_part
from bigimg.omezarr.codecs import CODECS
from bigimg.types import Array, CodecName, Region, Shape

DTYPES = [
    "bool",
    "uint8",
    "int16",
    "uint16",
    "uint32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex128",
]
SHAPES = [
    (64, 64, 64),  # blocks of half of it for 16 bits, of all for 8
    (1, 1, 64, 64, 64),
    (3, 128, 128),
    (512, 512),
    (33, 40, 48),  # blocks cut rows, or there is one alone
    (16, 24, 20),  # the last axis fills no whole bytes
    (4096,),
    (2, 2, 8),
]


def encoded(image: Array, codec: CodecName = "lz4") -> bytes:
    room = np.empty(CODECS[codec].most(image.nbytes), np.uint8)
    return room[: CODECS[codec].encode(image, room)].tobytes()


def smooth(shape: Shape, dtype: str) -> Array:
    return (np.arange(np.prod(shape)) // 7 % 251).astype(dtype).reshape(shape)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, Region]:
    shape = draw(st.sampled_from(SHAPES))
    image = smooth(shape, draw(st.sampled_from(DTYPES)))
    if draw(st.booleans()):  # too noisy to be compressed: stored as it is
        noise = np.random.default_rng(0).integers(0, 256, image.nbytes, np.uint8)
        image = (noise % 2 if image.dtype == bool else noise).view(image.dtype).reshape(shape)
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    sizes = [draw(st.sampled_from([1, 1, 2, n])) for n in shape]
    return image, tuple(slice(a, min(a + m, n)) for a, m, n in zip(starts, sizes, shape, strict=True))


@settings(max_examples=150)
@given(case=cases(), codec=st.sampled_from(["lz4", "zstd", "none"]))
def test_any_part_of_any_chunk(case: tuple[Array, Region], codec: CodecName) -> None:
    image, part = case
    found = CODECS[codec].decode_part(encoded(image, codec), part, np.empty_like(image))
    assert (found.shape, found.dtype) == (image[part].shape, image.dtype)
    assert found.tobytes() == image[part].tobytes()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_every_plane_of_a_volumes_chunk_is_thin(dtype: str, axis: int) -> None:
    image = smooth((64, 64, 64), dtype)
    data, buffer = encoded(image), np.empty_like(image)
    for index in range(64):
        part = tuple(slice(index, index + 1) if i == axis else slice(0, 64) for i in range(3))
        found = thin_part(data, part, buffer)
        assert found is not None
        assert found.tobytes() == image[part].tobytes()


@pytest.mark.parametrize("cut", [0, 10, 30, 4000])
def test_a_cut_chunk_raises(cut: int) -> None:
    image = smooth((64, 64, 64), "uint16")
    with pytest.raises(RuntimeError):
        CODECS["lz4"].decode_part(
            encoded(image)[:cut], (slice(0, 64), slice(3, 4), slice(0, 64)), np.empty_like(image)
        )
