"""The plan of an export: portions, scratch and memory, added up before the first pixel is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bigimg.errors import BudgetError
from bigimg.exporters.layout import Layout
from bigimg.exporters.slabs import MOST_BYTES, Portions, block_portions, least_slab, slab_portions
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.memory import human_bytes
from bigimg.planning.plan import LIBRARIES_BYTES, SPARE, MemoryLine
from bigimg.planning.room import SURE
from bigimg.reader import Access
from bigimg.readers.raw.plain import CHUNK, READ_BYTES
from bigimg.system.memory import resident_bytes

GZIP_BYTES = 4 << 20
"""What compressing holds: a portion of 1 MiB, what becomes of it, and igzip's tables."""
COPIES = 3
"""Portions in memory at once: one is read ahead, one is in hand, one is a copy in the order of the file."""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export will do."""

    source: str
    target: str
    format: str
    levels: tuple[ImageSpec, ...]
    """What is written, the largest first."""
    layout: Layout
    portions: tuple[Portions, ...]
    """Of each level: blocks where the pixels lie as they are or go to scratch, slabs otherwise."""
    slabs: tuple[Portions, ...]
    """Of each level, from the scratch file to the encoder; empty where there is none."""
    budget_bytes: int
    memory: tuple[MemoryLine, ...]

    @property
    def peak_bytes(self) -> int:
        """Planned peak of resident memory, in bytes."""
        return sum(line.bytes for line in self.memory)

    @property
    def read_bytes(self) -> int:
        """Decoded bytes of all levels."""
        return sum(spec.nbytes for spec in self.levels)

    @property
    def scratch_bytes(self) -> int:
        """Of the uncompressed file beside the target; 0 for none."""
        return self.levels[0].nbytes if self.slabs else 0

    @property
    def disk_bytes(self) -> int:
        """What is needed on disk for sure: plain pixels and scratch, in bytes."""
        plain = self.layout.encode is None and not self.layout.gzip
        return self.scratch_bytes + (len(self.layout.head) + self.read_bytes if plain else 0)


def make_export_plan(
    draft: ExportPlan,
    access: Sequence[Access],
    *,
    working: float = 0.0,
    resident: int | None = None,
    libraries: int = LIBRARIES_BYTES,
) -> ExportPlan:
    """Return ``draft`` with portions that fit its budget.

    Parameters
    ----------
    draft : ExportPlan
        With levels, layout and budget.
    access : sequence of Access
        Of each level.
    working : float
        Bytes a decoded byte that a reader needs beside its result (stored values that become real ones).
    resident : int, optional
        Bytes this process has resident already; measured when not given.
    libraries : int
        Bytes of what may still be imported.

    Raises
    ------
    BudgetError
        Not even the smallest portions fit.
    """
    process = (resident_bytes() if resident is None else resident) + libraries
    smallest: ExportPlan | None = None
    for plan in _choices(draft, access, process):
        made = replace(plan, memory=tuple(_lines(plan, access, working, process)))
        if made.peak_bytes <= draft.budget_bytes:
            return made
        if smallest is None or made.peak_bytes < smallest.peak_bytes:
            smallest = made
    assert smallest is not None
    needed, allowed = smallest.peak_bytes, draft.budget_bytes
    largest = max(smallest.memory, key=lambda line: line.bytes)
    raise BudgetError(
        f"{draft.source}: needs {human_bytes(needed)} of memory to become {draft.target}, allowed "
        f"{human_bytes(allowed)} (largest part: {largest.name}, {human_bytes(largest.bytes)}, {largest.why}): "
        f"use memory='{math.ceil(needed * SURE / 1e6)}MB'",
        needed=needed,
        allowed=allowed,
    )


def _choices(draft: ExportPlan, access: Sequence[Access], process: int) -> Iterator[ExportPlan]:
    """Yield what can be done, the best first: portions of the usual size, larger ones, ever smaller ones.

    Larger ones are there to do without scratch: a slab of 64 planes meets each chunk of a volume once.
    """
    less = [MOST_BYTES >> n for n in range(15)]
    if draft.layout.encode is None and not draft.layout.gzip:
        for most in less:
            yield replace(draft, portions=_blocks(draft, access, most))
        return
    most = int((draft.budget_bytes - process) / (COPIES + SPARE))
    for room in (MOST_BYTES, *(most * n // 8 for n in range(1, 9) if most * n // 8 > MOST_BYTES)):
        if (found := _slabs(draft, access, room)) is not None:
            yield replace(draft, portions=found)
    for room in less:
        if (found := _slabs(draft, access, room)) is not None:
            yield replace(draft, portions=found)
        copied = replace(draft, levels=tuple(scratch_spec(spec, draft.layout) for spec in draft.levels))
        slabs = _slabs(copied, [SCRATCH] * len(access), room)
        assert slabs is not None  # rows of a scratch file cost the same in any number
        yield replace(draft, portions=_blocks(draft, access, room), slabs=slabs)


def _blocks(draft: ExportPlan, access: Sequence[Access], most: int) -> tuple[Portions, ...]:
    return tuple(
        block_portions(spec, draft.layout.order, how, most)
        for spec, how in zip(draft.levels, access, strict=True)
    )


def _slabs(draft: ExportPlan, access: Sequence[Access], most: int) -> tuple[Portions, ...] | None:
    """Return slabs of about ``most`` bytes, a row of the encoder at least; None where a level has none."""
    order, rows = draft.layout.order, draft.layout.rows
    found = []
    for spec, how in zip(draft.levels, access, strict=True):
        slab = slab_portions(spec, order, how, rows, max(most, least_slab(spec, order, rows)))
        if slab is None:
            return None
        found.append(slab)
    return tuple(found)


SCRATCH = Access("random", "scratch file", read_bytes=READ_BYTES)
"""How the copy beside the target is read."""


def scratch_spec(spec: ImageSpec, layout: Layout) -> ImageSpec:
    """Return ``spec`` as a scratch file in the order of ``layout`` has it: any piece costs the same."""
    fast = layout.order[-1]
    return replace(
        spec, chunks=tuple(min(axis.size, CHUNK) if axis.name == fast else 1 for axis in spec.axes)
    )


def _lines(plan: ExportPlan, access: Sequence[Access], working: float, process: int) -> Iterator[MemoryLine]:
    """Yield what is held at the peak, line by line."""
    layout = plan.layout
    portion = max(p.nbytes(spec) for p, spec in zip(plan.portions, plan.levels, strict=True))
    if plan.slabs:
        portion = max(portion, *(p.nbytes(spec) for p, spec in zip(plan.slabs, plan.levels, strict=True)))
    read = max(how.read_bytes for how in access) + int(working * portion)
    yield MemoryLine("process", process, "resident now, and libraries still to load")
    yield MemoryLine("reader", max(how.fixed_bytes for how in access), access[0].why)
    yield MemoryLine("read", max(read, READ_BYTES if plan.slabs else 0), "one portion decoding at a time")
    yield MemoryLine("portions", COPIES * portion, f"{COPIES} of {human_bytes(portion)}")
    encode = layout.encode_bytes + (GZIP_BYTES if layout.gzip else 0)
    yield MemoryLine("encode", encode, f"writing {plan.format}")
    yield MemoryLine("spare", int(SPARE * (COPIES * portion + read + encode)), "what the allocator keeps")
