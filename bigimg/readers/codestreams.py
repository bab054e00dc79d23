"""Checks that a coded picture is whole, for codecs whose decoders fill missing pixels without an error.

Most decoders raise when their bytes end early: OpenJPEG, CharLS, libwebp, libavif, libjxl, libdeflate, zstd and
Pillow's own. libjpeg-turbo fills the rest with grey; jxrlib and the decoders of faxes fill it with white. So this
module looks for the end of such a stream. A JPEG without its end marker (EOI) counts as cut even if all its rows are
there: libjpeg does not say whether they are, and Pillow and libvips refuse it too. Bytes after the end are padding.
If a writer cut the pixels and put an end marker after them, it is not noticed. Pillow takes the end of a cut GIF for
the end of the animation.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from typing import BinaryIO, Literal

from bigimg.errors import damage

MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""A marker of JPEG or JPEG-LS outside coded pixels; stuffed bytes and restart markers are within them."""

JXR_PICTURES = ((0xBCC0, 0xBCC1), (0xBCC2, 0xBCC3))
"""Tags of JPEG XR: offset and length of the picture, and of its alpha."""

FAX_END = "000000000001" * 2
"""Bits that end a fax of group 4."""

GIF_EXTENSION, GIF_IMAGE, GIF_END = b"\x21", b"\x2c", b"\x3b"
"""First bytes of the blocks of a GIF."""


def jpeg_is_cut(data: bytes) -> bool:
    """Return whether ``data`` is a JPEG of any process, or a JPEG-LS, that ends before its end marker."""
    at = 2
    while data[:2] == b"\xff\xd8" and (found := MARKER.search(data, at)):
        if found[0] == b"\xff\xd9":
            return False
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return data[:2] == b"\xff\xd8"


def jxr_is_cut(data: bytes) -> bool:
    """Return whether ``data`` is a JPEG XR that ends before the bytes that its directory names."""
    if data[:3] != b"II\xbc":
        return False
    try:
        values = dict(jxr_entries(data))
    except struct.error:
        return True
    for offset, size in JXR_PICTURES:
        start, length = values.get(offset, 0), values.get(size, 0)
        # jxrlib writes where the alpha ends in place of its length.
        end = length if offset == JXR_PICTURES[1][0] and length > start else start + length
        if end > len(data):
            return True
    return False


def jxr_entries(data: bytes) -> list[tuple[int, int]]:
    """Return tag and value of each entry of the directory of a JPEG XR; a struct.error where it is cut."""
    return jxr_directory(lambda at, size: data[at : at + size])


def jxr_directory(read: Callable[[int, int], bytes]) -> list[tuple[int, int]]:
    """Return what :func:`jxr_entries` does of a file of which ``read`` gives so many bytes from a place on."""
    (at,) = struct.unpack("<I", read(4, 4))
    (count,) = struct.unpack("<H", read(at, 2))
    numbers = struct.unpack(f"<{'HHII' * count}", read(at + 2, 12 * count))
    return list(zip(numbers[::4], numbers[3::4], strict=True))


def jpeg2000_colors(head: bytes) -> Literal["stored", "transformed", "converted"]:
    """Return what imagecodecs makes of the colours of the JPEG 2000 that ``head`` begins.

    ``transformed``: its own colour transform is undone, which gives RGB. ``converted``: it has fewer values of colour
    than pixels, or its box says sYCC, and imagecodecs makes RGB of it. ``stored``: neither.
    """
    if (at := head.find(b"\xff\x4f\xff\x51")) < 0:
        return "stored"
    box = head.rfind(b"colr", 0, at)
    steps = head[at + 43 : at + 45], head[at + 46 : at + 47]  # of the first component and across the second
    if head[box + 4 : box + 11] == b"\1\0\0\0\0\0\x12" and box >= 0:
        return "converted"
    if head[at + 40 : at + 42] == b"\0\3" and steps[0][:1] == steps[0][1:] and steps[1] != b"\1":
        return "converted"
    at += 2
    while head[at : at + 1] == b"\xff" and head[at : at + 2] != b"\xff\x90":
        if head[at : at + 2] == b"\xff\x52":  # COD: length, style, order, layers, transform
            return "transformed" if head[at + 8 : at + 9] == b"\1" else "stored"
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return "stored"


def fax_is_cut(data: bytes) -> bool:
    """Return whether ``data``, of a fax of group 4 in either order of bits, lacks the code that ends it."""
    tail = [f"{byte:08b}" for byte in data.rstrip(b"\0")[-5:]]
    ends = ("".join(bits[::order] for bits in tail).rstrip("0") for order in (1, -1))
    return not any(end.endswith(FAX_END) for end in ends)


def check_gif(path: str) -> None:
    """Refuse a GIF whose blocks end before its end mark.

    Raises
    ------
    InputError
        The file is cut, so the number of its frames is not known.
    """
    frames = 0
    with open(path, "rb") as file:
        _skip_colors(file, file.read(13)[10:11])
        while (kind := file.read(1)) != GIF_END:
            if kind == GIF_IMAGE:
                frames += 1
                _skip_colors(file, file.read(9)[8:9])
            elif kind != GIF_EXTENSION:
                where = "ends" if not kind else f"has a block of unknown kind {kind[0]}"
                at = f"at byte {file.tell() - len(kind)}, after {frames} frames and before the end mark of a GIF"
                raise damage(path, f"{where} {at}")
            file.seek(1, os.SEEK_CUR)  # the label of an extension, the bits a code of an image
            while size := file.read(1):
                if size == b"\0":
                    break
                file.seek(size[0], os.SEEK_CUR)


def _skip_colors(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 * (2 << (flags[0] & 7)), os.SEEK_CUR)
