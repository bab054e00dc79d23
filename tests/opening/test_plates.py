"""Plates opened: nothing is read before it is asked for, and wells are found by every way of writing their name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.errors import InputError, InputNotFoundError, UsageError
from bigimg.omezarr import tree

PIXELS = {
    (well, field): np.random.default_rng([*well.encode(), field]).integers(0, 999, (16, 18), np.uint16)
    for well in ("A/1", "A/3", "C/10") for field in (0, 1)
}  # fmt: skip


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate as another program writes it: by zarr-python."""
    root = tmp_path_factory.mktemp("plate") / "theirs.zarr"
    group = zarr.create_group(root)
    names, numbers = ("A", "B", "C"), ("1", "3", "10")
    wells = sorted({well for well, _ in PIXELS})
    group.attrs["ome"] = {
        "version": "0.5",
        "plate": {
            "name": "theirs", "field_count": 2,
            "rows": [{"name": name} for name in names], "columns": [{"name": name} for name in numbers],
            "wells": [
                {"path": well, "rowIndex": names.index(well[0]), "columnIndex": numbers.index(well[2:])}
                for well in wells
            ],
            "acquisitions": [{"id": 0, "name": "before"}, {"id": 1, "name": "after"}],
        },
    }  # fmt: skip
    for well in wells:
        images = [{"path": str(field), "acquisition": field} for field in (0, 1)]
        inside = group.create_group(well)
        inside.attrs["ome"] = {"version": "0.5", "well": {"images": images}}
        for field in (0, 1):
            image = inside.create_group(str(field))
            scale = [{"type": "scale", "scale": [0.5, 0.5]}]
            axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
            datasets = [{"path": "0", "coordinateTransformations": scale}]
            image.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
            image.create_array("0", data=PIXELS[well, field], chunks=(8, 8), dimension_names=["y", "x"])
    return root


def test_images_of_wells(plate: Path) -> None:
    opened = bigimg.open_plate(plate)
    assert len(opened) == 3
    for (well, field), pixels in PIXELS.items():
        np.testing.assert_array_equal(opened[well, field], pixels)
        np.testing.assert_array_equal(opened[well, str(field)], pixels)
        np.testing.assert_array_equal(bigimg.open(plate, series=f"{well}/{field}"), pixels)
        np.testing.assert_array_equal(bigimg.open(plate / well / str(field)), pixels)
    for name in ("C/10", "C10", "c10", "C-10", "C010"):
        np.testing.assert_array_equal(opened[name], PIXELS["C/10", 0])
    assert opened["A1"].bigimg.spacing == {"y": 0.5, "x": 0.5}
    assert [(well.name, len(well.fields)) for well in opened] == [("A/1", 2), ("A/3", 2), ("C/10", 2)]


def test_table(plate: Path) -> None:
    table = bigimg.open_plate(plate).table
    assert list(table.columns) == ["well", "row", "column", "field", "acquisition", "path"]
    assert table.iloc[5].to_list() == ["C/10", "C", "10", "1", 1, "C/10/1"]
    assert len(table) == 6


def test_nothing_is_read_before_it_is_asked_for(plate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    one = tree.Tree.read

    def noted(self: Any, key: str) -> bytes | None:
        read.append(key)
        return one(self, key)

    monkeypatch.setattr(tree.Tree, "read", noted)
    opened = bigimg.open_plate(plate)
    repr(opened)
    assert set(read) == {"zarr.json"}
    opened.well("A1")
    assert set(read) == {"zarr.json", "A/1/zarr.json"}


def test_info_draws_the_wells(plate: Path) -> None:
    info: Any = bigimg.info(plate)
    assert repr(info) == repr(bigimg.open_plate(plate))
    lines = repr(info).splitlines()
    assert "theirs, 3 rows x 3 columns, 3 wells, at most 2 fields each" in lines[1]
    assert [line.split() for line in lines if line.startswith("           ")] == [
        ["A", "o", "o", "."],
        ["B", ".", ".", "."],
        ["C", ".", ".", "o"],
    ]
    assert info.to_dict()["wells"] == ["A/1", "A/3", "C/10"]
    assert info.to_dict()["acquisitions"] == ["before", "after"]
    json.dumps(info.to_dict())
    assert bigimg.info(plate, series="A/1/0").dims == ("y", "x")


def test_what_is_not_there(plate: Path, tmp_path: Path) -> None:
    opened = bigimg.open_plate(plate)
    with pytest.raises(
        InputError,
        match=r"a plate of 3 wells \(A/1, A/3, C/10\): name one field, .* or choose it by series='A/1/0'",
    ):
        bigimg.open(plate)
    with pytest.raises(UsageError, match=r"no well 'B2'; there are 3 wells"):
        opened["B2"]
    with pytest.raises(UsageError, match=r"no field 2 in well A/1; there are 0, 1"):
        opened["A1", 2]
    with pytest.raises(UsageError, match="give a well"):
        opened[0]  # type: ignore[index]
    with pytest.raises(UsageError, match=r"no field '9' in well A/1"):
        bigimg.open(plate, series="A/1/9")
    with pytest.raises(InputError, match="is no OME-Zarr plate"):
        bigimg.open_plate(plate / "A/1/0")
    with pytest.raises(InputNotFoundError, match="no such file"):
        bigimg.open_plate(tmp_path / "none.zarr")
    copy = tmp_path / "copy.zarr"
    shutil.copytree(plate, copy)
    (copy / "A/3/zarr.json").unlink()
    with pytest.raises(InputError, match=r"A/3: the plate lists this well, and it is no well"):
        bigimg.open_plate(copy)["A3"]
    np.testing.assert_array_equal(bigimg.open_plate(copy)["A1"], PIXELS["A/1", 0])


def test_plates_in_zip_files(plate: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "theirs.zarr"), "zip", plate)
    opened = bigimg.open_plate(archive)
    np.testing.assert_array_equal(opened["C10", 1], PIXELS["C/10", 1])
    found, same = (bigimg.verify(each, progress=False) for each in (archive, plate))
    assert (found.ok, found.notes, found.doubts) == (same.ok, same.notes, same.doubts)


def test_plates_of_others_are_converted(plate: Path, tmp_path: Path) -> None:
    copy = bigimg.convert(plate, tmp_path / "ours.ome.zarr", memory="2GB", progress=False)
    assert copy.meta.acquisitions == bigimg.open_plate(plate).meta.acquisitions
    assert [each.acquisition for each in copy.well("C10").fields] == [0, 1]
    np.testing.assert_array_equal(copy["C10", 1], PIXELS["C/10", 1])
    assert bigimg.verify(tmp_path / "ours.ome.zarr", plate, progress=False).ok
