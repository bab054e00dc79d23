"""Facts in the headers of PNG and JPEG that the decoders do not give.

libvips and Pillow give size and type. The facts here decide *how* a file can be read: whether a PNG is interlaced, how
much memory a JPEG of several scans needs, and whether something harmless in the header of a JPEG makes libjpeg warn.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Literal

from bigimg.errors import DAMAGED, damage, reading
from bigimg.readers.sniffing import read_head

_PORTION = 64 << 10
"""Bytes of a PNG chunk read at once."""

JPEG_LS = 0xF7
JPEG_PROCESSES = {
    **dict.fromkeys((0xC0, 0xC1, 0xC9), "baseline"), **dict.fromkeys((0xC2, 0xCA), "progressive"),
    **dict.fromkeys((0xC3, 0xCB), "lossless"), JPEG_LS: "JPEG-LS",
}  # fmt: skip
"""Marker of a frame (SOF) to how the frame is coded; of all others, frames follow one another (hierarchical)."""

PNG_BANDS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Samples a pixel of each colour type that has no palette."""


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
    """It has more frames (APNG); the first one is the image."""
    dpi: tuple[float, float] | None
    """Pixels an inch along x and y, from pHYs; where it is missing, libvips says 72."""
    bands: int
    """Samples a pixel; 1 for a palette."""
    profile: bool
    """There is an ICC profile."""
    data: int
    """Byte of the file where the first IDAT chunk begins."""
    damaged: tuple[str, ...]
    """Names of damaged chunks before the pixels; the pixels do not need them, so they are left out."""
    plain: bool
    """Rows of 8- or 16-bit samples that are shown as they are stored: no palette, transparent colour, orientation or
    interlacing, and no damaged or unknown critical chunk before the pixels."""
    plain_indices: bool
    """The same, but the samples are indices of 8 bits into a palette."""
    grey: bool
    """The palette has no colours, and none of it is transparent."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a JPEG says before its first scan."""

    width: int
    height: int
    bits: int
    process: str
    """How it is coded: ``baseline`` (or extended), ``progressive``, ``lossless``, ``hierarchical`` or ``JPEG-LS``."""
    samples: int
    """Samples a pixel."""
    orientation: int
    """The EXIF tag 274, 1 where there is none that can be read."""
    coefficient_bytes: int
    """Bytes of all DCT coefficients; a decoder holds all of them when the file has several scans."""
    quirk: str
    """Something harmless that makes libjpeg warn; empty for most headers."""


def read_png_header(path: str) -> PngHeader:
    """Return the header of the PNG at ``path``.

    Raises
    ------
    InputError
        The header is missing, damaged or of size 0.
    """
    head = read_head(path)
    if len(head) < 33 or head[12:16] != b"IHDR":
        raise damage(path, "has the signature of a PNG but no header")
    width, height, bits, color, packing, filters, interlace = struct.unpack(">IIBBBBB", head[16:29])
    if not width or not height:
        raise damage(path, f"the PNG header gives {width} x {height} pixels")
    plain = zlib.crc32(head[12:29]) == int.from_bytes(head[29:33]) and head[8:12] == b"\0\0\0\r"
    plain &= not (packing or filters or interlace)
    data, chunks, damaged = 0, dict[bytes, bytes](), dict[str, None]()
    with open(path, "rb") as file:
        file.seek(33)
        while len(start := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", start)
            if name in (b"IDAT", b"IEND"):
                data = file.tell() - 8
                plain &= name == b"IDAT"
                break
            body, right = _chunk_body(file, name, length)
            right &= name != b"iCCP" or body.partition(b"\0")[2][:1] == b"\0"  # the only compression
            plain &= right and (name[0] >= ord("a") or (name == b"PLTE" and color == 3))
            if right:
                chunks[name] = body
            elif name[0] >= ord("a"):
                damaged[name.decode("latin-1")] = None
    plain &= data > 0 and _exif_orientation(chunks.get(b"eXIf", b"")) == 1
    palette = chunks.get(b"PLTE", b"") if color == 3 else b""
    clear = b"tRNS" in chunks
    grey = bool(palette) and not clear and palette[::3] == palette[1::3] == palette[2::3]
    dpi = None
    if len(resolution := chunks.get(b"pHYs", b"")) == 9 and resolution[8] == 1:  # in metres
        dpi = (int.from_bytes(resolution[:4]) * 0.0254, int.from_bytes(resolution[4:8]) * 0.0254)
    animated, profile, bands = b"acTL" in chunks, b"iCCP" in chunks, PNG_BANDS.get(color, 1)
    left_out = tuple(damaged)
    return PngHeader(
        width, height, bits, color == 3, interlace != 0, animated, dpi, bands, profile, data, left_out,
        plain=plain and bits in (8, 16) and color in PNG_BANDS and not clear,
        plain_indices=plain and bits == 8 and color == 3, grey=grey,
    )  # fmt: skip


def _chunk_body(file: BinaryIO, name: bytes, length: int) -> tuple[bytes, bool]:
    """Return the first bytes of a chunk and whether its checksum is right; read ``file`` to the end of the chunk."""
    body, crc, rest = b"", zlib.crc32(name), length
    while rest and (part := file.read(min(rest, _PORTION))):
        body = body or part
        crc = zlib.crc32(part, crc)
        rest -= len(part)
    return body, file.read(4) == crc.to_bytes(4)


def _exif_orientation(exif: bytes) -> int:
    """Return tag 274 of the first directory of ``exif``; 1 where it has none, 0 where it cannot be read."""
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    first = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[first : first + 2], order)
    if not exif:
        return 1
    if exif[:4] not in (b"II*\0", b"MM\0*") or len(exif) < first + 2 + 12 * count:
        return 0
    for at in range(first + 2, first + 2 + 12 * count, 12):
        if int.from_bytes(exif[at : at + 2], order) == 274:
            return int.from_bytes(exif[at + 8 : at + 10], order)
    return 1


def read_jpeg_header(path: str) -> JpegHeader:
    """Return the header of the JPEG at ``path``, read up to its first scan.

    Raises
    ------
    InputError
        The file ends, or stops being a JPEG, before the first scan.
    """
    errors, what = (struct.error, IndexError, ValueError), "the JPEG header cannot be read"
    with reading(path, errors, DAMAGED, what=what), open(path, "rb") as file:
        return _walk(file)


def _walk(file: BinaryIO) -> JpegHeader:
    """Return the facts of the frame header (SOF), the Adobe segment and the first scan (SOS)."""
    frame: tuple[int, bytes] | None = None
    quirk, turned = "", 1
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
        if marker == JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            frame = (marker, body)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            turned = _exif_orientation(body[6:]) or 1
        elif marker == 0xEE and body.startswith(b"Adobe") and body[11] > 2:
            quirk = f"Adobe colour transform {body[11]}, which is not defined"
        elif marker == 0xDA:
            if frame is None:
                raise ValueError("a scan comes before the frame header")
            return _facts(*frame, scan=body, quirk=quirk, turned=turned)


def _facts(marker: int, frame: bytes, *, scan: bytes, quirk: str, turned: int) -> JpegHeader:
    bits, height, width, components = struct.unpack(">BHHB", frame[:6])
    if not width or not height:
        raise ValueError(f"the frame is of {width} x {height} pixels")
    process = JPEG_PROCESSES.get(marker, "hierarchical")
    if process not in ("progressive", "lossless", "JPEG-LS") and tuple(scan[-3:]) != (0, 63, 0):
        quirk = "scan parameters that only a progressive JPEG may have"
    factors = [(frame[7 + 3 * i] >> 4, frame[7 + 3 * i] & 15) for i in range(components)]
    wide, high = max(h for h, _ in factors), max(v for _, v in factors)
    # Whole MCUs of 8 x 8 blocks, two bytes a coefficient.
    columns, rows = -(-width // (8 * wide)), -(-height // (8 * high))
    coefficients = sum(columns * h * 8 * rows * v * 8 * 2 for h, v in factors)
    return JpegHeader(width, height, bits, process, components, turned, coefficients, quirk)
