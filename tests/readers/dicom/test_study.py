"""DICOM as it lies on disks: without a head, in pieces, in gzip, in trees of folders beside other files."""

from __future__ import annotations

import gc
import gzip
import itertools
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

import bigimg
from bigimg.errors import InputError
from bigimg.readers.dicom.reader import DicomReader, open_dicom, open_dicom_files
from bigimg.readers.folders.folder import open_folder
from bigimg.readers.sniffing import bare_dicom
from bigimg.types import Array
from tests.readers.dicom.dicom_files import enhanced, header, save, series

VOLUME = np.random.default_rng(9).integers(0, 900, (4, 15, 16)).astype(np.int16)


def whole(reader: DicomReader) -> Array:
    return reader.read(tuple(slice(0, n) for n in reader.spec.shape))


@pytest.mark.parametrize("name", ["IM{}", "MR.{}.MR", "{}.img2"])
@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_slices_without_a_head_have_any_name(name: str, implicit: bool, little: bool, tmp_path: Path):
    for z, path in enumerate(series(tmp_path / "made", VOLUME)):
        made = dcmread(path)
        del made.file_meta
        if not little:
            made.PixelData = VOLUME[z].astype(">i2").tobytes()
        made.preamble = None
        (tmp_path / "bare").mkdir(exist_ok=True)
        dcmwrite(
            tmp_path / "bare" / name.format(z), made, implicit_vr=implicit, little_endian=little,
            force_encoding=True,
        )  # fmt: skip
    np.testing.assert_array_equal(bigimg.open(tmp_path / "bare").values, VOLUME)


def test_what_only_looks_like_tags_is_no_dicom():
    assert not bare_dicom(b"\x08\0" * 500)
    assert not bare_dicom(np.arange(2000, dtype=np.uint16).tobytes())
    assert not bare_dicom(b"\x08\0\x05\0CS\x0a\0ISO_IR 100")  # one tag alone


def test_compressed_pixels_without_a_head_are_refused(tmp_path: Path):
    made = dcmread(compressed(tmp_path, [b"\xff\x4f" + bytes(1000)], 1, JPEG2000Lossless))
    del made.file_meta
    made.preamble = None
    path = tmp_path / "b.dcm"
    dcmwrite(path, made, implicit_vr=False, little_endian=True, force_encoding=True)
    with pytest.raises(InputError, match="file meta information, which says how, is missing"):
        open_dicom(path)


@pytest.mark.parametrize("length", [0, 1, 100, 131, 140, 200, 500])
def test_a_slice_that_ends_in_its_header_is_named(length: int, tmp_path: Path):
    paths = series(tmp_path / "s", VOLUME)
    paths[2].write_bytes(paths[2].read_bytes()[:length])
    for source in (tmp_path / "s", str(tmp_path / "s" / "*"), str(tmp_path / "s" / "*.dcm")):
        with pytest.raises(InputError, match=paths[2].name):
            bigimg.open(source)


def compressed(folder: Path, pieces: list[bytes], frames: int, syntax: str) -> Path:
    """Write a file with one fragment for each of ``pieces`` and an empty table of offsets."""
    made = enhanced(VOLUME[:frames].view(np.uint16), [(0, 0, z) for z in range(frames)])
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate(pieces, has_bot=False)
    made["PixelData"].is_undefined_length = True
    return save(made, folder / "a.dcm")


@pytest.mark.parametrize("kind", ["jpeg2000", "jpegls"])
@pytest.mark.parametrize("each", [2, 5])
def test_frames_in_fragments_that_no_table_orders(kind: str, each: int, tmp_path: Path):
    from pydicom.pixels import get_decoder

    coded = [
        imagecodecs.jpeg2k_encode(plane.view(np.uint16), level=0, codecformat="J2K", reversible=True)
        if kind == "jpeg2000" else imagecodecs.jpegls_encode(plane.view(np.uint16))
        for plane in VOLUME
    ]  # fmt: skip
    cuts = [np.linspace(0, len(one) // 2, each + 1).astype(int) * 2 for one in coded]
    pieces = [
        one[a:b] if b < len(one) - 1 else one[a:]
        for one, cut in zip(coded, cuts, strict=True) for a, b in itertools.pairwise(cut)
    ]  # fmt: skip
    syntax = JPEG2000Lossless if kind == "jpeg2000" else JPEGLSLossless
    path = compressed(tmp_path, pieces, 4, syntax)
    if not get_decoder(syntax).is_available:
        pytest.skip(f"no plugin decodes {kind}")
    np.testing.assert_array_equal(whole(open_dicom(path)), VOLUME.view(np.uint16))
    path = compressed(tmp_path, pieces[:-each], 4, syntax)
    with pytest.raises(InputError, match="3 of them begin a picture"):
        whole(open_dicom(path))


def test_files_in_gzip(tmp_path: Path):
    for path in series(tmp_path / "made", VOLUME):
        (tmp_path / "packed").mkdir(exist_ok=True)
        (tmp_path / "packed" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    reader = open_folder(tmp_path / "packed")
    assert reader.access.kind == "whole"
    np.testing.assert_array_equal(bigimg.open(tmp_path / "packed").values, VOLUME)
    frames = save(enhanced(VOLUME, [(0, 0, z) for z in range(4)]), tmp_path / "f.dcm")
    packed = tmp_path / "f.dcm.gz"
    packed.write_bytes(gzip.compress(frames.read_bytes()))
    np.testing.assert_array_equal(bigimg.open(packed).values, VOLUME)
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"f\.dcm\.gz"):
        bigimg.open(packed)


def test_a_tree_with_a_viewer_beside_it(tmp_path: Path):
    series(tmp_path / "ST1", VOLUME)
    (tmp_path / "VIEWER").mkdir()
    (tmp_path / "VIEWER" / "run.exe").write_bytes(b"MZ" + bytes(2000))
    (tmp_path / "AUTORUN.INF").write_text("[autorun]")
    reader = open_folder(tmp_path)
    np.testing.assert_array_equal(whole(reader), VOLUME)
    assert "2 files beside the DICOM files are left out" in reader.spec.notes


def test_hidden_slices_are_read_where_there_are_no_others(tmp_path: Path):
    for z, path in enumerate(series(tmp_path / "s", VOLUME)):
        path.rename(path.with_name(f".CT.{z}.IMA"))
    np.testing.assert_array_equal(whole(open_folder(tmp_path / "s")), VOLUME)
    series(tmp_path / "s", VOLUME + 1)
    np.testing.assert_array_equal(whole(open_folder(tmp_path / "s")), VOLUME + 1)


def test_an_index_stands_for_the_files_beside_it(tmp_path: Path):
    made = FileSet()
    for path in series(tmp_path / "s", VOLUME):
        one = dcmread(path)
        one.PatientID, one.StudyInstanceUID, one.StudyID = "1", "1.2.3", "1"
        one.StudyDate, one.StudyTime, one.PatientName = "20240101", "120000", "x"
        made.add(one)
    made.write(tmp_path / "cd")
    with warnings.catch_warnings(
        action="ignore"
    ):  # pydicom leaves a temporary folder to the garbage collector
        del made, one
        gc.collect()
    np.testing.assert_array_equal(bigimg.open(tmp_path / "cd" / "DICOMDIR").values, VOLUME)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "cd").values, VOLUME)


def test_series_of_a_study_are_told_apart(tmp_path: Path):
    series(tmp_path / "a", VOLUME, SeriesInstanceUID="1.2.3", SeriesNumber=3)
    series(tmp_path / "b", VOLUME + 1, SeriesInstanceUID="1.2.4", SeriesNumber=4)
    series(
        tmp_path / "c",
        VOLUME + 2,
        SeriesInstanceUID="1.2.5",
        SeriesNumber=4,
        step=(0, 2, 0),
        orientation=(1, 0, 0, 0, 0, -1),
    )
    with pytest.raises(InputError, match=r"images, series 3; 1: .*series 4, axial; 2: .*series 4, coronal"):
        open_folder(tmp_path)
    np.testing.assert_array_equal(whole(open_folder(tmp_path, series=2)), VOLUME + 2)


def test_pictures_beside_one_dicom_are_not_passed_over(tmp_path: Path):
    save(header(VOLUME[0]), tmp_path / "a.dcm")
    for z in range(3):
        (tmp_path / f"{z}.png").write_bytes(imagecodecs.png_encode(VOLUME[z].astype(np.uint16)))
    with pytest.raises(InputError, match="several formats"):
        bigimg.open(tmp_path)


def test_a_file_of_an_unknown_class_without_pixels_is_passed_over(tmp_path: Path):
    paths = [str(path) for path in series(tmp_path / "s", VOLUME)]
    other = Dataset()
    other.SOPClassUID, other.SOPInstanceUID = "1.3.12.2.1107.5.9.1", "1.2.3.4.5"  # a private one of Siemens
    extra = tmp_path / "private.dcm"
    dcmwrite(extra, other, implicit_vr=True, little_endian=True)
    assert "1 of 5 files hold no pixels" in open_dicom_files([*paths, str(extra)]).spec.notes[0]
