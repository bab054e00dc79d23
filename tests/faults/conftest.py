"""What all attacks share: how often, where, by whom; and the table of what was done, at the end of the session."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery
from tests.faults.samples import Sample, make_sample

DONE = "a line of the table of faults"
MEMORY_DISK = Path("/dev/shm")

type Tell = Callable[[str], None]


@pytest.fixture(scope="session")
def room() -> Iterator[Path]:
    """A folder in memory where there is one: a kill is no power cut, and a sync would wait for all the machine."""
    folder = Path(
        tempfile.mkdtemp(prefix="bigimg-faults-", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
    )
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(room: Path) -> Iterator[Path]:
    """An empty folder for the targets of one test."""
    folder = Path(tempfile.mkdtemp(dir=room))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def nursery(request: pytest.FixtureRequest, room: Path) -> Iterator[Nursery]:
    logs = Path(tempfile.mkdtemp(prefix="logs-", dir=room))
    made = Nursery(logs, getattr(request, "param", "system"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def sample_of(room: Path, nursery: Nursery) -> Callable[[str], Sample]:
    """Return a sample by its name, made at the first call."""
    made: dict[str, Sample] = {}

    def sample(name: str) -> Sample:
        if name not in made:
            folder = tempfile.mkdtemp(prefix=name.replace(" ", "-"), dir=room)
            made[name] = make_sample(name, Path(folder), nursery)
        return made[name]

    return sample


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Put a line into the table at the end: what was done, how often, what was seen.

    It goes with the report of the test, for the test may run in another process than the table is written by.
    """
    return lambda line: request.node.user_properties.append((DONE, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    lines = [line for report in reports for name, line in report.user_properties if name == DONE]
    if lines:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)
        if path := os.environ.get("BIGIMG_FAULTS_TABLE"):
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
