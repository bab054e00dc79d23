"""The pass: from a reader to a finished store, by the plan.

for each sweep:      the source, or the last level written
  for each band:     read once, in order where the source demands it
    for each block:  its shards at each level of the sweep, its statistics, its checksums
then                 statistics, manifest, metadata, and the root last

Every finished block is recorded in the journal of the staging folder. A run that finds a journal skips its blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimg.conversion import commit
from bigimg.conversion.batch import Batch, BatchSize, in_batches, left_of, make_batch
from bigimg.conversion.block import (
    StoredArray,
    SweepJob,
    Work,
    convert_band,
    convert_strips,
    first_pixel,
    reduce_block,
)
from bigimg.conversion.carrying import Carried
from bigimg.conversion.cluster import chosen_pool
from bigimg.conversion.commit import Staging
from bigimg.conversion.dask_pool import DaskPool
from bigimg.conversion.estimate import check_room
from bigimg.conversion.identity import identity
from bigimg.conversion.journal import Journal, finished_batches, remove_others
from bigimg.conversion.labels import adding_label
from bigimg.conversion.pool import Pool, Task, in_portions, in_window
from bigimg.conversion.progress import Meter, Report, reporting
from bigimg.conversion.scratch import copy_to_scratch
from bigimg.conversion.store_metadata import write_metadata
from bigimg.conversion.target import checked_target
from bigimg.errors import WorkerError
from bigimg.geometry.holes import holes_of_levels
from bigimg.geometry.region import grid, overlap, pieces, shift
from bigimg.omezarr.codecs import CODECS
from bigimg.omezarr.manifest import RECORD
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.packed import is_packed, objects_below, write_packed
from bigimg.omezarr.shard import ShardLayout
from bigimg.places.folder_target import FolderTarget
from bigimg.places.staging import staging_folder
from bigimg.planning.blocks import Sweep, strip_step, walk
from bigimg.planning.plan import ConversionPlan
from bigimg.pyramid.partial import Accumulator
from bigimg.reader import Reader
from bigimg.readers.digest import source_digest
from bigimg.system.signals import undisturbed
from bigimg.types import Array, Json, Region, Shape

if TYPE_CHECKING:
    from distributed import Client

STRIP_BYTES = 16_000_000
"""Size of the strips in which an ordered source is read; Ctrl-C takes effect between two strips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How a conversion is run, as :func:`bigimg.convert` has it; whatever is chosen here, the store is the same."""

    executor: Executor | Client | DaskPool | None = None
    """Who runs the blocks, as :func:`bigimg.conversion.cluster.chosen_pool` takes it. A source that is decoded in order
    is converted by threads."""
    progress: bool | Report | None = None
    resume: bool = True
    overwrite: bool = False
    sync: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a pass."""

    plan: ConversionPlan
    seconds: float
    stored_bytes: int
    """Size of all objects of all levels."""
    objects: int
    statistics: dict[str, Json] = field(repr=False)
    """Count, sum, min, max and so on of each channel, in stored values."""
    blocks_resumed: int = 0
    """Blocks that an earlier run had finished; they were checked and not written again."""

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {
            "target": self.plan.target,
            "seconds": round(self.seconds, 3),
            "decoded_bytes": self.plan.spec.nbytes,
            "stored_bytes": self.stored_bytes,
            "objects": self.objects,
            "levels": len(self.plan.levels),
            "labels": [label.name for label in self.plan.labels],
            "notes": list(self.plan.notes),
            "blocks_resumed": self.blocks_resumed,
            "statistics": self.statistics,
        }


def run(
    plan: ConversionPlan,
    reader: Reader,
    how: Running,
    *,
    labels: Sequence[Carried] = (),
) -> Result:
    """Convert the image of ``reader`` into the store ``plan.target``, and return what was done.

    Parameters
    ----------
    plan : ConversionPlan
    reader : Reader
        Of the source that the plan was made for.
    how : Running
    labels : sequence of Carried
        Label images that go along.

    Raises
    ------
    InputError
        The source is corrupt. Nothing is left behind.
    OutputError
        The target cannot be written. What was done is kept beside it, for a later run to continue.
    ResumeError
        An earlier run left an incomplete store of another source, or with other options.
    WorkerError
        A worker process died. What was done is kept.
    """
    named = [label.target.name for label in labels]
    target = checked_target(plan.target, plan.source, reader, overwrite=how.overwrite, labels=named)
    check_room(plan, reader, target.parent)
    known_by = identity(plan, reader)
    with (
        commit.staged(
            target,
            known_by,
            resume=how.resume,
            overwrite=how.overwrite,
            sync=how.sync,
            one_file=is_packed(target),
            labels=named,
        ) as staging,
        reporting(how.progress) as report,
    ):
        for label in labels:
            _write_label(label, staging.store, replace(how, progress=report or False))
        with chosen_pool(how.executor, plan.workers, in_order=plan.access.kind == "sequential") as pool:
            away = pool.check(plan, reader, staging.folder)
            done = _Pass(plan, reader, staging, pool, report, durable=away and how.sync)
            try:
                done.sweep_all()
            except BrokenExecutor as error:
                raise WorkerError(
                    f"{plan.source}: a worker died ({error}); run it again to go on, with fewer workers"
                ) from error
            finally:
                done.journal.close()
        commit.hook("swept")
        with undisturbed():  # this takes some milliseconds, and no file stays half written
            statistics = write_metadata(
                staging.store, plan, done.arrays, done.records, done.accumulator, source_digest(reader)
            )
        if staging.one_file:
            done.meter.begin("packing")
            write_packed(staging.store, objects_below(staging.store), staging.made, plan.ome_version)
            commit.hook("packed")
    return Result(plan, done.meter.seconds, done.stored_bytes, plan.objects, statistics, done.resumed)


def _write_label(label: Carried, store: Path, how: Running) -> None:
    """Write a label image into the unfinished ``store`` of its image, unless an earlier run has done so."""
    target = replace(label.target, folder=store / LABELS)
    path = target.folder / target.name
    with adding_label(target):
        if not path.exists():
            run(
                replace(label.plan, target=str(path)),
                label.reader,
                replace(how, resume=True, overwrite=False),
            )
        elif (left := staging_folder(path)).exists():  # that run was stopped while it cleared up
            commit.discard(left)
    label.reader.close()


class _Pass:
    """The state of one run: what was counted and recorded so far."""

    def __init__(
        self,
        plan: ConversionPlan,
        reader: Reader,
        staging: Staging,
        pool: Pool,
        report: Report | None,
        *,
        durable: bool,
    ) -> None:
        self.plan, self.reader, self.staging, self.pool = plan, reader, staging, pool
        spec = plan.spec
        self.channel_axis = spec.axis("c") if "c" in spec.dims else None
        channels = 1 if self.channel_axis is None else spec.shape[self.channel_axis]
        self.accumulator = Accumulator(spec.dtype, channels, spec.padding, spec.missing)
        self.records = {p.level.index: np.zeros(p.objects, RECORD) for p in plan.stored}
        self.stored_bytes = 0
        shapes, steps = zip(*((p.level.shape, p.level.step) for p in plan.levels), strict=True)
        holes = holes_of_levels(spec.missing, shapes, steps, plan.method)
        self.arrays = {
            p.level.index: StoredArray(
                FolderTarget(staging.store / str(max(0, p.level.index - plan.first)), staging.parts, durable),
                ShardLayout(p.level.shape, spec.dtype, p.chunk, p.shard, CODECS[plan.codec], plan.zarr),
                p.level.step,
                lost,
                p.level.index >= plan.first,
            )
            for p, lost in zip(plan.levels, holes, strict=True)
        }
        pixels = [
            spec.size if s.reads is None else math.prod(plan.levels[s.reads].level.shape) for s in plan.sweeps
        ]
        self.meter = Meter(sum(pixels) * spec.dtype.itemsize + plan.scratch_bytes, report)
        self.done = [
            np.zeros(grid(plan.levels[sweep.writes[0]].level.shape, sweep.block), bool)
            for sweep in plan.sweeps
        ]
        self.resumed = 0
        for array in self.arrays.values():
            array.folder.mkdir(exist_ok=True)
        if staging.resumed:
            self._resume()
        self.journal = Journal(staging.folder / commit.JOURNAL)

    def _resume(self) -> None:
        """Count the blocks that an earlier run finished and that are still as written; remove everything else."""
        self.meter.begin("checking what was done")
        for number, batch in finished_batches(self.staging, self.arrays, self.plan.workers):
            if not self.done[number].reshape(-1)[batch.blocks].any():  # it was not made twice
                self._count(number, batch)
                self.resumed += batch.blocks.size
        remove_others(self.staging, self.arrays, self.records)

    def sweep_all(self) -> None:
        """Run every sweep, the first one through a scratch file if the plan says so."""
        for number, sweep in enumerate(self.plan.sweeps):
            if self.done[number].all():
                continue
            if sweep.reads is None and self.plan.traversal.kind == "scratch":
                self._sweep_scratch(number, sweep)
            else:
                self._sweep(number, sweep, self.reader)

    def _sweep_scratch(self, number: int, sweep: Sweep) -> None:
        self.meter.begin("scratch")
        path = self.staging.folder / commit.SCRATCH
        path.unlink(missing_ok=True)  # an earlier run may have left an incomplete copy
        copy = copy_to_scratch(self.reader, path, self.meter.advance)
        try:
            self._sweep(number, sweep, copy)
        finally:
            copy.close()
            path.unlink()

    def _sweep(self, number: int, sweep: Sweep, reader: Reader) -> None:
        self.meter.begin(f"level {sweep.writes[0]}")
        plan, targets = self.plan, {level: self.arrays[level] for level in sweep.writes}
        source = None if sweep.reads is None else self.arrays[sweep.reads]
        job = SweepJob(source, targets, sweep.block, plan.method, self.channel_axis, plan.spec.padding)
        left = int(np.count_nonzero(~self.done[number]))
        size = BatchSize(self.pool, left, self.accumulator.histogram if sweep.reads is None else None)
        work = Work(job, reader if source is None else None)
        for batch in self._results(sweep, work, self.done[number], size):
            size.took(batch.blocks.size, batch.seconds)
            self.journal.append((number, batch))
            self._count(number, batch)
            for _ in range(batch.blocks.size):
                commit.hook("block")

    def _results(self, sweep: Sweep, work: Work, done: Array, size: BatchSize) -> Iterator[Batch]:
        spec, shared = self.plan.spec, self.pool.share(work)
        if work.reader is None:
            shape = self.plan.levels[sweep.writes[0]].level.shape
            blocks = left_of(walk(shape, sweep.block, spec.dims), sweep.block, done)
            batches = in_batches((((block,), 1) for block in blocks), size)
            return in_window(self.pool, ((make_batch, reduce_block, shared, batch) for batch in batches))
        order, sequential = work.reader.access.order, work.reader.access.kind == "sequential"
        bands = self._bands(order, sweep.block, done)
        if sequential:
            step = strip_step(spec, order, STRIP_BYTES)
            portions = (partial(_read, work, *each, step) for each in bands)
            return in_portions(self.pool, portions, self.plan.bands)
        batches = in_batches(((each, len(each[1])) for each in bands), size)
        return in_window(self.pool, ((make_batch, convert_band, shared, batch) for batch in batches))

    def _bands(
        self, order: tuple[str, ...], block: Shape, done: Array | None
    ) -> Iterator[tuple[Region, list[Region]]]:
        """Yield each band of the source, and those of its blocks that are not done."""
        band, spec = self.plan.traversal.band, self.plan.spec
        regions = walk(spec.shape, band, spec.dims, order)
        if band == block:
            yield from ((each, [each]) for each in left_of(regions, block, done))
            return
        for each in regions:
            if left := list(left_of((part for _, part in pieces(each, block)), block, done)):
                yield each, left

    def _count(self, sweep: int, batch: Batch) -> None:
        self.done[sweep].reshape(-1)[batch.blocks] = True
        for level, rows in batch.records.items():
            self.records[level].reshape(-1)[rows["object"]] = rows["record"]
            self.stored_bytes += int(rows["record"]["length"].sum())
        for channel, part in batch.partials:
            self.accumulator.add(channel, part)
        self.meter.advance(batch.read_bytes)


def _read(work: Work, band: Region, blocks: Sequence[Region], step: Shape) -> list[Task]:
    """Read one band in this thread, strip by strip, and return a task for each of its ``blocks``."""
    assert work.reader is not None
    strips = [(strip, work.reader.read(strip)) for _, strip in pieces(band, step)]
    return [(make_batch, convert_strips, work, [(block, _parts(strips, block))]) for block in blocks]


def _parts(strips: list[tuple[Region, Array]], block: Region) -> list[tuple[Region, Array]]:
    """Return the parts of ``block`` that lie in each strip, as views."""
    parts = []
    for strip, data in strips:
        part = overlap(strip, block)
        if all(s.start < s.stop for s in part):
            parts.append((part, data[shift(part, first_pixel(strip))]))
    return parts
