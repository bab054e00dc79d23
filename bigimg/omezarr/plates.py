"""The JSON of OME-Zarr plates, written and read: which wells a plate has, and which fields a well.

    plate.ome.zarr/         a group; its attributes list rows, columns, wells and acquisitions
    plate.ome.zarr/B        a group without attributes
    plate.ome.zarr/B/03     a group; its attributes list the fields of the well
    plate.ome.zarr/B/03/0   an image, as any other

Plates of others are read too, and are bounded and checked before anything is made of them. The functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bigimg.errors import InputError, one_line
from bigimg.geometry.wells import MOST_SIDE
from bigimg.omezarr.documents import is_key
from bigimg.omezarr.metadata import FORMAT, Document
from bigimg.omezarr.parse import NONSENSE, Attributes, ome_block, readable_name
from bigimg.types import Json, Version

MOST_WELLS = 1 << 16
"""Wells of a plate that are read; a plate of 9216 is the largest that is sold."""
MOST_FIELDS = 1 << 14
"""Fields of a well, or acquisitions of a plate, that are read."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run of the microscope over the plate."""

    id: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class FieldMeta:
    """One field of a well."""

    path: str
    """Below the well: ``0``."""
    acquisition: int | None = None


@dataclass(frozen=True, slots=True)
class WellMeta:
    """One well as the plate lists it."""

    path: str
    """Below the plate: ``B/03``."""
    row: int
    """Index in the rows of the plate."""
    column: int

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateMeta:
    """What a plate says of itself."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[WellMeta, ...]
    """Row by row, whatever their order in the document."""
    name: str | None = None
    acquisitions: tuple[Acquisition, ...] = ()
    field_count: int | None = None
    """The most fields of a well."""
    version: str = ""
    labels: tuple[str, ...] = ()
    """What the source calls the fields 0, 1 and so on, where bigimg wrote the plate."""


# ------------------------------------------------------------------------------------------------------- written


def plate_attributes(plate: PlateMeta, version: Version) -> Document:
    """Return the attributes of the root of a plate."""
    block: Document = {
        "name": plate.name or "plate",
        "rows": [{"name": name} for name in plate.rows],
        "columns": [{"name": name} for name in plate.columns],
        "wells": [
            {"path": well.path, "rowIndex": well.row, "columnIndex": well.column} for well in plate.wells
        ],
    }
    if plate.field_count is not None:
        block["field_count"] = plate.field_count
    acquisitions: list[Json] = []
    for each in plate.acquisitions:
        entry: Document = {"id": each.id, "name": each.name or str(each.id)}
        if plate.field_count is not None:
            entry["maximumfieldcount"] = plate.field_count
        acquisitions.append(entry)
    if acquisitions:
        block["acquisitions"] = acquisitions
    return _versioned("plate", block, version) | {
        "bigimg": {"format": FORMAT, "kind": "plate", "fields": list(plate.labels)}
    }


def well_attributes(fields: Sequence[FieldMeta], version: Version) -> Document:
    """Return the attributes of the group of a well."""
    images: list[Json] = []
    for field in fields:
        entry: Document = {"path": field.path}
        if field.acquisition is not None:
            entry["acquisition"] = field.acquisition
        images.append(entry)
    return _versioned("well", {"images": images}, version)


def _versioned(key: str, block: Document, version: Version) -> Document:
    if version == "0.4":
        return {key: block | {"version": version}}
    return {"ome": {"version": version, key: block}}


# ---------------------------------------------------------------------------------------------------------- read


def is_plate(attributes: Attributes) -> bool:
    """Return whether the attributes of a group describe a plate."""
    return isinstance(ome_block(attributes).get("plate"), Mapping)


def is_well(attributes: Attributes) -> bool:
    """Return whether the attributes of a group describe a well."""
    return isinstance(ome_block(attributes).get("well"), Mapping)


def parse_plate(attributes: Attributes, *, source: str) -> PlateMeta:
    """Return what the attributes of a group say of the plate.

    Parameters
    ----------
    attributes : mapping
        Content of ``.zattrs``, or of ``attributes`` in ``zarr.json``.
    source : str
        The path, for messages.

    Raises
    ------
    InputError
        Something is missing or contradicts itself, or a well lies outside the plate.
    """
    try:
        return _plate(ome_block(attributes), attributes)
    except NONSENSE as error:
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(
            f"{source}: the metadata of the plate make no sense ({cause}); correct them"
        ) from error


def parse_well(attributes: Attributes, *, source: str) -> tuple[FieldMeta, ...]:
    """Return the fields that the attributes of a well list.

    Raises
    ------
    InputError
        There are none, or one lies outside the well.
    """
    try:
        fields = tuple(
            FieldMeta(_path(image), _whole(image, "acquisition", needed=False))
            for image in _listed(ome_block(attributes)["well"], "images", MOST_FIELDS)
        )
        if len({field.path for field in fields}) < len(fields):
            raise ValueError("a field is listed twice")
    except NONSENSE as error:
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(
            f"{source}: the metadata of the well make no sense ({cause}); correct them"
        ) from error
    return fields


def _plate(ome: Attributes, attributes: Attributes) -> PlateMeta:
    plate = ome["plate"]
    rows, columns = (
        tuple(readable_name(each["name"]) for each in _listed(plate, side, MOST_SIDE))
        for side in ("rows", "columns")
    )
    wells = tuple(_well(each, rows, columns) for each in _listed(plate, "wells", MOST_WELLS))
    if len({well.path for well in wells}) < len(wells):
        raise ValueError("a well is listed twice")
    acquisitions = tuple(
        Acquisition(
            _whole(each, "id") or 0, None if each.get("name") is None else readable_name(each["name"])
        )
        for each in _listed(plate, "acquisitions", MOST_FIELDS, least=0)
    )
    own = attributes.get("bigimg")
    labels = own.get("fields", ()) if isinstance(own, Mapping) else ()
    return PlateMeta(
        rows=rows,
        columns=columns,
        wells=tuple(sorted(wells, key=lambda well: (well.row, well.column))),
        name=None if plate.get("name") is None else readable_name(plate["name"]),
        acquisitions=acquisitions,
        field_count=_whole(plate, "field_count", needed=False),
        version=one_line(ome.get("version") or plate.get("version") or "0.4"),
        labels=tuple(map(readable_name, labels)) if isinstance(labels, list) else (),
    )


def _well(entry: Attributes, rows: Sequence[str], columns: Sequence[str]) -> WellMeta:
    path = _path(entry)
    row_of, _, column_of = path.partition("/")
    row, column = (_whole(entry, key, needed=False) for key in ("rowIndex", "columnIndex"))
    # Versions before 0.4 have no indices: the path has the names.
    row = rows.index(row_of) if row is None else row
    column = columns.index(column_of) if column is None else column
    if not (row < len(rows) and column < len(columns)):
        raise ValueError(f"well {path} lies outside the {len(rows)} rows and {len(columns)} columns")
    if path != f"{rows[row]}/{columns[column]}":
        raise ValueError(f"well {path} is said to be row {rows[row]}, column {columns[column]}")
    return WellMeta(path, row, column)


def _path(entry: Attributes) -> str:
    path = entry["path"]
    if not path or not is_key(path) or any(part in ("", ".") for part in path.split("/")):
        raise ValueError(f"{path!r:.80} is no name of a group below this one")
    return str(path)


def _listed(block: Attributes, key: str, most: int, *, least: int = 1) -> list[Mapping[str, Any]]:
    listed = block[key] if least else block.get(key) or []
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise ValueError(f"{key} is no list of objects")
    if not least <= len(listed) <= most:
        raise ValueError(f"{len(listed)} {key}, and {least} to {most} are read")
    return listed


def _whole(block: Attributes, key: str, *, needed: bool = True) -> int | None:
    value = block.get(key)
    if value is None and not needed:
        return None
    if type(value) is not int or value < 0:
        raise ValueError(f"{key} is {value!r:.80}, no whole number from 0 on")
    return value
