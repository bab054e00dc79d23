"""The plan of a conversion: everything decided, every byte added up, before the first pixel is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from bigimg.errors import BudgetError, UsageError, counted
from bigimg.geometry.axes import short_unit
from bigimg.geometry.chunks import checked_chunks
from bigimg.geometry.levels import plan_levels
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.appending import BUFFER_BYTES
from bigimg.planning.blocks import LevelPlan, Sweep, Traversal, plan_sweeps, plan_traversal, reduced_piece
from bigimg.planning.memory import human_bytes
from bigimg.planning.options import METHODS, CodecName, Options, described, left_out, lengths
from bigimg.planning.room import SURE
from bigimg.pyramid.kernels import SCRATCH_BYTES
from bigimg.pyramid.partial import histogram_bins
from bigimg.reader import Access
from bigimg.system.memory import resident_bytes
from bigimg.system.processes import usable_cpus
from bigimg.types import Json, Method, Shape, Version, ZarrFormat

LIBRARIES_BYTES = 45_000_000
"""Resident memory of what a pass may still import after it was planned (codecs, libvips' histogram), measured."""
SPARE = 0.10
"""Share of the pixel buffers added for what the allocator keeps: freed pieces, arenas of threads."""
SCRATCH_STRIP_BYTES = 4_000_000
"""Portion in which an ordered source is copied to scratch."""


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """One line of the sum."""

    name: str
    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a short probe of the source says of the whole; see ``conversion.probe``."""

    compression: float
    """Decoded bytes for each byte stored, in the sample."""
    output_bytes: int
    """Of the store, all levels."""
    seconds: float


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

    @property
    def zarr(self) -> ZarrFormat:
        """Which zarr the version of OME-Zarr is made of."""
        return 2 if self.ome_version == "0.4" else 3

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the image, and of the store that it becomes."""
        notes = tuple(
            f"{note}; keep_metadata=True writes them"
            if self.spec.private and note == left_out(len(self.spec.private))
            else note
            for note in (*self.spec.notes, *self.spec.of_source)
        )
        if self.zarr == 3:
            return notes
        said = (
            f"OME-Zarr 0.4 has one file a chunk, {self.objects} of them: slow to copy and to delete; "
            "0.5 puts many into one"
        )
        return (*notes, said)

    @property
    def peak_bytes(self) -> int:
        """Planned peak of resident memory, in bytes."""
        return sum(line.bytes for line in self.memory)

    @property
    def objects(self) -> int:
        """Number of shards, all levels."""
        return sum(math.prod(level.objects) for level in self.levels)

    @property
    def files(self) -> int:
        """Number of files in the store: shards, metadata, manifest."""
        # The root, our own group, manifest and provenance, and the histogram with its one object if there is one;
        # for each level its array and that of the manifest with its one object.
        histogram = 2 if histogram_bins(self.spec.dtype) else 0
        if self.zarr == 2:  # .zgroup and .zattrs, .zarray and .zattrs
            return self.objects + 4 * len(self.levels) + 8 + histogram
        return self.objects + 3 * len(self.levels) + 4 + histogram

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
                 "chunk": list(p.chunk), "shard": list(p.shard), "objects": math.prod(p.objects)}
                for p in self.levels
            ],
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
    source: str, target: str, spec: ImageSpec, access: Access, asked: Options, *, resident: int | None = None
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
    spec = described(spec, asked)
    method = asked.method or METHODS[spec.kind]
    chunks, shards = checked_chunks(
        spec, lengths(asked.chunks, spec, "chunks"), lengths(asked.shards, spec, "shards")
    )
    if asked.ome_version == "0.4":
        if asked.shards is not None and shards != chunks:
            raise UsageError(
                f"shards {shards}: OME-Zarr 0.4 has none; leave them out, or write ome_version 0.5"
            )
        shards = chunks
    levels, sweeps = plan_sweeps(
        plan_levels(spec.axes, chunks, method=method, count=asked.levels), chunks, shards, method
    )
    process = resident_bytes() if resident is None else resident
    draft = ConversionPlan(
        source, target, spec, access, method, asked.codec, levels, sweeps,
        plan_traversal(spec, access, sweeps[0].block), 1, 1, asked.memory, (), 0,
        ome_version=asked.ome_version,
    )  # fmt: skip
    smallest: ConversionPlan | None = None
    for choice in _choices(draft, asked.workers or usable_cpus()):
        plan = replace(choice, memory=tuple(_worst(choice, process)))
        if plan.peak_bytes <= asked.memory:
            return plan
        if smallest is None or plan.peak_bytes < smallest.peak_bytes:
            smallest = plan
    assert smallest is not None
    raise _refusal(smallest, asked, process)


def _choices(draft: ConversionPlan, workers: int) -> Iterator[ConversionPlan]:
    """Yield what the budget may choose from, the fastest first."""
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
    """Return the lines of the stage that needs most: a sweep, or the copy to scratch before the first."""
    stages = [_lines(plan, sweep, process) for sweep in plan.sweeps]
    if plan.traversal.kind == "scratch":
        strip = min(
            plan.spec.nbytes, max(SCRATCH_STRIP_BYTES, _bytes(plan.spec.chunks, plan.spec.dtype.itemsize))
        )
        copied = MemoryLine("scratch", 2 * strip, f"copying strips of {human_bytes(strip)}")
        reader = MemoryLine("read", plan.access.read_bytes, "1 decoding at once")
        stages.append([*_always(plan, process), copied, reader])
    return max(stages, key=lambda lines: sum(line.bytes for line in lines))


def _always(plan: ConversionPlan, process: int) -> list[MemoryLine]:
    """Return what is held whatever the stage."""
    return [
        MemoryLine("process", process + LIBRARIES_BYTES, "resident now, and libraries still to load"),
        MemoryLine("reader", plan.access.fixed_bytes, plan.access.why),
    ]


def _lines(plan: ConversionPlan, sweep: Sweep, process: int) -> list[MemoryLine]:
    """Add up what one sweep holds at its peak."""
    itemsize, n, access = plan.spec.dtype.itemsize, plan.workers, plan.access
    first = plan.levels[sweep.writes[0]]
    block = _bytes(map(min, sweep.block, first.level.shape), itemsize)
    chunk = _bytes(first.chunk, itemsize)
    # A block and the next coarser one live together; the step of a sweep's second level says how much smaller.
    coarser = plan.levels[sweep.writes[1]].level.step if len(sweep.writes) > 1 else None
    held = block + (block // math.prod(coarser) if coarser else 0)
    lines = _always(plan, process)
    if sweep.reads is None:
        band = _bytes(map(min, plan.traversal.band, plan.spec.shape), itemsize)
        if plan.traversal.kind == "bands":
            lines.append(MemoryLine("bands", plan.bands * band, f"{plan.bands} of {human_bytes(band)}"))
        # The copy in scratch is read in pieces of 1 MB, by every worker.
        readers = 1 if access.kind == "sequential" and plan.traversal.kind != "scratch" else n
        each = 1 << 20 if plan.traversal.kind == "scratch" else access.read_bytes
        lines.append(MemoryLine("read", readers * each, f"{readers} decoding at once"))
    else:
        windows = reduced_piece(sweep.block, first.chunk, first.level.step, plan.method)
        piece = min(_bytes(windows, itemsize) * math.prod(first.level.step), block)
        wide = 32 // itemsize if plan.method == "gaussian" else 1
        held = block + piece * wide
        lines.append(MemoryLine("read", n * chunk * 2, f"{n} decoding a chunk of level {sweep.reads}"))
    lines += [
        MemoryLine("blocks", n * held, f"{n} of {human_bytes(held)}"),
        MemoryLine(
            "encode", n * (3 * chunk + 2 * BUFFER_BYTES), f"{n} compressing a chunk of {human_bytes(chunk)}"
        ),
        MemoryLine("kernels", n * SCRATCH_BYTES, f"{n} summing in pieces"),
    ]
    channels = plan.spec.shape[plan.spec.axis("c")] if "c" in plan.spec.dims else 1
    histograms = 8 * histogram_bins(plan.spec.dtype) * channels * (n + 2)
    lines.append(MemoryLine("statistics", histograms + 16 * plan.objects, "histograms and the manifest"))
    buffers = sum(m.bytes for m in lines if m.name in {"bands", "blocks", "read", "encode"})
    lines.append(MemoryLine("spare", int(SPARE * buffers), "what the allocator keeps"))
    return [m for m in lines if m.bytes]


def _bytes(shape: Iterator[int] | Shape | map[int], itemsize: int) -> int:
    return math.prod(shape) * itemsize


def _refusal(plan: ConversionPlan, asked: Options, process: int) -> BudgetError:
    """Return the error that says what is needed, what is allowed, and which settings would fit."""
    largest = max(plan.memory, key=lambda line: line.bytes)
    needed, allowed = plan.peak_bytes, asked.memory
    advice = f"use memory='{math.ceil(needed * SURE / 1e6)}MB'"
    smaller = _smaller(plan, asked, process)
    if smaller is not None:
        advice += " or " + smaller
    if plan.access.kind == "whole":
        advice += f" ({plan.access.why}: it can only be decoded at once)"
    return BudgetError(
        f"{plan.source}: needs {human_bytes(needed)} of memory, allowed {human_bytes(allowed)} "
        f"(largest part: {largest.name}, {human_bytes(largest.bytes)}): {advice}",
        needed=needed,
        allowed=allowed,
    )


def _smaller(plan: ConversionPlan, asked: Options, process: int) -> str | None:
    """Return the smaller shards that would fit the budget, as options, or None."""
    chunks = plan.levels[0].chunk
    for ratio in (2, 1):
        shards = tuple(min(s, c * ratio) for s, c in zip(plan.levels[0].shard, chunks, strict=True))
        if shards == plan.levels[0].shard:
            continue
        try:
            make_plan(
                plan.source, plan.target, plan.spec, plan.access,
                replace(asked, chunks=chunks, shards=shards, spacing=None, channels=None), resident=process,
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
    again = (
        "" if plan.traversal.reread <= 1 else f", chunks decoded {plan.traversal.reread:.2f} times on average"
    )
    shape = _by_name(dims, spec.shape)
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
        yield f"  level {p.level.index:<2} {size}  spacing {spacing}  {counted(math.prod(p.objects), 'object')}"
    yield f"  memory   {peak}, {counted(plan.workers, 'worker')}"
    for line in plan.memory:
        yield f"    {line.name:<10} {human_bytes(line.bytes):>8}  {line.why}"
    disk = counted(plan.files, "file")
    if plan.estimate is not None:
        e = plan.estimate
        disk += (
            f", about {human_bytes(e.output_bytes)} ({e.compression:.2f}:1 in a sample), {e.seconds:.0f} s"
        )
    yield f"  disk     {disk}"
    for note in plan.notes:
        yield f"  note     {note}"


def _by_name(dims: tuple[str, ...], numbers: Shape) -> str:
    """Return lengths with their axes, as in ``c 3 y 2048 x 2048``."""
    return " ".join(f"{name} {n}" for name, n in zip(dims, numbers, strict=True))
