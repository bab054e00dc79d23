"""Pixels that a TIFF declares to be no data, against numpy's masked arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import bigimg
from bigimg.types import Array

RNG = np.random.default_rng(5)


def write(path: Path, pixels: Array, text: str, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, metadata=None, extratags=[(42113, 2, None, text, True)], **options)
    return path


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        ("i2", "-32768"),
        ("u1", "255"),
        ("u2", "0"),
        ("f4", "-3.40282346638529e+38"),
        ("f8", "1e20"),
        ("f4", "nan"),
    ],
)
def test_no_data_is_left_out_of_every_level_and_number(tmp_path: Path, dtype: str, text: str) -> None:
    pixels = RNG.integers(1, 200, (300, 260)).astype(dtype)
    value = np.dtype(dtype).type(float(text))
    pixels[:, 131:] = value
    pixels[10:51, 20:83] = value
    absent = np.isnan(pixels) if np.isnan(value) else pixels == value
    path = write(tmp_path / "dem.tif", pixels, text, tile=(64, 64))
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(path, store, chunks=32, progress=False)
    kept = pixels[~absent].astype(float)
    for found in (bigimg.stats(store), bigimg.stats(bigimg.open(path))):
        assert int(found["count"]) == kept.size
        np.testing.assert_allclose([float(found["mean"]), float(found["max"])], [kept.mean(), kept.max()])
    real = np.ma.masked_array(pixels.astype(float), absent).reshape(150, 2, 130, 2)
    expected = real.mean(axis=(1, 3))
    made = [
        bigimg.open(store, level=1).values, bigimg.downsample(path, 2).values, bigimg.resize(path, (150, 130)).values,
        bigimg.build_pyramid(path, levels=2)["scale1"]["image"].values,
    ]  # fmt: skip
    for level in made:
        there = ~np.ma.getmaskarray(expected)
        rounded = np.rint(expected.data) if np.dtype(dtype).kind in "ui" else expected.data
        np.testing.assert_allclose(level[there], rounded[there], rtol=1e-6)
        np.testing.assert_array_equal(level[~there], value)
    coarse = bigimg.open(store, level=-1).values
    inside = coarse[~np.isnan(coarse)] if np.isnan(value) else coarse[coarse != value]
    assert inside.min() >= 1
    assert inside.max() < 200
    assert any("no data (GDAL_NODATA)" in note for note in bigimg.info(path).notes)
    assert bigimg.verify(store, path).ok


def test_the_gaussian_of_a_store_is_verified_with_its_padding(tmp_path: Path) -> None:
    pixels = RNG.integers(100, 200, (150, 140)).astype(np.int16)
    pixels[40:, 60:] = -1
    path, store = write(tmp_path / "a.tif", pixels, "-1"), tmp_path / "a.ome.zarr"
    bigimg.convert(path, store, chunks=32, method="gaussian", progress=False)
    level = bigimg.open(store, level=1).values
    assert level[level != -1].min() >= 100
    assert bigimg.verify(store).ok


@pytest.mark.parametrize(
    ("text", "says"), [("-9999", "no value that uint8 can have"), ("none", "is no number"), ("0.5", "uint8")]
)
def test_no_data_that_no_pixel_can_have_is_said(tmp_path: Path, text: str, says: str) -> None:
    pixels = RNG.integers(0, 200, (30, 20)).astype(np.uint8)
    path = write(tmp_path / "a.tif", pixels, text)
    assert any(says in note for note in bigimg.info(path).notes)
    assert int(bigimg.stats(bigimg.open(path))["count"]) == pixels.size
