"""Any summary of pixels as a lazy reduction: blocks to values, values merged in a tree.

The blocks' values are Python objects in small object arrays, one an index along ``by``, so exact integers and
whole histograms pass through dask as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.opening import open as open_image
from bigimg.readers.labelled import opened_pixels
from bigimg.readers.lazy import scaled
from bigimg.types import Array


def reduce_blocks(
    img: xarray.DataArray,
    by: Sequence[str],
    where: Any,
    of_values: Callable[..., Any],
    merge: Callable[[list[Any]], Any],
    shared: Any = None,
) -> Any:
    """Return a dask array of objects over the axes ``by`` (in the order of the image's dims).

    Parameters
    ----------
    img : DataArray
    by : sequence of str
        Axes to keep.
    where : mask, optional
        See :func:`aligned_mask`.
    of_values : callable
        From a C-contiguous array of values, and ``shared`` when given, to an object.
    merge : callable
        From a list of objects to one.
    shared : dask array of one object, optional
        Passed to each call of ``of_values``, computed once.
    """
    data = img.data if img.chunks is not None else img.chunk().data
    keep = [i for i, name in enumerate(img.dims) if name in by]
    chunks = tuple(c if i in keep else (1,) * len(c) for i, c in enumerate(data.chunks))
    extra = []
    if where is not None:
        extra.append(aligned_mask(img, where, data.chunks))
    if shared is not None:
        extra.append(shared.reshape((1,) * data.ndim))
    objects = da.map_blocks(
        _of_block,
        data,
        *extra,
        of_values=of_values,
        keep=keep,
        masked=where is not None,
        padding=_padding(img),
        chunks=chunks,
        dtype=object,
        meta=np.empty((0,) * data.ndim, object),
    )
    others = tuple(i for i in range(data.ndim) if i not in keep)
    if not others:
        return objects
    return da.reduction(
        objects,
        chunk=_Merge(merge),
        aggregate=_Merge(merge),
        axis=others,
        dtype=object,
        meta=np.empty((0,) * len(keep), object),
    )


def aligned_mask(img: xarray.DataArray, where: Any, chunks: Any) -> Any:
    """Return ``where`` as a dask array with the axes of ``img``, of size 1 along those it has not.

    Parameters
    ----------
    where : DataArray, path, ndarray or dask array of booleans
        A bare array has the shape of the image, or of its axes of space.

    Raises
    ------
    UsageError
        It is not boolean, or has other axes, sizes or coordinates than the image.
    """
    space = [name for name in img.dims if name in ("z", "y", "x")]
    if not isinstance(where, xarray.DataArray) and hasattr(where, "shape"):
        names = img.dims if where.ndim == img.ndim else space
        if where.ndim != len(names):
            raise UsageError(f"where has shape {where.shape}, the image {img.shape}: give one value a pixel")
        mask = xarray.DataArray(where, dims=names)
    else:
        mask = where if isinstance(where, xarray.DataArray) else open_image(where)
    if mask.dtype != bool:
        raise UsageError(f"where holds {mask.dtype}, not true and false: compare first, as in labels == 3")
    for name in mask.dims:
        if name not in img.dims or mask.sizes[name] != img.sizes[name]:
            raise UsageError(
                f"where is {dict(mask.sizes)}, the image {dict(img.sizes)}: give one value a pixel"
            )
        if (
            name in mask.coords
            and name in img.coords
            and not _same_place(mask.coords[name], img.coords[name])
        ):
            raise UsageError(f"where lies elsewhere than the image along {name}: their coordinates differ")
    mask = mask.transpose(*(name for name in img.dims if name in mask.dims))
    data = mask.data if mask.chunks is not None else da.from_array(mask.values)
    shape = tuple(img.sizes[name] if name in mask.dims else 1 for name in img.dims)
    lengths = tuple(c if name in mask.dims else (1,) for name, c in zip(img.dims, chunks, strict=True))
    index = tuple(slice(None) if name in mask.dims else None for name in img.dims)
    assert data[index].shape == shape
    return data[index].rechunk(lengths)


def _same_place(a: xarray.DataArray, b: xarray.DataArray) -> bool:
    if a.dtype.kind not in "iuf" or b.dtype.kind not in "iuf":
        return bool((a.values == b.values).all())
    step = np.abs(np.diff(b.values)).min() if b.size > 1 else 1.0
    return bool(np.abs(a.values - b.values).max() <= 1e-3 * step)


def _of_block(
    block: Array,
    *extra: Array,
    of_values: Callable[..., Any],
    keep: list[int],
    masked: bool,
    padding: tuple[Any, Any] | None,
) -> Array:
    """Return an array of objects, one an index along the axes ``keep``."""
    mask, shared = (extra[0] if masked else None), extra[1 if masked else 0 :]
    rest = [item.flat[0] for item in shared]
    out = np.empty(tuple(n if i in keep else 1 for i, n in enumerate(block.shape)), object)
    for index in np.ndindex(out.shape):
        cut = tuple(slice(i, i + 1) if axis in keep else slice(None) for axis, i in enumerate(index))
        values = block[cut]
        if mask is None:
            chosen = np.ascontiguousarray(values)
        else:
            short = tuple(s if mask.shape[axis] > 1 else slice(None) for axis, s in enumerate(cut))
            chosen = values[np.broadcast_to(mask[short], values.shape)]
        if padding is not None:
            chosen = chosen[(chosen < padding[0]) | (chosen > padding[1])]
        out[index] = of_values(chosen, *rest)
    return out


def _padding(img: xarray.DataArray) -> tuple[Any, Any] | None:
    """Return the values that are no measurement, of an image that is the whole of what was opened.

    Of anything else, values may have been changed, and what was padding may be none.
    """
    pixels = opened_pixels(img)
    if pixels is None or (padding := pixels.reader.spec.padding) is None:
        return None
    if pixels.scaling is None:
        return padding
    ends = sorted(scaled(np.array(padding), pixels.scaling, img.dtype).tolist())
    return ends[0], ends[1]


class _Merge:
    """Merges an object array along some axes, as dask's reductions call it."""

    def __init__(self, merge: Callable[[list[Any]], Any]) -> None:
        self.merge = merge

    def __call__(self, objects: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        kept = tuple(n for i, n in enumerate(objects.shape) if i not in axis)
        rows = np.moveaxis(objects, axis, range(len(kept), objects.ndim)).reshape(*kept, -1)
        out = np.empty(kept, object)
        for index in np.ndindex(kept):
            out[index] = self.merge(list(rows[index]))
        return np.expand_dims(out, axis) if keepdims else out
