"""The frames of a DICOM file that was cut: which of them are there as a whole."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from bigimg.errors import AGAIN, PARTIAL, InputError, counted, damage
from bigimg.readers.dicom.pixels import (
    DEFLATED,
    ITEM,
    NATIVE,
    RLE,
    Pixels,
    begin_frames,
    bytes_at,
    ends_as_picture,
    frame_bits,
)
from bigimg.types import Array


def in_file(pixels: Pixels, size: int, *, allow_partial: bool) -> Pixels:
    """Return ``pixels`` with the frames that lie in its file of ``size`` bytes: all of them, or the first ones.

    Compressed frames are found by a table of the file, or by a walk along them.

    Raises
    ------
    InputError
        Frames are cut off and ``allow_partial`` is not given, or none is there.
    """
    if pixels.syntax == DEFLATED:
        return pixels
    places: Array | None = None
    if pixels.syntax in NATIVE:
        there = max(size - pixels.offset, 0) * 8 // frame_bits(pixels)
    else:
        with open(pixels.path, "rb") as file:
            places = _places(file, pixels, size)
        there = pixels.frames if places is None else len(places)
    if there >= pixels.frames:
        return replace(pixels, places=places)
    what = f"{pixels.frames - there} of its {counted(pixels.frames, 'frame')}"
    what += f" of {pixels.rows} x {pixels.columns} lie beyond the {size} bytes of the file"
    if not there:
        raise damage(pixels.path, what)
    if not allow_partial:
        raise InputError(f"{pixels.path}: {what}; {AGAIN}, or {PARTIAL}")
    return replace(pixels, frames=there, places=places)


def _places(file: BinaryIO, pixels: Pixels, size: int) -> Array | None:
    """Return first and last byte but one of each frame that is there, of shape (frames, 2); None if reading says it."""
    from pydicom.encaps import parse_basic_offsets

    file.seek(pixels.offset)
    try:
        table = np.array(parse_basic_offsets(file), np.int64) + (first := file.tell())
    except (ValueError, struct.error, EOFError):  # the table itself is cut, or none: reading will say it
        return None
    starts, lengths = (
        np.frombuffer(part[: len(part) // 8 * 8], "<u8").astype(np.int64) for part in pixels.extended
    )
    if len(starts) == len(lengths) == pixels.frames:
        found = _of_table(file, starts + first, starts + first + 8 + lengths, first, size)
    elif len(table) == pixels.frames:
        fragments, within = _walk(file, int(table[-1]), size)
        last = fragments[-1][1] if fragments and not within else size + 1
        found = _of_table(file, table, np.append(table[1:], last), first, size)
    else:
        found = None
    if found is not None:
        return found
    fragments, within = _walk(file, first, size)
    if len(fragments) == pixels.frames:
        return np.array(fragments, np.int64)
    end = fragments[-1][1] if fragments else first
    if len(fragments) > pixels.frames or (not within and end + 8 <= size):  # what ends them follows
        return None
    one = fragments and (pixels.syntax == RLE or ends_as_picture(file, fragments[0][0] + 8, fragments[0][1]))
    return (
        np.array(fragments, np.int64).reshape(-1, 2) if one or not fragments else None
    )  # else frames have several


def _of_table(file: BinaryIO, starts: Array, ends: Array, first: int, size: int) -> Array | None:
    """Return the places that a table gives for the frames that are there; None if it cannot be true."""
    if starts[0] != first or (np.diff(starts) <= 0).any() or (ends <= starts).any():
        return None
    there = int(np.searchsorted(ends > size, True))
    found = np.stack([starts, ends], axis=1)[:there]
    return found if not there or begin_frames(file, starts[:there], first) else None


def _walk(file: BinaryIO, at: int, size: int) -> tuple[list[tuple[int, int]], bool]:
    """Return first and last byte but one of the fragments from byte ``at`` on, and whether the file ends in one."""
    found: list[tuple[int, int]] = []
    while len(head := bytes_at(file, at, 8)) == 8 and head[:4] == ITEM:
        end = at + 8 + int.from_bytes(head[4:], "little")
        if end > size:
            return found, True
        found.append((at, end))
        at = end
    return found, False
