"""Changing the geometry of images, and stacking images along a new axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry.affine import flat_affine
from bigimg.geometry.affine_checks import check_world, placed
from bigimg.geometry.axes import ORDER
from bigimg.geometry.lengths import Spacing, agreed_units, read_lengths
from bigimg.geometry.orientation import checked_convention
from bigimg.geometry.spec import as_text
from bigimg.geometry.units import asked_unit
from bigimg.lazy.dask_edge import as_dask
from bigimg.lazy.node_of_array import linked, node_of
from bigimg.lazy.pointwise import Stack
from bigimg.opening import coordinates
from bigimg.opening.open import Source
from bigimg.ops.derived import image, with_missing
from bigimg.readers.arrays.array import checked_world, missing_of
from bigimg.types import Opening

if TYPE_CHECKING:
    from bigimg.types import Array


def with_geometry(
    img: Source,
    *,
    spacing: Spacing | None = None,
    origin: Spacing | None = None,
    unit: str | Mapping[str, str] | None = None,
    world: Array | Sequence[Sequence[float]] | None = None,
    affine: Array | Sequence[Sequence[float]] | None = None,
    convention: str | None = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return ``img`` with other coordinates; what is not given stays.

    Parameters
    ----------
    img : DataArray, path or anything that opens
    spacing, origin : float, str, sequence or mapping, optional
        Distance of pixel centres and coordinate of the first: one for all axes of space, one each in the order of the
        image, or by name, each with a unit or without, as ``0.5``, ``"0.5um"``, ``(2, 0.5, 0.5)``, ``"z=7mm"`` or
        ``{"z": (7, "mm")}``. By name a spacing may be below zero, as of an axis that runs backwards.
    unit : str or mapping, optional
        Unit of the axes of space, or by name; short or long.
    world : array_like of shape (4, 4), optional
        From coordinates (x, y, z) to RAS+ millimetres.
    affine : array_like of shape (4, 4), optional
        Pixel index (x, y, z) to RAS+ millimetres, as nibabel has it, in place of ``world``. The spacing follows from
        it; axes without a unit get millimetres.
    convention : {"neurological", "radiological"}, optional
        Whether figures draw the right of a body at the right or at the left; a store keeps it.
    **opening
        As in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        A spacing is no distance, OME-Zarr has no such unit, a matrix is no affine or contradicts the spacing, or an
        axis or convention is not there.
    """
    img = image(img, **opening)
    names = [str(name) for name in img.dims if name != "c"]
    steps = read_lengths(spacing).distances(backwards=True).by_axis(names)
    starts = read_lengths(origin, "origin").by_axis(names)
    units = agreed_units(_units(img, unit), spacing=steps, origin=starts)
    found: xarray.DataArray = img.copy(deep=False)
    for name in {*steps, *starts, *units}:
        found.coords[name] = coordinates.coordinate(
            name,
            img.sizes[name],
            spacing=steps[name].number if name in steps else coordinates.spacing(img, name),
            origin=starts[name].number if name in starts else coordinates.origin(img, name),
            unit=units[name] if name in units else coordinates.units(img, name),
        )
    if affine is not None:
        if world is not None:
            raise UsageError("affine and world are two places of one image; give one")
        axes, placing = placed(coordinates.axes_of(found), checked_world("affine", affine), steps)
        for axis in axes:
            if axis.type == "space" and axis.name in found.dims:
                found.coords[axis.name] = coordinates.coordinate(
                    axis.name, axis.size, spacing=axis.spacing, origin=axis.origin, unit=axis.unit
                )
        found.attrs["world"] = flat_affine(placing)
    if world is not None:
        checked = checked_world("world", world)
        check_world(checked, coordinates.axes_of(found))
        found.attrs["world"] = flat_affine(checked)
    if missing := missing_of(img, list(map(str, img.dims))):
        found = with_missing(found, missing)
    if convention is not None:
        found.attrs["convention"] = checked_convention(convention)
    return found


def stack(images: Sequence[Source], dim: str, **opening: Unpack[Opening]) -> xarray.DataArray:
    """Return ``images`` side by side along the new axis ``dim``, in the order t c z y x; lazy.

    Coordinates along ``dim`` are those of the images, as planes cut from a volume have them, else counted from 0;
    along ``c`` they are the names and colours of the images.

    Parameters
    ----------
    images : sequence of DataArray, path or anything that opens
        They have the same shape, type and coordinates; of a pyramid level 0 is taken.
    dim : {"t", "c", "z", "y", "x"}
    **opening
        Of each image, as in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        There is no image, one has the axis already, or they differ in shape, type or coordinates.
    """
    if not isinstance(dim, str) or dim not in ORDER:
        raise UsageError(f"stack along {dim!r}: an axis is one of {' '.join(ORDER)}")
    if not images:
        raise UsageError(f"stack along {dim}: there are no images")
    found = [image(img, **opening) for img in images]
    first = found[0]
    for number, img in enumerate(found):
        if dim in img.dims:
            raise UsageError(f"stack along {dim}: image {number} has it already; use xarray.concat")
        if img.sizes != first.sizes or img.dtype != first.dtype:
            raise UsageError(
                f"stack along {dim}: image {number} is {dict(img.sizes)} {img.dtype}, the first {dict(first.sizes)} "
                f"{first.dtype}; bring them to one shape and type"
            )
    alone = [dim, "color"] if dim == "c" else [dim]
    labels = [img.drop_vars(alone, errors="ignore").coords.to_dataset() for img in found]
    try:
        xarray.align(*labels, join="exact")
    except ValueError as error:
        raise UsageError(
            f"stack along {dim}: the images lie at different coordinates ({str(error).splitlines()[0]})"
        ) from error
    dims = sorted([*map(str, first.dims), dim], key=ORDER.index)
    known = [xarray.Dataset(attrs=img.attrs) for img in found]
    attrs = xarray.merge(known, combine_attrs="drop_conflicts", compat="no_conflicts", join="outer").attrs
    if "source" not in attrs:  # so that no result is written over one of them
        attrs["sources"] = as_text([img.attrs["source"] for img in found if "source" in img.attrs])
    coords = dict(labels[0].coords) | {dim: _positions(found, dim)}
    if dim == "c" and any("color" in img.coords for img in found):
        coords["color"] = (
            "c",
            [str(img.coords["color"].item()) if "color" in img.coords else "" for img in found],
        )
    # xarray.concat would make three tasks for each chunk: 8 s for 10**5 chunks.
    node = Stack([node_of(img) for img in found], dims.index(dim))
    own = first.chunks or tuple((n,) for n in first.shape)
    chunks = (*own[: node.axis], (1,) * len(found), *own[node.axis :])
    made = xarray.DataArray(as_dask(node, chunks), coords, dims, first.name, attrs)
    if any("missing" in img.attrs for img in found):
        holes = [
            (*hole[: node.axis], slice(number, number + 1), *hole[node.axis :])
            for number, img in enumerate(found)
            for hole in missing_of(img, list(map(str, first.dims)))
        ]
        made = with_missing(made, holes)
    return linked(made, node)


def _positions(images: Sequence[xarray.DataArray], dim: str) -> Any:
    """Return the coordinate of the new axis."""
    if dim == "c":
        names = [str(img.coords["c"].item()) if "c" in img.coords else str(img.name) for img in images]
        return names if len(set(names)) == len(names) else [str(i) for i in range(len(images))]
    found = [img.coords[dim] for img in images if dim in img.coords and img.coords[dim].ndim == 0]
    values = [float(coord) for coord in found]
    if len(values) < len(images) or len(set(values)) < len(values):
        return coordinates.coordinate(dim, len(images), spacing=1.0, origin=0.0, unit=None)
    return xarray.Variable((dim,), np.asarray(values), found[0].attrs)


def _units(img: xarray.DataArray, unit: str | Mapping[str, str] | None) -> dict[str, str | None]:
    if unit is None:
        return {}
    given = unit if isinstance(unit, Mapping) else {str(n): unit for n in img.dims if n in ("z", "y", "x")}
    if foreign := [name for name in given if name not in img.dims]:
        raise UsageError(f"unit names {foreign[0]!r}, but the axes are {' '.join(map(str, img.dims))}")
    return {name: asked_unit(value) for name, value in given.items()}
