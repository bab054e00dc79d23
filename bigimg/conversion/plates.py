"""A plate converted: each field by a pass of its own, and all of them under one name or none.

    .PLATE.bigimg/                 the staging folder, as that of any store
        journal                    a line for each field: what its source is known by
        store/B/03/.0.bigimg       a field that is being written, with its own journal
        store/B/03/0               a field that is whole
        store/B/03/zarr.json       at the end, the lists of fields, and of wells the last

A run that finds the folder keeps the fields that are whole, goes on within the one that is not, and writes again those
whose source has changed. A source that is damaged costs its own field alone: the others are made, and the run then
fails with the names of those that are damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bigimg.conversion import commit
from bigimg.conversion.carrying import Carried
from bigimg.conversion.commit import Staging
from bigimg.conversion.estimate import probe_all
from bigimg.conversion.identity import chosen, counted_options, fingerprint, identity, request
from bigimg.conversion.planned import planned
from bigimg.conversion.progress import Meter, reporting
from bigimg.conversion.run import Running, run
from bigimg.conversion.target import checked_target
from bigimg.errors import (
    AGAIN,
    InputError,
    IntegrityError,
    UsageError,
    counted,
    few,
    without_remedy,
)
from bigimg.omezarr.metadata import ATTRIBUTES, dumps, group_documents
from bigimg.omezarr.packed import PACKED, is_packed, stem
from bigimg.omezarr.plates import (
    Acquisition,
    FieldMeta,
    PlateMeta,
    WellMeta,
    plate_attributes,
    well_attributes,
)
from bigimg.places.staging import staging_folder
from bigimg.planning.disk import check_free, free_bytes
from bigimg.planning.options import Options
from bigimg.planning.plan import ConversionPlan
from bigimg.planning.plate_plan import FieldPlan, PlatePlan, field_plan
from bigimg.reader import Reader, as_kind
from bigimg.readers.allowed import is_known
from bigimg.readers.folders.pattern import is_pattern
from bigimg.readers.plates.source import PlacedField, PlateSource, laid_out
from bigimg.system import files
from bigimg.system.memory import heap_trimmer, resident_bytes
from bigimg.system.signals import undisturbed
from bigimg.system.sync import sync_data
from bigimg.types import Json

SPARE = 1.02
"""Room on the disk beside the pixels: indices of shards, statistics, metadata."""


@dataclass(frozen=True, slots=True)
class PlateResult:
    """The result of a run over a plate."""

    plan: PlatePlan
    seconds: float
    stored_bytes: int
    """Size of all objects of the fields that this run wrote."""
    fields_resumed: int
    """Fields that an earlier run had finished."""

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {
            "target": self.plan.target,
            "seconds": round(self.seconds, 3),
            "wells": len(self.plan.layout.wells),
            "fields": len(self.plan.fields),
            "fields_resumed": self.fields_resumed,
            "decoded_bytes": self.plan.decoded_bytes,
            "stored_bytes": self.stored_bytes,
        }


def plan_plate(
    source: PlateSource, target: str, options: Options, opening: Mapping[str, Any], *,
    sample: bool = True, overwrite: bool = False, resident: int | None = None,
) -> PlatePlan:  # fmt: skip
    """Return the plan of a plate; every field is opened, and no pixel is read but for ``sample``.

    Parameters
    ----------
    source : PlateSource
    target : str
    options : Options
    opening : mapping
        Options of :class:`bigimg.types.Opening` with which its fields are opened.
    sample, overwrite : bool
    resident : int, optional
        As of :func:`bigimg.planning.plan.make_plan`.

    Raises
    ------
    BudgetError, InputError, UsageError, OutputError
        One of its fields cannot be converted, or the target is no folder: nothing was written.
    """
    if options.levels_only:
        raise UsageError(f"{target}: the fields of a plate are stored with all levels: leave levels_only out")
    if is_packed(target):
        name = target.removesuffix("/")[: -len(PACKED)] + ".ome.zarr"
        raise UsageError(f"{target}: a plate is written as a folder: name it {name}, and pack that then")
    layout = laid_out(source)
    checked_target(target, source.source, overwrite=overwrite)
    resident = resident_bytes() if resident is None else resident
    fields: list[FieldPlan] = []
    largest: tuple[ConversionPlan, PlacedField] | None = None
    notes: dict[str, list[str]] = {note: [] for note in source.notes}
    for placed in layout.fields:
        with closing(_opened(placed, options)) as reader:
            checked_target(target, reader, overwrite=overwrite)
            plan, _ = _planned(placed, reader, target, options, opening, resident)
        fields.append(field_plan(placed.path, plan))
        for note in dict.fromkeys(plan.notes):
            notes.setdefault(note, []).append(placed.path)
        if largest is None or plan.peak_bytes > largest[0].peak_bytes:
            largest = plan, placed
    assert largest is not None
    made, placed = largest
    if sample:
        with closing(_opened(placed, options)) as reader:
            made = replace(made, estimate=probe_all(replace(made, labels=()), reader, []))
    shown = source.name if options.keep_metadata or is_known(source.name) else ""
    name = shown or stem(target)
    notes_of = {note: tuple(paths) for note, paths in notes.items()}
    return PlatePlan(source.source, target, name, layout, tuple(fields), made, notes_of)


def run_plate(
    plan: PlatePlan, source: PlateSource, options: Options, opening: Mapping[str, Any], how: Running, *,
    resident: int | None = None,
) -> PlateResult:  # fmt: skip
    """Convert the fields of ``source`` one after the other into the plate ``plan.target``.

    Parameters
    ----------
    plan : PlatePlan
        That of :func:`plan_plate`, of the same source and options.
    source, options, opening, resident
        As of :func:`plan_plate`.
    how : Running

    Raises
    ------
    InputError
        The sources of some fields are damaged. The other fields are whole and kept, for a later run to go on.
    OutputError, ResumeError, WorkerError
        As :func:`bigimg.conversion.run.run`.
    """
    started = time.monotonic()
    target = checked_target(plan.target, source.source, overwrite=how.overwrite)
    resident = resident_bytes() if resident is None else resident
    stored = resumed = 0
    with (
        commit.staged(
            target,
            _known_by(source, options, opening),
            resume=how.resume,
            overwrite=how.overwrite,
            sync=how.sync,
            parts=True,
        ) as staging,
        reporting(how.progress) as report,
    ):
        fields, meter = _Fields(staging, plan), Meter(plan.decoded_bytes, report)
        damaged: list[str] = []
        try:
            _check_room(plan, fields.unfinished(plan.fields), target.parent)
            for number, (placed, planned_field) in enumerate(
                zip(plan.layout.fields, plan.fields, strict=True)
            ):
                name = f"{placed.path} ({number + 1} of {len(plan.fields)})"
                tell = meter.share(name, planned_field.decoded_bytes)
                try:
                    with closing(_opened(placed, options)) as reader:
                        made, labels = _planned(
                            placed, reader, str(staging.store), options, opening, resident
                        )
                        known = _digest(made, reader)
                        if fields.is_finished(placed.path, known):
                            resumed += 1
                        else:
                            again = fields.begin(placed.path, known)
                            of_field = replace(how, progress=tell or False, resume=again, overwrite=False)
                            result = run(made, reader, of_field, labels=labels)
                            stored += result.stored_bytes
                            heap_trimmer.trim()  # else what each field leaves behind adds up
                            commit.hook("field")
                except (InputError, IntegrityError) as error:
                    damaged.append(f"{placed.path} ({without_remedy(error)})")
                if (left := staging_folder(staging.store / placed.path)).exists():
                    commit.discard(left)  # a run was stopped while it cleared up
                meter.done += planned_field.decoded_bytes
        finally:
            fields.close()
        if damaged:
            many = f"{len(damaged)} of {counted(len(plan.fields), 'field')}"
            what = f"{many} cannot be read, and the others are done: {few(damaged)}; {AGAIN}"
            if is_pattern(plan.source):  # its names say which plane a file is
                what += ", or delete the file, and take it for missing by on_gap='fill' with resume=False"
            raise InputError(f"{plan.source}: {what}")
        with undisturbed():
            _write_documents(staging.store, plan, source)
    return PlateResult(plan, time.monotonic() - started, stored, resumed)


def _opened(placed: PlacedField, options: Options) -> Reader:
    return as_kind(placed.source.open(), options.kind)


def _planned(
    placed: PlacedField, reader: Reader, target: str, options: Options, opening: Mapping[str, Any],
    resident: int,
) -> tuple[ConversionPlan, tuple[Carried, ...]]:  # fmt: skip
    path = os.path.join(target, *placed.path.split("/"))
    made, labels = planned(None, reader, path, options, opening, resident=resident)
    if hasattr(reader, "identity"):  # its pixels are computed
        return made, labels
    return replace(made, request=request(reader, options, opening)), labels


def _known_by(source: PlateSource, options: Options, opening: Mapping[str, Any]) -> dict[str, Json]:
    """Return what must be the same for a run to continue an earlier one; the sources of fields are known by field."""
    asked = counted_options(options).items()
    kept: dict[str, Json] = {name: repr(value) for name, value in asked if name not in ("memory", "workers")}
    where = os.path.abspath(source.source) if os.path.lexists(source.source) else source.source
    return {"source": [where, source.name], "options": kept, "options of the source": chosen(opening)}


def _digest(plan: ConversionPlan, reader: Reader) -> str | None:
    """Return by what a later run knows the source of a field and its options; None if it cannot."""
    known: Json = identity(plan, reader)
    if known is None and not hasattr(reader, "identity"):  # several files that a list or a pattern names
        paths = tuple(getattr(reader, "paths", ()))
        prints = [fingerprint(path) for path in paths]
        known = {"files": prints} if paths and None not in prints else None
    return None if known is None else hashlib.sha256(dumps({"known": known})).hexdigest()


def _check_room(plan: PlatePlan, unfinished: Sequence[FieldPlan], folder: Path) -> None:
    """Return if there is room for all fields that are not there yet, by the compression of samples if need be.

    Raises
    ------
    OutputError
        There is none: nothing is begun.
    """
    decoded = sum(each.decoded_bytes for each in unfinished)
    scratch = max((each.scratch_bytes for each in unfinished), default=0)
    if int(decoded * SPARE) + scratch > free_bytes(folder):
        who = f"its {len(unfinished)} fields" if len(unfinished) > 1 else ""
        about = int(decoded / plan.compression)
        check_free(plan.target, folder, scratch, about=about, who=who, ways=["codec='zstd'"])


class _Fields:
    """The journal of a plate: which fields an earlier run has begun, from what source."""

    def __init__(self, staging: Staging, plan: PlatePlan) -> None:
        self.store, path = staging.store, staging.folder / commit.JOURNAL
        self.known = dict(_read_lines(path)) if staging.resumed else {}
        wanted = {each.path for each in plan.fields}
        for found in list(_parts(self.store)):
            name = found.relative_to(self.store).as_posix()
            if found.is_file():
                found.unlink()  # a document, which is written anew
            elif name not in wanted and _staged_for(found, self.store) not in wanted:
                shutil.rmtree(found)  # of a field that the source has no more
        self.file = files.open_to_append(path)

    def unfinished(self, fields: Sequence[FieldPlan]) -> list[FieldPlan]:
        """Return those that are not there."""
        return [each for each in fields if not (self.store / each.path).exists()]

    def is_finished(self, path: str, known: str | None) -> bool:
        """Return whether the field is whole, and of the source that is ``known`` by this; else it is not there."""
        if not (self.store / path).exists():
            return False
        if known is not None and self.known.get(path) == known:
            return True
        shutil.rmtree(self.store / path)
        return False

    def begin(self, path: str, known: str | None) -> bool:
        """Record that the field is begun; return whether a run may go on from what an earlier one left of it."""
        (self.store / path).parent.mkdir(parents=True, exist_ok=True)
        again = known is not None and self.known.get(path) == known
        if not again:
            line = json.dumps([path, known]).encode() + b"\n"
            os.write(self.file, line)
            sync_data(self.file)
            self.known[path] = known
        return again

    def close(self) -> None:
        os.close(self.file)


def _read_lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the lines of the journal; a last one that is cut off is left out, and cut away."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with open(path, "r+b") as file:
            file.truncate(whole)
    for line in data[:whole].splitlines():
        name, known = json.loads(line)
        yield name, known


def _parts(store: Path) -> Iterator[Path]:
    """Yield what lies in the plate, its rows and its wells."""
    for row in store.iterdir():
        if not row.is_dir():
            yield row
            continue
        for well in row.iterdir():
            if well.is_dir():
                yield from well.iterdir()
            else:
                yield well


def _staged_for(folder: Path, store: Path) -> str | None:
    """Return the path of the field that a staging folder is for."""
    name = folder.name.removeprefix(".").removesuffix(".bigimg")
    found = folder.with_name(name)
    return found.relative_to(store).as_posix() if staging_folder(found) == folder else None


def _write_documents(store: Path, plan: PlatePlan, source: PlateSource) -> None:
    """Write what makes the fields a plate: the lists of fields first, and that of the wells last."""
    version, zarr, layout = plan.ome_version, plan.largest.zarr, plan.layout
    by_well: dict[str, list[FieldMeta]] = {}
    runs = tuple(Acquisition(*run) for run in source.acquisitions)
    for placed in layout.fields:
        run_of = placed.source.acquisition if runs else None
        by_well.setdefault(placed.well, []).append(FieldMeta(placed.path.rpartition("/")[2], run_of))
    documents = {store / well: well_attributes(fields, version) for well, fields in by_well.items()}
    documents |= {store / path.partition("/")[0]: {} for path, _, _ in layout.wells}
    documents[store] = plate_attributes(
        PlateMeta(
            name=plan.name,
            rows=layout.rows,
            columns=layout.columns,
            wells=tuple(WellMeta(*well) for well in layout.wells),
            acquisitions=runs,
            field_count=max(map(len, by_well.values())),
            labels=layout.told,
        ),
        version,
    )
    for folder, attributes in documents.items():
        for name, data in group_documents(attributes, zarr).items():
            if attributes or name != ATTRIBUTES[2]:
                (folder / name).write_bytes(data)
