"""Spacing, units, channels and notes of a TIFF series, from OME-XML, ImageJ, Aperio and plain tags.

OME-XML and ImageJ's description are taken as they are; what others say of spacing and channels is in
:mod:`~bigimg.readers.tiff.spacing` and :mod:`~bigimg.readers.tiff.naming`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tifffile

from bigimg.geometry.axes import long_unit
from bigimg.geometry.padding import in_type, no_data_note
from bigimg.geometry.spec import RGB, Channel, Scaling
from bigimg.readers.tiff.colors import (
    CFA,
    CIELAB,
    CMYK,
    ICCLAB,
    ITULAB,
    MINISWHITE,
    PALETTE,
    RGB_COLORS,
    YCBCR,
    decoded_photometric,
    note_of,
)
from bigimg.readers.tiff.naming import vendor_channels
from bigimg.readers.tiff.spacing import positive, tag_spacing, vendor_spacing
from bigimg.readers.values import color_of
from bigimg.types import Json, Padding

LONGEST_TEXT = 1 << 20
"""Characters of the longest text tag that goes into ``meta``; longer ones are mostly data and are left out."""

OWN_TAGS = frozenset(
    {256, 257, 258, 273, 279, 320, 322, 323, 324, 325, 330, 338, 339, 347, 512, 513, 514, 519, 520, 521}
)
"""Tags that say how the file is built: the spec says it already, or it does not matter for the image."""

GDAL_NODATA = 42113
"""The tag of the value, as text, that GDAL takes for no measurement."""

COLORS: dict[int, tuple[Channel, ...]] = {
    RGB_COLORS: RGB, PALETTE: RGB,
    CMYK: (Channel("C", "00FFFF"), Channel("M", "FF00FF"), Channel("Y", "FFFF00"), Channel("K", "000000")),
    YCBCR: (Channel("Y"), Channel("Cb"), Channel("Cr")),
    **dict.fromkeys((CIELAB, ICCLAB, ITULAB), (Channel("L"), Channel("a"), Channel("b"))),
}  # fmt: skip
SIGNED = "colours are CIE L*a*b*, as stored: a* and b* are signed, so make RGB of them before means or levels count"
STORED_AS = {
    MINISWHITE: "0 is white (PhotometricInterpretation MINISWHITE); values are as stored",
    YCBCR: "colours are Y Cb Cr, as stored", CIELAB: SIGNED,
    **dict.fromkeys((ICCLAB, ITULAB), "colours are CIE L*a*b*, as stored"),
    CFA: "the pixels are the mosaic of a camera (CFA), one colour each, as stored",
}  # fmt: skip


@dataclass(slots=True)
class Meaning:
    """What a file says about the numbers it holds."""

    spacing: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    """By axis of the file (``t``, ``z``, ``y``, ``x``, before orientation): spacing and long unit."""
    channels: tuple[Channel, ...] = ()
    scaling: Scaling | None = None
    window: tuple[float, float] | None = None
    padding: Padding | None = None
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
    _no_data(page, meaning)
    if series.kind == "ome":
        _from_ome(tif, series, index, channels, meaning)
    elif series.kind == "imagej":
        _from_imagej(tif.imagej_metadata or {}, page, channels, meaning)
    else:
        _from_vendor(tif, series, channels, meaning)
    part = re.search(r'<(?:\w+:)?BinaryOnly[^>]*MetadataFile="([^"]*)"', page.description)
    if part and series.kind != "ome":  # it was opened alone
        note = f"this is one file of an OME-TIFF set that {part[1]} describes"
        meaning.of_source.append(f"{note}: only the pages of this file are read; open that one for all")
    return meaning


def _from_vendor(tif: Any, series: Any, channels: int, meaning: Meaning) -> None:
    """Take spacing and channels from the fields of other programs and instruments, then from the tags."""
    spacing, notes = vendor_spacing(tif, series)
    from_tags, note = tag_spacing(series.keyframe)
    if note and "x" not in spacing:
        notes.append(note)
    meaning.spacing |= spacing if "x" in spacing else from_tags | spacing
    meaning.notes += notes
    if channels > 1 and not meaning.channels:
        meaning.channels = vendor_channels(tif, series, channels)


def _no_data(page: Any, meaning: Meaning) -> None:
    """Take the value of GDAL_NODATA as padding; say so if no pixel can have it."""
    text = str(page.tags.valueof(GDAL_NODATA, "")).strip("\0 ")
    if not text or page.photometric == PALETTE or page.dtype.kind not in "uif":
        return
    try:
        value = int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        meaning.of_source.append(f"its GDAL_NODATA {text[:40]!r} is no number: no pixel is left out")
        return
    meaning.padding = in_type((value, value), page.dtype)
    if meaning.padding is None:
        why = f"its GDAL_NODATA {text} is no value that {page.dtype.name} can have: no pixel is left out"
    else:
        why = no_data_note(meaning.padding, "GDAL_NODATA", text)
    meaning.notes.append(why)


def own_fields(page: Any) -> dict[str, Json]:
    """Return the tags of ``page`` that are short and JSON-safe, by their names."""
    fields: dict[str, Json] = {}
    for tag in page.tags:
        if tag.code not in OWN_TAGS and (value := _json(tag.value)) is not None:
            fields[str(tag.name)] = value
    return fields


def optics(series: Any) -> dict[str, Json]:
    """Return the magnification of an objective, and what an Aperio says of it under its own names.

    The description of a slide has these beside names and dates, so it is not kept as a whole.
    """
    found: dict[str, Json] = {}
    if (times := positive(series.attrs.get("magnification"))) is not None:
        found["magnification"] = times
    if series.kind == "svs":
        said = re.findall(r"\|\s*(AppMag|MPP)\s*=\s*([\d.]{1,20})\s*(?=\||$)", series.keyframe.description)
        found |= {name: value for name, text in said if (value := positive(text)) is not None}
    return found


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
    photometric = decoded_photometric(page)
    if note := STORED_AS.get(photometric) or note_of(page):
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
        held = [image for image in images if _has_planes(tif, image["Pixels"])]
        if len(held) != len(tif.series):
            held = [image for image in images if image.get("Name") == series.name]
            held = held * (index + 1) if len(held) == 1 else []
        pixels = held[index]["Pixels"]
    except (LookupError, ValueError, TypeError, AttributeError, SyntaxError):  # SyntaxError: XML's ParseError
        meaning.notes.append("its OME-XML names no image for this series: spacing and channels are unknown")
        return
    for axis in "xyz":
        key = f"PhysicalSize{axis.upper()}"
        if size := positive(pixels.get(key)):
            meaning.spacing[axis] = (size, long_unit(str(pixels.get(f"{key}Unit", "µm"))))
    if step := positive(pixels.get("TimeIncrement")):
        meaning.spacing["t"] = (step, long_unit(str(pixels.get("TimeIncrementUnit", "s"))))
    described = _list(pixels.get("Channel"))
    if len(described) == channels and any("Name" in c or ("Color" in c and channels > 1) for c in described):
        meaning.channels = tuple(
            Channel(str(c.get("Name", c.get("ID", i))), _rgba_color(c.get("Color")))
            for i, c in enumerate(described)
        )


def _has_planes(tif: Any, pixels: Mapping[str, Any]) -> bool:
    """Return whether planes of an image of OME-XML are in this file or in a file of the set; others are no series."""
    folder, own = os.path.split(tif.filehandle.path)
    for data in _list(pixels.get("TiffData")):
        fields = data if isinstance(data, Mapping) else {}
        uuid = fields.get("UUID")
        name = str(uuid.get("FileName", own)) if isinstance(uuid, Mapping) else own
        if name.lower() != own.lower():
            if os.path.isfile(os.path.join(folder, name)):
                return True
        elif int(fields.get("IFD", 0)) < len(tif.pages):
            return True
    return False


def _rgba_color(value: object) -> str | None:
    """Return OME's signed 32-bit RGBA as six digits.

    >>> _rgba_color(-16776961)
    'FF0000'
    """
    return f"{(value & 0xFFFFFFFF) >> 8:06X}" if isinstance(value, int) else None


def _from_imagej(fields: Mapping[str, Any], page: Any, channels: int, meaning: Meaning) -> None:
    known = _imagej_unit(fields, "unit")
    x, y = (float(n) for n in page.resolution)
    in_centimeters = page.resolutionunit == 3  # other programs write so, in addition to ImageJ's unit
    of_axis = {axis: _imagej_unit(fields, f"{axis}unit") or known for axis in "yz"}
    if known is None or in_centimeters:
        meaning.spacing |= tag_spacing(page)[0]
    elif 282 in page.tags and x > 0 and y > 0:
        meaning.spacing |= {"x": (1 / x, known), "y": (1 / y, of_axis["y"])}
    if depth := positive(fields.get("spacing")):
        meaning.spacing["z"] = (depth, of_axis["z"])
    if {"axes", "scales", "units"} <= fields.keys():  # SCIFIO gives the spacing once more, with z
        lists = (str(fields[key]).split(",") for key in ("axes", "scales", "units"))
        for axis, scale, scale_unit in zip(*lists, strict=False):
            if axis.lower() in ("x", "y", "z") and (size := positive(scale)):
                meaning.spacing[axis.lower()] = (size, long_unit(scale_unit))
    if step := positive(fields.get("finterval")):
        meaning.spacing["t"] = (step, long_unit(str(fields.get("tunit", "s"))))
    _imagej_channels(fields, channels, meaning)
    if page.photometric == PALETTE:
        meaning.notes.append("its ImageJ lookup table is only for display: values are as stored")
    if fields.get("cf") == 0 and all(isinstance(fields.get(c), int | float) for c in ("c0", "c1")):
        meaning.scaling = Scaling(slope=float(fields["c1"]), intercept=float(fields["c0"]))
    ends = [float(end) for name in ("min", "max") if isinstance(end := fields.get(name), int | float)]
    if channels == 1 and meaning.scaling is None and len(ends) == 2 and ends[0] < ends[1]:
        meaning.window = (ends[0], ends[1])


def _imagej_unit(fields: Mapping[str, Any], key: str) -> str | None:
    unit = str(fields.get(key, "")).replace("\\u00B5", "µ")
    return long_unit(unit) if unit.lower() not in ("", "pixel", "pixels", "inch") else None


def _imagej_channels(fields: Mapping[str, Any], channels: int, meaning: Meaning) -> None:
    """Name channels by ImageJ's labels and colour them by the last entry of its lookup tables."""
    labels, tables = fields.get("Labels", ()), fields.get("LUTs", ())
    named, colored = len(labels) == channels, len(tables) == channels
    if channels > 1 and (named or colored):
        names = map(str, labels if named else range(channels))
        colors = [color_of(table[:, -1]) for table in tables] if colored else [None] * channels
        meaning.channels = tuple(map(Channel, names, colors))


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
