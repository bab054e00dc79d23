"""Uncompressed pixels in frames: slices in any order, volumes with headers between them, one file a slice.

No file stays open between calls, so a series of thousands of files needs no handles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.region import shape_of
from bigimg.reader import Access
from bigimg.readers.raw.plain import READ_BYTES, Opened, RawFile, Stored, as_native
from bigimg.types import Array, DType, Region, Shape


@dataclass(frozen=True)
class FrameStart:
    """File and byte at which a frame begins."""

    path: str
    offset: int
    """In bytes."""


@dataclass(frozen=True)
class RawFrames:
    """C-order numbers in frames of one shape: ``outer`` counts the frames, ``inner`` is the shape of one."""

    starts: tuple[FrameStart, ...]
    """One for each frame, in C order of ``outer``."""
    outer: Shape
    inner: Shape
    dtype: DType
    """As stored, byte order included."""

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, C-contiguous and in native byte order.

        Raises
        ------
        InputError
            A file is gone, or ends within the region.
        """
        ndim = len(self.outer)
        result = np.empty(shape_of(region), self.dtype)
        numbers = np.arange(len(self.starts)).reshape(self.outer)[region[:ndim]]
        for at, number in np.ndenumerate(numbers):
            self._open(self.starts[number]).read_into(result[at], region[ndim:])
        return as_native(result)

    def close(self) -> None:
        """Do nothing: no file is open."""

    def check(self) -> None:
        """Check that every file is there and long enough; each is opened for its last frame.

        Raises
        ------
        InputNotFoundError, InputError
            One is not; the message names it.
        """
        in_order = sorted(self.starts, key=lambda start: start.offset)
        last = {start.path: start for start in in_order}
        for start in (in_order[0], *last.values()):  # a negative offset comes first
            self._open(start)

    def _open(self, start: FrameStart) -> RawFile:
        return RawFile(start.path, offset=start.offset, shape=self.inner, dtype=self.dtype)


def open_frames(starts: Sequence[FrameStart], stored: Stored, what: str = "uncompressed") -> Opened:
    """Return pixels in frames, and how they are read; frames that follow one another in one file are one run.

    Parameters
    ----------
    starts : sequence of FrameStart
        In C order of the slowest axes, as many of these as the number of frames needs.
    stored : Stored
        All frames together.
    what : str
        What the pixels are, for a person.

    Raises
    ------
    InputNotFoundError, InputError
        A file is not there, or too short, or the frames do not divide the slowest axes.
    """
    dims, shape, dtype = stored
    ndim = next((n for n in range(len(shape)) if math.prod(shape[:n]) == len(starts)), None)
    if ndim is None:
        axes = f"axes {' '.join(dims)} of {' x '.join(map(str, shape))} pixels"
        what = f"is one of {len(starts)} files or frames, which do not divide {axes}"
        raise InputError(f"{starts[0].path}: {what}; give one for each index along the slowest axes")
    access = Access("random", f"{what}, {dtype.newbyteorder('=')}", dims, read_bytes=READ_BYTES)
    outer, inner = shape[:ndim], shape[ndim:]
    first, step = starts[0], math.prod(inner) * dtype.itemsize
    if all(start == FrameStart(first.path, first.offset + i * step) for i, start in enumerate(starts)):
        return RawFile(first.path, offset=first.offset, shape=shape, dtype=dtype), access
    frames = RawFrames(tuple(starts), outer, inner, dtype)
    frames.check()
    return frames, access
