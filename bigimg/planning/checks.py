"""How a store is checked inside the budget: chains of levels, blocks and workers. Arithmetic only.

A *chain* is a few levels that one task holds together: it reads a block of the first, makes of it what the second
should be, compares that with the second as stored, and goes on from there. The last level of a chain is the first
of the next, so all but a sixteenth of the chunks of a picture (a 64th of a volume) are read and decoded once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bigimg.errors import BudgetError
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import ordered_band, plan_traversal
from bigimg.planning.memory import human_bytes
from bigimg.planning.plan import LIBRARIES_BYTES, SCRATCH_STRIP_BYTES, SPARE, MemoryLine
from bigimg.planning.room import SURE
from bigimg.pyramid.kernels import SCRATCH_BYTES
from bigimg.pyramid.partial import PIECE, histogram_bins
from bigimg.reader import Access
from bigimg.types import DType, Method, Shape

BLOCK_BYTES = (36_000_000, 16_000_000, 4_000_000, 1_000_000, 0)
"""What a block may have, to be tried in turn: a shard of 256^3 pixels of 16 bits has 33.5 MB. 0: one chunk."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How one stored level is cut."""

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
    """Fine to coarse; those after the first are compared with what the one before makes of them."""
    block: Shape
    """Pixels of a block at the first of them."""


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
    """What the pixels come from, beside our own shards."""

    store: Access | None = None
    """How zarr reads the store, when it does."""
    spec: ImageSpec | None = None
    """Of the source that the store is compared with."""
    access: Access | None = None
    """How that is read."""
    ids_bytes: int = 0
    """Of the label ids that are remembered."""


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

    Raises
    ------
    BudgetError
        Not even one worker with blocks of one chunk fits.
    """
    smallest: CheckPlan | None = None
    for most, n in itertools.product(BLOCK_BYTES, range(workers, 0, -1)):
        chains = plan_chains(cuts, max(1, most // dtype.itemsize), method)
        for band in _bands(chains, cuts, sources):
            stages = [
                _chain_lines(chain, cuts, dtype, method, n, ids=sources.ids_bytes > 0) for chain in chains
            ]
            if band is not None and sources.access is not None:
                stages.append(_source_lines(band, cuts[0], dtype, sources.access, n))
            lines = [
                MemoryLine(
                    "process", resident + LIBRARIES_BYTES, "resident now, and libraries still to load"
                ),
                *_fixed(sources, n, channels, dtype),
                *max(stages, key=lambda found: sum(line.bytes for line in found)),
            ]
            buffers = sum(line.bytes for line in lines if line.name in {"blocks", "decode", "source"})
            lines.append(MemoryLine("spare", int(SPARE * buffers), "what the allocator keeps"))
            plan = CheckPlan(chains, band, n, budget, tuple(line for line in lines if line.bytes))
            if plan.peak_bytes <= budget:
                return plan
            if smallest is None or plan.peak_bytes < smallest.peak_bytes:
                smallest = plan
    assert smallest is not None
    raise BudgetError(
        f"{name}: checking its pixels needs {human_bytes(smallest.peak_bytes)} of memory, allowed "
        f"{human_bytes(budget)}: use memory='{math.ceil(smallest.peak_bytes * SURE / 1e6)}MB', or quick=True",
        needed=smallest.peak_bytes,
        allowed=budget,
    )


def plan_chains(cuts: Sequence[Cut], most: int, method: Method | None) -> tuple[Chain, ...]:
    """Return chains over ``cuts`` with blocks of about ``most`` pixels; one a level where nothing is derived."""
    chains: list[Chain] = []
    first = 0
    while first < len(cuts):
        members, block = [cuts[first]], _block(cuts, first, most)
        along = block
        for cut in cuts[first + 1 :]:
            # The neighbours that a Gaussian needs are known for the first level of a chain only.
            enough = method is None or (method == "gaussian" and len(members) == 2)
            if enough or cut.level != members[-1].level + 1:
                break
            # A block of the first level always ends on windows; further levels must be worth their reading.
            halved = _halved(along, members[-1].shape, cut, whole_chunks=len(members) > 1)
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


def _halved(block: Shape, shape: Shape, cut: Cut, *, whole_chunks: bool) -> Shape | None:
    """Return ``block`` of a level of ``shape`` as pixels of the next, or None when it does not end there."""
    halved = []
    for b, n, f, c, m in zip(block, shape, cut.step, cut.chunk, cut.shape, strict=True):
        if b >= n:
            halved.append(m)
        elif b % f or (whole_chunks and (b // f) % min(c, m)):
            return None
        else:
            halved.append(b // f)
    return tuple(halved)


def _bands(chains: Sequence[Chain], cuts: Sequence[Cut], sources: Sources) -> Iterator[Shape | None]:
    """Yield portions in which the source may be compared, the one that decodes least first."""
    if sources.spec is None or sources.access is None:
        yield None
    elif sources.access.kind == "sequential":
        for divisor in (1, 4, 16, 512):  # thinner than a chunk: decoded as often as there are bands in it
            chunk = tuple(max(1, c // divisor) for c in cuts[0].chunk)
            yield ordered_band(sources.spec, sources.access, chunk)
    else:
        yield plan_traversal(sources.spec, sources.access, chains[0].block).band
        yield chains[0].block


def _chain_lines(
    chain: Chain, cuts: Sequence[Cut], dtype: DType, method: Method | None, n: int, *, ids: bool
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
    # Of an ordered source one band is in memory, and each worker compares one chunk of its width.
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
    """Yield what is held whatever the stage."""
    if sources.access is not None:
        yield MemoryLine("reader", sources.access.fixed_bytes, sources.access.why)
    if sources.store is not None:
        held = sources.store.fixed_bytes + n * sources.store.read_bytes
        yield MemoryLine("zarr", held, sources.store.why)
    yield MemoryLine("ids", sources.ids_bytes, "label ids of level 0")
    histograms = 8 * histogram_bins(dtype) * channels * (2 * n + 2)
    yield MemoryLine("statistics", histograms, "histograms")
