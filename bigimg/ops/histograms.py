"""How often values occur, as ``numpy.histogram`` counts them, block by block and for each channel.

Pixels of 8 and 16 bits are counted once into one bin a value, from which any bins and range follow exactly;
a store that keeps such counts is not read at all. For floats without a range the image is read twice, first
for its ends: the second reading waits for the first, or dask would hold all blocks in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening import Source
from bigimg.opening import open as open_image
from bigimg.ops.stats import stored_statistics
from bigimg.pyramid.partial import first_value, histogram_bins, of_channel
from bigimg.readers.lazy import real_dtype, scaled
from bigimg.types import Array, DType

if TYPE_CHECKING:
    import xarray

type Bins = int | Sequence[float]
type Ends = tuple[float, float] | None


def histogram(img: Source, *, bins: Bins = 50, range: Ends = None, where: Any = None) -> xarray.DataArray:
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

    Returns
    -------
    DataArray of shape (c, bin), or (bin) without c
        Counts, int64, with the coordinates ``bin_left`` and ``bin_right``.

    Raises
    ------
    UsageError
        Bins or range mean nothing, or the mask does not fit.
    """
    asked = _checked(bins, range)
    if where is None and (found := stored_statistics(img)) is not None and found[1].histogram is not None:
        store, kept, scaling = found
        counts, spec = np.asarray(found[1].histogram), store.spec(0)
        values: Array = (kept.first + np.arange(counts.shape[1])).astype(_number_type(spec.dtype))
        if scaling is not None:
            values = scaled(values, scaling, real_dtype(spec))
        names = [channel.name for channel in store.channels]
        shape = spec.shape[spec.axis("c") : spec.axis("c") + 1] if "c" in spec.dims else ()
        return _labelled(*_rebin(counts, values, asked), names, shape)
    image = open_image(img)
    names = (
        [str(name) for name in image.coords["c"].values] if "c" in image.coords and "c" in image.dims else []
    )
    shape = (image.sizes["c"],) if "c" in image.dims else ()
    return _labelled(*_lazy(image, asked, where), names, shape)


def _checked(bins: Bins, ends: Ends) -> tuple[Any, Ends]:
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise UsageError(f"bins={bins}: give at least 1")
    elif len(bins) < 2 or np.any(np.diff(np.asarray(bins)) < 0):
        raise UsageError("bins are edges that grow, at least two; or give how many")
    if ends is not None and not (np.isfinite(ends).all() and ends[0] <= ends[1]):
        raise UsageError(f"range={ends}: give two numbers, the smaller first")
    return bins if isinstance(bins, int | np.integer) else np.asarray(bins), ends


def _number_type(dtype: Any) -> Any:
    """Return uint8 for booleans, which numpy counts with a warning, else ``dtype``."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def _lazy(img: xarray.DataArray, asked: tuple[Any, Ends], where: Any) -> tuple[Any, Any]:
    """Return counts (c, bin) and edges as dask arrays."""
    import dask.array as da

    from bigimg.ops.reducing import reduce_blocks

    by = [name for name in img.dims if name == "c"]
    if histogram_bins(img.dtype):
        parts, ends = reduce_blocks(img, by, where, _Dense(), sum), None
        values = (first_value(img.dtype) + np.arange(histogram_bins(img.dtype))).astype(
            _number_type(img.dtype)
        )
        finish: Any = _FromDense(values, asked)
    else:
        ends, waiting = None, img
        if asked[1] is None and np.ndim(asked[0]) == 0:
            from dask.graph_manipulation import bind

            ends = reduce_blocks(img, [], where, _Ends(), _merge_ends)
            chunked = img if img.chunks is not None else img.chunk()
            waiting = chunked.copy(data=bind(chunked.data, ends))
        parts = reduce_blocks(waiting, by, where, _Counts(asked), sum, shared=ends)
        finish = _WithEdges(asked, img.dtype)
    rows = parts.rechunk(-1) if by else parts[None]
    extra = [] if ends is None else [ends[None]]
    both = da.map_blocks(finish, rows, *extra, chunks=((1,),), dtype=object, meta=np.empty(0, object))
    count = asked[0] if np.ndim(asked[0]) == 0 else len(asked[0]) - 1
    channels = img.sizes["c"] if by else 1
    edge_type = np.histogram_bin_edges(np.empty(0, _number_type(img.dtype)), asked[0], asked[1]).dtype
    counts = da.map_blocks(
        _item, both, 0, new_axis=1, chunks=((channels,), (count,)), meta=np.empty((0, 0), np.int64)
    )
    return counts, da.map_blocks(_item, both, 1, chunks=((count + 1,),), meta=np.empty(0, edge_type))


def _labelled(counts: Any, edges: Any, names: list[str], shape: tuple[int, ...]) -> xarray.DataArray:
    from xarray import DataArray

    coords: dict[str, Any] = {"bin_left": ("bin", edges[:-1]), "bin_right": ("bin", edges[1:])}
    if not shape:
        return DataArray(counts[0], coords, ("bin",), "histogram")
    if names:
        coords["c"] = names
    return DataArray(counts, coords, ("c", "bin"), "histogram")


class _Dense:
    """Counts every possible value."""

    def __call__(self, values: Array) -> Array:
        if not values.size:
            return np.zeros(histogram_bins(values.dtype), np.int64)
        counts = of_channel(values).histogram
        assert counts is not None  # histogram_bins said so
        return counts


class _Ends:
    """Finds the smallest and largest number."""

    def __call__(self, values: Array) -> tuple[Any, Any] | None:
        values = _numbers(values)
        return (values.min(), values.max()) if values.size else None


def _merge_ends(found: list[tuple[Any, Any] | None]) -> tuple[Any, Any] | None:
    ends = [pair for pair in found if pair is not None]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


class _Counts:
    """Counts into bins whose range is known, or comes along."""

    def __init__(self, asked: tuple[Any, Ends]) -> None:
        self.asked = asked

    def __call__(self, values: Array, ends: Any = None) -> Array:
        bins, given = self.asked
        return np.histogram(_numbers(values), bins, _range(given, ends))[0]


def _range(given: Ends, ends: Any) -> Any:
    found = given if given is not None else ends
    if found is not None and not np.isfinite(found).all():
        raise UsageError(f"values reach from {found[0]} to {found[1]}: give a range= for the histogram")
    return found


def _numbers(values: Array) -> Array:
    return values[~np.isnan(values)] if values.dtype.kind == "f" else values.reshape(-1)


class _FromDense:
    """Makes counts and edges from how often each value occurs."""

    def __init__(self, values: Array, asked: tuple[Any, Ends]) -> None:
        self.values = values
        self.asked = asked

    def __call__(self, rows: Array) -> Array:
        return _boxed(*_rebin(np.stack(list(rows)), self.values, self.asked))


class _WithEdges:
    """Adds the edges to counts."""

    def __init__(self, asked: tuple[Any, Ends], dtype: DType) -> None:
        self.asked = asked
        self.dtype = dtype

    def __call__(self, rows: Array, ends: Array | None = None) -> Array:
        limits = _range(self.asked[1], None if ends is None else ends[0])
        return _boxed(
            np.stack(list(rows)), np.histogram_bin_edges(np.empty(0, self.dtype), self.asked[0], limits)
        )


def _boxed(counts: Array, edges: Array) -> Array:
    """Return an array of one object, a pair."""
    box = np.empty(1, object)
    box[0] = (counts, edges)
    return box


def _item(box: Array, number: int) -> Array:
    item: Array = box[0][number]
    return item


def _rebin(counts: Array, values: Array, asked: tuple[Any, Ends]) -> tuple[Array, Array]:
    """Return counts (c, bin) and edges from counts (c, value) of ``values``."""
    bins, ends = asked
    seen = values[counts.any(axis=0)]
    if ends is None and seen.size:
        ends = (seen.min(), seen.max())
    edges = np.histogram_bin_edges(seen, bins, ends)
    rows = [np.histogram(values, bins, ends, weights=row)[0] for row in counts.astype(np.int64)]
    return np.stack(rows).astype(np.int64), edges
