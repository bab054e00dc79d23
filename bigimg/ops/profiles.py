"""Values along a line through an image, by linear interpolation; only the chunks on the way are read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import xarray
from xarray import DataArray, Variable

from bigimg.errors import UsageError
from bigimg.lazy.blocks import explicit
from bigimg.lazy.operation import Operation
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.ops.arguments import by_axis, space_of
from bigimg.ops.derived import derive, image, source_block
from bigimg.types import Array, DType, Opening, Region, Shape

type Point = Sequence[float] | Mapping[str, float]
MOST = 1024
"""Samples that are made at once at most: about as many as a line has in one chunk."""


@dataclass(frozen=True, slots=True)
class Line(Operation):
    """Samples on a straight line, along the last axis of the result."""

    shape: Shape
    """The axes that the line does not run through, then the samples."""
    size: Shape
    """Shape of the source."""
    dtype: DType
    across: tuple[int, ...]
    """Axes of the source that the line runs through."""
    start: tuple[float, ...]
    """Pixel of the first sample along each of these."""
    stop: tuple[float, ...]
    nearest: bool
    """Take the nearest pixel, for ids and booleans."""

    @property
    def samples(self) -> int:
        """How many there are."""
        return self.shape[-1]

    def positions(self, first: int, last: int) -> Array:
        """Return the positions of some samples in pixels, as floats of shape (axis, sample)."""
        parts = np.arange(first, last) / max(1, self.samples - 1)
        line = [a + (b - a) * parts for a, b in zip(self.start, self.stop, strict=True)]
        most = [self.size[axis] - 1 for axis in self.across]
        clipped: Array = np.clip(np.stack(line), 0, np.asarray(most)[:, None])
        return np.rint(clipped) if self.nearest else clipped

    def source(self, region: Region) -> Region:
        """Return the box around some samples and the pixels between which they lie."""
        positions = self.positions(region[-1].start, region[-1].stop)
        rest = iter(region[:-1])
        found = []
        for axis in range(len(self.size)):
            if axis in self.across:
                along = positions[self.across.index(axis)]
                found.append(slice(math.floor(along.min()), math.ceil(along.max()) + 1))
            else:
                found.append(next(rest))
        return tuple(found)

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the samples: weighted sums of the corners around each."""
        origin = [source[axis].start for axis in self.across]
        positions = self.positions(region[-1].start, region[-1].stop) - np.asarray(origin)[:, None]
        pixels = np.moveaxis(block, self.across, range(-len(self.across), 0))
        low = np.floor(positions).astype(np.intp)
        if self.nearest:
            return pixels[(..., *low)]
        part = positions - low
        total = np.zeros((*pixels.shape[: pixels.ndim - len(self.across)], positions.shape[1]))
        for corner in itertools.product((0, 1), repeat=len(self.across)):
            weight = np.prod([p if up else 1 - p for p, up in zip(part, corner, strict=True)], axis=0)
            used = np.flatnonzero(weight)  # 0 times an infinite neighbour would be NaN
            index = tuple(along[used] + up for along, up in zip(low, corner, strict=True))
            total[..., used] += weight[used] * pixels[(..., *index)]
        return total


def profile(
    img: Source,
    start: Point,
    stop: Point,
    *,
    samples: int | None = None,
    physical: bool = False,
    level: int = 0,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return the values from ``start`` to ``stop`` in a straight line, interpolated linearly; lazy.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    start, stop : sequence or mapping
        Pixels, also between them, in the order of the axes of space, or by name; both ends are sampled.
    samples : int, optional
        How many; about one a pixel by default.
    physical : bool
        The ends are coordinates, in the units of the axes.
    level, memory, **opening :
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray of shape (t, c, distance), of those axes that the image has and the ends do not name
        float64; of labels and masks the nearest pixels, of their own type. ``distance`` is in the unit of the
        axes if they share one, else in pixels; the positions along each axis are coordinates too.

    Raises
    ------
    UsageError
        An axis is not there, an end is outside the image, or ``samples`` is below 2.
    """
    found = image(img, level=level, memory=memory, **opening)
    ends = [
        _pixels(found, by_axis(what, point, space_of(found)), physical)
        for what, point in (("start", start), ("stop", stop))
    ]
    if set(ends[0]) != set(ends[1]) or not ends[0]:
        raise UsageError(
            f"start names {' '.join(ends[0])}, stop {' '.join(ends[1])}: give the same axes for both"
        )
    names = [str(name) for name in found.dims if name in ends[0]]
    first, last = ([end[name] for name in names] for end in ends)
    count = math.ceil(math.dist(first, last)) + 1 if samples is None else samples
    if count < 2 and samples is not None:
        raise UsageError(f"samples={samples}: a line has at least 2")
    nearest = found.dtype == bool or found.attrs.get("kind") in ("labels", "mask")
    across = tuple(found.dims.index(name) for name in names)
    dtype = found.dtype if nearest else np.dtype(np.float64)
    others = [axis for axis in range(found.ndim) if axis not in across]
    shape = (*(found.shape[axis] for axis in others), count)
    line = Line(shape, found.shape, dtype, across, tuple(first), tuple(last), nearest)
    block, chunk = source_block(found)
    blocks = explicit(block, found.shape)
    return derive(
        found, line, (*(blocks[i] for i in others), _pieces(line, chunk)), _like(found, line, names)
    )


def _pixels(img: xarray.DataArray, point: Mapping[str, float], physical: bool) -> dict[str, float]:
    found = {}
    for name, given in point.items():
        origin, step = coordinates.origin(img, name), coordinates.spacing(img, name)
        at = (given - origin) / step if physical else given
        if not -0.5 - 1e-9 <= at <= img.sizes[name] - 0.5 + 1e-9:
            low, high = coordinates.edges(img, name) if physical else (-0.5, img.sizes[name] - 0.5)
            unit = (coordinates.units(img, name) or "") if physical else "pixels"
            raise UsageError(
                f"profile: {given:g} along {name} is outside; give {low:g} to {high:g} {unit}".rstrip()
            )
        found[name] = float(at)
    return found


def _pieces(line: Line, chunk: Shape) -> Shape:
    """Return how many samples lie in each chunk that the line crosses, so that each piece reads one chunk."""
    sizes, begin = [], 0
    sides = np.asarray([max(chunk[axis], 64) for axis in line.across])[:, None]
    while begin < line.samples:
        chunks = line.positions(begin, min(begin + MOST, line.samples)) // sides
        same = (chunks == chunks[:, :1]).all(axis=0)
        length = len(same) if same.all() else int(same.argmin())
        sizes.append(length)
        begin += length
    return tuple(sizes)


def _like(img: xarray.DataArray, line: Line, names: Sequence[str]) -> xarray.DataArray:
    """Return dims, coordinates and attrs of the samples over zeros that take no memory."""
    coords: dict[Any, Any] = {
        name: coord.variable for name, coord in img.coords.items() if not set(coord.dims) & set(names)
    }
    steps = {name: coordinates.spacing(img, name) for name in names}
    units = {name: coordinates.units(img, name) for name in names}
    for name, along in zip(names, line.positions(0, line.samples), strict=True):
        attrs = {"units": units[name]} if units[name] else {}
        coords[name] = Variable(("distance",), coordinates.origin(img, name) + along * steps[name], attrs)
    one_unit = len(set(units.values())) == 1
    parts = np.linspace(0, 1, line.samples)
    lengths = np.diff(
        np.stack([a + (b - a) * parts for a, b in zip(line.start, line.stop, strict=True)]), axis=1
    )
    if one_unit:
        lengths *= np.asarray(list(steps.values()))[:, None]
    distance = np.concatenate([[0.0], np.cumsum(np.sqrt((lengths**2).sum(0)))])
    unit = units[names[0]] if one_unit else None
    coords["distance"] = Variable(("distance",), distance, {"units": unit} if unit else {})
    attrs = {name: value for name, value in img.attrs.items() if name != "world"}
    dims = [*(str(name) for name in img.dims if name not in names), "distance"]
    return DataArray(np.broadcast_to(np.zeros((), line.dtype), line.shape), coords, dims, img.name, attrs)
