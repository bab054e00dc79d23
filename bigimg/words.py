"""Numbers with their nouns, for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one.

    >>> counted(1, "level"), counted(12, "level"), counted(0, "box of pixels")
    ('1 level', '12 levels', '0 boxes of pixels')
    """
    first, space, rest = noun.partition(" ")
    many = "" if number == 1 else "es" if first.endswith(("x", "s", "ch")) else "s"
    return f"{number} {first}{many}{space}{rest}"
