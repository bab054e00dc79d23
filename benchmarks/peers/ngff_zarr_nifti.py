"""Write an OME-Zarr pyramid of a NIfTI file with ngff-zarr through nibabel.

    python ngff_zarr_nifti.py SOURCE TARGET

nibabel maps the file, the cheapest way to read it; levels and method are those of ``ngff_zarr_volume.py``, and why.
"""

import sys

import ngff_zarr
import nibabel
import numpy as np

source, target = sys.argv[1:]
pixels = np.asanyarray(nibabel.load(source).dataobj)
assert isinstance(pixels, np.memmap)
image = ngff_zarr.to_ngff_image(pixels.T, dims=("z", "y", "x"))
levels = ngff_zarr.to_multiscales(image, [2, 4, 8, 16], method=ngff_zarr.Methods.ITKWASM_BIN_SHRINK)
ngff_zarr.to_ngff_zarr(target, levels)
