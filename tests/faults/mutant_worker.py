"""One process that opens, reads, plans and converts what it is told, and says how each ended and what it held.

It reads a path in JSON a line and answers with a line. A crash ends it; who asks sees that, and starts another.
Time is that of the processors: this machine may have much else to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bigimg
from bigimg.errors import BigimgError

SECONDS = 10
MEMORY = 512_000_000
STALE = 350_000_000
"""Bytes that a process may come to hold: all libraries, and what they keep. The next mutant gets a new one."""
READ_WHOLE = 64 << 20
"""Bytes of an image that is read whole; of a larger one the last pixels are."""


class Worker:
    """A process that opens mutants, started again when one crashes it or hangs."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.scratch.mkdir()
        self.process: subprocess.Popen[str] | None = None

    def ask(self, path: str, *, converts: bool) -> dict[str, Any]:
        """Return how everything ended; ``{"crash": …}`` if the process did."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.mutant_worker", str(self.scratch)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                cwd=Path(__file__).parents[2], env={**os.environ, "BIGIMG_MEMORY": str(MEMORY)},
            )  # fmt: skip
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"path": path, "converts": converts}) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 6 * SECONDS)
        line = process.stdout.readline() if ready else ""
        if line:
            found: dict[str, Any] = json.loads(line)
            if max(done["peak"] for done in found.values()) > STALE:
                self.close()
            return found
        self.close(kill=not ready)
        shutil.rmtree(self.scratch)
        self.scratch.mkdir()
        return {"crash": {"foreign": "hangs" if not ready else f"ends with {process.returncode}"}}

    def close(self, *, kill: bool = False) -> None:
        if (process := self.process) is not None:
            self.process = None
            if kill:
                process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(timeout=60)
            process.stdout.close()


def peak() -> int:
    """Return the most bytes held since the last call."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    Path("/proc/self/clear_refs").write_text("5")
    return int(found[1]) * 1024 if found else 0


def read(path: str) -> list[object]:
    """Return shape and type of an image, and a digest of its pixels."""
    image = bigimg.open(path)
    part = (
        image
        if image.nbytes <= READ_WHOLE
        else image.isel({str(name): slice(-4, None) for name in image.dims})
    )
    values = part.to_numpy()
    return [list(image.shape), str(image.dtype), hashlib.sha256(values.tobytes()).hexdigest()]


def convert(path: str, target: Path) -> None:
    """Convert; there is a whole store or nothing."""
    try:
        bigimg.convert(path, target, progress=False)
        shutil.rmtree(target)
    except BigimgError:
        left = [each.name for each in target.parent.iterdir()]
        assert not left, f"left behind: {left}"
        raise


def run(path: str, scratch: Path, *, converts: bool) -> dict[str, Any]:
    """Return how each thing that is done with ``path`` ended: what it gave, the error of ours, or another's."""
    stages: dict[str, Callable[[], object]] = {
        "info": lambda: bigimg.info(path) and None,
        "read": lambda: read(path),
        "plan": lambda: bigimg.plan(path, scratch / "a.ome.zarr") and None,
    }
    if converts:
        stages["convert"] = lambda: convert(path, scratch / "a.ome.zarr")
    done: dict[str, Any] = {}
    for name, stage in stages.items():
        started = time.process_time()
        try:
            done[name] = {"gave": stage()}
        except BigimgError as error:
            done[name] = {"error": type(error).__name__, "text": str(error)}
            if str(error) != str(error).strip() or "\n" in str(error) or len(str(error)) > 2000:
                done[name]["foreign"] = f"not one line: {error!r}"
        except BaseException as error:
            done[name] = {
                "foreign": f"{type(error).__name__}: {error}",
                "trace": traceback.format_exc()[-3000:],
            }
        done[name]["seconds"] = time.process_time() - started
        done[name]["peak"] = peak()
    return done


def main() -> None:
    """Answer until the input ends."""
    scratch = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    peak()
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(run(asked["path"], scratch, converts=asked["converts"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
