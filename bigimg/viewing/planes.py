"""Planes of any source as pixels to draw, read from the level that fits the screen.

This module finds a plane of level 0 in a coarser level, turns it upright, and computes its edges. It does not draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bigimg.errors import UsageError
from bigimg.geometry.axes import short_unit
from bigimg.geometry.holes import holes_in
from bigimg.geometry.orientation import axis_codes, checked_convention
from bigimg.geometry.region import full
from bigimg.lazy.dask_compute import computed
from bigimg.lazy.node_of_array import padding_of
from bigimg.opening import coordinates
from bigimg.ops.derived import placeholder
from bigimg.ops.slices import axis_across, channel_index, index_along
from bigimg.ops.thumbnails import shrunk
from bigimg.ops.upright import Turn, turn_of
from bigimg.readers.arrays.array import missing_of
from bigimg.types import Array, Convention, Padding
from bigimg.viewing.levels import Levels, lengths, level_for, nearest_in, needed, read_at

if TYPE_CHECKING:
    import xarray


OPPOSITE = dict(zip("LRPAIS", "RLAPSI", strict=True))
WHOLE_PIXELS = 4 << 20
"""The most pixels of a plane that is read as it is; a larger plane is averaged block by block."""


@dataclass(frozen=True)
class Cut:
    """Which plane of an image is drawn."""

    axis: str | None
    """Axis that is cut; None for an image that is one plane."""
    indices: Mapping[str, int]
    """Index at level 0 along ``axis`` and t, and along c if one channel is drawn."""
    turn: Turn | None = None
    """How the plane becomes upright; None for an image without a world affine, which is drawn as it is stored.

    An overlay is turned as its image is, whether it has an affine or not.
    """
    convention: Convention = "none"
    """Which side of a body is drawn at the right."""
    sides: tuple[str, str] = ("y", "x")
    """The two axes of the plane in stored order: down and across."""

    def at(self, **indices: int) -> Cut:
        """Return the same cut at other indices."""
        return replace(self, indices={**self.indices, **indices})


def cut_of(
    base: xarray.DataArray,
    plane: str | None,
    *,
    index: int | None = None,
    position: float | None = None,
    t: int | None = None,
    channel: int | str | None = None,
    convention: str | None = None,
) -> Cut:
    """Return the plane of ``base`` that the arguments describe.

    Every plane of an image with a world affine is drawn upright, however it is named.

    Parameters
    ----------
    plane : str, optional
        ``axial``, ``coronal``, ``sagittal`` or the axis to cut; by default axial for a volume with a world affine,
        else z.
    index, position : int or float, optional
        Pixel or coordinate along the axis; the middle by default.
    t, channel : int, or name of a channel, optional
        The middle time and all channels by default.
    convention : {"neurological", "radiological"}, optional
        What the image says by default.

    Raises
    ------
    UsageError
        There is no such axis, index or convention, or the result has more than two axes beside c.
    """
    space = [str(name) for name in base.dims if name not in ("t", "c")]
    axis = None
    if plane is not None or len(space) > 2:
        plane = plane or ("z" if coordinates.world_of(base) is None else "axial")
        axis = axis_across(base, plane)
    elif index is not None or position is not None:
        raise UsageError(
            f"index or position of an image with axes {' '.join(map(str, base.dims))}: it is one plane"
        )
    indices = {} if axis is None else {axis: index_along(base, axis, index, position)}
    if "t" in base.dims and axis != "t":
        indices["t"] = index_along(base, "t", t, None)
    elif t is not None and axis != "t":
        raise UsageError(f"t={t}: the axes are {' '.join(map(str, base.dims))}")
    if channel is not None:
        indices["c"] = channel_index(base, channel)
    sides = tuple(name for name in space if name != axis)
    if len(sides) != 2:
        raise UsageError(
            f"a picture has two axes beside c, this image {' '.join(map(str, base.dims))}: name a plane"
        )
    chosen = coordinates.convention_of(base) if convention is None else checked_convention(convention)
    turn = turn_of(placeholder(base).isel(indices), chosen)
    return Cut(axis, indices, turn, chosen, (sides[0], sides[1]))


@dataclass(frozen=True)
class Picture:
    """The pixels of a plane, and what is needed to draw them at the right coordinates."""

    pixels: Array
    """(h, w), or (h, w, c)."""
    like: xarray.DataArray
    """The plane as a DataArray, with channels, coordinates and attrs."""
    sides: tuple[str, str]
    """Axes that run down and across in the picture."""
    extent: tuple[float, float, float, float]
    """Edges left, right, bottom, top in the unit of the axes, or in pixels."""
    frame: tuple[float, float, float, float]
    """Edges of the image at full resolution: the last pixel of a level may reach beyond them."""
    level: int
    letters: tuple[str, str, str, str] | None
    """Directions of the body at the left, right, bottom and top; None if the file knows no body."""
    convention: Convention | None
    """Of a plane that has the sides of a body at its left and right."""
    unit: str
    """Symbol of the unit of the axes."""
    padding: Padding | None
    """Values that are no measurements; windows are chosen without them."""
    holes: Array | None = None
    """Pixels (h, w) or (h, w, c) that the source does not hold; None if it holds all."""

    def measured(self, channel: int | slice = slice(None)) -> Array:
        """Return the pixels of one channel, or of several, that the source holds; None of their places."""
        pixels = self.pixels if self.pixels.ndim == 2 else self.pixels[..., channel]
        if self.holes is None:
            return pixels
        return pixels[~(self.holes if self.holes.ndim == 2 else self.holes[..., channel])]


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
        Size of the axes on the screen.
    level : int, optional
    most : int
        A plane of more pixels is averaged, to at most ``most`` pixels and at most two a side for each on the screen.
    whole : bool
        Never average.

    Raises
    ------
    MissingChunk, CorruptChunk, InputError
        Its pixels cannot be read.
    """
    number = level_for(levels, cut.sides, pixels) if level is None else level
    flat = drawn_plane(levels, cut, number)
    sides = sides_of(flat)
    have, drawn = flat.sizes[sides[0]] * flat.sizes[sides[1]], needed(flat, sides, pixels)
    if have > min(most, WHOLE_PIXELS) and not whole:
        finer = min(2.0, max(1.0, math.sqrt(most / math.prod(drawn))))
        small = shrunk(flat, math.ceil(finer * max(drawn)))
        values = computed(small).transpose(..., *sides)
        return pictured(levels, cut, number, flat, values)
    return pictured(levels, cut, number, drawn_plane(levels, cut, number, read=True))


def pictured(
    levels: Levels, cut: Cut, number: int, flat: xarray.DataArray, drawn: xarray.DataArray | None = None
) -> Picture:
    """Return the picture of a plane of level ``number``, turned as it is drawn; of its own pixels by default."""
    down, across = sides_of(flat)
    alike = coordinates.units(flat, down) == coordinates.units(flat, across)
    letters = letters_of(flat)
    pixels, holes = values_of(flat if drawn is None else drawn)
    return Picture(
        pixels,
        flat,
        (down, across),
        edges(flat),
        edges(turned(placeholder(levels.base).isel(cut.indices), cut)),
        number % len(levels),
        letters,
        cut.convention if letters and set(letters[:2]) == {"L", "R"} else None,
        short_unit(coordinates.units(flat, across)) if alike else "px",
        padding_of(levels.base),
        holes,
    )


def values_of(flat: xarray.DataArray) -> tuple[Array, Array | None]:
    """Return the pixels of a plane, (h, w) or of several channels (h, w, c), and which of them are holes."""
    turned = flat.transpose(*flat.dims[-2:], ...)
    found = turned.values, holes_in(missing_of(turned, list(map(str, turned.dims))), full(turned.shape))
    alone = turned.ndim == 3 and turned.shape[-1] == 1
    values, holes = (each if each is None or not alone else each[..., 0] for each in found)
    assert values is not None
    return values, holes


def sides_of(flat: xarray.DataArray) -> tuple[str, str]:
    """Return the axes of a plane that run down and across."""
    return str(flat.dims[-2]), str(flat.dims[-1])


def drawn_plane(levels: Levels, cut: Cut, number: int, *, read: bool = False) -> xarray.DataArray:
    """Return the plane (c, y, x) of a level, turned as it is drawn; lazy unless ``read``."""
    image, base = levels[number], levels.base
    indices = {name: nearest_in(image, base, name, index) for name, index in cut.indices.items()}
    return turned(read_at(image, indices) if read else image.isel(indices), cut)


def turned(flat: xarray.DataArray, cut: Cut) -> xarray.DataArray:
    """Return a plane as it is drawn: upright if the image has a world affine, else as it is stored."""
    return flat if cut.turn is None else cut.turn.apply(flat)


def edges(flat: xarray.DataArray) -> tuple[float, float, float, float]:
    """Return the edges left, right, bottom, top of a plane, as imshow takes them."""
    down, across = sides_of(flat)
    if coordinates.units(flat, down) != coordinates.units(flat, across):
        return (-0.5, flat.sizes[across] - 0.5, flat.sizes[down] - 0.5, -0.5)
    return coordinates.extent(flat, down, across)


def letters_of(flat: xarray.DataArray) -> tuple[str, str, str, str] | None:
    """Return the directions of the body at the left, right, bottom and top; None if the file knows no body."""
    affine = coordinates.affine_of(flat)
    if affine is None or coordinates.convention_of(flat) == "none" or not set(sides_of(flat)) <= set("zyx"):
        return None
    codes = axis_codes(affine)
    below, right = map("xyz".index, sides_of(flat))
    return OPPOSITE[codes[right]], codes[right], codes[below], OPPOSITE[codes[below]]


def shape_of(levels: Levels, cut: Cut) -> tuple[float, float]:
    """Return the physical height and width of a plane as it is drawn; no pixel is read."""
    flat = drawn_plane(levels, cut, 0)
    return lengths(flat, sides_of(flat))


def position_text(image: xarray.DataArray, name: str, index: int, note: str = "") -> str:
    """Return a position along an axis for a person, with the index as ``index=`` takes it and the last index.

    ``z 12.5 mm (60 of 0-123)``, or ``z 60 of 0-123`` if the axis has no unit.
    """
    unit = coordinates.units(image, name)
    count = f"{index} of 0-{image.sizes[name] - 1}{note}"
    if unit is None:
        return f"{name} {count}"
    position = coordinates.origin(image, name) + index * coordinates.spacing(image, name)
    return f"{name} {position:.5g} {short_unit(unit)} ({count})"


def cut_text(base: xarray.DataArray, cut: Cut) -> str:
    """Return the position of a plane for a person."""
    parts = []
    for name, index in cut.indices.items():
        if name == "c":
            channels = coordinates.channels_of(base)
            parts.append(channels[index].name if channels else f"channel {index}")
        elif base.sizes[name] > 1:
            parts.append(position_text(base, name, index))
    return ", ".join(parts)
