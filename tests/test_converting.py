"""What ``plan``, ``convert`` and ``write`` take as the name of a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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


def test_the_command_refuses_before_it_looks_at_the_source(tmp_path: Path) -> None:
    found = command("convert", "https://localhost:1/a.png", tmp_path / "a.png", scratch=tmp_path)
    assert (found.code, "OME-Zarr store is a folder" in found.line) == (2, True)
