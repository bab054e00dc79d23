"""Tallies: each counts values piece by piece, and tallies of parts of an image add up in any order.

Integers of 8 and 16 bits are counted into one bin for each value; all other figures follow exactly from these.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.pyramid.partial import (
    Partial,
    dense_histogram,
    first_value,
    histogram_bins,
    merge_floats,
    merge_integers,
    of_channel,
    of_histogram,
    of_integers,
)
from bigimg.pyramid.summary import Summary, summarize
from bigimg.types import Array, DType

type Ends = tuple[Any, Any] | None
MANY = 512
"""Partial statistics that are kept before they are merged: each merge of floats rounds once more."""


class Tally(abc.ABC):
    """Counts values, and adds up other tallies of its kind."""

    left_out: int = 0
    """Values that are no measurement; the code that adds the other values counts them."""

    @abc.abstractmethod
    def add(self, values: Array) -> None:
        """Count values of any shape."""

    @abc.abstractmethod
    def merge(self, other: Any) -> None:
        """Add another tally."""


class Counts(Tally):
    """A tally of counts alone."""

    counts: Array

    def merge(self, other: Any) -> None:
        """Add another tally."""
        self.counts += other.counts


type MakeTally = Callable[[], Tally]


class Dense(Counts):
    """How often each value of an 8- or 16-bit type occurs."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.counts = np.zeros(histogram_bins(dtype), np.int64)

    def add(self, values: Array) -> None:
        """Count values."""
        if values.size:
            counts = dense_histogram(values)
            # Counted by bit pattern: negative values are the upper half.
            self.counts += np.roll(counts, len(counts) // 2) if self.dtype.kind == "i" else counts

    @property
    def part(self) -> Partial:
        """The statistics of all values."""
        return of_histogram(self.counts, first_value(self.dtype))

    @property
    def saturated(self) -> int:
        """How many have the largest value of their type."""
        return int(self.counts[-1])


def held_bytes(make: MakeTally) -> int:
    """Return the memory of a tally: half a megabyte for 16 bits, 0 for small ones."""
    if isinstance(make, partial) and make.func is Dense:
        return 8 * histogram_bins(*make.args)
    return 0


class Sums(Tally):
    """Count, sums and ends only: for types of more than 16 bits, and if many tallies are kept at once."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.parts: list[Partial] = []
        self.saturated = 0

    def add(self, values: Array) -> None:
        """Count values."""
        if not values.size:
            return
        kind = self.dtype.kind
        if kind == "f":
            self.parts.append(of_channel(values))
        else:
            self.parts.append(of_integers(values.view(np.uint8) if kind == "b" else values))
        if kind in "iu" and self.parts[-1].high == (top := np.iinfo(self.dtype).max):
            self.saturated += int(np.count_nonzero(values == top))
        if len(self.parts) >= MANY:
            self.parts = [self.part]

    def merge(self, other: Sums) -> None:
        """Add another tally."""
        self.parts += other.parts
        self.saturated += other.saturated
        if len(self.parts) >= MANY:
            self.parts = [self.part]

    @property
    def part(self) -> Partial:
        """The statistics of all values."""
        return merge_floats(self.parts) if self.dtype.kind == "f" else merge_integers(self.parts)


class Binned(Counts):
    """Counts in bins of a known range."""

    def __init__(self, bins: Any, ends: Ends, dtype: DType) -> None:
        if ends is not None and not np.isfinite(ends).all():
            raise UsageError(f"values reach from {ends[0]} to {ends[1]}: give a range= for the histogram")
        self.bins, self.ends = bins, ends
        self.edges: Array = np.histogram_bin_edges(np.empty(0, number_type(dtype)), bins, ends)
        self.counts = np.zeros(len(self.edges) - 1, np.int64)
        self.pixels = 0
        """How many values there are, also those in no bin, as NaN."""

    def add(self, values: Array) -> None:
        """Count values."""
        self.counts += np.histogram(numbers(values), self.bins, self.ends)[0]
        self.pixels += values.size

    def merge(self, other: Binned) -> None:
        """Add another tally."""
        super().merge(other)
        self.pixels += other.pixels


class Extremes(Tally):
    """Smallest and largest number."""

    def __init__(self) -> None:
        self.ends: Ends = None

    def add(self, values: Array) -> None:
        """Count values."""
        values = numbers(values)
        if values.size:
            self._widen((values.min(), values.max()))

    def merge(self, other: Extremes) -> None:
        """Add another tally."""
        self._widen(other.ends)

    def _widen(self, ends: Ends) -> None:
        if ends is not None:
            mine = ends if self.ends is None else self.ends
            self.ends = (min(mine[0], ends[0]), max(mine[1], ends[1]))


class Both(Tally):
    """Two tallies of the same values."""

    def __init__(self, first: MakeTally, second: MakeTally) -> None:
        self.first, self.second = first(), second()

    def add(self, values: Array) -> None:
        """Count values."""
        self.first.add(values)
        self.second.add(values)

    def merge(self, other: Both) -> None:
        """Add another tally."""
        self.first.merge(other.first)
        self.second.merge(other.second)


def numbers(values: Array) -> Array:
    """Return ``values`` in one row, without NaN."""
    if values.dtype.kind == "b":
        return values.reshape(-1).view(np.uint8)
    return values[~np.isnan(values)] if values.dtype.kind == "f" else values.reshape(-1)


def number_type(dtype: DType) -> DType:
    """Return ``dtype``, but uint8 for booleans, which numpy counts with a warning."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def dense_values(dtype: DType) -> Array:
    """Return the values that the bins of a dense histogram count."""
    found: Array = (first_value(dtype) + np.arange(histogram_bins(dtype))).astype(number_type(dtype))
    return found


def rebin(counts: Array, values: Array, bins: Any, ends: Ends) -> tuple[Array, Array]:
    """Return counts (c, bin) and edges from counts (c, value) of ``values``, as numpy would of all pixels."""
    seen = values[counts.any(axis=0)]
    if ends is None and seen.size:
        ends = (seen.min(), seen.max())
    edges = np.histogram_bin_edges(seen, bins, ends)
    # numpy adds weights in float64, which is exact up to 2**53; so counts are added as two halves of 32 bits.
    rows = [
        sum(
            np.histogram(values, bins, ends, weights=half)[0].astype(np.int64) << shift
            for half, shift in ((row & 0xFFFFFFFF, 0), (row >> 32, 32))
        )
        for row in counts.astype(np.int64)
    ]
    return np.stack(rows), edges


def summary_of(tally: Any) -> Summary:
    """Return the statistics that a tally holds."""
    main: Any = tally.first if isinstance(tally, Both) else tally
    part, dtype = main.part, main.dtype
    saturated = main.saturated if dtype.kind in "iu" else None
    found = summarize(part, floats=dtype.kind == "f", saturated=saturated)
    return replace(found, nan=found.nan + tally.left_out)


def kinds(dtype: DType, ends: DType, pixels: int) -> dict[str, DType]:
    """Return the types of the statistics of ``pixels`` values of type ``dtype``, min and max in ``ends``."""
    real, count = np.dtype(np.float64), np.dtype(np.int64)
    found = {"count": count, "min": ends, "max": ends, "mean": real, "std": real}
    if dtype.kind == "f":
        return {**found, "sum": real, "nan": count}
    found["sum"] = _sum_type(dtype, pixels)
    return found | ({"saturated": count} if dtype.kind in "iu" else {})


def _sum_type(dtype: DType, pixels: int) -> DType:
    """Return numpy's own type of a sum; Python integers where so many of the largest values would not fit it."""
    wide = np.dtype(np.uint64 if dtype.kind == "u" else np.int64)
    largest = 1 if dtype.kind == "b" else max(-int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return wide if pixels * largest <= np.iinfo(wide).max else np.dtype(object)
