"""The planes that DICOM files hold: for each where its pixels are, where it lies, and what its numbers mean.

Headers are read up to the pixels and let go of; what stays is a :class:`Plane` for each. What only this module
knows is where the tags are: at the top of a file, or for each frame in the functional groups of an enhanced one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigimg.errors import InputError
from bigimg.readers.dicom.layout import describe_pixels, pixel_keyword
from bigimg.readers.dicom.pixels import DEFLATED, Pixels, file_size, inflated_bytes
from bigimg.readers.dicom.series import Slice
from bigimg.readers.dicom.tags import number, numbers, seconds, tag_of, text, value_of

if TYPE_CHECKING:
    from pydicom import Dataset

_SCANNED = """
    SOPClassUID SOPInstanceUID ImageType AcquisitionDateTime AcquisitionTime ContentTime Modality EchoTime
    TriggerTime FrameReferenceTime AcquisitionNumber InstanceNumber SeriesInstanceUID SeriesNumber
    ImagePositionPatient ImageOrientationPatient TemporalPositionIdentifier PixelSpacing
    ImagerPixelSpacing NumberOfFrames Rows Columns SamplesPerPixel PhotometricInterpretation
    PlanarConfiguration BitsAllocated BitsStored HighBit PixelRepresentation RescaleSlope RescaleIntercept
    WindowCenter WindowWidth VOILUTFunction PixelPaddingValue PixelPaddingRangeLimit DoseGridScaling
    GridFrameOffsetVector TotalPixelMatrixColumns TotalPixelMatrixRows SharedFunctionalGroupsSequence
    PerFrameFunctionalGroupsSequence RedPaletteColorLookupTableDescriptor
    GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData SegmentationType
"""
SCANNED = _SCANNED.split()
"""All that is asked of every file of a series: 1.2 ms each, a third of what all tags take."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane of pixels, and what is said of it."""

    pixels: Pixels
    frame: int
    at: Slice
    series: str
    """SeriesInstanceUID."""
    number: int
    """SeriesNumber, which sorts series for people."""
    modality: str
    kin: tuple[object, ...]
    """Planes of one stack have this in common, beside series and orientation."""
    line: tuple[float, float]
    """Slope and intercept."""
    window: tuple[float, float] | None
    """Low and high, in real values."""
    padding: tuple[int, int] | None
    """Stored values from and to which pixels are no measurement."""
    segment: int | None
    """Number of the segment that it shows."""


DAMAGE = (ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError, OverflowError, struct.error,
          NotImplementedError, RecursionError, MemoryError)  # fmt: skip
"""What pydicom raises of bytes that are no header: lengths beyond the file, types that do not exist, texts for
numbers."""


def read_header(path: str, *, tags: Sequence[str] | None = None) -> tuple[Dataset, int, bytes, int]:
    """Return the header, the byte where the pixels begin, the 12 bytes there, and the size of the file.

    Raises
    ------
    InputError
        It is no DICOM, or damaged.
    """
    from pydicom import dcmread

    size = file_size(path)
    try:
        with open(path, "rb") as file:
            if DEFLATED.encode() in file.read(1024):
                inflated_bytes(path)
            file.seek(0)
            wanted = None if tags is None else list(map(tag_of, tags))
            header = dcmread(file, stop_before_pixels=True, specific_tags=wanted, force=True)
            offset = file.tell()
            return header, offset, file.read(12), size
    except InputError:  # is a ValueError too
        raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check it and its rights"
        ) from error
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: str, error: Exception) -> InputError:
    """Return the error of a header that pydicom cannot make sense of."""
    why = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{path}: its DICOM header makes no sense ({why}); fetch the file again")


def planes_of(path: str) -> list[Plane]:
    """Return what the file at ``path`` holds; nothing when it is a DICOM without pixels.

    Raises
    ------
    InputError
        It is no image that is understood.
    MissingExtraError
        Its pixels need the extra ``dicom``.
    """
    header, offset, head, size = read_header(path, tags=SCANNED)
    meta = getattr(header, "file_meta", None)
    syntax = text(meta, "TransferSyntaxUID") if meta is not None else ""
    order = ">" if header.original_encoding[1] is False else "<"
    if syntax != DEFLATED and pixel_keyword(head, order) is None:
        if "Rows" in header:
            raise InputError(
                f"{path}: ends before its pixels, at byte {size}; it is truncated, fetch it again"
            )
        return []
    try:
        _refuse(path, header)
        pixels = describe_pixels(path, header, offset, head, size)
        return list(_planes(path, header, pixels))
    except InputError:  # is a ValueError too
        raise
    except DAMAGE as error:
        raise damaged(path, error) from error


def _refuse(path: str, header: Dataset) -> None:
    """Refuse pictures whose pixels are not where their header seems to say."""
    across, down = number(header, "TotalPixelMatrixColumns"), number(header, "TotalPixelMatrixRows")
    tile = number(header, "Columns") or 0, number(header, "Rows") or 0
    if across and down and (across > tile[0] or down > tile[1]):
        raise InputError(
            f"{path}: is a whole slide in tiles ({down:g} x {across:g} pixels), which is not read from DICOM yet; "
            "give the slide as SVS or TIFF"
        )
    if "MOSAIC" in (value_of(header, "ImageType") or ()):
        raise InputError(
            f"{path}: is a Siemens mosaic, many slices in one picture, which is not unfolded; convert it with "
            "dcm2niix"
        )


def _planes(path: str, header: Dataset, pixels: Pixels) -> Iterator[Plane]:
    shared = _first(header, "SharedFunctionalGroupsSequence")
    frames = value_of(header, "PerFrameFunctionalGroupsSequence") or []
    if frames and len(frames) != pixels.frames:
        raise InputError(
            f"{path}: describes {len(frames)} frames, but says that it has {pixels.frames}; fetch it again"
        )
    offsets = numbers(header, "GridFrameOffsetVector")
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    for i in range(pixels.frames):
        look = _Look(header, shared, frames[i] if frames else None)
        told = bool(frames) or pixels.frames == 1 or len(offsets) == pixels.frames
        yield Plane(
            pixels,
            i,
            _slice(look, name if pixels.frames == 1 else f"{name} frame {i}", i, pixels, told, offsets),
            text(header, "SeriesInstanceUID"),
            int(number(header, "SeriesNumber") or 0),
            text(header, "Modality") or "image",
            (
                pixels.rows,
                pixels.columns,
                pixels.samples,
                look.number("EchoTime", "MREchoSequence", "EffectiveEchoTime"),
                look.text("StackID", "FrameContentSequence") if frames else "",
                "" if told else text(header, "SOPInstanceUID") or path,  # a clip is a series of its own
            ),
            look.line(),
            look.window(),
            _padding(header, pixels),
            look.integer("ReferencedSegmentNumber", "SegmentIdentificationSequence"),
        )


def _slice(
    look: _Look, name: str, frame: int, pixels: Pixels, told: bool, offsets: tuple[float, ...]
) -> Slice:
    header = look.header
    position = look.numbers("ImagePositionPatient", "PlanePositionSequence", 3) if told else None
    orientation = look.numbers("ImageOrientationPatient", "PlaneOrientationSequence", 6)
    if position and len(offsets) == pixels.frames > 1:  # a dose: its frames lie along z of the patient
        position = (*position[:2], position[2] + offsets[frame] - offsets[0])
    spacing = look.numbers("PixelSpacing", "PixelMeasuresSequence", 2)
    spacing = spacing or look.numbers("ImagerPixelSpacing", "PixelMeasuresSequence", 2)
    keys = {
        "TemporalPositionIdentifier": number(header, "TemporalPositionIdentifier"),
        "TemporalPositionIndex": look.number("TemporalPositionIndex", "FrameContentSequence"),
        "FrameReferenceTime": number(header, "FrameReferenceTime"),
        "TriggerTime": number(header, "TriggerTime"),
        "AcquisitionDateTime": look.seconds("FrameAcquisitionDateTime", "AcquisitionDateTime"),
        "AcquisitionTime": seconds(header, "AcquisitionTime"),
        "ContentTime": seconds(header, "ContentTime"),
        "AcquisitionNumber": number(header, "AcquisitionNumber"),
        "InstanceNumber": float(frame) if pixels.frames > 1 else number(header, "InstanceNumber"),
    }
    if pixels.frames > 1:  # what is said once for all frames tells none of them
        keys = {k: v for k, v in keys.items() if k in look.of_frames or k == "InstanceNumber"}
    uid = text(header, "SOPInstanceUID")
    return Slice(
        name,
        position,
        orientation if position else None,
        spacing if spacing and min(spacing) > 0 else None,
        {key: value for key, value in keys.items() if value is not None},
        f"{uid} {frame}" if uid else "",
    )


class _Look:
    """Looks a field up where it may be: in the groups of the frame, those of all frames, or at the top."""

    of_frames = frozenset({"TemporalPositionIndex", "AcquisitionDateTime"})

    def __init__(self, header: Dataset, shared: Dataset | None, own: Dataset | None) -> None:
        self.header, self.groups = header, [group for group in (own, shared) if group is not None]

    def _where(self, keyword: str, sequence: str) -> Dataset:
        for group in self.groups:
            item = _first(group, sequence)
            if item is not None and keyword in item:
                return item
        return self.header

    def number(self, keyword: str, sequence: str, other: str | None = None) -> float | None:
        """Return one number; ``other`` is its name within the sequence."""
        inside = self._where(other or keyword, sequence)
        return number(inside, keyword if inside is self.header else other or keyword)

    def integer(self, keyword: str, sequence: str) -> int | None:
        found = self.number(keyword, sequence)
        return None if found is None else int(found)

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
        """Return the first display window, as DICOM counts it (PS3.3 C.11.2.1.2)."""
        inside = self._where("WindowCenter", "FrameVOILUTSequence")
        center, width = number(inside, "WindowCenter"), number(inside, "WindowWidth")
        if center is None or width is None or width <= 0:
            return None
        if text(inside, "VOILUTFunction") in ("", "LINEAR"):
            center, width = center - 0.5, max(width - 1, 1.0)
        return center - width / 2, center + width / 2


def _padding(header: Dataset, pixels: Pixels) -> tuple[int, int] | None:
    value, limit = number(header, "PixelPaddingValue"), number(header, "PixelPaddingRangeLimit")
    if value is None or pixels.dtype.kind == "f" or pixels.samples > 1 or pixels.palette is not None:
        return None
    other = value if limit is None else limit
    return int(min(value, other)), int(max(value, other))


def _first(dataset: Dataset, keyword: str) -> Dataset | None:
    found = value_of(dataset, keyword)
    return found[0] if found else None
