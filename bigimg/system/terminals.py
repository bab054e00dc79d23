"""Where a line can be drawn again and again: a terminal, or a cell of a notebook."""

from __future__ import annotations

from typing import TextIO


def redraws(stream: TextIO) -> bool:
    """Return whether text after a carriage return replaces the line, as on a terminal and below a notebook's cell."""
    return stream.isatty() or type(stream).__module__.startswith("ipykernel.")
