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
from tests.conversion.sources import CountingReader
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


@settings(max_examples=40)
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


@pytest.mark.parametrize("where", [None, np.array([[True, True, True, False], [True, True, False, False]])])
def test_sweep_is_the_fraction_of_a_mask_where_nan_is(where: Array | None, tmp_path: Path) -> None:
    pixels = np.array([[1.0, np.nan, 3.0, np.inf], [np.nan, np.nan, 2.0, -np.inf]], np.float32)
    chosen = pixels if where is None else pixels[where]
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    for img in (bigimg.from_array(pixels, dims="yx"), tmp_path / "a.ome.zarr"):
        found = bigimg.sweep(img, asked := [2, 3, np.inf], where=where)
        np.testing.assert_array_equal(found.values, [(chosen < t).mean() for t in asked])
        shares = [float(bigimg.fraction(bigimg.mask(img, below=t), where=where)) for t in asked]
        np.testing.assert_array_equal(found.values, shares)


def test_sweep_leaves_padding_out_and_a_mask_does_not(tmp_path: Path) -> None:
    """Padding is known of an image as it is in its file; a mask of it is numbers compared."""
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    bigimg.convert(CountingReader(pixels, "yx", padding=(0, 2)), tmp_path / "a.ome.zarr", progress=False)
    assert float(bigimg.sweep(tmp_path / "a.ome.zarr", [6])[0]) == (6 - 3) / (12 - 3)
    assert float(bigimg.fraction(bigimg.mask(tmp_path / "a.ome.zarr", below=6))) == 6 / 12


def test_sweep_wants_numbers() -> None:
    for bad in ([], [np.nan], 3, "a"):
        with pytest.raises(UsageError, match="numbers in a list"):
            bigimg.sweep(np.zeros((1, 4)), bad)
