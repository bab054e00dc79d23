"""Blocks, sweeps and bands: who writes which shard, and in what portions the source is read.

A *block* owns whole shards of level 0 and of the next levels, as long as halving it gives whole chunks; that
is one *sweep*. The next sweep starts from the last level written, with full shards again. The layout follows
from the image alone. How the source is walked through does not change a byte of it, so the budget may choose:

    blocks    each worker reads its own block; when the chunks of the source fit the blocks
    bands     several blocks are read at once, so that no source chunk is decoded twice (rows of a PNG,
              strips of a TIFF); an ordered source is always read in bands
    scratch   a band would not fit: the source is first copied, uncompressed, to a file beside the target
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bigimg.geometry.chunks import SHARD_RATIO, cut_shard
from bigimg.geometry.levels import Level
from bigimg.geometry.region import grid, piece
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.types import Method, Region, Shape

MOST_REREAD = 1.3
"""Times a source chunk may be decoded on average before bands take the place of blocks."""


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level of the store: its geometry and how it is cut."""

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
    """Level it reads; None for the source."""
    writes: tuple[int, ...]
    """Levels it writes, fine to coarse."""
    block: Shape
    """Pixels of a block at the first level it writes."""


@dataclass(frozen=True, slots=True)
class Traversal:
    """In what portions the source is read."""

    kind: Literal["blocks", "bands", "scratch"]
    band: Shape
    """Pixels of a portion at level 0: one block, or several."""
    reread: float
    """How often a source chunk is decoded, on average."""


def plan_sweeps(
    levels: Sequence[Level], chunks: Shape, shards: Shape, method: Method
) -> tuple[tuple[LevelPlan, ...], tuple[Sweep, ...]]:
    """Return how every level is cut, and the sweeps that write them."""
    ratio = tuple(s // c for s, c in zip(shards, chunks, strict=True))
    layouts: list[LevelPlan] = []
    sweeps: list[Sweep] = []
    while len(layouts) < len(levels):
        first = len(layouts)
        chunk, shard = _cut(levels[first].shape, chunks, ratio)
        block = _block(levels[first], chunk, shard)
        sweeps.append(Sweep(first - 1 if first else None, (first,), block))
        layouts.append(LevelPlan(levels[first], chunk, shard))
        # The neighbours that a Gaussian needs belong to other blocks: each of its levels is a sweep of its own.
        while method != "gaussian" and len(layouts) < len(levels):
            level = levels[len(layouts)]
            halved = _halve(block, levels[first].shape, level, chunks)
            if halved is None:
                break
            chunk, shard = _cut(level.shape, chunks, ratio)
            shard = tuple(
                s if n <= b else min(s, b) for s, b, n in zip(shard, halved, level.shape, strict=True)
            )
            layouts.append(LevelPlan(level, chunk, shard))
            sweeps[-1] = Sweep(sweeps[-1].reads, tuple(range(first, len(layouts))), sweeps[-1].block)
    return tuple(layouts), tuple(sweeps)


def _cut(shape: Shape, chunks: Shape, ratio: Shape) -> tuple[Shape, Shape]:
    """Return chunk and shard of a level of ``shape``: a chunk is never longer than the axis."""
    chunk = tuple(map(min, chunks, shape))
    return chunk, tuple(cut_shard(n, c, c * r) for n, c, r in zip(shape, chunk, ratio, strict=True))


def _block(level: Level, chunk: Shape, shard: Shape) -> Shape:
    """Return the block for shards of ``shard``: as many as make at least 4 chunks along a longer axis of space.

    Small shards are grouped so that a sweep still writes several levels.
    """
    block = []
    for n, c, s in zip(level.shape, chunk, shard, strict=True):
        grouped = s * max(1, -(-SHARD_RATIO * c // s)) if c > 1 else s
        block.append(grouped if grouped < n else -(-n // s) * s)
    return tuple(block)


def _halve(block: Shape, first: Shape, level: Level, chunks: Shape) -> Shape | None:
    """Return ``block`` of a sweep as pixels of ``level``, or None when it is no longer whole chunks there.

    Along an axis that one block covers, any length will do.
    """
    halved = []
    for b, n, size, factor, c in zip(
        block, first, level.shape, _since(first, level.shape), chunks, strict=True
    ):
        if b >= n:
            halved.append(max(size, 1))
        elif b % factor or (b // factor) % min(c, size):
            return None
        else:
            halved.append(b // factor)
    return tuple(halved)


def _since(first: Shape, now: Shape) -> Shape:
    """Return the power of two by which each axis shrank from ``first`` to ``now`` (sizes by ceil)."""
    factors = []
    for n, m in zip(first, now, strict=True):
        f = 1
        while -(-n // f) > m:
            f *= 2
        factors.append(f)
    return tuple(factors)


def plan_traversal(spec: ImageSpec, access: Access, block: Shape) -> Traversal:
    """Return the portions in which the source is best read, whatever they cost."""
    if access.kind == "sequential":
        return Traversal("bands", ordered_band(spec, access, block), 1.0)
    if access.kind == "whole":
        return Traversal("blocks", block, 1.0)
    band = list(block)
    if access.wide:
        band[-1] = -(-spec.shape[-1] // block[-1]) * block[-1]
    times = [_times(*axis) for axis in zip(spec.shape, spec.chunks, band, strict=True)]
    while math.prod(times) > MOST_REREAD:
        worst = max(range(len(band)), key=lambda i: times[i])
        band[worst] = min(band[worst] * 2, -(-spec.shape[worst] // block[worst]) * block[worst])
        times[worst] = _times(spec.shape[worst], spec.chunks[worst], band[worst])
    return Traversal("blocks" if tuple(band) == block else "bands", tuple(band), math.prod(times))


def _times(size: int, chunk: int, band: int) -> float:
    """Return how often a source chunk is met, on average, when an axis is walked in steps of ``band``.

    >>> _times(100, 10, 20), _times(100, 100, 20), _times(100, 30, 20)
    (1.0, 5.0, 1.75)
    """
    met = sum(-(-min(s + band, size) // chunk) - s // chunk for s in range(0, size, band))
    return met / -(-size // chunk)


def ordered_band(spec: ImageSpec, access: Access, block: Shape) -> Shape:
    """Return the slab that an ordered source is read in: blocks side by side along all its faster axes."""
    band = list(spec.shape)
    for name in access.order:
        axis = spec.axis(name)
        band[axis] = block[axis]
        if min(block[axis], spec.shape[axis]) > 1:
            break
    return tuple(band)


def strip_step(spec: ImageSpec, order: tuple[str, ...], most_bytes: int) -> Shape:
    """Return the shape of the strips in which an ordered source is taken: whole chunks of its own.

    Along the axes that are faster than the one it cuts a strip is as long as the image.
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
    """Yield the regions of a tiling of ``shape`` by ``step``, the axis named first in ``order`` slowest."""
    axes = [dims.index(name) for name in order or dims]
    counts = grid(shape, step)
    for position in itertools.product(*(range(counts[a]) for a in axes)):
        index = [0] * len(shape)
        for axis, i in zip(axes, position, strict=True):
            index[axis] = i
        yield piece(tuple(index), step, shape)


def reduced_piece(block: Shape, chunk: Shape, step: Shape, method: Method) -> Shape:
    """Return how much of ``block`` a later sweep makes at once from the level below.

    What a chunk is made of along the halved axes; the Gaussian, which reads a pixel beyond and with it whole
    chunks, makes pieces from what is as large as a block.
    """
    if method == "gaussian":
        return tuple(max(1, n // f) for n, f in zip(block, step, strict=True))
    return tuple(min(n, c) if f > 1 else n for n, c, f in zip(block, chunk, step, strict=True))
