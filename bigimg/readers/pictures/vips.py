"""PNG and JPEG, decoded by libvips in bands of full-width rows.

What only this module knows is how to have libvips stream without surprises:

- Bands are cut with ``crop(...).write_to_memory()``, in strips of about 1 MB: ``Region.fetch`` and tall
  crops cost several times the memory.
- A crop carries the metadata ``concurrency = 1``. The decoder is serial anyway, and without it libvips keeps
  lines for every core: 17360 x 3 bytes a row cost 110 MB beside the result with 8 threads, 33 MB with one.
  It is the only setting that holds for one image and not for the process.
- libvips decodes 16 rows at a time (8 of a JPEG) and drops its cache after each crop, so a crop that starts within
  such a group is an "out of order read". Strips lie on a grid of 16 rows, and the last one is kept.
- ``fail_on`` is ``error`` for PNG, where it turns the checksums on (``truncated`` gave wrong pixels for 7 of
  60 flipped bits), and ``warning`` for JPEG, which has no checksum: what libjpeg notices of damage in the
  pixels are warnings. A JPEG whose header alone makes libjpeg warn is read with ``error`` and says so.
- A JPEG comes through a Python file: libvips maps it otherwise, and a mapped file counts as resident memory
  page by page (66 MB of a JPEG of 50) and ends the process with SIGBUS when it is cut meanwhile.
- ``revalidate=True`` keeps a file that was rewritten from being served from libvips' cache, and the loaders
  are called by name, since ``new_from_file`` takes ``[...]`` at the end of a file name for options.

Orientation is undone with numpy views, not by libvips, which would do it in a second full frame.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pyvips

from bigimg.errors import InputError, UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec
from bigimg.reader import Access
from bigimg.readers.failures import warn_of_return
from bigimg.readers.pictures.header import JpegHeader, PngHeader, orient, read_jpeg_header, read_png_header
from bigimg.types import Array, Json, Region

STRIP_BYTES = 1 << 20
"""Bytes that a strip aims at: a multiple of 16 rows, at least 16 and at most 256."""

LIBRARY_BYTES = 46_000_000
"""What importing and using libvips takes whatever the width: 13 MB for 300 pixels, up to 36 MB for
9000, and up to 8 MB more of freed strips that glibc keeps; giving them back cost 1 s of a 974 MB PNG in page faults."""

LINES = {"png": 100, "jpeg": 1000}
"""Rows that libvips holds while streaming. Beside the result of 600 rows of 4000, 17360 and 60000 RGB pixels were
measured 26, 27 and 29 MB for PNG and 22, 55 and 94 MB for JPEG, import included; 76 MB in a tall JPEG of 17360."""

_DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


def open_jpeg(path: str | os.PathLike[str], *, series: int | None = None) -> VipsReader:
    """Return a reader of the JPEG at ``path``.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, or its header is damaged.
    UsageError
        ``series`` is not 0: a JPEG holds one image.
    """
    return VipsReader(os.fspath(path), "jpeg", series=series)


class VipsReader:
    """A PNG or JPEG: in bands where the codec allows, else decoded once on the first read and kept.

    Parameters
    ----------
    path : str
    codec : {"png", "jpeg"}
    series : int, optional
    """

    def __init__(self, path: str, codec: Literal["png", "jpeg"], *, series: int | None = None) -> None:
        if series not in (None, 0):
            raise UsageError(
                f"{path}: series {series} was asked for, and a {codec.upper()} holds one image, 0"
            )
        self.source = path
        self._codec = codec
        self._header = read_png_header(path) if codec == "png" else read_jpeg_header(path)
        self._lock = threading.Lock()
        self._image: Any = None  # the libvips image being streamed
        self._stream: _Stream | None = None  # the file behind it
        self._last: tuple[int, Array] | None = None  # number and rows (y, x, c) of the strip decoded last
        self._frame: Array | None = None  # (y, x, c), oriented; only for ``whole``
        self._warned = False

        image, _stream = self._open()
        self._bands: int = image.bands
        self._width: int = image.width
        self._height: int = image.height
        if (self._width, self._height) != (self._header.width, self._header.height):
            raise InputError(f"{path}: its header changed while it was opened; try again when it is written")
        self._dtype = np.dtype(_DTYPES[image.format])
        self._orientation = int(image.get("orientation")) if image.get_typeof("orientation") else 1
        self._mask = codec == "png" and self._bands == 1 and self._header.bits == 1
        row_bytes = self._width * self._bands * self._dtype.itemsize
        self._strip = min(max(STRIP_BYTES // row_bytes // 16 * 16, 16), 256)
        self.access = self._choose_access(image, row_bytes)
        self.spec = self._describe(image)

    def __reduce__(self) -> tuple[object, ...]:
        return VipsReader, (self.source, self._codec)

    def read(self, region: Region) -> Array:
        """Return ``region`` as a view whose colour lies last in memory, as it was decoded.

        Going back to rows already read starts again at the top, and warns once.

        Raises
        ------
        InputError
            The file is cut or damaged within or above the region.
        """
        *channel, rows, columns = region
        bands = channel[0] if channel else slice(0, 1)
        with self._lock:
            if self.access.kind == "whole":
                pixels = self._decode()[rows, columns, bands]
            else:
                pixels = self._read_on(rows, columns, bands)
        return np.moveaxis(pixels, 2, 0) if channel else pixels[:, :, 0]

    def close(self) -> None:
        """Let go of the file and of a decoded frame."""
        with self._lock:
            self._forget()
            self._frame = None

    def _read_on(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return the pixels (y, x, c) of ``rows``, read on from where the last call ended if it can be."""
        if self._orientation == 2:
            columns = slice(self._width - columns.stop, self._width - columns.start)
        elif rows.start // self._strip == (rows.stop - 1) // self._strip and not self._mask:
            # One strip: a view of what libvips gave, which the pass takes apart without a copy in between.
            (strip,) = self._strips(rows.start, rows.stop)
            return strip[:, columns, bands]
        out = np.empty(
            (rows.stop - rows.start, columns.stop - columns.start, bands.stop - bands.start), self.spec.dtype
        )
        filled = 0
        for strip in self._strips(rows.start, rows.stop):
            out[filled : filled + len(strip)] = strip[:, columns, bands]
            filled += len(strip)
        return out[:, ::-1] if self._orientation == 2 else out

    def _decode(self) -> Array:
        """Return the whole frame (y, x, c), decoding it on the first call."""
        if self._frame is None:
            frame = np.empty((self._height, self._width, self._bands), self.spec.dtype)
            top = 0
            for strip in self._strips(0, self._height):
                frame[top : top + len(strip)] = strip
                top += len(strip)
            self._forget()
            self._frame = orient(frame, self._orientation)
        return self._frame

    def _strips(self, start: int, stop: int) -> Iterator[Array]:
        """Yield the rows from ``start`` to ``stop`` as arrays (y, x, c) as stored."""
        for index in range(start // self._strip, -(-stop // self._strip)):
            top = index * self._strip
            strip = self._strip_at(index)
            yield strip[max(start - top, 0) : stop - top]

    def _strip_at(self, index: int) -> Array:
        """Return strip ``index`` (y, x, c): the last one again, or one further down, or from the top anew."""
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        if self._image is not None and self._last is not None and index < self._last[0]:
            if not self._warned:
                self._warned = True
                warn_of_return(self.source, index * self._strip)
            self._image = None
        if self._image is None:
            self._image, self._stream = self._open()
        top = index * self._strip
        rows = min(self._strip, self._height - top)
        piece = self._image.crop(0, top, self._width, rows).copy()
        piece.set_type(pyvips.GValue.gint_type, "concurrency", 1)
        try:
            data = piece.write_to_memory()
        except pyvips.Error as error:
            self._forget()
            reason, where = _reason(error), f"rows {top} to {top + rows - 1} of {self._height}"
            # Where the file ends, the rows before are whole, so these are not said to be lost.
            what = (
                f"ends early, within {where}"
                if "premature end" in reason
                else f"is damaged or cut: {where} cannot be decoded"
            )
            raise InputError(
                f"{self.source}: the {self._codec.upper()} {what} ({reason}); copy or download it again"
            ) from error
        strip: Array = np.frombuffer(data, self._dtype).reshape(rows, self._width, self._bands)
        strip = strip != 0 if self._mask else strip
        self._last = (index, strip)
        return strip

    def _forget(self) -> None:
        self._image = None
        self._stream = None
        self._last = None

    def _open(self) -> tuple[Any, _Stream | None]:
        """Return a fresh libvips image, of which no pixel is read, and what must live as long."""
        try:
            if self._codec == "png":
                load = pyvips.Image.pngload
                return load(self.source, access="sequential", fail_on="error", revalidate=True), None
            careful = isinstance(self._header, JpegHeader) and not self._header.quirk
            stream = _Stream(self.source)
            load = pyvips.Image.jpegload_source
            fail_on = "warning" if careful else "error"
            return load(stream.source, access="sequential", fail_on=fail_on), stream
        except pyvips.Error as error:
            raise InputError(
                f"{self.source}: the header of the {self._codec.upper()} cannot be read ({_reason(error)});"
                " copy or download it again"
            ) from error

    def _choose_access(self, image: Any, row_bytes: int) -> Access:
        """Return how the pixels can be had; the sums behind the bytes are measured, see LINES."""
        streaming = LIBRARY_BYTES + LINES[self._codec] * row_bytes
        frame = row_bytes * self._height
        whole = ""
        if isinstance(self._header, PngHeader):
            if self._header.interlaced:
                whole, streaming = "interlaced PNG", streaming + frame
        elif self._header.progressive or image.get("jpeg-multiscan"):
            whole = "progressive JPEG" if self._header.progressive else "JPEG in several scans"
            streaming += self._header.coefficient_bytes
        if not whole and self._orientation in range(3, 9):
            whole = f"EXIF orientation {self._orientation}"
        if whole:
            return Access("whole", f"{whole}: decoded at once", fixed_bytes=frame + streaming)
        order = ("y", "x") if self._bands == 1 else ("y", "x", "c")
        return Access(
            "sequential",
            f"{self._codec.upper()}, decoded row by row",
            order=order,
            fixed_bytes=streaming,
            read_bytes=2 * self._strip * row_bytes,
        )

    def _describe(self, image: Any) -> ImageSpec:
        turned = self._orientation in (5, 6, 7, 8)
        height, width = (self._width, self._height) if turned else (self._height, self._width)
        whole = self.access.kind == "whole"
        axes = [Axis("y", height), Axis("x", width)]
        chunks = [height if whole else min(self._strip, height), width]
        if self._bands > 1:
            axes.insert(0, Axis("c", self._bands))
            chunks.insert(0, self._bands)
        return ImageSpec(
            axes=tuple(axes),
            dtype=np.dtype(bool) if self._mask else self._dtype,
            chunks=tuple(chunks),
            channels=_channels(self._bands, image.interpretation),
            kind="mask" if self._mask else "image",
            meta=self._meta(image),
            notes=tuple(self._notes(image)),
        )

    def _meta(self, image: Any) -> dict[str, Json]:
        meta: dict[str, Json] = {"format": self._codec.upper(), "bits_per_sample": self._header.bits}
        if isinstance(self._header, PngHeader) and self._header.palette:
            meta["palette"] = True
        if self._orientation != 1:
            meta["orientation"] = self._orientation
        if image.get_typeof("icc-profile-data"):
            meta["icc_profile"] = True
        dpi: tuple[float, float] | None = None
        if isinstance(self._header, PngHeader):
            dpi = self._header.dpi
        elif (
            image.get_typeof("resolution-unit") and image.xres != 1.0
        ):  # pixels a millimetre; 1.0 is not known
            dpi = (image.xres * 25.4, image.yres * 25.4)
        if dpi is not None:  # the size of a print, not of what is shown: never the spacing
            meta["dpi"] = [round(value, 2) for value in dpi]
        return meta

    def _notes(self, image: Any) -> Iterator[str]:
        header = self._header
        if isinstance(header, JpegHeader):
            if header.quirk:
                yield f"the JPEG header has {header.quirk}: damage in its pixels may go unnoticed"
        else:
            if header.damaged:
                named = ", ".join(header.damaged)
                yield f"damaged beside the pixels, which are whole, and left out: the PNG's {named}"
            if header.animated:
                yield "an animated PNG: only its first frame is read"
            if header.bits in (2, 4) and not header.palette:
                yield f"{header.bits}-bit grey values are scaled to 0-255"
        if image.interpretation == "cmyk":
            yield "CMYK as Pillow and libvips give it: 0 is no ink (files of Adobe store it inverted)"
        if self._orientation in range(2, 9):
            yield f"EXIF orientation {self._orientation} is applied"


class _Stream:
    """A file for libvips to read; closed when nobody holds it. It must live as long as the image on it."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by __del__
        self.source = pyvips.SourceCustom()
        # Methods of the file, not of ours: no circle, so that counting references closes it at once.
        self.source.on_read(self._file.read)
        self.source.on_seek(self._file.seek)

    def __del__(self) -> None:
        self._file.close()


def _channels(bands: int, interpretation: str) -> tuple[Channel, ...]:
    if bands == 4 and interpretation == "cmyk":
        return tuple(Channel(name) for name in "CMYK")
    named = {2: (Channel("grey"), Channel("A", "FFFFFF")), 3: RGB, 4: RGBA}
    return named.get(bands, ())


def _reason(error: pyvips.Error) -> str:
    """Return the last words of libvips, which repeats itself over several lines, or may say nothing."""
    lines = [line.strip() for line in str(error.detail or "").splitlines() if line.strip()]
    return lines[-1] if lines else "libvips gives no reason"
