"""Planes of a volume, by the name of an axis or of a body plane; lazy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.orientation import PLANES, nearest_axes
from bigimg.opening import Source
from bigimg.opening import open as open_image
from bigimg.readers import coordinates

if TYPE_CHECKING:
    import xarray


def plane(
    img: Source, axis: str, *, index: int | None = None, position: float | None = None
) -> xarray.DataArray:
    """Return one plane across ``axis``, without that axis; its place stays as a coordinate.

    Parameters
    ----------
    img : DataArray, path or anything that opens
    axis : str
        A name of an axis, or ``axial``, ``coronal``, ``sagittal``: then the axis that runs most nearly that
        way in the body when the image says how it lies, else z, y or x.
    index : int, optional
        Pixel along the axis, from the end when negative; the middle by default.
    position : float, optional
        Coordinate along the axis, in its unit; the nearest plane is taken.

    Returns
    -------
    DataArray of shape (t, c, y, x), (t, c, z, x) or (t, c, z, y), of those axes that the image has

    Raises
    ------
    UsageError
        There is no such axis, the place is outside the image, or both are given.
    """
    image = open_image(img)
    name = axis_across(image, axis)
    size = image.sizes[name]
    if index is not None and position is not None:
        raise UsageError(f"plane {axis}: index {index} and position {position} are two places; give one")
    if position is not None:
        index = nearest_index(image, name, position)
    elif index is None:
        index = size // 2
    if not -size <= index < size:
        raise UsageError(f"plane {axis}: index {index} along {name} of {size} pixels; give 0 to {size - 1}")
    return image.isel({name: index})


def axis_across(img: xarray.DataArray, axis: str) -> str:
    """Return the name of the axis that the plane called ``axis`` cuts across.

    Raises
    ------
    UsageError
        There is no such axis.
    """
    name = axis
    if axis in PLANES:
        name = "xyz"[PLANES[axis]]
        if (world := coordinates.world_of(img)) is not None:
            matrix = index_to_world(coordinates.axes_of(img), None)
            name = "xyz"[nearest_axes(world @ matrix).index(PLANES[axis])]
    if name not in img.dims:
        what = f"{axis} (across {name})" if name != axis else repr(axis)
        raise UsageError(
            f"plane {what}: the axes are {' '.join(map(str, img.dims))}; name one, or axial, coronal, sagittal"
        )
    return name


def nearest_index(img: xarray.DataArray, name: str, position: float) -> int:
    """Return the pixel along ``name`` whose centre is nearest to ``position``, in the unit of the axis.

    Raises
    ------
    UsageError
        It is more than half a pixel outside.
    """
    start, step, size = coordinates.origin(img, name), coordinates.spacing(img, name), img.sizes[name]
    place = (position - start) / step
    # A hair beyond the edge of the last pixel is float noise, not outside.
    if not -0.5 - 1e-9 <= place <= size - 0.5 + 1e-9:
        ends = sorted((start - step / 2, start + step * (size - 0.5)))
        unit = coordinates.units(img, name) or "pixels"
        raise UsageError(
            f"position {position:g} along {name} is outside the image, which reaches from {ends[0]:g} to "
            f"{ends[1]:g} {unit}"
        )
    return int(np.clip(round(place), 0, size - 1))
