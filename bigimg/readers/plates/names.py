"""Plates of which the names of files tell all: a pattern with ``{well}``."""

from __future__ import annotations

import glob
import os

from bigimg.errors import InputNotFoundError, UsageError, counted
from bigimg.readers.folders.members import How
from bigimg.readers.folders.pattern import is_pattern, parse
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
    pattern = parse(text)
    if on_gap == "split":
        raise UsageError(f"{text}: on_gap='split' is for DICOM series; give on_gap='fill' or leave it out")
    found = [path for path in glob.glob(pattern.glob) if os.path.isfile(path)]
    table = pattern.match(found)
    if not table.names:
        near = f", and {counted(len(found), 'file')} nearly do ({min(found)})" if found else ""
        what = f"no file follows this pattern{near}"
        raise InputNotFoundError(f"{text}: {what}; check the folder, the fields and their widths")
    fields = fields_of(table, text, on_gap=on_gap, how=How(partial=allow_partial))
    more = len(found) - len(table.names)
    notes = (f"{more} of {len(found)} files do not follow the pattern, and are left out",) if more else ()
    return PlateSource(text, "", fields, notes=notes)
