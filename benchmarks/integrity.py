"""What all that keeps a store whole costs: the default conversion against one without, in turns, as whole processes.

    default   journal, checksums of chunks, indices and objects, manifest, one sync at the end
    no-sync   the same without the sync, whose price is that of writing the bytes at all
    off       none of it: a switch of this file alone, which no user has

    python benchmarks/integrity.py [-n 5] [--scratch FOLDER]
    python benchmarks/integrity.py --parts      CPU seconds of each part, by the clock of its thread: for a busy machine

The sources are made in the scratch folder: a slide of 805 MB and a volume of 537 MB, uncompressed, so that nothing
but the pass itself is measured. Beside the sync stands what ``sync -f`` takes for a copy of the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measure import SHRINK, Contender, Run, run_once, told

HERE = Path(__file__)
GOAL = 0.05
"""Share of CPU seconds, and of wall seconds without the sync, that integrity may cost."""


# ------------------------------------------------------------------------------------------------ what is measured


def switch_off() -> None:
    """Take out of this process all that guards a store."""
    import google_crc32c

    from bigimg.conversion import commit, run, store_metadata
    from bigimg.system import sync

    class NoJournal:
        def __init__(self, *_: object) -> None: ...
        def append(self, *_: object) -> None: ...
        def close(self) -> None: ...

    def nothing(*_: object) -> None: ...

    google_crc32c.value = lambda _: 0
    google_crc32c.extend = lambda *_: 0
    for module, name, instead in (
        (run, "Journal", NoJournal), (sync, "start_writing_back", nothing), (commit, "sync_folder", nothing),
        (store_metadata, "write_manifest", nothing),
    ):  # fmt: skip
        assert hasattr(module, name), f"{module.__name__} has no {name} any more"
        setattr(module, name, instead)


def clock_parts() -> dict[str, float]:
    """Put a clock of CPU time around each part; return the table that it fills."""
    import google_crc32c

    from bigimg.conversion import commit, journal, store_metadata
    from bigimg.system import sync

    spent: dict[str, float] = {}
    lock = threading.Lock()

    def clocked(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **named: Any) -> Any:
            before = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                with lock:
                    spent[part] = spent.get(part, 0.0) + time.thread_time() - before

        return timed

    for part, owner, name in (
        ("checksums", google_crc32c, "value"), ("checksums", google_crc32c, "extend"),
        ("journal", journal, "encode"), ("journal", journal.Journal, "_drain"),
        ("manifest", store_metadata, "write_manifest"),
        ("sync", commit, "sync_volume"), ("sync", commit, "sync_folder"),
        ("writing back", sync, "start_writing_back"),
    ):  # fmt: skip
        setattr(owner, name, clocked(part, getattr(owner, name)))
    return spent


def child(kind: str, source: str, target: str) -> None:
    """Be the command."""
    spent: dict[str, float] = {}
    if kind == "off":
        switch_off()
    elif kind == "parts":
        spent = clock_parts()
    from bigimg.cli import main

    sys.argv = ["bigimg", "convert", source, target, "--memory", "512MB", "-q"]
    sys.argv += [] if kind in ("default", "parts") else ["--no-sync"]
    try:
        main()
    finally:
        if kind == "parts":
            print(json.dumps({**spent, "whole": time.process_time()}))


# ---------------------------------------------------------------------------------------------------- the figures


def make_slide(path: Path) -> None:
    import numpy as np

    from bigimg.readers.demo import SlideReader

    side = 16384 // SHRINK
    reader = SlideReader(side, side)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=reader.spec.shape)
    step = min(2048, side)
    for top in range(0, side, step):
        rows = (slice(0, 3), slice(top, top + step), slice(0, side))
        out[rows] = reader.read(rows)
    out.flush()


def make_volume(path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    depth, side = 256 // SHRINK, 1024 // SHRINK
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(depth, side, side))
    for z in range(depth):
        smooth = np.kron(rng.integers(0, 3000, (side // 16, side // 16)), np.ones((16, 16), int))
        out[z] = smooth + rng.integers(0, 64, (side, side))
    out.flush()


SOURCES: dict[str, Callable[[Path], None]] = {"slide": make_slide, "volume": make_volume}
KINDS = ("default", "no-sync", "off")


def sync_of_a_copy(store: Path, copy: Path) -> float:
    """Return the seconds of ``sync -f`` after the bytes of ``store`` were copied."""
    subprocess.run(["cp", "-r", str(store), str(copy)], check=True)
    started = time.perf_counter()
    subprocess.run(["sync", "-f", str(copy)], check=True)
    return time.perf_counter() - started


def ratios(runs: Sequence[Run], others: Sequence[Run], figure: str) -> list[float]:
    """Return by which share each run costs more than the other of its turn."""
    return [getattr(a, figure) / getattr(b, figure) - 1 for a, b in zip(runs, others, strict=True)]


def compare(name: str, source: Path, n: int, scratch: Path) -> None:
    contenders = [
        Contender(
            kind, (sys.executable, str(HERE), "child", kind, str(source), "{output}"), f"{kind}.ome.zarr"
        )
        for kind in KINDS
    ]
    runs: dict[str, list[Run]] = {kind: [] for kind in KINDS}
    syncs = []
    for turn in range(-1, n):  # the first turn warms the cache, and does not count
        order = contenders if turn % 2 else contenders[::-1]
        for contender in order:
            folder = scratch / f"{name}-{turn}-{contender.name}"
            run = run_once(contender, folder, home=scratch / "home")
            print(f"  {name} {turn + 1}/{n} {contender.name:<8} {told(run)}", flush=True)
            if turn >= 0:
                runs[contender.name].append(run)
            if contender.name == "default" and turn >= 0:
                syncs.append(sync_of_a_copy(folder / contender.writes, folder / "copy"))
            subprocess.run(["rm", "-r", str(folder)], check=True)

    def middle(kind: str, figure: str) -> float:
        return statistics.median(getattr(run, figure) for run in runs[kind])

    cpu, wall = (
        statistics.median(ratios(runs["no-sync"], runs["off"], figure)) for figure in ("cpu", "wall")
    )
    everything = statistics.median(ratios(runs["default"], runs["off"], "cpu"))
    print(
        f"{name}, {n} turns, medians: CPU-s default {middle('default', 'cpu'):.2f}, off {middle('off', 'cpu'):.2f} "
        f"({everything:+.1%} paired; without the sync {cpu:+.1%}, goal {GOAL:.0%}); wall without the sync "
        f"{middle('no-sync', 'wall'):.2f} s, off {middle('off', 'wall'):.2f} s ({wall:+.1%} paired, goal {GOAL:.0%}); "
        f"the sync {middle('default', 'wall') - middle('no-sync', 'wall'):.2f} s, "
        f"sync -f of a copy {statistics.median(syncs):.2f} s"
    )


def parts(name: str, source: Path, n: int, scratch: Path) -> None:
    """Print the share of each part in the CPU seconds of the process; wall time on a busy machine says nothing."""
    found: list[dict[str, float]] = []
    for turn in range(n):
        target = scratch / f"parts{turn}.ome.zarr"
        command = [sys.executable, str(HERE), "child", "parts", str(source), str(target)]
        found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        subprocess.run(["rm", "-r", str(target)], check=True)
    whole = statistics.median(one.pop("whole") for one in found)
    middle = {part: statistics.median(one[part] for one in found) for part in found[0]}
    total = statistics.median(sum(one.values()) for one in found)
    told_parts = ", ".join(f"{part} {seconds:.3f} s" for part, seconds in middle.items())
    print(f"{name}, {n} runs: of {whole:.2f} CPU-s integrity takes {total:.3f} s ({total / (whole - total):.1%} more "
          f"than without, goal {GOAL:.0%}): {told_parts}")  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=HERE.parent / "data")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--only", choices=list(SOURCES))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.scratch, prefix="integrity-") as folder:
        print(f"load {os.getloadavg()[0]:.1f}")
        for name, make in SOURCES.items():
            if asked.only in (None, name):
                source = Path(folder, f"{name}.npy")
                make(source)
                (parts if asked.parts else compare)(name, source, asked.n, Path(folder))


if __name__ == "__main__":
    main()
