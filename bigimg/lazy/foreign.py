"""A leaf of the lazy tree whose pixels dask computes from a graph that bigimg did not make.

bigimg does not look into that graph. Only whole blocks are computed, each in the thread that needs it, and the blocks
used last are kept. While the first block is computed, the pixels that it reads of opened sources are counted. So it is
known whether a source can only be read forwards, and whether each block reads all of a source.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from typing import Any

from bigimg.lazy.dask_compute import computed_region
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node import Node, reads
from bigimg.lazy.pieces import Pieced, grouped
from bigimg.types import Array, Region

KEPT_BYTES = 32 << 20
"""Computed blocks that are kept for the next regions: a row of pieces shares the blocks of two or three columns."""
MOST_VALUES = 1 << 22
"""Values of a block as bigimg opens it within half a gigabyte. Larger blocks come from a larger budget: four of them
are kept, or the blocks around a region would be computed again for each region."""
TOGETHER_BYTES = 1 << 20
"""Smaller blocks are computed together: 100 blocks of 4 KB took 5 to 30 times as long one by one."""
FEW = 8
"""If there are no more blocks than this, each may read a whole source without a warning."""


class Foreign(Pieced):
    """The pixels of a dask array that somebody else made.

    Parameters
    ----------
    array : dask array
    dims : tuple of str
        Names of its axes.
    """

    def __init__(self, array: Any, dims: tuple[str, ...]) -> None:
        self.array, self.dims, self.token = array, dims, str(array.name)
        self._order_known = False
        joined = grouped(array.chunks, TOGETHER_BYTES // array.dtype.itemsize)
        values = math.prod(map(max, joined))
        large = 0 if values <= MOST_VALUES else 4 * values * array.dtype.itemsize
        self._cut(array, joined, max(KEPT_BYTES, large))

    def find_order(self) -> None:
        """Compute the first block, and notice what it reads."""
        if not self._order_known:
            self._pieces.get((0,) * len(self.shape))

    def _read_piece(self, index: Any) -> Array:
        if self._order_known or any(index):
            return super()._read_piece(index)
        counts: Counter[Node] = Counter()
        mark = reads.set(counts)
        try:
            found = super()._read_piece(index)
        finally:
            reads.reset(mark)
        self._order_known = True
        self._learn(counts, found.size)
        return found

    def _whole(self, region: Region) -> Array:
        return computed_region(self.array, region)

    def _learn(self, counts: Counter[Node], size: int) -> None:
        """Take over the order of a source, and warn if each block reads all of a source."""
        many = math.prod(self.shape) > FEW * size
        for leaf, pixels in counts.items():
            if leaf.order and isinstance(leaf, LazyPixels):
                names = [leaf.reader.spec.dims[axis] for axis in leaf.order]
                known = [self.dims.index(name) for name in names if name in self.dims]
                self.order = (*known, *(axis for axis in range(len(self.dims)) if axis not in known))
            if many and pixels >= math.prod(leaf.shape) > FEW * size:
                warnings.warn(
                    f"each block of this computed image reads all of an image of {math.prod(leaf.shape)} pixels, as "
                    "img - img.mean() does: compute what all blocks need first, as in img - img.mean().compute()",
                    UserWarning,
                    stacklevel=2,
                )
