"""Which reader a PNG and a JPEG need, from what their headers say."""

from __future__ import annotations

from bigimg.errors import InputError
from bigimg.reader import Reader
from bigimg.readers.pictures.coded import needs_coded, open_coded_jpeg
from bigimg.readers.pictures.header import read_jpeg_header, read_png_header
from bigimg.readers.pictures.png import MOST_WIDTH, PngReader


def open_png(path: str) -> Reader:
    """Return a reader of the PNG at ``path``; of an animated one, of its first frame.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, or its header is damaged.
    """
    header = read_png_header(path)
    if header.plain and header.width < MOST_WIDTH:
        return PngReader(path, header)
    from bigimg.readers.pictures.vips import VipsReader  # a plain PNG does without libvips

    return VipsReader(path, "png")


def open_jpeg(path: str) -> Reader:
    """Return a reader of the JPEG or JPEG-LS at ``path``.

    Raises
    ------
    InputNotFoundError, InputError
        The file is not there, its header is damaged, or no library here decodes its process.
    """
    header = read_jpeg_header(path)
    if header.process == "hierarchical":
        what = "is a hierarchical JPEG, which libjpeg does not decode"
        raise InputError(f"{path}: {what}; convert it to PNG or TIFF first")
    if needs_coded(header):
        return open_coded_jpeg(path)
    from bigimg.readers.pictures.vips import VipsReader

    return VipsReader(path, "jpeg")
