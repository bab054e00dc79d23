"""Numbers in the byte order of other machines, as FITS and netCDF have them: the same answers as of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray

import bigimg
from bigimg.types import Array

NUMBERS = np.random.default_rng(0).integers(0, 100, (40, 37))
GIVEN: dict[str, Callable[[Array], Any]] = {
    "numpy": lambda pixels: pixels,
    "labelled": lambda pixels: xarray.DataArray(pixels, dims=["y", "x"]),
    "dask": lambda pixels: xarray.DataArray(pixels, dims=["y", "x"]).chunk(y=7),
}
ASKED: dict[str, Callable[[Any], Any]] = {
    "stats": lambda img: bigimg.stats(img).to_dataarray(),
    "percentile": lambda img: bigimg.percentile(img, [0, 30, 100]),
    "histogram": lambda img: bigimg.histogram(img, bins=5, range=(0, 100)),
    "otsu": lambda img: bigimg.mask(img, otsu=True),
    "mean": lambda img: bigimg.downsample(img, 2),
    "gaussian": lambda img: bigimg.downsample(img, 4, method="gaussian"),
    "resize": lambda img: bigimg.resize(img, (11, 9)),
    "pyramid": lambda img: bigimg.build_pyramid(img, levels=2)["scale1"]["image"],
    "rescale": bigimg.rescale,
    "patches": lambda img: xarray.DataArray(bigimg.patches(img, 8, n=5, seed=0).stack()),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "f4", "f8"])
def test_the_other_byte_order(dtype: str, given: str, name: str) -> None:
    own, other = (ASKED[name](GIVEN[given](NUMBERS.astype(order + dtype))) for order in "=>")
    np.testing.assert_array_equal(other.values, own.values)
    assert other.dtype == own.dtype
