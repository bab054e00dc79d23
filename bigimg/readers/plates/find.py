"""Which folders and files are plates, by the index or the names of the files in them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from typing import Any

from bigimg.errors import UsageError, reading
from bigimg.geometry.wells import well_place
from bigimg.readers.folders.pattern import is_pattern
from bigimg.readers.plates.imagexpress import is_htd, open_imagexpress
from bigimg.readers.plates.names import names_wells, plate_of_pattern
from bigimg.readers.plates.opera import is_index, open_opera
from bigimg.readers.plates.series import plate_of_series, plate_of_stacks, well_of
from bigimg.readers.plates.source import PlateSource
from bigimg.readers.registry import no_options

STACK = re.compile(r".*_MMStack_(?P<position>.+?)(?:_\d+)?\.ome\.tiff?", re.IGNORECASE)
"""The files of Micro-Manager, one or more for each position."""
NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What values that make no sense cause."""
MOST_ROWS = 32
"""Rows of a plate of 1536 wells, A to AF. ``XY01`` is the name of a position."""
IMAGES = "Images"
"""The folder in which Harmony puts index and images."""


def find_plate(name: str, asked: Mapping[str, Any]) -> PlateSource | None:
    """Return the plate that a path or a pattern of paths is; None where it is none, or is not known to be one.

    Parameters
    ----------
    name : str
    asked : mapping
        Options of the source that a user gave: ``plate`` says that it is one.

    Raises
    ------
    InputError, UsageError
        It is one, and makes no sense.
    """
    others = {key: value for key, value in asked.items() if key not in ("plate", "pattern")}
    pattern = asked.get("pattern")
    if pattern is not None and os.path.isdir(name):
        name = os.path.join(name.replace("{", "{{").replace("}", "}}"), str(pattern))
    if not os.path.lexists(name) and is_pattern(name):
        if not names_wells(name):
            return None
        no_options(name, others, but={"on_gap", "allow_partial"})
        return plate_of_pattern(name, **others)
    index = _index_in(name) if os.path.isdir(name) else name if is_htd(name) or is_index(name) else None
    if index is not None and os.path.isfile(index):
        no_options(name, others, but={"on_gap"})
        with reading(index, NONSENSE, "export the plate again"):
            return (open_imagexpress if is_htd(index) else open_opera)(index, **others)
    stacks = _stacks_in(name, any_row=bool(asked.get("plate"))) if os.path.isdir(name) else None
    if stacks is not None:
        return plate_of_stacks(name, stacks, **others)
    return plate_of_series(name, **others) if asked.get("plate") and os.path.isfile(name) else None


def _index_in(folder: str) -> str | None:
    """Return the index of a plate in ``folder``; None where there is none, or several plates."""
    for where in (folder, os.path.join(folder, IMAGES)):
        if os.path.isdir(where):
            paths = [os.path.join(where, name) for name in sorted(os.listdir(where))]
            found = [path for path in paths if is_htd(path) or is_index(path)]
            if found and (len(found) == 1 or not any(map(is_htd, found))):
                return found[0]
    return None


def _stacks_in(folder: str, *, any_row: bool) -> dict[str, str] | None:
    """Return the files of Micro-Manager in ``folder`` and the position of each, if all are of wells.

    Unless a user says that it is a plate (``any_row``), the rows must be those of plates that are sold.
    """
    names = sorted(
        os.path.basename(path) for path in glob.glob(os.path.join(glob.escape(folder), "*_MMStack_*"))
    )
    matches = {name: STACK.fullmatch(name) for name in names if name.lower().endswith((".tif", ".tiff"))}
    found = {
        os.path.join(folder, name): match["position"] for name, match in matches.items() if match is not None
    }
    wells = [well_of(position) for position in found.values()]
    if not found or len(found) < len(matches) or None in wells:
        return None
    return found if any_row or all(_is_sold(well[0]) for well in wells if well) else None


def _is_sold(well: str) -> bool:
    """Return whether plates that are sold have such a well."""
    try:
        return well_place(well).row < MOST_ROWS
    except UsageError:
        return False
