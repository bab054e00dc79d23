"""The pixels of a store, decoded once: each chunk against its checksum, each level against the level below.

A block is read at once. Only if that fails, it is read piece by piece, to name every chunk that is damaged
(:mod:`~bigimg.verification.levels`). Lost pixels take no part in the comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from bigimg.conversion.block import channel_statistics, with_neighbours
from bigimg.geometry.region import count, pieces, shape_of, shift
from bigimg.pyramid import kernels
from bigimg.pyramid.partial import Partial
from bigimg.types import Array, Method, Region, Shape
from bigimg.verification.levels import Level
from bigimg.verification.report import Finding


@dataclass(frozen=True, slots=True)
class ChainJob:
    """What all blocks of a chain have in common."""

    levels: tuple[Level, ...]
    """Fine to coarse."""
    steps: Mapping[int, Shape]
    """Pixels of the level below in a window, by level."""
    method: Method | None = None
    """How levels are derived; None when they are not."""
    channel_axis: int | None = None
    counted: bool = False
    """Whether blocks of the first level are counted into the statistics."""
    padding: tuple[int, int] | None = None
    """Values that the statistics leave out."""
    ids: bool = False
    """Whether the different values of a block are listed."""


@dataclass(slots=True)
class Checked:
    """The result of one block."""

    region: Region
    findings: list[Finding] = field(default_factory=list)
    partials: list[tuple[int, Partial]] = field(default_factory=list)
    """Channel and statistics; empty when pixels of the block are lost."""
    ids: Array | None = None
    """The different values in it; None when they are not listed, or when pixels of the block are lost."""
    decoded_bytes: int = 0


def check_block(job: ChainJob, block: Region) -> Checked:
    """Read ``block`` of the first level of a chain, and compare each next level with what it should be."""
    result = Checked(block)
    region = block
    pixels, lost = job.levels[0].read(region, result.findings, 0)
    result.decoded_bytes = pixels.nbytes
    if job.counted and not lost:
        result.partials = channel_statistics(pixels, block, job.channel_axis, job.padding)
    if job.ids and not lost:
        result.ids = np.unique(pixels)
    for position, level in enumerate(job.levels[1:], 1):
        step = job.steps[level.index]
        here = _scale_down(region, step)
        stored, lost_here = level.read(here, result.findings, position)
        result.decoded_bytes += stored.nbytes
        if job.method == "gaussian":
            derived, lost = _gaussian(job.levels[0], region, step, shape_of(here))
        elif job.method is not None:
            derived = kernels.downsample(pixels, step, job.method)
        unknown = [*lost_here, *(_scale_down(part, step) for part in lost)]
        message = f"pixels are not the {job.method} of level {level.index - 1}; convert the source again"
        for chunk, wrong in differing_chunks(derived, stored, here, unknown, level.chunk):
            result.findings.append(level.of_chunk("derived", chunk, f"{wrong} {message}"))
        region, pixels, lost = here, stored, lost_here
    return result


def _scale_down(region: Region, step: Shape) -> Region:
    """Return the windows of ``step`` that ``region`` touches."""
    return tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(region, step, strict=True))


def _gaussian(level: Level, region: Region, step: Shape, shape: Shape) -> tuple[Array, list[Region]]:
    """Return what the filter makes of ``region`` of ``level``, and which parts of the level it cannot judge."""
    wider, before = with_neighbours(region, step, level.shape)
    pixels, damaged = level.read(wider, [], -1)  # the blocks that own these pixels report their damage
    lost = [
        tuple(slice(max(0, s.start - f + 1), s.stop + f - 1) for s, f in zip(part, step, strict=True))
        for part in damaged
    ]
    return kernels.gaussian(pixels, step, before, shape), lost


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
