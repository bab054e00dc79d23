"""Which values become black and white: what the file says, or what the store counted. No pixel is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bigimg.ops.stats import stored_statistics
from bigimg.types import Array
from bigimg.viewing.colours import HIGH, LOW, Window

if TYPE_CHECKING:
    import xarray

    from bigimg.geometry.spec import Scaling


def stored_windows(base: xarray.DataArray) -> list[Window] | None:
    """Return the window of each channel without reading a pixel: the file's own, or stored percentiles."""
    count = base.sizes.get("c", 1)
    if base.attrs.get("window") and not base.attrs.get("scaling"):
        low, high = base.attrs["window"]
        return [(float(low), float(high))] * count
    found = stored_statistics(base)
    if found is None or found[1].histogram is None:
        return None
    _, kept, scaling = found
    return [dense_window(np.asarray(row), kept.first, scaling) for row in found[1].histogram]


def dense_window(counts: Array, first: int, scaling: Scaling | None) -> Window:
    """Return the percentiles 0.1 and 99.9, as numpy's, of pixels counted one bin a value."""
    below = np.cumsum(counts, dtype=np.int64)
    if not below.size or not below[-1]:
        return 0.0, 1.0
    ends = []
    for percent in (LOW, HIGH):
        rank = percent / 100 * (int(below[-1]) - 1)
        low, high = (
            int(np.searchsorted(below, n, side="right")) for n in (math.floor(rank), math.ceil(rank))
        )
        ends.append(first + low + (high - low) * (rank - math.floor(rank)))
    if scaling is not None:
        ends = sorted(end * scaling.slope + scaling.intercept for end in ends)
    return ends[0], ends[1]
