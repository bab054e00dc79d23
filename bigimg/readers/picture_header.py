"""What the header of a PNG or JPEG says that decoders keep to themselves; pixels turned by EXIF orientation.

libvips and Pillow give size and type. This module adds what decides *how* a file can be read: whether a PNG
is interlaced, how much a JPEG of several scans must hold, and whether a JPEG has quirks in its header that
are harmless and yet make libjpeg warn.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from bigimg.errors import InputError
from bigimg.readers.sniffing import read_head
from bigimg.types import Array


@dataclass(frozen=True, slots=True)
class PngHeader:
    """The IHDR chunk of a PNG."""

    width: int
    height: int
    bits: int
    """Bits a sample, as stored: 1, 2, 4, 8 or 16."""
    palette: bool
    interlaced: bool
    animated: bool
    """There are more frames (APNG); the first one is the image."""
    dpi: tuple[float, float] | None
    """Pixels an inch along x and y, from pHYs; libvips makes 72 up where it is missing."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Facts of a JPEG from before its first scan."""

    width: int
    height: int
    bits: int
    progressive: bool
    coefficient_bytes: int
    """Bytes of all DCT coefficients, which a decoder holds at once when the file has several scans."""
    quirk: str
    """A harmless oddity that makes libjpeg warn; empty for a clean header."""


def read_png_header(path: str) -> PngHeader:
    """Return the header of the PNG at ``path``.

    Raises
    ------
    InputError
        The header is missing, damaged or of size 0.
    """
    head = read_head(path)
    if len(head) < 33 or head[12:16] != b"IHDR":
        raise InputError(f"{path}: has the signature of a PNG but no header; copy or download it again")
    width, height, bits, color, _, _, interlace = struct.unpack(">IIBBBBB", head[16:29])
    if not width or not height:
        raise InputError(f"{path}: the PNG header gives {width} x {height} pixels; copy or download it again")
    animated, dpi = False, None
    with open(path, "rb") as file:
        file.seek(33)
        while len(start := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", start)
            if name in (b"IDAT", b"IEND"):
                break
            if name == b"acTL":
                animated = True
            elif name == b"pHYs" and len(body := file.read(9)) == 9:
                x, y, unit = struct.unpack(">IIB", body)
                dpi = (x * 0.0254, y * 0.0254) if unit == 1 else None
                file.seek(-9, 1)
            file.seek(length + 4, 1)
    return PngHeader(width, height, bits, color == 3, interlace != 0, animated, dpi)


def read_jpeg_header(path: str) -> JpegHeader:
    """Return the header of the JPEG at ``path``, read up to its first scan.

    Raises
    ------
    InputError
        The file ends, or stops being a JPEG, before the first scan.
    """
    read_head(path, 1)  # the clear errors for a missing or locked file
    with open(path, "rb") as file:
        try:
            return _walk(file)
        except (struct.error, IndexError, ValueError) as error:
            raise InputError(
                f"{path}: the JPEG header is damaged or cut ({error}); copy or download it again"
            ) from error


def _walk(file: BinaryIO) -> JpegHeader:
    """Return the facts of the frame header (SOF), the Adobe segment and the first scan (SOS)."""
    frame: tuple[int, bytes] | None = None
    quirk = ""
    file.seek(2)
    while True:
        skipped = 0
        while (byte := file.read(1)) != b"\xff":
            if not byte:
                raise ValueError("no image data")
            skipped += 1
        while (byte := file.read(1)) == b"\xff":
            pass  # fill bytes before a marker are legal
        if skipped:
            quirk = f"{skipped} stray bytes between header segments"
        marker = byte[0]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        if marker == 0xD9:
            raise ValueError("no image data")
        (length,) = struct.unpack(">H", file.read(2))
        # Profiles and thumbnails are long and of no interest here.
        body = file.read(min(length - 2, 1024))
        file.seek(max(length - 2 - len(body), 0), 1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = (marker, body)
        elif marker == 0xEE and body.startswith(b"Adobe") and body[11] > 2:
            quirk = f"Adobe colour transform {body[11]}, which is not defined"
        elif marker == 0xDA:
            if frame is None:
                raise ValueError("a scan comes before the frame header")
            return _facts(*frame, scan=body, quirk=quirk)


def _facts(marker: int, frame: bytes, *, scan: bytes, quirk: str) -> JpegHeader:
    bits, height, width, components = struct.unpack(">BHHB", frame[:6])
    if not width or not height:
        raise ValueError(f"the frame is of {width} x {height} pixels")
    progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
    if not progressive and tuple(scan[-3:]) != (0, 63, 0):
        quirk = "scan parameters that only a progressive JPEG may have"
    factors = [(frame[7 + 3 * i] >> 4, frame[7 + 3 * i] & 15) for i in range(components)]
    wide, high = max(h for h, _ in factors), max(v for _, v in factors)
    # Whole MCUs of 8 x 8 blocks, two bytes a coefficient.
    columns, rows = -(-width // (8 * wide)), -(-height // (8 * high))
    coefficients = sum(columns * h * 8 * rows * v * 8 * 2 for h, v in factors)
    return JpegHeader(width, height, bits, progressive, coefficients, quirk)


def orient(image: Array, orientation: int) -> Array:
    """Return a view of ``image`` as EXIF orientation 1 to 8 wants it shown; other numbers change nothing.

    Parameters
    ----------
    image : ndarray of shape (y, x) or (y, x, c)
        As stored.
    orientation : int
        The EXIF tag 274.
    """
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
