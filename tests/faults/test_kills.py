"""SIGKILL at random moments of every phase: a store is whole or absent, and the next run ends it to the same bytes."""

from __future__ import annotations

import random
import shutil
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bigimg.conversion.batch import SHARE
from bigimg.conversion.journal import WAITING
from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import WORKERS, Sample, new_target, resumed, whole_or_absent
from tests.faults.times import SEED, each_way, times

IN_FLIGHT = 2 * WAITING
"""Finished batches whose records are on their way to the disk, or wait for it."""
LONGER = 3.0
"""Seconds that a killed run and the one that ends it may take beyond 1.1 times an unbroken one."""
FULL = 50
"""So many kills meet each phase."""
START = "start"
"""Before the first step: the source is opened and planned."""


@pytest.mark.parametrize("name", ["2-D", "3-D", "in order", "0.4"])
@each_way
@times(6, 67)
def test_killed_at_random_moments(
    name: str, n: int, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    """``n`` kills that come before the store has its name, of each phase some; those that come too late are extra."""
    sample, rng = sample_of(name), random.Random(f"{SEED} {name}")
    landed, late = Counter[str](dict.fromkeys(phases(sample), 0)), Counter[str]()
    redone: list[int] = []
    longer: list[float] = []
    while len(redone) < n:
        assert late.total() < 20 * n, f"no moment is left to be killed at: {landed}"
        target = new_target(place, landed.total() + late.total())
        number, delay = drawn(sample, landed, rng)
        ended = nursery.finish(nursery.start(*sample.command(target)), kill_after=number, delay=delay)
        assert ended.code in (-9, 0), ended.err
        if whole_or_absent(target, sample):
            late["ended" if ended.code == 0 else ended.steps[-1]] += 1
        else:
            landed[ended.steps[-1] if ended.steps else START] += 1
            kept, seconds = resumed(target, sample, nursery)
            redone.append(ended.steps.count("block") - kept)
            longer.append(ended.seconds + seconds - 1.1 * sample.seconds)
        shutil.rmtree(target.parent)
    assert max(redone) <= IN_FLIGHT * largest_batch(sample)
    assert n < FULL or min(landed.values()) > 0, landed
    assert n < FULL or max(longer) <= LONGER, "a time, so not in the ordinary tests"
    tell(
        f"SIGKILL at random moments before the rename, {name}: {n} runs, seed {SEED}, last step {dict(landed)}; 0 "
        f"half stores, {n} of {n} resumed to the same bytes, at most {max(redone)} blocks redone; longer than 1.1 x "
        f"{sample.seconds:.2f} s by {statistics.median(longer):.2f} s, at most {max(longer):.2f} s; {late.total()} "
        f"more came after it, {dict(late)}: each store whole"
    )


def largest_batch(sample: Sample) -> int:
    """Return how many blocks a batch of it may have."""
    return max(1, sample.blocks // (SHARE * WORKERS))


def phases(sample: Sample) -> dict[str, list[tuple[int, float]]]:
    """Return of each phase before the store has its name, known by the step before it: their numbers and lengths."""
    found: dict[str, list[tuple[int, float]]] = {}
    named = sample.steps.index("renamed")
    begins = (0.0, *sample.moments[:named])
    names = (START, *sample.steps[:named])
    for number, (step, begin, end) in enumerate(zip(names, begins, sample.moments, strict=False)):
        found.setdefault(step, []).append((number, end - begin))
    return found


def drawn(sample: Sample, landed: Counter[str], rng: random.Random) -> tuple[int, float]:
    """Return a step and the seconds after it: of the whole time, or of the phase that had the fewest kills."""
    if landed.total() % 2:
        return 0, rng.uniform(0, sample.moments[sample.steps.index("renamed")])
    fewest = min(landed, key=lambda step: landed[step])
    number, length = rng.choice(phases(sample)[fewest])
    return number, rng.uniform(0, length)


@each_way
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
    assert max(redone) <= IN_FLIGHT * largest_batch(sample)
    tell(f"SIGKILL on a disk, {sample.pixels.nbytes / sample.blocks / 1e6:.0f} MB a block: {n} runs, seed {SEED}; 0 "
         f"half stores, all resumed to the same bytes, {kept} blocks kept, at most {max(redone)} redone")  # fmt: skip


@each_way
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
