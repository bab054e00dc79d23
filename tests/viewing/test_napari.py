"""bigimg's plugin in a real napari window: what it shows, which level it takes, what it saves and converts.

napari warns of its own dependencies while it loads; what is checked here is what it shows.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile

import bigimg
from bigimg.omezarr import shard
from tests.conversion.sources import noise
from tests.viewing.test_viewers import gradient, is_drawn

pytestmark = [pytest.mark.viewer, pytest.mark.filterwarnings("ignore")]

VERSIONS = ["0.4", "0.5", "0.6"]
ASKED: dict[str, Any] = {"memory": "4GB", "progress": False}


@pytest.fixture
def viewer() -> Iterator[Any]:
    napari = pytest.importorskip("napari", reason="needs the viewer group: uv run --group viewer")
    made = napari.Viewer(show=True)
    yield made
    made.close()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every chunk that is decoded, by the file that it is in."""
    seen: list[str] = []
    decode = shard.ShardFile._decode  # of chunks in shards and of those with a file of their own

    def counted(self: Any, *asked: Any) -> Any:
        seen.append(str(self.path))
        return decode(self, *asked)

    monkeypatch.setattr(shard.ShardFile, "_decode", counted)
    return seen


def levels_of(decoded: list[str]) -> list[str]:
    return [path.split(".ome.zarr/")[1].split("/")[0] for path in decoded]


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Let Qt work until ``done``."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "nothing came of it"
        QApplication.processEvents()
        time.sleep(0.01)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pyramid_of_each_version_at_the_level_that_fits(
    version: str, viewer: Any, tmp_path: Path, decoded: list[str]
) -> None:
    pixels = gradient((4000, 5000), np.uint16)
    img = bigimg.from_array(pixels, spacing=0.5, unit="um")
    bigimg.write(img, tmp_path / "plane.ome.zarr", chunks=256, ome_version=version, **ASKED)
    decoded.clear()
    (layer,) = viewer.open(str(tmp_path / "plane.ome.zarr"), plugin="bigimg-zarr")
    viewer.reset_view()
    assert is_drawn(viewer)
    assert [level.shape for level in layer.data][:3] == [(4000, 5000), (2000, 2500), (1000, 1250)]
    assert layer.data_level == 2  # the window has about 700 pixels a side
    assert set(levels_of(decoded)) <= {"2", "5"}  # the last one for the thumbnail
    assert len(decoded) <= 21  # 4 x 5 chunks of level 2, and one
    viewer.camera.center, viewer.camera.zoom = (500, 600), 2  # one pixel of level 0 for each of the screen
    assert is_drawn(viewer)
    assert layer.data_level == 0
    assert 0 < levels_of(decoded).count("0") <= 32  # of 320 chunks, those in the window, drawn once or twice
    assert tuple(map(str, layer.units)) == ("micrometer", "micrometer")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_volume_of_each_version_in_two_and_three_dimensions(
    version: str, viewer: Any, tmp_path: Path
) -> None:
    world = np.diag([-1.0, 1, 1, 1])
    img = bigimg.from_array(gradient((60, 130, 140), np.uint16), dims="zyx", spacing=(2, 0.5, 0.5), unit="mm")
    img = bigimg.with_geometry(img, world=world)
    bigimg.write(img, tmp_path / "volume.ome.zarr", chunks=32, ome_version=version, **ASKED)
    (layer,) = viewer.open(str(tmp_path / "volume.ome.zarr"), plugin="bigimg-zarr")
    viewer.reset_view()
    assert is_drawn(viewer)
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.5))
    np.testing.assert_allclose(layer.affine.linear_matrix, np.diag([1, 1, -1]))
    assert layer.axis_labels == ("z", "y", "x")
    viewer.dims.ndisplay = 3
    assert is_drawn(viewer)
    assert layer.data_level == 0  # small enough as it is: napari alone takes the coarsest
    viewer.dims.ndisplay = 2
    assert layer.locked_data_level is None
    viewer.dims.set_point(0, 20)
    assert is_drawn(viewer)


@pytest.mark.parametrize("version", VERSIONS)
def test_channels_and_labels_of_each_version(version: str, viewer: Any, tmp_path: Path) -> None:
    pixels = np.stack([gradient((300, 400), np.uint16), gradient((300, 400), np.uint16)[::-1]])
    img = bigimg.from_array(pixels, dims="cyx", channels=("DAPI", "GFP")).assign_coords(
        color=("c", ["0000FF", "00FF00"])
    )
    bigimg.write(img, tmp_path / "cells.ome.zarr", chunks=64, ome_version=version, **ASKED)
    ids = np.kron(np.arange(12, dtype=np.uint32).reshape(3, 4), np.ones((100, 100), np.uint32))
    bigimg.write(bigimg.from_array(ids), tmp_path / "cells.ome.zarr/labels/ids", chunks=64, **ASKED)
    one, two, labels = viewer.open(str(tmp_path / "cells.ome.zarr"), plugin="bigimg-zarr")
    assert (one.name, two.name) == ("cells DAPI", "cells GFP")
    np.testing.assert_allclose(one.colormap.colors[-1], (0, 0, 1, 1))
    np.testing.assert_allclose(two.colormap.colors[-1], (0, 1, 0, 1))
    np.testing.assert_allclose(one.contrast_limits, np.percentile(pixels[0], (0.1, 99.9)), atol=100)
    assert (type(labels).__name__, labels.name) == ("Labels", "cells ids")
    assert is_drawn(viewer)
    assert labels.get_value((150, 250), world=True)[1] == 6


def test_a_plate_as_its_wells(viewer: Any, tmp_path: Path) -> None:
    wells = {
        name: bigimg.from_array(gradient((2, 300, 400), np.uint16), dims="zyx") for name in ("A01", "B02")
    }
    bigimg.convert(wells, tmp_path / "screen.ome.zarr", chunks=64, **ASKED)
    pixels, names = viewer.open(str(tmp_path / "screen.ome.zarr"), plugin="bigimg-zarr")
    assert (pixels.name, names.name, list(names.features["well"])) == (
        "screen", "screen wells", ["A/01", "B/02"],
    )  # fmt: skip
    viewer.reset_view()
    assert is_drawn(viewer)
    y, x = names.data_to_world(names.data[1])
    assert pixels.get_value((1, y + 250, x + 350), world=True) is not None
    assert pixels.data[0][1, int(y) + 250, int(x) + 350] == wells["B02"].values[1, 250, 350]


def test_a_zipped_store(viewer: Any, tmp_path: Path) -> None:
    img = bigimg.from_array(gradient((300, 400), np.uint16), spacing=0.5, unit="um")
    bigimg.write(img, tmp_path / "a.ome.zarr", chunks=64, **ASKED)
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "a.ome.zarr")
    (tmp_path / "a.zip").rename(tmp_path / "a.ozx")
    (layer,) = viewer.open(str(tmp_path / "a.ozx"), plugin="bigimg-zarr")
    assert layer.multiscale
    assert is_drawn(viewer)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), img)


def test_a_picture_in_colour_and_a_file_that_is_no_store(viewer: Any, tmp_path: Path) -> None:
    picture = gradient((300, 200, 3), np.uint8)
    tifffile.imwrite(tmp_path / "picture.tif", picture, photometric="rgb")
    bigimg.convert(tmp_path / "picture.tif", tmp_path / "picture.ome.zarr", chunks=64, **ASKED)
    for name in ("picture.tif", "picture.ome.zarr"):
        (layer,) = viewer.open(str(tmp_path / name), plugin="bigimg-zarr")
        assert layer.rgb
        assert layer.multiscale == name.endswith("zarr")
        first = layer.data[0] if layer.multiscale else layer.data
        np.testing.assert_array_equal(np.asarray(first), picture)
        assert is_drawn(viewer)
        viewer.layers.clear()


def test_samples_are_found_in_the_menu(viewer: Any) -> None:
    for key in ("chelsea", "rat_brain"):
        (layer,) = viewer.open_sample("bigimg-zarr", key)
        assert layer.rgb
        assert is_drawn(viewer)
        viewer.layers.clear()


def test_layers_saved_by_the_writer_come_back(viewer: Any, tmp_path: Path) -> None:
    volume = noise((20, 70, 80), "u2")
    layer = viewer.add_image(
        volume, name="noise", scale=(2, 0.5, 0.5), translate=(1, 2, 3), units=("um",) * 3, colormap="magenta"
    )
    assert viewer.layers.save(str(tmp_path / "one.zarr"), plugin="bigimg-zarr") == [
        str(tmp_path / "one.zarr")
    ]
    img = bigimg.open(tmp_path / "one.zarr")
    np.testing.assert_array_equal(img, volume)
    assert img.bigimg.spacing == {"z": 2.0, "y": 0.5, "x": 0.5}
    assert img.bigimg.origin == {"z": 1.0, "y": 2.0, "x": 3.0}
    assert set(img.bigimg.units.values()) == {"micrometer"}
    place = {"scale": layer.scale, "translate": layer.translate, "units": layer.units}
    other = viewer.add_image(volume[::-1], name="second", **place)
    viewer.layers.save(str(tmp_path / "two.zarr"), plugin="bigimg-zarr")
    img = bigimg.open(tmp_path / "two.zarr")
    assert img.bigimg.channels == ("noise", "second")
    assert img["color"].values[0] == "FF00FF"
    np.testing.assert_array_equal(img[1], other.data)
    viewer.layers.clear()
    ids = viewer.add_labels((volume > 30000).astype(np.int32) * 7, name="cells")
    viewer.layers.save(str(tmp_path / "labels.zarr"), plugin="bigimg-zarr")
    assert bigimg.open(tmp_path / "labels.zarr").bigimg.kind == "labels"
    viewer.layers.clear()
    (back,) = viewer.open(str(tmp_path / "labels.zarr"), plugin="bigimg-zarr")
    assert type(back).__name__ == "Labels"
    np.testing.assert_array_equal(np.asarray(back.data[0] if back.multiscale else back.data), ids.data)


def test_the_widget_plans_converts_and_shows(viewer: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", gradient((600, 700), np.uint16))
    _, widget = viewer.window.add_plugin_dock_widget("bigimg-zarr", "Convert to OME-Zarr")
    widget.source.value = tmp_path / "in.tif"
    assert Path(widget.target.value) == tmp_path / "in.ome.zarr"
    widget.memory.value = "8GB"
    widget.version.value = "0.4"
    widget.plan()
    assert "OME-Zarr 0.4" in widget.message.value
    assert "planned peak" in widget.message.value
    widget.convert_button.changed.emit(True)
    assert widget.cancel_button.enabled
    until(lambda: len(viewer.layers) == 1)
    assert viewer.layers[0].metadata["bigimg"]["version"] == "0.4"
    assert widget.bar.value == 1000
    assert is_drawn(viewer)
    assert "levels in" in widget.message.value
    widget.convert_button.changed.emit(True)  # the store is there now
    until(lambda: not widget.cancel_button.enabled)
    assert "exists already" in widget.message.value


def test_the_widget_cancels_and_goes_on(viewer: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", noise((3000, 3000), "u2"))
    _, widget = viewer.window.add_plugin_dock_widget("bigimg-zarr", "Convert to OME-Zarr")
    widget.source.value, widget.memory.value = tmp_path / "in.npy", "8GB"
    widget.version.value, widget.show.value = "0.4", False
    widget.convert_button.changed.emit(True)
    widget.cancel_button.changed.emit(True)
    until(lambda: not widget.cancel_button.enabled)
    assert "cancelled" in widget.message.value
    assert not (tmp_path / "in.ome.zarr").exists()
    widget.convert_button.changed.emit(True)
    until(lambda: not widget.cancel_button.enabled)
    assert (tmp_path / "in.ome.zarr").exists()
    assert widget.job.result.blocks_resumed > 0
    assert len(viewer.layers) == 0


def test_a_file_that_is_too_large_says_how_to_convert_it(viewer: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "wide.tif", np.zeros((16, 40000), np.uint8), tile=(16, 512))
    with pytest.raises(bigimg.BudgetError, match=r"bigimg convert .*wide\.tif .*wide\.ome\.zarr"):
        viewer.open(str(tmp_path / "wide.tif"), plugin="bigimg-zarr")
    assert len(viewer.layers) == 0


def test_view_opens_a_window_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("napari", reason="needs the viewer group: uv run --group viewer")
    img = bigimg.from_array(gradient((300, 400), np.uint16), spacing=0.5, unit="um")
    made = bigimg.view(img, block=False)
    try:
        assert [layer.name for layer in made.layers] == ["array"]
        assert is_drawn(made)
    finally:
        made.close()


def world_of(layer: Any, index: tuple[float, ...]) -> Any:
    """Where napari draws a pixel, in the order z y x."""
    return np.asarray(layer.data_to_world(index))[-3:]


def test_an_oblique_nifti_lies_where_nibabel_says(data: Path, viewer: Any, tmp_path: Path) -> None:
    source = data / "nifti" / "example4d.nii.gz"
    affine = nibabel.load(source).affine  # type: ignore[attr-defined]
    assert np.rad2deg(nibabel.affines.obliquity(affine)).max() > 5
    bigimg.convert(source, tmp_path / "a.ome.zarr", chunks=32, **ASKED)
    for path in (source, tmp_path / "a.ome.zarr"):
        (layer,) = viewer.open(str(path), plugin="bigimg-zarr")
        viewer.dims.ndisplay = 3
        assert layer.ndim == 4
        assert layer.axis_labels == ("t", "z", "y", "x")
        assert tuple(map(str, layer.units))[1:] == ("millimeter",) * 3
        for i, j, k in np.ndindex(2, 2, 2):
            index = (0, k * 23, j * 95, i * 127)
            expected = nibabel.affines.apply_affine(affine, index[:0:-1])
            np.testing.assert_allclose(world_of(layer, index), expected[::-1], atol=1e-4)
        assert is_drawn(viewer)
        viewer.layers.clear()
        viewer.dims.ndisplay = 2


def test_an_oblique_dicom_series_lies_where_its_slices_say(data: Path, viewer: Any) -> None:
    folder = data / "dicom" / "n2d_mprage_slab"
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir() if path.is_file()]
    (layer,) = viewer.open(str(folder), plugin="bigimg-zarr")
    viewer.dims.ndisplay = 3
    found = []
    for header in slices:
        # To the right of the picture and down, in LPS+; napari's world is z y x in RAS+.
        right, down = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        row, column = map(float, header.PixelSpacing)
        first = np.asarray(header.ImagePositionPatient, float)
        corner = first + down * row * (header.Rows - 1) + right * column * (header.Columns - 1)
        found.append([(point * (-1, -1, 1))[::-1] for point in (first, corner)])
    assert (
        np.abs(np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float)).max(axis=1).min() < 0.9999
    )
    shape = layer.level_shapes[0] if layer.multiscale else layer.data.shape
    drawn = [
        [world_of(layer, (z, 0, 0)), world_of(layer, (z, shape[1] - 1, shape[2] - 1))]
        for z in range(shape[0])
    ]
    key = lambda pair: tuple(np.round(pair[0], 2))  # noqa: E731
    np.testing.assert_allclose(sorted(drawn, key=key), sorted(found, key=key), atol=1e-3)
    assert is_drawn(viewer)


def test_a_lost_object_in_the_first_view_is_told_and_drawn_as_stripes(viewer: Any, tmp_path: Path) -> None:
    from napari.utils.notifications import notification_manager

    pixels = np.full((800, 900), 1000, np.uint16)
    path = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.from_array(pixels), path, chunks=64, shards=64, **ASKED)
    for level in "01":
        (path / level / "c" / "1" / "2").unlink()
    notification_manager.records.clear()
    (layer,) = viewer.open(str(path), plugin="bigimg-zarr")
    layer.contrast_limits = (0, 2000)
    viewer.reset_view()
    assert is_drawn(viewer)
    told = [record.message for record in notification_manager.records]
    assert any("0/c/1/2: the object is gone" in message for message in told)
    assert len(told) == len(set(told))
    assert layer.name == "a (damaged)"
    assert "0/c/1/2: the object is gone" in layer.metadata["bigimg"]["damaged"][0]
    assert layer.data_level == 0
    seen = viewer.screenshot(canvas_only=True, flash=False)[..., 0].astype(int)
    stripes = (seen > 250).sum() / (
        seen > 0
    ).sum()  # the background is black, as the other half of the stripes
    assert 0.4 * 64 * 64 / pixels.size < stripes < 0.6 * 64 * 64 / pixels.size
    assert (seen[(seen > 10) & (seen < 245)] > 100).all()  # the rest is what is stored, half of the limits
    with pytest.raises(bigimg.MissingChunk):  # who computes gets an error, and no stripes
        np.asarray(layer.data[0])
    assert np.ma.is_masked(layer.data[0][60:70, 120:140])
    with pytest.raises(bigimg.UsageError, match="masked"):
        bigimg.stats(layer.data[0]).compute()
    with pytest.raises(bigimg.MissingChunk):
        viewer.layers.save(str(tmp_path / "b.ome.zarr"), plugin="bigimg-zarr")
    assert not (tmp_path / "b.ome.zarr").exists()
    viewer.layers.clear()
    assert len(viewer.layers) == 0


def test_damage_that_comes_into_view_is_told_then(viewer: Any, tmp_path: Path) -> None:
    from napari.utils.notifications import notification_manager

    path = tmp_path / "a.ome.zarr"
    bigimg.write(
        bigimg.from_array(noise((100, 60, 64), "u2"), dims="zyx"), path, chunks=32, shards=32, **ASKED
    )
    (path / "0" / "c" / "2" / "0" / "1").unlink()
    notification_manager.records.clear()
    (layer,) = viewer.open(str(path), plugin="bigimg-zarr")
    assert is_drawn(viewer)  # of planes 0 and 50
    assert (layer.name, notification_manager.records) == ("a", [])
    for plane in (70, 71):
        viewer.dims.set_point(0, plane)
        assert is_drawn(viewer)
    assert layer.name == "a (damaged)"
    (record,) = notification_manager.records
    assert "0/c/2/0/1: the object is gone" in record.message


def test_a_step_through_a_volume_reads_one_plane(viewer: Any, tmp_path: Path, decoded: list[str]) -> None:
    """napari cuts a volume through all its planes before it takes one."""
    img = bigimg.from_array(noise((96, 300, 320), "u2"), dims="zyx")
    bigimg.write(img, tmp_path / "volume.ome.zarr", chunks=32, **ASKED)
    (layer,) = viewer.open(str(tmp_path / "volume.ome.zarr"), plugin="bigimg-zarr")
    viewer.reset_view()
    assert is_drawn(viewer)
    decoded.clear()
    viewer.dims.set_point(0, 40)
    assert is_drawn(viewer)
    assert layer.data_level == 0
    np.testing.assert_array_equal(layer._slice.image.raw, img[40])
    assert levels_of(decoded).count("0") == 10 * 10
