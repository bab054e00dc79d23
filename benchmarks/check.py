"""Compare windows of level 0 of a store with the file or folder it was made of, whoever wrote it; print its levels.

    python check.py SOURCE STORE

A figure counts only for a store that holds the pixels. Read with zarr and the library of the format, nothing of ours.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import tifffile
import zarr

LAYOUTS = ("{}", "s{}", "scale{}/image")
"""Where the writers put level n."""
WINDOWS = 8
SIDE = 300
"""Pixels of a window along each axis: it crosses chunks of all the writers."""


def levels(store: Path) -> list[zarr.Array]:
    """Return the arrays of a store, fine to coarse."""
    layout = next(name for name in LAYOUTS if (store / name.format(0)).is_dir())
    count = next(n for n in range(99) if not (store / layout.format(n)).is_dir())
    return [zarr.open_array(store / layout.format(n), mode="r") for n in range(count)]


def windows_of(path: Path) -> tuple[tuple[int, ...], Callable[[tuple[slice, ...]], np.ndarray]]:
    """Return the shape of a source, colour first, and what reads a window of it."""
    if path.is_dir():
        files = sorted(path.iterdir())
        one = tifffile.imread if files[0].suffix == ".tif" else lambda file: pydicom.dcmread(file).pixel_array
        shape = (len(files), *one(files[0]).shape)
        return shape, lambda window: np.stack([one(file)[window[1:]] for file in files[window[0]]])
    if path.suffix == ".nii":
        volume = np.asanyarray(nibabel.load(path).dataobj).T
        return volume.shape, lambda window: volume[window]
    pixels = zarr.open_array(tifffile.imread(path, aszarr=True), mode="r")
    if pixels.shape[-1] != 3:
        return pixels.shape, lambda window: pixels[window]
    return (3, *pixels.shape[:2]), lambda window: np.moveaxis(pixels[window[1:]], -1, 0)


def main() -> None:
    source, store = map(Path, sys.argv[1:])
    found, (shape, read) = levels(store), windows_of(source)
    if found[0].shape != shape:
        raise SystemExit(f"{store}: level 0 is {found[0].shape}, the image {shape}")
    rng = np.random.default_rng(0)
    for _ in range(WINDOWS):
        start = [int(rng.integers(0, max(1, n - SIDE))) for n in shape]
        window = tuple(slice(s, s + SIDE) for s in start)
        if not np.array_equal(found[0][window], read(window)):
            raise SystemExit(f"{store}: other pixels than {source} in {window}")
    print("levels " + ", ".join("x".join(map(str, array.shape)) for array in found))


main()
