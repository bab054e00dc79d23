"""Everything that a person may do with a source of unknown origin, in another process: how it ended, what it took.

The child takes a path and a folder for results a line, and answers with a line of JSON. A path that ends it, or takes
too long, is told of by its silence, and the next path gets a new child.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUDGET = 512_000_000
LONGEST = 10.0
"""Seconds."""
LARGEST = 10**9
"""Decoded bytes; what says that it is larger is not converted and verified, which would take longer."""
LONGEST_AXIS = 2**22
"""Pixels; of a longer axis the coordinates alone would take long."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Trial:
    """How the work with one source ended."""

    ends: dict[str, str]
    """For each kind of work "ok", the name of an error of ours, or what went wrong."""
    peak_bytes: int
    seconds: float

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        found = [f"{work}: {end}" for work, end in self.ends.items() if end.startswith("FAULT")]
        if self.peak_bytes > BUDGET:
            found.append(f"{self.peak_bytes // 10**6} MB")
        if self.seconds > LONGEST:
            found.append(f"{self.seconds:.1f} s")
        return found


class Child:
    """The process in which sources are tried."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.trials"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "MALLOC_ARENA_MAX": "2"},
            )  # fmt: skip
            assert self._answer(self.process, 60) is not None
        return self.process

    def _answer(self, process: subprocess.Popen[str], timeout: float) -> Any:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], timeout)[0]:
            return None
        line = process.stdout.readline()
        return json.loads(line) if line else None

    def tried(self, path: Path, out: Path) -> Trial:
        """Work with the source at ``path``; ``out`` is an empty folder for what comes of it."""
        process = self._started()
        assert process.stdin is not None
        started = time.monotonic()
        process.stdin.write(json.dumps([str(path), str(out)]) + "\n")
        process.stdin.flush()
        found = self._answer(process, 2 * LONGEST)
        seconds = time.monotonic() - started
        if found is None:
            self.close()
            return Trial({"all": "FAULT: crash or hang"}, 0, seconds)
        return Trial(found["ends"], found["peak"], seconds)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def _forget_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def _one(path: Path, out: Path) -> dict[str, Any]:
    import bigimg
    from bigimg.errors import BigimgError
    from bigimg.opening.describe import Info
    from bigimg.types import Array

    target = out / "target.ome.zarr"

    def read() -> Array:
        img = bigimg.open(path, memory=BUDGET)
        return img[tuple(slice(0, 9) for _ in img.dims)].to_numpy()

    def takes_long(name: str) -> bool:
        """Return whether an honest image of this size would take long: converted pixels, opened coordinates."""
        try:
            found = bigimg.info(path)
        except BigimgError:
            return False
        if not isinstance(found, Info):  # of a plate, which is refused or told at once
            return False
        return max(found.shape) > LONGEST_AXIS if name == "read" else found.decoded_bytes > LARGEST

    works: dict[str, Callable[[], object]] = {
        "info": lambda: repr(bigimg.info(path)),
        "read": read,
        "plan": lambda: bigimg.plan(path, target, memory=BUDGET),
        "convert": lambda: bigimg.convert(path, target, memory=BUDGET, progress=False),
        "verify": lambda: bigimg.verify(path),
    }
    ends = {}
    _forget_peak()
    for name, work in works.items():
        try:
            if name in ("info", "plan") or not takes_long(name):
                work()
            ends[name] = "ok"
        except BigimgError as error:
            many = "\n" in str(error) or len(str(error)) > 2000
            ends[name] = f"FAULT: not one line: {str(error)[:200]}" if many else type(error).__name__
        except BaseException as error:
            ends[name] = f"FAULT: {type(error).__name__}: {str(error)[:200]}"
    if (left := os.listdir(out)) != ([target.name] if target.exists() and ends["convert"] == "ok" else []):
        ends["left"] = f"FAULT: {left}"
    return {"ends": ends, "peak": _peak()}


def main() -> None:
    """Try the sources that are named on stdin."""
    import warnings

    warnings.simplefilter("ignore")
    import dask

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may answer
    dask.config.set(scheduler="synchronous")
    import bigimg

    bigimg.open  # noqa: B018 - loaded before the first source is timed
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_one(*map(Path, json.loads(line)))), file=answers, flush=True)


if __name__ == "__main__":
    main()
