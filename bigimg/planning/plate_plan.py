"""The plan of a plate: every field is a conversion of its own, and they follow one another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bigimg.errors import counted, few
from bigimg.planning.memory import human_bytes
from bigimg.planning.plan import ConversionPlan
from bigimg.readers.plates.source import PlateLayout
from bigimg.types import Json, Shape, Version

MOST_KINDS = 5
"""Kinds of fields that are listed."""
MOST_NAMED = 4
"""Fields that a note names."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """What one field will be."""

    path: str
    """``B/03/0``."""
    dims: tuple[str, ...]
    shape: Shape
    dtype: str
    decoded_bytes: int
    """Of all levels, label images included."""
    scratch_bytes: int
    files: int

    @property
    def kind(self) -> str:
        """Axes, sizes and type, which most fields have in common."""
        sizes = " ".join(f"{name} {n}" for name, n in zip(self.dims, self.shape, strict=True))
        return f"{sizes}  {self.dtype}"


def field_plan(path: str, plan: ConversionPlan) -> FieldPlan:
    """Return what a field will be by its ``plan``."""
    pixels = sum(
        math.prod(level.level.shape) * each.spec.dtype.itemsize
        for each in (plan, *plan.labels)
        for level in each.levels
    )
    spec = plan.spec
    return FieldPlan(path, spec.dims, spec.shape, str(spec.dtype), pixels, plan.scratch_bytes, plan.files)


@dataclass(frozen=True, slots=True)
class PlatePlan:
    """What the conversion of a plate will do. Print it, or take :meth:`to_dict`."""

    source: str
    target: str
    name: str
    layout: PlateLayout
    fields: tuple[FieldPlan, ...]
    largest: ConversionPlan
    """The plan of the field that needs most memory."""
    notes_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the user should know, and the paths of the fields that it is about; none of the plate itself."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, with the fields that it is about, unless these are all."""
        return tuple(
            f"{note} ({_named(paths)})" if 0 < len(paths) < len(self.fields) else note
            for note, paths in self.notes_of.items()
        )

    @property
    def decoded_bytes(self) -> int:
        """Of all levels of all fields."""
        return sum(each.decoded_bytes for each in self.fields)

    @property
    def files(self) -> int:
        """Of all fields, wells and the plate."""
        rows, lists = len({row for _, row, _ in self.layout.wells}), 1 + len(self.layout.wells)
        each = 2 if self.largest.zarr == 2 else 1  # a row has no attributes
        return sum(one.files for one in self.fields) + rows + each * lists

    @property
    def peak_bytes(self) -> int:
        """Planned peak of resident memory."""
        return self.largest.peak_bytes

    @property
    def ome_version(self) -> Version:
        """Of the plate and all that is in it."""
        return self.largest.ome_version

    @property
    def compression(self) -> float:
        """Decoded bytes per stored byte, in samples of the largest field; 1 where there are none."""
        estimate = self.largest.estimate
        return 1.0 if estimate is None else estimate.compression

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {
            "source": self.source,
            "target": self.target,
            "name": self.name,
            "rows": list(self.layout.rows),
            "columns": list(self.layout.columns),
            "wells": [path for path, _, _ in self.layout.wells],
            "field_labels": list(self.layout.labels),
            "fields": [
                {"path": each.path, "shape": list(each.shape), "dtype": each.dtype, "files": each.files}
                for each in self.fields
            ],
            "decoded_bytes": self.decoded_bytes,
            "files": self.files,
            "peak_bytes": self.peak_bytes,
            "largest": self.largest.to_dict(),
            "notes": [*self.notes],
        }

    def __str__(self) -> str:
        return "\n".join(_printed(self))


def _named(paths: Sequence[str]) -> str:
    """Return the paths of fields; of many their number and the first."""
    return few(paths) if len(paths) <= MOST_NAMED else f"{len(paths)} fields: {few(paths, MOST_NAMED)}"


def _printed(plan: PlatePlan) -> Iterator[str]:
    layout, fields = plan.layout, plan.fields
    yield f"{plan.source} -> {plan.target}"
    size = f"{counted(len(layout.rows), 'row')} x {counted(len(layout.columns), 'column')}"
    yield f"  plate    {plan.name}, {size}: {counted(len(layout.wells), 'well')}, {counted(len(fields), 'field')}"
    every = [f"{path}/{n}" for path, _, _ in layout.wells for n in range(len(layout.labels))]
    if lacking := sorted({*every} - {each.path for each in fields}):
        has = "has" if len(lacking) == 1 else "have"
        yield f"  fields   {len(lacking)} of {len(every)} places {has} no field: {few(lacking)}"
    kinds = Counter(each.kind for each in fields)
    for kind, count in kinds.most_common(MOST_KINDS):
        yield f"  fields   {count} of {kind}"
    if len(kinds) > MOST_KINDS:
        yield f"  fields   {len(kinds) - MOST_KINDS} kinds more"
    about = "" if plan.largest.estimate is None else (
        f", about {human_bytes(int(plan.decoded_bytes / plan.compression))} ({plan.compression:.2f}:1 in samples)"
    )  # fmt: skip
    yield f"  disk     {counted(plan.files, 'file')}, {human_bytes(plan.decoded_bytes)} decoded{about}"
    yield from (f"  note     {note}" for note in plan.notes)
    yield "  one field after the other; the one that needs most memory:"
    yield from (f"  {line}" for line in str(plan.largest).splitlines() if not line.startswith("  note"))
