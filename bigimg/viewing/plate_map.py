"""The montage of a plate: one small picture of each well, at its place, all with the same window."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError, counted
from bigimg.opening.open import Memory
from bigimg.opening.plates import Plate
from bigimg.ops.derived import placeholder
from bigimg.ops.levels import levels_of
from bigimg.planning.room import LATER, room
from bigimg.system.memory import heap_trimmer
from bigimg.types import Array
from bigimg.viewing.canvas import CANVAS_BYTES, PICTURE_BYTES
from bigimg.viewing.imshow import Look, Paint, paint, windows_of
from bigimg.viewing.planes import Picture, cut_of, picture_of
from bigimg.viewing.titles import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE, HIGH = 1200, 1600
"""Pixels of all pictures in a row, and in a column, at most."""
SIDES = (16, 160)
"""Least and most pixels of a picture."""
DPI = 100
GAP = 2
"""Pixels between two pictures."""
EMPTY = 232
"""Grey of a well without a picture."""
MARGIN = 0.6
"""Inches for the names of rows and columns, and for the title."""
LETTER = 0.1
"""Inches of a letter of the title."""
PIXEL_BYTES = 48
"""Of a pixel of a picture, of some channels of 16 bits, with the copies of which the windows are made."""
WELL_BYTES = 64 << 20
"""To read one picture from a level that is larger than it."""


@dataclass(frozen=True)
class PlateMap:
    """What is drawn of a plate; no pixel is read yet."""

    plate: Plate
    field: int | str | None
    """Number or path of the field of each well; its first one by default."""
    plane: str | None
    t: int | None
    channel: int | str | None
    look: Look
    title: bool
    memory: Memory

    @property
    def side(self) -> int:
        """Pixels of a picture."""
        columns, rows = len(self.plate.meta.columns), len(self.plate.meta.rows)
        return int(np.clip(min(WIDE // columns, HIGH // rows), *SIDES))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of a figure in inches."""
        columns, rows = len(self.plate.meta.columns), len(self.plate.meta.rows)
        step = (self.side + GAP) / DPI
        return max(3.0, columns * step + MARGIN), rows * step + 2 * MARGIN

    def draw(self, figure: Figure) -> Figure:
        """Draw the wells in rows and columns."""
        meta, side = self.plate.meta, self.side
        shown, drawn = (
            int(figure.bbox.width * figure.bbox.height),
            (side + GAP) ** 2 * len(meta.rows) * len(meta.columns),
        )
        parts = {
            f"a figure of {shown:,} pixels": float(CANVAS_BYTES * shown + PICTURE_BYTES * drawn),
            "pictures": float(PIXEL_BYTES * side * side * len(meta.wells)),
            "a well": float(WELL_BYTES),
        }
        room(self.memory).take(self.plate.source, parts | LATER, "draw a smaller figure")
        pictures, without = self._pictures()
        windows = _windows(list(pictures.values()))
        step = side + GAP
        canvas = np.full((len(meta.rows) * step, len(meta.columns) * step, 3), EMPTY, np.uint8)
        for (row, column), picture in pictures.items():
            cell = canvas[row * step : row * step + side, column * step : column * step + side]
            cell[...] = 0
            colours = _colours(paint(picture, windows, self.look))[:side, :side]
            down, across = ((side - n) // 2 for n in colours.shape[:2])
            cell[down : down + colours.shape[0], across : across + colours.shape[1]] = colours
        axes = figure.add_subplot()
        middle = (side - 1) / 2
        axes.imshow(canvas, interpolation="nearest", aspect="equal")
        axes.set_xticks([middle + i * step for i in range(len(meta.columns))], meta.columns)
        axes.set_yticks([middle + i * step for i in range(len(meta.rows))], meta.rows)
        axes.tick_params(length=0, labelsize="x-small" if side < 30 else "small", top=True, bottom=False)
        axes.tick_params(labeltop=True, labelbottom=False)
        axes.spines[:].set_visible(False)
        if self.title:
            axes.set_xlabel(self._said(len(pictures), without, figure), fontsize="small")
        return figure

    def _pictures(self) -> tuple[dict[tuple[int, int], Picture], int]:
        """Return the picture of each well by row and column, and how many wells do not have the field."""
        found, without = {}, 0
        for well in self.plate.meta.wells:
            fields = [each.path for each in self.plate.well(well.path).fields]
            path = fields[0] if self.field is None else str(self.field)
            if path not in fields:
                without += 1
                continue
            levels = levels_of(self.plate.store(well.path, path), memory=self.memory)
            cut = cut_of(levels.base, self.plane, t=self.t, channel=self.channel)
            size = (float(self.side),) * 2
            picture = picture_of(levels, cut, pixels=size, most=self.side**2)
            # Without the image itself, which would keep the reader of each well open.
            found[well.row, well.column] = replace(picture, like=placeholder(picture.like))
            heap_trimmer.count(picture.pixels.nbytes + WELL_BYTES // 8)
        if not found:
            raise UsageError(f"{self.plate.source}: no well has the field {self.field!r}; see bigimg info")
        return found, without

    def _said(self, drawn: int, without: int, figure: Figure) -> str:
        """Return the name of the plate, and what is drawn of it."""
        meta = self.plate.meta
        places = len(meta.rows) * len(meta.columns)
        text = f"{counted(drawn, 'well')}"
        if empty := places - len(meta.wells):
            text += f", {empty} of {places} empty"
        if without:
            text += f", {without} without field {self.field}"
        elif self.field is not None:
            text += f", field {self.field}"
        letters = int(figure.get_figwidth() / LETTER) - len(text) - 2
        name = meta.name or os.path.basename(self.plate.source.rstrip("/"))
        return f"{shortened(name, letters)}: {text}" if letters > 3 else text


def plate_map(
    plate: Plate, *, plane: str | None = None, field: int | str | None = None, t: int | None = None,
    channel: int | str | None = None, look: Look, title: bool = True, memory: Memory = None, **others: Any,
) -> PlateMap:  # fmt: skip
    """Return what a montage of ``plate`` draws; ``others`` are options that one has of images alone.

    Raises
    ------
    UsageError
        One of these is given.
    """
    if given := [name for name, value in others.items() if value is not None]:
        raise UsageError(f"{plate.source}: is a plate, of which {given[0]} means nothing; leave it out")
    return PlateMap(plate, field, plane, t, channel, look, title, memory)


def _windows(pictures: list[Picture]) -> Any:
    """Return one window for each channel of all wells; none where the wells have other channels each."""
    alike = {(each.pixels.shape[2:], each.pixels.dtype) for each in pictures}
    return windows_of(pictures) if len(alike) == 1 else None


def _colours(painted: Paint) -> Array:
    """Return colours (h, w, 3) of 8 bits."""
    values = painted.values
    if values.ndim == 2:
        from matplotlib import colormaps
        from matplotlib.colors import Normalize

        cmap, options = painted.options["cmap"], painted.options
        cmap = colormaps[cmap] if isinstance(cmap, str) else cmap
        norm = options.get("norm") or Normalize(options["vmin"], options["vmax"])
        values = cmap(norm(values), bytes=True)
    elif values.dtype.kind == "f":
        values = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    found: Array = values[..., :3]
    return found
