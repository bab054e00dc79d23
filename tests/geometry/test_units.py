"""What a person says of units and spacing is understood or refused."""

from __future__ import annotations

import pytest

from bigimg.errors import UsageError
from bigimg.geometry.axes import MILLIMETERS, SECONDS, UNITS
from bigimg.geometry.units import LENGTHS, TIMES, asked_unit, converted

SPACE = """
angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch kilometer megameter meter
micrometer mile millimeter nanometer parsec petameter picometer terameter yard yoctometer yottameter zeptometer
zettameter
"""
TIME = """
attosecond centisecond day decisecond exasecond femtosecond gigasecond hectosecond hour kilosecond megasecond
microsecond millisecond minute nanosecond petasecond picosecond second terasecond yoctosecond yottasecond zeptosecond
zettasecond
"""


def test_the_units_are_those_that_ome_zarr_lists() -> None:
    assert set(SPACE.split()) == LENGTHS
    assert set(TIME.split()) == TIMES
    assert {*UNITS.values(), *MILLIMETERS, *SECONDS} <= LENGTHS | TIMES


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        (None, None), ("", None), ("um", "micrometer"), ("µm", "micrometer"), ("Micrometers", "micrometer"),
        ("millimetres", "millimeter"), ("s", "second"), ("parsec", "parsec"), ("Å", "angstrom"),
    ],
)  # fmt: skip
def test_understood(unit: str | None, name: str | None) -> None:
    assert asked_unit(unit) == name


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        ("furlong", "OME-Zarr: give nm, um, mm"),
        ("micormeter", "mean micrometer?"),
        ("px", "for pixels give no unit"),
    ],
)
def test_refused(unit: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"unit '{unit}' is not in .*{says}".replace("?", r"\?")):
        asked_unit(unit)


def test_a_number_in_another_unit() -> None:
    assert converted(0.5, "micrometer", "nanometer") == 500
    assert converted(0.55, "micrometer", "millimeter") == 0.00055  # and not 0.0005500000000000001
    assert converted(2, "minute", "second") == 120
    assert converted(2, None, None) == converted(2, None, "meter") == 2
    assert converted(2, "meter", None) is converted(2, "meter", "second") is None
