"""Checks of arguments: they become numbers and types, or an error says what to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

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


def by_axis(
    what: str, given: Any, names: Sequence[str], *, one: Sequence[str] = (), fewest: int | None = None
) -> dict[str, Any]:
    """Return the argument ``what`` by the name of the axis: a mapping, or numbers in the order of ``names``.

    Parameters
    ----------
    one : sequence of str, optional
        The axes that a single number is for; without, it is refused.
    fewest : int, optional
        How many numbers will do, for the last axes; by default there is one for each axis.

    Raises
    ------
    UsageError
        An axis is not there, or there are too few or too many numbers.
    """
    axes = f"the axes {' '.join(names)}"
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in names]:
            why = "channels are kept whole; " if unknown[0] == "c" else ""
            raise UsageError(
                f"{what} names {unknown[0]!r}: {why}the axes are {' '.join(names)}; give one of them"
            )
        return dict(given)
    if one and isinstance(given, int | float | np.number):
        return dict.fromkeys(one, given)
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray) or np.ndim(given) != 1:
        raise UsageError(
            f"{what}={given!r}: give {'a number, or ' if one else ''}one number for each of {axes}"
        )
    if not (len(names) if fewest is None else fewest) <= len(given) <= len(names):
        fewer = "" if fewest is None else ", or fewer for the last ones"
        raise UsageError(f"{what} {tuple(given)} has {len(given)} numbers for {axes}: give one each{fewer}")
    return dict(zip(names[len(names) - len(given) :], given, strict=True))


def space_of(img: xarray.DataArray) -> list[str]:
    """Return those of the axes z, y and x that ``img`` has."""
    return [str(name) for name in img.dims if name in ("z", "y", "x")]


def check_channels(channels: str) -> None:
    """Refuse an option that is neither ``first`` nor ``last``, by a UsageError."""
    if channels not in ("first", "last"):
        raise UsageError(f"channels={channels!r}: give 'first' or 'last'")


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
