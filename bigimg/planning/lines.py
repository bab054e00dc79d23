"""The memory that a job is planned to hold, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

LIBRARIES_BYTES = 45_000_000
"""Resident memory of the libraries that a pass may import after it was planned (codecs), measured."""
SPARE = 0.10
"""Share of the pixel buffers that is added for memory that the allocator does not give back."""


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """One line of the sum."""

    name: str
    bytes: int
    why: str


def largest(stages: Iterable[list[MemoryLine]]) -> list[MemoryLine]:
    """Return the lines of the stage that needs most memory."""
    return max(stages, key=lambda lines: sum(line.bytes for line in lines))


def process_line(resident: int) -> MemoryLine:
    """Return what the process holds before it begins, and the libraries that it will load."""
    return MemoryLine("process", resident + LIBRARIES_BYTES, "resident now, and libraries still to load")


def spare_line(lines: Sequence[MemoryLine], buffers: Set[str]) -> MemoryLine:
    """Return what the allocator does not give back, a share of the lines that are named."""
    held = sum(line.bytes for line in lines if line.name in buffers)
    return MemoryLine("spare", int(SPARE * held), "what the allocator keeps")
