"""Checks of arguments: they become numbers and types, or an error says what to give."""

from __future__ import annotations

from typing import Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.types import Array, DType


def as_numbers(what: str, given: Any, remedy: str) -> Array:
    """Return the argument ``what`` as an array of float64.

    Raises
    ------
    UsageError
        It is no number; ``remedy`` says what to give.
    """
    try:
        # numpy would read "5" as a number.
        if given is not None and np.asarray(given).dtype.kind not in "USM":
            return np.asarray(given, np.float64)
    except (TypeError, ValueError):
        pass
    raise UsageError(f"{what}={given!r}: give {remedy}")


def as_number(what: str, given: Any, remedy: str) -> float:
    """Return the argument ``what`` as a number.

    Raises
    ------
    UsageError
        It is no number; ``remedy`` says what to give.
    """
    found = as_numbers(what, given, remedy)
    if found.ndim:
        raise UsageError(f"{what}={given!r}: give {remedy}")
    return float(found)


def as_pair(what: str, given: Any) -> tuple[Any, Any]:
    """Return the argument ``what``, two numbers, unchanged.

    Raises
    ------
    UsageError
        There are not two, one is no finite number, or the larger one is first.
    """
    found = as_numbers(what, given, remedy := "two numbers, the smaller first")
    if found.shape != (2,) or not np.isfinite(found).all() or found[0] > found[1]:
        raise UsageError(f"{what}={given!r}: give {remedy}")
    return given[0], given[1]


def as_dtype(given: Any) -> DType:
    """Return a type of numpy.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    try:
        found: DType = np.dtype(given)
        return found
    except (TypeError, ValueError):
        message = f"dtype={given!r}: numpy has no such type; give one as 'uint8' or 'float32'"
        raise UsageError(message) from None
