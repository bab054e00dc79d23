"""Bands of a result whose source can only be read in one order, and the source pixels that two bands share.

dask's own graph of such a source has one task for each band, and reads ahead of the tasks that count. Here a band of
the result is made from one region of the source, and the next band begins where that region ended. If the next band
needs some of the same pixels (a Gaussian, means of parts of pixels), only these are kept. The source never goes back.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from bigimg.geometry.region import full, shape_of
from bigimg.lazy.node import Node
from bigimg.lazy.operation import Operation
from bigimg.types import Array, Region, Shape


def band_of(
    operation: Operation, dims: Sequence[str], source_dims: Sequence[str], order: Sequence[str], most: int
) -> tuple[Shape, str]:
    """Return the shape of a band of the result, and the axis along which bands follow one another.

    A band has the full width of the result along the fast axes, a part of one axis, and one pixel of each slower axis.
    An axis is not cut if one pixel along a slower axis is made from several: the source would go back for each band.

    Parameters
    ----------
    operation : Operation
    dims, source_dims : sequence of str
        Axes of the result, which are axes of the source too; axes of the source.
    order : sequence of str
        Axes of the source from slowest to fastest.
    most : int
        Pixels of the source behind a band at most, unless a smaller band is impossible.
    """
    names = [name for name in order if name in dims]
    row = max((i for i, name in enumerate(names) if name != "c"), default=0)  # a row is never cut
    sizes = dict(zip(dims, operation.shape, strict=True))
    band = dict.fromkeys(dims, 1) | {name: sizes[name] for name in names[row:]}
    along = names[row]
    for along in reversed(names[:row]):
        band[along] = sizes[along]
        middle = tuple(slice(sizes[n] // 2, sizes[n] // 2 + 1) for n in dims)
        thick = dict(zip(source_dims, shape_of(operation.source(middle)), strict=True))
        slower = order[: order.index(along)]
        source = math.prod(shape_of(operation.source(full(tuple(band[n] for n in dims)))))
        if source > most and all(thick[name] == 1 for name in slower):
            band[along] = max(1, sizes[along] * most // source)
            break
    return tuple(band[name] for name in dims), along


class Rolling:
    """Reads the regions of a source from which bands are made: each pixel once, while the bands come in order.

    Parameters
    ----------
    pixels : Node
        Can only be read in one order.
    operation : Operation
    axis, source_axis : int
        The axis of the result along which bands follow one another, and that axis of the source.
    """

    def __init__(self, pixels: Node, operation: Operation, axis: int, source_axis: int) -> None:
        self.pixels, self.operation = pixels, operation
        self.axis, self.source_axis = axis, source_axis
        self._kept: tuple[Region, Array] | None = None
        self._lock = threading.Lock()

    def read(self, source: Region, region: Region) -> Array:
        """Return the pixels of ``source``, from which ``region`` of the result is made."""
        with self._lock:
            block = self._read(source)
            self._kept = self._needed_again(block, source, region)
            return block

    def _read(self, source: Region) -> Array:
        at, along = self.source_axis, source[self.source_axis]
        if self._kept is None:
            return self.pixels.read(source)
        (region, kept), self._kept = self._kept, None
        have = region[at]
        if region[:at] + region[at + 1 :] != source[:at] + source[at + 1 :] or not (
            have.start <= along.start < have.stop <= along.stop
        ):
            return self._read(source)
        block: Array = kept[_along(at, slice(along.start - have.start, None))]
        if have.stop == along.stop:
            return block
        rest = self.pixels.read(_with(source, at, slice(have.stop, along.stop)))
        return np.concatenate([block, rest], axis=at)

    def _needed_again(self, block: Array, source: Region, region: Region) -> tuple[Region, Array] | None:
        """Return a copy of the part of ``block`` that the next band needs, so that the rest can be freed."""
        at, along, stop = self.source_axis, source[self.source_axis], region[self.axis].stop
        if stop == self.operation.shape[self.axis]:
            return None
        first = self.operation.source(_with(region, self.axis, slice(stop, stop + 1)))[at].start
        if first >= along.stop:
            return None
        again = block[_along(at, slice(first - along.start, None))].copy()
        return _with(source, at, slice(first, along.stop)), again

    def __reduce__(self) -> Any:
        return Rolling, (self.pixels, self.operation, self.axis, self.source_axis)


def _with(region: Region, axis: int, part: slice) -> Region:
    return (*region[:axis], part, *region[axis + 1 :])


def _along(axis: int, part: slice) -> Region:
    return (*(slice(None),) * axis, part)
