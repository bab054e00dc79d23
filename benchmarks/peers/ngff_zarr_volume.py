"""Write an OME-Zarr pyramid of a 3-D TIFF with ngff-zarr.

    python ngff_zarr_volume.py SOURCE TARGET

All its defaults but one: levels are means of 2 x 2 x 2 voxels, as ours (``ITKWASM_BIN_SHRINK``), which is also its
faster method. The file is mapped into memory, the cheapest way to read it.
"""

import sys

import ngff_zarr
import tifffile

source, target = sys.argv[1:]
image = ngff_zarr.to_ngff_image(tifffile.memmap(source, mode="r"), dims=("z", "y", "x"))
levels = ngff_zarr.to_multiscales(image, method=ngff_zarr.Methods.ITKWASM_BIN_SHRINK)
ngff_zarr.to_ngff_zarr(target, levels)
