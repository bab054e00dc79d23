"""The check of a store: objects, metadata, and unless it is to be quick every pixel, as often decoded as needed.

objects    every one of the manifest is there with its length, nothing else is, small ones have their checksum
metadata   levels and geometry agree, statistics agree with the histogram
pixels     every chunk has its checksum and decodes; each level is made again from the one below, as stored;
           statistics and histogram are counted again from level 0
source     level 0 is compared with what the reader gives
"""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import Executor
from functools import partial

from bigimg.conversion.progress import Meter, reporting
from bigimg.conversion.progress import Report as Tell
from bigimg.conversion.schedule import chosen_executor, in_window
from bigimg.errors import BigimgError, InputError, InputNotFoundError, IntegrityError, UsageError
from bigimg.omezarr.open import StoreReader, is_store, open_store
from bigimg.omezarr.store import Store, held_beside
from bigimg.omezarr.tree import Tree, tree_of
from bigimg.planning.blocks import walk
from bigimg.planning.checks import CheckPlan, Cut, Sources, make_check_plan
from bigimg.planning.memory import budget_bytes
from bigimg.pyramid.partial import Accumulator
from bigimg.reader import Access, Reader
from bigimg.system.memory import resident_bytes
from bigimg.system.processes import usable_cpus
from bigimg.types import DType, Method, Shape
from bigimg.verification.labels import check_labels
from bigimg.verification.metadata import channel_count, check_metadata, method_of, names_of
from bigimg.verification.objects import Known, check_objects, is_ours
from bigimg.verification.others import (
    MOST_IDS,
    LabelIds,
    check_foreign,
    check_region,
    find_unlisted,
    of_foreign_chunk,
    read_foreign,
    strange_ids,
)
from bigimg.verification.pixels import ChainJob, check_block, of_chunk, read_known
from bigimg.verification.report import Finding, Findings, Problem, Report
from bigimg.verification.source import (
    OfChunk,
    ReadKnown,
    comparable,
    compare_geometry,
    compare_source,
)
from bigimg.verification.statistics import compare_statistics

type Memory = int | float | str | None


def verify_store(
    path: str | os.PathLike[str] | Tree,
    source: Reader | None = None,
    *,
    quick: bool = False,
    memory: Memory = None,
    workers: int | None = None,
    progress: bool | Tell | None = None,
) -> Report:
    """Return what is wrong with the store at ``path``; see :func:`bigimg.verify`."""
    if quick and source is not None:
        raise UsageError(
            "a quick check reads no pixel, so nothing can be compared: leave out quick, or the source"
        )
    started = time.monotonic()
    tree = path if isinstance(path, Tree) else tree_of(path)
    name = tree.path
    with reporting(progress) as tell:
        checks: list[_Check] = []

        def check_one(each: Tree) -> Findings:
            against = source if each is tree else None
            checks.append(_Check(each, against, budget_bytes(memory), workers or usable_cpus(), tell))
            checks[-1].run(quick=quick)
            return checks[-1].found

        try:
            found = check_one(tree)
            check_labels(tree, found, check_one)
        except OSError as error:
            if isinstance(error, BigimgError):
                raise
            said = (
                f"{error.filename or name}: cannot be read ({error.strerror}); check the disk and permissions"
            )
            raise InputError(said) from error
    plan = max((c.plan for c in checks if c.plan), key=lambda plan: plan.peak_bytes, default=None)
    return found.report(
        store=name, source=None if source is None else source.source, quick=quick,
        seconds=time.monotonic() - started,
        peak_bytes=None if plan is None else plan.peak_bytes,
        budget_bytes=None if plan is None else plan.budget_bytes,
    )  # fmt: skip


class _Check:
    """One check under way: what was asked, what was found, how far it is."""

    def __init__(
        self, tree: Tree, source: Reader | None, budget: int, workers: int, tell: Tell | None
    ) -> None:
        self.tree, self.name = tree, tree.path
        self.source, self.budget, self.workers, self.tell = source, budget, workers, tell
        self.found = Findings()
        self.plan: CheckPlan | None = None
        self.meter = Meter(0, tell)

    def run(self, *, quick: bool) -> None:
        """Check whatever there is."""
        if is_ours(self.tree.place("")):
            self.ours(self.tree, quick=quick)
        else:
            self.others(quick=quick)

    # ------------------------------------------------------------------------------------------ stores of ours

    def ours(self, tree: Tree, *, quick: bool) -> None:
        """Check a store of ours, which ``tree`` is."""
        tree = tree if tree.folder is None else tree_of(tree.folder)  # places in messages are then absolute
        known = check_objects(tree, self.found)
        stored = check_metadata(tree, known, self.found)
        if quick or not known.levels:
            return
        steps, method = _steps(known), method_of(known.root)
        if steps is None or method is None:
            steps, method = {i: (1,) * len(level.meta.shape) for i, level in known.levels.items()}, None
            self.found.note("levels were not derived again: the method or a shape is not known")
        finest = next(iter(known.levels.values()))
        dims = tuple(map(str, names_of(finest.meta)))
        cuts = [Cut(i, v.meta.shape, v.meta.chunk, v.meta.shard, steps[i]) for i, v in known.levels.items()]
        plan = self._plan(
            cuts, finest.layout.dtype, dims, method, 0 in known.levels, _reading(tree, known), 0
        )
        axis = dims.index("c") if "c" in dims else None
        low_high = None if stored is None else stored.statistics.get("padding")
        padding = None if low_high is None else (int(low_high[0]), int(low_high[1]))
        counted = Accumulator(finest.layout.dtype, channel_count(finest.meta.shape, dims), padding)
        whole = 0 in known.levels
        with chosen_executor(plan.workers, None) as pool:
            for chain in plan.chains:
                self.meter.stage = f"level {chain.levels[0]}"
                levels = tuple(known.levels[i] for i in chain.levels)
                job = ChainJob(levels, steps, method, axis, chain.levels[0] == 0, padding)
                tasks = ((check_block, job, b) for b in walk(levels[0].meta.shape, chain.block, dims))
                for result in in_window(pool.submit, tasks, 2 * plan.workers):
                    self.found.add(*result.findings)
                    self.meter.advance(result.decoded_bytes)
                    whole = whole and (not job.counted or bool(result.partials))
                    for channel, part in result.partials:
                        counted.add(channel, part)
        if plan.band is not None:
            first = known.levels[0]
            of_first = partial(of_chunk, "source", first)
            with chosen_executor(plan.workers, None) as pool:  # new threads: the old ones held blocks
                self._compare(plan, first.meta.chunk, partial(read_known, first), of_first, pool)
        if stored is not None and whole:
            self.found.add(*compare_statistics(stored, counted, known.zarr))
        elif not whole:
            self.found.note("statistics were not counted again: pixels of level 0 are lost")
        if self.source is not None and known.root is not None and not self.found.damaged:
            compare_geometry(self.source.spec, open_store(tree).spec().axes, self.found)

    # ---------------------------------------------------------------------------------------- stores of others

    def others(self, *, quick: bool) -> None:
        """Check a store without a manifest of ours, or one that is not in a folder."""
        try:
            store = open_store(self.tree)
        except InputNotFoundError:
            raise
        except (InputError, IntegrityError) as error:
            if not is_store(self.name):
                raise
            place, _, said = str(error).partition(": ")
            kind: Problem = "missing" if isinstance(error, IntegrityError) else "metadata"
            self.found.add(Finding(kind, place.removeprefix(self.name.rstrip("/") + "/"), said or str(error)))
            return
        if store.tree.folder is not None and is_ours(store.tree.folder / store.group):
            self.ours(tree_of(store.tree.folder / store.group), quick=quick)
            return
        check_foreign(store, self.found)
        if not quick:
            self._decode(store)

    def _decode(self, store: Store) -> None:
        dtype, ones = store.levels[0].dtype, (1,) * len(store.dims)
        cuts = [Cut(i, level.shape, level.chunk, level.shard, ones) for i, level in enumerate(store.levels)]
        ids = store.kind == "labels" and dtype.kind in "iu" and len(store.levels) > 1
        reading = StoreReader(store).access
        plan = self._plan(cuts, dtype, store.dims, None, True, reading, 40 * MOST_IDS if ids else 0)
        known = LabelIds()
        with chosen_executor(plan.workers, None) as pool:
            for chain, level in zip(plan.chains, store.levels, strict=True):
                index = chain.levels[0]
                self.meter.stage = f"level {index}"
                reader = StoreReader(store, index)
                tasks = ((partial(check_region, ids=ids), reader, index, block)
                         for block in walk(level.shape, chain.block, store.dims))  # fmt: skip
                for result in in_window(pool.submit, tasks, 2 * plan.workers):
                    self.found.add(*result.findings)
                    self.meter.advance(result.decoded_bytes)
                    if ids and index == 0:
                        known.add(result.ids)
                    elif ids and (strange := known.strange(result.ids)):
                        self.found.add(strange_ids(store, index, result.region, strange))
                find_unlisted(store, index, self.found)
                if index == 0 and plan.band is not None:
                    of_first = partial(of_foreign_chunk, store, 0, "source")
                    self._compare(plan, level.chunk, partial(read_foreign, reader, 0), of_first, pool)
                reader.close()
        if ids and not known.whole:
            self.found.note(
                "ids of the levels were not compared: those of level 0 are too many, or not all known"
            )
        if self.source is not None and plan.band is not None:
            compare_geometry(self.source.spec, store.spec().axes, self.found)

    # -------------------------------------------------------------------------------------------------- both

    def _plan(
        self, cuts: list[Cut], dtype: DType, dims: tuple[str, ...], method: Method | None, full: bool,
        reading: Access | None, ids_bytes: int,
    ) -> CheckPlan:  # fmt: skip
        """Return the plan of reading the levels ``cuts``, of which level 0 can be read if ``full``."""
        spec = None if self.source is None else self.source.spec
        if spec is not None and not full:
            self.found.note("nothing was compared with the source: level 0 cannot be read")
            spec = None
        if spec is not None and not comparable(spec, dims, cuts[0].shape, dtype, self.found):
            spec = None
        access = None if spec is None or self.source is None else self.source.access
        self.plan = make_check_plan(
            cuts, dtype, method=method, channels=channel_count(cuts[0].shape, dims),
            sources=Sources(reading, spec, access, ids_bytes),
            budget=self.budget, workers=self.workers, resident=resident_bytes(), name=self.name,
        )  # fmt: skip
        sizes = {cut.level: math.prod(cut.shape) * dtype.itemsize for cut in cuts}
        read = sum(sizes[level] for chain in self.plan.chains for level in chain.levels)
        self.found.decoded_bytes = sum(sizes.values())
        self.meter = Meter(read + (0 if spec is None else sizes[cuts[0].level]), self.tell)
        return self.plan

    def _compare(
        self, plan: CheckPlan, chunk: Shape, read: ReadKnown, of_first: OfChunk, pool: Executor
    ) -> None:
        """Compare level 0 with the source."""
        assert self.source is not None
        assert plan.band is not None
        self.meter.stage = "source"
        for findings, count in compare_source(
            self.source, plan.band, chunk, read, of_first, pool, plan.workers
        ):
            self.found.add(*findings)
            self.meter.advance(count)


def _reading(tree: Tree, known: Known) -> Access | None:
    """Return what reading by hand holds beside blocks where objects are no files."""
    if tree.folder is not None:
        return None
    largest = max(
        math.prod(level.meta.shard) * level.layout.dtype.itemsize for level in known.levels.values()
    )
    beside, more = held_beside(tree, largest)
    return Access("random", "objects that are no files", fixed_bytes=more, read_bytes=beside)


def _steps(known: Known) -> dict[int, Shape] | None:
    """Return how many pixels of the level below a window of each level has; None when a shape is no half of it."""
    steps: dict[int, Shape] = {}
    below: Shape = ()
    for index, level in known.levels.items():
        shape = level.meta.shape
        if index - 1 not in steps:
            below = shape
        if len(below) != len(shape) or any(
            m not in (n, -(-n // 2)) for n, m in zip(below, shape, strict=True)
        ):
            return None
        steps[index] = tuple(1 if m == n else 2 for n, m in zip(below, shape, strict=True))
        below = shape
    return steps
