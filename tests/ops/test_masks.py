"""Masks by numpy's comparisons, on their own and on other grids, and what they cover."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

import bigimg
from bigimg.errors import UsageError
from bigimg.lazy.node_of_array import node_of
from bigimg.omezarr.open import StoreReader
from bigimg.opening.data_array import to_labelled
from bigimg.ops.statistics.tables import fraction_table
from bigimg.types import Array
from tests.ops.statistics.test_stats import volume
from tests.virtual import Virtual


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of pixels of each reading of a store."""
    read, real = [], StoreReader.read

    def reading(self: StoreReader, region: Any) -> Array:
        found = real(self, region)
        read.append(found.size)
        return found

    monkeypatch.setattr(StoreReader, "read", reading)
    return read


def rgb(*shape: int) -> xarray.DataArray:
    return bigimg.from_array(volume("u1", *shape, 3), dims="yxc", spacing=0.5, unit="um")


# --------------------------------------------------------------------------------------------------------- making


def test_conditions_hold_together() -> None:
    img = rgb(31, 37)
    pixels = img.values
    for given_, want in (
        ({"below": 125}, pixels < 125),
        ({"above": 125}, pixels > 125),
        ({"between": (50, 60)}, (pixels >= 50) & (pixels <= 60)),
        ({"equals": 7}, pixels == 7),
        ({"above": 20, "below": 30.5}, (pixels > 20) & (pixels < 30.5)),
        ({"below": [10, 20, 30]}, pixels < np.array([10, 20, 30])[:, None, None]),
        ({"below": {"B": 30, "R": 10, "G": 20}}, pixels < np.array([10, 20, 30])[:, None, None]),
        ({"otsu": True}, pixels > np.array([threshold_otsu(c) for c in pixels])[:, None, None]),
    ):
        found = bigimg.mask(img.chunk(y=8, c=2), **given_)
        assert found.dtype == bool
        assert found.chunks is not None
        np.testing.assert_array_equal(found.values, want)
        assert found.bigimg.spacing == img.bigimg.spacing
        assert found.bigimg.channels == ("R", "G", "B")
        assert found.bigimg.kind == "mask"


@pytest.mark.parametrize("between", [(9, 3), ([1, 9, 1], [2, 3, 2]), ({"G": 9}, {"G": 3})])
def test_ends_the_wrong_way_round_are_refused(between: Any) -> None:
    with pytest.raises(UsageError, match=r"between=\(9, 3\): give two numbers, the smaller first"):
        bigimg.mask(rgb(3, 4), between=between)
    with pytest.raises(UsageError, match="between: no channel 'Q'"):
        bigimg.mask(rgb(3, 4), between=({"Q": 3}, {"Q": 9}))


@given(st.sampled_from(["u1", "i2", "u8", "i8"]), st.integers(-(2**65), 2**65) | st.floats(-1e20, 1e20))
def test_integers_are_compared_exactly(dtype: str, threshold: float) -> None:
    pixels = volume(dtype, 5, 6)
    odd = 2**53 + 1 if dtype[1] == "8" else 9
    pixels[0, :3] = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, odd], dtype)
    if dtype[1] == "8":
        pixels[1, :2] = [2**53, 2**53 + 2]
    with dask.config.set(scheduler="synchronous"):
        img = bigimg.from_array(pixels, dims="yx")
        found = [bigimg.mask(img, **{name: threshold}).values for name in ("below", "above", "equals")]
    numbers = [[int(v) for v in row] for row in pixels]
    assert found[0].tolist() == [[v < threshold for v in row] for row in numbers]
    assert found[1].tolist() == [[v > threshold for v in row] for row in numbers]
    assert found[2].tolist() == [[v == threshold for v in row] for row in numbers]


def test_otsu_from_the_store_reads_no_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bigimg.convert(volume("u1", 90, 80), tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    with monkeypatch.context() as patched:
        patched.setattr(StoreReader, "read", None)
        found = bigimg.mask(bigimg.open(tmp_path / "a.ome.zarr"), otsu=True)
    pixels = volume("u1", 90, 80)
    np.testing.assert_array_equal(found.values, pixels > threshold_otsu(pixels))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "give below="),
        ({"below": {"R": 1, "G": 2, "Q": 3}}, "no channel 'Q'; there are R, G, B"),
        ({"below": {"R": 1}, "above": {"G": 2}}, "below and above: only one names the channel 'G'"),
        ({"below": {}}, "no channel is named; there are R, G, B"),
        ({"below": [1, 2]}, "2 thresholds for 3 channels"),
        ({"above": float("nan")}, "a threshold is a number"),
        ({"between": 5}, "give two numbers"),
    ],
)
def test_conditions_that_mean_nothing(asked: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.mask(rgb(5, 6), **asked)


@pytest.mark.parametrize("named", [{}, {"R": 1}])
def test_channels_without_names_cannot_be_named(named: dict[str, int]) -> None:
    bare = bigimg.from_array(np.zeros((2, 5, 6), np.uint8), dims="cyx").drop_vars("c", errors="ignore")
    for img in (bare, bigimg.from_array(np.zeros((5, 6), np.uint8))):
        with pytest.raises(UsageError, match="the channels have no names: give numbers alone"):
            bigimg.mask(img, below=named)


def test_channels_of_one_name_keep_their_places(tmp_path: Path) -> None:
    pixels = volume("u1", 3, 40, 50)
    img = bigimg.from_array(pixels, dims="cyx", channels=["DAPI", "GFP", "DAPI"])
    tree = bigimg.write(img, tmp_path / "a.ome.zarr", chunks=16, progress=False)
    over = pixels > np.array([threshold_otsu(c) for c in pixels])[:, None, None]
    for source in (img, tmp_path / "a.ome.zarr"):
        np.testing.assert_array_equal(bigimg.mask(source, otsu=True).values, over)
        found = bigimg.mask(source, above={"DAPI": 60}, otsu=True)
        np.testing.assert_array_equal(found.values, (over & (pixels > 60))[[0, 2]])
    np.testing.assert_array_equal(bigimg.mask(tree, otsu=True)["scale0/image"].values, over)
    found = bigimg.mask(tree, above={"DAPI": 60}, otsu=True)
    np.testing.assert_array_equal(found["scale0/image"].values, (over & (pixels > 60))[[0, 2]])


def test_a_mask_of_all_channels_by_name_is_of_the_image_as_it_was_opened(tmp_path: Path) -> None:
    bigimg.write(rgb(40, 50), tmp_path / "a.ome.zarr", chunks=16, progress=False)
    img = bigimg.open(tmp_path / "a.ome.zarr")
    for named in ({"R": 1, "G": 2, "B": 3}, [1, 2, 3]):
        assert node_of(bigimg.mask(img, above=named)).sources == (node_of(img),)


# ------------------------------------------------------------------------------------------------------- applying


@pytest.mark.parametrize(
    ("dtype", "fill"), [("?", True), ("u1", 255), ("i2", -32768), ("u8", 2**64 - 1), ("f4", np.nan)]
)
def test_the_type_is_kept(dtype: str, fill: Any) -> None:
    pixels, mask = volume(dtype, 21, 34), volume("?", 21, 34, seed=1)
    found = bigimg.apply_mask(bigimg.from_array(pixels, dims="yx").chunk(y=5), mask, fill=fill)
    assert found.dtype == np.dtype(dtype)
    want = pixels.copy()
    want[~mask] = fill
    np.testing.assert_array_equal(found.values, want)


@pytest.mark.parametrize(
    ("dtype", "fill", "says"),
    [
        ("u1", 256, "uint8 holds integers from 0 to 255"),
        ("u1", -1, "uint8 holds integers from 0 to 255"),
        ("i2", 1.5, "int16 holds integers from -32768 to 32767"),
        ("i4", np.nan, "int32 holds integers"),
        ("?", 2, "bool holds True and False"),
        ("f2", 1e6, "float16 holds numbers up to 65504"),
    ],
)
def test_a_fill_that_the_type_cannot_hold(dtype: str, fill: float, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.apply_mask(bigimg.from_array(volume(dtype, 5, 6), dims="yx"), np.ones((5, 6), bool), fill=fill)


# ---------------------------------------------------------------------------------------------------- other grids


def nearest(centres: Array, of: Array) -> Array:
    """The place of the nearest of ``of`` for each of ``centres``, the first of two: slow and obvious."""
    return np.abs(centres[:, None] - of[None, :]).argmin(axis=1)


@settings(max_examples=40)
@given(
    st.integers(1, 29),
    st.integers(1, 29),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["chunks", "whole"]),
)
def test_a_mask_of_another_level(height: int, width: int, level: int, finer: bool, cut: str) -> None:
    """Of windows of 2**level pixels, as a pyramid has them; and a fine mask on a coarse image."""
    step = 2**level
    fine = {"y": np.arange(height) * 0.5, "x": np.arange(width) * 0.5}
    coarse = {
        name: (np.arange(-(-len(at) // step)) * step + (step - 1) / 2) * 0.5 for name, at in fine.items()
    }
    image, mask = (coarse, fine) if finer else (fine, coarse)
    rng = np.random.default_rng(height * width)
    pixels = rng.integers(0, 255, (len(image["y"]), len(image["x"])), np.uint8)
    chosen = rng.random((len(mask["y"]), len(mask["x"]))) < 0.5
    attrs = {"spacing": 0.5 if finer else 0.5 * step}
    where = xarray.DataArray(chosen, {n: ((n,), at, attrs) for n, at in mask.items()}, ("y", "x"))
    attrs = {"spacing": 0.5 * step if finer else 0.5}
    img = xarray.DataArray(pixels, {n: ((n,), at, attrs) for n, at in image.items()}, ("y", "x"))
    if cut == "chunks":
        where, img = where.chunk(y=3), img.chunk(x=5)
    want = chosen[np.ix_(nearest(image["y"], mask["y"]), nearest(image["x"], mask["x"]))]
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(bigimg.apply_mask(img, where).values, np.where(want, pixels, 0))
        found = bigimg.stats(img, where=where).compute()
    assert int(found["count"]) == want.sum()
    assert found["sum"].item() == int(pixels[want].sum())


def test_masks_that_do_not_fit() -> None:
    img = rgb(20, 30)
    mask = img < 9
    for wrong, says in (
        (np.zeros((20, 31), bool), r"shape \(20, 31\), the image \(3, 20, 30\)"),
        (mask.isel(x=slice(0, 20)), "20 pixels from -0.25 to 9.75, the image 30 from -0.25 to 14.75"),
        (bigimg.with_geometry(mask, origin={"x": 90.0}), "lies elsewhere than the image along x"),
        (mask.astype("u1"), "not true and false"),
        (mask.rename(y="z"), "the axis z, the image has c y x"),
    ):
        for call in (bigimg.apply_mask, lambda i, m: bigimg.stats(i, where=m)):
            with pytest.raises(UsageError, match=says):
                call(img, wrong)


# ------------------------------------------------------------------------------------------------------ measuring


def test_fraction_and_area(tmp_path: Path) -> None:
    img = rgb(50, 60)
    mask = bigimg.mask(img, below=40)
    want = (img.values < 40).mean((1, 2))
    np.testing.assert_array_equal(bigimg.fraction(mask).values, want)
    np.testing.assert_array_equal(bigimg.fraction(mask, by=None).values, (img.values < 40).mean())
    inner = volume("?", 50, 60, seed=4)
    np.testing.assert_array_equal(
        bigimg.fraction(mask, where=inner).values, [c[inner].mean() for c in img.values < 40]
    )
    found = bigimg.area(mask)
    np.testing.assert_allclose(found.values, (img.values < 40).sum((1, 2)) * 0.25)
    assert found.attrs["units"] == "micrometer^2"
    assert list(found.c.values) == ["R", "G", "B"]
    with pytest.raises(UsageError, match="not true and false"):
        bigimg.fraction(img)


def test_volume_has_its_unit() -> None:
    mask = bigimg.from_array(np.ones((2, 3, 4), bool), dims="zyx", spacing=(3, 2, 1), unit="mm")
    assert float(bigimg.area(mask)) == 2 * 3 * 4 * 6
    assert bigimg.area(mask).attrs["units"] == "millimeter^3"


def test_of_a_store_no_pixel_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = bigimg.mask(rgb(50, 60), below=40)
    want = mask.values.mean((1, 2))
    bigimg.write(mask, tmp_path / "m.ome.zarr", progress=False)
    monkeypatch.setattr(StoreReader, "read", None)
    np.testing.assert_array_equal(bigimg.fraction(tmp_path / "m.ome.zarr").values, want)
    np.testing.assert_allclose(bigimg.area(bigimg.open(tmp_path / "m.ome.zarr")).values, want * 3000 * 0.25)


def test_each_level_of_a_pyramid(tmp_path: Path) -> None:
    tree = bigimg.write(rgb(150, 160), tmp_path / "a.ome.zarr", progress=False, chunks=64)
    masks = bigimg.mask(tree, below=100)
    shares = bigimg.fraction(masks)
    assert shares.dims == ("level", "c")
    assert shares.sizes["level"] == len(tree.children) > 1
    for level, name in enumerate(tree.children):
        pixels = tree[name]["image"].values
        np.testing.assert_array_equal(masks[name]["image"].values, pixels < 100)
        np.testing.assert_array_equal(shares.isel(level=level).values, (pixels < 100).mean((1, 2)))
    by_otsu = bigimg.mask(tree, otsu=True)
    threshold = bigimg.otsu(tree).values[:, None, None]
    np.testing.assert_array_equal(by_otsu["scale1/image"].values, tree["scale1/image"].values > threshold)


# ---------------------------------------------------------------------------------------------------- each label


@settings(max_examples=30)
@given(
    st.integers(1, 17),
    st.integers(1, 17),
    st.sampled_from(["u1", "i4", "f4"]),
    st.sampled_from(["u1", "i8", "u8"]),
)
def test_statistics_of_each_label(height: int, width: int, dtype: str, of: str) -> None:
    rng = np.random.default_rng(height + 31 * width)
    names = np.array([0, 1, 200, 7] if of == "u1" else [0, 2**53, 2**53 + 1, 2**62]).astype(of)
    labels = rng.choice(names, (height, width))
    pixels = volume(dtype, 2, height, width)
    with dask.config.set(scheduler="synchronous"):
        found = bigimg.stats(bigimg.from_array(pixels, dims="cyx").chunk(y=5), by=labels)
    assert found.label.dtype == np.dtype(of)
    assert found.label.values.tolist() == sorted(set(labels[labels != 0].tolist()))
    for number in found.label.values:
        for c, channel in enumerate(pixels):
            chosen, row = channel[labels == number], found.isel(c=c).sel(label=number)
            assert int(row["count"]) == chosen.size
            assert float(row["max"]) == chosen.max()
            assert float(row["sum"]) == pytest.approx(float(chosen.sum(dtype=np.float64)), rel=1e-6)
            assert float(row["std"]) == pytest.approx(float(chosen.std(dtype=np.float64)), rel=1e-6, abs=1e-5)


def test_labels_within_a_mask_and_labels_that_are_none() -> None:
    labels = np.array([[1, 1, 2], [0, 2, 2]])
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    img = bigimg.from_array(pixels, dims="yx")
    found = bigimg.stats(img, by=labels, where=pixels > 0)
    assert found["count"].values.tolist() == [1, 3]
    assert found["sum"].values.tolist() == [1, 11]
    with pytest.raises(UsageError, match="not ids"):
        bigimg.stats(img, by=labels.astype(float))
    with pytest.raises(UsageError, match=r"shape \(2, 2\), the image \(2, 3\)"):
        bigimg.stats(img, by=labels[:, :2])


@pytest.mark.parametrize("named", [{"G": 60}, {"B": 9, "R": 200}])
def test_thresholds_by_name_are_of_these_channels_alone(tmp_path: Path, named: dict[str, int]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (3, 40, 50)).astype(np.uint8)
    img = bigimg.from_array(pixels, dims="cyx", channels=["R", "G", "B"])
    bigimg.write(img, tmp_path / "a.ome.zarr", chunks=16, progress=False)
    at = ["RGB".index(name) for name in sorted(named, key="RGB".index)]
    limits = np.array([named["RGB"[i]] for i in at])[:, None, None]
    expected = pixels[at] > limits
    for image in (img, bigimg.open(tmp_path / "a.ome.zarr")):
        found = bigimg.mask(image, above=named)
        np.testing.assert_array_equal(found.values, expected)
        assert found.bigimg.channels == tuple("RGB"[i] for i in at)
    otsu = np.array([threshold_otsu(pixels[i]) for i in at])[:, None, None]
    found = bigimg.mask(tmp_path / "a.ome.zarr", above=named, below=250, otsu=True)
    np.testing.assert_array_equal(found.values, expected & (pixels[at] < 250) & (pixels[at] > otsu))
    tree = bigimg.mask(bigimg.open_pyramid(tmp_path / "a.ome.zarr"), above=named, otsu=True)
    np.testing.assert_array_equal(tree["scale0/image"].values, expected & (pixels[at] > otsu))
    chosen = bigimg.apply_mask(img, bigimg.mask(img, above=named).any("c"))
    np.testing.assert_array_equal(chosen.values, np.where(expected.any(0), pixels, 0))


def test_area_and_share_of_each_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    ids, dark = rng.integers(0, 6, (30, 40)).astype(np.int32) * 7, rng.random((3, 30, 40)) < 0.3
    labels = bigimg.from_array(ids, spacing=(0.5, 2.0), unit="um").assign_attrs(kind="labels")
    mask = bigimg.from_array(dark, dims="cyx", spacing=(0.5, 2.0), unit="um", channels=["R", "G", "B"])
    known = np.unique(ids[ids > 0])
    bigimg.write(labels, tmp_path / "cells.ome.zarr", kind="labels", chunks=16, progress=False)
    for source in (labels, tmp_path / "cells.ome.zarr"):
        found = bigimg.area(source)
        np.testing.assert_array_equal(found.label.values, known)
        np.testing.assert_array_equal(found.values, [(ids == i).sum() for i in known])  # pixels of 1 um^2
        assert found.attrs["units"] == "micrometer^2"
    for by in (labels, tmp_path / "cells.ome.zarr"):
        found = bigimg.area(mask, by=by)
        np.testing.assert_array_equal(found.sel(c="G").values, [(dark[1] & (ids == i)).sum() for i in known])
        share = bigimg.fraction(mask, by=by)
        assert share.dims == ("c", "label")
        np.testing.assert_allclose(
            share.values, [[d[ids == i].mean() for i in known] for d in dark], rtol=1e-12
        )
    few = bigimg.area(labels, where=dark[0])
    np.testing.assert_array_equal(few.values, [(dark[0] & (ids == i)).sum() for i in known])
    with pytest.raises(UsageError, match=r"int32 is not true and false; compare first, as in img < 125$"):
        bigimg.fraction(labels)
    with pytest.raises(
        UsageError, match=r"as in img < 125; if the numbers are ids, say so with kind='labels'$"
    ):
        bigimg.area(ids)  # nobody said what the numbers are


def test_areas_of_labels_read_each_pixel_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(5).integers(0, 6, (40, 50)).astype(np.int32)
    bigimg.write(ids, tmp_path / "cells.ome.zarr", kind="labels", chunks=16, progress=False)
    read = counted(monkeypatch)
    found = bigimg.area(tmp_path / "cells.ome.zarr")
    np.testing.assert_array_equal(found.values, np.bincount(ids.ravel())[1:])
    assert sum(read) == ids.size


def test_share_and_area_are_of_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = bigimg.write(rgb(150, 160), tmp_path / "a.ome.zarr", progress=False, chunks=64)
    pixels = [tree[name]["image"].values for name in tree.children]
    read = counted(monkeypatch)
    found = fraction_table(tmp_path / "a.ome.zarr", below=100)
    assert sum(read) == pixels[0].size
    want = [
        (0, name, (p < 100).mean(), (p < 100).sum() * 0.25) for name, p in zip("RGB", pixels[0], strict=True)
    ]
    assert list(found.rows) == want
    read.clear()
    found = fraction_table(tmp_path / "a.ome.zarr", below=100, levels=True)
    assert sum(read) == sum(p.size for p in pixels)
    assert [row[2] for row in found.rows] == [(c < 100).mean() for p in pixels for c in p]


def test_a_label_that_a_coarser_level_has_lost_covers_nothing_there(tmp_path: Path) -> None:
    ids = np.full((64, 64), 2, np.uint8)
    ids[3, 3] = 1
    tree = bigimg.write(ids, tmp_path / "cells.ome.zarr", kind="labels", chunks=16, progress=False)
    found = bigimg.area(tree)
    assert found.label.values.tolist() == [1, 2]
    np.testing.assert_array_equal(found.sel(label=1).values, [1, *[0] * (found.sizes["level"] - 1)])
    np.testing.assert_array_equal(found.sel(label=2).values, [4095, *[4096] * (found.sizes["level"] - 1)])


def test_a_mask_of_some_channels_takes_no_memory_before_it_is_computed() -> None:
    """numpy copied zeros that took none: 3.2 GB for this image."""
    img = to_labelled(Virtual((3, 40_000, 40_000), "u1", "cyx", (1, 512, 512)), block_bytes=1 << 22)
    tracemalloc.start()
    try:
        found = bigimg.mask(img, above={"R": 3, "B": 4})
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert found.sizes["c"] == 2


@pytest.mark.parametrize("chunks", [None, {"y": 7, "x": 40}])
def test_any_channel_and_grey_are_lazy_on_every_source(chunks: Any, tmp_path: Path) -> None:
    """Against numpy, of an array, a store, a pyramid and what is read from front to back."""
    from PIL import Image

    pixels = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tree = bigimg.write(bigimg.from_array(pixels), tmp_path / "a.ome.zarr", levels=2)
    want = (pixels < 30).any(axis=2)
    for source in (pixels, tmp_path / "a.png", bigimg.open(tmp_path / "a.ome.zarr", chunks=chunks)):
        found = bigimg.mask(source, below=30, any=True)
        assert found.dims == ("y", "x")
        np.testing.assert_array_equal(found.values, want)
        assert float(bigimg.fraction(found)) == want.mean()
        np.testing.assert_array_equal(
            bigimg.mask(source, below=90, gray="mean").values, np.rint(pixels.mean(axis=2)) < 90
        )
    levels = bigimg.mask(tree, below_otsu=True, any=True)
    assert [levels[f"scale{i}"].image.dims for i in range(2)] == [("y", "x")] * 2
    of_each = bigimg.mask(tree["scale1"].image, below=np.asarray(bigimg.otsu(tree)) + 1).any("c")
    np.testing.assert_array_equal(levels["scale1"].image.values, of_each.values)
    real = np.array([[0.0, np.nan], [1.0, 0.0]])
    np.testing.assert_array_equal(bigimg.mask(real, below_otsu=True).values, [[True, False], [False, True]])
    for asked in ({"any": 1}, {"below_otsu": "yes"}, {"otsu": True, "below_otsu": True}):
        with pytest.raises(UsageError, match="mask: "):
            bigimg.mask(pixels, **asked)
