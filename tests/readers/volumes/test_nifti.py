"""NIfTI against nibabel: values, geometry, units, and files that are cut or wrong."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import BigimgError, InputError, InputNotFoundError, UsageError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB, RGBA, Scaling
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.readers.volumes.nifti import open_nifti
from bigimg.types import Array, Region

NAMES = [
    "nifti/DCM2NIIX_regression_test_4.nii",
    "nifti/HCP-MMP1_on_MNI152_ICBM2009a_nlin.nii.gz",
    "nifti/anatomical.nii",
    "nifti/anatomical.nii.gz",
    "nifti/avg152T1_LR_nifti.nii.gz",
    "nifti/ch2.nii.gz",
    "nifti/example4d.nii.gz",
    "nifti/example_nifti2.nii.gz",
    "nifti/functional.nii",
    "nifti/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
    "nifti/reoriented_anat_moved.nii",
    "analyze/t00740_tr1_segm.img",
]


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def save(path: Path, array: Array, kind: type = nibabel.Nifti1Image, **fields: Any) -> Path:
    image = kind(array, np.diag([2.0, 3.0, 4.0, 1.0]))
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_real_images_are_nibabels(name: str, data: Path, index: dict[str, dict[str, str]]) -> None:
    image = nibabel.load(data / name)
    reader = open_file(data / name)
    spec = reader.spec
    np.testing.assert_allclose(index_to_world(spec.axes, spec.world), image.affine, rtol=0, atol=1e-12)
    assert spec.dtype == image.dataobj.dtype.newbyteorder("=")
    json.dumps(dict(spec.meta), allow_nan=False)
    got = whole(reader)
    np.testing.assert_array_equal(got, image.dataobj.get_unscaled().T.reshape(got.shape))
    stored = got.T.astype(got.dtype.newbyteorder("<")).tobytes()
    assert hashlib.sha256(stored).hexdigest() == index[name]["pixels_sha256"]
    if spec.scaling is None:
        assert (image.dataobj.slope, image.dataobj.inter) == (1.0, 0.0)
    else:
        assert spec.scaling == Scaling(image.dataobj.slope, image.dataobj.inter)


def test_axes_have_spacing_unit_and_origin(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5, 6), "i2"), np.eye(4))
    image.header.set_zooms((0.5, 0.25, 2.0, 1500.0))
    image.header.set_xyzt_units("micron", "msec")
    image.header["toffset"] = 40
    image.set_sform([[-0.5, 0, 0, 7], [0, 0.25, 0, 8], [0, 0, 2, 9], [0, 0, 0, 1]], "scanner")
    nibabel.save(image, tmp_path / "a.nii")
    reader = open_file(tmp_path / "a.nii")
    reader.close()
    assert [(a.name, a.size, a.spacing, a.unit, a.origin) for a in reader.spec.axes] == [
        ("t", 6, 1500.0, "millisecond", 40.0),
        ("z", 5, 2.0, "micrometer", 0.0),
        ("y", 4, 0.25, "micrometer", 0.0),
        ("x", 3, 0.5, "micrometer", 0.0),
    ]
    world = index_to_world(reader.spec.axes, reader.spec.world)  # in millimetres, the file in micrometres
    np.testing.assert_allclose(world[:3], image.affine[:3] / 1000, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((7, 5), "yx"),
        ((7, 5, 1), "zyx"),  # one slice of a volume is still a volume
        ((7, 5, 1, 1), "zyx"),
        ((7, 5, 4, 3), "tzyx"),
        ((7, 5, 1, 3), "tzyx"),
        ((7, 5, 4, 1, 2), "czyx"),  # a field of vectors
        ((7, 5, 4, 3, 2), "tczyx"),
        ((7, 5, 4, 3, 2, 1, 1), "tczyx"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_axes_by_shape(tmp_path: Path, shape: tuple[int, ...], dims: str, suffix: str) -> None:
    array = np.arange(np.prod(shape), dtype="i2").reshape(shape)
    reader = open_file(save(tmp_path / f"a{suffix}", array))
    assert "".join(reader.spec.dims) == dims
    expected = array.reshape((*shape, *(1,) * (5 - len(shape)))[:5]).transpose(3, 4, 2, 1, 0)  # t c z y x
    got = whole(reader)
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)


@pytest.mark.parametrize(("colours", "channels"), [("RGB", RGB), ("RGBA", RGBA)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_colours_become_channels(tmp_path: Path, colours: str, channels: Any, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 5, 6, len(colours)), np.uint8)
    array = noise.view([(name, "u1") for name in colours])[..., 0]
    reader = open_file(save(tmp_path / f"a{suffix}", array))
    assert reader.spec.channels == channels
    assert reader.spec.dims == ("c", "z", "y", "x")
    np.testing.assert_array_equal(whole(reader), noise.transpose(3, 2, 1, 0))


def test_what_the_header_means(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 5), "i2")
    path = save(tmp_path / "a.nii", array, descrip=b"a scan", intent_code=1002, cal_min=-5, cal_max=60)
    reader = open_file(path)
    reader.close()
    assert reader.spec.kind == "labels"
    assert reader.spec.window == (-5.0, 60.0)
    assert reader.spec.scaling is None
    assert reader.spec.private["descrip"] == "a scan"
    assert reader.spec.meta["sform_code"] == 2
    floats = open_file(save(tmp_path / "b.nii", array.astype("f4"), intent_code=1002))
    floats.close()
    assert floats.spec.kind == "image"  # labels that are fractions are none


def test_a_header_that_says_little_is_doubted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.zeros((3, 4, 5, 6), "i2"), xyzt_units=0)
    head = bytearray(path.read_bytes())
    head[252:256] = bytes(4)  # qform_code and sform_code
    head[76 + 4 * 4 : 76 + 5 * 4] = np.array(0, "<f4").tobytes()  # pixdim[4], the repetition time
    path.write_bytes(head)
    reader = open_file(path)
    reader.close()
    assert [axis.unit for axis in reader.spec.axes] == [None] * 4
    assert reader.spec.axes[0].spacing == 1.0
    assert any("no spacing along t" in note for note in reader.spec.notes)
    assert any("no affine" in note for note in reader.spec.notes)
    np.testing.assert_allclose(
        index_to_world(reader.spec.axes, reader.spec.world), nibabel.load(path).affine, rtol=0, atol=1e-12
    )


def test_the_extension_is_not_what_matters(tmp_path: Path) -> None:
    array = np.arange(60, dtype="i2").reshape(3, 4, 5)
    save(tmp_path / "a.nii.gz", array).rename(tmp_path / "scan.dat")
    np.testing.assert_array_equal(whole(open_file(tmp_path / "scan.dat")), array.T)


@pytest.mark.parametrize("asked", ["a.hdr", "a.img"])
def test_a_pair_is_opened_by_either_name(tmp_path: Path, asked: str) -> None:
    array = np.arange(60, dtype="i2").reshape(3, 4, 5)
    save(tmp_path / "a.img", array, nibabel.Nifti1Pair)
    reader = open_file(tmp_path / asked)
    assert reader.source == str(tmp_path / asked)
    np.testing.assert_array_equal(whole(reader), array.T)


def test_a_pair_without_pixels_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.img", np.zeros((3, 4, 5), "i2"), nibabel.Nifti1Pair).unlink()
    with pytest.raises(InputNotFoundError, match=r"a\.hdr: its pixels should be in .*a\.img"):
        open_file(tmp_path / "a.hdr")


@pytest.mark.parametrize("code", [1, 1536, 2048, 999])
def test_types_that_numpy_lacks_are_refused(tmp_path: Path, code: int) -> None:
    path = save(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2"))
    head = bytearray(path.read_bytes())
    head[70:72] = np.array(code, "<i2").tobytes()
    path.write_bytes(head)
    with pytest.raises(InputError, match=r"a\.nii: "):
        open_file(path)


def test_noise_for_a_place_or_an_affine(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2"))
    head = bytearray(path.read_bytes())
    head[280:284] = np.array(np.nan, "<f4").tobytes()  # srow_x
    path.write_bytes(head)
    reader = open_file(path)
    reader.close()
    assert reader.spec.world is None
    assert any("the sform is not finite or singular" in note for note in reader.spec.notes)
    head[108:112] = np.array(np.nan, "<f4").tobytes()  # vox_offset
    path.write_bytes(head)
    with pytest.raises(InputError, match=r"a\.nii: .* no valid offset of the pixels"):
        open_file(path)


def _with_forms(
    path: Path, sform: Any, qform: Any, shape: tuple[int, ...] = (4, 5, 6), **fields: Any
) -> Path:
    """Write a file with these affines; None for a code of 0."""
    image = nibabel.Nifti1Image(np.zeros(shape, "i2"), None)
    image.header.set_qform(qform, 0 if qform is None else 1)
    image.header.set_sform(sform, 0 if sform is None else 2)
    for name, value in fields.items():
        image.header[name] = value
    path.write_bytes(image.header.binaryblock + bytes(4) + bytes(2 * math.prod(shape)))
    return path


def _affine(reader: Reader) -> Array:
    return index_to_world(reader.spec.axes, reader.spec.world)


RAS, LAS = np.diag([2.0, 3, 4, 1]), np.diag([-2.0, 3, 4, 1])
MOVED = RAS + np.array([[0, 0, 0, 5.0], [0] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("sform", "qform", "words"),
    [
        (RAS, LAS, "up to 12 apart, where the axes run LAS and not RAS"),
        (RAS, RAS[[1, 0, 2, 3]] @ np.diag([1, 1, 1, 1.0]), "where the axes run ARS and not RAS"),
        (MOVED, RAS, "up to 5 apart; the sform is used"),
        (RAS, RAS + 1e-4, ""),
        (RAS, None, ""),
        (None, LAS, ""),
    ],
)
def test_sform_and_qform_that_differ_are_said(sform: Any, qform: Any, words: str, tmp_path: Path) -> None:
    path = _with_forms(tmp_path / "a.nii", sform, qform)
    reader = open_file(path)
    said = " ".join(note for note in reader.spec.notes if "form" in note)
    assert words in said if words else not said
    expected = nibabel.load(path).affine
    np.testing.assert_allclose(_affine(reader), expected, atol=1e-6)


@pytest.mark.parametrize(
    "singular", [np.diag([0.0, 0, 0, 1]), np.diag([2.0, 3, 0, 1]), RAS[[0, 0, 2, 3]], RAS * np.nan]
)
def test_a_singular_sform_gives_way_to_the_qform(singular: Array, tmp_path: Path) -> None:
    path = _with_forms(tmp_path / "a.nii", singular, LAS)
    reader = open_file(path)
    np.testing.assert_allclose(_affine(reader), LAS, atol=1e-6)
    assert any(
        "sform is not finite or singular" in note and "qform is used" in note for note in reader.spec.notes
    )
    alone = open_file(_with_forms(tmp_path / "b.nii", singular, None, pixdim=[1, 2, 3, 4, 0, 0, 0, 0]))
    assert alone.spec.world is None
    assert [axis.spacing for axis in alone.spec.axes] == [4, 3, 2]


def test_a_single_slice_needs_no_direction_across(tmp_path: Path) -> None:
    flat = np.diag([2.0, 3, 0, 1])
    reader = open_file(_with_forms(tmp_path / "a.nii", flat, None, (4, 5, 1)))
    np.testing.assert_allclose(_affine(reader), np.diag([2.0, 3, 1, 1]))


@pytest.mark.parametrize("quaternion", [(0.8, 0.8, 0), (0, 0, 1.2), (1, 1, 1), (0.6, 0.0, 0.9)])
def test_a_quaternion_longer_than_one_is_shortened(quaternion: tuple[float, ...], tmp_path: Path) -> None:
    fields = dict(zip(("quatern_b", "quatern_c", "quatern_d"), quaternion, strict=True))
    reader = open_file(_with_forms(tmp_path / "a.nii", None, RAS, **fields))
    b, c, d = np.array(quaternion) / np.linalg.norm(quaternion)  # and a = 0, by the rule of nifti1_io.c
    turned = 2 * np.outer([b, c, d], [b, c, d]) - np.eye(3)
    np.testing.assert_allclose(_affine(reader)[:3, :3], turned * [2, 3, 4], atol=1e-3)
    assert any("quaternion" in note for note in reader.spec.notes)


def test_spacings_that_contradict_the_affine_are_those_of_the_affine(tmp_path: Path) -> None:
    path = _with_forms(tmp_path / "a.nii", RAS, None, pixdim=[1, 1, 1, 1, 0, 0, 0, 0])
    reader = open_file(path)
    assert [axis.spacing for axis in reader.spec.axes] == [4, 3, 2]
    np.testing.assert_allclose(_affine(reader), nibabel.load(path).affine)
    assert any("pixdim says a spacing of 1 x 1 x 1, and the affine 2 x 3 x 4" in n for n in reader.spec.notes)


@pytest.mark.parametrize("cuts", [(200,), (1, 3, 347), (348,), (349, 352, 360)])
@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
def test_gzip_members_are_one_stream(cuts: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    array = np.arange(60, dtype="i2").reshape(3, 4, 5)
    kind = nibabel.Nifti1Image if suffix == ".nii.gz" else nibabel.MGHImage
    nibabel.save(kind(array, np.eye(4)), tmp_path / f"a{suffix}")
    raw = gzip.decompress((tmp_path / f"a{suffix}").read_bytes())
    ends = (0, *cuts, len(raw))
    parts = [gzip.compress(raw[start:stop]) for start, stop in itertools.pairwise(ends)]
    (tmp_path / f"b{suffix}").write_bytes(b"".join(parts))
    np.testing.assert_array_equal(whole(open_file(tmp_path / f"b{suffix}")), array.T)


@pytest.mark.parametrize("packing", ["bz2", "zst", "gz"])
@pytest.mark.parametrize("name", ["a.nii", "a.img"])
def test_compressed_files_are_one_pass(name: str, packing: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 99, (30, 40, 50)).astype("i2")
    plain = tmp_path / "plain" / name
    plain.parent.mkdir()
    kind = nibabel.Nifti1Image if name == "a.nii" else nibabel.Nifti1Pair
    nibabel.save(kind(array, np.diag([2.0, 3, 4, 1])), plain)
    for file in plain.parent.iterdir():
        raw = file.read_bytes()
        parts = [raw[:20_000], raw[20_000:]]  # members or frames follow one another
        (tmp_path / f"{file.name}.{packing}").write_bytes(b"".join(_compressed(packing, p) for p in parts))
    path = tmp_path / f"{name}.{packing}"
    reader = open_file(path)
    assert reader.access.kind == "sequential"
    np.testing.assert_array_equal(whole(reader), array.T)
    np.testing.assert_allclose(_affine(reader), np.diag([2.0, 3, 4, 1]))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=re.escape(path.name)):
        whole(open_file(path))


def _compressed(packing: str, content: bytes) -> bytes:
    if packing == "zst":
        zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        return bytes(zstd.compress(content))
    return {"bz2": bz2.compress, "gz": gzip.compress}[packing](content)


def test_seven_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.nii: has 7 axes"):
        open_file(save(tmp_path / "a.nii", np.zeros((3, 4, 5, 1, 1, 1, 2), "i2")))


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"not a header" * 100)
    with pytest.raises(InputError, match=r"a\.nii: has no NIfTI or Analyze header"):
        open_nifti(str(tmp_path / "a.nii"))
    (tmp_path / "b.nii").write_bytes(b"")
    with pytest.raises(InputError, match=r"b\.nii"):
        open_nifti(str(tmp_path / "b.nii"))
    with pytest.raises(InputNotFoundError, match=r"none\.nii"):
        open_nifti(str(tmp_path / "none.nii"))
    with pytest.raises(InputError, match="cannot be read"):
        open_nifti(str(tmp_path))


def test_a_second_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="series 1"):
        open_file(save(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2")), series=1)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.005, 0.5, 0.9999])
def test_a_cut_nii_is_refused_at_once(tmp_path: Path, data: Path, part: float) -> None:
    path = tmp_path / "cut.nii"
    shutil.copy(data / "nifti/functional.nii", path)
    os.truncate(path, int(part * path.stat().st_size))
    with pytest.raises(InputError, match=r"cut\.nii"):
        open_file(path)


@pytest.mark.parametrize("cut", [0, 1, 12, 300, 5_000, -4_000, -9, -8, -4, -1])
def test_a_cut_gzip_is_an_error_with_its_place(tmp_path: Path, data: Path, cut: int) -> None:
    content = (data / "nifti/example_nifti2.nii.gz").read_bytes()
    path = tmp_path / "cut.nii.gz"
    path.write_bytes(content[:cut])
    with pytest.raises(
        InputError, match=r"cut\.nii(\.gz: gzip stream is truncated .* after \d+ of \d+ bytes)?"
    ):
        whole(open_file(path))


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9, 0.9999])
def test_a_flipped_byte_in_a_gzip_is_an_error(tmp_path: Path, data: Path, part: float) -> None:
    content = bytearray((data / "nifti/anatomical.nii.gz").read_bytes())
    content[int(part * len(content))] ^= 0xFF
    path = tmp_path / "flipped.nii.gz"
    path.write_bytes(content)
    reader = open_file(path)
    depth, *plane = full(reader.spec.shape)
    bands = ((slice(z, z + 1), *plane) for z in range(depth.stop))  # a pass as convert makes it
    with pytest.raises(InputError, match=r"flipped\.nii\.gz: gzip stream is truncated or corrupt after \d+"):
        list(map(reader.read, bands))
    reader.close()


def test_a_gzip_far_too_short_for_its_header_is_refused_at_once(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2"))
    head = bytearray(path.read_bytes())
    head[42:48] = np.array([30000] * 3, "<i2").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(head))
    with pytest.raises(InputError, match="of gzip cannot hold them"):
        open_file(tmp_path / "a.nii.gz")


def test_zeros_after_the_pixels_do_not_matter(tmp_path: Path) -> None:
    array = np.arange(60, dtype="i2").reshape(3, 4, 5)
    path = save(tmp_path / "a.nii", array)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(path.read_bytes() + bytes(99)) + bytes(512))
    np.testing.assert_array_equal(whole(open_file(tmp_path / "b.nii.gz")), array.T)


def test_going_back_warns_once_and_forwards_never(tmp_path: Path) -> None:
    array = np.arange(600, dtype="i2").reshape(5, 4, 30)
    reader = open_file(save(tmp_path / "a.nii.gz", array))

    def plane(z: int) -> Region:
        return (slice(z, z + 1), slice(0, 4), slice(0, 5))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for z in (0, 1, 7, 29):  # skipping is not going back
            np.testing.assert_array_equal(reader.read(plane(z))[0], array.T[z])
    with pytest.warns(UserWarning, match=r"a\.nii\.gz: is read backwards, .* bigimg.convert"):
        np.testing.assert_array_equal(reader.read(plane(3))[0], array.T[3])
    np.testing.assert_array_equal(reader.read(plane(2))[0], array.T[2])
    reader.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(at=st.integers(0, 347), value=st.integers(0, 255), more=st.binary(max_size=4))
def test_a_wrong_header_is_an_error_of_ours_or_none(tmp_path: Path, at: int, value: int, more: bytes) -> None:
    path = tmp_path / "a.nii"
    save(path, np.zeros((3, 4, 5), "i2"))
    head = bytearray(path.read_bytes())
    head[at : at + 1 + len(more)] = bytes([value]) + more
    path.write_bytes(head)
    said: BigimgError | None = None
    try:
        reader = open_file(path)
    except BigimgError as error:
        said = error
    if said is not None:
        assert "a.nii" in str(said)
        assert "\n" not in str(said)
        return
    json.dumps(dict(reader.spec.meta), allow_nan=False)
    whole(reader)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Spm99AnalyzeImage])
def test_who_was_imaged_is_kept_apart(kind: type, tmp_path: Path) -> None:
    image = kind(np.zeros((3, 4, 5), np.int16), np.eye(4))
    image.header["db_name"], image.header["descrip"] = b"Roe^Jane", b"a phantom"
    nibabel.save(image, tmp_path / "a.img")
    spec = open_file(tmp_path / "a.img").spec
    assert (spec.private["db_name"], spec.private["descrip"]) == ("Roe^Jane", "a phantom")
    assert "Roe" not in str(spec.meta)
