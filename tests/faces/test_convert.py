"""What ``plan``, ``convert`` and ``write`` take as the name of a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import bigimg
from bigimg.errors import UsageError
from tests.running import bigimg as command


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("q8.tif", "q8.ome.zarr, or write .tif with bigimg export"),
        ("q8.OME.TIF", "q8.ome.zarr, or write .ome.tif with bigimg export"),
        ("brain.nii.gz", "brain.ome.zarr, or write .nii.gz with bigimg export"),
        ("a.b.png/", "a.b.ome.zarr, or"),
        ("slide.svs", "slide.ome.zarr"),  # read and not written
        ("x.dcm", "x.ome.zarr"),
        ("x.zarr.zip", "x.ome.zarr"),
    ],
)
def test_the_name_of_another_format_is_refused(name: str, way: str, tmp_path: Path) -> None:
    array, target = np.zeros((4, 5), np.uint8), f"{tmp_path}/{name}"
    for ask in (bigimg.plan, bigimg.convert, bigimg.write):
        with pytest.raises(UsageError) as error:
            ask(array, target)
        assert str(error.value).startswith(f"{target}: ")
        assert str(error.value).partition("name it ")[2].removeprefix(f"{tmp_path}/").startswith(way)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.zarr", "a", "a.tif.d", "2024.11.30", "png"])
def test_any_other_name_is_that_of_a_store(name: str, tmp_path: Path) -> None:
    bigimg.write(np.ones((4, 5), np.uint8), tmp_path / name, progress=False)
    assert bigimg.imread(tmp_path / name).sum() == 20


def test_what_is_said_of_the_source_alone_is_not_kept(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for size in (20, 30):
            file.write(np.zeros((size, size), np.uint8), photometric="miniswhite", metadata=None, software="")
    bigimg.convert(tmp_path / "a.tif", tmp_path / "a.ome.zarr", progress=False)
    zarr.create_array(tmp_path / "b", data=np.zeros((4, 5)))
    bigimg.convert(tmp_path / "b", tmp_path / "b.ome.zarr", progress=False)
    for source, kept, of_source in (
        ("a.tif", "0 is white", "has 2 series"),
        ("b", "names no axes", "no manifest"),
    ):
        told = bigimg.info(tmp_path / source).notes
        assert told == bigimg.plan(tmp_path / source, tmp_path / "new", probe=False).notes
        assert [kept in told[0], of_source in told[1], len(told)] == [True, True, 2]
        assert bigimg.info(tmp_path / f"{source[0]}.ome.zarr").notes == told[:1]


def test_the_command_refuses_before_it_looks_at_the_source(tmp_path: Path) -> None:
    found = command("convert", "https://localhost:1/a.png", tmp_path / "a.png", scratch=tmp_path)
    assert (found.code, "OME-Zarr store is a folder" in found.line) == (2, True)
