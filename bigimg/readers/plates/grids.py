"""Fields of a plate that are grids of files: which files are one field, and what an index says of them.

The wells of a plate have the same planes: what one has and another lacks is missing there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bigimg.errors import InputError, counted
from bigimg.geometry.spec import Channel, notes_beside
from bigimg.reader import Reader
from bigimg.readers.allowed import known_channels
from bigimg.readers.folders.grid import arranged
from bigimg.readers.folders.members import How
from bigimg.readers.folders.pattern import Table, Value
from bigimg.readers.folders.reader import GridReader
from bigimg.readers.plates.source import SourceField
from bigimg.readers.registry import find_format, open_file
from bigimg.types import OnGap

type Key = tuple[Value, Value]
"""Well and field."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an index says of the images, in place of what their files say."""

    channels: tuple[Channel, ...] = ()
    spacing: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    """Distance of pixels, planes or times by axis, with its unit."""
    centre: Mapping[Key, Mapping[str, float]] = field(default_factory=dict)
    """Where the middle of a field lies, in the unit of the spacing."""


NOTHING = Told()


def fields_of(
    table: Table, source: str, *, on_gap: OnGap | None = None, how: How | None = None, told: Told = NOTHING
) -> tuple[SourceField, ...]:
    """Return the fields of the files in ``table``, which has a column ``well`` and may have a column ``field``."""
    axes = [name for name in table.fields if name not in ("well", "field")]
    columns = [table.fields.index(name) for name in axes]
    values = {name: table.values[name] for name in axes}
    found = []
    for key, rows in _groups(table):
        names = tuple(table.names[i] for i in rows)
        part = Table(names, values, table.index[np.ix_(rows, columns)])
        shown = f"{source}, well {key[0]}" + (f" field {key[1]}" if "field" in table.fields else "")
        opener = partial(_open, part, shown, on_gap, how, told, key)
        found.append(SourceField(str(key[0]), str(key[1]), opener))
    return tuple(found)


def _groups(table: Table) -> Iterator[tuple[Key, list[int]]]:
    """Yield well and field, and the numbers of their files."""
    columns = [table.fields.index(name) for name in ("well", "field") if name in table.fields]
    unique, inverse = np.unique(table.index[:, columns], axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(inverse.ravel()))
    for row, rows in zip(unique.tolist(), np.split(order, ends[:-1]), strict=True):
        field = table.values["field"][row[1]] if len(row) > 1 else 0
        yield (table.values["well"][row[0]], field), rows.tolist()


def _open(table: Table, source: str, on_gap: OnGap | None, how: How | None, told: Told, key: Key) -> Reader:
    alone = table.names[0] if len(table.names) == 1 and not table.fields else None
    if alone and how and how.partial and "allow_partial" in find_format(alone).options:
        return open_file(alone, allow_partial=True)  # a part of the file may be there
    reader = GridReader(arranged(table, source, on_gap), source, how)
    spec, middle = reader.spec, told.centre.get(key, {})
    axes = []
    for axis in spec.axes:
        if axis.name in told.spacing:
            step, unit = told.spacing[axis.name]
            start = middle[axis.name] - (axis.size - 1) / 2 * step if axis.name in middle else axis.origin
            axis = replace(axis, spacing=step, unit=unit, origin=start)
        axes.append(axis)
    spec = replace(spec, axes=tuple(axes), notes=notes_beside(spec.notes, told.spacing))
    if len(told.channels) == spec.sizes.get("c", 1):
        channels, names = known_channels(told.channels)
        spec = replace(spec, channels=channels, private={**spec.private, **names})
    reader.spec = spec
    return reader


def tabled(rows: Mapping[str, Mapping[str, Value]]) -> Table:
    """Return the table of files and their values; a column of one value that is no channel is left out.

    Parameters
    ----------
    rows : mapping of str to mapping
        The same columns for every file.
    """
    names = tuple(rows)
    columns = next(iter(rows.values()))
    values: dict[str, tuple[Value, ...]] = {}
    index = []
    for column in columns:
        every: list[Value] = [row[column] for row in rows.values()]
        unique = sorted(set(every), key=lambda value: (isinstance(value, str), value))
        if len(unique) > 1 or column in ("well", "field", "c"):
            number = {value: i for i, value in enumerate(unique)}
            values[column] = tuple(unique)
            index.append([number[value] for value in every])
    return Table(names, values, np.array(index).T)


def there(
    rows: Mapping[str, Mapping[str, Value]], source: str, on_gap: OnGap | None
) -> tuple[dict[str, Mapping[str, Value]], tuple[str, ...]]:
    """Return those of the files that an index lists which are there, and notes on fields of which none is.

    Raises
    ------
    InputError
        Fields have no file, and ``on_gap`` is not ``"fill"``; or there is no file at all.
    """
    found = {path: row for path, row in rows.items() if os.path.isfile(path)}
    if not found:
        first = next(iter(rows), "none")
        raise InputError(
            f"{source}: lists {counted(len(rows), 'image')}, and none is there ({first}); copy them beside it"
        )
    lost = sorted({_key(row) for row in rows.values()} - {_key(row) for row in found.values()}, key=str)
    if not lost:
        return found, ()
    fields = len({_key(row) for row in rows.values()})
    first = f"well {lost[0][0]}, field {lost[0][1]} is the first"
    what = f"{len(lost)} of {counted(fields, 'field')} have no file ({first})"
    if on_gap != "fill":
        raise InputError(
            f"{source}: {what};", ways=["copy what is missing", "leave them out by on_gap='fill'"]
        )
    return found, (what,)


def _key(row: Mapping[str, Value]) -> Key:
    return row["well"], row["field"]
