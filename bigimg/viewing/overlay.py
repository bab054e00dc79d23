"""Masks and label images drawn over a picture, at its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.types import Array
from bigimg.viewing.canvas import axes_pixels, need_matplotlib
from bigimg.viewing.colours import id_colours
from bigimg.viewing.levels import Levels, levels_of
from bigimg.viewing.planes import WHOLE_PIXELS, Cut, Picture, picture_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

type Light = tuple[int, int, int]

OVERLAY = (0, 255, 255)
"""Colour of a mask over an image: cyan.

Over a stained slide, fluorescence and grey 95 of 100 pixels change by at least 26 in CIELAB, at the opacity 0.4;
by 16 to 20 with red, yellow, green or magenta, each of which is a colour of one of these images.
"""


@dataclass(frozen=True)
class Overlay:
    """What a person asked to see over an image, if anything."""

    levels: Levels | None
    lights: Sequence[Light]
    """Of a mask; one for each of its channels where there are several."""
    alpha: float

    def draw(self, ax: Axes, image: Levels, cut: Cut, most: int = WHOLE_PIXELS) -> None:
        """Draw the plane ``cut`` over the picture of ``image`` that is there.

        Raises
        ------
        UsageError
            It has other axes or another size, or is neither mask nor labels.
        """
        if self.levels is None:
            return
        _check(self.levels.base, image.base, cut)
        over = self.levels.base
        places = {name: index for name, index in cut.places.items() if name in over.dims}
        if over.sizes.get("c") != image.base.sizes.get("c"):
            places.pop("c", None)  # the channels are not those of the image
        if over.sizes.get("c", 1) > 1 and "c" not in places and not _is_mask(over):
            raise UsageError(
                f"labels of {over.sizes['c']} channels over one picture: give one, as labels.isel(c=0)"
            )
        same = Cut(cut.axis, places, cut.turned, cut.sides)
        picture = picture_of(self.levels, same, pixels=axes_pixels(ax), most=most)
        colours = overlay_colours(picture, self.lights, self.alpha)
        ax.imshow(colours, extent=picture.extent, interpolation="nearest", zorder=1)


def overlay_of(
    source: Source | None, color: str | Sequence[str] | None, alpha: float, *, memory: Memory = None
) -> Overlay:
    """Return what is to be drawn over an image; nothing without ``source``.

    Raises
    ------
    UsageError
        It is no colour, or ``alpha`` is not from 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"overlay_alpha={alpha}: give 0, which is clear, to 1")
    lights = tuple(light_of(one) for one in ([color] if isinstance(color, str) else color or ()))
    return Overlay(None if source is None else levels_of(source, memory=memory), lights or (OVERLAY,), alpha)


def light_of(color: object) -> Light:
    """Return a colour as red, green and blue, 0 to 255: six hexadecimal digits, or what matplotlib knows.

    Raises
    ------
    UsageError
        It is none.
    """
    digits = color.removeprefix("#") if isinstance(color, str) else ""
    if re.fullmatch("[0-9A-Fa-f]{6}", digits):
        red, green, blue = bytes.fromhex(digits)
        return red, green, blue
    need_matplotlib()
    from matplotlib.colors import to_rgba

    try:
        *lights, alpha = to_rgba(color)
    except ValueError:
        alpha = 0.0
    if not alpha:  # also "none"
        raise UsageError(
            f"overlay_color={color!r}: give a name of matplotlib's, as 'cyan', or six hexadecimal digits, "
            "as '00FFFF'; or a list of these, one for each channel of a mask"
        )
    red, green, blue = (round(255 * light) for light in lights)
    return red, green, blue


def _is_mask(over: xarray.DataArray) -> bool:
    return over.dtype.kind == "b" or over.attrs.get("kind") == "mask"


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


def overlay_colours(picture: Picture, lights: Sequence[Light], alpha: float) -> Array:
    """Return a mask or ids as RGBA, clear where there is nothing."""
    pixels = picture.pixels
    if picture.like.attrs.get("kind") == "mask":  # also one that is stored as 0 and 1
        pixels = pixels != 0
    out = np.zeros((*pixels.shape[:2], 4), np.uint8)
    if pixels.dtype.kind != "b":
        out[..., :3] = id_colours(pixels)
        out[..., 3] = np.where(pixels != 0, round(255 * alpha), 0)
        return out
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    for number in range(planes.shape[-1]):
        out[planes[..., number], :3] = lights[number % len(lights)]
        out[planes[..., number], 3] = round(255 * alpha)
    return out
