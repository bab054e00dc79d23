"""The names of wells: ``B03``, ``B/03``, ``b3`` and (2, 3) are one well of a plate."""

from __future__ import annotations

import re
from collections.abc import Iterable
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


def column_width(spelled: Iterable[str]) -> int:
    """Return how many digits a column has at least in the names of wells that are ``spelled`` so.

    >>> column_width(["A1", "B12"]), column_width(["A01", "B12"])
    (1, 2)
    """
    digits = [re.sub(r"\D", "", name) for name in spelled]
    return max((len(text) for text in digits if text.startswith("0")), default=1)
