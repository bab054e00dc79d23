"""Fields of one frame: in its own functional groups, in those of all frames, or at the top of the header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bigimg.readers.dicom.tags import number, numbers, seconds, text, value_of

if TYPE_CHECKING:
    from pydicom import Dataset

GE_COMPONENT = 0x0043102F
COMPONENTS = ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY")
"""What the values of ``GE_COMPONENT`` mean."""
DIFFUSION = (
    (("SIEMENS MR HEADER", 0x0019, 0x0C), ("SIEMENS MR HEADER", 0x0019, 0x0E)),
    (("GEMS_PARM_01", 0x0043, 0x39), *(("GEMS_ACQU_01", 0x0019, element) for element in (0xBB, 0xBC, 0xBD))),
    (
        ("Philips Imaging DD 001", 0x2001, 0x03),
        *(("Philips MR Imaging DD 001", 0x2005, element) for element in (0xB0, 0xB1, 0xB2)),
    ),
)
"""Creator, group and element of the private b-value of a maker and of its direction, from before there were public tags
for them. Siemens and Philips give the direction in the body, GE along frequency, phase and slice."""
PRIVATE = (
    GE_COMPONENT,
    *(
        group << 16 | number
        for tags in DIFFUSION
        for _, group, element in tags
        for number in (0x10, 0x1000 | element)
    ),
)
"""Private tags that are read of each file."""
Line = tuple[float, float]
"""Slope and intercept."""


class Fields:
    """Looks up a field in the groups of the frame, in those of all frames, and at the top of the header."""

    def __init__(self, header: Dataset, shared: Dataset | None, own: Dataset | None) -> None:
        self.header, self.groups = header, [group for group in (own, shared) if group is not None]

    def where(self, keyword: str, sequence: str) -> Dataset:
        """Return the item of ``sequence`` that has the field; the header if there is none."""
        for group in self.groups:
            item = first_item(group, sequence)
            if item is not None and keyword in item:
                return item
        return self.header

    def number(self, keyword: str, sequence: str, other: str | None = None) -> float | None:
        """Return one number; within the sequence its name is ``other``, if that is given."""
        inside = self.where(other or keyword, sequence)
        return number(inside, keyword if inside is self.header else other or keyword)

    def numbers(self, keyword: str, sequence: str, count: int) -> tuple[float, ...] | None:
        """Return ``count`` numbers; None if there are not as many."""
        found = numbers(self.where(keyword, sequence), keyword)
        return found if len(found) == count else None

    def text(self, keyword: str, sequence: str) -> str:
        """Return a text; empty if there is none."""
        return text(self.where(keyword, sequence), keyword)

    def seconds(self, keyword: str, at_top: str) -> float | None:
        """Return a date and time in seconds; at the top of the header its name is ``at_top``."""
        inside = self.where(keyword, "FrameContentSequence")
        return seconds(inside, at_top if inside is self.header else keyword)

    def line(self) -> Line:
        """Return slope and intercept of real values.

        A dose has its own scale, and so has a segmentation of probabilities. A RealWorldValueMapping is more than a
        rescale slope, which may only be that of the display.
        """
        dose, most = number(self.header, "DoseGridScaling"), number(self.header, "MaximumFractionalValue")
        if dose is not None:
            return dose, 0.0
        if most and text(self.header, "SegmentationType") == "FRACTIONAL":
            return 1 / most, 0.0
        mapping = self.mapping()
        if mapping is not None:
            slope = number(mapping, "RealWorldValueSlope")
            if slope:
                return slope, number(mapping, "RealWorldValueIntercept") or 0.0
        return self._rescale()

    def _rescale(self) -> Line:
        inside = self.where("RescaleSlope", "PixelValueTransformationSequence")
        slope, intercept = number(inside, "RescaleSlope"), number(inside, "RescaleIntercept")
        return (1.0 if slope is None or not slope else slope, intercept or 0.0)

    def mapping(self) -> Dataset | None:
        """Return the first RealWorldValueMapping of the frame."""
        found = (first_item(of, "RealWorldValueMappingSequence") for of in (*self.groups, self.header))
        return next((item for item in found if item is not None), None)

    def window(self) -> tuple[float, float] | None:
        """Return the ends of the first display window in real values, as DICOM defines them (PS3.3 C.11.2.1.2)."""
        inside = self.where("WindowCenter", "FrameVOILUTSequence")
        center, width = number(inside, "WindowCenter"), number(inside, "WindowWidth")
        if center is None or width is None or width <= 0:
            return None
        if text(inside, "VOILUTFunction") in ("", "LINEAR"):
            center, width = center - 0.5, max(width - 1, 1.0)
        ends = center - width / 2, center + width / 2
        rescale, line = self._rescale(), self.line()
        if self.mapping() is None or rescale == line:
            return ends
        # The window is one of rescaled values, and the real ones come from the mapping.
        low, high = sorted((end - rescale[1]) / rescale[0] * line[0] + line[1] for end in ends)
        return low, high

    def shown(self) -> tuple[str, ...]:
        """Return what the frame shows, as ImageType has it from its third value on, and the number of its echo."""
        kind = value_of(self.where("FrameType", "MRImageFrameTypeSequence"), "FrameType")
        kind = kind or value_of(self.header, "ImageType") or ()
        component = self.text("ComplexImageComponent", "MRImageFrameTypeSequence")
        rest = [] if isinstance(kind, str) else [str(value) for value in list(kind)[2:]]
        return (*rest, component or _ge_component(self.header), text(self.header, "EchoNumbers"))


def private_diffusion(header: Dataset) -> tuple[float | None, list[float] | None]:
    """Return the b-value and the direction in private tags of the makers; None for what is not there."""
    for b_value, *direction in DIFFUSION:
        found = _private(header, *b_value)
        if found:
            parts = [part for tag in direction for part in _private(header, *tag)]
            return found[0] % 1e9, parts if len(parts) == 3 else None  # GE adds 1e9 to mark its own scheme
    return None, None


def _private(header: Dataset, creator: str, group: int, element: int) -> list[float]:
    """Return the numbers of a private tag; none if it is not there."""
    try:
        value: Any = header.private_block(group, creator)[element].value
        several = hasattr(value, "__iter__") and not isinstance(value, str | bytes)
        return list(map(float, value if several else [value]))
    except (KeyError, TypeError, ValueError):
        return []


def in_frame_of_ge(header: Dataset) -> bool:
    """Return whether the direction of diffusion is that in private tags of GE."""
    has = "DiffusionGradientOrientation" in header or not _private(header, *DIFFUSION[1][0])
    return not has and bool(_private(header, *DIFFUSION[1][1]))


def _ge_component(header: Dataset) -> str:
    """Return which part of a complex image GE says to show, in a private tag alone; empty if it says nothing."""
    element: Any = header.get_item(GE_COMPONENT)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        value = int.from_bytes(value, "little" if element.is_little_endian else "big")
    return COMPONENTS[value] if isinstance(value, int) and 0 <= value < len(COMPONENTS) else ""


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """Return the first item of a sequence; None if there is none."""
    found = value_of(dataset, keyword)
    return found[0] if found else None
