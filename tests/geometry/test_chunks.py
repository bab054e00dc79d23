"""Chunks and shards follow from the image alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.chunks import checked_chunks, default_chunks
from bigimg.geometry.spec import RGB, Channel, ImageSpec


def spec(dims: str, shape: tuple[int, ...], channels: tuple[Channel, ...] = ()) -> ImageSpec:
    axes = tuple(Axis(name, n) for name, n in zip(dims, shape, strict=True))
    return ImageSpec(axes, np.dtype(np.uint8), (1,) * len(axes), channels=channels)


@pytest.mark.parametrize(
    ("dims", "shape", "channels", "chunks", "shards"),
    [
        ("yx", (30000, 20000), (), (512, 512), (2048, 2048)),
        ("cyx", (3, 30000, 20000), RGB, (1, 512, 512), (3, 2048, 2048)),  # colours share a shard
        ("cyx", (4, 3000, 2000), (), (1, 512, 512), (1, 2048, 2048)),  # unlabelled channels do not
        ("zyx", (512, 1024, 1024), (), (64, 64, 64), (256, 256, 256)),
        ("tzyx", (300, 33, 64, 64), (), (1, 33, 64, 64), (1, 33, 64, 64)),
        ("yx", (600, 100), (), (512, 100), (1024, 100)),  # a shard ends where the image does
    ],
)
def test_defaults(dims, shape, channels, chunks, shards):
    assert checked_chunks(spec(dims, shape, channels), None, None) == (chunks, shards)


@given(st.integers(1, 200), st.integers(1, 5000), st.integers(1, 5000))
def test_default_chunks_hold_about_as_many_values_whatever_the_depth(z, y, x):
    chunk = default_chunks(spec("zyx", (z, y, x)).axes)
    assert all(1 <= c <= n for c, n in zip(chunk, (z, y, x), strict=True))
    assert np.prod(chunk) <= 2**19


@given(st.data())
def test_shards_are_whole_chunks(data):
    shape = data.draw(st.tuples(*[st.integers(1, 3000)] * 2))
    chunks = data.draw(st.tuples(*[st.integers(1, 700)] * 2))
    ratio = data.draw(st.tuples(*[st.integers(1, 6)] * 2))
    wanted = tuple(c * r for c, r in zip(chunks, ratio, strict=True))
    chunk, shard = checked_chunks(spec("yx", shape), chunks, wanted)
    assert all(s % c == 0 and c <= n for s, c, n in zip(shard, chunk, shape, strict=True))


def test_what_does_not_fit_is_refused_with_the_axes_named():
    with pytest.raises(UsageError, match="axes y x"):
        checked_chunks(spec("yx", (10, 10)), (4, 4, 4), None)
    with pytest.raises(UsageError, match="not multiples"):
        checked_chunks(spec("yx", (100, 100)), (16, 16), (40, 40))
    with pytest.raises(UsageError, match="at least 1"):
        checked_chunks(spec("yx", (100, 100)), (0, 16), None)
