"""``show``, and graphs of histograms and thresholds, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import computed
from bigimg.opening.coordinates import channels_of
from bigimg.opening.open import Memory, Source
from bigimg.opening.sources import split
from bigimg.ops.levels import levels_of
from bigimg.planning.room import room
from bigimg.viewing.canvas import (
    PICTURE_BYTES,
    add_letters,
    add_scale_bar,
    axes_pixels,
    figure_size,
    is_zoomable,
    need_matplotlib,
    new_figure,
    pixels_for,
)
from bigimg.viewing.colours import Window, lines_of
from bigimg.viewing.imshow import Look, paint, windows_for
from bigimg.viewing.levels import Levels
from bigimg.viewing.overlay import overlay_of
from bigimg.viewing.planes import Cut, Picture, cut_of, cut_text, picture_of, shape_of
from bigimg.viewing.titles import name_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from bigimg.types import Array


def show(
    img: Source,
    plane: str | None = None,
    *,
    index: int | None = None,
    position: float | None = None,
    t: int | None = None,
    channel: int | str | None = None,
    level: int | None = None,
    overlay: Source | None = None,
    overlay_color: str | Sequence[str] | None = None,
    overlay_alpha: float = 0.4,
    cmap: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    ax: Axes | None = None,
    colorbar: bool = True,
    scalebar: bool = True,
    title: str | None = None,
    convention: str | None = None,
    memory: Memory = None,
    **options: Any,
) -> Axes:
    """Draw a picture, or one plane of a volume, in true aspect, and return its axes.

    A plane of an image with a world affine is drawn upright, however it is named and also when it was cut before.

    If the image has levels, the smallest one is read that has a pixel for each pixel of the axes.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    plane : str, optional
        ``axial``, ``coronal``, ``sagittal`` or the axis to cut: z, y, x. By default axial for a volume with a
        world affine, else z.
    index, position : int or float, optional
        Pixel of level 0, or coordinate, along the axis that is cut; the middle by default.
    t : int, optional
        The middle time by default.
    channel : int or str, optional
        One channel, by number or name; all of them by default, as one picture in their colours.
    level : int, optional
        Level to read, in place of the one that fits.
    overlay : mask or label image, or path of one, optional
        Drawn over the picture: a mask where any of its channels is true. With ``channel``, only that channel of a
        mask that has the channels of the image.
    overlay_color : str or sequence of str, optional
        Colour of a mask: a colour name of matplotlib such as ``cyan``, or six hexadecimal digits; cyan by default.
        A mask with channels may have one colour for each; later channels are drawn above earlier ones.
    overlay_alpha : float
        0 to 1.
    cmap, vmin, vmax :
        As in ``imshow``. The default window is the one in the file; else the percentiles 0.1 and 99.9, stored with
        the image or of the pixels drawn. Colour pictures of 8 bits are shown as they are.
    ax : matplotlib axes, optional
        Axes to draw in; by default those of a new figure with the shape of the picture.
    colorbar, scalebar : bool
        Whether to draw a colour bar (if the picture has one channel) and a scale bar (if the unit is known).
    title : str, optional
        The position of the plane by default.
    convention : {"neurological", "radiological"}, optional
        Whether the right of a body is drawn at the right or at the left; written into the figure. By default what
        the image says: radiological for DICOM, else neurological.
    memory :
        As in :func:`bigimg.open`.
    **options :
        Of the source, as in :func:`bigimg.open`; all others are passed on to ``Axes.imshow``.

    Returns
    -------
    matplotlib axes
        Their limits are in the unit of the image. ``ax.figure.savefig`` writes the figure.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        There is no such plane, index, channel or convention, or the window is empty.
    """
    need_matplotlib()
    opening, imshow = split(options)
    levels = levels_of(img, memory=memory, **opening)
    cut = cut_of(
        levels.base, plane, index=index, position=position, t=t, channel=channel, convention=convention
    )
    over = overlay_of(overlay, overlay_color, overlay_alpha, memory=memory)
    if ax is None:
        ax = new_figure(size_for(levels, cut)).add_subplot()
    name = name_of(levels.base)
    most = pixels_for(ax.figure, name, memory, pictures=1 if overlay is None else 2)
    whole = level is not None and is_zoomable(ax.figure)
    if whole:
        pixels = math.prod(levels[level or 0].sizes[side] for side in cut.sides)
        remedy = "leave level= out, or name a smaller one"
        room(memory).take(name, {f"level {level}": PICTURE_BYTES * pixels}, remedy)
    picture = picture_of(levels, cut, pixels=axes_pixels(ax), level=level, most=most, whole=whole)
    look = Look(cmap, vmin, vmax, imshow.pop("norm", None))
    drawn, scalar = draw(ax, picture, windows_for(levels, cut), look, **imshow)
    over.draw(ax, levels, cut, most)
    finish(ax, picture, scalebar=scalebar)
    ax.set_title(cut_text(levels.base, cut) if title is None else title, fontsize="medium")
    if colorbar and scalar:
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8)
    return ax


def size_for(levels: Levels, cut: Cut, *, most: float | None = None) -> tuple[float, float]:
    """Return width and height in inches of a figure that a plane fills in true aspect."""
    down, across = shape_of(levels, cut)
    one = "c" in cut.indices or levels.base.sizes.get("c", 1) == 1
    return figure_size(down / across, bar=one and levels.base.attrs.get("kind") != "labels", most=most)


def draw(
    ax: Axes, picture: Picture, windows: Sequence[Window] | None, look: Look, **imshow: Any
) -> tuple[AxesImage, bool]:
    """Draw only the pixels; return the artist, and whether a colour bar makes sense."""
    painted = paint(picture, windows, look)
    options = {"extent": picture.extent, **painted.options, **imshow}
    return ax.imshow(painted.values, **options), painted.scalar


def finish(ax: Axes, picture: Picture, *, scalebar: bool, ticks: bool = True) -> None:
    """Set the limits to the edges of the image; add axis names, convention, body directions and a scale bar."""
    left, right, bottom, top = picture.frame
    ax.set(xlim=(left, right), ylim=(bottom, top))
    down, across = picture.sides
    if ticks:
        named = f", {picture.convention}" if picture.convention else ""
        ax.set(xlabel=f"{across} ({picture.unit}){named}", ylabel=f"{down} ({picture.unit})")
    else:
        ax.set(xticks=[], yticks=[])
    if picture.letters is not None:
        add_letters(ax, picture.letters)
    if scalebar and picture.unit != "px":
        add_scale_bar(ax, picture.frame, picture.unit)


def histogram(
    img: Source,
    *,
    bins: int | Sequence[float] = 50,
    range: tuple[float, float] | None = None,
    where: Any = None,
    log: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
    **options: Any,
) -> Axes:
    """Draw a histogram, one line for each channel, and return the axes.

    Parameters
    ----------
    img, bins, range, where :
        As in :func:`bigimg.histogram`; no pixel is read from a store with stored counts.
    log : bool
        Whether the axis of the counts is logarithmic.
    ax : matplotlib axes, optional
    title : str, optional
        The name of the image by default.
    **options :
        Of the source, as in :func:`bigimg.open`; all others are passed on to ``Axes.stairs``.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        Bins or range are not valid, or the mask has another shape.
    """
    need_matplotlib()
    from bigimg.ops.statistics.histograms import histogram as count

    opening, stairs = split(options)
    base = levels_of(img, **opening).base
    counts = computed(count(base, bins=bins, range=range, where=where))
    edges = np.append(counts["bin_left"].values, counts["bin_right"].values[-1:])
    ax = ax or new_figure().add_subplot()
    for line, row in _lines(base, ax, counts, "bin", title):
        ax.stairs(row, edges, **{"linewidth": 1.4, **line, **stairs})
    ax.set(xlabel="value", ylabel="pixels", xlim=(edges[0], edges[-1]))
    if log:
        ax.set_yscale("log")
    return ax


def sweep(
    img: Source,
    *,
    thresholds: Sequence[float] | int = 256,
    ax: Axes | None = None,
    title: str | None = None,
    **options: Any,
) -> Axes:
    """Draw the share of pixels below a threshold against the threshold, and return the axes.

    The shares come from the histogram: no pixel is read from a store with stored counts.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    thresholds : sequence of float or int
        Thresholds; or their number, evenly spaced from the smallest value of the image to the largest.
    ax : matplotlib axes, optional
    title : str, optional
        The name of the image by default.
    **options :
        Of the source, as in :func:`bigimg.open`; all others are passed on to ``Axes.plot``.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        There are fewer than two thresholds.
    """
    need_matplotlib()
    from bigimg.ops.statistics.stats import stats
    from bigimg.ops.statistics.thresholds import sweep as share_below

    opening, plot = split(options)
    base = levels_of(img, **opening).base
    if isinstance(thresholds, int):
        found = computed(stats(base))
        values = np.linspace(float(found["min"].min()), float(found["max"].max()), thresholds)
    else:
        values = np.sort(np.asarray(thresholds, np.float64))
    if values.size < 2:
        raise UsageError(f"{values.size} thresholds make no line: give at least two")
    shares = computed(share_below(base, values.tolist()))
    ax = ax or new_figure().add_subplot()
    for line, row in _lines(base, ax, shares, "threshold", title):
        ax.plot(values, row, **{**line, **plot})
    ax.set(xlabel="threshold", ylabel="share of pixels below", xlim=(values[0], values[-1]), ylim=(0, 1))
    return ax


def _lines(
    base: xarray.DataArray, ax: Axes, counts: xarray.DataArray, along: str, title: str | None
) -> Iterator[tuple[dict[str, Any], Array]]:
    """Yield label and colour, and the numbers, for the line of each channel; then add title and legend."""
    rows = counts.transpose("c", along).values if "c" in counts.dims else counts.values[None]
    channels = channels_of(base)
    names = [channel.name for channel in channels] or [str(number) for number in range(len(rows))]
    colors = lines_of([channel.color for channel in channels] or [None] * len(rows))
    for name, color, row in zip(names, colors, rows, strict=True):
        yield {"label": name, "color": f"#{color}"}, row
    ax.set_title(name_of(base) if title is None else title, fontsize="medium")
    if len(rows) > 1:
        ax.legend(frameon=False)
