"""Figures as pixels, and what plain matplotlib draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import bigimg
from bigimg.omezarr.store import StoreReader
from bigimg.types import Array


def blank(size: tuple[float, float] = (4, 3)) -> Axes:
    """Return axes of a figure that pyplot does not know."""
    figure = Figure(figsize=size, dpi=100)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def canvas(figure: Any) -> Array:
    """Return what is seen of a figure, or of the figure of some axes."""
    agg = FigureCanvasAgg(figure if isinstance(figure, Figure) else figure.figure)
    agg.draw()
    return np.asarray(agg.buffer_rgba()).copy()


def numbers(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)


def store_of(array: Array, folder: Path, **how: Any) -> Path:
    """Write an array as a pyramid and return its path."""
    geometry = {name: how.pop(name) for name in ("dims", "spacing", "unit", "channels") if name in how}
    target = folder / "a.ome.zarr"
    bigimg.write(bigimg.from_array(array, **geometry), target, progress=False, **how)
    return target


@contextmanager
def reads() -> Iterator[list[tuple[int, Any]]]:
    """Collect level and region of everything that is read from stores."""
    seen: list[tuple[int, Any]] = []
    original = StoreReader.read

    def read(self: StoreReader, region: Any) -> Array:
        seen.append((self.level, region))
        return original(self, region)

    StoreReader.read = read  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        StoreReader.read = original  # type: ignore[method-assign]
