"""Coordinates of pixels as an even spacing, apart from :mod:`~bigimg.geometry.axes`, which needs no numpy."""

from __future__ import annotations

import numpy as np

from bigimg.types import Array

EVEN = 1e-3
"""How far a coordinate may be from an even spacing, in parts of it: numbers written with six decimals are within."""


def even_step(values: Array) -> float | None:
    """Return the distance of two or more evenly spaced numbers, float64; None if they are not evenly spaced."""
    step = float(values[-1] - values[0]) / (values.size - 1)
    even = step and np.abs(values - (values[0] + step * np.arange(values.size))).max() <= EVEN * abs(step)
    return step if even else None
