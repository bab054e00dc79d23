"""Weighted sums along each axis: windows that do not end on pixels, and Gaussians that reach beyond them.

What a pixel of the result is made of depends on its place in the whole image alone, and its terms are added in
one order, so any cut into blocks gives the same numbers. The weights are whole numbers and are divided by at the
end: sums of integers stay exact to 2**53, and rounding half to even is that of the true mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bigimg.types import Array, DType, Region


class Weights(Protocol):
    """Which pixels along one axis make the pixels of the result, and with which weights."""

    def table(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return first pixels (m) and weights (m, k) of the results ``start`` to ``stop``; 0 is no pixel."""


@dataclass(frozen=True, slots=True)
class Area:
    """Each pixel of the result is the mean of what it covers: parts of pixels count as such.

    The source is ``length`` long and a pixel of it ``step``: the last one of a level may stick out.
    """

    length: int
    target: int
    step: int = 1

    def table(self, start: int, stop: int) -> tuple[Array, Array]:
        """In units of 1 / target, a result is as long as ``length``, and a pixel as ``step * target``."""
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
    """A Gaussian of variance (f**2 - 1) / 4, in middles of windows of f pixels: a mean of f, three times over.

    For f = 2 these are the weights 1 3 3 1 of a stored level, and two levels in turn have the variance of f = 4.
    """

    size: int
    factor: int

    def table(self, start: int, stop: int) -> tuple[Array, Array]:
        """Weights beyond the image are left out."""
        box = np.ones(self.factor)
        line = np.convolve(np.convolve(box, box), box)
        first = np.arange(start, stop, dtype=np.int64) * self.factor - (self.factor - 1)
        places = first[:, None] + np.arange(line.size)
        weights = np.where((places >= 0) & (places < self.size), line, 0.0)
        return first, weights


def needed(weights: Sequence[Weights | None], region: Region) -> Region:
    """Return which pixels the results in ``region`` are made of; None leaves an axis as it is."""
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


def resample(block: Array, weights: Sequence[Weights | None], source: Region, region: Region) -> Array:
    """Return the results in ``region`` from ``block``, the pixels of ``source``; same dtype.

    Integers are rounded half to even, booleans true from one half.
    """
    if block.dtype.kind in "ui" and block.dtype.itemsize == 8:
        return _resample_wide(block, weights, source, region)
    return _typed(_means(block, weights, source, region), block.dtype)


def _means(block: Array, weights: Sequence[Weights | None], source: Region, region: Region) -> Array:
    """Return the results in float64."""
    total, divisor = block, np.ones((1,) * block.ndim)
    for axis, along in enumerate(weights):
        if along is not None:
            first, table = along.table(region[axis].start, region[axis].stop)
            total = _weighted(total, axis, first - source[axis].start, table)
            line = table.sum(axis=1)
            divisor = divisor * line.reshape(-1, *[1] * (block.ndim - axis - 1))
    with np.errstate(invalid="ignore", over="ignore"):
        mean: Array = np.divide(total, divisor, dtype=np.float64)
    return mean


def _resample_wide(block: Array, weights: Sequence[Weights | None], source: Region, region: Region) -> Array:
    """Return results of 64-bit integers by their halves: a float64 would lose the last digits."""
    high = _means(block >> 32, weights, source, region)
    low = _means(block & 0xFFFFFFFF, weights, source, region)
    whole = np.floor(high)
    rest = np.rint((high - whole) * 2.0**32 + low).astype(block.dtype)
    wide: Array = (whole.astype(block.dtype) << 32) + rest
    return wide


def _weighted(block: Array, axis: int, first: Array, table: Array) -> Array:
    """Return sums along ``axis``, term by term: a term is one pixel for each result."""
    lines = np.moveaxis(block, axis, 0)
    total = np.zeros((len(first), *lines.shape[1:]))
    shape = (-1, *[1] * (lines.ndim - 1))
    with np.errstate(invalid="ignore", over="ignore"):
        for term in range(table.shape[1]):
            used = np.flatnonzero(table[:, term])
            if len(used) == len(first):
                total += table[:, term].reshape(shape) * lines[first + term]
            elif len(used):
                # Not times 0, which makes NaN of an infinite neighbour.
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
