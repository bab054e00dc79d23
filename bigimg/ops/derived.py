"""Lazy images made from other images region by region; each operation of this folder is built on it.

An operation says which region of its source a region of its result is made from, and makes it. The result is a node of
the lazy tree (:mod:`bigimg.lazy`) and a dask array over it. Building it takes the same time for any number of chunks,
the blocks suit the result, and for one block one region of the source is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry.axes import ORDER
from bigimg.geometry.holes import by_coordinate
from bigimg.geometry.spec import as_text
from bigimg.lazy.blocks import explicit, multiplied
from bigimg.lazy.derived import PIECE_BYTES, derived
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.leaves import LazyPixels, Plain
from bigimg.lazy.node import Node
from bigimg.lazy.node_of_array import linked, linked_node, node_of
from bigimg.lazy.operation import Operation
from bigimg.lazy.pointwise import Pixelwise, Pointwise
from bigimg.lazy.values import Value
from bigimg.opening.coordinates import axis_of, channels_of, step_of
from bigimg.opening.open import Memory, Source, native, refuse_options
from bigimg.opening.open import open as open_image
from bigimg.readers.arrays.array import check_dims
from bigimg.types import DType, Opening, Region, Shape


def image(
    img: Source, *, level: int = 0, memory: Memory = None, **opening: Unpack[Opening]
) -> xarray.DataArray:
    """Return ``img`` as a DataArray; of a pyramid the level ``level``. A DataArray may lack y or x, as a coronal plane.

    Raises
    ------
    UsageError
        A dim is not one of t c z y x or has no pixels, or there is no such level.
    """
    if not isinstance(img, xarray.DataArray):
        return open_image(img, level=level, memory=memory, **opening)
    refuse_options(opening)
    if level:
        raise UsageError(f"level {level} of an array: it has no levels; give the store or the pyramid")
    check_dims(img)
    return native(img.transpose(*sorted(map(str, img.dims), key=ORDER.index)))


def pixels_of(img: xarray.DataArray) -> Node | None:
    """Return a node that reads any region of ``img`` and no more; None if there is none."""
    node = Plain(img) if img.chunks is None else linked_node(img)
    return None if node is None or node.in_order else node


def source_block(img: xarray.DataArray) -> tuple[Shape, Shape]:
    """Return how many pixels of ``img`` a block of a result is made from, and how many are decoded at once."""
    node, most = node_of(img), PIECE_BYTES // img.dtype.itemsize
    sizes = tuple(map(max, img.chunks or ()))
    if sizes and isinstance(node, LazyPixels):
        most = min(most, math.prod(sizes))  # opening it found that memory has room for a block
    if isinstance(node, Foreign):
        return node.chunks, node.chunks  # a block is always computed whole
    chunk = tuple(map(min, sizes if node.order else node.chunks, img.shape))
    return multiplied(chunk, img.shape, space_axes(img), most), chunk


def space_axes(img: xarray.DataArray) -> list[int]:
    """Return the numbers of the axes z, y and x."""
    return [axis for axis, name in enumerate(img.dims) if name in ("z", "y", "x")]


def derive(
    img: xarray.DataArray, operation: Operation, block: Shape | tuple[Shape, ...], like: xarray.DataArray
) -> xarray.DataArray:
    """Return ``like`` with the lazy pixels of ``operation`` on ``img``.

    Parameters
    ----------
    img : DataArray
        The source.
    operation : Operation
    block : tuple of int, or of tuples
        Pixels of a dask block of the result, or for each axis those of each block.
    like : DataArray
        Dims, coordinates, name and attrs of the result, over any pixels.
    """
    from bigimg.lazy.dask_edge import as_dask

    regular = all(isinstance(n, int) for n in block)
    chunks: Any = explicit(block, operation.shape) if regular else block  # type: ignore[arg-type]
    dims, source_dims = list(map(str, like.dims)), list(map(str, img.dims))
    made = derived(node_of(img), operation, chunks, dims, source_dims, img.chunks or ())
    if made.order:
        chunks = explicit(made.piece, made.shape)
    elif made.pixels.order:  # one block, so that the source is read once and in order
        chunks = explicit(made.shape, made.shape)
    return linked(like.copy(deep=False, data=as_dask(made, chunks)), made)


def pixelwise(
    prefix: str, img: xarray.DataArray, function: Pixelwise, dtype: DType, *others: Node,
    values: Sequence[Value] = (),
) -> xarray.DataArray:  # fmt: skip
    """Return ``function`` of the pixels of ``img`` and ``others``, with the coordinates and attrs of ``img``; lazy."""
    from bigimg.lazy.dask_edge import as_dask

    node = Pointwise(prefix, (node_of(img), *others), function, dtype, values)
    data = as_dask(node, img.chunks or tuple((n,) for n in img.shape))
    return linked(img.copy(deep=False, data=data), node)


def placeholder(img: xarray.DataArray, dtype: DType | None = None) -> xarray.DataArray:
    """Return ``img`` with zeros that take no memory as its pixels, of ``dtype`` if it is given."""
    return img.copy(deep=False, data=np.broadcast_to(np.zeros((), dtype or img.dtype), img.shape))


def with_missing(img: xarray.DataArray, holes: Sequence[Region]) -> xarray.DataArray:
    """Return ``img``, and note in its attrs that ``holes`` are the boxes that its damaged source does not hold."""
    axes = [axis_of(img, str(name)) for name in img.dims]
    img.attrs["missing"] = as_text(by_coordinate(holes, axes, channels_of(img)))
    return img


def resampled(
    img: xarray.DataArray, changed: Mapping[str, tuple[int, float]], *, centred: bool = True
) -> xarray.DataArray:
    """Return ``img`` with other pixels along some axes, over zeros that take no memory.

    Parameters
    ----------
    changed : mapping
        From the name of an axis to the number of new pixels, and how many old ones each is long.
    centred : bool
        Coordinates are the middles of the new pixels; else the middles of the first old ones.
    """
    if not changed:
        return placeholder(img)  # a new DataArray takes 0.2 ms
    coords: dict[Any, Any] = {}
    for name, coord in img.coords.items():
        if name in changed:
            coords[name] = _resampled(coord, *changed[str(name)], centred=centred)
        elif not set(coord.dims) & set(changed):  # other coordinates along a changed axis no longer fit
            coords[name] = coord.variable
    shape = tuple(changed[str(name)][0] if name in changed else n for name, n in img.sizes.items())
    pixels = np.broadcast_to(np.zeros((), img.dtype), shape)
    return xarray.DataArray(pixels, coords, img.dims, img.name, img.attrs)


def _resampled(coord: xarray.DataArray, size: int, ratio: float, *, centred: bool) -> xarray.Variable:
    at, attrs, step = np.arange(size) * ratio, dict(coord.attrs), step_of(coord)
    if coord.dtype.kind not in "iuf":
        return xarray.Variable(coord.dims, coord.values[at.astype(int)], attrs)
    if "spacing" in attrs:
        attrs["spacing"] = step * ratio
    # The last pixel may reach beyond the image; its coordinate stays on the grid, as in levels of a store.
    first = np.interp(at, np.arange(coord.size), coord.values)
    return xarray.Variable(coord.dims, first + step * (ratio - 1) / 2 if centred else first, attrs)
