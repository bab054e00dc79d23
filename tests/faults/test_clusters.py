"""Workers, schedulers and clients that end or stop at random moments: the store is whole and right, or absent."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import dask
import distributed
import pytest

import bigimg
from bigimg.errors import WorkerError
from tests.conversion.slow_source import Slow
from tests.conversion.test_cluster import ASKED, expected, objects, source, started, tree

__all__ = ["expected", "source"]  # fixtures

pytestmark = pytest.mark.faults
LIMITS = {"bigimg.stuck": "3s", "bigimg.no-worker": "20s", "distributed.comm.timeouts.connect": "2s"}
WITHIN = 60 + 20
"""Seconds in which a run has ended: what is asked of it beyond its longest limit."""


def tried(
    source: Path, folder: Path, wanted: dict[str, bytes], harm: Callable[[distributed.LocalCluster, list[int]], None],
    wait: float,
) -> str:  # fmt: skip
    """Convert on two processes of a new cluster, do ``harm`` after ``wait`` seconds, and return what became of it."""
    target = folder / "a.ome.zarr"
    with dask.config.set(LIMITS), started() as machines, distributed.Client(machines) as client:
        pids = list(client.run(os.getpid).values())
        timer = threading.Timer(wait, harm, (machines, pids))
        timer.start()
        begun = time.monotonic()
        try:
            bigimg.convert(Slow(str(source), 0.03), target, **ASKED)
            said = "whole"
        except WorkerError as error:
            said = str(error)
        assert time.monotonic() - begun < WITHIN
        timer.join()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue
    if said != "whole":
        assert not target.exists()
        bigimg.convert(Slow(str(source), 0), target, **ASKED)  # goes on without a cluster
    assert objects(tree(target)) == objects(wanted)
    return said


def kill(machines: distributed.LocalCluster, pids: list[int]) -> None:
    os.kill(random.choice(pids), signal.SIGKILL)


def stop(machines: distributed.LocalCluster, pids: list[int]) -> None:
    os.kill(random.choice(pids), signal.SIGSTOP)


def end_scheduler(machines: distributed.LocalCluster, pids: list[int]) -> None:
    machines.scheduler.loop.add_callback(machines.scheduler.close)


@pytest.mark.parametrize("turn", range(40))
def test_kill(source: Path, tmp_path: Path, expected: dict[str, bytes], turn: int) -> None:
    assert tried(source, tmp_path, expected, kill, random.uniform(0.1, 2)) == "whole"


@pytest.mark.parametrize("turn", range(10))
def test_kill_while_it_starts(source: Path, tmp_path: Path, expected: dict[str, bytes], turn: int) -> None:
    assert tried(source, tmp_path, expected, kill, random.uniform(0, 0.1)) == "whole"


@pytest.mark.parametrize("turn", range(10))
def test_stop(source: Path, tmp_path: Path, expected: dict[str, bytes], turn: int) -> None:
    assert tried(source, tmp_path, expected, stop, random.uniform(0, 2)) == "whole"


@pytest.mark.parametrize("turn", range(10))
def test_scheduler(source: Path, tmp_path: Path, expected: dict[str, bytes], turn: int) -> None:
    said = tried(source, tmp_path, expected, end_scheduler, random.uniform(0, 2))
    assert said == "whole" or "scheduler" in said or "lost by the cluster" in said


@pytest.mark.parametrize("turn", range(50))
def test_cancel(source: Path, tmp_path: Path, turn: int) -> None:
    """The Ctrl-C of a terminal, which all processes get."""
    target = tmp_path / "a.ome.zarr"
    command = [
        sys.executable,
        "-m",
        "bigimg",
        "convert",
        str(source),
        str(target),
        "--chunks",
        "32",
        "--shards",
        "32",
    ]
    run = subprocess.Popen(
        [*command, "--workers", "2", "--processes"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 60
    while not list(tmp_path.glob(".*.bigimg/store/0")) and run.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))
    begun = time.monotonic()
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=30)[1]
    assert time.monotonic() - begun < 5  # 2 on a machine that does nothing else
    left = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    time.sleep(1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == left
    assert run.returncode == 0 or (run.returncode == 130 and said.count("\n") == 1), said
    bigimg.convert(source, target, progress=False, chunks=32, shards=32)
    assert bigimg.verify(target, progress=False).ok
