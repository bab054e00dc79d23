"""One process that opens, reads, plans and converts what it is told, and says how each ended and what it held.

It reads a path in JSON a line and answers with a line. A crash ends it; who asks sees that, and starts another.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bigimg
from bigimg.errors import BigimgError

READ_WHOLE = 64 << 20
"""Bytes of an image that is read whole; of a larger one the last pixels are."""


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
        started = time.monotonic()
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
        done[name]["seconds"] = time.monotonic() - started
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
