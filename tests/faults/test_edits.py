"""SIGKILL between the steps and at the system calls of an edit: the old metadata or the new, never half of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bigimg
from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import Sample
from tests.faults.times import times
from tests.faults.tracer import calls, needs_strace, traced

STEPS = ("announced", "edited", "vouched", "copied")
NAMES = ("openat", "write", "rename", "fsync", "fdatasync", "unlink", "flock")


def command(store: Path) -> tuple[str, ...]:
    return ("edit", str(store), "--spacing", "y=2,x=3um", "--window", "7,900")


def said(store: Path) -> tuple[Any, ...]:
    found = bigimg.info(store)
    return found.spacing, found.units, found.window, [level.spacing for level in found.levels]


class Stores:
    """A store, what it says before and after the edit, and copies of it to be edited."""

    def __init__(self, sample: Sample, place: Path, nursery: Nursery) -> None:
        self.place, self.nursery, self.count = place, nursery, 0
        self.first = place / "first"
        ended = nursery.run("convert", str(sample.source), str(self.first), *sample.asked, "-q")
        assert ended.code == 0, ended.err
        self.old = said(self.first)
        edited = self.copy()
        ended = nursery.run(*command(edited))
        assert (ended.code, ended.steps) == (0, STEPS), ended.err
        self.new, self.tree = said(edited), tree(edited)

    def copy(self) -> Path:
        self.count += 1
        target = self.place / str(self.count)
        shutil.copytree(self.first, target, copy_function=os.link)
        return target

    def judge(self, store: Path) -> bool:
        """Return whether a store whose edit was killed has the new metadata, and edit it again."""
        found, report = said(store), bigimg.verify(store, quick=True)
        assert found in (self.old, self.new)
        assert (report.ok, report.edits) == (True, ()), report
        ended = self.nursery.run(*command(store))
        assert ended.code == 0, ended.err
        assert tree(store) == self.tree
        shutil.rmtree(store)
        return found == self.new


@pytest.mark.parametrize("name", ["tiny", "0.4"])
def test_killed_after_each_step(
    name: str, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    stores = Stores(sample_of(name), place, nursery)
    for number, step in enumerate(STEPS, 1):
        store = stores.copy()
        ended = nursery.finish(nursery.start(*command(store), hold=step), kill_after=number)
        assert ended.code == -9, ended.err
        assert stores.judge(store) == (step != "announced"), step
    tell(
        f"SIGKILL after each step of an edit, {name}: {len(STEPS)} runs; the old metadata or the new, 0 halves"
    )


@times(1, 1000)
def test_killed_at_each_call_of_an_edit(
    n: int, place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    """At every ``rename`` and ``fsync``, and under the marker ``faults`` at every call that changes a disk."""
    needs_strace()
    stores = Stores(sample_of("tiny"), place, nursery)
    log, names = place / "log", NAMES if n > 1 else ("rename", "fsync")
    assert traced(nursery, command(stores.copy()), log, f"trace={','.join(names)}").code == 0
    counted, new, runs = calls(log), 0, 0
    for name in names:
        for k in range(1, counted.get(name, 0) + 1):
            store, runs = stores.copy(), runs + 1
            inject = f"inject={name}:signal=KILL:when={k}"
            ended = traced(nursery, command(store), log, f"trace={name}", inject)
            assert ended.code in (-9, 0), (name, k, ended.err)
            new += stores.judge(store)
    assert 0 < new < runs
    tell(f"SIGKILL at each of {runs} system calls of an edit: 0 halves, {new} new, {runs - new} old")
