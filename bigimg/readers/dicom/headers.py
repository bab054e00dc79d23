"""The planes in DICOM files: the pixels of each, its position, and the meaning of its values.

Headers are read up to the pixels and then dropped; a :class:`Plane` stays for each frame. A tag is at the top of a
file, or for each frame in the functional groups of an enhanced file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bigimg.errors import InputError, reading
from bigimg.readers.dicom.layout import describe_pixels, pixel_element
from bigimg.readers.dicom.pixels import DEFLATED, Pixels, inflated_bytes
from bigimg.readers.dicom.series import Slice
from bigimg.readers.dicom.tags import number, numbers, seconds, tag_of, text, value_of
from bigimg.types import Padding

if TYPE_CHECKING:
    from pydicom import Dataset

_SCANNED = """
    SOPClassUID SOPInstanceUID ImageType AcquisitionDateTime AcquisitionTime ContentTime Modality EchoTime
    TriggerTime FrameReferenceTime AcquisitionNumber InstanceNumber SeriesInstanceUID SeriesNumber
    ImagePositionPatient ImageOrientationPatient TemporalPositionIdentifier PixelSpacing
    ImagerPixelSpacing NumberOfFrames Rows Columns SamplesPerPixel PhotometricInterpretation
    PlanarConfiguration BitsAllocated BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept
    WindowCenter WindowWidth VOILUTFunction PixelPaddingValue PixelPaddingRangeLimit DoseGridScaling
    FloatPixelPaddingValue FloatPixelPaddingRangeLimit DoubleFloatPixelPaddingValue DoubleFloatPixelPaddingRangeLimit
    GridFrameOffsetVector TotalPixelMatrixColumns TotalPixelMatrixRows SharedFunctionalGroupsSequence
    PerFrameFunctionalGroupsSequence RedPaletteColorLookupTableDescriptor
    GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData SegmentationType
"""
SCANNED = _SCANNED.split()
"""Tags that are read of each file of a series: 1.2 ms a file, a third of the time of all tags."""


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


DAMAGE = (ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError, OverflowError, struct.error,
          NotImplementedError, RecursionError, MemoryError)  # fmt: skip
"""What pydicom raises for a damaged header: lengths beyond the file, unknown types, texts in place of numbers."""

reading_dicom = partial(reading, parse_errors=DAMAGE, remedy="fetch the file again")
"""``with reading_dicom(path)``: errors of pydicom within name the file."""


def read_header(path: str, *, tags: Sequence[str] | None = None) -> tuple[Dataset, int, bytes, int]:
    """Return the header, the byte where the pixels begin, the 12 bytes there, and the size of the file.

    Raises
    ------
    InputError
        The file is not DICOM, or is damaged.
    """
    from pydicom import dcmread

    with reading_dicom(path), open(path, "rb") as file:
        if DEFLATED.encode() in file.read(1024):
            inflated_bytes(path)
        file.seek(0)
        wanted = None if tags is None else list(map(tag_of, tags))
        header = dcmread(file, stop_before_pixels=True, specific_tags=wanted, force=True)
        return header, file.tell(), file.read(12), os.fstat(file.fileno()).st_size


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
        if "Rows" in header:
            raise InputError(f"{path}: ends before its pixels, at byte {size}; fetch it again")
        return []
    with reading_dicom(path):
        _refuse(path, header)
        return list(_planes(path, header, describe_pixels(path, header, element, size)))


def _refuse(path: str, header: Dataset) -> None:
    """Raise an InputError for whole slides and mosaics: their frames are not planes of an image."""
    across, down = number(header, "TotalPixelMatrixColumns"), number(header, "TotalPixelMatrixRows")
    tile = number(header, "Columns") or 0, number(header, "Rows") or 0
    if across and down and (across > tile[0] or down > tile[1]):
        what = f"is a whole slide in tiles ({down:g} x {across:g} pixels), which is not read from DICOM yet"
        raise InputError(f"{path}: {what}; give the slide as SVS or TIFF")
    if "MOSAIC" in (value_of(header, "ImageType") or ()):
        what = "is a Siemens mosaic, which holds many slices in one picture and is not supported"
        raise InputError(f"{path}: {what}; convert it with dcm2niix")


def _planes(path: str, header: Dataset, pixels: Pixels) -> Iterator[Plane]:
    shared = _first(header, "SharedFunctionalGroupsSequence")
    frames = value_of(header, "PerFrameFunctionalGroupsSequence") or []
    if frames and len(frames) != pixels.frames:
        raise InputError(f"{path}: describes {len(frames)} of {pixels.frames} frames; fetch it again")
    offsets = numbers(header, "GridFrameOffsetVector")
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    for i in range(pixels.frames):
        look = _Look(header, shared, frames[i] if frames else None)
        positioned = bool(frames) or pixels.frames == 1 or len(offsets) == pixels.frames
        series = text(header, "SeriesInstanceUID")
        stack_key = (
            pixels.rows, pixels.columns, pixels.samples,
            look.number("EchoTime", "MREchoSequence", "EffectiveEchoTime"),
            look.text("StackID", "FrameContentSequence") if frames else "",
            "" if positioned else text(header, "SOPInstanceUID") or path,  # a clip is a series of its own
        )  # fmt: skip
        at = _slice(look, name if pixels.frames == 1 else f"{name} frame {i}", i, pixels, positioned, offsets)
        segment = look.number("ReferencedSegmentNumber", "SegmentIdentificationSequence")
        yield Plane(
            pixels, i, at, series, int(number(header, "SeriesNumber") or 0), text(header, "Modality") or "image",
            stack_key, look.line(), look.window(), _padding(header, pixels),
            None if segment is None else int(segment),
        )  # fmt: skip


def _slice(
    look: _Look, name: str, frame: int, pixels: Pixels, positioned: bool, offsets: tuple[float, ...]
) -> Slice:
    header = look.header
    position = look.numbers("ImagePositionPatient", "PlanePositionSequence", 3) if positioned else None
    orientation = look.numbers("ImageOrientationPatient", "PlaneOrientationSequence", 6)
    if position and len(offsets) == pixels.frames > 1:  # frames of a dose lie along z of the patient
        position = (*position[:2], position[2] + offsets[frame] - offsets[0])
    spacing = look.numbers("PixelSpacing", "PixelMeasuresSequence", 2)
    spacing = spacing or look.numbers("ImagerPixelSpacing", "PixelMeasuresSequence", 2)
    keys = {
        "TemporalPositionIndex": look.number("TemporalPositionIndex", "FrameContentSequence"),
        "AcquisitionDateTime": look.seconds("FrameAcquisitionDateTime", "AcquisitionDateTime"),
        "InstanceNumber": float(frame) if pixels.frames > 1 else number(header, "InstanceNumber"),
    }
    if pixels.frames == 1:  # a tag of the whole file does not distinguish its frames
        of_file = ("TemporalPositionIdentifier", "FrameReferenceTime", "TriggerTime", "AcquisitionNumber")
        keys |= {tag: number(header, tag) for tag in of_file}
        keys |= {tag: seconds(header, tag) for tag in ("AcquisitionTime", "ContentTime")}
    uid = text(header, "SOPInstanceUID")
    return Slice(
        name, position, orientation if position else None, spacing if spacing and min(spacing) > 0 else None,
        {key: value for key, value in keys.items() if value is not None}, f"{uid} {frame}" if uid else "",
    )  # fmt: skip


class _Look:
    """Looks up a field in the groups of the frame, in those of all frames, and at the top of the header."""

    def __init__(self, header: Dataset, shared: Dataset | None, own: Dataset | None) -> None:
        self.header, self.groups = header, [group for group in (own, shared) if group is not None]

    def _where(self, keyword: str, sequence: str) -> Dataset:
        for group in self.groups:
            item = _first(group, sequence)
            if item is not None and keyword in item:
                return item
        return self.header

    def number(self, keyword: str, sequence: str, other: str | None = None) -> float | None:
        """Return one number; within the sequence its name is ``other``, if that is given."""
        inside = self._where(other or keyword, sequence)
        return number(inside, keyword if inside is self.header else other or keyword)

    def numbers(self, keyword: str, sequence: str, count: int) -> tuple[float, ...] | None:
        found = numbers(self._where(keyword, sequence), keyword)
        return found if len(found) == count else None

    def text(self, keyword: str, sequence: str) -> str:
        return text(self._where(keyword, sequence), keyword)

    def seconds(self, keyword: str, at_top: str) -> float | None:
        inside = self._where(keyword, "FrameContentSequence")
        return seconds(inside, at_top if inside is self.header else keyword)

    def line(self) -> tuple[float, float]:
        """Return slope and intercept."""
        dose = number(self.header, "DoseGridScaling")
        if dose is not None:
            return dose, 0.0
        inside = self._where("RescaleSlope", "PixelValueTransformationSequence")
        slope, intercept = number(inside, "RescaleSlope"), number(inside, "RescaleIntercept")
        return (1.0 if slope is None or not slope else slope, intercept or 0.0)

    def window(self) -> tuple[float, float] | None:
        """Return the ends of the first display window, as DICOM defines them (PS3.3 C.11.2.1.2)."""
        inside = self._where("WindowCenter", "FrameVOILUTSequence")
        center, width = number(inside, "WindowCenter"), number(inside, "WindowWidth")
        if center is None or width is None or width <= 0:
            return None
        if text(inside, "VOILUTFunction") in ("", "LINEAR"):
            center, width = center - 0.5, max(width - 1, 1.0)
        return center - width / 2, center + width / 2


def _padding(header: Dataset, pixels: Pixels) -> Padding | None:
    """Return first and last stored value that is no measurement.

    The field has 16 bits, and many writers give that of signed pixels as an unsigned number, or the reverse.
    """
    kind = {("f", 4): "FloatPixel", ("f", 8): "DoubleFloatPixel"}.get(
        (pixels.dtype.kind, pixels.dtype.itemsize), "Pixel"
    )
    value, limit = number(header, f"{kind}PaddingValue"), number(header, f"{kind}PaddingRangeLimit")
    if value is None or pixels.samples > 1 or pixels.palette is not None:
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


def _first(dataset: Dataset, keyword: str) -> Dataset | None:
    found = value_of(dataset, keyword)
    return found[0] if found else None
