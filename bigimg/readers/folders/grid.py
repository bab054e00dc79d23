"""Files in a grid of axes: which file has which plane, and which planes have none.

A plain stack is the grid of one axis. Files along ``y`` and ``x`` are tiles that lie side by side.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bigimg.errors import InputError, counted
from bigimg.geometry.axes import ORDER
from bigimg.readers.folders.numbering import FEW, UNEVEN
from bigimg.readers.folders.pattern import NUMBERS, Table, Value
from bigimg.types import Array, OnGap

MOST_CELLS = 50_000_000
"""Of a grid, each of which takes 8 bytes."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Files along some of the axes t c z y x."""

    files: tuple[str, ...]
    axes: tuple[str, ...]
    """In the order t c z y x."""
    numbers: Array
    """The number of the file at each place, of one axis each; -1 where there is none."""
    values: Mapping[str, tuple[Value, ...]]
    """What the names say along an axis; none for a stack in natural order."""

    @property
    def told(self) -> str:
        """What the names say along each axis, in words."""
        return ", ".join(f"{name} {shown(values)}" for name, values in self.values.items())


def stacked(files: Sequence[str]) -> Grid:
    """Return ``files`` as planes along z."""
    return Grid(tuple(files), ("z",), np.arange(len(files)), {})


def arranged(table: Table, source: str, on_gap: OnGap | None = None) -> Grid:
    """Return the grid that the names of ``table`` make; it has the fields t c z y x alone.

    Numbers along t, z, y and x that are missing between others are missing planes.

    Raises
    ------
    InputError
        Two files are at one place, or places have no file and ``on_gap`` is not ``"fill"``.
    """
    axes = tuple(name for name in ORDER if name in table.fields)
    places = [_places(name, table.values[name]) for name in axes]
    values = {name: every for name, (every, _) in zip(axes, places, strict=True)}
    shape = tuple(map(len, values.values()))
    if (cells := math.prod(shape)) > MOST_CELLS:
        told = ", ".join(f"{name} {shown(each)}" for name, each in values.items())
        raise InputError(
            f"{source}: {len(table.names)} files for {cells} planes ({told}) are no grid; check the pattern"
        )
    at = [
        place[table.index[:, table.fields.index(name)]] for name, (_, place) in zip(axes, places, strict=True)
    ]
    flat = np.ravel_multi_index(at, shape) if axes else np.zeros(len(table.names), int)
    numbers = np.full(cells, -1)
    numbers[flat] = np.arange(len(flat))
    _refuse_duplicates(table, flat, numbers, source)
    numbers = numbers.reshape(shape)
    if on_gap != "fill" and (numbers < 0).any():
        first = np.argwhere(numbers < 0)[0]
        where = ", ".join(f"{name} = {values[name][i]}" for name, i in zip(axes, first, strict=True))
        what = f"{(numbers < 0).sum()} of {cells} planes have no file ({where} is the first)"
        raise InputError(
            f"{source}: {what};", ways=["copy what is missing", "take it for missing by on_gap='fill'"]
        )
    return Grid(table.names, axes, numbers, values)


def shown(values: Sequence[Value]) -> str:
    """Return how many ``values`` there are, and the first and last; a few names are listed.

    >>> shown([0, 1, 2]), shown(["DAPI", "GFP"])
    ('3 (0 … 2)', '2 (DAPI, GFP)')
    """
    texts = list(map(str, values))
    few = len(texts) == 1 or (len(texts) <= FEW and not any(text.isdecimal() for text in texts))
    return f"{len(texts)} ({', '.join(texts) if few else f'{texts[0]} … {texts[-1]}'})"


def _places(axis: str, values: tuple[Value, ...]) -> tuple[tuple[Value, ...], Array]:
    """Return all values along ``axis``, those of no file included, and the place of each of ``values`` among them."""
    numbers = [value for value in values if isinstance(value, int)]
    if axis not in NUMBERS or len(values) < 2:
        return values, np.arange(len(values))
    step = math.gcd(*(b - a for a, b in itertools.pairwise(numbers)))
    every = range(numbers[0], numbers[-1] + 1, step)
    if len(every) > (UNEVEN + 1) * len(values):  # times or positions
        return values, np.arange(len(values))
    return tuple(every), np.array([(value - numbers[0]) // step for value in numbers])


def _refuse_duplicates(table: Table, flat: Array, numbers: Array, source: str) -> None:
    twice = np.flatnonzero(numbers[flat] != np.arange(len(flat)))
    if len(twice):
        other = int(numbers[flat[twice[0]]])
        pair = " and ".join(os.path.basename(table.names[i]) for i in (int(twice[0]), other))
        more = f", and {len(twice) - 1} more" if len(twice) > 1 else ""
        what = f"{pair} are the same plane{more} (of {counted(len(flat), 'file')})"
        raise InputError(f"{source}: {what}; give a pattern that picks one of them")
