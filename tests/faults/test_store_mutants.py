"""Stores of others with hostile and broken documents: each is read, or refused by an error of ours."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.store_mutants import mutant
from tests.faults.store_seeds import SEEDS, Files, made
from tests.faults.times import SEED, times
from tests.faults.trials import Child


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child()
    yield started
    started.close()


def written(files: Files, root: Path) -> None:
    """Put the objects of a store into the new folder ``root``."""
    root.mkdir()
    for key, data in files.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)


@times(30, 1000)
def test_mutants_are_read_or_refused(n: int, child: Child, place: Path, tell: Tell) -> None:
    seeds = {name: made(name, place / "seed" / name.replace(" ", "-")) for name in SEEDS}
    results: Counter[str] = Counter()
    faults = []
    for i in range(n):
        rng = random.Random(f"{SEED} {i}")
        name = [*seeds][i % len(seeds)]
        files, done = mutant(seeds[name], rng)
        folder = place / "trial"
        out = folder / "out"
        out.mkdir(parents=True)
        written(files, folder / "a.zarr")
        entry = folder / "a.zarr" / ("A/1/0" if name == "plate" and rng.random() < 0.7 else "")
        trial = child.tried(entry, out)
        results.update(trial.ends.values())
        faults += [f"{i} {name}: {done}: {fault}" for fault in trial.faults]
        shutil.rmtree(folder)
    counts = ", ".join(f"{count} {end}" for end, count in results.most_common() if " " not in end)
    tell(f"{n} mutants of stores: {counts}")
    assert not faults, "\n".join(faults)
