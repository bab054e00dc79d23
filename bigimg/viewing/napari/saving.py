"""Layers of napari as an OME-Zarr store: channels of one image with its labels, or one label image, by the usual pass.

The data of a layer that bigimg opened are read again from where they came, chunk by chunk; those of others are
taken as they are, numpy or dask. Of several levels the first is written, and the others are made anew.
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
from bigimg.viewing.napari.shown import Shown

if TYPE_CHECKING:
    import xarray

NAMES = {1: "x", 2: "yx", 3: "zyx", 4: "tzyx"}
"""Axes of a layer that names none."""


def save(path: str, layers: Sequence[Layer], **asked: Any) -> list[str]:
    """Write ``layers`` to the store ``path`` and return the paths written.

    Parameters
    ----------
    path : str
    layers : sequence of (data, options, type)
        Image layers of one shape, place and type are channels of one image; label layers of its size are saved
        with it, and without an image one label layer is saved alone.
    **asked
        As in :func:`bigimg.convert`.

    Raises
    ------
    UsageError
        They cannot be one image.
    """
    from bigimg.conversion.target import checked_target
    from bigimg.faces.convert import convert_to_store

    checked_target(path, [data for data, _, _ in layers], overwrite=asked.get("overwrite", False))
    kinds = {kind for _, _, kind in layers}
    if not layers or kinds - {"image", "labels"}:
        raise UsageError(f"{path}: OME-Zarr holds images and labels; {_listed(kinds)} cannot be saved to it")
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
    convert_to_store(whole, path, progress=False, **asked)
    inside = [f"{path}/labels/{name}" for name in _told_apart([_key(str(label.name)) for label in labels])]
    for label, place in zip(labels, inside, strict=True):
        convert_to_store(label, place, progress=False, **asked)
    return [os.fspath(path), *inside]


def _key(name: str) -> str:
    """Return a name that a folder may have."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "labels"


def to_image(data: Any, options: Mapping[str, Any], kind: str) -> xarray.DataArray:
    """Return one layer as a labelled array, lazy where its data are.

    Raises
    ------
    UsageError
        Its axes have no place in OME-Zarr, or it is turned or sheared in the plane.
    """
    from bigimg.opening.open import from_array
    from bigimg.ops.geometry import with_geometry

    array = data[0] if options.get("multiscale") or isinstance(data, list | tuple) else data
    if isinstance(array, Shown):
        array = array.exact()  # the stripes over damage are for the eye alone
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
    world = _world(options, dims, units)
    if world is not None:
        img = with_geometry(img, world=world)
    img.attrs["kind"] = "labels" if kind == "labels" else "image"
    img.name = str(options.get("name", "image"))
    limits = options.get("contrast_limits")
    if kind == "image" and not rgb and limits is not None and limits[0] < limits[1]:
        img.attrs["window"] = [float(limits[0]), float(limits[1])]
    return img


def as_channels(images: Sequence[xarray.DataArray], path: str) -> xarray.DataArray:
    """Return images side by side along c, with their names and colours.

    Raises
    ------
    UsageError
        They differ in shape, place or type.
    """
    from bigimg.ops.geometry import stack

    first = images[0]
    for other in images:
        alike = (other.dims, other.shape, other.dtype) == (first.dims, first.shape, first.dtype)
        placed = all(np.allclose(other[name], first[name]) for name in first.dims) if alike else False
        if not placed or "c" in first.dims:
            raise UsageError(
                f"{path}: {first.name} and {other.name} are no channels of one image "
                f"({_described(first)}, {_described(other)}): save each to a store of its own"
            )
    colors = [str(img.coords["color"].item()) if "color" in img.coords else "" for img in images]
    windows = {tuple(img.attrs.get("window", ())) for img in images}
    bare = [img.drop_vars("color", errors="ignore").assign_attrs(window=None) for img in images]
    found = stack(bare, "c").assign_coords(c=_told_apart([str(img.name) for img in images]))
    if any(colors):
        found = found.assign_coords(color=("c", colors))
    found.attrs.pop("window", None)
    if len(windows) == 1 and (window := windows.pop()):
        found.attrs["window"] = list(window)
    return found


def _dims(options: Mapping[str, Any], ndim: int) -> str:
    """Return the axes of a layer by its own labels where these are ours, else by their number."""
    labels = tuple(map(str, options.get("axis_labels") or ()))
    if len(labels) == ndim and len(set(labels)) == ndim and set(labels) <= set(ORDER) - {"c"}:
        return "".join(labels)
    if ndim not in NAMES or ndim < 2:
        raise UsageError(f"layer {options.get('name')}: {ndim} axes; OME-Zarr holds yx, zyx and tzyx here")
    return NAMES[ndim]


def _known_units(units: Any, dims: str) -> dict[str, str]:
    """Return the units that OME-Zarr knows; pixels are none."""
    names = {dim: long_unit(str(unit)) for dim, unit in zip(dims, units or (), strict=False)}
    return {
        dim: unit for dim, unit in names.items() if unit and unit in (SECONDS if dim == "t" else MILLIMETERS)
    }


def _color(colormap: Any) -> str | None:
    """Return the brightest colour of a colormap as RRGGBB; None of one that is no ramp of one colour."""
    colors = colormap.get("colors") if isinstance(colormap, Mapping) else getattr(colormap, "colors", None)
    if colors is None or len(colors) != 2:
        return None
    rgb = np.rint(np.asarray(colors)[-1][:3] * 255).astype(int)
    return "".join(f"{value:02X}" for value in rgb)


def _world(options: Mapping[str, Any], dims: str, units: Mapping[str, str]) -> Array | None:
    """Return the affine of a volume from coordinates (x, y, z) to millimetres; None when there is none.

    Raises
    ------
    UsageError
        The layer is turned or sheared and no volume: OME-Zarr has no place for that here.
    """
    matrix = np.asarray(options.get("affine", np.eye(len(dims) + 1)), dtype=np.float64)
    turned = not np.allclose(options.get("rotate", np.eye(len(dims))), np.eye(len(dims)))
    sheared = bool(np.any(np.asarray(options.get("shear", 0.0))))
    plain = np.allclose(matrix, np.eye(len(dims) + 1))
    if plain and not turned and not sheared:
        return None
    if turned or sheared or not {"x", "y", "z"} <= set(dims):
        raise UsageError(
            f"layer {options.get('name')}: is turned or sheared; only an affine of a volume can be saved"
        )
    where = [dims.index(name) for name in "xyz"]
    world = np.eye(4)
    world[:3] = matrix[np.ix_(where, [*where, len(dims)])] * MILLIMETERS.get(units.get("x", ""), 1.0)
    return world


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return channel names without the words that all of them begin with, as ``brain`` in ``brain DAPI``."""
    words = [name.split(" ") for name in names]
    shared = sum(1 for _ in itertools.takewhile(lambda same: len(set(same)) == 1, zip(*words, strict=False)))
    short = [" ".join(each[shared:]) for each in words]
    chosen = short if all(short) and len(set(short)) == len(short) else list(names)
    return chosen if len(set(chosen)) == len(chosen) else [f"{name} {i}" for i, name in enumerate(chosen)]


def _described(img: xarray.DataArray) -> str:
    return f"{' '.join(map(str, img.dims))} = {' x '.join(map(str, img.shape))}, {img.dtype}"


def _listed(kinds: set[str]) -> str:
    return ", ".join(sorted(kinds)) or "no layer"
