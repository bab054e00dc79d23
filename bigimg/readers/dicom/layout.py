"""How the pixels of a DICOM file are stored, according to its header, after checks of the header.

The checks compare lengths with the size of the file and numbers of bits with each other, and look for an installed
decoder.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bigimg.errors import InputError, MissingExtraError, counted, reading
from bigimg.readers.dicom.pixels import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, NATIVE, Pixels, frame_bits
from bigimg.readers.dicom.tags import text, transfer_syntax, value_of
from bigimg.readers.raw.compressed import packing_of
from bigimg.types import Array
from bigimg.version import install_line

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_FRAMES = 200_000
"""Each frame has a description of about 1.5 kB in memory; more frames are damage, or made to fill it."""
KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}


class Element(NamedTuple):
    """The tag that holds the pixels of a file."""

    syntax: str
    """UID of the transfer syntax."""
    offset: int
    """Byte of the first pixel."""
    length: int
    """Bytes of the pixels."""
    keyword: str
    vr: str


def describe_pixels(
    path: str,
    header: Dataset,
    element: Element,
    size: int,
    *,
    most_frames: int = MOST_FRAMES,
    cut: bool = False,
) -> Pixels:
    """Return how the pixels of a file are stored.

    Parameters
    ----------
    path : str
    header : Dataset
        The tags before the pixels, or at least those that this module reads.
    element : Element
        What :func:`pixel_element` found.
    size : int
        Bytes of the file.
    most_frames : int
        More are refused.
    cut : bool
        The file may be too short for its frames; see :func:`bigimg.readers.dicom.cut.in_file`.

    Raises
    ------
    InputError
        The header makes no sense, or the file is too short for it.
    MissingExtraError
        The pixels are compressed in a way that needs the extra ``dicom``.
    """
    with reading(path, (TypeError, ValueError), "fetch it again", what="its pixel header makes no sense"):
        allocated = _whole(header, "BitsAllocated")
        stored = _whole(header, "BitsStored", allocated)
        pixels = Pixels(
            path, *element,
            frames=max(1, _whole(header, "NumberOfFrames", 1)),
            rows=_whole(header, "Rows"), columns=_whole(header, "Columns"),
            samples=_whole(header, "SamplesPerPixel", 1),
            photometric=text(header, "PhotometricInterpretation") or "MONOCHROME2",
            planar=_whole(header, "PlanarConfiguration", 0),
            allocated=allocated, stored=stored, high=_whole(header, "HighBit", stored - 1),
            signed=bool(_whole(header, "PixelRepresentation", 0)), packing=packing_of(path), unpacked=size,
        )  # fmt: skip
    _check(pixels, size, most_frames, cut=cut)
    _check_decoder(pixels)
    labels = text(header, "SegmentationType") == "LABELMAP"  # the numbers are meant, not their colours
    if pixels.photometric != "PALETTE COLOR" or labels:
        return pixels
    return replace(pixels, palette=_palette(pixels, header))


def _whole(header: Dataset, keyword: str, default: int | None = None) -> int:
    value = value_of(header, keyword)
    if value is None and default is None:
        raise ValueError(f"it lacks {keyword}")
    return int(default if value is None else value)  # type: ignore[arg-type]  # one of them is there


def pixel_element(header: Dataset, offset: int, head: bytes, size: int) -> Element | None:
    """Return where and how the pixels of a file are stored; None if it holds none.

    Parameters
    ----------
    header : Dataset
    offset : int
        Byte behind the header.
    head : bytes
        The 12 bytes from there on.
    size : int
        Bytes of the file.
    """
    implicit, little = header.original_encoding  # which pydicom detected
    syntax = transfer_syntax(header) or ((IMPLICIT if implicit else EXPLICIT) if little else BIG_ENDIAN)
    if syntax == DEFLATED:
        return Element(syntax, 0, size, "PixelData", "OW")
    order = ">" if syntax == BIG_ENDIAN else "<"
    group, number = struct.unpack(order + "HH", head[:4]) if len(head) == 12 else (0, 0)
    keyword = KEYWORDS.get(group << 16 | number)
    if keyword is None:
        return None
    start = 8 if implicit else 12
    vr = "OW" if implicit else head[4:6].decode("latin-1")
    (length,) = struct.unpack(order + "L", head[start - 4 : start])
    offset += start
    return Element(syntax, offset, size - offset if length == 0xFFFFFFFF else length, keyword, vr)


def _check(pixels: Pixels, size: int, most_frames: int, *, cut: bool) -> None:
    p = pixels
    if p.keyword != "PixelData":
        wrong = p.allocated not in (32, 64)
    else:
        wrong = p.allocated not in (1, 8, 16, 32) or not 0 < p.stored <= p.high + 1 <= p.allocated
        wrong |= p.photometric == "PALETTE COLOR" and (p.signed or p.allocated not in (8, 16))
    if wrong or p.samples not in (1, 3, 4) or min(p.rows, p.columns) < 1:
        what = f"{p.rows} x {p.columns} pixels of {p.samples} samples, {p.stored} bits of {p.allocated}"
        why = f"(the highest {p.high}), are not supported"
        raise InputError(f"{p.path}: {what} {why}; convert it with dcmtk first")
    if p.frames > most_frames:
        what = f"has {p.frames} frames, and at most {most_frames} of one file are read"
        raise InputError(f"{p.path}: {what}; split it with dcmtk or highdicom first")
    if p.syntax == DEFLATED or cut:
        return
    needed = math.ceil(p.frames * frame_bits(p) / 8) if p.syntax in NATIVE else 8 * p.frames
    there = min(p.length, size - p.offset)
    if there < needed:
        what = f"{needed} bytes ({counted(p.frames, 'frame')} of {p.rows} x {p.columns}), but {max(there, 0)} are there"
        raise InputError(f"{p.path}: its pixels should have {what}; it is truncated, or its header is wrong")


def _check_decoder(pixels: Pixels) -> None:
    """Raise an error if no installed library decodes the pixels; it names what to install."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    name = UID(pixels.syntax).name
    what = f"is stored as {name}, which pydicom does not decode"
    # pydicom raises NotImplementedError for a syntax that it has no decoder for.
    with reading(pixels.path, (NotImplementedError,), "convert it with dcmtk first", what=what):
        decoder = get_decoder(pixels.syntax)
    able = set(decoder.available_plugins)
    if pixels.stored > 8 and pixels.samples > 1:  # Pillow decodes 8 bits of these
        able.discard("pillow")
    if not (decoder.is_available and (able or decoder.is_native)):
        what = f"is stored as {name}, which needs more libraries"
        raise MissingExtraError(f"{pixels.path}: {what}: {install_line('dicom')}")


def _palette(pixels: Pixels, header: Dataset) -> Array:
    from pydicom.pixels import apply_color_lut

    values = np.arange(1 << pixels.stored, dtype=np.uint8 if pixels.stored <= 8 else np.uint16)
    errors = (ValueError, AttributeError, KeyError, TypeError, struct.error)
    with reading(pixels.path, errors, "fetch it again", what="its palette makes no sense"):
        return np.asarray(apply_color_lut(values, header))[:, :3]
