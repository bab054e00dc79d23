"""Grey, ranges and functions of values, against numpy and scikit-image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.color import rgb2gray

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.open import StoreReader
from bigimg.types import Array

RGB = np.random.default_rng(0).integers(0, 256, (61, 47, 3)).astype(np.uint8)


@pytest.mark.parametrize("blocks", [None, {}, {"y": 20, "x": 11, "c": 2}])
def test_grey_as_scikit_image_has_it(blocks: Any) -> None:
    img = bigimg.from_array(RGB) if blocks is None else bigimg.from_array(RGB).chunk(blocks) + np.uint8(0)
    grey = bigimg.gray(img)
    assert grey.dims == ("y", "x")
    assert grey.dtype == np.uint8
    assert "c" not in grey.coords
    assert "color" not in grey.coords
    exact = (RGB.astype(np.int64) @ np.array([2125, 7154, 721])) / 10000
    np.testing.assert_array_equal(grey.values, np.rint(exact))
    np.testing.assert_allclose(bigimg.gray(img, dtype=float).values, rgb2gray(RGB) * 255, rtol=1e-12)


def test_grey_of_the_lesson_is_the_mean() -> None:
    mean = bigimg.gray(RGB, method="mean", dtype=float)
    np.testing.assert_allclose(mean.values, RGB.mean(-1), rtol=1e-12)
    np.testing.assert_array_equal(bigimg.gray(RGB, method="mean").values, np.rint(RGB.mean(-1)))
    rgba = bigimg.from_array(np.dstack([RGB, np.zeros((61, 47), np.uint8)]))
    np.testing.assert_array_equal(bigimg.gray(rgba, method="mean").values, np.rint(RGB.mean(-1)))
    np.testing.assert_array_equal(bigimg.gray(rgba).values, bigimg.gray(RGB).values)
    real = RGB.astype(np.float32)
    np.testing.assert_allclose(bigimg.gray(real).values, rgb2gray(real), rtol=1e-6)
    named = bigimg.from_array(np.moveaxis(RGB, -1, 0), dims="cyx", channels=["DAPI", "GFP", "B"])
    np.testing.assert_array_equal(bigimg.gray(named, method="mean").values, np.rint(RGB.mean(-1)))
    with pytest.raises(UsageError, match="the channels are DAPI, GFP, B, not R G B"):
        bigimg.gray(named)
    with pytest.raises(UsageError, match="no channels; its axes are y x"):
        bigimg.gray(RGB[..., 0])
    with pytest.raises(UsageError, match="give luma or mean"):
        bigimg.gray(RGB, method="lab")  # type: ignore[arg-type]


def test_any_function_keeps_the_geometry() -> None:
    img = bigimg.with_geometry(bigimg.from_array(RGB, spacing=2, unit="um"), world=np.diag([-1, 1, 1, 1.0]))
    img.attrs["window"] = [0, 100]
    root = bigimg.map(img, np.sqrt)
    np.testing.assert_array_equal(root.values, np.moveaxis(np.sqrt(RGB), -1, 0))
    np.testing.assert_array_equal(root.bigimg.affine, img.bigimg.affine)
    assert root.bigimg.channels == ("R", "G", "B")
    assert "window" not in root.attrs
    assert bigimg.map(img, lambda v: v > 3).bigimg.kind == "mask"
    assert bigimg.map(img, lambda v: v * 2, dtype="u1").dtype == np.uint8
    with pytest.raises(UsageError, match="it must keep the shape"):
        bigimg.map(img, lambda v: v[0])
    with pytest.raises(UsageError, match="it must keep the shape"):
        bigimg.map(img, lambda v: v[..., :1], dtype="u1").compute()


def test_a_function_gives_the_type_that_was_asked_or_says_what_it_gave() -> None:
    halves = bigimg.map(RGB, lambda v: v / 2, dtype="f4")
    assert halves.dtype == halves.compute().dtype == np.float32
    np.testing.assert_array_equal(halves.values, np.moveaxis(RGB / 2, -1, 0))
    wider = bigimg.map(RGB, lambda v: v > 9, dtype="u2")
    assert wider.compute().dtype == np.uint16
    with pytest.raises(UsageError, match=r"func gave float64, and dtype uint8 .* \.astype\('uint8'\)"):
        bigimg.map(RGB, lambda v: v / 2, dtype="uint8").compute()
    with pytest.raises(UsageError, match="func gave int64, and dtype uint8"):
        bigimg.map(RGB, lambda v: v.astype("i8") - 300, dtype="uint8").compute()  # would wrap


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
@pytest.mark.parametrize("to", ["u1", "i2", "f4"])
def test_ranges(dtype: str, to: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (30, 40, 3)).astype(dtype)
    for q in ((0, 100), (1, 99)):
        low, high = np.percentile(pixels, q)
        share = np.clip((pixels - low) / (high - low), 0, 1)
        first, last = (0, 1) if to == "f4" else (np.iinfo(to).min, np.iinfo(to).max)
        expected = share * (last - first) + first
        asked = None if q == (0, 100) else q
        for img in (bigimg.from_array(pixels), bigimg.from_array(pixels).chunk(y=11) + np.zeros((), dtype)):
            found = bigimg.rescale(img, to, percentiles=asked)
            assert found.dtype == to
            np.testing.assert_allclose(
                found.values, np.moveaxis(expected, -1, 0), atol=0.5001 if to != "f4" else 1e-6
            )
    each = bigimg.rescale(pixels, "f4", by="c").values
    assert (each.min((1, 2)) == 0).all()
    assert (each.max((1, 2)) == 1).all()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">u2", "i2", ">i2"])
@pytest.mark.parametrize("side", [7, 300])
def test_every_value_of_up_to_16_bits(dtype: str, side: int) -> None:
    """A block with more pixels than there are values goes through a table of these; a small one does not."""
    info = np.iinfo(dtype)
    pixels = np.linspace(info.min, info.max, side * side).astype(dtype).reshape(side, side)
    low, high = info.min + 20, info.max - 90
    expected = np.rint(np.clip((pixels.astype(float) - low) / (high - low), 0, 1) * 255)
    for img in (pixels, pixels[::-1, ::2]):
        want = expected if img is pixels else expected[::-1, ::2]
        np.testing.assert_array_equal(bigimg.rescale(img, window=(low, high)).values, want)
    each = bigimg.rescale(bigimg.from_array(np.stack([pixels, pixels // 2]), dims="cyx"), by="c").values
    for found, one in zip(each, (pixels, pixels // 2), strict=True):
        np.testing.assert_array_equal(found, bigimg.rescale(one).values)


def test_windows_and_odd_values() -> None:
    pixels = np.array([[np.nan, np.inf, -np.inf], [0, 5, 10]])
    np.testing.assert_array_equal(bigimg.rescale(pixels, window=(0, 10)).values, [[0, 255, 0], [0, 128, 255]])
    assert (bigimg.rescale(np.full((3, 3), 7), "u1").values == 0).all()
    labels = bigimg.from_array(np.zeros((3, 3), int))
    labels.attrs["kind"] = "labels"
    for img, asked, says in (
        (labels, {}, "other ids"),
        (RGB, {"window": (3, 3)}, "window 3 to 3 is empty"),
        (RGB, {"window": (1, 3), "percentiles": (1, 2)}, "are two; give one"),
        (RGB, {"percentiles": (1, 101)}, "percentile 101"),
        (RGB, {"dtype": "i8"}, "integers of up to 32 bits"),
        (RGB, {"by": "y"}, "give 'c'"),
    ):
        with pytest.raises(UsageError, match=says):
            bigimg.rescale(img, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [None, (1, 99)])
def test_of_times_and_channels_all_together_by_default(asked: tuple[float, float] | None) -> None:
    pixels = np.random.default_rng(1).integers(3, 90, (2, 3, 1, 7, 9)).astype("u1")
    low, high = np.percentile(pixels, asked or (0, 100))
    expected = np.rint(np.clip((pixels - low) / (high - low), 0, 1) * 255)
    img = bigimg.from_array(pixels, dims="tczyx")
    np.testing.assert_array_equal(bigimg.rescale(img, percentiles=asked).values, expected)


@pytest.mark.parametrize("pixels", [RGB[..., 0], RGB], ids=["grey", "colour"])
def test_the_window_comes_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray
) -> None:
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    read = []
    real = StoreReader.read
    monkeypatch.setattr(StoreReader, "read", lambda self, region: (read.append(1), real(self, region))[1])
    found = bigimg.rescale(tmp_path / "a.ome.zarr", percentiles=(1, 99))
    assert not read
    low, high = np.percentile(pixels, (1, 99))
    expected = np.rint(np.clip((pixels - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(
        found.values, expected if pixels.ndim == 2 else np.moveaxis(expected, -1, 0)
    )
    assert len(read) == 1  # the pixels once, and none for the window


def test_functions_of_one_name_are_not_taken_for_one_another() -> None:
    image = bigimg.from_array(np.arange(12, dtype="u1").reshape(3, 4))

    def func(block: Array) -> Array:
        return block + 1

    first = bigimg.map(image, func)

    def func(block: Array) -> Array:  # type: ignore[no-redef]  # as when a cell of a notebook runs again
        return block * 10

    second = bigimg.map(image, func)
    assert int(first.max()) == 12
    assert int(second.max()) == 110
    assert first.data.name != second.data.name


def test_a_function_that_writes_to_its_argument_leaves_the_source_alone() -> None:
    def add(block: Array) -> Array:
        block += 1
        return block

    pixels = np.zeros((64, 64), np.uint8)
    made = bigimg.map(bigimg.open(pixels), add, dtype="u1")
    assert [int(made.max()), int(made.max()), pixels.max()] == [1, 1, 0]
