"""The pixels of a store: chunks against checksums, each level against the level below, level 0 against the source.

A block is read at once. Only if that fails, it is read piece by piece, to name every chunk that is damaged
(:mod:`~bigimg.verification.levels`). Lost pixels take no part in the comparisons. An ordered source is read in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from bigimg.conversion.block import channel_statistics, with_neighbours
from bigimg.conversion.pool import Pool, in_portions, in_window
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import holes_in
from bigimg.geometry.region import count, pieces, shape_of, shift
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import strip_step, walk
from bigimg.planning.plan import SCRATCH_STRIP_BYTES
from bigimg.pyramid import kernels
from bigimg.pyramid.partial import Partial
from bigimg.reader import Reader
from bigimg.types import Array, Method, Padding, Region, Shape
from bigimg.verification.levels import Level
from bigimg.verification.report import Finding, Findings


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
    padding: Padding | None = None
    """Values that statistics and levels leave out."""
    holes: Mapping[int, tuple[Region, ...]] = field(default_factory=dict)
    """Boxes that they leave out, by level."""
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
        result.partials = channel_statistics(
            pixels, block, job.channel_axis, job.padding, _holes(job, 0, block)
        )
    if job.ids and not lost:
        result.ids = np.unique(pixels)
    for position, level in enumerate(job.levels[1:], 1):
        step = job.steps[level.index]
        here = _scale_down(region, step)
        stored, lost_here = level.read(here, result.findings, position)
        result.decoded_bytes += stored.nbytes
        if job.method == "gaussian":
            derived, lost = _gaussian(job, region, step, shape_of(here))
        elif job.method is not None:
            holes = _holes(job, position - 1, region)
            derived = kernels.downsample(pixels, step, job.method, padding=job.padding, holes=holes)
        unknown = [*lost_here, *(_scale_down(part, step) for part in lost)]
        message = f"pixels are not the {job.method} of level {level.index - 1}; convert the source again"
        for chunk, wrong in differing_chunks(derived, stored, here, unknown, level.chunk):
            result.findings.append(level.of_chunk("derived", chunk, f"{wrong} {message}"))
        region, pixels, lost = here, stored, lost_here
    return result


def _holes(job: ChainJob, position: int, region: Region) -> Array | None:
    """Return where ``region`` of a level of the chain lies in holes."""
    return holes_in(job.holes.get(job.levels[position].index, ()), region)


def _scale_down(region: Region, step: Shape) -> Region:
    """Return the windows of ``step`` that ``region`` touches."""
    return tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(region, step, strict=True))


def _gaussian(job: ChainJob, region: Region, step: Shape, shape: Shape) -> tuple[Array, list[Region]]:
    """Return what the filter makes of ``region`` of the first level, and which parts of it it cannot judge."""
    level = job.levels[0]
    wider, before = with_neighbours(region, step, level.shape)
    pixels, damaged = level.read(wider, [], -1)  # the blocks that own these pixels report their damage
    lost = [
        tuple(slice(max(0, s.start - f + 1), s.stop + f - 1) for s, f in zip(part, step, strict=True))
        for part in damaged
    ]
    return kernels.gaussian(pixels, step, before, shape, job.padding, _holes(job, 0, wider)), lost


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


# ---------------------------------------------------------------------------------------------- against the source


def comparable(spec: ImageSpec, level: Level, found: Findings) -> bool:
    """Return whether the source has the axes, shape and type of level 0; add a finding if it has not."""
    if (spec.dims, spec.shape, spec.dtype) == (level.dims, level.shape, level.dtype):
        return True
    here, theirs = (f"{' '.join(v.dims)} = {' x '.join(map(str, v.shape))}, {v.dtype}" for v in (level, spec))
    message = f"the store is {here}, the source {theirs}: not the source of this store, or another series"
    found.add(Finding("source", "zarr.json", message))
    return False


def compare_geometry(spec: ImageSpec, axes: tuple[Axis, ...], found: Findings) -> None:
    """Note where spacing, unit or origin of the source differ from the store: ``--spacing`` is meant to do that."""
    for theirs, ours in zip(spec.axes, axes, strict=True):
        for what in ("spacing", "unit", "origin"):
            if getattr(theirs, what) != getattr(ours, what):
                found.note(
                    f"{what} along {ours.name} is {getattr(ours, what)} in the store, {getattr(theirs, what)} in the "
                    "source"
                )


def compare_source(
    reader: Reader, band: Shape, level: Level, pool: Pool
) -> Iterator[tuple[list[Finding], int]]:
    """Yield findings and decoded bytes of each portion that was compared.

    Parameters
    ----------
    band : tuple of int
        Pixels of the source that are read at once.
    level : Level
        Level 0 of the store.
    """
    spec = reader.spec
    bands = walk(spec.shape, band, spec.dims, reader.access.order)
    if reader.access.kind != "sequential":
        of_level, of_source = pool.share(level), pool.share(reader)
        yield from in_window(pool, ((_read_and_compare, of_level, of_source, b) for b in bands))
        return
    step = strip_step(spec, reader.access.order, SCRATCH_STRIP_BYTES)
    yield from in_portions(pool, (partial(_read, level, reader, b, step) for b in bands), 1)


def _read(level: Level, reader: Reader, band: Region, step: Shape) -> list[tuple[Any, ...]]:
    """Read one band of an ordered source in this thread, and return a task for each chunk in it."""
    pixels = np.empty(shape_of(band), reader.spec.dtype)
    start = tuple(s.start for s in band)
    for _, strip in pieces(band, step):
        pixels[shift(strip, start)] = reader.read(strip)
    return [(_compare, level, pixels[shift(part, start)], part) for _, part in pieces(band, level.chunk)]


def _read_and_compare(level: Level, reader: Reader, band: Region) -> tuple[list[Finding], int]:
    return _compare(level, reader.read(band), band)


def _compare(level: Level, source: Array, region: Region) -> tuple[list[Finding], int]:
    stored, lost = level.read(region, [])  # damage was reported when the chunks were checked
    findings = [
        level.of_chunk("source", index, f"{wrong} pixels are not those of the source; convert it again")
        for index, wrong in differing_chunks(source, stored, region, lost, level.chunk)
    ]
    return findings, stored.nbytes
