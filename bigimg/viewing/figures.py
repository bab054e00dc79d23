"""Figures of one plane, of counts and of masks, drawn by matplotlib from the level that fits the axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import computed
from bigimg.opening.coordinates import channels_of
from bigimg.opening.open import Memory, Source
from bigimg.planning.room import room
from bigimg.viewing.canvas import (
    PICTURE_BYTES,
    add_letters,
    add_scale_bar,
    axes_pixels,
    figure_size,
    is_zoomable,
    need_matplotlib,
    new_axes,
    new_figure,
    pixels_for,
)
from bigimg.viewing.colours import Window, lines_of
from bigimg.viewing.contrast import windows_for
from bigimg.viewing.levels import Levels, levels_of
from bigimg.viewing.overlay import overlay_of
from bigimg.viewing.painting import Look, paint
from bigimg.viewing.planes import Cut, Picture, cut_of, picture_of, shape_of, where_text
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
    memory: Memory = None,
    series: int | str | None = None,
    **imshow: Any,
) -> Axes:
    """Draw a picture, or one plane of a volume, in true aspect, and return its axes.

    Of an image with levels the smallest is read that has a pixel for each of the axes.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    plane : str, optional
        ``axial``, ``coronal``, ``sagittal`` or the axis to cut: z, y, x. The axial plane of a volume that
        knows how it lies in a body, else across z.
    index, position : int or float, optional
        Pixel of level 0, or coordinate, along the axis that is cut; the middle by default.
    t : int, optional
        The middle time by default.
    channel : int or str, optional
        One channel, by number or name; all of them by default, as one picture in their colours.
    level : int, optional
        Instead of the level that fits.
    overlay : mask or label image, or path of one, optional
        Drawn over the picture, at its place: a mask where any of its channels is true. With ``channel``, of a
        mask with the channels of the image that one alone.
    overlay_color : str or sequence of str, optional
        Of a mask: a name of matplotlib's as ``cyan``, or six hexadecimal digits; cyan by default. Of a mask with
        channels also one for each, the later above the earlier.
    overlay_alpha : float
        0 to 1.
    cmap, vmin, vmax :
        As in ``imshow``. The window is the one that the file declares; else the percentiles 0.1 and 99.9, as
        stored with the image or of what is drawn. Colour pictures of 8 bits are shown as they are.
    ax : matplotlib axes, optional
        Where to draw; a new figure of the picture's shape by default.
    colorbar, scalebar : bool
        Whether to draw them where they mean something.
    title : str, optional
        The place of the plane by default.
    memory, series :
        As in :func:`bigimg.open`.
    **imshow :
        Passed on.

    Returns
    -------
    matplotlib axes
        In the unit of the image. ``ax.figure.savefig`` writes it.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        There is no such plane, place or channel, or the window is empty.
    """
    need_matplotlib()
    levels = levels_of(img, memory=memory, series=series)
    cut = cut_of(levels.base, plane, index=index, position=position, t=t, channel=channel)
    over = overlay_of(overlay, overlay_color, overlay_alpha, memory=memory)
    if ax is None:
        ax = new_figure(size_for(levels, cut)).add_subplot()
    called = name_of(levels.base)
    most = pixels_for(ax.figure, called, memory, pictures=1 if overlay is None else 2)
    whole = level is not None and is_zoomable(ax.figure)
    if whole:
        pixels = math.prod(levels[level or 0].sizes[name] for name in cut.sides)
        remedy = "leave level= out, or name a smaller one"
        room(memory).take(called, {f"level {level}": PICTURE_BYTES * pixels}, remedy)
    picture = picture_of(levels, cut, pixels=axes_pixels(ax), level=level, most=most, whole=whole)
    look = Look(cmap, vmin, vmax, imshow.pop("norm", None))
    drawn, scalar = draw(ax, picture, windows_for(levels, cut), look, **imshow)
    over.draw(ax, levels, cut, most)
    finish(ax, picture, scalebar=scalebar)
    ax.set_title(where_text(levels.base, cut) if title is None else title, fontsize="medium")
    if colorbar and scalar:
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8)
    return ax


def size_for(levels: Levels, cut: Cut, *, most: float | None = None) -> tuple[float, float]:
    """Return width and height in inches of a figure that a plane fills, in true aspect."""
    down, across = shape_of(levels, cut)
    one = "c" in cut.places or levels.base.sizes.get("c", 1) == 1
    return figure_size(down / across, bar=one and levels.base.attrs.get("kind") != "labels", most=most)


def draw(
    ax: Axes, picture: Picture, windows: Sequence[Window] | None, look: Look, **imshow: Any
) -> tuple[AxesImage, bool]:
    """Draw ``picture`` alone; return the artist, and whether a colour bar means something."""
    painted = paint(picture, windows, look)
    options = {"extent": picture.extent, **painted.options, **imshow}
    return ax.imshow(painted.values, **options), painted.scalar


def finish(ax: Axes, picture: Picture, *, scalebar: bool, ticks: bool = True) -> None:
    """Set the limits to the image's own, and add names of the axes, letters of the body and a scale bar."""
    left, right, bottom, top = picture.frame
    ax.set(xlim=(left, right), ylim=(bottom, top))
    down, across = picture.sides
    known = picture.unit != "px"
    if ticks:
        ax.set(xlabel=f"{across} ({picture.unit})", ylabel=f"{down} ({picture.unit})")
    else:
        ax.set(xticks=[], yticks=[])
    if picture.letters is not None:
        add_letters(ax, picture.letters)
    if scalebar and known:
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
    **stairs: Any,
) -> Axes:
    """Draw how often values occur, a line for each channel in its colour or one of its own, and return the axes.

    Parameters
    ----------
    img, bins, range, where :
        As in :func:`bigimg.histogram`; a store that keeps counts is not read.
    log : bool
        Counts on a logarithmic axis.
    ax : matplotlib axes, optional
    title : str, optional
        The name of the image by default.
    **stairs :
        Passed on to ``Axes.stairs``.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        Bins or range mean nothing, or the mask does not fit.
    """
    need_matplotlib()
    from bigimg.ops.statistics.histograms import histogram as count

    counts = computed(count(img, bins=bins, range=range, where=where))
    edges = np.append(counts["bin_left"].values, counts["bin_right"].values[-1:])
    ax = new_axes(ax)
    for name, color, row in _channel_rows(img, counts, "bin"):
        ax.stairs(row, edges, **{"label": name, "color": color, "linewidth": 1.4, **stairs})
    ax.set(xlabel="value", ylabel="pixels", xlim=(edges[0], edges[-1]))
    ax.set_title(name_of(levels_of(img).base) if title is None else title, fontsize="medium")
    if log:
        ax.set_yscale("log")
    if counts.sizes.get("c", 1) > 1:
        ax.legend(frameon=False)
    return ax


def sweep(
    img: Source,
    *,
    thresholds: Sequence[float] | int = 256,
    ax: Axes | None = None,
    title: str | None = None,
    **plot: Any,
) -> Axes:
    """Draw which share of the pixels lies below a threshold, against the threshold, and return the axes.

    Read from the histogram: no pixel of a store that keeps counts.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    thresholds : sequence of float or int
        Where to count; or at how many places, evenly from the smallest value to the largest.
    ax : matplotlib axes, optional
    title : str, optional
        The name of the image by default.
    **plot :
        Passed on to ``Axes.plot``.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        There are fewer than two thresholds.
    """
    need_matplotlib()
    from bigimg.ops.statistics.thresholds import sweep as share_below

    if isinstance(thresholds, int):
        low, high = _ends(img)
        places = np.linspace(low, high, thresholds)
    else:
        places = np.sort(np.asarray(thresholds, np.float64))
    if places.size < 2:
        raise UsageError(f"{places.size} thresholds make no line: give at least two")
    shares = computed(share_below(img, places.tolist()))
    ax = new_axes(ax)
    for name, color, row in _channel_rows(img, shares, "threshold"):
        ax.plot(places, row, **{"label": name, "color": color, **plot})
    ax.set(xlabel="threshold", ylabel="share of pixels below", xlim=(places[0], places[-1]), ylim=(0, 1))
    ax.set_title(name_of(levels_of(img).base) if title is None else title, fontsize="medium")
    if shares.sizes.get("c", 1) > 1:
        ax.legend(frameon=False)
    return ax


def _ends(img: Source) -> tuple[float, float]:
    from bigimg.ops.statistics.stats import stats

    found = computed(stats(img))
    return float(found["min"].min()), float(found["max"].max())


def _channel_rows(img: Source, counts: xarray.DataArray, along: str) -> list[tuple[str | None, str, Array]]:
    """Return name, colour and numbers of each channel."""
    rows = counts.transpose("c", along).values if "c" in counts.dims else counts.values[None]
    channels = channels_of(levels_of(img).base)
    names: list[str | None] = [channel.name for channel in channels] or [None] * len(rows)
    colors = lines_of([channel.color for channel in channels] or [None] * len(rows))
    return [(name, f"#{color}", row) for name, color, row in zip(names, colors, rows, strict=True)]
