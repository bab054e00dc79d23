"""What ``imshow`` takes to draw a plane: values with a colour map and a window, or colours.

A window has the values that are drawn black and white: from the file, the stored histogram, or the pixels drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.colours import is_picture, lights_of
from bigimg.opening.coordinates import channels_of
from bigimg.ops.statistics.percentiles import of_counts
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.types import Array
from bigimg.viewing.canvas import need_matplotlib
from bigimg.viewing.colours import (
    GREYS,
    HIGH,
    LOW,
    Window,
    blended,
    id_colours,
    is_inks,
    most_opaque,
    percentiles,
)
from bigimg.viewing.display import display_of
from bigimg.viewing.levels import Levels
from bigimg.viewing.planes import Cut, Picture

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Look:
    """Colour map and window that the caller gave; None means the default of the image."""

    cmap: Any = None
    vmin: float | None = None
    vmax: float | None = None
    norm: Any = None
    """A norm of matplotlib, in place of a window."""

    def __post_init__(self) -> None:
        """Refuse a colour map that matplotlib does not know.

        Raises
        ------
        UsageError, MissingExtraError
        """
        if isinstance(self.cmap, str):
            need_matplotlib()
            from matplotlib import colormaps

            if self.cmap not in colormaps:
                raise UsageError(
                    f"cmap={self.cmap!r}: matplotlib has no such colour map; give one as 'gray', 'viridis' or 'magma'"
                )

    def window(self, default: Window) -> Window:
        """Return the window ``default`` with ``vmin`` and ``vmax`` in place of its ends if they are given.

        Raises
        ------
        UsageError
            The window is empty.
        """
        low = default[0] if self.vmin is None else float(self.vmin)
        high = default[1] if self.vmax is None else float(self.vmax)
        if not low <= high:
            raise UsageError(
                f"window {low:g} to {high:g} is empty: give a vmin below vmax"
                + ("" if None not in (self.vmin, self.vmax) else "; the other end is that of the image")
            )
        return low, high


DEFAULT_LOOK = Look()


@dataclass(frozen=True)
class Paint:
    """Arguments of ``imshow``."""

    values: Array
    """(h, w) with a colour map, or colours (h, w, 3 or 4)."""
    options: dict[str, Any]
    scalar: bool
    """Whether a colour bar makes sense."""


def paint(picture: Picture, windows: Sequence[Window] | None, look: Look = DEFAULT_LOOK) -> Paint:
    """Return what ``imshow`` takes to draw ``picture``.

    Parameters
    ----------
    picture : Picture
    windows : sequence of (float, float), optional
        One for each channel of ``picture``; by default percentiles of the pixels drawn.
    look : Look, optional
    """
    pixels, kind = picture.pixels, picture.like.attrs.get("kind", "image")
    channels = channels_of(picture.like)
    if kind == "mask":  # a mask may be stored as 0 and 1, because OME-Zarr labels are integers
        pixels = pixels != 0
        picture = replace(picture, pixels=pixels)
    if pixels.ndim == 3:
        return Paint(_coloured(picture, windows, look), {}, False)
    if kind == "labels" and look.cmap is None:
        return Paint(id_colours(pixels), {"interpolation": "nearest"}, False)
    if pixels.dtype.kind == "b":
        return Paint(pixels.astype(np.uint8), {"cmap": look.cmap or "gray", "vmin": 0, "vmax": 1}, False)
    color = channels[0].color if len(channels) == 1 else None
    options: dict[str, Any] = {"cmap": look.cmap if look.cmap is not None else ramp(color)}
    if look.norm is not None:
        return Paint(pixels, options | {"norm": look.norm}, True)
    low, high = look.window(windows[0] if windows else percentiles(picture.measured(), picture.padding))
    return Paint(pixels, options | {"vmin": low, "vmax": high}, True)


def ramp(color: str | None) -> Any:
    """Return a colour map from black to ``color``; gray without a colour."""
    if color in GREYS:
        return "gray"
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"black to {color}", ["#000000", f"#{color}"])


def _coloured(picture: Picture, windows: Sequence[Window] | None, look: Look) -> Array:
    from xarray import DataArray

    pixels, channels = picture.pixels, channels_of(picture.like)
    count = pixels.shape[-1]
    inks = is_inks(channels)
    if inks or is_picture(channels, count):
        plane = DataArray(pixels, dims=("y", "x", "c"))
        if look.vmin is look.vmax is None and (inks or pixels.dtype in (np.uint8, np.bool_)):
            return display_of(plane, picture.like, padding=picture.padding).of(pixels)
        if inks:
            default: Window = (0, most_opaque(pixels.dtype))
        else:
            # One window for all three colours: a window for each would change the hues.
            lows, highs = zip(*windows[:3], strict=True) if windows else ([], [])
            default = (
                (min(lows), max(highs))
                if windows
                else percentiles(picture.measured(slice(0, 3)), picture.padding)
            )
        return display_of(plane, picture.like, look.window(default)).of(pixels)
    each = windows or [percentiles(picture.measured(c), picture.padding) for c in range(count)]
    return blended(pixels, lights_of(channels, count), [look.window(window) for window in each])


def stored_windows(base: xarray.DataArray) -> list[Window] | None:
    """Return the window of each channel without reading a pixel: from the file, or percentiles of stored counts."""
    count = base.sizes.get("c", 1)
    if base.attrs.get("window") and not base.attrs.get("scaling"):
        low, high = base.attrs["window"]
        return [(float(low), float(high))] * count
    stored = kept_statistics(base)
    if stored is None or (counts := stored.counts) is None:
        return None
    ends = [of_counts(row, stored.values, np.array([LOW, HIGH])) for row in counts]
    if not np.isfinite(ends).all():  # a channel has no finite value
        return None
    return [(float(low), float(high)) for low, high in ends]


def windows_for(levels: Levels, cut: Cut) -> list[Window] | None:
    """Return the stored window of each channel in ``cut``; None if there are none."""
    windows = stored_windows(levels.base)
    return windows if windows is None or "c" not in cut.indices else [windows[cut.indices["c"]]]


def windows_of(pictures: Sequence[Picture]) -> list[Window]:
    """Return one window for each channel: percentiles of all ``pictures`` together."""
    first = pictures[0]
    count = 1 if first.pixels.ndim == 2 else first.pixels.shape[-1]
    each = (np.concatenate([picture.measured(c).ravel() for picture in pictures]) for c in range(count))
    return [percentiles(values, first.padding) for values in each]
