"""A reader of Imaris files (.ims): HDF5 with a dataset for each time point and channel, and of each level of a pyramid.

Datasets are padded to whole chunks, so the size of the image stands in attributes. Lengths are the ends of the volume
(ExtMin, ExtMax) in one unit; the first pixel is centred half a pixel from its beginning.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from bigimg.errors import damage
from bigimg.geometry.axes import Axis, long_unit
from bigimg.geometry.even import even_step
from bigimg.geometry.spec import Channel, ImageSpec, SpacingNote
from bigimg.readers.allowed import known_channels, known_unit, public_and_private
from bigimg.readers.extras import imported
from bigimg.readers.hdf5.datasets import open_dataset
from bigimg.readers.hdf5.inside import find_inside, reading_hdf5
from bigimg.readers.hdf5.pixels import Hdf5Pixels
from bigimg.readers.hdf5.reader import attributes, hdf5_reader, text_of
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.values import color_of, finite
from bigimg.types import Array, Json, Shape

MOST_VIEWS = 1_000_000
"""Time points times channels; a file that says it has more is damaged."""

SIZES = ("ImageSizeZ", "ImageSizeY", "ImageSizeX")


def open_imaris(
    source: str, *, series: int | str | None = None, allow_partial: bool = False, level: int = 0
) -> RawReader:
    """Return a reader of the image in the Imaris file ``source``.

    Parameters
    ----------
    source : str
    series : int or str, optional
        The path of any dataset in the file, which is then read alone.
    allow_partial : bool
        Open what is there where chunks or time points were never written.
    level : int
        Of its pyramid; 0 is full resolution.

    Raises
    ------
    MissingExtraError
        h5py is not installed.
    InputError
        The file is no Imaris file or damaged, or chunks were never written.
    UsageError
        There is no such series.
    """
    if series not in (None, 0):
        return open_dataset(source, series=series, allow_partial=allow_partial)
    h5py = imported("h5py", source)
    with reading_hdf5(source), h5py.File(source, "r") as file:
        names, levels = _names(source, file, level)
        about = _about(source, file, names.shape[1])
        image = about.get("Image", {})
        first = next(name for name in names.flat if name is not None)
        own = find_inside(source, file, first.rpartition("/")[0]).attrs
        shape = _shape(source, own, {} if level else image)
        pixels = Hdf5Pixels(source, file, names.squeeze(), shape=shape)
        notes: list[str] = []
        channels = _channels(about)
        axes = _axes((*names.shape, *shape), image, about.get("TimeInfo", {}), notes)
        fields, window = _fields(about), _window(about)
    kept = tuple(axis for axis in axes if axis.name in "zyx" or axis.size > 1)
    named, hidden = known_channels(channels)
    public, private = public_and_private(fields, "imaris")
    spec = ImageSpec(
        kept, pixels.dtype, pixels.chunks, channels=named, window=window, meta=public, private=private | hidden,
        notes=tuple(notes),
    )  # fmt: skip
    opener = partial(open_imaris, source, allow_partial=allow_partial)
    coarser = tuple(partial(opener, level=number) for number in range(level + 1, levels))
    return replace(hdf5_reader(source, spec, pixels, spec.dims, allow_partial=allow_partial), coarser=coarser)


def _names(source: str, file: Any, number: int) -> tuple[Array, int]:
    """Return names of the datasets of a level along t and c, None where one is missing, and the number of levels."""
    folder = text_of(file.attrs, "DataSetDirectoryName") or "DataSet"
    level = f"{folder}/ResolutionLevel {number}"
    if (times := find_inside(source, file, level)) is None:
        raise damage(source, f"has no {level}, where Imaris keeps its pixels")
    found = {
        (t, c): f"{level}/TimePoint {t}/Channel {c}/Data"
        for t, moment in _numbered(source, file, times, level, "TimePoint")
        for c, channel in _numbered(source, file, moment, f"{level}/TimePoint {t}", "Channel")
        if "Data" in channel
    }
    if not found:
        raise damage(source, f"has no time points and channels in {level}")
    said = text_of(attributes(source, file, f"{_info(file)}/TimeInfo"), "FileTimePoints")
    count = max(*(t + 1 for t, _ in found), int(said) if said.isdecimal() else 0)
    channels = max(c + 1 for _, c in found)
    if count * channels > MOST_VIEWS:
        raise damage(source, f"says that it has {count} time points of {channels} channels")
    names = np.full((count, channels), None, object)
    for at, name in found.items():
        names[at] = name
    there = (find_inside(source, file, f"{folder}/ResolutionLevel {n}") for n in itertools.count(number + 1))
    return names, number + 1 + sum(1 for _ in itertools.takewhile(lambda group: group is not None, there))


def _numbered(source: str, file: Any, group: Any, name: str, word: str) -> list[tuple[int, Any]]:
    """Return number and group of all ``TimePoint 7`` in a group."""
    numbers = [int(match[1]) for each in group if (match := re.fullmatch(rf"{word} (\d{{1,6}})", each))]
    return [(number, find_inside(source, file, f"{name}/{word} {number}")) for number in sorted(numbers)]


def _shape(source: str, own: Mapping[str, Any], image: Mapping[str, Any]) -> Shape:
    """Return the pixels along z, y and x, without the padding of the datasets."""
    sizes = [text_of(own, name) or text_of(image, name[-1]) for name in SIZES]
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise damage(source, f"its image is {' x '.join(sizes)} pixels")
    return tuple(map(int, sizes))


def _axes(
    sizes: Shape, image: Mapping[str, Any], times: Mapping[str, Any], notes: list[str]
) -> tuple[Axis, ...]:
    """Return the axes t, c, z, y and x."""
    unit = known_unit(long_unit(text_of(image, "Unit")))
    step = _time_step(sizes[0], times, notes)
    axes = [Axis("t", sizes[0], step or 1.0, "second" if step else None), Axis("c", sizes[1])]
    for number, (name, size) in zip((2, 1, 0), zip("zyx", sizes[2:], strict=True), strict=True):
        low, high = (finite(text_of(image, f"Ext{end}{number}")) for end in ("Min", "Max"))
        if low is None or high is None or not 0 < (spacing := (high - low) / size) < math.inf:
            notes.append(SpacingNote(f"the file gives no spacing along {name}; 1 is assumed", name))
            axes.append(Axis(name, size))
        else:
            axes.append(Axis(name, size, spacing, unit, low + spacing / 2))
    return tuple(axes)


def _time_step(count: int, times: Mapping[str, Any], notes: list[str]) -> float | None:
    """Return the seconds between time points; None where they are not known or not even."""
    if count < 2:
        return None
    try:
        moments = [datetime.fromisoformat(text_of(times, f"TimePoint{i + 1}")) for i in range(count)]
    except ValueError:
        notes.append(SpacingNote("the file does not give the time of each time point", "t"))
        return None
    seconds = np.array([(moment - moments[0]).total_seconds() for moment in moments])
    if (step := even_step(seconds)) is None or step <= 0:
        notes.append(SpacingNote("its time points are not evenly spaced; they are counted from 0", "t"))
        return None
    return step


def _info(file: Any) -> str:
    return text_of(file.attrs, "DataSetInfoDirectoryName") or "DataSetInfo"


def _about(source: str, file: Any, channels: int) -> dict[str, Mapping[str, Any]]:
    """Return the attributes of the image, its times and its channels, by the name of their group."""
    groups = ["Image", "TimeInfo", *(f"Channel {c}" for c in range(channels))]
    found = {name: attributes(source, file, f"{_info(file)}/{name}") for name in groups}
    return {name: each for name, each in found.items() if each or name.startswith("Channel")}


def _of_channels(about: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for name, each in about.items() if name.startswith("Channel")]


def _channels(about: Mapping[str, Mapping[str, Any]]) -> tuple[Channel, ...]:
    """Return names and colours of the channels."""
    own = _of_channels(about)
    if not any(own):
        return ()
    return tuple(Channel(text_of(each, "Name") or f"Channel {c}", _color(each)) for c, each in enumerate(own))


def _color(attributes: Mapping[str, Any]) -> str | None:
    """Return ``1.000 0.500 0.000`` as ``FF8000``; None where a table of colours is shown."""
    parts = _numbers(text_of(attributes, "Color"))
    if text_of(attributes, "ColorMode") == "TableColor" or len(parts) != 3:
        return None
    return color_of(round(255 * min(max(part, 0.0), 1.0)) for part in parts)


def _window(about: Mapping[str, Mapping[str, Any]]) -> tuple[float, float] | None:
    """Return the display window where it is the same for all channels."""
    ranges = {tuple(_numbers(text_of(each, "ColorRange"))) for each in _of_channels(about)}
    found = ranges.pop() if len(ranges) == 1 else ()
    return (found[0], found[1]) if len(found) == 2 and found[0] < found[1] else None


def _numbers(text: str) -> list[float]:
    """Return the words of a text as numbers; none where one is no finite number."""
    words = text.split()
    found = [number for number in map(finite, words) if number is not None]
    return found if len(found) == len(words) else []


def _fields(about: Mapping[str, Mapping[str, Any]]) -> dict[str, Json]:
    """Return the attributes of the image and its channels, as ``Image:NumericalAperture``."""
    return {
        f"{group}:{name}": text_of(own, name)
        for group, own in about.items()
        if group != "TimeInfo"
        for name in own
        if not name.startswith(("ColorTable", "Thumbnail"))
    }
