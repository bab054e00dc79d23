"""Other spacing, channels and windows of an image that is stored: checked, and applied to its description."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bigimg.errors import UsageError, counted
from bigimg.geometry.affine import in_units
from bigimg.geometry.axes import MILLIMETERS, SECONDS, Axis
from bigimg.geometry.spec import Channel, ImageSpec, Scaling, channel_number
from bigimg.planning.options import channel_names, described, options

type Window = tuple[float, float]
"""Values drawn black and white."""
type Windows = Sequence[float] | Mapping[int | str, Sequence[float]]
"""One window for all channels, or some by number or name; in real values."""


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
        spec = replace(spec, channels=_channels(spec, asked))
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


def _channels(spec: ImageSpec, asked: Asked) -> tuple[Channel, ...]:
    count = spec.sizes.get("c", 1)
    what = "channels" if asked.channels is not None else "colors"
    if spec.kind != "image" and (what == "colors" or "c" not in spec.dims):
        raise UsageError(f"{what}: the store holds {_plural(spec)}, which have none; leave it out")
    for name, given in (("channels", asked.channels), ("colors", asked.colors)):
        if given is not None and (isinstance(given, str) or len(given) != count):
            number = 1 if isinstance(given, str) else len(given)
            raise UsageError(f"{name}: {number} for {counted(count, 'channel')}; give one for each")
    before = spec.channels or tuple(Channel(f"Channel {i}") for i in range(count))
    names = channel_names(asked.channels or [channel.name for channel in before])
    colors = (
        [channel.color for channel in before] if asked.colors is None else list(map(_color, asked.colors))
    )
    return tuple(map(Channel, names, colors))


def _color(text: str) -> str:
    digits = str(text).removeprefix("#").upper()
    if not re.fullmatch("[0-9A-F]{6}", digits):
        raise UsageError(
            f"colors: {text!r} is no color; write six hexadecimal digits, as in 00FF00 for green"
        )
    return digits


def _plural(spec: ImageSpec) -> str:
    return "labels" if spec.kind == "labels" else "a mask's values"


def edited_windows(
    spec: ImageSpec, shown: Sequence[Window | None], asked: Windows
) -> tuple[Window | None, list[Window]]:
    """Return the window of the image and those of its channels.

    Parameters
    ----------
    spec : ImageSpec
    shown : sequence of (low, high) or None
        How the store shows each channel now, in stored values.
    asked : sequence or mapping
        In real values.

    Returns
    -------
    tuple of float, or None
        The window of all channels in real values; None if they have several.
    list of tuple of float
        The window of each channel in stored values.

    Raises
    ------
    UsageError
        A window has no two rising numbers, there is no such channel, or the window of another channel is not known.
    """
    if spec.kind != "image":
        raise UsageError(f"window: the store holds {_plural(spec)}, which have none; leave it out")
    count = spec.sizes.get("c", 1)
    if not isinstance(asked, Mapping):
        pair = _pair(asked)
        return pair, [_stored(pair, spec.scaling)] * count
    windows: list[Window | None] = list(shown) if len(shown) == count else [None] * count
    if not asked:
        raise UsageError("window={}: names no channel; give the window of one, as in {0: (100, 4000)}")
    for channel, given in asked.items():
        windows[channel_number(channel, spec.channels, {"c": 1} | spec.sizes)] = _stored(
            _pair(given), spec.scaling
        )
    found = [window for window in windows if window is not None]
    if len(found) < count:
        raise UsageError(
            f"window: that of channel {windows.index(None)} is not known; give one for each channel"
        )
    alike = all(window == found[0] for window in found)
    return (_pair(next(iter(asked.values()))) if alike else None), found


def _pair(given: Any) -> Window:
    """Return two rising numbers."""
    try:
        low, high = map(float, given)
    except (TypeError, ValueError, OverflowError):
        low = high = 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"window={given!r}: give the values that are drawn black and white, as in (100, 4000)"
        )
    return low, high


def _stored(window: Window, scaling: Scaling | None) -> Window:
    """Return a window of real values in stored values."""
    if scaling is None or not scaling.slope:
        return window
    low, high = sorted((value - scaling.intercept) / scaling.slope for value in window)
    return low, high
