"""The plate in a hierarchy: its wells and their fields, each document read when it is asked for."""

from __future__ import annotations

from bigimg.errors import InputError, UsageError, counted, few
from bigimg.geometry.wells import well_and_field
from bigimg.omezarr.plates import FieldMeta, PlateMeta, WellMeta, is_plate, is_well, parse_plate, parse_well
from bigimg.omezarr.tree import Tree, join


def plate_of(tree: Tree) -> PlateMeta | None:
    """Return the plate at the root of ``tree``; None where there is none.

    Raises
    ------
    InputError
        There is one, and its metadata make no sense.
    """
    node = tree.node("")
    if node is None or not is_plate(node["attributes"]):
        return None
    return parse_plate(node["attributes"], source=tree.path)


def fields_of(tree: Tree, well: str) -> tuple[FieldMeta, ...]:
    """Return the fields of a well by its path in the plate.

    Raises
    ------
    InputError
        Its document is gone, or makes no sense.
    """
    node = tree.node(well)
    if node is None or not is_well(node["attributes"]):
        raise InputError(f"{tree.where(well)}: the plate lists this well, and it is no well; restore it")
    return parse_well(node["attributes"], source=tree.where(well))


def well_named(plate: PlateMeta, name: str, *, source: str) -> WellMeta:
    """Return the well that is called ``name``: ``B/03``, ``B03`` or ``b3``.

    Raises
    ------
    UsageError
        The plate has no such well.
    """
    paths = [well.path for well in plate.wells]
    found = well_and_field(name, paths)
    if found is None or found[1]:
        raise UsageError(f"{source}: no well {name!r:.80}; there are {wells_text(plate)}")
    return plate.wells[paths.index(found[0])]


def field_named(tree: Tree, plate: PlateMeta, series: int | str | None) -> str:
    """Return the path of the field ``series`` of a plate, as ``B/03/0``; without a field that of the first one.

    Raises
    ------
    InputError
        None is chosen.
    UsageError
        There is no such well or field.
    """
    if not isinstance(series, str):
        first = f"{plate.wells[0]}/0"
        ways = [f"name one field, as {tree.where(first)}", f"choose it by series='{first}'"]
        raise InputError(f"{tree.path}: a plate of {wells_text(plate)}:", ways=ways)
    well, field = well_and_field(series, [each.path for each in plate.wells]) or (None, "")
    if well is None:
        raise UsageError(f"{tree.path}: no field {series!r:.80}; there are {wells_text(plate)}")
    return field_in(tree, well, field or None)


def field_in(tree: Tree, well: str, field: int | str | None) -> str:
    """Return the path in the plate of a field of the well at the path ``well``; None is its first one.

    Parameters
    ----------
    field : int or str, optional
        Its path, or its number where no path is one.

    Raises
    ------
    UsageError
        There is no such field.
    """
    paths = [each.path for each in fields_of(tree, well)]
    if isinstance(field, int) and not any(map(str.isdecimal, paths)) and 0 <= field < len(paths):
        field = paths[field]
    if field is not None and str(field) not in paths:
        raise UsageError(f"{tree.path}: no field {field!r:.80} in well {well}; there are {few(paths)}")
    return join(well, paths[0] if field is None else str(field))


def wells_text(plate: PlateMeta) -> str:
    """Return how many wells there are, and the names of the first ones."""
    return f"{counted(len(plate.wells), 'well')} ({few(plate.wells)})"
