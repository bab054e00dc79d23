"""Simulate very many blocks through the window, the journal and the manifest of a conversion; only pixels are left out.

python scale.py [BLOCKS ...] [--dask] [--scratch FOLDER]

Each number of blocks has a process of its own. It prints microseconds and bytes of the journal for each block, how much
the process grew, and how long the finished store takes to open and to find the record of an object.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from operator import floordiv
from pathlib import Path
from typing import Any

import numpy as np
from measure import fresh

from bigimg.conversion.block import BlockResult
from bigimg.omezarr.shard import ObjectRecord
from bigimg.pyramid.partial import Partial

SIDE = 2048
"""Pixels of a block along y and x, as of any 2-D image."""
SIZES = (10**5, 10**6, 10**7)


class Nothing:
    """A reader of an image without pixels."""

    def __init__(self, blocks: int) -> None:
        from bigimg.geometry.axes import Axis
        from bigimg.geometry.spec import ImageSpec
        from bigimg.reader import Access

        rows = next(n for n in range(int(blocks**0.5), 0, -1) if blocks % n == 0)
        axes = (Axis("y", rows * SIDE), Axis("x", blocks // rows * SIDE))
        self.spec = ImageSpec(axes, np.dtype("u1"), (SIDE, SIDE))
        self.access = Access("random", "nothing")
        self.source = "nothing"

    def read(self, region: Any) -> Any:
        """Return pixels that take no memory, of one block at most: workers are asked for one before they begin."""
        return np.broadcast_to(np.uint8(0), tuple(s.stop - s.start for s in region))

    def close(self) -> None:
        """Do nothing."""


def made(work: Any, band: Any, blocks: Sequence[Any] | None = None) -> list[Any]:
    """Return what blocks return, without making them."""
    results = []
    for block in [band] if blocks is None else blocks:
        start = tuple([s.start for s in block])
        index = tuple(map(floordiv, start, work.job.block))  # a block has one object of each level
        records = {level: [ObjectRecord(index, 3_000_000, index[1], 7)] for level in work.job.targets}
        partials = []
        if blocks is not None:
            histogram = np.zeros(256, np.int64)
            histogram[index[1] % 256] = SIDE * SIDE
            partials = [(0, Partial(SIDE * SIDE, histogram=histogram))]
        results.append(BlockResult(start, records, partials, SIDE * SIDE))
    return results


def resident() -> int:
    """Return the most that this process had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def simulate(blocks: int, folder: Path, *, dask: bool) -> dict[str, float]:
    """Run a pass over an image of so many blocks; return its figures."""
    from bigimg.conversion import commit, run
    from bigimg.conversion.cluster import DaskPool
    from bigimg.conversion.pool import ThreadPool
    from bigimg.conversion.store_metadata import write_metadata
    from bigimg.planning.options import Options
    from bigimg.planning.plan import make_plan

    for name in ("convert_band", "reduce_block"):
        assert hasattr(run, name), f"{run.__name__} has no {name} any more"
        setattr(run, name, made)
    reader: Any = Nothing(blocks)
    target = folder / "nothing.ome.zarr"
    plan = make_plan("nothing", str(target), reader.spec, reader.access, Options(memory=8 * 10**9))
    figures: dict[str, float] = {}
    distributed: Any = importlib.import_module("distributed") if dask else None
    with ExitStack() as stack:
        pool: Any = ThreadPool(2)
        if dask:
            cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            pool = DaskPool(stack.enter_context(distributed.Client(stack.enter_context(cluster))))
        stack.enter_context(pool)
        before, started, cpu = resident(), time.perf_counter(), time.process_time()
        with commit.staged(target, None, sync=False) as staging:
            done = run._Pass(plan, reader, staging, pool, None, durable=False)
            done.sweep_all()
            done.journal.close()
            figures["pass"], figures["cpu"] = time.perf_counter() - started, time.process_time() - cpu
            figures["journal"] = (staging.folder / commit.JOURNAL).stat().st_size
            started = time.perf_counter()
            write_metadata(staging.store, plan, done.arrays, done.records, done.accumulator, None)
            figures["metadata"] = time.perf_counter() - started
        figures["grown"] = resident() - before
        figures["blocks"] = sum(each.size for each in done.done)
    return figures


def opened(folder: Path) -> dict[str, float]:
    """Return the seconds to open the store and to look for an object, which is not there; imports are not counted."""
    import bigimg
    from bigimg.errors import MissingChunk

    found = {}
    for _ in range(2):
        started, cpu = time.perf_counter(), time.process_time()
        img = bigimg.open(folder / "nothing.ome.zarr")
        try:
            img[-1, -1].compute()
        except MissingChunk:
            found = {"opened": time.perf_counter() - started, "opened_cpu": time.process_time() - cpu}
        else:
            raise AssertionError("an object that was never written was read")
    return found


def child(what: str, blocks: str, folder: str, dask: str) -> None:
    """Be the process of one figure."""
    if what == "opened":
        found: Any = opened(Path(folder))
    else:
        found = simulate(int(blocks), Path(folder), dask=dask == "True")
    print(json.dumps(found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("blocks", type=float, nargs="*", default=SIZES)
    parser.add_argument(
        "--dask", action="store_true", help="on a LocalCluster of two processes, not on two threads"
    )
    parser.add_argument("--scratch", type=Path, default=Path())
    asked = parser.parse_args()
    titles = (
        "blocks", "of all sweeps", "µs a block", "CPU", "journal bytes a block", "journal MB", "metadata s", "grown MB",
        "manifest MB", "opened s", "CPU",
    )  # fmt: skip
    print("|", " | ".join(titles), "|")
    print("|" + " ---: |" * len(titles))
    for blocks in map(int, asked.blocks):
        with fresh(asked.scratch.resolve()) as folder:
            found: dict[str, float] = {}
            for what in ("simulate", "opened"):
                call = [sys.executable, __file__, "--child", what, str(blocks), str(folder), str(asked.dask)]
                done = subprocess.run(call, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                found |= json.loads(done.stdout)
            manifest = sum(p.stat().st_size for p in folder.glob("*/bigimg/manifest/**/*") if p.is_file())
        n = found["blocks"]
        print(
            f"| {blocks} | {n:.0f} | {found['pass'] / n * 1e6:.1f} | {found['cpu'] / n * 1e6:.1f} "
            f"| {found['journal'] / n:.0f} "
            f"| {found['journal'] / 1e6:.1f} | {found['metadata']:.2f} | {found['grown'] / 1e6:.0f} "
            f"| {manifest / 1e6:.1f} | {found['opened']:.3f} | {found['opened_cpu']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
