"""Keys between ``[ ]``, as a region to read and an index within it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from bigimg.types import Array, Region, Shape

type Index = int | slice | Array | None


def resolve(key: Any, shape: Shape) -> tuple[Region, tuple[Index, ...]]:
    """Return the region that covers ``key``, and the index that selects ``key`` within that region.

    >>> resolve((None, -1, slice(8, 1, -3), [2, 7]), (10, 10, 10))[0]
    (slice(9, 10, None), slice(2, 9, None), slice(2, 8, None))
    """
    items = list(key) if isinstance(key, tuple) else [key]
    wanted = len(shape) - sum(item is not None and item is not Ellipsis for item in items)
    at = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    items[at : at + 1] = [slice(None)] * wanted
    sizes = iter(shape)
    region: list[slice] = []
    index: list[Index] = []
    for item in items:
        if item is None:
            index.append(None)
            continue
        cover, cut = resolve_axis(item, next(sizes))
        region.append(cover)
        index.append(cut)
    return tuple(region), tuple(index)


def resolve_axis(item: Any, size: int) -> tuple[slice, Index]:
    """Return the covering slice of one axis and the index within it.

    >>> resolve_axis(slice(8, 1, -3), 10), resolve_axis(-1, 10)
    ((slice(2, 9, None), slice(None, None, -3)), (slice(9, 10, None), 0))
    """
    if isinstance(item, slice):
        chosen = range(size)[item]
        if not chosen:
            return slice(0, 0), slice(None)
        low, high = sorted((chosen[0], chosen[-1]))
        return slice(low, high + 1), slice(None, None, chosen.step)
    if isinstance(item, list | np.ndarray) and np.ndim(item):
        numbers = np.arange(size)[np.asarray(item) if len(item) else []]
        low, high = (int(numbers.min()), int(numbers.max()) + 1) if numbers.size else (0, 0)
        return slice(low, high), numbers - low
    number = operator.index(item)
    if not -size <= number < size:
        raise IndexError(f"index {number} is out of bounds for an axis of {size} pixels")
    return slice(number % size, number % size + 1), 0
