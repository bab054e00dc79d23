"""The plan of a conversion: all decisions and the sum of its memory, made before the first pixel is read."""

from __future__ import annotations

import itertools
import math
import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from bigimg.errors import BudgetError, UsageError, counted
from bigimg.geometry.axes import short_unit
from bigimg.geometry.chunks import checked_chunks
from bigimg.geometry.lengths import NO_LENGTHS
from bigimg.geometry.levels import depth_is_known, plan_levels
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.finer import Finer
from bigimg.omezarr.packed import DIRECTORY_BYTES, PIECE_BYTES, is_packed
from bigimg.omezarr.shown import Shown
from bigimg.places.new_file import BUFFER_BYTES
from bigimg.planning.blocks import LevelPlan, Sweep, Traversal, plan_sweeps, plan_traversal, reduced_piece
from bigimg.planning.estimate import Estimate
from bigimg.planning.lines import MemoryLine, largest, process_line, spare_line
from bigimg.planning.memory import human_bytes
from bigimg.planning.options import Options, described, left_out, lengths, method_of
from bigimg.planning.room import ADVICE_MARGIN
from bigimg.pyramid.kernels import SCRATCH_BYTES
from bigimg.pyramid.partial import histogram_bins
from bigimg.reader import Access
from bigimg.system.memory import resident_bytes
from bigimg.system.processes import usable_cpus
from bigimg.types import CodecName, Json, Method, Shape, Version, ZarrFormat

REDUCED = 10
"""How many times fewer pixels than level 0 the first level of a store has that leaves the finest levels out."""
NOT_HALVED = (
    "z is not halved: nothing says how far apart its planes are, compared with their pixels; give the spacing of all "
    "axes, as in z=2,y=0.5,x=0.5um, or halve=zyx"
)
SCRATCH_STRIP_BYTES = 4_000_000
"""Portion in which an ordered source is copied to scratch."""


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """What a conversion will do. Print it, or take :meth:`to_dict`."""

    source: str
    target: str
    spec: ImageSpec
    access: Access
    method: Method
    codec: CodecName
    levels: tuple[LevelPlan, ...]
    sweeps: tuple[Sweep, ...]
    traversal: Traversal
    workers: int
    bands: int
    """Portions of the source in memory at once."""
    budget_bytes: int
    memory: tuple[MemoryLine, ...]
    """Peak memory, line by line, of the sweep that needs most."""
    scratch_bytes: int
    """Of the uncompressed file beside the target; 0 for none."""
    estimate: Estimate | None = None
    ome_version: Version = "0.5"
    keep_metadata: bool = False
    labels: tuple[ConversionPlan, ...] = ()
    """Those of the label images that go along."""
    shown: Shown = field(default_factory=Shown)
    """What the source, a store, says of how it is shown first."""
    first: int = 0
    """The first level that is stored; those before it are read from the source."""
    finer: Finer | None = None
    """What the store says of them."""
    opening: str = ""
    """The options, as JSON, that choose what is read of the source: a run with others does not go on from this one."""
    request: str | None = None
    """By which a later run finds that the store is there: see :func:`bigimg.conversion.identity.request`."""

    @property
    def stored(self) -> tuple[LevelPlan, ...]:
        """The levels that are stored, as the arrays ``0``, ``1``, …"""
        return self.levels[self.first :]

    @property
    def name(self) -> str:
        """Name of the store."""
        return os.path.basename(self.target)

    @property
    def zarr(self) -> ZarrFormat:
        """Which zarr the version of OME-Zarr is made of."""
        return 2 if self.ome_version == "0.4" else 3

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the image and the store."""
        private = left_out(self.spec.private) if self.spec.private else None
        notes = [
            f"{note}; info names them, and keep_metadata=True writes them" if note == private else note
            for note in (*self.spec.notes, *self.spec.of_source)
        ]
        if self.estimate is not None and self.estimate.ids:
            notes.append(
                f"its samples have {self.estimate.ids} values, in areas of one value: if they are ids, say "
                "kind='labels' or kind='mask'; as an image they are averaged"
            )
        if self.zarr == 2:
            notes.append(
                f"OME-Zarr 0.4 has one file a chunk, {self.objects} of them: slow to copy and to delete; "
                "0.5 puts many into one"
            )
        if is_packed(self.target):
            notes.append("packed into one file at the end: until then it takes twice its size on the disk")
        return tuple(notes)

    @property
    def peak_bytes(self) -> int:
        """Planned peak of resident memory, in bytes."""
        return sum(line.bytes for line in self.memory)

    @property
    def objects(self) -> int:
        """Number of shards, all levels."""
        return sum(math.prod(level.objects) for level in self.stored)

    @property
    def files(self) -> int:
        """Number of files in the store: shards, metadata, manifest; of a store in one file that of its entries."""
        # Documents of the root, our own group, manifest and provenance; the histogram, if any, with its one object.
        # For each level the document of its array, and the document and the one object of its part of the manifest.
        histogram = 2 if histogram_bins(self.spec.dtype) else 0
        # Of the group of labels as many as of any group.
        labels = sum(label.files for label in self.labels) + (4 - self.zarr) * bool(self.labels)
        if self.zarr == 2:  # .zgroup and .zattrs, .zarray and .zattrs
            return self.objects + 4 * len(self.stored) + 8 + histogram + labels
        return self.objects + 3 * len(self.stored) + 4 + histogram + labels

    def to_dict(self) -> dict[str, Json]:
        """Return the plan as JSON-safe values; the schema is in docs/reference/json.md."""
        spec = self.spec
        return {
            "source": self.source,
            "target": self.target,
            "read": {"access": self.access.kind, "why": self.access.why, "by": self.traversal.kind,
                     "band": list(self.traversal.band), "decoded_times": self.traversal.reread},
            "shape": list(spec.shape),
            "dims": list(spec.dims),
            "dtype": str(spec.dtype),
            "decoded_bytes": spec.nbytes,
            "kind": spec.kind,
            "method": self.method,
            "codec": self.codec,
            "ome_version": self.ome_version,
            "block": list(self.sweeps[0].block),
            "levels": [
                {"level": p.level.index, "shape": list(p.level.shape),
                 "spacing": [None if name == "c" else s for name, s in zip(spec.dims, p.level.spacing, strict=True)],
                 "chunk": list(p.chunk), "shard": list(p.shard),
                 "objects": math.prod(p.objects) * (p.level.index >= self.first)}
                for p in self.levels
            ],
            "labels": [label.name for label in self.labels],
            "sweeps": [{"reads": s.reads, "writes": list(s.writes), "block": list(s.block)} for s in self.sweeps],
            "workers": self.workers,
            "budget_bytes": self.budget_bytes,
            "peak_bytes": self.peak_bytes,
            "memory": [{"name": m.name, "bytes": m.bytes, "why": m.why} for m in self.memory],
            "scratch_bytes": self.scratch_bytes,
            "files": self.files,
            "estimate": None if self.estimate is None else asdict(self.estimate),
            "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        return "\n".join(_printed(self))


def make_plan(
    source: str,
    target: str,
    spec: ImageSpec,
    access: Access,
    options: Options,
    *,
    resident: int | None = None,
) -> ConversionPlan:
    """Return the plan that converts an image with ``spec`` inside the budget.

    Parameters
    ----------
    resident : int, optional
        Bytes this process has resident already; measured when not given.

    Raises
    ------
    BudgetError
        No choice of workers, bands and scratch fits; the message has both numbers and what would fit.
    UsageError
        The options contradict the image.
    """
    spec = described(spec, options)
    method = method_of(spec.kind, options.method)
    chunks, shards = checked_chunks(
        spec, lengths(options.chunks, spec, "chunks"), lengths(options.shards, spec, "shards")
    )
    if options.ome_version == "0.4":
        if is_packed(target):
            raise UsageError(
                f"{target}: a store in one file is one of zarr 3: write ome_version 0.5, or a folder"
            )
        if options.shards is not None and shards != chunks:
            raise UsageError(f"shards {shards}: OME-Zarr 0.4 has none; omit them, or write ome_version 0.5")
        shards = chunks
    # What a user says of z is said, even if it is 1 without a unit.
    placed = spec.world is not None or "z" in options.spacing.by_axis(spec.dims)
    planned = plan_levels(
        spec.axes, chunks, method=method, count=options.levels, halve=options.halve, placed=placed
    )
    if len(planned) > 1 and not options.halve and not depth_is_known(spec.axes, placed=placed):
        spec = replace(spec, of_source=(*spec.of_source, NOT_HALVED))
    levels, sweeps = plan_sweeps(planned, chunks, shards, method)
    process = resident_bytes() if resident is None else resident
    first = _first_stored(levels, sweeps[0]) if options.levels_only else 0
    draft = ConversionPlan(
        source, target, spec, access, method, options.codec, levels, sweeps,
        plan_traversal(spec, access, sweeps[0].block), 1, 1, options.memory, (), 0,
        ome_version=options.ome_version, keep_metadata=options.keep_metadata, first=first,
    )  # fmt: skip
    plans = []
    for choice in _choices(draft, options.workers or usable_cpus()):
        plans.append(replace(choice, memory=tuple(_worst(choice, process))))
        if plans[-1].peak_bytes <= options.memory:
            return plans[-1]
    least = min(plans, key=lambda plan: plan.peak_bytes)
    raise _refusal(least, _smaller(least, options, process))


def with_labels(plan: ConversionPlan, labels: tuple[ConversionPlan, ...]) -> ConversionPlan:
    """Return ``plan`` with the label images that go along: written before it one by one, and packed with it.

    Raises
    ------
    BudgetError
        The directory of the file with all of them does not fit.
    """
    made = replace(plan, labels=labels)
    stages = [list(each.memory) for each in (plan, *labels)]
    if is_packed(plan.target):
        stages.append(_packing(made, [line for line in plan.memory if line.name in ("process", "reader")]))
    made = replace(made, memory=tuple(largest(stages)))
    if made.peak_bytes > made.budget_bytes:
        raise _refusal(made)
    return made


def _first_stored(levels: Sequence[LevelPlan], sweep: Sweep) -> int:
    """Return the first level that is stored where level 0 is not: the first that is small, of those made from blocks.

    Raises
    ------
    UsageError
        There is no such level.
    """
    if len(levels) == 1:
        raise UsageError(
            "levels_only=True: the image has one level alone, and none is left to store: convert it whole"
        )
    if (last := sweep.writes[-1]) == 0:
        raise UsageError(
            "levels_only=True: level 1 is made from level 0 as stored by method='gaussian', and where shards do not "
            "halve to whole chunks: use another method, and shards of 2, 4 or 8 chunks"
        )
    pixels = [math.prod(p.level.shape) for p in levels]
    return next((i for i in range(1, last + 1) if pixels[i] * REDUCED <= pixels[0]), last)


def _choices(draft: ConversionPlan, workers: int) -> Iterator[ConversionPlan]:
    """Yield the plans among which the budget decides, the fastest first."""
    blocks = min(workers, math.prod(draft.levels[0].objects))
    by_blocks = Traversal("blocks", draft.sweeps[0].block, 1.0)
    for n in range(blocks, 0, -1):
        if draft.access.kind == "sequential":
            yield replace(draft, workers=n, bands=2)
            yield replace(draft, workers=n, bands=1)
        else:
            yield replace(draft, workers=n, bands=n)
            if draft.access.wide:
                yield replace(draft, workers=n, bands=n, traversal=by_blocks)
    if draft.traversal.kind == "bands" and not draft.access.wide:
        scratch = Traversal("scratch", draft.sweeps[0].block, 1.0)
        for n in range(blocks, 0, -1):
            yield replace(draft, workers=n, bands=n, traversal=scratch, scratch_bytes=draft.spec.nbytes)


def _worst(plan: ConversionPlan, process: int) -> list[MemoryLine]:
    """Return the lines of the stage that needs most: a sweep, or the copy to scratch before the first sweep."""
    stages = [_lines(plan, sweep, process) for sweep in plan.sweeps]
    if plan.traversal.kind == "scratch":
        chunk = math.prod(plan.spec.chunks) * plan.spec.dtype.itemsize
        strip = min(plan.spec.nbytes, max(SCRATCH_STRIP_BYTES, chunk))
        copied = MemoryLine("scratch", 2 * strip, f"copying strips of {human_bytes(strip)}")
        reader = MemoryLine("read", plan.access.read_bytes, "1 decoding at once")
        stages.append([*_always(plan, process), copied, reader])
    if is_packed(plan.target):
        stages.append(_packing(plan, _always(plan, process)))
    return largest(stages)


def _packing(plan: ConversionPlan, always: list[MemoryLine]) -> list[MemoryLine]:
    """Return the lines of the stage that packs all files of a store."""
    directory = plan.files * DIRECTORY_BYTES + 2 * PIECE_BYTES
    return [*always, MemoryLine("packing", directory, "the directory of the file")]


def _always(plan: ConversionPlan, process: int) -> list[MemoryLine]:
    """Return what is in memory during all stages."""
    return [process_line(process), MemoryLine("reader", plan.access.fixed_bytes, plan.access.why)]


def _lines(plan: ConversionPlan, sweep: Sweep, process: int) -> list[MemoryLine]:
    """Return what one sweep holds at its peak, line by line."""
    itemsize, n, access = plan.spec.dtype.itemsize, plan.workers, plan.access
    first = plan.levels[sweep.writes[0]]
    block = math.prod(map(min, sweep.block, first.level.shape)) * itemsize
    chunk = math.prod(first.chunk) * itemsize
    encode = 3 * chunk + 2 * BUFFER_BYTES
    # A block is in memory while the next coarser one is made, and the one after that from the second.
    steps = [math.prod(plan.levels[level].level.step) for level in sweep.writes[1:3]]
    coarser = sum(block // n for n in itertools.accumulate(steps, operator.mul))
    held = block + coarser
    lines = _always(plan, process)
    if sweep.reads is None:
        band = math.prod(map(min, plan.traversal.band, plan.spec.shape)) * itemsize
        if plan.traversal.kind == "bands":
            lines.append(MemoryLine("bands", plan.bands * band, f"{plan.bands} of {human_bytes(band)}"))
        # The copy in scratch is read in pieces of 1 MB, by every worker.
        readers = 1 if access.kind == "sequential" and plan.traversal.kind != "scratch" else n
        each = 1 << 20 if plan.traversal.kind == "scratch" else access.read_bytes
        lines.append(MemoryLine("read", readers * each, f"{readers} decoding at once"))
    else:
        windows = reduced_piece(sweep.block, first.chunk, first.level.step, plan.method)
        piece = min(math.prod(windows) * itemsize * math.prod(first.level.step), block)
        wide = 32 // itemsize if plan.method == "gaussian" else 1
        held = block + max(piece * wide, coarser)
        lines.append(MemoryLine("read", n * chunk * 2, f"{n} decoding a chunk of level {sweep.reads}"))
    lines += [
        MemoryLine("blocks", n * held, f"{n} of {human_bytes(held)}"),
        MemoryLine("encode", n * encode, f"{n} compressing a chunk of {human_bytes(chunk)}"),
        MemoryLine("kernels", n * SCRATCH_BYTES, f"{n} summing in pieces"),
    ]
    if plan.spec.missing:  # where they are, and a copy of the other pixels to count
        lines.append(MemoryLine("holes", n * (block + 2 * block // itemsize), f"{n} leaving pixels out"))
    channels = plan.spec.shape[plan.spec.axis("c")] if "c" in plan.spec.dims else 1
    histograms = 8 * histogram_bins(plan.spec.dtype) * channels * (n + 2)
    lines.append(MemoryLine("statistics", histograms + 16 * plan.objects, "histograms and the manifest"))
    lines.append(spare_line(lines, {"bands", "blocks", "read", "encode"}))
    return [m for m in lines if m.bytes]


def _refusal(plan: ConversionPlan, smaller: str | None = None) -> BudgetError:
    """Return the error that says what is needed, what is allowed, and which settings would fit."""
    part = max(plan.memory, key=lambda line: line.bytes)
    needed, allowed = plan.peak_bytes, plan.budget_bytes
    ways = [f"use memory='{math.ceil(needed * ADVICE_MARGIN / 1e6)}MB'", *([smaller] if smaller else [])]
    why = f"; {plan.access.why}: it can only be decoded at once" if plan.access.kind == "whole" else ""
    return BudgetError(
        f"{plan.source}: needs {human_bytes(needed)} of memory, allowed {human_bytes(allowed)} "
        f"(largest part: {part.name}, {human_bytes(part.bytes)}{why}):",
        needed=needed, allowed=allowed, ways=ways,
    )  # fmt: skip


def _smaller(plan: ConversionPlan, options: Options, process: int) -> str | None:
    """Return the smaller shards that would fit the budget, as options, or None."""
    chunks = plan.levels[0].chunk
    for ratio in (2, 1):
        shards = tuple(min(s, c * ratio) for s, c in zip(plan.levels[0].shard, chunks, strict=True))
        if shards == plan.levels[0].shard:
            continue
        try:
            make_plan(
                plan.source, plan.target, plan.spec, plan.access,
                replace(options, chunks=chunks, shards=shards, spacing=NO_LENGTHS, channels=None), resident=process,
            )  # fmt: skip
        except BudgetError:
            continue
        return f"chunks={chunks} shards={shards}"
    return None


def _printed(plan: ConversionPlan) -> Iterator[str]:
    spec, access, first, dims = plan.spec, plan.access, plan.levels[0], plan.spec.dims
    how = {
        "blocks": "each worker reads its own block",
        "bands": f"in bands of {_by_name(dims, plan.traversal.band)}",
        "scratch": f"through a scratch file of {human_bytes(plan.scratch_bytes)}, for a band would not fit",
    }
    reread, shape = plan.traversal.reread, _by_name(dims, spec.shape)
    again = "" if reread <= 1 else f", chunks decoded {reread:.2f} times on average"
    shards = "a file each" if plan.zarr == 2 else f"in shards {_by_name(dims, first.shard)}"
    cut = f"chunks {_by_name(dims, first.chunk)} {shards}"
    peak = f"{human_bytes(plan.peak_bytes)} planned peak of {human_bytes(plan.budget_bytes)} allowed"
    yield f"{plan.source} -> {plan.target}"
    yield f"  image    {shape}  {spec.dtype}  {human_bytes(spec.nbytes)} decoded, {spec.kind}"
    yield f"  read     {access.kind} ({access.why}): {how[plan.traversal.kind]}{again}"
    yield f"  write    OME-Zarr {plan.ome_version}, {cut}, codec {plan.codec}, levels by {plan.method}"
    for p in plan.levels:
        spacing = ", ".join(
            f"{axis.name} {number:.6g} {short_unit(axis.unit)}"
            for axis, number in zip(spec.axes, p.level.spacing, strict=True)
            if axis.type == "space"
        )
        size = _by_name(dims, p.level.shape)
        kept = counted(math.prod(p.objects), "object") if p in plan.stored else "read from the source"
        yield f"  level {p.level.index:<2} {size}  spacing {spacing}  {kept}"
    for label in plan.labels:
        numbers = f"{label.spec.dtype}, {counted(len(label.levels), 'level')} by {label.method}"
        yield f"  labels   {label.name}: {_by_name(label.spec.dims, label.spec.shape)}  {numbers}"
    yield f"  memory   {peak}, {counted(plan.workers, 'worker')}"
    for line in plan.memory:
        yield f"    {line.name:<10} {human_bytes(line.bytes):>8}  {line.why}"
    disk = "1 file" if is_packed(plan.target) else counted(plan.files, "file")
    if plan.estimate is not None:
        e = plan.estimate
        disk += f", about {human_bytes(e.output_bytes)} ({e.compression:.2f}:1 in samples), {e.seconds:.0f} s"
    yield f"  disk     {disk}"
    for note in plan.notes:
        yield f"  note     {note}"


def _by_name(dims: tuple[str, ...], numbers: Shape) -> str:
    """Return lengths with their axes, as in ``c 3 y 2048 x 2048``."""
    return " ".join(f"{name} {n}" for name, n in zip(dims, numbers, strict=True))
