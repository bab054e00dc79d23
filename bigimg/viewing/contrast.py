"""Display windows (the values of black and white): from the file, the stored histogram, or the pixels drawn."""

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
    """Return the window of each channel without reading a pixel: from the file, or percentiles of stored counts."""
    count = base.sizes.get("c", 1)
    if base.attrs.get("window") and not base.attrs.get("scaling"):
        low, high = base.attrs["window"]
        return [(float(low), float(high))] * count
    stored = kept_statistics(base)
    if stored is None or (counts := stored.counts) is None:
        return None
    ends = [of_counts(row, stored.values, np.array([LOW, HIGH])) for row in counts]
    if not np.isfinite(ends).all():  # a channel has no finite value
        return None
    return [(float(low), float(high)) for low, high in ends]


def windows_for(levels: Levels, cut: Cut) -> list[Window] | None:
    """Return the stored window of each channel in ``cut``; None if there are none."""
    windows = stored_windows(levels.base)
    return windows if windows is None or "c" not in cut.indices else [windows[cut.indices["c"]]]


def windows_of(pictures: Sequence[Picture]) -> list[Window]:
    """Return one window for each channel: percentiles of all ``pictures`` together."""
    planes = [p.pixels[..., None] if p.pixels.ndim == 2 else p.pixels for p in pictures]
    count = planes[0].shape[-1]
    return [percentiles(np.concatenate([plane[..., c].ravel() for plane in planes])) for c in range(count)]
