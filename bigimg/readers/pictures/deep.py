"""Pictures of many bits or of floats that imagecodecs decodes at once: JPEG XL, JPEG XR, OpenEXR and Radiance HDR.

JPEG XR, OpenEXR and HDR have no checksums: of a changed byte within their pixels no reader knows.
"""

from __future__ import annotations

import re
import struct
import uuid

from bigimg.errors import AGAIN, InputError, damage, reading
from bigimg.geometry.spec import RGB, RGBA, Channel
from bigimg.readers.coded_sizes import check_coded_size
from bigimg.readers.codestreams import jxr_directory
from bigimg.readers.pictures.coded import Coded, CodedReader
from bigimg.readers.pictures.jpegxl import jpegxl_header
from bigimg.readers.pictures.strips import GREY_ALPHA
from bigimg.types import Array, Json

HEAD_BYTES = 1 << 20
"""More than a header of OpenEXR or HDR has; a preview may be in it."""

FRAMES = {"jpegxl": 3, "jpegxr": 1, "exr": 1, "rgbe": 1}
"""Frames of float32 that a decoder holds beside the decoded one: measured and rounded up."""


class DeepReader(CodedReader):
    """A picture whose decoder works in floats."""

    def _decode(self, data: bytes, shape: tuple[int, int], where: str = "") -> Array:
        try:
            check_coded_size(data, shape[0] * shape[1] * self.coded.samples)
        except ValueError as error:
            raise damage(self.source, str(error)) from None
        return super()._decode(data, shape, where)

    def _working(self, height: int, width: int) -> int:
        values = height * width * self.coded.samples
        return values * (4 * FRAMES[self.coded.codec] + 2 * self.coded.dtype.itemsize)


def open_jpegxl(path: str) -> DeepReader:
    """Return a reader of a JPEG XL; its orientation is applied by the decoder.

    Raises
    ------
    InputError
        Its header is damaged, or it is an animation or has channels that are not read.
    """
    with reading(path, (struct.error, IndexError, ValueError), AGAIN):
        return _reader(path, jpegxl_header(path), open_jpegxl)


def open_jpegxr(path: str) -> DeepReader:
    """Return a reader of a JPEG XR.

    Raises
    ------
    InputError
        Its header is damaged, or its pixels are of a format that is not read.
    """
    with reading(path, (struct.error, IndexError, ValueError), AGAIN):
        with open(path, "rb") as file:

            def part(at: int, size: int) -> bytes:
                file.seek(at)
                return file.read(size)

            fields = dict(jxr_directory(part))
            guid = uuid.UUID(bytes=part(fields.get(0xBC01, 0), 16))
        found = JXR.get(guid.bytes[-1]) if guid.bytes[:15] == JXR_FORMAT else JXR_OTHERS.get(guid.hex)
        if found is None:
            what = f"its pixels are of the format {guid} of JPEG XR, which is not read"
            raise InputError(f"{path}: {what}; convert it to TIFF first")
        bits, floats, channels = found
        height, width = fields[0xBC81], fields[0xBC80]
        coded = Coded(
            "JPEG XR", "jpegxr", height, width, bits, False, channels, {"format": "JPEG_XR"}, floats=floats,
        )  # fmt: skip
    return _reader(path, coded, open_jpegxr)


def open_exr(path: str) -> DeepReader:
    """Return a reader of an OpenEXR of one part: grey or RGB, with or without alpha.

    Raises
    ------
    InputError
        Its header is damaged, or it has other channels, several parts or several samples a pixel.
    """
    head = _head(path)
    with reading(path, (struct.error, IndexError, ValueError, KeyError), AGAIN):
        (flags,) = struct.unpack_from("<I", head, 4)
        if flags & 0x1800:
            what = "is an OpenEXR of several parts, or of several samples a pixel"
            raise InputError(f"{path}: {what}, and one flat picture is read; convert it to TIFF first")
        fields = _exr_fields(head)
        left, top, right, bottom = struct.unpack("<4i", fields["dataWindow"])
        kinds = _exr_channels(fields["channels"])
        channels = EXR.get("".join(sorted(name for name, *_ in kinds)))
        if (
            channels is None
            or len({kind for _, kind, *_ in kinds}) > 1
            or any(step != (1, 1) for *_, step in kinds)
        ):
            named = ", ".join(f"{name} ({EXR_TYPES.get(kind, '?')})" for name, kind, _ in kinds[:9])
            what = f"its channels are {named}, and Y or R G B of one type and size is read, with or without A"
            raise InputError(f"{path}: {what}; convert it to TIFF first")
        height, width = bottom - top + 1, right - left + 1
        if height < 1 or width < 1:
            raise ValueError(f"its data window has {width} x {height} pixels")
        kind = kinds[0][1]
        meta: dict[str, Json] = {"format": "OPENEXR"}
        coded = Coded(
            "OpenEXR", "exr", height, width, {0: 32, 1: 16, 2: 32}[kind], False, channels, meta, floats=kind > 0,
        )  # fmt: skip
    return _reader(path, coded, open_exr)


def open_hdr(path: str) -> DeepReader:
    """Return a reader of a Radiance HDR (RGBE), as float32.

    Raises
    ------
    InputError
        Its header is damaged, its colours are XYZ, or its rows are in another order.
    """
    text, blank, rest = _head(path).partition(b"\n\n")
    size = re.match(rb"([-+][XY]) (\d{1,9}) ([-+][XY]) (\d{1,9})\n", rest)
    if not blank or size is None:
        raise damage(path, "its header has no line with its size")
    if size[1] != b"-Y" or size[3] != b"+X" or b"32-bit_rle_xyze" in text:
        what = f"its rows go {size[1].decode()} {size[3].decode()}, or its colours are XYZ"
        raise InputError(f"{path}: {what}, and RGB with rows -Y +X is read; convert it to TIFF first")
    exposures = [
        float(found) for found in re.findall(rb"^EXPOSURE=\s*([\d.eE+-]{1,20})\s*$", text, re.MULTILINE)
    ]
    notes = (f"an EXPOSURE of {exposures} is said, by which the pixels are not divided",) if exposures else ()
    coded = Coded(
        "HDR", "rgbe", int(size[2]), int(size[4]), 32, False, RGB, {"format": "HDR"}, notes, floats=True,
    )  # fmt: skip
    return _reader(path, coded, open_hdr)


EXR_TYPES = {0: "uint32", 1: "float16", 2: "float32"}
EXR: dict[str, tuple[Channel, ...]] = {"Y": (), "AY": GREY_ALPHA, "BGR": RGB, "ABGR": RGBA}
"""Channels by their names in alphabetical order."""

JXR_FORMAT = bytes.fromhex("24c3dd6f034efe4bb1853d77768dc9")
"""All but the last byte of a pixel format."""
JXR: dict[int, tuple[int, bool, tuple[Channel, ...]]] = {
    0x08: (8, False, ()), 0x0B: (16, False, ()), 0x11: (32, True, ()), 0x3E: (16, True, ()),
    0x0C: (8, False, RGB), 0x0D: (8, False, RGB), 0x15: (16, False, RGB), 0x1B: (32, True, RGB),
    0x3B: (16, True, RGB), 0x0F: (8, False, RGBA), 0x16: (16, False, RGBA), 0x19: (32, True, RGBA),
    0x3A: (16, True, RGBA),
}  # fmt: skip
"""Bits of a sample, whether it is a float, and channels, by the last byte of a pixel format."""
JXR_OTHERS = {"2dadc7f58d6add43a7a8a29935261ae9": (8, False, RGBA)}


def _reader(path: str, coded: Coded, reopen: object) -> DeepReader:
    import imagecodecs

    if not getattr(getattr(imagecodecs, coded.codec.upper(), None), "available", False):
        what = f"is {coded.title}, which imagecodecs {imagecodecs.__version__} does not decode here"
        raise InputError(f"{path}: {what}; install a newer one: pip install -U imagecodecs")
    return DeepReader(path, coded, reopen)  # type: ignore[arg-type]


def _head(path: str) -> bytes:
    with reading(path), open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def _exr_fields(head: bytes) -> dict[str, bytes]:
    """Return the attributes of an OpenEXR by name."""
    found: dict[str, bytes] = {}
    at = 8
    while head[at : at + 1] != b"\0":
        name, at = _word(head, at)
        _, at = _word(head, at)
        (size,) = struct.unpack_from("<I", head, at)
        found[name] = head[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _exr_channels(content: bytes) -> list[tuple[str, int, tuple[int, int]]]:
    """Return name, type and steps along x and y of each channel."""
    found, at = [], 0
    while content[at : at + 1] != b"\0":
        name, at = _word(content, at)
        kind, _, x, y = struct.unpack_from("<iIii", content, at)
        found.append((name, kind, (x, y)))
        at += 16
    return found


def _word(data: bytes, at: int) -> tuple[str, int]:
    """Return the text up to the next null byte, and where it ends."""
    end = data.index(b"\0", at)
    return data[at:end].decode("latin-1"), end + 1
