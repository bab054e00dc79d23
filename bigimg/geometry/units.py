"""Units that a user gives: one that OME-Zarr does not have is refused, and lengths go from one into another.

The unit of a file is never refused; :func:`~bigimg.geometry.axes.long_unit` passes unknown ones unchanged.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

from bigimg.errors import UsageError
from bigimg.geometry.axes import MILLIMETERS, SECONDS, long_unit

_PREFIXES = (
    "yocto", "zepto", "atto", "femto", "pico", "nano", "micro", "milli", "centi", "deci", "", "hecto", "kilo", "mega",
    "giga", "tera", "peta", "exa", "zetta", "yotta",
)  # fmt: skip
LENGTHS = frozenset(
    {f"{prefix}meter" for prefix in _PREFIXES} | {"angstrom", "foot", "inch", "mile", "parsec", "yard"}
)
"""Units of space in the list of OME-Zarr."""
TIMES = frozenset({f"{prefix}second" for prefix in _PREFIXES} | {"minute", "hour", "day"})
"""Units of time in the list of OME-Zarr."""


def asked_unit(unit: str | None) -> str | None:
    """Return the long name of a unit that a user gives; None for no unit.

    >>> asked_unit("um"), asked_unit("micrometres"), asked_unit(None)
    ('micrometer', 'micrometer', None)

    Raises
    ------
    UsageError
        OME-Zarr has no such unit.
    """
    name = long_unit(unit)
    if name is None or name in LENGTHS | TIMES:
        return name
    plain = name.lower().removesuffix("s").replace("metre", "meter")
    if plain in LENGTHS | TIMES:
        return plain
    close = difflib.get_close_matches(plain, sorted(LENGTHS | TIMES), n=1, cutoff=0.75)
    meant = f"did you mean {close[0]}? Else " if close else ""
    raise UsageError(
        f"unit {unit!r} is not in OME-Zarr: {meant}give nm, um, mm, cm, m, ms, s, min, h or the long name of another "
        "unit; for pixels give no unit"
    )


def converted(number: float, unit: str | None, into: str | None) -> float | None:
    """Return a number of one unit in another, both long names; None where one of them is not known.

    >>> converted(500, "nanometer", "micrometer"), converted(2, None, "meter"), converted(2, "meter", None)
    (0.5, 2, None)
    """
    if unit is None or unit == into:
        return number
    for table in (MILLIMETERS, SECONDS):
        if unit in table and into in table:
            # 12 digits: 0.55 micrometres are 550 nanometres, not 550.0000000000001.
            return float(f"{number * table[unit] / table[into]:.12g}")
    return None


def milliliters(sides: Sequence[tuple[float, str | None]]) -> float | None:
    """Return the volume of a box in millilitres from the lengths of its sides and their units, as medicine has them.

    None if there are not three, or one is not in millimetres or a larger unit.

    >>> milliliters([(10, "millimeter")] * 3), milliliters([(1, None)] * 3)
    (1.0, None)
    """
    if len(sides) != 3 or any(MILLIMETERS.get(unit or "", 0) < 1 for _, unit in sides):
        return None
    return math.prod(abs(step) * MILLIMETERS[unit or ""] for step, unit in sides) / 1000
