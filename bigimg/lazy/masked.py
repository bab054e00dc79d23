"""Masked arrays of numpy: masked pixels have no value, so they are refused wherever an array is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.types import Array


def unmasked(pixels: Any, source: str = "array") -> Array:
    """Return ``pixels`` as a plain array.

    Raises
    ------
    UsageError
        Some of them are masked.
    """
    found = np.asanyarray(pixels)  # asarray would drop the mask
    if np.ma.is_masked(found):
        raise UsageError(
            f"{source}: {np.ma.count_masked(found)} pixels are masked and have no value; fill them first, "
            "as in array.filled(0)"
        )
    return np.asarray(found)
