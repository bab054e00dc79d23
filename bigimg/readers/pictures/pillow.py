"""Pictures that Pillow decodes: BMP, GIF, WebP, PNM, AVIF and others without a reader of their own.

The plugin of the format is called directly. So ``Image.MAX_IMAGE_PIXELS``, a limit of the whole process, is neither
used nor changed; the planner checks the memory, from the size in the header. Pillow would cut AVIF of 10 and 12 bits to
8 and scale PNM of 16 bits, so imagecodecs and :class:`~bigimg.readers.raw.plain.RawFile` read those; what else it would
cut is refused by name.
A palette becomes the colours it stands for, and the EXIF orientation is applied.

An animation has an axis ``t``. A frame is decoded when it is read, and the last one stays in memory.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageMode

from bigimg.errors import AGAIN, InputError, UnknownFormatError, counted, damage, reading
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGBA, Channel
from bigimg.reader import Access
from bigimg.readers.codestreams import check_gif
from bigimg.readers.orientation import orientation
from bigimg.readers.pictures.strips import CHANNELS, CMYK, picture_spec
from bigimg.readers.pictures.texts import texts_of
from bigimg.readers.raw.plain import RawFile
from bigimg.readers.sniffing import is_png, picture_plugin, read_head
from bigimg.types import Array, DType, Json, Region

LIBRARY_BYTES = 24_000_000
"""What Pillow and one plugin take once a picture is open; measured 12 to 20 MB."""

PNG = ("PNG", "PngImagePlugin")
"""Read here only for the indices into its palette."""

ANIMATED = ("GIF", "WEBP", "AVIF")
"""Formats whose frames follow one another in time; in a PSD, Pillow counts layers as frames."""

STRIP_PIXELS = 1 << 20
"""Pixels copied from Pillow to numpy at a time, so that no second full frame arises."""

_READ_AS = {mode: mode for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I;16L", "I;16B", "I", "F")} | {
    "La": "LA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "RGBa": "RGBA",
}  # fmt: skip
"""Pillow's modes of pixels that are read, each with the mode that it is converted to."""

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error,
           AttributeError, RuntimeError)  # fmt: skip
"""What Pillow's plugins raise on damaged files; ``Image.open`` catches most of these for the same reason."""


class PictureReader:
    """A picture, or an animation with the axis ``t``, decoded a frame at a time; the last one stays in memory.

    Parameters
    ----------
    path : str
    indices : bool
        Give the indices into the palette of a picture that has one, not the colours.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, or its header is damaged.
    UnknownFormatError
        Pillow has no plugin for the content.
    """

    def __init__(self, path: str, *, indices: bool = False) -> None:
        self.source, self._indices = path, indices
        head = read_head(path)
        plugin = PNG if is_png(head, "") else picture_plugin(head, os.path.basename(path).lower())
        if plugin is None:
            raise UnknownFormatError(f"{path}: is no picture that Pillow decodes; convert it to PNG first")
        self._plugin, self._module = plugin
        _refuse_cut(path, self._plugin, head)
        self._lock = threading.Lock()
        self._frame: tuple[int, Array] | None = None  # number and pixels (y, x, c) of the frame decoded last
        self._deep = _deep_avif(head) if self._plugin == "AVIF" else None
        self._raw = _raw_pnm(path, head) if self._plugin == "PPM" else None
        with self._opened() as image:
            self._frames = int(image.n_frames) if self._plugin in ANIMATED else 1
            self._size = image.size
            self._stored_mode: str = image.mode
            self._mode, self._dtype, self._channels = self._read_as(image)
            tag = int(image.getexif().get(274, 1))
            info = dict(image.info)
            fields = texts_of(image) | self._meta(info)
        if self._plugin == "GIF":
            check_gif(path)
        self._orientation = orientation(tag)
        self.access = self._choose_access()
        width, height = self._size
        self.spec = picture_spec(
            height, width, self._dtype, self._channels, fields, tuple(self._notes()),
            frames=self._frames, orientation=tag, dpi=_dpi(info),
        )  # fmt: skip

    def __reduce__(self) -> tuple[object, ...]:
        return partial(PictureReader, indices=self._indices), (self.source,)

    def indices(self) -> PictureReader | None:
        """Return a reader of the indices into the palette; None where there is none, or frames have their own."""
        one = self._stored_mode in ("P", "PA") and self._frames == 1
        return PictureReader(self.source, indices=True) if one else None

    def read(self, region: Region) -> Array:
        """Return ``region``, a view of the decoded frame.

        Raises
        ------
        InputError
            The file is cut or damaged.
        """
        *lead, rows, columns = region
        times = lead.pop(0) if self._frames > 1 else slice(0, 1)
        bands = lead[0] if lead else slice(0, 1)
        with self._lock:
            frames = [self._decode(t)[rows, columns, bands] for t in range(times.start, times.stop)]
        planes = [np.moveaxis(frame, 2, 0) if lead else frame[:, :, 0] for frame in frames]
        return np.stack(planes) if self._frames > 1 else planes[0]

    def close(self) -> None:
        """Let go of the decoded frame; no file is open between calls."""
        with self._lock:
            self._frame = None

    def _decode(self, number: int) -> Array:
        """Return frame ``number`` (y, x, c), oriented."""
        if self._frame is None or self._frame[0] != number:
            self._frame = None  # first, so that only one frame is in memory
            self._frame = (number, self._orientation.shown(self._pixels(number), rows=0))
        return self._frame[1]

    def _pixels(self, number: int) -> Array:
        if self._raw is not None:
            try:
                return self._raw.read(full(self._raw.shape))
            finally:
                self._raw.close()
        if self._deep is not None:
            return self._decode_avif()
        width, height = self._size
        with self._opened() as image:
            if number:
                image.seek(number)
            image.load()
            pixels = np.empty((height, width, max(len(self._channels), 1)), self._dtype)
            step = max(STRIP_PIXELS // width, 1)
            for top in range(0, height, step):
                strip = image.crop((0, top, width, min(top + step, height)))
                if strip.mode != self._mode:
                    strip = strip.convert(self._mode)
                pixels[top : top + step] = np.asarray(strip).reshape(strip.height, width, -1)
        return pixels

    def _decode_avif(self) -> Array:
        import imagecodecs

        with self._damage_named(), open(self.source, "rb") as file:
            pixels: Array = imagecodecs.avif_decode(file.read())
        width, height = self._size
        shape, count = (height, width), max(len(self._channels), 1)
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        if pixels.shape != (*shape, count) or pixels.dtype != self._dtype:
            raise damage(self.source, f"decodes to {pixels.shape} {pixels.dtype}, not as its header says")
        return pixels

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the file with the plugin of its format; errors of the plugin become InputErrors."""
        with self._damage_named():
            importlib.import_module(f"PIL.{self._module}")
            factory = Image.OPEN[self._plugin][0]
            with open(self.source, "rb") as file, factory(file, self.source) as image:
                yield image

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        what = f"the {self._plugin} is damaged, cut or of a kind that Pillow cannot decode"
        with reading(self.source, _DAMAGE, f"{AGAIN}, or convert it to PNG", what=what):
            try:
                yield
            except Image.DecompressionBombError as error:
                claimed = re.search(r"\d+ pixels", str(error))
                frame = claimed[0] if claimed else "too many pixels"
                size = counted(os.path.getsize(self.source), "byte")
                what = f"declares a frame of {frame} in a file of {size}, more than Pillow, which decodes it, takes"
                why = "its header is wrong, or made to exhaust memory"
                remedy = "a real picture of that size is read as PNG or TIFF"
                raise InputError(f"{self.source}: the {self._plugin} {what}; {why}: {remedy}") from error

    def _read_as(self, image: Any) -> tuple[str, DType, tuple[Channel, ...]]:
        if self._raw is not None:
            return "", self._raw.dtype.newbyteorder("="), CHANNELS[self._raw.shape[2]]
        if self._deep is not None:
            if self._frames > 1:
                what = f"is an animated AVIF of {self._deep.bits} bits, which Pillow would cut to 8"
                raise InputError(f"{self.source}: {what}; convert its frames to PNG first")
            count = (1 if self._deep.grey else 3) + (image.mode == "RGBA")
            return "", np.dtype(np.uint16), CHANNELS[count]
        if self._frames > 1 and image.mode in ("P", "L", "RGB", "RGBA"):
            # Later frames may show the background; their modes are known only when they are decoded.
            return "RGBA", np.dtype(np.uint8), RGBA
        if image.mode not in _READ_AS:
            what = f"pixels of Pillow mode {image.mode} are not read"
            raise InputError(f"{self.source}: {what}; convert it to PNG or TIFF")
        if self._indices:
            return "P", np.dtype(np.uint8), ()
        clear = image.mode in ("P", "RGB") and "transparency" in image.info
        mode = "RGBA" if clear else _READ_AS[image.mode]
        if image.mode == "P" and not clear and (entries := image.getpalette()) is not None:
            mode = "L" if entries[::3] == entries[1::3] == entries[2::3] else mode
        channels = CMYK if mode == "CMYK" else CHANNELS[Image.getmodebands(mode)]
        return mode, np.dtype(ImageMode.getmode(mode).typestr).newbyteorder("="), channels

    def _choose_access(self) -> Access:
        width, height = self._size
        count = max(len(self._channels), 1)
        pixels = width * height
        frame = pixels * count * self._dtype.itemsize
        # Bytes a pixel, measured on 30 megapixels and rounded up by 1: Pillow keeps one byte for grey and palettes,
        # else four; OpenJPEG works in int32; libwebp keeps two RGBA frames and the
        # YUV one; an animation is composed from the last frame.
        storage = 1 if self._stored_mode in ("1", "L", "P") else 4
        extra = {"JPEG2000": 4 * count, "WEBP": 12, "AVIF": 8, "GIF": 11 if self._frames > 1 else 0}
        codec = storage + extra.get(self._plugin, 0) + (2 * count if self._deep is not None else 0) + 1
        codec_bytes = codec * pixels if self._raw is None else 0
        compressed = os.path.getsize(self.source)
        fixed = LIBRARY_BYTES + frame + codec_bytes + compressed + 8 * min(STRIP_PIXELS, pixels)
        if self._frames == 1:
            return Access("whole", f"{self._plugin}, decoded at once by Pillow", fixed_bytes=fixed)
        order = ("t", "y", "x", "c") if self._channels else ("t", "y", "x")
        why = f"{self._plugin} of {self._frames} frames, decoded one after the other"
        return Access("sequential", why, order=order, fixed_bytes=fixed)

    def _meta(self, info: dict[str, Any]) -> dict[str, Json]:
        meta: dict[str, Json] = {
            "format": self._plugin, "palette": self._stored_mode in ("P", "PA"),
            "icc_profile": bool(info.get("icc_profile")),
        }  # fmt: skip
        for key in ("duration", "loop"):
            match info.get(key):
                case int() | float() as value:
                    meta[key] = value
                case tuple() as values:
                    meta[key] = [float(value) for value in values if math.isfinite(value)]
        return meta

    def _notes(self) -> Iterator[str]:
        if self._plugin == "PPM" and self._dtype.kind == "b":
            yield "in a PBM, 1 is ink: here ink is false and paper is true, as Pillow gives it"
        if self._frames > 1:
            yield "frames lie along t in the order in which they are shown; the duration of each frame is left out"


def _refuse_cut(path: str, plugin: str, head: bytes) -> None:
    """Refuse a file of more than 8 bits a sample, which Pillow would cut to 8 without a warning."""
    if plugin == "PPM" and head[:2] == b"PF":
        raise InputError(
            f"{path}: is a PFM of three channels, and Pillow reads one; convert it to TIFF first"
        )
    bits = 8
    if plugin == "SGI" and head[3:4] == b"\2":
        bits = 16
    elif plugin == "PSD":
        bits = int.from_bytes(head[22:24])
    if bits > 8:
        what = f"is a {plugin} of {bits} bits, of which Pillow reads 8"
        raise InputError(f"{path}: {what}; convert it first")


class DeepAvif(NamedTuple):
    """An AVIF of more than 8 bits."""

    bits: int
    grey: bool


def _deep_avif(head: bytes) -> DeepAvif | None:
    """Return what the configuration of AV1 says, None where 8 bits are enough."""
    at = head.find(b"av1C")
    flags = head[at + 6] if 0 <= at < len(head) - 6 else 0
    return DeepAvif(12 if flags & 0x20 else 10, bool(flags & 0x10)) if flags & 0x40 else None


def _raw_pnm(path: str, head: bytes) -> RawFile | None:
    """Return the pixels (y, x, c) of a binary PGM or PPM whose maximum is not 255; None for any other."""
    space = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P([2356])" + space + rb"(\d+)" + space + rb"(\d+)" + space + rb"(\d+)\s", head)
    if found is None or found[4] == b"255":
        return None
    kind, width, height, maximum = (int(group) for group in found.groups())
    if kind in (2, 3):
        what = f"is a PNM written as text with a maximum of {maximum}"
        raise InputError(f"{path}: {what}, which Pillow would scale; convert it to PNG")
    if not 0 < maximum < 65536:
        raise damage(path, f"the PNM header gives a maximum of {maximum}, not 1 to 65535")
    dtype = np.dtype(np.uint8 if maximum < 256 else ">u2")
    file = RawFile(path, offset=found.end(), shape=(height, width, 3 if kind == 6 else 1), dtype=dtype)
    file.close()
    return file


def _dpi(info: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return pixels an inch along x and y from the fields that Pillow gives."""
    match info.get("dpi"):
        case (int() | float() as x, int() | float() as y) if math.isfinite(x) and math.isfinite(y):
            return float(x), float(y)
    return None
