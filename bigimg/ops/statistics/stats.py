"""Count, min, max, mean, std and sum of the pixels: exact, in one pass, and from the store where it knows them.

Sums of integers are Python integers, so nothing overflows, and nothing is rounded before the last division. For floats
each piece keeps its mean and the deviations from it; NaN is counted and left out.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry.padding import of_json
from bigimg.lazy.node_of_array import padding_of
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.statistics.histograms import Bins, Ends, checked_bins, counts_and_edges
from bigimg.ops.statistics.stored import Known, kept_statistics
from bigimg.ops.statistics.tallies import Binned, Both, Dense, Sums, kinds, rebin, summary_of
from bigimg.places.address import is_fetched
from bigimg.pyramid.partial import histogram_bins
from bigimg.types import DType, Opening

DENSE_BYTES = 2 << 20
"""Memory of the dense histograms of a task, half a megabyte each for 16 bits; for more results sums are kept."""


def stats(
    img: Source,
    *,
    by: str | Sequence[str] | Any = "c",
    where: Any = None,
    bins: Bins | None = None,
    range: Ends = None,
    **opening: Unpack[Opening],
) -> xarray.Dataset:
    """Return ``count min max mean std sum`` of the pixels, for each channel, in one pass; lazy.

    If ``img`` is a path, Store, pyramid or opened level 0 and its store keeps statistics, no pixel is read. Images of
    floats also have ``nan``, the number of NaN, which are left out of the other figures. Images of integers also have
    ``saturated``, how many values are the largest of their type. Values that the file declares as padding are left out.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    by : str or sequence of str, optional
        Axes to keep, as ``"t"`` or ``("c", "z")``; None takes all pixels together. Or a label image (DataArray,
        array or path of integers): statistics of each label id but 0 and each channel. The ids are known only
        after the labels were read, so this is computed at once.
    where : mask, optional
        Count only where it is true: booleans with or without the axis c, of this or another level. Chunks of
        the image in which it is nowhere true are not read.
    bins : int or sequence of float, optional
        Count a histogram in the same pass: variable ``histogram``, with ``bin_left`` and ``bin_right``.
    range : (float, float), optional
        Outer edges of the histogram; needed for types of more than 16 bits.
    **opening
        As in :func:`bigimg.open`.

    Returns
    -------
    Dataset
        std has ddof 0. The sum of integers is exact: uint64 or int64, and Python integers where pixels times
        the largest value of the type exceed these (4 billion of 32 bits). If no pixel is selected, count and sum
        are 0 and the others NaN; so with ``where`` or labels min and max are float64, else of the image's type.

    Raises
    ------
    UsageError
        An axis is not there, the mask does not fit, or bins mean nothing.
    """
    asked = None if bins is None else checked_bins(bins, range)
    if where is None and (by == "c" if isinstance(by, str) else by is None):
        kept = kept_statistics(img, **opening)
        found = None if kept is None else _stored(kept, asked, together=by is None)
        if found is not None:
            return found
    image = open_image(img, **opening)
    if not is_label_image(by):
        return _lazy(image, axes_kept(image, by), where, asked)
    if asked is not None:
        raise UsageError("bins with labels in by: ask for the histogram of one, as in where=labels == 3")
    return _of_labels(image, by, where)


def is_label_image(by: Any) -> bool:
    """Return whether ``by`` is an image rather than names of axes."""
    if by is None or (isinstance(by, list | tuple) and all(isinstance(name, str) for name in by)):
        return False
    return not isinstance(by, str) or os.path.exists(by) or is_fetched(by)


def axes_kept(img: xarray.DataArray, by: str | Sequence[str] | None) -> list[str]:
    """Return the axes that ``by`` names, in the order of the image; no c where there is none.

    Raises
    ------
    UsageError
        One of them is not there.
    """
    if by is None or (by == "c" and "c" not in img.dims):
        return []
    wanted = [by] if isinstance(by, str) else list(by)
    if unknown := [name for name in wanted if name not in img.dims]:
        raise UsageError(f"by={unknown[0]!r}: the axes are {' '.join(map(str, img.dims))}")
    return [str(name) for name in img.dims if name in wanted]


# -------------------------------------------------------------------------------------------------- from the store


def _stored(kept: Known, asked: tuple[Any, Ends] | None, *, together: bool) -> xarray.Dataset | None:
    """Return the statistics that the store keeps, in the form of computed ones; None if some are not known."""
    dtype, counts = kept.dtype, kept.counts
    rows = kept.summaries(together=together)
    if asked is not None and counts is None:
        return None
    if dtype.kind in "iu" and any(row.saturated is None for row in rows):
        return None
    along = kept.has_c and not together
    shape = kept.spec.shape
    pixels = math.prod(shape) // (shape[kept.spec.axis("c")] if along else 1)
    found = None
    if asked is not None and counts is not None:
        histogram, edges = rebin(
            counts.sum(axis=0, keepdims=True) if together else counts, kept.values, *asked
        )
        found = histogram if along else histogram[0], edges
    left_out = {"padding", "missing"} & set(kept.statistics.statistics)
    return _dataset(
        np.array(rows, object).reshape(-1 if along else ()), ["c"] if along else [],
        kinds(dtype, np.dtype(np.float64) if left_out else dtype, pixels),
        {"c": kept.names} if along and kept.names else {}, of_json(kept.statistics.statistics.get("padding")), found,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- computed


def _lazy(img: xarray.DataArray, by: list[str], where: Any, asked: tuple[Any, Ends] | None) -> xarray.Dataset:
    from bigimg.ops.statistics.reducing import reduce_image

    rows = math.prod(img.sizes[name] for name in by)
    tallies = reduce_image(img, by, tally_of(img.dtype, rows, asked), where=where)
    padding = padding_of(img)
    some = where is not None or padding is not None or "missing" in img.attrs  # NaN where nothing is counted
    value = np.dtype(np.float64) if some else img.dtype
    return _dataset(
        _each(tallies, summary_of), by, kinds(img.dtype, value, img.size // rows), _coords(img, by), padding,
        None if asked is None else counts_and_edges(tallies, asked, img.dtype),
    )  # fmt: skip


def _of_labels(img: xarray.DataArray, labels: Any, where: Any) -> xarray.Dataset:
    """Return the statistics of each label id but 0, for each channel, computed.

    Ids keep the type of the label image. Memory grows with the number of labels, not of pixels.
    """
    from bigimg.ops.masks_on_grid import labels_on
    from bigimg.ops.statistics.reducing import count_labels

    along = ["c"] if "c" in img.dims else []
    grid = labels_on(img, labels)
    found = count_labels(img, along, partial(Sums, img.dtype), grid, where=where)
    ids = {number: i for i, number in enumerate(sorted({key[-1] for key in found}))}
    shape = (*(img.sizes[name] for name in along), len(ids))
    rows = np.full(shape, summary_of(Sums(img.dtype)), object)
    for key, tally in found.items():
        rows[(*key[:-1], ids[key[-1]])] = summary_of(tally)
    of = kinds(img.dtype, np.dtype(np.float64), img.size // math.prod(shape[:-1]))
    coords = _coords(img, along) | {"label": np.array(list(ids), grid.dtype)}
    return _dataset(rows, [*along, "label"], of, coords, None)


def _coords(img: xarray.DataArray, names: Sequence[str]) -> dict[str, Any]:
    return {name: img.coords[name].variable for name in names if name in img.coords}


def _dataset(
    rows: Any, dims: Sequence[str], of: Mapping[str, DType], coords: Mapping[str, Any],
    padding: Sequence[Any] | None, histogram: tuple[Any, Any] | None = None,
) -> xarray.Dataset:  # fmt: skip
    """Return the statistics called ``of`` in ``rows`` of them along ``dims``, an array or a dask array."""
    variables = {name: (dims, _each(rows, operator.attrgetter(name), kind)) for name, kind in of.items()}
    coords = dict(coords)
    if histogram is not None:
        counts, edges = histogram
        variables["histogram"] = ([*dims, "bin"], counts)
        coords |= {"bin_left": ("bin", edges[:-1]), "bin_right": ("bin", edges[1:])}
    return xarray.Dataset(variables, coords, {} if padding is None else {"padding": list(padding)})


def tally_of(dtype: DType, rows: int, asked: tuple[Any, Ends] | None = None) -> Any:
    """Return the function that makes a tally for statistics, of ``rows`` results, with a histogram if ``asked``.

    Raises
    ------
    UsageError
        A histogram needs the range of the values.
    """
    bins = histogram_bins(dtype)
    if bins and (8 * bins * rows <= DENSE_BYTES or asked is not None):
        return partial(Dense, dtype)
    if asked is None:
        return partial(Sums, dtype)
    if asked[1] is None and np.ndim(asked[0]) == 0:
        raise UsageError(f"bins={asked[0]} of {dtype} in one pass: give range=(low, high), or call histogram")
    return partial(Both, partial(Sums, dtype), partial(Binned, *asked, dtype))


def _each(rows: Any, function: Callable[[Any], Any], kind: DType | type = object) -> Any:
    """Return ``function`` of each item of an array or a dask array."""
    if not isinstance(rows, np.ndarray):
        meta = np.empty((0,) * rows.ndim, kind)
        return rows.map_blocks(_each, function=function, kind=kind, dtype=kind, meta=meta)
    out = np.empty(rows.shape, kind)
    for index in np.ndindex(rows.shape):
        out[index] = function(rows[index])
    return out
