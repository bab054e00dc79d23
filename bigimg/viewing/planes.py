"""Planes of any source as pixels to draw, from the level that fits the screen.

What only this module knows is how a place of level 0 is found in a coarser one, which way up a plane is drawn,
and where its edges lie. Nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bigimg.errors import UsageError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import short_unit
from bigimg.geometry.orientation import PLANES, axis_codes
from bigimg.opening import coordinates
from bigimg.ops.computing import computed
from bigimg.ops.derived import placeholder
from bigimg.ops.slices import axis_across, channel_index, nearest_index
from bigimg.ops.thumbnails import shrunk
from bigimg.types import Array
from bigimg.viewing.levels import Levels, lengths, level_for, nearest_in, needed, read_at
from bigimg.viewing.pictures import upright

if TYPE_CHECKING:
    import xarray


OPPOSITE = dict(zip("LRPAIS", "RLAPSI", strict=True))
WHOLE_PIXELS = 4 << 20
"""A plane without a level that fits is read as it is up to here, and averaged block by block beyond."""


@dataclass(frozen=True)
class Cut:
    """Which plane of an image to take: a body plane or axis, and the place along every axis that goes."""

    axis: str | None
    """Across which the plane lies; None for an image that is a plane."""
    places: Mapping[str, int]
    """Index at level 0 along ``axis`` and t, and along c where one channel is meant."""
    turned: bool = False
    """Whether to draw it as a person stands: of a body, when it was asked for by a body plane."""
    sides: tuple[str, str] = field(default=("y", "x"))
    """Axes that stay, as stored: down and across."""


def cut_of(
    base: xarray.DataArray,
    plane: str | None,
    *,
    index: int | None = None,
    position: float | None = None,
    t: int | None = None,
    channel: int | str | None = None,
) -> Cut:
    """Return which plane of ``base`` is meant.

    Parameters
    ----------
    plane : str, optional
        ``axial``, ``coronal``, ``sagittal`` or the name of an axis; the axial plane of a volume that knows how
        it lies in a body, else across z.
    index, position : int or float, optional
        Pixel or coordinate along the axis; the middle by default.
    t, channel : int, or name of a channel, optional
        The middle time and all channels by default.

    Raises
    ------
    UsageError
        There is no such axis or place, or more than a plane is left.
    """
    space = [str(name) for name in base.dims if name not in ("t", "c")]
    world = coordinates.world_of(base) is not None
    axis = None
    if plane is not None or len(space) > 2:
        plane = plane or ("axial" if world else "z")
        axis = axis_across(base, plane)
    elif index is not None or position is not None:
        raise UsageError(
            f"index or position of an image with axes {' '.join(map(str, base.dims))}: it is one plane"
        )
    places: dict[str, int] = {}
    if axis is not None:
        places[axis] = place_along(base, axis, index, position)
    if "t" in base.dims and axis != "t":
        places["t"] = place_along(base, "t", t, None)
    elif t is not None and axis != "t":
        raise UsageError(f"t={t}: the axes are {' '.join(map(str, base.dims))}")
    if channel is not None:
        places["c"] = channel_index(base, channel)
    sides = tuple(name for name in space if name != axis)
    if len(sides) != 2:
        raise UsageError(
            f"a picture has two axes beside c, this image {' '.join(map(str, base.dims))}: name a plane"
        )
    cut_before = axis is None and any(n in base.coords and n not in base.dims for n in "zyx")
    return Cut(axis, places, world and (plane in PLANES or cut_before), (sides[0], sides[1]))


def place_along(base: xarray.DataArray, axis: str, index: int | None, position: float | None) -> int:
    """Return the index along ``axis`` counted from the start; the middle where nothing is given.

    Raises
    ------
    UsageError
        It is outside, or two places are given.
    """
    size = base.sizes[axis]
    if index is not None and position is not None:
        raise UsageError(f"{axis}: index {index} and position {position} are two places; give one")
    if position is not None:
        return nearest_index(base, axis, position)
    if index is None:
        return size // 2
    if not -size <= index < size:
        raise UsageError(f"index {index} along {axis} of {size} pixels; give 0 to {size - 1}")
    return index % size


@dataclass(frozen=True)
class Picture:
    """A plane as pixels, with what is needed to draw it in its place."""

    pixels: Array
    """(h, w), or (h, w, c)."""
    like: xarray.DataArray
    """The lazy plane: its channels, coordinates and attrs."""
    sides: tuple[str, str]
    """Axes that run down and across."""
    extent: tuple[float, float, float, float]
    """Edges left, right, bottom, top in the unit of the axes, or in pixels."""
    frame: tuple[float, float, float, float]
    """The same of the image at full resolution: a last pixel of a level may reach over its edge."""
    level: int
    letters: tuple[str, str, str, str] | None
    """What lies left, right, below and above in a body."""
    unit: str
    """Symbol of the unit of the axes."""


def picture_of(
    levels: Levels,
    cut: Cut,
    *,
    pixels: tuple[float, float],
    level: int | None = None,
    most: int = WHOLE_PIXELS,
    whole: bool = False,
) -> Picture:
    """Return the plane ``cut`` from the level that fits ``pixels`` (height, width), or from ``level``.

    Parameters
    ----------
    levels : Levels
    cut : Cut
    pixels : (float, float)
        Of the place where it is drawn.
    level : int, optional
    most : int
        A plane of more pixels is averaged, to two for each that is drawn along a side where that is no more.
    whole : bool
        Never average.

    Raises
    ------
    MissingChunk, CorruptChunk, InputError
        Its pixels cannot be had.
    """
    number = level_for(levels, cut.sides, pixels) if level is None else level
    flat = drawn_plane(levels, cut, number)
    sides = (str(flat.dims[-2]), str(flat.dims[-1]))
    have, drawn = flat.sizes[sides[0]] * flat.sizes[sides[1]], needed(flat, sides, pixels)
    if have > min(most, WHOLE_PIXELS) and not whole:
        finer = min(2.0, max(1.0, math.sqrt(most / math.prod(drawn))))
        return _pictured(
            levels, cut, number, flat, computed(shrunk(flat, math.ceil(finer * max(drawn)))).values
        )
    return pictured(levels, cut, number, drawn_plane(levels, cut, number, read=True))


def pictured(levels: Levels, cut: Cut, number: int, flat: xarray.DataArray) -> Picture:
    """Return the picture of a plane of a level that is read, and turned as it is drawn."""
    return _pictured(levels, cut, number, flat, values_of(flat))


def values_of(flat: xarray.DataArray) -> Array:
    """Return the pixels of a plane that is read: (h, w), or (h, w, c) of several channels."""
    return _single(flat.transpose(*flat.dims[-2:], ...).values)


def _single(values: Array) -> Array:
    """Return one channel without its axis."""
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values


def _pictured(levels: Levels, cut: Cut, number: int, flat: xarray.DataArray, values: Array) -> Picture:
    down, across = str(flat.dims[-2]), str(flat.dims[-1])
    alike = coordinates.units(flat, down) == coordinates.units(flat, across)
    base = placeholder(levels.base).isel(cut.places)
    return Picture(
        _single(values),
        flat,
        (down, across),
        edges(flat),
        edges(turned(base, cut)),
        number % len(levels),
        letters_of(flat),
        short_unit(coordinates.units(flat, across)) if alike else "px",
    )


def drawn_plane(levels: Levels, cut: Cut, number: int, *, read: bool = False) -> xarray.DataArray:
    """Return the plane (c, y, x) of a level, turned as it is drawn; lazy unless ``read``."""
    image, base = levels[number], levels.base
    places = {name: nearest_in(image, base, name, index) for name, index in cut.places.items()}
    flat = read_at(image, places) if read else image.isel(places)
    return turned(flat, cut)


def turned(flat: xarray.DataArray, cut: Cut) -> xarray.DataArray:
    """Return a plane as it is drawn."""
    return upright(flat) if cut.turned else flat


def edges(flat: xarray.DataArray) -> tuple[float, float, float, float]:
    """Return the edges left, right, bottom, top of a plane as imshow takes them."""
    down, across = str(flat.dims[-2]), str(flat.dims[-1])
    if coordinates.units(flat, down) != coordinates.units(flat, across):
        return (-0.5, flat.sizes[across] - 0.5, flat.sizes[down] - 0.5, -0.5)
    ends = []
    for name in (across, down):
        start, step = coordinates.origin(flat, name), coordinates.spacing(flat, name)
        ends += [start - step / 2, start + step * (flat.sizes[name] - 0.5)]
    return ends[0], ends[1], ends[3], ends[2]


def letters_of(flat: xarray.DataArray) -> tuple[str, str, str, str] | None:
    """Return what lies left, right, below and above a plane in a body; None when it does not say."""
    world = coordinates.world_of(flat)
    if world is None or not {str(n) for n in flat.dims[-2:]} <= set("zyx"):
        return None
    codes = axis_codes(world @ index_to_world(coordinates.axes_of(flat), None))
    below, right = ("xyz".index(str(name)) for name in flat.dims[-2:])
    return OPPOSITE[codes[right]], codes[right], codes[below], OPPOSITE[codes[below]]


def moved(cut: Cut, axis: str, index: int) -> Cut:
    """Return the same cut at another place."""
    return replace(cut, places={**cut.places, axis: index})


def shape_of(levels: Levels, cut: Cut) -> tuple[float, float]:
    """Return the physical height and width of a plane as it is drawn; no pixel is read."""
    flat = drawn_plane(levels, cut, 0)
    return lengths(flat, (str(flat.dims[-2]), str(flat.dims[-1])))


def place_text(image: xarray.DataArray, name: str, index: int, also: str = "") -> str:
    """Return a place along an axis for a person, counted as ``index=`` counts: from 0, with the last one told.

    ``z 12.5 mm (60 of 0-123)``, or ``z 60 of 0-123`` where pixels have no unit.
    """
    unit = coordinates.units(image, name)
    count = f"{index} of 0-{image.sizes[name] - 1}{also}"
    if unit is None:
        return f"{name} {count}"
    place = coordinates.origin(image, name) + index * coordinates.spacing(image, name)
    return f"{name} {place:.5g} {short_unit(unit)} ({count})"


def where_text(base: xarray.DataArray, cut: Cut) -> str:
    """Return the place of a plane for a person."""
    said = []
    for name, index in cut.places.items():
        if name == "c":
            names: list[Any] = [c.name for c in coordinates.channels_of(base)]
            said.append(str(names[index]) if names else f"channel {index}")
        elif base.sizes[name] > 1:
            said.append(place_text(base, name, index))
    return ", ".join(said)
