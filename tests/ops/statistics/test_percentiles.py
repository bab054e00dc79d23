"""Percentiles against ``numpy.percentile``, to the last bit, for every type."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bigimg
from bigimg.errors import UsageError
from bigimg.geometry.spec import Scaling
from bigimg.omezarr.open import StoreReader
from bigimg.ops.statistics.percentiles import Digits, sortable
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Array
from tests.ops.statistics.test_stats import DTYPES, volume

Q = [0, 1, 33.3, 50, 99.9, 100]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def numpys(values: Array, q: Any) -> Array:
    """numpy's own of real numbers: of small integers it rounds in their own type."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # infinities are subtracted
        return np.percentile(values.astype(np.float64), q)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 7, 611])
def test_each_type(dtype: str, size: int) -> None:
    pixels = volume(dtype, 3, size, 5)
    found = bigimg.percentile(bigimg.from_array(pixels, dims="cyx", channels=["a", "b", "c"]).chunk(y=100), Q)
    assert found.dims == ("percentile", "c")
    assert found.chunks is not None
    assert list(found.percentile.values) == Q
    np.testing.assert_array_equal(found.values, np.stack([numpys(c, Q) for c in pixels], 1))


@settings(max_examples=60)
@given(
    hnp.arrays(
        st.sampled_from(
            [np.uint8, np.int16, np.int32, np.uint64, np.int64, np.float16, np.float32, np.float64]
        ),
        st.tuples(st.integers(1, 7), st.integers(1, 7)),
    ),
    st.lists(st.floats(0, 100), min_size=1, max_size=4),
)
@example(np.full((2, 3), np.nan, np.float32), [0.0, 50.0])  # rarely drawn
@example(np.array([[-np.inf, 1, np.inf]]), [0.0, 30.0, 100.0])
def test_whatever_the_numbers(pixels: Array, q: list[float]) -> None:
    """NaN, infinities, both zeros and the ends of every type among them."""
    with dask.config.set(scheduler="synchronous"):
        found = bigimg.percentile(bigimg.from_array(pixels, dims="yx"), q).values
    real = pixels[~np.isnan(pixels)] if pixels.dtype.kind == "f" else pixels.ravel()
    if not real.size:
        assert np.isnan(found).all()
        return
    ranks = np.sort(real).astype(np.float64)
    for value, p in zip(found, q, strict=True):
        place = (len(ranks) - 1) * (p / 100)
        low, high = ranks[int(place)], ranks[min(int(place) + 1, len(ranks) - 1)]
        if np.isfinite([low, high]).all() and np.isfinite(high - low):
            assert value == numpys(real, p)
        else:
            assert np.isnan(value) or low <= value <= high


def test_one_number_and_no_channels() -> None:
    pixels = volume("f4", 20, 30)
    found = bigimg.percentile(pixels, 50)
    assert found.dims == ()
    assert float(found) == numpys(pixels, 50)
    assert float(found.percentile) == 50


def test_where_and_nothing() -> None:
    pixels, mask = volume("i4", 2, 20, 30), volume("?", 20, 30, seed=1)
    img = bigimg.from_array(pixels, dims="cyx")
    np.testing.assert_array_equal(
        bigimg.percentile(img, Q, where=mask).values, np.stack([numpys(c[mask], Q) for c in pixels], 1)
    )
    assert np.isnan(bigimg.percentile(img, Q, where=np.zeros((20, 30), bool)).values).all()


def test_many_percentiles_of_many_channels_take_more_passes_and_no_more_memory() -> None:
    q = list(np.linspace(0, 100, 41))
    pixels = volume("f4", 5, 30, 40)
    found = bigimg.percentile(bigimg.from_array(pixels, dims="cyx"), q)
    np.testing.assert_array_equal(found.values, np.stack([numpys(c, q) for c in pixels], 1))
    assert Digits(np.dtype("f4"), 0, 4, np.arange(5 * 82)).counts.nbytes < 1e6


def test_numbers_sort_as_their_keys() -> None:
    for dtype in ("i1", "i8", "u8", "f2", "f4", "f8"):
        values = np.sort(volume(dtype, 500))
        assert (np.diff(sortable(values).astype(object)) >= 0).all()


def test_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = volume("i2", 90, 80)
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    reader = ArrayReader(pixels, scaling=Scaling(-0.5, 3.0))
    bigimg.convert(reader, tmp_path / "b.ome.zarr", memory="4GB", progress=False)
    monkeypatch.setattr(StoreReader, "read", None)
    for source in (tmp_path / "a.ome.zarr", bigimg.open_pyramid(tmp_path / "a.ome.zarr")):
        np.testing.assert_array_equal(bigimg.percentile(source, Q).values, numpys(pixels, Q))
    np.testing.assert_allclose(
        bigimg.percentile(tmp_path / "b.ome.zarr", Q).values, numpys(pixels * -0.5 + 3, Q), rtol=1e-12
    )


@pytest.mark.parametrize("q", [101, -1, [5, 100.5], float("nan"), []])
def test_what_is_no_percentile(q: Any) -> None:
    with pytest.raises(UsageError, match="give numbers from 0 to 100"):
        bigimg.percentile(np.zeros((4, 4)), q)


def test_what_a_store_counted_by_is_not_what_an_axis_was_renamed_to(tmp_path: Path) -> None:
    pixels = np.arange(3 * 8 * 10, dtype=np.uint8).reshape(3, 8, 10)
    bigimg.convert(
        bigimg.from_array(pixels, dims="cyx"), tmp_path / "a.ome.zarr", memory="4GB", progress=False
    )
    img = bigimg.open(tmp_path / "a.ome.zarr").drop_vars(["c", "color"], errors="ignore")
    assert bigimg.percentile(img, 50).shape == (3,)
    assert float(bigimg.percentile(img.rename(c="t"), 50)) == np.percentile(pixels, 50)


def test_a_pool_of_one_thread_does_not_wait_for_itself() -> None:
    values = np.random.default_rng(0).random((6, 30, 20)).astype("f4")
    image = bigimg.from_array(values, dims="zyx").chunk({"z": 1})
    with ThreadPoolExecutor(1) as pool, dask.config.set(pool=pool):
        assert float(bigimg.percentile(image, 50)) == pytest.approx(np.percentile(values, 50), rel=1e-6)
