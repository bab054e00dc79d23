"""Ctrl-C and SIGTERM at random moments of the real command: it ends within seconds, in order, and can go on."""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bigimg.conversion.commit import staging_folder
from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import Sample, new_target, resumed, whole_or_absent
from tests.faults.times import SEED, times

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
HANGS = 30.0
# A signal may come while Python itself reads a module; Python's file is then closed by the garbage collector.
WARNINGS = ("-W", "error", "-W", "ignore::ResourceWarning")
COMMAND = (sys.executable, *WARNINGS, "-c", "from bigimg.cli import main; main()")


def has_begun(child: subprocess.Popen[str], target: Path) -> bool:
    return child.poll() is not None or staging_folder(target).exists()


def listens(child: subprocess.Popen[str]) -> bool:
    """Return whether the process has its handlers, for before that nobody can tell it from any other python."""
    if child.poll() is not None:
        return True
    status = Path(f"/proc/{child.pid}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + HANGS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.001)


def alive_in(session: int) -> list[str]:
    """Return the processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, number = path.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(number) == session and state != "Z":
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@times(4, 50)
def test_stopped_at_random_moments(
    number: signal.Signals, n: int, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:  # fmt: skip
    """From the moment that its handlers are there to its end: imports, plan, blocks, commit."""
    rng = random.Random(f"{SEED} {number}")
    took, ended_before, left = [], 0, 0
    names = ("2-D", "in order", "3-D", *(["large"] * 3 if n > 4 else ()))
    for i in range(n):
        sample = sample_of(names[i % len(names)])
        target = new_target(place, i)
        child = subprocess.Popen(
            [*COMMAND, *sample.command(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        wait_until(partial(listens, child))
        if i % 4:  # the others while it loads and plans
            wait_until(partial(has_begun, child, target))
            time.sleep(rng.uniform(0, sample.seconds))
        else:
            time.sleep(rng.uniform(0, 0.2))
        child.send_signal(number)
        before = time.monotonic()
        _, said = child.communicate(timeout=HANGS)
        seconds = time.monotonic() - before
        assert alive_in(child.pid) == []
        if child.returncode == 0:
            ended_before += 1
            assert whole_or_absent(target, sample)
            continue
        took.append(seconds)
        assert child.returncode == CODES[number], said
        assert "Traceback" not in said, said
        assert [line[:8] for line in said.splitlines()] == ["bigimg: "], said
        if not whole_or_absent(target, sample):
            left += staging_folder(target).exists()
            assert ("run the same command again" in said) == staging_folder(target).exists()
            assert ("nothing is left behind" in said) != staging_folder(target).exists()
            resumed(target, sample, nursery)
    tell(f"{number.name}: {n} runs, seed {SEED}; {ended_before} had ended, {len(took)} left with {CODES[number]}, "
         f"median {statistics.median(took or [0]):.2f} s, worst {max(took or [0]):.2f} s, no orphan; {left} left blocks"
         ", all resumed to the same bytes")  # fmt: skip
