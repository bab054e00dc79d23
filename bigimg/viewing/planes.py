"""Planes of any source as pixels to draw, from the level that fits the screen.

What only this module knows is how a place of level 0 is found in a coarser one, which way up a plane is drawn,
and where its edges lie. Nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import short_unit
from bigimg.geometry.orientation import PLANES, axis_codes
from bigimg.omezarr.open import StoreReader
from bigimg.opening import Memory, Source, at_level, image_of, open_source
from bigimg.opening import open as open_image
from bigimg.ops.multiscale import shrunk
from bigimg.ops.slices import axis_across, nearest_index
from bigimg.ops.stats import stored_statistics
from bigimg.readers import coordinates
from bigimg.readers.labelled import opened_pixels
from bigimg.types import Array
from bigimg.viewing.colours import HIGH, LOW, Window
from bigimg.viewing.pictures import upright

if TYPE_CHECKING:
    import xarray

    from bigimg.geometry.spec import Scaling

OPPOSITE = dict(zip("LRPAIS", "RLAPSI", strict=True))
HELD_BYTES = 256 << 20
"""An image that is read in order is kept whole up to here, when several of its planes are drawn."""
WHOLE_PIXELS = 4 << 20
"""A plane without a level that fits is read as it is up to here, and averaged block by block beyond."""


class Levels:
    """The levels of an image, each opened when it is asked for; an image without levels has one."""

    def __init__(self, count: int, opened: Callable[[int], xarray.DataArray]) -> None:
        self.count = count
        self._opened = opened
        self._images: dict[int, xarray.DataArray] = {}

    def __getitem__(self, level: int) -> xarray.DataArray:
        if not -self.count <= level < self.count:
            raise UsageError(
                f"level {level} of {self.count}; levels are 0 to {self.count - 1}, -1 the last"
                if self.count > 1
                else f"level {level} of an image without levels; make a pyramid of it first: bigimg convert"
            )
        level %= self.count
        if level not in self._images:
            self._images[level] = self._opened(level)
        return self._images[level]

    @property
    def base(self) -> xarray.DataArray:
        """Full resolution."""
        return self[0]

    def held(self) -> Levels:
        """Return the same, with the pixels of a small image that is read in order in memory.

        Several planes of a ``.nii.gz`` would be several passes over it otherwise.
        """
        pixels = opened_pixels(self.base)
        ordered = pixels is not None and pixels.reader.access.kind != "random"
        if self.count == 1 and ordered and self.base.nbytes <= HELD_BYTES:
            image = self.base.compute()
            return Levels(1, lambda _: image)
        return self

    def fitting(self, sides: tuple[str, str], pixels: tuple[float, float]) -> int:
        """Return the smallest level that has a pixel for each on the screen.

        Parameters
        ----------
        sides : (str, str)
            Axes that run down and across.
        pixels : (float, float)
            Height and width of the place on the screen.
        """
        base = self.base
        wanted = [
            min(n, base.sizes[name]) for n, name in zip(needed(base, sides, pixels), sides, strict=True)
        ]
        for level in range(self.count - 1, 0, -1):
            if all(self[level].sizes[name] >= n for name, n in zip(sides, wanted, strict=True)):
                return level
        return 0


def levels_of(source: Source, *, memory: Memory = None, series: int | str | None = None) -> Levels:
    """Return the levels of ``source``: of an opened array those of the store that it came from.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, BudgetError
        As :func:`bigimg.open`.
    """
    import xarray

    if isinstance(source, xarray.DataTree):
        count = sum(name.startswith("scale") for name in source.children)
        return Levels(count, lambda level: image_of(source, level))
    if isinstance(source, xarray.DataArray):
        image = open_image(source)
        pixels = opened_pixels(image)
        if (
            pixels is None
            or not isinstance(pixels.reader, StoreReader)
            or not _as_opened(image, pixels.reader)
        ):
            return Levels(1, lambda _: image)
        reader, raw = pixels.reader, pixels.scaling != pixels.reader.spec.scaling

        def coarser(level: int) -> xarray.DataArray:
            if not level:
                return image
            found = open_image(at_level(reader, reader.level + level), memory=memory, raw=raw)
            named = {name: image.coords[name] for name in ("c", "color") if name in image.coords}
            return found.assign_coords(named).assign_attrs(image.attrs)

        return Levels(len(reader.store.levels) - reader.level, coarser)
    reader_ = open_source(source, series=series)
    if not isinstance(reader_, StoreReader):
        whole = open_image(source if hasattr(source, "shape") else reader_, memory=memory)
        return Levels(1, lambda _: whole)
    store = reader_.store
    return Levels(len(store.levels), lambda level: open_image(StoreReader(store, level), memory=memory))


def _as_opened(image: xarray.DataArray, reader: StoreReader) -> bool:
    """Return whether nobody gave the array another geometry: the levels of the store would not know of it."""
    return all(
        axis.name == "c"
        or (
            math.isclose(coordinates.spacing(image, axis.name), axis.spacing, rel_tol=1e-9)
            and math.isclose(
                coordinates.origin(image, axis.name),
                axis.origin,
                rel_tol=1e-9,
                abs_tol=1e-9 * abs(axis.spacing),
            )
            and coordinates.units(image, axis.name) == axis.unit
        )
        for axis in reader.spec.axes
    )


def lengths(image: xarray.DataArray, sides: tuple[str, str]) -> tuple[float, float]:
    """Return the physical length along each side; pixels where their units have no ratio."""
    if coordinates.units(image, sides[0]) != coordinates.units(image, sides[1]):
        return float(image.sizes[sides[0]]), float(image.sizes[sides[1]])
    down, across = (image.sizes[name] * abs(coordinates.spacing(image, name)) for name in sides)
    return down, across


def needed(
    image: xarray.DataArray, sides: tuple[str, str], pixels: tuple[float, float]
) -> tuple[float, float]:
    """Return how many screen pixels each side takes, in true aspect within ``pixels`` (height, width)."""
    down, across = lengths(image, sides)
    scale = min(pixels[0] / down, pixels[1] / across)
    return down * scale, across * scale


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
    if plane is not None or "z" in base.dims or len(space) > 2:
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


def channel_index(base: xarray.DataArray, channel: int | str) -> int:
    """Return the index along c of a channel given by number or name.

    Raises
    ------
    UsageError
        There is none.
    """
    names = [c.name for c in coordinates.channels_of(base)]
    if "c" not in base.dims:
        raise UsageError(
            f"channel {channel!r}: the axes are {' '.join(map(str, base.dims))}, without channels"
        )
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    if isinstance(channel, str) and not channel.isdecimal():
        raise UsageError(f"no channel {channel!r}; there are {', '.join(names) or 'no names, only numbers'}")
    return place_along(base, "c", int(channel), None)


def nearest_in(level: xarray.DataArray, base: xarray.DataArray, name: str, index: int) -> int:
    """Return the index along ``name`` of ``level`` whose pixel holds the centre of pixel ``index`` of ``base``."""
    if level.sizes[name] == base.sizes[name]:
        return index
    place = coordinates.origin(base, name) + index * coordinates.spacing(base, name)
    found = round((place - coordinates.origin(level, name)) / coordinates.spacing(level, name))
    return min(max(found, 0), level.sizes[name] - 1)


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


def picture_of(levels: Levels, cut: Cut, *, pixels: tuple[float, float], level: int | None = None) -> Picture:
    """Return the plane ``cut`` from the level that fits ``pixels`` (height, width), or from ``level``.

    Raises
    ------
    MissingChunk, CorruptChunk, InputError
        Its pixels cannot be had.
    """
    number = levels.fitting(cut.sides, pixels) if level is None else level
    flat = drawn_plane(levels, cut, number)
    down, across = str(flat.dims[-2]), str(flat.dims[-1])
    framed = drawn_plane(levels, cut, 0)
    if flat.sizes[down] * flat.sizes[across] > WHOLE_PIXELS and level is None:
        values = shrunk(flat, math.ceil(2 * max(needed(flat, (down, across), pixels))))
    else:
        values = flat.transpose(down, across, ...).to_numpy()
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    alike = coordinates.units(flat, down) == coordinates.units(flat, across)
    unit = short_unit(coordinates.units(flat, across)) if alike else "px"
    return Picture(
        values,
        flat,
        (down, across),
        edges(flat),
        edges(framed),
        number % levels.count,
        letters_of(flat),
        unit,
    )


def drawn_plane(levels: Levels, cut: Cut, number: int) -> xarray.DataArray:
    """Return the lazy plane (c, y, x) of a level, turned as it is drawn."""
    image, base = levels[number], levels.base
    flat = image.isel({name: nearest_in(image, base, name, index) for name, index in cut.places.items()})
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


def stored_windows(base: xarray.DataArray) -> list[Window] | None:
    """Return the window of each channel without reading a pixel: the file's own, or stored percentiles."""
    count = base.sizes.get("c", 1)
    if base.attrs.get("window") and not base.attrs.get("scaling"):
        low, high = base.attrs["window"]
        return [(float(low), float(high))] * count
    found = stored_statistics(base)
    if found is None or found[1].histogram is None:
        return None
    _, kept, scaling = found
    return [dense_window(np.asarray(row), kept.first, scaling) for row in found[1].histogram]


def dense_window(counts: Array, first: int, scaling: Scaling | None) -> Window:
    """Return the percentiles 0.1 and 99.9, as numpy's, of pixels counted one bin a value."""
    below = np.cumsum(counts, dtype=np.int64)
    if not below.size or not below[-1]:
        return 0.0, 1.0
    ends = []
    for percent in (LOW, HIGH):
        rank = percent / 100 * (int(below[-1]) - 1)
        low, high = (
            int(np.searchsorted(below, n, side="right")) for n in (math.floor(rank), math.ceil(rank))
        )
        ends.append(first + low + (high - low) * (rank - math.floor(rank)))
    if scaling is not None:
        ends = sorted(end * scaling.slope + scaling.intercept for end in ends)
    return ends[0], ends[1]


def moved(cut: Cut, axis: str, index: int) -> Cut:
    """Return the same cut at another place."""
    return replace(cut, places={**cut.places, axis: index})


def where_text(base: xarray.DataArray, cut: Cut) -> str:
    """Return the place of a plane for a person: ``z = 12.5 mm (60 of 124)``."""
    said = []
    for name, index in cut.places.items():
        if name == "c":
            names: list[Any] = [c.name for c in coordinates.channels_of(base)]
            said.append(str(names[index]) if names else f"channel {index}")
            continue
        unit = coordinates.units(base, name)
        place = coordinates.origin(base, name) + index * coordinates.spacing(base, name)
        if base.sizes[name] > 1:
            count = f"{index} of {base.sizes[name]}"
            said.append(
                f"{name} {count}" if unit is None else f"{name} {place:.4g} {short_unit(unit)} ({count})"
            )
    return ", ".join(said)
