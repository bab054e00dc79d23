"""Opera Phenix and Operetta: ``Index.idx.xml`` or ``Index.xml`` of Harmony, and a TIFF for each plane.

Older versions say everything with each image, newer ones what is of a channel once, in ``Maps``. Both are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np

from bigimg.errors import InputError, damage
from bigimg.geometry.axes import long_unit
from bigimg.geometry.even import even_step
from bigimg.geometry.spec import Channel
from bigimg.geometry.units import converted
from bigimg.geometry.wells import MOST_SIDE, row_name
from bigimg.readers.beside import inside
from bigimg.readers.folders.pattern import Value
from bigimg.readers.plates.grids import Key, Told, fields_of, tabled, there
from bigimg.readers.plates.source import PlateSource
from bigimg.types import OnGap

NAMES = ("index.idx.xml", "index.xml")
ROOT, HEAD = b"<EvaluationInputData", 4096
"""The first element, within so many bytes."""
MOST_IMAGES = 2_000_000
"""A kilobyte of memory each. A plate of 384 wells has as many at 25 fields, 4 channels and 50 planes."""
EVEN = 0.1
"""How far a plane or a time may be from an even distance, in parts of it."""


@dataclass(slots=True)
class _Index:
    """What is read of the index."""

    rows: dict[str, dict[str, Value]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    pixel: dict[str, float] = field(default_factory=dict)
    places: dict[Key, dict[str, float]] = field(default_factory=dict)
    depths: dict[int, float] = field(default_factory=dict)
    """Micrometres above the bottom by the number of the plane, of the first field."""
    times: dict[int, float] = field(default_factory=dict)
    plate: dict[str, str] = field(default_factory=dict)


def is_index(path: str) -> bool:
    """Return whether a file is called as these are, and begins as they do."""
    if os.path.basename(path).lower() not in NAMES or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return ROOT in file.read(HEAD)


def open_opera(path: str, *, on_gap: OnGap | None = None) -> PlateSource:
    """Return the plate that an index of Harmony describes.

    Raises
    ------
    InputError
        It makes no sense, images that it lists are not there, or two have one place.
    """
    index = _Index()
    folder = os.path.dirname(path)
    try:
        for tag, element in _elements(path):
            if tag == "Image":
                _image(index, element, folder)
            elif tag == "Entry":
                _entry(index, element)
            else:
                index.plate |= {_tag(each): (each.text or "").strip() for each in element}
    except ElementTree.ParseError as error:
        raise damage(path, f"is no XML to its end ({error})") from None
    except (KeyError, ValueError) as error:
        raise damage(path, f"an image in it lacks or has no valid {error}") from None
    if not index.rows:
        raise InputError(f"{path}: lists no images; give the index of a measurement of Harmony")
    found, notes = there(index.rows, path, on_gap)
    table = tabled(found)
    channels = tuple(
        Channel(index.names.get(int(number), f"channel {number}")) for number in table.values["c"]
    )
    spacing = {axis: (step, "micrometer") for axis, step in index.pixel.items() if step > 0}
    if (step := _step(index.depths)) is not None:
        spacing["z"] = step, "micrometer"
    if (step := _step(index.times)) is not None:
        spacing["t"] = step, "second"
    fields = fields_of(table, path, on_gap=on_gap, told=Told(channels, spacing, index.places))
    size = tuple(int(index.plate.get(key, "") or 0) for key in ("PlateRows", "PlateColumns"))
    known = all(0 < n <= MOST_SIDE for n in size)
    name = index.plate.get("Name") or index.plate.get("PlateID") or ""
    return PlateSource(
        path, name, fields, (size[0], size[1]) if known else None, notes=notes, format="Harmony"
    )


def _elements(path: str) -> Iterator[tuple[str, Any]]:
    """Yield the elements that matter, one by one, and let go of each: an index may have a gigabyte."""
    stack: list[Any] = []
    for event, element in ElementTree.iterparse(path, events=("start", "end")):
        if event == "start":
            stack.append(element)
            continue
        stack.pop()
        tag = _tag(element)
        # In the list of wells an image is a mere reference.
        if (tag == "Image" and element.find("./{*}URL") is not None) or tag == "Entry" or tag == "Plate":
            yield tag, element
            element.clear()
        if stack and tag in ("Image", "Entry", "Well"):
            stack[-1].remove(element)


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _image(index: _Index, element: Any, folder: str) -> None:
    said = {_tag(each): each for each in element}
    if len(index.rows) >= MOST_IMAGES:
        raise ValueError(f"more than {MOST_IMAGES} images")

    def whole(name: str) -> int:
        return int(said[name].text)

    url = (said["URL"].text or "").strip()
    if (file := inside(url)) is None:
        raise ValueError(f"URL: {url!r:.80} is no file beside the index")
    well, number, channel = (
        f"{row_name(whole('Row') - 1)}{whole('Col')}",
        whole("FieldID"),
        whole("ChannelID"),
    )
    plane, time = whole("PlaneID"), whole("TimepointID")
    if not (1 <= whole("Row") <= MOST_SIDE and 1 <= whole("Col") <= MOST_SIDE):
        raise ValueError("Row and Col")
    path = os.path.join(folder, file)
    index.rows[path] = {"well": well, "field": number, "c": channel, "t": time, "z": plane}
    _channel(index, said, channel)
    for axis, name in (("x", "PositionX"), ("y", "PositionY")):
        if name in said and (place := _length(said[name])) is not None:
            # The stage counts upwards, rows of pixels downwards.
            index.places.setdefault((well, number), {}).setdefault(axis, -place if axis == "y" else place)
    if "AbsPositionZ" in said or "PositionZ" in said:
        depth = _length(said["PositionZ"] if "PositionZ" in said else said["AbsPositionZ"])
        if depth is not None:
            index.depths.setdefault(plane, depth)
    if "MeasurementTimeOffset" in said and said["MeasurementTimeOffset"].text:
        index.times.setdefault(time, float(said["MeasurementTimeOffset"].text))


def _entry(index: _Index, element: Any) -> None:
    """Read what is said once of a channel."""
    if (number := element.get("ChannelID")) is not None:
        _channel(index, {_tag(each): each for each in element}, int(number))


def _channel(index: _Index, said: dict[str, Any], channel: int) -> None:
    if "ChannelName" in said and said["ChannelName"].text:
        index.names.setdefault(channel, said["ChannelName"].text.strip())
    for axis in "xy":
        element = said.get(f"ImageResolution{axis.upper()}")
        if element is not None and (length := _length(element)) is not None:
            index.pixel.setdefault(axis, length)


def _length(element: Any) -> float | None:
    """Return a length in micrometres; None where there is none."""
    unit = long_unit(element.get("Unit", "m"))
    return converted(float(element.text), unit, "micrometer") if element.text else None


def _step(places: dict[int, float]) -> float | None:
    """Return the even step of ``places`` by their numbers; None where there is none."""
    if len(places) < 2:
        return None
    numbers, values = (np.array(each) for each in zip(*sorted(places.items()), strict=True))
    step = even_step(values, numbers, within=EVEN)
    return None if step is None else round(abs(step), 9)
