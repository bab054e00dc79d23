"""The kernels against windows added up in Python numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bigimg.pyramid import kernels
from tests.oracles import coarser

INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")


@st.composite
def blocks(draw: st.DrawFn, dtypes: tuple[str, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=7))
    step = tuple(draw(st.sampled_from((1, 2, 2, 3))) for _ in shape)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    return draw(hnp.arrays(dtype, shape)), step


@settings(max_examples=300)
@given(blocks((*INTEGERS, "?")), st.sampled_from(("mean", "mode", "nearest", "min", "max")))
def test_integers_equal_the_oracle(block_and_step, method):
    block, step = block_and_step
    made = kernels.downsample(block, step, method)
    assert made.dtype == block.dtype
    np.testing.assert_array_equal(made, coarser(block, step, method))


@settings(max_examples=100)
@given(blocks(("f2", "f4", "f8")))
def test_float_means_are_within_a_rounding(block_and_step):
    block, step = block_and_step
    with np.errstate(over="ignore", invalid="ignore"):
        expected = coarser(block, step, "mean")
    np.testing.assert_allclose(
        kernels.downsample(block, step, "mean"), expected, rtol=1e-12 if block.dtype == "f8" else 1e-3
    )


@pytest.mark.parametrize("dtype", INTEGERS)
def test_extremes_do_not_wrap(dtype):
    limits = np.iinfo(dtype)
    for value in (limits.min, limits.max):
        block = np.full((4, 4, 4), value, dtype)
        assert (kernels.downsample(block, (2, 2, 2), "mean") == value).all()


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ((0, 1, 1, 0), 0),  # 0.5 goes to 0
        ((1, 2, 2, 1), 2),  # 1.5 goes to 2
        ((2, 3, 3, 2), 2),  # 2.5 goes to 2
        ((0, 0, 0, 1), 0),
        ((255, 255, 255, 254), 255),
    ],
)
def test_halves_go_to_even(window, expected):
    block = np.array(window, np.uint8).reshape(2, 2)
    assert kernels.downsample(block, (2, 2), "mean") == expected


@pytest.mark.parametrize("dtype", ["i1", "i2"])
def test_signed_means_are_numpys(dtype):
    limits = np.iinfo(dtype)
    block = np.random.default_rng(0).integers(limits.min, limits.max, (6, 70, 130), dtype, endpoint=True)
    expected = np.rint(block.reshape(3, 2, 35, 2, 65, 2).mean((1, 3, 5))).astype(dtype)
    np.testing.assert_array_equal(kernels.downsample(block, (2, 2, 2), "mean"), expected)
    rows = block.transpose(2, 0, 1)  # as the axes of a file in another order
    np.testing.assert_array_equal(kernels.downsample(rows, (2, 2, 2), "mean"), expected.transpose(2, 0, 1))


def test_edge_windows_use_real_pixels_only():
    block = np.array([[10, 20, 30], [10, 20, 50], [90, 100, 200]], np.uint8)
    np.testing.assert_array_equal(kernels.downsample(block, (2, 2), "mean"), [[15, 40], [95, 200]])


def test_ties_of_ids_go_to_the_smallest_and_of_masks_to_true():
    assert kernels.downsample(np.array([[7, 3], [3, 7]], np.uint64), (2, 2), "mode") == 3
    assert kernels.downsample(np.array([[True, False], [False, True]]), (2, 2), "mode")


def test_large_ids_never_pass_through_a_float():
    big = 2**63 + 1
    assert kernels.downsample(np.array([[big, big], [0, 1]], np.uint64), (2, 2), "mode") == big


def test_blocks_may_be_larger_than_the_scratch_slabs():
    block = np.random.default_rng(0).integers(0, 2**16, (3, 700, 1301), np.uint16)
    np.testing.assert_array_equal(
        kernels.downsample(block, (1, 2, 2), "mean")[:, :350, :650],
        np.rint(block[:, :700, :1300].reshape(3, 350, 2, 650, 2).mean((2, 4))).astype(np.uint16),
    )


def test_views_with_any_strides_are_taken():
    block = np.random.default_rng(0).integers(0, 256, (40, 31, 3), np.uint8).transpose(2, 0, 1)
    np.testing.assert_array_equal(
        kernels.downsample(block, (1, 2, 2), "mean"), coarser(block, (1, 2, 2), "mean")
    )


@pytest.mark.parametrize("size", [2, 3, 8, 9])
def test_gaussian_is_the_1331_filter_with_real_weights_only(size):
    image = np.random.default_rng(size).integers(0, 256, (size, 5), np.uint8)
    weights = {-1: 1.0, 0: 3.0, 1: 3.0, 2: 1.0}
    expected = []
    for i in range(-(-size // 2)):
        inside = {2 * i + o: w for o, w in weights.items() if 0 <= 2 * i + o < size}
        expected.append(sum(w * image[k].astype(float) for k, w in inside.items()) / sum(inside.values()))
    made = kernels.gaussian(image, (2, 1), (0, 0), (-(-size // 2), 5))
    np.testing.assert_array_equal(made, np.rint(expected))


PADDED = {
    "u1": (0, 1),
    "i2": (-2, -1),
    "u8": (7, 7),
    "i8": (-1, -1),
    "f4": (0.0, 0.0),
    "f8": (np.nan, np.nan),
}


@settings(max_examples=150)
@given(st.sampled_from(sorted(PADDED)), st.sampled_from(("mean", "mode", "min", "max")), st.data())
def test_padding_has_no_part_in_a_window(dtype, method, data):
    low, high = PADDED[dtype]
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=6))
    step = tuple(data.draw(st.sampled_from((1, 2, 3))) for _ in shape)
    few = st.integers(-3, 3) if dtype[0] != "u" else st.integers(0, 9)
    block = data.draw(hnp.arrays(np.int64, shape, elements=few)).astype(dtype)
    if np.isnan(low):
        block[block == 0] = np.nan
    absent = np.isnan(block) if np.isnan(low) else (block >= low) & (block <= high)
    made = kernels.downsample(block, step, method, padding=(low, high))
    for at in np.ndindex(made.shape):
        window = tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, step, strict=True))
        real = block[window][~absent[window]]
        if real.size:
            expected = coarser(real, (real.size,), method)[0]
            np.testing.assert_allclose(float(made[at]), float(expected), rtol=1e-6)
        else:
            assert made[at] in block[window] or np.isnan(low)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f4"])
def test_a_gaussian_shares_the_weights_of_padding_among_the_others(dtype):
    block = np.random.default_rng(3).integers(1, 100, (8, 10)).astype(dtype)
    block[:, :5], block[2:4, 6:9] = 0, 0
    weights = np.zeros((2, 10, 12), np.float64)  # what is padding, or beyond the image, weighs nothing
    weights[0, 1:-1, 1:-1], weights[1, 1:-1, 1:-1] = block, block != 0
    line = np.array([1, 3, 3, 1])
    total = np.zeros((2, 4, 5))
    for down, across in np.ndindex(4, 4):
        part = weights[:, down : down + 7 : 2, across : across + 9 : 2]
        total += line[down] * line[across] * part
    mean = np.divide(total[0], total[1], out=np.zeros((4, 5)), where=total[1] > 0)
    expected = np.rint(mean) if np.dtype(dtype).kind in "ui" else mean
    made = kernels.gaussian(block, (2, 2), (0, 0), (4, 5), (0, 0))
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    assert (made == 0).any()


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u8", "f4"])
@pytest.mark.parametrize("method", ["min", "max"])
def test_ends_of_windows_with_holes(dtype: str, method: str) -> None:
    rng = np.random.default_rng(2)
    block, holes = rng.integers(0, 2, (9, 8)).astype(dtype), rng.random((9, 8)) < 0.5
    holes[:2, :2] = True
    made = kernels.downsample(block, (2, 2), method, holes=holes)
    for y, x in np.ndindex(made.shape):
        window = (slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))
        there = block[window][~holes[window]]
        assert made[y, x] == (getattr(there, method)() if there.size else block[2 * y, 2 * x])
