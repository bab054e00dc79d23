"""Levels that halve the axes a user names, or all but planes of unknown distance: every part takes them as they are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner
from PIL import Image

import bigimg
from bigimg.cli import cli
from bigimg.errors import ResumeError, UsageError
from bigimg.faces.convert import convert_to_store
from bigimg.viewing.napari import napari_get_reader
from tests.conversion.sources import noise
from tests.oracles import fast_mean

ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}
SHAPE = (9, 150, 131)


def arrays(store: Path) -> list[Any]:
    group = zarr.open_group(store, mode="r")
    return [group[name][...] for name in sorted(group.array_keys())]


def volume() -> Any:
    return bigimg.from_array(noise(SHAPE, "u2"), dims="zyx", spacing=1, unit="um")


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("flat") / "a.ome.zarr"
    bigimg.write(volume(), store, halve="yx", chunks=32, shards=64, **ASKED)
    return store


def test_every_level_has_all_planes_and_the_means_of_its_axes(flat: Path) -> None:
    levels = arrays(flat)
    assert [level.shape for level in levels] == [SHAPE, (9, 75, 66), (9, 38, 33), (9, 19, 17)]
    for below, level in pairwise(levels):
        np.testing.assert_array_equal(level, fast_mean(below, (1, 2, 2)))
    datasets: Any = zarr.open_group(flat, mode="r").attrs["ome"]
    steps = [each["coordinateTransformations"] for each in datasets["multiscales"][0]["datasets"]]
    assert [scale["scale"] for scale, _ in steps] == [[1, 2**n, 2**n] for n in range(4)]
    assert [shift["translation"][1] for _, shift in steps] == [0, 0.5, 1.5, 3.5]
    report = bigimg.verify(flat, volume())
    assert report.ok, report.findings


@pytest.mark.parametrize(
    ("version", "halve", "factors"),
    [("0.4", "zyx", (2, 2, 2)), ("0.5", "z", (2, 1, 1)), ("0.6", "x", (1, 1, 2))],
)
def test_any_axes_in_any_version(halve: str, factors: tuple[int, ...], version: str, tmp_path: Path) -> None:
    img = bigimg.with_geometry(volume(), spacing={"z": 5})  # by its spacing z would not be halved
    bigimg.write(img, tmp_path / "a.ome.zarr", halve=halve, levels=3, ome_version=version, chunks=16, **ASKED)
    levels = arrays(tmp_path / "a.ome.zarr")
    assert len(levels) == 3
    for below, level in pairwise(levels):
        np.testing.assert_array_equal(level, fast_mean(below, factors))
    assert bigimg.verify(tmp_path / "a.ome.zarr").ok


def test_a_changed_level_is_still_found(flat: Path, tmp_path: Path) -> None:
    """The expected shapes follow from those below, so a level of another image is not taken for a halving."""
    bigimg.write(volume(), tmp_path / "a.ome.zarr", halve="yx", chunks=32, shards=64, **ASKED)
    array = zarr.open_array(tmp_path / "a.ome.zarr" / "2", mode="r+")
    array[3, 3, 3] = 7
    assert not bigimg.verify(tmp_path / "a.ome.zarr").ok


def test_an_unfinished_run_is_not_taken_up_with_other_levels(tmp_path: Path, monkeypatch: Any) -> None:
    from bigimg.conversion import commit

    np.save(tmp_path / "a.npy", noise((9, 700, 700)))

    def stop(step: str) -> None:
        if step == "swept":
            raise KeyboardInterrupt

    monkeypatch.setattr(commit, "hook", stop)
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(tmp_path / "a.npy", tmp_path / "a.ome.zarr", halve="yx", **ASKED)
    monkeypatch.undo()
    with pytest.raises(ResumeError, match="another layout"):
        convert_to_store(tmp_path / "a.npy", tmp_path / "a.ome.zarr", halve="zyx", **ASKED)
    result = convert_to_store(tmp_path / "a.npy", tmp_path / "a.ome.zarr", halve="yx", **ASKED)
    assert result.blocks_resumed


@pytest.mark.parametrize("factor", [{"y": 2, "x": 2}, {"y": 4, "x": 4}, {"z": 3, "y": 8, "x": 8}])
def test_smaller_images_are_those_of_the_image_without_levels(factor: dict[str, int], flat: Path) -> None:
    for method in ("mean", "max", "nearest"):
        want = bigimg.downsample(volume(), factor, method=method)
        found = bigimg.downsample(flat, factor, method=method)
        np.testing.assert_array_equal(found.values, want.values)
        for name in "zyx":
            np.testing.assert_allclose(found[name], want[name])


def test_levels_without_a_store_are_those_of_one(flat: Path) -> None:
    made = bigimg.build_pyramid(volume(), halve="yx", levels=4)
    for number, level in enumerate(arrays(flat)):
        np.testing.assert_array_equal(made[f"scale{number}"]["image"].values, level)
    np.testing.assert_array_equal(made["scale2"]["z"], np.arange(9.0))
    np.testing.assert_allclose(made["scale2"]["y"], bigimg.open(flat, level=2)["y"])
    with pytest.raises(UsageError, match="no axis 'z' in an image with axes y x"):
        bigimg.build_pyramid(volume()[0], halve="zyx")
    bare = bigimg.build_pyramid(volume().values, levels=2)
    assert bare["scale1"]["image"].shape == (9, 75, 66)


def test_each_plane_is_found_in_each_level(tmp_path: Path) -> None:
    """A plane of another index was shown by viewers that take index z of level 0 for that of any level."""
    planes = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None] * 10, (9, 600, 500))
    store = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.from_array(planes, dims="zyx", spacing=1, unit="um"), store, halve="yx", **ASKED)
    small = bigimg.resize(store, {"z": 9, "y": 15, "x": 13})
    np.testing.assert_array_equal(small.values, planes[:, :15, :13])
    np.testing.assert_array_equal(small["z"], np.arange(9.0))
    thirds = bigimg.resize(store, {"z": 3, "y": 15, "x": 13})
    np.testing.assert_array_equal(thirds.values[:, 0, 0], [10, 40, 70])
    np.testing.assert_array_equal(bigimg.thumbnail(store, 20), np.full((20, 17), 40))
    for level in range(len(arrays(store))):
        plane = bigimg.plane(bigimg.open(store, level=level), "z", position=7.0)
        assert np.unique(plane.values) == [70]
    layers = napari_get_reader(str(store))(str(store))
    levels, options, _ = layers[0]
    assert [level.shape[0] for level in levels] == [9] * len(levels)
    np.testing.assert_allclose(options["scale"], 1)
    assert np.unique(np.asarray(levels[-1][7])) == [70]


def test_it_is_exported_as_it_is_shown(flat: Path, tmp_path: Path) -> None:
    bigimg.export(flat, tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        np.testing.assert_array_equal(file.series[0].asarray(), volume().values)
        for level, want in zip(file.series[0].levels, arrays(flat), strict=False):
            np.testing.assert_array_equal(level.asarray(), want)
    bigimg.export(bigimg.open(flat, level=2), tmp_path / "a.nii")
    saved = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(saved.dataobj), arrays(flat)[2].T)
    assert saved.header.get_xyzt_units()[0] == "micron"
    np.testing.assert_allclose(saved.header.get_zooms(), (4, 4, 1))


def test_parts_of_a_model_go_into_such_a_store(flat: Path, tmp_path: Path) -> None:
    bigimg.map_patches(
        lambda patch: patch // 2, bigimg.open(flat), {"z": 9, "y": 64, "x": 64}, out=tmp_path / "b.ome.zarr",
        halve="yx", memory="2GB",
    )  # fmt: skip
    levels = arrays(tmp_path / "b.ome.zarr")
    np.testing.assert_array_equal(levels[0], arrays(flat)[0] // 2)
    assert {level.shape[0] for level in levels} == {9}


# ------------------------------------------------------------------------------------- planes of unknown distance


def pages(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", noise((12, 300, 310)), photometric="minisblack", metadata=None)
    return folder / "a.tif"


def folder_of_planes(folder: Path) -> Path:
    (folder / "planes").mkdir()
    for number, plane in enumerate(noise((12, 300, 310))):
        Image.fromarray(plane).save(folder / "planes" / f"{number:02}.png")
    return folder / "planes"


def imagej(folder: Path) -> Path:
    """Their pixels have a size, and nothing is said of their distance."""
    tifffile.imwrite(
        folder / "a.tif", noise((12, 300, 310)), imagej=True, resolution=(4, 4),
        metadata={"axes": "ZYX", "unit": "um"},
    )  # fmt: skip
    return folder / "a.tif"


def bare(folder: Path) -> Path:
    np.save(folder / "a.npy", noise((12, 300, 310)))
    return folder / "a.npy"


@pytest.mark.parametrize("make", [pages, folder_of_planes, imagej, bare])
def test_planes_of_unknown_distance_are_in_every_level(make: Any, tmp_path: Path) -> None:
    source, target = make(tmp_path), tmp_path / "a.ome.zarr"
    assert any("z is not halved" in note for note in bigimg.plan(source, target, probe=False).notes)
    convert_to_store(source, target, levels=3, **ASKED)
    assert [level.shape for level in arrays(target)] == [(12, 300, 310), (12, 150, 155), (12, 75, 78)]
    assert bigimg.verify(target, source).ok
    again = tmp_path / "b.ome.zarr"
    convert_to_store(target, again, levels=2, **ASKED)  # a store says no more than its source did
    assert arrays(again)[1].shape == (12, 150, 155)


@pytest.mark.parametrize("unit", ["unknown", "mm"])
def test_an_affine_says_how_far_apart_planes_are(unit: str, tmp_path: Path) -> None:
    head = nibabel.Nifti1Image(noise((64, 60, 50)), np.diag([1.0, 1, 1, 1]))
    head.header.set_xyzt_units(unit)
    nibabel.save(head, tmp_path / "a.nii")
    convert_to_store(tmp_path / "a.nii", tmp_path / "a.ome.zarr", levels=2, **ASKED)
    assert arrays(tmp_path / "a.ome.zarr")[1].shape == (25, 30, 32)


def test_a_mapping_says_nothing_of_the_axes_that_it_lacks() -> None:
    img = bigimg.from_array(noise((12, 30, 31)), dims="zyx", spacing={"y": 0.5, "x": 0.5}, unit="um")
    assert img.bigimg.units == {"z": None, "y": "micrometer", "x": "micrometer"}
    tree = bigimg.build_pyramid(img, levels=2)
    assert tree["scale1"]["image"].shape == (12, 15, 16)


# --------------------------------------------------------------------------------------------------- their labels


@pytest.mark.parametrize(("halve", "said"), [("yx", True), ("x", False), (None, True), (None, False)])
def test_a_label_has_the_levels_and_the_place_of_its_image(halve: Any, said: bool, tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.with_geometry(volume(), spacing={"z": 2}), store, halve=halve, chunks=32, **ASKED)
    img = bigimg.open(store)
    ids = img // 1000 if said else img.values // 1000
    bigimg.write(ids, store / "labels" / "ids", kind="labels", chunks=64, memory="2GB", progress=False)
    image, label = (bigimg.open_pyramid(path) for path in (store, store / "labels" / "ids"))
    assert list(image.children) == list(label.children)
    for name in image.children:
        assert label[name]["image"].sizes == image[name]["image"].sizes
        for axis in "zyx":
            np.testing.assert_allclose(label[name][axis], image[name][axis])
            assert label[name][axis].attrs.get("units") == image[name][axis].attrs.get("units")
    assert bigimg.verify(store).ok


def test_a_label_of_a_coarse_level_has_the_levels_from_there(flat: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    bigimg.write(volume(), store, halve="yx", chunks=32, **ASKED)
    bigimg.write(arrays(store)[1] > 9, store / "labels" / "bright", **ASKED)
    levels = arrays(store / "labels" / "bright")
    assert [level.shape for level in levels] == [level.shape for level in arrays(store)[1:]]
    assert bigimg.open(store / "labels" / "bright").bigimg.spacing == {"z": 1, "y": 2, "x": 2}
    assert float(bigimg.open(store / "labels" / "bright")["y"][0]) == 0.5


def test_a_label_without_z_lacks_the_levels_that_halve_z_alone(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    thin = bigimg.from_array(noise((64, 32, 32)), dims="zyx", spacing=(0.25, 1, 1), unit="um")
    bigimg.write(thin, store, levels=4, **ASKED)
    assert [level.shape for level in arrays(store)] == [(64, 32, 32), (32, 32, 32), (16, 32, 32), (8, 16, 16)]
    bigimg.write(np.ones((32, 32), bool), store / "labels" / "well", **ASKED)
    assert [level.shape for level in arrays(store / "labels" / "well")] == [(32, 32), (16, 16)]


def test_levels_that_a_person_asks_for_go_first(flat: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    bigimg.write(volume(), store, halve="yx", chunks=32, **ASKED)
    ones = np.ones(SHAPE, np.uint8)
    bigimg.write(ones, store / "labels" / "a", levels=2, **ASKED)
    bigimg.write(ones, store / "labels" / "b", levels=2, halve="zyx", **ASKED)
    assert [level.shape for level in arrays(store / "labels" / "a")] == [SHAPE, (9, 75, 66)]
    assert [level.shape for level in arrays(store / "labels" / "b")] == [SHAPE, (5, 75, 66)]


def test_the_command_names_the_axes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise((9, 300, 310)))
    names = [str(tmp_path / "a.npy"), str(tmp_path / "a.ome.zarr")]
    done = CliRunner().invoke(
        cli, ["convert", *names, "--halve", "yx", "--levels", "2", "--memory", "2GB", "-q"]
    )
    assert done.exit_code == 0, done.output
    assert arrays(tmp_path / "a.ome.zarr")[1].shape == (9, 150, 155)
    for wrong, says in (("t", "'t': only axes of space are halved"), ("yxx", "each once")):
        done = CliRunner().invoke(cli, ["plan", *names, "--halve", wrong])
        assert isinstance(done.exception, UsageError | SystemExit)
        assert says in str(done.exception) + done.output
