"""Which values become black and white: what the file says, what the store counted, or percentiles of what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigimg.ops.statistics.percentiles import of_counts
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.viewing.colours import HIGH, LOW, Window, percentiles
from bigimg.viewing.levels import Levels
from bigimg.viewing.planes import Cut, Picture

if TYPE_CHECKING:
    import xarray


def stored_windows(base: xarray.DataArray) -> list[Window] | None:
    """Return the window of each channel without reading a pixel: the file's own, or stored percentiles."""
    count = base.sizes.get("c", 1)
    if base.attrs.get("window") and not base.attrs.get("scaling"):
        low, high = base.attrs["window"]
        return [(float(low), float(high))] * count
    kept = kept_statistics(base)
    if kept is None or (counts := kept.counts) is None:
        return None
    ends = [of_counts(row, kept.values, np.array([LOW, HIGH])) for row in counts]
    if not np.isfinite(ends).all():  # a channel without a value
        return None
    return [(float(low), float(high)) for low, high in ends]


def windows_for(levels: Levels, cut: Cut) -> list[Window] | None:
    """Return the stored window of each channel that ``cut`` leaves; None when there are none."""
    windows = stored_windows(levels.base)
    return windows if windows is None or "c" not in cut.places else [windows[cut.places["c"]]]


def windows_of(pictures: Sequence[Picture]) -> list[Window]:
    """Return one window a channel for all of ``pictures``: percentiles of them together."""
    planes = [p.pixels[..., None] if p.pixels.ndim == 2 else p.pixels for p in pictures]
    count = planes[0].shape[-1]
    return [percentiles(np.concatenate([plane[..., c].ravel() for plane in planes])) for c in range(count)]
