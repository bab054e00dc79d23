"""What opens is saved by xarray as netCDF, and opens from there with its geometry and metadata."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import xarray as xr
from PIL import Image

import bigimg

AFFINE = np.array([[0, -2.0, 0, 9], [3, 0, 0, -4], [0, 0, 1.5, 7], [0, 0, 0, 1]])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    pixels = np.arange(2 * 20 * 30, dtype=np.int16).reshape(2, 20, 30)
    nibabel.Nifti1Image(pixels.T, AFFINE).to_filename(tmp_path / "a.nii")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "b.png")
    Image.fromarray(np.ones((20, 30), np.uint8)).save(tmp_path / "c.tif")
    bigimg.convert(tmp_path / "a.nii", tmp_path / "d.ome.zarr", progress=False)
    return tmp_path


@pytest.mark.parametrize("name", ["a.nii", "b.png", "c.tif", "d.ome.zarr", "two", "stack", "made"])
def test_to_netcdf(name: str, files: Path) -> None:
    if name == "two":
        img = bigimg.open([str(files / "c.tif")] * 2)
    elif name == "stack":
        img = bigimg.stack([files / "c.tif", files / "c.tif"], "z")
    elif name == "made":
        img = bigimg.with_geometry(np.zeros((20, 30), np.int16), affine=AFFINE)
    else:
        img = bigimg.open(files / name)
    img = img.astype(np.int16)
    img.to_netcdf(files / "x.nc", engine="scipy")
    with xr.open_dataarray(files / "x.nc", engine="scipy") as found:
        again = bigimg.open(found)
        np.testing.assert_array_equal(again.values, img.values)
        assert again.bigimg.spacing == img.bigimg.spacing
        assert again.bigimg.units == img.bigimg.units
        assert again.bigimg.channels == img.bigimg.channels
        assert dict(again.bigimg.meta) == dict(img.bigimg.meta)
        if img.bigimg.affine is None:
            assert again.bigimg.affine is None
        else:
            np.testing.assert_allclose(again.bigimg.affine, img.bigimg.affine)


def test_attrs_of_earlier_releases_are_read() -> None:
    img = bigimg.from_array(np.zeros((4, 5), np.uint8))
    img.attrs |= {"world": AFFINE.tolist(), "meta": {"Scanner": "S"}}
    assert dict(img.bigimg.meta) == {"Scanner": "S"}
    np.testing.assert_allclose(img.bigimg.affine, AFFINE)
    assert dict(bigimg.open(img).bigimg.meta) == {"Scanner": "S"}
