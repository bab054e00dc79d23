"""Whether the store of a source is there already: of this source, with these options, and with all its objects."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from bigimg.conversion.identity import request
from bigimg.conversion.sidecar import path_from
from bigimg.errors import BigimgError
from bigimg.faces.many.sources import Item
from bigimg.faces.plates import plate_source
from bigimg.omezarr.manifest import read_provenance
from bigimg.omezarr.open import open_store
from bigimg.omezarr.tree import tree_of
from bigimg.opening.open import open_source
from bigimg.opening.plates import open_plate
from bigimg.planning.options import Options
from bigimg.reader import Reader, as_kind
from bigimg.readers.plates.source import PlateSource, laid_out
from bigimg.types import Opening
from bigimg.verification.objects import CheckedObjects
from bigimg.verification.report import Findings


def is_finished(item: Item, asked: Options, opening: Opening) -> bool:
    """Return whether the store, or each field of the plate, is that of this source with these options.

    Objects are looked for as by ``verify(store, quick=True)``: small ones are read, shards measured. No chunk is read.
    """
    if not os.path.isdir(item.target):
        return False
    if item.series is not None:
        opening = {**opening, "series": item.series}
    try:
        plate = plate_source(item.source, opening)
        if plate is not None:
            return _is_plate_of(plate, item.target, asked, opening)
        with closing(as_kind(open_source(item.source, progress=False, **opening), asked.kind)) as reader:
            if not _is_of(reader, item.target, asked, opening):
                return False
        if not asked.levels_only:
            return True
        finer = open_store(item.target).image.finer
        return finer is not None and finer.path == path_from(item.target, item.source)
    except (BigimgError, OSError):  # it fails when it is converted, with its message
        return False


def _is_plate_of(plate: PlateSource, target: str, asked: Options, opening: Opening) -> bool:
    wanted = {each.path: each.source for each in laid_out(plate).fields}
    stored = {f"{well.name}/{each.path}" for well in open_plate(target) for each in well.fields}
    if stored != wanted.keys():
        return False
    for path, field in wanted.items():
        with closing(as_kind(field.open(), asked.kind)) as reader:
            if not _is_of(reader, os.path.join(target, path), asked, opening):
                return False
    return True


def _is_of(reader: Reader, store: str, asked: Options, opening: Opening) -> bool:
    """Return whether ``store`` was made of what ``reader`` reads, and none of its objects is gone or cut."""
    found = read_provenance(Path(store))
    if found is None or found.get("request") is None:
        return False
    if request(reader, asked, opening) != found["request"]:
        return False
    objects = Findings()
    CheckedObjects(tree_of(store), objects)
    return not objects.lost
