"""Which planes belong together: series apart, one of them chosen, its planes in order.

Planes are of one stack when they share series, size, echo and orientation. What only this module knows is how
a person is told of several, without a word of whom they show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bigimg.errors import InconsistentSeries, InputError, UsageError, counted
from bigimg.readers.dicom.headers import Plane
from bigimg.readers.dicom.series import Stack, stack
from bigimg.types import Array

LISTED = 12
"""Series named in a message, at most."""
SAME_DIRECTION = 1e-3
"""Cosines that differ by less are one orientation: 0.06 degrees."""


def series_of(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Return planes that belong together, in an order that does not depend on that of the files."""
    groups: dict[tuple[object, ...], list[list[Plane]]] = {}
    for plane in planes:
        alike = groups.setdefault((plane.series, *plane.kin), [])
        for group in alike:  # one for each orientation
            if _same_direction(group[0], plane):
                group.append(plane)
                break
        else:
            alike.append([plane])
    found = [group for alike in groups.values() for group in alike]
    return sorted(found, key=lambda group: (group[0].number, group[0].series, min(map(_rank, group))))


def _rank(plane: Plane) -> tuple[float, str, int]:
    return plane.at.keys.get("InstanceNumber", math.inf), plane.at.uid, plane.frame


def _same_direction(a: Plane, b: Plane) -> bool:
    if a.at.orientation is None or b.at.orientation is None:
        return a.at.orientation is b.at.orientation
    return bool(np.allclose(a.at.orientation, b.at.orientation, rtol=0, atol=SAME_DIRECTION))


def chosen(groups: list[list[Plane]], series: int | str | None, source: str) -> list[Plane]:
    """Return the series that was asked for, or the only one there is.

    Raises
    ------
    InputError
        There are several and none was asked for; the message lists them.
    UsageError
        There is none that was asked for.
    """
    if isinstance(series, str) and series.isdecimal():
        series = int(series)
    if isinstance(series, str):
        named = [group for group in groups if group[0].series == series]
        if len(named) == 1:
            return named[0]
        raise UsageError(f"{source}: series {series!r} is there {len(named)} times; {_listed(groups)}")
    if series is not None:
        if 0 <= series < len(groups):
            return groups[series]
        raise UsageError(f"{source}: series {series} was asked; {_listed(groups)}")
    if len(groups) == 1:
        return groups[0]
    # Files of one series that do not fit together are no choice that a person has made.
    kind = InconsistentSeries if len({group[0].series for group in groups}) == 1 else InputError
    raise kind(f"{source}: {_listed(groups)}; choose one with series=NUMBER")


def _listed(groups: list[list[Plane]]) -> str:
    lines = [
        f"{i}: {g[0].modality} {g[0].pixels.rows} x {g[0].pixels.columns}, {counted(len(g), 'image')}"
        for i, g in enumerate(groups[:LISTED])
    ]
    more = ["…"] if len(groups) > LISTED else []
    return f"there are {len(groups)} series or stacks ({'; '.join(lines + more)})"


def _one_type(planes: Sequence[Plane], source: str) -> None:
    kinds: dict[tuple[str, str], int] = {}
    for plane in planes:
        key = plane.pixels.photometric.split("_")[0], str(plane.pixels.dtype)
        kinds[key] = kinds.get(key, 0) + 1
    if len(kinds) > 1:
        said = " and ".join(f"{count} of {name} {dtype}" for (name, dtype), count in kinds.items())
        raise InconsistentSeries(f"{source}: holds {said}, which are no one image; open them apart")


def ordered(planes: Sequence[Plane], source: str) -> tuple[Array, Stack]:
    """Return the planes as an array of shape (t, segments, z), and what else is known of their order.

    Raises
    ------
    InconsistentSeries
        They are no one image, or make no even stack.
    """
    _one_type(planes, source)
    segments = sorted({plane.segment for plane in planes if plane.segment is not None})
    if len(segments) < 2:
        found = stack([plane.at for plane in planes], source)
        return found.order[:, None, :], found
    parts = []
    for segment in segments:
        where = [i for i, plane in enumerate(planes) if plane.segment == segment]
        found = stack([planes[i].at for i in where], source)
        parts.append(np.asarray(where)[found.order])
    places = [[planes[i].at.position for i in part.ravel().tolist()] for part in parts]
    if len({part.shape for part in parts}) > 1 or any(not _near(places[0], place) for place in places):
        sizes = ", ".join(str(part.shape[1]) for part in parts)
        raise InconsistentSeries(
            f"{source}: its {len(segments)} segments cover different slices ({sizes} of them), which makes no one "
            "volume; take it apart with highdicom"
        )
    return np.stack(parts, axis=1), found


def _near(a: Sequence[object], b: Sequence[object]) -> bool:
    if any(position is None for position in (*a, *b)):
        return all(position is None for position in (*a, *b))
    return bool(np.allclose(np.array(a, np.float64), np.array(b, np.float64), rtol=0, atol=1e-3))
