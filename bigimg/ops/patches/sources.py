"""Where the pixels of patches come from: the image, and the mask that chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray

from bigimg.geometry.spec import ImageSpec
from bigimg.lazy.grids import OnGrid
from bigimg.lazy.link import opened_pixels
from bigimg.opening.open import Memory
from bigimg.opening.open import open as open_image
from bigimg.ops.aligning import mask_on
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.labels import Labels
from bigimg.reader import Access, Reader
from bigimg.readers.arrays.array import read_labelled
from bigimg.types import Array, Region


def reader_of(image: xarray.DataArray) -> Reader:
    """Return what reads ``image``: the coordinates are its own, for it may have been given others since."""
    pixels = opened_pixels(image)
    return read_labelled(image) if pixels is None else pixels.reader


def labels_of(image: xarray.DataArray) -> Labels:
    """Return what the patches of ``image`` are called."""
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
    """Return what cuts patches out of the mask ``where``, at the same places as out of ``image``.

    A mask of another resolution is laid on as everywhere (:mod:`bigimg.ops.aligning`).
    """
    if not isinstance(where, xarray.DataArray) and not hasattr(where, "shape"):
        where = open_image(where, level=level, memory=memory)
    reader = _OnImage(mask_on(image.transpose(*spec.dims), where), spec)
    window = tuple(patch.get(axis.name, axis.size) for axis in reader.spec.axes)
    return Cutter(reader, window, scaling=None, dtype=np.dtype(bool), fill=False)


class _OnImage:
    """A mask on the grid of an image, without c where it has none; a :class:`bigimg.reader.Reader`."""

    def __init__(self, grid: OnGrid, like: ImageSpec) -> None:
        self.grid = grid
        self.source = next(iter(grid.files()), "mask")
        self.kept = [i for i, axis in enumerate(like.axes) if axis.name != "c" or grid.axes[i] is not None]
        axes = tuple(like.axes[i] for i in self.kept)
        self.spec = ImageSpec(axes, np.dtype(bool), tuple(grid.chunks[i] for i in self.kept), kind="mask")
        order = tuple(like.dims[i] for i in grid.order if i in self.kept)
        self.access = Access(
            "sequential" if order else "random", "a mask on the grid of an image", order or self.spec.dims,
            fixed_bytes=grid.fixed_bytes, read_bytes=grid.read_bytes,
        )  # fmt: skip

    def read(self, region: Region) -> Array:
        """Return the mask there, the same along each axis that it has not."""
        whole = [slice(0, 1)] * len(self.grid.axes)
        for i, part in zip(self.kept, region, strict=True):
            whole[i] = part
        found = self.grid.read(tuple(whole))
        dropped = tuple(i for i in range(found.ndim) if i not in self.kept)
        return np.broadcast_to(found.squeeze(dropped), tuple(s.stop - s.start for s in region))

    def close(self) -> None:
        """Do nothing: the mask is its image's."""
