"""A hard limit of memory: at the budget and a tenth the kernel kills nothing; below it kills, and the run goes on.

The image is a file of holes, of any size: ``BIGIMG_FAULTS_GIB`` GiB (4 by default) under the marker ``faults``.
The kernel kills at any time of the run: at a block that is drawn, a neighbour that is killed last takes nearly all of
the limit. (To lower the limit to what the run held killed one of 13: from its first blocks on it holds the same.)
Every tenth image lies on the disk, where each page that is read fills the cache of the group; the others in memory,
where holes take no page, at half the time.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bigimg.conversion.commit import STORE, staging_folder
from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.times import SEED, times

CONTROLLER = Path("/sys/fs/cgroup/memory")
BUDGET = 512_000_000
LIMIT = BUDGET * 11 // 10
LEFT = 30_000_000
"""Less than a run takes, more than an interpreter."""
BLOCK, WIDTH = 4096, 32768
"""Pixels along a block, and along a row of blocks."""
GIB = float(os.environ.get("BIGIMG_FAULTS_GIB", "4"))
JOIN = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
"""Before anything is loaded: what a process has when it joins is not counted."""
FIRST = "echo 1000 > /proc/$$/oom_score_adj && "
"""It is to be killed before any other; to be spared is a right that few have."""


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

    def limit(self, size: int) -> None:
        """Set the limit."""
        (self.folder / "memory.limit_in_bytes").write_text(str(size))

    def neighbour(self) -> subprocess.Popen[bytes]:
        """Start a process in the group that takes all but ``LEFT`` of the limit."""
        taken = f"held = b'x' * {LIMIT - LEFT}; import time; time.sleep(60)"
        return subprocess.Popen(["sh", "-c", JOIN, str(self.folder), sys.executable, "-Sc", taken])


@contextmanager
def limited(limit: int) -> Iterator[Group]:
    folder = CONTROLLER / f"bigimg-faults-{os.getpid()}-{time.monotonic_ns()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs a memory controller (cgroup v1) that may be used: {error}")
    try:
        group = Group(folder)
        group.limit(limit)
        yield group
    finally:
        (folder / "memory.force_empty").write_text("0")
        folder.rmdir()


@dataclass(frozen=True)
class Converted:
    """How the command ended."""

    code: int
    out: str
    err: str
    peak: int
    """The most memory that it was seen to hold beside files."""

    @property
    def resumed(self) -> int:
        return int(json.loads(self.out)["blocks_resumed"])


def convert(source: Path, target: Path, group: Group, *, crowded_at: int | None = None) -> Converted:
    """Run the command in ``group``, where it has a neighbour once there are ``crowded_at`` rows of blocks."""
    command = [sys.executable, "-c", "from bigimg.cli import main; main()", "convert", str(source), str(target),
               "--memory", str(BUDGET), "--shards", str(BLOCK), "--json", "-q", "--overwrite"]  # fmt: skip
    command = ["sh", "-c", FIRST + JOIN, str(group.folder), *command]
    neighbour = None
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    rows, peak = staging_folder(target) / STORE / "0" / "c", 0
    while child.poll() is None:
        if neighbour is None:
            peak = max(peak, group.anonymous)
            if crowded_at is not None and begun(rows) >= crowded_at:
                neighbour = group.neighbour()
        time.sleep(0.02)
    out, err = child.communicate()
    if neighbour is not None:
        neighbour.kill()
        neighbour.wait()
    return Converted(child.returncode, out, err, peak)


def begun(rows: Path) -> int:
    """Return how many rows of blocks there are, or -1 before and after there is a place for them."""
    try:
        return len(os.listdir(rows))
    except FileNotFoundError:
        return -1


def holes(path: Path, rows: int) -> Path:
    """Write the header of an array of so many rows of blocks and nothing else: it reads as zeros and takes no room."""
    shape = (rows * BLOCK, WIDTH)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    return path


@times(1, 20)
def test_a_hard_limit_of_memory(n: int, tmp_path: Path, room: Path, tell: Tell) -> None:
    """Killed below the budget, at any block, and then ended inside it: nothing is killed there, all is exact."""
    if not CONTROLLER.is_dir():
        pytest.skip("needs the memory controller of cgroup v1")
    gib, rng = GIB if n > 1 else 0.25, random.Random(SEED)
    rows = round(gib * 2**30 / (BLOCK * WIDTH))
    on_disk, in_memory = holes(tmp_path / "holes.npy", rows), holes(room / "holes.npy", rows)
    target = tmp_path / "out.ome.zarr"
    with limited(LIMIT) as group:
        first = convert(on_disk, target, group)
        assert (first.code, group.kills) == (0, 0), first.err
    unbroken = tree(target)
    kept: list[int] = []
    peaks, late = [first.peak], 0
    while len(kept) < n:
        source = in_memory if len(kept) % 10 else on_disk
        with limited(LIMIT) as group:
            ended = convert(source, target, group, crowded_at=rng.randrange(-1, rows) if n > 1 else -1)
            assert ended.code in (0, -9, 137), ended
            assert bool(ended.code) == bool(group.kills)
        assert tree(target) == unbroken, "the old store is there until the new one is whole"
        if ended.code == 0:
            late += 1
            assert late < 5 * n, "it is never killed"
            continue
        with limited(LIMIT) as group:
            resumed = convert(source, target, group)
            assert (resumed.code, group.kills) == (0, 0), resumed.err
        assert tree(target) == unbroken
        kept.append(resumed.resumed)
        peaks.append(resumed.peak)
    assert n == 1 or any(kept), "all came before the first block"
    tell(f"memory limit of {LIMIT / 1e6:.0f} MB, budget {BUDGET / 1e6:.0f} MB, image of {gib} GiB: {n} runs, seed "
         f"{SEED}, killed when a neighbour took the memory, and {late} ended before; each then ended under the "
         f"first limit to the same bytes, 0 killed, {sum(map(bool, kept))} with blocks kept, {min(kept)} to {max(kept)}"
         f" of {rows * WIDTH // BLOCK}, median {statistics.median(kept):.0f}; at most {max(peaks) / 1e6:.0f} MB held "
         "beside files")  # fmt: skip
