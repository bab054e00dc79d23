"""Give a bare array names, spacing and units, write it as a pyramid, and write a mask made from it.

    uv run python examples/write_your_own_array.py

Any array will do: numpy, dask, or the lazy result of other work. A lazy array is computed block by block while it
is written, so the result may be larger than memory.
"""

import tempfile
from pathlib import Path

import numpy as np

import bigimg


def blobs(shape: tuple[int, int, int]) -> np.ndarray:
    """Return a volume of 40 bright blobs in noise, uint16."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    volume = rng.normal(200, 20, shape)
    for center in rng.uniform(0, shape, (40, 3)):
        # The planes lie four times as far apart as the pixels in them, so a ball has fewer planes than rows.
        distance = 16 * (z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2
        volume += 2000 * np.exp(-distance / 200)
    return volume.clip(0, 65535).astype(np.uint16)


def main() -> None:
    """Write a volume, then a mask of it."""
    folder = Path(tempfile.mkdtemp(prefix="bigimg-"))

    # `dims` names the axes in the array's own order; `spacing` is the size of a pixel along each of them.
    img = bigimg.from_array(blobs((48, 300, 260)), dims="zyx", spacing=(2.0, 0.5, 0.5), unit="um")
    tree = bigimg.write(img, folder / "blobs.ome.zarr")

    # y and x are halved first, z only once the pixels have become as tall as they are wide.
    for name, node in tree.children.items():
        print(name, dict(node["image"].sizes), node["image"].bigimg.spacing)

    # Comparing reads nothing: the mask is a recipe. It is worked out, block by block, while it is written.
    bright = bigimg.open(folder / "blobs.ome.zarr") > 1000
    bigimg.write(bright, folder / "bright.ome.zarr", kind="mask")

    found = bigimg.stats(folder / "bright.ome.zarr").compute()
    print(f"\nbright: {float(found['mean']):.3%} of {int(found['count'])} voxels")
    inside = bigimg.stats(img, where=bright).compute()
    print(f"there the mean is {float(inside['mean']):.1f}, elsewhere about 200")
    print(bigimg.info(folder / "bright.ome.zarr"))


if __name__ == "__main__":
    main()
