"""Spacing, units, channels and notes of a TIFF series, from OME-XML, ImageJ, Aperio and plain tags.

OME-XML and ImageJ's description are taken as they are. A plain resolution tag mostly gives the size of a print, so
it counts only if it cannot be that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tifffile

from bigimg.geometry.axes import long_unit
from bigimg.geometry.spec import RGB, Channel, Scaling
from bigimg.types import Json

LONGEST_TEXT = 1 << 20
"""Characters of the longest text tag that goes into ``meta``; longer ones are mostly data and are left out."""

LARGEST_PRINT = 1200
"""Dots an inch: whole numbers up to this one are taken as resolutions of a print, not as sizes of pixels."""

OWN_TAGS = frozenset(
    {256, 257, 258, 273, 279, 320, 322, 323, 324, 325, 330, 338, 339, 347, 512, 513, 514, 519, 520, 521}
)
"""Tags that say how the file is built: the spec says it already, or it does not matter for the image."""

MINISWHITE, RGB_COLORS, PALETTE, CMYK, YCBCR, LAB = 0, 2, 3, 5, 6, 8
"""Values of the PhotometricInterpretation tag."""

COLORS: dict[int, tuple[Channel, ...]] = {
    RGB_COLORS: RGB, PALETTE: RGB,
    CMYK: (Channel("C", "00FFFF"), Channel("M", "FF00FF"), Channel("Y", "FFFF00"), Channel("K", "000000")),
    YCBCR: (Channel("Y"), Channel("Cb"), Channel("Cr")), LAB: (Channel("L"), Channel("a"), Channel("b")),
}  # fmt: skip
STORED_AS = {
    MINISWHITE: "0 is white (PhotometricInterpretation MINISWHITE); values are as stored",
    YCBCR: "colours are Y Cb Cr, as stored", LAB: "colours are CIE L*a*b*, as stored",
}  # fmt: skip

DECODED_TO_RGB = frozenset({6, 7, 33007, 34892})
"""Compression tags whose decoder turns YCbCr into RGB."""


@dataclass(slots=True)
class Meaning:
    """What a file says about the numbers it holds."""

    spacing: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    """By axis of the file (``t``, ``z``, ``y``, ``x``, before orientation): spacing and long unit."""
    channels: tuple[Channel, ...] = ()
    scaling: Scaling | None = None
    window: tuple[float, float] | None = None
    notes: list[str] = field(default_factory=list)
    of_source: list[str] = field(default_factory=list)
    """Notes with words of the file, which a store does not keep."""


def read_meaning(tif: Any, series: Any, *, index: int, channels: int) -> Meaning:
    """Return what ``series`` number ``index`` of the open ``TiffFile`` says about its numbers.

    Parameters
    ----------
    channels : int
        Pixels along c, to match names with.
    """
    page = series.keyframe
    meaning = Meaning()
    _colors(page, channels, meaning)
    if series.kind == "ome":
        _from_ome(tif, series, index, channels, meaning)
    elif series.kind == "imagej":
        _from_imagej(tif.imagej_metadata or {}, page, channels, meaning)
    elif series.kind == "svs":
        found = re.search(r"\bMPP\s*=\s*([0-9.]+)", page.description)
        if found and (size := _positive(found[1])):
            meaning.spacing |= {"x": (size, "micrometer"), "y": (size, "micrometer")}
    elif note := _from_tags(page, meaning):
        meaning.notes.append(note)
    if part := re.search(r'<(?:\w+:)?BinaryOnly[^>]*MetadataFile="([^"]*)"', page.description):
        note = f"this is one file of an OME-TIFF set that {part[1]} describes"
        meaning.of_source.append(f"{note}: only the pages of this file are read")
    return meaning


def own_fields(page: Any) -> dict[str, Json]:
    """Return the tags of ``page`` that are short and JSON-safe, by their names."""
    fields: dict[str, Json] = {}
    for tag in page.tags:
        if tag.code not in OWN_TAGS and (value := _json(tag.value)) is not None:
            fields[str(tag.name)] = value
    return fields


def _json(value: Any) -> Json:
    """Return ``value`` if JSON can hold it in a line or a text, else None."""
    name = getattr(value, "name", None)
    if isinstance(name, str) and isinstance(value, int):
        return name
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else None
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, tuple) and len(value) <= 16:
        items = [_json(item) for item in value]
        return None if None in items else items
    return None


def _colors(page: Any, channels: int, meaning: Meaning) -> None:
    """Name the samples of a pixel by the colours that the photometric tag says they are."""
    extra = tuple(int(e) for e in page.extrasamples)
    converted = page.photometric == YCBCR and page.compression in DECODED_TO_RGB
    photometric = RGB_COLORS if converted else page.photometric
    if note := STORED_AS.get(photometric):
        meaning.notes.append(note)
    grey = (Channel("gray"),) if page.samplesperpixel == channels > 1 and any(extra) else ()
    names = COLORS.get(photometric, grey) + tuple(
        Channel("A", "FFFFFF") if kind in (1, 2) else Channel(f"extra {i}") for i, kind in enumerate(extra, 1)
    )
    if len(names) == channels > 1:
        meaning.channels = names


def _from_ome(tif: Any, series: Any, index: int, channels: int, meaning: Meaning) -> None:
    try:
        images = _list(tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"])
        named = [image for image in images if image.get("Name") == series.name]
        pixels = (named[0] if len(named) == 1 else images[index])["Pixels"]
    except (LookupError, ValueError, TypeError, AttributeError, SyntaxError):  # SyntaxError: XML's ParseError
        meaning.notes.append("its OME-XML names no image for this series: spacing and channels are unknown")
        return
    for axis in "xyz":
        key = f"PhysicalSize{axis.upper()}"
        if size := _positive(pixels.get(key)):
            meaning.spacing[axis] = (size, long_unit(str(pixels.get(f"{key}Unit", "µm"))))
    if step := _positive(pixels.get("TimeIncrement")):
        meaning.spacing["t"] = (step, long_unit(str(pixels.get("TimeIncrementUnit", "s"))))
    described = _list(pixels.get("Channel"))
    if len(described) == channels > 1 and any("Name" in c or "Color" in c for c in described):
        meaning.channels = tuple(
            Channel(str(c.get("Name", c.get("ID", i))), _rgba_color(c.get("Color")))
            for i, c in enumerate(described)
        )


def _rgba_color(value: object) -> str | None:
    """Return OME's signed 32-bit RGBA as six digits.

    >>> _rgba_color(-16776961)
    'FF0000'
    """
    return f"{(value & 0xFFFFFFFF) >> 8:06X}" if isinstance(value, int) else None


def _from_imagej(fields: Mapping[str, Any], page: Any, channels: int, meaning: Meaning) -> None:
    unit = str(fields.get("unit", "")).replace("\\u00B5", "µ")
    known = long_unit(unit) if unit.lower() not in ("", "pixel", "pixels", "inch") else None
    x, y = (float(n) for n in page.resolution)
    in_centimeters = page.resolutionunit == 3  # other programs write so, in addition to ImageJ's unit
    if known is None or in_centimeters:
        _from_tags(page, meaning)
    elif 282 in page.tags and x > 0 and y > 0:
        meaning.spacing |= {"x": (1 / x, known), "y": (1 / y, known)}
    if depth := _positive(fields.get("spacing")):
        meaning.spacing["z"] = (depth, known)
    if {"axes", "scales", "units"} <= fields.keys():  # SCIFIO gives the spacing once more, with z
        lists = (str(fields[key]).split(",") for key in ("axes", "scales", "units"))
        for axis, scale, scale_unit in zip(*lists, strict=False):
            if axis.lower() in ("x", "y", "z") and (size := _positive(scale)):
                meaning.spacing[axis.lower()] = (size, long_unit(scale_unit))
    if step := _positive(fields.get("finterval")):
        meaning.spacing["t"] = (step, long_unit(str(fields.get("tunit", "s"))))
    _imagej_channels(fields, channels, meaning)
    if page.photometric == PALETTE:
        meaning.notes.append("its ImageJ lookup table is only for display: values are as stored")
    if fields.get("cf") == 0 and all(isinstance(fields.get(c), int | float) for c in ("c0", "c1")):
        meaning.scaling = Scaling(slope=float(fields["c1"]), intercept=float(fields["c0"]))
    ends = [float(end) for name in ("min", "max") if isinstance(end := fields.get(name), int | float)]
    if channels == 1 and meaning.scaling is None and len(ends) == 2 and ends[0] < ends[1]:
        meaning.window = (ends[0], ends[1])


def _imagej_channels(fields: Mapping[str, Any], channels: int, meaning: Meaning) -> None:
    """Name channels by ImageJ's labels and colour them by the last entry of its lookup tables."""
    labels, tables = fields.get("Labels", ()), fields.get("LUTs", ())
    named, colored = len(labels) == channels, len(tables) == channels
    if channels > 1 and (named or colored):
        names = map(str, labels if named else range(channels))
        color = "{:02X}{:02X}{:02X}".format
        colors = [color(*table[:, -1]) for table in tables] if colored else [None] * channels
        meaning.channels = tuple(map(Channel, names, colors))


def _from_tags(page: Any, meaning: Meaning) -> str | None:
    """Take the spacing from the resolution tags; if they are those of a print, return a note instead."""
    per_inch = {2: 1.0, 3: 2.54}.get(int(page.resolutionunit))
    if per_inch is None or not {282, 283} <= {tag.code for tag in page.tags}:
        return None
    x, y = (float(n) for n in page.resolution)
    if not (x > 0 and y > 0) or x == y == 1:
        return None
    dots = [n * per_inch for n in (x, y)]
    if all(n <= LARGEST_PRINT and abs(n - round(n)) < 1e-3 * n for n in dots):
        return f"its resolution of {dots[0]:.0f} dots an inch is that of a print: spacing is unknown"
    meaning.spacing |= {"x": (25400 / dots[0], "micrometer"), "y": (25400 / dots[1], "micrometer")}
    return None


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
