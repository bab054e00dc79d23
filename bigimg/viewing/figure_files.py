"""Figures that the command line writes to files, without a display and without pyplot."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Unpack

from bigimg.conversion.target import checked_target
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.opening.sources import split
from bigimg.ops.levels import levels_of
from bigimg.planning.room import ADVICE_MARGIN, DECODERS_BYTES, room
from bigimg.types import FromSource, Opening
from bigimg.viewing.canvas import CANVAS_BYTES, PICTURE_BYTES, need_matplotlib, new_figure, pixels_for, save
from bigimg.viewing.figures import histogram, show, size_for
from bigimg.viewing.montage import montage_of
from bigimg.viewing.ortho import ortho, planes_of, size_of
from bigimg.viewing.pictures import checked_side
from bigimg.viewing.planes import cut_of
from bigimg.viewing.titles import name_of

type Target = str | os.PathLike[str]

DPI = 100
"""Resolution of a figure whose size is given in pixels."""


def plane_figure(
    source: Source,
    target: Target,
    *,
    plane: str | None = None,
    index: int | None = None,
    position: float | None = None,
    level: int | None = None,
    most: int | None = None,
    convention: str | None = None,
    memory: Memory = None,
    levels: FromSource | None = None,
    overwrite: bool = False,
    **opening: Unpack[Opening],
) -> None:
    """Write a figure of one plane of ``source``, with axes, scale bar and body directions, to ``target``.

    Parameters
    ----------
    plane, index, position, convention, memory, levels, overwrite, **opening :
        As in :func:`bigimg.viewing.pictures.plane_picture`.
    level : int, optional
        By default the level that fits the figure.
    most : int, optional
        Pixels of the longer side of the figure; by default the picture in it has 5 inches.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    # Fewer than 100 pixels have no room for a single letter.
    side = None if most is None else max(checked_side(most), 100) / DPI
    need_matplotlib()
    found = levels_of(source, memory=memory, levels=levels, **opening)
    checked_target(target, source, found.base, overwrite=overwrite, file=True)
    # "z" is the default of the command; an image without z is drawn as it is.
    if plane == "z" and "z" not in found.base.dims and index is position is None:
        plane = None
    cut = cut_of(found.base, plane, index=index, position=position, convention=convention)
    figure = new_figure(size_for(found, cut, most=side), shown=False)
    if most is not None:
        here, each = room(memory), CANVAS_BYTES + PICTURE_BYTES
        fits = math.isqrt(max(1, int((here.allowed / ADVICE_MARGIN - here.held - DECODERS_BYTES) / each)))
        pixels_for(figure, name_of(found.base), memory, remedy=f"use most={fits}")
    show(
        found, plane, index=index, position=position, level=level, ax=figure.add_subplot(),
        convention=convention, memory=memory,
    )  # fmt: skip
    save(figure, target, dpi=None if most is None else DPI, overwrite=overwrite)


def montage_figure(
    sources: Sequence[Source],
    target: Target,
    *,
    overwrite: bool = False,
    plane: str | None = None,
    **options: Any,
) -> None:
    """Write a montage of one source's planes, of several sources, or of a plate to ``target``.

    The options are those of :func:`bigimg.viewing.montage.montage_of`.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    checked_target(target, list(sources), overwrite=overwrite, file=True)
    need_matplotlib()
    panels = montage_of(sources[0] if len(sources) == 1 else list(sources), plane, **options)
    save(panels.draw(new_figure(panels.size, shown=False)), target, overwrite=overwrite)


def ortho_figure(
    source: Source,
    target: Target,
    *,
    t: int | None = None,
    channel: int | str | None = None,
    convention: str | None = None,
    overlay: Source | None = None,
    memory: Memory = None,
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Write three planes of ``source`` through one point to ``target``.

    The options are those of :func:`bigimg.viewing.ortho.ortho`, and of the source.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    need_matplotlib()
    opening, options = split(options)
    levels = levels_of(source, memory=memory, **opening)
    checked_target(target, source, levels.base, overlay, overwrite=overwrite, file=True)
    cuts = planes_of(levels.base, t=t, channel=channel, convention=convention)
    figure = new_figure(size_of(levels, cuts), shown=False)
    ortho(
        levels, t=t, channel=channel, convention=convention, overlay=overlay, figure=figure, memory=memory,
        **options,
    )  # fmt: skip
    save(figure, target, overwrite=overwrite)


def histogram_figure(
    source: Source,
    target: Target,
    *,
    level: int | None = None,
    memory: Memory = None,
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Write the histogram of ``source`` as a graph to ``target``.

    The options are those of :func:`bigimg.viewing.figures.histogram`, and of the source.

    Raises
    ------
    UsageError, TargetExistsError, OutputError, InputError, BudgetError, MissingExtraError
    """
    need_matplotlib()
    opening, options = split(options)
    image = open_image(source, level=level or 0, memory=memory, **opening)
    checked_target(target, source, image, options.get("where"), overwrite=overwrite, file=True)
    figure = new_figure(shown=False)
    pixels_for(figure, name_of(image), memory)
    histogram(image, ax=figure.add_subplot(), **options)
    save(figure, target, overwrite=overwrite)
