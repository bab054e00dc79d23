"""Weighted sums against matrices of weights and scipy's correlation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from bigimg.pyramid.kernels import gaussian
from bigimg.pyramid.resampling import Area, Smooth, needed, resample
from bigimg.types import Array, Region


def covered(n: int, m: int) -> list[list[Fraction]]:
    """Return which share of each of ``m`` results is each of ``n`` pixels."""
    table = []
    for i in range(m):
        low, high = Fraction(i * n, m), Fraction((i + 1) * n, m)
        table.append(
            [
                max(Fraction(0), min(high, Fraction(j + 1)) - max(low, Fraction(j))) / (high - low)
                for j in range(n)
            ]
        )
    return table


def whole(image: Array, weights: list[Area | Smooth | None], shape: tuple[int, ...]) -> Array:
    region: Region = tuple(slice(0, n) for n in shape)
    source = needed(weights, region)
    return resample(image[source], weights, source, region)


@given(st.integers(1, 23), st.integers(1, 23), st.data())
def test_a_line_is_the_exact_mean_rounded_half_to_even(n: int, m: int, data: st.DataObject) -> None:
    m = min(n, m)
    line = data.draw(hnp.arrays("u2", n))
    expected = [round(sum(w * int(v) for w, v in zip(row, line, strict=True))) for row in covered(n, m)]
    np.testing.assert_array_equal(whole(line, [Area(n, m)], (m,)), expected)


@given(
    hnp.arrays("f8", (13, 11), elements=st.floats(-1e9, 1e9)),
    st.integers(1, 13),
    st.integers(1, 11),
    st.data(),
)
def test_any_region_has_the_numbers_of_the_whole(image: Array, h: int, w: int, data: st.DataObject) -> None:
    weights: list[Area | Smooth | None] = [Area(13, h), Area(11, w)]
    everything = whole(image, weights, (h, w))
    matrix = [np.array(covered(13, h), float), np.array(covered(11, w), float)]
    np.testing.assert_allclose(everything, matrix[0] @ image @ matrix[1].T, rtol=1e-12, atol=1e-3)
    a, b = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    region = (slice(a, data.draw(st.integers(a + 1, h))), slice(b, data.draw(st.integers(b + 1, w))))
    source = needed(weights, region)
    np.testing.assert_array_equal(resample(image[source], weights, source, region), everything[region])


@given(st.integers(2, 9), st.integers(1, 40), st.integers(0, 9))
def test_the_gaussian_is_three_means_in_turn(f: int, n: int, seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=n)
    m = -(-n // f)
    found = whole(image, [Smooth(n, f)], (m,))
    # scipy's filter with zeros outside, of the image and of where it is.
    kernel = np.convolve(np.convolve(np.ones(f), np.ones(f)), np.ones(f))
    padded = [np.pad(line, 3 * f) for line in (image, np.ones(n))]
    sums = [ndimage.correlate1d(line, np.append(kernel, 0) if len(kernel) % 2 == 0 else kernel, mode="constant")
            for line in padded]  # fmt: skip
    first = 3 * f - (f - 1)
    middle = (len(kernel) + (len(kernel) % 2 == 0)) // 2
    where = first + np.arange(m) * f + middle
    np.testing.assert_allclose(found, sums[0][where] / sums[1][where], rtol=1e-12, atol=1e-12)


def test_variance_of_the_gaussian() -> None:
    for f in (2, 3, 4, 16):
        _, table = Smooth(100 * f, f).table(50, 51)
        places = np.arange(table.shape[1])
        mean = (places * table[0]).sum() / table.sum()
        variance = ((places - mean) ** 2 * table[0]).sum() / table.sum()
        assert abs(variance - (f * f - 1) / 4) < 1e-9


def test_factor_two_is_the_filter_of_stored_levels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (31, 40)).astype(np.uint8)
    found = whole(image, [Smooth(31, 2), Smooth(40, 2)], (16, 20))
    np.testing.assert_array_equal(found, gaussian(image, (2, 2), (0, 0), (16, 20)))


def test_types_and_infinite_neighbours() -> None:
    image = np.ones((6, 6))
    image[0, 0] = np.inf
    found = whole(image, [Area(6, 4), Area(6, 4)], (4, 4))
    assert np.isinf(found[0, 0])
    assert np.isfinite(found.ravel()[1:]).all()
    mask = np.zeros((4, 4), bool)
    mask[:2, :3] = True
    np.testing.assert_array_equal(whole(mask, [Area(4, 2), Area(4, 2)], (2, 2)), [[1, 1], [0, 0]])
