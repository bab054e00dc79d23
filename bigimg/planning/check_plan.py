"""How a store is checked inside the budget: chains of levels, blocks and workers. Arithmetic only.

A *chain* is a few levels that one task holds in memory together. The task reads a block of the first level, derives
the second level from it, compares that with the second level as stored, and goes on with the stored one. The last
level of a chain is the first of the next. So only a sixteenth of the chunks of a picture (a 64th of a volume) is
decoded twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bigimg.errors import BudgetError
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import halve, ordered_band, plan_traversal
from bigimg.planning.lines import MemoryLine, largest, process_line, spare_line
from bigimg.planning.memory import human_bytes
from bigimg.planning.plan import SCRATCH_STRIP_BYTES
from bigimg.planning.room import ADVICE_MARGIN
from bigimg.pyramid.kernels import SCRATCH_BYTES
from bigimg.pyramid.partial import PIECE, histogram_bins
from bigimg.reader import Access
from bigimg.types import DType, Method, Shape

BLOCK_BYTES = (36_000_000, 16_000_000, 4_000_000, 1_000_000, 0)
"""Sizes of a block, tried in this order: a shard of 256^3 pixels of 16 bits has 33.5 MB. 0 means one chunk."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Chunks and shards of one stored level."""

    level: int
    shape: Shape
    chunk: Shape
    shard: Shape
    step: Shape
    """Pixels of the level below in a window of this one; ones for level 0."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Levels that are checked together."""

    levels: tuple[int, ...]
    """Fine to coarse; each one after the first is compared with what the level before gives."""
    block: Shape
    """Pixels of a block at the first of these levels."""


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a full check will do."""

    chains: tuple[Chain, ...]
    band: Shape | None
    """Portion of the source that is read and compared at once; None without a source."""
    workers: int
    budget_bytes: int
    memory: tuple[MemoryLine, ...]

    @property
    def peak_bytes(self) -> int:
        """Planned peak of resident memory, in bytes."""
        return sum(line.bytes for line in self.memory)


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read in addition to files with our own shards."""

    store: Access | None = None
    """How the store is read, if not from our own shards in files."""
    spec: ImageSpec | None = None
    """Of the source that the store is compared with."""
    access: Access | None = None
    """How the source is read."""
    ids_bytes: int = 0
    """Of the label ids that are held in memory."""


def make_check_plan(
    cuts: Sequence[Cut],
    dtype: DType,
    *,
    method: Method | None,
    channels: int,
    sources: Sources,
    budget: int,
    workers: int,
    resident: int,
    name: str,
    holes: bool = False,
) -> CheckPlan:
    """Return the plan of a full check that fits ``budget`` bytes, the fastest first.

    Parameters
    ----------
    cuts : sequence of Cut
        Of the levels that can be read, fine to coarse.
    method : str or None
        How coarser levels were made; None when they are not derived again.
    resident : int
        Bytes that this process holds already.
    name : str
        Of the store, for the message.
    holes : bool
        Boxes of the image are no measurements.

    Raises
    ------
    BudgetError
        Not even one worker with blocks of one chunk fits.
    """
    plans = []
    for most, n in itertools.product(BLOCK_BYTES, range(workers, 0, -1)):
        chains = plan_chains(cuts, max(1, most // dtype.itemsize), method)
        for band in _bands(chains, cuts, sources):
            ids = sources.ids_bytes > 0
            stages = [_chain_lines(chain, cuts, dtype, method, n, ids=ids, holes=holes) for chain in chains]
            if band is not None and sources.access is not None:
                stages.append(_source_lines(band, cuts[0], dtype, sources.access, n))
            lines = [process_line(resident), *_fixed(sources, n, channels, dtype), *largest(stages)]
            lines.append(spare_line(lines, {"blocks", "decode", "source"}))
            plan = CheckPlan(chains, band, n, budget, tuple(line for line in lines if line.bytes))
            if plan.peak_bytes <= budget:
                return plan
            plans.append(plan)
    needed = min(plan.peak_bytes for plan in plans)
    raise BudgetError(
        f"{name}: checking its pixels needs {human_bytes(needed)} of memory, allowed {human_bytes(budget)}: "
        f"use memory='{math.ceil(needed * ADVICE_MARGIN / 1e6)}MB', or quick=True",
        needed=needed, allowed=budget,
    )  # fmt: skip


def plan_chains(cuts: Sequence[Cut], most: int, method: Method | None) -> tuple[Chain, ...]:
    """Return chains over ``cuts`` with blocks of about ``most`` pixels; one a level where nothing is derived."""
    chains: list[Chain] = []
    first = 0
    while first < len(cuts):
        members, block = [cuts[first]], _block(cuts, first, most)
        along = block
        for cut in cuts[first + 1 :]:
            # The neighbours that a Gaussian needs are read for the first level of a chain only.
            enough = method is None or (method == "gaussian" and len(members) == 2)
            if enough or cut.level != members[-1].level + 1:
                break
            # A block of the first level always ends on windows. Of further levels it must have whole chunks.
            chunk = tuple(map(min, cut.chunk, cut.shape)) if len(members) > 1 else (1,) * len(cut.shape)
            halved = halve(along, members[-1].shape, cut.shape, cut.step, chunk)
            if halved is None:
                break
            members.append(cut)
            along = halved
        chains.append(Chain(tuple(cut.level for cut in members), block))
        last = first + len(members) - 1
        more = last + 1 < len(cuts) and cuts[last + 1].level == cuts[last].level + 1
        first = last if more and method is not None else last + 1
    return tuple(chains)


def _block(cuts: Sequence[Cut], first: int, most: int) -> Shape:
    """Return a block of level ``first``: chunks that halve to whole chunks, grown to shards and beyond."""
    cut = cuts[first]
    above = cuts[first + 1] if first + 1 < len(cuts) else cut
    unit = [
        c * f if c < n else n for c, f, n in zip(map(min, cut.chunk, cut.shape), above.step, cut.shape, strict=True)
    ]  # fmt: skip
    block = [min(u, -(-n // c) * c) for u, n, c in zip(unit, cut.shape, cut.chunk, strict=True)]
    while True:
        grown: list[tuple[float, int, int]] = []
        for axis, (b, s, u, n) in enumerate(zip(block, cut.shard, unit, cut.shape, strict=True)):
            if b < n:
                larger = min(2 * b, s) if b < s else 2 * b
                grown.append((b / s, axis, -(-larger // u) * u))
        fitting = [
            (share, axis, larger) for share, axis, larger in grown if math.prod(block) // block[axis] * larger <= most
        ]  # fmt: skip
        if not fitting:
            return tuple(block)
        _, axis, block[axis] = min(fitting)


def _bands(chains: Sequence[Chain], cuts: Sequence[Cut], sources: Sources) -> Iterator[Shape | None]:
    """Yield portions in which the source may be compared; the first one decodes least."""
    if sources.spec is None or sources.access is None:
        yield None
    elif sources.access.kind == "sequential":
        for divisor in (1, 4, 16, 512):  # a chunk is decoded once for each band that it meets
            chunk = tuple(max(1, c // divisor) for c in cuts[0].chunk)
            yield ordered_band(sources.spec, sources.access, chunk)
    else:
        yield plan_traversal(sources.spec, sources.access, chains[0].block).band
        yield chains[0].block


def _chain_lines(
    chain: Chain, cuts: Sequence[Cut], dtype: DType, method: Method | None, n: int, *, ids: bool, holes: bool
) -> list[MemoryLine]:
    by_level = {cut.level: cut for cut in cuts}
    first, size = by_level[chain.levels[0]], dtype.itemsize
    pixels = math.prod(map(min, chain.block, first.shape))
    held = pixels * size * (3 if ids else 1)  # numpy sorts a copy to find the ids
    if len(chain.levels) > 1:
        coarser = pixels // math.prod(by_level[chain.levels[1]].step)
        held += coarser * (2 * size + 2)  # as stored, as derived, and where they differ
        if method == "gaussian":
            held += pixels * 24  # sums and weights in float64
    if holes:
        held += pixels * (size + 2)  # where they are and are not, and a copy of the others
    if chain.levels[0] == 0:
        if dtype.kind == "f":
            held += pixels * (size + 2)  # what is a number, and its copy
        elif histogram_bins(dtype) > 256:
            held += 8 * min(pixels, PIECE)  # numpy counts in 64 bits
    chunk = max(math.prod(by_level[level].chunk) for level in chain.levels) * size
    return [
        MemoryLine("blocks", n * held, f"{n} of {human_bytes(held)}"),
        MemoryLine("decode", n * 3 * chunk, f"{n} decoding a chunk of {human_bytes(chunk)}"),
        MemoryLine("kernels", n * SCRATCH_BYTES, f"{n} summing in pieces"),
    ]


def _source_lines(band: Shape, cut: Cut, dtype: DType, access: Access, n: int) -> list[MemoryLine]:
    size = dtype.itemsize
    pixels = math.prod(map(min, band, cut.shape))
    ordered = access.kind == "sequential"
    # One band of an ordered source is in memory, and each worker compares a part of it, as wide as a chunk.
    piece = math.prod(map(min, band, cut.shape, cut.chunk)) if ordered else pixels
    held = n * piece * (size + 2)
    held += pixels * size + min(pixels * size, SCRATCH_STRIP_BYTES) if ordered else n * pixels * size
    chunk = math.prod(cut.chunk) * size
    readers = 1 if ordered else n
    return [
        MemoryLine("source", held, f"{human_bytes(pixels * size)} at once"),
        MemoryLine("read", readers * access.read_bytes, f"{readers} decoding at once"),
        MemoryLine("decode", n * 3 * chunk, f"{n} decoding a chunk of {human_bytes(chunk)}"),
    ]


def _fixed(sources: Sources, n: int, channels: int, dtype: DType) -> Iterator[MemoryLine]:
    """Yield what is in memory during all stages."""
    if sources.access is not None:
        yield MemoryLine("reader", sources.access.fixed_bytes, sources.access.why)
    if sources.store is not None:
        held = sources.store.fixed_bytes + n * sources.store.read_bytes
        yield MemoryLine("zarr", held, sources.store.why)
    yield MemoryLine("ids", sources.ids_bytes, "label ids of level 0")
    histograms = 8 * histogram_bins(dtype) * channels * (2 * n + 2)
    yield MemoryLine("statistics", histograms, "histograms")
