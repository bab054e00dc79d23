"""Statistics of one block, and their merge into statistics of the image.

Statistics of integers are exact. 8- and 16-bit pixels are counted in a dense histogram, which gives count, sum, sum of
squares, min and max; wider integers are added in halves. For floats each block has a mean and squared deviations from
it. :func:`math.fsum` merges them, and its result does not depend on their order.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bigimg.geometry.holes import as_json as boxes_as_json
from bigimg.geometry.padding import as_json, is_padding
from bigimg.types import Array, DType, Json, Padding, Region

PIECE = 1 << 18
"""Pixels that are counted at once: a piece and numpy's copy of it (8 bytes a pixel) stay in the cache. 16-bit pixels
are counted at 1.5 GB/s; a whole block at once reaches 0.8 and takes 8 bytes of memory a pixel. libvips reaches
2.3 GB/s, but takes 31 MB and 0.1 s to load."""


@dataclass(frozen=True, slots=True)
class Partial:
    """Statistics of one channel in one block."""

    count: int
    """Values that are counted."""
    nan: int = 0
    """Values that are left out: NaN, padding, or in holes."""
    low: int | float | None = None
    """Smallest value; None if no value is counted."""
    high: int | float | None = None
    total: int | float = 0
    squares: int | float = 0
    """Sum of squares for integers; sum of squared deviations from the block's mean for floats."""
    histogram: Array | None = None
    """Counts of every possible value of an 8- or 16-bit integer, from the smallest up."""


def histogram_bins(dtype: DType) -> int:
    """Return the number of bins of the dense histogram of ``dtype``; 0 if it has none."""
    if dtype.kind == "b":
        return 2
    return 1 << 8 * dtype.itemsize if dtype.kind in "ui" and dtype.itemsize <= 2 else 0


def first_value(dtype: DType) -> int:
    """Return the value that the first bin counts."""
    return int(np.iinfo(dtype).min) if dtype.kind == "i" else 0


def of_channel(values: Array, padding: Padding | None = None, holes: Array | None = None) -> Partial:
    """Return the statistics of a block of one channel.

    Parameters
    ----------
    values : ndarray
    padding : (low, high), optional
        First and last value that is no measurement; these values are left out.
    holes : ndarray of bool, optional
        Pixels that are left out whatever their values.
    """
    if holes is not None:
        there = values[~holes]
        empty = not there.size and not histogram_bins(values.dtype)
        found = Partial(0) if empty else of_channel(there, padding)
        return replace(found, nan=found.nan + values.size - there.size)
    if padding is not None and values.dtype.kind != "b":
        return _without(values, padding)
    if bins := histogram_bins(values.dtype):
        histogram = dense_histogram(values)
        if values.dtype.kind == "i":  # values are counted by bit pattern: negative ones are the upper half
            histogram = np.roll(histogram, bins // 2)
        return Partial(values.size, histogram=histogram)
    values = np.ascontiguousarray(values)
    return _of_floats(values) if values.dtype.kind == "f" else of_integers(values)


def _without(values: Array, padding: Padding) -> Partial:
    """Return the statistics of ``values`` that are no padding."""
    if not histogram_bins(values.dtype):
        counted = values[~is_padding(values, padding)]
        found = of_channel(counted) if counted.size else Partial(0)
        return replace(found, nan=values.size - found.count)
    histogram = of_channel(values).histogram
    assert histogram is not None
    low, high = map(int, padding)
    first = first_value(values.dtype)
    histogram[max(0, low - first) : max(0, high - first + 1)] = 0
    count = int(histogram.sum())
    return Partial(count, values.size - count, histogram=histogram)


def dense_histogram(values: Array) -> Array:
    """Return how often each bit pattern occurs in 8- or 16-bit ``values``, as int64."""
    from PIL import Image  # imported here: it takes 10 ms, which is not needed to print statistics

    bins = histogram_bins(values.dtype)
    counts = np.zeros(bins, np.int64)
    for piece in _pieces(values):
        if values.dtype.itemsize == 1:
            flat = piece.view(np.uint8)
            # A constant piece would be counted at a fifth of the speed, and background is common.
            if flat[0] == flat[-1] == flat[flat.size // 2] and flat.min() == flat.max():
                counts[flat[0]] += flat.size
                continue
            # Four channels are counted in four tables: similar neighbours then add to different tables.
            fours = flat.size // 4
            if fours:
                image = Image.frombuffer("CMYK", (fours, 1), flat[: 4 * fours], "raw", "CMYK", 0, 1)
                counts += np.reshape(image.histogram(), (4, 256))[:, :bins].sum(0)
            counts += np.bincount(flat[4 * fours :], minlength=bins)
        else:
            found = np.bincount(piece.view(np.uint16))
            counts[: found.size] += found  # 12-bit pixels fill a sixteenth of the bins
    return counts


def _pieces(values: Array) -> Iterator[Array]:
    """Yield ``values`` in flat pieces of about ``PIECE`` pixels; a block with strides is never copied as a whole."""
    if values.flags.c_contiguous:
        flat = values.reshape(-1)
        step = PIECE if values.dtype.itemsize > 1 else max(1, flat.size)
        for start in range(0, flat.size, step):
            yield flat[start : start + step]
    elif values.ndim > 1 and values.size > PIECE:
        rows = max(1, PIECE // (values.size // len(values)))
        for start in range(0, len(values), rows):
            yield from _pieces(values[start : start + rows] if rows > 1 else values[start])
    else:
        yield np.ascontiguousarray(values).reshape(-1)


def _of_floats(values: Array) -> Partial:
    finite = values[~np.isnan(values)] if np.isnan(values).any() else values.reshape(-1)
    nan = values.size - finite.size
    if not finite.size:
        return Partial(0, nan)
    with np.errstate(invalid="ignore", over="ignore"):
        total = finite.sum(dtype=np.float64)
        squares = 0.0
        for start in range(
            0, finite.size, PIECE
        ):  # a float64 copy of the whole block would double its memory
            deviation = finite[start : start + PIECE] - total / finite.size
            squares += float(np.square(deviation, out=deviation).sum())
    return Partial(finite.size, nan, float(finite.min()), float(finite.max()), float(total), squares)


def of_integers(values: Array) -> Partial:
    """Return the statistics of integers of any type, from sums only."""
    total = squares = 0
    flat = values.reshape(-1)
    small = flat.dtype.itemsize <= 2
    step = PIECE // 4 if small else PIECE  # small ones are added as int64, which are to stay in the cache
    for start in range(0, flat.size, step):
        piece = flat[start : start + step]
        if small:  # 2**16 squares of 32 bits stay far below 2**63
            wide = piece.astype(np.int64)
            total += int(wide.sum())
            squares += int(np.dot(wide, wide))
        elif max(abs(int(piece.min())), abs(int(piece.max()))) < 1 << 32:
            total += int(piece.sum(dtype=np.int64))
            squares += _exact_sum(np.square(np.abs(piece.astype(np.int64)).astype(np.uint64)))
        else:  # high * 2**32 + low
            high, low = piece >> piece.dtype.type(32), piece & piece.dtype.type(0xFFFFFFFF)
            total += (int(high.sum()) << 32) + int(low.sum())
            squares += _exact_sum(np.square(np.abs(high.astype(np.int64)).astype(np.uint64))) << 64
            squares += _exact_sum(np.square(low.astype(np.uint64))) + (_exact_sum(high * low) << 33)
    return Partial(flat.size, 0, int(flat.min()), int(flat.max()), total, squares)


def _exact_sum(numbers: Array) -> int:
    """Return the sum of at most 2**18 integers of 64 bits; sums of their halves stay far below 2**64."""
    half = numbers.dtype.type(32)
    return (int((numbers >> half).sum()) << 32) + int((numbers & numbers.dtype.type(0xFFFFFFFF)).sum())


class Accumulator:
    """Adds up the partial statistics of each channel, in memory that does not grow with the image."""

    def __init__(
        self, dtype: DType, channels: int, padding: Padding | None = None, missing: Sequence[Region] = ()
    ) -> None:
        self.dtype = dtype
        self.padding, self.missing = padding, missing
        self.left_out = [0] * channels
        self.floats = [MergedFloats() for _ in range(channels)]
        self.sums = [Partial(0) for _ in range(channels)]
        bins = histogram_bins(dtype)
        self.histogram: Array | None = np.zeros((channels, bins), np.int64) if bins else None

    def add(self, channel: int, part: Partial) -> None:
        """Add the statistics of one block of ``channel``."""
        if self.histogram is not None and part.histogram is not None:
            self.histogram[channel] += part.histogram
            self.left_out[channel] += part.nan
        elif self.dtype.kind == "f":
            self.floats[channel].add(part)
        else:
            self.sums[channel] = merge_integers((self.sums[channel], part))

    def result(self, names: Sequence[str]) -> dict[str, Json]:
        """Return the statistics of each channel as JSON-safe values, exact integers or floats."""
        merged = [self._merged(channel) for channel in range(len(self.sums))]
        deviations = self.dtype.kind == "f"
        left_out: dict[str, Json] = {} if self.padding is None else {"padding": as_json(self.padding)}
        if self.missing:
            left_out["missing"] = boxes_as_json(self.missing)
        return left_out | {
            "channels": [
                {
                    "name": names[i] if names else None, "count": part.count, "nan": part.nan, "min": part.low,
                    "max": part.high, "sum": part.total, "sum_squares": None if deviations else part.squares,
                    "squared_deviations": part.squares if deviations else None,
                }
                for i, part in enumerate(merged)
            ]
        }  # fmt: skip

    def _merged(self, channel: int) -> Partial:
        if self.histogram is not None:
            found = of_histogram(self.histogram[channel], first_value(self.dtype))
            return replace(found, nan=self.left_out[channel])
        return self.floats[channel].result() if self.dtype.kind == "f" else self.sums[channel]


def of_histogram(histogram: Array, first: int) -> Partial:
    """Return the exact statistics of a dense histogram of integers."""
    (seen,) = np.nonzero(histogram)
    if not seen.size:
        return Partial(0)
    counts, values = histogram[seen].tolist(), (seen + first).tolist()
    squares = math.sumprod(counts, [v * v for v in values])
    return Partial(sum(counts), 0, values[0], values[-1], math.sumprod(counts, values), squares)


def merge_integers(parts: Sequence[Partial]) -> Partial:
    """Return the merged statistics of ``parts`` of an integer channel, without histograms."""
    low = min((p.low for p in parts if p.low is not None), default=None)
    high = max((p.high for p in parts if p.high is not None), default=None)
    count, nan = sum(p.count for p in parts), sum(p.nan for p in parts)
    return Partial(count, nan, low, high, sum(p.total for p in parts), sum(p.squares for p in parts))


def merge_floats(parts: Iterable[Partial]) -> Partial:
    """Return the merged statistics of ``parts`` of a float channel; their order does not matter."""
    merged = MergedFloats()
    for part in parts:
        merged.add(part)
    return merged.result()


class MergedIntegers:
    """Adds up the statistics of blocks of an integer channel."""

    def __init__(self) -> None:
        self.count = self.nan = 0
        self.histogram: Array | None = None
        self.others = Partial(0)

    def add(self, part: Partial) -> None:
        """Add the statistics of one block; the histogram of the first one becomes that of all."""
        if part.histogram is None:
            self.others = merge_integers((self.others, part))
            return
        self.count += part.count
        self.nan += part.nan
        if self.histogram is None:
            self.histogram = part.histogram
        else:
            self.histogram += part.histogram

    def result(self) -> Partial:
        """Return the statistics of all blocks."""
        if self.histogram is None:
            return self.others
        return Partial(self.count, self.nan, histogram=self.histogram)


class MergedFloats:
    """Adds up the statistics of blocks of a float channel; it keeps three numbers of each."""

    def __init__(self) -> None:
        self.ends = Partial(0)
        self.counts, self.totals, self.squares = array("q"), array("d"), array("d")

    def add(self, part: Partial) -> None:
        """Add the statistics of one block."""
        ends = self.ends
        if not part.count:
            self.ends = replace(ends, nan=ends.nan + part.nan)
            return
        self.ends = merge_integers((ends, replace(part, total=0, squares=0)))
        self.counts.append(part.count)
        self.totals.append(part.total)
        self.squares.append(part.squares)

    def result(self) -> Partial:
        """Return the statistics of all blocks."""
        ends = self.ends
        if not ends.count:
            return ends
        total = _fsum(self.totals)
        mean = total / ends.count
        between = array("d", (n * (t / n - mean) ** 2 for n, t in zip(self.counts, self.totals, strict=True)))
        squares = _fsum(self.squares) + _fsum(between)
        return replace(ends, total=total, squares=squares)


def _fsum(numbers: array[float]) -> float:
    """Return the exact sum, rounded once; infinities and NaN are added as IEEE 754 defines."""
    if all(map(math.isfinite, numbers)):
        return math.fsum(numbers)
    with np.errstate(invalid="ignore"):
        return float(np.sum(numbers))
