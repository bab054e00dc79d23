"""What real files mean: times past midnight, images that share a series, values, places, tiles and empty frames."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import bigimg
from bigimg.errors import InconsistentSeries, InputError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.spec import Scaling
from bigimg.readers.dicom.reader import DicomReader, open_dicom, open_dicom_files
from bigimg.types import Array
from tests.readers.dicom.dicom_files import AXIAL, enhanced, header, save, series

VOLUME = np.random.default_rng(3).integers(0, 900, (4, 5, 6)).astype(np.int16)
LPS_TO_RAS = np.diag([-1.0, -1, 1, 1])


def whole(reader: DicomReader) -> Array:
    return reader.read(tuple(slice(0, n) for n in reader.spec.shape))


def item(**fields: Any) -> Dataset:
    made = Dataset()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def volumes(folder: Path, tags: list[dict[str, Any]]) -> list[str]:
    """Write a volume for each of ``tags``; its pixels are ``VOLUME`` plus its number."""
    folder.mkdir(exist_ok=True)
    paths: list[Path] = []
    for t, own in enumerate(tags):
        paths += series(folder / str(t), VOLUME + t, **own)
    return [str(path) for path in paths]


@pytest.mark.parametrize(
    "tags",
    [
        [("Acquisition", "20231231", "235950"), ("Acquisition", "20240101", "000000")],
        [("Content", "20240229", "235957.5"), ("Content", "20240301", "000007.5")],
        [("Acquisition", None, "235955"), ("Acquisition", None, "000005")],
    ],
)
def test_volumes_past_midnight_are_in_the_order_they_were_taken(
    tags: list[tuple[str, str | None, str]], tmp_path: Path
):
    own = [{f"{of}Time": time} | ({f"{of}Date": date} if date else {}) for of, date, time in tags]
    reader = open_dicom_files(volumes(tmp_path, own)[::-1])
    np.testing.assert_array_equal(whole(reader), [VOLUME, VOLUME + 1])
    assert reader.spec.axes[0].spacing == 10.0


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (
            [
                {"ImageType": ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]},
                {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]},
            ],
            ("M_FFE M FFE", "PHASE MAP P FFE"),
        ),
        (
            [
                {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]},
                {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]},
            ],
            ("DIFFUSION ADC", "DIFFUSION TRACEW"),
        ),
        ([{"EchoNumbers": 1}, {"EchoNumbers": 2}], ("images, 1", "images, 2")),
        ([{"EchoTime": 10.5}, {"EchoTime": 20}], ("echo 10.5 ms", "echo 20 ms")),
    ],
)
def test_images_that_share_a_series_are_to_choose(
    kinds: list[dict[str, Any]], words: tuple[str, str], tmp_path: Path
):
    paths = volumes(tmp_path, kinds)
    with pytest.raises(InputError, match=f"0: .*{words[0]}; 1: .*{words[1]}"):
        open_dicom_files(paths)
    for number in (0, 1):
        np.testing.assert_array_equal(whole(open_dicom_files(paths, series=number)), VOLUME + number)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
@pytest.mark.parametrize(
    ("b_value", "direction", "at_zero"),
    [
        (("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", 700), [("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", [0.0, 0.6, 0.8])],
         None),
        (("GEMS_PARM_01", 0x0043, 0x39, "IS", [1000000700, 8, 0, 0]),
         [("GEMS_ACQU_01", 0x0019, at, "DS", part) for at, part in ((0xBB, 0.0), (0xBC, 0.6), (0xBD, 0.8))],
         [0.0, 0.0, 0.0]),
        (("Philips Imaging DD 001", 0x2001, 0x03, "FL", 700.0),
         [("Philips MR Imaging DD 001", 0x2005, at, "FL", part) for at, part in ((0xB0, 0), (0xB1, 0.6), (0xB2, 0.8))],
         [0.0, 0.0, 0.0]),
        (("GEMS_PARM_01", 0x0043, 0x39, "IS", [700, 8, 0, 0]), [], None),
    ],
)  # fmt: skip
def test_private_b_values_and_directions(
    b_value: Any, direction: list[Any], at_zero: list[float] | None, syntax: str, tmp_path: Path
):
    from pydicom import dcmread

    paths = volumes(tmp_path, [{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}])
    for i, path in enumerate(paths):
        made = dcmread(path)
        made.file_meta.TransferSyntaxUID = syntax
        for maker, group, element, kind, value in (b_value, *direction):
            if i > 3 or kind == "IS":
                given = value if i > 3 else 0
            elif at_zero is None:
                continue
            else:
                given = 0.0
            made.private_block(group, maker, create=True).add_new(element, kind, given)
        save(made, Path(path))
    spec = open_dicom_files(paths).spec
    assert spec.meta["DiffusionBValue"] == [0.0, 700.0]
    found = spec.meta.get("DiffusionGradientOrientation")
    assert (found is not None) == bool(direction)
    if direction:
        assert found[0] == at_zero
        np.testing.assert_allclose(found[1], [0, 0.6, 0.8], atol=1e-7)
    assert any("frequency" in note for note in spec.notes) == ("GEMS_ACQU_01" in str(direction))


def test_rounding_of_places_does_not_make_times_of_phases(tmp_path: Path):
    from pydicom import dcmread

    paths = volumes(tmp_path, [{"ImageType": ["ORIGINAL", "PRIMARY", kind]} for kind in "MP"])
    for path in paths[4:]:
        made = dcmread(path)
        x, y, z = made.ImagePositionPatient
        made.ImagePositionPatient = [x, y, float(z) + 0.00001]
        save(made, Path(path))
    with pytest.raises(InputError, match=r"images, M; 1: .*images, P"):
        open_dicom_files(paths)


def test_ge_says_in_a_private_tag_what_is_shown(tmp_path: Path):
    from pydicom import dcmread

    paths = volumes(tmp_path, [{}, {}])
    for i, path in enumerate(paths):
        made = dcmread(path)
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.{i}"
        made.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", i // 4)
        save(made, Path(path))
    with pytest.raises(InputError, match=r"0: .*images, MAGNITUDE; 1: .*images, PHASE"):
        open_dicom_files(paths)
    np.testing.assert_array_equal(whole(open_dicom_files(paths, series=1)), VOLUME + 1)


def test_slices_without_a_place_are_told_apart_too(tmp_path: Path):
    paths = [
        save(
            header(VOLUME[z] + k, ImageType=["ORIGINAL", "PRIMARY", kind], InstanceNumber=2 * z + k),
            tmp_path / f"{z}{k}.dcm",
        )
        for z in range(4) for k, kind in enumerate("MP")
    ]  # fmt: skip
    found = open_dicom_files([str(path) for path in paths], series=1)
    np.testing.assert_array_equal(whole(found), VOLUME + 1)


def test_a_kind_that_differs_from_slice_to_slice_leaves_one_stack(tmp_path: Path):
    paths = [
        series(tmp_path / str(z), VOLUME[[z]], step=(0, 0, 0), ImageType=["ORIGINAL", "PRIMARY", f"X{z}"])[0]
        for z in range(4)
    ]
    from pydicom import dcmread

    for z, path in enumerate(paths):
        made = dcmread(path)
        made.ImagePositionPatient = [0, 0, 2 * z]
        save(made, path)
    np.testing.assert_array_equal(whole(open_dicom_files([str(path) for path in paths])), VOLUME)


def test_magnitude_and_phase_of_an_enhanced_file(tmp_path: Path):
    both = np.concatenate([VOLUME, -VOLUME])
    made = enhanced(both, [(0, 0, 2 * z) for z in range(4)] * 2, Modality="MR")
    for i, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.MRImageFrameTypeSequence = [item(ComplexImageComponent="PHASE" if i > 3 else "MAGNITUDE")]
    path = save(made, tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"MAGNITUDE; 1: .*PHASE"):
        open_dicom(path)
    np.testing.assert_array_equal(whole(open_dicom(path, series=1)), -VOLUME)


def test_volumes_keep_what_differs(tmp_path: Path):
    directions = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]
    tags: list[dict[str, Any]] = [
        {
            "DiffusionBValue": b,
            "DiffusionGradientOrientation": d,
            "AcquisitionTime": f"1200{t:02d}",
            "FlipAngle": 90,
        }
        for b, d, t in zip([0.0, 1000.0, 1000.0], directions, [0, 3, 10], strict=True)
    ]
    meta = open_dicom_files(volumes(tmp_path, tags)).spec.meta
    assert meta["DiffusionBValue"] == [0.0, 1000.0, 1000.0]
    assert meta["DiffusionGradientOrientation"] == directions
    assert meta["VolumeTimes"] == [0.0, 3.0, 10.0]
    assert meta["FlipAngle"] == 90.0
    phases = [{"TriggerTime": 400 * t} for t in range(3)]
    reader = open_dicom_files(volumes(tmp_path / "b", phases))
    assert (reader.spec.axes[0].spacing, reader.spec.meta["TriggerTime"]) == (0.4, [0.0, 400.0, 800.0])


# Values


@pytest.mark.parametrize("of", ["top", "shared", "frames"])
def test_a_mapping_to_real_values_is_applied(of: str, tmp_path: Path):
    mapping = item(
        RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=900, RealWorldValueSlope=0.25,
        RealWorldValueIntercept=-7.0, MeasurementUnitsCodeSequence=[item(CodeValue="g/ml{SUVbw}")],
    )  # fmt: skip
    made = enhanced(
        VOLUME.view(np.uint16), [(0, 0, z) for z in range(4)], RescaleSlope=2, RescaleIntercept=100
    )
    made.WindowCenter, made.WindowWidth, made.VOILUTFunction = 300, 400, "LINEAR_EXACT"
    groups = {"top": [made], "shared": [made.SharedFunctionalGroupsSequence[0]],
              "frames": made.PerFrameFunctionalGroupsSequence}[of]  # fmt: skip
    for group in groups:
        group.RealWorldValueMappingSequence = [mapping]
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    assert reader.spec.scaling == Scaling(0.25, -7.0)
    assert reader.spec.window == (-7.0, 43.0)  # 100 to 500 rescaled are 0 to 200 stored
    assert "g/ml{SUVbw}; stored values outside 0 to 900" in reader.spec.of_source[-1]


def test_a_mapping_that_differs_or_is_a_table(tmp_path: Path):
    made = enhanced(VOLUME, [(0, 0, z) for z in range(4)])
    for z, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.RealWorldValueMappingSequence = [item(RealWorldValueSlope=z + 1.0, RealWorldValueIntercept=0.5)]
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    expected = VOLUME * np.arange(1, 5)[:, None, None] + 0.5
    np.testing.assert_array_equal(whole(reader), expected.astype(np.float32))
    made = header(VOLUME[0], RealWorldValueMappingSequence=[item(RealWorldValueLUTData=[1.0, 2.0])])
    reader = open_dicom(save(made, tmp_path / "b.dcm"))
    np.testing.assert_array_equal(whole(reader), VOLUME[0])
    assert "RealWorldValueLUTData" in reader.spec.of_source[-1]


# Places


@pytest.mark.parametrize(
    ("orientation", "offsets", "z_of_patient"),
    [
        (AXIAL, (0, 3, 6, 9), False),
        (AXIAL, (5, 8, 11, 14), False),
        ((-1, 0, 0, 0, -1, 0), (0, 3, 6, 9), False),
        ((1, 0, 0, 0, -1, 0), (0, 3, 6, 9), False),
        ((1, 0, 0, 0, -1, 0), (5, 8, 11, 14), True),
        ((1, 0, 0, 0, 0, -1), (0, 3, 6, 9), False),
        ((0, 1, 0, 0, 0, -1), (0, -3, -6, -9), False),
    ],
)
def test_frames_of_a_dose_lie_along_their_normal(
    orientation: tuple[float, ...], offsets: tuple[float, ...], z_of_patient: bool, tmp_path: Path
):
    """PS3.3 C.8.8.3.2: offsets from the first frame along the normal, or z of the patient."""
    made = header(
        VOLUME, Modality="RTDOSE", ImagePositionPatient=[-20, 10, 5], ImageOrientationPatient=list(orientation),
        PixelSpacing=[1, 2], GridFrameOffsetVector=list(offsets), DoseGridScaling=0.5,
    )  # fmt: skip
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    across = np.array([0, 0, 1]) if z_of_patient else np.cross(orientation[:3], orientation[3:])
    affine = index_to_world(reader.spec.axes, reader.spec.world)
    found = whole(reader)
    for frame, offset in enumerate(offsets):
        place = np.array([-20, 10, 5]) + across * (offset - offsets[0])
        at = np.linalg.inv(affine) @ LPS_TO_RAS @ [*place, 1]
        np.testing.assert_allclose(at[:2], 0, atol=1e-9)
        np.testing.assert_array_equal(found[round(at[2])], VOLUME[frame])


def spect(count: int, **tags: Any) -> Dataset:
    pixels = np.arange(count * 30, dtype=np.uint16).reshape(count, 5, 6)
    detector = item(ImagePositionPatient=[-100, -90, 50], ImageOrientationPatient=list(AXIAL))
    return header(
        pixels, Modality="NM", PixelSpacing=[4, 4], SliceThickness=4, DetectorInformationSequence=[detector], **tags
    )  # fmt: skip


def test_a_gated_spect_has_times_and_places(tmp_path: Path):
    made = spect(
        6, SliceVector=[1, 2, 1, 2, 1, 2], TimeSlotVector=[1, 1, 2, 2, 3, 3], SpacingBetweenSlices=-3.5
    )
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    pixels = np.arange(180, dtype=np.uint16).reshape(3, 2, 5, 6)
    assert reader.spec.dims == ("t", "z", "y", "x")
    np.testing.assert_array_equal(whole(reader), pixels[:, ::-1])  # the second slice lies below the first
    affine = index_to_world(reader.spec.axes, reader.spec.world)
    np.testing.assert_allclose(affine[:3, 3], [100, 90, 46.5])
    assert reader.spec.axes[1].spacing == 3.5


def test_a_spect_that_does_not_list_its_slices(tmp_path: Path):
    reader = open_dicom(save(spect(3, NumberOfSlices=3, SpacingBetweenSlices=2.5), tmp_path / "a.dcm"))
    affine = index_to_world(reader.spec.axes, reader.spec.world)
    np.testing.assert_allclose(affine[:3, 2:], [[0, 100], [0, 90], [2.5, 50]])


def test_energies_of_a_spect_are_images_of_their_own(tmp_path: Path):
    made = spect(4, SliceVector=[1, 2, 1, 2], EnergyWindowVector=[1, 1, 2, 2])
    reader = open_dicom(save(made, tmp_path / "a.dcm"), series=1)
    np.testing.assert_array_equal(whole(reader), np.arange(60, 120, dtype=np.uint16).reshape(2, 5, 6))
    assert reader.spec.axes[0].spacing == 4.0  # SliceThickness, where no distance is given


def region(x: float, y: float, unit: int = 3) -> Dataset:
    return item(
        PhysicalUnitsXDirection=unit, PhysicalUnitsYDirection=3, PhysicalDeltaX=x, PhysicalDeltaY=y,
        RegionSpatialFormat=1, RegionDataType=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("regions", "spacing", "note"),
    [
        ([region(0.01, -0.02), region(0.01, 0.02)], (0.2, 0.1), "holds within it alone"),
        ([region(0.01, 0.02), region(0.3, 0.1, unit=4)], (0.2, 0.1), "holds within it alone"),
        ([region(0.01, 0.02), region(0.03, 0.02)], (1, 1), "different size (0.2 x 0.1, 0.2 x 0.3 mm)"),
        ([region(0.3, 0.1, unit=4)], (1, 1), "no ultrasound region has pixels in centimetres"),
    ],
)
def test_ultrasound_says_how_large_its_pixels_are(
    regions: list[Dataset], spacing: tuple[float, float], note: str, tmp_path: Path
):
    made = header(VOLUME[0], Modality="US", SequenceOfUltrasoundRegions=Sequence(regions))
    spec = open_dicom(save(made, tmp_path / "a.dcm")).spec
    assert tuple(axis.spacing for axis in spec.axes) == spacing
    assert any(note in said for said in spec.notes)


def dimensions(made: Dataset, names: list[str], values: list[tuple[int, ...]]) -> Dataset:
    from pydicom.datadict import tag_for_keyword

    made.DimensionIndexSequence = [item(DimensionIndexPointer=tag_for_keyword(name)) for name in names]
    for group, own in zip(made.PerFrameFunctionalGroupsSequence, values, strict=True):
        group.FrameContentSequence = [item(DimensionIndexValues=list(own))]
    return made


@pytest.mark.parametrize("placed", [True, False])
def test_dimensions_alone_give_the_order(placed: bool, tmp_path: Path):
    """Frames of 2 places and 3 b-values or times, stored in no order."""
    places = np.array([1, 0, 0, 1, 1, 0])
    others = np.array([2, 0, 2, 0, 1, 1])
    pixels = np.arange(6, dtype=np.uint16)[:, None, None] * np.ones((5, 6), np.uint16)
    made = enhanced(pixels, [(0, 0, 2.0 * z) for z in places])
    if not placed:
        for group in made.PerFrameFunctionalGroupsSequence:
            del group.PlanePositionSequence
    values = [(1, z + 1, t + 1) for z, t in zip(places.tolist(), others.tolist(), strict=True)]
    made = dimensions(made, ["StackID", "InStackPositionNumber", "TemporalPositionIndex"], values)
    found = whole(open_dicom(save(made, tmp_path / "a.dcm")))
    order = np.array([[np.flatnonzero((places == z) & (others == t))[0] for z in (0, 1)] for t in range(3)])
    np.testing.assert_array_equal(found, pixels[order])


TYPES = {
    "AcquisitionMatrixText": b"SH\0\0",
    "NumberOfImagesInMosaic": b"US\0\0",
    "SliceNormalVector": b"FD\0\0",
}


def csa(**tags: list[str]) -> bytes:
    """Return a Siemens CSA2 header."""
    made = b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77)
    for name, values in tags.items():
        made += struct.pack("<64si4siii", name.encode(), len(values), TYPES[name], 3, 6, 77)
        for i in range(6):
            text = values[i].encode() + b"\0" if i < len(values) else b""
            made += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4)
    return made


def mosaic(count: int, normal: tuple[float, ...], **tags: Any) -> Dataset:
    across = int(np.ceil(np.sqrt(count)))
    picture = np.arange(across * 4 * across * 6, dtype=np.uint16).reshape(across * 4, across * 6)
    made = header(
        picture, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], SpacingBetweenSlices=3.6,
        ImagePositionPatient=[-40, -30, 12], ImageOrientationPatient=list(AXIAL), PixelSpacing=[2, 3], **tags,
    )  # fmt: skip
    block = made.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    words = {
        "AcquisitionMatrixText": ["6p*4"],
        "NumberOfImagesInMosaic": [str(count)],
        "SliceNormalVector": [f"{v:.8f}" for v in normal],
    }
    block.add_new(0x10, "OB", csa(**words))
    return made


@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental")
@pytest.mark.parametrize(("count", "up"), [(4, 1.0), (7, 1.0), (7, -1.0)])
def test_a_mosaic_has_the_slices_and_the_places_of_nibabel(count: int, up: float, tmp_path: Path):
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    path = save(mosaic(count, (0, 0, up)), tmp_path / "a.dcm")
    owner = wrapper_from_file(path)
    reader = open_dicom(path)
    expected = np.moveaxis(owner.get_data(), -1, 0)[:: int(up)]
    np.testing.assert_array_equal(whole(reader), expected)
    np.testing.assert_array_equal(
        reader.read((slice(1, 3), slice(1, 4), slice(2, 3))), expected[1:3, 1:4, 2:3]
    )
    rows_first = owner.affine[:, [1, 0, 2, 3]]  # nibabel's first index runs down
    affine = index_to_world(reader.spec.axes, reader.spec.world)
    first = (
        rows_first
        if up > 0
        else rows_first @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, count - 1], [0, 0, 0, 1]]
    )
    np.testing.assert_allclose(affine, LPS_TO_RAS @ first, atol=1e-6)


def test_mosaics_in_time_and_one_that_does_not_say_enough(tmp_path: Path):
    paths = [
        str(save(mosaic(4, (0, 0, 1), AcquisitionTime=f"1200{2 * t:02d}", InstanceNumber=t), tmp_path / f"{t}.dcm"))
        for t in range(3)
    ]  # fmt: skip
    reader = open_dicom_files(paths)
    assert (reader.spec.shape, reader.spec.axes[0].spacing) == ((3, 4, 4, 6), 2.0)
    made = mosaic(4, (0, 0, 1))
    del made[0x0029, 0x1010]
    with pytest.raises(InputError, match="does not say how many"):
        open_dicom(save(made, tmp_path / "b.dcm"))


# Segmentations


def probabilities(
    frames: list[tuple[int, float]], kind: str = "FRACTIONAL", **tags: Any
) -> tuple[Dataset, Array]:
    stored = np.random.default_rng(5).integers(1, 255, (len(frames), 4, 6)).astype(np.uint8)
    made = enhanced(stored, [(0, 0, z) for _, z in frames], Modality="SEG", SegmentationType=kind, **tags)
    for (segment, _), group in zip(frames, made.PerFrameFunctionalGroupsSequence, strict=True):
        if kind != "LABELMAP":
            group.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=segment)]
    return made, stored


def test_probabilities_are_real_values_and_what_is_left_out_is_zero(tmp_path: Path):
    made, stored = probabilities([(2, 0), (5, 6), (2, 9), (5, 9)], MaximumFractionalValue=250)
    img = bigimg.open(save(made, tmp_path / "a.dcm"))
    expected = np.zeros((2, 4, 4, 6))
    expected[0, 0], expected[1, 2], expected[0, 3], expected[1, 3] = stored / 250
    np.testing.assert_allclose(img.values, expected, rtol=1e-6)
    assert img.bigimg.spacing["z"] == 3.0
    assert any(
        "4 of 8 frames are not in the file: they are background" in note
        for note in open_dicom(tmp_path / "a.dcm").spec.notes
    )


def test_labels_with_a_gap_use_the_declared_distance(tmp_path: Path):
    made, stored = probabilities([(0, 4), (0, 0), (0, 12)], kind="LABELMAP")
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = 2
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    expected = np.zeros((7, 4, 6), np.uint8)
    expected[[2, 0, 6]] = stored
    np.testing.assert_array_equal(whole(reader), expected)
    assert reader.spec.kind == "labels"


def test_labels_with_a_palette_stay_numbers(tmp_path: Path):
    made, stored = probabilities([(0, 0), (0, 2)], kind="LABELMAP", PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(made, f"{colour}PaletteColorLookupTableData", bytes(512))
    reader = open_dicom(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(whole(reader), stored)
    assert (reader.spec.kind, reader.spec.dims) == ("labels", ("z", "y", "x"))


def test_places_that_make_no_grid_are_refused(tmp_path: Path):
    made, _ = probabilities([(1, 0), (1, 2), (1, 5)])
    with pytest.raises(InconsistentSeries, match="2 to 3 mm apart"):
        open_dicom(save(made, tmp_path / "a.dcm"))
