"""Masks made by arithmetic of one's own, without some axes of the image, against numpy; whatever the blocks are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray

import bigimg

VALUES = np.random.default_rng(3).integers(0, 256, (2, 3, 20, 30), np.uint8)
MASKS: dict[str, Callable[[Any], Any]] = {
    "any channel": lambda img: (img < 60).any("c"),
    "one channel": lambda img: img.isel(c=1) < 128,
    "mean of channels": lambda img: img.mean("c") < 128,
    "one time": lambda img: img.isel(t=0) < 128,
    "a plane": lambda img: img.isel(t=1, c=2) > 99,
}
CHUNKS = [{"c": 1}, {"t": 1, "c": 1}, {"t": 1, "c": 2, "y": 7, "x": 30}, {"t": 2, "c": 3, "y": 20, "x": 11}]


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_each_statistic_is_numpys(mask: Callable[[Any], Any], chunks: dict[str, int]) -> None:
    img = bigimg.from_array(VALUES, dims="tcyx").chunk(chunks)
    plain = xarray.DataArray(VALUES, dims=tuple("tcyx"))
    where = np.broadcast_to(mask(plain).transpose(..., "y", "x").broadcast_like(plain).values, VALUES.shape)
    chosen = [VALUES[:, c][where[:, c]] for c in range(3)]

    found = bigimg.stats(img, where=mask(img)).compute()
    np.testing.assert_array_equal(found["count"], [len(values) for values in chosen])
    np.testing.assert_allclose(found["mean"], [values.mean() for values in chosen], rtol=1e-12)
    counts = bigimg.histogram(img, bins=16, range=(0, 256), where=mask(img)).transpose("c", ...).values
    np.testing.assert_array_equal(counts, [np.histogram(values, 16, (0, 256))[0] for values in chosen])
    middle = bigimg.percentile(img, 50, where=mask(img)).values.ravel()
    np.testing.assert_array_equal(middle, [np.percentile(values, 50) for values in chosen])
    dark = bigimg.fraction(img < 50, where=mask(img)).values
    np.testing.assert_allclose(dark, [(values < 50).mean() for values in chosen], rtol=1e-12)
    kept = bigimg.apply_mask(img, mask(img)).values
    np.testing.assert_array_equal(kept, np.where(where, VALUES, 0))
