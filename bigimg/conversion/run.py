"""The pass: from a reader to a finished store, as the plan says.

for each sweep:      the source, or the last level written
  for each band:     read once, in order where the source demands it
    for each block:  its shards at each level of the sweep, its statistics, its checksums
then                 statistics, manifest, metadata, and the root last
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bigimg.conversion import commit, finish
from bigimg.conversion.block import (
    BlockResult,
    StoredArray,
    SweepJob,
    convert_band,
    convert_strips,
    reduce_block,
)
from bigimg.conversion.progress import Meter, Report, reporting
from bigimg.conversion.schedule import chosen_executor, in_portions, in_window
from bigimg.conversion.scratch import copy_to_scratch
from bigimg.errors import WorkerError
from bigimg.geometry.region import pieces, shift
from bigimg.omezarr.codecs import CODECS
from bigimg.omezarr.shard import ShardLayout
from bigimg.planning.blocks import Sweep, strip_step, walk
from bigimg.planning.plan import ConversionPlan
from bigimg.pyramid.partial import Accumulator
from bigimg.reader import Reader
from bigimg.types import Array, Json, Region, Shape

STRIP_BYTES = 16_000_000
"""Of an ordered source, read at once: Ctrl-C is heard between two of them."""

type Task = tuple[Any, ...]
"""A function and its arguments."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a pass did."""

    plan: ConversionPlan
    seconds: float
    stored_bytes: int
    """Of all objects, all levels."""
    objects: int
    statistics: dict[str, Json] = field(repr=False)
    """Count, sum, min, max and so on of each channel, in stored values."""

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {
            "target": self.plan.target,
            "seconds": round(self.seconds, 3),
            "decoded_bytes": self.plan.spec.nbytes,
            "stored_bytes": self.stored_bytes,
            "objects": self.objects,
            "levels": len(self.plan.levels),
            "statistics": self.statistics,
        }


def run(
    plan: ConversionPlan,
    reader: Reader,
    *,
    executor: Executor | None = None,
    progress: bool | Report | None = None,
) -> Result:
    """Convert what ``reader`` reads into the store ``plan.target``, and return what was done.

    Parameters
    ----------
    plan : ConversionPlan
    reader : Reader
        Of the source that the plan was made for.
    executor : concurrent.futures.Executor, optional
        Anything with ``submit``; threads, or an active dask client, when not given.
    progress : bool or callable, optional
        See :class:`~bigimg.conversion.progress.reporting`.

    Raises
    ------
    InputError
        The source turned out corrupt. Nothing is left behind.
    OutputError
        The target cannot be written. Nothing is left behind.
    WorkerError
        A worker process died.
    """
    target = commit.checked_target(plan.target, plan.source)
    with (
        reporting(progress) as report,
        commit.made(target) as root,
        chosen_executor(plan.workers, executor, yielding=plan.access.kind == "sequential") as pool,
    ):
        done = _Pass(plan, reader, root, pool, report)
        try:
            done.sweep_all()
        except BrokenExecutor as error:
            raise WorkerError(
                f"{plan.source}: a worker died ({error}); try again with fewer workers"
            ) from error
        statistics = finish.write_metadata(root, plan, done.records, done.accumulator)
    return Result(plan, done.meter.seconds, done.stored_bytes, plan.objects, statistics)


class _Pass:
    """The state of one run: what was counted and recorded so far."""

    def __init__(
        self, plan: ConversionPlan, reader: Reader, root: Path, pool: Executor, report: Report | None
    ) -> None:
        self.plan, self.reader, self.root, self.pool = plan, reader, root, pool
        spec = plan.spec
        self.channel_axis = spec.axis("c") if "c" in spec.dims else None
        channels = 1 if self.channel_axis is None else spec.shape[self.channel_axis]
        self.accumulator = Accumulator(spec.dtype, channels, spec.padding)
        self.records = {p.level.index: np.zeros((*p.objects, 2), np.uint64) for p in plan.levels}
        self.stored_bytes = 0
        self.arrays = {
            p.level.index: StoredArray(
                root / str(p.level.index),
                ShardLayout(p.level.shape, spec.dtype, p.chunk, p.shard, CODECS[plan.codec]),
                p.level.step,
            )
            for p in plan.levels
        }
        read = [spec.nbytes if s.reads is None else self._level_bytes(s.reads) for s in plan.sweeps]
        self.meter = Meter(sum(read) + plan.scratch_bytes, report)

    def _level_bytes(self, level: int) -> int:
        return math.prod(self.plan.levels[level].level.shape) * self.plan.spec.dtype.itemsize

    def sweep_all(self) -> None:
        """Run every sweep; the source may go through scratch first."""
        for sweep in self.plan.sweeps:
            if sweep.reads is None and self.plan.traversal.kind == "scratch":
                self._sweep_scratch(sweep)
            else:
                self._sweep(sweep, self.reader)

    def _sweep_scratch(self, sweep: Sweep) -> None:
        path = self.root.with_name(self.root.name + ".bigimg-scratch")
        self.meter.stage = "scratch"
        try:
            copy = copy_to_scratch(self.reader, path, self.meter.advance)
            try:
                self._sweep(sweep, copy)
            finally:
                copy.close()
        finally:
            path.unlink(missing_ok=True)

    def _sweep(self, sweep: Sweep, reader: Reader) -> None:
        self.meter.stage = f"level {sweep.writes[0]}"
        job = SweepJob(
            None if sweep.reads is None else self.arrays[sweep.reads],
            {level: self.arrays[level] for level in sweep.writes},
            sweep.block,
            self.plan.method,
            self.channel_axis,
            self.plan.spec.padding,
        )
        for result in self._results(sweep, job, reader):
            self._count(result)

    def _results(self, sweep: Sweep, job: SweepJob, reader: Reader) -> Iterator[BlockResult]:
        submit: Callable[..., Future[BlockResult]] = self.pool.submit
        spec, band = self.plan.spec, self.plan.traversal.band
        # Twice the workers: one block under way for each and one waiting, which holds no pixels.
        window = 2 * self.plan.workers
        if sweep.reads is not None:
            shape = self.plan.levels[sweep.writes[0]].level.shape
            blocks: Iterator[Task] = (
                (reduce_block, job, block) for block in walk(shape, sweep.block, spec.dims)
            )
            return in_window(submit, blocks, window)
        bands = walk(spec.shape, band, spec.dims, reader.access.order)
        if reader.access.kind == "sequential":
            step = strip_step(spec, reader.access.order, STRIP_BYTES)
            return in_portions(submit, (partial(_read, job, reader, b, step) for b in bands), self.plan.bands)
        return in_window(submit, ((convert_band, job, reader, b) for b in bands), window)

    def _count(self, result: BlockResult) -> None:
        for level, records in result.records.items():
            for record in records:
                self.records[level][record.index] = record.length, record.crc32c
                self.stored_bytes += record.length
        for channel, part in result.partials:
            self.accumulator.add(channel, part)
        self.meter.advance(result.read_bytes)


def _read(job: SweepJob, reader: Reader, band: Region, step: Shape) -> list[Task]:
    """Read one band, here and now and strip by strip, and return a task for each block in it."""
    strips = [(strip, reader.read(strip)) for _, strip in pieces(band, step)]
    return [(convert_strips, job, _parts(strips, block), block) for _, block in pieces(band, job.block)]


def _parts(strips: list[tuple[Region, Array]], block: Region) -> list[tuple[Region, Array]]:
    """Return what each strip has of ``block``, as views."""
    parts = []
    for strip, data in strips:
        part = tuple(
            slice(max(s.start, b.start), min(s.stop, b.stop)) for s, b in zip(strip, block, strict=True)
        )
        if all(s.start < s.stop for s in part):
            parts.append((part, data[shift(part, tuple(s.start for s in strip))]))
    return parts


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    import resource

    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
