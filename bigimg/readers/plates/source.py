"""What a source of a plate is: the fields of its wells, and how the reader of each is opened.

Whoever knows the wells of a source (a pattern of names, an index file, the positions of a file) makes one of these;
what becomes of it is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bigimg.errors import InputError, UsageError, counted, few
from bigimg.geometry.wells import WellPlace, column_width, row_name, well_and_field, well_place
from bigimg.reader import Reader
from bigimg.readers.folders.numbering import natural_key

MOST_FIELDS = 1_000_000
"""Fields of a plate in all."""


@dataclass(frozen=True, slots=True)
class SourceField:
    """One field of a well."""

    well: str
    """As the source spells it: ``B03``."""
    label: str
    """As the source calls the field: ``s1``, ``7``."""
    open: Callable[[], Reader] = field(repr=False, compare=False)
    acquisition: int | None = None


@dataclass(frozen=True, slots=True)
class PlacedField:
    """One field and its place in the plate that is written."""

    path: str
    """``B/03/0``."""
    source: SourceField

    @property
    def well(self) -> str:
        """``B/03``."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class PlateSource:
    """The fields of a plate, in any order."""

    source: str
    """A path, or what stands for one in messages."""
    name: str
    """Empty for that of the store which is made."""
    fields: tuple[SourceField, ...]
    size: tuple[int, int] | None = None
    """Rows and columns of the whole plate, where the source knows them; else those that are in use are listed."""
    acquisitions: tuple[tuple[int, str | None], ...] = ()
    """Id and name of each run over the plate."""
    notes: tuple[str, ...] = ()
    format: str = "plate"
    """For people: ``ImageXpress``."""


@dataclass(frozen=True, slots=True)
class PlateLayout:
    """Where each field of a source lies in the plate."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[tuple[str, int, int], ...]
    """Path, row and column of each, row by row."""
    labels: tuple[str, ...]
    """What the source calls the fields 0, 1 and so on: a number is the same field in all wells."""
    fields: tuple[PlacedField, ...]
    """Well by well, in the order of their numbers."""

    @property
    def told(self) -> tuple[str, ...]:
        """The labels, unless they are the numbers."""
        return () if self.labels == tuple(map(str, range(len(self.labels)))) else self.labels


def laid_out(plate: PlateSource) -> PlateLayout:
    """Return the places of the fields of ``plate``.

    Raises
    ------
    InputError
        There are none, or two are the same field of the same well.
    UsageError
        A well has a name that is none.
    """
    if not 1 <= len(plate.fields) <= MOST_FIELDS:
        raise InputError(f"{plate.source}: {len(plate.fields)} fields; a plate has 1 to {MOST_FIELDS}")
    spelled = {each.well for each in plate.fields}
    try:
        places: dict[str, WellPlace] = {name: well_place(name) for name in spelled}
    except UsageError as error:
        raise UsageError(f"{plate.source}: {error}") from None
    used = set(places.values())
    width = column_width(spelled)
    rows, columns = sorted({at.row for at in used}), sorted({at.column for at in used})
    if plate.size is not None and max(rows) < plate.size[0] and max(columns) < plate.size[1]:
        rows, columns = list(range(plate.size[0])), list(range(plate.size[1]))
    labels = sorted({each.label for each in plate.fields}, key=natural_key)
    number = {label: i for i, label in enumerate(labels)}
    row_names = {row: row_name(row) for row in rows}
    column_of = {column: f"{column + 1:0{width}}" for column in columns}
    path = {at: f"{row_names[at.row]}/{column_of[at.column]}" for at in used}
    found: dict[tuple[WellPlace, int], SourceField] = {}
    for each in plate.fields:
        key = places[each.well], number[each.label]
        if key in found:
            raise InputError(
                f"{plate.source}: well {each.well} has the field {each.label!r} twice; choose one of them"
            )
        found[key] = each
    return PlateLayout(
        tuple(row_names.values()),
        tuple(column_of.values()),
        tuple((path[at], rows.index(at.row), columns.index(at.column)) for at in sorted(used)),
        tuple(labels),
        tuple(PlacedField(f"{path[at]}/{i}", found[at, i]) for at, i in sorted(found)),
    )


def open_field(plate: PlateSource, series: int | str | None) -> Reader:
    """Return the reader of one field of a plate: ``B/03/0``, ``B03/0``, its first one by ``B03``, or its number in all.

    Raises
    ------
    InputError
        None is chosen.
    UsageError
        There is no such field.
    """
    layout = laid_out(plate)
    names = [path for path, _, _ in layout.wells]
    wells = f"{counted(len(names), 'well')} ({few(names)})"
    first = layout.fields[0].path
    if series is None:
        ways = [f"choose one field by series='{first}'", "make a plate of it with bigimg convert"]
        raise InputError(f"{plate.source}: a plate of {wells}:", ways=ways)
    if isinstance(series, int) and 0 <= series < len(layout.fields):
        return layout.fields[series].source.open()
    well, field = well_and_field(str(series), names) or ("", "")
    for placed in layout.fields:
        if placed.well == well and field in ("", placed.path.rpartition("/")[2]):
            return placed.source.open()
    raise UsageError(f"{plate.source}: no field {series!r:.80}; there are {wells}, as in series='{first}'")
