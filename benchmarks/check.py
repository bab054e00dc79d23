"""Compare windows of level 0 of a store with the TIFF it was made of, whoever wrote it; print its levels.

    python check.py SOURCE STORE

A figure counts only for a store that holds the pixels. Read with zarr and tifffile, nothing of ours.
"""

import sys
from pathlib import Path

import numpy as np
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


def main() -> None:
    found = levels(Path(sys.argv[2]))
    with tifffile.TiffFile(sys.argv[1]) as tif:
        source = zarr.open_array(tif.aszarr(), mode="r")
        colors_last = source.shape[-1] == 3
        shape = (3, *source.shape[:2]) if colors_last else source.shape
        if found[0].shape != shape:
            raise SystemExit(f"{sys.argv[2]}: level 0 is {found[0].shape}, the image {shape}")
        rng = np.random.default_rng(0)
        for _ in range(WINDOWS):
            start = [int(rng.integers(0, max(1, n - SIDE))) for n in shape]
            window = tuple(slice(s, s + SIDE) for s in start)
            wanted = np.moveaxis(source[window[1:]], -1, 0) if colors_last else source[window]
            if not np.array_equal(found[0][window], wanted):
                raise SystemExit(f"{sys.argv[2]}: other pixels than {sys.argv[1]} in {window}")
    print("levels " + ", ".join("x".join(map(str, array.shape)) for array in found))


main()
