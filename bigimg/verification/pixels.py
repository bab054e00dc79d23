"""The pixels of a store of ours, decoded once: each chunk against its checksum, each level against the level below.

A block is read shard by shard, with the manifest. Only if that fails, it is read chunk by chunk, to name every chunk
that is damaged. Lost pixels take no part in the comparisons.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from bigimg.conversion.block import channel_statistics, with_neighbours
from bigimg.errors import CorruptChunk, InputError, IntegrityError, MissingChunk
from bigimg.geometry.region import count, full, pieces, shape_of, shift
from bigimg.omezarr.shard import ABSENT, ShardFile, open_object, read_region
from bigimg.pyramid import kernels
from bigimg.pyramid.partial import Partial
from bigimg.types import Array, DType, Method, Region, Shape
from bigimg.verification.objects import CheckedLevel, of_object
from bigimg.verification.report import Finding, Problem

_per_thread = threading.local()


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
    """The result of one block."""

    findings: list[Finding] = field(default_factory=list)
    partials: list[tuple[int, Partial]] = field(default_factory=list)
    """Channel and statistics; empty when pixels of the block are lost."""
    decoded_bytes: int = 0


@dataclass(slots=True)
class Piece:
    """Pixels of one level, and which of them are damaged."""

    region: Region
    pixels: Array
    lost: list[Region]


def check_block(job: ChainJob, block: Region) -> Checked:
    """Read ``block`` of the first level of a chain, and compare each next level with what it should be."""
    result = Checked()
    piece = _read(job.levels[0], block, result, 0)
    if job.counted and not piece.lost:
        result.partials = channel_statistics(piece.pixels, block, job.channel_axis, job.padding)
    for position, level in enumerate(job.levels[1:], 1):
        step = job.steps[level.index]
        here = _scale_down(piece.region, step)
        stored = _read(level, here, result, position)
        if job.method == "gaussian":
            derived, lost = _gaussian(job.levels[0], piece.region, step, shape_of(here))
        elif job.method is not None:
            derived, lost = kernels.downsample(piece.pixels, step, job.method), piece.lost
        lost = [*stored.lost, *(_scale_down(region, step) for region in lost)]
        message = f"pixels are not the {job.method} of level {level.index - 1}; convert the source again"
        for chunk, wrong in differing_chunks(derived, stored.pixels, here, lost, level.layout.chunk):
            result.findings.append(of_chunk("derived", level, chunk, f"{wrong} {message}"))
        piece = stored
    return result


def _scale_down(region: Region, step: Shape) -> Region:
    """Return the windows of ``step`` that ``region`` touches."""
    return tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(region, step, strict=True))


def _gaussian(level: CheckedLevel, region: Region, step: Shape, shape: Shape) -> tuple[Array, list[Region]]:
    """Return what the filter makes of ``region`` of ``level``, and which parts of the level it cannot judge."""
    wider, before = with_neighbours(region, step, level.layout.shape)
    piece = _read(level, wider, Checked(), -1)  # the blocks that own these pixels report their damage
    lost = [
        tuple(slice(max(0, s.start - f + 1), s.stop + f - 1) for s, f in zip(part, step, strict=True))
        for part in piece.lost
    ]
    return kernels.gaussian(piece.pixels, step, before, shape), lost


def differing_chunks(
    a: Array, b: Array, region: Region, lost: list[Region], chunk: Shape
) -> Iterator[tuple[Shape, str]]:
    """Yield each chunk in which two versions of ``region`` differ outside the ``lost`` parts, and ``n of m``.

    NaN equals NaN.
    """
    differs: Array = a != b
    if a.dtype.kind == "f":
        differs &= ~(np.isnan(a) & np.isnan(b))
    for part in lost:
        inside = tuple(
            slice(max(p.start, s.start) - s.start, max(min(p.stop, s.stop) - s.start, 0))
            for p, s in zip(part, region, strict=True)
        )
        differs[inside] = False
    if differs.any():
        start = tuple(s.start for s in region)
        for index, part in pieces(region, chunk):
            if wrong := int(np.count_nonzero(differs[shift(part, start)])):
                yield index, f"{wrong} of {count(part)}"


# ---------------------------------------------------------------------------------------------- chunk by chunk


def _read(level: CheckedLevel, region: Region, result: Checked, position: int) -> Piece:
    """Return the pixels of ``region``; damaged ones are zero, and ``result`` gets a finding on them.

    The pixels lie in memory of this thread that the next block reuses. Each ``position`` in a chain has its own.
    """
    out = _own_memory(position, shape_of(region), level.layout.dtype)
    pixels, lost = read_own(level, region, result.findings, out)
    result.decoded_bytes += pixels.nbytes
    return Piece(region, pixels, lost)


def _own_memory(position: int, shape: Shape, dtype: DType) -> Array:
    buffers: dict[int, Array] = _per_thread.__dict__.setdefault("buffers", {})
    size = math.prod(shape) * dtype.itemsize
    if position not in buffers or buffers[position].size < size:
        buffers.pop(position, None)  # free the smaller one before the larger one is allocated
        buffers[position] = np.empty(size, np.uint8)
    return buffers[position][:size].view(dtype).reshape(shape)


def read_own(
    level: CheckedLevel, region: Region, findings: list[Finding], out: Array | None = None
) -> tuple[Array, list[Region]]:
    """Return the pixels of ``region`` and the parts of it that are lost; findings on these are appended."""
    try:
        return read_region(level.folder, region, level.layout, level.records, out=out), []
    except (IntegrityError, InputError):
        pass  # reported below, chunk by chunk
    pixels = np.zeros(shape_of(region), level.layout.dtype)
    lost: list[Region] = []
    origin = tuple(s.start for s in region)
    for shard, part in pieces(region, level.layout.shard):
        damage = _damage(level, shard)
        findings += damage
        if any(finding.chunk is None for finding in damage):
            lost.append(part)
            continue
        damaged = {finding.chunk for finding in damage}
        for chunk, inside in pieces(part, level.layout.chunk):
            if chunk in damaged:
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
            # Each chunk is undamaged: then this is the object of another shard, or it has grown.
            record = int(level.records[shard][0]), int(level.records[shard][1])
            open_object(folder, shard, layout, record).file.close()
        return chunks
    except (IntegrityError, InputError, OSError) as error:
        message = str(error).removeprefix(f"{folder / layout.key(shard)}: ")
        if isinstance(error, OSError) and error.strerror:
            message = f"cannot be read ({error.strerror}); check the disk"
        kind: Problem = "missing" if isinstance(error, MissingChunk) else "corrupt"
        return [of_object(kind, level.index, shard, message, layout.zarr)]


def _bad_chunks(level: CheckedLevel, shard: Shape, file: ShardFile) -> Iterator[Finding]:
    layout = level.layout
    buffer = np.empty(layout.chunk, layout.dtype)
    inside = map(min, layout.shard, (n - s for n, s in zip(layout.shape, file.start, strict=True)))
    for position, _ in pieces(full(tuple(inside)), layout.chunk):
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


def of_chunk(kind: Problem, level: CheckedLevel, chunk: Shape, message: str) -> Finding:
    """Return a finding on one chunk, by its index in the grid of chunks."""
    shard = tuple(c // n for c, n in zip(chunk, level.layout.chunks_per_shard, strict=True))
    file, text = f"{level.index}/{level.layout.key(shard)}", f"level {level.index}, chunk {chunk}: {message}"
    return Finding(kind, file, text, str(level.index), level.index, shard, chunk)
