"""Label images that go along when their image is converted from one store to another.

They are written before their image, into the ``labels`` of its staging folder, each staged and committed there as any
label is. So the new store gets its name with all of them, an interrupted run goes on from those that are whole, and
damage in one is found before the image is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bigimg.conversion.labels import Grids, LabelTarget, as_label
from bigimg.errors import InputError, UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.lengths import NO_LENGTHS
from bigimg.geometry.levels import Level
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.open import Store, StoreReader, open_inside
from bigimg.omezarr.parse import ome_block
from bigimg.omezarr.tree import join
from bigimg.planning.options import Options
from bigimg.planning.plan import ConversionPlan, make_plan
from bigimg.reader import Reader


@dataclass(frozen=True, slots=True)
class Carried:
    """A label image that goes along."""

    plan: ConversionPlan
    reader: Reader
    target: LabelTarget


def with_labels(
    plan: ConversionPlan, reader: Reader, options: Options
) -> tuple[ConversionPlan, tuple[Carried, ...]]:
    """Return the plan with those of the label images that go along, and what is needed to write them.

    Only those of a whole image go along, level 0 of a store. A note says which stay behind, and why.

    Raises
    ------
    BudgetError
        One does not fit the budget.
    IntegrityError
        One of ours is damaged.
    """
    if not isinstance(reader, StoreReader) or not reader.store.labels:
        return plan, ()
    found, notes, store = list[Carried](), list[str](), reader.store
    for name in store.labels:
        try:
            if reader.level:
                raise UsageError(f"level {reader.level} alone is converted")
            found.append(_carried(name, store, plan, options))
            notes += _lost(name, store)
        except (InputError, UsageError) as error:
            reason = str(error).removeprefix(f"label {name}: ")
            notes.append(f"label image {name} is not converted: {reason}")
    plans = tuple(each.plan for each in found)
    largest = max((plan, *plans), key=lambda each: each.peak_bytes)
    spec = replace(plan.spec, of_source=(*plan.spec.of_source, *notes))
    return replace(plan, labels=plans, memory=largest.memory, spec=spec), tuple(found)


def _carried(name: str, store: Store, plan: ConversionPlan, options: Options) -> Carried:
    if name != Path(name).name or name.startswith("."):
        raise UsageError("its name is a path: convert it by itself")
    levels = tuple(_axes(plan.spec.axes, each.level) for each in plan.levels)
    grids = Grids(plan.target, plan.ome_version, levels, plan.spec.world)
    target = LabelTarget(grids, Path(plan.target) / LABELS, name)
    inside = open_inside(store, f"{LABELS}/{name}")
    opened = StoreReader(inside)
    label, asked = as_label(opened, target, {}, moved=options.spacing != NO_LENGTHS)
    label.source = inside.tree.where(inside.group)
    label.local, label.identity = next(iter(opened.paths), None), inside.group
    if options.chunks is not None or options.shards is not None:
        first = plan.levels[0]
        for what, lengths in (("chunks", first.chunk), ("shards", first.shard)):
            named = zip(plan.spec.dims, lengths, strict=True)
            asked[what] = {axis: n for axis, n in named if axis in label.spec.dims}
    of_image = {"method": None, "kind": None, "spacing": NO_LENGTHS, "channels": None}
    settings = replace(options, **of_image, **asked)  # type: ignore[arg-type]
    made = make_plan(label.source, str(target.folder / name), label.spec, label.access, settings)
    return Carried(made, label, target)


def _axes(axes: Sequence[Axis], level: Level) -> tuple[Axis, ...]:
    """Return the axes of an image at one of its levels."""
    numbers = zip(axes, level.shape, level.spacing, level.origin, strict=True)
    return tuple(replace(axis, size=size, spacing=step, origin=start) for axis, size, step, start in numbers)


def _lost(name: str, store: Store) -> list[str]:
    """Return a note on what other programs say of single labels, which is not converted."""
    node = store.tree.node(join(store.group, LABELS, name)) or {}
    said = ome_block(node.get("attributes", {})).get("image-label")
    lost = [key for key in ("colors", "properties") if isinstance(said, dict) and said.get(key)]
    return [f"label image {name}: its {' and '.join(lost)} are not converted"] if lost else []
