"""The page of microscopes: a row for each file, none of them different, and still what its maker writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "microscopes.md"
SMALL = ("vendor/DAPI_GFP.czi", "vendor/s_1_t_1_c_1_z_1.czi", "vendor/LeicaLASX", "vendor/PtK2Cell.ims", "cluster.nd2",
         "made/plane.lif", "made/stack.lif", "made/raw.nd2", "made/zlib.nd2", "made/gz.ims")  # fmt: skip
"""The rows whose owner is among the packages of the ordinary tests."""


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_microscopes", DOCS / "make_microscopes.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[1:]]
    return {row[0]: row for row in cells}


def test_no_row_differs_and_none_was_left_open() -> None:
    assert rows()
    for name, (*_, spacing, names, colors, pixels, _, again) in rows().items():
        assert spacing.startswith(("equal", "none told")), name
        assert {names.split(",")[0], colors} <= {"equal", "none told"}, name
        assert pixels == "equal", name
        # openreadout's decoder of JPEG rounds otherwise.
        assert again == ("equal to 1, lossy" if "dicom" in name else "equal"), name


def test_no_file_is_left_out(maker: ModuleType, data: Path) -> None:
    assert list(rows()) == maker.names_of(data)


def check(maker: ModuleType, data: Path, name: str, scratch: Path) -> None:
    again = [cell.strip() for cell in maker.row(data, name, scratch)[1:-1].split("|")]
    asked = [(old, new) for old, new in zip(rows()[name], again, strict=True) if new != maker.NOT_ASKED]
    assert [new for _, new in asked] == [old for old, _ in asked]
    assert len(asked) > 7, "the owner is here"


@pytest.mark.parametrize("name", [name for name in rows() if name.startswith(SMALL)])
def test_a_row_is_what_its_maker_writes(maker: ModuleType, data: Path, name: str, tmp_path: Path) -> None:
    if maker.made.cluster() is None and ".nd2" in name:
        pytest.skip("cluster.nd2 is not here")
    check(maker, data, name, tmp_path)


@pytest.mark.vendors
@pytest.mark.parametrize("name", [name for name in rows() if not name.startswith(SMALL)])
def test_a_row_is_what_its_maker_writes_with_all_readers(
    maker: ModuleType, data: Path, name: str, tmp_path: Path
) -> None:
    for package in ("openreadout", "openslide", "pylibCZIrw", "wsidicom", "hdf5plugin"):
        pytest.importorskip(package)
    check(maker, data, name, tmp_path)
