"""What the metadata of a CZI say: spacing, channels, names of scenes, how many planes were planned, the optics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bigimg.geometry.axes import long_unit
from bigimg.geometry.spec import Channel
from bigimg.geometry.units import converted
from bigimg.readers.resolution import Spacings, as_written
from bigimg.readers.values import color_in, finite
from bigimg.types import Json

IMAGE = "./Metadata/Information/Image"
OBJECTIVE = "./Metadata/Information/Instrument/Objectives/Objective"
DISPLAYED = "./Metadata/DisplaySetting/Channels/Channel"
FIELDS = (IMAGE, "./Metadata/Information/Document", "./Metadata/Information/Application", OBJECTIVE)
"""Elements whose children are fields, beside those of the channels; of several objectives the one that was used."""
LONGEST = 1000
"""Characters of a field; longer ones are no fields."""


def spacings(xml: Any) -> Spacings:
    """Return distances of pixels in micrometres and of time points in seconds, of the axes where they are known."""
    found: Spacings = {}
    if xml is None:
        return found
    for distance in xml.iterfind("./Metadata/Scaling/Items/Distance"):
        name, meters = str(distance.get("Id")).lower(), finite(distance.findtext("Value"))
        if name in ("x", "y", "z") and meters and meters > 0:
            found[name] = as_written(meters * 1e6), "micrometer"
    span = xml.find(".//Interval/TimeSpan")
    step = None if span is None else finite(span.findtext("Value"))
    if step and span is not None:
        step = converted(step, long_unit(span.findtext("DefaultUnitFormat")), "second") or step
    step = step or finite(xml.findtext(f"{IMAGE}/Dimensions/T/Positions/Interval/Increment"))
    if step and step > 0:
        found["t"] = step, "second"
    return found


def planned(xml: Any) -> dict[str, int]:
    """Return how many time points, channels and planes the metadata name."""
    sizes = {name: None if xml is None else finite(xml.findtext(f"{IMAGE}/Size{name}")) for name in "TCZ"}
    return {name: int(size) for name, size in sizes.items() if size}


def scene_names(xml: Any) -> dict[int, str]:
    """Return the names of scenes by their index; the well stands before the name where there is one.

    The well is the name of the array or the shape in which a scene lies; ``B4 P1`` is position P1 of B4.
    """
    found: dict[int, str] = {}
    for scene in () if xml is None else xml.iterfind(f"{IMAGE}/Dimensions/S/Scenes/Scene"):
        index, shape = finite(scene.get("Index")), scene.find("Shape")
        well = scene.findtext("ArrayName") or ("" if shape is None else shape.get("Name"))
        words = (well, scene.get("Name"))
        if index is not None and (name := " ".join(dict.fromkeys(filter(None, words)))):
            found[int(index)] = name
    return found


def channels(xml: Any, numbers: Sequence[int]) -> list[Channel]:
    """Return name and colour of the channels with these ``numbers`` in the file."""
    if xml is None:
        return [Channel(f"Channel:{number}") for number in numbers]
    every, shown = xml.findall(f"{IMAGE}/Dimensions/Channels/Channel"), xml.findall(DISPLAYED)
    by_id = {each.get("Id"): each for each in shown}
    found = []
    for number in numbers:
        own = every[number] if number < len(every) else None
        identity = f"Channel:{number}" if own is None else own.get("Id")
        # Some programs give the channels of display other ids; then only their order tells.
        display = by_id.get(
            identity, shown[number] if len(shown) == len(every) and number < len(shown) else None
        )
        said = [each for each in (own, display) if each is not None]
        name = next(
            filter(None, (each.get("Name") or each.findtext("Name") for each in said)), identity or ""
        )
        colors = (each.findtext("Color") for each in said)
        found.append(Channel(name, next(filter(None, map(color_in, colors)), None)))
    return found


def fields(xml: Any, numbers: Sequence[int]) -> dict[str, Json]:
    """Return fields by their names in the file; those of channels as lists, with one for each of ``numbers``."""
    found: dict[str, Json] = {}
    if xml is None:
        return found
    for path in FIELDS:
        parent = xml.find(path)
        if path == OBJECTIVE and (used := xml.find(f"{IMAGE}/ObjectiveSettings/ObjectiveRef")) is not None:
            parent = next((each for each in xml.iterfind(path) if each.get("Id") == used.get("Id")), parent)
        for each in () if parent is None else parent:
            if not len(each) and (value := _field(each.text)) is not None:
                prefix = parent.tag if parent.tag in ("Document", "Application") else ""
                found[prefix + each.tag] = value
    every = xml.findall(f"{IMAGE}/Dimensions/Channels/Channel")
    own = [every[number] if number < len(every) else None for number in numbers]
    for name in sorted(
        {each.tag for channel in own if channel is not None for each in channel if not len(each)}
    ):
        values = [_field(None if channel is None else channel.findtext(name)) for channel in own]
        if all(isinstance(value, str) for value in values):
            found[f"Channel{name}"] = ", ".join(map(str, values))
        elif any(value is not None for value in values):
            found[f"Channel{name}"] = values
    return found


def _field(text: str | None) -> Json:
    text = (text or "").strip()
    if not text or len(text) > LONGEST:
        return None
    number = finite(text)
    if number is None:
        return text
    return int(number) if number.is_integer() and re.fullmatch(r"[-+]?\d+", text) else number
