"""Write an OME-Zarr pyramid of a microscope's file with bioio and ome-zarr-py, lazily.

    python bioio_write.py SOURCE TARGET

bioio reads CZI, LIF and ND2. Nothing of its family reads Imaris, MRC and DICOM without Java: there dask reads the
library that owns the format in chunks of the file, as people write it. Chunks of 512 x 512; levels and method are
ome-zarr-py's defaults.
"""

import sys
from pathlib import Path

import dask.array as da
import numpy as np
from ome_zarr.writer import write_image

CHUNK = 512


def imaris(source: str) -> da.Array:
    import h5py

    level = h5py.File(source)["DataSet/ResolutionLevel 0"]
    first = level["TimePoint 0/Channel 0"]
    sizes = [int(first.attrs[f"ImageSize{axis}"].tobytes()) for axis in "ZYX"]
    crop = tuple(slice(0, n) for n in sizes)
    times = [
        [da.from_array(group["Data"], chunks=group["Data"].chunks)[crop] for group in time.values()]
        for time in level.values()
    ]
    return da.stack([da.stack(channels) for channels in times])


def mrc(source: str) -> da.Array:
    import mrcfile

    pixels = mrcfile.mmap(source, permissive=True).data
    return da.from_array(pixels, chunks=(1, *pixels.shape[1:]))


def dicom(source: str) -> da.Array:
    from wsidicom import WsiDicom

    slide = WsiDicom.open(source)
    width, height = slide.size.width, slide.size.height
    rows, columns = ((CHUNK,) * (n // CHUNK) + ((n % CHUNK,) if n % CHUNK else ()) for n in (height, width))

    def tile(block_info: dict) -> np.ndarray:
        (_, (top, bottom), (left, right)) = block_info[None]["array-location"]
        pixels = slide.read_region((left, top), 0, (right - left, bottom - top))
        return np.moveaxis(np.asarray(pixels)[..., :3], -1, 0)

    return da.map_blocks(
        tile, chunks=((3,), rows, columns), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )


def main() -> None:
    source, target = sys.argv[1:]
    own = {".ims": imaris, ".mrc": mrc, ".dcm": dicom}.get(Path(source).suffix)
    if own is None:
        from bioio import BioImage

        image = BioImage(source).get_image_dask_data("TCZYX")
    else:
        image = own(source)
    axes = "tczyx" if image.ndim == 5 else "cyx" if source.endswith(".dcm") else "zyx"
    write_image(image.rechunk((1,) * (image.ndim - 2) + (CHUNK, CHUNK)), target, axes=axes)


if __name__ == "__main__":
    main()
