"""The names of wells: ``B03``, ``B/03``, ``b3`` and (2, 3) are one well of a plate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bigimg.errors import UsageError

MOST_SIDE = 1024
"""Rows or columns of a plate; the largest that are sold, of 9216 wells, have 96."""
WELL = re.compile(r"([A-Za-z]{1,2})[ /_-]?(\d{1,4})")


@dataclass(frozen=True, slots=True, order=True)
class WellPlace:
    """Row and column of a well, counted from 0."""

    row: int
    column: int

    def __str__(self) -> str:
        return f"{row_name(self.row)}{self.column + 1}"


def row_name(row: int) -> str:
    """Return the letters of a row.

    >>> row_name(0), row_name(25), row_name(26), row_name(47)
    ('A', 'Z', 'AA', 'AV')
    """
    return (chr(ord("A") + row // 26 - 1) if row >= 26 else "") + chr(ord("A") + row % 26)


def well_place(name: str) -> WellPlace:
    """Return the place of a well by its name.

    >>> well_place("B03") == well_place("b/3") == WellPlace(1, 2)
    True

    Raises
    ------
    UsageError
        It is no name of a well.
    """
    found = WELL.fullmatch(name.strip())
    if found is None or not 1 <= int(found[2]) <= MOST_SIDE:
        raise UsageError(f"well {name!r:.80}: give letters of the row and number of the column, as in B03")
    row = 0
    for letter in found[1].upper():
        row = row * 26 + ord(letter) - ord("A") + 1
    return WellPlace(row - 1, int(found[2]) - 1)


def well_and_field(series: str, wells: Sequence[str]) -> tuple[str, str] | None:
    """Return which of the ``wells`` a text names, and its field; None where they have no such well.

    >>> well_and_field("B/03/1", ["A/01", "B/03"]), well_and_field("b3", ["B/03"]), well_and_field("B/03", ["A/01"])
    (('B/03', '1'), ('B/03', ''), None)
    """
    name, _, field = series.rpartition("/")
    ways = ((series, ""), (name, field))
    for well, inside in ways:
        if well in wells:
            return well, inside
    places = dict[WellPlace, str]()
    for path in wells:
        with suppress(UsageError):  # rows and columns may have any names
            places[well_place(path)] = path
    for well, inside in ways:
        with suppress(UsageError):
            if (found := places.get(well_place(well))) is not None:
                return found, inside
    return None


def column_width(spelled: Iterable[str]) -> int:
    """Return how many digits a column has at least in the names of wells that are ``spelled`` so.

    >>> column_width(["A1", "B12"]), column_width(["A01", "B12"])
    (1, 2)
    """
    digits = [re.sub(r"\D", "", name) for name in spelled]
    return max((len(text) for text in digits if text.startswith("0")), default=1)
