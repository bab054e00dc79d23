"""Fraction and area: how much of an image a mask covers, as a share and in physical units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import one_object, unboxed
from bigimg.opening.levels import is_pyramid, levels_of_tree
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.statistics.by_channel import rows_of
from bigimg.ops.statistics.stats import axes_kept, is_label_image, stats
from bigimg.ops.statistics.stored import kept_statistics
from bigimg.ops.statistics.tallies import Dense
from bigimg.ops.statistics.thresholds import share
from bigimg.types import Array, Opening


def fraction(
    mask: Source, *, by: str | Sequence[str] | None = "c", where: Any = None, **opening: Unpack[Opening]
) -> xarray.DataArray:
    """Return the share of true pixels, for each channel; lazy.

    If the mask is a whole store of booleans or 8 bits, no pixel is read. All pixels count. In a mask made of an image
    NaN is false (except after ``~``), and values that the file declares as padding count like others;
    :func:`bigimg.sweep` and :func:`bigimg.stats` leave padding out.

    Parameters
    ----------
    mask : DataArray, DataTree, Store or path
        Booleans, or what was saved as a mask. Of a pyramid, all levels: the result has an axis ``level``.
    by : str or sequence of str, optional
        Axes to keep; None takes all pixels together. Or a label image, as in :func:`bigimg.stats`: the share of
        each label id but 0 that is true, computed at once.
    where : mask, optional
        The pixels that count; all by default.
    **opening
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray of shape (c), (level, c) for a pyramid, (c, label) for labels
        float64 from 0 to 1; NaN where there is no pixel.

    Raises
    ------
    UsageError
        The image holds no true and false, an axis is not there, or ``where`` does not fit.
    """
    return covered(mask, by=by, where=where, **opening)["fraction"]


def area(
    mask: Source, *, by: str | Sequence[str] | None = "c", where: Any = None, **opening: Unpack[Opening]
) -> xarray.DataArray:
    """Return the area of true pixels (volume with z), for each channel; lazy.

    Pixels times the spacing along z, y and x; attrs ``units`` says in what. The parameters are those of
    :func:`fraction`. Of a label image alone it is the area of each label id but 0, computed at once.

    Raises
    ------
    UsageError
        As :func:`fraction`; or the pixels are not evenly spaced.
    """
    return covered(mask, "area", by=by, where=where, **opening)["area"]


def covered(
    mask: Source, what: str = "fraction", *, by: str | Sequence[str] | None = "c", where: Any = None,
    **opening: Unpack[Opening],
) -> xarray.Dataset:  # fmt: skip
    """Return :func:`fraction` and :func:`area`; computed together they take one pass.

    Parameters
    ----------
    mask, by, where, **opening :
        As in :func:`fraction`.
    what : str
        The beginning of messages; ``area`` may be that of a label image alone.
    """
    if is_pyramid(mask) and not is_label_image(by):
        rows = [_of_level(level, by, where, what, **opening) for level in levels_of_tree(mask)]
        # A label that is missing in a coarser level covers nothing there.
        found = xarray.concat(
            rows, "level", combine_attrs="drop_conflicts", coords="minimal", compat="override",
            join="outer", fill_value=0,
        )  # fmt: skip
        return found.assign_coords(level=range(len(rows)))
    return _of_level(mask, by, where, what, **opening)


def _of_level(mask: Any, by: Any, where: Any, what: str, **opening: Unpack[Opening]) -> xarray.Dataset:
    image = open_image(mask, **opening)
    stored_as = image.attrs.get("kind") if image.dtype.kind in "iu" else None
    if what == "area" and isinstance(by, str) and by == "c" and stored_as == "labels":
        return _of_labels(xarray.ones_like(image, dtype=bool), image, where)
    if image.dtype != bool and stored_as != "mask":
        numbers = image.dtype.kind in "iu" and image.attrs.get("kind") != "labels"
        ids = "; if the numbers are ids, say so with kind='labels'" if numbers else ""
        raise UsageError(f"{what}: {image.dtype} is not true and false; compare first, as in img < 125{ids}")
    if is_label_image(by):
        return _of_labels(image != 0 if image.dtype != bool else image, by, where)
    kept = None if where is not None or by != "c" else kept_statistics(mask, **opening)
    axes = axes_kept(image, by)
    if kept is not None and (counts := kept.counts) is not None:
        zero = int(np.flatnonzero(kept.values == 0)[0])
        total = counts.sum(axis=1)
        pairs: Any = np.stack([total - counts[:, zero], total], axis=-1)
        pairs = pairs if kept.has_c else pairs[0]
    else:
        pairs = _lazy(image, axes, where)
    scale, units = pixel_size(image)
    coords = {name: image.coords[name].variable for name in axes if name in image.coords}
    return xarray.Dataset(
        {"fraction": (axes, _shares(pairs)), "area": (axes, pairs[..., 0] * scale, {"units": units})}, coords
    )


def _of_labels(true: xarray.DataArray, labels: Any, where: Any) -> xarray.Dataset:
    """Return share and area of the true pixels of each label id but 0."""
    found = stats(true, by=labels, where=where)
    scale, units = pixel_size(true)
    area = (found["sum"] * scale).assign_attrs(units=units)
    return found[["mean"]].rename(mean="fraction").assign(area=area)


def _shares(pairs: Any) -> Any:
    if not isinstance(pairs, np.ndarray):
        return pairs.map_blocks(_shares, drop_axis=pairs.ndim - 1, meta=np.empty((0,) * (pairs.ndim - 1)))
    return share(pairs[..., 0], pairs[..., 1])


def _lazy(img: xarray.DataArray, by: list[str], where: Any) -> Any:
    """Return the number of true pixels and of all pixels, as a dask array (…, 2)."""
    from bigimg.ops.statistics.reducing import reduce_image

    tallies = reduce_image(img, by, _Trues, where=where)
    return unboxed(one_object(_pairs, tallies), (*tallies.shape, 2), "pixels", np.int64)


class _Trues(Dense):
    """Counts values that are 0, and all others."""

    def __init__(self) -> None:
        super().__init__(np.dtype(bool))

    def add(self, values: Array) -> None:
        """Count values."""
        super().add(values if values.dtype == bool else values != 0)


def _pairs(tallies: Array) -> Array:
    pairs = [(tally.counts[1], tally.counts.sum()) for tally in rows_of(tallies)]
    return np.array(pairs, np.int64).reshape(*np.shape(tallies), 2)


def pixel_size(img: xarray.DataArray) -> tuple[float, str]:
    """Return area or volume of a pixel, and its unit: ``micrometer^2``, or ``pixel^3`` if no unit is known."""
    from bigimg.opening.coordinates import spacing, units

    names = [name for name in ("z", "y", "x") if name in img.dims]
    found = [units(img, name) or "pixel" for name in names]
    text = f"{found[0]}^{len(found)}" if len(set(found)) == 1 else " ".join(found)
    return math.prod(abs(spacing(img, name)) for name in names), text if len(found) != 1 else found[0]
