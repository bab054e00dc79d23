"""Read a small part of an image that is too large to read whole.

    uv run python examples/read_a_region.py

`bigimg.open` reads no pixel. It returns an xarray.DataArray: an array with named axes and with a coordinate, in
physical units, for each pixel. Slicing it reads nothing either; only `compute()`, `to_numpy()` or a plot do, and
then only the chunks that the slice touches.
"""

import tempfile
from pathlib import Path

import bigimg

SOURCE = Path(__file__).parent / "data" / "rat_brain_low_res.jpg"


def main() -> None:
    """Convert the example image and read parts of it."""
    target = Path(tempfile.mkdtemp(prefix="bigimg-")) / "rat.ome.zarr"

    # The JPEG does not say how large its pixels are; we do. Smaller chunks than the default of 512 suit this
    # small example, so that a region is less than the whole.
    bigimg.convert(SOURCE, target, spacing="y=20,x=20um", chunks={"y": 128, "x": 128})

    img = bigimg.open(target)
    print("axes and sizes:", dict(img.sizes))
    print("spacing:", img.bigimg.spacing, img.bigimg.units)
    print("field of view:", img.bigimg.fov)

    # By pixel: the axes have names, so nobody has to remember which comes first.
    corner = img.isel(y=slice(400, 500), x=slice(300, 450))
    print("\nby pixel:", dict(corner.sizes), "red mean", float(corner.sel(c="R").mean()))

    # By place, in micrometres: from 8 to 10 mm down, 6 to 9 mm across.
    window = img.sel(y=slice(8000, 10000), x=slice(6000, 9000))
    print("by place:", dict(window.sizes))

    # One pixel, the nearest to a place.
    print("at y = 9000 µm, x = 7500 µm:", img.bigimg.at(y=9000, x=7500).to_numpy())

    # The same place in a coarser level: level 2 has a quarter of the pixels along each side, and its coordinates
    # still say where they lie.
    coarse = bigimg.open(target, level=2)
    print("\nlevel 2:", dict(coarse.sizes), coarse.bigimg.spacing)
    print("by place:", dict(coarse.sel(y=slice(8000, 10000), x=slice(6000, 9000)).sizes))

    # Plain numpy, colour last as matplotlib and Pillow want it.
    print("\nnumpy:", corner.bigimg.to_numpy(channels="last").shape)


if __name__ == "__main__":
    main()
