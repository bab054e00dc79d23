"""``img.bigimg``: geometry and metadata of a DataArray or DataTree, and the functions of an image as methods.

The accessor stores nothing: every value is computed from the present coordinates. Importing this module registers
it with xarray; ``bigimg.open`` and the other opening functions do so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate

import numpy as np
import xarray

from bigimg import functions
from bigimg.errors import UsageError
from bigimg.geometry.affine import index_to_coordinate
from bigimg.geometry.orientation import axis_codes, obliquity
from bigimg.geometry.spec import fields_of
from bigimg.lazy.node_of_array import private_of
from bigimg.opening import coordinates
from bigimg.opening.levels import levels_of_tree
from bigimg.readers.dicom.tags import Tags
from bigimg.types import Array

if TYPE_CHECKING:
    from bigimg.viewing.preview import Preview


class FunctionAsMethod[**P, R]:
    """A public function as a method: ``img.bigimg.stats(bins=9)`` is ``bigimg.stats(img, bins=9)``.

    The module of the function is imported at the first access to the method. The method has the docstring of the
    function and its signature without the image.

    Parameters
    ----------
    load : callable
        Returns the function.
    position : int
        Position of the image among the arguments of the function.
    """

    def __init__(self, load: Callable[[], Callable[..., R]], position: int) -> None:
        self.load, self.position = load, position

    def __get__(self, accessor: Any, owner: type | None = None) -> Callable[P, R]:
        return self.unbound if accessor is None else MethodType(self.unbound, accessor)

    @cached_property
    def unbound(self) -> Callable[..., R]:
        """The method as a function whose first argument is the accessor."""
        function = self.load()
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        image = parameters.pop(self.position)
        before = [parameter.name for parameter in parameters[: self.position]]

        @wraps(function)
        def method(self: Any, /, *args: Any, **options: Any) -> R:
            first = args[: len(before)] or [options.pop(name) for name in before if name in options]
            return function(*first, self._image, *args[len(before) :], **options)

        own = image.replace(name="self", annotation=inspect.Parameter.empty)
        method.__signature__ = signature.replace(parameters=[own, *parameters])  # type: ignore[attr-defined]
        return method


def method[**P, R](load: Callable[[], Callable[Concatenate[Any, P], R]]) -> FunctionAsMethod[P, R]:
    """Return the method for a function whose first argument is the image."""
    return FunctionAsMethod(load, 0)


def method_of_second[A, **P, R](
    load: Callable[[], Callable[Concatenate[A, Any, P], R]],
) -> FunctionAsMethod[Concatenate[A, P], R]:
    """Return the method for a function whose second argument is the image."""
    return FunctionAsMethod(load, 1)


class SharedMethods:
    """Methods of images and of pyramids."""

    _image: Any

    area = method(lambda: functions.area)
    browse = method(lambda: functions.browse)  # type: ignore[arg-type, return-value]  # as show
    crop = method(lambda: functions.crop)
    downsample = method(lambda: functions.downsample)
    fraction = method(lambda: functions.fraction)
    histogram = method(lambda: functions.histogram)
    mask = method(lambda: functions.mask)
    montage = method(lambda: functions.montage)
    ortho = method(lambda: functions.ortho)
    otsu = method(lambda: functions.otsu)
    percentile = method(lambda: functions.percentile)
    plane = method(lambda: functions.plane)  # type: ignore[arg-type, return-value]  # as show
    profile = method(lambda: functions.profile)
    region = method(lambda: functions.region)
    resize = method(lambda: functions.resize)
    show = method(lambda: functions.show)  # type: ignore[arg-type, return-value]  # **imshow might hold an img=
    stats = method(lambda: functions.stats)
    sweep = method(lambda: functions.sweep)
    thumbnail = method(lambda: functions.thumbnail)
    view = method(lambda: functions.view)

    def preview(self) -> Preview:
        """Return a thumbnail, geometry, channels and histogram for a notebook, from the smallest level only."""
        from bigimg.viewing.preview import preview

        return preview(self._image)


@xarray.register_dataarray_accessor("bigimg")  # type: ignore[no-untyped-call]
class ImageAccessor(SharedMethods):
    """Geometry and metadata of an image, and its methods."""

    def __init__(self, img: xarray.DataArray) -> None:
        self._img = self._image = img

    @property
    def spacing(self) -> dict[str, float]:
        """Distance between neighbouring pixel centres along each axis but c, in its unit."""
        return {name: coordinates.spacing(self._img, name) for name in self._measured}

    @property
    def origin(self) -> dict[str, float]:
        """Coordinate of the centre of the first pixel along each axis but c, in its unit."""
        return {name: coordinates.origin(self._img, name) for name in self._measured}

    @property
    def units(self) -> dict[str, str | None]:
        """Long name of the unit of each axis but c; None if it is not known."""
        return {name: coordinates.units(self._img, name) for name in self._measured}

    @property
    def fov(self) -> dict[str, float]:
        """Length of the image along each axis but c, edge to edge, in its unit."""
        return {name: abs(step) * self._img.sizes[name] for name, step in self.spacing.items()}

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Edges (left, right, bottom, top) of the last two axes, as matplotlib's ``imshow`` takes them."""
        down, across = [name for name in self._measured if name != "t"][-2:]
        return coordinates.extent(self._img, down, across)

    @property
    def affine(self) -> Array:
        """4x4 matrix from pixel index (x, y, z) to the world in RAS+ mm, as in nibabel, else to coordinates.

        An axis that was cut to one position counts as one pixel thick, as in nibabel's ``slicer``.
        """
        affine = coordinates.affine_of(self._img)
        return index_to_coordinate(coordinates.axes_of(self._img)) if affine is None else affine

    @property
    def orientation(self) -> tuple[str, str, str] | None:
        """Directions of x, y and z as letters, as in ``("R", "A", "S")``; None if the image has no world affine."""
        return None if coordinates.world_of(self._img) is None else axis_codes(self.affine)

    @property
    def obliquity(self) -> tuple[float, float, float] | None:
        """Degrees between each world axis x, y, z and the nearest image axis; None if there is no world affine."""
        return None if coordinates.world_of(self._img) is None else obliquity(self.affine)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names; empty if there are none."""
        return tuple(channel.name for channel in coordinates.channels_of(self._img))

    @property
    def meta(self) -> Mapping[str, Any]:
        """Metadata fields of the file under their own names; DICOM fields also by number, as ``0008,0070``.

        Also those that may tell who was imaged, which are not in ``attrs``, as long as the file is known: of the image
        as it was opened, and of parts of it.
        """
        return Tags(fields_of(self._img.attrs, "meta") | private_of(self._img))

    @property
    def kind(self) -> str:
        """``image``, ``labels`` or ``mask``."""
        return str(self._img.attrs.get("kind", "mask" if self._img.dtype == bool else "image"))

    def to_numpy(self, *, channels: str = "last") -> Array:
        """Return the computed pixels; the axis c is last for ``channels="last"`` and first for ``"first"``.

        Raises
        ------
        UsageError
            ``channels`` has another value.
        """
        if channels not in ("first", "last"):
            raise UsageError(f"channels={channels!r}: give 'first' or 'last'")
        pixels: Array = self._img.to_numpy()
        if "c" not in self._img.dims:
            return pixels
        return np.moveaxis(pixels, self._img.dims.index("c"), 0 if channels == "first" else -1)

    def channel(self, name: str | int) -> xarray.DataArray:
        """Return the channel with this name or number, without the axis c.

        Raises
        ------
        UsageError
            There is no such channel.
        """
        from bigimg.ops.slices import channel_index

        # Not isel: what dask slices is no longer known to be a part of an opened image.
        return functions.plane(self._img, "c", index=channel_index(self._img, name))

    def at(self, *, mm: tuple[float, float, float] | None = None, **position: float) -> xarray.DataArray:
        """Return the pixel nearest to a point: world ``mm=(x, y, z)``, or coordinates as in ``at(y=3.5, x=8)``.

        Raises
        ------
        UsageError
            The point is outside the image, or ``mm`` is given and the image has no world affine.
        """
        from bigimg.ops.slices import nearest_index

        if mm is not None:
            world = coordinates.world_of(self._img)
            if world is None:
                raise UsageError("at(mm=...): the image does not say where it lies; give at(y=..., x=...)")
            point = zip("xyz", np.linalg.solve(world, [*mm, 1.0]), strict=False)
            position = {name: float(v) for name, v in point if name in self._img.dims}
        if unknown := set(position) - set(self._measured):
            name, is_c = unknown.pop(), "c" in self._img.dims and "c" in position
            hint = "; choose a channel before, as in img.bigimg.channel(0)" if is_c else ""
            raise UsageError(f"at({name}=...): a point is given along {' '.join(self._measured)}{hint}")
        try:
            return self._img.isel({n: nearest_index(self._img, n, v) for n, v in position.items()})
        except UsageError as error:
            if mm is None:
                raise
            raise UsageError(f"at(mm={tuple(mm)}): in coordinates of the image, {error}") from None

    apply_mask = method(lambda: functions.apply_mask)
    build_pyramid = method(lambda: functions.build_pyramid)
    export = method(lambda: functions.export)
    gray = method(lambda: functions.gray)
    map = method(lambda: functions.map)
    map_patches = method_of_second(lambda: functions.map_patches)  # type: ignore[arg-type, return-value]  # as show
    patches = method(lambda: functions.patches)
    rescale = method(lambda: functions.rescale)
    with_geometry = method(lambda: functions.with_geometry)

    @property
    def _measured(self) -> list[str]:
        return [str(name) for name in self._img.dims if name in ("t", "z", "y", "x")]


@xarray.register_dataset_accessor("bigimg")  # type: ignore[no-untyped-call]
@xarray.register_datatree_accessor("bigimg")  # type: ignore[no-untyped-call]
class PyramidAccessor(SharedMethods):
    """Levels of a pyramid, or the image of a Dataset, and their methods."""

    def __init__(self, tree: xarray.DataTree | xarray.Dataset) -> None:
        self._image = tree

    def level(self, number: int) -> xarray.DataArray:
        """Return the image of a level; -1 is the smallest."""
        return levels_of_tree(self._image)[number]
