"""The plan of an export: portions, scratch file and memory, computed before the first pixel is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bigimg.errors import BudgetError
from bigimg.exporters.layout import Layout
from bigimg.exporters.slabs import MOST_BYTES, Portions, block_portions, least_slab, slab_portions
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.lines import SPARE, MemoryLine
from bigimg.planning.memory import human_bytes
from bigimg.planning.room import ADVICE_MARGIN
from bigimg.reader import Access
from bigimg.readers.raw.plain import CHUNK, READ_BYTES
from bigimg.system.memory import heap_trimmer, resident_bytes

GZIP_BYTES = 4 << 20
"""Memory of the compression: a piece of 1 MiB, its compressed form, and igzip's tables."""
COPIES = 3
"""Portions in memory at once: one is read ahead, one is written, one is a copy in the order of the file."""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """The decisions and the memory of an export."""

    source: str
    target: str
    format: str
    levels: tuple[ImageSpec, ...]
    """Levels that are written, the largest first."""
    layout: Layout
    portions: tuple[Portions, ...]
    """For each level: blocks if the pixels are written uncompressed or go to a scratch file, otherwise slabs."""
    slabs: tuple[Portions, ...]
    """For each level: slabs from the scratch file to the encoder; empty if there is no scratch file."""
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
        """Bytes of the scratch file beside the target; 0 without one."""
        return self.levels[0].nbytes if self.slabs else 0

    @property
    def disk_bytes(self) -> int:
        """Bytes that the disk must have: uncompressed pixels and scratch file."""
        plain = self.layout.encode is None and not self.layout.gzip
        return self.scratch_bytes + (len(self.layout.head) + self.read_bytes if plain else 0)


def make_export_plan(
    draft: ExportPlan,
    access: Sequence[Access],
    *,
    working: float,
    libraries: int,
) -> ExportPlan:
    """Return ``draft`` with portions that fit its budget.

    Parameters
    ----------
    draft : ExportPlan
        Has levels, layout and budget.
    access : sequence of Access
        One for each level.
    working : float
        Bytes that a reader needs for each decoded byte in addition to its result (to make real values of stored ones).
    libraries : int
        Bytes of the libraries that may still be imported.

    Raises
    ------
    BudgetError
        The smallest portions do not fit.
    """
    heap_trimmer.trim()  # what an earlier job let go may still be resident
    process = resident_bytes() + libraries
    plans: list[ExportPlan] = []
    for plan in _choices(draft, access, process):
        plans.append(replace(plan, memory=tuple(_lines(plan, access, working, process))))
        if plans[-1].peak_bytes <= draft.budget_bytes:
            return plans[-1]
    smallest = min(plans, key=lambda plan: plan.peak_bytes)
    needed, allowed = smallest.peak_bytes, draft.budget_bytes
    largest = max(smallest.memory, key=lambda line: line.bytes)
    raise BudgetError(
        f"{draft.source}: needs {human_bytes(needed)} of memory to become {draft.target}, allowed "
        f"{human_bytes(allowed)} (largest part: {largest.name}, {human_bytes(largest.bytes)}, {largest.why}): "
        f"use memory='{math.ceil(needed * ADVICE_MARGIN / 1e6)}MB'",
        needed=needed,
        allowed=allowed,
    )


def _choices(draft: ExportPlan, access: Sequence[Access], process: int) -> Iterator[ExportPlan]:
    """Yield possible plans, the best first: portions of the usual size, larger ones, smaller ones.

    Larger portions avoid a scratch file: a slab of 64 planes reads each chunk of a volume once.
    """
    smaller = [MOST_BYTES >> n for n in range(15)]
    if draft.layout.encode is None and not draft.layout.gzip:
        for most in smaller:
            yield replace(draft, portions=_blocks(draft, access, most))
        return
    most = int((draft.budget_bytes - process) / (COPIES + SPARE))
    for room in (MOST_BYTES, *(most * n // 8 for n in range(1, 9) if most * n // 8 > MOST_BYTES)):
        if (found := _slabs(draft, access, room)) is not None:
            yield replace(draft, portions=found)
    for room in smaller:
        if (found := _slabs(draft, access, room)) is not None:
            yield replace(draft, portions=found)
        copied = replace(draft, levels=tuple(scratch_spec(spec, draft.layout) for spec in draft.levels))
        slabs = _slabs(copied, [SCRATCH] * len(access), room)
        assert slabs is not None  # any number of rows can be read from a scratch file at the same cost
        yield replace(draft, portions=_blocks(draft, access, room), slabs=slabs)


def _blocks(draft: ExportPlan, access: Sequence[Access], most: int) -> tuple[Portions, ...]:
    return tuple(
        block_portions(spec, draft.layout.order, how, most)
        for spec, how in zip(draft.levels, access, strict=True)
    )


def _slabs(draft: ExportPlan, access: Sequence[Access], most: int) -> tuple[Portions, ...] | None:
    """Return slabs of about ``most`` bytes, at least what the encoder takes at once; None if a level has none."""
    order, rows = draft.layout.order, draft.layout.rows
    slabs = [
        slab_portions(spec, order, how, rows, max(most, least_slab(spec, order, rows)))
        for spec, how in zip(draft.levels, access, strict=True)
    ]
    found = tuple(slab for slab in slabs if slab is not None)
    return found if len(found) == len(slabs) else None


SCRATCH = Access("random", "scratch file", read_bytes=READ_BYTES)
"""How the scratch file is read."""


def scratch_spec(spec: ImageSpec, layout: Layout) -> ImageSpec:
    """Return the description of a scratch file in the order of ``layout``; each piece of it costs the same."""
    last = layout.order[-1]
    return replace(spec, chunks=tuple(min(n, CHUNK) if name == last else 1 for name, n in spec.sizes.items()))


def _lines(plan: ExportPlan, access: Sequence[Access], working: float, process: int) -> Iterator[MemoryLine]:
    """Yield the parts of the peak of memory."""
    layout = plan.layout
    levels = plan.levels * (2 if plan.slabs else 1)
    portion = max(p.nbytes(spec) for p, spec in zip(plan.portions + plan.slabs, levels, strict=True))
    read = max(how.read_bytes for how in access) + int(working * portion)
    yield MemoryLine("process", process, "resident now, and libraries that will be loaded")
    yield MemoryLine("reader", max(how.fixed_bytes for how in access), access[0].why)
    yield MemoryLine("read", max(read, READ_BYTES if plan.slabs else 0), "one portion decoding at a time")
    yield MemoryLine("portions", COPIES * portion, f"{COPIES} of {human_bytes(portion)}")
    encode = layout.encode_bytes + (GZIP_BYTES if layout.gzip else 0)
    yield MemoryLine("encode", encode, f"writing {plan.format}")
    yield MemoryLine("spare", int(SPARE * (COPIES * portion + read + encode)), "what the allocator keeps")
