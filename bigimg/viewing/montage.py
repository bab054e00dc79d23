"""``montage``: planes, channels, images or patches side by side; panels of one image share window and scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening.open import Memory, Source
from bigimg.opening.plates import Plate, plate_in
from bigimg.opening.sources import split
from bigimg.ops.levels import levels_of
from bigimg.ops.patches.sequence import Patches
from bigimg.ops.slices import index_along
from bigimg.types import Opening
from bigimg.viewing.canvas import axes_pixels, need_matplotlib, new_figure, pixels_for
from bigimg.viewing.figures import draw, finish
from bigimg.viewing.imshow import DEFAULT_LOOK, Look, windows_for, windows_of
from bigimg.viewing.levels import Levels, held
from bigimg.viewing.overlay import NO_OVERLAY, Overlay, overlay_of
from bigimg.viewing.planes import Cut, cut_of, cut_text, picture_of, shape_of
from bigimg.viewing.plate_map import PlateMap, plate_map
from bigimg.viewing.titles import name_of, names_of, shortened

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

PLANES = 9
"""Number of planes by default."""
SHAPE = 0.75
"""Height/width of a new figure, if the panels allow it."""
SIDE, WIDE = 3.2, 12.0
"""Inches of a square panel, and the most of all panels in a row."""
TITLE = 0.25
"""Inches of a title above a panel."""
LETTER = 0.085
"""Inches of a letter in a title."""
MOST = 400
"""The most panels in a figure: more are too small to see and take minutes to draw."""


class Layout(NamedTuple):
    """Arrangement of panels in a figure."""

    rows: int
    columns: int
    ratio: float
    """Height/width of a panel."""


@dataclass(frozen=True)
class Panels:
    """The planes of a montage and how they are drawn; no pixel is read yet."""

    panels: Sequence[tuple[Levels, Cut]]
    look: Look
    titles: Sequence[str]
    layout: Layout
    over: Overlay
    shared: bool
    """Whether the panels are of one image and share its window."""
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
        grid, count = figure.add_gridspec(rows, columns), len(self.panels)
        axes = [figure.add_subplot(grid[divmod(number, columns)]) for number in range(count)]
        pictures_to_draw = count if self.over.levels is None else 2 * count
        most = pixels_for(figure, name_of(self.panels[0][0].base), self.memory, pictures=pictures_to_draw)
        pictures = [
            picture_of(levels, cut, pixels=axes_pixels(ax), most=most)
            for (levels, cut), ax in zip(self.panels, axes, strict=True)
        ]
        pooled = windows_for(*self.panels[0]) or windows_of(pictures) if self.shared else None
        parts = zip(axes, pictures, self.panels, self.titles, strict=True)
        for number, (ax, picture, (levels, cut), title) in enumerate(parts):
            draw(ax, picture, pooled or windows_for(levels, cut), self.look)
            self.over.draw(ax, levels, cut, most)
            # If the panels are of one image, only the first has body directions and a scale bar.
            if number and self.shared:
                picture = replace(picture, letters=None)
            scalebar = number == 0 and (self.shared or len(self.panels) <= PLANES)
            finish(ax, picture, scalebar=scalebar, ticks=False)
            if title:
                ax.set_title(title, fontsize="small")
        if named := sorted({picture.convention for picture in pictures if picture.convention}):
            figure.supxlabel(" and ".join(named), fontsize="small")
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
    convention: str | None = None,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> Figure:
    """Draw many planes of an image, several images or the wells of a plate side by side, and return the figure.

    Parameters
    ----------
    img : image, or sequence of images
        Anything that opens. Each item of a list or tuple, and each patch of patches, gets a panel. A plate, opened or
        as its path, is drawn as it lies: one field of each well, from the level that fits, in one window for all.
    plane : str, optional
        As in :func:`bigimg.show`; also ``c`` for the channels, each in its colour, and ``t`` for the times. By
        default the axial planes of a volume, the channels of an image without z.
    n : int, optional
        Number of panels: evenly spaced planes, or the first items of a sequence. By default 9 planes, or all items.
    indices : sequence of int, optional
        Indices of the planes, in place of ``n``.
    columns : int, optional
        Panels in a row; by default the number that fills the figure best.
    t, channel, overlay, overlay_color, overlay_alpha, cmap, vmin, vmax :
        As in :func:`bigimg.show`. The planes of one image share a window.
    titles : sequence of str, or bool
        One for each panel; by default the positions of planes, the names or files of images, the numbers of patches.
    figure : matplotlib figure, optional
        An empty one to draw in; a new one by default.
    convention :
        As in :func:`bigimg.show`.
    memory, **opening :
        As in :func:`bigimg.open`; ``series`` of a plate is the field, the first of each well by default.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        There is no such axis, channel or plane, or nothing to show side by side.
    """
    need_matplotlib()
    over = overlay_of(overlay, overlay_color, overlay_alpha, memory=memory)
    found = montage_of(
        img, plane, n=n, indices=indices, columns=columns, t=t, channel=channel, over=over,
        look=Look(cmap, vmin, vmax), titles=titles, convention=convention,
        memory=memory, **opening,
        shape=SHAPE if figure is None else figure.get_figheight() / figure.get_figwidth(),
    )  # fmt: skip
    return found.draw(new_figure(found.size) if figure is None else figure)


def montage_of(
    img: Any, plane: str | None, *, look: Look = DEFAULT_LOOK, t: int | None = None,
    channel: int | str | None = None, titles: Sequence[str] | bool = True, memory: Memory = None,
    over: Overlay = NO_OVERLAY, shape: float = SHAPE, **others: Any,
) -> Panels | PlateMap:  # fmt: skip
    """Return what :func:`montage` draws of images, or of a plate; no pixel is read yet."""
    opening, others = split(others)
    plate = plate_in(img, {**opening, "series": None})  # a series is a field
    if not isinstance(plate, Plate):
        return panels_of(
            img, plane, look=look, t=t, channel=channel, titles=titles, memory=memory, over=over,
            shape=shape, **opening, **others,
        )  # fmt: skip
    return plate_map(
        plate, plane=plane, field=opening.get("series"), t=t, channel=channel, look=look, title=bool(titles),
        memory=memory, overlay=over.levels, **others,
    )  # fmt: skip


def panels_of(
    img: Any, plane: str | None, *, n: int | None = None, indices: Sequence[int] | None = None,
    columns: int | None = None, t: int | None = None, channel: int | str | None = None, over: Overlay = NO_OVERLAY,
    look: Look = DEFAULT_LOOK, titles: Sequence[str] | bool = True, shape: float = SHAPE,
    convention: str | None = None, memory: Memory = None, **opening: Unpack[Opening],
) -> Panels:  # fmt: skip
    """Return what :func:`montage` draws, in a figure of height/width ``shape``; no pixel is read yet."""
    many = isinstance(img, Sequence) and not isinstance(img, str | bytes | bytearray | memoryview)
    if many:
        if plane is not None or indices is not None or over.levels is not None:
            raise UsageError(
                "plane, indices and overlay are of one image; cut the images before, or give one image"
            )
        _check_count(len(img) if n is None else n)
        first = img[:n]
        images = [
            levels_of(one, memory=memory, **opening)
            for one in (first.in_order() if isinstance(first, Patches) else first)
        ]
        panels = [
            (levels, cut_of(levels.base, None, t=t, channel=channel, convention=convention))
            for levels in images
        ]
        own = names_of([levels.base for levels in images])
    else:
        levels = held(levels_of(img, memory=memory, **opening), memory)
        base = levels.base
        if plane is None and "z" not in base.dims and base.sizes.get("c", 1) > 1:
            plane = "c"
        axis, cuts = _cuts(base, plane, n, indices, t, channel, convention)
        panels = [(levels, cut) for cut in cuts]
        # The titles have only what differs between the panels.
        own = [cut_text(base, replace(cut, indices={axis: cut.indices[axis]})) for cut in cuts]
    layout = _arranged(panels, columns, shape)
    if many:
        letters = int(panel_width(*layout[1:]) / LETTER)
        own = [shortened(name, letters) for name in own]
    shared = not many and plane != "c"
    return Panels(panels, look, _titles(titles, own), layout, over, shared, memory)


def panel_width(columns: int, ratio: float) -> float:
    """Return the width in inches of a panel of height/width ``ratio``; low panels are wider."""
    return min(SIDE / math.sqrt(min(1.0, 2 * ratio)), WIDE / columns)


def _check_count(count: int, what: str = "images") -> None:
    if count == 0:
        raise UsageError(f"a montage of no {what}: there is nothing to show; give at least one")
    if not 1 <= count <= MOST:
        raise UsageError(f"a montage of {count} {what}: say how many, n=1 to {MOST}")


def _cuts(
    base: xarray.DataArray, plane: str | None, n: int | None, indices: Sequence[int] | None, t: int | None,
    channel: int | str | None, convention: str | None,
) -> tuple[str, list[Cut]]:  # fmt: skip
    """Return the axis and the planes at ``indices``, or ``n`` planes in the middle of equal shares of the axis."""
    dims = " ".join(map(str, base.dims))
    across_space = plane not in ("c", "t")
    if not across_space and plane not in base.dims:
        raise UsageError(f"a montage along {plane}: the axes are {dims}")
    first = cut_of(base, plane if across_space else None, t=t, channel=channel, convention=convention)
    axis = first.axis if across_space else plane
    if axis is None:
        raise UsageError(f"a montage of one plane with axes {dims}: use show, or give several images")
    size = base.sizes[axis]
    if indices is None:
        count = min(n or (PLANES if across_space else size), size)
        _check_count(count if n is None else n, "planes")
        indices = [int((i + 0.5) * size / count) for i in range(count)]
    _check_count(len(indices), "planes")
    return axis, [first.at(**{axis: index_along(base, axis, index, None)}) for index in indices]


def _titles(titles: Sequence[str] | bool, own: Sequence[str]) -> Sequence[str]:
    if titles is True:
        return own
    if titles is False:
        return [""] * len(own)
    if len(titles) != len(own):
        raise UsageError(f"{len(titles)} titles for {len(own)} panels: give one each")
    return titles


def _arranged(panels: Sequence[tuple[Levels, Cut]], columns: int | None, shape: float) -> Layout:
    """Return the layout of the panels in a figure of height/width ``shape``."""
    shapes = [shape_of(levels, cut) for levels, cut in panels]
    ratio = float(np.clip(np.median([down / across for down, across in shapes]), 0.1, 5.0))
    if columns is not None and columns < 1:
        raise UsageError(f"columns={columns}: give at least 1")
    columns = min(columns or columns_for(len(panels), ratio, shape), len(panels))
    return Layout(math.ceil(len(panels) / columns), columns, ratio)


def columns_for(count: int, ratio: float, shape: float) -> int:
    """Return the number of panels in a row that fills a figure best.

    All panels together should have about the figure's height/width ``shape``, and few cells should be empty. A panel
    counts as at least 0.3 high, because the gaps between thin strips take room too.

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
