"""How the pixels of a DICOM file are stored, according to its header, after checks of the header.

The checks compare lengths with the size of the file and numbers of bits with each other, and look for an installed
decoder.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import InputError, MissingExtraError, counted
from bigimg.readers.dicom.pixels import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Pixels
from bigimg.readers.dicom.tags import text, transfer_syntax, value_of
from bigimg.types import Array
from bigimg.version import install_line

if TYPE_CHECKING:
    from pydicom import Dataset

KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}


def describe_pixels(path: str, header: Dataset, offset: int, head: bytes, size: int) -> Pixels:
    """Return how the pixels of a file are stored.

    Parameters
    ----------
    path : str
    header : Dataset
        The tags before the pixels, or at least those that this module reads.
    offset : int
        Byte at which the tag of the pixels begins.
    head : bytes
        The 12 bytes from there on.
    size : int
        Bytes of the file.

    Raises
    ------
    InputError
        The header makes no sense, or the file is too short for it.
    MissingExtraError
        The pixels are compressed in a way that needs the extra ``dicom``.
    """
    syntax = _syntax(header)
    keyword, vr, offset, length = _element(path, header, syntax, offset, head, size)
    try:
        allocated = _whole(header, "BitsAllocated")
        stored = _whole(header, "BitsStored", allocated)
        pixels = Pixels(
            path, syntax, offset, length, keyword, vr,
            frames=max(1, _whole(header, "NumberOfFrames", 1)),
            rows=_whole(header, "Rows"), columns=_whole(header, "Columns"),
            samples=_whole(header, "SamplesPerPixel", 1),
            photometric=text(header, "PhotometricInterpretation") or "MONOCHROME2",
            planar=_whole(header, "PlanarConfiguration", 0),
            allocated=allocated, stored=stored, high=_whole(header, "HighBit", stored - 1),
            signed=bool(_whole(header, "PixelRepresentation", 0)),
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: its pixel header makes no sense ({error}); fetch it again") from error
    _check(pixels, size)
    _check_decoder(pixels)
    if pixels.photometric != "PALETTE COLOR":
        return pixels
    return replace(pixels, palette=_palette(pixels, header))


def _whole(header: Dataset, keyword: str, default: int | None = None) -> int:
    value = value_of(header, keyword)
    if value is None and default is None:
        raise ValueError(f"it lacks {keyword}")
    return int(default if value is None else value)  # type: ignore[arg-type]  # one of them is there


def _syntax(header: Dataset) -> str:
    if syntax := transfer_syntax(header):
        return syntax
    implicit, little = header.original_encoding  # which pydicom detected
    return (IMPLICIT if implicit else EXPLICIT) if little else BIG_ENDIAN


def pixel_keyword(head: bytes, order: str = "<") -> str | None:
    """Return the keyword of the pixels that begin with ``head``; None if they are no pixels."""
    if len(head) < 12:
        return None
    group, number = struct.unpack(order + "HH", head[:4])
    return KEYWORDS.get(group << 16 | number)


def _element(
    path: str, header: Dataset, syntax: str, offset: int, head: bytes, size: int
) -> tuple[str, str, int, int]:
    """Return keyword, type, first byte and length of the pixels."""
    if syntax == DEFLATED:
        return "PixelData", "OW", 0, size
    order = ">" if syntax == BIG_ENDIAN else "<"
    keyword = pixel_keyword(head, order)
    if keyword is None:
        raise InputError(f"{path}: holds no pixels; give an image")
    implicit = header.original_encoding[0]
    start = 8 if implicit else 12
    vr = "OW" if implicit else head[4:6].decode("latin-1")
    (length,) = struct.unpack(order + "L", head[start - 4 : start])
    offset += start
    return keyword, vr, offset, size - offset if length == 0xFFFFFFFF else length


def _check(pixels: Pixels, size: int) -> None:
    p = pixels
    if p.keyword != "PixelData":
        wrong = p.allocated not in (32, 64)
    else:
        wrong = p.allocated not in (1, 8, 16, 32) or not 0 < p.stored <= p.high + 1 <= p.allocated
        wrong |= p.photometric == "PALETTE COLOR" and (p.signed or p.allocated not in (8, 16))
    if wrong or p.samples not in (1, 3, 4) or min(p.rows, p.columns) < 1:
        raise InputError(
            f"{p.path}: {p.rows} x {p.columns} pixels of {p.samples} samples, {p.stored} bits of {p.allocated} "
            f"(the highest {p.high}), are not supported; convert it with dcmtk first"
        )
    if p.syntax == DEFLATED:
        return
    bits = p.rows * p.columns * p.samples * p.allocated
    if p.photometric == "YBR_FULL_422":
        bits = bits * 2 // 3
    needed = math.ceil(p.frames * bits / 8) if p.native else 8 * p.frames
    there = min(p.length, size - p.offset)
    if there < needed:
        raise InputError(
            f"{p.path}: its pixels should have {needed} bytes ({counted(p.frames, 'frame')} of {p.rows} x {p.columns}"
            f"), but {max(there, 0)} are there; it is truncated, or its header is wrong"
        )


def _check_decoder(pixels: Pixels) -> None:
    """Raise an error if no installed library decodes the pixels; it names what to install."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    name = UID(pixels.syntax).name
    try:
        decoder = get_decoder(pixels.syntax)
    except NotImplementedError:
        raise InputError(
            f"{pixels.path}: is stored as {name}, which pydicom does not decode; convert it with dcmtk first"
        ) from None
    able = set(decoder.available_plugins)
    if pixels.stored > 8 and pixels.samples > 1:  # Pillow decodes 8 bits of these
        able.discard("pillow")
    if not (decoder.is_available and (able or decoder.is_native)):
        raise MissingExtraError(
            f"{pixels.path}: is stored as {name}, which needs more libraries: {install_line('dicom')}"
        )


def _palette(pixels: Pixels, header: Dataset) -> Array:
    from pydicom.pixels import apply_color_lut

    values = np.arange(1 << pixels.stored, dtype=np.uint8 if pixels.stored <= 8 else np.uint16)
    try:
        return np.asarray(apply_color_lut(values, header))[:, :3]
    except (ValueError, AttributeError, KeyError, TypeError, struct.error) as error:
        raise InputError(f"{pixels.path}: its palette makes no sense ({error}); fetch it again") from error
