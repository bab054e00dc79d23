"""Otsu's threshold against scikit-image, and sweeps against counting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.open import StoreReader
from bigimg.types import Array
from tests.ops.statistics.test_stats import volume


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def two_hills(dtype: str, *shape: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(shape) < 0.3, rng.normal(60, 9, shape), rng.normal(100, 7, shape))
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "f4", "f8"])
def test_as_scikit_image(dtype: str) -> None:
    pixels = np.stack([two_hills(dtype, 51, 67, seed=s) for s in range(3)])
    found = bigimg.otsu(bigimg.from_array(pixels, dims="cyx").chunk(y=20))
    assert found.dims == ("c",)
    assert found.chunks is not None
    np.testing.assert_allclose(found.values, [threshold_otsu(c) for c in pixels], rtol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 13), st.integers(1, 255))
def test_no_threshold_parts_better(seed: int, size: int, spread: int) -> None:
    """Between classes of equal parting scikit-image, in float32, may choose another one: none is better."""
    pixels = np.random.default_rng(seed).integers(0, spread, (size, 7)).astype(np.uint8)
    with dask.config.set(scheduler="synchronous"):
        found = float(bigimg.otsu(bigimg.from_array(pixels, dims="yx")))

    def parted(threshold: float) -> float:
        below, above = pixels[pixels <= threshold], pixels[pixels > threshold]
        if not (below.size and above.size):
            return 0.0
        return below.size * above.size * (below.mean() - above.mean()) ** 2

    assert parted(found) >= max(map(parted, range(256))) * (1 - 1e-12)


def test_one_value_and_none() -> None:
    for dtype in ("u1", "f4"):
        assert float(bigimg.otsu(np.full((5, 6), 7, dtype))) == 7
    assert np.isnan(float(bigimg.otsu(np.zeros((5, 6), np.uint8), where=np.zeros((5, 6), bool))))


def test_from_the_store_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = two_hills("u1", 90, 80)
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    monkeypatch.setattr(StoreReader, "read", None)
    assert float(bigimg.otsu(tmp_path / "a.ome.zarr")) == threshold_otsu(pixels)
    found = bigimg.sweep(tmp_path / "a.ome.zarr", [70, 50.5])
    np.testing.assert_array_equal(found.values, [(pixels < 70).mean(), (pixels < 50.5).mean()])


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i4", "f4"])
def test_sweep_counts_what_is_below(dtype: str) -> None:
    pixels, mask = volume(dtype, 2, 30, 40), volume("?", 30, 40, seed=3)
    asked = [50, -np.inf, 0, 50, 49.5, 1e9, np.inf]
    for where in (None, mask):
        found = bigimg.sweep(bigimg.from_array(pixels, dims="cyx", channels=["a", "b"]), asked, where=where)
        assert found.dims == ("c", "threshold")
        assert list(found.threshold.values) == asked
        chosen = [c if where is None else c[mask] for c in pixels]
        np.testing.assert_array_equal(found.values, [[(c < t).mean() for t in asked] for c in chosen])


def test_sweep_leaves_nan_out_and_wants_numbers() -> None:
    pixels = np.array([[1.0, np.nan, 3.0, np.inf]])
    np.testing.assert_array_equal(
        bigimg.sweep(bigimg.from_array(pixels, dims="yx"), [2, np.inf]).values, [1 / 3, 2 / 3]
    )
    for bad in ([], [np.nan], 3):
        with pytest.raises(UsageError, match="numbers in a list"):
            bigimg.sweep(pixels, bad)
