"""Every reader keeps the contract, on an image with another value at each corner."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import dask.array
import nibabel
import numpy as np
import pytest
import tifffile
import xarray
from PIL import Image

from bigimg.reader import Access, Reader
from bigimg.readers.arrays.array import ArrayReader, read_labelled
from bigimg.readers.dicom.reader import open_dicom, open_dicom_files
from bigimg.readers.folders.folder import open_folder
from bigimg.readers.registry import open_file
from bigimg.readers.tiff.reader import TiffReader
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.dicom import dicom_files
from tests.readers.volumes.header_files import metaimage, nrrd
from tests.readers.volumes.volume_files import BUNDLED, afni, ecat, mgh, minc1, minc2, par


def pixels(*shape: int, dtype: str = "u1") -> Array:
    """Return noise whose corners are 1, 2, 3, …: any flip or exchange of axes shows."""
    array = np.random.default_rng(3).integers(40, 200, shape).astype(dtype)
    corners = array[np.ix_(*([0, n - 1] for n in shape))]
    array[np.ix_(*([0, n - 1] for n in shape))] = np.arange(1, corners.size + 1).reshape(corners.shape)
    return array


VOLUME = pixels(5, 37, 23, dtype="i2")
PLANE = pixels(70, 45)
COLOUR = pixels(70, 45, 3)
SERIES = pixels(4, 5, 13, 11, dtype="i2")


def tiff(path: Path, array: Array, **options: object) -> tuple[Reader, Array]:
    tifffile.imwrite(path / "a.tif", array, **options)
    return TiffReader(path / "a.tif"), tifffile.imread(path / "a.tif")


def colour_first(reader: Reader, array: Array) -> tuple[Reader, Array]:
    return reader, np.moveaxis(array, -1, 0)


def nifti(path: Path, array: Array, name: str, kind: type = nibabel.Nifti1Image) -> tuple[Reader, Array]:
    image = kind(array, np.diag([2.0, 3.0, 4.0, 1.0]))
    nibabel.save(image, path / name)
    return open_file(path / name), np.asarray(nibabel.load(path / name).dataobj).T


def npy(path: Path, array: Array) -> Reader:
    np.save(path / "a.npy", array)
    return open_file(path / "a.npy")


def picture(path: Path, name: str, opener: Callable[..., Reader], array: Array) -> tuple[Reader, Array]:
    Image.fromarray(array).save(path / name)
    with Image.open(path / name) as image:
        return opener(path / name), np.asarray(image)


def dicom_series(path: Path, array: Array) -> Reader:
    return open_dicom_files([str(file) for file in dicom_files.series(path / "s", array)])


def dicom(path: Path, array: Array, *, colour: bool = False, run_lengths: bool = False) -> Reader:
    places = [(0.0, 0.0, z * 2.0) for z in range(len(array))]
    made = dicom_files.header(array, colour=True) if colour else dicom_files.enhanced(array, places)
    if run_lengths:
        made.compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom")
    return open_dicom(dicom_files.save(made, path / "a.dcm"))


def parrec(path: Path, name: str) -> tuple[Reader, Array]:
    """A PAR of nibabel's with noise, and its pixels as nibabel has them: real where slices differ."""
    made = par(path, name)
    reader = open_file(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # nibabel leaves the REC open until it is forgotten
        theirs = nibabel.load(made).dataobj
        stored = np.asarray(theirs.get_unscaled() if reader.spec.scaling is not None else theirs)
        del theirs
    return reader, stored.T.astype(reader.spec.dtype)


def planes(path: Path, volume: Array, ending: str) -> Reader:
    (path / "planes").mkdir(exist_ok=True)
    for i, plane in enumerate(volume):
        if ending == ".tif":
            tifffile.imwrite(path / "planes" / f"{i}.tif", plane)
        else:
            Image.fromarray(plane).save(path / "planes" / f"{i}{ending}")
    return open_folder(path / "planes")


def labelled(array: Array) -> xarray.DataArray:
    return xarray.DataArray(array, dims=("z", "y", "x"), coords={"z": np.arange(len(array)) * 2.0})


CASES: dict[str, Callable[[Path], tuple[Reader, Array]]] = {
    "tiff, one plain strip": lambda p: tiff(p, PLANE),
    "tiff, plain strips of 7 rows": lambda p: tiff(p, PLANE, rowsperstrip=7),
    "tiff, big-endian strips": lambda p: tiff(p, pixels(70, 45, dtype=">u2"), byteorder=">", rowsperstrip=9),
    "tiff, deflated strips": lambda p: tiff(p, PLANE, rowsperstrip=7, compression="deflate", predictor=True),
    "tiff, tiles beyond the edge": lambda p: tiff(p, PLANE, tile=(16, 32)),
    "tiff, deflated tiles of colour": lambda p: colour_first(
        *tiff(p, COLOUR, tile=(16, 32), compression="deflate", photometric="rgb")
    ),
    "tiff, colours in planes": lambda p: tiff(
        p, np.moveaxis(COLOUR, -1, 0).copy(), photometric="rgb", planarconfig="separate"
    ),
    "tiff, pages of a volume": lambda p: tiff(p, VOLUME, photometric="minisblack", metadata={"axes": "ZYX"}),
    "tiff, floats": lambda p: tiff(p, PLANE.astype("f4"), rowsperstrip=7),
    "png, grey": lambda p: picture(p, "a.png", open_file, PLANE),
    "png, colour": lambda p: colour_first(*picture(p, "a.png", open_file, COLOUR)),
    "png, 16 bits": lambda p: picture(p, "a.png", open_file, PLANE.astype("u2") * 257),
    "jpeg, grey": lambda p: picture(p, "a.jpg", open_file, PLANE),
    "bmp": lambda p: colour_first(*picture(p, "a.bmp", open_file, COLOUR)),
    "nii": lambda p: nifti(p, VOLUME.T, "a.nii"),
    "nii, big-endian": lambda p: nifti(p, VOLUME.T.astype(">f4"), "a.nii"),
    "nii, plane": lambda p: nifti(p, PLANE.T, "a.nii"),
    "nii, NIfTI-2 series": lambda p: nifti(p, pixels(4, 3, 12, 11).T, "a.nii", nibabel.Nifti2Image),
    "nii.gz": lambda p: nifti(p, VOLUME.T, "a.nii.gz"),
    "nii.gz, series": lambda p: nifti(p, pixels(4, 3, 12, 11, dtype="f4").T, "a.nii.gz"),
    "hdr and img": lambda p: nifti(p, VOLUME.T, "a.img", nibabel.Nifti1Pair),
    "mgh": lambda p: (open_file(mgh(p / "a.mgh", VOLUME.T)), VOLUME),
    "mgz, series": lambda p: (open_file(mgh(p / "a.mgz", SERIES.T, tr=2.0)), SERIES),
    "afni": lambda p: (open_file(afni(p / "a+orig", SERIES.T)), SERIES),
    "afni, gzip, big-endian": lambda p: (
        open_file(afni(p / "a+orig", SERIES.T.astype(">i2"), packed=True)),
        SERIES,
    ),
    "afni, a factor for each": lambda p: (
        open_file(afni(p / "a+orig", SERIES.T, factors=[1, 2, 3, 4])),
        (SERIES * np.arange(1.0, 5).reshape(4, 1, 1, 1)).astype("f4"),
    ),
    "ecat, mirrored": lambda p: (
        open_file(ecat(p / "a.v", SERIES.transpose(0, 3, 2, 1), factors=[1] * 4, orientation=1)),
        SERIES[:, ::-1, ::-1, ::-1],
    ),
    "minc 1": lambda p: (
        open_file(minc1(p / "a.mnc", VOLUME, ("zspace", "yspace", "xspace"), varied=False)),
        VOLUME,
    ),
    "minc 1, axes of its own": lambda p: (
        open_file(minc1(p / "a.mnc", VOLUME, ("xspace", "zspace", "yspace"), varied=False)),
        VOLUME.transpose(1, 2, 0),
    ),
    "minc 2": lambda p: (
        open_file(
            minc2(p / "a.mnc", VOLUME, ("zspace", "yspace", "xspace"), varied=False, chunks=(2, 16, 23))
        ),
        VOLUME,
    ),
    "minc 2, axes of its own": lambda p: (
        open_file(minc2(p / "a.mnc", VOLUME, ("xspace", "zspace", "yspace"), varied=False)),
        VOLUME.transpose(1, 2, 0),
    ),
    "par and rec": lambda p: parrec(p, "phantom_EPI_asc_CLEAR_2_1.PAR"),
    "par and rec, a slope for each slice": lambda p: parrec(p, "phantom_varscale.PAR"),
    "metaimage, big-endian": lambda p: (open_file(metaimage(p / "a.mhd", VOLUME.astype(">i2"))), VOLUME),
    "metaimage, local": lambda p: (open_file(metaimage(p / "a.mha", VOLUME)), VOLUME),
    "metaimage, compressed": lambda p: (open_file(metaimage(p / "a.mha", SERIES, packed=True)), SERIES),
    "metaimage, a file a slice": lambda p: (open_file(metaimage(p / "a.mhd", VOLUME, split=1)), VOLUME),
    "metaimage, channels": lambda p: colour_first(
        open_file(metaimage(p / "a.mhd", COLOUR, channels=3)), COLOUR
    ),
    "nrrd": lambda p: (open_file(nrrd(p / "a.nrrd", VOLUME)), VOLUME),
    "nrrd, gzip": lambda p: (open_file(nrrd(p / "a.nrrd", VOLUME, encoding="gzip")), VOLUME),
    "nrrd, bzip2, big-endian": lambda p: (
        open_file(nrrd(p / "a.nrrd", VOLUME.astype(">i2"), encoding="bzip2")),
        VOLUME,
    ),
    "nrrd, text": lambda p: (open_file(nrrd(p / "a.nrrd", VOLUME, encoding="ascii")), VOLUME),
    "nrrd, detached, colour": lambda p: colour_first(
        open_file(nrrd(p / "a.nhdr", COLOUR, kinds="RGB-color domain domain")), COLOUR
    ),
    "dicom, a file a slice": lambda p: (dicom_series(p, VOLUME), VOLUME),
    "dicom, frames": lambda p: (dicom(p, VOLUME), VOLUME),
    "dicom, frames of run lengths": lambda p: (dicom(p, VOLUME, run_lengths=True), VOLUME),
    "dicom, colour": lambda p: colour_first(dicom(p, COLOUR, colour=True), COLOUR),
    "folder of tiffs": lambda p: (planes(p, VOLUME, ".tif"), VOLUME),
    "folder of pngs": lambda p: (planes(p, VOLUME.astype("u1"), ".png"), VOLUME.astype("u1")),
    "folder of colour pngs": lambda p: (
        planes(p, pixels(4, 30, 20, 3), ".png"),
        np.moveaxis(pixels(4, 30, 20, 3), -1, 0),
    ),
    "npy": lambda p: (npy(p, VOLUME), VOLUME),
    "npy, Fortran order": lambda p: (npy(p, np.asfortranarray(VOLUME)), VOLUME),
    "npy, colour, big-endian": lambda p: colour_first(npy(p, COLOUR.astype(">u2")), COLOUR),
    "numpy": lambda p: (ArrayReader(VOLUME), VOLUME),
    "numpy, foreign order and byte order": lambda p: (
        ArrayReader(VOLUME.astype(">i2"), dims="ytx"),
        VOLUME.transpose(1, 0, 2),
    ),
    "dask": lambda p: (ArrayReader(dask.array.from_array(VOLUME, chunks=(2, 10, 9))), VOLUME),
    "dask, colour last": lambda p: colour_first(
        ArrayReader(dask.array.from_array(COLOUR, chunks=(20, 20, 3))), COLOUR
    ),
    "labelled": lambda p: (read_labelled(labelled(VOLUME)), VOLUME),
    "labelled over dask": lambda p: (read_labelled(labelled(VOLUME).chunk(z=2)), VOLUME),
}


@pytest.mark.parametrize("name", CASES)
def test_the_contract(name: str, tmp_path: Path) -> None:
    if name.startswith("par") and not BUNDLED.is_dir():
        pytest.skip("this nibabel comes without its test data")
    _, expected = CASES[name](tmp_path)
    check_reader(lambda: CASES[name](tmp_path)[0], expected=expected)


class Wrong(ArrayReader):
    """A reader that breaks the contract in a way that the kit has to see."""

    def __init__(self, fault: str) -> None:
        super().__init__(VOLUME, dims="zyx")
        self.fault = fault
        if fault == "order":
            self.access = Access("sequential", "a lie", ("z", "y"))
        if fault == "silent":
            self.access = Access("sequential", "a lie", ("z", "y", "x"))

    def read(self, region: tuple[slice, ...]) -> Array:
        part = super().read(region)
        broken: dict[str, Any] = {
            "flip": part[:, ::-1],
            "type": part.astype("i4"),
            "bytes": part.astype(">i2"),
            "shape": part[0],
            "list": part.tolist(),
        }
        return cast(Array, broken.get(self.fault, part))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("flip", "does not match what was expected: .* first at"),
        ("type", "spec.dtype is"),
        ("bytes", "native|spec.dtype"),
        ("shape", "gave shape"),
        ("list", "not a numpy array"),
        ("order", "must name"),
        ("silent", "must warn once"),
    ],
)
def test_the_kit_sees_what_is_wrong(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_reader(lambda: Wrong(fault), expected=VOLUME)
