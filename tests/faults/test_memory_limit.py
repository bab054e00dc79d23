"""A hard limit of memory: at the budget and a tenth the kernel kills nothing; below it kills, and the run goes on.

The image is a file of holes, of any size: ``BIGIMG_FAULTS_GIB`` GiB (4 by default) under the marker ``faults``.
The kernel kills at any time of the run: from a moment that is drawn on, the limit is what the run holds just then.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.times import SEED, times

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

    def limit(self, size: int) -> None:
        """Set the limit; the kernel takes none that it would have to kill for at once, and says so."""
        (self.folder / "memory.limit_in_bytes").write_text(str(size))

    def squeeze(self) -> None:
        """Leave nothing more than what is held now, so that the next allocation is one too many."""
        with suppress(OSError):  # it holds more already
            self.limit(self.anonymous)


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
    seconds: float
    peak: int
    """The most memory that it was seen to hold beside files; 0 without a group."""

    @property
    def resumed(self) -> int:
        return int(json.loads(self.out)["blocks_resumed"])


def convert(
    source: Path, target: Path, group: Group | None, *, squeezed_after: float = math.inf
) -> Converted:
    """Run the command, in ``group``, whose limit goes down ``squeezed_after`` seconds from the start."""
    command = [sys.executable, "-c", "from bigimg.cli import main; main()", "convert", str(source), str(target),
               "--memory", str(BUDGET), "--shards", "4096", "--json", "-q", "--overwrite"]  # fmt: skip
    if group is not None:
        command = ["sh", "-c", JOIN, str(group.folder), *command]
    started, peak = time.monotonic(), 0
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while child.poll() is None:
        if group is not None:
            peak = max(peak, group.anonymous)
            if time.monotonic() - started > squeezed_after:
                group.squeeze()
        time.sleep(0.02)
    out, err = child.communicate()
    return Converted(child.returncode, out, err, time.monotonic() - started, peak)


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
    gib, rng = GIB if n > 1 else 0.25, random.Random(SEED)
    source, target = holes(tmp_path / "holes.npy", gib), tmp_path / "out.ome.zarr"
    whole = convert(source, target, None)
    assert whole.code == 0, whole.err
    unbroken = tree(target)
    within: list[Converted] = []
    kept: list[int] = []
    late = 0
    while len(kept) < n:
        if len(within) < n:
            with limited(BUDGET * 11 // 10) as group:
                within.append(convert(source, target, group))
                assert (within[-1].code, group.kills) == (0, 0), within[-1].err
            assert tree(target) == unbroken
        with limited(BUDGET * 11 // 10) as group:
            after = rng.uniform(0, statistics.median(run.seconds for run in within))
            ended = convert(source, target, group, squeezed_after=after)
            assert ended.code in (0, -9, 137), ended
            assert bool(ended.code) == bool(group.kills)
        assert tree(target) == unbroken, "the old store is there until the new one is whole"
        if ended.code == 0:
            late += 1
            assert late < 5 * n, "it is never killed"
            continue
        ended = convert(source, target, None)
        assert ended.code == 0, ended.err
        kept.append(ended.resumed)
        assert tree(target) == unbroken
    assert n == 1 or any(kept), "all came before the first block"
    tell(f"memory limit of {BUDGET * 1.1 / 1e6:.0f} MB, budget {BUDGET / 1e6:.0f} MB, image of {gib} GiB: "
         f"{len(within)} runs, 0 killed, up to {max(run.peak for run in within) / 1e6:.0f} MB held beside files, "
         f"{statistics.median(run.seconds for run in within):.1f} s; limit lowered to what is held, at random moments, "
         f"seed {SEED}: {n} killed ({late} more ended before), each then ended to the same bytes, "
         f"{sum(map(bool, kept))} with blocks kept, {min(kept)} to {max(kept)}, median {statistics.median(kept):.0f}"
         )  # fmt: skip
