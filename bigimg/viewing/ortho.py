"""Three planes through one point of a volume, on one scale, with a cross-hair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening import coordinates
from bigimg.opening.levels import Levels
from bigimg.opening.open import Memory, Source
from bigimg.ops.levels import levels_of
from bigimg.ops.slices import nearest_index
from bigimg.types import Opening
from bigimg.viewing.canvas import axes_pixels, need_matplotlib, new_figure, pixels_for
from bigimg.viewing.figures import draw, finish
from bigimg.viewing.imshow import Look, windows_for
from bigimg.viewing.levels import held, read_at
from bigimg.viewing.overlay import overlay_of
from bigimg.viewing.planes import Cut, cut_of, picture_of, position_text, shape_of
from bigimg.viewing.titles import name_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

type Point = Mapping[str, float] | Sequence[float] | None

BODY = ("coronal", "sagittal", "axial")
BARE = ("y", "x", "z")
"""The same planes of a volume without a world affine: upper left, upper right, lower left."""
SIZE = 8.0
"""Inches of the longer side of the figure."""


def ortho(
    img: Source,
    at: Point = None,
    *,
    t: int | None = None,
    channel: int | str | None = None,
    level: int | None = None,
    overlay: Source | None = None,
    overlay_color: str | Sequence[str] | None = None,
    overlay_alpha: float = 0.4,
    cmap: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    crosshair: bool = True,
    figure: Figure | None = None,
    convention: str | None = None,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> Figure:
    """Draw the three planes of a volume through one point, on one scale, and return the figure.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    at : (float, float, float) or mapping, optional
        The point: x, y, z in RAS+ millimetres if the image has a world affine, else coordinates x, y, z. Or
        coordinates by name, as in ``{"z": 12.5}``; an axis that is not named is cut in the middle. By default the
        middle of the image.
    t, channel, level, overlay, overlay_color, overlay_alpha, cmap, vmin, vmax :
        As in :func:`bigimg.show`.
    crosshair : bool
        Whether to mark the point.
    figure : matplotlib figure, optional
        An empty one to draw in; a new one by default.
    convention :
        As in :func:`bigimg.show`.
    memory, **opening :
        As in :func:`bigimg.open`.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        The image is not a volume, or the point is outside the image.
    """
    need_matplotlib()
    levels = held(levels_of(img, memory=memory, **opening), memory)
    base = levels.base
    cuts = planes_of(base, t=t, channel=channel, convention=convention)
    over = overlay_of(overlay, overlay_color, overlay_alpha, memory=memory)
    point = point_of(base, at)
    cuts = [cut.at(**{str(cut.axis): point[str(cut.axis)]}) for cut in cuts]
    widths, heights = _sides(levels, cuts)
    if figure is None:
        figure = new_figure(size_of(levels, cuts))
    grid = figure.add_gridspec(2, 2, width_ratios=widths, height_ratios=heights)
    look = Look(cmap, vmin, vmax)
    most = pixels_for(figure, name_of(base), memory, pictures=3 if overlay is None else 6)
    for cut, cell in zip(cuts, ((0, 0), (0, 1), (1, 0)), strict=True):
        ax = figure.add_subplot(grid[cell])
        picture = picture_of(levels, cut, pixels=axes_pixels(ax), level=level, most=most)
        draw(ax, picture, windows_for(levels, cut), look)
        over.draw(ax, levels, cut, most)
        finish(ax, picture, scalebar=cell == (1, 0), ticks=False)
        if crosshair:
            _mark(ax, base, point, picture.sides, picture.unit)
    text = figure.add_subplot(grid[1, 1])
    text.set_axis_off()
    said = point_text(base, point, cuts[0])
    if cuts[0].turn is not None and cuts[0].convention != "none":
        said += f"\n{cuts[0].convention}"
    text.text(0.1, 0.95, said, va="top", linespacing=1.5, fontsize="medium")
    return figure


def planes_of(base: xarray.DataArray, **options: Any) -> list[Cut]:
    """Return the three planes through the middle; ``options`` are those of :func:`~bigimg.viewing.planes.cut_of`.

    Raises
    ------
    UsageError
        The image is not a volume.
    """
    if not {"z", "y", "x"} <= set(base.dims):
        raise UsageError(
            f"three planes of an image with axes {' '.join(map(str, base.dims))}: only a volume has them; use show"
        )
    names = BARE if coordinates.world_of(base) is None else BODY
    return [cut_of(base, name, **options) for name in names]


def size_of(levels: Levels[xarray.DataArray], cuts: Sequence[Cut]) -> tuple[float, float]:
    """Return width and height in inches of a figure of three planes."""
    widths, heights = map(sum, _sides(levels, cuts))
    scale = SIZE / max(widths, heights)
    return max(3.0, widths * scale), max(3.0, heights * scale)


def _sides(
    levels: Levels[xarray.DataArray], cuts: Sequence[Cut]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the widths of the columns and the heights of the rows."""
    (top, left), (_, right), (bottom, _) = (shape_of(levels, cut) for cut in cuts)
    return (left, right), (top, bottom)


def point_of(base: xarray.DataArray, at: Point) -> dict[str, int]:
    """Return the index of a point along z, y and x.

    Raises
    ------
    UsageError
        It is outside the image, or not three numbers.
    """
    middle = {name: base.sizes[name] // 2 for name in ("z", "y", "x")}
    if at is None:
        return middle
    if isinstance(at, Mapping):
        if unknown := set(at) - set(middle):
            raise UsageError(f"at={{{sorted(unknown)[0]!r}: ...}}: a point is given along z, y and x")
        return {**middle, **{name: nearest_index(base, name, float(v)) for name, v in at.items()}}
    if len(at) != 3:
        raise UsageError(f"at={tuple(at)}: give x, y and z, or a mapping as in {{'z': 12.5}}")
    position = np.asarray([float(v) for v in at])
    if (world := coordinates.world_of(base)) is not None:
        position = np.linalg.solve(world, [*position, 1.0])[:3]
    return {name: nearest_index(base, name, float(v)) for name, v in zip("xyz", position, strict=True)}


def _mark(
    ax: Axes, base: xarray.DataArray, point: Mapping[str, int], sides: tuple[str, str], unit: str
) -> None:
    """Draw the cross-hair through the centre of the pixel at ``point``."""
    down, across = (
        float(point[name])
        if unit == "px" and coordinates.units(base, sides[0]) != coordinates.units(base, sides[1])
        else coordinates.origin(base, name) + point[name] * coordinates.spacing(base, name)
        for name in sides
    )
    ax.axvline(across, color="#30D030", linewidth=0.8)
    ax.axhline(down, color="#30D030", linewidth=0.8)


def point_text(base: xarray.DataArray, point: Mapping[str, int], cut: Cut) -> str:
    """Return the position and the value of a pixel for a person."""
    lines = []
    if (affine := coordinates.affine_of(base)) is not None:
        position = (affine @ [point["x"], point["y"], point["z"], 1.0])[:3]
        lines.append("x y z  " + "  ".join(f"{v:.1f}" for v in position) + " mm (RAS+)")
    lines += [position_text(base, name, point[name]) for name in "zyx"]
    rest = {name: index for name, index in cut.indices.items() if name in ("t", "c")}
    values = np.atleast_1d(read_at(base, {**point, **rest}).values)
    names = [c.name for c in coordinates.channels_of(base.isel(rest))]
    if len(names) == len(values) > 1:
        lines += [f"{name}  {value:.6g}" for name, value in zip(names, values[:8], strict=False)]
    else:
        lines.append("value  " + "  ".join(f"{value:.6g}" for value in values[:8]))
    return "\n".join(lines)
