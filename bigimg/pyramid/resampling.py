"""Weighted sums along each axis: windows that end within pixels, and Gaussians that reach beyond their windows.

A pixel of the result depends only on its position in the whole image, and its terms are added in a fixed order, so each
cut into blocks gives the same numbers. Weights are whole numbers, and their sum is divided by at the end. Sums of
integers are exact up to 2**53, so rounding half to even applies to the true mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bigimg.geometry.holes import hole_value
from bigimg.geometry.padding import absent_from
from bigimg.types import Array, DType, Padding, Region


class Weights(Protocol):
    """The pixels along one axis that make each pixel of the result, and their weights."""

    def table(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return first pixels (m) and weights (m, k) of the results ``start`` to ``stop``; weight 0 means no pixel."""


@dataclass(frozen=True, slots=True)
class Area:
    """Each pixel of the result is the mean of the area that it covers; parts of pixels count in proportion.

    The source has the length ``length``, and each of its pixels ``step``; the last pixel of a level may reach beyond.
    """

    length: int
    target: int
    step: int = 1

    def table(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return the table in units of 1 / target: a result has ``length`` of them, a pixel ``step * target``."""
        pixel = self.step * self.target
        common = np.gcd(self.length, pixel)
        long, short = self.length // common, pixel // common
        left = np.arange(start, stop, dtype=np.int64)[:, None] * long
        first = left // short
        edges = (first + np.arange(-(-long // short) + 2)) * short
        inside = np.minimum(edges[:, 1:], left + long) - np.maximum(edges[:, :-1], left)
        return first[:, 0], np.maximum(inside, 0).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Smooth:
    """A Gaussian of variance (f**2 - 1) / 4 at the centres of windows of f pixels: the mean of f pixels, three times.

    For f = 2 the weights are 1 3 3 1, as in a stored level. Two such levels have the variance of f = 4.
    """

    size: int
    factor: int

    def table(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return the table; weights beyond the image are 0."""
        box = np.ones(self.factor)
        line = np.convolve(np.convolve(box, box), box)
        first = np.arange(start, stop, dtype=np.int64) * self.factor - (self.factor - 1)
        pixels = first[:, None] + np.arange(line.size)
        weights = np.where((pixels >= 0) & (pixels < self.size), line, 0.0)
        return first, weights


def needed(weights: Sequence[Weights | None], region: Region) -> Region:
    """Return the region of the pixels that the results in ``region`` need; weights of None leave an axis unchanged."""
    found = []
    for along, part in zip(weights, region, strict=True):
        if along is None:
            found.append(part)
            continue
        ends = []
        for where in (part.start, part.stop - 1):
            first, table = along.table(where, where + 1)
            used = np.flatnonzero(table[0])
            ends += [int(first[0] + used[0]), int(first[0] + used[-1]) + 1]
        found.append(slice(ends[0], ends[-1]))
    return tuple(found)


def resample(
    block: Array,
    weights: Sequence[Weights | None],
    source: Region,
    region: Region,
    padding: Padding | None = None,
    holes: Array | None = None,
) -> Array:
    """Return the results in ``region`` from ``block``, the pixels of ``source``; same dtype.

    Integers are rounded half to even; booleans are True from one half on. Values of ``padding``, NaN and pixels
    in ``holes`` do not count; a result without any other pixel is what stands in holes.
    """
    share: Array | None = None
    if (absent := absent_from(block, padding, holes)) is not None:
        block = np.where(absent, block.dtype.type(0), block)
        share = _totals(~absent, weights, source, region)[0]
    if block.dtype.kind in "ui" and block.dtype.itemsize == 8:
        result = _resample_wide(block, weights, source, region, share)
    else:
        result = _typed(_means(block, weights, source, region, share), block.dtype)
    if share is not None:
        np.copyto(result, block.dtype.type(hole_value(block.dtype, padding)), where=share == 0)
    return result


def _means(
    block: Array, weights: Sequence[Weights | None], source: Region, region: Region, share: Array | None
) -> Array:
    """Return the results in float64; ``share`` are the weights of the pixels that count, of all by default."""
    total, divisor = _totals(block, weights, source, region)
    if share is not None:
        divisor = np.maximum(share, np.finfo(np.float64).tiny)
    with np.errstate(invalid="ignore", over="ignore"):
        mean: Array = np.divide(total, divisor, dtype=np.float64)
    return mean


def _totals(
    block: Array, weights: Sequence[Weights | None], source: Region, region: Region
) -> tuple[Array, Array]:
    """Return the weighted sums in float64, and the sums of the weights."""
    total, divisor = block, np.ones((1,) * block.ndim)
    for axis, along in enumerate(weights):
        if along is not None:
            first, table = along.table(region[axis].start, region[axis].stop)
            total = _weighted(total, axis, first - source[axis].start, table)
            line = table.sum(axis=1)
            divisor = divisor * line.reshape(-1, *[1] * (block.ndim - axis - 1))
    return total, divisor


def _resample_wide(
    block: Array, weights: Sequence[Weights | None], source: Region, region: Region, share: Array | None
) -> Array:
    """Return results of 64-bit integers, computed from their halves: float64 would lose the last digits."""
    high = _means(block >> 32, weights, source, region, share)
    low = _means(block & 0xFFFFFFFF, weights, source, region, share)
    whole = np.floor(high)
    rest = np.rint((high - whole) * 2.0**32 + low).astype(block.dtype)
    wide: Array = (whole.astype(block.dtype) << 32) + rest
    return wide


def _weighted(block: Array, axis: int, first: Array, table: Array) -> Array:
    """Return sums along ``axis``; each term is one pixel for each result."""
    lines = np.moveaxis(block, axis, 0)
    total = np.zeros((len(first), *lines.shape[1:]))
    shape = (-1, *[1] * (lines.ndim - 1))
    with np.errstate(invalid="ignore", over="ignore"):
        for term in range(table.shape[1]):
            used = np.flatnonzero(table[:, term])
            if len(used) == len(first):
                total += table[:, term].reshape(shape) * lines[first + term]
            elif len(used):
                # Weights of 0 are skipped: 0 times an infinite neighbour is NaN.
                total[used] += table[used, term].reshape(shape) * lines[first[used] + term]
    return np.moveaxis(total, 0, axis)


def _typed(mean: Array, dtype: DType) -> Array:
    if dtype.kind == "b":
        return mean >= 0.5
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        mean = np.clip(np.rint(mean), limits.min, limits.max)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(mean.astype(dtype))
