"""The header of a TIFF of one page, read by hand: whether a file is laid out as another, and where its pixels lie.

Of a run of thousands of files one is parsed by tifffile, which takes a millisecond; the others need this alone. A
header is compared byte by byte, so that nothing here knows what a tag means. What is not simple has no such header.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np

from bigimg.errors import InputError
from bigimg.readers.raw.plain import RawFile
from bigimg.types import Array

HEAD_BYTES = 4096
MOST_TAGS = 200
MOST_VALUE = 1 << 16
"""Bytes of a tag that are compared."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8, 18: 8}
"""Bytes of a value, by the type of its tag."""
OFFSETS, COUNTS = (273, 324), (279, 325)
DESCRIPTION = 270
FREE = frozenset({269, 285, 306, 315, 316, 34682, 34118, 51123})
"""Names, dates and what an instrument writes of each plane."""
PALETTE = (262, 3)
"""The tag of the photometric interpretation, and its value for indices into colours."""
_WINDOW = re.compile(rb"\n(?:min|max)=[^\n\0]*")
"""Lines of ImageJ's description that are of the pixels."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a TIFF says before its pixels."""

    same: tuple[object, ...]
    """All that files of one layout have in common."""
    offsets: Array
    counts: Array
    """Byte at which each segment begins, and its length."""
    bytes: bytes
    """All of it, where it lies before the pixels."""
    end: int
    """Bytes that the file has at least."""


def read_header(file: RawFile, other: Header | None = None) -> Header | None:
    """Return the header of a TIFF, given by its bytes; None if it has several pages or is cut, and wherever a doubt is.

    It is ``other`` itself where all bytes before the pixels are the same.
    """
    try:
        head = _Bytes(file)
        if other is not None and other.bytes and head.at(0, len(other.bytes)) == other.bytes:
            return other if other.end <= head.size else None
        return _parsed(head)
    except (InputError, struct.error, ValueError, KeyError):
        return None


class _Bytes:
    """The bytes of a file, of which the first are at hand."""

    def __init__(self, file: RawFile) -> None:
        self._file, self.size, self.read = file, file.end, 0
        self._head = file.bytes_at(0, min(HEAD_BYTES, self.size))

    def at(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start`` on."""
        self.read = max(self.read, start + size)
        if start + size <= len(self._head):
            return self._head[start : start + size]
        if start + size > self.size:
            raise ValueError("the file ends there")
        return self._file.bytes_at(start, size)

    def before_pixels(self, first: int) -> bytes:
        """Return all bytes that were read, if they lie at the start of the file and before ``first``; else nothing."""
        return self._head[: self.read] if self.read <= min(first, len(self._head)) else b""


def _parsed(file: _Bytes) -> Header | None:
    start = file.at(0, 16)
    order = {b"II": "<", b"MM": ">"}[start[:2]]
    (version,) = struct.unpack_from(f"{order}H", start, 2)
    big = {42: False, 43: True}[version]
    word, entry = ("Q", "HHQ8s") if big else ("I", "HHI4s")
    (at,) = struct.unpack_from(order + word, start, 8 if big else 4)
    few = "Q" if big else "H"
    (tags,) = struct.unpack(order + few, file.at(at, struct.calcsize(f"={few}")))
    if not 0 < tags <= MOST_TAGS:
        return None
    at += struct.calcsize(f"={few}")
    size = struct.calcsize(f"={entry}")
    table = file.at(at, tags * size + struct.calcsize(f"={word}"))
    if any(table[tags * size :]):  # another page follows
        return None
    same: list[object] = [start[:4]]
    places: dict[int, Array] = {}
    for tag, kind, count, value in struct.iter_unpack(order + entry, table[: tags * size]):
        length = count * _SIZES[kind]
        if tag in FREE:
            same.append(tag)
            continue
        if length > len(value):
            (where,) = struct.unpack(order + word, value)
            if tag not in (*OFFSETS, *COUNTS) and length > MOST_VALUE:
                return None
            value = file.at(where, length)
        if tag in (*OFFSETS, *COUNTS):
            places[tag] = np.frombuffer(value[:length], f"{order}u{_SIZES[kind]}").astype(np.uint64)
            same.append((tag, count))
            continue
        if (tag, value[:2]) == (PALETTE[0], struct.pack(f"{order}H", PALETTE[1])):
            return None
        if tag == DESCRIPTION:
            same.append((tag, _WINDOW.sub(b"", value[:length])))
        else:
            same.append((tag, kind, count, value[:length]))
    offsets = next((places[tag] for tag in OFFSETS if tag in places), None)
    counts = next((places[tag] for tag in COUNTS if tag in places), None)
    if (
        offsets is None
        or counts is None
        or offsets.size != counts.size
        or not offsets.all()
        or not counts.all()
    ):
        return None
    if (end := int((offsets + counts).max())) > file.size:
        return None
    return Header(tuple(same), offsets, counts, file.before_pixels(int(offsets.min())), end)
