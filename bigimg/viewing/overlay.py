"""Masks and label images drawn over a picture, at its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening import Memory, Source
from bigimg.readers import coordinates
from bigimg.types import Array
from bigimg.viewing.canvas import axes_pixels
from bigimg.viewing.colours import id_colours
from bigimg.viewing.levels import Levels, levels_of
from bigimg.viewing.planes import Cut, Picture, picture_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

OVERLAY = "FF3030"
"""Colour of a mask over an image."""


@dataclass(frozen=True)
class Overlay:
    """What a person asked to see over an image, if anything."""

    levels: Levels | None
    color: str | Sequence[str] | None
    alpha: float

    def draw(self, ax: Axes, image: Levels, cut: Cut) -> None:
        """Draw the plane ``cut`` over the picture of ``image`` that is there.

        Raises
        ------
        UsageError
            It has other axes or another size, or is neither mask nor labels.
        """
        if self.levels is None:
            return
        _check(self.levels.base, image.base, cut)
        places = {name: index for name, index in cut.places.items() if name in self.levels.base.dims}
        same = Cut(cut.axis, places, cut.turned, cut.sides)
        picture = picture_of(self.levels, same, pixels=axes_pixels(ax))
        colours = overlay_colours(picture, self.color, self.alpha)
        ax.imshow(colours, extent=picture.extent, interpolation="nearest", zorder=1)


def overlay_of(
    source: Source | None, color: str | Sequence[str] | None, alpha: float, *, memory: Memory = None
) -> Overlay:
    """Return what is to be drawn over an image; nothing without ``source``."""
    return Overlay(None if source is None else levels_of(source, memory=memory), color, alpha)


def _check(over: xarray.DataArray, image: xarray.DataArray, cut: Cut) -> None:
    if not set(cut.sides) <= set(over.dims) or any(
        abs(over.sizes[name] - image.sizes[name]) > 1 and not _covers(image, over, name) for name in cut.sides
    ):
        raise UsageError(
            f"an overlay of {dict(over.sizes)} on an image of {dict(image.sizes)}: give one on the same grid"
        )
    kind = over.attrs.get("kind", "image")
    if over.dtype.kind not in "bui" or (over.dtype.kind != "b" and kind == "image"):
        raise UsageError(
            f"an overlay of {over.dtype} that is an {kind}: give booleans, or labels with attrs['kind']='labels'"
        )


def _covers(image: xarray.DataArray, over: xarray.DataArray, name: str) -> bool:
    """Return whether two images reach equally far along an axis, within a pixel of the coarser."""
    steps = [abs(coordinates.spacing(img, name)) for img in (image, over)]
    spans = [img.sizes[name] * step for img, step in zip((image, over), steps, strict=True)]
    return abs(spans[0] - spans[1]) <= max(steps)


def overlay_colours(picture: Picture, color: str | Sequence[str] | None, alpha: float) -> Array:
    """Return a mask or ids as RGBA, clear where there is nothing."""
    pixels = picture.pixels
    out = np.zeros((*pixels.shape[:2], 4), np.uint8)
    if pixels.dtype.kind != "b":
        out[..., :3] = id_colours(pixels)
        out[..., 3] = np.where(pixels != 0, round(255 * alpha), 0)
        return out
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    own = [c.color for c in coordinates.channels_of(picture.like)]
    given = [color] if isinstance(color, str) else list(color or ())
    for number in range(planes.shape[-1]):
        light = (
            given[number % len(given)]
            if given
            else ((own[number] if number < len(own) and planes.shape[-1] > 1 else None) or OVERLAY)
        )
        out[planes[..., number], :3] = [int(light.removeprefix("#")[i : i + 2], 16) for i in (0, 2, 4)]
        out[planes[..., number], 3] = round(255 * alpha)
    return out
