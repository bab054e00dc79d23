"""Convert on a dask cluster of two processes and on two threads in turns, in one process each: wall, CPU, peak.

python cluster.py [--mb 1200] [-n 5] [--scratch FOLDER]

The cluster is started before the clock, as a cluster that runs is; the first conversion on each side is not counted.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import SHRINK, fresh

GOAL = 1.1


def make(path: Path, megabytes: int) -> None:
    """Write 16-bit planes of noise around a slope, which compress as those of a microscope do."""
    side = 2048 // SHRINK
    planes = max(4, megabytes * 1_000_000 // (2 * 2048**2))
    out = np.lib.format.open_memmap(path, "w+", np.uint16, (planes, side, side))
    noise = np.random.default_rng(0).integers(0, 64, (side, side), np.uint16)
    for z in range(planes):
        out[z] = np.roll(noise, 7 * z, 1) + np.arange(side, dtype=np.uint16)
    out.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mb", type=int, default=1200)
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=Path())
    asked = parser.parse_args()

    import distributed

    import bigimg
    from bigimg.system.memory import peak_bytes

    with fresh(asked.scratch.resolve()) as folder:
        source, target = folder / "a.npy", folder / "a.ome.zarr"
        make(source, asked.mb)
        how: dict[str, Any] = {"progress": False, "memory": "1GB", "workers": 2, "sync": False}
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit="2GB"
        )
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            runs: dict[str, Callable[[], object]] = {
                "threads": lambda: bigimg.convert(source, target, **how),
                "cluster": lambda: bigimg.convert(source, target, executor=client, **how),
            }
            seconds: dict[str, list[float]] = {name: [] for name in runs}
            for turn in range(asked.n + 1):
                for name, run in runs.items():
                    shutil.rmtree(target, ignore_errors=True)
                    begun = time.perf_counter()
                    run()
                    if turn:
                        seconds[name].append(time.perf_counter() - begun)
                        print(f"  {turn}/{asked.n} {name:<8} {seconds[name][-1]:.2f} s", flush=True)
            peaks = client.run(peak_bytes).values()
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ratio = statistics.median(b / a for a, b in zip(seconds["threads"], seconds["cluster"], strict=True))
    print(
        f"threads {medians['threads']:.2f} s, cluster {medians['cluster']:.2f} s, {ratio:.2f} times as long in pairs "
        f"(<= {GOAL}), peak of a worker {max(peaks) / 1e6:.0f} MB of 1000 allowed"
    )


if __name__ == "__main__":  # the workers import this file
    sys.exit(main())
