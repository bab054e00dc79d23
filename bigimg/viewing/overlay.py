"""Masks and label images drawn over a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.ops.levels import levels_of
from bigimg.types import Array
from bigimg.viewing.canvas import axes_pixels, need_matplotlib
from bigimg.viewing.colours import id_colours
from bigimg.viewing.levels import Levels
from bigimg.viewing.planes import WHOLE_PIXELS, Cut, Picture, picture_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

type Light = tuple[int, int, int]

OVERLAY = (0, 255, 255)
"""Colour of a mask over an image: cyan.

At the opacity 0.4, 95 of 100 pixels of a stained slide, of fluorescence and of a grey image change by at least 26 in
CIELAB; with red, yellow, green or magenta, which occur in these images themselves, they change by 16 to 20.
"""


@dataclass(frozen=True)
class Overlay:
    """A mask or label image that is drawn over another image, or nothing."""

    levels: Levels | None
    lights: Sequence[Light]
    """Colours of a mask: one, or one for each of its channels."""
    alpha: float

    def draw(self, ax: Axes, image: Levels, cut: Cut, most: int = WHOLE_PIXELS) -> None:
        """Draw the plane ``cut`` over the picture of ``image`` in ``ax``.

        Raises
        ------
        UsageError
            It has other axes or another size, or is neither a mask nor a label image.
        """
        if self.levels is None:
            return
        _check(self.levels.base, image.base, cut)
        over = self.levels.base
        indices = {name: index for name, index in cut.indices.items() if name in over.dims}
        if over.sizes.get("c") != image.base.sizes.get("c"):
            indices.pop("c", None)  # its channels are not those of the image
        is_mask = over.dtype.kind == "b" or over.attrs.get("kind") == "mask"
        if over.sizes.get("c", 1) > 1 and "c" not in indices and not is_mask:
            raise UsageError(
                f"labels of {over.sizes['c']} channels over one picture: give one, as labels.isel(c=0)"
            )
        same_plane = replace(cut, indices=indices)
        picture = picture_of(self.levels, same_plane, pixels=axes_pixels(ax), most=most)
        colours = overlay_colours(picture, self.lights, self.alpha)
        ax.imshow(colours, extent=picture.extent, interpolation="nearest", zorder=1)


NO_OVERLAY = Overlay(None, (OVERLAY,), 0)


def overlay_of(
    source: Source | None, color: str | Sequence[str] | None, alpha: float, *, memory: Memory = None
) -> Overlay:
    """Return the overlay of ``source``; without a source one that draws nothing.

    Raises
    ------
    UsageError
        ``color`` is not a colour, or ``alpha`` is not from 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"overlay_alpha={alpha}: give a number from 0 (clear) to 1")
    lights = tuple(light_of(one) for one in ([color] if isinstance(color, str) else color or ()))
    return Overlay(None if source is None else levels_of(source, memory=memory), lights or (OVERLAY,), alpha)


def light_of(color: object) -> Light:
    """Return red, green and blue, 0 to 255, of six hexadecimal digits or a colour that matplotlib knows.

    Raises
    ------
    UsageError
        It is not a colour.
    """
    need_matplotlib()
    from matplotlib.colors import to_rgba

    bare = isinstance(color, str) and re.fullmatch("[0-9A-Fa-f]{6}", color)
    try:
        *lights, alpha = to_rgba(f"#{color}" if bare else color)
    except ValueError:
        alpha = 0.0
    if not alpha:  # also "none"
        raise UsageError(
            f"overlay_color={color!r}: give a name of matplotlib's, as 'cyan', or six hexadecimal digits, "
            "as '00FFFF'; or a list of these, one for each channel of a mask"
        )
    red, green, blue = (round(255 * light) for light in lights)
    return red, green, blue


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
    """Return whether two images are equally long along an axis, within one pixel of the coarser one."""
    steps = [abs(coordinates.spacing(img, name)) for img in (image, over)]
    spans = [img.sizes[name] * step for img, step in zip((image, over), steps, strict=True)]
    return abs(spans[0] - spans[1]) <= max(steps)


def overlay_colours(picture: Picture, lights: Sequence[Light], alpha: float) -> Array:
    """Return a mask or ids as RGBA (h, w, 4); pixels that are False or 0 are clear."""
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
