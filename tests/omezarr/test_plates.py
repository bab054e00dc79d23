"""Documents of plates: what is written is read again, and those of others are believed only where they make sense."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from bigimg.errors import InputError
from bigimg.omezarr.plates import (
    Acquisition,
    FieldMeta,
    PlateMeta,
    WellMeta,
    parse_plate,
    parse_well,
    plate_attributes,
    well_attributes,
)

PLATE = PlateMeta(
    rows=("A", "B"), columns=("01", "02", "12"),
    wells=(WellMeta("A/01", 0, 0), WellMeta("B/12", 1, 2)),
    name="Screen 7", acquisitions=(Acquisition(0, "first"), Acquisition(3, "again")), field_count=2,
    labels=("s1", "s4"),
)  # fmt: skip


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_what_is_written_is_read(version: Any) -> None:
    read = parse_plate(plate_attributes(PLATE, version), source="p")
    assert read == PlateMeta(
        **{name: getattr(PLATE, name) for name in PLATE.__slots__} | {"version": version}
    )
    fields = (FieldMeta("0", 0), FieldMeta("1"))
    assert parse_well(well_attributes(fields, version), source="p/A/01") == fields


def test_plates_of_before_0_4() -> None:
    """They have no indices of rows and columns; and wells stand in any order."""
    plate = {
        "rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}],
        "wells": [{"path": "B/1"}, {"path": "A/1"}], "version": "0.2",
    }  # fmt: skip
    read = parse_plate({"plate": plate}, source="p")
    assert (read.version, read.wells) == ("0.2", (WellMeta("A/1", 0, 0), WellMeta("B/1", 1, 0)))


Change = Callable[[dict[str, Any]], Any]
CHANGES: dict[str, Change] = {
    "outside": lambda plate: plate["wells"][0].update(path="../A/01"),
    "hidden outside": lambda plate: plate["wells"][0].update(path="A/%2e%2e"),
    "absolute": lambda plate: plate["wells"][0].update(path="/etc"),
    "empty": lambda plate: plate["wells"][0].update(path=""),
    "number": lambda plate: plate["wells"][0].update(path=7),
    "deep": lambda plate: plate["wells"][0].update(path="A/01/0"),
    "the root": lambda plate: plate["wells"][0].update(path="./A/01"),
    "other row": lambda plate: plate["wells"][0].update(rowIndex=1),
    "no row": lambda plate: plate["wells"][0].update(rowIndex=2),
    "below 0": lambda plate: plate["wells"][0].update(columnIndex=-1),
    "huge": lambda plate: plate["wells"][0].update(columnIndex=10**30),
    "fraction": lambda plate: plate["wells"][0].update(columnIndex=0.5),
    "true": lambda plate: plate["wells"][0].update(columnIndex=True),
    "twice": lambda plate: plate["wells"].append(plate["wells"][0]),
    "no wells": lambda plate: plate.update(wells=[]),
    "no list": lambda plate: plate.update(wells={"A/01": {}}),
    "texts": lambda plate: plate.update(wells=["A/01"]),
    "no rows": lambda plate: plate.pop("rows"),
    "unnamed row": lambda plate: plate["rows"][0].pop("name"),
    "many rows": lambda plate: plate.update(rows=[{"name": str(i)} for i in range(5000)]),
    "count": lambda plate: plate.update(field_count="many"),
    "acquisitions": lambda plate: plate.update(acquisitions={"id": 0}),
    "acquisition": lambda plate: plate.update(acquisitions=[{"name": "first"}]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_plates_that_make_no_sense(change: str) -> None:
    attributes: Any = copy.deepcopy(plate_attributes(PLATE, "0.5"))
    CHANGES[change](attributes["ome"]["plate"])
    with pytest.raises(InputError, match=r"^p: the metadata of the plate make no sense") as caught:
        parse_plate(attributes, source="p")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


WRONG = (
    *(None, [], {}, ["0"], [{}], [{"path": "../0"}], [{"path": ""}], [{"path": "0"}] * 2),
    [{"path": "0", "acquisition": -1}],
)


@pytest.mark.parametrize("images", WRONG)
def test_wells_that_make_no_sense(images: Any) -> None:
    with pytest.raises(InputError, match="the metadata of the well make no sense"):
        parse_well({"ome": {"well": {"images": images}}}, source="p/A/1")


def test_names_that_terminals_obey_are_not_printed() -> None:
    attributes: Any = plate_attributes(PLATE, "0.5")
    attributes["ome"]["plate"]["name"] = "\x1b[2J" + "x" * 10_000
    read = parse_plate(attributes, source="p")
    assert read.name is not None
    assert read.name.isprintable()
    assert len(read.name) <= 160
