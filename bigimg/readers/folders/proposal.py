"""What the names of files seem to mean: a pattern for a person to confirm.

A run of time points, channels and planes has names that vary in several places and hold each combination once. A plain
stack varies in one, or in several together, as with a number and a time of day.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bigimg.readers.folders.grid import shown
from bigimg.readers.folders.numbering import natural_key
from bigimg.readers.folders.pattern import parse

NEARLY = 0.75
"""The share of combinations that must be there."""
MOST_LOOKED_AT = 200_000
"""Names below a folder."""

HINTS = {
    "t": "t time timepoint tp frame cycle", "z": "z slice sec section plane p focus depth layer",
    "c": "c ch channel w wv wl wavelength laser filter", "y": "y row", "x": "x col column", "well": "well",
    "field": "f fld field s site xy pos position fov scene series view",
}  # fmt: skip
"""The words that instruments write before the number of each field."""
FIELD_OF = {word: name for name, words in HINTS.items() for word in words.split()}
FREE = {1: "ztc", 2: "tzc"}
"""The fields of numbers without such a word, in the order in which they stand, by how many there are."""
WELL = re.compile(r"[A-P]0?\d{1,2}")


@dataclass(slots=True)
class _Column:
    """A place in the names."""

    texts: list[str]
    hint: str
    """The word before it."""
    values: set[str] = field(init=False)
    name: str = ""
    """Of its field; ``*`` where it does not matter, empty where it is the same in all names."""

    def __post_init__(self) -> None:
        self.values = set(self.texts)

    @property
    def number(self) -> bool:
        return all(text.isdecimal() for text in self.values)


def names_below(folder: str) -> list[str]:
    """Return the files below ``folder`` with the commonest ending, as far as they are looked at."""
    found: dict[str, list[str]] = {}
    count = 0
    for root, _, files in os.walk(folder):
        for name in files:
            count += 1
            if not name.startswith("."):
                path = os.path.relpath(os.path.join(root, name), folder)
                found.setdefault(os.path.splitext(name)[1].lower(), []).append(path)
        if count > MOST_LOOKED_AT:
            return []
    return max(found.values(), key=len, default=[])


def proposed(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the pattern that ``names`` seem to follow, and what each field would be; None where they are no grid.

    Examples
    --------
    >>> proposed([f"img_{c}_t{t:02}.tif" for c in ("DAPI", "GFP") for t in range(12)])
    ('img_{c}_t{t:02}.tif', 'c 2 (DAPI, GFP), t 12 (00 … 11)')
    """
    split = _columns([name.replace(os.sep, "/") for name in names])
    varying = [column for column in split if len(column.values) > 1]
    _merge_wells(split, varying)
    kept = _independent(varying, len(names))
    combinations = math.prod(len(column.values) for column in kept)
    if len(kept) < 2 or not NEARLY * combinations <= len(names) <= combinations:
        return None
    if len(set(zip(*(column.texts for column in kept), strict=True))) < len(names) or not _named(kept):
        return None
    pattern = re.sub(r"\*+", "*", "".join(map(_written, split)))
    if len(parse(pattern).match(names).names) < len(names):
        return None
    ordered: list[list[str]] = [sorted(column.values, key=natural_key) for column in kept]
    told = (f"{column.name} {shown(values)}" for column, values in zip(kept, ordered, strict=True))
    return pattern, ", ".join(told)


def _columns(names: list[str]) -> list[_Column]:
    """Return the places of the names, constant ones and what separates them included; none if they are built unlike.

    Words are cut into numbers and letters where all names have the same letters there.
    """
    rows = [re.split(r"([^A-Za-z0-9]+)", name) for name in names]
    if len({len(row) for row in rows}) > 1:
        return []
    found: list[_Column] = []
    before, gap = "", ""
    for words in zip(*rows, strict=True):
        parts = [re.split(r"([0-9]+)", word) for word in words]
        cut = parts if len({tuple(part[::2]) for part in parts}) == 1 else [[word] for word in words]
        for texts in zip(*cut, strict=True):
            if texts[0] or len(set(texts)) > 1:
                letter = len(before) == 1 and gap not in ("", " ")  # of another word: the name of a sample
                found.append(_Column(list(texts), "" if letter else before))
            if re.search("[A-Za-z]", texts[0]):
                before, gap = texts[0].lower(), ""
            elif not texts[0][:1].isdigit():
                gap += texts[0]
    return found


def _merge_wells(split: list[_Column], varying: list[_Column]) -> None:
    """Name a row and a column of a plate that follow one another as one field: ``B - 02``, ``r02c03``."""
    for second in varying:
        i = split.index(second)
        before = "".join(
            column.texts[0] for column in split[max(i - 2, 0) : i] if not column.values - {column.texts[0]}
        )
        row = re.search(r"(?:^|[^A-Za-z])([A-P])( - )?$", before)
        if row and second.number and all(WELL.fullmatch(row[1] + text) for text in second.values):
            start = i - 1 if row[2] is None else i - 2
            merged = _Column([f"{row[0]}{text}" for text in second.texts], "well")
            split[start : i + 1] = [merged]
            varying[varying.index(second)] = merged
            return
    for first, second in itertools.pairwise(varying):
        i, j = split.index(first), split.index(second)
        near = "".join(column.texts[0] for column in split[i + 1 : j]) in ("", "-", " - ")
        letters = near and all(re.fullmatch("[A-P]", text) for text in first.values) and second.number
        if letters or (first.hint == "r" and second.hint == "c" and j == i + 2):
            texts = ["".join(row) for row in zip(*(column.texts for column in split[i : j + 1]), strict=True)]
            if first.hint == "r" and not letters:
                i, texts = i - 1, [first.hint + text for text in texts]
            merged = _Column(texts, "well")
            split[i : j + 1] = [merged]
            varying[varying.index(first) : varying.index(second) + 1] = [merged]
            return


def _independent(varying: list[_Column], files: int) -> list[_Column]:
    """Return the columns that make the grid; those that follow from others are marked."""
    kept: list[_Column] = []
    for column in sorted(varying, key=lambda column: (len(column.values), column.number)):
        for other in kept:
            if (
                len(set(zip(column.texts, other.texts, strict=True)))
                == len(column.values)
                == len(other.values)
            ):
                column.name = "*"
        full = math.prod(len(other.values) for other in kept) >= files and len(column.values) == files
        if kept and full:  # a time of day, beside a grid that is whole without it
            column.name = "*"
        if column.name != "*":
            kept.append(column)
    return [column for column in varying if column in kept]


def _named(kept: list[_Column]) -> bool:
    """Give each column the name of a field; return whether there was one for each."""
    free = [*"tzc", "field"]
    tiles = {"r": "y", "c": "x"} if any(column.hint == "r" for column in kept) else {}
    for column in kept:
        name = tiles.get(column.hint, FIELD_OF.get(column.hint))
        if not column.number:
            name = "well" if all(WELL.fullmatch(text) for text in column.values) or name == "well" else "c"
        if name is not None and name not in (other.name for other in kept):
            column.name = name
            free = [each for each in free if each != name]
    rest = [column for column in kept if not column.name]
    order = [*(name for name in FREE.get(len(rest), "tzc") if name in free), *free[-1:]]
    for column, name in zip(rest, order, strict=False):
        column.name = name
    return all(column.name for column in kept)


def _written(column: _Column) -> str:
    text = column.texts[0]
    if not column.name:
        return "*" if len(column.values) > 1 else text.replace("{", "{{").replace("}", "}}")
    lengths = Counter(map(len, column.values))
    padded = column.number and len(lengths) == 1 and any(text.startswith("0") for text in column.values)
    width = f":{len(text):02}" if padded and len(text) > 1 else ""
    return column.name if column.name == "*" else f"{{{column.name}{width}}}"
