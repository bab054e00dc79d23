"""A plane of pixels as what imshow takes: values with a colour map and a window, or colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening.coordinates import channels_of
from bigimg.types import Array
from bigimg.viewing.canvas import need_matplotlib
from bigimg.viewing.colours import (
    GREYS,
    Window,
    blended,
    id_colours,
    is_picture,
    lights_of,
    percentiles,
    picture_of_colours,
    stretched,
)
from bigimg.viewing.display import to_display

if TYPE_CHECKING:
    from bigimg.viewing.planes import Picture


@dataclass(frozen=True)
class Look:
    """What a person asked for; None leaves it to the image."""

    cmap: Any = None
    vmin: float | None = None
    vmax: float | None = None
    norm: Any = None
    """Of matplotlib, in place of a window."""

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

    def window(self, found: Window) -> Window:
        """Return the ends of the window, those that were asked for in place of those that were found.

        Raises
        ------
        UsageError
            It is empty.
        """
        low = found[0] if self.vmin is None else float(self.vmin)
        high = found[1] if self.vmax is None else float(self.vmax)
        if not low <= high:
            raise UsageError(
                f"window {low:g} to {high:g} is empty: give a vmin below vmax"
                + ("" if None not in (self.vmin, self.vmax) else "; the other end is that of the image")
            )
        return low, high


@dataclass(frozen=True)
class Paint:
    """Arguments of ``imshow``."""

    values: Array
    """(h, w) with a colour map, or colours (h, w, 3 or 4)."""
    options: dict[str, Any]
    scalar: bool
    """Whether a colour bar means something."""


def paint(picture: Picture, windows: Sequence[Window] | None, look: Look | None = None) -> Paint:
    """Return what ``imshow`` takes to draw ``picture``.

    Parameters
    ----------
    picture : Picture
    windows : sequence of (float, float), optional
        Of each channel of ``picture``; without, percentiles of what is drawn.
    look : Look, optional
    """
    look = look or Look()
    pixels, kind = picture.pixels, picture.like.attrs.get("kind", "image")
    channels = channels_of(picture.like)
    if kind == "mask":  # also one that is stored as 0 and 1, as OME-Zarr wants its labels
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
    low, high = look.window(windows[0] if windows else percentiles(pixels))
    return Paint(pixels, options | {"vmin": low, "vmax": high}, True)


def ramp(color: str | None) -> Any:
    """Return a colour map from black to ``color``; gray where the colour says nothing."""
    if color in GREYS:
        return "gray"
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"black to {color}", ["#000000", f"#{color}"])


def _coloured(picture: Picture, windows: Sequence[Window] | None, look: Look) -> Array:
    pixels, channels = picture.pixels, channels_of(picture.like)
    count = pixels.shape[-1]
    asked = look.vmin is not None or look.vmax is not None
    names = [c.name for c in channels]
    if is_picture(channels, count) or names == ["C", "M", "Y", "K"]:
        if pixels.dtype in (np.uint8, np.bool_) and not asked:
            return to_display(pixels, like=picture.like)
        shown = pixels[..., :3]
        found = (
            percentiles(shown)
            if not windows
            else (min(low for low, _ in windows[:3]), max(high for _, high in windows[:3]))
        )
        color = stretched(shown, look.window(found))
        return picture_of_colours(color, None if count == 3 else pixels[..., 3])
    each = windows or [percentiles(pixels[..., c]) for c in range(count)]
    return blended(pixels, lights_of(channels, count), [look.window(window) for window in each])
