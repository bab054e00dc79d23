"""Pictures read back with Pillow: values, colours, aspect, which way is up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure
from PIL import Image

import bigimg
from bigimg.errors import OutputError, UsageError
from bigimg.geometry.spec import Channel
from bigimg.types import Array
from bigimg.viewing.display import display_of
from bigimg.viewing.figures import show
from bigimg.viewing.pictures import plane_picture
from tests.viewing.drawn import blank


def numbers(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


def to_display(picture: Any, window: tuple[float, float] | None = None) -> Array:
    """Return the 8-bit colours of a plane."""
    plane = picture
    if isinstance(picture, np.ndarray):
        plane = xarray.DataArray(picture, dims=("y", "x", "c")[: picture.ndim])
    plane = plane.transpose(*(name for name in plane.dims if name != "c"), ...).compute()
    return display_of(plane, plane, window).of(plane.to_numpy())


def shown(path: Path) -> Array:
    with Image.open(path) as image:
        return np.asarray(image)


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    pixels = numbers(30, 40, 3)
    np.save(tmp_path / "a.npy", pixels)
    plane_picture(tmp_path / "a.npy", tmp_path / "a.png")
    np.testing.assert_array_equal(shown(tmp_path / "a.png"), pixels)
    plane_picture(tmp_path / "a.npy", tmp_path / "b.png", most=10)
    assert shown(tmp_path / "b.png").shape == (8, 10, 3)


def test_a_plane_in_true_aspect(tmp_path: Path) -> None:
    pixels = numbers(4, 8, 10)
    img = bigimg.from_array(pixels, spacing=(1, 2, 1), unit="mm")
    plane_picture(img, tmp_path / "z.png", index=3)
    assert shown(tmp_path / "z.png").shape == (8, 5)  # the finer axis is squeezed
    plane_picture(img, tmp_path / "y.png", plane="y", position=6.1)
    np.testing.assert_array_equal(shown(tmp_path / "y.png"), pixels[:, 3])
    with pytest.raises(UsageError, match="whole number"):
        plane_picture(img, tmp_path / "n.png", index=1.5)


def test_bodies_are_upright_whatever_their_axes(tmp_path: Path) -> None:
    pixels = numbers(5, 6, 7)  # R A S
    first = nibabel.Nifti1Image(pixels, np.eye(4))
    for codes in (("R", "A", "S"), ("L", "P", "S"), ("S", "R", "A"), ("P", "I", "L")):
        turn = nibabel.orientations.ornt_transform(
            nibabel.io_orientation(first.affine), nibabel.orientations.axcodes2ornt(codes)
        )
        path = tmp_path / f"{''.join(codes)}.nii"
        nibabel.save(first.as_reoriented(turn), path)
        for name, want in (
            ("axial", pixels[:, ::-1, 3].T),
            ("coronal", pixels[:, 3, ::-1].T),
            ("sagittal", pixels[2, :, ::-1].T),
        ):
            # The middle of an even axis lies on either side, so the place is named.
            across = bigimg.open(path)
            axis = {"axial": "IS", "coronal": "PA", "sagittal": "LR"}[name]
            at = next(i for i, code in enumerate(codes) if code in axis)
            middle = {"axial": 3, "coronal": 3, "sagittal": 2}[name]
            size = across.sizes["xyz"[at]]
            index = middle if codes[at] in "RAS" else size - 1 - middle
            plane_picture(path, tmp_path / "p.png", plane=name, index=index, overwrite=True)
            np.testing.assert_array_equal(shown(tmp_path / "p.png"), want)


def test_windows() -> None:
    pixels = np.array([[0.0, 50.0, 100.0, np.nan]])
    assert to_display(pixels, (0, 85)).tolist() == [[0, 150, 255, 0]]
    assert to_display(pixels, (50, 50)).tolist() == [[0, 0, 0, 0]]
    assert to_display(np.array([[True, False]])).tolist() == [[255, 0]]
    wide = numbers(50, 60, dtype=np.uint16) * 100
    low, high = np.percentile(wide, (0.1, 99.9))
    want = np.rint(np.clip((wide - low) / (high - low) * 255, 0, 255))
    assert np.abs(to_display(wide).astype(float) - want).max() <= 1
    img = bigimg.from_array(wide)
    img.attrs["window"] = [0, 25500]
    np.testing.assert_array_equal(to_display(img), np.rint(wide / 100))
    with pytest.raises(UsageError, match="window 9 to 1 is empty"):
        to_display(pixels, (9, 1))


def test_colours() -> None:
    pixels = numbers(4, 5, 4)
    rgba = bigimg.from_array(pixels)
    np.testing.assert_array_equal(to_display(rgba), pixels)
    two = bigimg.from_array(
        pixels[..., :2], dims="yxc", channels=[Channel("a", "FF0000"), Channel("b", "00FF00")]
    )
    got = to_display(two)
    np.testing.assert_array_equal(got[..., :2], pixels[..., :2])
    assert not got[..., 2].any()
    cmyk = bigimg.from_array(pixels, dims="yxc", channels=["C", "M", "Y", "K"])
    ink = pixels.astype(int)
    want = (255 - ink[..., :3]) * (255 - ink[..., 3:]) // 255
    np.testing.assert_array_equal(to_display(cmyk), want)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_inks_of_any_type(dtype: str) -> None:
    """16 bits were drawn as lights by ``slice``; ``show`` took cyan for red, and black ink for the opacity."""
    bits = numbers(20, 30, 4)
    most = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype]
    img = bigimg.from_array(
        (bits.astype(float) * most).astype(dtype), dims="yxc", channels=["C", "M", "Y", "K"]
    )
    want = np.asarray(Image.frombytes("CMYK", (30, 20), bits.tobytes()).convert("RGB")).astype(int)
    for got in (to_display(img), show(img, ax=blank()).images[0].get_array()):
        assert got.dtype == np.uint8
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= 1
    half = show(img, ax=blank(), vmin=0, vmax=most * 510).images[0].get_array()
    ink = bits / 510
    np.testing.assert_allclose(half, 255 * (1 - ink[..., :3]) * (1 - ink[..., 3:]), atol=2)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_channels_of_booleans_are_black_or_full(count: int) -> None:
    """Of two or four channels, and with ``vmax``, percentiles of booleans were asked for, which numpy refuses."""
    pixels = numbers(20, 30, count) > 127
    img = bigimg.from_array(pixels, dims="yxc", channels=[f"m{i}" for i in range(count)])
    for look in ({}, {"vmax": 1}):
        drawn = show(img.assign_attrs(kind="mask"), ax=blank(), **look).images[0].get_array()
        np.testing.assert_array_equal((drawn > 0).any(axis=-1), pixels.any(axis=-1))


def test_other_formats_and_none(tmp_path: Path) -> None:
    plane_picture(numbers(8, 8, 4), tmp_path / "a.jpg", most=512)
    assert shown(tmp_path / "a.jpg").shape == (8, 8, 3)
    plane_picture(numbers(8, 8), tmp_path / "plain")
    with Image.open(tmp_path / "plain") as image:
        assert image.format == "PNG"
    for ending in (".webp", ".bmp", ".gif"):
        plane_picture(numbers(8, 8, 3), tmp_path / f"a{ending}")
        assert shown(tmp_path / f"a{ending}").shape[:2] == (8, 8)
    with pytest.raises(UsageError, match=r"ends in \.xyz; use \.png, \.jpg or \.tif"):
        plane_picture(numbers(8, 8), tmp_path / "a.xyz")


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="none does not exist: make it first"):
        plane_picture(numbers(4, 4), tmp_path / "none" / "a.png")
    target = tmp_path / "a.png"
    plane_picture(numbers(4, 4), target)
    before = target.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bigimg.exporters.png._chunk", full)
    with pytest.raises(OutputError, match=r"a\.png: cannot write \(No space left"):
        plane_picture(numbers(9, 9), target, overwrite=True)
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_stored_as_a_label_is_black_and_white(tmp_path: Path, channels: int) -> None:
    """OME-Zarr wants labels to be integers: 0 and 1 are not two shades of black."""
    pixels = numbers(channels, 40, 50)
    img = bigimg.from_array(pixels if channels > 1 else pixels[0], dims="cyx" if channels > 1 else "yx")
    bigimg.write(img, tmp_path / "a.ome.zarr", chunks={"y": 16, "x": 16}, progress=False)
    bigimg.write(img > 99, tmp_path / "a.ome.zarr/labels/bright", progress=False)
    plane_picture(tmp_path / "a.ome.zarr/labels/bright", tmp_path / "a.png")
    expected = np.moveaxis(np.where(pixels > 99, 255, 0), 0, -1)
    np.testing.assert_array_equal(shown(tmp_path / "a.png"), expected if channels > 1 else expected[..., 0])


@pytest.mark.parametrize("dtype", ["u1", "u4", "i8"])
def test_ids_are_coloured_as_show_does(tmp_path: Path, dtype: str) -> None:
    """In grey they are nearly black, and neighbours look the same."""
    ids = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int)).astype(dtype)
    img = bigimg.from_array(ids)
    img.attrs["kind"] = "labels"
    plane_picture(img, tmp_path / "slice.png")
    plane_picture(img, tmp_path / "thumbnail.png", most=512)
    drawn = bigimg.show(img, ax=Figure().add_subplot()).images[0].get_array()
    for name in ("slice.png", "thumbnail.png"):
        picture = shown(tmp_path / name)
        np.testing.assert_array_equal(picture, drawn)
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 12
        assert not picture[ids == 0].any()


@pytest.mark.parametrize("make", [lambda img: img / 2, lambda img: img - img.mean(), lambda img: img > 60,
                                  lambda img: img.astype("u2") * 257, lambda img: img.astype("f4") / 255])  # fmt: skip
def test_alpha_is_never_stretched(make: Any) -> None:
    """Of one value it became 0, and the picture was white."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    pixels[..., 3] = 255
    shown = to_display(make(bigimg.from_array(pixels)))
    assert shown.shape[-1] == 3 or (shown[..., 3] == 255).all()
    assert shown[..., :3].max() == 255
