"""10,000 random patches, and a function of every 256 x 256 patch, against tensorstore, scikit-learn and dask.

    python benchmarks/patches.py JOB WHO STORE [OUTPUT]

``random``: 10,000 windows of 174 x 187 of an RGB store as numpy, by ``bigimg``, ``tensorstore`` (in the order
asked for, a cache of 100 MB), ``tensorstore-sorted`` (the same, sorted by chunk by hand) or ``sklearn`` (the image in
memory). ``grid``: each 256 x 256 patch made float32 and normalised, written to OUTPUT by ``bigimg`` (a pyramid with
statistics and checksums) or ``dask`` (``map_blocks`` and ``to_zarr``, one level). Prints seconds and CPU seconds of the
work without imports, peak memory in MB, and the sum of a pixel of every patch.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import SHRINK

SIZE, COUNT, SIDE = (174, 187), 10_000 // SHRINK, 256
CACHE = 100_000_000
AT_ONCE = 32
"""Reads that tensorstore has under way."""


def normalise(patch: Any) -> Any:
    return (patch.astype(np.float32) - np.float32(128)) * np.float32(1 / 64)


def places(store: str) -> Any:
    """Return the same places for everybody."""
    from bigimg.ops.patches.patches import patches

    return patches(store, SIZE, n=COUNT, seed=0)


def random_bigimg(store: str, _: str) -> Callable[[], int]:
    found = places(store)
    return lambda: sum(int(pixels[0, 0, 0]) for _, pixels in found.items())


def random_tensorstore(store: str, _: str, *, by_chunk: bool = False) -> Callable[[], int]:
    import tensorstore

    starts = places(store).positions.starts(np.arange(COUNT))
    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": CACHE}})
    array = tensorstore.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/0/"}}, context=context
    ).result()
    chunk = array.chunk_layout.read_chunk.shape[-1]
    if by_chunk:
        starts = starts[np.lexsort((starts[:, 1] // chunk, starts[:, 0] // chunk))]

    def work() -> int:
        total = 0
        for first in range(0, COUNT, AT_ONCE):
            some = starts[first : first + AT_ONCE].tolist()
            reads = [array[:, y : y + SIZE[0], x : x + SIZE[1]].read() for y, x in some]
            total += sum(int(read.result()[0, 0, 0]) for read in reads)
        return total

    return work


def random_sklearn(store: str, _: str) -> Callable[[], int]:
    from sklearn.feature_extraction.image import extract_patches_2d

    import bigimg

    def work() -> int:
        image = bigimg.imread(store, memory="8GB")
        return int(extract_patches_2d(image, SIZE, max_patches=COUNT, random_state=0)[:, 0, 0, 0].sum())

    return work


def grid_bigimg(store: str, output: str) -> Callable[[], int]:
    import bigimg

    def work() -> int:
        bigimg.map_patches(
            normalise,
            store,
            SIDE,
            out=output,
            channels="first",
            dtype="f4",
            n_channels=3,
            memory="1GB",
            progress=False,
        )
        return 0

    return work


def grid_dask(store: str, output: str) -> Callable[[], int]:
    import dask.array as da

    def work() -> int:
        blocks = da.from_zarr(f"{store}/0").rechunk((3, SIDE, SIDE))
        blocks.map_blocks(normalise, dtype=np.float32).to_zarr(output)
        return 0

    return work


JOBS: dict[tuple[str, str], Callable[..., Callable[[], int]]] = {
    ("random", "bigimg"): random_bigimg,
    ("random", "tensorstore"): random_tensorstore,
    ("random", "tensorstore-sorted"): lambda store, out: random_tensorstore(store, out, by_chunk=True),
    ("random", "sklearn"): random_sklearn,
    ("grid", "bigimg"): grid_bigimg,
    ("grid", "dask"): grid_dask,
}


def peak_megabytes() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3


def main() -> None:
    job, who, store, *output = sys.argv[1:]
    work = JOBS[job, who](store, *(output or [""]))
    wall, cpu = time.perf_counter(), time.process_time()
    total = work()
    print(
        f"{job} {who}: {time.perf_counter() - wall:.2f} s, {time.process_time() - cpu:.2f} CPU-s, "
        f"{peak_megabytes():.0f} MB, {total}"
    )


if __name__ == "__main__":
    main()
