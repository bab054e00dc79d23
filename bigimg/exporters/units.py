"""How long the units of an axis are: for formats that know but a few of them."""

MILLIMETERS = {
    "meter": 1e3, "decimeter": 1e2, "centimeter": 1e1, "millimeter": 1.0, "micrometer": 1e-3,
    "nanometer": 1e-6, "picometer": 1e-9, "angstrom": 1e-7, "inch": 25.4,
}  # fmt: skip
"""Millimetres in a unit of length, by its long name."""

SECONDS = {
    "second": 1.0, "millisecond": 1e-3, "microsecond": 1e-6, "nanosecond": 1e-9, "minute": 60.0, "hour": 3600.0,
    "day": 86400.0,
}  # fmt: skip
"""Seconds in a unit of time, by its long name."""
