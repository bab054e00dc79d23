"""Parts of complex values, against numpy and the libraries that own the formats."""

from __future__ import annotations

import gzip
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import bigimg
from bigimg.cli import cli
from bigimg.errors import InputError, UsageError
from bigimg.reader import PARTS
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.volumes.volume_files import afni

RANDOM = np.random.default_rng(3)
VOLUME = (RANDOM.normal(size=(7, 40, 50)) + 1j * RANDOM.normal(size=(7, 40, 50))).astype(np.complex64)
OF: dict[str, Callable[[Array], Array]] = {
    "real": np.real, "imaginary": np.imag, "magnitude": np.abs, "phase": np.angle
}  # fmt: skip


def check_parts(source: Any, expected: Array) -> None:
    """Check all parts of ``source``, how it is described, and that it is refused without a part."""
    told = bigimg.info(source)
    assert any("complex" in note and "part='real', part='imaginary'" in note for note in told.notes)
    with pytest.raises(
        InputError, match=r"complex.*part='real', part='imaginary', part='magnitude', or part='phase'"
    ):
        bigimg.open(source)
    for part in PARTS:
        image = bigimg.open(source, part=part)
        wanted = OF[part](np.ascontiguousarray(expected))
        assert image.dtype == wanted.dtype == told.dtype
        np.testing.assert_array_equal(image.values, wanted, strict=True)


@pytest.mark.parametrize("dtype", ["<c8", ">c8", "<c16", ">c16"])
def test_npy(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", VOLUME.astype(dtype))
    check_parts(tmp_path / "a.npy", VOLUME.astype(dtype).astype(dtype[1:]))
    np.save(tmp_path / "f.npy", np.asfortranarray(VOLUME.astype(dtype)))
    check_parts(tmp_path / "f.npy", VOLUME.astype(dtype[1:]))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
@pytest.mark.parametrize("dtype", ["<c8", ">c16"])
def test_nifti(tmp_path: Path, name: str, dtype: str) -> None:
    kind = nib.Nifti1Pair if name.endswith("img") else nib.Nifti1Image
    header = kind.header_class(endianness=dtype[0])
    header.set_data_dtype(dtype)
    nib.save(kind(VOLUME.T.astype(dtype), np.diag([2, 3, 4, 1]), header), tmp_path / name)
    owner = np.asarray(nib.load(tmp_path / name).dataobj)
    check_parts(tmp_path / name, owner.T.astype(dtype[1:]))
    assert bigimg.open(tmp_path / name, part="phase").bigimg.spacing == {"z": 4, "y": 3, "x": 2}


def test_slope_and_intercept_belong_to_the_complex_value(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOLUME.T, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<ff", raw, 112, 0.5, 10)
    path.write_bytes(raw)
    owner = np.asarray(nib.load(path).dataobj).T.astype(np.complex128)
    for part in PARTS:
        np.testing.assert_allclose(
            bigimg.open(path, part=part).values, OF[part](owner), rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"tile": (16, 32)}, {"tile": (16, 32), "compression": "zstd"},
     {"rowsperstrip": 7, "compression": "lzma"}, {"byteorder": ">"}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_tiff(tmp_path: Path, options: dict[str, Any], dtype: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, VOLUME.astype(dtype), photometric="minisblack", metadata={"axes": "ZYX"}, **options
    )
    check_parts(path, tifffile.imread(path))


def test_samples_of_a_pixel(tmp_path: Path) -> None:
    two = np.stack([VOLUME[0], VOLUME[1]], -1)
    tifffile.imwrite(tmp_path / "a.tif", two, photometric="minisblack", planarconfig="contig", tile=(16, 16))
    check_parts(tmp_path / "a.tif", two.transpose(2, 0, 1))


def test_complex_integers_of_radar(tmp_path: Path) -> None:
    """Pairs of int16 (SampleFormat 5), as GDAL's CInt16 of Sentinel-1 has them."""
    pairs = RANDOM.integers(-3000, 3000, (40, 30, 2)).astype("<i2")
    path = tmp_path / "slc.tif"
    tifffile.imwrite(path, pairs.view("<i4")[..., 0], rowsperstrip=16)
    raw = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack_from("<H", raw, entry) == (339,):
            struct.pack_into("<H", raw, entry + 8, 5)
    path.write_bytes(raw)
    assert tifffile.imread(path).dtype == np.complex64
    check_parts(path, (pairs[..., 0] + 1j * pairs[..., 1]).astype(np.complex64))


@pytest.mark.parametrize("dtype", ["<c8", ">c8"])
def test_afni(tmp_path: Path, dtype: str) -> None:
    """Of two float32 each, as AFNI's ``mrilib.h`` defines MRI_complex."""
    times = np.stack([VOLUME.T, VOLUME.T * 2], -1)
    head = afni(tmp_path / "a+orig", times.astype(dtype))
    check_parts(head, times.T)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize(("kind", "dtype"), [("float", "<c8"), ("double", ">c16")])
def test_nrrd(tmp_path: Path, encoding: str, kind: str, dtype: str) -> None:
    order = "little" if dtype[0] == "<" else "big"
    head = f"NRRD0004\ntype: {kind}\ndimension: 4\nsizes: 2 50 40 7\nkinds: complex domain domain domain\n"
    body = VOLUME.astype(dtype).tobytes()
    packed = gzip.compress(body, 1) if encoding == "gzip" else body
    (tmp_path / "a.nrrd").write_bytes(f"{head}encoding: {encoding}\nendian: {order}\n\n".encode() + packed)
    check_parts(tmp_path / "a.nrrd", VOLUME.astype(dtype[1:]))


def test_complex_integers_of_nrrd_are_two_channels(tmp_path: Path) -> None:
    pairs = RANDOM.integers(-300, 300, (4, 5, 2)).astype("<i2")
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 5 4\nkinds: complex domain domain\n"
    (tmp_path / "a.nrrd").write_bytes(f"{head}encoding: raw\nendian: little\n\n".encode() + pairs.tobytes())
    image = bigimg.open(tmp_path / "a.nrrd")
    assert list(image.c.values) == ["real", "imaginary"]
    np.testing.assert_array_equal(image.values, pairs.transpose(2, 0, 1))


def test_folders_and_members_of_archives(tmp_path: Path) -> None:
    (tmp_path / "planes").mkdir()
    for i, plane in enumerate(VOLUME):
        tifffile.imwrite(tmp_path / "planes" / f"p{i}.tif", plane)
    check_parts(tmp_path / "planes", VOLUME)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "planes" / "p0.tif", "p0.tif")
    check_parts(f"{tmp_path}/a.zip::p0.tif", VOLUME[0])
    tifffile.imwrite(tmp_path / "planes" / "p7.tif", VOLUME[0].real)
    with pytest.raises(InputError, match=r"p7\.tif.*float32.*complex float32"):
        bigimg.open(tmp_path / "planes", part="real")


def test_readers_of_a_part_keep_the_contract(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOLUME, tile=(16, 16), compression="zlib")
    np.save(tmp_path / "a.npy", VOLUME)
    from bigimg.opening.open import open_source

    for name in ("a.tif", "a.npy"):
        check_reader(lambda name=name: open_source(tmp_path / name, part="magnitude"))
        again = pickle.loads(pickle.dumps(open_source(tmp_path / name, part="phase")))
        np.testing.assert_array_equal(again.read((slice(2, 3), slice(0, 9), slice(3, 50))),
                                      np.angle(VOLUME[2:3, :9, 3:]))  # fmt: skip


def test_command_line(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(VOLUME.T, np.eye(4)), path)

    def run(*args: object) -> None:
        assert CliRunner().invoke(cli, [*map(str, args), "-q"], catch_exceptions=False).exit_code == 0

    with pytest.raises(InputError, match="complex"):
        run("convert", path, tmp_path / "a.zarr")
    run("convert", path, tmp_path / "a.zarr", "--part", "magnitude")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.zarr").values, np.abs(VOLUME))
    run("verify", tmp_path / "a.zarr", path, "--part", "magnitude")
    run("export", path, tmp_path / "phase.npy", "--part", "phase")
    np.testing.assert_array_equal(np.load(tmp_path / "phase.npy"), np.angle(VOLUME))


def test_what_part_means_nothing_for(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VOLUME.real)
    np.save(tmp_path / "c.npy", VOLUME)
    with pytest.raises(UsageError, match=r"a\.npy: part='phase' is for complex values"):
        bigimg.open(tmp_path / "a.npy", part="phase")
    with pytest.raises(UsageError, match="'magnitude'"):
        bigimg.open(tmp_path / "c.npy", part="abs")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"numpy\.abs"):
        bigimg.open(VOLUME.real, part="real")
    with pytest.raises(InputError, match="complex64"):
        bigimg.open(VOLUME)
