"""The frames of an ND2: their table at the end of the file, and their pixels.

A file consists of chunks: four bytes that all have, the lengths of name and content, the name, the content. A frame is
a chunk with the time before its pixels, uncompressed or deflated.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from bigimg.errors import AGAIN, InputError, damage, one_line, reading
from bigimg.readers.raw.plain import read_once
from bigimg.readers.vendor.planes import MOST_PLANES, NEVER, read_plane
from bigimg.types import Array, DType

MAGIC = b"\xda\xce\xbe\x0a"
"""First bytes of a file and of each chunk in it; those of before 2010 are JPEG 2000."""

TABLE_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"
"""The last name in the table of chunks; it stands 40 bytes before the end of the file too, before the table's place."""

FRAME, TIMES = b"ImageDataSeq|", b"CustomData|AcqTimesCache!"
"""Names of chunks: a frame, with its number and ``!`` behind it, and the milliseconds at which each was taken."""

STAMP_BYTES = 8
"""Of the time before the pixels of a frame."""

ALIGNED_BYTES = 4096
"""To a multiple of which some writers round the length of a chunk."""

MOST_TABLE = 64 << 20
"""Bytes of a table; a million frames have 40 MB."""

FRAME_BYTES = 100
"""Of an entry of the table while it is read, with its name."""


@dataclass(frozen=True)
class Table:
    """The frames of a file."""

    starts: Array
    """Byte of the chunk of each frame, by its number; 0 where there is none."""
    longest: int
    """Bytes of the longest frame in the file."""
    times: Array
    """Milliseconds at which frames were taken, as far as the file has them."""
    nbytes: int
    """Of memory for all of this, for the places of frames, and to read it."""

    def numbers(self, counts: Mapping[str, int], index: Mapping[str, int]) -> tuple[Array, tuple[str, ...]]:
        """Return the numbers of frames by t, 1 and z, and a note on frames that no loop counts.

        Parameters
        ----------
        counts : mapping of str to int
            Lengths of the loops, slowest first.
        index : mapping of str to int
            Which one is taken of the loops that are neither t nor z.
        """
        count = math.prod(counts.values())
        there = np.zeros(count, bool)
        there[: len(self.starts)] = self.starts[:count] > 0
        numbers = np.where(there, np.arange(count), NEVER).reshape([*counts.values()])
        numbers = numbers[tuple(index.get(name, slice(None)) for name in counts)]
        dims = [name for name in counts if name in "tz"]
        if dims == ["z", "t"]:
            numbers = numbers.T
        found = int((self.starts > 0).sum())
        more = f"the file has {found} frames, and its loops count {count}: the others are left out"
        notes = (more,) if len(self.starts) > count else ()
        return numbers.reshape(counts.get("t", 1), 1, counts.get("z", 1)), notes


def read_table(path: str) -> Table:
    """Return the frames of a file, from the table at its end.

    Raises
    ------
    InputError
        The table is not there, or makes no sense: the file is truncated or damaged.
    """
    size, frames, times = os.path.getsize(path), dict[int, tuple[int, int]](), np.empty(0)
    wrong = "the table of its frames makes no sense"
    with reading(path, (struct.error, ValueError), AGAIN, what=wrong), open(path, "rb") as file:
        file.seek(max(0, size - 40))
        end, place = struct.unpack("<32sQ", file.read(40))
        if end != TABLE_END:
            raise damage(path, "has no table of its frames at its end")
        data, at = _chunk(file, place, size), 0
        while (name := data[at : (stop := data.index(b"!", at) + 1)]) != TABLE_END:
            start, length = struct.unpack_from("<QQ", data, stop)
            if name.startswith(FRAME) and name[len(FRAME) : -1].isdigit():
                if length == start:  # some writers give the place twice
                    file.seek(start + 8)
                    (length,) = struct.unpack("<Q", file.read(8))
                if start + length > size:
                    raise damage(path, f"ends at byte {size}, before the end of its frame {name.decode()}")
                frames[int(name[len(FRAME) : -1])] = start, length
            elif name == TIMES:
                times = np.frombuffer(_chunk(file, start, size), np.float64)
            at = stop + 16
    if not frames:
        raise InputError(f"{path}: holds no frame; record it again")
    if max(frames) >= MOST_PLANES:
        raise damage(path, f"has a frame with the number {max(frames)}, and at most {MOST_PLANES} are read")
    starts = np.zeros(max(frames) + 1, np.int64)
    starts[list(frames)] = [start for start, _ in frames.values()]
    longest = max(length for _, length in frames.values())
    return Table(starts, longest, times, len(data) + 5 * starts.nbytes + FRAME_BYTES * len(frames))


def _chunk(file: BinaryIO, start: int, size: int) -> bytes:
    """Return the content of the chunk that begins at byte ``start`` of a file of ``size`` bytes."""
    file.seek(start)
    magic, name, length = struct.unpack("<4sIQ", file.read(16))
    if magic != MAGIC or start + 16 + name + length > size:
        raise ValueError(f"no chunk at byte {start}")
    if length > MOST_TABLE:
        raise ValueError(
            f"the chunk at byte {start} has {length} bytes, and a table has at most {MOST_TABLE}"
        )
    file.seek(name, os.SEEK_CUR)
    return file.read(length)


class Frames:
    """The frames of a file; the deflated frame that was decoded last is kept.

    Parameters
    ----------
    path : str
    table : Table
    shape : tuple of int
        Rows, and values from one row to the next.
    wanted : int
        Values of a row.
    dtype : dtype
    packed : bool
        Whether frames are deflated.
    """

    def __init__(
        self, path: str, table: Table, shape: tuple[int, int], wanted: int, dtype: DType, *, packed: bool
    ) -> None:
        self.path, self.dtype = path, dtype.newbyteorder("<")
        self._table, self._shape, self._packed = table, shape, packed
        self._least = (
            (shape[0] - 1) * shape[1] + wanted
        ) * dtype.itemsize  # the last row may lack its padding
        self._places = np.zeros((len(table.starts), 2), np.int64)  # byte and length of the pixels
        self._kept: tuple[int, Array] | None = None  # number and frame, always of one another

    def read_into(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        """Fill ``out`` with a part of a frame."""
        if self._packed:
            out[...] = self._frame(number)[rows, columns]
        else:
            read_plane(out, self.path, self._place(number)[0], self._shape, self.dtype, (rows, columns))

    def close(self) -> None:
        """Let go of the frame that is kept; no file is open."""
        self._kept = None

    def _place(self, number: int) -> tuple[int, int]:
        """Return the byte of the first pixel of a frame and its length, after a look at the head of its chunk."""
        if not self._places[number, 0]:
            start, name = int(self._table.starts[number]), FRAME + b"%d!" % number
            head = self._bytes(start, 16 + len(name)).tobytes()
            magic, skipped, length = struct.unpack_from("<4sIQ", head)
            least = STAMP_BYTES + (1 if self._packed else self._least)
            if (
                magic != MAGIC
                or not head.endswith(name)
                or not least <= length <= self._table.longest + ALIGNED_BYTES
            ):
                raise damage(self.path, f"frame {number} does not lie at byte {start}, where its table says")
            self._places[number] = start + 16 + skipped + STAMP_BYTES, length - STAMP_BYTES
        place, length = self._places[number].tolist()
        return place, length

    def _frame(self, number: int) -> Array:
        """Return a deflated frame."""
        if (kept := self._kept) is not None and kept[0] == number:
            return kept[1]
        packed = self._bytes(*self._place(number))
        frame = np.empty(self._shape, self.dtype)
        try:
            got = imagecodecs.deflate_decode(packed, out=memoryview(frame.reshape(-1).view(np.uint8)))
        except (imagecodecs.DeflateError, ValueError) as error:
            raise damage(self.path, f"frame {number} cannot be inflated ({one_line(error)})") from error
        if len(got) < self._least:
            raise damage(
                self.path, f"frame {number} inflates to {len(got)} bytes, and it needs {self._least}"
            )
        self._kept = number, frame
        return frame

    def _bytes(self, start: int, length: int) -> Array:
        return read_once(self.path, start, (length,), np.dtype(np.uint8), (slice(0, length),))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}
