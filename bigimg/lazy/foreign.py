"""A leaf of the lazy tree whose pixels dask computes from a graph that bigimg did not make.

bigimg does not look into that graph. Only whole blocks are computed, each in the thread that needs it. The blocks used
last are kept until the operation that needs them has ended. While the first block is computed, the pixels that it reads
of opened sources are counted. So it is known whether a source can only be read forwards, and whether each block reads
all of a source.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from bigimg.errors import warn
from bigimg.geometry.region import cells
from bigimg.lazy.dask_compute import computed_region, on_cluster
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node import Node, reads
from bigimg.lazy.pieces import Pieced, grouped
from bigimg.types import Array, Padding, Region

KEPT_BYTES = 32 << 20
"""Computed blocks that are kept for the next regions: a row of pieces shares the blocks of two or three columns."""
FEW_KEPT = 4
"""Blocks of any size that are kept if so many lie below one region, or they would be computed for each region again."""
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
    keep : bool
        Keep more than the last block; False if the caller keeps blocks itself.
    padding : (number, number), optional
        First and last value that is no measurement.
    """

    def __init__(
        self, array: Any, dims: tuple[str, ...], *, keep: bool = True, padding: Padding | None = None
    ) -> None:
        self.array, self.dims, self.token = array, dims, str(array.name)
        self.padding = padding
        self._there: bool | None = None
        self._order_known, self._most = False, FEW_KEPT if keep else 1
        joined = grouped(array.chunks, TOGETHER_BYTES // array.dtype.itemsize)
        self._cut(array, joined, KEPT_BYTES if keep else 0)
        self.own_bytes = max(self.own_bytes, (self._most - 1) * self.read_bytes // 2)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        needed = min(self._most, len(list(cells(region, self.edges))))
        self._pieces.most = max(self._pieces.most, needed)
        return super().read(region)

    def drop(self) -> None:
        """Let go of the blocks that are kept."""
        self._pieces.drop()

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
        if self._there is None:
            self._there = on_cluster(self.array)
        return computed_region(self.array, region, there=self._there)

    def _learn(self, counts: Counter[Node], size: int) -> None:
        """Take over the order of a source, and warn if each block reads all of a source."""
        many = math.prod(self.shape) > FEW * size
        for leaf, pixels in counts.items():
            if leaf.order and isinstance(leaf, LazyPixels):
                names = [leaf.reader.spec.dims[axis] for axis in leaf.order]
                known = [self.dims.index(name) for name in names if name in self.dims]
                self.order = (*known, *(axis for axis in range(len(self.dims)) if axis not in known))
            if many and pixels >= math.prod(leaf.shape) > FEW * size:
                warn(
                    f"each block of this computed image reads all of an image of {math.prod(leaf.shape)} pixels, as "
                    "img - img.mean() does: compute what all blocks need first, as in img - img.mean().compute()"
                )


def over_dask(*nodes: Node) -> bool:
    """Return whether dask computes pixels below one of ``nodes``."""
    return any(isinstance(leaf, Foreign) for node in nodes for leaf in node.leaves())


def kept_by_cluster(node: Node) -> bool:
    """Return whether the workers of a cluster keep blocks below ``node``, as ``persist`` leaves them."""
    return any(isinstance(leaf, Foreign) and on_cluster(leaf.array) for leaf in node.leaves())
