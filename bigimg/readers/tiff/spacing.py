"""Spacing of a TIFF series: what its vendor says, or the resolution tags.

tifffile reads the sizes of most vendors (``series.coord_scales``); a few are taken here from the fields that it parses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bigimg.geometry.axes import long_unit
from bigimg.geometry.spec import SpacingNote
from bigimg.readers.resolution import Spacings, of_dots

PER_INCH = {2: 1.0, 3: 2.54}
"""Values of the ResolutionUnit tag, and how many of it an inch is."""

UNITS = {
    ("mmstack", "z"): "micrometer", ("mmstack", "t"): "millisecond",
    ("ndtiff", "z"): "micrometer", ("ndtiff", "t"): "millisecond",
    ("lsm", "t"): "second", ("scanimage", "t"): "second",
}  # fmt: skip
"""Units that a format defines and tifffile does not name, by kind of series and axis."""

TRANSFORMATION = 34264
"""The tag of the matrix from columns and rows to positions on a map."""

MODEL_TYPE, PROJECTION, LINEAR_UNITS = 1024, 3072, 3076
"""Keys of a GeoTIFF: 1 for a projected map and 2 for longitude and latitude; the EPSG code of the projection."""

IN_METERS = (
    range(23028, 23039), range(25828, 25839), range(26701, 26723), range(26901, 26924), range(28348, 28359),
    range(31466, 31470), range(32201, 32261), range(32301, 32361), range(32601, 32661), range(32701, 32761),
    (2056, 2154, 3006, 3034, 3035, 3067, 3395, 3857, 5514, 21781, 27700, 28992, 31370),
)  # fmt: skip
"""EPSG codes of projections in metres: UTM and Gauss-Krüger zones, Web Mercator, LAEA Europe and national grids."""


def vendor_spacing(tif: Any, series: Any) -> tuple[Spacings, list[str]]:
    """Return the spacing of ``series`` by axis, as its vendor gives it, and notes on what is doubtful."""
    page, notes = series.keyframe, list[str]()
    spacing: Spacings = {}
    for letter, step in series.coord_scales.items():
        name, size = letter.lower(), positive(abs(step))
        unit = series.coord_units.get(letter)
        if name in ("t", "z", "y", "x") and size and not _of_tag(page, letter, size, unit):
            spacing[name] = (size, long_unit(unit) or UNITS.get((series.kind, name)))
    if series.kind == "geotiff":
        notes += _turned(page, spacing)
        notes += _map_unit(page, spacing)
    for letter in set(series.coords) - set(series.coord_scales):
        if letter in "ZT" and series.coords[letter].dtype.kind in "iuf" and series.coords[letter].size > 1:
            said = f"its positions along {letter.lower()} are not evenly spaced: spacing is unknown"
            notes.append(SpacingNote(said, letter.lower()))
    return spacing | dict(_microscopes(tif)), notes


def tag_spacing(page: Any) -> tuple[Spacings, str | None]:
    """Return what the resolution tags of ``page`` say; a sentence if that is nothing of the pixels."""
    x, y = (float(n) for n in page.resolution)
    if not {282, 283} <= {tag.code for tag in page.tags} or not (x > 0 and y > 0) or x == y == 1:
        return {}, None
    per_inch = PER_INCH.get(int(page.resolutionunit))
    if per_inch is None:
        said = f"its resolution of {x:g} has no unit (ResolutionUnit): spacing is unknown"
        return {}, SpacingNote(said)
    return of_dots(x * per_inch, y * per_inch)


def positive(value: object) -> float | None:
    """Return ``value`` as a positive finite number; None if it is none."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None


def _of_tag(page: Any, letter: str, size: float, unit: str | None) -> bool:
    """Return whether tifffile has taken ``size`` from the resolution tags, which :func:`tag_spacing` judges."""
    if letter not in "XY" or 282 not in page.tags:
        return False
    per_unit = float(page.resolution["XY".index(letter)])
    known = {2: "inch", 3: "centimeter", 4: "millimeter", 5: "micrometer"}.get(int(page.resolutionunit))
    return unit in (None, known) and per_unit > 0 and math.isclose(size, 1 / per_unit, rel_tol=1e-4)


def _turned(page: Any, spacing: Spacings) -> Iterator[str]:
    """Correct ``spacing`` of a map that is turned in its plane, of which tifffile gives the diagonal; yield a note."""
    matrix = page.tags.valueof(TRANSFORMATION, ())
    if len(matrix) != 16 or not (matrix[1] or matrix[4]):
        return
    for name, column in (("x", 0), ("y", 1)):
        if size := positive(math.hypot(matrix[column], matrix[4 + column])):
            spacing[name] = (size, spacing.get(name, (1.0, None))[1])
    angle = math.degrees(math.atan2(matrix[4], matrix[0]))
    yield f"rows and columns are turned on the map (by {angle:.4g} degrees): positions on it are left out"


def _map_unit(page: Any, spacing: Spacings) -> Iterator[str]:
    """Add the unit of a map to ``spacing`` where tifffile has none; yield a note if it is not known."""
    values = page.tags.valueof(34735, ())
    keys = {values[i]: values[i + 3] for i in range(4, len(values) - 3, 4) if values[i + 1] == 0}
    if "x" not in spacing or spacing["x"][1] is not None:
        return
    code = keys.get(PROJECTION)
    unit = None
    if keys.get(MODEL_TYPE) == 2:
        unit = "degree"
    elif any(code in codes for codes in IN_METERS):
        unit = "meter"
    else:
        said = f"its map projection (EPSG {code or 'not given'}) has a unit that is not known here"
        yield SpacingNote(said)
    for name in "yx":
        if name in spacing:
            spacing[name] = (spacing[name][0], unit)


def _microscopes(tif: Any) -> Iterator[tuple[str, tuple[float, str | None]]]:
    """Yield axis, spacing and unit from the fields of instruments whose sizes tifffile parses but does not place."""
    for axis, value, unit in _instrument_sizes(tif):
        if size := positive(value):
            yield axis, (size, unit)


def _instrument_sizes(tif: Any) -> Iterator[tuple[str, Any, str | None]]:
    page = tif.pages.first
    if fields := tif.sem_metadata:  # AP_PIXEL_SIZE is that of the screen
        for key, pixels in (("ap_image_pixel_size", 1), ("ap_width", page.imagewidth)):
            if len(said := fields.get(key, ())) == 3 and (size := positive(said[1])):
                yield from ((axis, size / pixels, long_unit(said[2])) for axis in "yx")
                break
    if fields := tif.fei_metadata:
        sections = (part for part in fields.values() if isinstance(part, Mapping) and "PixelWidth" in part)
        scan = next(sections, {})
        for axis, key in (("x", "PixelWidth"), ("y", "PixelHeight")):  # metres
            yield axis, (positive(scan.get(key)) or 0) * 1e9, "nanometer"
    if fields := tif.metaseries_metadata:
        plane = fields.get("PlaneInfo", {})
        unit = str(plane.get("spatial-calibration-units", ""))
        if plane.get("spatial-calibration-state", True) and unit.lower() not in ("", "pixel", "pixels"):
            for axis in "yx":
                yield axis, plane.get(f"spatial-calibration-{axis}"), long_unit(unit)
    if fields := tif.tvips_metadata:
        for axis in "yx":
            yield axis, fields.get(f"PixelSize{axis.upper()}"), "nanometer"
    if fields := tif.pilatus_metadata:
        sizes = fields.get("Pixel_size", ())
        yield from ((axis, size * 1e6, "micrometer") for axis, size in zip("xy", sizes, strict=False))
