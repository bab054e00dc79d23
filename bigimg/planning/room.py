"""Room for one job: adds what the job will hold to what the process holds already, and refuses what exceeds the budget.

A conversion, an export and a check have plans of their own, for they may choose among portions and workers. All else
that takes a budget (opening, statistics, figures, patches) says here what it will hold.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bigimg.errors import BudgetError
from bigimg.planning.memory import budget_bytes, human_bytes
from bigimg.system.memory import heap_trimmer, resident_bytes

DECODERS_BYTES = 14_000_000
"""Resident memory of what the first read may still import (imagecodecs, Pillow), measured."""
LATER = {"libraries still to load": DECODERS_BYTES}
ADVICE_MARGIN = 1.03
"""Advice is a few percent more than was added up: what is resident differs a little from one run to the next."""


@dataclass(frozen=True, slots=True)
class Room:
    """A budget, and what this process held when it was asked for; libraries that a job needs are imported before."""

    allowed: int
    held: int

    @property
    def free(self) -> int:
        """Bytes that are left; below 0 when more is held than is allowed."""
        return self.allowed - self.held

    def take(self, source: str, parts: Mapping[str, float], remedy: str | Callable[[], str] = "") -> None:
        """Go on when all ``parts`` fit together.

        Parameters
        ----------
        source : str
            What the message begins with.
        parts : mapping of str to float
            Bytes by what holds them.
        remedy : str or callable
            What to do in place of a larger budget, as ``give a smaller size``; or what finds it out when it is needed.

        Raises
        ------
        BudgetError
            They do not; the message says what is needed, what is allowed, the largest part and what would fit.
        """
        needed = self.held + math.ceil(sum(parts.values()))
        if needed > self.allowed:  # what an earlier job let go may still be resident
            heap_trimmer.trim()
            needed = min(needed, resident_bytes() + math.ceil(sum(parts.values())))
        if needed <= self.allowed:
            return
        enough = math.ceil(needed * ADVICE_MARGIN / 1e6)
        largest = max(parts, key=lambda name: parts[name])
        raise BudgetError(
            f"{source}: needs {human_bytes(needed)} of memory ({human_bytes(self.held)} in use already, {largest} "
            f"{human_bytes(parts[largest])}), allowed {human_bytes(self.allowed)}:",
            needed=needed,
            allowed=self.allowed,
            ways=[*filter(None, [remedy() if callable(remedy) else remedy]), f"use memory='{enough}MB'"],
        )


def room(memory: int | float | str | None) -> Room:
    """Return the room that ``memory`` leaves in this process.

    The default is half of what is free, so what is in use comes on top: a viewer with 5 GB of its own could not open a
    thumbnail otherwise. A budget that a person names is kept as it is.
    """
    held = resident_bytes()
    named = memory is not None or os.environ.get("BIGIMG_MEMORY")
    return Room(budget_bytes(memory) + (0 if named else held), held)
