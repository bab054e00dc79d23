"""Which values become black and white: what the file says, or what the store counted. No pixel is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bigimg.ops.percentiles import of_counts
from bigimg.ops.stored import kept_statistics
from bigimg.viewing.colours import HIGH, LOW, Window

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
