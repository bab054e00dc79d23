"""What goes along when an image is converted from one store to another, and what does not, which a note says.

Axes, spacing, origin, names and colours of channels are in the ``spec`` of any source. Of a store the windows of single
channels, the channels that are shown, colours of ids, and label images go along too. Levels and statistics are made
anew from level 0, which is exact.

Label images are written before their image, into the ``labels`` of its staging folder, each staged and committed
there as any label is. So the new store gets its name with all of them, an interrupted run goes on from those that are
whole, and damage in one is found before the image is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bigimg.conversion.labels import Grids, LabelTarget, as_label
from bigimg.errors import InputError, IntegrityError, UsageError, few
from bigimg.geometry.lengths import NO_LENGTHS
from bigimg.geometry.levels import axes_at
from bigimg.lazy.leaves import LazyPixels
from bigimg.omezarr.edited import OURS
from bigimg.omezarr.manifest import GROUP
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.open import Store, StoreReader, open_inside
from bigimg.omezarr.parse import ome_block
from bigimg.omezarr.shown import label_block, shown_of
from bigimg.planning.options import Options
from bigimg.planning.plan import ConversionPlan, make_plan, with_labels
from bigimg.reader import Reader

OME_XML = "METADATA.ome.xml"
"""What bioformats2raw and others keep of the source, in the group ``OME``."""
ATTRIBUTES_KNOWN = {*OURS, "version", "labels", "bioformats2raw.layout", "_creator", "_ARRAY_DIMENSIONS"}


@dataclass(frozen=True, slots=True)
class Carried:
    """A label image that goes along."""

    plan: ConversionPlan
    reader: Reader
    target: LabelTarget
    store: Store
    """It as the source has it."""


def with_carried(
    plan: ConversionPlan, reader: Reader, options: Options
) -> tuple[ConversionPlan, tuple[Carried, ...]]:
    """Return the plan with what goes along of a store, and what is needed to write its label images.

    Only label images of a whole image go along, level 0 of a store. Of an array nothing goes along, because it need not
    have the pixels that they were drawn on. Notes say what stays behind, and why.

    Raises
    ------
    BudgetError
        One does not fit the budget.
    """
    found, notes = list[Carried](), list[str]()
    pixels = getattr(reader, "array", None)
    opened = pixels.reader if isinstance(pixels, LazyPixels) else reader
    if not isinstance(opened, StoreReader):
        return plan, ()
    store = opened.store
    if opened is reader:
        plan = _as_shown(plan, store, options)
        notes += _left_behind(store, plan.method)
    for name in store.labels:
        try:
            if opened is not reader:
                raise UsageError("an array is converted; give the path of the store")
            if opened.level:
                raise UsageError(f"level {opened.level} alone is converted")
            found.append(_carried(name, store, plan, options))
            notes += _lost(name, found[-1], options)
        except (InputError, IntegrityError, UsageError) as error:
            reason = str(error).removeprefix(f"label {name}: ")
            notes.append(f"label image {name} is not converted: {reason}")
    spec = replace(plan.spec, of_source=(*plan.spec.of_source, *notes))
    return with_labels(replace(plan, spec=spec), tuple(each.plan for each in found)), tuple(found)


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
    of_label = replace(
        options, method=None, kind=None, spacing=NO_LENGTHS, channels=None, colors=None, window=(), levels_only=False
    )  # fmt: skip
    settings = replace(of_label, **asked)
    made = make_plan(label.source, str(target.folder / name), label.spec, label.access, settings)
    shown = shown_of(inside, keep_metadata=options.keep_metadata)
    return Carried(replace(made, shown=shown), label, target, inside)


def _lost(name: str, label: Carried, options: Options) -> list[str]:
    """Return a note on the properties of ids, which may hold any text."""
    if not label_block(label.store).get("properties") or options.keep_metadata:
        return []
    return [f"label image {name}: the properties of its ids are not written; keep_metadata=True writes them"]


def _as_shown(plan: ConversionPlan, store: Store, options: Options) -> ConversionPlan:
    """Return the plan with windows and channels of ``store``; of an image without axis c its one channel too."""
    spec, channels = plan.spec, store.image.channels
    if "c" not in spec.dims and len(channels) == 1 and not spec.channels and spec.kind == "image":
        spec = replace(spec, channels=channels)
    return replace(plan, spec=spec, shown=shown_of(store, keep_metadata=options.keep_metadata))


def _left_behind(store: Store, method: str) -> Iterator[str]:
    """Yield a note on each thing in the store that does not go along."""
    if len(store.levels) > 1:
        yield f"its {len(store.levels)} levels are not copied: they are made anew from level 0, by {method}"
    if store.version is None:  # a mere array
        return
    tree, group = store.tree, store.group
    if OME_XML in tree.children("OME"):
        yield f"OME/{OME_XML} is not converted"
    known = {LABELS, GROUP, "OME", *(level.path.split("/")[0] for level in store.levels)}
    others = [name for name in tree.children(group) if name not in known and not name.startswith(".")]
    if group == "" and (nodes := [name for name in others if tree.node(name) is not None]):
        yield f"other arrays and groups in the store are not converted: {few(nodes)}"
    attributes = (tree.node(group) or {}).get("attributes", {})
    if strange := [key for key in {**attributes, **ome_block(attributes)} if key not in ATTRIBUTES_KNOWN]:
        yield f"attributes that OME-Zarr does not know are not converted: {few(strange)}"
