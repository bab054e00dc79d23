"""Coordinates of pixels as an even spacing, apart from :mod:`~bigimg.geometry.axes`, which needs no numpy."""

from __future__ import annotations

import numpy as np

from bigimg.types import Array

EVEN = 1e-3
"""How far a coordinate may be from an even spacing, in parts of it: numbers written with six decimals are within."""


def even_step(values: Array, numbers: Array | None = None, *, within: float = EVEN) -> float | None:
    """Return the distance of two or more evenly spaced values, float64; None if they are not evenly spaced.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    numbers : ndarray of int, shape (n,), optional
        Of the values, where not all of them are known; they ascend.
    within : float
        How far a value may be from an even spacing, in parts of it.
    """
    at = np.arange(values.size) if numbers is None else numbers - numbers[0]
    step = float(values[-1] - values[0]) / int(at[-1])
    even = step and np.abs(values - (values[0] + step * at)).max() <= within * abs(step)
    return step if even else None
