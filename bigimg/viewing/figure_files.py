"""Figures written to files by the command line: no display, no pyplot."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from bigimg.conversion.target import checked_target
from bigimg.errors import UsageError
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.planning.room import DECODERS_BYTES, SURE, room
from bigimg.viewing.canvas import CANVAS_BYTES, PICTURE_BYTES, need_matplotlib, new_figure, pixels_for, save
from bigimg.viewing.figures import histogram, show, size_for
from bigimg.viewing.levels import levels_of
from bigimg.viewing.montage import prepared
from bigimg.viewing.planes import cut_of
from bigimg.viewing.titles import name_of

type Target = str | os.PathLike[str]

DPI = 100
"""Of a figure that is asked for in pixels."""


def slice_figure(
    source: Source,
    target: Target,
    *,
    plane: str | None = None,
    at: float | None = None,
    physical: bool = False,
    level: int | None = None,
    memory: Memory = None,
    series: int | str | None = None,
    overwrite: bool = False,
) -> None:
    """Write one plane of ``source`` with axes, scale and letters to ``target``.

    The parameters are those of :func:`bigimg.viewing.pictures.slice_picture`; without ``level`` the one that
    fits the figure is read.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    checked_target(target, source, overwrite=overwrite, file=True)
    if at is not None and not physical and at != int(at):
        raise UsageError(f"at={at}: an index is a whole number; for a position add physical=True")
    index = None if at is None or physical else int(at)
    need_matplotlib()
    levels = levels_of(source, memory=memory, series=series)
    # A picture of an image without z is the image: "z" is what the command asks for by default.
    wanted = None if plane == "z" and at is None and "z" not in levels.base.dims else plane
    place: dict[str, Any] = {"index": index, "position": at if physical else None}
    figure = new_figure(size_for(levels, cut_of(levels.base, wanted, **place)), shown=False)
    show(levels, wanted, **place, level=level, ax=figure.add_subplot(), memory=memory)
    save(figure, target, overwrite=overwrite)


def thumbnail_figure(
    source: Source,
    target: Target,
    *,
    most: int = 512,
    memory: Memory = None,
    series: int | str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a figure of ``source``, its longer side ``most`` pixels, to ``target``.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    checked_target(target, source, overwrite=overwrite, file=True)
    if most < 1:
        raise UsageError(f"max {most}: a thumbnail has at least 1 pixel a side")
    side = max(most, 100) / DPI  # with less there is no room for a single letter
    need_matplotlib()
    levels = levels_of(source, memory=memory, series=series)
    figure = new_figure(size_for(levels, cut_of(levels.base, None), most=side), shown=False)
    here, each = room(memory), CANVAS_BYTES + PICTURE_BYTES
    fits = math.isqrt(max(1, int((here.allowed / SURE - here.held - DECODERS_BYTES) / each)))
    pixels_for(figure, name_of(levels.base), memory, remedy=f"use most={fits}")
    show(levels, ax=figure.add_subplot(), memory=memory)
    save(figure, target, dpi=DPI, overwrite=overwrite)


def montage_figure(
    sources: Sequence[Source], target: Target, *, overwrite: bool = False, **asked: Any
) -> None:
    """Write a montage of one source's planes, or of several sources, to ``target``.

    The options are those of :func:`bigimg.montage`.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    checked_target(target, list(sources), asked.get("overlay"), overwrite=overwrite, file=True)
    panels = prepared(sources[0] if len(sources) == 1 else list(sources), **asked)
    save(panels.draw(new_figure(panels.size, shown=False)), target, overwrite=overwrite)


def histogram_figure(
    source: Source,
    target: Target,
    *,
    level: int | None = None,
    memory: Memory = None,
    series: int | str | None = None,
    overwrite: bool = False,
    **asked: Any,
) -> None:
    """Write the histogram of ``source`` as a graph to ``target``.

    The options are those of :func:`bigimg.viewing.figures.histogram`.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    checked_target(target, source, asked.get("where"), overwrite=overwrite, file=True)
    need_matplotlib()
    image = open_image(source, level=level or 0, memory=memory, series=series)
    figure = new_figure(shown=False)
    pixels_for(figure, name_of(image), memory)
    histogram(image, ax=figure.add_subplot(), **asked)
    save(figure, target, overwrite=overwrite)
