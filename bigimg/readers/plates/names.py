"""Plates of which the names of files tell all: a pattern with ``{well}``."""

from __future__ import annotations

from bigimg.readers.folders.members import How
from bigimg.readers.folders.pattern import files_that_follow, is_pattern, parse
from bigimg.readers.plates.grids import fields_of
from bigimg.readers.plates.source import PlateSource
from bigimg.types import OnGap


def names_wells(text: str) -> bool:
    """Return whether ``text`` is a pattern with a well.

    >>> names_wells("run/{well}_{c}.tif"), names_wells("run/{z}.tif")
    (True, False)
    """
    return is_pattern(text) and "well" in parse(text).fields


def plate_of_pattern(text: str, *, on_gap: OnGap | None = None, allow_partial: bool = False) -> PlateSource:
    """Return the plate of the files that follow a pattern with ``{well}``, and maybe ``{field}``.

    Parameters
    ----------
    text : str
    on_gap : {"error", "fill"}, optional
        Where planes have no file.
    allow_partial : bool
        Take files that cannot be opened for missing planes.

    Raises
    ------
    UsageError
        The pattern makes no sense.
    InputNotFoundError
        No file follows it.
    """
    table, more = files_that_follow(text, on_gap=on_gap)
    fields = fields_of(table, text, on_gap=on_gap, how=How(partial=allow_partial))
    notes = (
        (f"{more} of {len(table.names) + more} files do not follow the pattern, and are left out",)
        if more
        else ()
    )
    return PlateSource(text, "", fields, notes=notes)
