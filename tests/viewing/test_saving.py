"""Layers saved as OME-Zarr, and conversions that a window starts: the logic, without napari and Qt."""

from __future__ import annotations

import ast
import importlib.util
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

import bigimg
from bigimg.errors import MissingChunk, MissingExtraError, TargetExistsError, UsageError
from bigimg.faces.formats import formats
from bigimg.version import install_line
from bigimg.viewing.napari import chelsea, napari_get_reader, rat_brain, window
from bigimg.viewing.napari.background_conversion import Job
from bigimg.viewing.napari.layers import layers_of
from bigimg.viewing.napari.saving import save
from bigimg.viewing.napari.window import tell_damage
from tests.conversion.sources import noise

MANIFEST = Path(bigimg.__file__).parent / "napari.yaml"
ASKED: dict[str, Any] = {"memory": "2GB", "chunks": 32}


def image_layer(name: str = "cells", **more: Any) -> Any:
    options = {
        "name": name,
        "scale": (2.0, 0.5, 0.25),
        "translate": (7.0, 0.0, -1.0),
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
        "colormap": {"colors": np.array([[0, 0, 0, 1], [0, 1, 0.5, 1]])},
        "contrast_limits": [10, 600],
    }
    return noise((30, 40, 50), "u2", seed=len(name)), options | more, "image"


def test_one_layer_keeps_pixels_and_place(tmp_path: Path) -> None:
    layer = image_layer()
    assert save(str(tmp_path / "a.zarr"), [layer], **ASKED) == [str(tmp_path / "a.zarr")]
    assert bigimg.verify(tmp_path / "a.zarr").ok
    img = bigimg.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(img, layer[0])
    assert img.dims == ("z", "y", "x")
    assert img.bigimg.spacing == {"z": 2.0, "y": 0.5, "x": 0.25}
    assert img.bigimg.origin == {"z": 7.0, "y": 0.0, "x": -1.0}
    assert set(img.bigimg.units.values()) == {"micrometer"}
    assert img.attrs["window"] == [10.0, 600.0]


def test_layers_of_one_place_are_channels(tmp_path: Path) -> None:
    layers = [image_layer(f"cells {name}", contrast_limits=(0, 9)) for name in ("DAPI", "far red")]
    save(str(tmp_path / "a.zarr"), layers, **ASKED)
    img = bigimg.open(tmp_path / "a.zarr")
    assert img.bigimg.channels == ("DAPI", "far red")
    assert list(img["color"].values) == ["00FF80", "00FF80"]
    for channel, (data, _, _) in enumerate(layers):
        np.testing.assert_array_equal(img[channel], data)
    assert [options["name"] for _, options, _ in layers_of(tmp_path / "a.zarr")] == ["a DAPI", "a far red"]


def test_what_was_opened_and_saved_again_is_the_same(tmp_path: Path) -> None:
    world = np.array([[-1e-3, 0, 0, 3], [0, 0, 1e-3, 5], [0, 1e-3, 0, 7], [0, 0, 0, 1]])
    img = bigimg.from_array(noise((2, 30, 40, 50), "i2"), dims="czyx", channels=("a", "b"))
    img = bigimg.with_geometry(img, spacing={"z": 2, "y": 0.5, "x": 0.5}, unit="um", world=world)
    bigimg.write(img, tmp_path / "a.ome.zarr", memory="2GB", progress=False, chunks=32)
    save(str(tmp_path / "b.ome.zarr"), layers_of(tmp_path / "a.ome.zarr"), **ASKED)
    one, two = (bigimg.open_pyramid(tmp_path / f"{name}.ome.zarr") for name in "ab")
    assert list(one.children) == list(two.children)
    for level in one.children:
        np.testing.assert_array_equal(one[level]["image"], two[level]["image"])
    first, second = one["scale0"]["image"], two["scale0"]["image"]
    np.testing.assert_allclose(first.bigimg.affine, second.bigimg.affine)
    assert (first.bigimg.spacing, first.bigimg.units) == (second.bigimg.spacing, second.bigimg.units)
    assert first.bigimg.channels == second.bigimg.channels


def test_what_is_drawn_over_damage_is_never_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.from_array(noise((70, 90), "u2")), path, shards=32, **ASKED)
    (path / "0" / "c" / "0" / "0").unlink()
    layers = layers_of(path)
    tell_damage(layers)
    with pytest.raises(MissingChunk, match="c/0/0: the object is gone"):
        save(str(tmp_path / "b.ome.zarr"), layers, memory="2GB")
    assert not (tmp_path / "b.ome.zarr").exists()


@pytest.mark.parametrize("name", ["chelsea", "rat_brain"])
def test_samples_are_pictures_in_colour_and_are_saved_so(name: str, tmp_path: Path) -> None:
    ((data, options, kind),) = {"chelsea": chelsea, "rat_brain": rat_brain}[name]()
    assert (kind, options["rgb"], data.shape[-1]) == ("image", True, 3)
    save(str(tmp_path / "a.zarr"), [(data, options, kind)])
    img = bigimg.open(tmp_path / "a.zarr")
    assert img.bigimg.channels == ("R", "G", "B")
    np.testing.assert_array_equal(np.moveaxis(img.to_numpy(), 0, -1), data)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_labels_are_saved_with_their_image_and_come_back(version: str, tmp_path: Path) -> None:
    ids = noise((30, 40, 50)).astype("i4")
    mask = noise((30, 40, 50), "b1").view("u1")
    layers = [image_layer("brain a"), image_layer("brain b")]
    layers += [
        (data, {**layers[0][1], "name": name}, "labels") for data, name in ((ids, "brain ids/1"), (mask, "m"))
    ]
    written = save(str(tmp_path / "a.zarr"), layers, **ASKED, ome_version=version)
    assert [Path(path).name for path in written] == ["a.zarr", "brain_ids_1", "m"]
    assert all(bigimg.verify(path).ok for path in written)
    found = layers_of(tmp_path / "a.zarr")
    assert [(options["name"], kind) for _, options, kind in found] == [
        ("a a", "image"), ("a b", "image"), ("a brain_ids_1", "labels"), ("a m", "labels")]  # fmt: skip
    for (data, options, _), (wanted, about, _) in zip(found, layers, strict=True):
        np.testing.assert_array_equal(data[0], wanted)
        assert options["scale"] == about["scale"]


def test_labels_stay_ids(tmp_path: Path) -> None:
    ids = noise((60, 70)).astype("u4") * 1000
    layer = ([ids, ids[::2, ::2]], {"name": "nuclei", "multiscale": True}, "labels")
    save(str(tmp_path / "a.zarr"), [layer], **ASKED)
    img = bigimg.open(tmp_path / "a.zarr", level=-1)
    assert img.bigimg.kind == "labels"
    assert set(np.unique(img)) <= set(np.unique(ids))
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.zarr"), ids)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([], "no layer cannot be saved"),
        ([(np.zeros((3, 2)), {"name": "p"}, "points")], "points cannot be saved"),
        ([image_layer("a"), image_layer("b", translate=(0.0, 0.0, 0.0))], "a and b are not channels of one image"),
        ([image_layer("a", rotate=np.diag([1, -1, -1.0]))], "layer a: is turned or sheared"),
        ([(np.zeros((2, 2, 2, 2, 2)), {"name": "five"}, "image")], "layer five: 5 axes"),
        ([image_layer("a"), (np.zeros((2, 2), int), {"name": "l"}, "labels")], "l is no label image of a"),
        ([(np.zeros((2, 2), int), {"name": n}, "labels") for n in "lm"], "l, m: save their image with them"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_store_is_refused(layers: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        save(str(tmp_path / "a.zarr"), layers)
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(TargetExistsError):
        save(str(tmp_path / "a.zarr"), [image_layer()])


# ------------------------------------------------------------------------------------------------- the plugin


def test_the_manifest_claims_every_format_and_names_what_there_is() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    known = {f"*{ending}" for each in formats().reads if not each.outside for ending in each.extensions}
    (reader,) = manifest["contributions"]["readers"]
    assert set(reader["filename_patterns"]) == known
    for command in manifest["contributions"]["commands"]:
        module, name = command["python_name"].split(":")
        found = importlib.util.find_spec(module)  # not imported: magicgui may be missing here
        assert found is not None
        assert found.origin is not None
        body = ast.parse(Path(found.origin).read_text(encoding="utf-8")).body
        assert name in {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_hook_takes_what_bigimg_reads_and_leaves_the_rest(tmp_path: Path) -> None:
    bigimg.write(bigimg.from_array(noise((40, 50))), tmp_path / "a.zarr", memory="2GB", progress=False)
    tifffile.imwrite(tmp_path / "b.tif", noise((20, 30)))
    (tmp_path / "c.csv").write_text("1,2\n")
    for name in ("a.zarr", "b.tif"):
        read = napari_get_reader(str(tmp_path / name))
        assert read is not None
        assert len(read(str(tmp_path / name))) == 1
        assert len(read([str(tmp_path / name)])) == 1
    assert napari_get_reader(str(tmp_path / "c.csv")) is None
    assert napari_get_reader(str(tmp_path / "none.tif")) is None


# ---------------------------------------------------------------------------------------------- the conversion


def test_a_job_converts_and_tells(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise((300, 400), "u2"))
    job = Job(str(tmp_path / "a.tif"), str(tmp_path / "a.ome.zarr"), memory="2GB", ome_version="0.4")
    told = list(job.watch())
    assert job.error is None
    assert told[-1].done == told[-1].total
    assert "a.ome.zarr: " in job.outcome
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr"), tifffile.imread(tmp_path / "a.tif"))


def test_a_cancelled_job_keeps_what_was_done_and_goes_on(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise((900, 1200), "u2"))
    asked: dict[str, Any] = {"memory": "2GB", "chunks": 32, "shards": 32, "workers": 1}
    before = set(threading.enumerate())  # those of other tests
    job = Job(str(tmp_path / "a.npy"), str(tmp_path / "a.ome.zarr"), **asked)
    for told in job.watch():
        if told.done:
            job.cancel()  # heard at the next of a thousand blocks
    assert job.cancelled
    assert "to go on" in job.outcome
    assert not (tmp_path / "a.ome.zarr").exists()
    again = Job(str(tmp_path / "a.npy"), str(tmp_path / "a.ome.zarr"), **asked)
    list(again.watch())
    assert again.result is not None
    assert again.result.blocks_resumed >= 1
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not any(name.startswith("bigimg_") for name in left), left  # the workers of a conversion


def test_a_job_says_what_is_wrong(tmp_path: Path) -> None:
    job = Job(str(tmp_path / "none.tif"), str(tmp_path / "a.ome.zarr"))
    assert list(job.watch()) == []
    assert "none.tif: no such file" in job.outcome


# -------------------------------------------------------------------------------------------------- the window


def test_without_a_screen_it_says_how_to_write_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(UsageError, match=r"no screen.*bigimg thumbnail a\.zarr picture\.png"):
        bigimg.view("a.zarr")


def test_without_napari_it_prints_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=re.escape(install_line("napari", "napari[pyqt6]"))):
        window.new_viewer()


def test_the_level_shown_in_three_dimensions() -> None:
    assert window.level_in_3d([(3000, 300, 300), (1500, 300, 300), (750, 150, 150)]) == 2
    assert window.level_in_3d([(9, 9, 9)]) == 0
    assert window.level_in_3d([(5000, 5000, 5000)]) == 0
