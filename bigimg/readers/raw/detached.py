"""Fields of a text header, and the pixels it points to: in its own file or in others, packed, plain or as text.

MetaImage and NRRD write this differently and mean the same: :class:`Layout`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bigimg.errors import InputError, reading
from bigimg.reader import Access
from bigimg.readers.beside import file_beside
from bigimg.readers.raw.compressed import open_packed
from bigimg.readers.raw.frames import FrameStart, open_frames
from bigimg.readers.raw.plain import Opened, Stored
from bigimg.readers.raw.streams import Packing
from bigimg.system.shared import Shared
from bigimg.types import Array, DType, Region, Shape

type Fields = Mapping[str, str]
"""Of a text header, by name."""

type Encoding = Literal["raw", "text"] | Packing

MOST_FILES = 100_000
"""Files of one image at most; a header with more is wrong."""


@dataclass(frozen=True)
class Layout:
    """How pixels lie in files."""

    stored: Stored
    encoding: Encoding
    offset: int = 0
    """Decompressed bytes before the pixels; -1 when the pixels are the last bytes of the file."""
    start: int = 0
    """Byte of the file at which the data begin: text, pixels, or a compressed stream."""


def open_detached(source: str, paths: Sequence[str], layout: Layout) -> Opened:
    """Return the pixels that the header ``source`` places in ``paths``, and how they are read.

    Raises
    ------
    InputNotFoundError, InputError
        A file is not there or too short, or the files do not divide the image.
    """
    (_, shape, dtype), encoding = layout.stored, layout.encoding
    if encoding == "raw":
        nbytes = math.prod(shape) * dtype.itemsize // len(paths)
        offsets = [layout.start + layout.offset] * len(paths)
        if layout.offset < 0:
            offsets = [os.path.getsize(path) - nbytes for path in paths]
        return open_frames(list(map(FrameStart, paths, offsets)), layout.stored)
    if len(paths) > 1:
        raise InputError(f"{paths[0]}: is one of {len(paths)} {encoding} files; write them raw or as one")
    if encoding == "text":
        text = TextPixels(paths[0], offset=layout.start, shape=shape, dtype=dtype)
        # The text, one Python object for each word while it is split, and the decoded image.
        fixed_bytes = text.size + math.prod(shape) * (80 + dtype.itemsize)
        return text, Access("whole", "numbers as text, decoded at once", fixed_bytes=fixed_bytes)
    if layout.offset < 0:
        what = f"the header counts from the end of a {encoding} stream, which is not known"
        raise InputError(f"{paths[0]}: {what}; unpack it first")
    return open_packed(paths[0], layout.offset, layout.stored, layout.start, encoding)


def data_files(header: str, named: str, listed: Sequence[str], slowest: int) -> list[str]:
    """Return the files that a header names, in order.

    Parameters
    ----------
    header : str
    named : str
        The header's value: a file, ``LIST``, or a pattern with the first number, the last and the step.
    listed : sequence of str
        Names behind ``LIST``.
    slowest : int
        Pixels along the slowest axis: the number of files when a pattern has no last number.

    Raises
    ------
    InputError
        A name leads out of the folder, or a list or pattern gives none.
    """
    words = named.split()
    if words[:1] == ["LIST"]:
        if not listed:
            raise InputError(f"{header}: lists no data files behind LIST; name one a line")
        return [file_beside(header, name) for name in listed]
    if "%" not in named or not words:
        return [file_beside(header, named)]
    try:
        numbers = [int(word) for word in words[1:4]]
    except ValueError:
        raise InputError(f"{header}: {named!r} is no pattern with first, last and step; correct it") from None
    first = numbers[0] if numbers else 1
    last = numbers[1] if len(numbers) > 1 else first + slowest - 1
    return numbered(header, words[0], first, last, numbers[2] if len(numbers) > 2 else 1)


def numbered(header: str, pattern: str, first: int, last: int, step: int) -> list[str]:
    """Return the files that a pattern such as ``slice%03d.raw`` names, from ``first`` to ``last`` by ``step``.

    Raises
    ------
    InputError
        The pattern does not have exactly one ``%d``, or there are too many numbers or none.
    """
    if step == 0 or not 0 <= (last - first) // step < MOST_FILES:
        raise InputError(f"{header}: counts files from {first} to {last} by {step}; at most {MOST_FILES}")
    # No other conversion is allowed: "%999999999d" would make a name of a gigabyte of blanks.
    if not re.fullmatch(r"[^%]{0,1024}%0?\d{0,2}d[^%]{0,1024}", pattern):
        what = f"names its files {pattern!r}, which has not exactly one number"
        raise InputError(f"{header}: {what}; write it as slice%03d.raw")
    names = [pattern % number for number in range(first, last + (1 if step > 0 else -1), step)]
    return [file_beside(header, name) for name in names]


def text_of(fields: Fields, name: str, otherwise: object = None) -> str:
    """Return the field ``name``, ``otherwise`` where there is no such field; a ValueError if both are missing."""
    if name not in fields and otherwise is None:
        raise ValueError(f"it has no {name}")
    return fields.get(name, str(otherwise))


def numbers[T: (int, float)](fields: Fields, name: str, kind: type[T], otherwise: object = None) -> list[T]:
    """Return the words of the field ``name`` as numbers, those of ``otherwise`` where there is no such field.

    Raises
    ------
    ValueError
        A word is none, or the field and ``otherwise`` are missing; the message names the field.
    """
    text = text_of(fields, name, otherwise)
    try:
        return [kind(word) for word in text.split()]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} is {text!r:.80}, not {what}") from None


def number[T: (int, float)](fields: Fields, name: str, kind: type[T], otherwise: T | None = None) -> T:
    """Return the one number of the field ``name``, ``otherwise`` where there is no such field.

    Raises
    ------
    ValueError
        It is none, or not finite; the message names the field.
    """
    found = numbers(fields, name, kind, otherwise)
    if len(found) != 1 or not math.isfinite(found[0]):
        raise ValueError(f"{name} is {fields[name]!r:.80}, not one number")
    return found[0]


class TextPixels:
    """The numbers of a text file from byte ``offset`` on; they stay in memory until :meth:`close`.

    Parameters
    ----------
    path : str
    offset : int
    shape : tuple of int
        Slowest axis first.
    dtype : dtype

    Raises
    ------
    InputError
        The file is too short for so many numbers.
    """

    def __init__(self, path: str, *, offset: int, shape: Shape, dtype: DType) -> None:
        self.path = path
        self.offset = offset
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.size = max(os.path.getsize(path) - offset, 0)
        self._values: Shared[Array] = Shared()
        count = math.prod(shape)
        if 2 * count - 1 > self.size:  # one digit for each, and a space between two
            what = f"{self.size} bytes of text cannot hold {count} numbers (shape {shape})"
            raise InputError(f"{path}: {what}; it is truncated, or its header is wrong")

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``.

        Raises
        ------
        InputError
            A word is no number of the type, or the file has too few or too many words.
        """
        return self._values.get(self._decode)[region]

    def close(self) -> None:
        """Drop the decoded numbers."""
        self._values.take()

    def _decode(self) -> Array:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            words = file.read().replace(b",", b" ").split()
        count = math.prod(self.shape)
        if len(words) != count:
            what = f"has {len(words)} numbers, and shape {self.shape} needs {count}"
            raise InputError(f"{self.path}: {what}; write the file again")
        number = float if self.dtype.kind == "f" else int
        what = f"one of its numbers is no {self.dtype}"
        with reading(self.path, (ValueError, OverflowError), "write it again", what=what):
            return np.array([number(word) for word in words], self.dtype).reshape(self.shape)
