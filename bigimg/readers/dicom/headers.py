"""The planes in DICOM files: the pixels of each, its position, and the meaning of its values.

Headers are read up to the pixels and then dropped; a :class:`Plane` stays for each frame. A tag is at the top of a
file, or for each frame in the functional groups of an enhanced file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from bigimg.errors import PARTIAL, InputError, reading
from bigimg.readers.dicom.fields import PRIVATE, Fields, first_item, private_diffusion
from bigimg.readers.dicom.layout import describe_pixels, pixel_element
from bigimg.readers.dicom.pixels import DEFLATED, Pixels, inflated_bytes, opened
from bigimg.readers.dicom.placing import Mosaic, Placing, dimension_ranks, is_mosaic, mosaic_of
from bigimg.readers.dicom.series import Slice
from bigimg.readers.dicom.tags import moment, number, numbers, tag_of, text, transfer_syntax, value_of
from bigimg.readers.raw.compressed import packing_of
from bigimg.types import Json, Padding

if TYPE_CHECKING:
    from pydicom import Dataset

_SCANNED = """
    SOPClassUID SOPInstanceUID ImageType AcquisitionDateTime AcquisitionTime ContentTime Modality EchoTime
    TriggerTime FrameReferenceTime AcquisitionNumber InstanceNumber SeriesInstanceUID SeriesNumber
    ImagePositionPatient ImageOrientationPatient TemporalPositionIdentifier PixelSpacing ImagerPixelSpacing
    NumberOfFrames Rows Columns SamplesPerPixel PhotometricInterpretation PlanarConfiguration BitsAllocated
    BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept WindowCenter WindowWidth VOILUTFunction
    PixelPaddingValue PixelPaddingRangeLimit FloatPixelPaddingValue FloatPixelPaddingRangeLimit
    DoubleFloatPixelPaddingValue DoubleFloatPixelPaddingRangeLimit
    DoseGridScaling GridFrameOffsetVector TotalPixelMatrixColumns
    TotalPixelMatrixRows SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor
    BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData GreenPaletteColorLookupTableData
    BluePaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData
    SegmentedGreenPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData SegmentationType
    MaximumFractionalValue EchoNumbers AcquisitionDate ContentDate DiffusionBValue DiffusionGradientOrientation
    InversionTime FlipAngle DimensionIndexSequence RealWorldValueMappingSequence SequenceOfUltrasoundRegions
    SpacingBetweenSlices SliceThickness NumberOfSlices DetectorInformationSequence SliceVector TimeSlotVector
    TimeSliceVector RRIntervalVector EnergyWindowVector DetectorVector NominalScannedPixelSpacing
"""
SCANNED = _SCANNED.split()
"""Tags that are read of each file of a series: 1.2 ms a file, a third of the time of all tags."""

VECTORS = ("TimeSlotVector", "TimeSliceVector", "RRIntervalVector", "EnergyWindowVector", "DetectorVector")
"""Numbers of each frame of a SPECT."""
OF_SHOWN = ("EnergyWindowVector", "DetectorVector")
"""Those among them that make images of their own."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane of pixels and its description."""

    pixels: Pixels
    frame: int
    at: Slice
    series: str
    """SeriesInstanceUID."""
    number: int
    """SeriesNumber, which sorts series for people."""
    echo: float | None
    """Echo time in milliseconds."""
    shown: tuple[str, ...]
    """What it shows: magnitude or phase, a map, which echo, which energy. Where several planes lie at one place, those
    of a stack have it in common."""
    modality: str
    stack_key: tuple[object, ...]
    """Equal for the planes of one stack, which also have the same series and orientation."""
    line: tuple[float, float]
    """Slope and intercept."""
    window: tuple[float, float] | None
    """Lower and upper end of the display window, in real values."""
    padding: Padding | None
    """First and last stored value that is no measurement."""
    segment: int | None
    """Number of the segment in this plane; None if it shows no segment."""
    volume: dict[str, Json]
    """Fields that may differ from volume to volume, such as the b-value."""


PIXELS_TOO = ("RT Dose", "Segmentation", "Label Map", "Parametric Map", "Enhanced US Volume", "Ophthalmic Thickness",
              "Corneal Topography Map")  # fmt: skip
"""Classes with pixels, beside those named "Image Storage"."""
UNDEFINED = b"\xff\xff\xff\xff"
"""A length that is not given, as that of compressed pixels."""

DAMAGE = (ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError, OverflowError, struct.error,
          NotImplementedError, RecursionError, MemoryError)  # fmt: skip
"""What pydicom raises for a damaged header: lengths beyond the file, texts in place of numbers, and NotImplementedError
for unknown types."""

reading_dicom = partial(reading, parse_errors=DAMAGE, remedy="fetch the file again")
"""``with reading_dicom(path)``: errors of pydicom within name the file."""


def read_header(path: str, *, tags: Sequence[str] | None = None) -> tuple[Dataset, int, bytes, int]:
    """Return the header, the byte where the pixels begin, the 12 bytes there, and the size of the file, unpacked.

    Raises
    ------
    InputError
        The file is not DICOM, or is damaged.
    """
    from pydicom import dcmread

    with reading_dicom(path), opened(path, packing_of(path)) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if DEFLATED.encode() in file.read(1024):
            size = inflated_bytes(path, file)
        file.seek(0)
        wanted = None if tags is None else [*map(tag_of, tags), *PRIVATE]
        header = dcmread(file, stop_before_pixels=True, specific_tags=wanted, force=True)
        return header, file.tell(), file.read(12), size


def planes_of(path: str) -> list[Plane]:
    """Return the planes of the file at ``path``; none if it is a DICOM without pixels.

    Raises
    ------
    InputError
        The file is damaged or holds an image that is not supported.
    MissingExtraError
        Its pixels need the extra ``dicom``.
    """
    header, offset, head, size = read_header(path, tags=SCANNED)
    element = pixel_element(header, offset, head, size)
    if element is None:
        if _without_pixels(header):
            return []
        where = "before its pixels" if "Rows" in header else "within its header"
        remedy = f"fetch it again, leave it out by a pattern or a list of the others, or give its series and {PARTIAL}"
        raise InputError(f"{path}: ends {where}, at byte {size}; {remedy}")
    if head[8:12] == UNDEFINED and not transfer_syntax(header):
        what = "its pixels are compressed, and the file meta information, which says how, is missing"
        raise InputError(f"{path}: {what}; export it again as a DICOM file")
    with reading_dicom(path):
        _refuse(path, header)
        return list(_planes(path, header, describe_pixels(path, header, element, size)))


def _without_pixels(header: Dataset) -> bool:
    """Return whether a file is of a class that has no pixels: a report, a plan, an index; a cut file may lack it."""
    from pydicom.uid import UID

    meta: Dataset | None = getattr(header, "file_meta", None)
    kind = text(header, "SOPClassUID") or ("" if meta is None else text(meta, "MediaStorageSOPClassUID"))
    name = UID(kind).name
    return bool(kind) and "Image Storage" not in name and not name.startswith(PIXELS_TOO)


def _refuse(path: str, header: Dataset) -> None:
    """Raise an InputError for images in tiles that are read as slides are, or not at all."""
    across, down = number(header, "TotalPixelMatrixColumns"), number(header, "TotalPixelMatrixRows")
    tile = number(header, "Columns") or 0, number(header, "Rows") or 0
    if across and down and (across > tile[0] or down > tile[1]):
        size = f"of {down:g} x {across:g} pixels in tiles"
        if packing_of(path) is not None:
            raise InputError(
                f"{path}: is a slide {size}, which is not read when it is compressed; unpack it first"
            )
        kind = text(header, "Modality") or "image"
        raise InputError(f"{path}: is a {kind} {size}, which is read of slides alone; give the slide itself")


def _unfolded(path: str, header: Dataset, pixels: Pixels) -> tuple[Pixels, Mosaic | None]:
    """Return the pixels with the tiles of a Siemens mosaic as frames."""
    if not is_mosaic(header, pixels.frames):
        return pixels, None
    mosaic = mosaic_of(read_header(path)[0])
    if mosaic is None or pixels.rows % mosaic.across or pixels.columns % mosaic.across:
        what = "is a Siemens mosaic, which holds many slices in one picture, and does not say how many"
        raise InputError(f"{path}: {what}; convert it with dcm2niix")
    return replace(pixels, across=mosaic.across), mosaic


def _planes(path: str, header: Dataset, pixels: Pixels) -> Iterator[Plane]:
    shared = first_item(header, "SharedFunctionalGroupsSequence")
    frames = value_of(header, "PerFrameFunctionalGroupsSequence") or []
    if frames and len(frames) != pixels.frames:
        raise InputError(f"{path}: describes {len(frames)} of {pixels.frames} frames; fetch it again")
    pixels, mosaic = _unfolded(path, header, pixels)
    placing = Placing(header, pixels.frames, bool(frames), (pixels.rows, pixels.columns), mosaic)
    ranks = dimension_ranks(header, frames)
    vectors = {name: numbers(header, name) for name in VECTORS} if placing.slices else {}
    vectors = {name: found for name, found in vectors.items() if len(found) == pixels.frames}
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    series, echo_at_top = text(header, "SeriesInstanceUID"), None if frames else number(header, "EchoTime")
    count = mosaic.slices if mosaic else pixels.frames
    for i in range(count):
        look = Fields(header, shared, frames[i] if frames else None)
        echo = look.number("EchoTime", "MREchoSequence", "EffectiveEchoTime") if frames else echo_at_top
        stack_key = (
            pixels.height, pixels.width, pixels.samples, echo,
            look.text("StackID", "FrameContentSequence") if frames else "",
            "" if placing.positioned else text(header, "SOPInstanceUID") or path,  # a clip is a series of its own
        )  # fmt: skip
        keys = _keys(look, pixels, i) | {
            key: found[i] for key, found in vectors.items() if key not in OF_SHOWN
        }
        if ranks.other is not None:
            keys["DimensionIndexValues"] = float(ranks.other[i])
        place, uid = placing.of(look, i), text(header, "SOPInstanceUID")
        at = Slice(
            name if count == 1 else f"{name} {'tile' if mosaic else 'frame'} {i}", place.position, place.orientation,
            place.spacing, keys, f"{uid} {i}" if uid else "", place.between,
            None if ranks.place is None else float(ranks.place[i]),
        )  # fmt: skip
        shown = (*look.shown(), *(f"{vectors[key][i]:g}" for key in OF_SHOWN if key in vectors))
        segment = look.number("ReferencedSegmentNumber", "SegmentIdentificationSequence")
        yield Plane(
            pixels, i, at, series, int(number(header, "SeriesNumber") or 0), echo, shown,
            text(header, "Modality") or "image", stack_key, look.line(), look.window(), _padding(header, pixels),
            None if segment is None else int(segment), _of_volume(look),
        )  # fmt: skip


def _keys(look: Fields, pixels: Pixels, frame: int) -> dict[str, float]:
    """Return the tags that may order planes at one place."""
    header = look.header
    keys = {
        "TemporalPositionIndex": look.number("TemporalPositionIndex", "FrameContentSequence"),
        "TemporalPositionTimeOffset": look.number("TemporalPositionTimeOffset", "TemporalPositionSequence"),
        "NominalCardiacTriggerDelayTime":
            look.number("NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence"),
        "AcquisitionDateTime": look.seconds("FrameAcquisitionDateTime", "AcquisitionDateTime"),
        "DiffusionBValue": look.number("DiffusionBValue", "MRDiffusionSequence"),
        "InstanceNumber": float(frame) if pixels.frames > 1 else number(header, "InstanceNumber"),
    }  # fmt: skip
    if pixels.frames == 1:  # a tag of the whole file does not distinguish its frames
        of_file = ("TemporalPositionIdentifier", "FrameReferenceTime", "TriggerTime", "AcquisitionNumber")
        keys |= {tag: number(header, tag) for tag in of_file}
        keys |= {f"{of}Time": moment(header, f"{of}Date", f"{of}Time") for of in ("Acquisition", "Content")}
    return {key: value for key, value in keys.items() if value is not None}


def _of_volume(look: Fields) -> dict[str, Json]:
    """Return the fields that may differ from volume to volume."""
    diffusion = look.where("DiffusionGradientDirectionSequence", "MRDiffusionSequence")
    direction = first_item(diffusion, "DiffusionGradientDirectionSequence")
    of = look.header if direction is None else direction
    b_value, turned = look.number("DiffusionBValue", "MRDiffusionSequence"), None
    if b_value is None:
        b_value, turned = private_diffusion(look.header)
    found: dict[str, Json] = {
        "DiffusionBValue": b_value,
        "DiffusionGradientOrientation": list(numbers(of, "DiffusionGradientOrientation"))
        or cast("Json", turned),
        "InversionTime": number(look.header, "InversionTime"),
        "FlipAngle": look.number("FlipAngle", "MRTimingAndRelatedParametersSequence"),
        "TriggerTime": number(look.header, "TriggerTime"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _padding(header: Dataset, pixels: Pixels) -> Padding | None:
    """Return first and last stored value that is no measurement.

    The field has 16 bits, and many writers give that of signed pixels as an unsigned number, or the reverse.
    """
    kind = {("f", 4): "FloatPixel", ("f", 8): "DoubleFloatPixel"}.get(
        (pixels.dtype.kind, pixels.dtype.itemsize), "Pixel"
    )
    value, limit = number(header, f"{kind}PaddingValue"), number(header, f"{kind}PaddingRangeLimit")
    if value is None or pixels.colored:
        return None
    ends = value, value if limit is None else limit
    if kind != "Pixel":
        return min(ends), max(ends)
    bits = int(number(header, "BitsStored") or 16)
    low, high = sorted(_as_stored(int(end), bits, signed=pixels.dtype.kind == "i") for end in ends)
    return low, high


def _as_stored(value: int, bits: int, *, signed: bool) -> int:
    """Return the number that the pixels have where a field of 16 bits says ``value``.

    Examples
    --------
    >>> _as_stored(63536, 16, signed=True), _as_stored(2048, 12, signed=True), _as_stored(-1, 16, signed=False)
    (-2000, -2048, 65535)
    """
    if not signed:
        return value + (1 << 16) if value < 0 else value
    for width in (16, bits):
        if 1 << (width - 1) <= value < 1 << width:
            value -= 1 << width
    return value
