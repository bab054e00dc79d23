"""Many planes, images, patches or channels side by side, in one window and on one scale where they are of one image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening.open import Memory, Source
from bigimg.ops.patches.sequence import Patches
from bigimg.viewing.canvas import axes_pixels, need_matplotlib, new_figure, pixels_for
from bigimg.viewing.contrast import windows_for, windows_of
from bigimg.viewing.figures import draw, finish
from bigimg.viewing.levels import Levels, held, levels_of
from bigimg.viewing.overlay import Overlay, overlay_of
from bigimg.viewing.painting import Look
from bigimg.viewing.planes import Cut, cut_of, moved, picture_of, shape_of, where_text
from bigimg.viewing.titles import name_of, names_of, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLANES = 9
"""Planes that are shown without a number."""
SHAPE = 0.75
"""Height/width of a figure that may choose."""
SIDE, WIDE = 3.2, 12.0
"""Inches of a panel as wide as it is high, and of all panels of a row at most."""
TITLE = 0.25
"""Inches of a title above a panel."""
LETTER = 0.085
"""Inches of a letter of a title."""
MOST = 400
"""Panels of one figure: more are too small to see, and minutes to draw."""


class Layout(NamedTuple):
    """How panels stand in a figure."""

    rows: int
    columns: int
    ratio: float
    """Height/width of a panel."""


@dataclass(frozen=True)
class Panels:
    """Planes and how they are laid out."""

    panels: Sequence[tuple[Levels, Cut]]
    look: Look
    titles: Sequence[str]
    layout: Layout
    over: Overlay
    shared: bool
    """Whether they are of one image, and share its window."""
    memory: Memory

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of a figure in inches."""
        rows, columns, ratio = self.layout
        side = panel_width(columns, ratio)
        title = TITLE if any(self.titles) else 0.05
        return columns * side, min(40.0, rows * (side * ratio + title))

    def draw(self, figure: Figure) -> Figure:
        """Draw the panels in rows."""
        rows, columns, _ = self.layout
        axes = list(itertools.islice(_axes(figure, rows, columns), len(self.panels)))
        first = self.panels[0][0]
        count = len(self.panels) * (1 if self.over.levels is None else 2)
        most = pixels_for(figure, name_of(first.base), self.memory, pictures=count)
        pictures = [
            picture_of(levels, cut, pixels=axes_pixels(ax), most=most)
            for (levels, cut), ax in zip(self.panels, axes, strict=True)
        ]
        pooled = windows_for(*self.panels[0]) or windows_of(pictures) if self.shared else None
        parts = zip(axes, pictures, self.panels, self.titles, strict=True)
        for number, (ax, picture, (levels, cut), title) in enumerate(parts):
            draw(ax, picture, pooled or windows_for(levels, cut), self.look)
            self.over.draw(ax, levels, cut, most)
            # One set of letters and one bar say it for all panels of one image.
            alone = picture if number == 0 or not self.shared else replace(picture, letters=None)
            barred = number == 0 and (self.shared or len(self.panels) <= PLANES)
            finish(ax, alone, scalebar=barred, ticks=False)
            if title:
                ax.set_title(title, fontsize="small")
        return figure


def montage(
    img: Source | Sequence[Source],
    plane: str | None = None,
    *,
    n: int | None = None,
    indices: Sequence[int] | None = None,
    columns: int | None = None,
    t: int | None = None,
    channel: int | str | None = None,
    overlay: Source | None = None,
    overlay_color: str | Sequence[str] | None = None,
    overlay_alpha: float = 0.4,
    cmap: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    titles: Sequence[str] | bool = True,
    figure: Figure | None = None,
    memory: Memory = None,
    series: int | str | None = None,
) -> Figure:
    """Draw many planes of an image, or several images, side by side, and return the figure.

    Parameters
    ----------
    img : image, or sequence of images
        Anything that opens; a list or tuple of such things, or patches, are shown one a panel.
    plane : str, optional
        As in :func:`bigimg.show`; also ``c`` for the channels, each in its colour, and ``t`` for times. Of a
        volume the axial planes by default, of a plane with channels these.
    n : int, optional
        How many: planes evenly spaced, the first of a sequence. 9 planes, all of a sequence by default.
    indices : sequence of int, optional
        Which, instead of ``n``.
    columns : int, optional
        Panels in a row; by default as many as fill the figure best.
    t, channel, overlay, overlay_color, overlay_alpha, cmap, vmin, vmax :
        As in :func:`bigimg.show`. The planes of one image share a window.
    titles : sequence of str, or bool
        One a panel; by default the places, of several images their names or files, of patches their numbers.
    figure : matplotlib figure, optional
        An empty one to draw in; a new one by default.
    memory, series :
        As in :func:`bigimg.open`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        There is no such axis, channel or plane, or nothing to show side by side.
    """
    found = prepared(
        img, plane, n=n, indices=indices, columns=columns, t=t, channel=channel, overlay=overlay,
        overlay_color=overlay_color, overlay_alpha=overlay_alpha, look=Look(cmap, vmin, vmax), titles=titles,
        shape=SHAPE if figure is None else figure.get_figheight() / figure.get_figwidth(),
        memory=memory, series=series,
    )  # fmt: skip
    return found.draw(new_figure(found.size) if figure is None else figure)


def prepared(
    img: Any,
    plane: str | None,
    *,
    n: int | None = None,
    indices: Sequence[int] | None = None,
    columns: int | None = None,
    t: int | None = None,
    channel: int | str | None = None,
    overlay: Source | None = None,
    overlay_color: str | Sequence[str] | None = None,
    overlay_alpha: float = 0.4,
    look: Look | None = None,
    titles: Sequence[str] | bool = True,
    shape: float = SHAPE,
    memory: Memory = None,
    series: int | str | None = None,
) -> Panels:
    """Return what :func:`montage` will draw, in a figure of height/width ``shape``; no pixel is read yet."""
    need_matplotlib()
    look = look or Look()
    if is_many(img):
        if plane is not None or indices is not None or overlay is not None:
            raise UsageError(
                "plane, indices and overlay are of one image; cut the images before, or give one image"
            )
        _check_count(len(img) if n is None else n)
        some = img[:n]
        chosen = some.in_order() if isinstance(some, Patches) else some
        panels = [_whole(one, t, channel, memory) for one in chosen]
        layout = _arranged(panels, columns, shape)
        letters = int(panel_width(*layout[1:]) / LETTER)
        own = [shortened(name, letters) for name in names_of([levels.base for levels, _ in panels])]
        nothing = overlay_of(None, None, 0)
        return Panels(panels, look, _named(titles, own), layout, nothing, shared=False, memory=memory)
    levels = held(levels_of(img, memory=memory, series=series), memory)
    base = levels.base
    if plane is None and "z" not in base.dims and base.sizes.get("c", 1) > 1:
        plane = "c"
    cuts = _cuts(levels, plane, n, indices, t, channel)
    over = overlay_of(overlay, overlay_color, overlay_alpha, memory=memory)
    names = _named(titles, [where_text(base, _only(cut, plane)) for cut in cuts])
    panels = [(levels, cut) for cut in cuts]
    layout = _arranged(panels, columns, shape)
    return Panels(panels, look, names, layout, over, shared=plane != "c", memory=memory)


def panel_width(columns: int, ratio: float) -> float:
    """Return the inches of a panel of height/width ``ratio`` with so many in a row: a low one may be wider."""
    return min(SIDE / math.sqrt(min(1.0, 2 * ratio)), WIDE / columns)


def is_many(img: object) -> bool:
    """Return whether ``img`` is a sequence of images rather than one: a list, a tuple, patches."""
    return isinstance(img, Sequence) and not isinstance(img, str | bytes | bytearray | memoryview)


def _check_count(count: int, what: str = "images") -> None:
    if count == 0:
        raise UsageError(f"a montage of no {what}: there is nothing to show; give at least one")
    if not 1 <= count <= MOST:
        raise UsageError(f"a montage of {count} {what}: say how many, n=1 to {MOST}")


def _whole(one: Source, t: int | None, channel: int | str | None, memory: Memory) -> tuple[Levels, Cut]:
    levels = levels_of(one, memory=memory)
    return levels, cut_of(levels.base, None, t=t, channel=channel)


def _cuts(
    levels: Levels,
    plane: str | None,
    n: int | None,
    indices: Sequence[int] | None,
    t: int | None,
    channel: int | str | None,
) -> list[Cut]:
    """Return the planes to show, evenly spaced: each in the middle of its share."""
    base = levels.base
    if plane in ("c", "t"):
        if plane not in base.dims:
            raise UsageError(f"a montage along {plane}: the axes are {' '.join(map(str, base.dims))}")
        first, axis = cut_of(base, None, t=t, channel=channel), plane
    else:
        first = cut_of(base, plane, t=t, channel=channel)
        if first.axis is None:
            raise UsageError(
                f"a montage of one plane with axes {' '.join(map(str, base.dims))}: use show, or give several images"
            )
        axis = first.axis
    size = base.sizes[axis]
    if indices is None:
        count = min(size if plane in ("c", "t") and n is None else n or PLANES, size)
        _check_count(count if n is None else n, "planes")
        indices = [int((i + 0.5) * size / count) for i in range(count)]
    _check_count(len(indices), "planes")
    for index in indices:
        if not -size <= index < size:
            raise UsageError(f"index {index} along {axis} of {size} pixels; give 0 to {size - 1}")
    return [moved(first, axis, index % size) for index in indices]


def _only(cut: Cut, plane: str | None) -> Cut:
    """Return the cut with the place that differs between the panels alone, for its title."""
    axis = plane if plane in ("c", "t") else cut.axis
    return replace(cut, places={name: index for name, index in cut.places.items() if name == axis})


def _named(titles: Sequence[str] | bool, own: Sequence[str]) -> Sequence[str]:
    if titles is True:
        return own
    if titles is False:
        return [""] * len(own)
    if len(titles) != len(own):
        raise UsageError(f"{len(titles)} titles for {len(own)} panels: give one each")
    return titles


def _arranged(panels: Sequence[tuple[Levels, Cut]], columns: int | None, shape: float) -> Layout:
    """Return how the panels are laid out in a figure of height/width ``shape``."""
    shapes = [shape_of(levels, cut) for levels, cut in panels]
    ratio = float(np.clip(np.median([down / across for down, across in shapes]), 0.1, 5.0))
    if columns is not None and columns < 1:
        raise UsageError(f"columns={columns}: give at least 1")
    columns = min(columns or columns_for(len(panels), ratio, shape), len(panels))
    return Layout(math.ceil(len(panels) / columns), columns, ratio)


def _axes(figure: Figure, rows: int, columns: int) -> Iterator[Any]:
    grid = figure.add_gridspec(rows, columns)
    for row, column in itertools.product(range(rows), range(columns)):
        yield figure.add_subplot(grid[row, column])


def columns_for(count: int, ratio: float, shape: float) -> int:
    """Return how many panels of height/width ``ratio`` in a row fill a figure of height/width ``shape`` best.

    The panels as a whole should have the figure's shape, and few places be empty. Of thin strips what is between
    them counts too.

    >>> [columns_for(count, 1.0, 0.75) for count in (2, 3, 4, 5, 6, 8, 9, 10, 12)]
    [2, 3, 2, 3, 3, 4, 3, 4, 4]
    >>> [columns_for(count, 0.1, 0.75) for count in (4, 9, 16)]
    [1, 2, 2]
    """
    high = max(ratio, 0.3)

    def misfit(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(rows * high / columns / shape)) + 2.5 * (1 - count / (rows * columns))

    return min(range(1, count + 1), key=misfit)
