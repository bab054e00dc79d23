"""Several blocks as one task: how many they are, and what they return.

A future costs 6 ms on a cluster and each record of the journal a sync, so a task makes blocks for about as long as its
pool says. The statistics of integers are merged here, exactly. Those of floats stay one entry a block.
"""

from __future__ import annotations

import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigimg.conversion.block import BlockResult, SweepJob, Work
from bigimg.conversion.pool import AHEAD, Pool
from bigimg.geometry.region import grid
from bigimg.omezarr.manifest import RECORD
from bigimg.omezarr.shard import object_grid
from bigimg.pyramid.partial import MergedIntegers, Partial
from bigimg.types import Array, Region, Shape

MOST = 1024
"""Blocks of a batch."""
SHARE = 2 * AHEAD
"""A batch is at most this part of the blocks that each slot has left, so that all slots end at about the same time."""

MERGED_BYTES = 2_000_000
"""Histograms that a batch may hold: those of four channels of 16 bits. Of more channels batches have fewer blocks."""

ROW = np.dtype([("object", "<u8"), ("record", RECORD)])
"""What is recorded of an object: its number in C order in the grid of its level, and its record in the manifest."""

type Unit = tuple[Any, ...]
"""What is read at once: a band and its blocks, or a block alone; the arguments of what makes it, after the work."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch of blocks returns; their pixels are in their files."""

    blocks: Array
    """Numbers of the blocks, in C order in the grid of the sweep."""
    records: dict[int, Array]
    """A :data:`ROW` for each object, by level."""
    partials: list[tuple[int, Partial]]
    """Channel and statistics of level 0: of integers one a channel, of floats one a channel and block."""
    read_bytes: int
    """Decoded bytes of what was read."""
    seconds: float = 0.0
    """How long it took."""


def make_batch(make: Callable[..., list[BlockResult]], work: Work, units: Sequence[Unit]) -> Batch:
    """Make the blocks of ``units``, each with ``make(work, *unit)``."""
    started = time.monotonic()
    gathered = Gathered(work.job)
    for unit in units:
        for result in make(work, *unit):
            gathered.add(result)
    return gathered.batch(time.monotonic() - started)


class Gathered:
    """Results of blocks, put together one by one: no more than one histogram a channel is in memory."""

    def __init__(self, job: SweepJob) -> None:
        self.block = job.block
        first = next(iter(job.targets.values())).layout
        self.block_grid = grid(first.shape, job.block)
        self.grids = {level: object_grid(target.layout) for level, target in job.targets.items()}
        self.ndim = len(first.shape)
        self.starts = array("q")
        self.rows = {level: array("Q") for level, target in job.targets.items() if target.kept}
        """Index, length and checksums of each object, as numbers: thousands of objects would be garbage to collect."""
        self.integers: defaultdict[int, MergedIntegers] = defaultdict(MergedIntegers)
        self.floats: list[tuple[int, Partial]] = []
        self.is_float = first.dtype.kind == "f"
        self.read_bytes = 0

    def add(self, result: BlockResult) -> None:
        """Add what one block returned."""
        self.starts.extend(result.start)
        self.read_bytes += result.read_bytes
        for level, records in result.records.items():
            for each in records:
                self.rows[level].extend((*each.index, each.length, each.crc32c, each.index_crc32c))
        if self.is_float:
            self.floats += result.partials
        else:
            for channel, part in result.partials:
                self.integers[channel].add(part)

    def batch(self, seconds: float = 0.0) -> Batch:
        """Return all that was added."""
        records = {}
        for level, numbers in self.rows.items():
            columns = np.array(numbers, np.uint64).reshape(-1, self.ndim + 3).T
            rows = records[level] = np.empty(columns.shape[1], ROW)
            rows["object"] = _numbers(columns[: self.ndim], self.grids[level])
            for name, column in zip(RECORD.names or (), columns[self.ndim :], strict=True):
                rows["record"][name] = column
        starts = np.array(self.starts, np.int64).reshape(-1, self.ndim)
        blocks = _numbers((starts // self.block).T, self.block_grid)
        merged = [(channel, each.result()) for channel, each in self.integers.items()]
        return Batch(blocks, records, merged + self.floats, self.read_bytes, seconds)


def _numbers(indices: Array, shape: Shape) -> Array:
    """Return the numbers, in C order in a grid of ``shape``, of ``indices`` of shape (axes, n)."""
    return np.asarray(np.ravel_multi_index(tuple(indices.astype(np.int64)), shape), "<u8")


class BatchSize:
    """How many blocks the next batch has: few at first, then what the pool's seconds allow, and few again at the end.

    Parameters
    ----------
    pool : Pool
    left : int
        Blocks that are to be made.
    counted : ndarray of shape (channels, bins), optional
        The histograms of the image.
    """

    def __init__(self, pool: Pool, left: int, counted: Array | None = None) -> None:
        self.pool, self.left, self.most = pool, left, MOST
        if counted is not None and counted.nbytes > MERGED_BYTES:
            self.most = max(1, min(MOST, MERGED_BYTES // counted[0].nbytes))
        self.grown, self.each = 1, 0.0

    def now(self) -> int:
        """Return the size of a batch that is begun now."""
        fair = self.left // (SHARE * max(1, self.pool.slots()))
        fitting = int(self.pool.batch_seconds / self.each) if self.each else self.most
        return max(1, min(self.most, self.grown, fitting, fair))

    def took(self, blocks: int, seconds: float) -> None:
        """Learn from a batch that has ended."""
        each = seconds / blocks
        self.each = (self.each + each) / 2 if self.each else each
        self.grown = max(self.grown, 2 * blocks)


def in_batches(units: Iterable[tuple[Unit, int]], size: BatchSize) -> Iterator[list[Unit]]:
    """Yield lists of ``units``, of the ``size`` that is right at that time; with each comes how many blocks it has."""
    batch: list[Unit] = []
    held, wanted = 0, 1
    for unit, blocks in units:
        if not batch:
            wanted = size.now()
        batch.append(unit)
        held += blocks
        if held >= wanted:
            size.left -= held
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def left_of(blocks: Iterable[Region], block: Shape, done: Array | None) -> Iterator[Region]:
    """Return those of the ``blocks`` that are not ``done``, which is of the shape of their grid; None means none is."""
    if done is None:
        return iter(blocks)
    return (
        each for each in blocks if not done[tuple(s.start // n for s, n in zip(each, block, strict=True))]
    )
