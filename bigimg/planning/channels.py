"""Names, colours and windows of channels in place of what the file says: checked, and applied to its description."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bigimg.errors import UsageError, counted
from bigimg.geometry.spec import Channel, ImageSpec, Scaling, channel_number

type Window = tuple[float, float]
"""Values drawn black and white."""
type Windows = Sequence[float] | Mapping[int | str, Sequence[float]]
"""One window for all channels, or some by number or name; in real values."""
type NamedWindows = tuple[tuple[int | str | None, Window], ...]
"""Windows that are checked, each with number or name of its channel; None is all channels."""


def channel_names(given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of channels.

    Raises
    ------
    UsageError
        One of them is no text, or occurs twice.
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    if odd := [name for name in names if not isinstance(name, str)]:
        raise UsageError(f"channels: {odd[0]!r} is no name; give a text for each channel, as in 'DAPI'")
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise UsageError(f"channels: {twice!r} occurs twice; give each channel a name of its own")
    return names


def channel_colors(given: Sequence[str]) -> tuple[str, ...]:
    """Return the colours of channels as six digits.

    >>> channel_colors(["#00ff00", "FF00FF"])
    ('00FF00', 'FF00FF')

    Raises
    ------
    UsageError
        One of them is no colour.
    """
    return tuple(map(_color, [given] if isinstance(given, str) else given))


def _color(text: str) -> str:
    digits = str(text).removeprefix("#").upper()
    if not re.fullmatch("[0-9A-F]{6}", digits):
        raise UsageError(
            f"colors: {text!r} is no color; write six hexadecimal digits, as in 00FF00 for green"
        )
    return digits


def channel_windows(given: Windows) -> NamedWindows:
    """Return windows by channel.

    >>> channel_windows((0, 255)), channel_windows({"DAPI": (100, 4000)})
    (((None, (0.0, 255.0)),), (('DAPI', (100.0, 4000.0)),))

    Raises
    ------
    UsageError
        A window has no two rising numbers, or no channel is named.
    """
    if not isinstance(given, Mapping):
        return ((None, _pair(given)),)
    if not given:
        raise UsageError("window={}: names no channel; give the window of one, as in {0: (100, 4000)}")
    return tuple((channel, _pair(limits)) for channel, limits in given.items())


def _pair(given: Any) -> Window:
    """Return two rising numbers."""
    try:
        low, high = map(float, given)
    except (TypeError, ValueError, OverflowError):
        low = high = 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"window={given!r}: give the values that are drawn black and white, the lower one first, as in (100, 4000)"
        )
    return low, high


def described_channels(
    spec: ImageSpec, names: Sequence[str] | None, colors: Sequence[str] | None
) -> tuple[Channel, ...]:
    """Return the channels of ``spec`` with other names, other colours or both.

    Raises
    ------
    UsageError
        There are more or less of them than channels, or the pixels are no intensities.
    """
    if names is None and colors is None:
        return spec.channels
    count = spec.sizes.get("c", 1)
    what = "colors" if names is None else "channels"
    if spec.kind != "image" and (colors is not None or "c" not in spec.dims):
        raise UsageError(f"{what}: {_has_none(spec)}")
    for name, given in (("channels", names), ("colors", colors)):
        if given is not None and len(given) != count:
            raise UsageError(f"{name}: {len(given)} for {counted(count, 'channel')}; give one for each")
    before = spec.channels or tuple(Channel(f"Channel {i}") for i in range(count))
    names = [channel.name for channel in before] if names is None else names
    colored = [channel.color for channel in before] if colors is None else colors
    return tuple(map(Channel, names, colored))


def _has_none(spec: ImageSpec) -> str:
    values = "labels" if spec.kind == "labels" else "a mask's values"
    return f"the pixels are {values}, which have none; leave it out"


def described_windows(
    spec: ImageSpec, shown: Sequence[Window | None], asked: NamedWindows
) -> tuple[Window | None, tuple[Window | None, ...]]:
    """Return the window of the image and those of its channels.

    Parameters
    ----------
    spec : ImageSpec
    shown : sequence of (low, high) or None
        How each channel is shown now, in stored values; empty where only ``spec`` says it, or nothing.
    asked : sequence of pairs
        That of :func:`channel_windows`, in real values.

    Returns
    -------
    tuple of float, or None
        The window of all channels in real values; None if they have several.
    tuple of (low, high) or None
        The window of each channel in stored values; None where it is not known.

    Raises
    ------
    UsageError
        There is no such channel, or the pixels are no intensities.
    """
    if spec.kind != "image":
        raise UsageError(f"window: {_has_none(spec)}")
    count = spec.sizes.get("c", 1)
    windows = list(shown)
    if len(windows) != count:
        windows = [None if spec.window is None else _stored(spec.window, spec.scaling)] * count
    for channel, window in asked:
        if channel is None:
            return window, (_stored(window, spec.scaling),) * count
        try:
            number = channel_number(channel, spec.channels, {"c": 1} | spec.sizes)
        except UsageError as error:
            raise UsageError(f"window: {error}") from None
        windows[number] = _stored(window, spec.scaling)
    alike = all(window == windows[0] for window in windows)
    return (asked[0][1] if alike else None), tuple(windows)


def _stored(window: Window, scaling: Scaling | None) -> Window:
    """Return a window of real values in stored values."""
    if scaling is None or not scaling.slope:
        return window
    low, high = sorted((value - scaling.intercept) / scaling.slope for value in window)
    return low, high
