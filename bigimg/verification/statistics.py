"""Statistics counted again from the pixels against those that the store keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bigimg.omezarr.manifest import GROUP, HISTOGRAM, StoredStatistics
from bigimg.omezarr.metadata import ATTRIBUTES
from bigimg.pyramid.partial import Accumulator
from bigimg.types import ZarrFormat
from bigimg.verification.report import Finding

EXACT = 1e-12
"""Of the largest value: what a sum of floats may differ by for each value, for their order is that of the blocks."""
SQUARES = 1e-9
"""The same for squared deviations, relative to their sum."""


def compare_statistics(stored: StoredStatistics, counted: Accumulator, zarr: ZarrFormat) -> Iterator[Finding]:
    """Yield a finding for each channel whose statistics, or whose histogram, are not those of its pixels."""
    entries = counted.result([])["channels"]
    assert isinstance(entries, list)
    for i, (kept, here) in enumerate(zip(stored.statistics["channels"], entries, strict=True)):
        assert isinstance(here, dict)
        for key in ("count", "nan", "min", "max", "sum", "sum_squares", "squared_deviations"):
            if not _alike(key, kept.get(key), here[key], here):
                said = f"channel {i}: {key} is {kept.get(key)}, of the pixels {here[key]}; convert the source again"
                yield Finding("statistics", f"{GROUP}/{ATTRIBUTES[zarr]}", said)
    if stored.histogram is not None and counted.histogram is not None:
        for i, (kept_row, row) in enumerate(zip(stored.histogram, counted.histogram, strict=True)):
            wrong = int(np.count_nonzero(kept_row != row.astype(kept_row.dtype)))
            if wrong:
                said = (
                    f"channel {i}: {wrong} bins do not count the pixels of level 0; convert the source again"
                )
                yield Finding("statistics", HISTOGRAM, said, HISTOGRAM)


def _alike(key: str, kept: Any, here: Any, entry: Mapping[str, Any]) -> bool:
    if not isinstance(kept, float) or not isinstance(here, float):
        return bool(kept == here)
    if not math.isfinite(kept) or not math.isfinite(here):
        return bool(kept == here) or (math.isnan(kept) and math.isnan(here))
    if key in ("min", "max"):
        return bool(kept == here)
    largest = max(abs(entry["min"]), abs(entry["max"]))
    if key == "sum":
        return bool(abs(kept - here) <= EXACT * entry["count"] * largest)
    return math.isclose(kept, here, rel_tol=SQUARES, abs_tol=EXACT * entry["count"] * largest * largest)
