"""Write an OME-Zarr pyramid of a folder of TIFF files with dask-image and ome-zarr-py, as their documentation shows.

    python dask_image_folder.py SOURCE TARGET

Chunks are those of ``imread``, one plane each: nothing has to be cut up, which is the fastest for them. Levels and
method are the defaults of ome-zarr-py.
"""

import sys

from dask_image.imread import imread
from ome_zarr.writer import write_image

source, target = sys.argv[1:]
write_image(imread(f"{source}/*.tif"), target, axes="zyx")
