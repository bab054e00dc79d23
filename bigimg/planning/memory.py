"""The memory budget: what the user sets, else a share of what is free.

Units: 1 MB = 10**6 bytes, 1 MiB = 2**20.
"""

from __future__ import annotations

import os
import re

from bigimg.errors import UsageError, counted
from bigimg.system.memory import free_bytes

MOST = 4_000_000_000
"""Bytes of the largest budget that bigimg takes by itself."""

LEAST = 100_000
"""Bytes of the smallest budget; for less, a unit was forgotten or is wrong."""

_POWERS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
           "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip


def as_bytes(memory: int | float | str) -> int:
    """Return a number of bytes from a number or a text such as ``512MB``, ``1.5 GiB``, ``2g``.

    Raises
    ------
    UsageError
        The text has no number or an unknown unit, or the number is not positive.

    >>> as_bytes("512MB"), as_bytes("1GiB"), as_bytes(1000)
    (512000000, 1073741824, 1000)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?i?)b?\s*", str(memory).lower())
    if not found or found[2] not in _POWERS or float(found[1]) * _POWERS[found[2]] < 1:
        raise UsageError(f"memory {memory!r} is not a size: write a number with a unit, as in 512MB or 2GiB")
    return int(float(found[1]) * _POWERS[found[2]])


def budget_bytes(memory: int | float | str | None) -> int:
    """Return the budget in bytes: ``memory``, else ``BIGIMG_MEMORY``, else half of what is free, at most 4 GB."""
    request = memory if memory is not None else os.environ.get("BIGIMG_MEMORY") or None
    if request is None:
        return default_budget()
    try:
        found = as_bytes(request)
    except UsageError as error:
        raise error if memory is not None else UsageError(f"BIGIMG_MEMORY: {error}") from None
    if found < LEAST:
        number = re.sub(r"[^\d.]", "", str(request)).rstrip(".")
        size = counted(found, "byte") if found < 1000 else human_bytes(found)
        unit = "GB" if found < 64 else "MB"
        raise UsageError(f"memory={request!r} is {size}, in which nothing runs; did you mean {number}{unit}?")
    return found


def default_budget() -> int:
    """Return half of the free bytes of the machine and of this process's own memory groups, at most 4 GB."""
    return min(free_bytes() // 2, MOST)


def human_bytes(count: float) -> str:
    """Return a size as text.

    >>> human_bytes(999), human_bytes(805_306_368), human_bytes(1.5e12)
    ('999 B', '805 MB', '1.50 TB')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power * 0.9995:
            scaled = count / 10**power
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:#.3g} {unit}"
    return f"{count:.0f} B"
