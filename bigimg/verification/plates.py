"""The fields of a plate; each of them is a store, and is checked as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from bigimg.errors import InputError, UsageError
from bigimg.omezarr.open import is_store
from bigimg.omezarr.plate_tree import fields_of
from bigimg.omezarr.plates import PlateMeta
from bigimg.omezarr.tree import Tree, join, tree_of
from bigimg.reader import Reader
from bigimg.readers.plates.source import PlateSource, laid_out
from bigimg.verification.report import Finding, Findings

type Check = Callable[[Tree, Reader | None], Findings]
"""Checks one field, its label images included, against a source if there is one."""


def check_plate(
    tree: Tree, plate: PlateMeta, found: Findings, check: Check, source: PlateSource | None
) -> None:
    """Add the findings on the wells of a plate and on each field to ``found``; their files begin with ``B/03/0/``.

    Raises
    ------
    UsageError
        The plate is no folder.
    """
    if tree.folder is None:
        raise UsageError(
            f"{tree.path}: is a plate and no folder: verify it where it is one, or a field of it"
        )
    sources = {} if source is None else {each.path: each.source for each in laid_out(source).fields}
    listed = set()
    for path in _fields(tree, plate, found):
        listed.add(path)
        if not is_store(tree.folder / path):
            message = "is on the list of the well and not there; restore it, or convert the plate again"
            found.add(Finding("missing", path, message))
            continue
        try:
            if (field := sources.pop(path, None)) is None:
                found.add_image(path, check(tree_of(tree.folder / path), None))
                if source is not None:
                    found.note(f"{path}: is not in the source, and was not compared")
            else:
                with closing(field.open()) as reader:
                    found.add_image(path, check(tree_of(tree.folder / path), reader))
        except InputError as error:
            found.add(Finding("metadata", path, str(error).removeprefix(f"{tree.folder / path}: ")))
    for path in sources:
        found.add(
            Finding("source", path, "the source has this field, and the plate has not; convert it again")
        )
    for path in _images(tree.folder, plate):
        if path not in listed:
            message = "is on no list of the plate; take it away, or list it"
            found.add(Finding("extra", path, message))


def _fields(tree: Tree, plate: PlateMeta, found: Findings) -> Iterator[str]:
    """Yield the fields that are listed."""
    most = 0
    for well in plate.wells:
        found.objects += 1
        try:
            fields = fields_of(tree, well.path)
        except InputError as error:
            gone = tree.folder is not None and not (tree.folder / well.path).is_dir()
            message = str(error).removeprefix(f"{tree.where(well.path)}: ")
            found.add(Finding("missing" if gone else "metadata", well.path, message))
            continue
        most = max(most, len(fields))
        yield from (join(well.path, field.path) for field in fields)
    if plate.field_count is not None and most > plate.field_count:
        message = f"says that a well has at most {plate.field_count} fields, and one has {most}; correct it"
        found.add(Finding("metadata", "field_count", message))


def _images(folder: Path, plate: PlateMeta) -> Iterator[str]:
    """Yield the stores that lie where fields do."""
    for row in plate.rows:
        for column in plate.columns:
            well = folder / row / column
            if well.is_dir():
                names = sorted(
                    entry.name for entry in os.scandir(well) if entry.is_dir() and is_store(entry.path)
                )
                yield from (join(row, column, name) for name in names)
