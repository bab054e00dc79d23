"""Any shape against matrices of weights and scikit-image; which level is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import xarray as xr
from skimage.transform import downscale_local_mean

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.open import StoreReader
from bigimg.ops.resizing import resized
from bigimg.types import Array

PIXELS = np.random.default_rng(0).integers(0, 256, (301, 203, 3)).astype(np.uint8)


def shares(n: int, m: int) -> Array:
    """Return the matrix that averages ``n`` pixels to ``m``: the share that each result has of each pixel."""
    low = np.arange(m)[:, None] * n / m
    inside = np.minimum(low + n / m, np.arange(1, n + 1)) - np.maximum(low, np.arange(n))
    return np.clip(inside, 0, None) * m / n


def means(pixels: Array, h: int, w: int) -> Array:
    rows = np.tensordot(shares(pixels.shape[0], h), pixels.astype(float), (1, 0))
    return np.tensordot(shares(pixels.shape[1], w), rows, (1, 1)).transpose(2, 1, 0)


@pytest.mark.parametrize("size", [(174, 187), (1, 1), (301, 7), (150, 203), (299, 200), (100, 101)])
def test_means_of_what_is_covered(size: tuple[int, int]) -> None:
    expected = means(PIXELS, *size)
    real = bigimg.from_array(PIXELS.astype(np.float64))
    np.testing.assert_allclose(bigimg.resize(real, size).values, expected, rtol=1e-12)
    for blocks in ({}, {"y": 40, "x": 31}):
        small = bigimg.resize(bigimg.from_array(PIXELS).chunk(blocks) + np.uint8(0), size)
        assert small.dtype == np.uint8
        away = (
            np.abs(expected - np.floor(expected) - 0.5) > 1e-9
        )  # not a tie, which floats of the oracle may miss
        np.testing.assert_array_equal(small.values[away], np.rint(expected)[away])


def test_whole_factors_are_local_means() -> None:
    pixels = PIXELS[:300, :200, 0].astype(float)
    small = bigimg.resize(pixels, (100, 50))
    np.testing.assert_allclose(small.values, downscale_local_mean(pixels, (3, 4)), rtol=1e-12)
    np.testing.assert_array_equal(
        bigimg.resize(PIXELS[:300, :200], (100, 50)).values,
        bigimg.downsample(PIXELS[:300, :200], {"y": 3, "x": 4}).values,
    )


def test_the_field_of_view_stays() -> None:
    img = bigimg.from_array(PIXELS, spacing=(2.0, 0.5), unit="mm")
    small = bigimg.resize(img, (100, 50))
    assert small.bigimg.fov == pytest.approx(img.bigimg.fov)
    np.testing.assert_allclose(small.bigimg.extent, img.bigimg.extent)
    assert small.bigimg.channels == ("R", "G", "B")
    ramp = bigimg.from_array(np.add.outer(np.arange(301) * 3.0, np.arange(203)), spacing=(2.0, 0.5))
    small = bigimg.resize(ramp, (100, 50))  # the mean of a ramp is its value at the middle
    np.testing.assert_allclose(
        small.values, np.add.outer(small.y.values / 2 * 3, small.x.values / 0.5), atol=0.1
    )


def test_labels_and_masks() -> None:
    ids = np.random.default_rng(0).choice([0, 7, 2**53 + 1], (31, 40))
    img = bigimg.from_array(ids)
    img.attrs["kind"] = "labels"
    small = bigimg.resize(img, (13, 17))
    middles = [np.floor((np.arange(m) + 0.5) * n / m).astype(int) for n, m in ((31, 13), (40, 17))]
    np.testing.assert_array_equal(small.values, ids[np.ix_(*middles)])
    with pytest.raises(UsageError, match="ids that are none"):
        bigimg.resize(img, (3, 3), method="mean")
    mask = np.random.default_rng(0).random((31, 40)) < 0.5
    share = shares(31, 13) @ mask @ shares(40, 17).T
    np.testing.assert_array_equal(bigimg.resize(mask, (13, 17)).values, share >= 0.5)


def test_a_flat_image_stays_flat_up_to_the_ends_of_its_type() -> None:
    for value, dtype in ((65535, "u2"), (-(2**31), "i4"), (2**63 - 1, "i8"), (2**64 - 1, "u8"), (0.1, "f4")):
        pixels = np.full((61, 59), value, dtype)
        assert (bigimg.resize(pixels, (7, 11)).values == pixels[0, 0]).all()


@pytest.fixture
def levels_read(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    seen: set[int] = set()
    real = StoreReader.read

    def logged(self: StoreReader, region: Any) -> Array:
        seen.add(self.level)
        return real(self, region)

    monkeypatch.setattr(StoreReader, "read", logged)
    return seen


def test_the_smallest_level_that_is_four_times_finer(tmp_path: Path, levels_read: set[int]) -> None:
    path = tmp_path / "a.ome.zarr"
    tree = bigimg.convert(PIXELS, path, memory="4GB", chunks=32, progress=False)
    for source in (path, tree, bigimg.open(path)):
        for size, level in (((151, 102), 0), ((38, 20), 0), ((37, 25), 1), ((19, 12), 2)):
            levels_read.clear()
            small = bigimg.resize(source, size)
            assert not levels_read
            small.compute()
            assert levels_read == {level}
        np.testing.assert_allclose(
            bigimg.resize(source, (20, 12), level=0).values, means(PIXELS, 20, 12), atol=0.501
        )
        assert bigimg.resize(source, {"y": 40}).shape == (3, 40, 203)


@pytest.mark.parametrize("kind", ["image", "labels", "mask", "scaled", "volume"])
@pytest.mark.parametrize("side", [9, 40])
def test_the_same_image_gives_the_same_answer_however_it_is_named(
    kind: str, side: int, tmp_path: Path
) -> None:
    pixels: Array = np.random.default_rng(2).integers(0, 256, (250, 190)).astype(np.uint8)
    settings: dict[str, Any] = {"image": {}, "scaled": {}, "volume": {"spacing": "z=1,y=1,x=1um"}}.get(
        kind, {"kind": kind}
    )
    path, shape = tmp_path / "a.ome.zarr", {"y": side, "x": side}
    if kind == "mask":
        pixels = pixels < 125
    elif kind == "volume":
        pixels = np.stack([pixels] * 40)
    source: Any = pixels
    if kind == "scaled":
        source = tmp_path / "a.nii"
        image = nibabel.Nifti1Image(pixels.T.astype(np.int16), np.eye(4))
        image.header.set_slope_inter(0.5, 3)
        image.to_filename(source)
    tree = bigimg.convert(source, path, memory="4GB", chunks=16, progress=False, **settings)
    found = bigimg.resize(path, shape)
    shown = bigimg.thumbnail(path, side)
    for same in (tree, bigimg.open(path)):
        xr.testing.assert_identical(bigimg.resize(same, shape).compute(), found.compute())
        np.testing.assert_array_equal(bigimg.thumbnail(same, side), shown)
    if kind == "image":  # the level has exact means but for its own rounding, and windows cut pixels of it
        exact = means(pixels[..., None], side, side)[0]
        assert np.abs(found.values - exact).mean() < 1


def test_a_level_asked_for_is_taken_also_where_the_sides_are_those_of_the_image(tmp_path: Path) -> None:
    volume = np.random.default_rng(1).integers(0, 256, (4, 64, 64)).astype(np.uint8)
    tree = bigimg.write(volume, tmp_path / "v.ome.zarr", spacing="z=4,y=1,x=1", chunks=16, progress=False)
    for source in (tmp_path / "v.ome.zarr", tree):
        found = bigimg.resize(source, {"z": 4}, level=1)
        np.testing.assert_array_equal(found.values, tree["scale1/image"].values)
        assert found.bigimg.spacing == tree["scale1/image"].bigimg.spacing


@pytest.mark.parametrize("size", [(37, 30), (151, 102), (76, 51), (60, 51)])
def test_from_a_level_whose_last_pixel_sticks_out(tmp_path: Path, size: tuple[int, int]) -> None:
    """Level 2 has 76 x 51 pixels for 75.25 x 50.75: taken as whole it was stretched, the more the further right."""
    path = tmp_path / "a.ome.zarr"
    y, x = np.ogrid[:301, :203]
    pixels = (3000.0 * y + 7 * x).astype(np.float64)
    bigimg.convert(pixels, path, memory="4GB", chunks=32, spacing="y=2,x=0.5um", progress=False)
    found, exact = bigimg.resize(path, size), bigimg.resize(path, size, level=0)
    np.testing.assert_allclose(found.bigimg.extent, exact.bigimg.extent, rtol=1e-12)
    np.testing.assert_allclose(found.values[:-1, :-1], exact.values[:-1, :-1], atol=0.6 * 3007)
    for name in "yx":
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-12)
    # What a level has averaged is not cut anew: that is all that they differ by, the last pixel included.
    np.testing.assert_allclose(found.mean(), exact.mean(), rtol=2e-3)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((302, 3), "302 pixels along y: give 1 to 301"),
        ((0, 3), "0 pixels along y"),
        ((1, 2, 3), "3 numbers for the axes y x: give one each"),
        ({"c": 2}, "shape names 'c': channels are kept whole; the axes are y x"),
        (("three", 3), "shape=.*: give whole numbers of pixels"),
        ((2.5, 3), "2.5 pixels along y"),
    ],
)
def test_refused(shape: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.resize(PIXELS, shape)
    with pytest.raises(UsageError, match="give mean or nearest"):
        bigimg.resize(PIXELS, (3, 3), method="cubic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="level 3 of an image without levels"):
        bigimg.resize(bigimg.from_array(PIXELS), (3, 3), level=3)


@pytest.mark.parametrize("seed", range(12))
def test_holes_are_missing_where_all_that_makes_a_pixel_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels, there = PIXELS[:40, :48, 0] + 1.0, np.ones((40, 48), bool)
    split, below, right = rng.integers(1, 20), rng.integers(21, 41), rng.integers(20, 49)
    boxes = [
        (slice(2, split + 2), slice(0, right)),
        (slice(split + 2, below + 2), slice(5, 48)),
    ]  # they touch
    img = bigimg.from_array(pixels)
    edges = [
        {name: [s.start - 0.5, s.stop - 0.5] for name, s in zip("yx", box, strict=True)} for box in boxes
    ]
    img.attrs["missing"] = json.dumps(edges)
    for box in boxes:
        there[box] = False
    h, w = rng.integers(3, 40), rng.integers(3, 48)
    rows, columns = shares(40, h), shares(48, w)
    weights = rows @ there @ columns.T
    kept = weights > 1e-9
    expected = (rows @ (pixels * there) @ columns.T)[kept] / weights[kept]
    found = bigimg.stats(bigimg.resize(img, (int(h), int(w))))
    assert int(found["count"]) == expected.size
    assert float(found["min"]) == pytest.approx(expected.min())
    assert float(found["mean"]) == pytest.approx(expected.mean())
    y, x = ((2 * np.arange(m) + 1) * n // (2 * m) for n, m in ((40, h), (48, w)))
    taken = pixels[np.ix_(y, x)][there[np.ix_(y, x)]]
    found = bigimg.stats(bigimg.resize(img, (int(h), int(w)), method="nearest"))
    assert (int(found["count"]), float(found["mean"])) == (taken.size, pytest.approx(taken.mean()))


def test_holes_of_a_level_whose_last_pixel_reaches_beyond(tmp_path: Path) -> None:
    pixels = PIXELS[:39, :47, 0] + 1.0
    bigimg.write(bigimg.from_array(pixels), tmp_path / "a.zarr", levels=2, halve="yx", chunks=16, shards=16)
    coarse = bigimg.open(tmp_path / "a.zarr", level=1)
    values, there = coarse.values, np.ones((20, 24), bool)
    there[7:] = False
    y = coarse.y.values
    coarse.attrs["missing"] = json.dumps([{"y": [(y[6] + y[7]) / 2, y[-1] + 1]}])
    full = bigimg.open(tmp_path / "a.zarr")
    small = resized(coarse, full, (11, 13))
    rows, columns = (np.add.reduceat(shares(n, m).T, np.arange(0, n, 2)).T for n, m in ((39, 11), (47, 13)))
    weights = rows @ there @ columns.T
    kept = weights > 1e-9
    expected = (rows @ (values * there) @ columns.T)[kept] / weights[kept]
    found = bigimg.stats(small)
    assert (int(found["count"]), float(found["mean"])) == (expected.size, pytest.approx(expected.mean()))
