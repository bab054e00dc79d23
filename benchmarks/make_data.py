"""Write the benchmark images into benchmarks/data: generated, seeded, the same on every machine.

    uv run benchmarks/make_data.py [NAME ...]

Files that need a package or a file that is not here are left out, and said, unless they are named: CZI needs
pylibCZIrw (group ``vendors``), ND2 a real file beside the real images.

The pictures look like stained tissue under a light microscope: smooth colour, dark blobs, and the noise of a
camera, which is what decides how well they compress (about 1.5:1 for lossless codecs).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import vendor_files as made
from measure import SHRINK

DATA = Path(__file__).parent / "data"
TILE = 512


def tissue(y: int, x: int, height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Return the RGB pixels (height, width, 3) of an endless slide at ``y, x``; rows and columns of 512."""
    rng = np.random.default_rng((seed, y, x))
    yy, xx = np.mgrid[y : y + height, x : x + width].astype(np.float32)
    stain = np.sin(yy / 211) * np.cos(xx / 173) + 0.5 * np.sin((yy + xx) / 47)
    cells = np.sin(yy / 13) * np.sin(xx / 11 + yy / 97) > 0.72
    base = np.array([196, 150, 190], np.float32) + stain[..., None] * np.array([22, 34, 18], np.float32)
    base[cells] -= np.array([80, 84, 40], np.float32)
    noise = (
        rng.standard_normal((height, width, 1), np.float32) * 1.0
        + rng.standard_normal((height, width, 3), np.float32) * 0.5
    )
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def tiles(side: int) -> Iterator[np.ndarray]:
    """Yield the tiles of a square slide, row by row; one tile in 37 is computed, the rest are rolled copies."""
    pool = [tissue(TILE * i, TILE * 3 * i, TILE, TILE) for i in range(37)]
    count = side // TILE
    for i in range(count * count):
        yield np.roll(pool[(i * 7) % 37], (i * 31 % TILE, i * 17 % TILE), (0, 1))


def rgb_tiff(name: str, side: int, compression: str | None) -> None:
    """Write a tiled RGB BigTIFF."""
    side //= SHRINK
    with tifffile.TiffWriter(DATA / name, bigtiff=True) as tif:
        tif.write(
            tiles(side), shape=(side, side, 3), dtype=np.uint8, tile=(TILE, TILE), photometric="rgb",
            compression=compression, metadata=None, resolution=(20000, 20000), resolutionunit="CENTIMETER",
        )  # fmt: skip


def lesson_png(name: str = "lesson.png", height: int = 18701 // SHRINK, width: int = 17360 // SHRINK) -> None:
    """Write the RGB PNG of the lesson's size, 17360 wide and 18701 high, by libvips in bands."""
    import pyvips

    rows = []
    for i in range(-(-height // TILE)):
        strip = np.concatenate(
            [np.roll(tissue(TILE * k, 9 * k, TILE, TILE), i * 37, 0) for k in range(-(-width // TILE))], 1
        )
        strip = np.ascontiguousarray(strip[: min(TILE, height - i * TILE), :width])
        part = DATA / f"part{i}.v"
        pyvips.Image.new_from_memory(strip.data, width, len(strip), 3, "uchar").write_to_file(str(part))
        rows.append(part)
    images = [pyvips.Image.new_from_file(str(r), access="sequential") for r in rows]
    pyvips.Image.arrayjoin(images, across=1).crop(0, 0, width, height).copy(interpretation="srgb").pngsave(
        str(DATA / name), compression=1, filter="sub"
    )
    for part in rows:
        part.unlink()


def planes(shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """Yield the planes of a volume as a light-sheet microscope makes it, uint16."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[: shape[1], : shape[2]].astype(np.float32)
    for z in range(shape[0]):
        base = 400 + 300 * np.sin(yy / 61 + z / 31) * np.cos(xx / 53 - z / 47)
        spots = 1500 * (np.sin(yy / 9 + z / 7) * np.sin(xx / 8 - z / 9) > 0.9)
        noisy = base + spots + rng.standard_normal(base.shape, np.float32) * 12
        yield np.clip(noisy, 0, 65535).astype(np.uint16)


VOLUME = (512 // SHRINK, 1024 // SHRINK, 1024 // SHRINK)
MAP = (VOLUME[0] // 2, *VOLUME[1:])


def volume(name: str = "volume.tif") -> None:
    """Write a volume of 1 GiB, one page a plane."""
    with tifffile.TiffWriter(DATA / name, bigtiff=True) as tif:
        tif.write(
            planes(VOLUME), shape=VOLUME, dtype=np.uint16, photometric="minisblack", metadata={"axes": "ZYX"}
        )


def nifti(name: str = "volume.nii") -> None:
    """Write the same volume as NIfTI: its header, and the planes one after the other."""
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape(VOLUME[::-1])
    header.set_data_dtype(np.uint16)
    header.set_zooms((0.5, 0.5, 2.0))
    header.set_xyzt_units("mm", "sec")
    with open(DATA / name, "wb") as file:
        header.write_to(file)
        file.write(bytes(int(header["vox_offset"]) - file.tell()))
        for plane in planes(VOLUME):
            file.write(plane.tobytes())


def dicom(name: str = "ct") -> None:
    """Write a CT series of 1,000 slices, 524 MB, uncompressed."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    (DATA / name).mkdir()
    shape = (1000 // SHRINK, 512 // SHRINK, 512 // SHRINK)
    for number, plane in enumerate(planes(shape)):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"1.2.3.4.{number + 1}"
        ds.Modality, ds.SeriesInstanceUID, ds.StudyInstanceUID = "CT", "1.2.3.4", "1.2.3"
        ds.FrameOfReferenceUID, ds.InstanceNumber = "1.2.3.5", number + 1
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0.5 * number], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [0.7, 0.7], 0.5
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        ds.Rows, ds.Columns, ds.SamplesPerPixel = *shape[1:], 1
        ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.PixelData = plane.astype(np.int16).tobytes()
        ds.save_as(DATA / name / f"{number:04}.dcm", enforce_file_format=True)


def stack(name: str = "planes") -> None:
    """Write 1,000 TIFF files of one uint8 plane, 1.05 GB."""
    (DATA / name).mkdir()
    for number, plane in enumerate(planes((1000 // SHRINK, 1024 // SHRINK, 1024 // SHRINK))):
        tifffile.imwrite(DATA / name / f"plane_{number:04}.tif", (plane >> 4).astype(np.uint8))


def photo(name: str = "photo.png", side: int = 1000 // SHRINK) -> None:
    """Write a PNG of one megapixel: what a newcomer tries first."""
    from PIL import Image

    Image.fromarray(tissue(0, 0, side, side)).save(DATA / name)


SLIDE = max(2, 20480 // SHRINK // TILE)
"""Tiles along each side of the SVS, in JPEG."""
SCAN = max(2, 14336 // SHRINK // TILE)
"""Of the slide in DICOM."""
MANY, FEWER = (100, 2, 500), (20, 2, 500)
"""Times, channels and planes of folders of small files."""

MADE = {
    "rgb16k.tif": lambda: rgb_tiff("rgb16k.tif", 16384, None),
    "rgb16k-deflate.tif": lambda: rgb_tiff("rgb16k-deflate.tif", 16384, "deflate"),
    "rgb32k.tif": lambda: rgb_tiff("rgb32k.tif", 32768, None),
    "rgb32k-deflate.tif": lambda: rgb_tiff("rgb32k-deflate.tif", 32768, "deflate"),
    "lesson.png": lesson_png,
    "volume.tif": volume,
    "volume.nii": nifti,
    "ct": dicom,
    "planes": stack,
    "photo.png": photo,
    "mosaic.czi": lambda: made.czi_mosaic(DATA / "mosaic.czi", 2048 // SHRINK, 8),
    "stack.lif": lambda: made.lif(DATA / "stack.lif", (1, 40, 2, 2048 // SHRINK, 2048 // SHRINK)),
    "raw.nd2": lambda: made.nd2(DATA / "raw.nd2", 3000 // SHRINK, 3000 // SHRINK),
    "zlib.nd2": lambda: made.nd2(DATA / "zlib.nd2", 2048 // SHRINK, 2048 // SHRINK, packed=True),
    "volume.ims": lambda: made.imaris(DATA / "volume.ims", (1, 2, 50, 2000 // SHRINK, 2300 // SHRINK)),
    "map.mrc": lambda: made.mrc(DATA / "map.mrc", planes(MAP), MAP[0]),
    "slide.dcm": lambda: made.dicom_slide(DATA / "slide.dcm", tiles(SCAN * TILE), SCAN, SCAN),
    "slide.svs": lambda: made.svs(DATA / "slide.svs", lambda: tiles(SLIDE * TILE), SLIDE * TILE, TILE),
    "fewer": lambda: made.many_tiffs(DATA / "fewer", [n // SHRINK or 1 for n in FEWER], 128),
    "many": lambda: made.many_tiffs(DATA / "many", [n // SHRINK or 1 for n in MANY], 64),
}


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MADE:
        if (DATA / name).exists():
            continue
        print("writing", name, flush=True)
        try:
            MADE[name]()
        except (ModuleNotFoundError, FileNotFoundError) as error:
            if sys.argv[1:]:
                raise
            print(f"left out: {error}", flush=True)


if __name__ == "__main__":
    main()
