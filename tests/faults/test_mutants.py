"""Mutants of image files: an error of ours, or an image; in time, within memory, and never less of it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Tell
from tests.faults.mutant_worker import MEMORY, SECONDS, Worker
from tests.faults.mutants import Sample, mutate, opened, samples
from tests.faults.times import SEED, times

CONVERTED = 5
"""Of so many mutants one is converted too."""


@pytest.fixture(scope="module")
def worker(room: Path) -> Iterator[Worker]:
    made = Worker(room / "mutants")
    yield made
    made.close()


def faults(answer: dict[str, Any], whole: dict[str, Any], what: str) -> Iterator[str]:
    """Yield what is wrong with how a mutant ended; ``whole`` says how its sample did."""
    for stage, done in answer.items():
        if "foreign" in done:
            yield f"{stage}: {done['foreign']} {done.get('trace', '')}"
        if done.get("seconds", 0) > SECONDS:
            yield f"{stage}: {done['seconds']:.1f} s"
        if done.get("peak", 0) > MEMORY:
            yield f"{stage}: {done['peak'] / 1e6:.0f} MB"
    got, wanted = (each.get("read", {}).get("gave") for each in (answer, whole))
    if " cut at " in what and got is not None and got != wanted:
        yield f"read: {got} where the whole file has {wanted}"


@times(90, 5000)
def test_mutants(n: int, worker: Worker, tmp_path: Path, tell: Tell) -> None:
    found = samples(tmp_path / "samples", real=n > 1000)
    whole: dict[Sample, dict[str, Any]] = {}
    results: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(n):
        seed = SEED * 1_000_000 + number
        sample = found[seed % len(found)]
        if sample not in whole:
            whole[sample] = worker.ask(opened(sample, sample.folder), converts=False)
        folder = tmp_path / "mutant"
        what = mutate(sample, found, folder, seed)
        answer = worker.ask(opened(sample, folder), converts=number % CONVERTED == 0)
        results[answer.get("read", {}).get("error", "opened")] += 1
        wrong += [
            f"mutant {seed}: {sample.name}, {what}: {each}" for each in faults(answer, whole[sample], what)
        ]
        shutil.rmtree(folder)
    tell(
        f"mutants of {len(found)} image files: {n}, seed {SEED}; {dict(results.most_common())}; {len(wrong)} wrong"
    )
    assert not wrong, "\n".join(wrong)
