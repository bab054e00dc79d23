"""SIGKILL at the system calls of ``pack``, ``unpack``, ``convert`` to one file, and ``upgrade``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bigimg
from bigimg.conversion.leftovers import clean
from tests.conversion.test_run import tree
from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import Sample
from tests.faults.times import SCALE
from tests.faults.tracer import calls, needs_strace, traced

NAMES = (
    "openat", "mkdir", "write", "writev", "pwrite64", "close", "rename", "renameat2", "fsync", "fdatasync", "syncfs",
    "unlink", "unlinkat", "rmdir", "flock", "lseek",
)  # fmt: skip
"""Whatever changes a disk or promises something of it."""
COMMIT = ("rename", "renameat2", "syncfs", "rmdir")
"""Few, and where a store comes to be: each of them also in the ordinary tests."""

both = pytest.mark.parametrize("names", [
    pytest.param(COMMIT, id="short"), pytest.param(NAMES, id="full", marks=pytest.mark.faults),
])  # fmt: skip


@pytest.fixture(scope="module")
def store(
    room: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A small store with a label image."""
    sample, folder = sample_of("tiny"), room / "of-stores"
    folder.mkdir()
    target = folder / "a.ome.zarr"
    for path in (target, target / "labels" / "cells"):
        ended = nursery.run("convert", str(sample.source), str(path), *sample.asked[:-4], "-q")
        assert ended.code == 0, ended.err
    return target


def content(path: Path) -> dict[str, str] | bytes:
    return tree(path) if path.is_dir() else path.read_bytes()


def each_kill(
    nursery: Nursery, log: Path, names: tuple[str, ...], command: Callable[[int], tuple[str, ...]]
) -> list[tuple[str, int]]:
    """Run the command once unbroken, and yield the calls at which it is to be killed."""
    assert traced(nursery, command(0), log, f"trace={','.join(names)}").code == 0
    counted, step = calls(log), max(1, round(1 / SCALE))
    return [(name, k) for name in names for k in range(1, counted.get(name, 0) + 1, step)]


@both
@pytest.mark.parametrize("verb", ["pack", "unpack", "convert"])
def test_one_file_is_whole_or_absent(
    verb: str, names: tuple[str, ...], store: Path, place: Path, nursery: Nursery, tell: Tell
) -> None:
    needs_strace()
    packed = place / "a.ozx"
    assert nursery.run("pack", str(store), str(packed), "-q").code == 0
    source, name = (packed, "b.ome.zarr") if verb == "unpack" else (store, "b.ozx")
    before, log = content(source), place / "log"

    def target(number: int) -> Path:
        folder = place / str(number)
        folder.mkdir(exist_ok=True)
        return folder / name

    def command(number: int) -> tuple[str, ...]:
        return (verb, str(source), str(target(number)), "-q")

    kills = each_kill(nursery, log, names, command)
    unbroken, whole = content(target(0)), 0
    if verb == "unpack":
        assert unbroken == tree(store)
    for number, (call, k) in enumerate(kills, 1):
        ended = traced(nursery, command(number), log, f"trace={call}", f"inject={call}:signal=KILL:when={k}")
        assert ended.code in (-9, 0), (call, k, ended.err)
        made = target(number)
        if os.path.lexists(made):
            whole += 1
        else:
            ended = nursery.run(*command(number))
            assert ended.code == 0, (call, k, ended.err)
        if verb == "convert":  # its provenance has the time
            assert bigimg.verify(made).ok, (call, k)
        else:
            assert content(made) == unbroken, (call, k)
        clean(made.parent, remove=True)  # all but an empty folder, which might be anybody's
        left = {path.relative_to(made.parent).parts[0] for path in made.parent.rglob("*") if path.is_file()}
        assert left == {name}, (call, k)
        assert content(source) == before
        shutil.rmtree(made.parent)
    tell(f"SIGKILL at each of {len(kills)} system calls of {verb} ({name}): 0 halves, {whole} whole")


def said(store: Path) -> Any:
    return [bigimg.info(path).format for path in (store, store / "labels" / "cells")]


@both
def test_an_upgrade_leaves_the_old_version_or_the_new(
    names: tuple[str, ...], store: Path, place: Path, nursery: Nursery, tell: Tell
) -> None:
    needs_strace()
    old, seen = said(store), set()

    def copy(number: int) -> Path:
        made = place / str(number)
        if not made.exists():
            shutil.copytree(store, made, copy_function=os.link)  # an upgrade makes new files
        return made

    def command(number: int) -> tuple[str, ...]:
        return ("upgrade", str(copy(number)), "--to", "0.6", "-q")

    kills = each_kill(nursery, place / "log", (*names, "fsync"), command)
    unbroken, new = tree(copy(0)), said(copy(0))
    assert all("0.5" in each for each in old)
    assert all("0.6" in each for each in new)
    for number, (call, k) in enumerate(kills, 1):
        inject = f"inject={call}:signal=KILL:when={k}"
        ended = traced(nursery, command(number), place / "log", f"trace={call}", inject)
        assert ended.code in (-9, 0), (call, k, ended.err)
        found, report = said(copy(number)), bigimg.verify(copy(number), quick=True)
        assert all(each in pair for each, pair in zip(found, zip(old, new, strict=True), strict=True)), (
            call,
            k,
        )
        assert (report.ok, report.edits) == (True, ()), (call, k, report)
        seen.add(tuple(found))
        assert nursery.run(*command(number)).code == 0
        assert tree(copy(number)) == unbroken, (call, k)
        shutil.rmtree(copy(number))
    assert len(seen) == 3  # neither, the label image alone, both
    tell(f"SIGKILL at each of {len(kills)} system calls of an upgrade: 0 halves, and the next run ends it")
