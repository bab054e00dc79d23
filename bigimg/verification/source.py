"""Level 0 against the source that it was made from: every pixel is compared, an ordered source is read in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np

from bigimg.conversion.schedule import in_portions, in_window
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import strip_step, walk
from bigimg.planning.plan import SCRATCH_STRIP_BYTES
from bigimg.reader import Reader
from bigimg.types import Array, DType, Region, Shape
from bigimg.verification.levels import Level
from bigimg.verification.pixels import differing_chunks
from bigimg.verification.report import Finding, Findings


def comparable(spec: ImageSpec, dims: tuple[str, ...], shape: Shape, dtype: DType, found: Findings) -> bool:
    """Return whether the source has the axes, shape and type of level 0; add a finding if it has not."""
    if (spec.dims, spec.shape, spec.dtype) == (dims, shape, dtype):
        return True
    here = f"{' '.join(dims)} = {' x '.join(map(str, shape))}, {dtype}"
    theirs = f"{' '.join(spec.dims)} = {' x '.join(map(str, spec.shape))}, {spec.dtype}"
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
    reader: Reader, band: Shape, level: Level, pool: Executor, workers: int
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
        yield from in_window(pool.submit, ((_read_and_compare, level, reader, b) for b in bands), 2 * workers)
        return
    step = strip_step(spec, reader.access.order, SCRATCH_STRIP_BYTES)
    yield from in_portions(pool.submit, (partial(_read, level, reader, b, step) for b in bands), 1)


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
