"""The stored statistics against those that are counted again from the pixels."""

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
"""How much a sum of floats may differ for each value, relative to the largest: the order of additions differs."""
SQUARES = 1e-9
"""How much the sum of squared deviations may differ, relative to itself."""


def compare_statistics(stored: StoredStatistics, counted: Accumulator, zarr: ZarrFormat) -> Iterator[Finding]:
    """Yield a finding for each channel whose statistics or histogram are not those of its pixels."""
    entries = counted.result([])["channels"]
    assert isinstance(entries, list)
    for i, (expected, entry) in enumerate(zip(stored.statistics["channels"], entries, strict=True)):
        assert isinstance(entry, dict)
        for key in ("count", "nan", "min", "max", "sum", "sum_squares", "squared_deviations"):
            value = expected.get(key)
            if not _alike(key, value, entry[key], entry):
                message = f"channel {i}: {key} is {value}, of the pixels {entry[key]}; convert again"
                yield Finding("statistics", f"{GROUP}/{ATTRIBUTES[zarr]}", message)
    if stored.histogram is not None and counted.histogram is not None:
        for i, (expected, row) in enumerate(zip(stored.histogram, counted.histogram, strict=True)):
            if wrong := int(np.count_nonzero(expected != row.astype(expected.dtype))):
                message = f"{wrong} bins do not count the pixels of level 0; convert the source again"
                yield Finding("statistics", HISTOGRAM, f"channel {i}: {message}", HISTOGRAM)


def _alike(key: str, stored: Any, counted: Any, entry: Mapping[str, Any]) -> bool:
    """Return whether a stored and a counted value agree, within what the order of additions changes."""
    if stored == counted:
        return True
    if not isinstance(stored, float) or not isinstance(counted, float) or key in ("min", "max"):
        return bool(stored != stored and counted != counted)  # NaN
    if not math.isfinite(stored) or not math.isfinite(counted):
        return math.isnan(stored) and math.isnan(counted)
    largest = max(abs(entry["min"]), abs(entry["max"]))
    if key == "sum":
        return bool(abs(stored - counted) <= EXACT * entry["count"] * largest)
    return math.isclose(stored, counted, rel_tol=SQUARES, abs_tol=EXACT * entry["count"] * largest * largest)
