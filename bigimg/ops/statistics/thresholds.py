"""Thresholds: Otsu's, and the share of the pixels below each of many thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import one_object
from bigimg.opening.open import Source
from bigimg.ops.arguments import as_numbers
from bigimg.ops.slices import crop
from bigimg.ops.statistics.by_channel import by_channel, rows_of
from bigimg.ops.statistics.histograms import counted, counts_and_edges
from bigimg.ops.statistics.tallies import Binned, rebin
from bigimg.types import Array, Opening

BINS = 256
"""Bins for types without a count of each value, as in scikit-image."""


def otsu(img: Source, *, where: Any = None, **opening: Unpack[Opening]) -> xarray.DataArray:
    """Return Otsu's threshold of each channel: pixels above it are one class, all others the other; lazy.

    As in ``skimage.filters.threshold_otsu``: over each value of 8- and 16-bit integers, otherwise over 256 bins from
    the smallest value to the largest. Sums are in float64, while scikit-image uses float32. If ``img`` is a whole 8- or
    16-bit image in a store, no pixel is read.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    where : mask, optional
        Count only where it is true.
    **opening
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray of shape (c), or of no axes without c
        float64; the value itself where there is but one, NaN where there is none.

    Raises
    ------
    UsageError
        The mask does not fit.
    """
    return by_channel(img, where, "otsu", ("c",), {}, _of_counts, _of_pixels, **opening)


def of_counts(counts: Array, values: Array) -> float:
    """Return the threshold over ``values`` in rising order that occur ``counts`` times each."""
    (seen,) = np.nonzero(counts)
    if not seen.size:
        return float("nan")
    counts, values = counts[seen[0] : seen[-1] + 1].astype(np.float64), values[seen[0] : seen[-1] + 1]
    centers = values.astype(np.float64)
    if len(counts) == 1:
        return float(centers[0])
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    total = counts * centers
    mean_below, mean_above = np.cumsum(total) / below, np.cumsum(total[::-1])[::-1] / above
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centers[int(np.argmax(between))])


def _of_counts(counts: Array, values: Array) -> Array:
    if values.dtype.kind != "f":
        return np.array([of_counts(row, values) for row in counts])
    # Integers on a scale are real numbers, which scikit-image sorts into bins.
    found = [rebin(row[None], values, BINS, None) for row in counts]
    return np.array([of_bins(rows[0], edges) for rows, edges in found])


def of_bins(counts: Array, edges: Array) -> float:
    """Return the threshold over bins from the smallest value to the largest."""
    if np.count_nonzero(counts) == 1:  # all values are the same, and numpy put half a unit on either side
        return float((edges[0] + edges[-1]) / 2)
    return of_counts(counts, (edges[:-1] + edges[1:]) / 2)


def _of_pixels(img: xarray.DataArray, by: list[str], where: Any) -> Any:
    rows = []
    for channel in range(
        img.sizes["c"] if by else 1
    ):  # the bins of each go from its own smallest value to its largest
        # Not isel: what dask slices is no longer known to be a part of an opened image.
        one = crop(img, {"c": (channel, channel + 1)}) if by else img
        mask = where
        if by and hasattr(where, "isel") and "c" in where.dims:
            mask = crop(where, {"c": (channel, channel + 1)})
        counts, edges = counts_and_edges(counted(one, [], (BINS, None), mask), (BINS, None), one.dtype)
        rows.append(one_object(of_bins, counts, edges))
    return one_object(_row, *rows)


def _row(*thresholds: Array) -> Array:
    return np.array([threshold.item() for threshold in thresholds])


def sweep(
    img: Source, thresholds: Sequence[float], *, where: Any = None, **opening: Unpack[Opening]
) -> xarray.DataArray:
    """Return which share of each channel's pixels lies below each threshold; lazy, in one pass for all.

    If ``img`` is a whole 8- or 16-bit image in a store, no pixel is read. Below is ``<``. The result equals
    ``fraction(mask(img, below=t))``: NaN is below no threshold, and counts as a pixel. But values that the file
    declares as padding are left out, as in :func:`bigimg.stats`, while a mask treats them like other values.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    thresholds : sequence of float
        In any order.
    where : mask, optional
        Count only where it is true.
    **opening
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray of shape (c, threshold), or (threshold) without c
        float64; NaN where there is no pixel.

    Raises
    ------
    UsageError
        A threshold is not a number, or the mask does not fit.
    """
    asked = as_numbers("thresholds", thresholds, "one or more numbers in a list")
    if asked.ndim != 1 or not asked.size or np.isnan(asked).any():
        raise UsageError(f"thresholds={thresholds}: give one or more numbers in a list")
    of_counts, of_pixels = (partial(each, thresholds=asked) for each in (_shares, _shares_of_pixels))
    dims = ("c", "threshold")
    return by_channel(img, where, "below", dims, {"threshold": asked}, of_counts, of_pixels, **opening)


def _shares(counts: Array, values: Array, *, thresholds: Array) -> Array:
    chosen = values[None, :].astype(np.float64) < thresholds[:, None]
    below = np.stack([counts[:, row].sum(axis=1) for row in chosen], axis=1)
    return share(below, counts.sum(axis=1)[:, None])


def share(part: Array, whole: Array) -> Array:
    """Return ``part / whole``, NaN where both are 0."""
    with np.errstate(invalid="ignore"):
        found: Array = part / whole
    return found


def _shares_of_pixels(img: xarray.DataArray, by: list[str], where: Any, *, thresholds: Array) -> Any:
    from bigimg.ops.statistics.reducing import reduce_image

    make = partial(Binned, np.array([-np.inf, *np.unique(thresholds), np.inf]), None, img.dtype)
    tallies = reduce_image(img, by, make, where=where)
    return one_object(partial(_shares_of_tallies, thresholds=thresholds), tallies)


def _shares_of_tallies(tallies: Array, *, thresholds: Array) -> Array:
    rows, at = rows_of(tallies), np.searchsorted(np.unique(thresholds), thresholds)
    below = np.stack([np.cumsum(row.counts)[at] for row in rows])
    return share(below, np.array([[row.pixels] for row in rows]))
