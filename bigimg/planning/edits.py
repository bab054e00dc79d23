"""Other spacing, channels and windows of an image that is stored: checked, and applied to its description."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bigimg.errors import UsageError
from bigimg.geometry.affine import in_units
from bigimg.geometry.axes import MILLIMETERS, SECONDS, Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.channels import (
    Window,
    Windows,
    channel_colors,
    channel_names,
    channel_windows,
    described_channels,
    described_windows,
)
from bigimg.planning.options import described, options


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user wants to be edited; None stays."""

    channels: Sequence[str] | None = None
    colors: Sequence[str] | None = None
    spacing: Any = None
    window: Windows | None = None

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return all(value is None for value in (self.channels, self.colors, self.spacing, self.window))


def edited_spec(spec: ImageSpec, asked: Asked) -> ImageSpec:
    """Return ``spec`` with the spacing and the channels that are asked for, its world in the units of these.

    Raises
    ------
    UsageError
        Something asked for means nothing for such an image; the message names it.
    """
    if asked.spacing is not None:
        wanted = described(spec, options(spacing=asked.spacing)).axes
        axes = [_axis(old, new) for old, new in zip(spec.axes, wanted, strict=True)]
        spec = edited_places(spec, {axis.name: (axis.spacing, axis.origin, axis.unit) for axis in axes})
    if asked.channels is not None or asked.colors is not None:
        names = None if asked.channels is None else channel_names(asked.channels)
        colors = None if asked.colors is None else channel_colors(asked.colors)
        spec = replace(spec, channels=described_channels(spec, names, colors))
    return spec


def _axis(old: Axis, new: Axis) -> Axis:
    """Return ``new`` in the direction of ``old``, and with its origin in the new unit."""
    origin = old.origin
    for table in (MILLIMETERS, SECONDS):
        if old.unit != new.unit and old.unit in table and new.unit in table:
            origin *= table[old.unit] / table[new.unit]
    return replace(new, spacing=math.copysign(new.spacing, old.spacing), origin=origin)


def edited_places(spec: ImageSpec, places: Mapping[str, tuple[float, float, str | None]]) -> ImageSpec:
    """Return ``spec`` with other spacing, origin and unit along each axis, and its world in these units.

    Raises
    ------
    UsageError
        There is a world, which leads to millimetres, and a new unit is no length.
    """
    axes = tuple(
        replace(a, spacing=places[a.name][0], origin=places[a.name][1], unit=places[a.name][2])
        for a in spec.axes
    )
    if spec.world is None:
        return replace(spec, axes=axes)
    for old, new in zip(spec.axes, axes, strict=True):
        if old != new and new.type == "space" and new.unit not in MILLIMETERS:
            raise UsageError(
                f"spacing {new.spacing:g} along {new.name} is in {new.unit or 'no unit'}, and the image has a place in "
                f"millimetres: give a unit of length, as in {new.name}={abs(new.spacing):g}mm"
            )
    units = {old.name: (old.unit, new.unit) for old, new in zip(spec.axes, axes, strict=True)}
    return replace(spec, axes=axes, world=in_units(spec.world, units))


def edited_windows(
    spec: ImageSpec, shown: Sequence[Window | None], asked: Windows
) -> tuple[Window | None, list[Window]]:
    """Return the window of the image and those of its channels, as :func:`described_windows` does.

    Raises
    ------
    UsageError
        As there, or the window of another channel is not known.
    """
    window, windows = described_windows(spec, shown, channel_windows(asked))
    if None in windows:
        raise UsageError(
            f"window: that of channel {windows.index(None)} is not known; give one for each channel"
        )
    return window, [each for each in windows if each is not None]
