"""Leaves of the lazy tree whose pixels are there: those of a reader, and those in memory."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.geometry.region import shift
from bigimg.geometry.spec import ImageSpec, Scaling
from bigimg.lazy.node import Node, reads
from bigimg.reader import Reader
from bigimg.types import Array, DType, Region, Shape

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

    Of a source that is read in one order the band read last is kept: an image and its mask want the same one.

    Parameters
    ----------
    reader : Reader
    raw : bool
        Give stored values even where the file declares a slope and intercept.
    token : str, optional
        The same for the same pixels.
    """

    called = "bigimg-opened"

    def __init__(self, reader: Reader, *, raw: bool, token: str = "") -> None:
        spec = reader.spec
        self.reader = reader
        self.scaling = None if raw else spec.scaling
        self.shape = spec.shape
        self.dtype = spec.dtype if raw else real_dtype(spec)
        self._token = token or uuid.uuid4().hex
        if reader.access.kind == "sequential":
            self.order = tuple(map(spec.axis, reader.access.order))
        self._last: tuple[Region, Array] | None = None

    @property
    def chunks(self) -> Shape:
        """What the source decodes at once."""
        return self.reader.spec.chunks

    @property
    def read_bytes(self) -> int:
        """As the reader says."""
        return self.reader.access.read_bytes

    @property
    def own_bytes(self) -> int:
        """As the reader says."""
        return self.reader.access.fixed_bytes

    @property
    def token(self) -> str:
        """Of the file and its state."""
        return self._token

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, a view where the reader gives one."""
        last = self._last
        if last is not None and all(
            a.start <= b.start and b.stop <= a.stop for a, b in zip(last[0], region, strict=True)
        ):
            return last[1][shift(region, tuple(s.start for s in last[0]))]
        if (noticed := reads.get()) is not None:
            noticed.add(self, region)
        self._last = last = None
        found = self.reader.read(region)
        if self.scaling is not None:
            found = scaled(found, self.scaling, self.dtype)
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
        self.variable = img.variable  # .data would load, and keep, what is still lazy
        self.shape = img.shape
        self.dtype = img.dtype
        self._token = uuid.uuid4().hex
        self.in_memory = isinstance(img.variable._data, np.ndarray)

    @property
    def token(self) -> str:
        """Another one each time: to look at all pixels would cost too much."""
        return self._token

    @property
    def chunks(self) -> Shape:
        """One pixel: nothing is decoded."""
        return (1,) * len(self.shape)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, as a view where they are in memory."""
        return np.asarray(self.variable[region].values)
