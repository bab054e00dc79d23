"""Layers for napari without napari: what they say comes from metadata, and a slice reads the chunks under it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.errors import BudgetError, InputError, MissingChunk, UsageError
from bigimg.omezarr import shard
from bigimg.readers.arrays.array import ArrayReader
from bigimg.viewing.napari import layers as layers_module
from bigimg.viewing.napari.layers import layers_of
from bigimg.viewing.napari.viewer_arrays import Decoded, Shown
from tests.conversion.sources import CountingReader, noise

ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Every chunk that is decoded, by its position in its shard."""
    seen: list[tuple[int, ...]] = []
    encoded = shard.ShardFile.encoded

    def counted(self: Any, position: Any) -> bytes:
        seen.append(position)
        return encoded(self, position)

    monkeypatch.setattr(shard.ShardFile, "encoded", counted)
    return seen


def fluorescence(version: str, root: Path) -> Any:
    pixels = noise((2, 3, 30, 70, 90), "u2")
    img = bigimg.from_array(pixels, dims="tczyx", channels=("DAPI", "GFP", "far red"))
    img = bigimg.with_geometry(
        img,
        spacing={"t": 5, "z": 2, "y": 0.5, "x": 0.25},
        origin={"z": 7, "y": -3},
        unit={"t": "s", "z": "um", "y": "um", "x": "um"},
    ).assign_coords(color=("c", ["0000FF", "00FF00", ""]))
    bigimg.write(img, root, chunks=32, ome_version=version, **ASKED)
    return img


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_a_store_opens_as_one_layer_a_channel_and_reads_no_pixel(
    version: str, tmp_path: Path, decoded: list[Any]
) -> None:
    img = fluorescence(version, tmp_path / "cells.ome.zarr")
    decoded.clear()
    found = layers_of(tmp_path / "cells.ome.zarr")
    assert decoded == []
    assert [(options["name"], kind) for _, options, kind in found] == [
        ("cells DAPI", "image"), ("cells GFP", "image"), ("cells far red", "image")]  # fmt: skip
    assert [options["colormap"] for _, options, _ in found] == ["#0000ff", "#00ff00", "#ff00ff"]
    for channel, (levels, options, _) in enumerate(found):
        assert options["scale"] == (5.0, 2.0, 0.5, 0.25)
        assert options["translate"] == (0.0, 7.0, -3.0, 0.0)
        assert options["units"] == ("second", "micrometer", "micrometer", "micrometer")
        assert options["axis_labels"] == ("t", "z", "y", "x")
        assert options["multiscale"]
        # Half a chunk of noise: limits within a percent of the values between which all but 0.2 % lie.
        expected = np.percentile(img[:, channel], (0.1, 99.9))
        np.testing.assert_allclose(options["contrast_limits"], expected, atol=655)
        assert options["metadata"]["bigimg"]["version"] == version
        tree = bigimg.open_pyramid(tmp_path / "cells.ome.zarr")
        for level, shown in enumerate(levels):
            np.testing.assert_array_equal(np.asarray(shown), tree[f"scale{level}"]["image"][:, channel])


def test_a_slice_reads_the_chunks_under_it(tmp_path: Path, decoded: list[Any]) -> None:
    pixels = noise((300, 500), "u2")
    bigimg.write(bigimg.from_array(pixels), tmp_path / "a.ome.zarr", chunks=32, **ASKED)
    ((levels, _, _),) = layers_of(tmp_path / "a.ome.zarr")
    decoded.clear()
    np.testing.assert_array_equal(levels[0][40:60, 100:140], pixels[40:60, 100:140])
    assert len(decoded) == 1 * 2  # rows 32 to 63; columns 96 to 127 and 128 to 159
    decoded.clear()
    np.testing.assert_array_equal(levels[0][299, 5], pixels[299, 5])
    assert len(decoded) == 1


def test_colours_are_one_layer_with_colour_last(tmp_path: Path, decoded: list[Any]) -> None:
    pixels = noise((3, 70, 110))
    img = bigimg.from_array(pixels, dims="cyx", channels="RGB", spacing=0.5, unit="um")
    bigimg.write(img, tmp_path / "a.ome.zarr", chunks=32, **ASKED)
    decoded.clear()
    ((levels, options, kind),) = layers_of(tmp_path / "a.ome.zarr")
    assert (kind, options["rgb"], options["scale"], options["axis_labels"]) == (
        "image",
        True,
        (0.5, 0.5),
        ("y", "x"),
    )
    assert "contrast_limits" not in options
    assert decoded == []
    assert levels[0].shape == (70, 110, 3)
    np.testing.assert_array_equal(levels[0], np.moveaxis(pixels, 0, -1))
    np.testing.assert_array_equal(levels[0][3:9, 5], pixels[:, 3:9, 5].T)
    np.testing.assert_array_equal(levels[0][..., 1], pixels[1])


@pytest.mark.parametrize(("kind", "dtype"), [("mask", "b1"), ("labels", "u4")])
def test_masks_and_label_images_are_labels_layers(kind: str, dtype: str, tmp_path: Path) -> None:
    pixels = noise((70, 90), dtype) if dtype == "b1" else noise((70, 90), "u1").astype("u4")
    bigimg.write(bigimg.from_array(pixels), tmp_path / "a.ome.zarr", kind=kind, chunks=32, **ASKED)
    ((levels, options, found),) = layers_of(tmp_path / "a.ome.zarr")
    assert found == "labels"
    assert not {"contrast_limits", "colormap", "blending"} & set(options)
    assert levels[0].dtype.kind in "iu"
    np.testing.assert_array_equal(levels[0], pixels)


@pytest.mark.parametrize("zipped", [False, True])
def test_label_images_beside_the_image_come_with_it(zipped: bool, tmp_path: Path) -> None:
    """A store of others: an image, and labels that its group lists."""
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    image, ids = noise((40, 50), "u2"), noise((40, 50)).astype("i4")

    def multiscales(name: str) -> dict[str, Any]:
        transform = [{"type": "scale", "scale": [2.0, 3.0]}]
        axes = [{"name": n, "type": "space", "unit": "nanometer"} for n in "yx"]
        datasets = [{"path": "s0", "coordinateTransformations": transform}]
        return {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}

    root.attrs["ome"] = multiscales("a")
    root.create_array("s0", data=image)
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    group = labels.create_group("nuclei")
    group.attrs["ome"] = {**multiscales("nuclei"), "image-label": {}}
    group.create_array("s0", data=ids)
    path = tmp_path / "a.zarr"
    if zipped:
        shutil.make_archive(str(tmp_path / "b"), "zip", path)
        path = (tmp_path / "b.zip").rename(tmp_path / "a.ozx")
    (data, options, kind), (label, about, label_kind) = layers_of(path)
    assert (kind, label_kind, about["name"]) == ("image", "labels", "a nuclei")
    assert options["scale"] == about["scale"] == (2.0, 3.0)
    assert options["units"] == ("nanometer", "nanometer")
    assert not options["multiscale"]
    np.testing.assert_array_equal(data, image)
    np.testing.assert_array_equal(label, ids)


def test_the_affine_of_a_volume_leads_to_the_world(tmp_path: Path) -> None:
    angle = np.deg2rad(20)
    cos, sin = 2 * np.cos(angle), np.sin(angle)
    affine = np.array([[0, -cos, sin, 10], [1.5, 0, 0, -20], [0, 2 * sin, cos / 2, 5], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(noise((9, 10, 11), "i2"), affine), tmp_path / "a.nii")
    ((_, options, _),) = layers_of(tmp_path / "a.nii")
    index = np.array([4, 3, 2])  # z y x
    physical = index * options["scale"] + options["translate"]
    world = options["affine"] @ [*physical, 1]
    np.testing.assert_allclose(world[:3][::-1], (affine @ [*index[::-1], 1])[:3], atol=1e-5)


@pytest.mark.parametrize("how", ["array", "store"])
@pytest.mark.parametrize(
    "make",
    [lambda img: bigimg.resize(img, (10, 17)), lambda img: bigimg.downsample(img, 3), lambda img: img[:, 5:, 3:40],
     lambda img: img.isel(y=slice(2, None, 3)), lambda img: bigimg.resize(img, {"y": 31})],
)  # fmt: skip
def test_a_resized_image_lies_where_its_coordinates_are(make: Any, how: str, tmp_path: Path) -> None:
    """Not where the levels of its store are: these do not fit an image of other pixels."""
    whole = noise((2, 64, 48), "u2")
    img = bigimg.from_array(whole, dims="cyx", spacing=(0.5, 0.25), unit="um")
    img = bigimg.with_geometry(img, origin={"y": 7, "x": -3})
    if how == "store":
        bigimg.write(img, tmp_path / "a.ome.zarr", chunks={"y": 16, "x": 16}, progress=False)
        img = bigimg.open(tmp_path / "a.ome.zarr")
    small = make(img)
    found = layers_of(small)
    assert len(found) == 2
    for channel, (data, options, _) in enumerate(found):
        assert not options["multiscale"]
        assert options["units"] == ("micrometer", "micrometer")
        np.testing.assert_array_equal(np.asarray(data), small[channel])
        for axis, name in enumerate("yx"):
            centres = options["translate"][axis] + options["scale"][axis] * np.arange(data.shape[axis])
            np.testing.assert_allclose(centres, small[name], atol=1e-9)


def test_slope_and_window_of_the_file_are_in_real_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(noise((20, 21, 22), "i2"), np.eye(4))
    image.header["cal_min"], image.header["cal_max"] = -100, 900
    image.header.set_slope_inter(0.5, -7)
    nibabel.save(image, tmp_path / "a.nii")
    bigimg.convert(tmp_path / "a.nii", tmp_path / "a.ome.zarr", **ASKED)
    real = np.asanyarray(nibabel.load(tmp_path / "a.nii").dataobj).T
    for path in ("a.nii", "a.ome.zarr"):
        ((data, options, _),) = layers_of(tmp_path / path)
        assert options["contrast_limits"] == (-100.0, 900.0)
        first = data[0] if options["multiscale"] else data
        np.testing.assert_allclose(first, real, rtol=1e-6)


def test_floats_have_their_limits_from_the_stored_statistics(tmp_path: Path, decoded: list[Any]) -> None:
    pixels = noise((70, 80), "f4")
    bigimg.write(bigimg.from_array(pixels), tmp_path / "a.ome.zarr", chunks=32, **ASKED)
    decoded.clear()
    ((_, options, _),) = layers_of(tmp_path / "a.ome.zarr")
    assert options["contrast_limits"] == (float(pixels.min()), float(pixels.max()))
    assert decoded == []


def test_huge_files_offer_to_be_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", noise((300, 400)), tile=(64, 64))
    monkeypatch.setattr(layers_module, "MOST_PLANE_BYTES", 100_000)
    said = r"a plane has 120 kB and 400 pixels a side.*bigimg convert .*slide\.tif .*slide\.ome\.zarr"
    with pytest.raises(BudgetError, match=said):
        layers_of(tmp_path / "slide.tif")
    reader = CountingReader(noise((30, 40)), "yx")
    reader.access = type(reader.access)("sequential", "rows of a PNG", order=("y", "x"))
    assert len(layers_of(reader)) == 1
    assert reader.regions == []  # decoded at the first look
    monkeypatch.setattr(layers_module, "MOST_KEPT_BYTES", 1000)
    monkeypatch.setattr(
        reader, "coarser", (open,), raising=False
    )  # which levels='source' refuses of such a file
    said = (
        r"1\.20 kB that can only be decoded in one go \(rows of a PNG\), allowed 1\.00 kB: make levels first"
    )
    with pytest.raises(BudgetError, match=said):
        layers_of(reader)


def test_the_smallest_level_is_small_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = noise((300, 400)) // 2
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(fine, tile=(64, 64), subifds=1)
        file.write(fine.reshape(150, 2, 200, 2).mean((1, 3)).astype(fine.dtype), tile=(64, 64), subfiletype=1)
    monkeypatch.setattr(layers_module, "MOST_PLANE_BYTES", 30_000)
    assert len(layers_of(tmp_path / "a.tif", levels="source")) == 1
    monkeypatch.setattr(layers_module, "MOST_PLANE_BYTES", 29_999)
    said = r"its smallest level has 30\.0 kB and 200 pixels a side, and without smaller ones .*: make levels first"
    with pytest.raises(BudgetError, match=said):
        layers_of(tmp_path / "a.tif", levels="source")


def test_what_is_decoded_whole_is_decoded_once() -> None:
    reader = CountingReader(noise((30, 40)), "yx")
    kept = Decoded(reader)
    for _ in range(3):
        np.testing.assert_array_equal(kept.read((slice(3, 9), slice(0, 40))), reader.array[3:9])
    assert len(reader.regions) == 1


def test_arrays_and_opened_images(tmp_path: Path) -> None:
    pixels = noise((70, 90), "u2")
    img = bigimg.from_array(pixels, spacing=0.5, unit="um")
    bigimg.write(img, tmp_path / "a.ome.zarr", chunks=32, **ASKED)
    opened = bigimg.open(tmp_path / "a.ome.zarr")
    assert len(layers_of(opened)[0][0]) == 3  # as it was opened: all levels of its store
    assert len(layers_of(bigimg.open_pyramid(tmp_path / "a.ome.zarr"))[0][0]) == 3
    for changed in (opened + 1, opened[:50], img):
        ((data, options, _),) = layers_of(changed)
        assert not options["multiscale"]
        np.testing.assert_array_equal(data, changed)
        assert options["scale"] == (0.5, 0.5)
    ((data, options, _),) = layers_of(pixels)
    np.testing.assert_array_equal(data, pixels)


def stripes(shape: tuple[int, ...], low: float, high: float) -> Any:
    """What is drawn over damage: bands of 8 pixels, alike in all planes."""
    bands = np.add.outer(np.arange(shape[-2]), np.arange(shape[-1])) // 8 % 2
    return np.broadcast_to(np.where(bands == 1, high, low), shape)


def test_a_lost_object_is_masked_over_stripes_and_told_where_a_viewer_looks(tmp_path: Path) -> None:
    pixels = noise((40, 70, 90), "u2") // 2 + 1
    path = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.from_array(pixels, dims="zyx"), path, chunks=32, shards=32, **ASKED)
    (path / "0" / "c" / "0" / "1" / "2").unlink()
    ((levels, _, _),) = layers_of(path)
    with pytest.raises(MissingChunk):  # nobody to tell
        levels[0][3]
    told: list[str] = []
    levels[0].tell = told.append
    hole = (slice(32), slice(32, 64), slice(64, 90))
    lost = np.zeros(pixels.shape, bool)
    lost[hole] = True
    whole = pixels.copy()
    whole[hole] = stripes(pixels.shape, 0, 65535)[hole]
    for key in (
        (slice(None),) * 3,
        (3,),
        (slice(2, 39, 3), slice(69, 20, -2), 70),
        (slice(3, 4), slice(10, 70), slice(5, 80)),
        (3, 40, 70),
    ):
        found = np.asanyarray(levels[0][key])
        np.testing.assert_array_equal(np.ma.getmaskarray(found), lost[key])
        np.testing.assert_array_equal(np.asarray(levels[0][key]), whole[key])  # as napari asks
    assert len(told) == 1
    assert "c/0/1/2: the object is gone" in told[0]
    assert "c/0/1/2: the object is gone" in levels[0].damaged[0]
    assert type(levels[0][35]) is np.ndarray
    np.testing.assert_array_equal(levels[0][35], pixels[35])
    with pytest.raises(MissingChunk):
        np.asarray(levels[0])
    with pytest.raises(MissingChunk):
        np.asarray(levels[0].exact()[3])
    with pytest.raises(UsageError, match="pixels are masked and have no value"):
        bigimg.stats(levels[0]).compute()


@pytest.mark.parametrize("dtype", ["b1", "i2", "u8", "f2", "f4", "f8"])
def test_stripes_are_the_extremes_of_each_type(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.from_array(np.ones((40, 50), dtype)), path, chunks=32, shards=32, **ASKED)
    (path / "0" / "c" / "0" / "0").unlink()
    ((levels, _, _),) = layers_of(path)
    shown = levels[0] if isinstance(levels, list) else levels
    shown.tell = lambda message: None
    about = np.iinfo(shown.dtype) if shown.dtype.kind in "iu" else np.finfo(min(shown.dtype, np.dtype("f4")))
    expected = np.ones((40, 50), shown.dtype)
    low, high = np.array([about.min], shown.dtype)[0], np.array([about.max], shown.dtype)[0]
    bands = np.add.outer(np.arange(32), np.arange(32)) // 8 % 2 == 1
    expected[:32, :32][bands], expected[:32, :32][~bands] = high, low
    np.testing.assert_array_equal(np.asarray(shown[:, :]), expected)


def test_a_source_that_cannot_be_decoded_is_tried_once() -> None:
    class Damaged(CountingReader):
        def read(self, region: Any) -> Any:
            super().read(region)
            raise InputError("a.png: row 3 is damaged")

    reader = Damaged(noise((300, 40)), "yx", chunks=(1, 40))
    reader.access = type(reader.access)("sequential", "rows of a PNG", order=("y", "x"))
    ((shown, _, _),) = layers_of(reader)
    told: list[str] = []
    shown.tell = told.append
    assert np.ma.getmaskarray(shown[:, :]).all()
    assert told == ["a.png: row 3 is damaged (drawn as stripes, no pixels)"]
    assert len(reader.regions) == 1


def test_more_than_a_plane_is_read_when_it_is_cut_to_one(tmp_path: Path, decoded: list[Any]) -> None:
    pixels = noise((2, 64, 70, 90), "u2")
    bigimg.write(bigimg.from_array(pixels, dims="tzyx"), tmp_path / "a.ome.zarr", chunks=32, **ASKED)
    ((levels, _, _),) = layers_of(tmp_path / "a.ome.zarr")
    decoded.clear()
    part = levels[0][:, :, 5:60, -40:]
    assert (part.shape, part.ndim, part.size, len(part)) == ((2, 64, 55, 40), 4, 2 * 64 * 55 * 40, 2)
    assert decoded == []
    np.testing.assert_array_equal(part[1, 40], pixels[1, 40, 5:60, -40:])
    assert len(decoded) == 2 * 2
    np.testing.assert_array_equal(part[1:][..., ::-1][0, 3:9], pixels[1, 3:9, 5:60, :-41:-1])
    np.testing.assert_array_equal(part, pixels[:, :, 5:60, -40:])


def test_a_lost_object_is_an_error_and_not_black(tmp_path: Path) -> None:
    bigimg.write(bigimg.from_array(noise((70, 90))), tmp_path / "a.ome.zarr", chunks=32, **ASKED)
    next(path for path in (tmp_path / "a.ome.zarr" / "0").rglob("c/0/0")).unlink()
    ((levels, _, _),) = layers_of(tmp_path / "a.ome.zarr")
    with pytest.raises(MissingChunk):
        levels[0][:10, :10]


@settings(max_examples=60)
@given(data=st.data())
def test_any_slice_is_numpy_s(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=3, max_size=4)))
    dims = "tcyx"[-len(shape) :] if len(shape) == 4 else "cyx"
    pixels = noise(shape)
    axis = dims.index("c")
    reader = ArrayReader(pixels, dims=dims)
    channel = data.draw(st.none() | st.integers(0, shape[axis] - 1))
    shown = Shown(reader, channel)
    expected = np.moveaxis(pixels, axis, -1) if channel is None else pixels.take(channel, axis)
    assert (shown.shape, shown.ndim, shown.size) == (expected.shape, expected.ndim, expected.size)
    key: list[Any] = [
        data.draw(st.integers(-n, n - 1) | st.slices(n).filter(lambda s: s.step is None or s.step))
        for n in expected.shape
    ]
    cut = data.draw(st.integers(0, len(key)))
    if data.draw(st.booleans()):
        key = [*key[:cut], ...] if cut < len(key) else key
    np.testing.assert_array_equal(shown[tuple(key)], expected[tuple(key)])
