"""How often values occur, as ``numpy.histogram`` counts them, in one pass and for each channel.

Pixels of 8 and 16 bits are counted once into one bin for each value; any bins and range follow exactly from these. If
a store keeps such counts, no pixel is read. Other types without a range are read twice, first for their ends.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import one_object, unboxed
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.arguments import as_numbers, as_pair
from bigimg.ops.statistics.by_channel import names_of, rows_of
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.ops.statistics.tallies import Binned, Both, Dense, Extremes, dense_values, number_type, rebin
from bigimg.pyramid.partial import histogram_bins
from bigimg.types import Array, DType, Opening

type Bins = int | Sequence[float]
type Ends = tuple[float, float] | None


def histogram(
    img: Source, *, bins: Bins = 50, range: Ends = None, where: Any = None, **opening: Unpack[Opening]
) -> xarray.DataArray:
    """Return how many pixels of each channel lie in each bin; lazy.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    bins : int or sequence of float
        How many of equal width, or their edges. The last bin holds its right edge too.
    range : (float, float), optional
        The outer edges; smallest and largest value of all channels by default.
    where : mask, optional
        Count only where it is true: booleans on the same grid, with or without the axis c.
    **opening
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray of shape (c, bin), or (bin) without c
        Counts, int64, with the coordinates ``bin_left`` and ``bin_right``.

    Raises
    ------
    UsageError
        Bins or range mean nothing, or the mask does not fit.
    """
    asked = checked_bins(bins, range)
    kept = None if where is not None else kept_statistics(img, **opening)
    if kept is not None and (counts := kept.counts) is not None:
        shape = counts.shape[:1] if kept.has_c else ()
        return _labelled(*rebin(counts, kept.values, *asked), kept.names, shape)
    image = open_image(img, **opening)
    names = list(map(str, names_of(image)))
    by = ["c"] if "c" in image.dims else []
    counts, edges = counts_and_edges(counted(image, by, asked, where), asked, image.dtype)
    return _labelled(counts if by else counts[None], edges, names, (image.sizes["c"],) if by else ())


def checked_bins(bins: Bins, ends: Ends) -> tuple[Any, Ends]:
    """Return ``bins`` and ``ends``, checked.

    Raises
    ------
    UsageError
        They are no bins, or no range.
    """
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise UsageError(f"bins={bins}: give at least 1")
    else:
        edges = as_numbers("bins", bins, remedy := "how many, or edges that grow, at least two")
        if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) >= 0):
            raise UsageError(f"bins={bins!r}: give {remedy}")
    if ends is not None:
        ends = as_pair("range", ends)
    return bins if isinstance(bins, int | np.integer) else np.asarray(bins), ends


def counted(img: xarray.DataArray, by: Sequence[str], asked: tuple[Any, Ends], where: Any) -> Any:
    """Return a dask array of tallies over ``by`` for the histogram."""
    from bigimg.ops.statistics.reducing import reduce_image

    if histogram_bins(img.dtype):
        return reduce_image(img, by, partial(Dense, img.dtype), where=where)
    if asked[1] is not None or np.ndim(asked[0]):
        return reduce_image(img, by, partial(Binned, *asked, img.dtype), where=where)
    ends = reduce_image(img, [], Extremes, where=where)
    return reduce_image(img, by, partial(_binned_between, asked[0], img.dtype), where=where, shared=ends)


def _binned_between(bins: int, dtype: DType, found: Extremes) -> Binned:
    """Return a tally of bins between the smallest and the largest value."""
    return Binned(bins, found.ends, dtype)


def counts_and_edges(tallies: Any, asked: tuple[Any, Ends], dtype: DType) -> tuple[Any, Any]:
    """Return counts (…, bin) and edges as dask arrays, from a dask array of tallies."""
    count = int(asked[0]) if np.ndim(asked[0]) == 0 else len(asked[0]) - 1
    edge_type = np.histogram_bin_edges(np.empty(0, number_type(dtype)), *asked).dtype
    box = one_object(partial(_finished, asked=asked), tallies)
    counts = unboxed(box, (*tallies.shape, count), "histogram", np.int64, operator.itemgetter(0))
    return counts, unboxed(box, (count + 1,), "edges", edge_type, operator.itemgetter(1))


def _finished(tallies: Array, *, asked: tuple[Any, Ends]) -> tuple[Array, Array]:
    """Return counts (…, bin) and edges."""
    shape, found = np.shape(tallies), rows_of(tallies)
    if isinstance(found[0], Dense):
        counts, edges = rebin(np.stack([t.counts for t in found]), dense_values(found[0].dtype), *asked)
    else:
        binned: list[Any] = [t.second if isinstance(t, Both) else t for t in found]
        counts, edges = np.stack([t.counts for t in binned]), binned[0].edges
    return counts.reshape(*shape, -1), edges


def _labelled(counts: Any, edges: Any, names: list[str], shape: tuple[int, ...]) -> xarray.DataArray:
    coords: dict[str, Any] = {"bin_left": ("bin", edges[:-1]), "bin_right": ("bin", edges[1:])}
    if not shape:
        return xarray.DataArray(counts[0], coords, ("bin",), "histogram")
    if names:
        coords["c"] = names
    return xarray.DataArray(counts, coords, ("c", "bin"), "histogram")
