"""Edits in place: names, colours, windows and spacing in each version, the manifest, labels; and kills on the way.

What a file says is read as JSON; expected numbers are computed here.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.conversion.edit import accept_edits
from bigimg.errors import InputNotFoundError, OutputError, UsageError
from bigimg.omezarr import manifest as manifest_module
from tests.conversion.test_run import tree
from tests.omezarr.test_edited import (
    PIXELS,
    VERSIONS,
    WORLD,
    axis,
    edited,
    of_ome,
    transformations,
    without_copy,
)

ASKED: dict[str, Any] = {
    "channels": ["a", "b"],
    "spacing": "z=3,y=700,x=700nm",
    "colors": ["ff0000", "#00FF00"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stores with a world and a mask."""
    folder = tmp_path_factory.mktemp("edit")
    img = bigimg.from_array(
        PIXELS, dims="czyx", channels=["DAPI", "GFP"], spacing={"z": 2, "y": 0.5, "x": 0.25}, unit="um"
    )
    img = bigimg.with_geometry(img, origin={"y": 3.0}, world=WORLD)
    for version in VERSIONS:
        bigimg.write(img, folder / version, ome_version=version, chunks=40, levels=5, progress=False)
        bigimg.write(bigimg.mask(folder / version, above=500), folder / version / "labels/m", progress=False)
    return {version: folder / version for version in VERSIONS}


@pytest.fixture(params=VERSIONS)
def store(request: pytest.FixtureRequest, whole: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(whole[request.param], tmp_path / "a.ome.zarr")
    return tmp_path / "a.ome.zarr"


@pytest.fixture
def newest(whole: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(whole["0.5"], tmp_path / "a.ome.zarr")
    return tmp_path / "a.ome.zarr"


def attributes(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = zarr.open_group(path, mode="r", use_consolidated=False).attrs.asdict()
    return found


# -------------------------------------------------------------------------------------------------- what is written


def test_names_colors_and_spacing_in_the_file(store: Path) -> None:
    arrays = {key: digest for key, digest in tree(store).items() if "/c/" in key}
    before = attributes(store)
    edit = bigimg.edit(store, **ASKED)
    assert edit.labels == ("m",)
    assert "spacing along y is 700 nm, was 0.5 µm" in edit.changes
    found = attributes(store)
    shown = of_ome(found)["omero"]["channels"]
    assert [(each["label"], each["color"]) for each in shown] == [("a", "FF0000"), ("b", "00FF00")]
    assert [each["window"] for each in shown] == [
        each["window"] for each in of_ome(before)["omero"]["channels"]
    ]
    assert [axis(found, name)["unit"] for name in "zyx"] == ["nanometer"] * 3
    for level, shape in enumerate([(9, 40, 36), (9, 40, 18), (9, 20, 9), (9, 10, 5), (5, 5, 3)]):
        assert zarr.open_array(store / str(level), mode="r").shape == (2, *shape)
        factor = 2 ** np.ceil(np.log2(np.divide(PIXELS.shape[1:], shape)))
        scale, translation = transformations(found, level)
        np.testing.assert_allclose(scale["scale"], [1, *factor * [3, 700, 700]], rtol=1e-12)
        start = np.array([0, 3000, 0]) + (factor - 1) / 2 * [3, 700, 700]  # 3 micrometres, as before
        np.testing.assert_allclose(translation["translation"], [0, *start], rtol=1e-12)
    assert {key: digest for key, digest in tree(store).items() if "/c/" in key and "manifest" not in key} == {
        key: digest for key, digest in arrays.items() if "manifest" not in key
    }
    report = bigimg.verify(store)
    assert (report.ok, report.edits, report.notes) == (True, (), ())


def test_the_place_in_the_world_follows(store: Path) -> None:
    bigimg.edit(store, spacing="x=0.75um,y=2mm")
    expected = np.array(WORLD) @ np.diag([0.75, 2000, 2, 1])
    expected[:3, 3] += np.array(WORLD)[:3, 1] * 3.0  # the first pixel stays
    for image in (bigimg.open(store), bigimg.open(store / "labels/m")):
        np.testing.assert_allclose(image.bigimg.affine, expected, rtol=1e-9)
    if (systems := of_ome(attributes(store))["multiscales"][0].get("coordinateTransformations")) is not None:
        matrix = np.array(systems[0]["affine"])  # of 0.6: from c z y x, here in micrometres and millimetres
        np.testing.assert_allclose(matrix[1:, 1:4], np.array(WORLD)[2::-1, 2::-1] * [1, 1000, 1], rtol=1e-9)


def test_windows(store: Path) -> None:
    bigimg.edit(store, window=(3, 400))
    assert [each["window"]["end"] for each in of_ome(attributes(store))["omero"]["channels"]] == [400, 400]
    assert bigimg.info(store).window == (3, 400)
    edit = bigimg.edit(store, window={"GFP": (5, 70), 0: (1, 2)})
    assert edit.changes == (
        "window of channel 0 is 1 to 2, was 3 to 400", "window of channel 1 is 5 to 70, was 3 to 400",
    )  # fmt: skip
    assert bigimg.info(store).window is None, "the channels have several"
    bigimg.edit(store, window={-1: (5, 80)})
    shown = [each["window"] for each in of_ome(attributes(store))["omero"]["channels"]]
    assert [(each["start"], each["end"], each["min"], each["max"]) for each in shown] == [
        (1, 2, 0, 65535), (5, 80, 0, 65535),
    ]  # fmt: skip
    assert bigimg.verify(store, quick=True).ok


def test_an_axis_that_runs_backwards_keeps_its_direction(tmp_path: Path) -> None:
    img = bigimg.from_array(PIXELS[0], dims="zyx", spacing={"y": -0.5})
    bigimg.write(img, tmp_path / "a", chunks=8, progress=False)
    bigimg.edit(tmp_path / "a", spacing={"y": 2.0})
    assert bigimg.open(tmp_path / "a").bigimg.spacing == {"z": 1, "y": -2, "x": 1}
    assert bigimg.verify(tmp_path / "a").ok
    assert next(transformations(attributes(tmp_path / "a"), 0))["scale"] == [1, 2, 1]


def test_what_others_added_stays(store: Path) -> None:
    def edit(found: dict[str, Any]) -> None:
        found["stain"] = "H33342"
        of_ome(found)["multiscales"][0]["name"] = "mine"
        of_ome(found)["omero"]["channels"][0]["lookup"] = "fire"
        of_ome(found)["omero"]["channels"][1]["label"] = "theirs"

    edited(store, edit)
    bigimg.edit(store, spacing="z=4um")
    found = attributes(store)
    first, second = of_ome(found)["omero"]["channels"]
    assert (found["stain"], of_ome(found)["multiscales"][0]["name"]) == ("H33342", "mine")
    assert (first["lookup"], second["label"]) == ("fire", "theirs")
    assert bigimg.open(store).bigimg.channels == ("DAPI", "theirs")
    assert bigimg.verify(store, quick=True).edits == ()


def test_consolidated_metadata_follows(store: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr-python, on consolidated metadata
        zarr.consolidate_metadata(store)
        bigimg.edit(store, **ASKED)
        group = zarr.open_consolidated(store, mode="r")
    assert of_ome(group.attrs.asdict())["omero"]["channels"][0]["label"] == "a"
    label = of_ome(group["labels/m"].attrs.asdict())["multiscales"][0]["datasets"][0][
        "coordinateTransformations"
    ]
    assert str(label).count("700") == 2
    for name in ("bigimg/manifest", "0", "labels/m/0"):
        assert dict(group[name].attrs) == attributes_of(store / name)
    assert bigimg.verify(store).ok


def attributes_of(path: Path) -> dict[str, Any]:
    files = [path / name for name in ("zarr.json", ".zattrs") if (path / name).exists()]
    found: dict[str, Any] = json.loads(files[0].read_text())
    return found["attributes"] if files[0].name == "zarr.json" else found


def test_an_edit_that_changes_nothing_writes_nothing(store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    edit = bigimg.edit(store, channels=["DAPI", "GFP"], spacing="x=0.25um")
    assert (edit.changes, edit.labels, "nothing to change" in str(edit)) == ((), (), True)
    accept_edits(store)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


# ------------------------------------------------------------------------------------------------------ label images


def test_labels_follow_the_level_that_they_lie_on(store: Path) -> None:
    mask = bigimg.mask(bigimg.open(store, level=2), above=400)
    bigimg.write(mask, store / "labels/coarse", progress=False)
    apart = bigimg.with_geometry(bigimg.mask(store, above=9), spacing={"z": 9})
    bigimg.write(apart, store / "labels/apart", progress=False)
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2, 0.5, 0.25]}]}]
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    theirs = zarr.create_group(store / "labels/theirs", zarr_format=2)
    theirs.attrs.update(multiscales=[{"version": "0.4", "axes": axes, "datasets": datasets}])
    theirs.create_array("0", shape=PIXELS.shape[1:], dtype="u1")[...] = 1
    edit = bigimg.edit(store, spacing="z=5,y=2,x=2um", channels=["a", "b"])
    assert edit.labels == ("apart", "coarse", "m")
    assert [note.partition(":")[0] for note in edit.notes] == ["labels/apart", "labels/theirs"]
    spacings = [bigimg.open(store / "labels" / name).bigimg.spacing for name in ("m", "coarse", "apart")]
    assert [list(each.values()) for each in spacings] == [[5, 2, 2], [5, 4, 8], [9, 0.5, 0.25]]
    origin = bigimg.open(store / "labels/coarse").bigimg.origin
    assert origin == {"z": 0, "y": 3 + 1, "x": 3}
    assert bigimg.open(store / "labels/apart").bigimg.channels == ("a", "b")
    report = bigimg.verify(store)
    assert (report.ok, {note.partition(":")[0] for note in report.notes}) == (
        True,
        {"labels/apart", "labels/theirs"},
    )
    assert bigimg.edit(store / "labels/m", spacing="z=7um").changes == ("spacing along z is 7 µm, was 5 µm",)


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing to edit: give channels=, colors=, spacing= or window="),
        ({"channels": ["a"]}, "channels: 1 for 2 channels; give one for each"),
        ({"channels": "ab"}, "channels: 1 for 2 channels; give one for each"),
        ({"colors": ["red", "blue"]}, "colors: 'red' is no color; write six hexadecimal digits"),
        ({"spacing": {"t": 3}}, "no axis 't'|names axis 't'"),
        ({"spacing": {"z": 0}}, "spacing"),
        ({"window": (5, 5)}, r"window=\(5, 5\): give the values"),
        ({"window": {}}, r"window=\{\}: names no channel"),
        ({"window": {"9" * 5000: (1, 2)}}, "no channel '999"),
        ({"window": (1, 10**400)}, r"window=\(1, 1000*\): give the values"),
        ({"window": {0: (10**400, 1)}}, "give the values"),
        ({"channels": ["a", 5]}, "channels: 5 is no name; give a text"),
        ({"channels": [None, "a"]}, "channels: None is no name"),
        ({"window": 7}, "window=7: give the values"),
        ({"window": {"RFP": (1, 2)}}, "no channel 'RFP'; there are DAPI, GFP"),
    ],
)
def test_what_means_nothing_is_refused_by_name(newest: Path, asked: dict[str, Any], said: str) -> None:
    before = tree(newest)
    with pytest.raises(UsageError, match=said):
        bigimg.edit(newest, **asked)
    assert tree(newest) == before


def test_labels_have_no_windows(newest: Path) -> None:
    for asked in ({"window": (1, 2)}, {"colors": ["FF0000"] * 2}):
        with pytest.raises(UsageError, match="the pixels are a mask's values, which have none"):
            bigimg.edit(newest / "labels/m", **asked)


def test_a_place_in_millimetres_needs_units(tmp_path: Path) -> None:
    img = bigimg.from_array(PIXELS[0], dims="zyx", affine=np.diag([2.0, 2, 3, 1]))
    img = img.assign_coords({name: img[name].drop_attrs() for name in "zyx"})
    bigimg.write(img, tmp_path / "a", progress=False)
    with pytest.raises(UsageError, match=r"spacing 4 along z is in no unit, .* as in z=4mm"):
        bigimg.edit(tmp_path / "a", spacing={"z": 4})
    bigimg.edit(tmp_path / "a", spacing="z=4,y=2,x=2mm")
    np.testing.assert_allclose(bigimg.open(tmp_path / "a").bigimg.affine, np.diag([2.0, 2, 4, 1]))


def test_stores_that_are_not_ours_or_no_folder(newest: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "b"), "zip", newest)
    with pytest.raises(UsageError, match=r"b\.zip: metadata are changed in a folder"):
        bigimg.edit(tmp_path / "b.zip", **ASKED)
    with pytest.raises(UsageError, match="accept=True writes into the store"):
        bigimg.verify(tmp_path / "b.zip", accept=True)
    zarr.create_array(tmp_path / "theirs", shape=(4, 5), dtype="u1")
    with pytest.raises(OutputError, match="bigimg did not write this store"):
        bigimg.edit(tmp_path / "theirs", spacing="x=2um")
    with pytest.raises(InputNotFoundError):
        bigimg.edit(tmp_path / "nothing", spacing="x=2um")


# -------------------------------------------------------------------------------------------------------------- kills


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def killed_at(step: int, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """End ``call`` before its ``step``-th rename, sync or removal; return whether it came so far."""
    done = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def counting(*args: Any, **named: Any) -> object:
            nonlocal done
            done += 1
            if done == step:
                raise Killed
            return function(*args, **named)

        return counting

    with monkeypatch.context() as patch:
        for name in ("replace", "fsync"):
            patch.setattr(manifest_module.os, name, counted(getattr(os, name)))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        try:
            call()
        except Killed:
            return True
    return False


def said(path: Path) -> tuple[Any, ...]:
    found = bigimg.open(path)
    info = bigimg.info(path)
    affine = np.asarray(found.bigimg.affine).tolist()
    return found.bigimg.channels, found.bigimg.spacing, found.bigimg.units, affine, info.window, info.levels


@pytest.mark.parametrize(("version", "before"), [("0.4", "plain"), ("0.5", "edited"), ("0.6", "older")])
def test_a_kill_leaves_the_old_metadata_or_the_new(
    version: str, before: str, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    shutil.copytree(whole[version], store)
    if before == "older":
        without_copy(store)
    elif before == "edited":
        edited(store, lambda found: of_ome(found)["omero"]["channels"][1].update(label="theirs"))
    if store.joinpath(".zattrs").exists():
        zarr.consolidate_metadata(store)

    def edit(path: Path) -> Callable[[], object]:
        return lambda: bigimg.edit(path, window=(3, 400), **ASKED)

    old = said(store)
    shutil.copytree(store, tmp_path / "new")
    edit(tmp_path / "new")()
    new, unbroken = said(tmp_path / "new"), tree(tmp_path / "new")
    of_label = said(tmp_path / "new/labels/m")
    assert old != new
    seen = set()
    for step in range(1, 100):
        path = tmp_path / str(step)
        shutil.copytree(store, path, copy_function=os.link)  # an edit makes new files
        if not killed_at(step, edit(path), monkeypatch):
            break
        assert said(path) in (old, new), step
        seen.add(said(path) == new)
        if before != "edited" or said(path) == new:
            report = bigimg.verify(path, quick=True)
            assert (report.ok, report.edits) == (True, ()), (step, report)
        edit(path)()
        assert tree(path) == unbroken, step
        assert said(path / "labels/m") == of_label
        shutil.rmtree(path)
    assert seen == {False, True}
    assert step > 10


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_name_of_a_picture_is_a_change(version: Any, tmp_path: Path) -> None:
    bigimg.write(PIXELS[0, 0], tmp_path / "a.ome.zarr", ome_version=version, progress=False)
    assert bigimg.edit(tmp_path / "a.ome.zarr", channels=["DAPI"]).changes
    written = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs.asdict()
    assert of_ome(written)["omero"]["channels"][0]["label"] == "DAPI"
    assert bigimg.edit(tmp_path / "a.ome.zarr", channels=["GFP"]).changes == (
        "name of channel 0 is GFP, was DAPI",
    )
    assert bigimg.edit(tmp_path / "a.ome.zarr", channels=["GFP"]).changes == ()


def test_names_that_terminals_obey_are_not_printed(newest: Path) -> None:
    (change, _) = bigimg.edit(newest, channels=["a\x1b[31m", "b"]).changes
    assert change == "name of channel 0 is a?[31m, was DAPI"
