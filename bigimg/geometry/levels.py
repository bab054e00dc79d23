"""The levels of a pyramid: their shapes, factors, spacings and origins.

Level 0 has full resolution. A spatial axis is halved from one level to the next if its spacing is less than twice the
smallest spacing. So a volume of thick slices first becomes isotropic, and then all its axes are halved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.types import Method, Shape

LEVEL = re.compile(r"scale\d+")
"""Names of the levels in a DataTree and in a group of xarray."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a pyramid; each tuple has one number for each axis."""

    index: int
    shape: Shape
    """Pixels."""
    factors: Shape
    """Pixels of level 0 that a pixel of this level covers."""
    step: Shape
    """Pixels of the next finer level that a pixel of this level covers: 1 or 2."""
    spacing: tuple[float, ...]
    """Distance between neighbouring pixel centres, in the unit of the axis."""
    origin: tuple[float, ...]
    """Coordinate of the centre of pixel 0, in the unit of the axis."""


def checked_level(level: int, count: int, source: str) -> int:
    """Return the number of a level counted from 0, for one that may count from the end.

    Raises
    ------
    UsageError
        There is no such level.
    """
    if isinstance(level, int | np.integer) and -count <= level < count:
        return int(level) % count
    if count == 1:
        raise UsageError(
            f"{source}: level {level} of an image without levels; make a pyramid of it first: bigimg convert"
        )
    raise UsageError(f"{source}: level {level} of {count}; levels are 0 to {count - 1}, -1 the last")


def smallest(count: int, sizes: Callable[[int], Mapping[Any, int]], wanted: Mapping[str, float]) -> int:
    """Return the last of ``count`` levels that has ``wanted`` pixels along each axis that is named; 0 without.

    >>> smallest(3, lambda level: {"y": 80 >> level, "x": 100 >> level}, {"y": 30, "x": 50})
    1
    """
    for level in range(count - 1, 0, -1):
        here = sizes(level)
        if all(here[name] >= n for name, n in wanted.items()):
            return level
    return 0


def level_names(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that are levels, in their order.

    >>> level_names(["scale10", "labels", "scale9"])
    ['scale9', 'scale10']
    """
    return sorted(filter(LEVEL.fullmatch, names), key=lambda name: int(name.removeprefix("scale")))


def next_step(axes: Sequence[Axis], shape: Shape, factors: Shape) -> Shape:
    """Return 2 for each axis that is halved after a level with ``shape`` and ``factors``, otherwise 1.

    >>> axes = (Axis("z", 50, spacing=4.0), Axis("y", 900), Axis("x", 900))
    >>> next_step(axes, (50, 900, 900), (1, 1, 1)), next_step(axes, (50, 225, 225), (1, 4, 4))
    ((1, 2, 2), (2, 2, 2))
    """
    spacing = {
        i: abs(axis.spacing) * f
        for i, (axis, size, f) in enumerate(zip(axes, shape, factors, strict=True))
        if axis.type == "space" and size > 1
    }
    smallest = min(spacing.values(), default=0.0)
    # A spacing of exactly twice the smallest is not halved; 1e-9 covers rounding errors.
    return tuple(
        2 if i in spacing and spacing[i] < 2 * smallest * (1 - 1e-9) else 1 for i in range(len(axes))
    )


def level_at(
    axes: Sequence[Axis], index: int, factors: Shape, step: Shape, shape: Shape, method: Method
) -> Level:
    """Return level ``index`` with its spacing and origin."""
    # A coarse pixel represents its whole window, whose centre lies (f - 1) / 2 pixels on; of nearest it is one pixel.
    shift = 0.0 if method == "nearest" else 0.5
    pairs = list(zip(axes, factors, strict=True))
    spacing = tuple(axis.spacing * f for axis, f in pairs)
    origin = tuple(axis.origin + axis.spacing * (f - 1) * shift for axis, f in pairs)
    return Level(index, shape, factors, step, spacing, origin)


def plan_levels(
    axes: Sequence[Axis], chunks: Shape, *, method: Method, count: int | None = None
) -> tuple[Level, ...]:
    """Return the levels from full resolution to the first at which each halved axis fits one chunk.

    Parameters
    ----------
    axes : sequence of Axis
    chunks : tuple of int
        Pixels of a chunk along each axis.
    method : str
        Method of downsampling; it only decides the half-pixel shift of the origins.
    count : int, optional
        Number of levels, level 0 included; there are fewer if no axis can be halved.
    """
    shape = tuple(axis.size for axis in axes)
    ones = (1,) * len(axes)
    levels = [level_at(axes, 0, ones, ones, shape, method)]
    while count is None or len(levels) < count:
        last = levels[-1]
        step = next_step(axes, last.shape, last.factors)
        if max(step) == 1:
            break
        halved = [size > c for size, c, s in zip(last.shape, chunks, step, strict=True) if s == 2]
        if count is None and not any(halved):
            break
        shape = tuple(-(-size // s) for size, s in zip(last.shape, step, strict=True))
        factors = tuple(f * s for f, s in zip(last.factors, step, strict=True))
        levels.append(level_at(axes, len(levels), factors, step, shape, method))
    return tuple(levels)
