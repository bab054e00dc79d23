"""Pixels that a text header points to: in the same file or beside it, plain, packed or text, one file or many.

MetaImage and NRRD differ in how they say it, and mean the same: :class:`Layout`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bigimg.errors import InputError, InputNotFoundError
from bigimg.reader import Access
from bigimg.readers.failures import reading
from bigimg.readers.raw.compressed import STREAM_BYTES, RawGzip
from bigimg.readers.raw.frames import Place, frames
from bigimg.readers.raw.plain import READ_BYTES, Pixels
from bigimg.readers.raw.streams import Packing
from bigimg.readers.raw.text import TextPixels
from bigimg.readers.volumes.headers import in_folder
from bigimg.types import DType, Shape

type Encoding = Literal["raw", "text"] | Packing

MOST_FILES = 100_000
"""Files of one image; a header that asks for more is a mistake."""

BZIP2_BYTES = 8 << 20
"""Memory of an open bzip2 stream, rounded up from 3.6 MB for blocks of 900 kB."""


@dataclass(frozen=True)
class Layout:
    """How pixels lie in files."""

    dims: tuple[str, ...]
    """Names, slowest axis first."""
    shape: Shape
    dtype: DType
    """Byte order included."""
    encoding: Encoding
    offset: int = 0
    """Bytes before the pixels, unpacked; -1 when the pixels end the file."""
    start: int = 0
    """Byte of the file where the packed stream begins."""


def open_detached(source: str, paths: Sequence[str], layout: Layout) -> tuple[Pixels, Access]:
    """Return the pixels that the header ``source`` has in ``paths``, and how they can be had.

    Raises
    ------
    InputNotFoundError, InputError
        A file is not there, too short, or does not divide the image.
    """
    size = _size(source, paths[0])
    native = layout.dtype.newbyteorder("=")
    if len(paths) > 1:
        return _open_many(source, paths, layout)
    if layout.encoding == "text":
        text = TextPixels(paths[0], offset=layout.start, shape=layout.shape, dtype=layout.dtype)
        return text, Access("whole", "numbers as text, decoded at once", fixed_bytes=text.fixed_bytes)
    if layout.encoding == "raw":
        offset = _offset(layout, size, layout.shape)
        place = Place(paths[0], offset)
        return frames([place], outer=(), inner=layout.shape, dtype=layout.dtype), Access(
            "random", f"uncompressed, {native}", layout.dims, read_bytes=READ_BYTES
        )
    if layout.offset < 0:
        raise InputError(
            f"{paths[0]}: pixels at the end of a {layout.encoding} stream cannot be found; unpack it first"
        )
    packed = RawGzip(
        paths[0],
        offset=layout.offset,
        shape=layout.shape,
        dtype=layout.dtype,
        start=layout.start,
        packing=layout.encoding,
    )
    held = BZIP2_BYTES if layout.encoding == "bzip2" else STREAM_BYTES
    return packed, Access(
        "sequential", f"one {layout.encoding} stream, {native}", layout.dims, held, READ_BYTES
    )


def _open_many(source: str, paths: Sequence[str], layout: Layout) -> tuple[Pixels, Access]:
    """Return pixels of which each file holds the same share, cut along the slowest axes."""
    if layout.encoding != "raw":
        raise InputError(
            f"{paths[0]}: is one of {len(paths)} {layout.encoding} files; write them raw, or as one file"
        )
    count, ahead = 1, 0
    while count < len(paths) and ahead < len(layout.shape):
        count, ahead = count * layout.shape[ahead], ahead + 1
    if count != len(paths):
        raise InputError(
            f"{paths[0]}: is one of {len(paths)} files, which do not divide axes {' '.join(layout.dims)} of "
            f"{' x '.join(map(str, layout.shape))} pixels; name one file for each of the slowest axis"
        )
    outer, inner = layout.shape[:ahead], layout.shape[ahead:]
    places = [Place(path, _offset(layout, _size(source, path), inner)) for path in paths]
    why = f"uncompressed, {layout.dtype.newbyteorder('=')}, {len(paths)} files"
    return frames(places, outer=outer, inner=inner, dtype=layout.dtype), Access(
        "random", why, layout.dims, read_bytes=READ_BYTES
    )


def _offset(layout: Layout, size: int, shape: Shape) -> int:
    """Return the first byte of the pixels in a file of ``size`` bytes."""
    if layout.offset >= 0:
        return layout.start + layout.offset
    count = layout.dtype.itemsize
    for n in shape:
        count *= n
    return size - count


def missing(source: str, path: str) -> InputNotFoundError:
    """Return the error of a header whose data file is not there."""
    return InputNotFoundError(
        f"{source}: its pixels should be in {os.path.basename(path)}, which is not there; put that file beside it"
    )


def _size(source: str, path: str) -> int:
    with reading(path):
        try:
            return os.stat(path).st_size
        except (FileNotFoundError, ValueError):  # a null byte in a name: no file is called so
            raise missing(source, path) from None


def data_files(header: str, named: str, listed: Sequence[str], slowest: int) -> list[str]:
    """Return the files that a header names, in order.

    Parameters
    ----------
    header : str
    named : str
        A file, ``LIST``, or a pattern with the first and last number and the step.
    listed : sequence of str
        Names behind ``LIST``.
    slowest : int
        Pixels along the slowest axis: that many files, when a pattern does not say.

    Raises
    ------
    InputError
        A name leads out of the folder, or a list or pattern gives none.
    """
    words = named.split()
    if words[:1] == ["LIST"]:
        if not listed:
            raise InputError(f"{header}: lists no data files behind LIST; name one a line")
        return [in_folder(header, name) for name in listed]
    if "%" not in named or not words:
        return [in_folder(header, named)]
    try:
        numbers = [int(word) for word in words[1:4]]
    except ValueError:
        raise InputError(
            f"{header}: {named!r} is no pattern with a first, last and step; correct it"
        ) from None
    first = numbers[0] if numbers else 1
    last = numbers[1] if len(numbers) > 1 else first + slowest - 1
    return numbered(header, words[0], first, last, numbers[2] if len(numbers) > 2 else 1)


def numbered(header: str, pattern: str, first: int, last: int, step: int) -> list[str]:
    """Return the files that a pattern like ``slice%03d.raw`` names for ``first`` to ``last``.

    Raises
    ------
    InputError
        The pattern has not one ``%d``, or there are too many numbers or none.
    """
    if step == 0 or not 0 <= (last - first) // step < MOST_FILES:
        raise InputError(
            f"{header}: counts files from {first} to {last} by {step}; correct it, at most {MOST_FILES}"
        )
    # Of all that % can do only this is allowed: "%999999999d" would ask for a gigabyte of blanks.
    if not re.fullmatch(r"[^%]{0,1024}%0?\d{0,2}d[^%]{0,1024}", pattern):
        raise InputError(
            f"{header}: names its files {pattern!r}, which holds no one number; write it as slice%03d.raw"
        )
    names = [pattern % number for number in range(first, last + (1 if step > 0 else -1), step)]
    return [in_folder(header, name) for name in names]
