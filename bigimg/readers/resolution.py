"""Spacing from a resolution that a picture declares, which is mostly that of a print and not of the pixels."""

from __future__ import annotations

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
    return Resolution({"x": (25400 / x, "micrometer"), "y": (25400 / y, "micrometer")}, None)
