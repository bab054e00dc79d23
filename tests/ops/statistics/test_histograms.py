"""Histograms against ``numpy.histogram``, to the last count and edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigimg
from bigimg.errors import UsageError
from bigimg.geometry.spec import Scaling
from bigimg.omezarr.open import StoreReader
from bigimg.opening.data_array import to_labelled
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Array
from tests.ops.statistics.test_stats import volume


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def assert_numpys(found: Any, pixels: Array, bins: Any, ends: Any = None) -> None:
    """Compare with numpy's own: of each channel, edges from all of them."""
    pixels = pixels.view(np.uint8) if pixels.dtype == bool else pixels
    if ends is None and np.ndim(bins) == 0:
        ends = (np.nanmin(pixels), np.nanmax(pixels))
    channels = pixels if found.dims == ("c", "bin") else [pixels]
    for row, channel in zip(np.atleast_2d(found.values), channels, strict=True):
        counts, edges = np.histogram(channel[~np.isnan(channel)], bins, ends)
        np.testing.assert_array_equal(row, counts)
        np.testing.assert_array_equal(found.bin_left, edges[:-1])
        np.testing.assert_array_equal(found.bin_right, edges[1:])
        assert found.bin_left.dtype == edges.dtype
    assert found.dtype == np.int64


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize(
    ("bins", "ends"),
    [(50, None), (7, (10, 90)), (1, None), ([0, 1, 2, 50, 100], None), (256, (0, 256)), (3, (500, 600))],
)
def test_each_type(dtype: str, bins: Any, ends: Any) -> None:
    pixels = volume(dtype, 2, 21, 34)
    img = bigimg.from_array(pixels, dims="cyx", channels=["a", "b"]).chunk(y=8, x=13)
    found = bigimg.histogram(img, bins=bins, range=ends)
    assert found.chunks is not None
    assert found.sizes == {"c": 2, "bin": bins if isinstance(bins, int) else len(bins) - 1}
    assert list(found.c.values) == ["a", "b"]
    assert_numpys(found.compute(), pixels, bins, ends)


@given(st.integers(1, 40), st.integers(1, 21), st.sampled_from(["u1", "i2", "f4", "f8"]))
def test_any_blocks(bins: int, rows: int, dtype: str) -> None:
    pixels = volume(dtype, 21, 10)
    with dask.config.set(scheduler="synchronous"):
        found = bigimg.histogram(bigimg.from_array(pixels).chunk(y=rows), bins=bins).compute()
    assert_numpys(found, pixels, bins)


def test_one_value_and_no_value() -> None:
    for dtype in ("u1", "f4"):
        pixels = np.full((5, 6), 7, dtype)
        assert_numpys(bigimg.histogram(bigimg.from_array(pixels), bins=4).compute(), pixels, 4)
        none = bigimg.histogram(bigimg.from_array(pixels), bins=4, where=np.zeros((5, 6), bool)).compute()
        assert none.values.sum() == 0
        np.testing.assert_array_equal(none.bin_left, np.histogram([], 4)[1][:-1])


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_where(dtype: str) -> None:
    pixels, mask = volume(dtype, 3, 21, 34), volume("?", 21, 34, seed=1)
    img = bigimg.from_array(pixels, dims="cyx").chunk(y=8)
    found = bigimg.histogram(img, bins=9, where=mask).compute()
    assert_numpys(found, pixels[:, mask], 9)


def test_nan_is_left_out_and_infinity_wants_a_range() -> None:
    pixels = volume("f4", 20, 30)
    pixels[2:5] = np.nan
    assert_numpys(bigimg.histogram(bigimg.from_array(pixels)).compute(), pixels, 50)
    pixels[0, 0] = np.inf
    with pytest.raises(UsageError, match="give a range="):
        bigimg.histogram(bigimg.from_array(pixels)).compute()
    assert_numpys(bigimg.histogram(bigimg.from_array(pixels), range=(0, 9)).compute(), pixels, 50, (0, 9))


def test_the_second_reading_waits_for_the_first() -> None:
    # Blocks that wait in memory for the range would be the whole image.
    pixels, log = volume("f4", 40, 10), []

    class Logged(ArrayReader):
        def read(self, region: Any) -> Array:
            log.append(region[0].start)
            return super().read(region)

    bigimg.histogram(to_labelled(Logged(pixels), block_bytes=400)).compute()
    first, second = log[: len(log) // 2], log[len(log) // 2 :]
    assert len(set(first)) == len(first)
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize(
    "asked",
    [{"bins": 0}, {"bins": [1]}, {"bins": [3, 2]}, {"range": (5, 1)}, {"range": (0, np.inf)}],
)
def test_bins_that_mean_nothing(asked: Any) -> None:
    with pytest.raises(UsageError, match=r"bins|range"):
        bigimg.histogram(np.zeros((4, 4)), **asked)


def test_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {"u": volume("u1", 90, 80, 3), "i": volume("i2", 90, 80), "b": volume("?", 90, 80)}
    for name, pixels in cases.items():
        bigimg.convert(pixels, tmp_path / f"{name}.ome.zarr", memory="4GB", progress=False)

    def refuse(*_: Any) -> None:
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(StoreReader, "read", refuse)
    for name, pixels in cases.items():
        path = tmp_path / f"{name}.ome.zarr"
        ours = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels
        for source in (path, bigimg.open(path), bigimg.open_pyramid(path)):
            assert_numpys(bigimg.histogram(source, bins=20), ours, 20)
            assert_numpys(bigimg.histogram(source, bins=6, range=(0, 60)), ours, 6, (0, 60))


def test_stored_counts_of_scaled_images_are_of_real_values(tmp_path: Path) -> None:
    reader = ArrayReader(volume("i2", 60, 50), scaling=Scaling(-0.5, 3.0))
    bigimg.convert(reader, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    img = bigimg.open(tmp_path / "a.ome.zarr")
    assert_numpys(bigimg.histogram(img), img.values, 50)
