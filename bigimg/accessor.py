"""``img.bigimg``: geometry and metadata of a labelled array, and one-line doors to the functions of one image.

Nothing is kept here: everything is computed from the present coordinates. Importing this module registers
the accessor with xarray; ``bigimg.open`` and its sisters do so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.orientation import axis_codes, obliquity
from bigimg.opening import image_of
from bigimg.readers import coordinates
from bigimg.readers.dicom_tags import Tags
from bigimg.types import Array
from bigimg.viewing.doors import Drawn

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from bigimg.exporters.run import Exported
    from bigimg.ops.patches.asking import Sizes
    from bigimg.ops.patches.mapping import Func
    from bigimg.ops.patches.sequence import Patches


@xarray.register_dataarray_accessor("bigimg")  # type: ignore[no-untyped-call]
class ImageAccessor(Drawn):
    """Geometry and metadata of an image, and what can be done with it."""

    def __init__(self, img: xarray.DataArray) -> None:
        self._img = self._drawn = img

    @property
    def spacing(self) -> dict[str, float]:
        """Distance of neighbouring pixel centres along each axis but c, in its unit."""
        return {name: coordinates.spacing(self._img, name) for name in self._measured}

    @property
    def origin(self) -> dict[str, float]:
        """Coordinate of the centre of the first pixel along each axis but c, in its unit."""
        return {name: coordinates.origin(self._img, name) for name in self._measured}

    @property
    def units(self) -> dict[str, str | None]:
        """Long name of the unit of each axis but c; None when not known."""
        return {name: coordinates.units(self._img, name) for name in self._measured}

    @property
    def fov(self) -> dict[str, float]:
        """Length of the image along each axis but c, edge to edge, in its unit."""
        return {name: abs(step) * self._img.sizes[name] for name, step in self.spacing.items()}

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Edges (left, right, bottom, top) of the last two axes, as matplotlib's ``imshow`` takes them."""
        down, across = [name for name in self._measured if name != "t"][-2:]
        edges = {}
        for name in (down, across):
            start, step = self.origin[name], self.spacing[name]
            edges[name] = (start - step / 2, start + step * (self._img.sizes[name] - 0.5))
        return (*edges[across], edges[down][1], edges[down][0])

    @property
    def affine(self) -> Array:
        """4x4 matrix from pixel index (x, y, z) to the world in RAS+ mm, else to coordinates, as nibabel has it.

        An axis that was cut down to one position counts as one pixel thick, as in nibabel's ``slicer``.
        """
        matrix = index_to_world(coordinates.axes_of(self._img), None)
        world = coordinates.world_of(self._img)
        return matrix if world is None else world @ matrix

    @property
    def orientation(self) -> tuple[str, str, str] | None:
        """Letters that x, y and z point to, as in ``("R", "A", "S")``; None when the image does not say."""
        return None if coordinates.world_of(self._img) is None else axis_codes(self.affine)

    @property
    def obliquity(self) -> tuple[float, float, float] | None:
        """Degrees by which x, y and z of the world lie off the nearest axis of the image; None when it does not say."""
        return None if coordinates.world_of(self._img) is None else obliquity(self.affine)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names along c; empty when there are none."""
        return tuple(channel.name for channel in coordinates.channels_of(self._img))

    @property
    def meta(self) -> Mapping[str, Any]:
        """The file's own fields under their own names; those of DICOM by their numbers too, as ``0008,0070``."""
        return Tags({**self._img.attrs.get("meta", {}), **self._img.attrs.get("private", {})})

    @property
    def kind(self) -> str:
        """``image``, ``labels`` or ``mask``."""
        return str(self._img.attrs.get("kind", "mask" if self._img.dtype == bool else "image"))

    def to_numpy(self, *, channels: str = "last") -> Array:
        """Return the pixels, computed; ``c`` moved to the end for ``channels="last"``, to the front for ``"first"``.

        Raises
        ------
        UsageError
            ``channels`` is neither.
        """
        if channels not in ("first", "last"):
            raise UsageError(f"channels={channels!r}: give 'first' or 'last'")
        pixels: Array = self._img.to_numpy()
        if "c" not in self._img.dims:
            return pixels
        return np.moveaxis(pixels, self._img.dims.index("c"), 0 if channels == "first" else -1)

    def channel(self, name: str | int) -> xarray.DataArray:
        """Return the channel called ``name``, or of this number, without the axis c.

        Raises
        ------
        UsageError
            There is none.
        """
        from bigimg.ops.slices import channel_index

        return self._img.isel(c=channel_index(self._img, name))

    def at(self, *, mm: tuple[float, float, float] | None = None, **position: float) -> xarray.DataArray:
        """Return the pixel nearest to a place: world ``mm=(x, y, z)``, or coordinates as in ``at(y=3.5, x=8)``.

        Raises
        ------
        UsageError
            The place is outside, or the image does not know the world.
        """
        from bigimg.ops.slices import nearest_index

        if mm is not None:
            world = coordinates.world_of(self._img)
            if world is None:
                raise UsageError("at(mm=...): the image does not say where it lies; give at(y=..., x=...)")
            place = np.linalg.solve(world, [*mm, 1.0])
            position = {
                name: float(v) for name, v in zip("xyz", place, strict=False) if name in self._img.dims
            }
        if unknown := set(position) - set(self._measured):
            name, own = unknown.pop(), [str(n) for n in self._img.dims if n in self._measured]
            hint = (
                "; choose a channel before, as in img.bigimg.channel(0)"
                if name == "c" in self._img.dims
                else ""
            )
            raise UsageError(f"at({name}=...): a place is along {' '.join(own)}{hint}")
        try:
            return self._img.isel({n: nearest_index(self._img, n, v) for n, v in position.items()})
        except UsageError as error:
            if mm is None:
                raise
            raise UsageError(f"at(mm={tuple(mm)}): in coordinates of the image, {error}") from None

    def stats(self, **options: Any) -> xarray.Dataset:
        """See :func:`bigimg.stats`."""
        from bigimg.ops.statistics.stats import stats

        return stats(self._img, **options)

    def histogram(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.histogram`."""
        from bigimg.ops.statistics.histograms import histogram

        return histogram(self._img, **options)

    def mask(self, **options: Any) -> Any:
        """See :func:`bigimg.mask`."""
        from bigimg.ops.masks import mask

        return mask(self._img, **options)

    def apply_mask(self, mask: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.apply_mask`."""
        from bigimg.ops.masks import apply_mask

        return apply_mask(self._img, mask, **options)

    def fraction(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.fraction`."""
        from bigimg.ops.statistics.measuring import fraction

        return fraction(self._img, **options)

    def area(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.area`."""
        from bigimg.ops.statistics.measuring import area

        return area(self._img, **options)

    def percentile(self, q: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.percentile`."""
        from bigimg.ops.statistics.percentiles import percentile

        return percentile(self._img, q, **options)

    def otsu(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.otsu`."""
        from bigimg.ops.statistics.thresholds import otsu

        return otsu(self._img, **options)

    def sweep(self, thresholds: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.sweep`."""
        from bigimg.ops.statistics.thresholds import sweep

        return sweep(self._img, thresholds, **options)

    def plane(self, axis: str, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.plane`."""
        from bigimg.ops.slices import plane

        return plane(self._img, axis, **options)

    def patches(self, size: Sizes, **options: Any) -> Patches:
        """See :func:`bigimg.patches`."""
        from bigimg.ops.patches.asking import patches

        return patches(self._img, size, **options)

    def map_patches(self, func: Func, size: Sizes, **options: Any) -> Any:
        """See :func:`bigimg.map_patches`."""
        from bigimg.patching import map_patches

        return map_patches(func, self._img, size, **options)

    def crop(self, box: Mapping[str, Any], **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.crop`."""
        from bigimg.ops.slices import crop

        return crop(self._img, box, **options)

    def region(self, at: Any, size: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.region`."""
        from bigimg.ops.slices import region

        return region(self._img, at, size, **options)

    def profile(self, start: Any, stop: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.profile`."""
        from bigimg.ops.profiles import profile

        return profile(self._img, start, stop, **options)

    def downsample(self, factor: Any = None, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.downsample`."""
        from bigimg.ops.downsampling import downsample

        return downsample(self._img, factor, **options)

    def resize(self, shape: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.resize`."""
        from bigimg.ops.resizing import resize

        return resize(self._img, shape, **options)

    def build_pyramid(self, **options: Any) -> xarray.DataTree:
        """See :func:`bigimg.build_pyramid`."""
        from bigimg.ops.downsampling import build_pyramid

        return build_pyramid(self._img, **options)

    def gray(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.gray`."""
        from bigimg.ops.tones import gray

        return gray(self._img, **options)

    def rescale(self, dtype: Any = "uint8", **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.rescale`."""
        from bigimg.ops.tones import rescale

        return rescale(self._img, dtype, **options)

    def map(self, func: Callable[[Array], Any], **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.map`."""
        from bigimg.ops.tones import map

        return map(self._img, func, **options)

    def thumbnail(self, max_size: int = 512) -> Array:
        """See :func:`bigimg.thumbnail`."""
        from bigimg.ops.multiscale import thumbnail

        return thumbnail(self._img, max_size)

    def view(self, **options: Any) -> Any:
        """See :func:`bigimg.view`."""
        from bigimg.viewing.napari.window import view

        return view(self._img, **options)

    def export(self, target: str | os.PathLike[str], **options: Any) -> Exported:
        """See :func:`bigimg.export`."""
        from bigimg.exporters.run import export

        return export(self._img, target, **options)

    def with_geometry(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.with_geometry`."""
        from bigimg.ops.geometry import with_geometry

        return with_geometry(self._img, **options)

    @property
    def _measured(self) -> list[str]:
        return [str(name) for name in self._img.dims if name in ("t", "z", "y", "x")]


@xarray.register_datatree_accessor("bigimg")  # type: ignore[no-untyped-call]
class PyramidAccessor(Drawn):
    """Levels of a pyramid, and what can be done with it."""

    def __init__(self, tree: xarray.DataTree) -> None:
        self._tree = self._drawn = tree

    def level(self, number: int) -> xarray.DataArray:
        """Return the image of a level; -1 is the smallest."""
        return image_of(self._tree, number)

    def stats(self, **options: Any) -> xarray.Dataset:
        """See :func:`bigimg.stats`."""
        from bigimg.ops.statistics.stats import stats

        return stats(self._tree, **options)

    def histogram(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.histogram`."""
        from bigimg.ops.statistics.histograms import histogram

        return histogram(self._tree, **options)

    def mask(self, **options: Any) -> Any:
        """See :func:`bigimg.mask`."""
        from bigimg.ops.masks import mask

        return mask(self._tree, **options)

    def fraction(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.fraction`."""
        from bigimg.ops.statistics.measuring import fraction

        return fraction(self._tree, **options)

    def area(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.area`."""
        from bigimg.ops.statistics.measuring import area

        return area(self._tree, **options)

    def percentile(self, q: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.percentile`."""
        from bigimg.ops.statistics.percentiles import percentile

        return percentile(self._tree, q, **options)

    def otsu(self, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.otsu`."""
        from bigimg.ops.statistics.thresholds import otsu

        return otsu(self._tree, **options)

    def sweep(self, thresholds: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.sweep`."""
        from bigimg.ops.statistics.thresholds import sweep

        return sweep(self._tree, thresholds, **options)

    def plane(self, axis: str, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.plane`."""
        from bigimg.ops.slices import plane

        return plane(self._tree, axis, **options)

    def crop(self, box: Mapping[str, Any], **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.crop`."""
        from bigimg.ops.slices import crop

        return crop(self._tree, box, **options)

    def region(self, at: Any, size: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.region`."""
        from bigimg.ops.slices import region

        return region(self._tree, at, size, **options)

    def profile(self, start: Any, stop: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.profile`."""
        from bigimg.ops.profiles import profile

        return profile(self._tree, start, stop, **options)

    def downsample(self, factor: Any = None, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.downsample`."""
        from bigimg.ops.downsampling import downsample

        return downsample(self._tree, factor, **options)

    def resize(self, shape: Any, **options: Any) -> xarray.DataArray:
        """See :func:`bigimg.resize`."""
        from bigimg.ops.resizing import resize

        return resize(self._tree, shape, **options)

    def view(self, **options: Any) -> Any:
        """See :func:`bigimg.view`."""
        from bigimg.viewing.napari.window import view

        return view(self._tree, **options)

    def thumbnail(self, max_size: int = 512) -> Array:
        """See :func:`bigimg.thumbnail`."""
        from bigimg.ops.multiscale import thumbnail

        return thumbnail(self._tree, max_size)
