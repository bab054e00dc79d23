"""Pictures that Pillow decodes: BMP, GIF, WebP, PNM, JPEG 2000, AVIF and others without a reader of their own.

What only this module knows is how to use Pillow without its global switches. The plugin of the format is
called directly, so ``Image.MAX_IMAGE_PIXELS`` (a limit of the process) is neither asked nor changed; the
budget is checked by the planner, from the size in the header. Three things that Pillow does to pixels are
undone or avoided: 16-bit colour in JPEG 2000 and 16-bit PNM would be cut or scaled, so imagecodecs and numpy
read those; a palette becomes the colours it stands for; the EXIF orientation is applied.

An animation is an axis ``t``; frames are decoded on demand and one is kept.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bigimg.errors import InputError, UnknownFormatError, UsageError, counted
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec
from bigimg.reader import Access
from bigimg.readers.pictures.gif_blocks import check_gif
from bigimg.readers.pictures.header import orient
from bigimg.readers.sniffing import picture_plugin, read_head
from bigimg.types import Array, DType, Json, Region

LIBRARY_BYTES = 24_000_000
"""What Pillow and one plugin take once a picture is open; measured 12 to 20 MB."""

ANIMATED = ("GIF", "WEBP", "AVIF")
"""Formats whose frames follow in time; the frames that Pillow sees in a PSD are layers."""

STRIP_PIXELS = 1 << 20
"""Pixels copied from Pillow to numpy at a time, so that no second full frame arises."""

_MODES: dict[str, tuple[str, str, tuple[Channel, ...]]] = {
    # mode of the file -> the mode it is read as, the numpy type, the channels
    "1": ("1", "bool", ()),
    "L": ("L", "uint8", ()),
    "LA": ("LA", "uint8", (Channel("grey"), Channel("A", "FFFFFF"))),
    "La": ("LA", "uint8", (Channel("grey"), Channel("A", "FFFFFF"))),
    "P": ("RGB", "uint8", RGB),
    "PA": ("RGBA", "uint8", RGBA),
    "RGB": ("RGB", "uint8", RGB),
    "RGBX": ("RGB", "uint8", RGB),
    "YCbCr": ("RGB", "uint8", RGB),
    "RGBA": ("RGBA", "uint8", RGBA),
    "RGBa": ("RGBA", "uint8", RGBA),
    "CMYK": ("CMYK", "uint8", tuple(Channel(name) for name in "CMYK")),
    "I;16": ("I;16", "uint16", ()),
    "I;16L": ("I;16L", "uint16", ()),
    "I;16B": ("I;16B", "uint16", ()),
    "I": ("I", "int32", ()),
    "F": ("F", "float32", ()),
}

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error,
           AttributeError, NotImplementedError, Image.DecompressionBombError)  # fmt: skip
"""What Pillow's plugins raise on damaged files; ``Image.open`` catches most of these for the same reason."""


def open_picture(path: str | os.PathLike[str], *, series: int | None = None) -> PictureReader:
    """Return a reader of the picture at ``path``.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, or its header is damaged.
    UnknownFormatError
        Pillow has no plugin for the content.
    UsageError
        ``series`` is not 0: frames of an animation are the axis ``t``.
    """
    return PictureReader(os.fspath(path), series=series)


class PictureReader:
    """A picture, or an animation with the axis ``t``, decoded a frame at a time; the last frame is kept.

    Parameters
    ----------
    path : str
    series : int, optional
    """

    def __init__(self, path: str, *, series: int | None = None) -> None:
        if series not in (None, 0):
            raise UsageError(
                f"{path}: series {series} was asked for, and a picture has only 0; frames are axis t"
            )
        self.source = path
        head = read_head(path)
        plugin = picture_plugin(head, os.path.basename(path).lower())
        if plugin is None:
            raise UnknownFormatError(
                f"{path}: is no picture that Pillow decodes; convert it to PNG or TIFF first"
            )
        self._plugin, self._module = plugin
        _refuse_cut(path, self._plugin, head)
        self._lock = threading.Lock()
        self._frame: tuple[int, Array] | None = None  # number and pixels (y, x, c) of the frame decoded last
        self._deep = _deep_jpeg2000(head) if self._plugin == "JPEG2000" else None
        self._raw = _deep_pnm(path, head) if self._plugin == "PPM" else None
        with self._opened() as image:
            self._frames = int(image.n_frames) if self._plugin in ANIMATED else 1
            self._size = image.size
            self._stored_mode: str = image.mode
            self._mode, self._dtype, self._channels = self._read_as(image)
            self._orientation = int(image.getexif().get(274, 1))
            self._info = {key: image.info.get(key) for key in ("dpi", "duration", "loop", "comment")}
            self._icc = bool(image.info.get("icc_profile"))
        if self._plugin == "GIF":
            check_gif(path)
        self.access = self._choose_access()
        self.spec = self._describe()

    def __reduce__(self) -> tuple[object, ...]:
        return PictureReader, (self.source,)

    def read(self, region: Region) -> Array:
        """Return ``region``; a view of the kept frame when it lies in one.

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
            self._frame = None  # before the next is made: one frame in memory
            self._frame = (number, orient(self._pixels(number), self._orientation))
        return self._frame[1]

    def _pixels(self, number: int) -> Array:
        if self._raw is not None:
            return _read_pnm(self.source, self._raw)
        if self._deep is not None:
            return self._decode_jpeg2000()
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

    def _decode_jpeg2000(self) -> Array:
        import imagecodecs

        with self._damage_named():
            pixels: Array = imagecodecs.jpeg2k_decode(Path(self.source).read_bytes())
        width, height = self._size
        if pixels.shape[:2] != (height, width) or pixels.dtype != self._dtype:
            raise InputError(
                f"{self.source}: decodes to {pixels.shape} {pixels.dtype}, not as its header says"
            )
        return pixels

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the file with the plugin of its format; whatever the plugin trips over is an InputError."""
        with self._damage_named():
            importlib.import_module(f"PIL.{self._module}")
            factory = Image.OPEN[self._plugin][0]
            with open(self.source, "rb") as file, factory(file, self.source) as image:
                yield image

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Image.DecompressionBombError as error:
            claimed = re.search(r"\d+ pixels", str(error))
            frame = claimed[0] if claimed else "too many pixels"
            size = counted(os.path.getsize(self.source), "byte")
            raise InputError(
                f"{self.source}: the {self._plugin} declares a frame of {frame} in a file of {size}, more than Pillow, "
                "which decodes it, takes; its header is wrong, or made to exhaust memory: a real picture of that size "
                "is read as PNG or TIFF"
            ) from error
        except (*_DAMAGE, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f"{self.source}: the {self._plugin} is damaged, cut or of a kind that Pillow cannot decode ({reason});"
                " copy or download it again, or convert it to PNG"
            ) from error

    def _read_as(self, image: Any) -> tuple[str, DType, tuple[Channel, ...]]:
        if self._raw is not None:
            return "", self._raw[2], RGB if self._raw[1] == 3 else ()
        if self._deep is not None:
            named = {2: _MODES["LA"][2], 3: RGB, 4: RGBA}
            return "", np.dtype(np.uint16), named[self._deep]
        if self._frames > 1 and image.mode in ("P", "L", "RGB", "RGBA"):
            # Later frames may uncover the background, and their modes are only known once they are decoded.
            return "RGBA", np.dtype(np.uint8), RGBA
        if image.mode not in _MODES:
            raise InputError(
                f"{self.source}: pixels of Pillow mode {image.mode} are not read; convert it to PNG or TIFF"
            )
        mode, dtype, channels = _MODES[image.mode]
        if image.mode in ("P", "RGB") and "transparency" in image.info:
            mode, channels = "RGBA", RGBA
        return mode, np.dtype(dtype), channels

    def _choose_access(self) -> Access:
        width, height = self._size
        count = max(len(self._channels), 1)
        pixels = width * height
        frame = pixels * count * self._dtype.itemsize
        # Bytes a pixel, measured on 30 megapixels and rounded up by 1: Pillow keeps one byte for grey and palettes,
        # else four; OpenJPEG works in int32, and imagecodecs hands over a copy; libwebp keeps two RGBA frames and the
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

    def _describe(self) -> ImageSpec:
        width, height = self._size
        if self._orientation in (5, 6, 7, 8):
            width, height = height, width
        axes = [Axis("y", height), Axis("x", width)]
        if self._channels:
            axes.insert(0, Axis("c", len(self._channels)))
        chunks = tuple(axis.size for axis in axes)
        if self._frames > 1:
            axes.insert(0, Axis("t", self._frames))
            chunks = (1, *chunks)
        return ImageSpec(
            axes=tuple(axes),
            dtype=self._dtype,
            chunks=chunks,
            channels=self._channels,
            kind="mask" if self._dtype.kind == "b" else "image",
            meta=self._meta(),
            notes=tuple(self._notes()),
        )

    def _meta(self) -> dict[str, Json]:
        meta: dict[str, Json] = {"format": self._plugin}
        if self._stored_mode in ("P", "PA"):
            meta["palette"] = True
        if self._orientation != 1:
            meta["orientation"] = self._orientation
        if self._icc:
            meta["icc_profile"] = True
        for key, value in self._info.items():
            if isinstance(value, bytes):
                meta[key] = value.decode("utf-8", "replace")
            elif isinstance(value, str | int | float):
                meta[key] = value
            elif isinstance(value, tuple):
                meta[key] = [float(part) for part in value if math.isfinite(part)]
        return meta

    def _notes(self) -> Iterator[str]:
        if self._orientation in range(2, 9):
            yield f"EXIF orientation {self._orientation} is applied"
        if self._plugin == "PPM" and self._dtype.kind == "b":
            yield "a bitmap whose ones are ink: ink is false and paper true, as Pillow gives it"
        if self._frames > 1:
            yield "frames lie along t as they are shown; their durations differ from frame to frame and are not kept"


def _refuse_cut(path: str, plugin: str, head: bytes) -> None:
    """Refuse a file whose samples of more than 8 bits Pillow would cut to 8 without a word."""
    bits = 8
    if plugin == "AVIF" and (at := head.find(b"pixi")) >= 0:
        bits = max(head[at + 9 : at + 9 + head[at + 8]], default=8)
    elif plugin == "SGI" and head[3:4] == b"\2":
        bits = 16
    if bits > 8:
        raise InputError(
            f"{path}: is a {plugin} of {bits} bits, which would be cut to 8; convert it to PNG or TIFF"
        )


def _deep_jpeg2000(head: bytes) -> int | None:
    """Return the number of components of a JPEG 2000 with colour of more than 8 bits, which Pillow would cut."""
    if (at := head.find(b"ihdr")) >= 0 and len(head) >= at + 15:
        components, bits = struct.unpack(">HB", head[at + 12 : at + 15])
    elif head.startswith(b"\xff\x4f\xff\x51") and len(head) > 42:
        components, bits = struct.unpack(">HB", head[40:43])
    else:
        return None
    return components if components in (2, 3, 4) and 7 < bits < 16 else None


def _deep_pnm(path: str, head: bytes) -> tuple[int, int, DType, tuple[int, int]] | None:
    """Return offset, components, type and size of a PGM or PPM whose maximum is not 255, else None."""
    space = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P([2356])" + space + rb"(\d+)" + space + rb"(\d+)" + space + rb"(\d+)\s", head)
    if found is None or found[4] == b"255":
        return None
    kind, width, height, maximum = (int(group) for group in found.groups())
    if kind in (2, 3):
        raise InputError(
            f"{path}: is a PNM written as text with a maximum of {maximum}, which Pillow would scale; convert it to PNG"
        )
    if not 0 < maximum < 65536:
        raise InputError(
            f"{path}: the PNM header gives a maximum of {maximum}, not 1 to 65535; repair or convert it"
        )
    dtype = np.dtype(np.uint8 if maximum < 256 else np.uint16)
    return found.end(), 3 if kind == 6 else 1, dtype, (width, height)


def _read_pnm(path: str, layout: tuple[int, int, DType, tuple[int, int]]) -> Array:
    """Return the pixels (y, x, c) of a binary PNM, big-endian in the file, unscaled."""
    offset, components, dtype, (width, height) = layout
    count = width * height * components
    with open(path, "rb") as file:
        # Asked first: a header may claim terabytes.
        if os.fstat(file.fileno()).st_size < offset + count * dtype.itemsize:
            raise InputError(
                f"{path}: is shorter than its header says ({width} x {height}); copy or download it again"
            )
        values = np.fromfile(file, dtype, count=count, offset=offset)
    if dtype.itemsize == 2 and sys.byteorder == "little":
        values.byteswap(inplace=True)
    return values.reshape(height, width, components)
