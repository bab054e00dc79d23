"""The fields of a plate; each of them is a store, and is checked as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from bigimg.errors import InputError, UsageError
from bigimg.omezarr.documents import DOCUMENTS
from bigimg.omezarr.plate_tree import fields_of
from bigimg.omezarr.plates import PlateMeta
from bigimg.omezarr.tree import Tree, join
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
        The plate is behind a URL.
    """
    sources = {} if source is None else {each.path: each.source for each in laid_out(source).fields}
    listed = set()
    for path in _fields(tree, plate, found):
        listed.add(path)
        if (below := tree.below(path)) is None:
            raise UsageError(f"{tree.path}: is a plate and has an address: verify a copy of it, or a field")
        if not _is_node(tree, path):
            message = "is on the list of the well and not there; restore it, or convert the plate again"
            found.add(Finding("missing", path, message))
            continue
        try:
            if (field := sources.pop(path, None)) is None:
                found.add_image(path, check(below, None))
                if source is not None:
                    found.note(f"{path}: is not in the source, and was not compared")
            else:
                with closing(field.open()) as reader:
                    found.add_image(path, check(below, reader))
        except InputError as error:
            found.add(Finding("metadata", path, str(error).removeprefix(f"{tree.where(path)}: ")))
    for path in sources:
        found.add(
            Finding("source", path, "the source has this field, and the plate has not; convert it again")
        )
    for path in _images(tree, plate):
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
            gone = not tree.children(well.path)
            message = str(error).removeprefix(f"{tree.where(well.path)}: ")
            found.add(Finding("missing" if gone else "metadata", well.path, message))
            continue
        most = max(most, len(fields))
        yield from (join(well.path, field.path) for field in fields)
    if plate.field_count is not None and most > plate.field_count:
        message = f"says that a well has at most {plate.field_count} fields, and one has {most}; correct it"
        found.add(Finding("metadata", "field_count", message))


def _images(tree: Tree, plate: PlateMeta) -> Iterator[str]:
    """Yield the stores that lie where fields do."""
    for row in plate.rows:
        for column in plate.columns:
            for name in tree.children(join(row, column)):
                path = join(row, column, name)
                if _is_node(tree, path):
                    yield path


def _is_node(tree: Tree, path: str) -> bool:
    return not {*DOCUMENTS}.isdisjoint(tree.children(path))
