"""What is made of a source that is read in one order: bands that follow one another, and what two of them share.

dask's own graph of such a source has a task a band, and reads ahead of whoever counts. A band of a result is made
from one region of the source instead, and the next one begins where that ended. Where the next needs some of the
same pixels (a Gaussian, means of parts of pixels), these alone are kept, so that the source never goes back.
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

    As wide as the result along the fast axes, some of one axis, and one of each still slower. The axis is not
    cut while one pixel along a slower one is made of several: the source would go back for each of the bands.

    Parameters
    ----------
    operation : Operation
    dims, source_dims : sequence of str
        Axes of the result, all of them axes of the source; and these.
    order : sequence of str
        Axes of the source from slowest to fastest.
    most : int
        Pixels of the source behind a band at most, unless a band has to have more.
    """
    own = [name for name in order if name in dims]
    # What is within a row is never cut.
    row = max((i for i, name in enumerate(own) if name != "c"), default=0)
    sizes = dict(zip(dims, operation.shape, strict=True))
    band = dict.fromkeys(dims, 1) | {name: sizes[name] for name in own[row:]}
    along = own[row]
    for place in range(row - 1, -1, -1):
        along = own[place]
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
    """Reads the regions of a source that bands of a result are made of, each pixel once while they come in order.

    Parameters
    ----------
    pixels : Node
        Best read in one order.
    operation : Operation
    axis, source_axis : int
        Along which the bands of the result follow one another; that axis of the source.
    """

    def __init__(self, pixels: Node, operation: Operation, axis: int, source_axis: int) -> None:
        self.pixels, self.operation = pixels, operation
        self.axis, self.source_axis = axis, source_axis
        self._kept: tuple[Region, Array] | None = None
        self._lock = threading.Lock()

    def read(self, source: Region, region: Region) -> Array:
        """Return the pixels of ``source``, which ``region`` of the result is made of."""
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
        block = np.empty(shape_of(source), kept.dtype)
        before = (slice(None),) * at
        count = have.stop - along.start
        block[(*before, slice(0, count))] = kept[(*before, slice(along.start - have.start, None))]
        if have.stop < along.stop:
            block[(*before, slice(count, None))] = self.pixels.read(
                _with(source, at, slice(have.stop, along.stop))
            )
        return block

    def _needed_again(self, block: Array, source: Region, region: Region) -> tuple[Region, Array] | None:
        """Return what the band after ``region`` needs of ``block``, as a copy: the rest is let go."""
        at, along, stop = self.source_axis, source[self.source_axis], region[self.axis].stop
        if stop == self.operation.shape[self.axis]:
            return None
        first = self.operation.source(_with(region, self.axis, slice(stop, stop + 1)))[at].start
        if first >= along.stop:
            return None
        part = (slice(None),) * at + (slice(first - along.start, None),)
        return _with(source, at, slice(first, along.stop)), block[part].copy()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def _with(region: Region, axis: int, part: slice) -> Region:
    return (*region[:axis], part, *region[axis + 1 :])
