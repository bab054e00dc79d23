"""The page of real files: a row for each, none of them different, and the quick ones still as the page says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from bigimg.version import install_line

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "formats.md"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_formats", DOCS / "make_formats.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def rows() -> dict[str, str]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {line.split("|")[1].strip(): line for line in lines[1:]}


def test_no_row_differs() -> None:
    assert rows()
    for line in rows().values():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        refused = cells[1].startswith("*")
        assert refused or cells[5].startswith("equal"), line
        assert refused or cells[6] == "-" or float(cells[6]) <= 1e-12, line


def test_no_file_is_left_out(maker: ModuleType, data: Path) -> None:
    assert list(rows()) == maker.names_of(data)


def test_the_page_is_what_its_maker_writes(maker: ModuleType, data: Path) -> None:
    """Of small files whose owner is installed: the others need what is no dependency of the tests."""
    compared = 0
    for name, line in rows().items():
        if (data / name.split(" (")[0]).stat().st_size > 40_000:
            continue
        again = maker.row(data, name)
        if "not asked" not in again and "hdf5" not in again and install_line("dicom") not in again:
            assert re.sub(r"\de-\d+ \|$", "0 |", again) == re.sub(r"\de-\d+ \|$", "0 |", line)
            compared += 1
    assert compared >= 10, "of the core's formats there are as many small files"
