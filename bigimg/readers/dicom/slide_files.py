"""One file of a DICOM slide: its header without the groups of single frames, and where each frame lies.

A slide has hundreds of thousands of frames. Where each has a group of fields of its own, pydicom would keep several kB
for each; here one group is read after another, and four numbers of it stay.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from bigimg.errors import InputError, counted
from bigimg.readers.dicom.cut import in_file
from bigimg.readers.dicom.fields import Fields, first_item
from bigimg.readers.dicom.headers import reading_dicom
from bigimg.readers.dicom.layout import describe_pixels, pixel_element
from bigimg.readers.dicom.pixels import DEFLATED, NATIVE, Pixels
from bigimg.readers.dicom.tags import number, text, transfer_syntax, value_of
from bigimg.types import Array

if TYPE_CHECKING:
    from pydicom import Dataset

SLIDE = b"1.2.840.10008.5.1.4.1.1.77.1.6"
"""UID of the class of whole slides; it stands in the first bytes of a file, followed by the next tag of its group."""
MOST_FRAMES = 20_000_000
"""Each frame takes a place in tables of 100 bytes; more frames are damage, or made to fill the memory."""
PER_FRAME = 0x52009230
UNDEFINED = 0xFFFFFFFF
"""A length that is not given."""
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
MICROMETRES = 1000
"""In a millimetre."""
Z_DIGITS = 3
"""Digits of a focal plane in micrometres that tell it from another."""
LOSSLESS = {
    *NATIVE, *(f"1.2.840.10008.1.2.{end}" for end in ("4.57", "4.70", "4.80", "4.90", "4.201", "4.202", "5")),
}  # fmt: skip
"""Transfer syntaxes that give back each pixel: uncompressed, JPEG lossless, JPEG-LS, JPEG 2000, HTJ2K, RLE."""
PHOTOS = {"LABEL": "label", "OVERVIEW": "overview", "LOCALIZER": "overview"}
"""Third value of ImageType of photos of the glass and of its label, on which names are written."""


@dataclass(frozen=True)
class SlideFile:
    """The frames of one file."""

    pixels: Pixels
    header: Dataset
    photo: str
    """``label`` or ``overview``; empty for what was scanned."""
    shape: tuple[int, int]
    """Rows and columns of the whole image that the frames are tiles of."""
    paths: tuple[str, ...]
    """Identifiers of optical paths."""
    path: Array
    """Of shape (frames,): which of ``paths`` a frame was taken through."""
    z: Array
    """Of shape (frames,): position along the optical axis in micrometres."""
    tile: Array
    """Of shape (frames, 2): row and column in the grid of tiles."""
    expected: int
    """Frames that the image has in this file and those it is concatenated with; 0 if only what was scanned is there."""
    z_known: bool = True
    """Whether the distance of the planes is known; if not, 1 is assumed."""

    @property
    def slide(self) -> tuple[str, str]:
        """What the levels of one slide have in common."""
        return text(self.header, "SeriesInstanceUID"), text(self.header, "PyramidUID")

    @property
    def lossy(self) -> bool:
        """Whether its tiles may have lost something when they were stored, now or before."""
        return self.pixels.syntax not in LOSSLESS or text(self.header, "LossyImageCompression") == "01"

    @property
    def whole(self) -> str:
        """What the parts of a concatenation have in common; else the file is the whole."""
        return text(self.header, "ConcatenationUID") or self.pixels.path


def is_slide(path: str) -> bool:
    """Return whether a DICOM file is one of a slide, by its first bytes."""
    with reading_dicom(path), open(path, "rb") as file:
        return SLIDE + b"\2\0" in file.read(1024)


def slide_file(path: str, *, allow_partial: bool = False) -> SlideFile:
    """Return what the file at ``path`` holds of a slide; with ``allow_partial`` also of one that is cut.

    Raises
    ------
    InputError
        The file is damaged, or its frames are not tiles of a grid.
    MissingExtraError
        Its pixels need the extra ``dicom``.
    """
    with reading_dicom(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, groups = _header(file)
        offset, head = file.tell(), file.read(12)
        if transfer_syntax(header) == DEFLATED:
            what = "is a slide that is deflated as a whole"
            raise InputError(f"{path}: {what}; store it uncompressed first, with dcmconv +te")
        element = pixel_element(header, offset, head, size)
        if element is None:
            raise InputError(f"{path}: ends before its pixels, at byte {size}; fetch it again")
        pixels = describe_pixels(path, header, element, size, most_frames=MOST_FRAMES, cut=True)
        tables = (value_of(header, "ExtendedOffsetTable"), value_of(header, "ExtendedOffsetTableLengths"))
        if all(isinstance(table, bytes) for table in tables):
            pixels = replace(pixels, extended=tables)
        there = in_file(replace(pixels, tile=True), size, allow_partial=allow_partial)
        return _placed(there, header, groups, pixels.frames)


class _Groups(NamedTuple):
    """Where single frames lie, from their own groups of fields."""

    places: Array
    """Of shape (frames, 4): row and column of the first pixel, position along the optical axis, number in ``paths``;
    NaN for what the file does not say."""
    paths: tuple[str, ...]


def _header(file: BinaryIO) -> tuple[Dataset, _Groups | None]:
    """Return the header without the groups of single frames, and what these say; the file is then at its pixels."""
    from pydicom.filereader import read_dataset, read_partial

    def at_end(tag: Any, vr: str | None, length: int) -> bool:
        return tag == PER_FRAME or tag in PIXELS

    header = read_partial(file, stop_when=at_end, force=True)
    implicit, little = map(bool, header.original_encoding)
    order, start = "<" if little else ">", file.tell()
    head = file.read(12)
    if head[:4] != struct.pack(order + "HH", PER_FRAME >> 16, PER_FRAME & 0xFFFF):
        file.seek(start)
        return header, None
    (length,) = struct.unpack_from(order + "L", head, 4 if implicit else 8)
    file.seek(start + (8 if implicit else 12))
    end = None if length == UNDEFINED else file.tell() + length
    shared, paths = first_item(header, "SharedFunctionalGroupsSequence"), dict[str, int]()
    places = [_place(header, shared, item, paths) for item in _items(file, end, implicit, little)]
    header.update(read_dataset(file, implicit, little, stop_when=at_end))
    return header, _Groups(np.array(places, np.float64).reshape(-1, 4), tuple(paths))


def _items(file: BinaryIO, end: int | None, implicit: bool, little: bool) -> Iterator[Dataset]:
    """Yield the items of a sequence, one after another."""
    from pydicom.filereader import read_sequence_item

    while end is None or file.tell() < end:
        try:
            item = read_sequence_item(file, implicit, little, "iso8859")
        except OSError as error:  # which pydicom raises at the end of the file
            raise EOFError(str(error)) from None
        if item is None:
            return
        yield item


def _place(
    header: Dataset, shared: Dataset | None, item: Dataset, paths: dict[str, int]
) -> tuple[float, ...]:
    look = Fields(header, shared, item)
    along = (
        look.number(f"{name}In{system}", "PlanePositionSlideSequence")
        for name, system in (
            ("RowPosition", "TotalImagePixelMatrix"),
            ("ColumnPosition", "TotalImagePixelMatrix"),
            ("ZOffset", "SlideCoordinateSystem"),
        )
    )
    path = look.text("OpticalPathIdentifier", "OpticalPathIdentificationSequence")
    which = paths.setdefault(path, len(paths)) if path else math.nan
    return (*(math.nan if value is None else value for value in along), which)


def _placed(pixels: Pixels, header: Dataset, groups: _Groups | None, promised: int) -> SlideFile:
    """Return the file with the place of each frame that is there, the first ones of as many as it promised."""
    down, across = (number(header, f"TotalPixelMatrix{of}") for of in ("Rows", "Columns"))
    shape = int(down or pixels.rows), int(across or pixels.columns)
    grid = -(-shape[0] // pixels.rows), -(-shape[1] // pixels.columns)
    kinds = [str(kind) for kind in list(value_of(header, "ImageType") or ())]
    photo = next((PHOTOS[kind] for kind in kinds[2:3] if kind in PHOTOS), "")
    paths = tuple(
        text(item, "OpticalPathIdentifier") for item in value_of(header, "OpticalPathSequence") or ()
    )
    organised = text(header, "DimensionOrganizationType")
    sparse = organised != "TILED_FULL" and groups is not None and not np.isnan(groups.places[:, :2]).any()
    if sparse and groups is not None:
        return _sparse(pixels, header, groups, photo, shape, grid, paths, promised)
    if organised == "TILED_SPARSE" and promised > 1:
        raise InputError(f"{pixels.path}: is a slide that does not say where its tiles lie; export it again")
    most = int(number(header, "NumberOfOpticalPaths") or len(paths))
    return _full(pixels, header, photo, shape, grid, paths[:most] or ("",), promised)


def _full(
    pixels: Pixels,
    header: Dataset,
    photo: str,
    shape: tuple[int, int],
    grid: tuple[int, int],
    paths: tuple[str, ...],
    promised: int,
) -> SlideFile:
    """Return a file in which all tiles follow one another: along x, y, z and the optical paths (PS3.3 C.7.6.17.3)."""
    shared = Fields(header, first_item(header, "SharedFunctionalGroupsSequence"), None)
    planes = int(number(header, "TotalPixelMatrixFocalPlanes") or 1)
    between = (shared.number("SpacingBetweenSlices", "PixelMeasuresSequence") or 0) * MICROMETRES
    count = len(paths) * planes * grid[0] * grid[1]
    first = int(number(header, "ConcatenationFrameOffsetNumber") or 0)
    if first + promised > count:
        what = (
            f"has {counted(first + promised, 'frame')} for {counted(count, 'tile')} of {grid[0]} x {grid[1]}"
        )
        more = f", {counted(planes, 'focal plane')} and {counted(len(paths), 'optical path')}"
        raise InputError(f"{pixels.path}: {what}{more}; its header makes no sense, export it again")
    index = np.arange(first, first + pixels.frames)
    path, plane, row, column = np.unravel_index(index, (len(paths), planes, *grid))
    start = origin_of(header)[2]
    return SlideFile(
        pixels, header, photo, shape, paths, path, start + plane * (between or 1.0), np.stack([row, column], axis=1),
        count, z_known=bool(between) or planes == 1,
    )  # fmt: skip


def _sparse(
    pixels: Pixels, header: Dataset, groups: _Groups, photo: str, shape: tuple[int, int], grid: tuple[int, int],
    paths: tuple[str, ...], promised: int,
) -> SlideFile:  # fmt: skip
    """Return a file in which each frame says where it lies; only what was scanned is there."""
    name = pixels.path
    if len(groups.places) != promised:
        raise InputError(f"{name}: describes {len(groups.places)} of {promised} frames; fetch it again")
    places = groups.places[: pixels.frames]
    place = places[:, :2].astype(np.int64) - 1
    size = np.array([pixels.rows, pixels.columns])
    tile, rest = np.divmod(place, size)
    if rest.any():
        odd = int(np.flatnonzero(rest.any(axis=1))[0])
        at = f"frame {odd} begins at row {place[odd, 0]} and column {place[odd, 1]}"
        grid_of = f"which is no tile of a grid of {size[0]} x {size[1]} pixels"
        raise InputError(f"{name}: {at}, {grid_of}; export it with tiles that do not overlap")
    if (tile < 0).any() or (tile >= np.array(grid)).any():
        raise InputError(f"{name}: frames lie outside its {shape[0]} x {shape[1]} pixels; fetch it again")
    named = groups.paths or paths[:1] or ("",)
    path = np.nan_to_num(places[:, 3]).astype(np.int64)
    z = np.where(np.isnan(places[:, 2]), origin_of(header)[2], places[:, 2])
    return SlideFile(pixels, header, photo, shape, named, path, np.round(z, Z_DIGITS), tile, 0)


def origin_of(header: Dataset) -> tuple[float, float, float]:
    """Return where on the glass the first pixel of the whole image lies: x and y in millimetres, z in micrometres."""
    item = first_item(header, "TotalPixelMatrixOriginSequence")
    found = (None if item is None else number(item, f"{name}OffsetInSlideCoordinateSystem") for name in "XYZ")
    x, y, z = (value or 0.0 for value in found)
    return x, y, z
