"""Frames anywhere and scales for each, against numpy indexing, for any order, gap, region and slope."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import InputError, InputNotFoundError
from bigimg.geometry.region import full, rows
from bigimg.readers.raw.frames import FrameStart, RawFrames, open_frames
from bigimg.readers.raw.plain import RawFile, Stored
from bigimg.readers.raw.scaled import SLAB, ScaledPixels, real_dtype
from bigimg.types import Region, Shape

sizes = st.integers(1, 5)


def regions(shape: Shape) -> st.SearchStrategy[Region]:
    """Return regions within ``shape``, at least a pixel along each axis."""
    ends = [st.tuples(st.integers(0, n - 1), st.integers(1, n)).filter(lambda e: e[0] < e[1]) for n in shape]
    return st.tuples(*(pair.map(lambda e: slice(*e)) for pair in ends))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    data=st.data(),
    shape=st.tuples(sizes, sizes, sizes, sizes),
    ahead=st.integers(1, 3),
    gap=st.integers(0, 9),
)
def test_frames_in_any_order(data: st.DataObject, shape: Shape, ahead: int, gap: int, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 9999, shape).astype(">i2")
    parts = array.reshape(-1, *shape[ahead:])
    order = data.draw(st.permutations(range(len(parts))))
    starts: dict[int, FrameStart] = {}
    content = bytearray(b"head")
    for number in order:
        starts[number] = FrameStart(str(tmp_path / "a"), len(content))
        content += parts[number].tobytes() + bytes(gap)
    (tmp_path / "a").write_bytes(content)
    pixels, access = open_frames(
        [starts[i] for i in range(len(parts))], Stored(tuple("tzyx"), shape, array.dtype)
    )
    assert access.order == tuple("tzyx")
    region = data.draw(regions(shape))
    np.testing.assert_array_equal(pixels.read(region), array[region])
    assert pixels.read(region).dtype.isnative
    pixels.close()


def test_frames_that_follow_one_another_are_one_run(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))
    starts = [FrameStart(str(tmp_path / "a"), 10 + 20 * i) for i in range(4)]
    one, _ = open_frames(starts, Stored(tuple("zyx"), (4, 2, 10), np.dtype("u1")))
    assert isinstance(one, RawFile)
    one.close()
    assert isinstance(
        open_frames(starts[::-1], Stored(tuple("zyx"), (4, 2, 10), np.dtype("u1")))[0], RawFrames
    )


def test_frames_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))
    gone = [FrameStart(str(tmp_path / "a"), 50), FrameStart(str(tmp_path / "b"), 0)]
    with pytest.raises(InputNotFoundError, match="b: there is no such file"):
        open_frames(gone, Stored(tuple("zyx"), (2, 5, 10), np.dtype("u1")))
    for offset in (60, -10):
        short = [FrameStart(str(tmp_path / "a"), offset), FrameStart(str(tmp_path / "a"), 0)]
        with pytest.raises(InputError, match="a: pixels should take bytes"):
            open_frames(short, Stored(tuple("zyx"), (2, 5, 10), np.dtype("u1")))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data(), shape=st.tuples(sizes, sizes, st.integers(1, 300), st.integers(1, 500)))
def test_each_frame_by_its_own_line(data: st.DataObject, shape: Shape, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(-999, 999, shape).astype("<i2")
    (tmp_path / "a").write_bytes(array.tobytes())
    raw = RawFile(tmp_path / "a", offset=0, shape=shape, dtype=array.dtype)
    slopes, intercepts = rng.normal(size=(*shape[:2], 1, 1)), rng.normal(size=(1, shape[1], 1, 1))
    ranges = data.draw(st.sampled_from([(), ((-100.0, 200.0), (900.0, 999.0))]))
    pixels = ScaledPixels(raw, np.dtype("f4"), slopes, intercepts, ranges)
    region = data.draw(regions(shape))
    expected = (array.astype(np.float64) * slopes + intercepts).astype("f4")
    for low, high in ranges:
        expected[(array >= low) & (array <= high)] = np.nan
    np.testing.assert_array_equal(pixels.read(region), expected[region])
    np.testing.assert_array_equal(pixels.read(full(shape)), expected)
    pixels.close()


@given(shape=st.lists(st.integers(1, 100_000), min_size=1, max_size=5).map(tuple))
def test_a_slab_is_bounded_and_whole_along_the_fastest(shape: Shape) -> None:
    slab = rows(shape, SLAB)
    assert np.prod(slab, dtype=object) <= SLAB
    cut = next((axis for axis in reversed(range(len(shape))) if slab[axis] < shape[axis]), 0)
    assert slab[cut + 1 :] == shape[cut + 1 :]
    assert set(slab[:cut]) <= {1}


@pytest.mark.parametrize(
    ("stored", "slope", "expected"),
    [("u2", 0.5, "f4"), ("i4", 0.5, "f8"), ("u1", 1e37, "f8"), ("u1", 1e-40, "f8"), ("u1", 0.0, "f4")],
)
def test_float32_where_it_holds_them(stored: str, slope: float, expected: str) -> None:
    assert real_dtype(np.dtype(stored), np.array([slope]), np.zeros(1)) == np.dtype(expected)
