"""Plates in one file, or in a set of files that is opened as one: its images are called after wells.

CZI (scenes), ND2 and LIF (positions), and Micro-Manager (``A1-Site_0``) are such.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bigimg.errors import UsageError
from bigimg.reader import Reader
from bigimg.readers.allowed import is_known
from bigimg.readers.plates.source import PlateSource, SourceField
from bigimg.readers.registry import open_file
from bigimg.readers.several import every_image

TITLE = "Micro-Manager"
NAME = re.compile(
    r"(?:.*?/)?(?:.*\bwell[ _:]*)?(?P<well>[A-Z]{1,2}[ /_-]?\d{1,3})(?:[ /_,:.-]+(?P<field>.*))?",
    re.IGNORECASE,
)
"""``A1``, ``A01``, ``A1-Site_0``, ``Well A01, Point 3``, ``A/1/2``, ``Project/A1/R1``."""


def well_of(name: str) -> tuple[str, str] | None:
    """Return the well and the field that an image is called after; None for any other name.

    >>> well_of("A1-Site_0"), well_of("B03"), well_of("before")
    (('A1', 'Site_0'), ('B03', ''), None)
    """
    found = NAME.fullmatch(name.strip())
    return (
        None
        if found is None
        else (re.sub("[ /_-]", "", found["well"]).upper(), (found["field"] or "").strip())
    )


def _is_plain(label: str) -> bool:
    """Return whether a label says which field it is, and cannot name a person."""
    return is_known(
        re.sub(r"(?i)(site|pos(ition)?|point|field|scene|region|r|p|s|f)(?=[ _-]*[0-9]+$)", "", label)
    )


def plate_of_series(path: str, **asked: Any) -> PlateSource:
    """Return the plate of all images of the file at ``path``.

    Raises
    ------
    UsageError
        Not all of them are called after wells.
    """
    every = [each.name for each in every_image(lambda series: open_file(path, series=series, **asked))]
    other = next((number for number, name in enumerate(every) if well_of(name) is None), None)
    if not every or other is not None:
        what = "its one image is" if len(every) < 2 else f"its image {every[other or 0] or other!r:.80} is"
        raise UsageError(
            f"{path}: {what} not called after a well, as in A1 or A1-Site_0, so it is no plate; leave out plate=True"
        )
    openers = [partial(open_file, path, series=number, **asked) for number in range(len(every))]
    return PlateSource(
        path, os.path.basename(path).split(".")[0], _named(every, openers), format="images called after wells"
    )


def plate_of_stacks(folder: str, positions: Mapping[str, str], **asked: Any) -> PlateSource:
    """Return the plate of a ``folder`` of Micro-Manager: files and their positions.

    Most sets of files are opened by any of them, which knows all positions. Where one does not, each file is a field.
    """
    first = next(iter(positions))
    every = [each.name for each in every_image(lambda series: open_file(first, series=series, **asked))]
    name = os.path.basename(first).partition("_MMStack_")[0]
    if len(every) > 1 and all(map(well_of, every)):
        return replace(plate_of_series(first, **asked), source=folder, name=name, format=TITLE)
    openers = [partial(open_file, path, **asked) for path in positions]
    return PlateSource(folder, name, _named([*positions.values()], openers), format=TITLE)


def _named(names: Sequence[str], openers: Sequence[Callable[[], Reader]]) -> tuple[SourceField, ...]:
    """Return the fields of images that are all called after wells."""
    places = [place for name in names if (place := well_of(name)) is not None]
    labels = Counter(label for _, label in places)
    # Names may not tell fields apart, or may number them through the whole plate (P1 to P96): then their order does.
    through = len(labels) == len(places) and len({well for well, _ in places}) > 1
    ordered = through or max(Counter(places).values()) > 1 or not all(map(_is_plain, labels))
    count: Counter[str] = Counter()
    fields = []
    for (well, label), opener in zip(places, openers, strict=True):
        fields.append(SourceField(well, str(count[well]) if ordered or not label else label, opener))
        count[well] += 1
    return tuple(fields)
