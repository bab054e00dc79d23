"""Values that are computed from the stored ones, slab by slab.

``ImageSpec.scaling`` holds one slope and intercept for the whole image. PAR/REC and MINC have one pair for each slice,
AFNI one factor for each volume. Stored numbers of two such frames cannot be compared, so the reader gives real values.
Of complex values it gives one part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from bigimg.geometry.padding import is_padding
from bigimg.geometry.region import full, pieces, rows, shape_of, shift
from bigimg.geometry.spec import Scaling
from bigimg.reader import PARTS
from bigimg.readers.complex_values import part_of
from bigimg.readers.raw.plain import Pixels
from bigimg.types import Array, DType, Padding, Part, Region, Shape

SLAB = 1 << 16
"""Values computed at once, in float64: they stay in the cache."""
SLAB_BYTES = 2 << 20
"""Memory of one such slab in addition to the result: float64 and stored values, rounded up."""
PART_BYTES = 4 << 20
"""The same of complex values: as stored, in native byte order, as complex128 and one part."""


@dataclass(frozen=True)
class InSlabs(ABC):
    """Values made of those of ``pixels``, slab by slab."""

    pixels: Pixels
    dtype: DType
    """Of the result, in native byte order."""

    def read(self, region: Region) -> Array:
        """Return the values of ``region``, in C order."""
        result = np.empty(shape_of(region), self.dtype)
        for _, part in pieces(full(result.shape), rows(result.shape, SLAB)):
            result[part] = self._values(shift(part, tuple(-s.start for s in region)))
        return result

    def close(self) -> None:
        """Close the file."""
        self.pixels.close()

    @abstractmethod
    def _values(self, slab: Region) -> Array:
        """Return the values of a slab."""


@dataclass(frozen=True)
class ScaledPixels(InSlabs):
    """``slope * stored + intercept`` of ``pixels``, computed in float64, or complex128 where they are complex."""

    slopes: Array
    """With as many axes as the pixels; length 1 along an axis where the slope is the same."""
    intercepts: Array
    no_data: tuple[Padding, ...] = ()
    """Ranges of stored values that are no measurements: NaN."""

    def _values(self, slab: Region) -> Array:
        stored = self.pixels.read(slab)
        real = stored.astype(np.complex128 if stored.dtype.kind == "c" else np.float64)
        real *= _part(self.slopes, slab)
        real += _part(self.intercepts, slab)
        for padding in self.no_data:
            real[is_padding(stored, padding)] = np.nan
        return real


@dataclass(frozen=True)
class PartPixels(InSlabs):
    """One part of complex ``pixels``; without it only their description can be had."""

    part: Part | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts to choose from; none if one is chosen."""
        return PARTS if self.part is None else ()

    def of_part(self, part: Part) -> PartPixels:
        """Return the pixels of ``part``."""
        return replace(self, part=part)

    def _values(self, slab: Region) -> Array:
        return part_of(self.pixels.read(slab), self.part)


@dataclass(frozen=True)
class Mirrored(InSlabs):
    """``pixels`` mirrored along some axes; in slabs, since callers would copy a view with negative strides."""

    shape: Shape
    axes: tuple[bool, ...]
    """Whether each axis is mirrored."""

    def _values(self, slab: Region) -> Array:
        there = tuple(
            slice(n - s.stop, n - s.start) if flip else s
            for s, n, flip in zip(slab, self.shape, self.axes, strict=True)
        )
        return np.flip(self.pixels.read(there), tuple(np.flatnonzero(self.axes).tolist()))


def real_dtype(stored: DType, slopes: Array, intercepts: Array) -> DType:
    """Return float32; float64 if the stored values have 32 bits or float32 cannot represent the real values."""
    steps = np.abs(slopes[slopes != 0])
    ends = np.finfo(np.float32)
    most = 65535 * np.max(np.abs(slopes)) + np.max(np.abs(intercepts))
    fits = most < ends.max and (not steps.size or steps.min() > ends.tiny)
    return np.dtype(np.float32 if stored.itemsize < 4 and fits else np.float64)


def same_for_all(slopes: Array, intercepts: Array) -> Scaling | None:
    """Return the one slope and intercept of all frames, or None when they differ."""
    if np.ptp(slopes) or np.ptp(intercepts):
        return None
    return Scaling(float(slopes.flat[0]), float(intercepts.flat[0]))


def _part(factors: Array, region: Region) -> Array:
    """Return the part of ``factors`` for ``region``; a factor of length 1 holds for the whole axis."""
    return factors[tuple(slice(None) if n == 1 else s for n, s in zip(factors.shape, region, strict=True))]
