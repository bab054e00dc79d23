"""Statistics and a 256-bin histogram of an RGB image that nothing is known of yet, against libvips and dask.

    python benchmarks/statistics_of_a_store.py SOURCE.tif STORE.ome.zarr [-n 5]

``bigimg`` and ``dask`` read the store, libvips the uncompressed TIFF that it was made of: ``stats`` and ``hist_find``,
which is twice, as a script does that wants both. bigimg's stored statistics are put aside; the last row is what they
are for. Each run is a process of its own; the seconds are those after the imports, the processor's those of both.
Needs the packages of bigimg alone. Goals: at most 2.5 times libvips, at least 10 times as fast as dask, under 10 ms
from the store.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

CHILD = """\
import json, sys, time
{imports}
started, cpu = time.perf_counter(), time.process_time()
{work}
print(json.dumps([time.perf_counter() - started, time.process_time() - cpu, mean]))
"""
OURS = """\
import dataclasses
import dask.array
import bigimg, bigimg.accessor, bigimg.ops.statistics.reducing, bigimg.ops.statistics.histograms
from bigimg.omezarr.open import open_store
"""
WAYS = {
    "bigimg": (
        OURS,
        """\
unknown = dataclasses.replace(open_store(sys.argv[2]), has_manifest=False)
found = bigimg.stats(bigimg.open(unknown), bins=256, range=(0, 256)).compute()
mean = found["mean"].values.tolist()""",
    ),
    "libvips": (
        "import pyvips",
        """\
image = pyvips.Image.new_from_file(sys.argv[1])
table = image.stats()
image.hist_find().write_to_memory()
mean = [table(4, row + 1)[0] for row in range(3)]""",
    ),
    "dask": (
        "import dask, dask.array as da, zarr",
        """\
pixels, asked = da.from_zarr(sys.argv[2] + "/0"), []
for channel in pixels:
    asked += [channel.min(), channel.max(), channel.mean(), channel.std()]
    asked += [da.histogram(channel, bins=256, range=(0, 256))[0]]
mean = [float(value) for value in dask.compute(*asked)[2::5]]""",
    ),
    "bigimg, stored": (
        OURS + "bigimg.stats(sys.argv[2], bins=256)",
        """\
found = bigimg.stats(sys.argv[2], bins=256)
mean = found["mean"].values.tolist()""",
    ),
}


def main() -> None:
    """Take turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("store")
    parser.add_argument("-n", type=int, default=5)
    asked = parser.parse_args()
    seen: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for _ in range(asked.n):
        for name, (imports, work) in WAYS.items():
            code = CHILD.format(imports=imports, work=work)
            done = subprocess.run(
                [sys.executable, "-c", code, asked.source, asked.store],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, cpu, mean = json.loads(done.stdout.splitlines()[-1])
            seen[name].append([seconds, cpu, *mean])
    means = {name: [round(v, 6) for v in runs[0][2:]] for name, runs in seen.items()}
    if len({tuple(row) for row in means.values()}) != 1:
        raise SystemExit(f"the answers differ: {means}")
    print("| | seconds | least to most | processor, s |\n| --- | ---: | ---: | ---: |")
    wall = {name: statistics.median(run[0] for run in runs) for name, runs in seen.items()}
    for name, runs in seen.items():
        times = [run[0] for run in runs]
        cpu = statistics.median(run[1] for run in runs)
        print(f"| {name} | {wall[name]:.3f} | {min(times):.3f} to {max(times):.3f} | {cpu:.2f} |")
    print(f"\n{wall['bigimg'] / wall['libvips']:.2f} of libvips (goal 2.5), ", end="")
    print(f"dask takes {wall['dask'] / wall['bigimg']:.1f} times as long (goal 10), ", end="")
    print(f"stored {1000 * wall['bigimg, stored']:.1f} ms (goal 10)")


if __name__ == "__main__":
    main()
