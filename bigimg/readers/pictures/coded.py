"""Pictures that imagecodecs decodes at once, in the precision of their codestream.

These are JPEG-LS, lossless JPEG and JPEG of more than 8 bits; :mod:`~bigimg.readers.pictures.jpeg2000` adds JPEG 2000.

libvips and Pillow decode 8 bits of these, or shift the values to fill 8 or 16.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bigimg.errors import InputError, damage, one_line
from bigimg.geometry.spec import Channel
from bigimg.reader import Access
from bigimg.readers.codestreams import jpeg_is_cut, jxr_is_cut
from bigimg.readers.orientation import orientation
from bigimg.readers.pictures.header import JpegHeader, read_jpeg_header
from bigimg.readers.pictures.strips import CHANNELS, picture_spec
from bigimg.system.shared import Shared
from bigimg.types import Array, DType, Json, Region

LIBRARY_BYTES = 24_000_000
"""What imagecodecs and one codec take once a picture is open."""

DECODE_ERRORS = (RuntimeError, ValueError, TypeError, MemoryError, ArithmeticError)
"""What imagecodecs raises on bytes that it cannot decode; the errors of its codecs are RuntimeErrors."""


@dataclass(frozen=True, slots=True)
class Coded:
    """What the header of a coded picture says."""

    title: str
    """Of the format, for people: ``JPEG-LS``."""
    codec: str
    """Its decoder in imagecodecs: ``jpegls``."""
    height: int
    width: int
    bits: int
    signed: bool
    channels: tuple[Channel, ...]
    meta: dict[str, Json]
    notes: tuple[str, ...] = ()
    orientation: int = 1
    dpi: tuple[float, float] | None = None
    """Pixels an inch along x and y."""
    floats: bool = False

    @property
    def dtype(self) -> DType:
        """The smallest type of whole numbers, or of floats, of 8, 16 or 32 bits that holds a sample."""
        width = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32
        if self.floats:
            return np.dtype(f"float{max(width, 16)}")
        return np.dtype(f"{'int' if self.signed else 'uint'}{width}")

    @property
    def samples(self) -> int:
        """Samples a pixel."""
        return max(len(self.channels), 1)


class CodedReader:
    """A picture that imagecodecs decodes at once; the decoded frame stays in memory.

    Parameters
    ----------
    path : str
    coded : Coded
        The header of that file.
    reopen : callable
        Makes a reader like this one from the path; for pickling.
    """

    def __init__(self, path: str, coded: Coded, reopen: Callable[[str], object]) -> None:
        self.source, self.coded = path, coded
        self._reopen = reopen
        self._frame: Shared[Array] = Shared()
        self._turned = orientation(coded.orientation)
        fixed = LIBRARY_BYTES + self._working(coded.height, coded.width) + os.path.getsize(path)
        self.access = Access("whole", f"{coded.title}, decoded at once by imagecodecs", fixed_bytes=fixed)
        meta: dict[str, Json] = {"bits_per_sample": coded.bits} | coded.meta
        self.spec = picture_spec(
            coded.height, coded.width, coded.dtype, coded.channels, meta, coded.notes,
            orientation=coded.orientation, dpi=coded.dpi,
        )  # fmt: skip

    def __reduce__(self) -> tuple[object, ...]:
        return self._reopen, (self.source,)

    def read(self, region: Region) -> Array:
        """Return ``region``, a view of the decoded frame.

        Raises
        ------
        InputError
            The file is cut or damaged.
        """
        *channel, rows, columns = region
        pixels = self._pixels(rows, columns)[..., channel[0] if channel else slice(0, 1)]
        return np.moveaxis(pixels, 2, 0) if channel else pixels[:, :, 0]

    def close(self) -> None:
        """Let go of the decoded frame; no file is open between calls."""
        self._frame.take()

    def _pixels(self, rows: slice, columns: slice) -> Array:
        """Return pixels (y, x, c) of all channels."""
        return self._frame.get(self._whole)[rows, columns]

    def _whole(self) -> Array:
        """Return the decoded frame, turned."""
        frame = self._decode(self._bytes(), (self.coded.height, self.coded.width))
        return self._turned.shown(frame, rows=0)

    def _bytes(self) -> bytes:
        with open(self.source, "rb") as file:
            data = file.read()
        if (self.coded.codec != "jpeg2k" and jpeg_is_cut(data)) or jxr_is_cut(data):
            raise damage(self.source, f"the {self.coded.title} ends before its end marker")
        return data

    def _decode(self, data: bytes, shape: tuple[int, int], where: str = "") -> Array:
        """Return the pixels (y, x, c) of the codestream ``data``."""
        import imagecodecs

        coded = self.coded
        try:
            pixels: Array = getattr(imagecodecs, f"{coded.codec}_decode")(data)
        except DECODE_ERRORS as error:
            raise damage(
                self.source, f"the {coded.title}{where} cannot be decoded ({one_line(error)})"
            ) from error
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        if pixels.shape != (*shape, coded.samples) or pixels.dtype != coded.dtype:
            raise damage(self.source, f"decodes to {pixels.shape} {pixels.dtype}, not as its header says")
        return pixels

    def _working(self, height: int, width: int) -> int:
        """Return the bytes of a decoded piece, and of what the codec holds beside it: int32 and a copy."""
        return height * width * self.coded.samples * (4 + 2 * self.coded.dtype.itemsize)


def open_coded_jpeg(path: str) -> CodedReader:
    """Return a reader of a JPEG that is lossless or has more than 8 bits, or of a JPEG-LS.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, its header is damaged, or it has samples that do not stand for a colour.
    """
    header = read_jpeg_header(path)
    title = "JPEG-LS" if header.process == "JPEG-LS" else f"{header.process} JPEG of {header.bits} bits"
    if header.samples not in (1, 3):
        what = f"is a {title} with {header.samples} samples a pixel, and bigimg reads 1 or 3 of these"
        raise InputError(f"{path}: {what}; convert it to TIFF first")
    meta: dict[str, Json] = {"format": "JPEG-LS" if header.process == "JPEG-LS" else "JPEG"}
    codec = "jpegls" if header.process == "JPEG-LS" else "jpeg8"
    coded = Coded(
        title, codec, header.height, header.width, header.bits, False, CHANNELS[header.samples], meta,
        orientation=header.orientation,
    )  # fmt: skip
    return CodedReader(path, coded, open_coded_jpeg)


def needs_coded(header: JpegHeader) -> bool:
    """Return whether libvips does not decode a JPEG of that header."""
    return header.bits != 8 or header.process in ("JPEG-LS", "lossless")
