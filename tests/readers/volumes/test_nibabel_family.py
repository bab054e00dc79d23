"""MGH, MINC, AFNI, PAR/REC, ECAT and SPM against nibabel: voxels, affines, axes, scaling, and what is refused."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import BigimgError, InputError, InputNotFoundError, MissingExtraError, UnknownFormatError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.region import full
from bigimg.geometry.spec import Channel, Scaling
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.types import Array
from bigimg.version import install_line
from tests.readers.volumes.volume_files import BUNDLED, afni, ecat, mgh, minc1, minc2, par

REAL = [
    "afni/scaled+tlrc.HEAD",
    "analyze/t00740_tr1_segm.img",
    "ecat/tinypet.v",
    "mgh/brain.mgz",
    "minc/minc1_4d.mnc",
    "minc/minc2_4d.mnc",
    "minc/small.mnc",
    "parrec/phantom_EPI_asc_CLEAR_2_1.PAR",
    "parrec/phantom_varscale.PAR",
]
OURS = {"xspace": "x", "yspace": "y", "zspace": "z", "time": "t"}


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def real(reader: Reader) -> Array:
    scaling = reader.spec.scaling or Scaling(1, 0)
    return whole(reader) * scaling.slope + scaling.intercept


def theirs(path: Path) -> tuple[Array, Array]:
    """Return what nibabel reads: real values and affine, with axes in our order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of doubts, and of files that nibabel leaves open
        strict = {"strict_sort": True} if path.suffix == ".PAR" else {}
        image: Any = nibabel.ecat.load(path) if path.suffix == ".v" else nibabel.load(path, **strict)
        values, affine = np.array(image.dataobj), np.array(image.affine)
        dims = list(image.dataobj.minc_file._dim_names) if path.suffix == ".mnc" else []
        del image
        gc.collect()
    names = ["x", "y", "z", "t"][: values.ndim]
    if path.suffix == ".mnc":
        names = [OURS[name] for name in dims]
        space = [name for name in names if name != "t"]
        affine = affine[:, [*(space.index(name) for name in "xyz"), 3]]
    return values.transpose([names.index(name) for name in "tzyx" if name in names]), affine


def agrees(path: Path) -> Reader:
    """Check that voxels and affine are nibabel's, and return the reader."""
    reader = open_file(path)
    values, affine = theirs(path)
    spec = reader.spec
    np.testing.assert_allclose(index_to_world(spec.axes, spec.world), affine, rtol=0, atol=1e-12)
    json.dumps([dict(spec.meta), dict(spec.private)], allow_nan=False)
    if spec.scaling is None:  # real values of ours are rounded once, from float64
        np.testing.assert_array_equal(whole(reader), values.astype(spec.dtype).reshape(spec.shape))
    else:
        np.testing.assert_allclose(real(reader), values.reshape(spec.shape), rtol=1e-12, atol=0)
    return reader


@pytest.mark.parametrize("name", REAL)
def test_real_images_are_nibabels(name: str, data: Path, index: dict[str, dict[str, str]]) -> None:
    if name in ("minc/minc2_4d.mnc", "minc/small.mnc"):
        pytest.importorskip("h5py", reason="MINC 2 needs the extra hdf5")
    reader = agrees(data / name)
    if any("not stored ones" in note for note in reader.spec.notes):
        return
    # ECAT has only real values in nibabel; MINC lies in the order of its file, the others are x y z t.
    pixels = real(open_file(data / name)) if name.startswith("ecat") else whole(open_file(data / name))
    flat = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes(
        order="C" if name.startswith("minc") else "F"
    )
    assert hashlib.sha256(flat).hexdigest() == index[name]["pixels_sha256"]


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        ("afni/scaled+tlrc.BRIK", "afni/scaled+tlrc.HEAD"),
        ("parrec/phantom_varscale.REC", "parrec/phantom_varscale.PAR"),
        ("analyze/t00740_tr1_segm.hdr", "analyze/t00740_tr1_segm.img"),
    ],
)
def test_a_pair_is_opened_by_either_name(asked: str, same: str, data: Path) -> None:
    reader, other = open_file(data / asked), open_file(data / same)
    assert reader.source == str(data / asked)
    assert reader.spec == other.spec
    np.testing.assert_array_equal(whole(reader), whole(other))


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this nibabel comes without its test data")
@pytest.mark.parametrize(
    "name", ["minc1_1_scale.mnc", "minc1-no-att.mnc", "example4d+orig.HEAD", "example4d+orig.BRIK.gz",
             "minc2_1_scale.mnc", "minc2-no-att.mnc", "minc2-4d-d.mnc", "minc2_baddim.mnc"],
)  # fmt: skip
def test_what_nibabel_ships(name: str) -> None:
    if name.startswith("minc2"):
        pytest.importorskip("h5py", reason="MINC 2 needs the extra hdf5")
    agrees(BUNDLED / name)


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this nibabel comes without its test data")
@pytest.mark.parametrize(
    "name",
    [
        "T2-interleaved.PAR",  # slices of a volume are not in order
        "T1_3echo_mag_real_imag_phase.PAR",  # each kind of image has a scale of its own
        "DTI.PAR",
        "fieldmap.PAR",
        "ASL_3D_Multiecho.PAR",
        "Phantom_EPI_3mm_cor_20APtrans_15RLrot_SENSE_15_1.PAR",  # oblique
    ],
)
def test_slices_of_a_rec_in_any_order(name: str, tmp_path: Path) -> None:
    path = par(tmp_path, name)
    with path.open(encoding="latin-1") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = nibabel.parrec.PARRECHeader.from_fileobj(file, strict_sort=True)
    assert header.get_data_shape()[0] > 1
    reader = agrees(path)
    labels = header.get_volume_labels()
    timed = len(header.get_data_shape()) > 3 and header.general_info["dyn_scan"]
    timed = timed and not set(labels) - {"dynamic scan number"}
    assert ("t" in reader.spec.dims and reader.spec.axes[0].unit == "second") == bool(timed)
    for label, values in labels.items():
        assert reader.spec.meta[label] == values.tolist()


def _mixed(folder: Path, name: str, *, lines: bool, places: bool) -> tuple[Path, Array]:
    """Write a PAR of nibabel's with its lines, the places in the REC, or both in another order.

    Return it, and the stored values that each line describes.
    """
    path = par(folder, name, side=6)
    text = path.read_text(encoding="latin-1").split("\n")
    at = [i for i, line in enumerate(text) if line.strip() and line[0] not in "#."]
    rows = [text[i].split() for i in at]
    rng = np.random.default_rng(3)
    rows = [rows[i] for i in rng.permutation(len(rows))] if lines else rows
    order = rng.permutation(len(rows)) if places else np.arange(len(rows))
    for row, place in zip(rows, order, strict=True):
        row[6] = str(place)
    path.write_text("\n".join([*text[: at[0]], *(" ".join(r) for r in rows), *text[at[-1] + 1 :]]), "latin-1")
    stored = np.fromfile(path.with_suffix(".REC"), "<u2").reshape(-1, 6, 6)
    return path, stored[order]


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this nibabel comes without its test data")
@pytest.mark.parametrize(
    "name", ["phantom_EPI_asc_CLEAR_2_1.PAR", "T1_3echo_mag_real_imag_phase.PAR", "DTI.PAR"]
)
@pytest.mark.parametrize(("lines", "places"), [(True, False), (False, True), (True, True)])
def test_volumes_of_a_rec_follow_the_par(name: str, lines: bool, places: bool, tmp_path: Path) -> None:
    path, stored = _mixed(tmp_path, name, lines=lines, places=places)
    with path.open(encoding="latin-1") as file:
        header = nibabel.parrec.PARRECHeader.from_fileobj(file, strict_sort=True)
    order = header.get_sorted_slice_indices()  # of lines: nibabel does not look at the places
    slope, intercept = (header.image_defs[f"rescale {n}"][order, None, None] for n in ("slope", "intercept"))
    expected = (stored[order] * slope + intercept).reshape(*header.get_data_shape()[:1:-1], 6, 6)
    np.testing.assert_allclose(real(open_file(path)), expected, rtol=1e-6)


def test_a_par_whose_places_say_nothing(tmp_path: Path, data: Path) -> None:
    for suffix in (".PAR", ".REC"):
        shutil.copy(data / f"parrec/phantom_EPI_asc_CLEAR_2_1{suffix}", tmp_path / f"a{suffix}")
    expected = agrees(tmp_path / "a.PAR")
    text = (tmp_path / "a.PAR").read_text("latin-1")
    (tmp_path / "a.PAR").write_text(re.sub(r"(?m)^( *(?:\d+ +){6})\d+", r"\1 0", text), "latin-1")
    found = open_file(tmp_path / "a.PAR")
    assert any("order of the lines" in note for note in found.spec.notes)
    np.testing.assert_array_equal(whole(found), whole(expected))


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "i2", "u2"])
@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
def test_mgh_of_every_type(dtype: str, suffix: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 200, (3, 4, 5)).astype(dtype)
    path = mgh(tmp_path / f"a{suffix}", array)
    reader = agrees(path)
    assert reader.access.kind == ("random" if suffix == ".mgh" else "sequential")
    assert reader.spec.dtype == np.dtype(dtype)
    with nibabel.openers.ImageOpener(path) as file:
        header = nibabel.freesurfer.MGHImage.header_class.from_fileobj(file)
    assert reader.spec.meta["Pxyz_c"] == [float(v) for v in header["Pxyz_c"]]


@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
def test_a_series_of_mgh_has_its_time(suffix: str, tmp_path: Path) -> None:
    array = np.arange(120, dtype="i2").reshape(2, 3, 4, 5)
    reader = agrees(mgh(tmp_path / f"a{suffix}", array, tr=2300.0))
    assert [(a.name, a.spacing, a.unit) for a in reader.spec.axes[:1]] == [("t", 2300.0, "millisecond")]


def test_mgh_without_a_position_says_so(tmp_path: Path) -> None:
    path = mgh(tmp_path / "a.mgh", np.ones((3, 4, 5), "u1"))
    content = bytearray(path.read_bytes())
    content[28:30] = bytes(2)
    path.write_bytes(content)
    assert any("goodRASFlag" in note for note in agrees(path).spec.notes)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<f4"])
def test_afni_in_time(dtype: str, packed: bool, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 200, (3, 4, 5, 6)).astype(dtype)
    reader = agrees(afni(tmp_path / "a+orig", array, packed=packed))
    t = reader.spec.axes[0]
    assert (t.name, t.spacing, t.unit, t.origin) == ("t", 2000.0, "millisecond", 500.0)
    assert reader.spec.meta["TYPESTRING"] == "3DIM_HEAD_ANAT"


def test_afni_factors(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 200, (3, 4, 5, 3)).astype("<i2")
    one = agrees(afni(tmp_path / "one+orig", array, factors=[0.25] * 3))
    assert one.spec.scaling == Scaling(0.25, 0.0)
    assert one.spec.dtype == np.int16
    for packed in (False, True):
        several = agrees(afni(tmp_path / f"{packed}+orig", array, factors=[0.25, 0, 3], packed=packed))
        assert several.spec.scaling is None
        assert several.spec.dtype == np.float32
        assert any("sub-brick has its own slope" in note for note in several.spec.notes)


def test_afni_bucket_has_channels(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 200, (3, 4, 5, 2)).astype("<f4")
    reader = agrees(afni(tmp_path / "a+orig", array, labels="Coef~Tstat", timed=False))
    assert reader.spec.dims == ("c", "z", "y", "x")
    assert reader.spec.channels == (Channel("Coef"), Channel("Tstat"))


@pytest.mark.parametrize("orientation", [0, 3, 8])
@pytest.mark.parametrize("factors", [[2.0, 2.0, 2.0], [1.0, 2.0, 0.5]])
def test_ecat_of_frames(orientation: int, factors: list[float], tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-99, 99, (3, 4, 5, 6))
    reader = agrees(ecat(tmp_path / "a.v", array, factors=factors, orientation=orientation))
    assert reader.spec.axes[0].spacing == 60_000.0
    assert reader.spec.axes[0].unit == "millisecond"
    assert (reader.spec.scaling is None) == (len(set(factors)) > 1)
    assert reader.spec.private["facility_name"] == "a hospital"
    assert "facility_name" not in reader.spec.meta


def test_ecat_frames_at_odd_times_say_so(tmp_path: Path) -> None:
    array = np.ones((2, 3, 3, 3))
    reader = open_file(ecat(tmp_path / "a.v", array, factors=[1, 1], gap=0))
    assert any("even times" in note for note in reader.spec.notes)


@pytest.mark.parametrize(
    "names",
    [("zspace", "yspace", "xspace"), ("xspace", "zspace", "yspace"), ("time", "zspace", "yspace", "xspace"),
     ("zspace", "yspace", "xspace", "time")],
)  # fmt: skip
@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize("dtype", ["u1", ">i2", ">f4"])
def test_minc1(names: tuple[str, ...], varied: bool, dtype: str, tmp_path: Path) -> None:
    shape = (3, 4, 5, 6)[: len(names)]
    array = np.random.default_rng(0).integers(0, 120, shape).astype(dtype)
    path = minc1(tmp_path / "a.mnc", array, names, varied=varied)
    reader = agrees(path)
    assert reader.spec.shape == tuple(
        shape[names.index(n)] for n in ("time", "zspace", "yspace", "xspace") if n in names
    )
    step = names.index("xspace") + 1.5
    assert (reader.spec.axes[-1].spacing, reader.spec.axes[-1].unit) == (step, "millimeter")
    assert reader.spec.meta["study:modality"] == "MRI__"


def test_minc2_without_h5py_says_what_to_install(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"small\.mnc: .* " + re.escape(install_line("hdf5"))):
        open_file(data / "minc/small.mnc")


def test_minc2_chunks_that_were_never_written_are_no_zeros(tmp_path: Path, data: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="MINC 2 needs the extra hdf5")
    path = tmp_path / "a.mnc"
    shutil.copy(data / "minc/small.mnc", path)
    with h5py.File(path, "a") as file:
        image = file["minc-2.0/image/0"]
        attrs, values = dict(image["image"].attrs), image["image"][()]
        del image["image"]
        empty = image.create_dataset(
            "image", values.shape, values.dtype, chunks=(9, 14, 15), compression="gzip"
        )
        empty.attrs.update(attrs)
        empty[:9] = values[:9]
    with pytest.raises(
        InputError, match=r"a\.mnc: 4 of 8 chunks were never written \(z = 9, y = 0, x = 0 is the first\)"
    ):
        open_file(path)
    with h5py.File(path, "a") as file:
        file["minc-2.0/image/0/image"][:] = values
    agrees(path)
    with path.open("r+b") as content:
        content.truncate(path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"a\.mnc: is truncated or damaged \(.*truncated file"):
        open_file(path)


@pytest.mark.parametrize("name", ["image", "image-min", "image-max"])
@pytest.mark.parametrize("more", [1, 5_000, 50_000_000])
def test_a_chunk_of_minc2_that_has_more_inside_than_its_shape(name: str, more: int, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="MINC 2 needs the extra hdf5")
    volume = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    path = minc2(tmp_path / "a.mnc", volume, ("zspace", "yspace", "xspace"), varied=True, chunks=(3, 4, 5))
    with h5py.File(path, "a") as file:
        group = file["minc-2.0/image/0"]
        values, attrs = group[name][()], dict(group[name].attrs)
        del group[name]
        made = group.create_dataset(name, data=values, chunks=values.shape, compression="gzip")
        made.attrs.update(attrs)
    agrees(path)
    with h5py.File(path, "a") as file:
        bomb = zlib.compress(values.tobytes() + bytes(more))
        file[f"minc-2.0/image/0/{name}"].id.write_direct_chunk((0,) * values.ndim, bomb)
    with pytest.raises(InputError, match=r"a\.mnc: chunk .* has more inside"):
        whole(open_file(path))


def spm(path: Path, kind: Any) -> Any:
    pytest.importorskip("scipy", reason="nibabel writes .mat through scipy")
    affine = np.array([[-2, 0.3, 0.1, 40], [0.2, 3, 0.2, -50], [0.1, -0.3, 4, -60], [0, 0, 0, 1]])
    nibabel.save(kind(np.arange(210, dtype="i2").reshape(5, 6, 7), affine), path)
    return affine


@pytest.mark.parametrize("kind", [nibabel.Spm99AnalyzeImage, nibabel.Spm2AnalyzeImage])
def test_spm_with_its_mat(kind: type, tmp_path: Path) -> None:
    affine = spm(tmp_path / "a.img", kind)
    reader = agrees(tmp_path / "a.img")
    np.testing.assert_allclose(
        index_to_world(reader.spec.axes, reader.spec.world), affine, rtol=0, atol=1e-12
    )


def matlab4(name: bytes, matrix: Array) -> bytes:
    head = struct.pack("<5i", 0, *matrix.shape, 0, len(name) + 1)
    return head + name + b"\0" + matrix.astype("<f8").tobytes(order="F")


def matlab5(name: bytes, matrix: Array, *, packed: bool) -> bytes:
    """Return a file of format 5 as MATLAB 7 writes it, ``packed`` or not."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<2I", kind, len(data)) + data + bytes(-len(data) % 8)

    flags, shape = struct.pack("<2I", 6, 0), struct.pack("<2i", *matrix.shape)
    small = struct.pack("<2H", 1, len(name)) + name.ljust(4, b"\0")
    body = element(6, flags) + element(5, shape) + small + element(9, matrix.astype("<f8").tobytes(order="F"))
    content = element(14, body)
    if packed:
        squeezed = zlib.compress(content)
        content = struct.pack("<2I", 15, len(squeezed)) + squeezed
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + content


@pytest.mark.parametrize("form", ["4", "5", "7"])
@pytest.mark.parametrize(("name", "flip"), [(b"mat", 1), (b"M", -1)])
def test_the_matrix_of_spm(form: str, name: bytes, flip: int, tmp_path: Path) -> None:
    """``mat`` is the affine for voxels counted from 1, ``M`` the same before x is turned round."""
    nibabel.save(
        nibabel.AnalyzeImage(np.arange(210, dtype="i2").reshape(5, 6, 7), np.eye(4)), tmp_path / "a.img"
    )
    matrix = np.array([[-2, 0.3, 0.1, 40], [0.2, 3, 0.2, -50], [0.1, -0.3, 4, -60], [0, 0, 0, 1]])
    content = matlab4(name, matrix) if form == "4" else matlab5(name, matrix, packed=form == "7")
    (tmp_path / "a.mat").write_bytes(content)
    expected = np.diag([flip, 1, 1, 1]) @ matrix
    expected[:3, 3] += expected[:3, :3].sum(axis=1)
    reader = open_file(tmp_path / "a.img")
    np.testing.assert_allclose(
        index_to_world(reader.spec.axes, reader.spec.world), expected, rtol=0, atol=1e-12
    )
    assert not reader.spec.notes


@pytest.mark.parametrize(
    "content", [b"", b"1 0 0 0\n0 1 0 0\n", b"MATLAB 5.0" * 40, matlab4(b"x", np.eye(4))]
)
def test_another_mat_is_left_out_and_said(content: bytes, tmp_path: Path) -> None:
    nibabel.save(nibabel.AnalyzeImage(np.ones((5, 6, 7), "i2"), np.eye(4)), tmp_path / "a.img")
    plain = open_file(tmp_path / "a.img").spec
    (tmp_path / "a.mat").write_bytes(content)
    spec = open_file(tmp_path / "a.img").spec
    assert spec.world == plain.world
    assert any(".mat" in note and "left out" in note for note in spec.notes)


def test_analyze_without_a_mat(tmp_path: Path) -> None:
    nibabel.save(
        nibabel.AnalyzeImage(np.arange(210, dtype="i2").reshape(5, 6, 7), np.eye(4)), tmp_path / "a.img"
    )
    agrees(tmp_path / "a.img")
    assert open_file(tmp_path / "a.hdr").spec.axes[0].unit == "millimeter"


# What is refused


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("simple.trk", "a tractogram .TrackVis., not an image grid"),
        ("simple.tck", "a tractogram .MRtrix., not an image grid"),
        ("row_major.dconn.nii", "CIFTI, which holds values on brain surfaces"),
        ("bad_datatype+orig.HEAD", "multiple data types"),
        ("bad_attribute+orig.HEAD", "AFNI compliant"),
    ],
)
@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this nibabel comes without its test data")
def test_refused_by_name(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_file(BUNDLED / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b'<?xml version="1.0"?><!DOCTYPE GIFTI SYSTEM "x"><GIFTI Version="1.0">', r"a surface \(GIFTI\)"),
        (b"\xff\xff\xfecreated by someone\n\n", r"a surface \(FreeSurfer\)"),
    ],
)
def test_surfaces_are_no_grids(head: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "lh.pial").write_bytes(head + bytes(99))
    with pytest.raises(UnknownFormatError, match=f"is {words}, not an image grid"):
        open_file(tmp_path / "lh.pial")


@pytest.mark.parametrize("name", ["phantom_truncated.PAR", "phantom_truncated.REC"])
def test_a_par_with_dynamics_missing(name: str, data: Path) -> None:
    with pytest.raises(InputError, match=rf"{name}: .*3 dynamic scan values, but expected 4"):
        open_file(data / "corrupt" / name)


MADE: dict[str, Callable[[Path], Path]] = {
    "a.mgh": lambda p: mgh(p / "a.mgh", np.ones((5, 6, 7), "i2")),
    "a.mgz": lambda p: mgh(p / "a.mgz", np.ones((5, 6, 7), "i2")),
    "b.mgz": lambda p: mgh(p / "b.mgz", np.ones((5, 6, 7, 2), "i2"), tr=1),
    "a+orig.BRIK": lambda p: afni(p / "a+orig", np.ones((3, 4, 5, 6), "<i2")).with_suffix(".BRIK"),
    "a+orig.BRIK.gz": lambda p: afni(p / "a+orig", np.ones((3, 4, 5, 6), "<i2"), packed=True).with_suffix(
        ".BRIK.gz"
    ),
    "a.v": lambda p: ecat(p / "a.v", np.ones((3, 14, 15, 16)), factors=[1, 2, 3]),
    "a.mnc": lambda p: minc1(
        p / "a.mnc", np.ones((4, 5, 6), "u1"), ("zspace", "yspace", "xspace"), varied=True
    ),
}


@pytest.mark.parametrize("part", [0.0, 0.03, 0.5, 0.9])
@pytest.mark.parametrize("name", MADE)
def test_cut_short(name: str, part: float, tmp_path: Path) -> None:
    path = MADE[name](tmp_path)
    os.truncate(path, int(part * path.stat().st_size))
    with pytest.raises(InputError, match=path.name.split(".")[0].replace("+", r"\+")) as caught:
        whole(open_file(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "gone"),
    [("a+orig.HEAD", "a+orig.BRIK"), ("a+orig.BRIK", "a+orig.HEAD"), ("a.PAR", "a.REC"), ("a.REC", "a.PAR")],
)
def test_half_a_pair(asked: str, gone: str, tmp_path: Path, data: Path) -> None:
    if asked.startswith("a+"):
        afni(tmp_path / "a+orig", np.ones((3, 4, 5, 6), "<i2"))
    else:
        for suffix in (".PAR", ".REC"):
            shutil.copy(data / f"parrec/phantom_varscale{suffix}", tmp_path / f"a{suffix}")
    (tmp_path / gone).unlink()
    with pytest.raises(InputNotFoundError, match="put that file beside it") as caught:
        open_file(tmp_path / asked)
    assert asked in str(caught.value)
    assert gone in str(caught.value)


def test_a_header_that_claims_a_million_millions(tmp_path: Path) -> None:
    path = mgh(tmp_path / "a.mgh", np.ones((5, 6, 7), "i2"))
    for target in (path, mgh(tmp_path / "a.mgz", np.ones((5, 6, 7), "i2"))):
        content = bytearray(path.read_bytes())
        content[4:16] = np.array([10_000] * 3, ">i4").tobytes()
        if target.suffix == ".mgz":
            import gzip

            content = bytearray(gzip.compress(content))
        target.write_bytes(content)
        with pytest.raises(InputError, match=target.name):
            open_file(target)
    head = afni(tmp_path / "a+orig", np.ones((3, 4, 5, 6), "<i2"))
    head.write_text(head.read_text().replace("3 4 5 0 0", "10000 10000 10000 0 0"))
    with pytest.raises(InputError, match=r"a\+orig\.BRIK: pixels should take bytes"):
        open_file(head)


def test_an_ecat_whose_list_goes_in_a_circle(tmp_path: Path) -> None:
    path = ecat(tmp_path / "a.v", np.ones((2, 3, 3, 3)), factors=[1, 1])
    content = bytearray(path.read_bytes())
    content[512 + 4 : 512 + 8] = (3).to_bytes(4, "big")
    content[1024 + 4 : 1024 + 8] = (3).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(InputError, match="in a circle at block 3"):
        open_file(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
@pytest.mark.parametrize("name", ["a.mgh", "a+orig.HEAD", "a.v", "a.mnc", "a.PAR"])
def test_a_damaged_header_is_an_error_of_ours_or_none(name: str, data: Any, tmp_path: Path) -> None:
    if name == "a+orig.HEAD":
        path = afni(
            tmp_path / "a+orig", np.ones((3, 4, 5, 6), "<i2"), factors=[1, 2, 3, 4, 5, 6], labels="a~b"
        )
    elif name == "a.PAR":
        path = par(tmp_path, "T2-interleaved.PAR")
    else:
        path = MADE[name](tmp_path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, min(len(content), 4000) - 1))
    more = data.draw(st.binary(min_size=1, max_size=6))
    content[at : at + len(more)] = more
    path.write_bytes(content)
    said = ""
    try:
        reader = open_file(path)
        assert reader.spec.nbytes < 1 << 30
        json.dumps(dict(reader.spec.meta), allow_nan=False)
        whole(reader)
    except BigimgError as error:
        said = str(error)
    assert not said or path.stem in said
    assert "\n" not in said
