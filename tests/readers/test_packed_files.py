"""Files that are compressed as a whole: each kind of packing of each format of plain numbers, by one mechanism."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

import bigimg
from bigimg.errors import InputError, UnknownFormatError
from tests.readers.dicom.dicom_files import header, save
from tests.readers.volumes.volume_files import BUNDLED

zstd: Any = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstd.compress,
}
VOLUME = np.random.default_rng(4).integers(0, 3000, (5, 6, 7)).astype(np.int16)


def bytes_of(image: Any, ending: str, folder: Path) -> bytes:
    nib.save(image, folder / f"made{ending}")
    return (folder / f"made{ending}").read_bytes()


def content(ending: str, folder: Path) -> bytes:
    """Return a file with this ending."""
    if ending == ".nii":
        return bytes_of(nib.Nifti1Image(VOLUME.T, np.diag([2, 3, 4, 1])), ending, folder)
    if ending == ".mgh":
        return bytes_of(nib.MGHImage(VOLUME.T, np.diag([2, 3, 4, 1])), ending, folder)
    if ending == ".npy":
        np.save(folder / "made.npy", VOLUME)
        return (folder / "made.npy").read_bytes()
    save(header(VOLUME[0].astype(np.uint16), PixelSpacing=[2, 3]), folder / "made.dcm")
    return (folder / "made.dcm").read_bytes()


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("ending", [".nii", ".mgh", ".npy", ".dcm"])
def test_every_packing_of_every_format(tmp_path: Path, ending: str, packing: str) -> None:
    path = tmp_path / f"a{ending}{packing}"
    path.write_bytes(PACK[packing](content(ending, tmp_path)))
    expected = VOLUME[0] if ending == ".dcm" else VOLUME
    image = bigimg.open(path)
    np.testing.assert_array_equal(image.values, expected)
    assert bigimg.info(path).access == ("whole" if ending == ".dcm" else "sequential")
    path.rename(path.with_name("without ending"))  # the content says it
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "without ending"), expected)


@pytest.mark.parametrize("packing", PACK)
def test_a_series_of_freesurfer_has_its_time_step(tmp_path: Path, packing: str) -> None:
    image = nib.MGHImage(np.stack([VOLUME.T, VOLUME.T + 1], -1), np.eye(4))
    image.header.set_zooms((1, 1, 1, 2500.0))
    path = tmp_path / f"a.mgh{packing}"
    path.write_bytes(PACK[packing](bytes_of(image, ".mgh", tmp_path)))
    assert bigimg.open(path).bigimg.spacing["t"] == 2500


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this nibabel comes without its test data")
@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("given", ["HEAD", "BRIK"])
def test_afni(tmp_path: Path, packing: str, given: str) -> None:
    (tmp_path / "a+orig.HEAD").write_bytes((BUNDLED / "example4d+orig.HEAD").read_bytes())
    pixels = gzip.decompress((BUNDLED / "example4d+orig.BRIK.gz").read_bytes())
    (tmp_path / f"a+orig.BRIK{packing}").write_bytes(PACK[packing](pixels))
    path = tmp_path / ("a+orig.HEAD" if given == "HEAD" else f"a+orig.BRIK{packing}")
    owner = np.asarray(nib.load(BUNDLED / "example4d+orig.HEAD").dataobj)
    np.testing.assert_array_equal(bigimg.imread(path), owner.T)


@pytest.mark.parametrize("packing", PACK)
def test_dicom_folders_may_be_packed(tmp_path: Path, packing: str) -> None:
    for z, plane in enumerate(VOLUME.astype(np.uint16)):
        made = header(plane, ImagePositionPatient=[0, 0, 2.0 * z], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                      PixelSpacing=[1, 1], InstanceNumber=z)  # fmt: skip
        raw = io.BytesIO()
        made.save_as(raw, enforce_file_format=True)
        (tmp_path / f"{z}.dcm{packing}").write_bytes(PACK[packing](raw.getvalue()))
    np.testing.assert_array_equal(bigimg.imread(tmp_path), VOLUME)


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("ending", [".nii", ".mgh", ".npy", ".dcm"])
def test_a_cut_file_is_damage(tmp_path: Path, ending: str, packing: str) -> None:
    packed = PACK[packing](content(ending, tmp_path))
    for size in (12, len(packed) // 2, len(packed) - 5):
        path = tmp_path / f"a{ending}{packing}"
        path.write_bytes(packed[:size])
        with pytest.raises(InputError, match=rf"a\{ending}\{packing}: ") as refused:
            bigimg.imread(path)
        assert ending != ".npy" or "header" not in str(refused.value)  # it is behind the cut


@pytest.mark.parametrize("packing", PACK)
def test_other_formats_are_to_be_unpacked(tmp_path: Path, packing: str) -> None:
    Image.fromarray(VOLUME[0].astype(np.uint8)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", VOLUME)
    for name in ("a.png", "a.tif"):
        (tmp_path / (name + packing)).write_bytes(PACK[packing]((tmp_path / name).read_bytes()))
        with pytest.raises(
            UnknownFormatError,
            match=r"(PNG|TIFF).* in \w+, and can only be read unpacked; unpack",
        ):
            bigimg.open(tmp_path / (name + packing))


def test_what_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm.zst"
    path.write_bytes(zstd.compress(content(".dcm", tmp_path) + bytes(80 << 20)))
    with pytest.raises(InputError, match=r"a\.dcm\.zst: is in zstd and inflates to more than 64 MiB"):
        bigimg.open(path)
