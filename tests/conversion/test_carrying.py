"""Label images go along when a store is converted, or a note says why not; an interrupted run goes on from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.conversion import commit, labels
from bigimg.conversion.leftovers import clean
from bigimg.errors import BudgetError, CorruptChunk, OutputError
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.omezarr.packed import DIRECTORY_BYTES
from tests.conversion.sources import noise
from tests.conversion.test_run import tree

ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}
SHAPE = (2, 8, 70, 90)
IDS = np.arange(8 * 70 * 90, dtype=np.uint32).reshape(8, 70, 90) // 300


def own(folder: Path, version: str = "0.5") -> Path:
    """A store of ours with two channels, ids, and a mask of one plane."""
    img = bigimg.from_array(noise(SHAPE, "u2"), dims="czyx", spacing=(1, 0.5, 0.5), unit="um")
    store = folder / "a.ome.zarr"
    bigimg.write(img, store, chunks=16, shards=32, ome_version=version, **ASKED)
    bigimg.write(IDS, store / "labels" / "cells", chunks=16, shards=32, **ASKED)
    bigimg.write(IDS[3] % 2 == 1, store / "labels" / "odd", chunks=16, shards=32, **ASKED)
    return store


def theirs(folder: Path, **more: Any) -> Path:
    """A store that other programs wrote, of 0.4, with a label of two levels that are every second pixel."""
    store = folder / "a.zarr"

    def multiscales(levels: list[Any], root: zarr.Group) -> list[Any]:
        for name, level in enumerate(levels):
            root.create_array(str(name), data=level, chunks=(4, 32, 32))
        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
        scales = [[1.0, 0.5 * 2**n, 0.5 * 2**n] for n in range(len(levels))]
        datasets = [
            {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for n, scale in enumerate(scales)
        ]
        return [{"version": "0.4", "axes": axes, "datasets": datasets}]

    root = zarr.create_group(store, zarr_format=2)
    pixels = noise(SHAPE, "u2")[0]
    root.attrs["multiscales"] = multiscales([pixels, pixels[:, ::2, ::2]], root)
    group = root.create_group("labels")
    group.attrs["labels"] = ["cells", *more]
    label = group.create_group("cells")
    label.attrs["multiscales"] = multiscales([IDS, IDS[:, ::2, ::2]], label)
    label.attrs["image-label"] = {"version": "0.4", "colors": [{"label-value": 1, "rgba": [0, 0, 255, 255]}]}
    for name, pixels in more.items():
        other = group.create_group(name)
        other.attrs["multiscales"] = multiscales([pixels], other)
    return store


def pixels(store: Path) -> Any:
    return zarr.open_group(store, mode="r")["0"][...]


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_label_images_go_along_into_any_version(version: str, tmp_path: Path) -> None:
    source, target = own(tmp_path), tmp_path / "b.ome.zarr"
    plan = bigimg.plan(source, target, ome_version=version)
    result = convert_to_store(source, target, ome_version=version, **ASKED)
    assert bigimg.info(target).labels == ("cells", "odd")
    assert result.to_dict()["labels"] == plan.to_dict()["labels"] == ["cells", "odd"]
    np.testing.assert_array_equal(pixels(target / "labels" / "cells"), IDS)
    np.testing.assert_array_equal(pixels(target / "labels" / "odd"), IDS[3] % 2)
    assert bigimg.open(target / "labels" / "odd").dtype == bool
    assert bigimg.open(target / "labels" / "cells").bigimg.spacing == {"z": 1, "y": 0.5, "x": 0.5}
    assert bigimg.info(target / "labels" / "cells").to_dict()["format"] == f"OME-Zarr {version}"
    assert bigimg.verify(target, source).ok
    files = sum(path.is_file() for path in target.rglob("*"))
    assert plan.files == files
    assert "labels   cells: z 8 y 70 x 90  uint32" in str(plan)


def test_those_of_others_go_along_too(tmp_path: Path) -> None:
    source, target = theirs(tmp_path), tmp_path / "b.ome.zarr"
    convert_to_store(source, target, **ASKED)
    np.testing.assert_array_equal(pixels(target / "labels" / "cells"), IDS)
    assert bigimg.open(target / "labels" / "cells").bigimg.kind == "labels"
    assert bigimg.verify(target).ok


def test_colours_of_ids_go_along_and_their_properties_when_asked_for(tmp_path: Path) -> None:
    source, said = theirs(tmp_path), zarr.open_group(tmp_path / "a.zarr/labels/cells", mode="r+")
    properties = [{"label-value": 1, "class": "neuron", "area": 7.5}]
    given = {"version": "0.4", "colors": [{"label-value": 1, "rgba": [0, 0, 255, 255]}, {"label-value": 2}]}
    said.attrs["image-label"] = {**given, "properties": properties}
    note = "label image cells: the properties of its ids are not written; keep_metadata=True writes them"
    assert note in bigimg.plan(source, tmp_path / "b", probe=False).notes
    assert note in convert_to_store(source, tmp_path / "b", **ASKED).to_dict()["notes"]
    assert note not in bigimg.plan(source, tmp_path / "c", probe=False, keep_metadata=True).notes
    convert_to_store(source, tmp_path / "c", keep_metadata=True, ome_version="0.4", **ASKED)
    colors = [{"label-value": 1, "rgba": [0, 0, 255, 255]}]  # the other one has none
    of_b = zarr.open_group(tmp_path / "b/labels/cells", mode="r").attrs["ome"]["image-label"]
    of_c = zarr.open_group(tmp_path / "c/labels/cells", mode="r").attrs["image-label"]
    assert of_b == {"colors": colors}
    assert of_c == {"version": "0.4", "colors": colors, "properties": properties}


def test_they_come_out_of_a_zip_file(tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "z.zarr"), "zip", theirs(tmp_path))
    convert_to_store(tmp_path / "z.zarr.zip", tmp_path / "b.ome.zarr", **ASKED)
    np.testing.assert_array_equal(pixels(tmp_path / "b.ome.zarr" / "labels" / "cells"), IDS)


@pytest.mark.parametrize(
    "asked",
    [
        {"halve": "yx"},
        {"levels": 2, "spacing": "z=3,y=1,x=1mm"},
        {"chunks": {"c": 2, "y": 32, "x": 16}},
        {"chunks": (1, 4, 32, 32), "shards": (2, 8, 64, 64), "codec": "zstd"},
        {"method": "nearest", "kind": "image", "channels": ["a", "b"]},
    ],
)
def test_they_have_the_options_of_their_image_but_what_means_nothing_for_ids(
    asked: Any, tmp_path: Path
) -> None:
    source, target = own(tmp_path), tmp_path / "b.ome.zarr"
    convert_to_store(source, target, **asked, **ASKED)
    image, label = (bigimg.open_pyramid(path) for path in (target, target / "labels" / "cells"))
    assert list(image.children) == list(label.children)
    for name in image.children:
        one, other = image[name]["image"], label[name]["image"]
        assert other.sizes == {axis: n for axis, n in one.sizes.items() if axis != "c"}
        assert other.bigimg.spacing == one.bigimg.spacing
        assert other.bigimg.units == one.bigimg.units
    if "chunks" in asked:
        stored, of_image = (zarr.open_array(path / "0") for path in (target / "labels" / "cells", target))
        assert (stored.chunks, stored.shards) == (of_image.chunks[1:], of_image.shards[1:])
    np.testing.assert_array_equal(pixels(target / "labels" / "cells"), IDS)
    assert zarr.open_group(target / "labels" / "cells").attrs["ome"]["multiscales"][0]["type"] == "mode"
    assert bigimg.verify(target).ok


def test_what_stays_behind_is_said_with_its_reason(tmp_path: Path) -> None:
    source = theirs(tmp_path, scores=np.ones((8, 70, 90), "f4"), other=np.ones((8, 70, 91), "u1"))
    listing = source / "labels" / ".zattrs"
    listing.write_text(json.dumps({"labels": ["cells", "scores", "other", "gone", "../0"]}))
    notes = bigimg.plan(source, tmp_path / "b.ome.zarr", probe=False).notes
    for reason in (
        "label image scores is not converted: float32 is no id",
        "label image other is not converted: 91 pixels along x",
        "label image gone is not converted: ",
    ):
        assert any(note.startswith(reason) for note in notes), (reason, notes)
    assert "../0" not in " ".join(notes)  # a name that leads out of the store is none
    convert_to_store(source, tmp_path / "b.ome.zarr", **ASKED)
    assert bigimg.info(tmp_path / "b.ome.zarr").labels == ("cells",)
    coarse = StoreReader(open_store(source), 1)
    convert_to_store(coarse, tmp_path / "c.ome.zarr", **ASKED)
    assert bigimg.info(tmp_path / "c.ome.zarr").labels == ()
    assert any(
        "level 1 alone" in note for note in bigimg.plan(coarse, tmp_path / "d.ome.zarr", probe=False).notes
    )


def test_what_fits_no_level_of_the_new_store_stays_behind(tmp_path: Path) -> None:
    source = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.from_array(noise((70, 90)), spacing=1, unit="um"), source, chunks=16, **ASKED)
    bigimg.write(np.ones((35, 45), bool), source / "labels" / "coarse", chunks=16, **ASKED)
    convert_to_store(source, tmp_path / "b.ome.zarr", chunks=16, **ASKED)
    assert bigimg.open(tmp_path / "b.ome.zarr" / "labels" / "coarse").bigimg.spacing == {"y": 2, "x": 2}
    notes = bigimg.plan(source, tmp_path / "c.ome.zarr", levels=1, probe=False).notes
    assert (
        "label image coarse is not converted: 35 pixels along y, and the image has 70 in its levels" in notes
    )


def steps_of(
    run: Callable[[], object], monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> tuple[int, list[str]]:
    """Run until a step and stop there as Ctrl-C does; return how many steps there were, and what was said."""
    seen = 0

    def step(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == stop_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commit, "hook", step)
        patch.setattr(labels, "hook", step)
        try:
            run()
        except KeyboardInterrupt as error:
            return seen, getattr(error, "__notes__", [])
    return seen, []


def test_a_run_that_is_stopped_at_any_step_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    asked = {"workers": 1, "sync": False, **ASKED}
    bigimg.write(noise((40, 50)), source, **asked)
    bigimg.write(noise((40, 50)), source / "labels" / "cells", **asked)
    count, _ = steps_of(lambda: convert_to_store(source, target, **asked), monkeypatch, -1)
    whole = tree(target)
    assert count > 20
    for stop in range(1, count + 1):
        shutil.rmtree(target, ignore_errors=True)
        clean(tmp_path, remove=True)
        _, said = steps_of(lambda: convert_to_store(source, target, **asked), monkeypatch, stop)
        assert len(said) <= 1  # of the image, not of the label that was being written too
        if not target.exists():
            convert_to_store(source, target, **asked)
        assert tree(target) == whole, stop
        assert bigimg.info(target).labels == ("cells",)


def test_a_label_that_is_whole_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = own(tmp_path), tmp_path / "b.ome.zarr"

    def stop(step: str) -> None:
        if step == "swept" and (commit.staging_folder(target) / "store" / "labels" / "odd").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(commit, "hook", stop)
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(source, target, **ASKED)
    monkeypatch.undo()
    folder = commit.staging_folder(target) / "store" / "labels"
    before = {name: (folder / name / "0").stat().st_ino for name in ("cells", "odd")}
    convert_to_store(source, target, **ASKED)
    assert {name: (target / "labels" / name / "0").stat().st_ino for name in before} == before


def test_damage_in_a_label_is_named_and_found_before_the_image_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = own(tmp_path), tmp_path / "b.ome.zarr"
    shard = next(path for path in (source / "labels" / "cells" / "0" / "c").rglob("*") if path.is_file())
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    read: list[Any] = []
    reads = StoreReader.read
    monkeypatch.setattr(
        StoreReader, "read", lambda self, region: read.append(self.store.group) or reads(self, region)
    )
    with pytest.raises(CorruptChunk, match="labels/cells/0"):
        convert_to_store(source, target, **ASKED)
    assert set(read) == {"labels/cells"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr"]
    bigimg.write(bigimg.open(source), target, **ASKED)  # the image alone
    assert bigimg.info(target).labels == ()


def test_the_budget_holds_for_the_largest(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    bigimg.write(bigimg.from_array(np.zeros((1500, 1500), np.uint8), spacing=1), store, **ASKED)
    alone = bigimg.plan(store, tmp_path / "b.ome.zarr", memory="2GB", workers=1).peak_bytes
    bigimg.write(np.zeros((1500, 1500), np.uint64), store / "labels" / "ids", **ASKED)
    plan = bigimg.plan(store, tmp_path / "b.ome.zarr", memory="2GB", workers=1)
    assert plan.peak_bytes == plan.labels[0].peak_bytes > alone + 20_000_000
    with pytest.raises(BudgetError, match=r"a\.ome\.zarr/labels/ids: needs"):
        bigimg.plan(store, tmp_path / "b.ome.zarr", memory=plan.peak_bytes - 5_000_000)


def test_of_an_array_none_go_along_and_a_note_says_so(tmp_path: Path) -> None:
    source, target = own(tmp_path), tmp_path / "b.ome.zarr"
    said = "label image cells is not converted: an array is converted; give the path of the store"
    for opened in (bigimg.open(source), bigimg.open_pyramid(source), bigimg.open(source, level=1)):
        assert said in bigimg.plan(opened, target, probe=False).notes
    others = (bigimg.open(source) * 1, bigimg.open(source / "labels" / "odd"), np.ones((8, 9), np.uint8))
    for other in others:
        assert not any("label image" in note for note in bigimg.plan(other, target, probe=False).notes)


@pytest.mark.parametrize("damage", ["gone", "changed", "no manifest"])
def test_a_damaged_document_of_a_label_costs_the_label_alone(damage: str, tmp_path: Path) -> None:
    source, target = own(tmp_path), tmp_path / "b.ome.zarr"
    document = source / "labels" / "cells" / "0" / "zarr.json"
    if damage == "gone":
        document.unlink()
    elif damage == "changed":
        document.write_text(document.read_text().replace("70", "71"))
    else:
        shutil.rmtree(source / "labels" / "cells" / "bigimg")
    notes = bigimg.plan(source, target, probe=False).notes
    assert any(note.startswith("label image cells is not converted: ") and "cells" in note for note in notes)
    convert_to_store(source, target, **ASKED)
    assert bigimg.info(target).labels == ("odd",)
    np.testing.assert_array_equal(pixels(target), noise(SHAPE, "u2"))
    assert bigimg.verify(target).ok


def test_overwrite_never_replaces_label_images(tmp_path: Path) -> None:
    source, target = own(tmp_path), tmp_path / "b.ome.zarr"
    convert_to_store(source, target, **ASKED)
    before = tree(target)
    with pytest.raises(OutputError, match=r"which overwrite never replaces \(labels/cells, labels/odd\)"):
        convert_to_store(source, target, overwrite=True, **ASKED)
    assert tree(target) == before


def test_the_directory_of_one_file_counts_the_objects_of_label_images_too(tmp_path: Path) -> None:
    """16,384 of the image, and 16,384 of its labels."""
    image, source = np.zeros((256, 256), np.uint8), tmp_path / "a.ome.zarr"
    bigimg.write(image, source, **ASKED)
    bigimg.write(image > 0, source / "labels" / "m", **ASKED)
    cut: Any = {"chunks": 2, "shards": 2, "workers": 1, "probe": False, "memory": "4GB"}
    plan = bigimg.plan(source, tmp_path / "b.ozx", **cut)
    packing = next(line for line in plan.memory if line.name == "packing")
    assert packing.bytes > 2 * 16_384 * DIRECTORY_BYTES
    with pytest.raises(BudgetError, match=r"largest part: .*use memory="):
        bigimg.plan(source, tmp_path / "b.ozx", **cut | {"memory": plan.peak_bytes - packing.bytes // 3})
