"""Lengths along axes as people write them: one grammar for Python, the command line and all that asks for them.

One number is for all axes of space, several are in the order of the axes, and names may be given:

======================================== ====================================
``0.5``, ``"0.5um"``, ``(0.5, "um")``    ``64``, ``"64"``
``(2, 0.5, 0.5)``, ``"2,0.5,0.5um"``     ``(64, 64, 64)``, ``"64,64,64"``
``{"z": (7, "mm"), "y": "0.5um"}``,      ``{"y": 512, "x": 512}``,
``"z=7mm,y=0.5um"``                      ``"y=512,x=512"``
======================================== ====================================

In a text, a unit holds for every length before it that names none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, NamedTuple

from bigimg.errors import UsageError
from bigimg.geometry.axes import ORDER
from bigimg.geometry.units import LENGTHS, TIMES, asked_unit

type One = float | str | tuple[float, str | None]
type Spacing = One | Sequence[One] | Mapping[str, One]
"""A spacing as a user gives it."""
type Pixels = int | str | Sequence[int] | Mapping[str, int]
"""Numbers of pixels as a user gives them."""

SPACING = "0.5um, or 2,0.5,0.5um for z y x, or z=7mm,y=0.5um"
"""How a spacing is written: for messages and ``--help``."""
PIXELS = "64, or 8,64,64 for z y x, or y=512,x=512"
"""How numbers of pixels are written."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LENGTH = re.compile(rf"\s*({_NUMBER})\s*([^\W\d_]*)\s*")
_NAMED = re.compile(r"\s*(\w+)\s*=(.*)")


class Length(NamedTuple):
    """One length."""

    number: float
    unit: str | None = None
    """Long name; None if none was given."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths with units, before it is known which axes there are."""

    what: str
    """The argument, as messages call it."""
    given: object
    lengths: tuple[Length, ...]
    """In the order of ``names``, else of the axes of space."""
    names: tuple[str, ...] = ()
    for_all: bool = False
    """One length, for all axes of space."""

    def by_axis(self, dims: Sequence[str]) -> dict[str, Length]:
        """Return the lengths by the name of the axis; ``dims`` are in the order of the user.

        Raises
        ------
        UsageError
            An axis is not there, there are too few or too many, or a time is given for an axis of space.
        """
        if self.names or not self.lengths:
            measured = [name for name in dims if name != "c"]
            if foreign := [name for name in self.names if name not in measured]:
                raise UsageError(
                    f"{self.what} names axis {foreign[0]!r}, but the axes are {' '.join(measured)}; write {SPACING}"
                )
            found = dict(zip(self.names, self.lengths, strict=True))
        else:
            space = [name for name in dims if name in "zyx"]
            given = self.lengths * len(space) if self.for_all else self.lengths
            if len(given) != len(space):
                raise UsageError(
                    f"{self.what}={self.given!r} has {len(given)} numbers for the axes {' '.join(space)}: give one "
                    f"each, or name them; write {SPACING}"
                )
            found = dict(zip(space, given, strict=True))
        for name, (_, unit) in found.items():
            if unit is not None and unit not in (TIMES if name == "t" else LENGTHS):
                kind = "times" if name == "t" else "lengths of space"
                raise UsageError(f"{self.what} in {unit} along {name}: an axis {name} has {kind}")
        return found

    def distances(self, *, backwards: bool = False) -> Lengths:
        """Return the lengths after a check that each is a distance between pixels.

        Parameters
        ----------
        backwards : bool
            A length that is named may be below zero, because some axes run backwards.

        Raises
        ------
        UsageError
            A number is 0, not finite, or negative without the name of its axis.
        """
        for i, (number, _) in enumerate(self.lengths):
            along = f" along {self.names[i]}" if self.names else ""
            if not number or not math.isfinite(number):
                raise UsageError(
                    f"{self.what} {number:g}{along}: it must be finite and not 0; write {SPACING}"
                )
            if number < 0 and not (self.names and backwards):
                way = "; an axis that runs backwards is named, as z=-2" if backwards else ""
                raise UsageError(
                    f"{self.what} {number:g}{along}: a distance is above zero{way}; write {SPACING}"
                )
        return self


NO_LENGTHS = Lengths("spacing", None, ())


def read_lengths(given: Any, what: str = "spacing") -> Lengths:
    """Return lengths that a user gives, with their units; None for none.

    >>> read_lengths("z=2,y=0.5um").by_axis("zyx")["z"]
    Length(number=2.0, unit='micrometer')
    >>> read_lengths((7, "mm")).by_axis("yx")["x"]
    Length(number=7.0, unit='millimeter')

    Raises
    ------
    UsageError
        They are not written as :data:`SPACING`, or OME-Zarr has no such unit.
    """
    if given is None or isinstance(given, Lengths):
        return replace(given or NO_LENGTHS, what=what)
    if isinstance(given, str):
        return _from_text(given, what)
    refused = UsageError(f"{what}={given!r}: it is not understood; write {SPACING}")
    if isinstance(given, Mapping):
        found = [_one(value) for value in given.values()]
        if None in found:
            raise refused
        return Lengths(what, given, tuple(filter(None, found)), tuple(map(str, given)))
    if (alone := _one(given)) is not None:
        return Lengths(what, given, (alone,), for_all=True)
    try:
        found = [_one(value) for value in given]
    except TypeError:
        raise refused from None
    if None in found or not found:
        raise refused
    return Lengths(what, given, tuple(filter(None, found)))


def agreed_units(unit: Mapping[str, str | None], **lengths: Mapping[str, Length]) -> dict[str, str | None]:
    """Return the unit of each axis, as it is given apart or with the ``lengths`` of an argument.

    Raises
    ------
    UsageError
        Two of them differ.
    """
    found = dict(unit)
    for what, by_axis in lengths.items():
        for name, length in by_axis.items():
            if length.unit and (found.get(name) or length.unit) != length.unit:
                raise UsageError(
                    f"{what} along {name} is in {length.unit}, and {found[name]} is given too; give one unit"
                )
            if length.unit:
                found[name] = length.unit
    return found


def _one(given: Any) -> Length | None:
    """Return a number, a text as ``7mm``, or a pair of number and unit as a length; None if it is none of them."""
    if isinstance(given, str):
        match = _LENGTH.fullmatch(given)
        return Length(float(match[1]), asked_unit(match[2] or None)) if match else None
    if (
        isinstance(given, tuple | list)
        and len(given) == 2
        and isinstance(given[1], str | None)
        and not _is_length(given[1])
    ):
        alone = _one(given[0])
        return (
            None if alone is None or isinstance(given[0], str) else Length(alone.number, asked_unit(given[1]))
        )
    if getattr(given, "ndim", None) == 0:  # numpy's
        given = given.item()
    if not isinstance(given, Real) or isinstance(given, bool):
        return None
    try:
        return Length(float(given))
    except OverflowError:  # an integer of hundreds of digits
        return None


def _is_length(text: str | None) -> bool:
    """Return whether a text is a length of its own, and no unit of one."""
    return text is not None and _LENGTH.fullmatch(text) is not None


def _from_text(text: str, what: str) -> Lengths:
    names, found = list[str](), list[Length]()
    units: dict[bool, str | None] = {}  # of the lengths behind, for time and for space
    for part in reversed(text.split(",")):
        named = _NAMED.fullmatch(part)
        length = _one(named[2] if named else part)
        if length is None:
            raise UsageError(f"{what}={text!r}: {part.strip()!r} is not understood; write {SPACING}")
        if named:
            names.append(named[1])
        is_time = named is not None and named[1] == "t"
        units[is_time] = length.unit or units.get(is_time)
        found.append(Length(length.number, units[is_time]))
    if names and (len(set(names)) < len(found) or set(names) - set(ORDER)):
        odd = next((name for name in names if name not in ORDER), None)
        why = f"{odd!r} is no axis" if odd else "each length has one name, or none has"
        raise UsageError(f"{what}={text!r}: {why}; write {SPACING}")
    return Lengths(what, text, tuple(found[::-1]), tuple(names[::-1]), for_all=len(found) == 1 and not names)


def read_pixels(given: Any, what: str) -> Any:
    """Return numbers of pixels with those written as text read: one number, a tuple, or a dict by axis.

    What is no text is returned unchanged.

    >>> read_pixels("64", "chunks"), read_pixels("y=512,x=512", "chunks"), read_pixels({"y": "8"}, "chunks")
    (64, {'y': 512, 'x': 512}, {'y': 8})

    Raises
    ------
    UsageError
        A text is not written as :data:`PIXELS`.
    """
    if isinstance(given, str):
        parts = [_NAMED.fullmatch(part) or part for part in given.split(",")]
        named = {part[1]: _whole(part[2]) for part in parts if not isinstance(part, str)}
        numbers = tuple(_whole(part) for part in parts if isinstance(part, str))
        if None not in (*numbers, *named.values()) and max(len(numbers), len(named)) == len(parts):
            return named or (numbers if len(numbers) > 1 else numbers[0])
    elif isinstance(given, Mapping):
        found = {name: _whole(value) for name, value in given.items()}
        if None not in found.values():
            return found
    elif isinstance(given, list | tuple) and any(isinstance(value, str) for value in given):
        read = tuple(map(_whole, given))
        if None not in read:
            return read
    else:
        return given
    raise UsageError(f"{what}={given!r}: give whole numbers of pixels; write {PIXELS}")


def _whole(given: Any) -> Any:
    """Return the whole number in a text; None if there is none; anything but a text or a pair unchanged."""
    if isinstance(given, str):
        return int(given) if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", given) else None
    return None if isinstance(given, tuple | list) else given


def all_whole(lengths: Any) -> bool:
    """Return whether the lengths that a user gives are whole numbers: one, several, or several by name."""
    if isinstance(lengths, Mapping):
        lengths = list(lengths.values())
    try:
        return isinstance(lengths, Integral) or all(isinstance(n, Integral) for n in lengths)
    except TypeError:
        return False
