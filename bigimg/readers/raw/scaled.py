"""Real values where one slope does not hold for all: each frame by its own slope and intercept, slab by slab.

``ImageSpec.scaling`` is one straight line for the whole image. PAR/REC has one a slice, AFNI one a volume, MINC one a
slice: there the stored numbers of two frames cannot be compared, so the reader gives real values instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bigimg.geometry.region import full, pieces, shape_of, shift
from bigimg.geometry.spec import Scaling
from bigimg.reader import Access
from bigimg.readers.raw.plain import Pixels
from bigimg.types import Array, DType, Region, Shape

SLAB = 1 << 16
"""Values worked on at once, in float64: they stay in the cache."""
SLAB_BYTES = 2 << 20
"""Memory of one such slab beside the result: float64 and the stored values, with room."""


@dataclass(frozen=True)
class ScaledPixels:
    """``slope * stored + intercept`` of ``pixels``, computed in float64."""

    pixels: Pixels
    slopes: Array
    """As many axes as the pixels; length 1 along those where it is the same."""
    intercepts: Array
    dtype: DType
    """Of the result."""
    limits: tuple[float, float] | None = None
    """Stored values are cut to these first, as MINC wants of its valid range."""

    def read(self, region: Region) -> Array:
        """Return the real values of ``region``."""
        result = np.empty(shape_of(region), self.dtype)
        start = tuple(s.start for s in region)
        for _, part in pieces(shift(region, start), slab_shape(result.shape)):
            place = tuple(slice(s.start + o, s.stop + o) for s, o in zip(part, start, strict=True))
            real = self.pixels.read(place).astype(np.float64)
            if self.limits is not None:
                np.clip(real, *self.limits, out=real)
            real *= _of(self.slopes, place)
            real += _of(self.intercepts, place)
            result[part] = real
        return result

    def close(self) -> None:
        """Let go of the file."""
        self.pixels.close()


def slab_shape(shape: Shape) -> Shape:
    """Return the largest part of ``shape`` of at most ``SLAB`` values that is whole along the fastest axes.

    >>> slab_shape((5, 400, 500))
    (1, 131, 500)
    """
    left = SLAB
    found: list[int] = []
    for size in reversed(shape):
        found.append(max(1, min(size, left)))
        left = left // size if found[-1] == size else 0  # beyond an axis that is cut, one of each
    return tuple(reversed(found))


def real_dtype(stored: DType, slopes: Array, intercepts: Array) -> DType:
    """Return the type of real values: float32, or float64 where 32 bits are stored or float32 has no such values."""
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


def _of(factors: Array, region: Region) -> Array:
    """Return the part of ``factors`` for ``region``."""
    whole = full(factors.shape)
    part: Array = factors[
        tuple(w if n == 1 else s for w, n, s in zip(whole, factors.shape, region, strict=True))
    ]
    return part


def scaled_access(access: Access, what: str) -> Access:
    """Return how real values can be had where the stored ones can as ``access`` says."""
    return replace(
        access, why=f"{access.why}, scaled {what} by {what}", read_bytes=access.read_bytes + SLAB_BYTES
    )
