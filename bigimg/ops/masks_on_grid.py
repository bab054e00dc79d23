"""A mask or label image brought onto the grid of an image.

One rule holds for a mask of another level or resolution. A pixel of the image gets the value of the mask pixel whose
centre is nearest, in physical coordinates; if two are equally near, the one with the lower index. The fields of view
must agree to less than one pixel of the coarser image. Levels of a pyramid always do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.node_of_array import node_of
from bigimg.opening.coordinates import edges, origin, spacing
from bigimg.opening.open import open as open_image
from bigimg.types import Array

TOLERANCE = 1e-3
"""Coordinates that differ by less are the same, in pixels."""


def mask_on(img: xarray.DataArray, where: Any, name: str = "where") -> OnGrid:
    """Return the mask ``where`` on the grid of ``img``.

    Parameters
    ----------
    where : DataArray, path, ndarray or dask array of booleans
        A bare array has the shape of the image, or of its axes of space.

    Raises
    ------
    UsageError
        It is not boolean, or has other axes, sizes or a field of view than the image.
    """
    mask = _with_dims(img, where, name)
    stored = mask.attrs.get("kind") == "mask" and mask.dtype.kind in "ui"
    if mask.dtype != bool and not stored:
        raise UsageError(
            f"{name} holds {mask.dtype}, not true and false: make a mask of it, by labels == 3 or bigimg mask"
        )
    return _on_grid(img, mask, name, as_bool=stored)


def labels_on(img: xarray.DataArray, labels: Any, name: str = "by") -> OnGrid:
    """Return the label image ``labels`` on the grid of ``img``; ids are integers.

    Raises
    ------
    UsageError
        It holds no integers, or has other axes, sizes or a field of view than the image.
    """
    found = _with_dims(img, labels, name)
    if found.dtype.kind not in "ui":
        raise UsageError(f"{name} holds {found.dtype}, not ids: give integers, 0 for the background")
    return _on_grid(img, found, name, as_bool=False)


def _with_dims(img: xarray.DataArray, mask: Any, name: str) -> xarray.DataArray:
    """Return ``mask`` as a DataArray; the axes of a bare array follow from its shape."""
    if isinstance(mask, xarray.DataArray):
        return mask
    if not hasattr(mask, "shape"):
        return open_image(mask)
    plain = tuple(axis for axis in img.dims if axis != "c")
    space = tuple(axis for axis in plain if axis != "t")
    for names in (img.dims, plain, space, (*plain, "c")):  # colours last, as in numpy
        if set(names) <= set(img.dims) and tuple(img.sizes[axis] for axis in names) == mask.shape:
            return xarray.DataArray(mask, dims=names)
    raise UsageError(f"{name} has shape {mask.shape}, the image {img.shape}: give one value a pixel")


def _on_grid(img: xarray.DataArray, mask: xarray.DataArray, name: str, *, as_bool: bool) -> OnGrid:
    for axis in mask.dims:
        if axis not in img.dims:
            raise UsageError(
                f"{name} has the axis {axis}, the image has {' '.join(map(str, img.dims))}: give one value a pixel"
            )
    mask = mask.transpose(*(axis for axis in img.dims if axis in mask.dims))
    axes = tuple(mask.dims.index(axis) if axis in mask.dims else None for axis in img.dims)
    index = tuple(_positions(img, mask, str(axis), name) if axis in mask.dims else None for axis in img.dims)
    return OnGrid(node_of(mask), img.shape, axes, index, as_bool=as_bool)


def _positions(img: xarray.DataArray, mask: xarray.DataArray, axis: str, name: str) -> Array | None:
    """Return for each pixel of ``img`` along ``axis`` the pixel of ``mask``; None if both have the same pixels."""
    sizes = mask.sizes[axis], img.sizes[axis]
    ours, theirs = _coordinate(img, axis), _coordinate(mask, axis)
    if ours is None or theirs is None or not (ours.dtype.kind in "iuf" and theirs.dtype.kind in "iuf"):
        if sizes[0] != sizes[1]:
            raise UsageError(
                f"{name} is {sizes[0]} along {axis}, the image {sizes[1]}: give one value a pixel"
            )
        if ours is not None and theirs is not None and not bool((ours.values == theirs.values).all()):
            raise UsageError(f"{name} lies elsewhere than the image along {axis}: their coordinates differ")
        return None
    if sizes[0] == sizes[1] and _are_same(ours.values, theirs.values):
        return None
    step, fine = spacing(mask, axis), spacing(img, axis)
    start, stop = edges(mask, axis)
    low, high = edges(img, axis)
    slack = (1 - TOLERANCE) * max(abs(step), abs(fine))
    if abs(start - low) >= slack or abs(stop - high) >= slack:
        raise UsageError(
            f"{name} lies elsewhere than the image along {axis}: it is {sizes[0]} pixels from {start:g} to "
            f"{stop:g}, the image {sizes[1]} from {low:g} to {high:g}: give one value a pixel, or a level of the same"
        )
    at = (ours.values.astype(np.float64) - origin(mask, axis)) / step
    # Centres of levels lie on exact halves. These are rounded down, also if a rounding error makes them larger.
    nearest = np.ceil(at - 0.5 - 1e-9).astype(np.int64)
    found: Array = np.clip(nearest, 0, sizes[0] - 1)
    return found


def _coordinate(img: xarray.DataArray, axis: str) -> xarray.DataArray | None:
    # coords.get would make up a coordinate for an axis that has none.
    return dict(img.coords).get(axis)


def _are_same(a: Array, b: Array) -> bool:
    step = np.abs(np.diff(a)).min() if a.size > 1 else 1.0
    return not a.size or bool(np.abs(a - b).max() <= TOLERANCE * step)
