"""Where the pixels of patches come from: the image, and the mask that chooses among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry.spec import ImageSpec
from bigimg.opening import Memory, Source, image_of
from bigimg.opening import open as open_image
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.labels import Labels
from bigimg.reader import Access, Reader
from bigimg.readers.arrays import read_labelled
from bigimg.readers.labelled import opened_pixels
from bigimg.types import Array, Region


def read_from(img: Source, level: int, memory: Memory) -> tuple[Reader, Labels, np.dtype[Any]]:
    """Return a reader of ``img``, what its patches are called, and the type of its real values."""
    source = image_of(img, level) if isinstance(img, xarray.DataTree) else img
    at = {} if source is not img else {"level": level}
    image = open_image(source, memory=memory, **at)  # type: ignore[arg-type]
    pixels = opened_pixels(image)
    reader: Reader = read_labelled(image)
    if pixels is not None:  # the coordinates are the array's own: it may have been given others since
        reader = pixels.reader
        dtype = pixels.dtype
    else:
        dtype = image.dtype
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
    return reader, Labels(dims, lines, image.sizes.get("c", 1), channels, dict(image.attrs), ()), dtype


def mask_cutter(where: Any, spec: ImageSpec, labels: Labels, patch: Mapping[str, int], level: int) -> Cutter:
    """Return what cuts patches out of the mask ``where``, at the same places as out of the image."""
    names = tuple(patch)
    if not isinstance(where, xarray.DataArray) and hasattr(where, "shape"):
        forms = [spec.dims, names, (*names, "c")] if "c" in spec.dims else [spec.dims]
        fitting = [dims for dims in forms if tuple(spec.shape[spec.axis(k)] for k in dims) == where.shape]
        if not fitting:
            raise UsageError(f"where has shape {where.shape}, the image {spec.shape}: give one value a pixel")
        where = xarray.DataArray(where, dims=fitting[0])
    elif not isinstance(where, xarray.DataArray):
        where = (
            image_of(where, level) if isinstance(where, xarray.DataTree) else open_image(where, level=level)
        )
    if where.dtype != bool:
        raise UsageError(f"where holds {where.dtype}, not true and false: compare first, as in labels == 3")
    for name in where.dims:
        if name not in spec.dims or where.sizes[name] != spec.shape[spec.axis(name)]:
            raise UsageError(
                f"where is {dict(where.sizes)}, the image {dict(zip(spec.dims, spec.shape, strict=True))}: give one "
                "value a pixel"
            )
        if name != "c" and name in where.coords:
            off = np.abs(where.coords[name].values - labels.lines[str(name)][0]).max()
            if off > 1e-3 * abs(labels.spacing(str(name))):
                raise UsageError(
                    f"where lies elsewhere than the image along {name}: their coordinates differ by {off:g}"
                )
    reader, own, _ = read_from(where, 0, None)
    if missing := [name for name in names if name not in own.dims]:
        reader = _Everywhere(reader, spec, missing)
    dims = reader.spec.dims
    window = tuple(patch.get(name, n) for name, n in zip(dims, reader.spec.shape, strict=True))
    return Cutter(reader, window, scaling=None, dtype=np.dtype(bool), fill=False)


class _Everywhere:
    """A mask that is the same all along the axes it has not; a :class:`bigimg.reader.Reader`."""

    def __init__(self, reader: Reader, like: ImageSpec, missing: Sequence[str]) -> None:
        own = reader.spec
        axes = [axis for axis in like.axes if axis.name in own.dims or axis.name in missing]
        chunks = [own.chunks[own.axis(a.name)] if a.name in own.dims else 1 for a in axes]
        self.reader = reader
        self.spec = ImageSpec(tuple(axes), own.dtype, tuple(chunks), kind="mask")
        self.inner = [i for i, axis in enumerate(axes) if axis.name in own.dims]
        self.source = reader.source

    @property
    def access(self) -> Access:
        """As the mask itself."""
        return self.reader.access

    def read(self, region: Region) -> Array:
        """Return the same values along each missing axis."""
        found = self.reader.read(tuple(region[i] for i in self.inner))
        missing = tuple(i for i in range(len(region)) if i not in self.inner)
        return np.broadcast_to(np.expand_dims(found, missing), tuple(s.stop - s.start for s in region))

    def close(self) -> None:
        """Let go of the mask."""
        self.reader.close()
