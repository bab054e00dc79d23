"""Leaves of the lazy tree that need no dask: the pixels of a reader, and pixels in memory."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.geometry.holes import holes_in
from bigimg.geometry.region import count, overlap, shift
from bigimg.geometry.spec import ImageSpec, Scaling
from bigimg.lazy.node import Node, reads
from bigimg.reader import Reader, files_of
from bigimg.types import Array, DType, Region

if TYPE_CHECKING:
    import xarray


def real_dtype(spec: ImageSpec) -> DType:
    """Return the type of the real values: float32, or float64 where 32 bits and more are stored."""
    if spec.scaling is None:
        return spec.dtype
    return np.dtype(np.float64 if spec.dtype.itemsize >= 4 else np.float32)


def scaled(stored: Array, scaling: Scaling, dtype: DType) -> Array:
    """Return ``slope * stored + intercept`` as a new array of ``dtype``, computed in it."""
    real: Array = np.multiply(stored, dtype.type(scaling.slope), dtype=dtype)
    real += dtype.type(scaling.intercept)
    return real


class LazyPixels(Node):
    """The pixels of ``reader``, read when sliced; can be pickled when the reader can.

    If the source can only be read in one order, the last band is kept: an image and its mask need the same one.

    Parameters
    ----------
    reader : Reader
    raw : bool
        Give stored values even where the file declares a slope and intercept.
    token : str, optional
        The same for the same pixels.
    """

    prefix = "bigimg-opened"

    def __init__(self, reader: Reader, *, raw: bool, token: str = "") -> None:
        spec = reader.spec
        self.reader = reader
        self.own_files = files_of(reader)  # now: the current folder may be another one later
        self.scaling = None if raw else spec.scaling
        self.shape = spec.shape
        self.dtype = spec.dtype if raw else real_dtype(spec)
        self.chunks = spec.chunks
        self.read_bytes, self.own_bytes = reader.access.read_bytes, reader.access.fixed_bytes
        self.padding = spec.padding
        if spec.padding is not None and self.scaling is not None:
            low, high = sorted(scaled(np.array(spec.padding), self.scaling, self.dtype).tolist())
            self.padding = low, high
        self.token = token or uuid.uuid4().hex
        if reader.access.kind == "sequential":
            self.order = tuple(map(spec.axis, reader.access.order))
        self._last: tuple[Region, Array] | None = None

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, a view where the reader gives one."""
        last = self._last
        if last is not None and overlap(last[0], region) == region:
            return last[1][shift(region, tuple(s.start for s in last[0]))]
        if (counts := reads.get()) is not None:
            counts[self] += count(region)
        self._last = last = None
        found = self.reader.read(region)
        if self.scaling is not None:
            found = scaled(found, self.scaling, self.dtype)
            if (holes := holes_in(self.reader.spec.missing, region)) is not None:
                found[holes] = np.nan
        if self.order:
            self._last = region, found
            return found.view()
        return found

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}


class Plain(Node):
    """Pixels in memory, or of another lazy backend of xarray, as a node."""

    read_bytes = 0

    def __init__(self, img: xarray.DataArray) -> None:
        self.variable = img.variable  # .data would load the pixels, and keep them
        self.shape = img.shape
        self.dtype = img.dtype
        self.chunks = (1,) * img.ndim  # nothing is decoded
        self.token = uuid.uuid4().hex  # a new one each time: to hash all pixels would cost too much
        self.in_memory = isinstance(img.variable._data, np.ndarray)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, as a view where they are in memory."""
        return np.asarray(self.variable[region].values)
