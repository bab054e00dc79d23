"""The series among DICOM planes, the choice of one series, and the order of its planes.

Planes belong to one stack if they have the same series, size, echo and orientation. A message lists the series without
any information about the person.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bigimg.errors import InconsistentSeries, InputError, UsageError, counted
from bigimg.readers.dicom.headers import Plane
from bigimg.readers.dicom.series import Stack, stack
from bigimg.types import Array

LISTED = 12
"""Series that a message lists, at most."""
SAME_DIRECTION = 1e-3
"""Difference of cosines within one orientation: 0.06 degrees."""
SAME_PLACE = 1e-3
"""Distance of two slices of different segments at one place, along each axis in millimetres."""


def series_of(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Return the planes of each series; the order of the files has no influence."""
    groups: dict[tuple[object, ...], list[list[Plane]]] = {}
    for plane in planes:
        alike = groups.setdefault((plane.series, *plane.stack_key), [])
        for group in alike:  # one for each orientation
            if _close(group[0].at.orientation, plane.at.orientation, SAME_DIRECTION):
                group.append(plane)
                break
        else:
            alike.append([plane])
    found = [group for alike in groups.values() for group in alike]
    return sorted(found, key=lambda group: (group[0].number, group[0].series, min(map(_rank, group))))


def _rank(plane: Plane) -> tuple[float, str, int]:
    return plane.at.keys.get("InstanceNumber", math.inf), plane.at.uid, plane.frame


def _close(a: tuple[float, ...] | None, b: tuple[float, ...] | None, most: float) -> bool:
    """Return whether no number of ``a`` differs from that of ``b`` by more than ``most``, or both are unknown."""
    return a is b if a is None or b is None else bool(np.allclose(a, b, rtol=0, atol=most))


def chosen(groups: list[list[Plane]], series: int | str | None, source: str) -> list[Plane]:
    """Return the series that ``series`` names, or the only one.

    Raises
    ------
    InputError
        There are several and ``series`` is None; the message lists them.
    UsageError
        There is no such series.
    """
    if isinstance(series, str) and series.isdecimal():
        series = int(series)
    if isinstance(series, str):
        named = [group for group in groups if group[0].series == series]
        if len(named) == 1:
            return named[0]
        raise UsageError(f"{source}: {len(named)} series have the UID {series!r}; {_listed(groups)}")
    if series is not None:
        if 0 <= series < len(groups):
            return groups[series]
        raise UsageError(f"{source}: series {series} was asked for; {_listed(groups)}")
    if len(groups) == 1:
        return groups[0]
    # Files of one series that do not fit together are an error of the series, not a missing choice.
    kind = InconsistentSeries if len({group[0].series for group in groups}) == 1 else InputError
    raise kind(f"{source}: {_listed(groups)}; choose one with series=NUMBER")


def _listed(groups: list[list[Plane]]) -> str:
    lines = [
        f"{i}: {g[0].modality} {g[0].pixels.rows} x {g[0].pixels.columns}, {counted(len(g), 'image')}"
        for i, g in enumerate(groups[:LISTED])
    ]
    more = ["…"] if len(groups) > LISTED else []
    return f"there are {len(groups)} series or stacks ({'; '.join(lines + more)})"


def ordered(planes: Sequence[Plane], source: str) -> tuple[Array, Stack]:
    """Return the numbers of the planes as an array of shape (t, segments, z), and their stack.

    Raises
    ------
    InconsistentSeries
        They are not one image, or make no even stack.
    """
    kinds = Counter(f"{p.pixels.photometric.split('_')[0]} {p.pixels.dtype}" for p in planes)
    if len(kinds) > 1:
        mixed = " and ".join(f"{count} of {kind}" for kind, count in kinds.items())
        raise InconsistentSeries(f"{source}: holds {mixed}, which are not one image; open them separately")
    segments = sorted({plane.segment for plane in planes if plane.segment is not None})
    several, parts = len(segments) > 1, []
    for segment in segments if several else (None,):
        where = [i for i, plane in enumerate(planes) if not several or plane.segment == segment]
        found = stack([planes[i].at for i in where], source)
        parts.append(np.asarray(where)[found.order])
    positions = [[planes[i].at.position for i in part.ravel().tolist()] for part in parts]
    pairs = [pair for own in positions for pair in zip(positions[0], own, strict=False)]
    if len({part.shape for part in parts}) > 1 or not all(_close(*pair, SAME_PLACE) for pair in pairs):
        sizes = ", ".join(str(part.shape[1]) for part in parts)
        what = f"its {len(segments)} segments cover different slices ({sizes} of them)"
        raise InconsistentSeries(f"{source}: {what}, which are not one volume; split it with highdicom")
    return np.stack(parts, axis=1), found
