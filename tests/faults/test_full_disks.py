"""A disk that fills up, a file that may not grow, a volume that cannot be written: said, and gone on from."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bigimg.conversion.commit import staging_folder
from tests.faults.conftest import Tell
from tests.faults.nursery import Ended, Nursery
from tests.faults.samples import NAME, Sample, new_target, resumed, whole_or_absent
from tests.faults.times import SEED, times

LONGEST = 20.0
"""Seconds after which a run on a full disk counts as one that hangs; the table at the end says what it was."""


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount something on the new ``folder``; skip the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    tried = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"may not mount here: {tried.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")


def refused(ended: Ended, *words: str) -> None:
    """A failed run says in one line what is the matter and what to do."""
    assert ended.code == 4, ended
    assert any(word in ended.line for word in words), ended.line
    assert ended.seconds < LONGEST


def sizes(n: int, most: int, rng: random.Random) -> list[int]:
    """Return ``n`` sizes up to ``most``, one in each n-th of it."""
    return [max(1, round(most * (i + rng.random()) / n)) for i in range(n)]


SHORTEST_FILE = 600
"""Bytes: what a run has to say goes into a file here, and is to be read."""


def bytes_and_files(root: Path) -> tuple[int, int]:
    found = list(root.rglob("*"))
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in found if path.is_file()), len(found)


@pytest.fixture(params=["hollow", "hollow, large"])
def hollow(request: pytest.FixtureRequest, sample_of: Callable[[str], Sample]) -> Sample:
    """A source whose samples compress well and whose pixels do not: the check of free space lets it begin.

    The large one has objects that are written past the page cache.
    """
    return sample_of(request.param)


@pytest.mark.parametrize("limit", ["size", "nr_inodes"])
@times(4, 50)
def test_a_disk_that_fills_up(
    limit: str, n: int, place: Path, nursery: Nursery, hollow: Sample, tell: Tell
) -> None:
    needs_root()
    n = n if hollow.name == "hollow" else max(2, n // 5)
    whole = new_target(place, 0)
    assert nursery.run(*hollow.command(whole)).code == 0
    used, files = bytes_and_files(whole)
    rng = random.Random(f"{SEED} {limit}")
    longest, before, kept = 0.0, 0, 0
    for i, most in enumerate(sizes(n, used if limit == "size" else files, rng)):
        option = f"size={max(most // 4096, 1) * 4096}" if limit == "size" else f"nr_inodes={most + 1}"
        with mounted(place / f"disk{i}", "-t", "tmpfs", "-o", option, "tmpfs") as disk:
            target = disk / NAME
            ended = nursery.run(*hollow.command(target))
            refused(ended, "No space left on device", "are free")
            longest = max(longest, ended.seconds)
            before += not ended.steps
            assert not os.path.lexists(target)
            again = nursery.run(*hollow.command(target))  # the disk is still full
            refused(again, "No space left on device", "are free")
            subprocess.run(["mount", "-o", "remount,size=256m,nr_inodes=10000", str(disk)], check=True)
            kept += resumed(target, hollow, nursery)[0]
    tell(f"tmpfs {limit}=, {hollow.name}: {n} sizes, seed {SEED}; 0 successes, one line in {longest:.2f} s ({before} "
         f"before the first file), all resumed when there was room, {kept} blocks kept in all")  # fmt: skip


@times(4, 50)
def test_files_that_may_not_grow(n: int, place: Path, nursery: Nursery, hollow: Sample, tell: Tell) -> None:
    """RLIMIT_FSIZE stands for a file system with a largest file: EFBIG."""
    n = n if hollow.name == "hollow" else max(2, n // 5)
    whole = new_target(place, "whole")
    assert nursery.run(*hollow.command(whole)).code == 0
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    longest, kept = 0.0, 0
    for i, most in enumerate(sizes(n, largest, random.Random(SEED))):
        target = new_target(place, i)
        ended = nursery.run(*hollow.command(target), file_bytes=max(most, SHORTEST_FILE))
        refused(ended, "File too large")
        longest = max(longest, ended.seconds)
        assert not os.path.lexists(target)
        kept += resumed(target, hollow, nursery)[0]
    tell(f"RLIMIT_FSIZE, {hollow.name}: {n} sizes up to the largest object, seed {SEED}; 0 successes, one line in "
         f"{longest:.2f} s, all resumed without it, {kept} blocks kept in all")  # fmt: skip


def test_a_volume_that_is_read_only(
    place: Path, nursery: Nursery, sample_of: Callable[[str], Sample]
) -> None:
    """Also root is told before anything is read, and what an earlier run left there stays for a later one."""
    needs_root()
    sample = sample_of("2-D")
    folder = place / "volume"
    with mounted(folder, "-t", "tmpfs", "tmpfs"):
        target = folder / NAME
        assert nursery.finish(nursery.start(*sample.command(target)), kill_after=12).code == -9
        left = {p: p.read_bytes() for p in staging_folder(target).rglob("*") if p.is_file()}
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        refused(nursery.run(*sample.command(target)), "Read-only file system", "no permission")
        refused(nursery.run(*sample.command(folder / "other.zarr")), "Read-only file system", "no permission")
        assert {p: p.read_bytes() for p in staging_folder(target).rglob("*") if p.is_file()} == left
        listed = nursery.run("clean", folder)
        assert (listed.code, NAME in listed.out) == (0, True), listed
        refused(nursery.run("clean", folder, "--remove"), "Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        assert resumed(target, sample, nursery)[0] > 0


def test_a_store_on_a_read_only_volume_is_replaced_by_nobody(
    place: Path, nursery: Nursery, sample_of: Callable[[str], Sample]
) -> None:
    needs_root()
    sample = sample_of("tiny")
    np.save(place / "other.npy", np.zeros((9, 9), np.uint8))
    (place / "held").mkdir()
    target = place / "held" / NAME
    assert nursery.run(*sample.command(target)).code == 0
    with mounted(place / "volume", "--bind", str(place / "held")) as volume:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(volume)], check=True)
        ended = nursery.run("convert", place / "other.npy", volume / NAME, "--overwrite", "-q")
        refused(ended, "Read-only file system", "no permission")
        assert nursery.run("verify", volume / NAME, "-q").code == 0
    assert whole_or_absent(target, sample)
