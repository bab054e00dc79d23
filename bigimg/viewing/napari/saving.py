"""Layers of napari saved as an OME-Zarr store: channels of one image with its labels, or one label image.

The pixels of a layer that bigimg opened are read again from their source, chunk by chunk; the arrays of other layers
are used as they are. If a layer has levels, the first is written and the others are computed again.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import MILLIMETERS, ORDER, SECONDS, long_unit
from bigimg.types import Array
from bigimg.viewing.napari.layers import Layer
from bigimg.viewing.napari.viewer_arrays import Shown

if TYPE_CHECKING:
    import xarray

NAMES = {1: "x", 2: "yx", 3: "zyx", 4: "tzyx"}
"""Axes of a layer without axis labels, by their number."""


def save(path: str, layers: Sequence[Layer], **settings: Any) -> list[str]:
    """Write ``layers`` to the store ``path`` and return the paths written.

    Parameters
    ----------
    path : str
    layers : sequence of (data, options, type)
        Image layers of the same shape, coordinates and type become channels of one image; label layers of its size
        are saved with it. Without an image layer, one label layer is saved.
    **settings
        As in :func:`bigimg.convert`.

    Raises
    ------
    UsageError
        The layers cannot be one image.
    """
    from bigimg.conversion.target import checked_target
    from bigimg.faces.convert import convert_to_store

    checked_target(path, [data for data, _, _ in layers], overwrite=settings.get("overwrite", False))
    kinds = {kind for _, _, kind in layers}
    if not layers or kinds - {"image", "labels"}:
        wrong = ", ".join(sorted(kinds)) or "no layer"
        raise UsageError(f"{path}: OME-Zarr holds images and labels; {wrong} cannot be saved to it")
    images = [to_image(*layer) for layer in layers if layer[2] == "image"]
    labels = [to_image(*layer) for layer in layers if layer[2] == "labels"]
    if not images and len(labels) > 1:
        names = ", ".join(str(label.name) for label in labels)
        raise UsageError(f"{path}: {names}: save their image with them, or each to a store of its own")
    whole = (as_channels(images, path) if len(images) > 1 else images[0]) if images else labels.pop()
    for label in labels:
        if {**whole.sizes, **label.sizes} != whole.sizes:
            raise UsageError(
                f"{path}: {label.name} is no label image of {whole.name} ({_described(label)}, {_described(whole)}): "
                "save it to a store of its own"
            )
    convert_to_store(whole, path, progress=False, **settings)
    folders = [re.sub(r"[^\w.-]+", "_", str(label.name)).strip("._") or "labels" for label in labels]
    targets = [f"{path}/labels/{name}" for name in _distinct_names(folders)]
    for label, target in zip(labels, targets, strict=True):
        convert_to_store(label, target, progress=False, **settings)
    return [os.fspath(path), *targets]


def to_image(data: Any, options: Mapping[str, Any], kind: str) -> xarray.DataArray:
    """Return one layer as a DataArray, lazy if its data are.

    Raises
    ------
    UsageError
        OME-Zarr cannot store its axes, or the layer is rotated or sheared in the plane.
    """
    from bigimg.opening.open import from_array
    from bigimg.ops.geometry import with_geometry

    array = data[0] if options.get("multiscale") or isinstance(data, list | tuple) else data
    if isinstance(array, Shown):
        array = array.exact()  # without the stripes that mark damage on the screen
    rgb = bool(options.get("rgb"))
    ndim = array.ndim - rgb
    dims = _dims(options, ndim)
    img = from_array(array, dims=dims + "c" * rgb)
    if rgb:
        img = img.assign_coords(c=list("RGBA")[: img.sizes["c"]])
    elif (color := _color(options.get("colormap"))) and kind == "image":
        img = img.assign_coords(color=color)
    units = _known_units(options.get("units"), dims)
    scale, translate = (options.get(key, (v,) * ndim) for key, v in (("scale", 1.0), ("translate", 0.0)))
    img = with_geometry(
        img,
        spacing=dict(zip(dims, map(float, scale), strict=True)),
        origin=dict(zip(dims, map(float, translate), strict=True)),
        unit=units,
    )
    if (world := _world(options, dims, units)) is not None:
        img = with_geometry(img, world=world)
    img.attrs["kind"] = "labels" if kind == "labels" else "image"
    img.name = str(options.get("name", "image"))
    limits = options.get("contrast_limits")
    if kind == "image" and not rgb and limits is not None and limits[0] < limits[1]:
        img.attrs["window"] = [float(limits[0]), float(limits[1])]
    return img


def as_channels(images: Sequence[xarray.DataArray], path: str) -> xarray.DataArray:
    """Return images stacked along c, with their names and colours.

    Raises
    ------
    UsageError
        They differ in shape, coordinates or type.
    """
    from bigimg.ops.geometry import stack

    first = images[0]
    for other in images:
        alike = (other.dims, other.shape, other.dtype) == (first.dims, first.shape, first.dtype)
        same_grid = alike and all(np.allclose(other[name], first[name]) for name in first.dims)
        if not same_grid or "c" in first.dims:
            raise UsageError(
                f"{path}: {first.name} and {other.name} are not channels of one image "
                f"({_described(first)}, {_described(other)}): save each to a store of its own"
            )
    colors = [str(img.coords["color"].item()) if "color" in img.coords else "" for img in images]
    windows = {tuple(img.attrs.get("window", ())) for img in images}
    bare = [img.drop_vars("color", errors="ignore").assign_attrs(window=None) for img in images]
    found = stack(bare, "c").assign_coords(c=_distinct_names([str(img.name) for img in images]))
    if any(colors):
        found = found.assign_coords(color=("c", colors))
    found.attrs.pop("window", None)
    if len(windows) == 1 and (window := windows.pop()):
        found.attrs["window"] = list(window)
    return found


def _dims(options: Mapping[str, Any], ndim: int) -> str:
    """Return the axes of a layer: its axis labels if OME-Zarr has them, else by their number."""
    labels = tuple(map(str, options.get("axis_labels") or ()))
    if len(labels) == ndim and len(set(labels)) == ndim and set(labels) <= set(ORDER) - {"c"}:
        return "".join(labels)
    if ndim not in NAMES or ndim < 2:
        raise UsageError(f"layer {options.get('name')}: {ndim} axes; OME-Zarr holds yx, zyx and tzyx here")
    return NAMES[ndim]


def _known_units(units: Any, dims: str) -> dict[str, str]:
    """Return the units that OME-Zarr knows; ``pixel`` is not one."""
    names = {dim: long_unit(str(unit)) for dim, unit in zip(dims, units or (), strict=False)}
    return {
        dim: unit for dim, unit in names.items() if unit and unit in (SECONDS if dim == "t" else MILLIMETERS)
    }


def _color(colormap: Any) -> str | None:
    """Return the brightest colour of a colormap as RRGGBB; None if it has not exactly two colours."""
    colors = colormap.get("colors") if isinstance(colormap, Mapping) else getattr(colormap, "colors", None)
    if colors is None or len(colors) != 2:
        return None
    rgb = np.rint(np.asarray(colors)[-1][:3] * 255).astype(int)
    return "".join(f"{value:02X}" for value in rgb)


def _world(options: Mapping[str, Any], dims: str, units: Mapping[str, str]) -> Array | None:
    """Return the affine of a volume from coordinates (x, y, z) to millimetres; None without one.

    Raises
    ------
    UsageError
        The layer is rotated or sheared, or has an affine and is not a volume: this cannot be saved.
    """
    matrix = np.asarray(options.get("affine", np.eye(len(dims) + 1)), dtype=np.float64)
    turned = not np.allclose(options.get("rotate", np.eye(len(dims))), np.eye(len(dims)))
    turned |= bool(np.any(np.asarray(options.get("shear", 0.0))))
    if not turned and np.allclose(matrix, np.eye(len(dims) + 1)):
        return None
    if turned or not {"x", "y", "z"} <= set(dims):
        raise UsageError(
            f"layer {options.get('name')}: is turned or sheared; only an affine of a volume can be saved"
        )
    where = [dims.index(name) for name in "xyz"]
    world = np.eye(4)
    world[:3] = matrix[np.ix_(where, [*where, len(dims)])] * MILLIMETERS.get(units.get("x", ""), 1.0)
    return world


def _distinct_names(names: Sequence[str]) -> list[str]:
    """Return different names, without the words that all begin with, such as ``brain`` in ``brain DAPI``."""
    words = [name.split(" ") for name in names]
    shared = sum(1 for _ in itertools.takewhile(lambda same: len(set(same)) == 1, zip(*words, strict=False)))
    short = [" ".join(each[shared:]) for each in words]
    chosen = short if all(short) and len(set(short)) == len(short) else list(names)
    return chosen if len(set(chosen)) == len(chosen) else [f"{name} {i}" for i, name in enumerate(chosen)]


def _described(img: xarray.DataArray) -> str:
    return f"{' '.join(map(str, img.dims))} = {' x '.join(map(str, img.shape))}, {img.dtype}"
