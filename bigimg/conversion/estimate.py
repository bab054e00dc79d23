"""An estimate of output size and time, from one second of reading and compressing samples.

Samples are small, so that a plan stays in its budget, and many, so that they are like the image. Where the source
decodes whole planes, a sample is a few of them, and as many pixels of these as a chunk has are compressed together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bigimg.conversion.block import first_pixel
from bigimg.geometry.region import count, full, grid, pieces
from bigimg.omezarr.codecs import CODECS
from bigimg.omezarr.packed import is_packed
from bigimg.planning.blocks import strip_step, walk
from bigimg.planning.disk import check_free, free_bytes
from bigimg.planning.estimate import Estimate
from bigimg.planning.plan import ConversionPlan
from bigimg.pyramid import kernels
from bigimg.pyramid.partial import histogram_bins
from bigimg.reader import Reader
from bigimg.types import Array, Region, Shape

SECONDS = 1.0
SAMPLES = 64
SAMPLE_BYTES = 4_000_000
"""Decoded bytes of one sample, or one chunk of the store where that is more."""
ENCODED_BYTES = 64_000_000
"""Decoded bytes of an ordered source to be compressed in the time: every second strip of twice as many, and so on."""
WHOLE_BYTES = 16_000_000
"""Decoded bytes of a source that is decoded at once for an estimate."""
LEAST = 1 << 15
"""Values of a reduced sample below which it says nothing of how a level compresses."""
DOCUMENT_BYTES = 1500
"""Of a metadata file, measured."""
MOST_IDS, LOOKED = 256, 1 << 20
"""Values of a label image in the samples at most, and pixels of a sample that are looked at."""
EQUAL = 0.7
"""Share of the pixels of a label image that equal their neighbour along x, at least; two zeros do not count, since
noise over black is no label image."""


def probe_all(
    plan: ConversionPlan, reader: Reader, labels: Sequence[Reader], *, ask: bool = False
) -> Estimate | None:
    """Return an estimate of the image and of the label images that go along, in a second for all.

    With ``ask`` it also says whether integers of the image may be ids, which only a person knows.
    """
    within = SECONDS / (1 + len(labels))
    first = probe(plan, reader, ask=ask, within=within)
    others = [probe(*pair, within=within) for pair in zip(plan.labels, labels, strict=True)]
    known = [estimate for estimate in (first, *others) if estimate is not None]
    if first is None or len(known) <= len(others):
        return None
    decoded = [each.spec.nbytes for each in (plan, *plan.labels)]
    stored = sum(n / estimate.compression for n, estimate in zip(decoded, known, strict=True))
    return replace(
        first,
        compression=sum(decoded) / stored,
        output_bytes=sum(each.output_bytes for each in known),
        seconds=sum(each.seconds for each in known),
    )


def probe(
    plan: ConversionPlan, reader: Reader, *, ask: bool = False, within: float = SECONDS
) -> Estimate | None:
    """Return an estimate from samples all over the image, or None when a sample would need a full decode.

    With ``ask`` it also says whether integers may be ids, which only a person knows.

    An ordered source is sampled at its beginning, because a sample elsewhere would decode everything before it.
    """
    if reader.access.kind == "whole" and plan.spec.nbytes > WHOLE_BYTES:
        return None
    ordered = reader.access.kind == "sequential"
    every = -(-plan.spec.nbytes // ENCODED_BYTES)
    encoded = _Encoded(plan)
    ids = _Ids() if ask and _may_be_ids(plan) else None
    reading = encoding = read = 0.0
    started = time.perf_counter()
    for number, region in enumerate(_strips(plan, reader) if ordered else _samples(plan, reader)):
        before = time.perf_counter()
        data = reader.read(region)
        between = time.perf_counter()
        read += data.nbytes
        reading += (between - before) * (1 if ordered else _used(region, reader))
        if not ordered or number % every == 0:
            encoded.add(data)
            if ids is not None:
                ids.add(data)
            encoding += time.perf_counter() - between
        if time.perf_counter() - started > within:
            break
    sizes = [math.prod(p.level.shape) * plan.spec.dtype.itemsize for p in plan.levels]
    reading *= plan.spec.nbytes / read
    # An ordered source is read by one thread while the workers compress; otherwise each worker does both. Statistics
    # take about a third of the time of compressing (measured on RGB and 16-bit volumes).
    work = encoding * plan.spec.nbytes / encoded.decoded[0] * 4 / 3 / plan.workers
    seconds = max(reading, work) if ordered else reading / plan.workers + work
    stored = [size * share for size, share in zip(sizes, encoded.shares(len(sizes)), strict=True)]
    pixels = sum(stored[plan.first :])
    few = None if ids is None else ids.found()
    return Estimate(1 / encoded.shares(1)[0], int(pixels + _beside(plan)), seconds, few)


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
    copies = 1 + is_packed(plan.target)
    values = sum(math.prod(p.level.shape) for p in plan.stored)
    if copies * int(values * plan.spec.dtype.itemsize * 1.02) + plan.scratch_bytes <= free_bytes(folder):
        return
    estimate = plan.estimate or probe(plan, reader)
    reader.close()  # an ordered source begins again at its head
    if estimate is not None:
        stored = copies * estimate.output_bytes
        check_free(plan.target, folder, plan.scratch_bytes, about=stored, ways=["codec='zstd'"])


class _Encoded:
    """Bytes of samples at each level, before and after they are compressed."""

    def __init__(self, plan: ConversionPlan) -> None:
        self.plan, self.codec = plan, CODECS[plan.codec]
        self.decoded, self.stored = [0] * len(plan.levels), [0] * len(plan.levels)

    def add(self, data: Array) -> None:
        """Compress a sample, and what it is on the coarser levels as far as it is large enough."""
        method = "mean" if self.plan.method == "gaussian" else self.plan.method
        for number, level in enumerate(self.plan.levels):
            if number:
                data = kernels.downsample(data, level.level.step, method, padding=self.plan.spec.padding)
                if data.size < LEAST:
                    return
            for _, part in pieces(full(data.shape), _like_chunk(level.chunk, data.shape)):
                piece = np.ascontiguousarray(data[part])
                self.stored[number] += self.codec.encode(
                    piece, np.empty(self.codec.most(piece.nbytes), np.uint8)
                )
                self.decoded[number] += piece.nbytes

    def shares(self, levels: int) -> list[float]:
        """Return stored bytes for each decoded one, by level; the coarsest are like the last that is known."""
        found: list[float] = []
        for stored, decoded in zip(self.stored[:levels], self.decoded, strict=False):
            found.append(stored / decoded if decoded else found[-1])
        return found


def _like_chunk(chunk: Shape, shape: Shape) -> Shape:
    """Return the shape of pieces of ``shape`` with about as many pixels as ``chunk``, where it is thinner than that."""
    piece = list(map(min, chunk, shape))
    for axis in reversed(range(len(shape))):
        lacking = math.prod(chunk) // math.prod(piece)
        piece[axis] = min(shape[axis], piece[axis] * lacking) if shape[axis] > 1 else 1
    return tuple(piece)


def _beside(plan: ConversionPlan) -> int:
    """Return the bytes of the store that are no pixels: places of chunks, manifest, histogram, documents."""
    chunks = sum(math.prod(grid(p.level.shape, p.chunk)) for p in plan.stored) if plan.zarr == 3 else 0
    channels = plan.spec.sizes.get("c", 1)
    histogram = 8 * channels * histogram_bins(plan.spec.dtype)
    return 16 * chunks + 20 * plan.objects + histogram + DOCUMENT_BYTES * (plan.files - plan.objects)


def _used(region: Region, reader: Reader) -> float:
    """Return which part of what is decoded for ``region`` is in it; a pass uses all of that."""
    touched = 1
    for s, c, n in zip(region, reader.spec.chunks, reader.spec.shape, strict=True):
        touched *= min(-(-s.stop // c) * c, n) - s.start // c * c
    return count(region) / touched


def _strips(plan: ConversionPlan, reader: Reader) -> Iterator[Region]:
    """Yield strips of an ordered source from its beginning."""
    spec, order = plan.spec, reader.access.order
    return walk(spec.shape, strip_step(spec, order, SAMPLE_BYTES), spec.dims, order)


def _samples(plan: ConversionPlan, reader: Reader) -> Iterator[Region]:
    """Yield regions that are evenly spread over the image, the middle first."""
    shape, side = plan.spec.shape, _side(plan, reader)
    counts = grid(shape, side)
    steps = np.sqrt([2, 3, 5, 7, 11][: len(shape)])  # irrational, so that no two axes go together
    seen = set()
    for number in range(SAMPLES):
        index = ((0.5 + number * steps) % 1 * counts).astype(int).tolist()
        region = tuple(slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, side, shape, strict=True))
        if (key := first_pixel(region)) not in seen:
            seen.add(key)
            yield region


def _side(plan: ConversionPlan, reader: Reader) -> Shape:
    """Return the shape of a sample: a chunk of the store, or less of it along axes where more would be decoded."""
    spec, itemsize = plan.spec, plan.spec.dtype.itemsize
    side = list(plan.levels[0].chunk)
    least = plan.levels[1].level.step if len(plan.levels) > 1 else (1,) * len(side)
    decoded = [-(-s // c) * c for s, c in zip(side, reader.spec.chunks, strict=True)]
    while math.prod(decoded) * itemsize > SAMPLE_BYTES:
        axis = max(range(len(side)), key=lambda a: side[a] / max(least[a], reader.spec.chunks[a]))
        if side[axis] <= max(least[axis], reader.spec.chunks[axis]):
            break
        side[axis] = max(least[axis], side[axis] // 2)
        decoded[axis] = -(-side[axis] // reader.spec.chunks[axis]) * reader.spec.chunks[axis]
    for axis in reversed(range(len(side))):  # more of what is decoded anyway
        room = SAMPLE_BYTES // (math.prod(side) * itemsize)
        side[axis] = max(side[axis], min(decoded[axis], spec.shape[axis], side[axis] * room))
    return tuple(side)
