"""Values to colours with numpy alone: windows, channels added up as lights, and colours of ids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.colours import SPARE
from bigimg.geometry.padding import absent_from
from bigimg.geometry.spec import Channel
from bigimg.types import Array, DType, Padding

LOW, HIGH = 0.1, 99.9
"""Percentiles that become black and white by default; minimum and maximum would let one hot pixel decide."""
LINES = (*SPARE, "FF8C00", "8C564B", "1F77B4", "9467BD", "BCBD22", "7F7F7F")
"""Colours of the lines of a graph for channels that have none, or one that another line has."""
GREYS = {None, "FFFFFF", "000000", "808080"}
"""Colours of channels that are shown in grey."""

type Window = tuple[float, float]


def stretched(pixels: Array, window: Any) -> Array:
    """Return values as 0 to 255, black and white at the ends of ``window``.

    Without a window, pixels of 8 bits stay as they are; for others the percentiles 0.1 and 99.9 are the ends.

    Raises
    ------
    UsageError
        The window is empty.
    """
    if pixels.dtype.kind == "b":
        return np.where(pixels, np.uint8(255), np.uint8(0))
    if window is None:
        if pixels.dtype == np.uint8:
            return pixels
        window = percentiles(pixels)
    low, high = float(window[0]), float(window[1])
    if not low <= high:
        raise UsageError(f"window {low:g} to {high:g} is empty: give the smaller value first")
    real = np.nan_to_num(pixels.astype(np.float64), nan=low, posinf=high, neginf=low)
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint(np.clip((real - low) * scale, 0, 255)).astype(np.uint8)


def with_alpha(colours: Array, alpha: Array) -> Array:
    """Return colours of 8 bits with their opacity, which is scaled by its type and not by a window."""
    return np.dstack([colours, stretched(alpha, (0, most_opaque(alpha.dtype)))])


def most_opaque(dtype: DType) -> int:
    """Return the value of an opaque pixel."""
    return 1 if dtype.kind == "f" else int(np.iinfo(dtype).max)


def percentiles(pixels: Array, padding: Padding | None = None) -> Window:
    """Return the percentiles 0.1 and 99.9 of the finite values in ``pixels``; 0 and 1 of booleans and of no values.

    Values of ``padding`` are left out.
    """
    absent = absent_from(pixels, padding)
    finite = pixels[np.isfinite(pixels) if absent is None else np.isfinite(pixels) & ~absent]
    if not finite.size or finite.dtype.kind == "b":
        return 0.0, 1.0
    low, high = np.percentile(finite, (LOW, HIGH))
    return float(low), float(high)


def is_inks(channels: Sequence[Channel]) -> bool:
    """Return whether the channels are cyan, magenta, yellow and black ink: 0 is no ink."""
    return [channel.name for channel in channels] == list("CMYK")


def lines_of(colors: Sequence[str | None]) -> tuple[str, ...]:
    """Return a colour for the line of each channel in a graph: its own for the first with this colour, else another.

    White is not visible on paper, so a single line is dark grey. From the thirteenth line on, colours repeat.

    >>> lines_of(["FF0000", "00FF00", None, "00FF00"]), lines_of(["FFFFFF"])
    (('FF0000', '00FF00', 'FF00FF', '00FFFF'), ('404040',))
    """
    if len(colors) == 1:
        return ("404040",) if colors[0] in GREYS else (str(colors[0]),)
    spare = itertools.cycle([each for each in LINES if each not in colors])
    found: list[str] = []
    for color in colors:
        found.append(next(spare) if color is None or color in GREYS or color in found else color)
    return tuple(found)


def blended(pixels: Array, lights: Sequence[str | None], windows: Sequence[Any]) -> Array:
    """Return channels (h, w, c) as lights of their colours added up (h, w, 3); a channel without a colour is white."""
    total = np.zeros((*pixels.shape[:2], 3), np.uint16)
    for channel, (color, window) in enumerate(zip(lights, windows, strict=True)):
        light = [int((color or "FFFFFF")[i : i + 2], 16) for i in (0, 2, 4)]
        shown = stretched(pixels[..., channel], window).astype(np.uint16)
        total = np.minimum(total + shown[..., None] * np.asarray(light, np.uint16) // 255, 255)
    return total.astype(np.uint8)


def id_colours(ids: Array) -> Array:
    """Return ids (h, w) as colours (h, w, 3): 0 is black, and consecutive ids have very different hues."""
    turn = (ids.astype(np.uint64) % np.uint64(1 << 20)).astype(np.float64) * 0.6180339887498949 % 1.0
    strength = np.where((ids.astype(np.uint64) // np.uint64(7)) % np.uint64(2), 255.0, 205.0)
    wheel = np.abs((turn[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    color = np.clip(wheel, 0.15, 1.0) * strength[..., None]
    return np.where((ids != 0)[..., None], np.rint(color), 0).astype(np.uint8)
