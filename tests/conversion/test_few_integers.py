"""What the samples of a plan tell beside size and time: whether integers may be ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import bigimg
from bigimg.types import Array

RANDOM = np.random.default_rng(1)
NOISE = RANDOM.normal(size=(12, 128, 160))


def cells() -> Array:
    """Return blobs with ids of their own, as a segmentation of nuclei has them."""
    found, _ = ndimage.label(ndimage.gaussian_filter(NOISE[0], 5) > 0.03)
    return np.asarray(found)


def regions() -> Array:
    """Return regions that fill space, as an atlas has them."""
    seeds = RANDOM.permutation(NOISE.size)[:60]
    at = np.full(NOISE.size, 0)
    at[seeds] = np.arange(1001, 1061)
    nearest = ndimage.distance_transform_edt(
        at.reshape(NOISE.shape) == 0, return_distances=False, return_indices=True
    )
    return np.asarray(at.reshape(NOISE.shape)[tuple(nearest)])


def skull_stripped() -> Array:
    """Return 8 bits of noise with much black around."""
    image = np.clip(NOISE * 20 + 120, 1, 255).astype(np.uint8)
    image[:, :, :120] = 0
    return image


ASKED = {
    "cells": cells().astype(np.int32), "atlas": regions().astype(np.int16),
    "mask": (cells() > 0).astype(np.uint8) * 255,
}  # fmt: skip
NOT_ASKED = {
    "noise": (NOISE * 20 + 120).astype(np.uint8), "12 bits": (NOISE * 300 + 2000).astype(np.uint16),
    "stripped": skull_stripped(), "empty": np.zeros((40, 50), np.uint8), "floats": regions().astype(np.float32),
    "booleans": cells() > 0,
}  # fmt: skip


def questions(image: Array, tmp_path: Path, **options: str) -> list[str]:
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    notes = bigimg.plan(tmp_path / "a.tif", tmp_path / "a.zarr", **options).notes  # type: ignore[arg-type]
    return [note for note in notes if "kind='labels'" in note]


@pytest.mark.parametrize("name", ASKED)
def test_few_integers_in_areas_are_asked_about(tmp_path: Path, name: str) -> None:
    (question,) = questions(ASKED[name], tmp_path)
    assert 2 <= int(question.split()[3]) <= len(np.unique(ASKED[name]))  # the samples may lack some
    assert bigimg.open(tmp_path / "a.tif").attrs["kind"] == "image"  # and never decided
    for kind in ("image", "labels"):
        assert not questions(ASKED[name], tmp_path, kind=kind)


@pytest.mark.parametrize("name", NOT_ASKED)
def test_intensities_are_not_asked_about(tmp_path: Path, name: str) -> None:
    assert not questions(NOT_ASKED[name], tmp_path)
