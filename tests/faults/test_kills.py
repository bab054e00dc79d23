"""SIGKILL at random moments of every phase: a store is whole or absent, and the next run ends it to the same bytes."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import WORKERS, Sample, new_target, resumed, whole_or_absent
from tests.faults.times import SEED, times

IN_FLIGHT = 2 * WORKERS + 2
"""Blocks that workers have or wait for, and one record on its way to the disk with one behind it."""


@pytest.mark.parametrize("name", ["2-D", "3-D", "in order"])
@times(8, 67)
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
