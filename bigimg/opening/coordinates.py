"""Spacing, origin, units and affine of a DataArray, from its present coordinates.

Nothing is stored elsewhere, so cropping, striding and arithmetic cannot make it wrong. Only if one pixel is left along
an axis, its coordinate does not show the spacing: then the ``spacing`` counts that opening noted in the attrs of the
coordinate. It counts too if the coordinates have the same spacing but for the rounding of float64: 0.499 instead of
0.49900000000000005.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import as_affine, index_to_coordinate
from bigimg.geometry.axes import Axis
from bigimg.geometry.even import even_step
from bigimg.geometry.spec import Channel
from bigimg.types import Array, Convention

if TYPE_CHECKING:
    import xarray

COORDINATE_BYTES = 40
"""Of each pixel along an axis, measured: 16 that xarray keeps, and three numbers where their spacing is asked for."""


def spacing(img: xarray.DataArray, name: str) -> float:
    """Return the distance of neighbouring pixel centres along ``name``; 1 if it is not known.

    Raises
    ------
    UsageError
        The coordinates are not evenly spaced.
    """
    coord = img.coords.get(name)
    if coord is None or coord.dtype.kind not in "iuf":
        return 1.0
    if coord.size < 2:
        return float(coord.attrs.get("spacing", 1.0))
    values = coord.values.astype(np.float64)
    step = even_step(values)
    if step is None:
        raise UsageError(
            f"axis {name} is not evenly spaced, so it has no one spacing; resample or select evenly"
        )
    noted = coord.attrs.get("spacing")
    rounding = 4 * np.finfo(np.float64).eps * np.abs(values).max() / (values.size - 1)
    return float(noted) if isinstance(noted, int | float) and abs(step - noted) <= rounding else step


def step_of(coord: xarray.DataArray) -> float:
    """Return the mean distance of neighbouring values of a coordinate; its noted spacing if it has one value."""
    if coord.size < 2:
        return float(coord.attrs.get("spacing", 1.0))
    first, last = coord.values[[0, -1]].astype(np.float64)
    return float(last - first) / (coord.size - 1)


def edges(img: xarray.DataArray, name: str) -> tuple[float, float]:
    """Return where the image begins and ends along an axis: the outer edges of its pixels, the smaller first."""
    start, step = origin(img, name), spacing(img, name)
    low, high = sorted((start - step / 2, start + step * (img.sizes[name] - 0.5)))
    return low, high


def extent(img: xarray.DataArray, down: str, across: str) -> tuple[float, float, float, float]:
    """Return the outer edges left, right, bottom, top of a plane, as matplotlib's ``imshow`` takes them."""
    start = {name: origin(img, name) - spacing(img, name) / 2 for name in (down, across)}
    end = {name: start[name] + spacing(img, name) * img.sizes[name] for name in start}
    return start[across], end[across], end[down], start[down]


def origin(img: xarray.DataArray, name: str) -> float:
    """Return the coordinate of the centre of the first pixel along ``name``; 0 if it is not known."""
    coord = img.coords.get(name)
    if coord is None or coord.dtype.kind not in "iuf" or not coord.size:
        return 0.0
    return float(coord.values.flat[0])


def units(img: xarray.DataArray, name: str) -> str | None:
    """Return the long name of the unit along ``name``; None if it is not known."""
    coord = img.coords.get(name)
    return None if coord is None else coord.attrs.get("units")


def axes_of(img: xarray.DataArray) -> tuple[Axis, ...]:
    """Return the present axes, then those of space that have one position left and are no dims (``z`` of a plane).

    Axes other than ``t c z y x`` are left out. Axes that are no dims come in the order x y z.
    """
    kept = [str(name) for name in img.dims if name in set("tczyx")]
    cut = [name for name in "xyz" if name not in kept and name in img.coords]
    return tuple(axis_of(img, name) for name in (*kept, *cut))


def axis_of(img: xarray.DataArray, name: str) -> Axis:
    """Return the present axis ``name``, or that of one position if it is no dim."""
    if name == "c":
        return Axis(name, img.sizes[name])
    return Axis(name, img.sizes.get(name, 1), spacing(img, name), units(img, name), origin(img, name))


def channels_of(img: xarray.DataArray) -> tuple[Channel, ...]:
    """Return the names and colours along ``c``; empty if they are not known."""
    coord = img.coords.get("c")
    if coord is None or coord.dtype.kind not in "UOT" or coord.ndim > 1:
        return ()
    names = [str(name) for name in np.atleast_1d(coord.values)]
    color = img.coords.get("color")
    if color is None or color.size != len(names):  # of other channels: left by functions as expand_dims
        return tuple(Channel(name, None) for name in names)
    colors = [str(v) or None for v in np.atleast_1d(color.values)]
    return tuple(Channel(name, value) for name, value in zip(names, colors, strict=True))


def world_of(img: xarray.DataArray) -> Array | None:
    """Return the 4x4 matrix from coordinates (x, y, z) to RAS+ millimetres; None if it is not known."""
    world = img.attrs.get("world")
    return None if world is None else np.asarray(as_affine(world))


def convention_of(img: xarray.DataArray) -> Convention:
    """Return which side of a body is drawn at the right."""
    found: Convention = img.attrs.get("convention", "neurological")
    return found


def affine_of(img: xarray.DataArray) -> Array | None:
    """Return the 4x4 matrix from pixel index (x, y, z) to RAS+ millimetres; None if it is not known."""
    world = world_of(img)
    return None if world is None else world @ index_to_coordinate(axes_of(img))


def coordinate_bytes(axes: Sequence[Axis]) -> int:
    """Return the memory that the coordinates of an image of ``axes`` take."""
    return COORDINATE_BYTES * sum(axis.size for axis in axes if axis.name != "c")


def coordinate(
    name: str, size: int, *, spacing: float, origin: float, unit: str | None
) -> xarray.IndexVariable:
    """Return the coordinate of an axis: pixel centres as float64, with their unit and spacing."""
    from xarray import IndexVariable

    attrs: Mapping[str, object] = {"units": unit} if unit else {}
    # In place, and no variable that xarray copies: an axis may have millions of pixels.
    values = np.arange(size, dtype=np.float64)
    values *= spacing
    values += origin
    return IndexVariable((name,), values, {**attrs, "spacing": spacing})  # type: ignore[no-untyped-call]
