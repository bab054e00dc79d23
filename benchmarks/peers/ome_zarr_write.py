"""Write an OME-Zarr pyramid of an RGB TIFF with ome-zarr-py, lazily, as its documentation shows.

    python ome_zarr_write.py SOURCE TARGET

Chunks of 512 x 512 as ours, so that both stores serve a viewer alike; levels and method are its defaults.
"""

import sys

import dask.array as da
import tifffile
import zarr
from ome_zarr.writer import write_image

CHUNK = 512

source, target = sys.argv[1:]
with tifffile.TiffFile(source) as tif:
    pixels = zarr.open_array(tif.aszarr(), mode="r")
    image = da.from_zarr(pixels).transpose(2, 0, 1).rechunk((1, CHUNK, CHUNK))
    write_image(image, target, axes="cyx")
