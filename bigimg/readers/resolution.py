"""Spacing from a resolution that a picture declares, which is mostly that of a print and not of the pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

from bigimg.geometry.spec import SpacingNote

LARGEST_PRINT = 1200
"""Dots an inch: whole numbers up to this one are taken as resolutions of a print, not as sizes of pixels."""

type Spacings = dict[str, tuple[float, str | None]]
"""By axis: spacing and long unit."""


class Resolution(NamedTuple):
    """What a resolution says."""

    spacing: Spacings
    """Of y and x in micrometres; empty if it is that of a print."""
    note: str | None
    """A sentence if it is that of a print."""


NO_RESOLUTION = Resolution({}, None)


def as_written(size: float) -> float:
    """Return the number of few digits that ``size`` was before it went from one unit to another and back.

    >>> as_written(0.49899999999999994), as_written(1 / 3)
    (0.499, 0.3333333333333333)
    """
    short = float(f"{size:.12g}")
    return short if abs(short - size) <= 4 * math.ulp(size) else size


def of_dots(x: float, y: float) -> Resolution:
    """Return what ``x`` and ``y`` dots an inch, along x and y, say of the pixels.

    Examples
    --------
    >>> of_dots(300, 300).note
    'its resolution of 300 dots an inch is that of a print: spacing is unknown'
    >>> of_dots(50800, 50800).spacing["x"]
    (0.5, 'micrometer')
    """
    if all(n <= LARGEST_PRINT and abs(n - round(n)) < 1e-3 * n for n in (x, y)):
        said = f"its resolution of {x:.0f} dots an inch is that of a print: spacing is unknown"
        return Resolution({}, SpacingNote(said))
    return Resolution(
        {name: (as_written(25400 / dots), "micrometer") for name, dots in (("x", x), ("y", y))}, None
    )
