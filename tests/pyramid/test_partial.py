"""Statistics of blocks, merged, against numpy on the whole and Python's exact integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bigimg.pyramid import partial


def merged(image: np.ndarray, pieces: int) -> tuple[dict, np.ndarray | None]:
    counted = partial.Accumulator(image.dtype, 1)
    for piece in np.array_split(image.reshape(-1), pieces):
        if piece.size:
            counted.add(0, partial.of_channel(np.ascontiguousarray(piece)))
    return counted.result(["grey"])["channels"][0], counted.histogram


@settings(max_examples=150)
@given(
    hnp.arrays(
        st.sampled_from([np.dtype(d) for d in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "?")]),
        st.integers(1, 60),
    ),
    st.integers(1, 5),
)
def test_integers_are_exact_for_any_cutting(image, pieces):
    got, _ = merged(image, pieces)
    numbers = [int(v) for v in image]
    assert got["count"] == len(numbers)
    assert (got["min"], got["max"], got["sum"]) == (min(numbers), max(numbers), sum(numbers))
    assert got["sum_squares"] == sum(v * v for v in numbers)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_dense_histogram_counts_every_value(dtype):
    limits = np.iinfo(dtype)
    image = np.random.default_rng(0).integers(limits.min, limits.max, 5000, dtype, endpoint=True)
    _, histogram = merged(image, 3)
    values, counts = np.unique(image, return_counts=True)
    expected = np.zeros(limits.max - limits.min + 1, np.int64)
    expected[values.astype(int) - limits.min] = counts
    np.testing.assert_array_equal(histogram[0], expected)


def test_many_pixels_with_any_strides_are_counted():
    for dtype in (np.uint8, np.uint16):
        band = np.random.default_rng(0).integers(0, 250, (3, 700, 900), dtype)
        for part in (band, band[:, :, 100:640], band[1], band.transpose(1, 2, 0), band[..., 3:4]):
            expected = np.bincount(part.ravel(), minlength=partial.histogram_bins(part.dtype))
            np.testing.assert_array_equal(partial.dense_histogram(part), expected)


@settings(max_examples=100)
@given(
    hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e6, 1e6) | st.just(np.nan)),
    st.integers(1, 4),
)
def test_floats_leave_nan_out_and_count_it(image, pieces):
    got, histogram = merged(image, pieces)
    finite = image[~np.isnan(image)]
    assert histogram is None
    assert (got["count"], got["nan"]) == (finite.size, np.isnan(image).sum())
    if finite.size:
        assert (got["min"], got["max"]) == (finite.min(), finite.max())
        assert got["sum"] == pytest.approx(finite.sum(), rel=1e-12, abs=1e-6)
        assert got["squared_deviations"] == pytest.approx(finite.var() * finite.size, rel=1e-9, abs=1e-5)
    else:
        assert got["min"] is None


def test_a_large_mean_does_not_eat_the_deviations():
    image = np.float32(16_000_000) + np.random.default_rng(0).integers(0, 8, 100_000).astype(np.float32)
    got, _ = merged(image, 7)
    assert got["squared_deviations"] == pytest.approx(image.astype(np.float64).var() * image.size, rel=1e-12)


def test_the_order_of_blocks_does_not_matter():
    parts = [partial.of_channel(p) for p in np.random.default_rng(0).normal(0, 1e3, (9, 1000))]
    assert partial.merge_floats(parts) == partial.merge_floats(parts[::-1])


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u8"])
@pytest.mark.parametrize("padding", [(3, 3), (-5, 4), (90, 10**6), (0, 100)])
def test_padding_is_not_counted(dtype: str, padding: tuple[int, int]) -> None:
    values = np.random.default_rng(1).integers(0, 100, 1000).astype(dtype)
    kept = values[(values < padding[0]) | (values > padding[1])].astype(object)
    counted = partial.Accumulator(np.dtype(dtype), 1, padding)
    for piece in (values[:300], values[300:]):
        counted.add(0, partial.of_channel(piece, padding))
    (found,) = counted.result([])["channels"]  # type: ignore[misc]
    assert (found["count"], found["nan"]) == (kept.size, 1000 - kept.size)
    assert (found["sum"], found["sum_squares"]) == (kept.sum(), (kept * kept).sum())
    assert (found["min"], found["max"]) == ((min(kept), max(kept)) if kept.size else (None, None))
    assert counted.result([])["padding"] == list(padding)
