"""Which images are among many sources, and what their stores are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

import bigimg
from bigimg.errors import InputNotFoundError, UsageError
from bigimg.faces.many.sources import items_of


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def found(sources: object, root: Path) -> dict[str, str]:
    items = items_of(sources, root / "out", ".ome.zarr")  # type: ignore[arg-type]
    return {
        str(Path(i.source).relative_to(root)): str(Path(i.target).relative_to(root / "out")) for i in items
    }


def test_a_folder_is_looked_through_and_its_folders_are_kept(tmp_path: Path) -> None:
    folder(tmp_path, "a/x.svs", "a/b/x.svs", "a/b/c/Y.NII.GZ", "a/readme.txt", "a/.hidden.tif", "a/z.ome.tif")
    assert found(tmp_path / "a", tmp_path) == {
        "a/b/c/Y.NII.GZ": "b/c/Y.ome.zarr",
        "a/b/x.svs": "b/x.ome.zarr",
        "a/x.svs": "x.ome.zarr",
        "a/z.ome.tif": "z.ome.zarr",
    }


def test_so_are_the_folders_that_a_pattern_leaves_open(tmp_path: Path) -> None:
    folder(tmp_path, "runs/1/x.svs", "runs/2/x.svs", "runs/2/y.tif", "runs/2/z.unknown")
    assert found(f"{tmp_path}/runs/*/x.svs", tmp_path) == {
        "runs/1/x.svs": "1/x.ome.zarr",
        "runs/2/x.svs": "2/x.ome.zarr",
    }
    assert found([f"{tmp_path}/runs/2/*.*"], tmp_path) == {
        "runs/2/x.svs": "x.ome.zarr",
        "runs/2/y.tif": "y.ome.zarr",
        "runs/2/z.unknown": "z.unknown.ome.zarr",  # who asks for it hears that it is no image
    }
    assert [*found(f"{tmp_path}/run?", tmp_path)] == ["runs/1/x.svs", "runs/2/x.svs", "runs/2/y.tif"]


def test_of_names_the_last_part_is_kept_and_each_counts_once(tmp_path: Path) -> None:
    folder(tmp_path, "a/x.svs", "b/y.svs")
    given = [tmp_path / "a/x.svs", tmp_path / "b" / "y.svs", tmp_path / "b/../a/x.svs"]
    assert found(given, tmp_path) == {"a/x.svs": "x.ome.zarr", "b/y.svs": "y.ome.zarr"}


def test_stores_that_an_earlier_run_left_beside_their_sources_are_left_out(tmp_path: Path) -> None:
    folder(tmp_path, "a/x.tif", "a/b/y.tif")
    for name in ("a/x.ome.zarr", "a/b/y.ome.zarr", "a/z.ome.zarr", "a/x.levels.ome.zarr"):
        bigimg.write(np.zeros((9, 9), np.uint8), tmp_path / name, progress=False)
    of_pattern = {"x.tif", "z.ome.zarr"}
    for sources, wanted in ((tmp_path / "a", {*of_pattern, "y.tif"}), (f"{tmp_path}/a/*.*", of_pattern)):
        items = items_of(sources, tmp_path / "a", ".ome.zarr")
        assert {Path(each.source).name for each in items} == wanted
    with pytest.raises(UsageError, match="would both become"):
        items_of([tmp_path / "a/x.ome.zarr", tmp_path / "a/x.tif"], tmp_path / "a", ".ome.zarr")


def test_a_store_and_a_folder_of_dicom_files_are_one_image(tmp_path: Path) -> None:
    bigimg.write(np.zeros((9, 9), np.uint8), tmp_path / "s.ome.zarr", progress=False)
    series = tmp_path / "a" / "ct"
    series.mkdir(parents=True)
    name = get_testdata_file("CT_small.dcm")
    assert isinstance(name, str)
    for number in range(3):
        pydicom.dcmread(name).save_as(series / f"{number}")
    (tmp_path / "s.ome.zarr").rename(tmp_path / "a" / "s.ome.zarr")
    assert found(tmp_path / "a", tmp_path) == {"a/ct": "ct.ome.zarr", "a/s.ome.zarr": "s.ome.zarr"}
    assert found([series, tmp_path / "a" / "s.ome.zarr"], tmp_path) == {
        "a/ct": "ct.ome.zarr",
        "a/s.ome.zarr": "s.ome.zarr",
    }


def test_headers_stand_for_their_files_and_the_stores_are_left_out(tmp_path: Path) -> None:
    folder(tmp_path, "v.hdr", "v.img", "w.img", "f.HEAD", "f.BRIK.gz", "out/old.tif")
    assert found(tmp_path, tmp_path) == {"f.HEAD": "f.ome.zarr", "v.hdr": "v.ome.zarr", "w.img": "w.ome.zarr"}


@pytest.mark.parametrize("names", [("a/x.svs", "b/x.tif"), ("a/x.svs", "b/X.svs")])
def test_two_images_of_one_name_are_refused_with_both(names: tuple[str, str], tmp_path: Path) -> None:
    folder(tmp_path, *names)
    with pytest.raises(
        UsageError, match=rf"{names[0]} and .*{names[1]} would both become .*ome\.zarr: rename one"
    ):
        found([tmp_path / name for name in names], tmp_path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, message in (("*.svs", "no file matches"), ("empty", "no image is in this folder")):
        with pytest.raises(InputNotFoundError, match=message):
            found(tmp_path / source, tmp_path)
    for none in ([], [np.zeros(3)]):
        with pytest.raises(UsageError, match="give files, folders, patterns"):
            found(none, tmp_path)
    assert found(tmp_path / "gone.tif", tmp_path) == {"gone.tif": "gone.ome.zarr"}  # it fails by itself


@pytest.mark.parametrize("pattern", ["A{z}_c1.tif", "{z}.tif", "../run/A{z}.tif", "{z}/a.tif"])
def test_a_pattern_is_called_after_its_folder(
    pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    assert [each.target for each in items_of(pattern, "out", ".ome.zarr")] == ["out/run.ome.zarr"]
    assert [each.target for each in items_of(f"../run/{pattern}", "out", ".ome.zarr")] == ["out/run.ome.zarr"]
