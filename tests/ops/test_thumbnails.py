"""Thumbnails: aspect, levels read, means against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.open import StoreReader
from bigimg.types import Array
from bigimg.viewing.pictures import plane_picture

PIXELS = np.random.default_rng(0).integers(0, 255, (600, 900, 3)).astype(np.uint8)


def means(pixels: Array, factor: int) -> Array:
    h, w = (n // factor for n in pixels.shape[:2])
    cut = pixels[: h * factor, : w * factor].reshape(h, factor, w, factor, -1).astype(np.float64)
    return np.rint(cut.mean((1, 3))).astype(pixels.dtype).reshape(h, w, *pixels.shape[2:])


def test_powers_of_two_are_plain_means() -> None:
    pixels = PIXELS[:512, :768]
    for blocks in ({"y": 64, "x": 128}, {"y": 100, "x": 70}, {}):  # whole windows, straddled ones, no blocks
        img = bigimg.from_array(pixels).chunk(blocks)
        small = bigimg.thumbnail(img, 96)
        assert small.dtype == np.uint8
        np.testing.assert_array_equal(small, means(pixels, 8))
    np.testing.assert_array_equal(bigimg.thumbnail(pixels[..., 0], 96), means(pixels[..., 0], 8))


@pytest.mark.parametrize("most", [90, 111, 200, 449, 700])
def test_other_sizes_keep_everything_in_place(most: int) -> None:
    # A ramp shows shifts and stretches: each thumbnail pixel is the value at its own centre.
    ramp = np.add.outer(np.arange(601) * 50.0, np.arange(903) * 20.0)
    small = bigimg.thumbnail(bigimg.from_array(ramp).chunk(y=64), most)
    h, w = small.shape
    y, x = (np.arange(h) + 0.5) * 601 / h - 0.5, (np.arange(w) + 0.5) * 903 / w - 0.5
    want = np.add.outer(y * 50, x * 20)
    edge = slice(2, -2)
    assert np.abs(small - want)[edge, edge].max() < 40  # of 48 000: less than a source pixel


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 120), st.floats(0.2, 5), st.floats(0.2, 5))
def test_true_aspect_never_enlarged(h: int, w: int, most: int, dy: float, dx: float) -> None:
    img = bigimg.from_array(np.ones((h, w), np.uint8), spacing=(dy, dx), unit="um")
    got = bigimg.thumbnail(img, most).shape
    lengths = (h * dy, w * dx)
    assert max(got) <= most
    assert got[0] <= h
    assert got[1] <= w
    scale = max(got) / max(lengths)
    for have, length in zip(got, lengths, strict=True):
        assert abs(have - max(1, length * scale)) <= 1 + 0.5 * max(got) / max(1, max(got) - 0.5)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
def test_a_flat_image_stays_flat(dtype: str) -> None:
    pixels = np.full((101, 67), 77, dtype)
    small = bigimg.thumbnail(pixels, 23)
    assert small.dtype == dtype
    assert (small == 77).all()


def test_labels_stay_ids_and_masks_booleans() -> None:
    ids = np.random.default_rng(0).choice([0, 70_001, 2**31 - 1], (90, 80)).astype(np.int32)
    img = bigimg.from_array(ids)
    img.attrs["kind"] = "labels"
    assert set(np.unique(bigimg.thumbnail(img, 20))) <= set(np.unique(ids))
    mask = np.zeros((90, 90), bool)
    mask[:45] = True
    small = bigimg.thumbnail(mask, 30)
    assert small.dtype == bool
    assert small[:15].all()
    assert not small[15:].any()


def test_the_middle_of_a_volume() -> None:
    pixels = np.zeros((2, 5, 30, 40), np.uint8)
    pixels[1, 2] = 9
    assert (bigimg.thumbnail(pixels, 10) == 9).all()


def test_the_smallest_level_that_is_four_times_finer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ome.zarr"
    tree = bigimg.convert(PIXELS, path, memory="4GB", chunks=128, progress=False)
    read = []
    real = StoreReader.read

    def logged(self: StoreReader, region: Any) -> Array:
        read.append(self.level)
        return real(self, region)

    monkeypatch.setattr(StoreReader, "read", logged)
    for most, level in ((113, 0), (112, 1), (56, 2), (27, 3)):
        for source in (path, tree, bigimg.open(path)):
            read.clear()
            small = bigimg.thumbnail(source, most)
            assert set(read) == {level}
            assert max(small.shape) == most
    np.testing.assert_array_equal(bigimg.thumbnail(path, 450), means(PIXELS, 2))


def test_no_size() -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        bigimg.thumbnail(PIXELS, 0)


def test_no_data_does_not_count_in_planes_and_pictures(tmp_path: Path) -> None:
    values = np.full((3, 64, 64), 100, np.int16)
    values[:, :, ::2] = -9999
    for z, name in ((1, "plane.tif"), (3, "volume.tif")):
        tifffile.imwrite(
            tmp_path / name, values[:z], photometric="minisblack", extratags=[(42113, "s", 0, "-9999", True)]
        )
        assert set(bigimg.thumbnail(tmp_path / name, 16).ravel()) == {100}
        picture = tmp_path / f"{name}.png"
        plane_picture(tmp_path / name, picture, most=16)
        assert len(np.unique(np.asarray(Image.open(picture)))) == 1


def test_the_overhang_of_a_turned_level_counts_as_that_of_an_unturned_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (301, 301), np.uint8)
    turned = np.diag([-1.0, 1, 1, 1])
    pictures = []
    for name, affine, values in (("a", np.eye(4), pixels), ("b", turned, pixels[:, ::-1])):
        img = bigimg.from_array(values, dims="yx", affine=affine, unit="mm")
        bigimg.write(img, tmp_path / f"{name}.zarr", progress=False)
        plane_picture(tmp_path / f"{name}.zarr", tmp_path / f"{name}.png", most=9)
        pictures.append(np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int))
        np.testing.assert_array_equal(pictures[-1], bigimg.thumbnail(tmp_path / f"{name}.zarr", 9))
