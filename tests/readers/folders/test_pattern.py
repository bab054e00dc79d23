"""Patterns of names: what the fields of a name are, as Python would format them."""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import bigimg
from bigimg.errors import InputError, InputNotFoundError, UsageError
from bigimg.readers.folders.folder import open_pattern
from bigimg.readers.folders.grid import arranged
from bigimg.readers.folders.pattern import is_pattern, parse
from bigimg.testing import check_reader
from bigimg.types import Array


def run(folder: Path, name: str, volume: Array, **values: list[object]) -> str:
    """Write what ``volume`` holds at each place under its name; return the pattern in the folder."""
    for at in itertools.product(*(range(len(each)) for each in values.values())):
        path = folder / name.format(
            **{field: each[i] for (field, each), i in zip(values.items(), at, strict=True)}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, volume[at])
    return str(folder / name)


def numbers(*shape: int) -> Array:
    return np.random.default_rng(5).integers(0, 4000, shape).astype("u2")


@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=5, unique=True),
    st.lists(st.sampled_from(["DAPI", "GFP", "Cy5", "w10", "w9"]), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 200), min_size=1, max_size=5, unique=True),
)
def test_what_python_formats_is_found_again(t: list[int], c: list[str], z: list[int]) -> None:
    text = "run/img_{c}_{t:03}{z:02}.tif"
    names = {text.format(t=i, c=j, z=k): (i, j, k) for i in t for j in c for k in z if i < 1000 and k < 100}
    table = parse(text).match([*names, "run/img_x.tif", "other.tif"])
    assert set(table.names) == set(names)
    for name, row in zip(table.names, table.index.tolist(), strict=True):
        found = {field: table.values[field][i] for field, i in zip(table.fields, row, strict=True)}
        assert (found["t"], found["c"], found["z"]) == names[name]
    assert list(table.values["t"]) == sorted(table.values["t"])


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("{c}_{z}.tif", "a_b_3.tif", {"c": "a_b", "z": 3}),
        ("{well}/{well}_f{field}.tif", "B02/B02_f1.tif", {"well": "B02", "field": 1}),
        ("{well}/{well}_f{field}.tif", "B02/B03_f1.tif", None),
        ("s{z:4}.tif", "s12345.tif", {"z": 12345}),
        ("s{z:4}.tif", "s123.tif", None),
        ("*_{z:03d}.ti?", "2024-01_007.tif", {"z": 7}),
        ("{{{z}}}[1].tif", "{4}[1].tif", {"z": 4}),
        ("{z}.tif", "a/1.tif", None),
        ("a.{z}.tif", "a-1.tif", None),
    ],
)  # fmt: skip
def test_one_name(text: str, name: str, values: dict[str, object] | None) -> None:
    table = parse(text).match([name])
    found = {field: each[0] for field, each in table.values.items()} if table.names else None
    assert found == values


def test_what_makes_no_sense() -> None:
    for text, words in (
        ("{w}.tif", "no field {w}; there are {t} {c}"),
        ("{z", "stands alone"),
        ("{z:a}", "no number"),
    ):
        with pytest.raises(UsageError, match=words):
            parse(text)
    assert is_pattern("a/{well}_{z:04}.tif")
    assert not is_pattern("{3F25}.tif")
    assert parse("a/b{z}/c.tif").root == "a/"


def test_time_channel_and_depth(tmp_path: Path) -> None:
    volume = numbers(3, 2, 4, 20, 30)
    name = "img_{t:03}_{c}_z{z:04}.tif"
    text = run(tmp_path / "a", name, volume, t=[0, 1, 2], c=["DAPI", "GFP"], z=[2, 4, 6, 12])
    with pytest.raises(
        InputError, match=r"12 of 36 planes have no file \(t = 0, c = DAPI, z = 8 is the first\); copy"
    ):
        open_pattern(text)
    reader = open_pattern(text, on_gap="fill")
    assert reader.spec.missing == ((slice(0, 3), slice(0, 2), slice(3, 5), slice(0, 20), slice(0, 30)),)
    expected = np.insert(volume, [3, 3], 0, axis=2)
    check_reader(lambda: open_pattern(text, on_gap="fill"), expected=expected)
    for source, options in ((text, {}), (tmp_path / "a", {"pattern": name})):
        img = bigimg.open(source, on_gap="fill", **options)
        assert img.dims == ("t", "c", "z", "y", "x")
        assert img.c.values.tolist() == ["DAPI", "GFP"]
        assert int(bigimg.stats(img)["count"].sum()) == volume.size
    assert (
        "the names say t 3 (0 … 2), c 2 (DAPI, GFP), z 6 (2 … 12)" in bigimg.info(text, on_gap="fill").notes
    )
    tree = bigimg.convert(text, tmp_path / "a.ome.zarr", on_gap="fill")
    np.testing.assert_array_equal(tree["scale0/image"].values, expected)


def test_tiles_without_overlap(tmp_path: Path) -> None:
    tiles = numbers(2, 3, 17, 23)
    text = run(tmp_path, "{y}/{x}.tif", tiles, y=[10, 11], x=[7, 8, 9])
    mosaic = np.block([list(row) for row in tiles])
    check_reader(lambda: open_pattern(text), expected=mosaic)
    (tmp_path / "11" / "8.tif").unlink()
    with pytest.raises(InputError, match=r"1 of 6 planes have no file \(y = 11, x = 8 is the first\)"):
        open_pattern(text)
    mosaic[17:, 23:46] = 0
    check_reader(lambda: open_pattern(text, on_gap="fill"), expected=mosaic)


def test_wells_and_fields_are_series(tmp_path: Path) -> None:
    volume = numbers(2, 3, 2, 8, 9)
    text = run(tmp_path, "{well}/f{field}_c{c}.tif", volume, well=["B10", "B2"], field=[1, 2, 3], c=[1, 2])
    with pytest.raises(
        InputError, match=r"a plate of 2 wells \(B/2, B/10\): choose one field by series='B/2/0'"
    ):
        bigimg.open(text)
    assert bigimg.info(text).to_dict()["wells"] == ["B/2", "B/10"]
    np.testing.assert_array_equal(bigimg.open(text, series="B/2/0"), volume[1, 0])
    np.testing.assert_array_equal(bigimg.open(text, series="B10/2"), volume[0, 2])
    np.testing.assert_array_equal(bigimg.open(text, series=1), volume[1, 1])
    with pytest.raises(UsageError, match=r"no field 'C1'; there are 2 wells \(B/2, B/10\)"):
        bigimg.open(text, series="C1")
    fields = text.replace("{well}", "B2")
    np.testing.assert_array_equal(bigimg.open(fields, series="field 3"), volume[1, 2])
    (tmp_path / "B2" / "f2_c2.tif").unlink()
    np.testing.assert_array_equal(bigimg.open(fields, series=1), volume[1, 1, :1])


def test_files_have_axes_of_their_own(tmp_path: Path) -> None:
    volume = numbers(2, 3, 4, 8, 9)
    for t, c in np.ndindex(2, 3):
        options = {
            "imagej": True,
            "metadata": {"axes": "ZYX", "spacing": 2.5, "unit": "um"},
            "resolution": (2, 2),
        }
        tifffile.imwrite(tmp_path / f"t{t}w{c}.tif", volume[t, c], **options)
    text = str(tmp_path / "t{t}w{c}.tif")
    check_reader(lambda: open_pattern(text), expected=volume)
    axes = {axis.name: (axis.spacing, axis.unit) for axis in open_pattern(text).spec.axes}
    assert axes["z"] == (2.5, "micrometer")
    assert axes["y"] == (0.5, "micrometer")
    with pytest.raises(
        InputError, match=r"has the axis z itself \(z y x = 4 x 8 x 9\), .* \* in place of \{z\}"
    ):
        open_pattern(str(tmp_path / "t{z}w{c}.tif"))
    colours = numbers(2, 8, 9, 3).astype("u1")
    for t in range(2):
        tifffile.imwrite(tmp_path / f"rgb{t}.tif", colours[t], photometric="rgb")
    check_reader(lambda: open_pattern(str(tmp_path / "rgb{t}.tif")), expected=np.moveaxis(colours, -1, 1))


def test_what_the_files_are_not(tmp_path: Path) -> None:
    text = run(tmp_path, "a{t}_{c}.tif", numbers(2, 3, 8, 9), t=[1, 2], c=["x", "y", "z"])
    tifffile.imwrite(tmp_path / "a01_x.tif", numbers(8, 9))
    with pytest.raises(InputError, match=r"a1_x.tif and a01_x.tif are the same plane|a01_x.tif and a1_x.tif"):
        open_pattern(text)
    (tmp_path / "a01_x.tif").unlink()
    tifffile.imwrite(tmp_path / "a2_y.tif", numbers(8, 10))
    with pytest.raises(
        InputError, match=r"a2_y.tif: is y 8 x 10 uint16, but .*\(5 files y 8 x 9 uint16, 1 file y 8 x 10"
    ):
        open_pattern(text)
    with pytest.raises(
        InputNotFoundError, match=r"no file follows this pattern, and 6 files nearly do \(.*a1_x.tif\)"
    ):
        open_pattern(str(tmp_path / "a{t:03}_{c}.tif"))
    with pytest.raises(UsageError, match="on_gap='split' is for DICOM series"):
        open_pattern(text, on_gap="split")
    with pytest.raises(
        UsageError, match=r"a2_y.tif: pattern='a\{t\}' is for folders of files, and this is none"
    ):
        bigimg.open(tmp_path / "a2_y.tif", pattern="a{t}")
    with pytest.raises(UsageError, match="is for folders of files"):
        bigimg.open([tmp_path / "a2_y.tif", tmp_path / "a1_y.tif"], pattern="a{t}")


def test_thousands_of_places_are_no_grid() -> None:
    table = parse("{t}_{z}.tif").match([f"{i}_{i}.tif" for i in range(8000)])
    with pytest.raises(InputError, match=r"8000 files for 64000000 planes .* are no grid"):
        arranged(table, "a")


def test_a_plate_in_a_zip_file_is_no_series_of_wells(tmp_path: Path) -> None:
    volume = numbers(2, 3, 8, 9)
    run(tmp_path / "run", "{well}_z{z}.tif", volume, well=["A1", "A2"], z=[1, 2, 3])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for path in (tmp_path / "run").iterdir():
            file.write(path, f"run/{path.name}")
    with pytest.raises(InputError, match=r"a\.zip::run: a plate inside a zip file: choose one field"):
        bigimg.open(f"{tmp_path}/a.zip::run", pattern="{well}_z{z}.tif")
    for series in ("A2", "A/2/0", 1):
        img = bigimg.open(f"{tmp_path}/a.zip::run", pattern="{well}_z{z}.tif", series=series)
        np.testing.assert_array_equal(img, volume[1])
