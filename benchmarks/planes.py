"""One plane of a 1-GiB volume: ``bigimg.plane`` against zarr-python on the same store, and nibabel on the ``.nii``.

    python benchmarks/planes.py FOLDER           # makes volume.ome.zarr and volume.nii there when they are missing

In one process, after imports, in turns; each opens its file, reads one plane and gives numpy. Median and smallest
wall time, and CPU time. Files are in the page cache for all.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import zarr
from measure import SHRINK

import bigimg

SHAPE = (512 // SHRINK, 1024 // SHRINK, 1024 // SHRINK)
INDEX = 300 // SHRINK
GOAL = 0.5
"""Of zarr-python's time."""


def make(folder: Path) -> tuple[Path, Path]:
    """Make the volume, smooth with a little noise, as a store and as a NIfTI file."""
    store, nifti = folder / "volume.ome.zarr", folder / "volume.nii"
    if store.exists() and nifti.exists():
        return store, nifti
    random = np.random.default_rng(0)
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    pixels = np.empty(SHAPE, np.uint16)
    for z in range(SHAPE[0]):
        pixels[z] = 2000 + 1500 * np.sin(x / 40) * np.cos(y / 55 + z / 30) + random.integers(0, 64, SHAPE[1:])
    bigimg.write(bigimg.from_array(pixels, dims="zyx"), store, memory="2GB", progress=False)
    nibabel.save(nibabel.Nifti1Image(pixels.T, np.eye(4)), nifti)
    return store, nifti


def main(folder: Path, turns: int = 9) -> None:
    """Print a row for each plane."""
    store, nifti = make(folder)
    print("| plane | zarr-python, ms | bigimg, ms | ratio (goal 0.5) | CPU ratio | nibabel on .nii, ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for axis, name in enumerate(("axial", "coronal", "sagittal")):
        key = tuple(INDEX if i == axis else slice(None) for i in range(3))
        ways: dict[str, Callable[[], Any]] = {
            "zarr": lambda key=key: zarr.open_array(store / "0", mode="r")[key],
            "bigimg": lambda name=name: bigimg.plane(store, name, index=INDEX).values,
            "nibabel": lambda key=key: np.asarray(nibabel.load(nifti).dataobj[key[::-1]]).T,
        }
        spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(turns):
            for way, read in ways.items():
                started, cpu = time.perf_counter(), time.process_time()
                found = read()
                spent[way].append((time.perf_counter() - started, time.process_time() - cpu))
                if way == "zarr":
                    expected = found
                assert (found == expected).all()
        wall = {way: [1e3 * row[0] for row in rows] for way, rows in spent.items()}
        cpus = {way: statistics.median(row[1] for row in rows) for way, rows in spent.items()}
        middle = {way: statistics.median(times) for way, times in wall.items()}
        print(
            f"| {name} | {middle['zarr']:.0f} ({min(wall['zarr']):.0f}) | {middle['bigimg']:.0f} "
            f"({min(wall['bigimg']):.0f}) | {middle['bigimg'] / middle['zarr']:.2f} "
            f"| {cpus['bigimg'] / cpus['zarr']:.2f} | {middle['nibabel']:.0f} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
