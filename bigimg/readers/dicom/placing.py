"""Where the frames of one file lie: in the body, behind one another, or in the tiles of a Siemens mosaic.

Most modalities give a position for each frame. A dose gives offsets, a SPECT the place of its first slice and a
distance, a mosaic the place that it would have as one large slice, and ultrasound only the size of its pixels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bigimg.readers.dicom.fields import Fields, first_item
from bigimg.readers.dicom.tags import number, numbers, value_of
from bigimg.types import Array

if TYPE_CHECKING:
    from pydicom import Dataset

type Numbers = tuple[float, ...]

CENTIMETRES = 3
"""Code of the unit in a region of ultrasound (PS3.3 C.8.5.5.1.15)."""
SPATIAL = {
    "StackID",
    "InStackPositionNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
}
"""Dimensions of an enhanced file that say where a frame lies; all others say when it was taken, or how."""


class Place(NamedTuple):
    """Where a frame lies."""

    position: Numbers | None
    orientation: Numbers | None
    spacing: Numbers | None
    """Distance of rows and of columns in millimetres."""
    between: float | None
    """Distance of slices that the file declares, in millimetres."""


class Mosaic(NamedTuple):
    """The slices of a Siemens mosaic."""

    slices: int
    across: int
    """Tiles in a row, and in a column."""
    normal: Numbers | None
    """Direction from slice to slice; None if the file does not say it."""


class Placing:
    """Where the frames of one file lie.

    Parameters
    ----------
    header : Dataset
    frames : int
        How many the file has.
    described : bool
        Whether each has groups of its own.
    size : (int, int)
        Rows and columns of the picture.
    mosaic : Mosaic, optional
    """

    def __init__(
        self,
        header: Dataset,
        frames: int,
        described: bool,
        size: tuple[int, int],
        mosaic: Mosaic | None = None,
    ) -> None:
        self.mosaic, self.size = mosaic, size
        self.offsets = numbers(header, "GridFrameOffsetVector")
        self.slices = numbers(header, "SliceVector") if frames > 1 else ()
        self.offsets, self.slices = (v if len(v) == frames else () for v in (self.offsets, self.slices))
        if frames > 1 and number(header, "NumberOfSlices") == frames and not self.slices:
            self.slices = tuple(float(i + 1) for i in range(frames))  # a SPECT that does not list them
        self.detector = first_item(header, "DetectorInformationSequence")
        self.positioned = described or frames == 1 or bool(self.offsets or self.slices)
        self.ultrasound = ultrasound_spacing(header)[0]

    def of(self, look: Fields, frame: int) -> Place:
        """Return where a frame lies."""
        header = look.header
        position = (
            look.numbers("ImagePositionPatient", "PlanePositionSequence", 3) if self.positioned else None
        )
        orientation = look.numbers("ImageOrientationPatient", "PlaneOrientationSequence", 6)
        if self.detector is not None and self.positioned:
            position = position or _exactly(numbers(self.detector, "ImagePositionPatient"), 3)
            orientation = orientation or _exactly(numbers(self.detector, "ImageOrientationPatient"), 6)
        spacing = look.numbers("PixelSpacing", "PixelMeasuresSequence", 2)
        for other in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
            spacing = spacing or look.numbers(other, "PixelMeasuresSequence", 2)
        spacing = spacing or self.ultrasound
        if spacing is not None and min(spacing) <= 0:
            spacing = None
        between = look.number("SpacingBetweenSlices", "PixelMeasuresSequence")
        across = _normal(orientation)
        if position is not None and across is not None:
            if self.offsets and len(self.offsets) > 1:
                position = _dose(position, across, self.offsets, frame)
            elif self.slices:
                step = between or number(header, "SliceThickness")
                position = _moved(position, across, (self.slices[frame] - 1) * step) if step else None
            elif self.mosaic is not None:
                position = self._in_mosaic(position, orientation or (), spacing, between, across, frame)
        return Place(position, orientation if position else None, spacing, abs(between) if between else None)

    def _in_mosaic(
        self, position: Numbers, orientation: Numbers, spacing: Numbers | None, between: float | None,
        across: Numbers, frame: int,
    ) -> Numbers | None:  # fmt: skip
        """Return the position of a slice: the mosaic is placed as one slice with the middle of the first."""
        assert self.mosaic is not None
        if spacing is None or not between:
            return None
        sizes = [size - size // self.mosaic.across for size in self.size]
        right = _moved(position, orientation[:3], sizes[1] / 2 * spacing[1])
        corner = _moved(right, orientation[3:], sizes[0] / 2 * spacing[0])
        return _moved(corner, self.mosaic.normal or across, frame * between)


def _exactly(found: Numbers, count: int) -> Numbers | None:
    return found if len(found) == count else None


def _normal(orientation: Numbers | None) -> Numbers | None:
    if orientation is None:
        return None
    across = np.cross(orientation[:3], orientation[3:])
    length = float(np.linalg.norm(across))
    return tuple((across / length).tolist()) if length else None


def _moved(position: Numbers, direction: Numbers, distance: float) -> Numbers:
    return tuple(p + distance * d for p, d in zip(position, direction, strict=True))


def _dose(position: Numbers, across: Numbers, offsets: Numbers, frame: int) -> Numbers:
    """Return the position of a frame of a dose (PS3.3 C.8.8.3.2).

    Offsets that begin with 0 lie along the normal. Others are z of the patient, in a transverse plane.
    """
    transverse = abs(abs(across[2]) - 1) < 1e-3
    if offsets[0] != 0 and transverse:
        return (*position[:2], position[2] + offsets[frame] - offsets[0])
    return _moved(position, across, offsets[frame] - offsets[0])


def ultrasound_spacing(header: Dataset) -> tuple[Numbers | None, str]:
    """Return the distance of rows and columns in millimetres of an ultrasound image, and a note.

    They are those of its regions that show the body in two dimensions, if these agree.
    """
    regions = value_of(header, "SequenceOfUltrasoundRegions") or ()
    found: set[Numbers] = set()
    for region in regions:
        units = [number(region, f"PhysicalUnits{axis}Direction") for axis in "XY"]
        deltas = [abs(number(region, f"PhysicalDelta{axis}") or 0.0) for axis in "YX"]
        if units == [CENTIMETRES, CENTIMETRES] and min(deltas) > 0:
            found.add(tuple(round(10 * delta, 9) for delta in deltas))
    if len(found) > 1:
        listed = ", ".join(" x ".join(f"{v:g}" for v in pair) for pair in sorted(found))
        return (
            None,
            f"ultrasound regions have pixels of different size ({listed} mm): none is taken for the picture",
        )
    if found:
        return found.pop(), "pixel spacing is that of the ultrasound region, and holds within it alone"
    if not regions:
        return None, ""
    return None, "no ultrasound region has pixels in centimetres, so the picture has no spacing"


def mosaic_of(header: Dataset) -> Mosaic | None:
    """Return the slices of a Siemens mosaic; None if the header does not say how many there are.

    Parameters
    ----------
    header : Dataset
        With its private tags.
    """
    with warnings.catch_warnings():  # it says that it reads Siemens alone, which is what is wanted
        warnings.simplefilter("ignore")
        from nibabel.nicom import csareader

    csa = csareader.get_csa_header(header, "image")
    count = None if csa is None else int(csareader.get_n_mosaic(csa) or 0)
    if not count:
        element = header.get((0x0019, 0x100A))
        count = None if element is None else int(element.value)
    if not count or count < 1:
        return None
    direction = None if csa is None else csareader.get_slice_normal(csa)
    normal = None if direction is None else tuple(float(v) for v in direction)
    return Mosaic(count, math.ceil(math.sqrt(count)), normal)


def is_mosaic(header: Dataset, frames: int) -> bool:
    """Return whether the picture is a mosaic; Siemens leaves the word in files whose slices are frames, too."""
    kind = value_of(header, "ImageType") or ()
    return "MOSAIC" in kind and frames == 1 and "PerFrameFunctionalGroupsSequence" not in header


class Ranks(NamedTuple):
    """Numbers of frames according to DimensionIndexValues; None if the file does not have them."""

    place: Array | None
    """By the dimensions of space."""
    other: Array | None
    """By all others, as time and b-value."""


def dimension_ranks(header: Dataset, frames: Sequence[Dataset]) -> Ranks:
    """Return the order of frames that the dimensions of an enhanced file define."""
    values = []
    for frame in frames:
        content = first_item(frame, "FrameContentSequence")
        values.append(() if content is None else numbers(content, "DimensionIndexValues"))
    if not frames or len(set(map(len, values))) > 1 or not values[0]:
        return Ranks(None, None)
    names = [_name(item) for item in value_of(header, "DimensionIndexSequence") or ()]
    table = np.array(values)
    if len(names) != table.shape[1]:  # it does not say what they mean: all of them together are one order
        return Ranks(_rank(table), None)
    of_space = np.array([name in SPATIAL for name in names])
    other = np.array([name not in SPATIAL and name != "ReferencedSegmentNumber" for name in names])
    return Ranks(_rank(table[:, of_space]), _rank(table[:, other]))


def _name(item: Dataset) -> str:
    from pydicom.datadict import keyword_for_tag

    pointer = value_of(item, "DimensionIndexPointer")
    return "" if pointer is None else keyword_for_tag(pointer)


def _rank(table: Array) -> Array | None:
    """Return the number of each row in the order of the distinct rows; None if there are no columns."""
    if not table.shape[1]:
        return None
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)


def orientation_name(orientation: Numbers | None) -> str:
    """Return ``axial``, ``coronal`` or ``sagittal``, whichever is nearest; empty if there is no orientation."""
    across = _normal(orientation)
    return "" if across is None else ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(across)))]
