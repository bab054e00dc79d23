"""Plates: every field is a store as if it was converted alone, and the plate is whole or absent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import bigimg
from bigimg.conversion import commit
from bigimg.errors import BudgetError, InputError, OutputError, ResumeError, TargetExistsError, UsageError
from bigimg.faces.convert import convert_source
from tests.conversion.test_run import tree

ASKED: dict[str, Any] = {"memory": "2GB", "chunks": 32, "shards": 64, "progress": False}
WELLS = ("A01", "A02", "B12")


def pixels(well: str, field: int) -> np.ndarray[Any, Any]:
    seed = [*well.encode(), field]
    return np.random.default_rng(seed).integers(0, 4000, (2, 70, 90), np.uint16)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], str]:
    folder, found = tmp_path_factory.mktemp("fields"), {}
    for well in WELLS:
        for field in range(2):
            path = folder / f"{well}_s{field}.ome.tif"
            tifffile.imwrite(
                path, pixels(well, field), metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            )  # fmt: skip
            found[well, field] = str(path)
    return found


@pytest.fixture(scope="module")
def plate(sources: dict[Any, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("plate") / "p.ome.zarr"
    bigimg.convert(sources, target, **ASKED)
    return target


def test_fields_are_what_they_are_alone(sources: dict[Any, str], plate: Path, tmp_path: Path) -> None:
    bigimg.convert(sources["B12", 1], tmp_path / "1", **ASKED)
    assert tree(plate / "B/12/1") == tree(tmp_path / "1")
    opened = bigimg.open_plate(plate)
    assert opened.wells == ("A/01", "A/02", "B/12")
    for well, field in sources:
        np.testing.assert_array_equal(opened[well, field], pixels(well, field))


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_documents_are_those_of_the_specification(
    version: Any, sources: dict[Any, str], plate: Path, tmp_path: Path
) -> None:
    target = plate
    if version != "0.5":
        target = tmp_path / "p.ome.zarr"
        asked = ASKED if version != "0.4" else ASKED | {"shards": None}
        bigimg.convert(plate, target, ome_version=version, **asked)  # a plate is the source of a plate
    name = ".zattrs" if version == "0.4" else "zarr.json"

    def attributes(folder: Path) -> Any:
        document = json.loads((folder / name).read_text())
        return document if version == "0.4" else document["attributes"]["ome"]

    block = attributes(target)["plate"]
    assert block["rows"] == [{"name": "A"}, {"name": "B"}]
    assert block["columns"] == [{"name": "01"}, {"name": "02"}, {"name": "12"}]
    assert block["wells"] == [
        {"path": "A/01", "rowIndex": 0, "columnIndex": 0},
        {"path": "A/02", "rowIndex": 0, "columnIndex": 1},
        {"path": "B/12", "rowIndex": 1, "columnIndex": 2},
    ]
    assert (block["name"], block["field_count"]) == ("p", 2)
    assert attributes(target / "A/02")["well"]["images"] == [{"path": "0"}, {"path": "1"}]
    assert bigimg.verify(target, sources, progress=False).ok
    asked = {"memory": "2GB", "chunks": 32, "ome_version": version} | (
        {} if version == "0.4" else {"shards": 64}
    )
    plan = bigimg.plan(sources, tmp_path / "planned.ome.zarr", **asked)
    assert plan.files == sum(path.is_file() for path in target.rglob("*"))


CHILD = """
import os, signal, sys
from bigimg.conversion import commit
from bigimg.faces.convert import convert_source
import json
sources = {(w, f): path for w, f, path in json.loads(sys.argv[1])}
for step, count in (
    ("begun", 2), ("block", 1), ("field", 1), ("block", 2), ("renamed", 1), ("cleared", 1), ("field", 1),
    ("written", 1), ("synced", 1), ("field", 3), ("written", 1), ("synced", 1),
):
    if not (child := os.fork()):
        seen = 0
        def hook(name):
            global seen
            seen += name == step
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)
        commit.hook = hook
        convert_source(sources, sys.argv[2], memory="2GB", chunks=32, shards=64, workers=2, progress=False)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, step
    assert not os.path.exists(sys.argv[2]), step
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_killed_again_and_again_it_ends_with_the_same_bytes(
    sources: dict[Any, str], plate: Path, tmp_path: Path
) -> None:
    target = tmp_path / "p.ome.zarr"
    rows = json.dumps([[well, field, path] for (well, field), path in sources.items()])
    subprocess.run([sys.executable, "-c", CHILD, rows, str(target)], check=True)
    bigimg.convert(sources, target, **ASKED)
    assert tree(target) == tree(plate)
    assert [path.name for path in tmp_path.iterdir()] == ["p.ome.zarr"]


class Stopped(BaseException):
    """As a kill, for those who do not catch it."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: str, count: int) -> list[str]:
    seen: list[str] = []

    def hook(name: str) -> None:
        seen.append(name)
        if seen.count(step) == count:
            raise Stopped

    monkeypatch.setattr(commit, "hook", hook)
    return seen


def test_a_run_keeps_fields_and_makes_those_whose_source_changed(
    sources: dict[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, copies = tmp_path / "p.ome.zarr", {}
    for key, path in sources.items():
        copies[key] = str(tmp_path / Path(path).name)
        shutil.copy(path, copies[key])
    with monkeypatch.context() as patch:
        stop_at(patch, "field", 4)
        with pytest.raises(Stopped):
            bigimg.convert(copies, target, **ASKED)
    shutil.copy(sources["B12", 0], copies["A01", 1])  # other pixels
    last = copies.pop(("B12", 1))
    assert Path(last).exists()
    result: Any = convert_source(copies, target, **ASKED)
    assert result.fields_resumed == 3
    opened = bigimg.open_plate(target)
    np.testing.assert_array_equal(opened["A1", 1], pixels("B12", 0))
    np.testing.assert_array_equal(opened["A2", 1], pixels("A02", 1))
    assert [each.path for each in opened.well("B12").fields] == ["0"]
    assert bigimg.verify(target, copies, progress=False).ok


def test_other_options_go_on_from_nothing(
    sources: dict[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "p.ome.zarr"
    with monkeypatch.context() as patch:
        stop_at(patch, "field", 1)
        with pytest.raises(Stopped):
            bigimg.convert(sources, target, **ASKED)
    with pytest.raises(ResumeError, match="other options"):
        bigimg.convert(sources, target, codec="zstd", **ASKED)
    bigimg.convert(sources, target, codec="zstd", resume=False, **ASKED)


def test_other_images_of_the_same_files_go_on_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, target = {}, tmp_path / "p.ome.zarr"
    for number, well in enumerate(("A01", "A02")):
        images[well] = str(tmp_path / f"{well}.tif")
        with tifffile.TiffWriter(images[well]) as file:
            for series in range(2):
                file.write(
                    np.full((40, 50), 10 * number + series, np.uint8), metadata=None, photometric="minisblack"
                )
                file.write(np.zeros((3, 4), np.uint8), metadata=None, photometric="minisblack")
    with monkeypatch.context() as patch:
        stop_at(patch, "field", 1)
        with pytest.raises(Stopped):
            bigimg.convert(images, target, series=0, **ASKED)
    with pytest.raises(ResumeError, match="other options of the source"):
        bigimg.convert(images, target, series=1, **ASKED)
    assert not target.exists()


def with_damage(path: Path, image: np.ndarray[Any, Any]) -> str:
    tifffile.imwrite(path, image, compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].dataoffsets[0]  # type: ignore[union-attr]
    data[at + 20 : at + 60] = bytes(40)
    path.write_bytes(data)
    return str(path)


def test_a_damaged_source_costs_its_own_field(sources: dict[Any, str], tmp_path: Path) -> None:
    target = tmp_path / "p.ome.zarr"
    damaged = {key: tmp_path / f"damaged{key[1]}.tif" for key in [("A01", 1), ("A02", 0)]}
    images = sources | {key: with_damage(path, pixels(*key)[0]) for key, path in damaged.items()}
    with pytest.raises(InputError, match=r"2 of 6 fields .* A/01/1 \(.*damaged1\.tif.* A/02/0 \(") as caught:
        bigimg.convert(images, target, **ASKED)
    assert "go on" in caught.value.__notes__[0]
    assert not target.exists()
    staged = tmp_path / ".p.ome.zarr.bigimg/store"
    there = sorted(path.relative_to(staged).as_posix() for path in staged.glob("*/*/*") if path.is_dir())
    assert there == ["A/01/0", "A/02/1", "B/12/0", "B/12/1"]
    for key, path in damaged.items():
        tifffile.imwrite(path, pixels(*key)[0], compression="zlib")
    result: Any = convert_source(images, target, **ASKED)
    assert result.fields_resumed == 4
    np.testing.assert_array_equal(bigimg.open_plate(target)["A02"], pixels("A02", 0)[0])


@pytest.mark.parametrize("make", [bigimg.plan, bigimg.convert])
def test_a_plate_has_all_levels_and_is_a_folder(make: Any, sources: dict[Any, str], tmp_path: Path) -> None:
    asked = {name: value for name, value in ASKED.items() if name != "progress"}
    with pytest.raises(UsageError, match="leave levels_only out"):
        make(sources, tmp_path / "p.ome.zarr", levels_only=True, **asked)
    with pytest.raises(UsageError, match=r"name it .*p\.ome\.zarr, and pack that"):
        make(sources, tmp_path / "p.ozx", **asked)
    assert [*tmp_path.iterdir()] == []


def test_what_cannot_be_is_refused_before_anything_is_written(
    sources: dict[Any, str], plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "p.ome.zarr"
    with pytest.raises(TargetExistsError):
        bigimg.convert(sources, plate, **ASKED)
    with pytest.raises(UsageError, match="well 'nowhere'"):
        bigimg.convert({"nowhere": sources["A01", 0]}, target, **ASKED)
    with pytest.raises(InputError, match="well A1 has the field '0' twice"):
        bigimg.convert({"A01": sources["A01", 0], "A1": sources["A01", 1]}, target, **ASKED)
    with pytest.raises(InputError, match="no such file"):
        bigimg.convert(sources | {"C1": str(tmp_path / "none.tif")}, target, **ASKED)
    with pytest.raises(BudgetError):
        bigimg.convert(sources, target, **ASKED | {"memory": "20MB"})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(OutputError, match="its 6 fields need about"):
        bigimg.convert(sources, target, **ASKED)
    assert [*tmp_path.iterdir()] == []


def test_a_plate_takes_the_place_of_another_of_ours(
    sources: dict[Any, str], plate: Path, tmp_path: Path
) -> None:
    target = tmp_path / "p.ome.zarr"
    shutil.copytree(plate, target)
    label = target / "A/01/0/labels/cells"
    for add, said in [
        (target / "notes.txt", "notes.txt: is no part of the plate"),
        (target / "A/01/notes.txt", "notes.txt: is no part of the plate"),
        (target / "A/01/0/notes.txt", "notes.txt: is no part of the zarr store"),
        (label, "holds label images"),
    ]:
        if add == label:
            bigimg.write(np.ones((70, 90), np.uint8), label, progress=False)
        else:
            add.write_text("mine")
        with pytest.raises(OutputError, match=said):
            bigimg.convert(sources, target, overwrite=True, **ASKED)
        assert bigimg.open_plate(target).wells == ("A/01", "A/02", "B/12")
        shutil.rmtree(add) if add.is_dir() else add.unlink()
    few = {("C3", 0): sources["A01", 0]}
    assert bigimg.convert(few, target, overwrite=True, resume=False, **ASKED).wells == ("C/3",)
    assert [path.name for path in tmp_path.iterdir()] == ["p.ome.zarr"]
    theirs = tmp_path / "theirs.zarr"
    shutil.copytree(plate, theirs)
    document = json.loads((theirs / "zarr.json").read_text())
    del document["attributes"]["bigimg"]
    (theirs / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(OutputError, match="is no store that bigimg wrote"):
        bigimg.convert(few, theirs, overwrite=True, **ASKED)


def test_the_plan_says_what_becomes_of_the_wells(sources: dict[Any, str], tmp_path: Path) -> None:
    first = dict([*sources.items()][:5])
    small = tmp_path / "small.npy"
    np.save(small, np.zeros((8, 9), np.uint8))
    plan = bigimg.plan(first | {("B12", 1): str(small)}, tmp_path / "p.ome.zarr", memory="2GB")
    text = str(plan)
    assert "2 rows x 3 columns: 3 wells, 6 fields" in text
    assert "5 of c 2 y 70 x 90  uint16" in text
    assert "1 of y 8 x 9  uint8" in text
    assert "(B/12/1)" in text  # whose axes are guessed
    values = plan.to_dict()
    assert values["wells"] == ["A/01", "A/02", "B/12"]
    assert [*tmp_path.iterdir()] == [small]


def test_labels_of_fields_go_along(plate: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ome.zarr"
    shutil.copytree(plate, copy)
    ids = (bigimg.open(copy / "A/01/1").isel(c=0) > 2000).astype(np.uint8)
    bigimg.write(ids, copy / "A/01/1/labels/bright", progress=False)
    bigimg.convert(copy, tmp_path / "again.ome.zarr", codec="zstd", **ASKED)
    found = bigimg.open(tmp_path / "again.ome.zarr/A/01/1/labels/bright")
    np.testing.assert_array_equal(found, pixels("A01", 1)[0] > 2000)


def test_verify_finds_what_is_wrong_in_a_plate(sources: dict[Any, str], plate: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ome.zarr"
    shutil.copytree(plate, copy)
    shutil.rmtree(copy / "A/01/1")
    (copy / "A/02/zarr.json").unlink()
    shard = copy / "B/12/0/0/c/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-9])
    shutil.copytree(plate / "A/01/0", copy / "B/12/7")
    found = {(each.kind, each.file) for each in bigimg.verify(copy, progress=False).findings}
    assert ("missing", "A/01/1") in found
    assert ("metadata", "A/02") in found
    assert ("corrupt", "B/12/0/0/c/0/0/0") in found
    assert ("extra", "B/12/7") in found
    other = sources | {("A01", 0): sources["A01", 1], ("C3", 0): sources["A01", 0]}
    kinds = {
        (each.kind, each.file.rsplit("/c/")[0])
        for each in bigimg.verify(plate, other, progress=False).findings
    }
    assert kinds == {("source", "A/01/0/0"), ("source", "C/03/0")}
    with pytest.raises(UsageError, match="is one image"):
        bigimg.verify(plate, sources["A01", 0], progress=False)
