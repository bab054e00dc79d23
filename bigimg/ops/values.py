"""Where the pixels of a labelled array come from: an opened source, memory, or blocks that dask computes.

An opened source and an array in memory give any region. Of computed blocks a pass takes one after another, which
is possible without computing anything twice when each of them is made from blocks of its own: that is read from
the layers of the graph, without building its tasks (:func:`computed`). Of an ordered source it is the only way
that does not read ahead. What all blocks need, as a threshold, is computed before the first of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from dask.optimization import cull

from bigimg.opening.labelled import opened_pixels
from bigimg.ops.derived import InOrder
from bigimg.ops.graphs import independent, is_ordered
from bigimg.ops.pieces import Blocks, computed_block
from bigimg.readers.lazy import COMPUTED, LazyPixels, block_shape
from bigimg.readers.spread import spread, with_known
from bigimg.types import Array, DType, Region, Shape

PIECE_BYTES = 1 << 20
"""What a pass reads at once of an opened source, unless a chunk has more: small enough for the cache of a core,
large enough that finding the piece costs a tenth of reading it."""
PAGE_BYTES = 1 << 12
"""The least that a mask spares, unless a chunk has more: no disk reads less, and to look at the mask of each run of 64
plain pixels would cost a hundred times what reading them does."""

type Reads = Callable[[Shape], Array]
"""From the index of a block to its pixels."""


@dataclass(frozen=True, eq=False)
class Opened:
    """Pixels of which any region can be read, as they were opened or made of an ordered source in its order."""

    read: Callable[[Region], Array]
    """Returns the pixels of a region; a view when the reader gives one."""
    shape: Shape
    dtype: DType
    piece: Shape
    """What a pass reads at once."""
    chunk: Shape
    """What a mask can spare: what is decoded at once, or a page of what is not."""
    order: tuple[int, ...]
    """Axes from slowest to fastest, where the source is read in one order alone; empty otherwise."""

    @property
    def in_order(self) -> bool:
        """Whether the source has an order of its own."""
        return bool(self.order)


def _opened(pixels: LazyPixels, blocks: tuple[tuple[int, ...], ...]) -> Opened:
    """Return the pixels of a reader, just as they were opened."""
    reader, spec, access = pixels.reader, pixels.reader.spec, pixels.reader.access
    in_order, itemsize = access.kind == "sequential", pixels.dtype.itemsize
    largest = tuple(max(lengths) for lengths in blocks)
    chunk_bytes = itemsize * math.prod(min(c, n) for c, n in zip(spec.chunks, spec.shape, strict=True))
    # Never less than a chunk, or it would be decoded for each of its pieces, nor more than the budget gave.
    most = min(itemsize * math.prod(largest), max(PIECE_BYTES, chunk_bytes))
    piece = largest if in_order else block_shape(spec, most, itemsize=itemsize)
    spared = block_shape(spec, max(PAGE_BYTES, chunk_bytes), itemsize=itemsize)
    return Opened(
        reader.read if pixels.scaling is None else pixels.__getitem__,
        pixels.shape,
        pixels.dtype,
        piece,
        tuple(min(c, p) for c, p in zip(spared, piece, strict=True)),
        tuple(map(spec.axis, access.order)) if in_order else (),
    )


def _banded(made: InOrder) -> Opened:
    """Return what is made of a source that is read in one order alone, in bands of that order."""
    piece = tuple(map(min, made.piece, made.shape))
    return Opened(made.__getitem__, made.shape, made.dtype, piece, piece, made.order)


class InMemory:
    """An array that is there already."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape: Shape = array.shape
        self.dtype: DType = array.dtype

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` as a view."""
        return self.array[region]


class Computed:
    """A dask array whose blocks are independent of one another, but for what all of them need.

    Parameters
    ----------
    array : dask array
    needs : mapping
        What is to be computed before any block; see :func:`bigimg.readers.spread.spread`.
    """

    def __init__(self, array: Any, needs: Mapping[str, Any]) -> None:
        self.array = array
        self.needs = needs
        self.shape: Shape = array.shape
        self.dtype: DType = array.dtype
        self.chunks: tuple[tuple[int, ...], ...] = array.chunks
        self.in_order = is_ordered(array)
        """Whether the source below has an order of its own."""

    def blocks(self, indices: Sequence[Shape], known: Mapping[str, Any]) -> Reads:
        """Return what computes each of the blocks ``indices``, in this thread; the graph of these alone is built.

        Parameters
        ----------
        indices : sequence of tuple
        known : mapping
            The values of :attr:`needs`, by name.
        """
        array = with_known(self.array, self.needs, known)
        if self.in_order:
            return Blocks(array).at
        keys = [(array.name, *index) for index in dict.fromkeys(indices)]
        tasks = dict(array.__dask_optimize__(array.__dask_graph__(), keys))

        def compute(index: Shape) -> Array:
            key = (array.name, *index)
            return computed_block(cull(tasks, [key])[0], key)

        return compute


type Values = Opened | InMemory | Computed


def values_of(img: xarray.DataArray) -> Values | None:
    """Return where the pixels of ``img`` come from; None when blocks of it share what they are computed from."""
    if img.chunks is None:
        if isinstance(img.variable._data, np.ndarray):
            return InMemory(img.variable._data)
        img = img.chunk()
    pixels = opened_pixels(img)
    if pixels is not None:
        return _opened(pixels, img.chunks or ())
    made = COMPUTED.get(img.data.name)
    if isinstance(made, InOrder):
        return _banded(made)
    return computed(img.data)


def computed(array: Any) -> Computed | None:
    """Return a dask array to be gone through block by block; None when its blocks share what they are computed from.

    What all of them need is no hindrance.
    """
    needs = spread(array)
    return Computed(array, needs) if independent(array, needs) else None
