"""Nodes that make each pixel from the pixels at the same position of other nodes; and stacks of nodes."""

from __future__ import annotations

import math
import pickle
import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.lazy.blocks import multiplied
from bigimg.lazy.node import Node, read_shared, reading_once, token_of
from bigimg.lazy.values import Value
from bigimg.types import Array, DType, Region, Shape

PIECE_BYTES = 8 << 20
"""Source pixels that are handled at once, unless a chunk has more."""


type Pixelwise = Callable[[Sequence[Array], Region, Sequence[Any]], Array]
"""Makes a region from blocks of pixels at the same position, the region, and values of the whole image; can be pickled.

Blocks may be views, and have size 1 along axes that a source lacks."""


class Pointwise(Node):
    """Pixels made by a function of the pixels at the same position.

    Parameters
    ----------
    prefix : str
        The names of its dask arrays begin with it.
    sources : sequence of Node
        The first has the shape of the result; others may have size 1 along some axes.
    function : Pixelwise
    dtype : numpy dtype
        Of the result.
    values : sequence of Value, optional
        Values of the whole image that the function needs.
    """

    def __init__(
        self,
        prefix: str,
        sources: Sequence[Node],
        function: Pixelwise,
        dtype: DType,
        values: Sequence[Value] = (),
    ) -> None:
        self.prefix = prefix
        self.sources, self.function, self.own_values = tuple(sources), function, tuple(values)
        self.shape, self.dtype = sources[0].shape, np.dtype(dtype)
        first = sources[0]
        most = PIECE_BYTES // max(1, first.dtype.itemsize)
        self.chunks, self.piece = first.chunks, multiplied(first.chunks, self.shape, range(self.ndim), most)
        piece_bytes = math.prod(self.piece) * sum(source.dtype.itemsize for source in sources)
        self.read_bytes = piece_bytes + max(source.read_bytes for source in sources)

    @property
    def order(self) -> tuple[int, ...]:  # type: ignore[override]
        """The order of the first source that has one."""
        # Leaves first: a chain of n images, each used twice, would be gone through 2 ** n times.
        if not any(leaf.order for leaf in self.leaves()):
            return ()
        return next((order for source in self.sources if (order := source.order)), ())

    @cached_property
    def token(self) -> str:  # type: ignore[override]
        """Of the sources, their values and the function; a new one for a function that cannot be told from others."""
        if getattr(self.function, "by_caller", False):  # pickled by its name, which another function may bear
            return uuid.uuid4().hex
        below = [source.token for source in self.sources], [value.token for value in self.own_values]
        try:
            return token_of(below, self.function, self.dtype)
        except (pickle.PicklingError, AttributeError, TypeError):
            return uuid.uuid4().hex

    def read(self, region: Region) -> Array:
        """Return ``region`` of the result, piece by piece."""
        values = [value.get() for value in self.own_values]
        if self.order or all(n <= m for n, m in zip(shape_of(region), self.piece, strict=True)):
            return self._made(region, values)
        out = np.empty(shape_of(region), self.dtype)
        start = tuple(s.start for s in region)
        for _, part in pieces(region, self.piece):
            out[shift(part, start)] = self._made(part, values)
        return out

    def _made(self, region: Region, values: list[Any]) -> Array:
        with reading_once(self):
            blocks = [read_shared(source, within(region, source.shape)) for source in self.sources]
        return self.function(blocks, region, values)


def within(region: Region, shape: Shape) -> Region:
    """Return ``region`` in an array of ``shape``, which may have size 1 along some axes."""
    return tuple(s if n > 1 else slice(0, 1) for s, n in zip(region, shape, strict=True))


class Stack(Node):
    """Nodes of one shape and type side by side along a new axis."""

    prefix = "bigimg-stack"

    def __init__(self, sources: Sequence[Node], axis: int) -> None:
        self.sources, self.axis = tuple(sources), axis
        first = sources[0]
        self.shape = (*first.shape[:axis], len(sources), *first.shape[axis:])
        self.dtype, self.chunks = first.dtype, (*first.chunks[:axis], 1, *first.chunks[axis:])
        self.read_bytes = max(source.read_bytes for source in sources)
        if len({source.padding for source in sources}) == 1:
            self.padding = first.padding
        self.token = token_of([source.token for source in sources], axis)

    @property
    def order(self) -> tuple[int, ...]:  # type: ignore[override]
        """One image after another, if one of them has an order."""
        found = next((source.order for source in self.sources if source.order), ())
        return (self.axis, *(axis + (axis >= self.axis) for axis in found)) if found else ()

    def read(self, region: Region) -> Array:
        """Return ``region``, image by image."""
        part, within_image = region[self.axis], (*region[: self.axis], *region[self.axis + 1 :])
        if part.stop - part.start == 1:
            return np.expand_dims(self.sources[part.start].read(within_image), self.axis)
        out = np.empty(shape_of(region), self.dtype)
        for number in range(part.start, part.stop):
            out[(*(slice(None),) * self.axis, number - part.start)] = self.sources[number].read(within_image)
        return out
