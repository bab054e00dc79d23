"""Checks of spacing and units that a user gives: a unit that OME-Zarr does not have is refused.

The unit of a file is never refused; :func:`~bigimg.geometry.axes.long_unit` passes unknown ones unchanged.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

from bigimg.errors import UsageError
from bigimg.geometry.axes import long_unit

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


def check_spacing(given: object, by_axis: Mapping[str, float]) -> None:
    """Refuse a spacing that is no distance between pixels.

    A negative spacing is allowed for a named axis, because some axes run backwards. As one number for all axes it is a
    mistake.

    Raises
    ------
    UsageError
        A number is 0, not finite, or negative without the name of its axis.
    """
    for name, step in by_axis.items():
        if not step or not math.isfinite(step):
            raise UsageError(f"spacing {step} along {name}: it must be finite and not 0; give another number")
        if step < 0 and not isinstance(given, Mapping):
            raise UsageError(
                f"spacing {step} along {name}: a distance is above zero; for an axis that runs backwards give "
                f"{{{name!r}: {step}}}"
            )
