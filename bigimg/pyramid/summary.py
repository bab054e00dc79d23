"""Count, min, max, mean and std of a channel, from the sums that a pass or a reduction left.

Integers come as exact sums of any size, so mean and std are rounded once, at the very end.
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
    """Statistics of one channel, std with ddof 0; NaN where there is no value."""

    count: int
    nan: int
    min: float
    max: float
    mean: float
    std: float
    sum: float
    saturated: int | None
    """Values at the largest of an integer type; None for other types, and where a store does not tell."""


def summarize(part: Partial, *, floats: bool, saturated: int | None = None) -> Summary:
    """Return the summary of merged statistics; ``floats`` says what ``part.squares`` adds up."""
    if not part.count or part.low is None or part.high is None:
        return Summary(0, part.nan, math.nan, math.nan, math.nan, math.nan, 0, saturated)
    if floats:
        mean, std = part.total / part.count, math.sqrt(part.squares / part.count)
    else:
        mean = part.total / part.count
        # In integers, where no digit is lost however near the mean the values lie.
        std = math.sqrt(part.count * part.squares - part.total * part.total) / part.count
    return Summary(part.count, part.nan, part.low, part.high, mean, std, part.total, saturated)


def stored_partial(channel: Mapping[str, Any]) -> tuple[Partial, bool]:
    """Return what a store keeps of a channel, and whether its squares are deviations, as of floats."""
    exact = channel.get("sum_squares") is not None
    squares = channel["sum_squares"] if exact else channel["squared_deviations"]
    part = Partial(channel["count"], channel["nan"], channel["min"], channel["max"], channel["sum"], squares)
    return part, not exact


def stored_summary(channel: Mapping[str, Any], scaling: Scaling | None = None) -> Summary:
    """Return the summary of a channel's entry in a store's statistics, in real values when scaled."""
    part, floats = stored_partial(channel)
    return rescaled(summarize(part, floats=floats), scaling)


def rescaled(found: Summary, scaling: Scaling | None) -> Summary:
    """Return the summary of real values from that of stored ones."""
    if scaling is None:
        return found
    slope, intercept = scaling.slope, scaling.intercept
    ends = sorted((found.min * slope + intercept, found.max * slope + intercept))
    return replace(
        found, min=ends[0], max=ends[1], mean=found.mean * slope + intercept, std=found.std * abs(slope),
        sum=found.sum * slope + intercept * found.count, saturated=None,
    )  # fmt: skip
