"""Figures of each channel that follow from how often each value occurs: from a store's counts, or from the pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.lazy.dask_compute import one_object, unboxed
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.ops.statistics.tallies import Dense, dense_values
from bigimg.pyramid.partial import histogram_bins
from bigimg.types import Array, Opening

type OfCounts = Callable[[Array, Array], Array]
"""Gets counts (c, value) and the values; returns the figures. It can be pickled."""
type OfPixels = Callable[[xarray.DataArray, list[str], Any], Any]
"""Gets the image, the axes to keep and the mask; returns a dask array of no axes that holds the figures."""


def by_channel(
    img: Source, where: Any, name: str, dims: tuple[str, ...], coords: Mapping[str, Array],
    of_counts: OfCounts, of_pixels: OfPixels, *, together: bool = False,
    **opening: Unpack[Opening],
) -> xarray.DataArray:  # fmt: skip
    """Return figures with axes ``dims``, but without c if the image has no channels, or for all ``together``.

    Parameters
    ----------
    coords : mapping
        Coordinates of the axes other than c.
    of_counts, of_pixels : callable
        Make the figures from counts of each value, or from pixels of a type that has too many values.
    """
    kept = None if where is not None else kept_statistics(img, **opening)
    found: Any
    if kept is not None and (counts := kept.counts) is not None:
        has_c, names = kept.has_c and not together, kept.names
        found = of_counts(counts.sum(axis=0, keepdims=True) if together else counts, kept.values)
    else:
        from bigimg.ops.statistics.reducing import reduce_image

        image = open_image(img, **opening)
        has_c, names = "c" in image.dims and not together, names_of(image)
        by = ["c"] if has_c else []
        if histogram_bins(image.dtype):
            tallies = reduce_image(image, by, partial(Dense, image.dtype), where=where)
            box = one_object(partial(_of_dense, of_counts=of_counts), tallies)
        else:
            box = of_pixels(image, by, where)
        sizes = {dim: len(line) for dim, line in coords.items()} | {"c": image.sizes["c"] if has_c else 1}
        found = unboxed(box, tuple(sizes[dim] for dim in dims), name)
    if not has_c:
        found = found[tuple(0 if dim == "c" else slice(None) for dim in dims)]
    known: dict[str, Any] = {**coords, **({"c": names} if has_c and names else {})}
    return xarray.DataArray(found, known, [dim for dim in dims if dim != "c" or has_c], name)


def names_of(image: xarray.DataArray) -> list[Any]:
    """Return the names along c, empty if there are none."""
    return list(image.coords["c"].values) if "c" in image.dims and "c" in image.coords else []


def rows_of(tallies: Array) -> list[Any]:
    """Return the tallies of each channel."""
    return list(np.atleast_1d(np.asarray(tallies)).flat)


def _of_dense(tallies: Array, *, of_counts: OfCounts) -> Array:
    rows = rows_of(tallies)
    return of_counts(np.stack([row.counts for row in rows]), dense_values(rows[0].dtype))
