"""Cutting patches out of an image; in a good order each piece of the source is decoded about once.

Overlapping patches share source chunks, so the decoded pieces used last are kept, up to a limit. An order that walks
along tiles needs few of them at once. Where a patch reaches beyond the image it holds the fill value.
"""

from __future__ import annotations

import copy
import itertools
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from bigimg.geometry.region import piece, pieces, shape_of, shift
from bigimg.geometry.spec import ImageSpec, Scaling
from bigimg.lazy.blocks import band_shape
from bigimg.lazy.leaves import scaled
from bigimg.lazy.pieces import Pieces
from bigimg.opening.open import Memory
from bigimg.ops.patches.positions import Grid, Positions
from bigimg.planning.room import LATER, Room, room
from bigimg.reader import Access, Reader, files_of
from bigimg.system.processes import usable_cpus
from bigimg.types import Array, DType, Region, Shape

KEPT_BYTES = 96_000_000
"""Decoded pieces kept while patches are read one after another."""
PIECE_BYTES = 1 << 18
"""A piece has at least so many bytes, if the image has: small source chunks are joined."""
MOST_PIECE_BYTES = 4 << 20
"""A piece has all channels, unless it would be larger than this."""
GROUP_BYTES = 4 << 20
"""Patches that one thread cuts before it returns them."""
BLOCK_BYTES = 16 << 20
BOX_BYTES = 8 << 20
COUNTING = 28
"""Bytes that counting takes for each pixel of a mask: the pixel, and three sums of 64 bits."""
GROUP = 256
SORTED_AT_ONCE = 1 << 16
"""Patches in no good order that are sorted together: 3 MB of numbers."""
THREADS = 2


class Cutter:
    """Cuts patches of one size out of what ``reader`` reads; picklable when the reader is.

    Parameters
    ----------
    reader : Reader
    patch : tuple of int
        Pixels of a patch, one number an axis of the reader; along ``c`` as many as the image has.
    scaling : Scaling, optional
        Applied to each patch.
    dtype : numpy dtype
        Type of the patches.
    fill : number
        Value where a patch reaches beyond the image.
    """

    def __init__(
        self, reader: Reader, patch: Shape, *, scaling: Scaling | None, dtype: DType, fill: Any = 0
    ) -> None:
        self.reader, self.patch, self.scaling, self.dtype, self.fill = reader, patch, scaling, dtype, fill
        self.files = files_of(reader)  # now: the current folder may be another one later
        spec = reader.spec
        self.shape = spec.shape
        self.axes = [i for i, name in enumerate(spec.dims) if name != "c"]
        """Axes that positions are given for; all of the other axes is in each patch."""
        self.unit = piece_shape(spec, reader.access)
        self.kept_bytes = KEPT_BYTES
        """Decoded pieces kept while patches are read one after another."""
        self.group_bytes = GROUP_BYTES
        """Patches that one thread cuts before it returns them."""
        self.block_bytes = BLOCK_BYTES
        """Patches of one dask block of a dataset."""
        self.box_bytes = BOX_BYTES
        """Bytes of a mask that are counted at once."""
        self.memory: Memory = None
        self._kept: tuple[int, Pieces] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of one patch."""
        return math.prod(self.patch) * self.dtype.itemsize

    @property
    def threads(self) -> int:
        """How many threads cut patches at once."""
        return 1 if self.ordered else min(THREADS, usable_cpus())

    def fit(
        self, memory: Memory, *, of: int = 1, counted: bool = False, overlap: Sequence[int] | None = None
    ) -> None:
        """Limit the memory of decoded pieces and of patches that are cut ahead to what a budget allows.

        Parameters
        ----------
        memory : int or str, optional
        of : int
            How many cutters share the rest of the budget.
        counted : bool
            Whether this is a mask, whose true pixels are counted in each patch.
        overlap : sequence of int, optional
            Pixels of each of :attr:`axes` that a patch must have more of.

        Raises
        ------
        BudgetError
            Not even one patch at a time fits; the message names a smaller size that does, if there is one.
        """
        groups = self.threads + 3  # being cut, ready, and with the caller
        many = COUNTING if counted else groups
        here, self.memory = room(memory), memory
        least = self._least(many)
        here.take(self.reader.source, least, lambda: self._smaller(here, many, overlap))
        spare = (here.free - sum(least.values())) // of
        self.kept_bytes = min(self.kept_bytes, self.least_bytes + spare // 2)
        self.group_bytes = min(self.group_bytes, self.nbytes + spare // 8 // groups)
        self.box_bytes = min(self.box_bytes, self.nbytes + spare // 2 // COUNTING)
        # A block is copied, and compressed.
        self.block_bytes = min(self.block_bytes, self.nbytes + spare // 16)

    def _least(self, many: int) -> dict[str, int]:
        """Return the bytes of one patch at a time, by what holds them; ``many`` patches are held at once."""
        access = self.reader.access
        return {
            "decoding": access.fixed_bytes + self.threads * (access.read_bytes + self._piece_bytes()),
            "pieces of a patch": self.least_bytes,
            "patches": many * self.nbytes,
            **LATER,
        }

    def _smaller(self, here: Room, many: int, overlap: Sequence[int] | None) -> str:
        """Return what to do where a patch does not fit ``here``."""
        asked = [self.patch[axis] for axis in self.axes]
        first = next((i for i, n in enumerate(asked) if n > 1), 0)
        other = copy.copy(self)
        for sides in smaller_sizes(asked, overlap or [0] * len(asked)):
            by_axis = dict(zip(self.axes, sides, strict=True))
            other.patch = tuple(by_axis.get(axis, n) for axis, n in enumerate(self.patch))
            if sum(other._least(many).values()) <= here.free:
                return f"give a smaller size={sides[first:]}"
        return ""

    @property
    def ordered(self) -> bool:
        """Whether the source can only be read forwards."""
        return self.reader.access.kind == "sequential"

    def read(self, start: Sequence[int]) -> Array:
        """Return the patch that begins at ``start``, one number for each of :attr:`axes`."""
        if self._kept is None or self._kept[0] != os.getpid():  # a lock does not survive a fork
            self._kept = os.getpid(), self._pieces(self._limit())
        return self._cut(start, self._kept[1])

    def read_all(self, positions: Positions) -> Iterator[tuple[Array, list[Array]]]:
        """Yield numbers of patches and their pixels, group by group, in an order that is fast to read.

        Meanwhile other threads read the next groups.
        """
        kept = self._pieces(max(self.kept_bytes, self.least_bytes))
        threads = self.threads
        pool = ThreadPoolExecutor(threads, "bigimg-patches")
        under_way: deque[tuple[Array, Future[list[Array]]]] = deque()
        try:
            for group in self._groups(self._order(positions)):
                under_way.append((group, pool.submit(self._cut_all, positions.starts(group), kept)))
                if len(under_way) > threads:
                    ready, future = under_way.popleft()
                    yield ready, future.result()
                    del future
            while under_way:
                ready, future = under_way.popleft()
                yield ready, future.result()
                del future
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _tile(self) -> list[int]:
        """Return the sides of tiles in pixels; within a tile nothing is decoded twice along the first axis."""
        axes = self.axes[1:]
        if math.prod(self.unit) == 1:  # nothing is decoded
            return [self.shape[a] for a in axes]
        # Pieces that a patch meets, after the one it begins in.
        across = [-(-(self.patch[a] - 1) // self.unit[a]) for a in self.axes]
        room = self.kept_bytes / (self._piece_bytes() * (across[0] + 2))
        sides = dict.fromkeys(axes, 1)
        while grown := [a for a in axes if sides[a] * self.unit[a] < self.shape[a]]:
            shortest = min(grown, key=lambda a: sides[a])
            sides[shortest] += 1
            if math.prod(sides[a] + n for a, n in zip(axes, across[1:], strict=True)) > room:
                sides[shortest] -= 1
                break
        return [sides[a] * self.unit[a] for a in axes]

    def _order(self, positions: Positions) -> Iterator[Array]:
        """Yield all numbers of patches in an order that is fast to read: a grid in tiles, others portion by portion."""
        tile = self._tile()
        if isinstance(positions, Grid):
            yield from positions.walk(tile)
            return
        for portion in portions(positions.count):
            starts = positions.starts(portion)
            tiles = [starts[:, i + 1] // side for i, side in enumerate(tile)]
            units = [starts[:, i] // self.unit[axis] for i, axis in enumerate(self.axes)]
            yield portion[np.lexsort((starts[:, -1], *reversed(units), *reversed(tiles)))]

    def _groups(self, numbers: Iterable[Array]) -> Iterator[Array]:
        """Yield ``numbers`` in groups of a few megabytes of patches."""
        most = int(max(1, min(GROUP, self.group_bytes // max(1, self.nbytes))))
        held: list[Array] = []
        count = 0
        for some in numbers:
            held.append(some)
            count += len(some)
            if count >= most:
                joined = np.concatenate(held)
                whole = count - count % most
                yield from (joined[i : i + most] for i in range(0, whole, most))
                held, count = [joined[whole:]], count - whole
        if count:
            yield np.concatenate(held)

    def _cut_all(self, starts: Array, kept: Pieces) -> list[Array]:
        return [self._cut(start, kept) for start in starts.tolist()]

    def _cut(self, start: Sequence[int], kept: Pieces) -> Array:
        """Return one patch, put together from pieces."""
        whole = [slice(0, n) for n in self.patch]
        for axis, begin in zip(self.axes, start, strict=True):
            whole[axis] = slice(begin, begin + self.patch[axis])
        inside = tuple(slice(s.start, min(s.stop, n)) for s, n in zip(whole, self.shape, strict=True))
        return self.finished(self._pieced(inside, kept))

    def finished(self, stored: Array) -> Array:
        """Return a patch from its ``stored`` pixels inside the image: scaled, and filled up beyond the image."""
        real = stored if self.scaling is None else scaled(stored, self.scaling, self.dtype)
        if real.shape == self.patch:
            return real
        out = np.full(self.patch, self.fill, self.dtype)
        out[tuple(slice(0, n) for n in real.shape)] = real
        return out

    def _pieced(self, region: Region, kept: Pieces) -> Array:
        if not kept.most:  # a copy, because it may be a view of the source
            return np.array(self.reader.read(region), order="C")
        out, start = np.empty(shape_of(region), self.reader.spec.dtype), tuple(s.start for s in region)
        for index, part in pieces(region, self.unit):
            corner = tuple(i * n for i, n in zip(index, self.unit, strict=True))
            out[shift(part, start)] = kept.get(index)[shift(part, corner)]
        return out

    def _pieces(self, limit: int) -> Pieces:
        # Pixels in memory need no second copy.
        plain = math.prod(self.reader.spec.chunks) == 1 and self.unit == self.reader.spec.chunks
        return Pieces(self._piece, 0 if plain else max(1, limit // self._piece_bytes()))

    def _piece(self, index: Shape) -> Array:
        """Return the piece at ``index`` of the grid of pieces, cut at the edge of the image."""
        return self.reader.read(piece(index, self.unit, self.shape))

    def _piece_bytes(self) -> int:
        return max(1, math.prod(self.unit)) * self.reader.spec.dtype.itemsize

    @property
    def least_bytes(self) -> int:
        """Bytes of the pieces that one patch may touch."""
        met = (-(-(n - 1) // u) + 1 for n, u in zip(self.patch, self.unit, strict=True))
        return math.prod(met) * self._piece_bytes()

    def _limit(self) -> int:
        """Return how many bytes of pieces to keep between patches that are read one by one."""
        return max(self.kept_bytes // 4, min(self.kept_bytes, 2 * self.least_bytes))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None}


def piece_shape(spec: ImageSpec, access: Access) -> Shape:
    """Return the shape of a piece, which is decoded at once: source chunks with all channels; small ones are joined.

    A piece of an ordered source is a band as wide as the image; of an array in memory it is a pixel.
    """
    if access.kind == "sequential":
        return band_shape(spec, access.order, MOST_PIECE_BYTES, itemsize=spec.dtype.itemsize)
    unit = [min(c, n) for c, n in zip(spec.chunks, spec.shape, strict=True)]
    if math.prod(unit) == 1:
        return tuple(unit)
    if "c" in spec.dims:
        axis = spec.axis("c")
        if math.prod(unit) // unit[axis] * spec.shape[axis] * spec.dtype.itemsize <= MOST_PIECE_BYTES:
            unit[axis] = spec.shape[axis]
    while math.prod(unit) * spec.dtype.itemsize < PIECE_BYTES:
        short = [i for i, a in enumerate(spec.axes) if a.type == "space" and unit[i] < spec.shape[i]]
        if not short:
            break
        least = min(short, key=unit.__getitem__)
        unit[least] = min(2 * unit[least], spec.shape[least])
    return tuple(unit)


def smaller_sizes(sides: Sequence[int], overlap: Sequence[int]) -> Iterator[Shape]:
    """Yield sizes of patches, each a fifth smaller than the last, as long as they have more pixels than ``overlap``.

    >>> list(smaller_sizes((1, 200, 100), (0, 32, 32)))[:3]
    [(1, 160, 80), (1, 128, 64), (1, 96, 51)]
    """
    for step in itertools.count(1):
        wanted = [max(1, int(n * 0.8**step)) for n in sides]
        found = tuple(n - n % 16 if n > 64 else n for n in wanted)
        if max(found) == 1 or any(
            n <= least < side for n, least, side in zip(found, overlap, sides, strict=True)
        ):
            return
        yield found


def portions(count: int) -> Iterator[Array]:
    """Yield the numbers below ``count``, many at a time."""
    for first in range(0, count, SORTED_AT_ONCE):
        yield np.arange(first, min(first + SORTED_AT_ONCE, count))
