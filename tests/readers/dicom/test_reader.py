"""DICOM as pydicom reads it: every real file, made ones of each kind, damage, memory and what may be told."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

import bigimg
from bigimg.errors import InconsistentSeries, InputError, MissingExtraError, UsageError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.region import full
from bigimg.geometry.spec import Scaling
from bigimg.readers.dicom.reader import DicomReader, open_dicom, open_dicom_files
from bigimg.system import files as system_files
from bigimg.testing import check_reader
from bigimg.types import Array
from bigimg.version import install_line
from tests.readers.dicom.dicom_files import enhanced, header, save, series, uid

VOLUME = np.random.default_rng(5).integers(-900, 900, (7, 11, 9)).astype(np.int16)
LPS_TO_RAS = np.diag([-1.0, -1, 1, 1])


def whole(reader: DicomReader) -> Array:
    return reader.read(full(reader.spec.shape))


def files(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*"))]


def sha256(pixels: Array) -> str:
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


# Real files


REAL: dict[str, tuple[str, tuple[int, ...]]] = {
    "CT_small": ("yx", (128, 128)),
    "JLSL_RGB_ILV1": ("cyx", (3, 256, 256)),
    "JPEG-LL": ("yx", (1024, 256)),
    "JPGExtended": ("yx", (1024, 256)),
    "MR-SIEMENS-DICOM-WithOverlays": ("yx", (484, 484)),
    "MR_small_RLE": ("yx", (64, 64)),
    "MR_small_bigendian": ("yx", (64, 64)),
    "MR_small_jpeg_ls_lossless": ("yx", (64, 64)),
    "OT-PAL-8-face": ("cyx", (3, 480, 640)),
    "RG1_J2KI": ("yx", (1955, 1841)),
    "SC_rgb_32bit_2frame": ("czyx", (3, 2, 100, 100)),
    "SC_rgb_small_odd": ("cyx", (3, 3, 3)),
    "eCT_Supplemental": ("zyx", (2, 512, 512)),
    "emri_small": ("zyx", (10, 64, 64)),
    "examples_palette": ("cyx", (3, 350, 800)),
    "examples_ybr_color": ("tcyx", (30, 3, 240, 320)),
    "gdcm-US-ALOKA-16": ("cyx", (3, 480, 640)),
    "image_dfl": ("yx", (512, 512)),
    "liver": ("zyx", (3, 512, 512)),
}
NEEDS_MORE = {"JLSL_RGB_ILV1", "JPEG-LL", "MR_small_jpeg_ls_lossless"}
"""Compressed in ways that the extra decodes."""


def by_pydicom(path: Path) -> Array:
    """Return the pixels as pydicom has them, a palette applied and the colours first."""
    found = dcmread(path, force=True)
    if "TransferSyntaxUID" not in getattr(found, "file_meta", {}):
        found.ensure_file_meta()
        found.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    pixels = found.pixel_array
    if found.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, found)
    colour = found.SamplesPerPixel > 1 or found.PhotometricInterpretation == "PALETTE COLOR"
    return np.moveaxis(pixels, -1, -3) if colour else pixels


def test_every_file_is_listed(data: Path):
    assert {path.stem for path in data.glob("dicom/*.dcm")} == set(REAL)


@pytest.mark.parametrize("name", REAL)
def test_real_pixels_are_those_of_pydicom(name: str, data: Path, index: dict[str, dict[str, str]]):
    path = data / "dicom" / f"{name}.dcm"
    syntax = getattr(dcmread(path, force=True, stop_before_pixels=True), "file_meta", {}).get(
        "TransferSyntaxUID"
    )
    if name in NEEDS_MORE and set(get_decoder(syntax).available_plugins) <= {"pillow"}:
        with pytest.raises(MissingExtraError, match=re.escape(install_line("dicom"))):
            open_dicom(path)
        return
    reader = open_dicom(path)
    dims, shape = REAL[name]
    assert ("".join(reader.spec.dims), reader.spec.shape) == (dims, shape)
    if name == "JPGExtended":  # by pylibjpeg-libjpeg 2.5.0, which is under the GPL and no part of any extra
        pixels = whole(reader)
        assert (pixels.dtype, pixels.min(), pixels.max()) == (np.uint16, 0, 264)
        assert (
            abs(int(pixels.sum()) - 3_770_427) < pixels.size
        )  # decoders of lossy pixels differ by 1 at most
        return
    expected = by_pydicom(path)
    if "t" in dims or reader.spec.dims[:2] == ("c", "z"):
        expected = expected if "t" in dims else np.moveaxis(expected, 1, 0)
    if name == "eCT_Supplemental":  # its frames run down, slices run up the normal
        expected = expected[::-1]
    np.testing.assert_array_equal(whole(reader), expected)
    known = index[f"dicom/{name}.dcm"]["pixels_sha256"]
    if known and reader.spec.dtype == expected.dtype and "c" not in dims and name != "eCT_Supplemental":
        assert sha256(whole(reader)) == known


def test_a_real_series_has_the_voxels_and_the_affine_of_the_file(
    data: Path, index: dict[str, dict[str, str]]
):
    reader = open_dicom_files(files(data / "dicom" / "n2d_mprage_slab")[::-1])
    assert sha256(whole(reader)) == index["dicom/n2d_mprage_slab/ (40 files)"]["pixels_sha256"]
    first, last = (
        dcmread(files(data / "dicom" / "n2d_mprage_slab")[i], stop_before_pixels=True) for i in (0, -1)
    )
    expected = np.eye(4)
    expected[:3, 0] = np.array(first.ImageOrientationPatient[:3]) * first.PixelSpacing[1]
    expected[:3, 1] = np.array(first.ImageOrientationPatient[3:]) * first.PixelSpacing[0]
    expected[:3, 2] = (np.array(last.ImagePositionPatient) - np.array(first.ImagePositionPatient)) / 39
    expected[:3, 3] = first.ImagePositionPatient
    found = index_to_world(reader.spec.axes, reader.spec.world)
    np.testing.assert_allclose(found, LPS_TO_RAS @ expected, rtol=0, atol=1e-12)
    assert {axis.unit for axis in reader.spec.axes} == {"millimeter"}


def test_a_time_series_is_that_of_dcm2niix(data: Path):
    reader = open_dicom_files(files(data / "dicom" / "ge_epi"))
    reference = nibabel.load(data / "nifti" / "DCM2NIIX_regression_test_4.nii")
    expected = np.asarray(reference.dataobj).T[:, :, ::-1]  # dcm2niix turns the rows round
    assert reader.spec.dims == ("t", "z", "y", "x")
    np.testing.assert_array_equal(whole(reader), expected)
    flipped = np.array([[1, 0, 0, 0], [0, -1, 0, 63], [0, 0, 1, 0], [0, 0, 0, 1]])
    found = index_to_world(reader.spec.axes, reader.spec.world)
    np.testing.assert_allclose(found, reference.affine @ flipped, atol=1e-4)  # NIfTI holds 32 bits
    assert (reader.spec.axes[0].spacing, reader.spec.axes[0].unit) == (5.0, "second")


def test_a_real_series_with_gaps_is_refused(data: Path, index: dict[str, dict[str, str]]):
    """25 slices picked out of 200: the voxels are there, and no even stack."""
    paths = files(data / "dicom" / "lidc_chest_slab")
    with pytest.raises(
        InconsistentSeries, match=r"1 to 36 mm apart .* 20 mm from -657.8 to -637.8, .*, and 14 more; "
    ):
        open_dicom_files(paths)
    readers = sorted(
        (open_dicom(path) for path in paths), key=lambda r: index_to_world(r.spec.axes, r.spec.world)[2, 3]
    )
    stacked = np.stack([whole(reader) for reader in readers])
    assert sha256(stacked) == index["dicom/lidc_chest_slab/ (25 files)"]["pixels_sha256"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MR_truncated.dcm", "should have 8192 bytes .* but 8130 are there"),
        ("badVR.dcm", "invalid literal"),
        ("no_meta.dcm", "DICOM tags from byte 1 on, but the preamble"),
    ],
)
def test_real_damage_is_an_error_that_names_the_file(name: str, message: str, data: Path):
    with pytest.raises(InputError, match=f"{name}: .*{message}") as found:
        bigimg.imread(data / "corrupt" / name)
    assert "\n" not in str(found.value)


# Made files


def test_a_series_knows_where_it_lies(tmp_path: Path):
    x, y, z = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].T
    z = np.cross(x, y)
    paths = series(tmp_path / "s", VOLUME, step=z * 2.5, orientation=(*x, *y))
    reader = open_dicom_files([str(path) for path in paths])
    expected = np.eye(4)
    expected[:3] = np.stack([x * 0.75, y * 0.5, z * 2.5, (-20, 10, 5)], axis=1)
    np.testing.assert_allclose(
        index_to_world(reader.spec.axes, reader.spec.world), LPS_TO_RAS @ expected, atol=1e-6
    )
    assert [axis.spacing for axis in reader.spec.axes] == pytest.approx([2.5, 0.5, 0.75])
    assert reader.source == str(tmp_path / "s")


@pytest.mark.parametrize(
    ("tags", "scaling", "window"),
    [
        ({}, None, None),
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, Scaling(1, -1024), None),
        ({"RescaleSlope": 2, "RescaleIntercept": 0, "WindowCenter": [40, 1], "WindowWidth": [400, 9]}, Scaling(2, 0),
         (-160, 239)),
        ({"WindowCenter": 0.5, "WindowWidth": 1, "VOILUTFunction": "LINEAR_EXACT"}, None, (0, 1)),
    ],
)  # fmt: skip
def test_slope_and_window(tags: dict[str, Any], scaling: Scaling | None, window: Any, tmp_path: Path):
    spec = open_dicom_files([str(p) for p in series(tmp_path / "s", VOLUME, **tags)]).spec
    assert (spec.scaling, spec.window, spec.dtype) == (scaling, window, np.int16)


def test_slopes_that_differ_give_real_values(tmp_path: Path):
    paths = series(tmp_path / "s", VOLUME)
    for z, path in enumerate(paths):
        made = dcmread(path)
        made.RescaleSlope, made.RescaleIntercept = z + 0.5, -z
        save(made, path)
    reader = open_dicom_files([str(path) for path in paths])
    assert (reader.spec.dtype, reader.spec.scaling) == (np.float32, None)
    z = np.arange(7)[:, None, None]
    np.testing.assert_array_equal(whole(reader), (VOLUME * (z + 0.5) - z).astype(np.float32))
    assert any("differ from slice to slice" in note for note in reader.spec.notes)


@pytest.mark.parametrize(("stored", "signed"), [(12, True), (12, False), (9, True), (16, True)])
@pytest.mark.parametrize("shift", [0, 3])
def test_bits_that_are_no_part_of_the_value(stored: int, signed: bool, shift: int, tmp_path: Path):
    if stored == 16 and shift:
        shift = 0
    rng = np.random.default_rng(stored)
    low, high = (-(1 << stored - 1), 1 << stored - 1) if signed else (0, 1 << stored)
    values = rng.integers(low, high, (5, 6)).astype(np.int16 if signed else np.uint16)
    words = (values.astype(np.int64) & ((1 << stored) - 1)) << shift
    words |= rng.integers(0, 1 << 16, (5, 6)) & ~(((1 << stored) - 1) << shift) & 0xFFFF
    made = header(
        words.astype(np.uint16),
        BitsStored=stored,
        HighBit=stored - 1 + shift,
        PixelRepresentation=int(signed),
    )
    np.testing.assert_array_equal(whole(open_dicom(save(made, tmp_path / "a.dcm"))), values)


def test_frames_with_places_become_a_stack(tmp_path: Path):
    order = [3, 0, 5, 1, 6, 4, 2]
    made = enhanced(VOLUME[order], [(1.0, 2.0, z * 1.5) for z in order])
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(whole(reader), VOLUME)
    assert [axis.spacing for axis in reader.spec.axes] == [1.5, 0.5, 0.75]
    made = enhanced(VOLUME[[3, 0, 5, 1, 6, 4]], [(1.0, 2.0, z * 1.5) for z in order[:-1]])
    with pytest.raises(InconsistentSeries, match=r"1 slice of . is missing, at "):
        open_dicom(save(made, tmp_path / "b.dcm"))


def test_frames_of_a_clip_become_times(tmp_path: Path):
    made = header(np.abs(VOLUME).astype(np.uint8), FrameTime=40.0)
    spec = open_dicom(save(made, tmp_path / "a.dcm")).spec
    assert (spec.dims, spec.axes[0].spacing, spec.axes[0].unit) == (("t", "y", "x"), 0.04, "second")
    made = header(np.abs(VOLUME).astype(np.uint8))
    spec = open_dicom(save(made, tmp_path / "b.dcm")).spec
    assert spec.dims == ("z", "y", "x")
    assert spec.axes[0].unit is None
    assert "does not describe its 7 frames" in spec.notes[0]


def test_times_in_files(tmp_path: Path):
    times = np.stack([VOLUME, VOLUME[::-1] // 2, VOLUME + 5])
    paths = []
    for t, volume in enumerate(times):
        paths += series(tmp_path / str(t), volume, AcquisitionTime=f"1200{t * 2:02d}.5", AcquisitionNumber=t)
    reader = open_dicom_files([str(path) for path in paths[::-1]])
    np.testing.assert_array_equal(whole(reader), times)
    assert reader.spec.axes[0].spacing == 2.0
    with pytest.raises(InconsistentSeries, match=r"another number \(2 at "):
        open_dicom_files([str(path) for i, path in enumerate(paths) if i != 10])


def segmentation(segments: list[int], places: list[float]) -> Dataset:
    masks = np.random.default_rng(2).random((len(segments), 5, 7)) < 0.5
    made = enhanced(
        masks.astype(np.uint8), [(0, 0, z) for z in places], Modality="SEG", SegmentationType="BINARY"
    )
    made.BitsAllocated = made.BitsStored = 1
    made.HighBit = 0
    data = np.packbits(masks.ravel(), bitorder="little").tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    for number, group in zip(segments, made.PerFrameFunctionalGroupsSequence, strict=True):
        item = Dataset()
        item.ReferencedSegmentNumber = number
        group.SegmentIdentificationSequence = [item]
    made.SegmentSequence = []
    for number, meaning in ((1, "Liver"), (2, "Spleen")):
        item, code = Dataset(), Dataset()
        item.SegmentNumber, item.SegmentLabel, code.CodeMeaning = number, "the liver of Jane Roe", meaning
        item.SegmentedPropertyTypeCodeSequence = [code]
        made.SegmentSequence.append(item)
    return made


def test_segments_become_masks(tmp_path: Path):
    masks = np.random.default_rng(2).random((4, 5, 7)) < 0.5
    reader = open_dicom(save(segmentation([1, 1, 1, 1], [0, 2, 1, 3]), tmp_path / "a.dcm"))
    np.testing.assert_array_equal(whole(reader), masks[[0, 2, 1, 3]])
    assert (reader.spec.kind, reader.spec.dims) == ("mask", ("z", "y", "x"))
    reader = open_dicom(save(segmentation([1, 2, 2, 1], [0, 0, 1, 1]), tmp_path / "b.dcm"))
    np.testing.assert_array_equal(whole(reader), masks[[[0, 3], [1, 2]]])
    assert [channel.name for channel in reader.spec.channels] == ["1 Liver", "2 Spleen"]
    with pytest.raises(InconsistentSeries, match=r"frame 0 and c.dcm frame 3 show one segment at one place"):
        open_dicom(save(segmentation([1, 2, 1, 1], [0, 0, 1, 0]), tmp_path / "c.dcm"))


def named_segments(tmp_path: Path, *names: tuple[str, str]) -> Path:
    made = segmentation([1, 2] if len(names) > 1 else [1, 1], [0, 0] if len(names) > 1 else [0, 1])
    for item, (label, meaning) in zip(made.SegmentSequence, names, strict=False):
        item.SegmentLabel, item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning = label, meaning
    return save(made, tmp_path / "named.dcm")


@pytest.mark.parametrize(
    ("label", "meaning", "expected"),
    [
        ("Left kidney", "Kidney", "Left kidney"),  # the label says more than the code
        ("Nodule 2", "Nodule", "Nodule 2"),
        ("vertebrae_L1", "Vertebra", "vertebrae_L1"),
        ("Jane Roe, liver", "Liver", "Liver"),
        ("Annotated by Dr Roe", "Roe", ""),
        ("Liver 12.03.1957", "Liver", "Liver"),
    ],
)
def test_segments_are_named_by_words_of_the_list(tmp_path: Path, label: str, meaning: str, expected: str):
    path = named_segments(tmp_path, (label, meaning), ("Spleen", "Spleen"))
    assert list(bigimg.open(path).c.values) == [f"1 {expected}".strip(), "2 Spleen"]
    bigimg.convert(path, tmp_path / "a.ome.zarr", progress=False, sync=False)
    assert all("Roe" not in str(value) for value in bigimg.open(tmp_path / "a.ome.zarr").attrs.values())
    bigimg.convert(path, tmp_path / "b.ome.zarr", keep_metadata=True, progress=False, sync=False)
    assert list(bigimg.open(tmp_path / "b.ome.zarr").c.values) == [f"1 {label}", "2 Spleen"]


def test_a_single_segment_keeps_its_name(tmp_path: Path):
    spec = open_dicom(named_segments(tmp_path, ("Tumor", "Neoplasm"))).spec
    assert [channel.name for channel in spec.channels] == ["1 Tumor"]


COLOUR = np.random.default_rng(4).integers(0, 255, (6, 5, 3), np.uint8)


def test_colour_in_planes_and_ybr(tmp_path: Path):
    made = header(COLOUR, colour=True)
    made.PlanarConfiguration, made.PixelData = 1, np.moveaxis(COLOUR, -1, 0).tobytes()
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(whole(reader), np.moveaxis(COLOUR, -1, 0))
    made = header(COLOUR, colour=True, PhotometricInterpretation="YBR_FULL")
    reader = open_dicom(save(made, tmp_path / "b.dcm"))
    expected = dcmread(tmp_path / "b.dcm").pixel_array  # RGB since pydicom 3
    np.testing.assert_array_equal(whole(reader), np.moveaxis(expected, -1, 0))
    assert [channel.name for channel in reader.spec.channels] == ["R", "G", "B"]


def test_bright_and_dark_are_as_stored(tmp_path: Path):
    made = header(VOLUME[0], PhotometricInterpretation="MONOCHROME1")
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(whole(reader), VOLUME[0])
    assert "MONOCHROME1" in reader.spec.notes[-1]


def two_series(folder: Path) -> list[str]:
    second = uid("second")
    return [
        *map(str, series(folder / "a", VOLUME)),
        *map(
            str, series(folder / "b", VOLUME[:4, :5], SeriesInstanceUID=second, SeriesNumber=7, Modality="PT")
        ),
    ]


def test_several_series_are_listed_and_chosen(tmp_path: Path):
    paths = two_series(tmp_path)
    listed = r"2 series or stacks \(0: CT 11 x 9, 7 images; 1: PT 5 x 9, 4 images\)"
    with pytest.raises(InputError, match=f"{listed}; choose one with series=NUMBER") as found:
        open_dicom_files(paths)
    assert not isinstance(found.value, InconsistentSeries)
    for chosen in (1, "1", uid("second")):
        np.testing.assert_array_equal(whole(open_dicom_files(paths[::-1], series=chosen)), VOLUME[:4, :5])
    for wrong in (2, -1, "nonsense"):
        with pytest.raises(UsageError, match=listed):
            open_dicom_files(paths, series=wrong)


def test_files_without_pixels_are_passed_over(tmp_path: Path):
    paths = [str(path) for path in series(tmp_path / "s", VOLUME)]
    report = dcmread(paths[0])
    for name in ("PixelData", "Rows", "Columns"):
        delattr(report, name)
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"  # Basic Text SR
    extra = save(report, tmp_path / "report.dcm")
    assert "1 of 8 files hold no pixels" in open_dicom_files([*paths, str(extra)]).spec.notes[0]
    with pytest.raises(InputError, match="holds no pixels"):
        open_dicom(extra)


# Damage


def damaged(make: Callable[[Dataset], None]) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        made = enhanced(VOLUME, [(0, 0, z) for z in range(7)])
        make(made)
        return save(made, path)

    return write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: setattr(d, "NumberOfFrames", 10**9), "1000000000"),
        (lambda d: (setattr(d, "Rows", 65535), setattr(d, "Columns", 65535)), "1386 are there"),
        (lambda d: setattr(d, "BitsAllocated", 12), "12"),
        (lambda d: setattr(d, "Rows", 0), "0 x 9"),
        (lambda d: setattr(d, "SamplesPerPixel", 2), "2 samples"),
        (lambda d: delattr(d, "Rows"), "it lacks Rows"),
        (lambda d: setattr(d, "PerFrameFunctionalGroupsSequence", []), "does not describe"),
        (lambda d: d.PerFrameFunctionalGroupsSequence.pop(), "describes 6 of 7 frames"),
        (lambda d: setattr(d.file_meta, "TransferSyntaxUID", "1.2.3"), "does not decode"),
    ],
)
def test_a_header_that_makes_no_sense(change: Callable[[Dataset], None], message: str, tmp_path: Path):
    made = enhanced(VOLUME, [(0, 0, z) for z in range(7)])
    change(made)
    made.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True)
    if message == "does not describe":  # frames without places are no damage
        assert message in open_dicom(tmp_path / "a.dcm").spec.notes[0]
        return
    with pytest.raises(InputError, match=message) as found:
        whole(open_dicom(tmp_path / "a.dcm"))
    assert "\n" not in str(found.value)


def run_lengths(path: Path, pixels: Array = VOLUME) -> Path:
    made = enhanced(pixels, [(0, 0, z) for z in range(len(pixels))])
    made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return save(made, path)


@pytest.mark.parametrize("kind", ["plain", "run lengths", "deflated"])
def test_any_cut_is_an_error_or_the_right_pixels(kind: str, tmp_path: Path):
    path = tmp_path / "a.dcm"
    if kind == "run lengths":
        run_lengths(path)
    else:
        made = enhanced(VOLUME, [(0, 0, z) for z in range(7)])
        if kind == "deflated":
            made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        save(made, path)
    data = path.read_bytes()
    np.testing.assert_array_equal(whole(open_dicom(path)), VOLUME)
    said = []
    for size in range(0, len(data) - 8, len(data) // 60):
        path.write_bytes(data[:size])
        try:
            found = whole(open_dicom(path))
        except InputError as error:
            said.append(str(error))
        else:
            np.testing.assert_array_equal(found, VOLUME)
    assert len(said) > 30
    assert all(str(path) in text and "\n" not in text for text in said)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("missing", [2, 50, 2000])
def test_a_jpeg_without_its_end_is_an_error_and_never_grey(
    bits: int, frames: int, missing: int, tmp_path: Path
):
    plane = np.random.default_rng(0).integers(0, 1 << bits, (64, 96)).astype("u1" if bits == 8 else "<u2")
    coded = bytes(imagecodecs.jpeg8_encode(plane, level=95, bitspersample=bits))
    made = header(np.stack([plane] * frames)) if frames > 1 else header(plane)
    made.BitsStored, made.HighBit = bits, bits - 1
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if bits == 8 else JPEGExtended12Bit
    for last, fine in ((coded + b"\0" * 20, True), (coded[:-missing], False)):
        made.PixelData = encapsulate([coded] * (frames - 1) + [last])
        made["PixelData"].VR = "OB"
        reader = open_dicom(save(made, tmp_path / f"{fine}.dcm"))
        if fine:
            expected = imagecodecs.jpeg8_decode(coded)
            np.testing.assert_array_equal(whole(reader), np.broadcast_to(expected, reader.spec.shape))
        else:
            with pytest.raises(InputError, match=rf"frame {frames - 1} .*its JPEG stream has no end"):
                whole(reader)


def test_flipped_bytes_never_end_in_another_error(tmp_path: Path):
    path = tmp_path / "a.dcm"
    data = run_lengths(path).read_bytes()
    rng, said = np.random.default_rng(0), []
    for _ in range(150):
        broken = bytearray(data)
        for at in rng.integers(132, len(data), 3):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            reader = open_dicom(path)
            if reader.spec.nbytes < 1 << 20:
                whole(reader)
        except InputError as error:
            said.append(str(error))
    assert said
    assert not any("\n" in text for text in said)


def test_run_lengths_that_cannot_hold_the_picture_ask_for_no_memory(tmp_path: Path):
    made = dcmread(run_lengths(tmp_path / "a.dcm"))
    made.Rows = made.Columns = 30000
    with pytest.raises(InputError, match="run lengths cannot hold"):
        whole(open_dicom(save(made, tmp_path / "b.dcm")))


def test_a_file_that_goes_away_is_named(tmp_path: Path):
    paths = series(tmp_path / "s", VOLUME)
    reader = open_dicom_files([str(path) for path in paths])
    paths[3].unlink()
    with pytest.raises(InputError, match=paths[3].name):
        whole(reader)


# Means


def test_a_deflated_file_is_whole(tmp_path: Path):
    made = header(VOLUME)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(made, tmp_path / "a.dcm")
    check_reader(lambda: open_dicom(path), expected=VOLUME)
    assert open_dicom(path).access.kind == "whole"
    made = header(np.zeros((5000, 8000), np.uint16))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with pytest.raises(InputError, match="inflates to more than 64 MiB"):
        open_dicom(save(made, tmp_path / "b.dcm"))


def test_a_thousand_slices_hold_no_file_open(tmp_path: Path):
    paths = [str(path) for path in series(tmp_path / "s", np.zeros((1000, 2, 2), np.int16))]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))
    try:
        reader = open_dicom_files(paths)
        assert whole(reader).shape == (1000, 2, 2)
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(pickle.dumps(reader)) < 1_000_000


def test_windows_of_a_frame_are_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = series(tmp_path / "s", np.zeros((3, 512, 512), np.int16))
    reader = open_dicom_files([str(path) for path in paths])
    assert reader.access.kind == "random"
    got: list[int] = []
    read = system_files.read_into
    monkeypatch.setattr(system_files, "read_into", lambda *a: got.append(read(*a)) or got[-1])
    reader.read((slice(1, 2), slice(100, 110), slice(0, 512)))
    assert sum(got) == 10 * 512 * 2


# What is no measurement


def test_padding_of_floats_is_left_out(tmp_path: Path):
    volume = np.full((3, 8, 8), 0.25, np.float32)
    volume[:, :4] = -1.5
    for path, plane in zip(series(tmp_path / "s", np.zeros((3, 8, 8), np.int16)), volume, strict=True):
        header = dcmread(path)
        del header.PixelData, header.PixelRepresentation
        header.BitsAllocated, header.FloatPixelData, header.FloatPixelPaddingValue = 32, plane.tobytes(), -1.5
        header.save_as(path)
    found = bigimg.stats(bigimg.open(tmp_path / "s"))
    assert (int(found["count"]), float(found["mean"])) == (3 * 4 * 8, 0.25)


@pytest.mark.parametrize(
    ("said", "stored", "meant"), [(63536, 16, -2000), (2048, 12, -2048), (63488, 12, -2048)]
)
def test_padding_of_signed_pixels_may_be_given_unsigned(said: int, stored: int, meant: int, tmp_path: Path):
    volume = np.full((3, 8, 8), 50, np.int16)
    volume[:, :4] = meant
    paths = series(tmp_path / "s", volume, BitsStored=stored, HighBit=stored - 1)
    for path in paths:
        header = dcmread(path)
        header.add_new(0x00280120, "US", said)
        header.save_as(path)
    found = bigimg.stats(bigimg.open(tmp_path / "s"))
    assert (int(found["count"]), float(found["mean"])) == (3 * 4 * 8, 50)


@pytest.mark.parametrize(
    ("tags", "gone"),
    [
        ({"PixelPaddingValue": -2000}, {-2000}),
        ({"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1999}, {-2000, -1999}),
        ({"PixelPaddingValue": -1999, "PixelPaddingRangeLimit": -2000, "RescaleSlope": 2}, {-2000, -1999}),
    ],
)
def test_padding_is_left_out_of_statistics(tags: dict[str, Any], gone: set[int], tmp_path: Path):
    volume = VOLUME.copy()
    volume[:, :3], volume[2, 5] = -2000, -1999
    # PixelPaddingValue is signed where the pixels are; pydicom finds out while writing.
    paths = series(tmp_path / "s", volume, RescaleIntercept=-5, **({"RescaleSlope": 1} | tags))
    reader = open_dicom_files([str(path) for path in paths])
    assert any("padding" in note and "left out of statistics" in note for note in reader.spec.notes)
    kept = volume[~np.isin(volume, list(gone))] * float(tags.get("RescaleSlope", 1)) - 5
    bigimg.convert(reader, tmp_path / "a.ome.zarr")
    stored, opened = bigimg.open(tmp_path / "a.ome.zarr"), bigimg.open(reader)
    everywhere = np.ones(volume.shape, bool)
    for found in (
        bigimg.stats(tmp_path / "a.ome.zarr"), bigimg.stats(opened), bigimg.stats(stored, where=everywhere),
    ):  # fmt: skip
        assert (int(found["count"]), float(found["min"]), float(found["max"])) == (
            kept.size,
            kept.min(),
            kept.max(),
        )
        assert float(found["mean"]) == pytest.approx(kept.mean(), rel=1e-12)
        assert float(found["std"]) == pytest.approx(kept.std(), rel=1e-9)
    assert int(bigimg.histogram(tmp_path / "a.ome.zarr").sum()) == kept.size
    assert bigimg.verify(tmp_path / "a.ome.zarr").ok
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr", raw=True), volume)  # pixels stay


# What may be told


PERSON = {
    "PatientName": "ROE^JANE", "PatientID": "MRN-4711", "PatientBirthDate": "19700102", "StudyDate": "20200304",
    "InstitutionName": "St. Elsewhere", "AccessionNumber": "ACC-0815", "StudyDescription": "knee of Jane",
    "ReferringPhysicianName": "HOUSE^GREGORY", "ImageComments": "seen by Dr. House", "StationName": "SCANNER-9",
    "StudyInstanceUID": uid("study"), "ProtocolName": "Jane's knee", "AcquisitionTime": "101112.5",
    "DeviceSerialNumber": "SN-12345", "Manufacturer": "ACME", "KVP": 120, "OperatorsName": "SMITH^JOHN",
}  # fmt: skip
TOLD = {"ACME"}


def personal(folder: Path) -> list[Path]:
    paths = series(folder, VOLUME, **PERSON)
    for path in paths:
        made = dcmread(path)
        made.add_new(0x00091001, "LO", "private ROE")
        made.add_new(0x00090010, "LO", "ACME PRIVATE")
        save(made, path)
    return paths


def test_tags_by_name_and_by_number(tmp_path: Path):
    img = bigimg.open(personal(tmp_path / "s")[0])
    meta = img.bigimg.meta
    assert meta["Manufacturer"] == meta["0008,0070"] == meta["(0008,0070)"] == "ACME"
    assert (meta["PatientName"], meta["0009,1001"], meta["KVP"]) == ("ROE^JANE", "private ROE", 120)
    assert "PatientName" in meta
    with pytest.raises(KeyError):
        meta["0008,0071"]


def bytes_of(store: Path) -> bytes:
    return b"\n".join(
        str(path.relative_to(store)).encode() + path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    )


@pytest.mark.parametrize("by", ["path", "array"])
def test_a_store_tells_nothing_of_a_person(by: str, tmp_path: Path):
    path = personal(tmp_path / "ROE JANE")[0]
    path = path.rename(path.with_name("ROE_JANE.dcm"))
    img = path if by == "path" else bigimg.open(path)
    bigimg.convert(img, tmp_path / "a.ome.zarr")
    store = bytes_of(tmp_path / "a.ome.zarr")
    for value in map(str, PERSON.values()):
        assert (value.encode() in store) == (value in TOLD or value == "120"), value
    for word in (b"ROE", b"JANE", b"Jane", b"private ROE", uid("series").encode(), b"SOPInstanceUID"):
        assert word not in store
    meta = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())["attributes"]["bigimg"]["meta"]
    assert (meta["Modality"], meta["KVP"], meta["PixelSpacing"]) == ("CT", 120, [0.5, 0.75])
    assert bigimg.open(tmp_path / "a.ome.zarr").bigimg.meta["0008,0070"] == "ACME"


def test_keeping_metadata_is_asked_for(tmp_path: Path):
    path = personal(tmp_path / "s")[0]
    said = bigimg.plan(path, tmp_path / "a.ome.zarr").notes[-1]
    assert (
        "that may tell who was imaged are not written; info names them, and keep_metadata=True writes them"
        in said
    )
    bigimg.convert(path, tmp_path / "less.ome.zarr")
    assert said.startswith(
        bigimg.info(tmp_path / "less.ome.zarr").notes[-1]
    )  # of a store they are gone: no advice
    bigimg.convert(path, tmp_path / "a.ome.zarr", keep_metadata=True)
    meta = bigimg.open(tmp_path / "a.ome.zarr").bigimg.meta
    assert (meta["PatientName"], meta["0010,0020"], meta["0009,1001"]) == (
        "ROE^JANE",
        "MRN-4711",
        "private ROE",
    )
