"""A reader as an array: shape, dtype, and ``[...]`` that reads that region and no more.

This is what dask holds in its graph. A new array is given each time, never a view of the caller's own pixels
or of what a reader keeps, since who computes a block may write to it. Beside it, how large blocks are.
"""

from __future__ import annotations

import math
import operator
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from bigimg.geometry.region import grid, shape_of
from bigimg.geometry.spec import ImageSpec, Scaling
from bigimg.reader import Reader
from bigimg.types import Array, DType, Region, Shape

COMPUTED: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Array-likes that compute any region of themselves, by the name of the dask array over them, as long as a graph
holds them: who wants pixels of such an array need not go through dask."""


def real_dtype(spec: ImageSpec) -> DType:
    """Return the type of the real values: float32, or float64 where 32 bits and more are stored."""
    if spec.scaling is None:
        return spec.dtype
    return np.dtype(np.float64 if spec.dtype.itemsize >= 4 else np.float32)


def scaled(stored: Array, scaling: Scaling, dtype: DType) -> Array:
    """Return ``slope * stored + intercept`` as a new array of ``dtype``, computed in it."""
    real: Array = np.multiply(stored, dtype.type(scaling.slope), dtype=dtype)
    real += dtype.type(scaling.intercept)
    return real


class LazyPixels:
    """The pixels of ``reader``, read when sliced; can be pickled when the reader can.

    Parameters
    ----------
    reader : Reader
    raw : bool
        Give stored values even where the file declares a slope and intercept.
    """

    def __init__(self, reader: Reader, *, raw: bool) -> None:
        spec = reader.spec
        self.reader = reader
        self.scaling = None if raw else spec.scaling
        self.shape = spec.shape
        self.ndim = len(spec.shape)
        self.dtype = spec.dtype if raw else real_dtype(spec)

    def __getitem__(self, key: Any) -> Array:
        """Return what ``key`` selects, as numpy counts: integers, slices with any step, new axes, and lists."""
        region, index = resolve(key, self.shape)
        if not math.prod(shape_of(region)):
            return np.empty(shape_of(region), self.dtype)[index]
        stored = self.reader.read(region)[index]
        if self.scaling is not None:
            return scaled(stored, self.scaling, self.dtype)
        # An own copy lies in C order, which interleaved colour does not: numpy sums it several times as fast.
        return (
            stored if isinstance(stored, np.ndarray) and stored.base is None else np.array(stored, order="C")
        )


type Index = int | slice | Array | None


def resolve(key: Any, shape: Shape) -> tuple[Region, tuple[Index, ...]]:
    """Return the region that covers ``key``, and what cuts it out of that.

    >>> resolve((None, -1, slice(8, 1, -3), [2, 7]), (10, 10, 10))[0]
    (slice(9, 10, None), slice(2, 9, None), slice(2, 8, None))
    """
    items = list(key) if isinstance(key, tuple) else [key]
    wanted = len(shape) - sum(item is not None and item is not Ellipsis for item in items)
    at = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    items[at : at + 1] = [slice(None)] * wanted
    sizes = iter(shape)
    region: list[slice] = []
    index: list[Index] = []
    for item in items:
        if item is None:
            index.append(None)
            continue
        cover, cut = resolve_axis(item, next(sizes))
        region.append(cover)
        index.append(cut)
    return tuple(region), tuple(index)


def resolve_axis(item: Any, size: int) -> tuple[slice, Index]:
    """Return the covering slice of one axis and the index within it.

    >>> resolve_axis(slice(8, 1, -3), 10), resolve_axis(-1, 10)
    ((slice(2, 9, None), slice(None, None, -3)), (slice(9, 10, None), 0))
    """
    if isinstance(item, slice):
        chosen = range(size)[item]
        if not chosen:
            return slice(0, 0), slice(None)
        low, high = sorted((chosen[0], chosen[-1]))
        return slice(low, high + 1), slice(None, None, chosen.step)
    if isinstance(item, list | np.ndarray) and np.ndim(item):
        numbers = np.arange(size)[np.asarray(item) if len(item) else []]
        low, high = (int(numbers.min()), int(numbers.max()) + 1) if numbers.size else (0, 0)
        return slice(low, high), numbers - low
    number = operator.index(item)
    if not -size <= number < size:
        raise IndexError(f"index {number} is out of bounds for an axis of {size} pixels")
    return slice(number % size, number % size + 1), 0


def block_shape(spec: ImageSpec, block_bytes: int, *, itemsize: int) -> Shape:
    """Return blocks of at most ``block_bytes`` for random access: source chunks, multiplied where they fit.

    Space grows before channels and time, its shortest side first. A source chunk that is larger itself is
    cut along its slow axes: it will be decoded once for each piece.

    Parameters
    ----------
    spec : ImageSpec
    block_bytes, itemsize : int
        Bytes of a block, and of one value in it.
    """
    most = max(1, block_bytes // itemsize)
    block = [min(c, s) for c, s in zip(spec.chunks, spec.shape, strict=True)]
    for i in range(len(block)):
        if (count := math.prod(block)) > most:
            block[i] = max(1, block[i] * most // count)
    space = [i for i, axis in enumerate(spec.axes) if axis.type == "space"]
    for group in (space, [i for i in range(len(block)) if i not in space]):
        while longer := [i for i in group if block[i] < spec.shape[i] and _doubled(spec, block, i) <= most]:
            grown = min(longer, key=block.__getitem__)
            block[grown] = min(2 * block[grown], spec.shape[grown])
        if any(block[i] < spec.shape[i] for i in group):
            break
    return tuple(block)


def _doubled(spec: ImageSpec, block: list[int], i: int) -> int:
    return math.prod(block) // block[i] * min(2 * block[i], spec.shape[i])


def band_shape(spec: ImageSpec, order: tuple[str, ...], block_bytes: int, *, itemsize: int) -> Shape:
    """Return bands of at most ``block_bytes`` as an ordered source yields them, never less than one row.

    Full along the fast axes, some of one slow axis, one of each still slower: the rows of a picture, the
    planes of one volume.

    >>> from bigimg.geometry.axes import Axis
    >>> axes = (Axis("t", 9), Axis("z", 40), Axis("y", 100), Axis("x", 100))
    >>> spec = ImageSpec(axes, np.dtype("u1"), (1, 1, 100, 100))
    >>> band_shape(spec, ("t", "z", "y", "x"), 205_000, itemsize=1)
    (1, 20, 100, 100)
    """
    most = max(1, block_bytes // itemsize)
    row = max(i for i, name in enumerate(order) if name != "c")  # what is within a row is never cut
    band = [1] * len(spec.axes)
    for name in order[row:]:
        band[spec.axis(name)] = spec.shape[spec.axis(name)]
    for name in reversed(order[:row]):
        axis = spec.axis(name)
        chunk, size = spec.chunks[axis], spec.shape[axis]
        rows = max(1, most // math.prod(band))
        band[axis] = size if rows >= size else (rows // chunk * chunk or rows)
        if band[axis] < size:
            break
    return tuple(band)


def explicit(block: Shape, shape: Shape) -> tuple[Shape, ...]:
    """Return the length of each block along each axis, as dask wants it.

    >>> explicit((4,), (10,))
    ((4, 4, 2),)
    """
    counts = grid(shape, block)
    return tuple(
        (*(n,) * (c - 1), size - n * (c - 1)) if c else (0,)
        for n, c, size in zip(block, counts, shape, strict=True)
    )
