"""Peak memory of every operation on an image far larger than memory: operation x type of pixels x layout.

    python benchmarks/memory_of_operations.py                              # 64 GiB, all of each image: a day
    python benchmarks/memory_of_operations.py --seconds 5 --workers 2 --keep cells.jsonl     # the peak comes early
    python benchmarks/memory_of_operations.py --seconds 5 --gib 1 --only rescale             # to the second pass
    python benchmarks/memory_of_operations.py --only stats --gib 4
    python benchmarks/memory_of_operations.py --make-store big.ome.zarr --gib 16; ... --layout big.ome.zarr
    python benchmarks/memory_of_operations.py --keep cells.jsonl --table   # a row an operation of what was kept

The image is made while it is read, so a cell's memory is that of the operation alone. Each cell is a process of its
own that opens the image within ``--memory`` and reports the most it ever held (``VmHWM``), imports included. A cell
fails when that is more than the budget. With ``--keep`` a run that was stopped goes on, and cells that failed are
measured again. What is measured stands in ``operations.py``: operations x 4 types x 3 layouts. With ``--seconds 5
--workers 2`` all cells take about half an hour on two idle cores (2 s to start, 5 s at work); the table then says how
many ended by themselves, and after how much was read the others were stopped. What passes twice over the image (a
threshold by Otsu, ``rescale``) is stopped in its first pass of 64 GiB: ``--gib 1`` goes on to the second.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from operations import OPERATIONS

ROOT = Path(__file__).parents[1]
GIB = 1 << 30
ENOUGH = 64 << 20
"""A cell that was stopped before it had read so much says nothing: it is measured again."""
PATIENCE = 120
"""Seconds after which a cell ends that has not read so much, where each is given some seconds."""
TYPES = ("u1", "u2", "i4", "f4")


@dataclass(frozen=True)
class Layout:
    """How the pixels of the source lie."""

    dims: str
    chunk: tuple[int, ...]
    square: int
    """Axes, the last ones, that share the size of the image; the others are given in ``few``."""
    few: tuple[int, ...] = ()
    order: str = ""


LAYOUTS = {
    "slide, RGB 512²": Layout("cyx", (3, 512, 512), 2, (3,)),
    "volume 64³": Layout("zyx", (64, 64, 64), 3),
    "rows in order": Layout("yx", (1, 65536), 2, (), "yx"),
}


@dataclass(frozen=True)
class Cell:
    """One measurement."""

    operation: str
    dtype: str
    layout: str
    image_bytes: int
    read_bytes: int
    seconds: float
    finished: bool
    peak_bytes: int
    budget_bytes: int
    error: str = ""
    size: int = 0
    """Bytes that were asked for; the image has about as many."""
    limit: float | None = None
    """Seconds after which it was to end."""

    @property
    def inside(self) -> bool:
        """Whether the promise was kept, and enough was read to say so."""
        seen = self.finished or self.read_bytes >= ENOUGH
        return not self.error and seen and self.peak_bytes <= self.budget_bytes

    @property
    def counts(self) -> bool:
        """Whether it says anything: it kept the promise, or broke it, or failed."""
        return self.inside or bool(self.error) or self.peak_bytes > self.budget_bytes


# ------------------------------------------------------------------------------------------------ one cell, a process


class Endless:
    """A reader of texture without end, that counts the bytes it gave."""

    source = "virtual"

    def __init__(self, layout: Layout, dtype: str, size: int) -> None:
        import numpy as np

        from bigimg.geometry.axes import Axis
        from bigimg.geometry.spec import RGB, ImageSpec
        from bigimg.reader import Access

        kind = np.dtype(dtype)
        side = round((size / kind.itemsize / math.prod(layout.few)) ** (1 / layout.square))
        shape = (*layout.few, *(max(1, side),) * layout.square)
        axes = tuple(Axis(name, n) for name, n in zip(layout.dims, shape, strict=True))
        chunk = tuple(min(c, n) for c, n in zip(layout.chunk, shape, strict=True))
        self.spec = ImageSpec(axes, kind, chunk, channels=RGB if "c" in layout.dims else ())
        self.access = Access("sequential" if layout.order else "random", "virtual", tuple(layout.order))
        self.row = np.random.default_rng(0).integers(0, 250, 1 << 16).astype(kind)
        self.given = 0

    def read(self, region: Any) -> Any:
        """Return some rows of the texture."""
        import numpy as np

        out = np.empty([s.stop - s.start for s in region], self.spec.dtype)
        width = out.shape[-1]
        for start in range(0, width, len(self.row)):
            part = out[..., start : start + len(self.row)]
            part[...] = self.row[: part.shape[-1]]
        self.given += out.nbytes
        return out

    def close(self) -> None:
        """Nothing is open."""


def measured(
    operation: str, dtype: str, layout: str, size: int, memory: str, most: int | None = None,
    seconds: float | None = None,
) -> Cell:  # fmt: skip
    """Return one cell, measured in this process, which ends when ``most`` bytes were read, or after ``seconds``.

    A ``layout`` that is none of :data:`LAYOUTS` is the path of a store.
    """
    import dask.array  # noqa: F401  # 1 s, which is not to count as time at work

    import bigimg
    import bigimg.accessor
    import bigimg.ops.statistics.reducing
    from bigimg.opening.open import open_source
    from bigimg.planning.memory import budget_bytes

    virtual = Endless(LAYOUTS[layout], dtype, size) if layout in LAYOUTS else None
    reader = virtual or open_source(layout)
    said: list[str] = []

    def work() -> None:
        try:
            OPERATIONS[operation](bigimg.open(open_source(reader), memory=memory))
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")

    spent = 0.0
    last = begun = time.monotonic()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive() and (virtual is None or most is None or virtual.given < most):
        thread.join(0.02)
        now = time.monotonic()
        if virtual is None or virtual.given:  # from the first pixel on: imports take long on a busy machine
            spent += min(now - last, 0.5)  # a process that was stopped for a while did not work
        last = now
        enough = virtual is None or virtual.given >= ENOUGH
        if seconds is not None and ((spent >= seconds and enough) or now - begun > PATIENCE):
            break
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    finished = not thread.is_alive()
    given = virtual.given if virtual else (reader.spec.nbytes if finished else 0)
    return Cell(
        operation, str(reader.spec.dtype.str[1:]), layout, reader.spec.nbytes, given, spent, finished, peak,
        budget_bytes(memory), "".join(said), size, seconds,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ all of them


def cell_in_a_process(asked: tuple[Any, ...]) -> Cell:
    """Return the cell, measured in a process of its own; one that died is a cell that failed."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--cell", json.dumps(asked)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if done.returncode:
        why = f"exit {done.returncode}: {done.stderr.strip()[-200:]}"
        return Cell(asked[0], asked[1], asked[2], asked[3], 0, 0, False, 0, 0, why, asked[3], asked[6])
    return Cell(**json.loads(done.stdout.splitlines()[-1]))


def cells(asked: argparse.Namespace, kept: list[Cell]) -> Iterator[Cell]:
    """Yield every cell that is not kept from another run."""
    names = [name for name in OPERATIONS if name.startswith(asked.only or "")]
    size, most = int(asked.gib * GIB), None if asked.mib is None else asked.mib << 20
    layouts, types = [asked.layout] if asked.layout else list(LAYOUTS), asked.types.split(",")
    wanted = float("inf") if asked.seconds is None else asked.seconds
    done = {
        (c.operation, c.dtype, c.layout, c.size)
        for c in kept
        if c.inside and (c.finished or (c.limit is not None and c.limit >= wanted))
    }
    jobs = [
        (operation, dtype, layout, size, asked.memory, most, asked.seconds)
        for operation in names
        for dtype in types
        for layout in layouts
        if (operation, dtype, layout, size) not in done
    ]
    with ThreadPoolExecutor(asked.workers) as pool:
        yield from pool.map(cell_in_a_process, jobs)


def summary(found: list[Cell]) -> Iterator[str]:
    """Yield a table with a row an operation: which cells count, how they ended, and the worst of them."""
    yield "| operation | cells | over or failed | through | stopped, after GiB at least | worst peak, MB | of |"
    yield "| --- | ---: | ---: | ---: | --- | ---: | --- |"
    latest: dict[tuple[str, str, str, int], Cell] = {}
    for c in found:  # a cell that failed stands until one of its kind was inside
        key = (c.operation, c.dtype, c.layout, c.size)
        if key not in latest or c.inside or (c.counts and not latest[key].counts):
            latest[key] = c
    for operation in OPERATIONS:
        those = [c for c in latest.values() if c.operation == operation and c.counts]
        if those:
            worst, bad = max(those, key=lambda c: c.peak_bytes), sum(not c.inside for c in those)
            stopped = [c.read_bytes / GIB for c in those if not c.finished]
            least = f"{len(stopped)}, {min(stopped):.2g}" if stopped else "0"
            yield (
                f"| {operation} | {len(those)} | {bad} | {len(those) - len(stopped)} | {least} "
                f"| {worst.peak_bytes / 1e6:.0f} | {worst.dtype}, {worst.layout} |"
            )
    counted = [c for c in latest.values() if c.counts]
    inside, through = sum(c.inside for c in counted), sum(c.finished for c in counted)
    highest = max((c.peak_bytes for c in counted), default=0) / 1e6
    yield f"\n{inside} of {len(counted)} cells inside, highest {highest:.0f} MB; {through} went through all of it,"
    yield f"{len(counted) - through} were stopped, {len(latest) - len(counted)} read too little to count"
    wanted = {(o, t, layout) for o in OPERATIONS for t in TYPES for layout in LAYOUTS}
    absent = wanted - {(c.operation, c.dtype, c.layout) for c in latest.values()}
    yield f"{len(absent)} of {len(wanted)} were not measured"


def main() -> None:
    """Measure what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="operations whose names begin so")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--layout", help="one of them, or the path of a store; of all by default")
    parser.add_argument("--gib", type=float, default=64)
    parser.add_argument("--memory", default="512MB")
    parser.add_argument("--mib", type=int, help="end each cell when so much was read")
    parser.add_argument(
        "--seconds", type=float, help="end each cell after so long; its peak is that of this time"
    )
    parser.add_argument("--workers", type=int, default=1, help="cells at once")
    parser.add_argument("--keep", type=Path, help="a file of JSON lines: go on from it, and add to it")
    parser.add_argument("--table", action="store_true", help="measure nothing, show what --keep holds")
    parser.add_argument("--make-store", type=Path, metavar="PATH", help="write a store of --gib, and end")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cell:
        print(json.dumps(asdict(measured(*json.loads(asked.cell)))), flush=True)
        os._exit(0)  # whatever is still at work
    if asked.make_store:
        import bigimg
        from bigimg.opening.open import open_source

        reader = Endless(LAYOUTS["slide, RGB 512²"], asked.types.split(",")[0], int(asked.gib * GIB))
        bigimg.convert(open_source(reader), asked.make_store, memory=asked.memory)
        return
    kept = []
    if asked.keep and asked.keep.exists():
        kept = [Cell(**json.loads(line)) for line in asked.keep.read_text().splitlines()]
    if not asked.table:
        print(
            "| operation | pixels | layout | read, GiB | s | peak, MB | |\n"
            "| --- | --- | --- | ---: | ---: | ---: | --- |"
        )
        for cell in cells(asked, kept):
            kept.append(cell)
            if asked.keep:
                with asked.keep.open("a") as file:
                    file.write(json.dumps(asdict(cell)) + "\n")
            said = cell.error or ("all of it" if cell.finished else "stopped")
            mark = (
                "" if cell.inside else "**over** " if cell.peak_bytes > cell.budget_bytes else "**failed** "
            )
            print(
                f"| {cell.operation} | {cell.dtype} | {cell.layout} | {cell.read_bytes / GIB:.1f} "
                f"| {cell.seconds:.0f} | {cell.peak_bytes / 1e6:.0f} | {mark}{said} |",
                flush=True,
            )
    print("\n".join(["", *summary(kept)]))


if __name__ == "__main__":
    main()
