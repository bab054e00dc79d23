"""The order of the checks of a store; the table in :mod:`bigimg.verification` says what each depth checks."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

from bigimg.conversion.cluster import chosen_cluster, chosen_pool, for_workers
from bigimg.conversion.dask_pool import DaskPool
from bigimg.conversion.edit import accept_edits
from bigimg.conversion.pool import in_window
from bigimg.conversion.progress import Meter, reporting
from bigimg.conversion.progress import Report as OnProgress
from bigimg.errors import BigimgError, InputError, InputNotFoundError, IntegrityError, UsageError
from bigimg.geometry.holes import holes_of_levels
from bigimg.geometry.levels import step_between
from bigimg.geometry.padding import of_json
from bigimg.geometry.region import grid
from bigimg.omezarr.finer import Finer
from bigimg.omezarr.metadata import ATTRIBUTES
from bigimg.omezarr.open import is_store, open_store
from bigimg.omezarr.plate_tree import plate_of
from bigimg.omezarr.store import Store, extra_read_bytes
from bigimg.omezarr.tree import Tree, tree_of
from bigimg.planning.blocks import walk
from bigimg.planning.check_plan import CheckPlan, Cut, Sources, make_check_plan
from bigimg.planning.memory import budget_bytes
from bigimg.planning.options import Options
from bigimg.pyramid.partial import Accumulator
from bigimg.reader import Access, Reader
from bigimg.readers.plates.source import PlateSource
from bigimg.system.memory import resident_bytes
from bigimg.system.processes import usable_cpus
from bigimg.types import Method, Region, Shape
from bigimg.verification import metadata, others, pixels
from bigimg.verification.labels import check_labels
from bigimg.verification.levels import Level
from bigimg.verification.objects import CheckedObjects, is_ours
from bigimg.verification.others import ForeignLevel
from bigimg.verification.plates import check_plate
from bigimg.verification.reduced import Remade, finer_if_sound, remade
from bigimg.verification.report import Finding, Findings, Problem, Report


def verify_store(
    path: str | os.PathLike[str] | Tree,
    source: Reader | PlateSource | None = None,
    *,
    quick: bool = False,
    accept: bool = False,
    memory: int | float | str | None = None,
    workers: int | None = None,
    progress: bool | OnProgress | None = None,
) -> Report:
    """Return what is wrong with the store at ``path``; see :func:`bigimg.verify`.

    A store of reduced levels needs its ``source``: its first level is made again from it, and compared.
    """
    tree = path if isinstance(path, Tree) else tree_of(path)
    if quick and source is not None:
        raise UsageError("a quick check reads no pixel, so nothing can be compared: drop quick or the source")
    started = time.monotonic()
    if accept and tree.folder is None:
        raise UsageError(
            f"{tree.path}: accept=True writes into the store, which is no folder here: unpack or fetch it"
        )
    kept = _Kept()
    asked = Options(budget_bytes(memory), workers)

    def check_one(each: Tree, against: Reader | None = None) -> Findings:
        check = _Check(each, against, options, resident, cluster, on_progress)
        check.run(quick=quick, accept=accept)
        kept.add(check)
        return check.found

    def check_image(each: Tree, against: Reader | None) -> Findings:
        found = check_one(each, against)
        check_labels(each, found, check_one)
        return found

    reader = source if isinstance(source, Reader) else None
    with (
        reporting(progress) as on_progress,
        nullcontext() if quick else chosen_cluster(None, reader) as cluster,
    ):
        options, resident = for_workers(asked, cluster, memory)
        if cluster is not None:
            cluster.workers.check_reading(tree.folder, reader)
        try:
            try:
                plate = plate_of(tree)
            except InputError:
                if isinstance(source, PlateSource):
                    raise
                plate = None  # of a damaged document the check of the store tells
            if plate is not None:
                if isinstance(source, Reader):
                    raise UsageError(
                        f"{tree.path}: is a plate, and {source.source} is one image: verify a field with it"
                    )
                found = Findings()
                check_plate(tree, plate, found, check_image, source)
            elif isinstance(source, PlateSource):
                raise UsageError(
                    f"{tree.path}: is one image, and {source.source} is a plate: name one image of it"
                )
            else:
                found = check_image(tree, source)
        except OSError as error:
            if isinstance(error, BigimgError):
                raise
            message = f"cannot be read ({error.strerror}); check the disk and permissions"
            raise InputError(f"{error.filename or tree.path}: {message}") from error
    accepted = accept and bool(found.edits) and not found.damaged
    if accepted:
        for root in kept.edited:
            accept_edits(root)
    elif accept and found.edits:
        found.note("the edits were not taken over, because something is wrong")
    plan = kept.plan
    compared = None if source is None or kept.refused else source.source
    return found.report(
        store=tree.path, source=compared, quick=quick,
        seconds=time.monotonic() - started,
        peak_bytes=None if plan is None else plan.peak_bytes,
        budget_bytes=None if plan is None else plan.budget_bytes,
        accepted=accepted,
    )  # fmt: skip


class _Kept:
    """What is kept of checks that have ended: a plate has thousands."""

    def __init__(self) -> None:
        self.edited: list[Path] = []
        self.plan: CheckPlan | None = None
        """That of the check that needed most memory."""
        self.refused = False
        """Whether a source could not be compared, because it is gone or another one."""

    def add(self, check: _Check) -> None:
        self.refused |= check.refused
        self.edited += check.edited
        if check.plan is not None and (self.plan is None or check.plan.peak_bytes > self.plan.peak_bytes):
            self.plan = check.plan


class _Check:
    """One check that is under way: its arguments, its findings and its progress."""

    def __init__(
        self, tree: Tree, source: Reader | None, options: Options, resident: int | None, cluster: DaskPool | None,
        on_progress: OnProgress | None,
    ) -> None:  # fmt: skip
        self.tree, self.name, self.source = tree, tree.path, source
        self.options, self.resident, self.cluster = options, resident, cluster
        self.found = Findings()
        self.plan: CheckPlan | None = None
        self.edited: list[Path] = []
        """Folders of the images whose attributes others edited."""
        self.refused = False
        """Whether the source of a store of reduced levels is gone, or another one."""
        self.meter = Meter(0, on_progress)

    def run(self, *, quick: bool, accept: bool) -> None:
        """Check the store as one of ours, or as one of others."""
        if is_ours(self.tree.location("")):
            self.ours(self.tree, quick=quick, accept=accept)
        else:
            self.others(quick=quick, accept=accept)

    # ------------------------------------------------------------------------------------------ stores of ours

    def ours(self, tree: Tree, *, quick: bool, accept: bool) -> None:
        """Check the store ``tree``, which has a manifest of ours."""
        tree = tree if tree.folder is None else tree_of(tree.folder)  # so that messages have absolute paths
        trusted = CheckedObjects(tree, self.found, trusting=accept)
        if self.found.edits and tree.folder is not None:
            self.edited.append(tree.folder)
        stored = metadata.check_metadata(tree, trusted, self.found)
        if quick or not trusted.levels:
            return
        steps, method = _steps(trusted), metadata.method_of(trusted.root)
        finer = finer_if_sound(trusted.root)
        missing = metadata.checked_missing(trusted, stored, self.found)
        lost = bool(missing) and [*trusted.levels] != [*range(len(trusted.levels))]
        if steps is None or method is None or lost:
            steps, method = {i: (1,) * len(level.shape) for i, level in trusted.levels.items()}, None
            self.found.note("levels were not derived again: the method or a shape is not known")
        finest = next(iter(trusted.levels.values()))
        dims, whole = finest.dims, 0 in trusted.levels and finer is None
        made: Remade | None = None
        if finer is not None:
            opened = open_store(tree, trusting=True)
            made = remade(self.source, opened, self.found, ATTRIBUTES[trusted.zarr], self.name)
            self.refused, self.source = made is None, None if made is None else made.reader
        plan = self._plan(
            list(trusted.levels.values()), steps, method, whole or made is not None, _access(tree, trusted),
            holes=bool(missing),
        )  # fmt: skip
        axis = dims.index("c") if "c" in dims else None
        padding = None if stored is None else of_json(stored.statistics.get("padding"))
        holes = _holes(trusted, steps, method, missing if whole or finer else (), finer)
        counted = Accumulator(finest.dtype, metadata.channel_count(finest.shape, dims), padding, missing)

        def job_of(numbers: Sequence[int]) -> pixels.ChainJob:
            levels = tuple(trusted.levels[i] for i in numbers)
            return pixels.ChainJob(levels, steps, method, axis, whole and numbers[0] == 0, padding, holes)

        for job, result in self._check_blocks(plan, job_of):
            whole = whole and (not job.counted or bool(result.partials))
            for channel, part in result.partials:
                counted.add(channel, part)
        self._compare(plan, finest)
        for channel, part in () if made is None else made.partials:
            counted.add(channel, part)
        if not whole and made is None:
            why = "pixels of level 0 are lost" if finer is None else "level 0 is not in the store"
            self.found.note(f"statistics were not counted again: {why}")
        elif stored is not None:
            self.found.add(*metadata.compare_statistics(stored, counted, trusted.zarr))
        if made is None and self.source is not None and trusted.root is not None and not self.found.damaged:
            pixels.compare_geometry(
                self.source.spec, open_store(tree, trusting=accept).spec().axes, self.found
            )

    # ---------------------------------------------------------------------------------------- stores of others

    def others(self, *, quick: bool, accept: bool) -> None:
        """Check a store that has no manifest at its root; an image in it may have one."""
        try:
            store = open_store(self.tree)
        except InputNotFoundError:
            raise
        except (InputError, IntegrityError) as error:
            if not is_store(self.name):
                raise
            file, _, message = str(error).partition(": ")
            kind: Problem = "missing" if isinstance(error, IntegrityError) else "metadata"
            self.found.add(
                Finding(kind, file.removeprefix(self.name.rstrip("/") + "/"), message or str(error))
            )
            return
        if store.tree.folder is not None and is_ours(store.tree.folder / store.group):
            self.ours(tree_of(store.tree.folder / store.group), quick=quick, accept=accept)
            return
        levels = [ForeignLevel(store, index) for index in range(len(store.levels))]
        others.check_foreign(levels, self.found)
        if not quick:
            self._decode(store, levels)

    def _decode(self, store: Store, levels: Sequence[ForeignLevel]) -> None:
        ids = store.kind == "labels" and levels[0].dtype.kind in "iu" and len(levels) > 1
        ones = {level.index: (1,) * len(level.shape) for level in levels}
        ids_bytes = 40 * others.MOST_IDS if ids else 0
        plan = self._plan(levels, ones, None, True, levels[0].reader.access, ids_bytes=ids_bytes)
        first_ids = others.LevelIds()

        def job_of(numbers: Sequence[int]) -> pixels.ChainJob:
            return pixels.ChainJob((levels[numbers[0]],), {}, ids=ids)

        for job, result in self._check_blocks(plan, job_of):
            level = job.levels[0]
            if ids and level.index == 0:
                first_ids.add(result.ids)
            elif ids and (unknown := first_ids.unknown(result.ids)):
                self.found.add(others.unknown_ids(levels[level.index], result.region, unknown))
        self._compare(plan, levels[0])
        for level in levels:
            others.find_unlisted(level, self.found)
            level.reader.close()
        if ids and not first_ids.complete:
            self.found.note("ids of levels were not compared: those of level 0 are too many or not all known")
        if self.source is not None and plan.band is not None:
            pixels.compare_geometry(self.source.spec, store.spec().axes, self.found)

    # -------------------------------------------------------------------------------------------------- both

    def _plan(
        self, levels: Sequence[Level], steps: Mapping[int, Shape], method: Method | None, full: bool,
        reading: Access | None, *, ids_bytes: int = 0, holes: bool = False,
    ) -> CheckPlan:  # fmt: skip
        """Return the plan of reading ``levels``; only if level 0 is ``full`` it is compared with a source."""
        first, reader = levels[0], self.source
        if reader is not None and not full:
            self.found.note("nothing was compared with the source: level 0 cannot be read")
            reader = None
        if reader is not None and not pixels.comparable(reader.spec, first, self.found):
            reader = None
        spec, access = (None, None) if reader is None else (reader.spec, reader.access)
        cuts = [Cut(each.index, each.shape, each.chunk, each.shard, steps[each.index]) for each in levels]
        self.plan = make_check_plan(
            cuts, first.dtype, method=method, channels=metadata.channel_count(first.shape, first.dims),
            sources=Sources(reading, spec, access, ids_bytes),
            budget=self.options.memory, workers=self.options.workers or usable_cpus(),
            resident=resident_bytes() if self.resident is None else self.resident, name=self.name, holes=holes,
        )  # fmt: skip
        if self.cluster is not None:
            tasks = math.prod(grid(cuts[0].shape, self.plan.chains[0].block)) if self.plan.chains else 0
            self.cluster.workers.check_threads(self.name, self.plan, tasks)
        sizes = {level.index: math.prod(level.shape) * first.dtype.itemsize for level in levels}
        read = sum(sizes[level] for chain in self.plan.chains for level in chain.levels)
        self.found.decoded_bytes = sum(sizes.values())
        self.meter = Meter(read + (0 if reader is None else sizes[first.index]), self.meter.report)
        return self.plan

    def _check_blocks(
        self, plan: CheckPlan, job_of: Callable[[Sequence[int]], pixels.ChainJob]
    ) -> Iterator[tuple[pixels.ChainJob, pixels.Checked]]:
        """Yield job and result of each block, chain by chain, after its findings were added."""
        with chosen_pool(self.cluster, plan.workers) as pool:
            for chain in plan.chains:
                self.meter.stage = f"level {chain.levels[0]}"
                job = job_of(chain.levels)
                first = job.levels[0]
                shared = pool.share(job)
                tasks = ((pixels.check_block, shared, b) for b in walk(first.shape, chain.block, first.dims))
                for result in in_window(pool, tasks):
                    self.found.add(*result.findings)
                    self.meter.advance(result.decoded_bytes)
                    yield job, result

    def _compare(self, plan: CheckPlan, level: Level) -> None:
        """Compare level 0 with the source, if the plan does so."""
        if plan.band is None or self.source is None:
            return
        self.meter.stage = "source"
        in_order = self.source.access.kind == "sequential"
        # New threads: the old ones hold blocks.
        with chosen_pool(self.cluster, plan.workers, in_order=in_order) as pool:
            for findings, count in pixels.compare_source(self.source, plan.band, level, pool):
                self.found.add(*findings)
                self.meter.advance(count)


def _access(tree: Tree, trusted: CheckedObjects) -> Access | None:
    """Return the memory that reading by hand needs in addition to blocks; None for files, which need none."""
    if tree.folder is not None:
        return None
    largest = max(math.prod(v.shard) * v.dtype.itemsize for v in trusted.levels.values())
    each, fixed = extra_read_bytes(tree, largest)
    return Access("random", "objects that are no files", fixed_bytes=fixed, read_bytes=each)


def _holes(
    trusted: CheckedObjects, steps: Mapping[int, Shape], method: Method | None, missing: tuple[Region, ...],
    finer: Finer | None,
) -> dict[int, tuple[Region, ...]]:  # fmt: skip
    """Return the boxes of each level that are no measurements, from those of level 0."""
    shapes, all_steps = [level.shape for level in trusted.levels.values()], list(steps.values())
    if finer is not None:
        between = [step_between(*pair) or () for pair in pairwise((*finer.shapes, shapes[0]))]
        shapes = [*finer.shapes, *shapes]
        all_steps = [(1,) * len(shapes[0]), *between, *all_steps[1:]]
    of_levels = holes_of_levels(missing, shapes, all_steps, method)
    return dict(zip(trusted.levels, of_levels[len(of_levels) - len(trusted.levels) :], strict=True))


def _steps(trusted: CheckedObjects) -> dict[int, Shape] | None:
    """Return the window of each level in pixels of the level below; None when a shape is not half of that below."""
    steps: dict[int, Shape] = {}
    below: Shape = ()
    for index, level in trusted.levels.items():
        shape = level.shape
        if index - 1 not in steps:
            below = shape
        if (step := step_between(below, shape)) is None:
            return None
        steps[index] = step
        below = shape
    return steps
