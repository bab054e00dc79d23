"""What all figures share: the import of matplotlib, figures and axes, memory, scale bar, body directions, files.

No global setting of matplotlib is changed. Figures for files are made without pyplot, so they need neither a display
nor a backend.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from bigimg.conversion.target import checked_target
from bigimg.errors import MissingExtraError, UsageError
from bigimg.exporters.staging import staged
from bigimg.planning.room import LATER, room
from bigimg.version import install_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from bigimg.opening.open import Memory

STEPS = (1, 2, 5)
"""The length of a scale bar is one of these times a power of ten."""
LONG = 5.0
"""Inches of the longer side of a picture in a new figure."""
AROUND = (0.85, 0.95)
"""Inches for ticks and axis names: left of a picture, and below it with its title."""
BAR = 1.2
"""Inches of a colour bar and its ticks."""
CANVAS_BYTES = 86
"""Memory of matplotlib for each pixel of a figure, with its copies; measured with matplotlib 3.11."""
PICTURE_BYTES = 64
"""Memory of matplotlib for each pixel that is given to ``imshow``."""
LARGER = {"nm": ("µm", 1e3), "µm": ("mm", 1e3), "mm": ("m", 1e3)}
"""The next larger unit, and how many of the smaller one it has."""


def need_matplotlib() -> None:
    """Raise an error that says how to install matplotlib if it is not installed.

    Raises
    ------
    MissingExtraError
        It cannot be imported.
    """
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401  # both here, before memory is measured
    except ImportError as error:
        raise MissingExtraError(
            f"figures are drawn by matplotlib, which is not installed: {install_line('plot')}"
        ) from error


def new_figure(size: tuple[float, float] | None = None, *, shown: bool = True) -> Figure:
    """Return a new figure of ``size`` in inches: if ``shown``, one that pyplot manages and shows."""
    need_matplotlib()
    if shown:
        import matplotlib.pyplot as plt

        figure: Figure = plt.figure(figsize=size, layout="constrained")
        return figure
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def figure_size(ratio: float, *, bar: bool, most: float | None = None) -> tuple[float, float]:
    """Return width and height in inches of a figure that a picture of height/width ``ratio`` fills.

    Parameters
    ----------
    ratio : float
        A ratio below 1:5 or above 5:1 is treated as that limit, and the picture does not fill the figure.
    bar : bool
        Whether there may be a colour bar.
    most : float, optional
        Inches of the longer side of the figure; by default the longer side of the picture has 5 inches.
    """
    ratio = min(max(ratio, 0.2), 5.0)
    right, below = AROUND[0] + (BAR if bar else 0.1), AROUND[1]
    width, height = (LONG, LONG * ratio) if ratio < 1 else (LONG / ratio, LONG)
    if most is not None:
        scale = max(0.1, min((most - right) / width, (most - below) / height))
        return min(most, width * scale + right), min(most, height * scale + below)
    return max(3.0, width + right), max(2.5, height + below)


def axes_pixels(ax: Axes) -> tuple[float, float]:
    """Return height and width of axes on the screen."""
    box = ax.get_window_extent()
    return max(1.0, float(box.height)), max(1.0, float(box.width))


def pixels_for(
    figure: Figure | SubFigure, source: str, memory: Memory, *, pictures: int = 1, remedy: str = ""
) -> int:
    """Return how many pixels each of ``pictures`` in a figure may have within the budget.

    Raises
    ------
    BudgetError
        The budget does not hold the pixels that the figure shows.
    """
    canvas = int(figure.bbox.width * figure.bbox.height)
    here = room(memory)
    fixed = {f"a figure of {canvas:,} pixels": float(CANVAS_BYTES * canvas), **LATER}
    here.take(source, fixed | {"pictures": PICTURE_BYTES * canvas}, remedy or "draw a smaller figure")
    return int((here.free - sum(fixed.values())) / PICTURE_BYTES / pictures)


def is_zoomable(figure: Figure | SubFigure) -> bool:
    """Return whether pyplot shows the figure, so that a person may zoom in."""
    return getattr(figure.canvas, "manager", None) is not None


def is_visible() -> bool:
    """Return whether figures of pyplot appear on a screen or in an interactive notebook."""
    need_matplotlib()
    import matplotlib.pyplot as plt
    from matplotlib.backends import BackendFilter, backend_registry

    backend = plt.get_backend().lower()
    return backend not in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE) and (
        "inline" not in backend
    )


def add_scale_bar(ax: Axes, frame: tuple[float, float, float, float], unit: str) -> None:
    """Draw a bar of a round length, at most a quarter of the width, at the lower right."""
    from bigimg.viewing.marks import ScaleBar

    length = round_length(abs(frame[1] - frame[0]) / 4)
    height = abs(frame[3] - frame[2])
    bar = ScaleBar(
        ax.transData, length, length_text(length, unit), loc="lower right", pad=0.3, borderpad=0.5, sep=3,
        color="white", size_vertical=height / 150, fill_bar=True, label_top=True, prop={"size": "small"},
    )  # fmt: skip
    bar.patch.set(facecolor="black", alpha=0.55, edgecolor="none")
    ax.add_artist(bar)


def round_length(most: float) -> float:
    """Return the longest of 1, 2 or 5 times a power of ten that is at most ``most``.

    >>> round_length(37.0), round_length(0.0021)
    (20.0, 0.002)
    """
    power = math.floor(math.log10(most))
    found = max(step for step in STEPS if step * 10.0**power <= most * (1 + 1e-9))
    return float(f"{found}e{power}")


def length_text(length: float, unit: str) -> str:
    """Return a length for a person.

    >>> length_text(2000, "µm"), length_text(0.5, "mm")
    ('2 mm', '0.5 mm')
    """
    while length >= 1000 and unit in LARGER:
        unit, factor = LARGER[unit]
        length /= factor
    return f"{length:g} {unit}"


def add_letters(ax: Axes, letters: Sequence[str]) -> None:
    """Write the body directions at the left, right, bottom and top into the picture, near the edges."""
    from bigimg.viewing.marks import Letter

    positions = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
    for letter, position in zip(letters, positions, strict=True):
        ax.add_artist(Letter(letter, position, ax))


def save(
    figure: Figure, target: str | os.PathLike[str], *, dpi: float | None = None, overwrite: bool = False
) -> None:
    """Write ``figure`` to ``target``, whole or not at all; no display is needed.

    Raises
    ------
    UsageError
        matplotlib has no format with the ending of ``target``.
    TargetExistsError, OutputError
        The target exists, or cannot be written.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    ending = os.path.splitext(os.fspath(target))[1].lower().removeprefix(".") or "png"
    if ending not in FigureCanvasBase.get_supported_filetypes():
        raise UsageError(
            f"{os.fspath(target)}: no figure format ends in .{ending}; use .png, .pdf, .svg or .jpg"
        )
    path = checked_target(target, overwrite=overwrite, file=True)
    with staged([path], overwrite=overwrite) as (part,), open(part, "wb") as file:
        figure.savefig(file, format=ending, dpi=dpi or "figure")
