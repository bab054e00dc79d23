"""An estimate of output size and time, from one second of reading and compressing samples."""

from __future__ import annotations

import itertools
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bigimg.conversion.block import first_pixel
from bigimg.errors import OutputError
from bigimg.geometry.region import count, pieces, shift
from bigimg.omezarr.codecs import CODECS
from bigimg.planning.blocks import strip_step, walk
from bigimg.planning.memory import human_bytes
from bigimg.planning.plan import ConversionPlan, Estimate
from bigimg.reader import Reader
from bigimg.types import Array, Region

SECONDS = 1.0
SAMPLE_BYTES = 16_000_000
"""Decoded bytes of one sample, or one chunk of the source where that is more."""
MOST_IDS, LOOKED = 256, 1 << 20
"""Values of a label image in the samples at most, and pixels of a sample that are looked at."""
EQUAL = 0.7
"""Share of the pixels of a label image that equal their neighbour along x, at least; two zeros do not count, since
noise over black is no label image."""


def probe(plan: ConversionPlan, reader: Reader, *, ask: bool = False) -> Estimate | None:
    """Return an estimate from samples all over the image, or None when a sample would need a full decode.

    With ``ask`` it also says whether integers may be ids, which only a person knows.

    An ordered source is sampled at its beginning, because a sample elsewhere would decode everything before it.
    """
    if reader.access.kind == "whole" and plan.spec.nbytes > SAMPLE_BYTES:
        return None
    codec, chunk = CODECS[plan.codec], plan.levels[0].chunk
    ids = _Ids() if ask and _may_be_ids(plan) else None
    decoded = stored = 0
    reading = encoding = 0.0
    started = time.perf_counter()
    for region in _samples(plan, reader):
        before = time.perf_counter()
        data = reader.read(region)
        between = time.perf_counter()
        for _, part in pieces(region, chunk):
            piece = np.ascontiguousarray(data[shift(part, first_pixel(region))])
            stored += codec.encode(piece, np.empty(codec.most(piece.nbytes), np.uint8))
        decoded += data.nbytes
        if ids is not None:
            ids.add(data)
        reading += between - before
        encoding += time.perf_counter() - between
        if time.perf_counter() - started > SECONDS:
            break
    levels = [math.prod(p.level.shape) for p in plan.levels]
    grown = sum(levels) / levels[0]
    share = plan.spec.nbytes / decoded
    # An ordered source is read by one thread while the workers compress; otherwise each worker does both. Levels and
    # statistics take about half the time of compressing (measured on RGB and 16-bit volumes).
    work = encoding * grown * 1.5 / plan.workers
    seconds = max(reading, work) if reader.access.kind == "sequential" else reading / plan.workers + work
    few = None if ids is None else ids.found()
    return Estimate(decoded / stored, int(stored * share * grown), seconds * share, few)


def _may_be_ids(plan: ConversionPlan) -> bool:
    """Return whether integers are taken for intensities although nothing says that they are: no colours, no slope."""
    spec = plan.spec
    intensities = spec.scaling is not None or spec.sizes.get("c", 1) > 1
    return spec.kind == "image" and spec.dtype.kind in "ui" and not intensities


class _Ids:
    """Looks whether samples hold few values, in areas of one value, as label images do."""

    def __init__(self) -> None:
        self.values: set[int] = set()
        self.equal = self.pairs = 0

    def add(self, data: Array) -> None:
        """Count the values of rows all over ``data``."""
        if len(self.values) > MOST_IDS:
            return
        longest = int(
            np.argmax(data.shape[:-1])
        )  # a view may lie in any order, so only what is looked at is copied
        some = (slice(None),) * longest + (slice(None, None, max(1, data.size // LOOKED)),)
        rows = data[some].reshape(-1, data.shape[-1])
        self.values.update(np.unique(rows).tolist())
        left, right = rows[:, :-1], rows[:, 1:]
        self.pairs += int(np.count_nonzero(left | right))
        self.equal += int(np.count_nonzero((left == right) & (left != 0)))

    def found(self) -> int | None:
        """Return the number of values; None if they are no ids, or all are one."""
        few = 1 < len(self.values) <= MOST_IDS
        return len(self.values) if few and self.pairs and self.equal >= EQUAL * self.pairs else None


def check_room(plan: ConversionPlan, reader: Reader, folder: Path) -> None:
    """Return if the volume of ``folder`` has room for the store and the scratch file.

    If an uncompressed store would fit, nothing is read. Otherwise samples give the compression.

    Raises
    ------
    OutputError
        It has no room; the message says what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    values = sum(math.prod(p.level.shape) for p in plan.levels)
    needed = int(values * plan.spec.dtype.itemsize * 1.02) + plan.scratch_bytes
    if needed <= free:
        return
    estimate = plan.estimate or probe(plan, reader)
    reader.close()  # an ordered source begins again at its head
    if estimate is None or estimate.output_bytes * 0.95 + plan.scratch_bytes <= free:
        return
    needed = estimate.output_bytes + plan.scratch_bytes
    raise OutputError(
        f"{plan.target}: needs about {human_bytes(needed)} of disk, {human_bytes(free)} are free: "
        "make room, choose another disk, or codec='zstd'"
    )


def _samples(plan: ConversionPlan, reader: Reader) -> Iterator[Region]:
    """Yield regions along the diagonal of the image, or one after another from its beginning."""
    spec, chunk = plan.spec, plan.levels[0].chunk
    if reader.access.kind == "sequential":
        step = strip_step(spec, reader.access.order, SAMPLE_BYTES)
        yield from walk(spec.shape, step, spec.dims, reader.access.order)
        return
    side = [min(n, max(c, s)) for n, c, s in zip(spec.shape, chunk, reader.spec.chunks, strict=True)]
    seen = set()
    for share in itertools.chain((0.5, 0.25, 0.75), np.linspace(0, 1, 16).tolist()):
        region = tuple(
            slice(start := int((n - s) * share) // s * s, min(start + s, n))
            for n, s in zip(spec.shape, side, strict=True)
        )
        if (key := first_pixel(region)) not in seen and count(region):
            seen.add(key)
            yield region
