"""Two runs on one target: the second is refused at once, and the lock goes with its holder, however that ends."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import Sample, new_target, resumed, whole_or_absent
from tests.faults.times import SEED, each_way, times

HELD = ("made", "owned", "begun", "block", "swept", "written", "synced", "renamed", "committed")
"""Steps at which a run holds the lock; at the first it is about to take it."""


@each_way
@times(9, 50)
def test_two_runs_on_one_target(
    n: int, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    sample, rng = sample_of("2-D"), random.Random(SEED)
    longest, kept = 0.0, 0
    for i in range(n):
        target, step = new_target(place, i), HELD[i % len(HELD)]
        holder = nursery.start(*sample.command(target), hold=step)
        nursery.wait_for(holder, step)
        if step != "made":
            second = nursery.run(*sample.command(target), timeout=10)
            assert second.code == 4, second
            there = step in ("renamed", "committed")
            assert ("exists already" if there else "another run is writing") in second.line
            listed = nursery.run("clean", target.parent, "--remove")
            assert "nothing of bigimg's" in listed.out, "what a run holds is no leftover"
            longest = max(longest, second.seconds)
        # While a folder is begun signals wait, and here it is begun for ever: only SIGKILL ends that.
        ends = [signal.SIGKILL] if step in ("made", "owned", "begun") else [signal.SIGKILL, signal.SIGTERM]
        os.kill(holder, rng.choice(ends))
        assert nursery.finish(holder).code in (-9, 143)
        if not whole_or_absent(target, sample):
            kept += resumed(target, sample, nursery)[0]
    tell(f"two runs on one target, the holder killed: {n} times at {len(HELD)} steps, seed {SEED}; the second refused "
         f"within {longest:.2f} s, the lock free each time, {kept} blocks kept")  # fmt: skip


@each_way
@times(3, 20)
def test_many_runs_at_once(
    n: int, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    """Four are let go at the same moment: one makes the store, the others are told; nobody breaks anything."""
    sample = sample_of("tiny")
    for i in range(n):
        target = new_target(place, i)
        pids = [nursery.start(*sample.command(target), stopped=True) for _ in range(4)]
        for pid in pids:
            while "\nState:\tT" not in Path(f"/proc/{pid}/status").read_text():
                pass
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        ended = [nursery.finish(pid) for pid in pids]
        assert sorted(e.code for e in ended) == [0, 4, 4, 4], [e.err for e in ended]
        assert all("another run" in e.line or "exists already" in e.line or "made by somebody else" in e.line
                   for e in ended if e.code)  # fmt: skip
        assert whole_or_absent(target, sample)
    tell(f"four runs at once on one target: {n} times, each time one store and three clear refusals")
