"""Readers, names and specs of patches: of the image, and of the mask that selects patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node_of_array import linked, node_of, opened_pixels
from bigimg.opening.open import Memory
from bigimg.opening.open import open as open_image
from bigimg.ops.masks_on_grid import mask_on
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.labels import Labels
from bigimg.ops.patches.positions import Grid
from bigimg.reader import Access, Reader
from bigimg.readers.arrays.array import read_labelled
from bigimg.types import Array, DType, Region

if TYPE_CHECKING:
    from bigimg.ops.patches.sequence import Patches


def reader_of(image: xarray.DataArray) -> Reader:
    """Return a reader of the pixels of ``image``; the user may have changed the coordinates of ``image``."""
    if (pixels := opened_pixels(image)) is not None:
        return pixels.reader
    if isinstance(node := node_of(image), Foreign):  # the cutter keeps its blocks
        image = linked(
            image.copy(deep=False), Foreign(node.array, node.dims, keep=False, padding=node.padding)
        )
    return read_labelled(image)


def labels_of(image: xarray.DataArray) -> Labels:
    """Return axes, coordinates and attributes of the patches of ``image``."""
    lines = {
        str(name): (np.asarray(image.coords[name].values), dict(image.coords[name].attrs))
        for name in image.dims
        if name != "c"
    }
    channels = {
        name: image.coords[name].variable
        for name in ("c", "color")
        if name in image.coords and image.coords[name].dims == ("c",)
    }
    dims = tuple(map(str, image.dims))
    return Labels(dims, lines, image.sizes.get("c", 1), channels, dict(image.attrs), ())


def mask_cutter(
    where: Any,
    image: xarray.DataArray,
    spec: ImageSpec,
    patch: Mapping[str, int],
    level: int,
    memory: Memory = None,
) -> Cutter:
    """Return a cutter of the mask ``where``, for the same positions as in ``image``.

    A mask of another resolution is resampled (:mod:`bigimg.ops.masks_on_grid`).
    """
    if not isinstance(where, xarray.DataArray) and not hasattr(where, "shape"):
        where = open_image(where, level=level, memory=memory)
    reader = _OnImage(mask_on(image.transpose(*spec.dims), where), spec)
    window = tuple(patch.get(axis.name, axis.size) for axis in reader.spec.axes)
    return Cutter(reader, window, scaling=None, dtype=np.dtype(bool), fill=False)


def spec_of(patches: Patches, grid: Grid, dtype: DType, channels: int | None, **changes: Any) -> ImageSpec:
    """Return the spec of an image made of ``patches`` of a grid: the axes of their image, with other channels.

    Parameters
    ----------
    grid : Grid
        Its lines say how much of the image there is.
    channels : int, optional
        None for no axis c.
    changes :
        Other fields of the spec.
    """
    labels = patches.labels
    lines = dict(zip((name for name in labels.dims if name != "c"), grid.lines, strict=True))
    pixels = np.broadcast_to(np.zeros((), dtype), patches.cutter.shape)
    whole = labels.whole(pixels).isel({name: slice(0, line.size) for name, line in lines.items()})
    spec = read_labelled(whole).spec
    axes = [axis for axis in spec.axes if axis.name != "c"] + (
        [Axis("c", channels)] if channels is not None else []
    )
    axes.sort(key=lambda axis: ORDER.index(axis.name))
    return replace(
        spec, axes=tuple(axes), dtype=dtype, scaling=None,
        channels=spec.channels if len(spec.channels) == channels else (),
        chunks=tuple(min(lines[a.name].stride, a.size) if a.name in lines else a.size for a in axes), **changes,
    )  # fmt: skip


class _OnImage:
    """A mask on the grid of an image, without c if it has none; a :class:`bigimg.reader.Reader`."""

    def __init__(self, grid: OnGrid, like: ImageSpec) -> None:
        self.grid = grid
        self.source = next(
            (leaf.reader.source for leaf in grid.leaves() if isinstance(leaf, LazyPixels)), "mask"
        )
        self.paths = grid.files()
        self.kept = [i for i, axis in enumerate(like.axes) if axis.name != "c" or grid.axes[i] is not None]
        axes = tuple(like.axes[i] for i in self.kept)
        self.spec = ImageSpec(axes, np.dtype(bool), tuple(grid.chunks[i] for i in self.kept), kind="mask")
        order = tuple(like.dims[i] for i in grid.order if i in self.kept)
        self.access = Access(
            "sequential" if order else "random", "a mask on the grid of an image", order or self.spec.dims,
            fixed_bytes=grid.fixed_bytes, read_bytes=grid.read_bytes,
        )  # fmt: skip

    def read(self, region: Region) -> Array:
        """Return the mask, repeated along the axes that it does not have."""
        whole = [slice(0, 1)] * len(self.grid.axes)
        for i, part in zip(self.kept, region, strict=True):
            whole[i] = part
        found = self.grid.read(tuple(whole))
        dropped = tuple(i for i in range(found.ndim) if i not in self.kept)
        return np.broadcast_to(found.squeeze(dropped), shape_of(region))

    def close(self) -> None:
        """Do nothing: the mask is its image's."""
