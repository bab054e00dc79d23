"""An axis: its name, size, spacing, unit and origin.

Arrays have the order ``t c z y x`` (numpy order, channels before the plane), as OME-Zarr demands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bigimg.errors import UsageError

ORDER = "tczyx"
"""Order of the axes of each array; the reader of a source in another order transposes it."""


class Physical(float):
    """A position that makes sense only along an axis with a unit."""


AxisType = Literal["time", "channel", "space"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an image.

    The centre of pixel ``i`` is at ``origin + i * spacing``, in ``unit``.
    """

    name: str
    """One of ``t c z y x``."""
    size: int
    """Pixels along the axis."""
    spacing: float = 1.0
    """Distance between neighbouring pixel centres, in ``unit``."""
    unit: str | None = None
    """Long UDUNITS name as OME-Zarr writes it (``micrometer``, ``second``); None if not known."""
    origin: float = 0.0
    """Coordinate of the centre of pixel 0, in ``unit``."""

    def __post_init__(self) -> None:
        if self.name not in ORDER:
            raise UsageError(f"axis {self.name!r} is not one of {' '.join(ORDER)}")
        if self.size < 1:
            raise UsageError(f"axis {self.name} has {self.size} pixels; an image needs at least 1")

    @property
    def type(self) -> AxisType:
        """Kind of the axis: time, channel or space."""
        return "time" if self.name == "t" else "channel" if self.name == "c" else "space"

    def pixel(self, index: int | None = None, position: float | None = None) -> int:
        """Return the pixel at ``index``, from the end if negative, or nearest to ``position``; the middle by default.

        Raises
        ------
        UsageError
            It is outside the image, both are given, ``index`` is no whole number, or a physical position has no unit.
        """
        if index is not None and position is not None:
            raise UsageError(
                f"index {index} and position {position} along {self.name} are two positions; give one"
            )
        if position is not None:
            if isinstance(position, Physical) and self.unit is None:
                raise UsageError(
                    f"position={position:g}: the image gives no unit along {self.name}, so where that is is not known;",
                    ways=[
                        "give index= alone, the number of the pixel",
                        f"give it one by spacing='{self.name}=2mm'",
                    ],
                )
            return self._nearest(position)
        if index is None:
            return self.size // 2
        if not hasattr(index, "__index__"):
            raise UsageError(f"index={index!r}: give a whole number, or position= for a coordinate")
        if not -self.size <= index < self.size:
            raise UsageError(
                f"index {index} along {self.name} of {self.size} pixels; give 0 to {self.size - 1}"
            )
        return int(index) % self.size

    def _nearest(self, position: float) -> int:
        pixel = (position - self.origin) / self.spacing
        # A position beyond the edge of the last pixel by 1e-9 is a rounding error, not outside.
        if not -0.5 - 1e-9 <= pixel <= self.size - 0.5 + 1e-9:
            low, high = sorted(self.origin + self.spacing * edge for edge in (-0.5, self.size - 0.5))
            raise UsageError(
                f"position {position:g} along {self.name} is outside the image, which reaches from {low:g} to "
                f"{high:g} {self.unit or 'pixels'}"
            )
        return min(max(round(pixel), 0), self.size - 1)


UNITS = {
    "m": "meter", "dm": "decimeter", "cm": "centimeter", "mm": "millimeter", "um": "micrometer",
    "µm": "micrometer", "μm": "micrometer", "micron": "micrometer", "microns": "micrometer",
    "nm": "nanometer", "pm": "picometer", "angstrom": "angstrom", "å": "angstrom", "in": "inch",
    "inch": "inch", "s": "second", "sec": "second", "ms": "millisecond", "us": "microsecond",
    "µs": "microsecond", "μs": "microsecond", "ns": "nanosecond", "min": "minute", "h": "hour", "d": "day",
}  # fmt: skip
"""Long unit names of OME-Zarr, by short and informal names."""

_SHORT = {"meter": "m", "decimeter": "dm", "centimeter": "cm", "millimeter": "mm", "micrometer": "µm",
          "nanometer": "nm", "picometer": "pm", "angstrom": "Å", "inch": "in", "second": "s",
          "millisecond": "ms", "microsecond": "µs", "nanosecond": "ns", "minute": "min", "hour": "h",
          "day": "d"}  # fmt: skip

MILLIMETERS = {
    "meter": 1e3, "decimeter": 1e2, "centimeter": 1e1, "millimeter": 1.0, "micrometer": 1e-3,
    "nanometer": 1e-6, "picometer": 1e-9, "angstrom": 1e-7, "inch": 25.4,
}  # fmt: skip
"""Millimetres in a unit of length, by its long name."""

SECONDS = {
    "second": 1.0, "millisecond": 1e-3, "microsecond": 1e-6, "nanosecond": 1e-9, "minute": 60.0, "hour": 3600.0,
    "day": 86400.0,
}  # fmt: skip
"""Seconds in a unit of time, by its long name."""


def long_unit(unit: str | None) -> str | None:
    """Return the long name of ``unit`` (``um`` or ``micrometers`` to ``micrometer``); unknown names pass unchanged.

    >>> long_unit("um"), long_unit("micrometer"), long_unit("days"), long_unit(None)
    ('micrometer', 'micrometer', 'day', None)
    """
    if not unit:
        return None
    if (one := unit.lower().removesuffix("s")) in MILLIMETERS or one in SECONDS:
        return one
    return UNITS.get(unit, UNITS.get(unit.lower(), unit))


def short_unit(unit: str | None) -> str:
    """Return the symbol of a long unit name, or ``px`` for None.

    >>> short_unit("micrometer"), short_unit(None)
    ('µm', 'px')
    """
    return "px" if unit is None else _SHORT.get(unit, unit)
