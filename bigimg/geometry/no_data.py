"""Values that a variable of netCDF, HDF5 or xarray declares to be no measurements.

They are fill values, and values beyond a valid range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bigimg.geometry.padding import in_type
from bigimg.types import DType, Padding

FILLS = ("_FillValue", "missing_value")
"""Attributes with one value, or several, that mean nothing was measured."""


def declared(attributes: Mapping[str, Any], dtype: DType, valid: tuple[float, float] | None) -> list[Padding]:
    """Return the ranges of stored values that are no measurements, in order; none lies within another.

    Parameters
    ----------
    attributes : mapping
        Of the variable.
    dtype : dtype
        Of its values.
    valid : (float, float), optional
        First and last valid value; integers beyond them are none.
    """
    found = [(value, value) for name in FILLS for value in _values(attributes.get(name), dtype)]
    if valid is not None and dtype.kind in "ui":
        limits = np.iinfo(dtype)
        found += [(limits.min, math.ceil(valid[0]) - 1), (math.floor(valid[1]) + 1, limits.max)]
    kept = {part for each in found if (part := in_type(each, dtype)) is not None and not math.isnan(part[0])}
    wide = [a for a in kept if not any(a != b and b[0] <= a[0] <= a[1] <= b[1] for b in kept)]
    return sorted(wide)


def _values(value: Any, dtype: DType) -> list[float]:
    """Return the numbers of an attribute; netCDF 3 has no unsigned types, so that their bits are in a signed one."""
    numbers = np.atleast_1d(np.asarray(() if value is None else value))
    if numbers.dtype.kind not in "buif":
        return []
    if numbers.dtype.kind == "i" and dtype.kind == "u" and numbers.dtype.itemsize == dtype.itemsize:
        numbers = numbers.view(dtype.newbyteorder(numbers.dtype.byteorder))
    found: list[float] = numbers.tolist()
    return found
