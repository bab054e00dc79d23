"""Files of several parts and files behind a header, cut at many places: an error, or the pixels of the whole file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from bigimg.errors import BigimgError
from bigimg.geometry.region import full
from bigimg.readers.registry import open_file
from bigimg.types import Array

VOLUME = np.random.default_rng(5).integers(1, 250, (5, 9, 11)).astype("<i2")
META = "ObjectType = Image\nNDims = 3\nDimSize = 11 9 5\nElementType = MET_SHORT\n"
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 11 9 5\nendian: little\n"


def planes(folder: Path) -> str:
    for number, plane in enumerate(VOLUME):
        (folder / f"p{number}.raw").write_bytes(plane.tobytes())
    return "".join(f"p{number}.raw\n" for number in range(5))


def list_of_metaimage(folder: Path) -> tuple[Path, Path]:
    (folder / "a.mhd").write_text(f"{META}ElementDataFile = LIST\n{planes(folder)}")
    return folder / "a.mhd", folder / "p4.raw"


def list_itself(folder: Path) -> tuple[Path, Path]:
    path, _ = list_of_metaimage(folder)
    return path, path


def packed_metaimage(folder: Path) -> tuple[Path, Path]:
    (folder / "a.mhd").write_text(f"{META}CompressedData = True\nElementDataFile = a.zraw\n")
    (folder / "a.zraw").write_bytes(zlib.compress(VOLUME.tobytes()))
    return folder / "a.mhd", folder / "a.zraw"


def list_of_nrrd(folder: Path) -> tuple[Path, Path]:
    (folder / "a.nhdr").write_text(f"{NRRD}encoding: raw\ndata file: LIST 2\n{planes(folder)}")
    return folder / "a.nhdr", folder / "p2.raw"


def packed_nrrd(folder: Path) -> tuple[Path, Path]:
    path = folder / "a.nrrd"
    path.write_bytes(f"{NRRD}encoding: gzip\n\n".encode() + gzip.compress(VOLUME.tobytes()))
    return path, path


def nifti(folder: Path) -> tuple[Path, Path]:
    nibabel.Nifti1Image(VOLUME.T, np.eye(4)).to_filename(folder / "a.nii")
    return folder / "a.nii", folder / "a.nii"


def nifti_of_two_members(folder: Path) -> tuple[Path, Path]:
    content = nifti(folder)[0].read_bytes()
    path = folder / "a.nii.gz"
    path.write_bytes(gzip.compress(content[:700]) + gzip.compress(content[700:]))
    return path, path


def series_of_mgz(folder: Path) -> tuple[Path, Path]:
    nibabel.MGHImage(np.stack([VOLUME, VOLUME + 1]).T, np.eye(4)).to_filename(folder / "a.mgz")
    return folder / "a.mgz", folder / "a.mgz"


def frames(folder: Path, suffix: str, **options: bool) -> tuple[Path, Path]:
    first, *rest = [Image.fromarray(plane.astype("u1")) for plane in VOLUME]
    first.save(folder / f"a.{suffix}", save_all=True, append_images=rest, **options)
    return folder / f"a.{suffix}", folder / f"a.{suffix}"


def gif(folder: Path) -> tuple[Path, Path]:
    return frames(folder, "gif")


def webp(folder: Path) -> tuple[Path, Path]:
    return frames(folder, "webp", lossless=True)


def pixels(path: Path) -> Array:
    reader = open_file(path)
    try:
        return reader.read(full(reader.spec.shape))
    finally:
        reader.close()


@pytest.mark.parametrize(
    "make",
    [
        list_of_metaimage, list_itself, packed_metaimage, list_of_nrrd, packed_nrrd, nifti, nifti_of_two_members,
        series_of_mgz, gif, webp,
    ],
)  # fmt: skip
def test_every_cut_is_an_error_or_the_same_pixels(
    make: Callable[[Path], tuple[Path, Path]], tmp_path: Path
) -> None:
    path, cut = make(tmp_path)
    content, expected = cut.read_bytes(), pixels(path)
    refused = 0
    places = sorted({*np.linspace(0, len(content) - 1, 150).astype(int).tolist()})
    for place in places:
        cut.write_bytes(content[:place])
        try:
            got = pixels(path)
        except BigimgError:
            refused += 1
            continue
        np.testing.assert_array_equal(got, expected, err_msg=f"cut at {place}")
    assert refused >= len(places) - 1  # a text may lose its last line break
