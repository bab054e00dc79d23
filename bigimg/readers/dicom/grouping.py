"""The series among DICOM planes, the choice of one series, and the order of its planes.

Planes belong to one stack if they have the same series, size, echo and orientation. A message lists the series without
any information about the person.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from bigimg.errors import InconsistentSeries, InputError, UsageError, counted
from bigimg.readers.dicom.gaps import even_parts
from bigimg.readers.dicom.headers import Plane
from bigimg.readers.dicom.placing import orientation_name
from bigimg.readers.dicom.series import MISSING, STRICT, Stack, Uneven, normal, on_grid, stack
from bigimg.types import Array

LISTED = 12
"""Series that a message lists, at most."""
PLACE_DIGITS = 3
"""Digits of a position in millimetres that tell two places apart; scanners round the others."""
SAME_DIRECTION = 1e-3
"""Difference of cosines within one orientation: 0.06 degrees."""


def series_of(planes: Sequence[Plane], uneven: Uneven = STRICT, source: str = "") -> list[list[Plane]]:
    """Return the planes of each series, or of each even part of one; the order of the files has no influence."""
    groups: dict[tuple[object, ...], list[list[Plane]]] = {}
    for plane in planes:
        alike = groups.setdefault((plane.series, *plane.stack_key), [])
        for group in alike:  # one for each orientation
            if _close(group[0].at.orientation, plane.at.orientation, SAME_DIRECTION):
                group.append(plane)
                break
        else:
            alike.append([plane])
    found = [part for alike in groups.values() for group in alike for part in _by_what_is_shown(group)]
    if uneven.on_gap == "split":
        found = [part for group in found for part in _even_parts(group, source)]
    return sorted(found, key=_group_rank)


def _by_what_is_shown(group: list[Plane]) -> list[list[Plane]]:
    """Return magnitude, phase, maps and echoes apart, where several planes lie at one place, or none is known."""
    kinds = dict.fromkeys(plane.shown for plane in sorted(group, key=_rank))
    places = {
        (tuple(round(v, PLACE_DIGITS) for v in plane.at.position or ()), plane.segment) for plane in group
    }
    if len(kinds) == 1 or (group[0].at.position is not None and len(places) == len(group)):
        return [group]
    return [[plane for plane in group if plane.shown == kind] for kind in kinds]


def _even_parts(group: list[Plane], source: str) -> list[list[Plane]]:
    positions = [plane.at.position for plane in group if plane.at.position is not None]
    if len(positions) < len(group) or group[0].modality == "SEG":
        return [group]
    part = even_parts(positions, normal(group[0].at, source)).tolist()
    return [
        [plane for plane, of in zip(group, part, strict=True) if of == number] for number in sorted(set(part))
    ]


def _group_rank(group: list[Plane]) -> tuple[object, ...]:
    number, uid, frame = min(map(_rank, group))
    return group[0].number, group[0].series, number, group[0].echo or 0.0, group[0].shown, uid, frame


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
        raise UsageError(f"{source}: {len(named)} stacks have the UID {series!r}; {_listed(groups)}")
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
    names = _names(groups)
    lines = [f"{i}: {name}" for i, name in enumerate(names[:LISTED])]
    more = ["…"] if len(groups) > LISTED else []
    return f"there are {len(groups)} series or stacks ({'; '.join(lines + more)})"


def _names(groups: list[list[Plane]]) -> list[str]:
    """Return a name for each group; it says what tells it from others of the same kind and size."""
    names = [
        f"{g[0].modality} {g[0].pixels.height} x {g[0].pixels.width}, {counted(len(g), 'image')}"
        for g in groups
    ]
    for detail in DETAILS:
        said = [detail(group) for group in groups]
        for alike in [name for name, count in Counter(names).items() if count > 1]:
            where = [i for i, name in enumerate(names) if name == alike]
            if len({said[i] for i in where}) > 1:
                for i in where:
                    names[i] += f", {said[i]}"
    return names


def _place(group: list[Plane]) -> str:
    position = group[0].at.position
    return "no position" if position is None else f"first at {' '.join(f'{v:g}' for v in position)} mm"


DETAILS: tuple[Callable[[list[Plane]], str], ...] = (
    lambda group: f"series {group[0].number}",
    lambda group: f"echo {group[0].echo:g} ms" if group[0].echo is not None else "no echo",
    lambda group: " ".join(filter(None, group[0].shown)) or "no image type",
    lambda group: orientation_name(group[0].at.orientation) or "no orientation",
    _place,
    lambda group: f"UID {group[0].series}",
)
"""What may tell two series of one kind and size apart, without a word about the person, in the order of use."""


def ordered(planes: Sequence[Plane], source: str, uneven: Uneven = STRICT) -> tuple[Array, Stack]:
    """Return the numbers of the planes as an array of shape (t, segments, z), and their stack.

    ``MISSING`` stands where a plane is left out.

    Raises
    ------
    InconsistentSeries
        They are not one image, or make no even stack.
    """
    kinds = Counter(f"{p.pixels.photometric.split('_')[0]} {p.pixels.dtype}" for p in planes)
    if len(kinds) > 1:
        mixed = " and ".join(f"{count} of {kind}" for kind, count in kinds.items())
        raise InconsistentSeries(f"{source}: holds {mixed}, which are not one image; open them separately")
    if planes[0].modality == "SEG" and planes[0].at.position is not None:
        return _segmented(planes, source)
    found = stack([plane.at for plane in planes], source, uneven)
    return found.order[:, None], found


def _segmented(planes: Sequence[Plane], source: str) -> tuple[Array, Stack]:
    """Return the frames of a segmentation by segment and place; writers leave empty ones out."""
    segments = sorted({plane.segment or 0 for plane in planes})
    found = on_grid([plane.at for plane in planes], source)
    order = np.full((1, len(segments), int(found.order.max()) + 1), MISSING, np.intp)
    for i, (plane, z) in enumerate(zip(planes, found.order.ravel().tolist(), strict=True)):
        at = 0, segments.index(plane.segment or 0), z
        if order[at] != MISSING:
            what = f"{planes[order[at]].at.name} and {plane.at.name} show one segment at one place"
            raise InconsistentSeries(f"{source}: {what}; remove the copies, or split it with highdicom")
        order[at] = i
    empty = int((order == MISSING).sum())
    notes = (f"{empty} of {order.size} frames are not in the file: they are background",) if empty else ()
    return order, Stack(order[:, 0], found.step, notes=notes)
