"""Gaps in a DICOM series: whether distances are whole slices, which slices are missing, and the even parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigimg.errors import InconsistentSeries, counted
from bigimg.types import Array

SAME_GRID = 1e-3
"""Distance below which slices of different segments lie at one place, in millimetres."""
WHOLE = 0.2
"""Largest deviation of a gap from whole slices, in parts of the distance."""
FEW = 6
"""Places of a stack that a message lists."""
MOST_PLACES = 100_000
"""Places of a stack with gaps; a position that is further away is damage."""
EVEN = 0.05
"""Largest deviation of a slice from an even stack, in parts of the distance. Text with 2 digits is wrong by up to 0.01
millimetres; a missing slice, or one that somebody moved, deviates by 0.5 or more."""


def are_whole(ratio: Array) -> bool:
    """Return whether all distances are multiples of one slice distance, within what text rounds."""
    whole = np.rint(ratio)
    near = np.abs(ratio - whole) <= np.minimum(EVEN * ratio, WHOLE)
    return bool((whole >= 1).all() and near.all() and whole.sum() < MOST_PLACES)


def place_numbers(ratio: Array) -> Array:
    """Return the place of each slice, from 0 on, from distances in slices: rounding of text does not add up."""
    return np.concatenate([[0], np.cumsum(np.rint(ratio).astype(np.intp))])


def even_places(depth: Array, source: str, *, fill: bool) -> Array:
    """Return the place of each slice, from 0 on; a gap is refused, with ``fill`` only one of no whole slices.

    ``depth`` is the position of each slice along the normal, in millimetres.
    """
    gaps = np.diff(depth)
    usual = float(np.median(gaps))
    wrong = np.flatnonzero(np.abs(gaps - usual) > EVEN * usual)
    if not wrong.size:
        return np.arange(len(gaps) + 1)
    ways = ["complete the series", "take its even parts one by one by on_gap='split'"]
    for unit in (usual, float(gaps.min())):  # the smallest distance, where more are gaps than not
        ratio = gaps / unit
        missing = int(np.rint(ratio).sum()) - len(gaps)
        fills = are_whole(ratio) and missing < MOST_PLACES
        whole = fills and (fill or missing <= len(gaps))
        if fills and len(ways) == 2:
            ways.append(f"fill the gaps with {counted(missing, 'slice')} without values by on_gap='fill'")
        if whole:
            usual, wrong = unit, np.flatnonzero(np.rint(ratio) != 1)
            break
    if whole and (fill or not wrong.size):
        return place_numbers(ratio)
    more = f", and {wrong.size - FEW} more" if wrong.size > FEW else ""
    if whole:
        ends = ((depth[i] + usual, depth[i + 1] - usual, i) for i in wrong[:FEW].tolist())
        at = [
            f"{a:.6g}{f' to {b:.6g}' if b > a + usual / 2 else ''} mm (after slice {i})" for a, b, i in ends
        ]
        what = f"slices lie {usual:g} mm apart, but {counted(missing, 'slice')} of {len(depth) + missing} "
        what += f"{'is' if missing == 1 else 'are'} missing, at {', '.join(at)}{more}"
    else:
        at = [f"{gaps[i]:g} mm from {depth[i]:.6g} to {depth[i + 1]:.6g}" for i in wrong[:FEW].tolist()]
        what = f"slices lie {gaps.min():g} to {gaps.max():g} mm apart and not evenly: {', '.join(at)}{more}"
    raise InconsistentSeries(f"{source}: {what};", ways=ways)


def even_parts(positions: Sequence[tuple[float, ...]], across: Array) -> Array:
    """Return the number of the even part in which each slice lies, in order along the normal ``across``."""
    depth = np.array(positions) @ across
    order = np.argsort(depth, kind="stable")
    distinct = np.concatenate([[True], np.diff(depth[order]) > SAME_GRID])
    gaps = np.diff(depth[order][distinct])
    part = np.zeros(len(gaps) + 1, np.intp)
    usual = None  # the distance within the present part; None while it has one slice
    for i, gap in enumerate(gaps.tolist()):
        after = gaps[i + 1] if i + 1 < len(gaps) else gap
        alone = usual is None and after < gap * (1 - EVEN)  # nearer to the next part
        if alone or (usual is not None and abs(gap - usual) > EVEN * usual):
            part[i + 1], usual = part[i] + 1, None
        else:
            part[i + 1], usual = part[i], gap
    found = np.empty(len(depth), np.intp)
    found[order] = part[np.cumsum(distinct) - 1]
    return found
