"""Positions of patches, computed from their numbers: of grids and of random patches. No list of all is ever made.

This module defines the order of the patches. A grid counts in C order, the last axis fastest. The position of random
patch ``i`` is a function of the seed and ``i`` alone (Philox 4x64, as in numpy). So any number of workers get the same
patches in any order. Each position is drawn independently, so two may coincide.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from bigimg.types import Array, Shape

type Edge = Literal["shift", "pad", "drop"]
"""How the last patch along an axis is treated if it would reach beyond the image."""

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


class Positions(Protocol):
    """First pixels of patches, by the number of the patch."""

    @property
    def count(self) -> int:
        """How many patches there are."""

    def starts(self, numbers: Array) -> Array:
        """Return the first pixels (len(numbers), axes) of patches, int64; negative nowhere."""


@dataclass(frozen=True, slots=True)
class Line:
    """Patches along one axis of a grid."""

    size: int
    """Pixels of the image."""
    patch: int
    stride: int
    edge: Edge

    @property
    def count(self) -> int:
        """How many there are."""
        rest = self.size - self.patch
        if rest <= 0:
            return 1 if rest == 0 or self.edge == "pad" else 0
        fit = rest // self.stride + 1
        # One more for the rest; with wide gaps it may lie beyond the image, and does not count.
        more = rest % self.stride > 0 and self.edge != "drop"
        return fit + (more and (self.edge == "shift" or fit * self.stride < self.size))

    @property
    def last(self) -> int:
        """The largest first pixel."""
        return int(self.starts(np.array([self.count - 1]))[0])

    def starts(self, numbers: Array) -> Array:
        """Return the first pixel of each of ``numbers``."""
        found: Array = numbers * self.stride
        return np.minimum(found, self.size - self.patch) if self.edge == "shift" else found

    def touching(self, part: slice) -> range:
        """Return the numbers of the patches that have a pixel in ``part``.

        >>> Line(10, 4, 3, "shift").touching(slice(6, 7)), Line(11, 4, 3, "shift").touching(slice(7, 8))
        (range(1, 3), range(2, 4))
        """
        first = max(0, (part.start - self.patch) // self.stride + 1)
        stop = min(-(-part.stop // self.stride), self.count)
        if self.edge == "shift" and self.last < part.stop:  # it was moved back
            return range(min(first, self.count - 1), self.count)
        return range(first, max(first, stop))


@dataclass(frozen=True, slots=True)
class Grid:
    """Patches at even distances along each axis, the last axis fastest."""

    lines: tuple[Line, ...]

    @property
    def counts(self) -> Shape:
        """How many there are along each axis."""
        return tuple(line.count for line in self.lines)

    @property
    def count(self) -> int:
        """How many there are."""
        return math.prod(self.counts)

    def starts(self, numbers: Array) -> Array:
        """Return the first pixels of patches."""
        index = np.unravel_index(np.asarray(numbers, np.int64), self.counts)
        return np.stack([line.starts(i) for line, i in zip(self.lines, index, strict=True)], axis=-1)

    def walk(self, tile: Sequence[int]) -> Iterator[Array]:
        """Yield the numbers of all patches, tile by tile; within a tile the first axis is the slowest.

        Parameters
        ----------
        tile : sequence of int
            Sides of a tile in pixels, for each axis but the first; a tile has the full length of the first.
        """
        first, *rest = self.lines
        steps = [1, *itertools.accumulate(reversed(self.counts[1:]), lambda a, b: a * b)][::-1]
        cuts = [list(_tiles(line, side)) for line, side in zip(rest, tile, strict=True)]
        for box in itertools.product(*cuts):
            inner = np.zeros(1, np.int64)
            for numbers, step in zip(box, steps[1:], strict=True):
                inner = (inner[:, None] + np.arange(numbers.start, numbers.stop) * step).reshape(-1)
            for row in range(first.count):
                yield row * steps[0] + inner


def _tiles(line: Line, side: int) -> Iterator[range]:
    """Yield ranges of patches of ``line`` that begin in the same tile of ``side`` pixels."""
    number = 0
    while number < line.count:
        end = (number * line.stride // side + 1) * side
        after = min(line.count, max(number + 1, -(-end // line.stride)))
        yield range(number, after)
        number = after


@dataclass(frozen=True, slots=True)
class Random:
    """Random patches inside the image; every position is equally likely, and may be drawn again."""

    shape: Shape
    """Pixels of the image along the axes of the patch."""
    patch: Shape
    count: int
    key: tuple[int, int]
    """Made from the seed as numpy makes it."""

    def starts(self, numbers: Array, attempt: int | Array = 0) -> Array:
        """Return the first pixels of patches; ``attempt``, one or one each, counts draws for the same patch."""
        counters = np.zeros((len(numbers), 4), np.uint64)
        counters[:, 0] = np.asarray(numbers, np.int64).astype(np.uint64)
        counters[:, 1] = attempt
        words = philox(counters, self.key)
        choices = np.array([n - p + 1 for n, p in zip(self.shape, self.patch, strict=True)], np.uint64)
        # The high word of a product is uniform to one part in 2**64 / choices.
        return _high(
            words[:, : len(choices)], np.broadcast_to(choices, words[:, : len(choices)].shape)
        ).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of many patches."""

    positions: Positions
    chosen: range | Array

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.chosen)

    def numbers(self, ranks: Array) -> Array:
        """Return the numbers of patches among all."""
        if isinstance(self.chosen, range):
            return np.asarray(self.chosen.start + self.chosen.step * np.asarray(ranks, np.int64))
        return self.chosen[ranks]

    def starts(self, numbers: Array) -> Array:
        """Return the first pixels of patches."""
        return self.positions.starts(self.numbers(numbers))

    def within(self, chosen: range | Array) -> range | Array:
        """Return the numbers among all patches of ``chosen`` patches of this subset."""
        if isinstance(chosen, range) and isinstance(self.chosen, range):
            return self.chosen[chosen.start : None if chosen.stop < 0 else chosen.stop : chosen.step]
        return self.numbers(np.asarray(chosen, np.int64))


def key_of(seed: int) -> tuple[int, int]:
    """Return the key of the generator for ``seed``."""
    words = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    return int(words[0]), int(words[1])


def philox(counters: Array, key: tuple[int, int]) -> Array:
    """Return four random words for each counter: Philox 4x64 with ten rounds.

    Parameters
    ----------
    counters : ndarray of shape (n, 4), uint64
    key : (int, int)

    Returns
    -------
    ndarray of shape (n, 4), uint64
    """
    a, b, c, d = (counters[:, i] for i in range(4))
    for turn in range(10):
        keys = [np.uint64((k + turn * w) % 2**64) for k, w in zip(key, WEYL, strict=True)]
        first, second = (np.full_like(a, m) for m in MULTIPLIERS)
        a, b, c, d = _high(second, c) ^ b ^ keys[0], second * c, _high(first, a) ^ d ^ keys[1], first * a
    return np.stack([a, b, c, d], axis=-1)


def _high(a: Array, b: Array) -> Array:
    """Return the high 64 bits of the products of unsigned numbers."""
    low = (a & LOW) * (b & LOW)
    middle = (a >> HALF) * (b & LOW) + (low >> HALF)
    other = (a & LOW) * (b >> HALF) + (middle & LOW)
    found: Array = (a >> HALF) * (b >> HALF) + (middle >> HALF) + (other >> HALF)
    return found
