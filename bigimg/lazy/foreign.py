"""A leaf of the lazy tree whose pixels dask computes, for somebody who wants them region by region.

What dask's graph looks like is its own affair. The array is asked for whole blocks, each computed in the thread that
asks, and those used last are kept. What the first block reads of opened sources tells the rest: whether one of them
goes forward only, and whether each block reads all of it.
"""

from __future__ import annotations

import math
import threading
import warnings
from typing import Any

from bigimg.lazy.dask_compute import computed_region
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node import Reads, reads
from bigimg.lazy.pieces import Pieced, grouped
from bigimg.types import Array, Region

KEPT_BYTES = 32 << 20
"""Of blocks that dask computed, kept for what overlaps them: a row of pieces shares those of two or three columns."""
MOST_VALUES = 1 << 22
"""Of a block, as within half a gigabyte. Larger ones come of a larger budget: four of them are kept, or all around a
region would be computed for each."""
TOGETHER_BYTES = 1 << 20
"""Blocks smaller than this are computed together: one by one, 100 of 4 KB took 5 to 30 times as long."""
FEW = 8
"""Blocks that may each read a whole source."""


class Foreign(Pieced):
    """The pixels of a dask array that somebody else made.

    Parameters
    ----------
    array : dask array
    dims : tuple of str
        Names of its axes.
    """

    def __init__(self, array: Any, dims: tuple[str, ...]) -> None:
        self.array, self.dims = array, dims
        self._looked = False
        self._lock = threading.RLock()
        together = grouped(array.chunks, TOGETHER_BYTES // array.dtype.itemsize)
        values = math.prod(map(max, together))
        self._cut(
            array,
            together,
            max(KEPT_BYTES, 0 if values <= MOST_VALUES else 4 * values * array.dtype.itemsize),
        )

    @property
    def token(self) -> str:
        """The name that dask gave it."""
        return str(self.array.name)

    def look(self) -> None:
        """Compute the first block, and see what it reads."""
        with self._lock:
            if not self._looked:
                self._pieces.get((0,) * len(self.shape))

    def _read_piece(self, index: Any) -> Array:
        if self._looked or any(index):
            return super()._read_piece(index)
        noticed = Reads()
        mark = reads.set(noticed)
        try:
            found = super()._read_piece(index)
        finally:
            reads.reset(mark)
        self._looked = True
        self._judge(noticed, found.size)
        return found

    def _whole(self, region: Region) -> Array:
        return computed_region(self.array, region)

    def _judge(self, noticed: Reads, size: int) -> None:
        """Take the order of a source, and warn of one that each block reads whole."""
        many = math.prod(self.shape) > FEW * size
        for key, leaf in noticed.leaves.items():
            if leaf.order and isinstance(leaf, LazyPixels):
                names = [leaf.reader.spec.dims[axis] for axis in leaf.order]
                own = [self.dims.index(name) for name in names if name in self.dims]
                self.order = (*own, *(axis for axis in range(len(self.dims)) if axis not in own))
            if many and noticed.pixels[key] >= math.prod(leaf.shape) > FEW * size:
                warnings.warn(
                    f"each block of this computed image reads all of an image of {math.prod(leaf.shape)} pixels, as "
                    "img - img.mean() does: compute what all blocks need first, as in img - img.mean().compute()",
                    UserWarning,
                    stacklevel=2,
                )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lock = threading.RLock()
