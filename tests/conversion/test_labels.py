"""Masks and label images inside the store of their image: listed, linked, verified, whole or absent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.conversion.leftovers import clean
from bigimg.errors import OutputError, TargetExistsError, UsageError
from tests.oracles import coarser

CHILD = """\
import os, sys
import numpy as np
from bigimg.conversion import commit, labels
from bigimg.faces.convert import convert_to_store
commit.hook = labels.hook = lambda at: os._exit(9) if at == sys.argv[1] else None
convert_to_store(np.ones((150, 170), bool), sys.argv[2], progress=False, workers=1)
"""
"""Ends at a step, as if killed."""
VERSIONS = ["0.4", "0.5", "0.6"]


def image(folder: Path, version: str = "0.5") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 150, 170), np.uint8)
    img = bigimg.from_array(pixels, dims="cyx", spacing=0.5, unit="um")
    bigimg.write(img, folder / "a.ome.zarr", progress=False, chunks=64, shards=64, ome_version=version)
    return folder / "a.ome.zarr"


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_mask_becomes_a_label(version: str, tmp_path: Path) -> None:
    store = image(tmp_path, version)
    before = tree(store)
    img = bigimg.open(store)
    mask = bigimg.mask(img.isel(c=1, drop=True), below=90)
    bigimg.write(mask, store / "labels" / "dark", progress=False, chunks=64, shards=64)
    assert {name: data for name, data in tree(store).items() if not name.startswith("labels/")} == before
    assert bigimg.info(store).labels == ("dark",)
    group = zarr.open_group(store / "labels", mode="r")
    assert int(group.metadata.zarr_format) == (2 if version == "0.4" else 3)
    block = group.attrs if version == "0.4" else group.attrs["ome"]
    assert block["labels"] == ["dark"]
    label = zarr.open_group(store / "labels" / "dark", mode="r")
    about: Any = label.attrs if version == "0.4" else label.attrs["ome"]
    assert "image-label" in about  # its source is ../../ unless it says otherwise
    want = mask.values.astype(np.uint8)
    np.testing.assert_array_equal(label["0"][...], want)
    np.testing.assert_array_equal(label["1"][...], coarser(want, (2, 2), "mode"))
    assert about["multiscales"][0]["type"] == "mode"
    for path in (store, store / "labels" / "dark"):
        report = bigimg.verify(path)
        assert report.ok, report.findings
    found = bigimg.open(store / "labels" / "dark")
    assert (found.bigimg.kind, found.bigimg.spacing) == ("mask", img.bigimg.spacing)
    assert int(bigimg.stats(img, where=store / "labels" / "dark")["count"].sum()) == 3 * int(want.sum())
    assert float(bigimg.fraction(found)) == want.mean()


def test_the_tags_of_the_image_are_not_those_of_its_masks_and_labels(tmp_path: Path) -> None:
    store = image(tmp_path)
    img = bigimg.open(store).assign_attrs(meta={"Compression": "JPEG"}, private={"Name": "N"})
    grey = img.isel(c=1, drop=True)
    bigimg.write(img, tmp_path / "kept.ome.zarr", progress=False)
    assert dict(bigimg.open(tmp_path / "kept.ome.zarr").bigimg.meta) == {"Compression": "JPEG"}
    made = {
        tmp_path / "mask.ome.zarr": grey < 90,
        tmp_path / "own.ome.zarr": bigimg.mask(grey, below=90),
        store / "labels" / "dark": grey < 90,
        store / "labels" / "ids": (grey // 100).astype(np.uint16),
    }
    for place, pixels in made.items():
        bigimg.write(pixels, place, progress=False)
        found = bigimg.open(place)
        assert not {"meta", "private"} & set(found.attrs)
        assert found.bigimg.spacing == {"y": 0.5, "x": 0.5}
        assert bigimg.info(place).notes == ()


def test_more_labels_and_ids(tmp_path: Path) -> None:
    store = image(tmp_path)
    ids = np.arange(150 * 170, dtype=np.uint32).reshape(150, 170) // 500
    for name in ("b", "a"):
        bigimg.write(bigimg.from_array(ids, dims="yx"), store / "labels" / name, progress=False)
    assert bigimg.info(store).labels == ("b", "a")
    assert bigimg.open(store / "labels" / "a").bigimg.kind == "labels"
    with pytest.raises(TargetExistsError):
        bigimg.write(bigimg.from_array(ids, dims="yx"), store / "labels" / "a", progress=False)
    bigimg.write(
        bigimg.from_array(ids + 1, dims="yx"), store / "labels" / "a", progress=False, overwrite=True
    )
    assert int(bigimg.stats(store / "labels" / "a")["min"]) == 1
    assert bigimg.info(store).labels == ("b", "a")


def test_the_list_of_others_stays(tmp_path: Path) -> None:
    store = image(tmp_path)
    (store / "labels").mkdir()
    theirs = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": {"version": "0.5", "labels": ["old"]}, "x": 1},
    }
    (store / "labels" / "zarr.json").write_text(json.dumps(theirs))
    bigimg.write(np.zeros((150, 170), np.uint8), store / "labels" / "new", progress=False)
    found = json.loads((store / "labels" / "zarr.json").read_text())
    assert found["attributes"] == {"ome": {"version": "0.5", "labels": ["old", "new"]}, "x": 1}


@pytest.mark.parametrize("step", ["made", "begun", "swept", "written", "renamed", "labelled"])
def test_killed_anywhere(step: str, tmp_path: Path) -> None:
    """No label and an intact image, or a whole label; the next one written puts it on the list."""
    store = image(tmp_path)
    mask = np.ones((150, 170), bool)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, step, str(store / "labels" / "one")], timeout=60, check=False
    )
    assert child.returncode == 9
    assert bigimg.verify(store).ok
    assert bigimg.info(store).labels == ()
    there = (store / "labels" / "one").exists()
    assert there == (step in ("renamed", "labelled"))
    if there:
        assert bigimg.verify(store / "labels" / "one").ok
    bigimg.write(mask, store / "labels" / "two", progress=False)
    assert bigimg.info(store).labels == (("two", "one")[::-1] if there else ("two",))
    if not there:
        bigimg.write(mask, store / "labels" / "one", progress=False)
        assert [p.name for p in (store / "labels").iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_killed_label_left_is_cleaned_with_its_folder(version: str, tmp_path: Path) -> None:
    """From the folder of the stores, from the store, and from an image of several; no array is entered."""
    store = image(tmp_path, version)
    several = tmp_path / "several.zarr"
    several.mkdir()
    zarr.create_group(several, zarr_format=2 if version == "0.4" else 3)
    left = [place / "labels" / ".one.bigimg" for place in (store, several / "1")]
    shutil.copytree(store, several / "1")
    for path in left:
        step = [sys.executable, "-c", CHILD, "swept", str(path.with_name("one"))]
        assert subprocess.run(step, timeout=60, check=False).returncode == 9
        assert path.is_dir()
    (tmp_path / "plain").mkdir()
    shutil.copytree(left[0], tmp_path / "plain" / "labels" / ".one.bigimg")  # of no store
    shutil.copytree(left[0], store / "0" / "labels" / ".one.bigimg")
    (tmp_path / "linked").symlink_to(store)
    assert [found.folder for found in clean(tmp_path).found] == [str(path) for path in left]
    assert [found.folder for found in clean(store).found] == [str(left[0])]
    assert len(clean(tmp_path, remove=True).found) == 2
    assert not any(path.exists() for path in left)
    assert (tmp_path / "plain" / "labels" / ".one.bigimg").is_dir()
    assert (store / "0" / "labels" / ".one.bigimg").is_dir()


def test_what_is_no_label_of_the_image(tmp_path: Path) -> None:
    store = image(tmp_path)
    for wrong, says in (
        (np.zeros((150, 170), np.float32), "float32 is no id"),
        (np.zeros((150, 169), bool), "169 pixels along x, and the image has 170, 85"),
        (np.zeros((4, 150, 170), bool), "axes z y x, its image .*a.* has c y x, without z: cut"),
    ):
        with pytest.raises(UsageError, match=says):
            bigimg.write(wrong, store / "labels" / "x", progress=False)
    assert not (store / "labels").exists()
    bigimg.write(np.zeros((75, 85), bool), store / "labels" / "coarse", progress=False)  # a level's size
    assert bigimg.info(store).labels == ("coarse",)


@pytest.mark.parametrize("dims", ["cyx", "yx", "tcyx"])
def test_a_mask_of_one_channel_lies_over_all_of_them(dims: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 50, 70), np.uint8)
    pixels = pixels[tuple(slice(None) if name in dims else 0 for name in "tcyx")]
    bigimg.write(bigimg.from_array(pixels, dims=dims), tmp_path / "a.ome.zarr", progress=False, chunks=16)
    img = bigimg.open(tmp_path / "a.ome.zarr")
    mask = bigimg.mask(img, above=200)
    mask = mask.isel(c=[1]) if "c" in dims else mask.expand_dims("c")
    bigimg.write(mask, tmp_path / "a.ome.zarr/labels/bright", progress=False)
    found = bigimg.open(tmp_path / "a.ome.zarr/labels/bright")
    assert found.dims == tuple(dims.replace("c", ""))
    np.testing.assert_array_equal(found.values, mask.isel(c=0).values)
    assert bigimg.verify(tmp_path / "a.ome.zarr").ok


def test_a_label_of_the_one_channel_of_an_image_keeps_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 50, 70), np.uint8)
    img = bigimg.from_array(pixels, dims="cyx", channels=["DAPI"])
    bigimg.write(img, tmp_path / "a.ome.zarr", progress=False)
    mask = bigimg.mask(tmp_path / "a.ome.zarr", above={"DAPI": 60})
    bigimg.write(mask, tmp_path / "a.ome.zarr/labels/nuclei", progress=False)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr/labels/nuclei").values, pixels > 60)


def test_a_folder_called_labels_elsewhere_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    bigimg.write(np.zeros((15, 17), bool), tmp_path / "labels" / "a.ome.zarr", progress=False)
    assert bigimg.open(tmp_path / "labels" / "a.ome.zarr").dtype == bool
    assert not (tmp_path / "labels" / "zarr.json").exists()


def test_a_list_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    store = image(tmp_path)
    (store / "labels").mkdir()
    (store / "labels" / "zarr.json").write_text("[")
    with pytest.raises((OutputError, bigimg.BigimgError), match=r"not JSON"):
        bigimg.write(np.zeros((150, 170), bool), store / "labels" / "x", progress=False)
    assert (store / "labels" / "zarr.json").read_text() == "["


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("theirs", [5, "nuclei", {"a": 1}])
def test_a_list_of_labels_that_is_none(theirs: Any, version: str, tmp_path: Path) -> None:
    """Such a number was a bare TypeError, such a word six lost labels called n, u, c, l, e, i and s."""
    store = image(tmp_path, version)
    bigimg.write(np.zeros((150, 170), bool), store / "labels" / "one", progress=False)
    listing = store / "labels" / (".zattrs" if version == "0.4" else "zarr.json")
    document = json.loads(listing.read_text())
    (document if version == "0.4" else document["attributes"]["ome"])["labels"] = theirs
    listing.write_text(json.dumps(document))
    assert bigimg.info(store).labels == ()
    assert [(f.kind, f.file) for f in bigimg.verify(store, quick=True).findings] == [("metadata", "labels")]
    with pytest.raises(OutputError, match="which is no list, and is left alone"):
        bigimg.write(np.zeros((150, 170), bool), store / "labels" / "two", progress=False)
    assert json.loads(listing.read_text()) == document
    assert not (store / "labels" / "two").exists()


def test_a_mask_comes_back_as_true_and_false(tmp_path: Path) -> None:
    """As ids of 8 bits ``~`` made 254 and 255 of it, which all count as true."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, 300, 200), np.uint8)
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(bigimg.from_array(pixels, dims="cyx"), store, memory="4GB", progress=False)
    img = bigimg.open(store)
    bigimg.write(bigimg.mask(img, below=90), store / "labels" / "dark", memory="4GB", progress=False)
    dark = bigimg.open(store / "labels" / "dark")
    assert dark.dtype == bool
    np.testing.assert_array_equal(dark.values, pixels < 90)
    np.testing.assert_array_equal(bigimg.stats(img, where=~dark)["count"], (pixels >= 90).sum((1, 2)))
    np.testing.assert_allclose(bigimg.fraction(~dark), (pixels >= 90).mean((1, 2)))
    np.testing.assert_array_equal(bigimg.apply_mask(img, ~dark).values, np.where(pixels < 90, 0, pixels))
    assert bigimg.open(store / "labels" / "dark", level=-1).dtype == bool
    assert zarr.open_array(store / "labels" / "dark" / "0").dtype == np.uint8
    assert bigimg.verify(store / "labels" / "dark").ok
    chosen = bigimg.patches(img, 50, where=store / "labels" / "dark", min_fraction=0.9)
    assert len(chosen) == len(bigimg.patches(img, 50, where=pixels < 90, min_fraction=0.9))


def test_a_mask_of_any_numbers(tmp_path: Path) -> None:
    pixels = np.array([[0, 255], [7, 0]], np.uint8)
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", progress=False)
    bigimg.write(pixels, tmp_path / "a.ome.zarr/labels/m", kind="mask", memory="4GB", progress=False)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr/labels/m").values, pixels != 0)
