"""The header of a JPEG XL: size, type of the samples, colours and orientation, bit by bit as ISO 18181-1 has them.

The decoder gives none of these before the pixels.
"""

from __future__ import annotations

from bigimg.errors import InputError, damage
from bigimg.geometry.spec import RGB, Channel
from bigimg.readers.coded_sizes import Bits, jpeg_xl_size, jpeg_xl_start
from bigimg.readers.pictures.coded import Coded
from bigimg.readers.pictures.strips import GREY_ALPHA

HEAD_BYTES = 1 << 16
"""More than a header has: boxes of metadata may lie before it."""

ALPHA, GREY = 0, 1
"""Kinds of an extra channel, and of colours."""

type Choice = int | tuple[int, int]
"""A number, or the first one and how many bits are added to it."""

ENUM: tuple[Choice, ...] = (0, 1, (2, 4), (18, 6))


def jpegxl_header(path: str) -> Coded:
    """Return what the header of the JPEG XL at ``path`` says.

    Raises
    ------
    InputError
        It is cut, or an animation, or has channels that are no colours and no alpha.
    """
    with open(path, "rb") as file:
        data = file.read(HEAD_BYTES)
    start = 0 if data.startswith(b"\xff\x0a") else jpeg_xl_start(data)
    if start is None or data[start : start + 2] != b"\xff\x0a" or len(data) < start + 4:
        raise damage(path, "its JPEG XL has no codestream in its first 64 KiB")
    bits = Bits(data[start + 2 : start + 2 + 4096])
    size = jpeg_xl_size(bits)
    depth, floats, orientation, extra, grey = 8, False, 1, [], False
    if not bits.take(1):  # all as by default: RGB of 8 bits
        if bits.take(1):
            orientation = 1 + bits.take(3)
            _skip_more(path, bits)
        depth, floats = _depth(bits)
        bits.take(1)
        extra = [_extra_channel(bits) for _ in range(_number(bits, (0, 1, (2, 4), (1, 12))))]
        bits.take(1)
        if not bits.take(1):
            bits.take(1)
            grey = _number(bits, ENUM) == GREY
    if any(kind != ALPHA for kind in extra) or len(extra) > 1:
        what = f"is a JPEG XL with {len(extra)} channels beside its colours, and one of alpha is read"
        raise InputError(f"{path}: {what}; convert it to TIFF first")
    alpha = (Channel("A", "FFFFFF"),) * len(extra)
    channels = (GREY_ALPHA if alpha else ()) if grey else (*RGB, *alpha)
    turned = orientation >= 5  # the decoder turns and mirrors
    height, width = (size.columns, size.rows) if turned else (size.rows, size.columns)
    notes = (f"orientation {orientation} is applied",) if orientation > 1 else ()
    return Coded(
        "JPEG XL",
        "jpegxl",
        height,
        width,
        depth,
        False,
        channels,
        {"format": "JPEG_XL"},
        notes,
        floats=floats,
    )


def _skip_more(path: str, bits: Bits) -> None:
    """Pass by the size to show and the preview; refuse an animation."""
    if bits.take(1):
        jpeg_xl_size(bits)
    if bits.take(1):  # a preview: its height, then its width unless a ratio says it
        eighths = bits.take(1)
        sides: tuple[Choice, ...] = (
            (16, 32, (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
        )
        _number(bits, sides)
        if not bits.take(3):
            _number(bits, sides)
    if bits.take(1):
        what = "is an animated JPEG XL, and one picture is read"
        raise InputError(f"{path}: {what}; write its frames to a TIFF or to files first")


def _depth(bits: Bits) -> tuple[int, bool]:
    """Return the bits of a sample, and whether it is a float."""
    if not bits.take(1):
        return _number(bits, (8, 10, 12, (1, 6))), False
    found = _number(bits, (32, 16, 24, (1, 6)))
    bits.take(4)
    return found, True


def _extra_channel(bits: Bits) -> int:
    """Return the kind of an extra channel."""
    if bits.take(1):
        return ALPHA
    kind = _number(bits, ENUM)
    _depth(bits)
    _number(bits, (0, 3, 4, (1, 3)))
    bits.take(8 * _number(bits, (0, (0, 4), (16, 5), (48, 10))))
    if kind == ALPHA:
        bits.take(1)
    return kind


def _number(bits: Bits, choices: tuple[Choice, ...]) -> int:
    """Return a number that two bits choose among."""
    chosen = choices[bits.take(2)]
    return chosen if isinstance(chosen, int) else chosen[0] + bits.take(chosen[1])
