"""Fast redrawing of one plane: Pillow scales the pixels, and the rest of the figure is restored from a copy.

For one changed plane matplotlib draws the whole figure and converts each value into four floats: 25 + 25 ms of CPU
for a window of 750 pixels. Here a move takes 15 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.transforms import Bbox
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bigimg.types import Array

COLOURS = 256
"""Entries of a colour map for which interpolating indices gives the same as interpolating colours."""


class Blitter:
    """Draws the artists that change with each move over a copy of the rest of the figure.

    Parameters
    ----------
    figure : matplotlib figure
    axes : sequence of matplotlib axes
        All their artists change, except background and ticks.

    Notes
    -----
    On a canvas that does not support this, each move draws the whole figure.
    """

    def __init__(self, figure: Figure, axes: Sequence[Axes]) -> None:
        self.figure = figure
        self._background: tuple[Any, tuple[float, ...]] | None = None
        self._connection: int | None = None
        self.artists: list[Any] = []
        if not figure.canvas.supports_blit:
            return
        for ax in axes:
            still = (ax.patch, ax.xaxis, ax.yaxis)
            self.artists += sorted(
                (artist for artist in ax.get_children() if artist not in still), key=lambda a: a.get_zorder()
            )
        for artist in self.artists:
            artist.set_animated(True)  # draw() of the figure leaves it out, savefig() does not
        # A partial, not a method: matplotlib holds methods weakly.
        self._connection = figure.canvas.mpl_connect("draw_event", partial(_drawn, self))

    def draw(self) -> None:
        """Show the present state of the artists."""
        canvas: Any = self.figure.canvas
        if self._background is None or self._background[1] != self.figure.bbox.bounds:  # wrong size
            canvas.draw_idle()
            return
        canvas.restore_region(self._background[0])
        self._paint(canvas.get_renderer())
        canvas.blit(self.figure.bbox)

    def close(self) -> None:
        """Disconnect from the figure, which then draws all its artists again."""
        if self._connection is not None:
            self.figure.canvas.mpl_disconnect(self._connection)
        self._connection = self._background = None
        for artist in self.artists:
            artist.set_animated(False)

    def _paint(self, renderer: Any) -> None:
        for artist in self.artists:
            artist.draw(renderer)


def _drawn(blitter: Blitter, event: Any) -> None:
    """Copy the figure that was just drawn, and draw the artists."""
    if event.canvas.is_saving() or not event.canvas.supports_blit:
        return
    figure = blitter.figure
    blitter._background = event.canvas.copy_from_bbox(figure.bbox), figure.bbox.bounds
    blitter._paint(event.renderer)


class QuickImage(AxesImage):
    """An image that Pillow scales to the pixels of the screen, if the result is that of matplotlib.

    Values are first converted to the 256 indices of the colour map, and the indices are interpolated.
    """

    def make_image(self, renderer: Any, magnification: float = 1.0, unsampled: bool = False) -> Any:
        """Return pixels and their position as AxesImage does."""
        found = None if unsampled else self._quick(magnification)
        return super().make_image(renderer, magnification, unsampled) if found is None else found

    def _quick(self, magnification: float) -> Any:
        ax, pixels = self.axes, self._A  # type: ignore[attr-defined]
        if (
            not ax.get_xscale() == ax.get_yscale() == "linear"
            or self.origin != "upper"
            or self.get_interpolation() not in ("auto", "antialiased", "nearest")
            or self.get_alpha() is not None
            or np.ma.is_masked(pixels)
        ):
            return None
        indices = self._indices(np.ma.getdata(pixels))
        if indices is None:
            return None
        left, right, bottom, top = self.get_extent()
        (x0, y1), (x1, y0) = self.get_transform().transform([(left, top), (right, bottom)]) * magnification
        if not (x0 < x1 and y0 < y1):  # an axis was inverted
            return None
        clip = Bbox(ax.bbox.get_points() * magnification)
        seen = Bbox.intersection(Bbox.from_extents(x0, y0, x1, y1), clip)
        if seen is None:
            return None
        # Rounded to whole pixels as matplotlib does.
        x_low, x_high = (math.floor(x + 0.5 + 1e-8) for x in (seen.x0, seen.x1))
        y_low, y_high = (math.ceil(y - 0.5 - 1e-8) for y in (seen.y0, seen.y1))
        if x_low >= x_high or y_low >= y_high:
            return None
        rows, columns = indices.shape[:2]
        across, down = columns / (x1 - x0), rows / (y1 - y0)
        box = (
            max(0.0, (x_low - x0) * across),
            max(0.0, (y1 - y_high) * down),
            min(float(columns), (x_high - x0) * across),
            min(float(rows), (y1 - y_low) * down),
        )
        near = self.get_interpolation() == "nearest" or all(
            step <= 1 / 3 or abs(1 / step - round(1 / step)) < 1e-6 for step in (across, down)
        )
        filter_ = Image.Resampling.NEAREST if near else Image.Resampling.HAMMING
        drawn = Image.fromarray(indices).resize((x_high - x_low, y_high - y_low), filter_, box)
        if indices.ndim == 2:
            # A colour as one uint32 is looked up four times as fast as four bytes.
            colours = self.cmap(np.arange(COLOURS), bytes=True).view(np.uint32)[:, 0]
            output = np.take(colours, np.asarray(drawn)[::-1]).view(np.uint8).reshape(*drawn.size[::-1], 4)
        else:
            output = np.asarray(drawn.convert("RGBA"))[::-1]
        return output, x_low / magnification, y_low / magnification, None

    def _indices(self, pixels: Array) -> Array | None:
        """Return the index of each value in the colour map as uint8, RGB of 8 bits as it is, None for anything else."""
        if pixels.ndim == 3:
            is_rgb = pixels.dtype == np.uint8 and pixels.shape[-1] == 3
            return np.ascontiguousarray(pixels) if is_rgb else None
        norm, cmap = self.norm, self.cmap
        if type(norm) is not Normalize or norm.vmin is None or norm.vmax is None or cmap.N != COLOURS:
            return None
        low, high = float(norm.vmin), float(norm.vmax)
        ends = cmap([0.0, 1.0])
        if not low < high or not np.array_equal([cmap.get_under(), cmap.get_over()], ends):
            return None
        scale = COLOURS / (high - low)
        if pixels.dtype in (np.uint8, np.uint16):
            each = np.arange(1 << 8 * pixels.dtype.itemsize, dtype=np.float64)
            return np.clip((each - low) * scale, 0, COLOURS - 1).astype(np.uint8).take(pixels)
        return np.clip((pixels - low) * scale, 0, COLOURS - 1).astype(np.uint8)


def quick_image(
    ax: Axes, values: Array, extent: tuple[float, float, float, float], **options: Any
) -> QuickImage:
    """Add an image to ``ax`` as ``imshow`` does, and return it.

    Parameters
    ----------
    ax : matplotlib axes
    values : ndarray of shape (h, w), or uint8 of shape (h, w, 3)
    extent : (float, float, float, float)
        Edges left, right, bottom, top.
    **options :
        cmap, norm or vmin and vmax, interpolation.
    """
    low, high = options.pop("vmin", None), options.pop("vmax", None)
    image = QuickImage(ax, origin="upper", **{"norm": Normalize(low, high), **options})
    ax.set_aspect("equal")
    image.set_data(values)
    image.set_extent(extent)
    image.set_clip_path(ax.patch)
    ax.add_image(image)
    return image
