"""The slices of a DICOM series in order: numbers in, places in a stack out, or what is wrong with them.

Nothing is guessed. Slices are sorted by their position along the normal of the plane; whatever is not one
even, straight stack, as often at each place, is an :class:`~bigimg.errors.InconsistentSeries` with numbers.
What only this module knows is how far positions may stray: they are decimal text, rounded by the scanner.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bigimg.errors import InconsistentSeries
from bigimg.types import Array

SAME_MM = 1e-4
"""Positions nearer than this are the same place: the sixth digit of what scanners write, in millimetres."""
EVEN = 0.05
"""How far a slice may lie from its place in an even stack, in parts of the distance: text of 2 digits costs 0.01
of a millimetre, and what is missing or moved by a person shows as 0.5 and more."""
TILT = math.tan(math.radians(0.5))
"""Shift of a slice for each millimetre of depth up to which a stack is straight: a gantry is tilted by 1 degree
or more, rounded direction cosines come to 0.01. What shift there is, the affine keeps."""

ORDERS = ("TemporalPositionIdentifier", "TemporalPositionIndex", "FrameReferenceTime", "TriggerTime",
          "AcquisitionDateTime", "AcquisitionTime", "ContentTime", "AcquisitionNumber", "InstanceNumber")  # fmt: skip
"""What may tell the order of slices at the same place, the best first."""
SECONDS = {"FrameReferenceTime": 1e-3, "TriggerTime": 1e-3, "AcquisitionDateTime": 1.0, "AcquisitionTime": 1.0,
           "ContentTime": 1.0}  # fmt: skip
"""Those of them that are times, and how many seconds one unit is."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One plane: where it is, and what may tell it from others at the same place."""

    name: str
    """For messages: a file, or a frame of one."""
    position: tuple[float, ...] | None = None
    """Centre of the first pixel in LPS millimetres."""
    orientation: tuple[float, ...] | None = None
    """Directions of x and y in LPS, six cosines."""
    spacing: tuple[float, ...] | None = None
    """Of rows and of columns, as in PixelSpacing, in millimetres."""
    keys: dict[str, float] = field(default_factory=dict)
    """Numbers of :data:`ORDERS`."""
    uid: str = ""
    """Two slices with the same are copies."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices in order."""

    order: Array
    """Of shape (t, z): which slice is there."""
    step: tuple[float, ...] | None
    """From one slice to the next in LPS millimetres; None for a single one, or when the file does not say."""
    t_step: float | None = None
    """Seconds from one time to the next; None when not known, or there is one alone."""
    notes: tuple[str, ...] = ()


def stack(slices: Sequence[Slice], source: str) -> Stack:
    """Return ``slices`` in order of place and time.

    Parameters
    ----------
    slices : sequence of Slice
        Of one series, size and orientation, in any order.
    source : str
        For messages.

    Raises
    ------
    InconsistentSeries
        Slices are missing, there twice, of different kinds or not in one straight stack.
    """
    if copies := [uid for uid, count in Counter(s.uid for s in slices if s.uid).items() if count > 1]:
        names = [s.name for s in slices if s.uid == copies[0]]
        raise InconsistentSeries(
            f"{source}: {len(copies)} of {len(slices)} slices are there more than once, as {names[0]} and "
            f"{names[1]} (same SOPInstanceUID); remove the copies"
        )
    _alike(slices, source)
    if len(slices) == 1:
        return Stack(np.zeros((1, 1), np.intp), None)
    if slices[0].position is None:
        return _numbered(slices, source)
    across = normal(slices[0], source)
    places = np.array([s.position for s in slices])
    order = _places(places @ across, source)
    step = _checked_step(places, order, across, source)
    if order.shape[1] == 1:
        return Stack(order.T, step)
    return _in_time(slices, order, step, source)


def normal(one: Slice, source: str) -> Array:
    """Return the direction across the plane of ``one``, of length 1.

    Raises
    ------
    InconsistentSeries
        Its orientation is no pair of directions at right angles.
    """
    rows = np.asarray(one.orientation or (1, 0, 0, 0, 1, 0), np.float64).reshape(2, 3)
    if not np.allclose(rows @ rows.T, np.eye(2), atol=1e-2):
        raise InconsistentSeries(
            f"{source}: the orientation of {one.name} ({', '.join(f'{v:g}' for v in rows.ravel())}) is no pair of "
            "directions at right angles; correct ImageOrientationPatient"
        )
    across = np.cross(rows[0], rows[1])
    return np.asarray(across / np.linalg.norm(across))


def _alike(slices: Sequence[Slice], source: str) -> None:
    """Refuse slices that differ in pixel spacing, or of which some have no position."""
    spacings = [None if s.spacing is None else tuple(round(v, 5) for v in s.spacing) for s in slices]
    for what, values in (("pixel spacing", spacings), ("position", [s.position is not None for s in slices])):
        counts = Counter(values).most_common()
        if len(counts) > 1:
            (most, many), (other, few) = counts[:2]
            odd = slices[list(values).index(other)].name
            if what == "position":
                said = f"{sum(map(bool, values))} of {len(slices)} slices have a position and {odd} has none"
            else:
                said = f"{many} slices have a pixel spacing of {_mm(most)} and {few} ({odd}) of {_mm(other)}"
            raise InconsistentSeries(f"{source}: {said}; open them apart")


def _mm(spacing: object) -> str:
    return " x ".join(f"{v:g}" for v in spacing) + " mm" if isinstance(spacing, tuple) else "nothing"


def _numbered(slices: Sequence[Slice], source: str) -> Stack:
    """Return slices without positions in the order of their numbers."""
    numbers = [s.keys.get("InstanceNumber") for s in slices]
    known = [n for n in numbers if n is not None]
    if len(set(known)) < len(slices):
        raise InconsistentSeries(
            f"{source}: {len(slices)} slices have no ImagePositionPatient, and InstanceNumber has "
            f"{len(set(known))} different values to sort them by; open them one by one"
        )
    note = "the slices have no position: z is the order of InstanceNumber, and its spacing is not known"
    return Stack(np.argsort(known, kind="stable")[None], None, notes=(note,))


def _places(depth: Array, source: str) -> Array:
    """Return the slices at each place along the normal, of shape (z, how many at each)."""
    order = np.argsort(depth, kind="stable")
    gaps = np.diff(depth[order])
    steps = gaps[gaps > SAME_MM]
    near = max(SAME_MM, EVEN * float(np.median(steps))) if steps.size else SAME_MM
    cuts = np.flatnonzero(gaps > near) + 1
    groups = np.split(order, cuts)
    counts = Counter(len(group) for group in groups)
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = [i for i, group in enumerate(groups) if len(group) != usual]
        at = float(depth[groups[odd[0]]].mean())
        raise InconsistentSeries(
            f"{source}: of {len(groups)} places {len(groups) - len(odd)} have {usual} slices each, and {len(odd)} "
            f"another number (place {odd[0]}, at {at:g} mm, has {len(groups[odd[0]])}): slices are missing or "
            "there twice; complete the series or remove the extra ones"
        )
    return np.array(groups)


def _checked_step(places: Array, order: Array, across: Array, source: str) -> tuple[float, ...] | None:
    """Return the way from one place to the next, once it is known to be even and straight."""
    centres = places[order].mean(axis=1)
    scatter = np.abs(places[order] - centres[:, None]).max()
    if len(order) == 1:
        steps, distance = np.zeros(3), math.inf
    else:
        gaps = np.diff(centres @ across)
        _even(gaps, source)
        steps = (centres[-1] - centres[0]) / (len(centres) - 1)
        distance = float(steps @ across)
        _straight(centres, steps, distance, across, source)
    if scatter > max(SAME_MM, EVEN * min(distance, 1.0)):
        raise InconsistentSeries(
            f"{source}: slices of the same depth lie up to {scatter:.3g} mm apart: more than one stack is mixed; "
            "open them apart"
        )
    return None if len(order) == 1 else tuple(float(v) for v in steps)


def _even(gaps: Array, source: str) -> None:
    usual = float(np.median(gaps))
    wrong = np.flatnonzero(np.abs(gaps - usual) > EVEN * usual)
    if not wrong.size:
        return
    first = int(wrong[0])
    ratio = gaps / usual
    whole = np.abs(ratio - np.rint(ratio)).max() <= EVEN * ratio.max() and ratio.min() > 0.5
    if whole:
        missing = int(np.rint(ratio).sum()) - len(gaps)
        said = f"{missing} slices are missing in {wrong.size} gaps"
    else:
        said = f"{wrong.size} of {len(gaps)} distances differ from it"
    raise InconsistentSeries(
        f"{source}: slices lie {usual:g} mm apart, but {said} (between slices {first} and {first + 1}: "
        f"{gaps[first]:g} mm); complete the series, or open an even part of it by a pattern or a list of its files"
    )


def _straight(centres: Array, step: Array, distance: float, across: Array, source: str) -> None:
    shift = step - distance * across
    tilt = float(np.linalg.norm(shift)) / distance
    if tilt > TILT:
        raise InconsistentSeries(
            f"{source}: the stack is tilted by {math.degrees(math.atan(tilt)):.3g} degrees: each slice is shifted "
            f"by {np.linalg.norm(shift):.3g} mm in its plane for {distance:g} mm of depth; resample it first"
        )
    line = centres[0] + np.arange(len(centres))[:, None] * step
    stray = np.linalg.norm(centres - line, axis=1)
    worst = int(stray.argmax())
    if stray[worst] > max(SAME_MM, EVEN * distance):
        raise InconsistentSeries(
            f"{source}: slice {worst} lies {stray[worst]:.3g} mm beside the line of the others, which are "
            f"{distance:g} mm apart: more than one stack is mixed; open them apart"
        )


def _in_time(slices: Sequence[Slice], order: Array, step: tuple[float, ...] | None, source: str) -> Stack:
    """Return several slices at each place, put in order by what tells them apart everywhere."""
    count = order.shape[1]
    for key in ORDERS:
        values = np.array([[slices[i].keys.get(key, math.nan) for i in row] for row in order])
        rank = np.argsort(values, axis=1, kind="stable")
        ranked = np.take_along_axis(values, rank, axis=1)
        if not _tells(ranked, key):
            continue
        times = ranked.mean(axis=0) * SECONDS.get(key, math.nan)
        note = f"t is the order of {key}: {count} slices at each of {len(order)} places"
        t_step, uneven = None, ""
        if key in SECONDS:
            t_step = float(times[-1] - times[0]) / (count - 1)
            if np.abs(np.diff(times) - t_step).max() > EVEN * t_step:
                uneven = f"; times are not even, {t_step:g} s is their mean distance"
        return Stack(np.take_along_axis(order, rank, axis=1).T, step, t_step, (note + uneven,))
    raise InconsistentSeries(
        f"{source}: there are {count} slices at each of {len(order)} places, and no tag says which is which (tried "
        f"{', '.join(ORDERS)}); open those of one volume at a time"
    )


def _tells(ranked: Array, key: str) -> bool:
    """Return whether values, sorted at each place, give every slice its time without a doubt.

    Numbers run alike at every place, so that a slice which stands in for another shows; a time must be over
    everywhere before the next begins.
    """
    if np.isnan(ranked).any() or (np.diff(ranked, axis=1) <= 0).any():
        return False
    if key == "InstanceNumber":
        return bool((ranked - ranked[:, :1] == ranked[0] - ranked[0, 0]).all())
    if key in SECONDS:
        return bool((ranked[:, :-1].max(axis=0) < ranked[:, 1:].min(axis=0)).all())
    return bool((ranked == ranked[0]).all())
