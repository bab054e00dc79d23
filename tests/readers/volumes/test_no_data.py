"""Fill values and valid ranges of MINC are no measurements, against numpy's masked arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg
from bigimg.types import Array
from tests.readers.volumes.volume_files import minc1, minc2

AXES = ("zspace", "yspace", "xspace")
INTEGERS = np.random.default_rng(2).integers(10, 200, (4, 12, 10))


def holed(dtype: str, *values: float) -> tuple[Array, Array]:
    """Return pixels, of which some have ``values``, and where."""
    pixels = INTEGERS.astype(dtype)
    for i, value in enumerate(values):
        pixels[i::3, 2:7, 3:9] = value
    return pixels, np.isin(pixels, np.array(values, dtype))


def check(path: Path, kept: Array, *, name: str) -> None:
    """Check the statistics of the image and of its store, and which pixels the second level has."""
    store = path.with_suffix(".ome.zarr")
    bigimg.convert(path, store, progress=False, sync=False)
    for found in (bigimg.stats(path), bigimg.stats(store)):
        assert int(found["count"]) == kept.size
        numbers = [float(found[key]) for key in ("mean", "min", "max")]
        np.testing.assert_allclose(numbers, [kept.mean(), kept.min(), kept.max()], rtol=1e-6)
    assert any("no data" in note and name in note for note in bigimg.info(path).notes)
    assert any("no data" in note for note in bigimg.info(store).notes)


@pytest.mark.parametrize("write", [minc1, minc2])
@pytest.mark.parametrize(
    ("dtype", "value", "attributes"),
    [
        ("i2", -1, {"_FillValue": np.int16(-1)}),
        ("i2", 3, {"missing_value": np.array([3], "i2")}),
        ("i2", -7, {"valid_range": np.array([0.0, 32767.0])}),
        ("u1", 255, {"_FillValue": np.int8(-1)}),
        ("u1", 250, {"valid_range": np.array([0.0, 249.0])}),
        ("u1", 250, {"valid_range": np.array([0.0, 249.0]), "_FillValue": np.int8(-1)}),
        ("f4", -999.0, {"_FillValue": np.float32(-999.0)}),
    ],
)
def test_one_range(tmp_path: Path, write: Any, dtype: str, value: float, attributes: dict[str, Any]) -> None:
    pytest.importorskip("h5py", reason="MINC 2 needs the extra hdf5")
    pixels, absent = holed(dtype, value)
    path = write(tmp_path / "a.mnc", pixels, AXES, varied=False, **attributes)
    slope, intercept = bigimg.info(path).scaling or (1.0, 0.0)
    check(path, pixels[~absent] * slope + intercept, name="valid range")
    assert bigimg.open(path, raw=True).dtype == np.dtype(dtype)  # as stored


@pytest.mark.parametrize("write", [minc1, minc2])
def test_several_ranges_become_nan(tmp_path: Path, write: Any) -> None:
    pytest.importorskip("h5py", reason="MINC 2 needs the extra hdf5")
    pixels, absent = holed("i2", -5, 300)
    path = write(tmp_path / "a.mnc", pixels, AXES, varied=False, valid_range=np.array([0.0, 255.0]))
    image = bigimg.open(path)
    np.testing.assert_array_equal(np.isnan(image.values), absent)
    check(path, image.values[~absent], name="-32768 to -1 and of 256 to 32767")


@pytest.mark.parametrize("write", [minc1, minc2])
def test_where_each_slice_has_its_own_slope(tmp_path: Path, write: Any) -> None:
    pytest.importorskip("h5py", reason="MINC 2 needs the extra hdf5")
    pixels, absent = holed("i2", -5)
    path = write(tmp_path / "a.mnc", pixels, AXES, varied=True, _FillValue=np.int16(-5))
    values = bigimg.open(path).values
    np.testing.assert_array_equal(np.isnan(values), absent)
    most = np.arange(4)[:, None, None] + 10.0  # image-max of each slice, and image-min is its negative
    slope = 2 * most / 65535
    expected = (pixels + 32768.0) * slope - most
    np.testing.assert_allclose(values[~absent], expected[~absent], rtol=1e-4)
