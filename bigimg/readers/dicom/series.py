"""The order of the slices of a DICOM series in one even stack, or an error that says why they make none.

Nothing is guessed. Slices are sorted by their position along the normal of their plane. They must make one even,
straight stack with the same number of slices at each position, otherwise an
:class:`~bigimg.errors.InconsistentSeries` with numbers is raised. Positions are decimal text that the scanner rounded,
so small deviations are allowed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bigimg.errors import InconsistentSeries, counted
from bigimg.geometry.spec import SpacingNote
from bigimg.readers.dicom.gaps import EVEN, FEW, SAME_GRID, are_whole, even_places, place_numbers
from bigimg.types import Array, OnGap, Tilt

SAME_MM = 1e-4
"""Distance below which two positions are equal, in millimetres: the sixth digit that scanners write."""
TILT = math.tan(math.radians(0.5))
"""Largest shift of a slice for each millimetre of depth in a straight stack. A tilted gantry has 1 degree or more,
rounded direction cosines have 0.01 degrees. The affine includes such a small shift."""

ORDERS = ("TemporalPositionIdentifier", "TemporalPositionIndex", "TemporalPositionTimeOffset", "FrameReferenceTime",
          "TriggerTime", "NominalCardiacTriggerDelayTime", "TimeSlotVector", "TimeSliceVector", "RRIntervalVector",
          "DimensionIndexValues", "AcquisitionDateTime", "AcquisitionTime", "ContentTime", "AcquisitionNumber",
          "DiffusionBValue", "InstanceNumber")  # fmt: skip
"""Tags that may order slices at the same position, the best first."""
SECONDS = {"TemporalPositionTimeOffset": 1.0, "FrameReferenceTime": 1e-3, "TriggerTime": 1e-3,
           "NominalCardiacTriggerDelayTime": 1e-3, "AcquisitionDateTime": 1.0, "AcquisitionTime": 1.0,
           "ContentTime": 1.0}  # fmt: skip
"""The tags among them that are times, with the seconds of their unit."""
MEASURED = ("TemporalPositionTimeOffset", "FrameReferenceTime", "AcquisitionDateTime")
"""Times that are those of the measurement even where another tag gives the order."""
DAY = 86400
"""Seconds. A time without a date is below; a scan that takes less than half a day may run past midnight."""


MISSING = -1
"""In place of the number of a slice that is not there."""


@dataclass(frozen=True, slots=True)
class Uneven:
    """What to do with slices that make no even, straight stack."""

    on_gap: OnGap = "error"
    tilt: Tilt = "error"


STRICT = Uneven()
"""They are refused."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The position of one plane, and tags that may distinguish it from others at the same position."""

    name: str
    """Name for messages: a file, or a frame of a file."""
    position: tuple[float, ...] | None = None
    """Centre of the first pixel in LPS millimetres."""
    orientation: tuple[float, ...] | None = None
    """Directions of x and y in LPS, six cosines."""
    spacing: tuple[float, ...] | None = None
    """Distance of rows and of columns, as in PixelSpacing, in millimetres."""
    keys: dict[str, float] = field(default_factory=dict)
    """Values of the tags in :data:`ORDERS`."""
    uid: str = ""
    """Slices with the same UID are copies."""
    between: float | None = None
    """Distance of slices that the file declares, in millimetres."""
    place: float | None = None
    """Number of its place by the dimensions of an enhanced file, which counts where it has no position."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices in order."""

    order: Array
    """Number of the slice at each time and position, of shape (t, z); ``MISSING`` where there is none."""
    step: tuple[float, ...] | None
    """Vector from one slice to the next in LPS millimetres; None for a single slice, or if it is not known."""
    t_step: float | None = None
    """Seconds from one time to the next; None if not known, or if there is one time."""
    times: tuple[float, ...] = ()
    """Seconds of each time after the first; empty if not known."""
    notes: tuple[str, ...] = ()


def stack(slices: Sequence[Slice], source: str, uneven: Uneven = STRICT) -> Stack:
    """Return ``slices`` in order of position and time.

    Parameters
    ----------
    slices : sequence of Slice
        Slices of one series, size and orientation, in any order.
    source : str
        For messages.
    uneven : Uneven

    Raises
    ------
    InconsistentSeries
        Slices are missing, doubled, of different kinds or not in one straight stack.
    """
    if copies := [uid for uid, count in Counter(s.uid for s in slices if s.uid).items() if count > 1]:
        names = [s.name for s in slices if s.uid == copies[0]]
        what = f"{len(copies)} of {len(slices)} slices have copies, such as {names[0]} and {names[1]}"
        raise InconsistentSeries(f"{source}: {what} (same SOPInstanceUID); remove the copies")
    _alike(slices, source)
    if len(slices) == 1:
        return Stack(np.zeros((1, 1), np.intp), None)
    if slices[0].position is None:
        if all(s.place is not None for s in slices):
            return _by_dimensions(slices, source)
        return _numbered(slices, source)
    across = normal(slices[0], source)
    positions = np.array([s.position for s in slices])
    order = _by_depth(positions @ across, source)
    place, step, notes = _checked_step(positions, order, across, source, uneven)
    found = Stack(order.T, step) if order.shape[1] == 1 else _in_time(slices, order, step, source)
    filled = np.full((order.shape[1], int(place[-1]) + 1), MISSING, np.intp)
    filled[:, place] = found.order
    return replace(found, order=filled, notes=(*found.notes, *notes))


def on_grid(slices: Sequence[Slice], source: str) -> Stack:
    """Return the places of slices on an even grid, where any may be absent or there several times.

    Parameters
    ----------
    slices : sequence of Slice
        With positions.
    source : str
        For messages.

    Returns
    -------
    Stack
        ``order`` has the shape (1, slices): the place of each slice, from 0 on.

    Raises
    ------
    InconsistentSeries
        The positions are not on one even, straight line.
    """
    _alike(slices, source)
    across = normal(slices[0], source)
    positions = np.array([s.position for s in slices])
    depth = positions @ across
    depth -= depth.min()
    cells, cell = np.unique(np.rint(depth / SAME_GRID).astype(np.int64), return_inverse=True)
    gaps = np.diff(cells) * SAME_GRID
    apart = gaps[gaps > SAME_GRID]
    if not apart.size:
        return Stack(np.zeros((1, len(slices)), np.intp), None)
    distance = next((d for d in (slices[0].between, float(apart.min())) if d and are_whole(apart / d)), None)
    if distance is None:
        span = f"slices lie {apart.min():g} to {apart.max():g} mm apart"
        raise InconsistentSeries(
            f"{source}: {span}, which are not multiples of one distance; resample it first"
        )
    place = place_numbers(gaps / distance)[cell]
    first, last = int(place.argmin()), int(place.argmax())
    step = (positions[last] - positions[first]) / place[last]
    _straight(positions, place, step, distance, across, source)
    return Stack(place[None], tuple(float(v) for v in step))


def normal(one: Slice, source: str) -> Array:
    """Return the normal of the plane of ``one``, of length 1.

    Raises
    ------
    InconsistentSeries
        The orientation is not a pair of directions at right angles.
    """
    rows = np.asarray(one.orientation or (1, 0, 0, 0, 1, 0), np.float64).reshape(2, 3)
    if not np.allclose(rows @ rows.T, np.eye(2), atol=1e-2):
        cosines = ", ".join(f"{v:g}" for v in rows.ravel())
        what = f"the orientation of {one.name} ({cosines}) is not a pair of directions at right angles"
        raise InconsistentSeries(f"{source}: {what}; correct ImageOrientationPatient")
    across = np.cross(rows[0], rows[1])
    return np.asarray(across / np.linalg.norm(across))


def _alike(slices: Sequence[Slice], source: str) -> None:
    """Raise InconsistentSeries if slices differ in pixel spacing, or if only some have a position."""
    spacings = [None if s.spacing is None else tuple(round(v, 5) for v in s.spacing) for s in slices]
    for what, values in (("pixel spacing", spacings), ("position", [s.position is not None for s in slices])):
        counts = Counter(values).most_common()
        if len(counts) > 1:
            (most, many), (other, few) = counts[:2]
            odd = slices[list(values).index(other)].name
            if what == "position":
                why = f"{sum(map(bool, values))} of {len(slices)} slices have a position and {odd} has none"
            else:
                why = f"{many} slices have a pixel spacing of {_mm(most)} and {few} ({odd}) of {_mm(other)}"
            raise InconsistentSeries(f"{source}: {why}; open them separately")


def _mm(spacing: object) -> str:
    return " x ".join(f"{v:g}" for v in spacing) + " mm" if isinstance(spacing, tuple) else "nothing"


def _numbered(slices: Sequence[Slice], source: str) -> Stack:
    """Return slices without positions in the order of their numbers."""
    numbers = [s.keys.get("InstanceNumber") for s in slices]
    known = [n for n in numbers if n is not None]
    if len(set(known)) < len(slices):
        why = f"InstanceNumber has {len(set(known))} different values to sort them by"
        what = f"{len(slices)} slices have no ImagePositionPatient, and {why}"
        raise InconsistentSeries(f"{source}: {what}; open them one by one")
    spacing = "declared by the file" if slices[0].between else "not known: 1 is assumed"
    notes = (
        "the slices have no position: z is the order of InstanceNumber",
        SpacingNote(f"the spacing along z is {spacing}", "z"),
    )
    return Stack(np.argsort(known, kind="stable")[None], None, notes=notes)


def _by_dimensions(slices: Sequence[Slice], source: str) -> Stack:
    """Return frames without positions in the order of the dimensions of their file."""
    order = _by_depth(np.array([s.place for s in slices]), source)
    note = "the frames have no position: z is the order of DimensionIndexValues"
    if order.shape[1] == 1:
        return Stack(order.T, None, notes=(note,))
    found = _in_time(slices, order, None, source)
    return replace(found, notes=(note, *found.notes))


def _by_depth(depth: Array, source: str) -> Array:
    """Return the numbers of the slices at each position along the normal, of shape (z, slices at each)."""
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
        at = [f"{len(groups[i])} at {float(depth[groups[i]].mean()):.6g} mm" for i in odd[:FEW]]
        most = f"{len(groups) - len(odd)} of {len(groups)} positions have {counted(usual, 'slice')} each"
        more = f" and {len(odd) - FEW} more" if len(odd) > FEW else ""
        what = f"{most}, and {len(odd)} another number ({', '.join(at)}{more})"
        why = "slices are missing or doubled; complete the series or remove the extra ones"
        raise InconsistentSeries(f"{source}: {what}: {why}")
    return np.array(groups)


def _checked_step(
    positions: Array, order: Array, across: Array, source: str, uneven: Uneven
) -> tuple[Array, tuple[float, ...] | None, list[str]]:
    """Return the place of each slice, the vector from one place to the next, and notes.

    The stack is even and straight, but for what ``uneven`` allows.
    """
    notes: list[str] = []
    centres = positions[order].mean(axis=1)
    scatter = np.abs(positions[order] - centres[:, None]).max()
    if len(order) == 1:
        place, steps, distance = np.zeros(1, np.intp), np.zeros(3), math.inf
    else:
        place = even_places(centres @ across, source, fill=uneven.on_gap == "fill")
        steps = (centres[-1] - centres[0]) / place[-1]
        distance = float(steps @ across)
        notes += _straight(centres, place, steps, distance, across, source, tilted=uneven.tilt == "keep")
    if scatter > max(SAME_MM, EVEN * min(distance, 1.0)):
        what = f"slices of the same depth lie up to {scatter:.3g} mm apart: several stacks are mixed"
        raise InconsistentSeries(f"{source}: {what}; open them separately")
    return place, None if len(order) == 1 else tuple(float(v) for v in steps), notes


def _straight(
    centres: Array,
    numbers: Array,
    step: Array,
    distance: float,
    across: Array,
    source: str,
    *,
    tilted: bool = False,
) -> list[str]:
    """Raise InconsistentSeries if slices, of ``numbers`` along the stack, are not on one line along the normal.

    With ``tilted`` the line may have any direction; a note says so.
    """
    notes: list[str] = []
    shift = step - distance * across
    tilt = float(np.linalg.norm(shift)) / distance
    if tilt > TILT:
        what = f"the stack is tilted by {math.degrees(math.atan(tilt)):.3g} degrees: each slice is shifted"
        by = f"{np.linalg.norm(shift):.3g} mm in its plane for {distance:g} mm of depth"
        if not tilted:
            ways = ["resample it first", "keep the tilt in the affine with tilt='keep'"]
            raise InconsistentSeries(f"{source}: {what} by {by};", ways=ways)
        notes.append(f"{what} by {by}; the affine has it")
    line = centres[0] + (numbers - numbers[0])[:, None] * step
    stray = np.linalg.norm(centres - line, axis=1)
    worst = int(stray.argmax())
    if stray[worst] > max(SAME_MM, EVEN * distance):
        off = f"{stray[worst]:.3g} mm off the line of the others, which are {distance:g} mm apart"
        what = f"slice {worst} lies {off}: several stacks are mixed"
        raise InconsistentSeries(f"{source}: {what}; open them separately")
    return notes


def _in_time(slices: Sequence[Slice], order: Array, step: tuple[float, ...] | None, source: str) -> Stack:
    """Return several slices at each position, ordered by the first tag that distinguishes them everywhere."""
    count = order.shape[1]
    for key in ORDERS:
        values = _of_one_day(_values(slices, order, key), key)
        rank = np.argsort(values, axis=1, kind="stable")
        ranked = np.take_along_axis(values, rank, axis=1)
        if not _orders(ranked, key):
            continue
        found = np.take_along_axis(order, rank, axis=1)
        note = f"t is the order of {key}: {count} slices at each of {len(order)} positions"
        times = _times(slices, found, key)
        if not times:
            return Stack(found.T, step, notes=(note,))
        t_step = times[-1] / (count - 1)
        if np.abs(np.diff(times) - t_step).max() > EVEN * t_step:
            note += (
                f"; times are not even, {t_step:g} s is their mean distance (meta['VolumeTimes'] has each)"
            )
        return Stack(found.T, step, t_step, times, (note,))
    what = f"there are {count} slices at each of {len(order)} positions, and no tag orders them"
    raise InconsistentSeries(
        f"{source}: {what} (tried {', '.join(ORDERS)}); open those of one volume at a time"
    )


def _values(slices: Sequence[Slice], order: Array, key: str) -> Array:
    return np.array([[slices[i].keys.get(key, math.nan) for i in row] for row in order])


def _of_one_day(values: Array, key: str) -> Array:
    """Return times without a date so that those past midnight come after those before it."""
    if key not in ("AcquisitionTime", "ContentTime") or not (values < DAY).all() or np.ptp(values) <= DAY / 2:
        return values
    return np.where(values < DAY / 2, values + DAY, values)


def _times(slices: Sequence[Slice], found: Array, key: str) -> tuple[float, ...]:
    """Return the seconds of each time after the first, by the tag that gave the order or by a better one."""
    for tag in (key,) if key in SECONDS else MEASURED:
        times = _of_one_day(_values(slices, found, tag), tag).mean(axis=0) * SECONDS[tag]
        if (np.diff(times) > 0).all():
            return tuple(float(seconds) for seconds in times - times[0])
    return ()


def _orders(ranked: Array, key: str) -> bool:
    """Return whether ``ranked``, the values sorted at each position, give each slice its time with certainty.

    Numbers must be the same at each position, so that an exchanged slice is noticed. The last time of one volume must
    be before the first time of the next.
    """
    if np.isnan(ranked).any() or (np.diff(ranked, axis=1) <= 0).any():
        return False
    if key == "InstanceNumber":
        return bool((ranked - ranked[:, :1] == ranked[0] - ranked[0, 0]).all())
    if key in SECONDS:
        return bool((ranked[:, :-1].max(axis=0) < ranked[:, 1:].min(axis=0)).all())
    return bool((ranked == ranked[0]).all())
