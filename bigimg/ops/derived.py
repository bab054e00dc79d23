"""Images made from others region by region, lazily: what every operation that changes shape or grid is built on.

An operation says which region of its source a region of its result is made of, and makes it. The result is a node of
the lazy tree (:mod:`bigimg.lazy`) and a dask array over it: building it costs the same for any number of chunks, the
blocks suit the result, and one block holds one region of the source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import ORDER
from bigimg.lazy.blocks import explicit
from bigimg.lazy.derived import PIECE_BYTES, Crossing, derived
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.leaves import LazyPixels, Plain
from bigimg.lazy.link import linked, linked_node, node_of
from bigimg.lazy.node import Node
from bigimg.lazy.operation import Operation
from bigimg.lazy.pointwise import Pixelwise, Pointwise
from bigimg.lazy.values import Value
from bigimg.opening.open import Memory, Source, native
from bigimg.opening.open import open as open_image
from bigimg.types import DType, Shape

if TYPE_CHECKING:
    import xarray


def image(
    img: Source, *, level: int = 0, memory: Memory = None, series: int | str | None = None
) -> xarray.DataArray:
    """Return ``img`` as a labelled array; one that is labelled may lack y or x, as a coronal plane does.

    Raises
    ------
    UsageError
        A dim is not one of t c z y x or has no pixels, or there is no such level.
    """
    from xarray import DataArray

    if not isinstance(img, DataArray):
        return open_image(img, level=level, memory=memory, series=series)
    if level:
        raise UsageError(f"level {level} of an array: it has no levels; give the store or the pyramid")
    if foreign := [str(name) for name in img.dims if name not in tuple(ORDER)]:
        raise UsageError(f"dim {foreign[0]!r} is not one of t c z y x; rename it, as in img.rename(...)")
    if empty := [str(name) for name, size in img.sizes.items() if not size]:
        raise UsageError(f"axis {empty[0]} has 0 pixels; an image needs at least 1")
    return native(img.transpose(*sorted(map(str, img.dims), key=ORDER.index)))


def pixels_of(img: xarray.DataArray) -> Node | None:
    """Return a node that gives any region of ``img`` at its own price; None when there is none."""
    node = Plain(img) if img.chunks is None else linked_node(img)
    return None if node is None or node.in_order else node


def source_block(img: xarray.DataArray) -> tuple[Shape, Shape]:
    """Return how many pixels of ``img`` may be behind a block of the result, and what is decoded at once."""
    node, most = node_of(img), PIECE_BYTES // img.dtype.itemsize
    sizes = tuple(map(max, img.chunks or ()))
    if sizes and isinstance(node, LazyPixels):
        most = min(most, math.prod(sizes))  # what opening it found that memory has room for
    if isinstance(node, Foreign):
        return node.chunks, node.chunks  # computed whole, whatever part of it is wanted
    chunk = tuple(map(min, sizes if node.order else node.chunks, img.shape))
    return grown(chunk, img.shape, most, img.dims), chunk


def grown(chunk: Shape, shape: Shape, most: int, dims: Any) -> Shape:
    """Return ``chunk`` doubled along its shortest side of space until ``most`` pixels; cut where it has more."""
    block = list(chunk)
    for i in range(len(block)):
        if (count := math.prod(block)) > most:
            block[i] = max(1, block[i] * most // count)
    space = [i for i, name in enumerate(dims) if name in ("z", "y", "x")]
    while longer := [i for i in space if block[i] < shape[i] and 2 * math.prod(block) <= most]:
        side = min(longer, key=block.__getitem__)
        block[side] = min(2 * block[side], shape[side])
    return tuple(block)


def derive(
    img: xarray.DataArray,
    operation: Operation,
    block: Shape | tuple[Shape, ...],
    like: xarray.DataArray,
) -> xarray.DataArray:
    """Return ``like``, which has the right labels, with the lazy pixels of ``operation`` on ``img``.

    Parameters
    ----------
    img : DataArray
        The source.
    operation : Operation
    block : tuple of int, or of tuples
        Pixels of a dask block of the result, or of all of them along each axis.
    like : DataArray
        Dims, coordinates, name and attrs of the result, over any pixels.
    """
    from bigimg.lazy.dask_edge import as_dask

    regular = all(isinstance(n, int) for n in block)
    chunks: Any = explicit(block, operation.shape) if regular else block  # type: ignore[arg-type]
    dims, own = list(map(str, img.dims)), list(map(str, like.dims))
    made = derived(node_of(img), operation, chunks, dims, own, img.chunks or ())
    if isinstance(made, Crossing):
        chunks = explicit(made.shape, made.shape)
    elif made.order:
        chunks = explicit(made.piece, made.shape)
    data = as_dask(made, chunks)
    return linked(like.copy(deep=False, data=data), made)


def pixelwise(
    called: str,
    img: xarray.DataArray,
    function: Pixelwise,
    dtype: DType,
    *others: Node,
    values: Sequence[Value] = (),
) -> tuple[Pointwise, Any]:
    """Return what ``function`` makes of the pixels of ``img`` and of ``others``: a node, and the dask array of it."""
    from bigimg.lazy.dask_edge import as_dask

    node = Pointwise(called, (node_of(img), *others), function, dtype, values)
    chunks = img.chunks or tuple((n,) for n in img.shape)
    return node, as_dask(node, chunks)


def placeholder(
    img: xarray.DataArray,
    shape: Mapping[str, int] | None = None,
    coordinate: Callable[[str, xarray.DataArray], Any] | None = None,
    dtype: DType | None = None,
) -> xarray.DataArray:
    """Return the labels of ``img`` over no pixels, with other coordinates along the axes in ``shape``.

    Parameters
    ----------
    shape : mapping, optional
        New sizes by axis.
    coordinate : callable, optional
        From the name and the present coordinate of such an axis to the new one, a Variable.
    dtype : dtype, optional
        Of the result.
    """
    from xarray import DataArray

    none = np.zeros((), dtype or img.dtype)
    if not shape:
        return img.copy(deep=False, data=np.broadcast_to(none, img.shape))  # labels anew cost 0.2 ms
    coords: dict[Any, Any] = {}
    for name, coord in img.coords.items():
        if coordinate is not None and name in shape:
            coords[name] = coordinate(str(name), coord)
        elif not set(coord.dims) & set(shape):  # what else lies along a changed axis fits it no more
            coords[name] = coord.variable
    sizes = tuple(shape.get(str(name), n) for name, n in img.sizes.items())
    return DataArray(np.broadcast_to(none, sizes), coords, img.dims, img.name, img.attrs)
