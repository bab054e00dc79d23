"""Joining the patches of a grid to one image: each pixel is a weighted mean of the patches that cover it.

Weights along an axis are multiples of 1/512 whose sum is exactly 1 where patches overlap. Sums are in float64 and in
the order of the patches. So patches that agree give back their values bit for bit, and a region has the same values in
any block, on any worker and in any order.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.ops.patches.positions import Grid, Line
from bigimg.reader import Access
from bigimg.types import Array, Json, Region, Shape

type Blend = Literal["hann", "linear", "crop"]
"""A smooth or a linear transition from one patch to the next, or none: each pixel from the patch it is most inside."""

STEPS = 512
"""Steps of a weight: nine bits for each axis, so three axes and a float32 fit the 53 bits of the sums."""


class Maker(Protocol):
    """Makes the pixels of patches, with the axes of the result."""

    @property
    def identity(self) -> Json:
        """The same for the same pixels in another process; None if that is not known."""

    def make(self, cells: Sequence[range]) -> Iterator[tuple[Shape, Array]]:
        """Yield index and pixels of the patches in a box of the grid, in C order."""


@functools.lru_cache(maxsize=4096)
def weights(line: Line, number: int, blend: Blend) -> Array:
    """Return the weights along the pixels of one patch, float32; with those of its neighbours they add up to 1.

    Beyond the image they have no meaning.
    """
    start = int(line.starts(np.array([number]))[0])
    near = line.touching(slice(start, start + line.patch))
    begins = line.starts(np.arange(near.start, near.stop))
    inside = start + np.arange(line.patch) - begins[:, None]  # pixel within each of them
    depth = np.minimum(inside + 1, line.patch - inside).clip(0)  # how far from its edges
    if blend == "hann":
        share = np.where(depth > 0, np.sin(np.pi * (depth - 0.5) / line.patch) ** 2, 0.0)
    else:
        share = depth.astype(np.float64)
    best = share.argmax(axis=0)  # the first of equals
    if blend == "crop":
        steps = np.zeros(share.shape, np.int64)
    else:
        steps = np.floor(STEPS * share / share.sum(axis=0)).astype(np.int64)
    steps[best, np.arange(line.patch)] += STEPS - steps.sum(axis=0)
    found: Array = (steps[number - near.start] / STEPS).astype(np.float32)
    found.flags.writeable = False
    return found


class Blended:
    """An image made of the patches of a grid; a :class:`bigimg.reader.Reader`.

    Parameters
    ----------
    grid : Grid
        Over all axes of ``spec`` but c; leaves no gaps.
    spec : ImageSpec
        Of the result.
    blend : {"hann", "linear", "crop"}
    maker : Maker
    access : Access
    source : str
    paths : list of str
        The files that are read.
        Its name in messages.
    """

    def __init__(
        self,
        grid: Grid,
        spec: ImageSpec,
        blend: Blend,
        maker: Maker,
        access: Access,
        source: str,
        paths: list[str],
    ) -> None:
        self.grid, self.spec, self.blend, self.maker = grid, spec, blend, maker
        self.access, self.source, self.paths = access, source, paths
        self.axes = [i for i, name in enumerate(spec.dims) if name != "c"]
        whole = all(line.stride == line.patch for line in grid.lines)
        # Without overlap only the last patch, moved back to the edge, shares pixels; these need no transition.
        self.crop = blend == "crop" or whole
        self.row = next((i for i, line in enumerate(grid.lines) if line.patch > 1), len(grid.lines) - 1)
        """The axis of the grid along which rows of patches are read."""

    @property
    def identity(self) -> Json:
        """The same for the same image in another process; None if that is not known."""
        if self.maker.identity is None:
            return None
        return {
            "patches": self.maker.identity,
            "grid": [[line.size, line.patch, line.stride, line.edge] for line in self.grid.lines],
            "blend": self.blend,
        }

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, from all patches that touch it."""
        out = np.empty(shape_of(region), self.spec.dtype)
        cells = [line.touching(region[axis]) for line, axis in zip(self.grid.lines, self.axes, strict=True)]
        if self.crop:
            for index, pixels in self.maker.make(cells):
                self._copy(out, region, index, pixels)
            return out
        before = [[range(i, i + 1) for i in numbers] for numbers in cells[: self.row]]
        for outer in itertools.product(*before):
            self._walk(out, region, [*outer, *cells[self.row :]])
        return out

    def close(self) -> None:
        """Do nothing: the patches belong to the caller."""

    def _copy(self, out: Array, region: Region, index: Shape, pixels: Array) -> None:
        """Copy the pixels that are taken from one patch."""
        into, part = [slice(None)] * out.ndim, [slice(None)] * out.ndim
        for line, number, axis in zip(self.grid.lines, index, self.axes, strict=True):
            start = int(line.starts(np.array([number]))[0])
            used = np.flatnonzero(weights(line, number, "crop"))
            low = max(start + int(used[0]), region[axis].start) if len(used) else 0
            high = min(start + int(used[-1]) + 1, region[axis].stop) if len(used) else 0
            if low >= high:
                return
            into[axis] = slice(low - region[axis].start, high - region[axis].start)
            part[axis] = slice(low - start, high - start)
        out[tuple(into)] = pixels[tuple(part)]

    def _walk(self, out: Array, region: Region, cells: list[range]) -> None:
        """Fill ``out`` row by row of patches; pixels are complete when the next row begins beyond them."""
        row, axis = self.grid.lines[self.row], self.axes[self.row]
        rows, span = cells[self.row], region[axis]
        starts = row.starts(np.arange(rows.start, rows.stop)).tolist()
        held = list(region)
        held[axis] = slice(0, row.patch)
        for line, numbers, i in zip(
            self.grid.lines[: self.row], cells[: self.row], self.axes[: self.row], strict=True
        ):
            begin = int(line.starts(np.array([numbers.start]))[0])
            held[i] = slice(begin, begin + 1)
        sums = np.zeros(shape_of(tuple(held)), np.float64)
        current = rows.start
        for index, pixels in self.maker.make(cells):
            if index[self.row] != current:
                at = current - rows.start
                self._finish(out, region, sums, held, starts[at], starts[at + 1])
                moved = starts[at + 1] - starts[at]
                rest = _along(axis, slice(moved, None))
                kept = sums[rest].copy()
                sums[...] = 0
                sums[_along(axis, slice(0, kept.shape[axis]))] = kept
                current = index[self.row]
            self._add(sums, held, index, pixels)
        self._finish(out, region, sums, held, starts[-1], min(starts[-1] + row.patch, span.stop))

    def _add(self, sums: Array, held: Sequence[slice], index: Shape, pixels: Array) -> None:
        """Add one patch with its weights."""
        into, part = [slice(None)] * sums.ndim, [slice(None)] * sums.ndim
        factor = np.ones((1,) * sums.ndim)
        for i, (line, number, axis) in enumerate(zip(self.grid.lines, index, self.axes, strict=True)):
            start = 0 if i == self.row else int(line.starts(np.array([number]))[0])
            low, high = max(start, held[axis].start), min(start + line.patch, held[axis].stop)
            into[axis] = slice(low - held[axis].start, high - held[axis].start)
            part[axis] = slice(low - start, high - start)
            shape = [1] * sums.ndim
            shape[axis] = high - low
            factor = factor * weights(line, number, self.blend)[part[axis]].reshape(shape)
        sums[tuple(into)] += pixels[tuple(part)] * factor

    def _finish(
        self, out: Array, region: Region, sums: Array, held: Sequence[slice], start: int, stop: int
    ) -> None:
        """Round complete pixels, from ``start`` to ``stop`` along the axis of the rows, into ``out``."""
        axis = self.axes[self.row]
        low, high = max(start, region[axis].start), min(stop, region[axis].stop)
        if low >= high:
            return
        ready = sums[_along(axis, slice(low - start, high - start))]
        into = [slice(h.start - r.start, h.stop - r.start) for h, r in zip(held, region, strict=True)]
        into[axis] = slice(low - region[axis].start, high - region[axis].start)
        dtype = self.spec.dtype
        out[tuple(into)] = (
            ready >= 0.5 if dtype.kind == "b" else np.rint(ready) if dtype.kind in "ui" else ready
        )


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)


def checked_blend(blend: str, kind: str | None) -> Blend:
    """Return ``blend``.

    Raises
    ------
    UsageError
        There is no such blend, or it would average ids.
    """
    if blend not in ("hann", "linear", "crop"):
        raise UsageError(f"blend={blend!r}: give one of hann, linear, crop")
    if kind == "labels" and blend != "crop":
        raise UsageError(f"blend={blend!r} would average the ids of labels: give blend='crop'")
    return blend  # type: ignore[return-value]


def gapless(grid: Grid, dims: Sequence[str]) -> Grid:
    """Return ``grid``.

    Raises
    ------
    UsageError
        There are pixels between its patches.
    """
    for line, name in zip(grid.lines, dims, strict=True):
        if line.stride > line.patch:
            raise UsageError(
                f"stride {line.stride} along {name}: patches of {line.patch} pixels leave gaps; give at most "
                f"{line.patch}"
            )
    return grid


def held_bytes(grid: Grid, axes: Sequence[int], band: Shape, channels: int) -> int:
    """Return the bytes of the sums while a region of the size of ``band`` is read."""
    row = next((i for i, line in enumerate(grid.lines) if line.patch > 1), len(grid.lines) - 1)
    sides = [band[axis] for axis in axes]
    sides[row] = grid.lines[row].patch
    return 2 * 8 * channels * math.prod(sides[row:])
