"""A hard limit of memory: at the budget and a tenth the kernel kills nothing; below it kills, and the run goes on.

The image is a file of holes, of any size: ``BIGIMG_FAULTS_GIB`` GiB (4 by default) under the marker ``faults``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.times import times

CONTROLLER = Path("/sys/fs/cgroup/memory")
BUDGET = 512_000_000
GIB = float(os.environ.get("BIGIMG_FAULTS_GIB", "4"))
JOIN = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
"""Before anything is loaded: what a process has when it joins is not counted."""


@dataclass(frozen=True)
class Group:
    """A control group for one run."""

    folder: Path

    @property
    def kills(self) -> int:
        lines = (self.folder / "memory.oom_control").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("oom_kill ")))

    @property
    def anonymous(self) -> int:
        """Bytes now that are not files in the cache."""
        lines = (self.folder / "memory.stat").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("total_rss ")))


@contextmanager
def limited(limit: int) -> Iterator[Group]:
    folder = CONTROLLER / f"bigimg-faults-{os.getpid()}-{time.monotonic_ns()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs a memory controller (cgroup v1) that may be used: {error}")
    try:
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        yield Group(folder)
    finally:
        (folder / "memory.force_empty").write_text("0")
        folder.rmdir()


def convert(
    source: Path, target: Path, group: Group | None, *more: str
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the command, in ``group``; return how it ended and the most memory it was seen to hold beside files."""
    command = [sys.executable, "-c", "from bigimg.cli import main; main()", "convert", str(source), str(target),
               "--memory", str(BUDGET), "--shards", "4096", "--json", "-q", *more]  # fmt: skip
    if group is not None:
        command = ["sh", "-c", JOIN, str(group.folder), *command]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0
    while child.poll() is None:
        if group is not None:
            peak = max(peak, group.anonymous)
        time.sleep(0.02)
    out, err = child.communicate()
    return subprocess.CompletedProcess(command, child.returncode, out, err), peak


def holes(path: Path, gib: float) -> Path:
    """Write the header of an array of ``gib`` GiB and nothing else: it reads as zeros and takes no room."""
    rows = max(1, round(gib * 2**30 / 32768))
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(rows, 32768)).flush()
    return path


@times(1, 20)
def test_a_hard_limit_of_memory(n: int, tmp_path: Path, tell: Tell) -> None:
    """Files count into the group as well, so it is the kernel that makes room in its cache while we convert."""
    if not CONTROLLER.is_dir():
        pytest.skip("needs the memory controller of cgroup v1")
    gib = GIB if n > 1 else 0.25
    source, target = holes(tmp_path / "holes.npy", gib), tmp_path / "out.ome.zarr"
    whole, _ = convert(source, target, None)
    assert whole.returncode == 0, whole.stderr
    unbroken = tree(target)
    killed = resumed = kills = 0
    seconds, peaks = [], []
    for i in range(n):
        with limited(BUDGET * 11 // 10) as group:
            before = time.monotonic()
            ended, peak = convert(source, target, group, "--overwrite")
            seconds.append(time.monotonic() - before)
            peaks.append(peak)
            assert (ended.returncode, group.kills) == (0, 0), ended.stderr
        assert tree(target) == unbroken
        with limited(max(peaks) * (65 + 30 * i // n) // 100) as group:
            ended, _ = convert(source, target, group, "--overwrite")
            kills += group.kills
        assert ended.returncode in (0, -9, 137), ended
        assert tree(target) == unbroken, "the old store is there until the new one is whole"
        if ended.returncode:
            killed += 1
            ended, _ = convert(source, target, None, "--overwrite")
            assert ended.returncode == 0, ended.stderr
            resumed += json.loads(ended.stdout)["blocks_resumed"]
            assert tree(target) == unbroken
    assert kills >= killed
    assert killed or n == 1
    tell(f"memory limit of {BUDGET * 1.1 / 1e6:.0f} MB, budget {BUDGET / 1e6:.0f} MB, image of {gib} GiB: {n} runs, 0 "
         f"killed, up to {max(peaks) / 1e6:.0f} MB held beside files, {max(seconds):.1f} s; at 65 to 95 % of that "
         f"{killed} of {n} killed, each then ended to the same bytes, {resumed} blocks kept in all")  # fmt: skip
