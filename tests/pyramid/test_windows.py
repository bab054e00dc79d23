"""Windows of any size against plain numpy, window by window, in Python's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bigimg.pyramid import kernels
from bigimg.pyramid.kernels import downsample
from bigimg.types import Array
from tests.oracles import coarser

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=11)
STEPS = st.lists(st.integers(1, 7), min_size=3, max_size=3)
INTEGERS = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])


@given(
    INTEGERS.flatmap(lambda d: hnp.arrays(d, SHAPES)),
    STEPS,
    st.sampled_from(["mean", "mode", "min", "max", "nearest"]),
)
def test_integers_of_any_value(block: Array, steps: list[int], method: str) -> None:
    step = tuple(steps[: block.ndim])
    found = downsample(block, step, method)  # type: ignore[arg-type]
    assert found.dtype == block.dtype
    np.testing.assert_array_equal(found, coarser(block, step, method))


@given(hnp.arrays("u1", SHAPES, elements=st.integers(0, 3)), STEPS)
def test_ties_of_the_mode_go_to_the_smallest(block: Array, steps: list[int]) -> None:
    step = tuple(steps[: block.ndim])
    np.testing.assert_array_equal(downsample(block, step, "mode"), coarser(block, step, "mode"))


@given(hnp.arrays("?", SHAPES), STEPS, st.sampled_from(["mode", "min", "max", "nearest"]))
def test_masks(block: Array, steps: list[int], method: str) -> None:
    step = tuple(steps[: block.ndim])
    np.testing.assert_array_equal(downsample(block, step, method), coarser(block, step, method))  # type: ignore[arg-type]


@given(
    st.sampled_from(["f4", "f8"]).flatmap(
        lambda d: hnp.arrays(d, SHAPES, elements=st.floats(-1e6, 1e6, width=32))
    ),
    STEPS,
)
def test_floats(block: Array, steps: list[int]) -> None:
    step = tuple(steps[: block.ndim])
    tolerance = 1e-12 if block.dtype == np.float64 else 1e-6
    np.testing.assert_allclose(
        downsample(block, step, "mean"),
        coarser(block, step, "mean"),
        rtol=tolerance,
        atol=1e-6 * tolerance * 1e6,
    )


def test_infinity_stays_in_its_window_and_nan_is_left_out() -> None:
    block = np.ones((9, 9))
    block[0, 0], block[4, 4], block[8, 8] = np.nan, np.inf, -np.inf
    found = downsample(block, (3, 3), "mean")
    np.testing.assert_array_equal(found, [[1, 1, 1], [1, np.inf, 1], [1, 1, -np.inf]])


def test_sums_that_would_wrap() -> None:
    block = np.full((64, 64), 2**64 - 1, np.uint64)
    assert (downsample(block, (16, 64), "mean") == 2**64 - 1).all()
    assert (downsample(np.full((300, 300), 65535, np.uint16), (300, 300), "mean") == 65535).all()
    assert (downsample(np.full((64, 64), -(2**63), np.int64), (5, 7), "mean") == -(2**63)).all()


def test_large_ids_are_not_made_floats() -> None:
    block = np.full((6, 6), 2**53 + 1, np.int64)
    block[:1] = 2**53
    assert (downsample(block, (6, 6), "mode") == 2**53 + 1).all()


@pytest.mark.parametrize("method", ["mean", "mode", "min", "max"])
def test_more_than_is_done_at_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "AT_ONCE", 100)
    block = np.random.default_rng(0).integers(0, 9, (700, 900)).astype(np.uint8)
    view = block.reshape(100, 7, 300, 3).swapaxes(1, 2).reshape(100, 300, 21)
    found = downsample(block, (7, 3), method)  # type: ignore[arg-type]
    if method == "mean":
        np.testing.assert_array_equal(found, np.rint(view.mean(-1)))
    elif method == "mode":
        counts = np.stack([(view == v).sum(-1) for v in range(9)])
        np.testing.assert_array_equal(found, counts.argmax(0))
    else:
        np.testing.assert_array_equal(found, getattr(view, method)(-1))
