"""SIGKILL at random moments of every phase: a store is whole or absent, and the next run ends it to the same bytes."""

from __future__ import annotations

import random
import shutil
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bigimg.conversion.journal import WAITING
from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import Sample, new_target, resumed, whole_or_absent
from tests.faults.times import SEED, times

IN_FLIGHT = 2 * WAITING
"""Finished blocks whose records are on their way to the disk, or wait for it."""


@pytest.mark.parametrize("name", ["2-D", "3-D", "in order", "0.4"])
@times(6, 67)
def test_killed_at_random_moments(
    name: str, n: int, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    """Every other one at any time of the run; the rest at a moment after a step, so that each phase is met."""
    sample, rng = sample_of(name), random.Random(f"{SEED} {name}")
    names = sorted(set(sample.steps))
    pause = sample.seconds / len(sample.steps)
    seen: Counter[str] = Counter()
    redone, longer = [0], []
    for i in range(n):
        target = new_target(place, i)
        number, delay = 0, rng.uniform(0, 1.05 * sample.seconds)
        if i % 2:
            step = names[i // 2 % len(names)]  # in turn, for some phases have one step and others a hundred
            number = rng.choice([k for k, other in enumerate(sample.steps, 1) if other == step])
            delay = rng.uniform(0, 2 * pause)
        ended = nursery.finish(nursery.start(*sample.command(target)), kill_after=number, delay=delay)
        assert ended.code in (-9, 0), ended.err
        seen["ended before" if ended.code == 0 else ended.steps[-1] if ended.steps else "start"] += 1
        if whole_or_absent(target, sample):
            continue
        kept, seconds = resumed(target, sample, nursery)
        redone.append(ended.steps.count("block") - kept)
        longer.append(ended.seconds + seconds - 1.1 * sample.seconds)
    assert sum(seen.values()) == n
    assert max(redone) <= IN_FLIGHT
    tell(
        f"SIGKILL at random moments, {name}: {n} runs, seed {SEED}, last step {dict(sorted(seen.items()))}; 0 half "
        f"stores, {len(longer)} of {len(longer)} resumed to the same bytes, at most {max(redone)} blocks redone; "
        f"longer than 1.1 x {sample.seconds:.2f} s by {statistics.median(longer):.2f} s, at most {max(longer):.2f} s"
    )


@times(1, 25)
def test_killed_on_a_disk(
    n: int, tmp_path: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    """Large objects, written past the page cache, and a disk that takes its time to sync."""
    sample, rng = sample_of("large"), random.Random(SEED)
    redone, kept = [0], 0
    for i in range(n):
        target = new_target(tmp_path, i)
        number = rng.randint(3, len(sample.steps) - 3)
        ended = nursery.finish(
            nursery.start(*sample.command(target)), kill_after=number, delay=rng.uniform(0, 0.1)
        )
        assert ended.code in (-9, 0), ended.err
        if not whole_or_absent(target, sample):
            here, _ = resumed(target, sample, nursery)
            redone.append(ended.steps.count("block") - here)
            kept += here
        shutil.rmtree(target.parent)
    assert max(redone) <= IN_FLIGHT
    tell(f"SIGKILL on a disk, {sample.pixels.nbytes / sample.blocks / 1e6:.0f} MB a block: {n} runs, seed {SEED}; 0 "
         f"half stores, all resumed to the same bytes, {kept} blocks kept, at most {max(redone)} redone")  # fmt: skip


@times(2, 20)
def test_killed_again_and_again(
    n: int, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    """Every run is killed at one of its next blocks, also while it resumes, until one gets to the end."""
    sample, rng = sample_of("2-D"), random.Random(SEED)
    kills = 0
    for i in range(n):
        target = new_target(place, i)
        while True:
            number = rng.randint(1, max(2, sample.blocks // 3))
            ended = nursery.finish(nursery.start(*sample.command(target)), kill_after=number)
            if ended.code == 0 or whole_or_absent(target, sample):
                break
            kills += 1
            assert kills < 1000, "it does not come on"
        assert tree(target) == sample.tree
    tell(
        f"killed again and again: {n} stores, {kills} kills on the way, each store as that of an unbroken run"
    )
