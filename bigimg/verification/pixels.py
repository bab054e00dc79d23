"""The pixels of a store of ours: each chunk by its checksum, each level from the one below, all from one decode.

A block is read as the conversion wrote it, by shards, with the manifest at hand. Only where that fails is it read
chunk by chunk, to name every chunk that is damaged; what is lost takes no part in the comparisons.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from bigimg.errors import CorruptChunk, InputError, IntegrityError, MissingChunk
from bigimg.geometry.region import count, full, pieces, shape_of, shift
from bigimg.omezarr.shard import ABSENT, ShardFile, ShardLayout, open_object, read_region
from bigimg.pyramid import kernels
from bigimg.pyramid.partial import Partial, of_channel
from bigimg.types import Array, DType, Method, Region, Shape
from bigimg.verification.objects import CheckedLevel, of_object
from bigimg.verification.report import Finding, Problem

_memory = threading.local()


@dataclass(frozen=True, slots=True)
class ChainJob:
    """What all blocks of a chain have in common."""

    levels: tuple[CheckedLevel, ...]
    """Fine to coarse."""
    steps: Mapping[int, Shape]
    """Pixels of the level below in a window, by level."""
    method: Method | None
    """How levels are derived; None when they are not."""
    channel_axis: int | None
    counted: bool
    """Whether blocks of the first level are counted into the statistics."""
    padding: tuple[int, int] | None
    """Values that the statistics leave out."""


@dataclass(slots=True)
class Checked:
    """What one block gave."""

    findings: list[Finding] = field(default_factory=list)
    partials: list[tuple[int, Partial]] = field(default_factory=list)
    """Channel and statistics; empty when pixels of the block are lost."""
    decoded_bytes: int = 0


@dataclass(slots=True)
class Piece:
    """Pixels of one level, and which of them are not to be believed."""

    region: Region
    pixels: Array
    lost: list[Region]


def check_block(job: ChainJob, block: Region) -> Checked:
    """Read ``block`` of the first level of a chain, and compare each next level with what it should be."""
    result = Checked()
    piece = _read(job.levels[0], block, result, 0)
    if job.counted and not piece.lost:
        result.partials = _statistics(piece.pixels, block, job)
    for position, level in enumerate(job.levels[1:], 1):
        step = job.steps[level.index]
        here = tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(piece.region, step, strict=True))
        stored = _read(level, here, result, position)
        if job.method == "gaussian":
            derived, lost = _gaussian(job.levels[0], piece.region, step, shape_of(here))
        elif job.method is not None:
            derived, lost = kernels.downsample(piece.pixels, step, job.method), piece.lost
        lost = [
            tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(r, step, strict=True)) for r in lost
        ]
        result.findings += _differing(derived, stored, lost, level, job.method)
        piece = stored
    return result


def _gaussian(level: CheckedLevel, region: Region, step: Shape, shape: Shape) -> tuple[Array, list[Region]]:
    """Return what the filter makes of ``region`` of ``level``, which needs a pixel more on each side."""
    wider = tuple(
        slice(max(0, s.start - 1), min(s.stop + 1, n)) if f == 2 else s
        for s, n, f in zip(region, level.layout.shape, step, strict=True)
    )
    before = tuple(s.start - w.start for s, w in zip(region, wider, strict=True))
    piece = _read(level, wider, Checked(), -1)  # its damage is found by the blocks that own it
    spread = [
        tuple(slice(max(0, s.start - f + 1), s.stop + f - 1) for s, f in zip(lost, step, strict=True))
        for lost in piece.lost
    ]
    return kernels.gaussian(piece.pixels, step, before, shape), spread


def _differing(
    derived: Array, stored: Piece, lost: list[Region], level: CheckedLevel, method: str | None
) -> Iterator[Finding]:
    """Yield a finding for each chunk that holds other pixels than the level below makes."""
    differs = clear_lost(unequal(derived, stored.pixels), stored.region, [*lost, *stored.lost])
    start = tuple(s.start for s in stored.region)
    if differs.any():
        for chunk, part in pieces(stored.region, level.layout.chunk):
            wrong = int(np.count_nonzero(differs[shift(part, start)]))
            if wrong:
                said = f"{wrong} of {count(part)} pixels are not the {method} of level {level.index - 1}"
                yield of_chunk("derived", level, chunk, f"{said}; convert the source again")


def unequal(a: Array, b: Array) -> Array:
    """Return where two arrays differ; NaN equals NaN."""
    differs: Array = a != b
    if a.dtype.kind == "f":
        differs &= ~(np.isnan(a) & np.isnan(b))
    return differs


def clear_lost(differs: Array, region: Region, lost: list[Region]) -> Array:
    """Return ``differs`` of ``region`` with nothing said of the parts that are lost."""
    for part in lost:
        inside = tuple(
            slice(max(p.start, s.start) - s.start, max(min(p.stop, s.stop) - s.start, 0))
            for p, s in zip(part, region, strict=True)
        )
        differs[inside] = False
    return differs


def _statistics(pixels: Array, block: Region, job: ChainJob) -> list[tuple[int, Partial]]:
    if job.channel_axis is None:
        return [(0, of_channel(np.ascontiguousarray(pixels), job.padding))]
    first = block[job.channel_axis].start
    planes = np.moveaxis(pixels, job.channel_axis, 0)
    return [
        (first + i, of_channel(np.ascontiguousarray(plane), job.padding)) for i, plane in enumerate(planes)
    ]


# ---------------------------------------------------------------------------------------------- chunk by chunk


def _read(level: CheckedLevel, region: Region, result: Checked, position: int) -> Piece:
    """Return the pixels of ``region``; what is damaged goes into ``result`` and reads as zeros.

    They are in memory of this thread that the next block reuses: each level of a chain has its ``position`` there.
    """
    out = _own_memory(position, shape_of(region), level.layout.dtype)
    pixels, lost = read_known(level, region, result.findings, out)
    result.decoded_bytes += pixels.nbytes
    return Piece(region, pixels, lost)


def _own_memory(position: int, shape: Shape, dtype: DType) -> Array:
    held: dict[int, Array] = _memory.__dict__.setdefault("held", {})
    size = math.prod(shape) * dtype.itemsize
    if position not in held or held[position].size < size:
        held.pop(position, None)  # before the larger one is there
        held[position] = np.empty(size, np.uint8)
    return held[position][:size].view(dtype).reshape(shape)


def read_known(
    level: CheckedLevel, region: Region, findings: list[Finding], out: Array | None = None
) -> tuple[Array, list[Region]]:
    """Return the pixels of ``region`` and the parts of it that are lost; findings on these are appended."""
    try:
        return read_region(level.folder, region, level.layout, level.records, out=out), []
    except (IntegrityError, InputError):
        pass  # said below, of each chunk
    pixels = np.zeros(shape_of(region), level.layout.dtype)
    lost: list[Region] = []
    origin = tuple(s.start for s in region)
    for shard, part in pieces(region, level.layout.shard):
        damage = _damage(level, shard)
        findings += damage
        if any(finding.chunk is None for finding in damage):
            lost.append(part)
            continue
        known = {finding.chunk for finding in damage}
        for chunk, inside in pieces(part, level.layout.chunk):
            if chunk in known:
                lost.append(inside)
            else:
                with open_object(level.folder, shard, level.layout) as file:
                    file.read_into(pixels[shift(inside, origin)], inside)
    return pixels, lost


def _damage(level: CheckedLevel, shard: Shape) -> list[Finding]:
    """Return everything that is wrong with one object: with all of it, or with chunks of it."""
    layout, folder = level.layout, level.folder
    try:
        with open_object(folder, shard, layout) as file:
            chunks = list(_bad_chunks(level, shard, file))
        if not chunks and level.records is not None:
            # Each chunk is whole: then the object is another one, or it is longer than it was.
            record = int(level.records[shard][0]), int(level.records[shard][1])
            with open_object(folder, shard, layout, record):
                pass
    except (IntegrityError, InputError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        path = str(folder / layout.key(shard))
        text = f"cannot be read ({said}); check the disk" if said else str(error).removeprefix(f"{path}: ")
        kind: Problem = "missing" if isinstance(error, MissingChunk) else "corrupt"
        return [of_object(kind, level.index, shard, text, layout.zarr)]
    return chunks


def _bad_chunks(level: CheckedLevel, shard: Shape, file: ShardFile) -> Iterator[Finding]:
    layout = level.layout
    buffer = np.empty(layout.chunk, layout.dtype)
    for position in _positions(layout, file):
        chunk = tuple(s * n + p for s, n, p in zip(shard, layout.chunks_per_shard, position, strict=True))
        if file.offsets[position][0] == ABSENT:
            yield of_chunk("missing", level, chunk, "is not in the shard index; restore the object")
            continue
        try:
            encoded = file.encoded(position)
        except CorruptChunk:
            yield of_chunk("corrupt", level, chunk, "its checksum is wrong; restore the object")
            continue
        try:
            layout.codec.decode(encoded, buffer)
        except (RuntimeError, ValueError) as error:
            yield of_chunk("corrupt", level, chunk, f"does not decode ({error}); restore the object")


def _positions(layout: ShardLayout, file: ShardFile) -> Iterator[Shape]:
    """Yield the chunks of a shard that lie inside the array."""
    inside = tuple(
        min(size - start, s) for size, start, s in zip(layout.shape, file.start, layout.shard, strict=True)
    )
    for position, _ in pieces(full(inside), layout.chunk):
        yield position


def of_chunk(kind: Problem, level: CheckedLevel, chunk: Shape, said: str) -> Finding:
    """Return a finding on one chunk, by its index in the grid of chunks."""
    shard = tuple(c // n for c, n in zip(chunk, level.layout.chunks_per_shard, strict=True))
    text = f"level {level.index}, chunk {chunk}: {said}"
    return Finding(
        kind, f"{level.index}/{level.layout.key(shard)}", text, str(level.index), level.index, shard, chunk
    )
