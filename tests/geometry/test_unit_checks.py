"""What a person says of units and spacing is understood or refused."""

from __future__ import annotations

import pytest

from bigimg.errors import UsageError
from bigimg.geometry.axes import MILLIMETERS, SECONDS, UNITS
from bigimg.geometry.unit_checks import LENGTHS, TIMES, asked_unit, check_spacing

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


def test_below_zero_is_meant_only_by_name() -> None:
    """An image that runs backwards says so in its spacing, which may be given to another."""
    check_spacing({"y": -1.0}, {"y": -1.0})
    for given in (-1, (-1, 1)):
        with pytest.raises(UsageError, match="above zero"):
            check_spacing(given, {"y": -1.0})
    with pytest.raises(UsageError, match="must be finite"):
        check_spacing({"y": float("nan")}, {"y": float("nan")})
