"""A store of 0.5 becomes one of 0.6 by its metadata: what is written, what stays, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.conversion import commit
from bigimg.errors import InputError, IntegrityError, OutputError, UsageError
from bigimg.faces.convert import convert_to_store
from tests.conversion.test_edit import attributes
from tests.conversion.test_run import tree
from tests.omezarr.test_edited import PIXELS, WORLD, edited, of_ome

ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 0.5 with a world and a mask."""
    store = tmp_path_factory.mktemp("upgrade") / "a.ome.zarr"
    img = bigimg.from_array(
        PIXELS, dims="czyx", channels=["DAPI", "GFP"], spacing={"z": 2, "y": 0.5, "x": 0.25}, unit="um"
    )
    img = bigimg.with_geometry(img, origin={"y": 3.0}, world=WORLD)
    bigimg.write(img, store, chunks=40, levels=4, **ASKED)
    bigimg.write(bigimg.mask(store, above=500), store / "labels/m", **ASKED)
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "a.ome.zarr", copy_function=os.link)  # an upgrade makes new files
    return tmp_path / "a.ome.zarr"


def test_it_says_what_a_conversion_writes_and_touches_no_pixel(store: Path, tmp_path: Path) -> None:
    before, said = tree(store), bigimg.info(store)
    upgrade = bigimg.upgrade(store)
    assert (upgrade.before, upgrade.after, upgrade.labels, upgrade.notes) == ("0.5", "0.6", ("m",), ())
    after = tree(store)
    assert {key for key in after if after[key] != before.get(key)} == {
        "zarr.json", "bigimg/manifest/zarr.json", "labels/zarr.json", "labels/m/zarr.json",
        "labels/m/bigimg/manifest/zarr.json",
    }  # fmt: skip
    assert after.keys() == before.keys()
    convert_to_store(store, tmp_path / "a-new.ome.zarr", chunks=40, levels=4, ome_version="0.6", **ASKED)
    for inside in (".", "labels/m"):
        found, wanted = (attributes(path / inside) for path in (store, tmp_path / "a-new.ome.zarr"))
        for each in (found, wanted):
            del of_ome(each)["multiscales"][0]["name"]
            each["bigimg"].pop("notes")
        assert found == wanted
    assert attributes(store / "labels")["ome"] == {"version": "0.6", "labels": ["m"]}
    report = bigimg.verify(store)
    assert (report.ok, report.edits, report.notes) == (True, (), ())
    now = bigimg.info(store)
    assert (now.spacing, now.units, now.levels, now.labels) == (
        said.spacing,
        said.units,
        said.levels,
        said.labels,
    )
    np.testing.assert_array_equal(zarr.open_group(store, mode="r")["0"][...], PIXELS)
    np.testing.assert_allclose(
        bigimg.open(store).bigimg.affine, bigimg.open(tmp_path / "a-new.ome.zarr").bigimg.affine
    )


def test_a_second_time_it_changes_nothing(store: Path) -> None:
    bigimg.upgrade(store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    upgrade = bigimg.upgrade(store)
    assert (upgrade.before, upgrade.labels) == ("0.6", ())
    assert "OME-Zarr 0.6 already" in str(upgrade)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_what_others_added_stays(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "a"
    shutil.copytree(whole, store)

    def edit(found: dict[str, Any]) -> None:
        found["stain"] = "H33342"
        of_ome(found)["omero"]["channels"][1]["label"] = "theirs"
        of_ome(found)["multiscales"][0]["axes"][3]["longName"] = "across"

    edited(store, edit)
    bigimg.upgrade(store)
    found = attributes(store)
    system = of_ome(found)["multiscales"][0]["coordinateSystems"][0]
    assert (found["stain"], system["axes"][3]["longName"]) == ("H33342", "across")
    assert bigimg.open(store).bigimg.channels == ("DAPI", "theirs")
    assert bigimg.verify(store, quick=True).edits == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr-python, on consolidated metadata
        zarr.consolidate_metadata(store)
    assert bigimg.verify(store).ok


def test_consolidated_metadata_follows(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "a"
    shutil.copytree(whole, store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store)
        bigimg.upgrade(store)
        group = zarr.open_consolidated(store, mode="r")
    assert [group.attrs["ome"]["version"], group["labels/m"].attrs["ome"]["version"]] == ["0.6", "0.6"]


def test_what_cannot_be_upgraded_is_refused_in_words(whole: Path, tmp_path: Path) -> None:
    bigimg.write(PIXELS[0, 0], tmp_path / "old", ome_version="0.4", **ASKED)
    before = tree(tmp_path / "old")
    with pytest.raises(UsageError, match=r"convert it with ome_version='0\.6'"):
        bigimg.upgrade(tmp_path / "old")
    assert tree(tmp_path / "old") == before
    bigimg.write(PIXELS[0, 0], tmp_path / "new", ome_version="0.6", **ASKED)
    with pytest.raises(
        UsageError, match=r"is OME-Zarr 0\.6, newer than 0\.5: convert it with ome_version='0\.5'"
    ):
        bigimg.upgrade(tmp_path / "new", to="0.5")
    with pytest.raises(UsageError, match=r"to='0\.4'"):
        bigimg.upgrade(tmp_path / "new", to="0.4")
    zarr.create_array(tmp_path / "theirs", shape=(4, 5), dtype="u1")
    with pytest.raises(OutputError, match=r"bigimg did not write this store, .* convert it with ome_version"):
        bigimg.upgrade(tmp_path / "theirs")
    bigimg.pack(whole, tmp_path / "a.ozx", **ASKED)
    for change in (
        lambda: bigimg.upgrade(tmp_path / "a.ozx"),
        lambda: bigimg.edit(tmp_path / "a.ozx", channels=["a"]),
    ):
        with pytest.raises(
            UsageError, match=r"a\.ozx: metadata are changed in a folder, .* unpack or fetch it first"
        ):
            change()
    with pytest.raises(
        OutputError, match=r"the image is in one file, and labels are written into folders: unpack it"
    ):
        bigimg.write(PIXELS > 3, tmp_path / "a.ozx/labels/x", **ASKED)


def test_a_second_multiscale_is_not_guessed_at(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "a"
    shutil.copytree(whole, store)
    edited(store, lambda found: of_ome(found)["multiscales"].append({"name": "other"}))
    with pytest.raises(InputError, match="2 multiscales"):
        bigimg.upgrade(store)


def test_label_images_of_others_stay_and_are_named(store: Path) -> None:
    group = zarr.create_group(store / "labels/theirs", zarr_format=3)
    group.create_array("0", shape=PIXELS.shape[1:], dtype="u1")[...] = 1
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2, 0.5, 0.25]}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    (note,) = bigimg.upgrade(store).notes
    assert note.startswith("labels/theirs: was not written by bigimg")


def test_stopped_at_any_step_it_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(whole, tmp_path / "unbroken", copy_function=os.link)
    bigimg.upgrade(tmp_path / "unbroken")
    unbroken, seen = tree(tmp_path / "unbroken"), 0
    for stop in range(1, 100):
        store, seen = tmp_path / str(stop), 0
        shutil.copytree(whole, store, copy_function=os.link)

        def step(_: str, stop: int = stop) -> None:
            nonlocal seen
            seen += 1
            if seen == stop:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(commit, "hook", step)
            try:
                bigimg.upgrade(store)
                break
            except KeyboardInterrupt:
                pass
        report = bigimg.verify(store, quick=True)
        assert (report.ok, report.edits) == (True, ()), (stop, report)
        bigimg.upgrade(store)
        assert tree(store) == unbroken, stop
    assert stop == 10  # four steps of each image, and the list of label images
    versions = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]["version"]
    assert versions == "0.6"


@pytest.fixture(scope="module")
def whole_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plate = tmp_path_factory.mktemp("plates") / "p.ome.zarr"
    bigimg.convert({"A01": PIXELS[0, 0], "B03": PIXELS[1, 0]}, plate, **ASKED)
    bigimg.write(bigimg.mask(plate / "A/01/0", above=500), plate / "A/01/0/labels/m", **ASKED)
    return plate


def versions_of(plate: Path) -> set[str]:
    documents = [json.loads(path.read_bytes()) for path in plate.rglob("zarr.json")]
    blocks = [each.get("attributes", {}).get("ome") for each in documents]
    return {block["version"] for block in blocks if block}


def test_a_plate_has_one_version(whole_plate: Path, tmp_path: Path) -> None:
    plate = tmp_path / "p.ome.zarr"
    shutil.copytree(whole_plate, plate)
    with pytest.raises(
        UsageError, match=r"is a field of a plate, which has one version: upgrade .*p\.ome\.zarr"
    ):
        bigimg.upgrade(plate / "A/01/0")
    assert versions_of(plate) == {"0.5"}
    upgrade = bigimg.upgrade(plate)
    assert (upgrade.before, upgrade.after, upgrade.fields) == ("0.5", "0.6", ("A/01/0", "B/03/0"))
    assert versions_of(plate) == {"0.6"}
    assert bigimg.verify(plate, progress=False).ok
    assert bigimg.upgrade(plate).fields == ()
    bigimg.convert({"A01": PIXELS[0, 0]}, tmp_path / "old.ome.zarr", ome_version="0.4", **ASKED)
    with pytest.raises(UsageError, match=r"convert it with ome_version='0\.6'"):
        bigimg.upgrade(tmp_path / "old.ome.zarr")


def test_a_plate_that_cannot_be_upgraded_whole_stays_as_it_is(whole_plate: Path, tmp_path: Path) -> None:
    plate = tmp_path / "p.ome.zarr"
    shutil.copytree(whole_plate, plate)
    shutil.rmtree(plate / "B/03/0/bigimg")
    before = tree(plate)
    with pytest.raises(IntegrityError, match="B/03/0/bigimg/manifest: the manifest of this store is gone"):
        bigimg.upgrade(plate)
    assert tree(plate) == before


def test_a_plate_that_was_stopped_at_any_step_goes_on(
    whole_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole_plate, tmp_path / "unbroken")
    bigimg.upgrade(tmp_path / "unbroken")
    for stop in range(1, 100):
        store, seen = tmp_path / str(stop), [*range(stop)]
        shutil.copytree(whole_plate, store)

        def step(_: str, seen: list[int] = seen) -> None:
            seen.pop()
            if not seen:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(commit, "hook", step)
            try:
                bigimg.upgrade(store)
                break
            except KeyboardInterrupt:
                pass
        bigimg.upgrade(store)
        assert tree(store) == tree(tmp_path / "unbroken"), stop
    assert stop > 10
