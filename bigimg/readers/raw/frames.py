"""Pixels in frames that lie anywhere: slices in any order, volumes with headers between them, a file a slice.

No file stays open between calls, so a series of thousands of files costs no handles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from bigimg.geometry.region import shape_of
from bigimg.readers.raw.plain import Pixels, RawFile, as_native
from bigimg.types import Array, DType, Region, Shape


@dataclass(frozen=True)
class Place:
    """Where a frame begins."""

    path: str
    offset: int
    """In bytes."""


@dataclass(frozen=True)
class RawFrames:
    """C-order numbers in frames of one shape: ``outer`` numbers the frames, ``inner`` is one of them."""

    places: tuple[Place, ...]
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
        ahead = len(self.outer)
        result = np.empty(shape_of(region), self.dtype)
        for index in product(*(range(s.start, s.stop) for s in region[:ahead])):
            number = int(np.ravel_multi_index(index, self.outer))
            at = tuple(i - s.start for i, s in zip(index, region[:ahead], strict=True))
            self._open(self.places[number]).read_into(result[at], region[ahead:])
        return as_native(result)

    def close(self) -> None:
        """Do nothing: no file is open."""

    def check(self) -> None:
        """Check that every file is there and long enough, each opened once.

        Raises
        ------
        InputNotFoundError, InputError
            One is not; the message names it.
        """
        last: dict[str, Place] = {}
        for place in self.places:
            if place.offset < 0:
                self._open(place)
            last[place.path] = max(place, last.get(place.path, place), key=lambda p: p.offset)
        for place in last.values():
            self._open(place)

    def _open(self, place: Place) -> RawFile:
        return RawFile(place.path, offset=place.offset, shape=self.inner, dtype=self.dtype)


def frames(places: Sequence[Place], *, outer: Shape, inner: Shape, dtype: DType) -> Pixels:
    """Return pixels in frames, as one run where they follow one another in a single file.

    Raises
    ------
    InputNotFoundError, InputError
        A file is not there, or too short.
    """
    first = places[0]
    step = int(np.prod(inner, dtype=object)) * dtype.itemsize
    if all(place == Place(first.path, first.offset + i * step) for i, place in enumerate(places)):
        return RawFile(first.path, offset=first.offset, shape=(*outer, *inner), dtype=dtype)
    found = RawFrames(tuple(places), outer, inner, dtype)
    found.check()
    return found
