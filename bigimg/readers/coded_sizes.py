"""How large a coded picture says that it is, read from its first bytes before a decoder allocates that much.

A tile of 2 kB may be a JPEG 2000 of 16000 x 16000 pixels, which takes 1.4 GB to decode and then does not fit its page.
The decoders of pictures take no limit, so whoever knows from another header how many values there can be compares.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from bigimg.readers.codestreams import MARKER, jxr_entries

FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Second bytes of the markers of JPEG and JPEG-LS that say how large the picture is."""


class CodedSize(NamedTuple):
    """Of a coded picture."""

    rows: int
    columns: int
    samples: int = 1
    """Of a pixel, at least."""


def check_coded_size(data: bytes, most: int) -> None:
    """Refuse a coded picture of more than ``most`` values.

    Raises
    ------
    ValueError
        It says that it is larger, or is cut where it should say how large it is.
    """
    try:
        size = next((found(data) for magic, found in SIZES.items() if data.startswith(magic)), None)
    except (struct.error, IndexError):
        raise ValueError("its coded picture is cut within its header") from None
    if size is not None and size.rows * size.columns * size.samples > most:
        what = f"{size.rows} x {size.columns} of {size.samples} sample{'s' * (size.samples > 1)}"
        raise ValueError(f"its coded picture is {what}, and only {most} values are expected")


def _jpeg(data: bytes) -> CodedSize | None:
    at = 2
    while found := MARKER.search(data, at):
        if found[0][1] in FRAMES:
            rows, columns, samples = struct.unpack_from(">HHB", data, found.end() + 3)
            return CodedSize(rows, columns, samples)
        if found[0] == b"\xff\xd9":
            return None
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return None


def _jpeg2000(data: bytes, at: int = 0) -> CodedSize:
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    (samples,) = struct.unpack_from(">H", data, at + 40)
    return CodedSize(max(bottom - top, 0), max(right - left, 0), samples)


def _jp2(data: bytes) -> CodedSize | None:
    at = _box(data, b"jp2c")
    return None if at is None else _jpeg2000(data, at)


def _jpeg_xl_boxes(data: bytes) -> CodedSize | None:
    at = jpeg_xl_start(data)
    return None if at is None else _jpeg_xl(data[at:])


def jpeg_xl_start(data: bytes) -> int | None:
    """Return where the codestream of a JPEG XL in boxes begins."""
    if (at := _box(data, b"jxlc")) is not None:
        return at
    at = _box(data, b"jxlp")
    return None if at is None else at + 4


def _jpeg_xl(data: bytes) -> CodedSize:
    return jpeg_xl_size(Bits(data[2:40]))


def jpeg_xl_size(bits: Bits) -> CodedSize:
    """Return the size that the next bits of JPEG XL say."""
    small = bits.take(1)
    rows = (bits.take(5) + 1) * 8 if small else bits.long()
    over, under = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[bits.take(3)]
    columns = rows * over // under if over else (bits.take(5) + 1) * 8 if small else bits.long()
    return CodedSize(rows, columns)


class Bits:
    """Bits of JPEG XL, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        found = self.value & ((1 << count) - 1)
        self.value >>= count
        return found

    def long(self) -> int:
        """Return the next number of a size."""
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1


def _webp(data: bytes) -> CodedSize | None:
    kind = data[12:16]
    if kind == b"VP8X":  # libwebp refuses a picture of another size behind it
        return CodedSize(*(int.from_bytes(data[at : at + 3], "little") + 1 for at in (27, 24)))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return CodedSize((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if kind == b"VP8 ":
        columns, rows = struct.unpack_from("<HH", data, 26)
        return CodedSize(rows & 0x3FFF, columns & 0x3FFF)
    return None


def _jpeg_xr(data: bytes) -> CodedSize | None:
    start = dict(jxr_entries(data)).get(0xBCC0, 0)
    if data[start : start + 8] != b"WMPHOTO\0":
        return None
    form = ">HH" if data[start + 10] & 0x80 else ">II"
    columns, rows = struct.unpack_from(form, data, start + 12)
    return CodedSize(rows + 1, columns + 1)


def _png(data: bytes) -> CodedSize:
    columns, rows = struct.unpack_from(">II", data, 16)
    return CodedSize(rows, columns)


def _lerc(data: bytes) -> CodedSize:
    (version,) = struct.unpack_from("<i", data, 6)
    at = 14 if version >= 3 else 10  # behind a checksum
    rows, columns, depth = struct.unpack_from("<3I", data, at)
    return CodedSize(rows, columns, (depth if version >= 4 else 1) * data.count(b"Lerc2 "))


def _box(data: bytes, wanted: bytes) -> int | None:
    """Return where the content of the first outer box of a kind begins."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        if kind == wanted:
            return start
        if length < start - at:
            return None
        at += length
    return None


SIZES: dict[bytes, Callable[[bytes], CodedSize | None]] = {
    b"\xff\xd8": _jpeg,
    b"\xff\x4f\xff\x51": _jpeg2000,
    b"\0\0\0\x0cjP  ": _jp2,
    b"\xff\x0a": _jpeg_xl,
    b"\0\0\0\x0cJXL ": _jpeg_xl_boxes,
    b"RIFF": _webp,
    b"II\xbc": _jpeg_xr,
    b"\x89PNG": _png,
    b"Lerc2 ": _lerc,
}
"""First bytes of each codec whose decoder allocates what the coded picture says."""
