"""The list of formats is that of the tables, its page is current, and readers of other packages are in it."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import bigimg
from bigimg.exporters.formats import EXPORTERS
from bigimg.faces.formats import ADDS
from bigimg.readers.registry import BUILT_IN
from bigimg.types import Array
from bigimg.version import install_line
from tests.running import bigimg as command

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def test_every_format_is_listed() -> None:
    found = bigimg.formats()
    assert [each.name for each in found.reads if not each.outside] == [
        "ome-zarr",
        *(f.name for f in BUILT_IN),
    ]
    assert [each.name for each in found.writes] == ["ome-zarr", *(e.name for e in EXPORTERS)]
    for each in (*found.reads, *found.writes):
        assert each.title in repr(found)
        assert " ".join(each.extensions) in repr(found)
    assert {each.extra for each in found.reads} - {None} <= {extra.name for extra in found.extras}


def test_every_extra_is_explained() -> None:
    assert set(ADDS) == set(EXTRAS) - {"all"}
    for extra in bigimg.formats().extras:
        assert extra.adds == ADDS[extra.name]
        assert set(extra.missing) <= set(extra.packages)


def test_the_page_is_current() -> None:
    maker = runpy.run_path(str(ROOT / "docs" / "make_formats_list.py"))
    assert maker["TARGET"].read_text(encoding="utf-8") == maker["page"](), (
        "run: uv run python docs/make_formats_list.py"
    )


def test_an_absent_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, said in ((True, 0), (False, 1)):
        monkeypatch.setattr("bigimg.faces.formats._is_installed", lambda package, there=there: there)
        found = bigimg.formats()
        (dicom,) = (each for each in found.reads if each.name == "dicom")
        assert dicom.installed is there
        assert repr(found).count(f"some need {install_line('dicom')}") == said


# ------------------------------------------------------------------------------------------- readers of other packages


@pytest.fixture
def package(tmp_path: Path) -> dict[str, str]:
    """The environment in which the example is an installed package, and one that is broken beside it."""
    site = tmp_path / "site"
    (site / "own_reader-1.0.dist-info").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "own_reader.py", site)
    (site / "own_reader-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: own-reader\nVersion: 1.0\n"
    )
    (site / "own_reader-1.0.dist-info" / "entry_points.txt").write_text(
        "[bigimg.readers]\nrings = own_reader:FORMAT\nlost = own_reader:NOTHING\n"
    )
    (tmp_path / "a.rings").write_text("RINGS 300 400")
    (tmp_path / "broken.rings").write_text("RINGS 300")
    return {**os.environ, "PYTHONPATH": str(site)}


def rings(height: int, width: int) -> Array:
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    return (127.5 + 127 * np.cos((y**2 + x**2) / 8000)).astype(np.uint8)


def test_an_installed_package_brings_its_format(package: dict[str, str], tmp_path: Path) -> None:
    """Found by its entry point alone: nobody imports it by name."""
    done = command(
        "convert", "-q", tmp_path / "a.rings", tmp_path / "a.ome.zarr", scratch=tmp_path, env=package
    )
    assert (done.code, done.err) == (0, "")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr").values, rings(300, 400))
    listed = command("formats", "--json", scratch=tmp_path, env=package).json
    assert [each["title"] for each in listed["reads"] if each["outside"]] == ["Rings"]
    assert "'lost'" in listed["broken"][0]
    assert "Rings" in command("formats", scratch=tmp_path, env=package).out
    told = command("info", tmp_path / "broken.rings", scratch=tmp_path, env=package)
    assert (told.code, told.line) == (
        3, f"bigimg: {tmp_path / 'broken.rings'}: is not 'RINGS height width'; write it again"
    )  # fmt: skip
    assert command("info", tmp_path / "a.rings", scratch=tmp_path).code == 3  # without the package


def test_its_planes_make_a_volume(package: dict[str, str], tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"z{i}.rings").write_text("RINGS 30 40")
    code = f"import bigimg; print(bigimg.imread({str(tmp_path / 'z*.rings')!r}).tolist())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=package, capture_output=True, text=True, check=True
    )
    np.testing.assert_array_equal(json.loads(done.stdout), np.stack([rings(30, 40)] * 3))


def test_the_example_is_short() -> None:
    assert len((ROOT / "examples" / "own_reader.py").read_text(encoding="utf-8").splitlines()) < 60
