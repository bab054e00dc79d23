"""A kill and a failure at each system call that a conversion makes, by ``strace``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.nursery import Nursery
from tests.faults.samples import Sample, new_target, resumed, whole_or_absent
from tests.faults.times import SCALE
from tests.faults.tracer import calls, needs_strace, traced

NAMES = (
    "openat", "mkdir", "write", "writev", "pwrite64", "close", "rename", "renameat2", "fsync", "fdatasync", "syncfs",
    "unlink", "unlinkat", "rmdir", "flock", "sync_file_range", "utimensat",
)  # fmt: skip
"""Whatever changes a disk or promises something of it."""
COMMIT = ("fdatasync", "fsync", "syncfs", "rename", "renameat2", "rmdir", "flock")
"""Few, and where a store comes to be: each of them also in the ordinary tests."""
ADVICE_MARGIN = ("write", "writev", "rename", "fsync", "fdatasync", "syncfs")
"""When one of these failed a run never succeeds: what it wrote may not be there."""
SAID = {"EIO": "Input/output error", "ENOSPC": "No space left on device"}

both = pytest.mark.parametrize("names", [
    pytest.param(COMMIT, id="short"), pytest.param(NAMES, id="full", marks=pytest.mark.faults),
])  # fmt: skip


def made(nursery: Nursery, sample: Sample, place: Path, names: tuple[str, ...]) -> dict[str, int]:
    """Return how often an unbroken run makes each call, in the thread that makes it most."""
    log = place / "log"
    assert traced(nursery, sample.command(new_target(place, 0)), log, f"trace={','.join(NAMES)}").code == 0
    counted = calls(log)
    assert counted["renameat2"] == 1
    return {name: counted[name] for name in names if name in counted}


def turns(count: int) -> range:
    """Return which of ``count`` calls are tried: all of them, unless BIGIMG_FAULTS asks for a part."""
    return range(1, count + 1, max(1, round(1 / SCALE)))


@both
def test_killed_at_each_call(
    names: tuple[str, ...], place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:
    needs_strace()
    sample, runs, whole = sample_of("tiny"), 0, 0
    for name, count in made(nursery, sample, place, names).items():
        for k in turns(count):
            runs += 1
            target = new_target(place, runs)
            injected = f"inject={name}:signal=KILL:when={k}"
            ended = traced(nursery, sample.command(target), place / "log", f"trace={name}", injected)
            assert ended.code in (-9, 0), (
                name,
                k,
                ended.err,
            )  # which thread writes most differs from run to run
            if whole_or_absent(target, sample):
                whole += 1
            else:
                resumed(target, sample, nursery)
    tell(f"SIGKILL at each of {runs} system calls ({', '.join(names)}): 0 half stores, {whole} whole, {runs - whole} "
         "absent and resumed to the same bytes")  # fmt: skip


@both
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_failing_at_each_call(
    error: str, names: tuple[str, ...], place: Path, nursery: Nursery, sample_of: Callable[[str], Sample], tell: Tell
) -> None:  # fmt: skip
    """Never success without the store; one line that says what failed; the same command then goes on."""
    needs_strace()
    sample, runs, longest = sample_of("tiny"), 0, 0.0
    survived: dict[str, int] = {}
    wrong = []
    for name, count in made(nursery, sample, place, names).items():
        for k in turns(count):
            runs += 1
            target = new_target(place, runs)
            log = place / "log"
            ended = traced(
                nursery, sample.command(target), log, f"trace={name}", f"inject={name}:error={error}:when={k}"
            )
            hit = any("(INJECTED)" in line and '(1, "",' not in line for line in log.read_text().splitlines())
            longest = max(longest, ended.seconds)
            whole = whole_or_absent(target, sample)
            if any("write(2," in line and "(INJECTED)" in line for line in log.read_text().splitlines()):
                assert ended.code == 4  # which is all that can be asked
                ended = replace(ended, err=SAID[error])
            if ended.code == 0 and whole and not (hit and name in ADVICE_MARGIN):
                survived[name] = survived.get(name, 0) + hit
            elif "psutil/" in ended.err and not ended.steps:
                pass  # /proc that cannot be read, before anything was begun
            elif (
                ended.code not in (3, 4)
                or not hit
                or len(ended.err.splitlines()) != 1
                or SAID[error] not in ended.err
            ):
                wrong.append((name, k, ended.code, ended.err, log.read_text().splitlines()[-3:]))
            if not whole:
                resumed(target, sample, nursery)
    assert not wrong, "\n".join(map(str, wrong))
    tell(f"{error} at each of {runs} system calls ({', '.join(names)}): success only with a whole store, after a "
         f"failed {survived}; else one line, in {longest:.2f} s at most, and the next run ends it")  # fmt: skip
