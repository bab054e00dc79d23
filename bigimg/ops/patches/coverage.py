"""Patches that a mask covers enough: the mask selects them before a pixel of the image is read.

For a grid the true pixels of every patch are counted once, when they are first needed, in boxes of a few megabytes of
mask. One bit for each patch is kept, packed and deflated, so a billion patches take about as much memory as the mask's
outline. A random patch is drawn again until the mask covers it: patch ``i`` is its first draw that is covered.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_right
from collections.abc import Iterator

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.region import shape_of
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.positions import Grid, Random
from bigimg.system.shared import Lock
from bigimg.types import Array, Shape

AT_ONCE = 256
"""Draws that are made together, if few patches are left."""
DRAWS = 10_000
"""Draws of one random patch before the search ends with an error."""


class CoveredGrid:
    """The patches of a grid with a share of true pixels of at least ``least``; pixels beyond the image are false.

    Parameters
    ----------
    grid : Grid
    mask : Cutter
        Cuts the patches of the grid out of a mask of booleans.
    least : float
        Between 0 and 1.
    """

    def __init__(self, grid: Grid, mask: Cutter, least: float) -> None:
        self.grid, self.mask, self.least = grid, mask, least
        self._lock = Lock()
        self._boxes: list[tuple[int, int, bytes]] | None = None
        self._ranks: list[int] = [0]

    @property
    def counted(self) -> bool:
        """Whether the mask was read."""
        return self._boxes is not None

    @property
    def count(self) -> int:
        """How many there are; reads the mask, the first time."""
        self._count()
        return self._ranks[-1]

    def starts(self, numbers: Array) -> Array:
        """Return the first pixels of patches."""
        return self.grid.starts(self.cells(numbers))

    def cells(self, numbers: Array) -> Array:
        """Return which patches of the whole grid those numbered ``numbers`` are."""
        boxes = self._count()
        numbers = np.asarray(numbers, np.int64)
        found = np.empty(len(numbers), np.int64)
        if not len(numbers):
            return found
        box_of = np.array([bisect_right(self._ranks, int(n)) - 1 for n in numbers])
        for box in np.unique(box_of).tolist():
            first, length, packed = boxes[box]
            bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), np.uint8), count=length)
            here = box_of == box
            found[here] = first + np.flatnonzero(bits)[numbers[here] - self._ranks[box]]
        return found

    def _count(self) -> list[tuple[int, int, bytes]]:
        with self._lock:
            if self._boxes is None:
                boxes = []
                for first, covered in self._covered():
                    if covered.any():  # first cell, number of cells, which of them
                        boxes.append((first, covered.size, zlib.compress(np.packbits(covered).tobytes(), 1)))
                        self._ranks.append(self._ranks[-1] + int(covered.sum()))
                self._boxes = boxes
            return self._boxes

    def _covered(self) -> Iterator[tuple[int, Array]]:
        """Yield the number of a first cell and which of the cells from there on are covered, in C order."""
        *outer, rows, columns = self.grid.counts
        line, last = self.grid.lines[-2], self.grid.lines[-1]
        full = math.prod(self.mask.patch)
        depth = full // (line.patch * last.patch)
        width = max(1, (self.mask.box_bytes // (depth * line.patch) - last.patch) // last.stride + 1)
        height = max(1, (self.mask.box_bytes // (depth * last.size) - line.patch) // line.stride + 1)
        for number, index in enumerate(np.ndindex(*outer)):
            for top in range(0, rows, height):
                many = min(height, rows - top)
                step = width if many == 1 else columns
                parts = [
                    self._sums((*index, top, left), (many, min(step, columns - left)))
                    for left in range(0, columns, step)
                ]
                sums = np.concatenate(parts, axis=-1).reshape(-1)
                yield (number * rows + top) * columns, sums / full >= self.least

    def _sums(self, index: Shape, counts: Shape) -> Array:
        """Return how many pixels are true in each patch of a box of cells, along the last two axes."""
        outer = len(index) - 2
        starts = [
            line.starts(np.arange(i, i + n))
            for line, i, n in zip(self.grid.lines, index, (*(1,) * outer, *counts), strict=True)
        ]
        whole = [slice(0, n) for n in self.mask.patch]
        for axis, line, begin in zip(self.mask.axes, self.grid.lines, starts, strict=True):
            whole[axis] = slice(int(begin[0]), min(int(begin[-1]) + line.patch, line.size))
        region = tuple(whole)
        box = self.mask.reader.read(region)
        kept = (self.mask.axes[-2], self.mask.axes[-1])
        sums = box.sum(axis=tuple(i for i in range(box.ndim) if i not in kept), dtype=np.int64)
        for axis, line, begin in zip((0, 1), self.grid.lines[-2:], starts[-2:], strict=True):
            size = shape_of(region)[kept[axis]]
            ahead = np.zeros(tuple(n + (i == axis) for i, n in enumerate(sums.shape)), np.int64)
            np.cumsum(sums, axis=axis, out=ahead[1:] if axis == 0 else ahead[:, 1:])
            low = begin - begin[0]
            high = np.minimum(low + line.patch, size)
            sums = ahead.take(high, axis) - ahead.take(low, axis)
        return sums


class CoveredRandom:
    """Random patches with a share of true pixels of at least ``least``."""

    counted = True

    def __init__(self, draw: Random, mask: Cutter, least: float) -> None:
        self.draw, self.mask, self.least = draw, mask, least
        self.count = draw.count

    def starts(self, numbers: Array) -> Array:
        """Return the first pixels of patches.

        Raises
        ------
        UsageError
            No draw of one of them was covered enough.
        """
        found = np.empty((len(numbers), len(self.draw.patch)), np.int64)
        if len(numbers):  # one alone first, so that the error comes early
            self._search(numbers[:1], found[:1])
            self._search(numbers[1:], found[1:])
        return found

    def _search(self, numbers: Array, out: Array) -> None:
        waiting, attempt = np.arange(len(numbers)), 0
        while len(waiting) and attempt < DRAWS:
            several = min(max(1, AT_ONCE // len(waiting)), DRAWS - attempt)
            draws = np.repeat(np.arange(attempt, attempt + several), len(waiting))
            drawn = self.draw.starts(np.tile(numbers[waiting], several), draws)
            left = np.arange(len(waiting))
            for starts in drawn.reshape(several, len(waiting), -1):
                covered = self._enough(starts[left])
                out[waiting[left[covered]]] = starts[left[covered]]
                left = left[~covered]
            waiting, attempt = waiting[left], attempt + several
        if len(waiting):
            raise UsageError(
                f"min_fraction={self.least:g}: no patch of {DRAWS} drawn is covered as much by the mask; give a "
                "smaller one, or a grid (stride=) in place of n="
            )

    def _enough(self, starts: Array) -> Array:
        order = np.lexsort(starts.T[::-1])
        enough = np.empty(len(starts), bool)
        for i in order.tolist():
            window = self.mask.read(starts[i].tolist())
            enough[i] = np.count_nonzero(window) / window.size >= self.least
        return enough
