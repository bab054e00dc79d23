"""What one worker does with one block: write its shards at each level of the sweep, and count.

Plain functions of picklable values, so any executor can run them. Nothing is shared between blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bigimg.geometry.holes import holes_in
from bigimg.geometry.region import count, pieces, scale_up, shape_of, shift
from bigimg.omezarr.shard import ObjectRecord, ShardLayout, read_region, write_shard
from bigimg.places.folder_target import FolderTarget
from bigimg.planning.blocks import reduced_piece
from bigimg.pyramid import kernels
from bigimg.pyramid.partial import Partial, of_channel
from bigimg.reader import Reader
from bigimg.types import Array, Method, Padding, Region, Shape


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One level on disk, to be written or read."""

    target: FolderTarget
    layout: ShardLayout
    step: Shape
    """Pixels of the level below in a window of this level."""
    holes: tuple[Region, ...] = ()
    """Boxes of it that are no measurements."""
    kept: bool = True
    """Whether it is written; the next level is made of it in any case."""

    @property
    def folder(self) -> Path:
        """Where it is read."""
        return self.target.folder


@dataclass(frozen=True, slots=True)
class SweepJob:
    """What all blocks of a sweep have in common."""

    source: StoredArray | None
    """The level that is read; None when the pixels come from the reader."""
    targets: dict[int, StoredArray]
    """The levels that are written, by number, fine to coarse."""
    block: Shape
    """Pixels of a block at the first level that is written."""
    method: Method
    channel_axis: int | None
    """The axis c of the arrays, if they have one."""
    padding: Padding | None = None
    """Values that statistics and levels leave out."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What one block returns; its pixels are in its files."""

    start: Shape
    """First pixel of the block, at the first level that its sweep writes."""
    records: dict[int, list[ObjectRecord]] = field(default_factory=dict)
    """Length and checksum of each object, by level."""
    partials: list[tuple[int, Partial]] = field(default_factory=list)
    """Channel and statistics of level 0."""
    read_bytes: int = 0
    """Decoded bytes of what was read."""


@dataclass(frozen=True, slots=True)
class Work:
    """A sweep and what it reads: what each worker needs once."""

    job: SweepJob
    reader: Reader | None = None
    """Of the source; None where a level of the store is read."""


def convert_band(work: Work, band: Region, blocks: Sequence[Region]) -> list[BlockResult]:
    """Read ``band`` of the source at once and convert ``blocks`` of it."""
    assert work.reader is not None
    data = work.reader.read(band)
    start = first_pixel(band)
    return [convert_block(work.job, data[shift(block, start)], block) for block in blocks]


def first_pixel(region: Region) -> Shape:
    """Return the first pixel of ``region``; it identifies a block."""
    return tuple(s.start for s in region)


def convert_strips(work: Work, block: Region, parts: Sequence[tuple[Region, Array]]) -> list[BlockResult]:
    """Put ``block`` together from its parts in the strips of an ordered source, and convert it.

    Interleaved colours become planar here, in the worker. This is the only copy of the pixels.
    """
    data = np.empty(shape_of(block), parts[0][1].dtype)
    for region, part in parts:
        data[shift(region, first_pixel(block))] = part
    return [convert_block(work.job, data, block)]


def convert_block(job: SweepJob, data: Array, block: Region) -> BlockResult:
    """Write the pixels ``data`` of ``block`` of level 0, and the levels that follow in the sweep."""
    if data.strides[-1] != data.itemsize:  # interleaved colours; gaps between rows of a band are fine
        data = np.ascontiguousarray(data)
    holes = holes_in(job.targets[0].holes, block)
    partials = channel_statistics(data, block, job.channel_axis, job.padding, holes)
    return BlockResult(first_pixel(block), _write_levels(job, data, block, holes), partials, data.nbytes)


def reduce_block(work: Work, block: Region) -> list[BlockResult]:
    """Make ``block`` of the first level of a later sweep from the level below as stored, and the levels after it.

    The level below is read a few chunks at a time, so that later sweeps need no more memory than the first.
    """
    job = work.job
    assert job.source is not None
    target = next(iter(job.targets.values()))
    data = np.empty(shape_of(block), target.layout.dtype)
    below = scale_up(block, target.step, job.source.layout.shape)
    start = first_pixel(block)
    for _, part in pieces(block, reduced_piece(job.block, target.layout.chunk, target.step, job.method)):
        source = scale_up(part, target.step, job.source.layout.shape)
        _reduce(job, source, target.step, data[shift(part, start)])
    holes = holes_in(target.holes, block) if len(job.targets) > 1 else None
    records = _write_levels(job, data, block, holes)
    return [BlockResult(start, records, read_bytes=count(below) * data.itemsize)]


def _reduce(job: SweepJob, region: Region, step: Shape, out: Array) -> None:
    """Fill ``out`` with the windows of ``region`` of the level below."""
    assert job.source is not None
    folder, layout = job.source.folder, job.source.layout
    if job.method != "gaussian":
        holes = holes_in(job.source.holes, region)
        pixels = read_region(folder, region, layout)
        kernels.downsample(pixels, step, job.method, out, padding=job.padding, holes=holes)
        return
    wider, before = with_neighbours(region, step, layout.shape)
    holes = holes_in(job.source.holes, wider)
    out[...] = kernels.gaussian(
        read_region(folder, wider, layout), step, before, out.shape, job.padding, holes
    )


def with_neighbours(region: Region, step: Shape, shape: Shape) -> tuple[Region, Shape]:
    """Return ``region`` of a level of ``shape`` as the Gaussian needs it, and how many pixels come before it.

    That is one pixel more on each side of a halved axis, where the image has one.
    """
    wider = tuple(
        slice(max(0, s.start - 1), min(s.stop + 1, n)) if f == 2 else s
        for s, n, f in zip(region, shape, step, strict=True)
    )
    return wider, tuple(s.start - w.start for s, w in zip(region, wider, strict=True))


def _write_levels(
    job: SweepJob, data: Array, block: Region, holes: Array | None
) -> dict[int, list[ObjectRecord]]:
    """Write ``data`` with ``holes`` at the first level of the sweep, and what it shrinks to at each of the next."""
    written: dict[int, list[ObjectRecord]] = {}
    region = block
    for position, (level, target) in enumerate(job.targets.items(), 1):
        if position > 1:
            data = kernels.downsample(data, target.step, job.method, padding=job.padding, holes=holes)
            start = tuple(s.start // f for s, f in zip(region, target.step, strict=True))
            region = tuple(slice(o, o + n) for o, n in zip(start, data.shape, strict=True))
            holes = holes_in(target.holes, region) if position < len(job.targets) else None
        if not target.kept:
            continue
        start = first_pixel(region)
        written[level] = [
            write_shard(target.target, index, data[shift(part, start)], target.layout)
            for index, part in pieces(region, target.layout.shard)
        ]
    return written


def channel_statistics(
    data: Array, block: Region, channel_axis: int | None, padding: Padding | None, holes: Array | None = None
) -> list[tuple[int, Partial]]:
    """Return channel and statistics of each channel in the pixels ``data`` of ``block`` that are not in ``holes``."""
    if channel_axis is None:
        return [(0, of_channel(data, padding, holes))]
    first = block[channel_axis].start
    planes = np.moveaxis(data, channel_axis, 0)
    lost = [None] * len(planes) if holes is None else np.moveaxis(holes, channel_axis, 0)
    return [(first + i, of_channel(planes[i], padding, lost[i])) for i in range(len(planes))]
