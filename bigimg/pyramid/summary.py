"""Count, min, max, mean and std of a channel, computed from its sums.

Sums of integers are exact and of any size, so mean and std are rounded only once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bigimg.geometry.spec import Scaling
from bigimg.pyramid.partial import Partial


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of one channel, std with ddof 0; NaN if no value is counted."""

    count: int
    nan: int
    min: float
    max: float
    mean: float
    std: float
    sum: float
    saturated: int | None
    """Number of values at the maximum of an integer type; None for other types, or if a store does not hold it."""


def summarize(part: Partial, *, floats: bool, saturated: int | None = None) -> Summary:
    """Return the summary of merged statistics; if ``floats``, ``part.squares`` holds squared deviations."""
    if not part.count or part.low is None or part.high is None:
        return Summary(0, part.nan, math.nan, math.nan, math.nan, math.nan, 0, saturated)
    if floats:
        mean, std = part.total / part.count, math.sqrt(part.squares / part.count)
    else:
        mean = part.total / part.count
        # Computed in integers: no digit is lost, even if all values lie near the mean.
        std = math.sqrt(part.count * part.squares - part.total * part.total) / part.count
    return Summary(part.count, part.nan, part.low, part.high, mean, std, part.total, saturated)


def stored_partial(channel: Mapping[str, Any]) -> tuple[Partial, bool]:
    """Return the statistics of a channel in a store, and whether its squares are deviations, as for floats."""
    exact = channel.get("sum_squares") is not None
    squares = channel["sum_squares"] if exact else channel["squared_deviations"]
    part = Partial(channel["count"], channel["nan"], channel["min"], channel["max"], channel["sum"], squares)
    return part, not exact


def stored_summary(channel: Mapping[str, Any], scaling: Scaling | None = None) -> Summary:
    """Return the summary of a channel in a store's statistics; real values if there is a scaling."""
    part, floats = stored_partial(channel)
    return rescaled(summarize(part, floats=floats), scaling)


def rescaled(found: Summary, scaling: Scaling | None) -> Summary:
    """Return the summary of real values, from that of stored values."""
    if scaling is None:
        return found
    slope, intercept = scaling.slope, scaling.intercept
    ends = sorted((found.min * slope + intercept, found.max * slope + intercept))
    return replace(
        found, min=ends[0], max=ends[1], mean=found.mean * slope + intercept, std=found.std * abs(slope),
        sum=found.sum * slope + intercept * found.count, saturated=None,
    )  # fmt: skip
