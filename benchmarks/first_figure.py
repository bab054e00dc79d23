"""The first figure of a 100-gigapixel store, drawn by matplotlib without a display: time, chunks, memory.

    python benchmarks/first_picture.py make STORE              # 100.8 gigapixels, RGB: seconds, and 20 MB of disk
    python benchmarks/first_figure.py STORE [TARGET.png]

Prints JSON. The clock runs from ``bigimg.show`` on the path to the finished PNG, with everything imported and another
figure drawn before; ``resident_bytes`` is what that added at its peak.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def resident(key: str = "VmRSS") -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024


def figure(source: Any, target: str) -> Any:
    import bigimg
    from bigimg.viewing.canvas import new_figure, save

    ax = bigimg.show(source, ax=new_figure(shown=False).add_subplot())
    save(ax.figure, target)
    return ax


def main(store: str, target: str) -> None:
    import bigimg
    from bigimg.omezarr.shard import ShardFile

    decode, chunks = ShardFile._decode, 0

    def counted(*asked: Any) -> Any:
        nonlocal chunks
        chunks += 1
        return decode(*asked)

    ShardFile._decode = counted  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        small = os.path.join(folder, "small.ome.zarr")
        pixels = np.random.default_rng(0).integers(0, 255, (3, 600, 700)).astype(np.uint8)
        bigimg.write(bigimg.from_array(pixels, dims="cyx"), small, progress=False)
        figure(small, os.path.join(folder, "small.png"))
    chunks = 0
    held = resident()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    started = time.perf_counter(), time.process_time()
    ax = figure(store, target)
    taken = time.perf_counter() - started[0], time.process_time() - started[1]
    picture = ax.images[0].get_array()
    found = {
        "pixels": int(bigimg.open(store).size),
        "wall_s": round(taken[0], 3),
        "cpu_s": round(taken[1], 3),
        "chunks": chunks,
        "shape": picture.shape,
        "std": round(float(picture.std()), 1),
        "resident_bytes": resident("VmHWM") - held,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else os.path.join(tempfile.gettempdir(), "first.png"))
