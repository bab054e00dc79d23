"""Numbers and colours as files write them in words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_COLOR = re.compile(r"\s*#?(?:[0-9A-Fa-f]{2})?([0-9A-Fa-f]{6})\s*")


def finite(text: str | None) -> float | None:
    """Return the number that a text is; None where it is none, or not finite."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def color_in(text: str | None) -> str | None:
    """Return the last six digits of a colour ``#AARRGGBB`` or ``#RRGGBB``, also without ``#``; None for another text.

    >>> color_in("#ff00ff80"), color_in("00FF80"), color_in("green")
    ('00FF80', '00FF80', None)
    """
    found = _COLOR.fullmatch(text or "")
    return None if found is None else found[1].upper()


def color_of(parts: Iterable[int]) -> str:
    """Return red, green and blue (0 to 255) as a colour.

    >>> color_of((255, 128, 0))
    'FF8000'
    """
    return "".join(f"{part:02X}" for part in parts)
