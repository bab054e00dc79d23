"""Natural order of file names, and notes on gaps in their numbering."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Sequence

from bigimg.errors import counted

FEW = 5
"""Gaps that a note lists."""

UNEVEN = 10
"""If more numbers are absent for each file, the names hold times or positions, where gaps mean nothing."""


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return the key that sorts ``name`` by the numbers in it: ``z2`` before ``z10``.

    >>> sorted(["z10", "z2", "z1"], key=natural_key)
    ['z1', 'z2', 'z10']
    """
    parts = re.split(r"(\d+)", name)  # text and digits alternate, so texts are compared with texts
    return [int(part) if i % 2 else part.lower() for i, part in enumerate(parts)], name


def patterns_note(names: Sequence[str]) -> tuple[str, ...]:
    """Return a note that the names follow several patterns; it has words of the names, which may be those of people."""
    patterns = _patterns(_stems(names))
    some = ", ".join(repr(each) for each in sorted(patterns)[:FEW])
    note = f"the names follow {len(patterns)} patterns ({some}), and are one stack in natural order"
    return (note,) if len(patterns) > 1 else ()


def _stems(names: Sequence[str]) -> list[str]:
    return [os.path.splitext(os.path.basename(name))[0] for name in names]


def _patterns(stems: Sequence[str]) -> set[str]:
    return {re.sub(r"\d+", "#", stem) for stem in stems}


def plane_pattern(names: Sequence[str]) -> str | None:
    """Return the pattern of names that vary in one number, as planes along z; None of others.

    >>> plane_pattern(["a{1}_08.tif", "a{1}_10.tif"]), plane_pattern(["z9.tif", "z10.tif"]), plane_pattern(["a1.tif"])
    ('a{{1}}_{z:02}.tif', 'z{z}.tif', None)
    """
    rows = [re.split(r"(\d+)", name) for name in names]
    if len({tuple(row[::2]) for row in rows}) > 1:
        return None
    columns = list(zip(*rows, strict=True))
    varying = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    if len(varying) != 1:
        return None
    texts = columns[varying[0]]
    padded = len({*map(len, texts)}) == 1 and any(text.startswith("0") for text in texts)
    parts = [column[0].replace("{", "{{").replace("}", "}}") for column in columns]
    parts[varying[0]] = f"{{z:{len(texts[0]):02}}}" if padded else "{z}"
    return "".join(parts)


def numbering_notes(names: Sequence[str]) -> tuple[str, ...]:
    """Return a note on the numbers of files in natural order; none when they have no gaps, or several patterns.

    >>> numbering_notes(["z1.tif", "z2.tif", "z5.tif"])
    ('the numbering lacks 3-4 (2 planes); those that are there lie next to one another',)
    """
    stems = _stems(names)
    if len(_patterns(stems)) > 1:
        return ()
    numbers_of = zip(*(re.findall(r"\d+", stem) for stem in stems), strict=True)
    columns = [column for column in numbers_of if len(set(column)) > 1]
    if len(columns) > 1:
        return (f"the names differ in {len(columns)} numbers, and are one stack in natural order",)
    if not columns:
        return ()
    numbers = [int(text) for text in columns[0]]
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    if min(steps) <= 0:
        return ("the same number appears more than once in the names",)
    step = math.gcd(*steps)
    gaps = [(a + step, b - step) for a, b in itertools.pairwise(numbers) if b - a > step]
    absent = sum((last - first) // step + 1 for first, last in gaps)
    if not absent:
        return ()
    if absent > UNEVEN * len(numbers):
        return ("the numbers in the names are unevenly spaced; planes lie next to one another",)
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in gaps[:FEW]) + ", …" * (len(gaps) > FEW)
    lacks = f"the numbering lacks {listed} ({counted(absent, 'plane')})"
    return (f"{lacks}; those that are there lie next to one another",)
