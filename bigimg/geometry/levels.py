"""The levels of a pyramid: their shapes, factors, spacings and origins.

Level 0 has full resolution. A spatial axis is halved from one level to the next if its spacing is less than twice the
smallest spacing. So a volume of thick slices first becomes isotropic, and then all its axes are halved. Planes whose
distance is not known stay as many as they are. Axes that a user names are halved at every level.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import MILLIMETERS, Axis
from bigimg.types import Method, Shape

LEVEL = re.compile(r"scale\d+")
"""Names of the levels in a DataTree and in a group of xarray."""
MAKE_LEVELS = "make a pyramid of it first: bigimg convert"
"""What to do where an image without levels is asked for one."""
SAME_PLACE = 1e-6
"""Part of a pixel by which numbers of one place may differ: others round decimal numbers."""
ROUNDING = 1e-14
"""Relative difference of numbers that were computed on different ways; it counts where an origin is far away."""


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


def checked_level(level: int, count: int, source: str, remedy: str = MAKE_LEVELS) -> int:
    """Return the number of a level counted from 0, for one that may count from the end.

    ``remedy`` says what to do about an image that has one level alone.

    Raises
    ------
    UsageError
        There is no such level.
    """
    if isinstance(level, int | np.integer) and -count <= level < count:
        return int(level) % count
    if count == 1:
        raise UsageError(f"{source}: level {level} of an image without levels; {remedy}")
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


def level_of_sizes(dims: Sequence[str], shapes: Sequence[Shape], sizes: Mapping[str, int]) -> int | None:
    """Return the first level of an image that has these pixels along these axes; None if none has.

    >>> level_of_sizes("zyx", [(9, 80, 60), (9, 40, 30)], {"y": 40, "x": 30})
    1
    """
    levels = (dict(zip(dims, shape, strict=True)) for shape in shapes)
    return next((i for i, level in enumerate(levels) if sizes.items() <= level.items()), None)


def same_place(numbers: Sequence[float], wanted: Sequence[float], spacing: Sequence[float]) -> bool:
    """Return whether spacings or origins are those that are wanted, but for rounding.

    Parameters
    ----------
    numbers, wanted : sequence of float
        Of each axis, in its unit.
    spacing : sequence of float
        Distance of pixels along each axis.

    >>> same_place([0.1 + 0.2], [0.3], [0.5]), same_place([0.3], [0.301], [0.5])
    (True, False)
    """
    triples = zip(numbers, wanted, spacing, strict=True)
    return all(math.isclose(a, b, rel_tol=ROUNDING, abs_tol=SAME_PLACE * abs(s)) for a, b, s in triples)


def level_names(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that are levels, in their order.

    >>> level_names(["scale10", "labels", "scale9"])
    ['scale9', 'scale10']
    """
    return sorted(filter(LEVEL.fullmatch, names), key=lambda name: int(name.removeprefix("scale")))


def depth_is_known(axes: Sequence[Axis], *, placed: bool = False) -> bool:
    """Return whether the distance of planes can be compared with that of the pixels in them.

    A ``z`` without a unit and with the spacing 1 is one of which nothing is said.

    Parameters
    ----------
    placed : bool
        Whether a matrix leads to the world, or a user gave the spacing: then a spacing counts without a unit.
    """
    depth, beside = _named(axes, "z"), _named(axes, "x") or _named(axes, "y")
    if depth is None or beside is None or depth.size == 1:
        return True
    return _comparable(depth, beside) and (placed or depth.unit is not None or abs(depth.spacing) != 1)


def _named(axes: Sequence[Axis], name: str) -> Axis | None:
    return next((axis for axis in axes if axis.name == name), None)


def _comparable(axis: Axis, other: Axis) -> bool:
    return axis.unit == other.unit or (axis.unit in MILLIMETERS and other.unit in MILLIMETERS)


def _lengths(axes: Sequence[Axis], *, placed: bool) -> list[float | None]:
    """Return the spacing of each axis in a unit common to all; None for an axis that is never halved.

    Pixels of a plane are taken for square if the spacings along y and x cannot be compared.
    """
    known = depth_is_known(axes, placed=placed)
    space = [axis for axis in axes if axis.type == "space"]
    found: list[float | None] = []
    for axis in axes:
        if axis.type != "space" or (axis.name == "z" and not known):
            found.append(None)
        else:
            of = axis if _comparable(axis, space[-1]) else space[-1]
            found.append(abs(of.spacing) * MILLIMETERS.get(of.unit or "", 1.0))
    return found


def next_step(lengths: Sequence[float | None], shape: Shape, factors: Shape) -> Shape:
    """Return 2 for each axis that is halved after a level with ``shape`` and ``factors``, otherwise 1.

    Parameters
    ----------
    lengths : sequence of float
        Spacing of level 0 along each axis, in one unit; None for an axis that is not halved.

    >>> next_step([4.0, 1.0, 1.0], (50, 900, 900), (1, 1, 1)), next_step([4.0, 1.0, 1.0], (50, 225, 225), (1, 4, 4))
    ((1, 2, 2), (2, 2, 2))
    """
    spacing = [
        None if length is None or size == 1 else length * f
        for length, size, f in zip(lengths, shape, factors, strict=True)
    ]
    smallest = min((length for length in spacing if length is not None), default=0.0)
    # A spacing of exactly twice the smallest is not halved; 1e-9 covers rounding errors.
    return tuple(2 if n is not None and n < 2 * smallest * (1 - 1e-9) else 1 for n in spacing)


def step_between(below: Shape, shape: Shape) -> Shape | None:
    """Return the window of a level of ``shape`` in pixels of the level ``below``: 1 or 2 along each axis, or None.

    >>> step_between((5, 9), (5, 5)), step_between((5, 9), (5, 4))
    ((1, 2), None)
    """
    if len(below) != len(shape) or any(m not in (n, -(-n // 2)) for n, m in zip(below, shape, strict=True)):
        return None
    return tuple(1 if m == n else 2 for n, m in zip(below, shape, strict=True))


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


def axes_at(axes: Sequence[Axis], level: Level) -> tuple[Axis, ...]:
    """Return the axes of an image with the sizes, spacings and origins of one of its levels."""
    numbers = zip(axes, level.shape, level.spacing, level.origin, strict=True)
    return tuple(replace(axis, size=size, spacing=step, origin=start) for axis, size, step, start in numbers)


def plan_levels(
    axes: Sequence[Axis],
    chunks: Shape,
    *,
    method: Method,
    count: int | None = None,
    halve: Sequence[str] = (),
    placed: bool = False,
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
    halve : sequence of str
        Names of the axes that are halved to make level 1, those to make level 2 and so on, the last for all further
        levels. By default the spacings say which.
    placed : bool
        As in :func:`depth_is_known`.
    """
    shape = tuple(axis.size for axis in axes)
    ones = (1,) * len(axes)
    lengths = _lengths(axes, placed=placed)
    levels = [level_at(axes, 0, ones, ones, shape, method)]
    while count is None or len(levels) < count:
        last = levels[-1]
        if halve:
            names = halve[min(len(levels), len(halve)) - 1]
            pairs = zip(axes, last.shape, strict=True)
            step = tuple(2 if axis.name in names and size > 1 else 1 for axis, size in pairs)
        else:
            step = next_step(lengths, last.shape, last.factors)
        if max(step) == 1:
            break
        halved = [size > c for size, c, s in zip(last.shape, chunks, step, strict=True) if s == 2]
        if count is None and not any(halved):
            break
        shape = tuple(-(-size // s) for size, s in zip(last.shape, step, strict=True))
        factors = tuple(f * s for f, s in zip(last.factors, step, strict=True))
        levels.append(level_at(axes, len(levels), factors, step, shape, method))
    return tuple(levels)


def stored_levels(axes: Sequence[Axis], shapes: Sequence[Shape], *, method: Method) -> Iterator[Level | None]:
    """Yield the level for each of the ``shapes`` that a store has, fine to coarse; None for what is no halving.

    >>> axes = (Axis("z", 9), Axis("y", 90), Axis("x", 80))
    >>> levels = stored_levels(axes, [(9, 90, 80), (9, 45, 40), (5, 45, 20)], method="mean")
    >>> [level and level.factors for level in levels]
    [(1, 1, 1), (1, 2, 2), (2, 2, 4)]
    """
    below, factors = tuple(axis.size for axis in axes), (1,) * len(axes)
    for index, shape in enumerate(shapes):
        step = step_between(below, shape)
        if step is None or (index and max(step) == 1):
            yield None
            continue
        factors = tuple(f * s for f, s in zip(factors, step, strict=True))
        yield level_at(axes, index, factors, step, shape, method)
        below = shape
