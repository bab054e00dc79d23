"""When the time points of a CZI were recorded: an attachment with one number for each."""

from __future__ import annotations

import struct

import numpy as np

from bigimg.errors import InputError
from bigimg.readers.raw.plain import RawFile
from bigimg.types import Array

DIRECTORY, ATTACHMENT, NAME = b"ZISRAWATTDIR", b"ZISRAWATTACH", b"TimeStamps"
SEGMENT_BYTES, HEAD_BYTES, ENTRY_BYTES = 32, 256, 128
"""Of the head of a segment, what stands in one before its content, and an entry of the directory of attachments."""
MOST_ENTRIES, MOST_TIMES = 1000, 1 << 20
DAYS_FROM = 20_000
"""Some programs write days since 1899 instead of seconds since the start: then even the first number is so large."""
UNEVEN = 0.01
"""The part of a step by which others may differ, so that it counts as even."""


def recorded_times(file: RawFile, directory: int) -> Array:
    """Return the seconds at which time points were recorded; none where the file does not say it, or makes no sense.

    Parameters
    ----------
    file : RawFile
        All its bytes.
    directory : int
        Byte of the directory of its attachments; 0 if it has none.
    """
    try:
        head = _bytes(file, directory, SEGMENT_BYTES + HEAD_BYTES)
        (count,) = struct.unpack_from("<i", head, SEGMENT_BYTES)
        if directory <= 0 or not head.startswith(DIRECTORY) or not 0 < count <= MOST_ENTRIES:
            return np.empty(0)
        entries = _bytes(file, directory + SEGMENT_BYTES + HEAD_BYTES, count * ENTRY_BYTES)
        for kind, at, name in struct.iter_unpack("<2s10xq28x80s", entries):
            if kind == b"A1" and name.rstrip(b"\0") == NAME:
                return _times(file, at)
    except (InputError, struct.error):  # the pixels are none the worse for it
        pass
    return np.empty(0)


def even_step(times: Array, size: int) -> tuple[float, tuple[str, ...]]:
    """Return the seconds from one of ``size`` times to the next, 0 if they are not even, and a note.

    >>> even_step(np.array([0.1, 2.1, 4.1]), 3)
    (2.0, ())
    """
    if size < 2 or len(times) != size:
        return 0.0, ()
    steps = np.diff(times)
    mean = float(steps.mean())
    if mean > 0 and np.abs(steps - mean).max() <= UNEVEN * mean:
        return mean, ()
    seen = f"{steps.min():.3g} to {steps.max():.3g} s apart"
    return 0.0, (f"the file gives no even time step: its time points were recorded {seen}",)


def _times(file: RawFile, at: int) -> Array:
    head = _bytes(file, at, SEGMENT_BYTES + HEAD_BYTES + 8)
    (count,) = struct.unpack_from("<i", head, SEGMENT_BYTES + HEAD_BYTES + 4)
    if not head.startswith(ATTACHMENT) or not 0 < count <= MOST_TIMES:
        return np.empty(0)
    times = np.frombuffer(_bytes(file, at + len(head), 8 * count), "<f8")
    if not np.isfinite(times).all():
        return np.empty(0)
    seconds: Array = (times - times[0]) * (86400.0 if times[0] > DAYS_FROM else 1.0)
    return seconds


def _bytes(file: RawFile, at: int, length: int) -> bytes:
    if at < 0 or at + length > file.shape[0]:
        raise InputError(f"{file.path}: has no bytes {at} to {at + length}; fetch it again")
    return file.read((slice(at, at + length),)).tobytes()
