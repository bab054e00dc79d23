"""How fast a store is checked: objects a second of a quick check, and a full one beside decoding and zarr-python.

    python benchmarks/verify_speed.py [--scratch FOLDER] [-n 5]

Decoding alone reads and decompresses every chunk into one buffer that stays in the cache of the processor, with
nothing checked and nothing kept, by as many threads as the check has: no reader can be faster. zarr-python reads each
level whole, which tells of damaged chunks and nothing more: what who has no ``verify`` would do. All in turns.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zarr
from measure import SHRINK

import bigimg
from bigimg.geometry.region import full, pieces
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.omezarr.shard import ABSENT, ShardFile, ShardLayout
from bigimg.readers.demo import SlideReader
from bigimg.verification.store import verify_store


def decode_alone(root: Path, workers: int) -> int:
    """Decode every chunk of every level; return the bytes."""

    def one(folder: Path, index: tuple[int, ...], layout: ShardLayout) -> int:
        buffer = np.empty(layout.chunk, layout.dtype)
        decoded = 0
        with ShardFile(folder, index, layout) as shard:
            for offset, length in shard.offsets.reshape(-1, 2).tolist():
                if offset != ABSENT:
                    layout.codec.decode(shard.file.pread(length - 4, offset), buffer)
                    decoded += buffer.nbytes
        return decoded

    with ThreadPoolExecutor(workers) as pool:
        tasks = [
            pool.submit(one, root / str(level), index, meta.layout)
            for level, meta in enumerate(open_store(root).arrays) if meta.layout is not None
            for index, _ in pieces(full(meta.layout.shape), meta.layout.shard)
        ]  # fmt: skip
        return sum(task.result() for task in tasks)


def read_all(root: Path, workers: int) -> int:
    """Read every level as a user does, block by block: checked, and into memory of its own."""

    def one(reader: StoreReader, region: tuple[slice, ...]) -> int:
        return reader.read(region).nbytes

    store = open_store(root)
    with ThreadPoolExecutor(workers) as pool:
        tasks = [
            pool.submit(one, StoreReader(store, level), region)
            for level, stored in enumerate(store.levels)
            for _, region in pieces(full(stored.shape), stored.shard)
        ]
        return sum(task.result() for task in tasks)


def read_with_zarr(root: Path) -> int:
    """Read every level with zarr-python, each at once."""
    return sum(
        int(zarr.open_array(root / stored.path, mode="r")[...].nbytes) for stored in open_store(root).levels
    )


def in_turns(works: dict[str, Callable[[], int]], n: int) -> dict[str, tuple[float, float]]:
    """Return what each of ``works`` did a wall second and a CPU second, at best."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(n):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            done = work()
            rates[name].append((done / (time.perf_counter() - wall), done / (time.process_time() - cpu)))
    return {
        name: (max(rate for rate, _ in each), max(rate for _, rate in each)) for name, each in rates.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--scratch", type=Path)
    asked = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    print(f"{workers} threads, load {os.getloadavg()[0]:.1f}, best of {asked.n}")
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        many, slide, volume = (Path(folder, f"{name}.ome.zarr") for name in ("many", "slide", "volume"))
        bigimg.convert(
            np.zeros((4096 // SHRINK, 4096 // SHRINK), np.uint8),
            many,
            chunks=16,
            shards=16,
            progress=False,
            sync=False,
        )
        rate, _ = in_turns({"quick": lambda: verify_store(many, quick=True).objects}, asked.n)["quick"]
        print(f"quick: {verify_store(many, quick=True).objects} objects, {rate:,.0f} objects/s")
        bigimg.convert(SlideReader(8192 // SHRINK, 8192 // SHRINK), slide, progress=False)
        rng = np.random.default_rng(0)
        smooth = np.repeat(np.repeat(rng.integers(0, 3000, (128 // SHRINK, 64, 64)), 8, 1), 8, 2)
        pixels = (smooth + rng.integers(0, 64, smooth.shape)).astype(np.uint16)
        bigimg.convert(pixels, volume, progress=False)
        for root in (slide, volume):
            works: dict[str, Callable[[], int]] = {
                "decode alone": lambda root=root: decode_alone(root, workers),  # type: ignore[misc]
                "read as a user": lambda root=root: read_all(root, workers),  # type: ignore[misc]
                "verify": lambda root=root: verify_store(root, memory="2GB", workers=workers).decoded_bytes,  # type: ignore[misc]
            }
            works["zarr-python"] = lambda root=root: read_with_zarr(root)  # type: ignore[misc]
            rates = in_turns(works, asked.n)
            alone, theirs = rates["decode alone"], rates["zarr-python"]
            for name, (wall, cpu) in rates.items():
                print(f"{root.name} {name}: {wall / 1e6:,.0f} MB/s ({wall / alone[0]:.2f} of decoding, "
                      f"{wall / theirs[0]:.2f} of zarr-python), {cpu / 1e6:,.0f} MB a CPU second "
                      f"({cpu / alone[1]:.2f}, {cpu / theirs[1]:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
