"""Padding: the values of an image that are no measurements, such as what GDAL calls no-data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bigimg.types import Array, DType, Json, Padding


def is_padding(values: Any, padding: Padding) -> Any:
    """Return where ``values`` (any array) are padding: from its first to its last value, or NaN if that is NaN."""
    low, high = padding
    return np.isnan(values) if math.isnan(low) else (values >= low) & (values <= high)


def absent_from(values: Array, padding: Padding | None, holes: Array | None = None) -> Array | None:
    """Return where ``values`` are no measurements: padding, NaN or in ``holes``; None if they are everywhere."""
    kind = values.dtype.kind
    found = np.isnan(values) if kind == "f" else None
    if padding is not None and kind != "b" and not math.isnan(padding[0]):
        inside = is_padding(values, padding)
        found = inside if found is None else found | inside
    if holes is not None:
        found = holes if found is None else found | holes
    return found if found is not None and found.any() else None


def in_type(padding: Padding, dtype: DType) -> Padding | None:
    """Return the part of ``padding`` that values of ``dtype`` can have, None if it is empty.

    Examples
    --------
    >>> in_type((-9999, -9999), np.dtype("i2")), in_type((-9999, -9999), np.dtype("u1"))
    ((-9999, -9999), None)
    """
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            low, high = (float(dtype.type(end)) for end in padding)
        return low, high
    if dtype.kind not in "ui" or any(map(math.isnan, padding)):
        return None
    limits = np.iinfo(dtype)
    first, last = max(padding[0], limits.min), min(padding[1], limits.max)
    return (math.ceil(first), math.floor(last)) if math.ceil(first) <= math.floor(last) else None


def described(padding: Padding) -> str:
    """Return ``padding`` in words: ``-2000``, ``0 to 3``."""
    low, high = padding
    return f"{low:.15g}" if low == high or math.isnan(low) else f"{low:.15g} to {high:.15g}"


def no_data_note(padding: Padding, field: str, text: str = "") -> str:
    """Return the note about pixels that ``field`` of a file declares as no data; ``text`` is as it has them."""
    values = text or described(padding)
    return f"pixels of {values} are no data ({field}) and left out of statistics and coarser levels"


def as_json(padding: Padding) -> list[Json]:
    """Return the ends of ``padding``, as words where JSON has no number (NaN and infinity)."""
    return [end if math.isfinite(end) else str(end) for end in padding]


def of_json(ends: Sequence[int | float | str] | None) -> Padding | None:
    """Return the padding of which :func:`as_json` made ``ends``."""
    if ends is None:
        return None
    low, high = (end if isinstance(end, int) else float(end) for end in ends)
    return low, high
