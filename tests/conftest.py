"""Fixtures that every test may use."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import settings

from bigimg.system import os_calls

ROOT = Path(__file__).parents[1]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Or each of the hundreds of processes that the tests start would compile all of bigimg anew: half a second each."""
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")
"""How long an example takes says how busy the machine is."""


def find_data() -> Path | None:
    """Return the folder of real images, or None on a machine that has none."""
    for folder in (os.environ.get("BIGIMG_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "index.csv").is_file():
            return Path(folder)
    return None


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images; tests that need it are skipped where it is not."""
    folder = find_data()
    if folder is None:
        pytest.skip("no real images here: set BIGIMG_TEST_DATA to the folder that holds index.csv")
    return folder


@pytest.fixture(scope="session")
def index(data: Path) -> dict[str, dict[str, str]]:
    """The rows of index.csv by file name: shape, dtype, oracle, pixels_sha256."""
    with (data / "index.csv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture(params=["system", "portable"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with what this system offers, and once more as on one that offers nothing."""
    if request.param == "portable":
        monkeypatch.setattr(os_calls, "found", os_calls.OsCalls())
    way: str = request.param
    return way
