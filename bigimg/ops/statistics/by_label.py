"""Statistics of each label of a label image."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import xarray

from bigimg.ops.statistics.reducing import count_labels
from bigimg.ops.statistics.tallies import Sums, kinds, summary_of


def stats_of_labels(img: xarray.DataArray, labels: Any, where: Any) -> xarray.Dataset:
    """Return the statistics of each label id but 0, for each channel, computed.

    Ids keep the type of the label image. Memory grows with the number of labels, not of pixels.
    """
    from bigimg.ops.masks_on_grid import labels_on

    along = ["c"] if "c" in img.dims else []
    grid = labels_on(img, labels)
    found = count_labels(img, along, partial(Sums, img.dtype), grid, where=where)
    ids = sorted({key[-1] for key in found})
    shape = (*(img.sizes[name] for name in along), len(ids))
    pixels = img.size // math.prod(shape[:-1])
    position = {number: i for i, number in enumerate(ids)}
    columns = {
        name: np.full(shape, 0 if name in ("count", "saturated", "nan", "sum") else np.nan, kind)
        for name, kind in kinds(img.dtype, np.dtype(np.float64), pixels).items()
    }
    for key, tally in found.items():
        row = summary_of(tally)
        for name, column in columns.items():
            column[(*key[:-1], position[key[-1]])] = getattr(row, name)
    coords: dict[str, Any] = {name: img.coords[name].variable for name in along if name in img.coords}
    coords["label"] = np.array(ids, grid.dtype)
    return xarray.Dataset({name: ((*along, "label"), column) for name, column in columns.items()}, coords)
