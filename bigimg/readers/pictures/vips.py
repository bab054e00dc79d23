"""PNG and JPEG, decoded by libvips in bands of full-width rows.

libvips reads an image in order, in strips, under these conditions:

- Bands are cut with ``crop(...).write_to_memory()``, in strips of about 1 MB: ``Region.fetch`` and tall
  crops cost several times the memory.
- A crop carries the metadata ``concurrency = 1``. The decoder is serial anyway, and without this setting libvips
  keeps lines for every core: rows of 17360 x 3 bytes took 110 MB more than the result with 8 threads, 33 MB with
  one. No other setting holds for one image and not for the process.
- libvips decodes 16 rows at a time (8 of a JPEG) and drops its cache after each crop, so a crop that starts within
  such a group is an "out of order read". So strips begin at multiples of 16 rows, and the last one stays in memory.
- ``fail_on`` is ``error`` for PNG, where it turns the checksums on (``truncated`` gave wrong pixels for 7 of
  60 flipped bits), and ``warning`` for JPEG, which has no checksum: what libjpeg notices of damage in the
  pixels are warnings. If already the header makes libjpeg warn, a JPEG is read with ``error``,
  and a note says so.
- libvips gets a JPEG as a Python file. It would map a path, and a mapped file counts as resident memory
  page by page (66 MB of a JPEG of 50 MB), and ends the process with SIGBUS when the file is cut meanwhile.
- ``revalidate=True`` keeps a file that was rewritten from being served from libvips' cache, and the loaders
  are called by name, since ``new_from_file`` takes ``[...]`` at the end of a file name for options.

Numpy views apply the orientation: libvips would make a second full frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pyvips

from bigimg.errors import InputError, damage
from bigimg.reader import Access, Reader
from bigimg.readers.orientation import orientation
from bigimg.readers.pictures.header import JpegHeader, PngHeader, read_jpeg_header, read_png_header
from bigimg.readers.pictures.png import MOST_WIDTH, PngReader
from bigimg.readers.pictures.strips import CHANNELS, CMYK, STRIP_BYTES, StripReader, picture_spec
from bigimg.readers.pictures.texts import texts_in
from bigimg.types import Array, Json

LIBRARY_BYTES = 46_000_000
"""What importing and using libvips takes whatever the width: 13 MB for 300 pixels, up to 36 MB for
9000, and up to 8 MB more of freed strips that glibc keeps; giving them back cost 1 s of a 974 MB PNG in page faults."""

LINES = {"png": 100, "jpeg": 1000}
"""Rows that libvips holds while it decodes in strips. For 600 rows of 4000, 17360 and 60000 RGB pixels it took 26, 27
and 29 MB more than the result as PNG, and 22, 55 and 94 MB as JPEG, import included; 76 MB in a tall JPEG of 17360."""

_DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


class VipsReader(StripReader):
    """A PNG or JPEG, read in strips where the codec allows; else the first read decodes the frame for all.

    Parameters
    ----------
    path : str
    codec : {"png", "jpeg"}
    """

    def __init__(self, path: str, codec: Literal["png", "jpeg"]) -> None:
        self.source = path
        self._codec = codec
        self._header = read_png_header(path) if codec == "png" else read_jpeg_header(path)
        self._image: Any = None  # the libvips image that is being decoded
        self._file: _VipsFile | None = None  # the file that it reads
        self._frame: Array | None = None  # (y, x, c), oriented; only for ``whole``

        image, _file = self._open()
        shape = (image.height, image.width, image.bands)
        if shape[:2] != (self._header.height, self._header.width):
            raise InputError(f"{path}: its header changed while it was opened; try again when it is written")
        self._stored = np.dtype(_DTYPES[image.format])
        row_bytes = image.width * image.bands * self._stored.itemsize
        super().__init__(path, shape, min(max(STRIP_BYTES // row_bytes // 16 * 16, 16), 256))
        tag = int(image.get("orientation")) if image.get_typeof("orientation") else 1
        self._orientation = orientation(tag)
        self.access = self._choose_access(image, row_bytes, tag)
        texts = (
            texts_in(path, codec) if getattr(self._header, "texts", True) else {}
        )  # of a JPEG it is not known
        mask = codec == "png" and image.bands == 1 and self._header.bits == 1
        self.spec = picture_spec(
            *shape[:2], np.dtype(bool) if mask else self._stored,
            CMYK if image.interpretation == "cmyk" else CHANNELS[image.bands],
            texts | self._meta(image), tuple(self._notes(image)),
            rows=0 if self.access.kind == "whole" else self._strip_rows, orientation=tag,
            dpi=self._dpi(image),
        )  # fmt: skip

    def __reduce__(self) -> tuple[object, ...]:
        return VipsReader, (self.source, self._codec)

    def indices(self) -> Reader | None:
        """Return a reader of the indices into the palette; None where there is none."""
        if not isinstance(self._header, PngHeader) or not self._header.palette:
            return None
        if self._header.plain_indices and self._header.width < MOST_WIDTH:
            return PngReader(self.source, self._header)
        from bigimg.readers.pictures.pillow import PictureReader  # libvips gives only the colours

        return PictureReader(self.source, indices=True)

    def _read(self, rows: slice, columns: slice, bands: slice) -> Array:
        height, width, samples = self._shape
        if self.access.kind == "whole":
            if self._frame is None:
                frame = super()._read(slice(0, height), slice(0, width), slice(0, samples))
                self._forget()
                self._frame = self._orientation.shown(frame, rows=0)
            return self._frame[rows, columns, bands]
        rows, columns = self._orientation.stored((rows, columns), height, width)  # at most a flip of columns
        return self._orientation.shown(super()._read(rows, columns, bands), rows=0)

    def _decode(self, index: int, rows: int, out: Array | None) -> Array:
        if self._image is None:
            self._image, self._file = self._open()
        height, width, samples = self._shape
        top = index * self._strip_rows
        piece = self._image.crop(0, top, width, rows).copy()
        piece.set_type(pyvips.GValue.gint_type, "concurrency", 1)
        try:
            data = piece.write_to_memory()
        except pyvips.Error as error:
            self._forget()
            reason, where = _reason(error), f"rows {top} to {top + rows - 1} of {height}"
            what = f"is damaged: {where} cannot be decoded"
            if "premature end" in reason:  # the rows before the end of the file are whole: they are not lost
                what = f"ends early, within {where}"
            raise damage(self.source, f"the {self._codec.upper()} {what} ({reason})") from error
        strip: Array = np.frombuffer(data, self._stored).reshape(rows, width, samples)
        return strip != 0 if self.spec.kind == "mask" else strip

    def _forget(self) -> None:
        super()._forget()
        self._image = self._file = self._frame = None

    def _open(self) -> tuple[Any, _VipsFile | None]:
        """Return a libvips image at its first row, and the file that must live as long as it."""
        try:
            if self._codec == "png":
                load = pyvips.Image.pngload
                image = load(self.source, access="sequential", fail_on="error", revalidate=True)
                grey = isinstance(self._header, PngHeader) and self._header.grey
                return image[0] if grey else image, None
            careful = isinstance(self._header, JpegHeader) and not self._header.quirk
            stream = _VipsFile(self.source)
            load = pyvips.Image.jpegload_source
            fail_on = "warning" if careful else "error"
            return load(stream.source, access="sequential", fail_on=fail_on), stream
        except pyvips.Error as error:
            what = f"the header of the {self._codec.upper()} cannot be read ({_reason(error)})"
            raise damage(self.source, what) from error

    def _choose_access(self, image: Any, row_bytes: int, tag: int) -> Access:
        """Return how the pixels can be read; the numbers of bytes are measured, see LINES."""
        streaming = LIBRARY_BYTES + LINES[self._codec] * row_bytes
        frame = row_bytes * self._shape[0]
        whole = ""
        if isinstance(self._header, PngHeader):
            if self._header.interlaced:
                whole, streaming = "interlaced PNG", streaming + frame
        elif self._header.process == "progressive" or image.get("jpeg-multiscan"):
            whole = "progressive JPEG" if self._header.process == "progressive" else "JPEG in several scans"
            streaming += self._header.coefficient_bytes
        if not whole and tag in range(3, 9):
            whole = f"EXIF orientation {tag}"
        if whole:
            return Access("whole", f"{whole}: decoded at once", fixed_bytes=frame + streaming)
        return self._in_order(self._codec.upper(), streaming, 2 * self._strip_rows * row_bytes)

    def _dpi(self, image: Any) -> tuple[float, float] | None:
        if isinstance(self._header, PngHeader):
            return self._header.dpi
        known = image.get_typeof("resolution-unit") and image.xres != 1.0  # 1.0: not known
        return (image.xres * 25.4, image.yres * 25.4) if known else None

    def _meta(self, image: Any) -> dict[str, Json]:
        png = self._header if isinstance(self._header, PngHeader) else None
        return {
            "format": self._codec.upper(), "bits_per_sample": self._header.bits,
            "palette": png is not None and png.palette,
            "icc_profile": bool(image.get_typeof("icc-profile-data")),
        }  # fmt: skip

    def _notes(self, image: Any) -> Iterator[str]:
        header = self._header
        if isinstance(header, JpegHeader):
            if header.quirk:
                yield f"the JPEG header has {header.quirk}: damage in its pixels may go unnoticed"
        else:
            if header.damaged:
                named = ", ".join(header.damaged)
                yield f"damaged and left out: the PNG's {named}; the pixels are whole"
            if header.animated:
                yield "an animated PNG: only its first frame is read"
            if header.bits in (2, 4) and not header.palette:
                yield f"{header.bits}-bit grey values are scaled to 0-255"
        if image.interpretation == "cmyk":
            yield "CMYK as Pillow and libvips give it: 0 is no ink (files of Adobe store it inverted)"


class _VipsFile:
    """A file that libvips reads, closed with its last reference; it must live as long as the image."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by __del__
        self.source = pyvips.SourceCustom()
        # Methods of the file, not of ours: without a circle the last reference closes it at once.
        self.source.on_read(self._file.read)
        self.source.on_seek(self._file.seek)

    def __del__(self) -> None:
        self._file.close()


def _reason(error: pyvips.Error) -> str:
    """Return the last words of libvips, which repeats itself over several lines, or may say nothing."""
    lines = [line.strip() for line in str(error.detail or "").splitlines() if line.strip()]
    return lines[-1] if lines else "libvips gives no reason"
