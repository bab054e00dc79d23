"""Label images that go along when their image is converted from one store to another.

They are written before their image, into the ``labels`` of its staging folder, each staged and committed there as any
label is. So the new store gets its name with all of them, an interrupted run goes on from those that are whole, and
damage in one is found before the image is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bigimg.conversion.labels import Grids, LabelTarget, as_label
from bigimg.errors import InputError, IntegrityError, UsageError
from bigimg.geometry.lengths import NO_LENGTHS
from bigimg.geometry.levels import axes_at
from bigimg.lazy.leaves import LazyPixels
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

    Only those of a whole image go along, level 0 of a store. A note says which stay behind, and why. Of an array none
    go along, because it need not have the pixels that they were drawn on.

    Raises
    ------
    BudgetError
        One does not fit the budget.
    """
    found, notes = list[Carried](), list[str]()
    pixels = getattr(reader, "array", None)
    opened = pixels.reader if isinstance(pixels, LazyPixels) else reader
    if not isinstance(opened, StoreReader) or not opened.store.labels:
        return plan, ()
    store = opened.store
    for name in store.labels:
        try:
            if opened is not reader:
                raise UsageError("an array is converted; give the path of the store")
            if opened.level:
                raise UsageError(f"level {opened.level} alone is converted")
            found.append(_carried(name, store, plan, options))
            notes += _lost(name, store)
        except (InputError, IntegrityError, UsageError) as error:
            reason = str(error).removeprefix(f"label {name}: ")
            notes.append(f"label image {name} is not converted: {reason}")
    plans = tuple(each.plan for each in found)
    largest = max((plan, *plans), key=lambda each: each.peak_bytes)
    spec = replace(plan.spec, of_source=(*plan.spec.of_source, *notes))
    return replace(plan, labels=plans, memory=largest.memory, spec=spec), tuple(found)


def _carried(name: str, store: Store, plan: ConversionPlan, options: Options) -> Carried:
    if name != Path(name).name or name.startswith("."):
        raise UsageError("its name is a path: convert it by itself")
    levels = tuple(axes_at(plan.spec.axes, each.level) for each in plan.levels)
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


def _lost(name: str, store: Store) -> list[str]:
    """Return a note on what other programs say of single labels, which is not converted."""
    node = store.tree.node(join(store.group, LABELS, name)) or {}
    said = ome_block(node.get("attributes", {})).get("image-label")
    lost = [key for key in ("colors", "properties") if isinstance(said, dict) and said.get(key)]
    return [f"label image {name}: its {' and '.join(lost)} are not converted"] if lost else []
