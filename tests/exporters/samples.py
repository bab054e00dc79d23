"""Images made for exporting: an asymmetric volume that knows where it lies, a picture, and what reads them back."""

from __future__ import annotations

import numpy as np
import xarray

import bigimg
from bigimg.types import Array

WORLD = [[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, -3.0], [0.0, 0.0, 1.0, 7.25], [0.0, 0.0, 0.0, 1.0]]
"""From coordinates (x, y, z) to RAS+: a quarter turn about z, and moved."""
TILTED = np.array([[0.8, 0.6, 0, 1.1], [-0.6, 0.8, 0, 2.2], [0, 0, 1, 3.3], [0, 0, 0, 1]]) @ np.array(
    [[1, 0, 0, 0], [0, 0.28, -0.96, 0], [0, 0.96, 0.28, 0], [0, 0, 0, 1]]
)
"""A rotation about two axes whose numbers are no binary fractions."""


def pixels(*shape: int, dtype: str = "u1") -> Array:
    """Return noise whose corners are 1, 2, 3, …: any flip or exchange of axes shows."""
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind == "b":
        array = rng.random(shape) < 0.4
        array[(0,) * len(shape)] = True
        array[(-1,) * len(shape)] = False
        return array
    array = rng.integers(40, 120, shape).astype(dtype)
    corners = array[np.ix_(*([0, n - 1] for n in shape))]
    array[np.ix_(*([0, n - 1] for n in shape))] = np.arange(1, corners.size + 1).reshape(corners.shape)
    return array


def labelled(
    array: Array, dims: str, *, world: object = WORLD, unit: str | None = "mm", lazy: bool = False
) -> xarray.DataArray:
    """Return ``array`` with spacings and origins that differ along every axis."""
    size = {"t": 2.5, "z": 2.0, "y": 0.3, "x": 0.7}
    start = {"t": 10.0, "z": 1.5, "y": -2.25, "x": 3.1}
    img = bigimg.from_array(array, dims=dims)
    space = {name: size[name] for name in dims if name in "zyx"}
    img = bigimg.with_geometry(
        img, spacing=space, origin={name: start[name] for name in space}, unit=unit, world=world
    )
    if "t" in dims:
        img = img.assign_coords(
            t=("t", start["t"] + size["t"] * np.arange(img.sizes["t"]), {"units": "second", "spacing": 2.5})
        )
    return img.chunk({name: max(1, n // 2) for name, n in img.sizes.items()}) if lazy else img


VOLUME = pixels(5, 37, 23, dtype="i2")
PICTURE = pixels(70, 45, 3)
