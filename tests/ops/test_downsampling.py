"""Whole factors against numpy and scikit-image; geometry against nibabel; what is read is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask
import nibabel
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.transform import downscale_local_mean

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.open import StoreReader
from bigimg.types import Array
from tests.oracles import coarser, fast_mean

PIXELS = np.random.default_rng(0).integers(0, 4000, (12, 95, 131)).astype(np.uint16)


def computed(pixels: Array, chunk: int = 17) -> Any:
    """Return an image that is the result of a computation on blocks, as any user's may be."""
    return bigimg.from_array(pixels, dims="zyx"[-pixels.ndim :]).chunk(y=chunk, x=chunk + 4) + np.zeros(
        (), pixels.dtype
    )


@given(
    st.sampled_from(["u1", "i4", "f8"]).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9),
                             elements={"min_value": -100, "max_value": 100} if d != "u1" else None)
    ),
    st.integers(1, 5), st.integers(1, 5), st.sampled_from(["mean", "mode", "min", "max", "nearest"]),
    st.booleans(),
)  # fmt: skip
def test_numbers(pixels: Array, fy: int, fx: int, method: Any, lazy: bool) -> None:
    img = computed(pixels, 2) if lazy else bigimg.from_array(pixels, dims="zyx"[-pixels.ndim :])
    fy, fx = min(fy, img.sizes["y"]), min(fx, img.sizes["x"])
    small = bigimg.downsample(img, {"y": fy, "x": fx}, method=method)
    step = (*(1,) * (pixels.ndim - 2), fy, fx)
    assert small.dtype == pixels.dtype
    close = (1e-12, 1e-9) if pixels.dtype.kind == "f" else (0, 0)
    expected = coarser(pixels, step, method)
    np.testing.assert_allclose(small.values, expected, rtol=close[0], atol=close[1])


@pytest.mark.parametrize("factor", [2, 3, 5, 12])
def test_as_scikit_image_has_it(factor: int) -> None:
    pixels = PIXELS[:, :60, :120].astype(float)
    expected = downscale_local_mean(pixels, (1, factor, factor))
    small = bigimg.downsample(computed(pixels), {"y": factor, "x": factor})
    np.testing.assert_allclose(small.values, expected, rtol=1e-12)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "distributed"])
def test_any_scheduler_and_any_blocks(scheduler: str) -> None:
    expected = fast_mean(PIXELS, (3, 3, 3))
    images = [computed(PIXELS), computed(PIXELS, 50), bigimg.from_array(PIXELS, dims="zyx")]
    images.append(images[-1].chunk(z=5, y=31, x=70))
    smooth = bigimg.downsample(PIXELS, 3, method="gaussian").values
    if scheduler == "distributed":
        import distributed

        with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0"):
            for img in images[::2]:
                np.testing.assert_array_equal(bigimg.downsample(img, 3).values, expected)
        return
    with dask.config.set(scheduler=scheduler):
        for img in images:
            np.testing.assert_array_equal(bigimg.downsample(img, 3).values, expected)
            np.testing.assert_array_equal(bigimg.downsample(img, 3, method="gaussian").values, smooth)


@pytest.mark.parametrize(("method", "shift"), [("mean", 1.0), ("nearest", 0.0), ("max", 1.0)])
def test_middles_of_windows_in_the_world(method: Any, shift: float) -> None:
    affine = np.array([[0, -2.0, 0, 30], [1.5, 0, 0.2, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(PIXELS.T, affine)
    img = bigimg.with_geometry(bigimg.from_array(PIXELS, dims="zyx"), world=affine)  # coordinates are indices
    small = bigimg.downsample(img, 3, method=method)
    moved = affine @ np.array([[3, 0, 0, shift], [0, 3, 0, shift], [0, 0, 3, shift], [0, 0, 0, 1]])
    np.testing.assert_allclose(small.bigimg.affine, moved, atol=1e-12)
    if method == "nearest":
        np.testing.assert_allclose(image.slicer[::3, ::3, ::3].affine, moved, atol=1e-12)
        np.testing.assert_array_equal(small.values.T, np.asarray(image.slicer[::3, ::3, ::3].dataobj))
    assert small.bigimg.units == img.bigimg.units
    one = bigimg.downsample(img, {"z": 12})  # one pixel is left, and its thickness is known
    assert one.bigimg.spacing["z"] == 12
    assert float(one.z[0]) == 5.5


def test_what_is_not_a_pixel_stays() -> None:
    rgb = bigimg.from_array(np.zeros((20, 30, 3), np.uint8), spacing=(0.5, 0.25), unit="um")
    small = bigimg.downsample(rgb, to_spacing=1.0)
    assert small.shape == (3, 10, 8)
    assert small.bigimg.spacing == {"y": 1.0, "x": 1.0}
    assert small.bigimg.channels == ("R", "G", "B")
    assert list(small.color.values) == ["FF0000", "00FF00", "0000FF"]
    assert bigimg.downsample(rgb, to_spacing={"x": 0.1, "y": 1.0}).shape == (3, 10, 30)  # one stays as it is
    with pytest.raises(
        UsageError, match=r"to_spacing=0.1: the pixels are larger already, .* along y, .* along x"
    ):
        bigimg.downsample(rgb, to_spacing=0.1)
    tilted = rgb.assign_coords(focus=("y", np.arange(20.0)))
    assert "focus" not in bigimg.downsample(tilted, 2).coords


def test_labels_and_masks_stay_what_they_are() -> None:
    ids = np.random.default_rng(0).choice([0, 2**53 + 1, 2**53], (30, 40))
    img = bigimg.from_array(ids)
    img.attrs["kind"] = "labels"
    np.testing.assert_array_equal(bigimg.downsample(img, 4).values, coarser(ids, (4, 4), "mode"))
    mask = np.random.default_rng(0).random((31, 41)) < 0.5
    small = bigimg.downsample(mask, 4)
    assert small.dtype == bool
    np.testing.assert_array_equal(small.values, coarser(mask, (4, 4), "mode"))
    with pytest.raises(UsageError, match="ids that are none"):
        bigimg.downsample(img, 4, method="mean")


def test_a_coronal_plane_has_no_y_and_is_an_image_all_the_same() -> None:
    plane = bigimg.plane(computed(PIXELS), "coronal", index=7)
    np.testing.assert_array_equal(bigimg.downsample(plane, 2).values, fast_mean(PIXELS[:, 7], (2, 2)))


def test_time_only_by_name() -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (6, 8, 8, 8)).astype(np.int16)
    assert bigimg.downsample(pixels, 2).shape == (6, 4, 4, 4)
    np.testing.assert_array_equal(bigimg.downsample(pixels, {"t": 3}).values, fast_mean(pixels, (3, 1, 1, 1)))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    bigimg.convert(PIXELS, tmp_path / "a.ome.zarr", memory="4GB", chunks=16, halve="zyx", progress=False)
    return tmp_path / "a.ome.zarr"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Level and pixels of each read of a store."""
    seen: list[tuple[int, int]] = []
    real = StoreReader.read

    def logged(self: StoreReader, region: Any) -> Array:
        seen.append((self.level, int(np.prod([s.stop - s.start for s in region]))))
        return real(self, region)

    monkeypatch.setattr(StoreReader, "read", logged)
    return seen


def test_one_step_from_full_resolution(store: Path, read: list[tuple[int, int]]) -> None:
    small = bigimg.downsample(store, 4)
    assert not read
    expected = fast_mean(PIXELS, (4, 4, 4))
    np.testing.assert_array_equal(small.values, expected)
    assert {level for level, _ in read} == {0}
    assert sum(count for _, count in read) == PIXELS.size  # each pixel once
    stored = bigimg.open(store, level=2).values
    assert (stored != expected).any()  # means of means that were rounded
    np.testing.assert_array_equal(bigimg.downsample(store, 2, level=1).values, stored)
    np.testing.assert_array_equal(bigimg.downsample(bigimg.open_pyramid(store), 2, level=1).values, stored)


def test_a_level_where_it_has_the_same_numbers(
    store: Path, read: list[tuple[int, int]], tmp_path: Path
) -> None:
    half = bigimg.downsample(store, 2)
    np.testing.assert_array_equal(half.values, fast_mean(PIXELS, (2, 2, 2)))
    assert {level for level, _ in read} == {1}
    xarray.testing.assert_equal(half.coords.to_dataset(), bigimg.open(store, level=1).coords.to_dataset())
    moved = bigimg.with_geometry(bigimg.open(store), spacing=9.0)
    assert bigimg.downsample(moved, 2).bigimg.spacing["x"] == 18.0
    for method in ("max", "nearest"):
        path = tmp_path / f"{method}.ome.zarr"
        bigimg.convert(PIXELS, path, memory="4GB", chunks=16, halve="zyx", method=method, progress=False)
        read.clear()
        for factor, level in ((4, 2), (12, 2), (3, 0), (2, 1)):
            read.clear()
            found = bigimg.downsample(path, factor, method=method)
            np.testing.assert_array_equal(found.values, coarser(PIXELS, (factor,) * 3, method))
            assert {number for number, _ in read} == {level}
        read.clear()
        bigimg.downsample(path, 2).compute()  # another method than that of the store
        assert {level for level, _ in read} == {0}


def test_a_pyramid_is_what_convert_writes(store: Path) -> None:
    stored = bigimg.open_pyramid(store)
    assert list(bigimg.build_pyramid(PIXELS, levels=2).children) == ["scale0", "scale1"]
    tree = bigimg.build_pyramid(computed(PIXELS), levels=len(stored.children), halve="zyx")
    assert list(tree.children) == list(stored.children)
    for name in stored.children:
        ours, theirs = tree[name]["image"], stored[name]["image"]
        assert ours.chunks is not None
        np.testing.assert_array_equal(ours.values, theirs.values)
        xarray.testing.assert_allclose(ours.coords.to_dataset(), theirs.coords.to_dataset())


def test_what_is_written_is_not_computed_through_dask(
    store: Path, tmp_path: Path, read: list[tuple[int, int]]
) -> None:
    bigimg.write(bigimg.downsample(store, 3), tmp_path / "b.ome.zarr", memory="4GB", progress=False)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "b.ome.zarr").values, fast_mean(PIXELS, (3, 3, 3)))
    assert bigimg.open(tmp_path / "b.ome.zarr").bigimg.spacing == {"z": 3, "y": 3, "x": 3}
    assert sum(count for level, count in read if level == 0) < 1.1 * PIXELS.size


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"factor": 0}, "factor 0 along z of 12 pixels: give a whole number from 1 to 131"),
        ({"factor": 0.0}, "factor 0 along z of 12 pixels: give"),  # as --factor 0 comes
        ({"factor": 2.5}, "factor 2.5 along z"),
        ({"factor": "two"}, "factor='two': give whole numbers"),
        ({"to_spacing": "a"}, "to_spacing='a': .* write 0.5um, or"),
        ({"to_spacing": "2um"}, "to_spacing 2 micrometer along z: the image is in pixels there"),
        ({"factor": {"q": 2}}, "factor names 'q': the axes are z y x"),
        ({"factor": {"z": 13}}, "factor 13 along z of 12 pixels: give a whole number from 1 to 12"),
        ({"factor": 132}, "factor 132 along z of 12 pixels: give a whole number from 1 to 131"),
        ({"factor": 2, "method": "median"}, "method 'median': give one of mean, mode"),
        ({}, "give factor or to_spacing"),
        ({"factor": 2, "to_spacing": 3}, "give factor or to_spacing"),
        ({"to_spacing": {"z": -1}}, "to_spacing -1 along z: a distance is above zero"),
        ({"factor": 2, "level": 1}, "level 1 of an array"),
    ],
)
def test_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.downsample(bigimg.from_array(PIXELS, dims="zyx"), **asked)
    with pytest.raises(UsageError, match="levels=0: give at least 1"):
        bigimg.build_pyramid(PIXELS, levels=0)


@pytest.mark.parametrize("method", ["mean", "min", "nearest"])
@pytest.mark.parametrize(("rows", "columns"), [((6, 40), (0, 48)), ((5, 31), (7, 44)), ((39, 40), (0, 2))])
@pytest.mark.parametrize("step", [2, 3, 4, 7])
def test_holes_are_missing_where_all_that_makes_a_pixel_is(
    method: Any, rows: tuple[int, int], columns: tuple[int, int], step: int
) -> None:
    pixels, there = PIXELS[0, :40, :48] + 1.0, np.ones((40, 48), bool)
    there[slice(*rows), slice(*columns)] = False
    img = bigimg.from_array(pixels)
    box = {"y": [rows[0] - 0.5, rows[1] - 0.5], "x": [columns[0] - 0.5, columns[1] - 0.5]}
    img.attrs["missing"] = json.dumps([box])
    small = bigimg.downsample(img, step, method=method)
    windows = [
        (pixels[part][:1, :1], there[part][:1, :1]) if method == "nearest" else (pixels[part], there[part])
        for part in (
            np.s_[y : y + step, x : x + step] for y in range(0, 40, step) for x in range(0, 48, step)
        )
    ]
    reduce = np.min if method == "min" else np.mean
    expected = [reduce(window[own]) for window, own in windows if own.any()]
    found = bigimg.stats(small)
    assert int(found["count"]) == len(expected)
    assert float(found["min"]) == pytest.approx(min(expected))
    assert float(found["mean"]) == pytest.approx(np.mean(expected))
