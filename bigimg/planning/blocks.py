"""Blocks, sweeps and bands: who writes which shard, and in what portions the source is read.

A *block* owns whole shards of level 0 and of the next levels, for as long as halving it gives whole chunks. That is
one *sweep*. The next sweep reads the last level that was written, and has full shards again. The layout depends on
the image alone. The way in which the source is read does not change a byte of the store, so the budget may choose it:

    blocks    each worker reads its own block, if the chunks of the source fit the blocks
    bands     several blocks are read at once, so that no source chunk is decoded twice (rows of a PNG,
              strips of a TIFF); an ordered source is always read in bands
    scratch   if a band does not fit, the source is first copied, uncompressed, to a file beside the target
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bigimg.geometry.chunks import SHARD_RATIO, cut_shard
from bigimg.geometry.levels import Level
from bigimg.geometry.region import grid
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.types import Method, Region, Shape

MOST_REREAD = 1.3
"""How often a source chunk may be decoded on average; above this number bands are read instead of blocks."""

WIDE_BYTES = 48_000_000
"""Rows of blocks of more bytes are read in two halves where a source is ``wide``. That takes half of the memory, and no
more CPU time was measured: bands of this size are new pages for each read, which cost as much as copying twice."""


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level of the store: its geometry, chunks and shards."""

    level: Level
    chunk: Shape
    """Unit of reading, in pixels."""
    shard: Shape
    """Unit of writing, in pixels: one object."""

    @property
    def objects(self) -> Shape:
        """Number of objects along each axis."""
        return grid(self.level.shape, self.shard)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over blocks."""

    reads: int | None
    """Level that is read; None for the source."""
    writes: tuple[int, ...]
    """Levels that are written, fine to coarse."""
    block: Shape
    """Pixels of a block at the first level that is written."""


@dataclass(frozen=True, slots=True)
class Traversal:
    """The portions in which the source is read."""

    kind: Literal["blocks", "bands", "scratch"]
    band: Shape
    """Pixels of a portion at level 0: one block, or several."""
    reread: float
    """How often a source chunk is decoded, on average."""


def plan_sweeps(
    levels: Sequence[Level], chunks: Shape, shards: Shape, method: Method
) -> tuple[tuple[LevelPlan, ...], tuple[Sweep, ...]]:
    """Return chunks and shards of every level, and the sweeps that write them."""
    ratio = tuple(s // c for s, c in zip(shards, chunks, strict=True))
    layouts: list[LevelPlan] = []
    sweeps: list[Sweep] = []
    while len(layouts) < len(levels):
        first = len(layouts)
        chunk, shard = _cut(levels[first].shape, chunks, ratio)
        block = _block(levels[first], chunk, shard)
        sweeps.append(Sweep(first - 1 if first else None, (first,), block))
        layouts.append(LevelPlan(levels[first], chunk, shard))
        # A Gaussian needs neighbours that belong to other blocks: each of its levels is a sweep of its own.
        for below, level in itertools.pairwise(levels[first:]) if method != "gaussian" else ():
            chunk, shard = _cut(level.shape, chunks, ratio)
            if (halved := halve(block, below.shape, level.shape, level.step, chunk)) is None:
                break
            block = halved
            shard = tuple(
                s if n <= b else min(s, b) for s, b, n in zip(shard, block, level.shape, strict=True)
            )
            layouts.append(LevelPlan(level, chunk, shard))
            sweeps[-1] = Sweep(sweeps[-1].reads, tuple(range(first, len(layouts))), sweeps[-1].block)
    return tuple(layouts), tuple(sweeps)


def _cut(shape: Shape, chunks: Shape, ratio: Shape) -> tuple[Shape, Shape]:
    """Return chunk and shard of a level of ``shape``: a chunk is never longer than the axis."""
    chunk = tuple(map(min, chunks, shape))
    return chunk, tuple(cut_shard(n, c, c * r) for n, c, r in zip(shape, chunk, ratio, strict=True))


def _block(level: Level, chunk: Shape, shard: Shape) -> Shape:
    """Return the block of a sweep: whole shards, and at least 4 chunks along each axis that has so many.

    Small shards are grouped, so that a sweep still writes several levels.
    """
    block = []
    for n, c, s in zip(level.shape, chunk, shard, strict=True):
        grouped = s * max(1, -(-SHARD_RATIO * c // s)) if c > 1 else s
        block.append(grouped if grouped < n else -(-n // s) * s)
    return tuple(block)


def halve(block: Shape, below: Shape, shape: Shape, step: Shape, chunk: Shape) -> Shape | None:
    """Return ``block`` of the level ``below`` as pixels of the next, or None when it is not whole chunks there.

    Along an axis that one block covers, any length will do.

    Parameters
    ----------
    block, below : tuple of int
        Pixels of the block and of its level.
    shape, step, chunk : tuple of int
        Of the next level: its pixels, those of a window in the level below, and those of a chunk.
    """
    halved = []
    for b, n, m, f, c in zip(block, below, shape, step, chunk, strict=True):
        if b < n and (b % f or (b // f) % c):
            return None
        halved.append(b // f if b < n else m)
    return tuple(halved)


def plan_traversal(spec: ImageSpec, access: Access, block: Shape) -> Traversal:
    """Return the portions in which the source is read fastest, for any budget."""
    if access.kind == "sequential":
        return Traversal("bands", ordered_band(spec, access, block), 1.0)
    if access.kind == "whole":
        return Traversal("blocks", block, 1.0)
    band = list(block)
    times = [_times(*axis) for axis in zip(spec.shape, spec.chunks, band, strict=True)]
    while math.prod(times) > MOST_REREAD:
        worst = max(range(len(band)), key=lambda i: times[i])
        band[worst] = min(band[worst] * 2, -(-spec.shape[worst] // block[worst]) * block[worst])
        times[worst] = _times(spec.shape[worst], spec.chunks[worst], band[worst])
    if access.wide:
        row = -(-spec.shape[-1] // block[-1])
        held = math.prod(map(min, (*band[:-1], row * block[-1]), spec.shape)) * spec.dtype.itemsize
        band[-1] = block[-1] * (row if held <= WIDE_BYTES else -(-row // 2))
        times[-1] = _times(spec.shape[-1], spec.chunks[-1], band[-1])
    return Traversal("blocks" if tuple(band) == block else "bands", tuple(band), math.prod(times))


def _times(size: int, chunk: int, band: int) -> float:
    """Return how often a source chunk is read, on average, when an axis is read in steps of ``band``.

    >>> _times(100, 10, 20), _times(100, 100, 20), _times(100, 30, 20)
    (1.0, 5.0, 1.75)
    """
    met = sum(-(-min(s + band, size) // chunk) - s // chunk for s in range(0, size, band))
    return met / -(-size // chunk)


def ordered_band(spec: ImageSpec, access: Access, block: Shape) -> Shape:
    """Return the slab in which an ordered source is read: blocks side by side along all its faster axes."""
    band = list(spec.shape)
    for name in access.order:
        axis = spec.axis(name)
        band[axis] = block[axis]
        if min(block[axis], spec.shape[axis]) > 1:
            break
    return tuple(band)


def strip_step(spec: ImageSpec, order: tuple[str, ...], most_bytes: int) -> Shape:
    """Return the shape of the strips in which an ordered source is read: whole chunks of the source.

    A strip cuts one axis. Along the faster axes it is as long as the image.
    """
    step = list(spec.shape)
    rest = spec.nbytes
    for name in order:
        axis = spec.axis(name)
        rest //= spec.shape[axis]
        chunk = spec.chunks[axis]
        step[axis] = min(spec.shape[axis], max(chunk, most_bytes // max(1, rest) // chunk * chunk))
        if rest * chunk <= most_bytes or chunk > 1:
            break
    return tuple(step)


def walk(shape: Shape, step: Shape, dims: tuple[str, ...], order: tuple[str, ...] = ()) -> Iterator[Region]:
    """Return the regions of a tiling of ``shape`` by ``step``, the axis named first in ``order`` slowest."""
    axes = [dims.index(name) for name in order or dims]
    parts = [[slice(i, min(i + step[a], shape[a])) for i in range(0, shape[a], step[a])] for a in axes]
    places = [axes.index(a) for a in range(len(shape))]
    found = itertools.product(*parts)  # 10**7 blocks are walked over: no more is done for each than must be
    return found if places == sorted(places) else (tuple(each[i] for i in places) for each in found)


def reduced_piece(block: Shape, chunk: Shape, step: Shape, method: Method) -> Shape:
    """Return how much of ``block`` a later sweep makes at once from the level below.

    Along the halved axes this is one chunk. A Gaussian reads whole chunks for the pixel beyond each side; its pieces
    are larger, and each is made from as many pixels as a block has.
    """
    if method == "gaussian":
        return tuple(max(1, n // f) for n, f in zip(block, step, strict=True))
    return tuple(min(n, c) if f > 1 else n for n, c, f in zip(block, chunk, step, strict=True))
