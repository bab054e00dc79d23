"""Planes of one image, one after the other: read a chunk's thickness at a time, the next one ahead.

A chunk is decoded whole whichever of its planes is wanted, so all of them are kept. At most a few slabs are:
those around the present plane, so memory stays bounded however long the volume is.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from bigimg.ops.derived import pixels_of
from bigimg.readers.lazy import LazyPixels
from bigimg.viewing.levels import read_at

if TYPE_CHECKING:
    import xarray

CACHE_BYTES = 256 << 20
"""Of all slabs together."""
LEAST_PLANES = 4
"""Planes a slab where a chunk is thinner: the cost of starting a read is shared."""


class Slabs:
    """The planes of an image along one axis.

    Parameters
    ----------
    image : DataArray
        A level.
    axis : str
    places : mapping of str to int
        Where the other axes are cut that go, as t.
    cache_bytes : int
        The most that all slabs hold together; one plane at least.
    """

    def __init__(
        self,
        image: xarray.DataArray,
        axis: str,
        places: Mapping[str, int],
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.image = image
        self.axis = axis
        self.places = dict(places)
        self.size: int = image.sizes[axis]
        kept = [n for name, n in image.sizes.items() if name != axis and name not in places]
        plane_bytes = math.prod(kept) * image.dtype.itemsize
        chunk = chunk_along(image, axis)
        # Three at rest, and while the next is read the farthest is not yet gone.
        most = max(1, cache_bytes // (4 * max(1, plane_bytes)))
        self.thickness = _divided(max(chunk, LEAST_PLANES), most) if chunk else self.size
        self._last = 0
        self._closed = False
        self._lock = threading.Lock()
        self._slabs: dict[int, Future[xarray.DataArray]] = {}
        self._pool = ThreadPoolExecutor(1, "bigimg-ahead") if chunk else None

    def plane(self, index: int) -> xarray.DataArray:
        """Return the plane at ``index``, computed; the slab after it in the way that was moved is read ahead.

        Raises
        ------
        MissingChunk, CorruptChunk, InputError
            Its pixels cannot be had.
        """
        if self._pool is None:
            return self.image.isel({**self.places, self.axis: index})
        number = index // self.thickness
        slab = self._have(number)
        self._ahead(number)
        return slab.isel({self.axis: index - number * self.thickness})

    def close(self) -> None:
        """Let go of the slabs and of the thread."""
        with self._lock:
            self._closed = True
            self._slabs.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _have(self, number: int) -> xarray.DataArray:
        with self._lock:
            future = self._slabs.get(number)
            mine = future is None or future.cancel()  # one that waits in the queue is faster read here
            if mine:
                future = self._slabs[number] = Future()
        assert future is not None
        if mine:
            try:
                future.set_result(self._read(number))
            except BaseException as error:
                future.set_exception(error)
        try:
            return future.result()
        except BaseException:
            with self._lock:  # the next look tries again
                self._slabs.pop(number, None)
            raise

    def _ahead(self, number: int) -> None:
        """Have the slab that comes next read, in the way that was moved, and forget all but the neighbours."""
        assert self._pool is not None
        count = -(-self.size // self.thickness)
        onward = number + (1 if number >= self._last else -1)
        self._last = number
        with self._lock:
            for far in [n for n in self._slabs if abs(n - number) > 1]:
                self._slabs.pop(far).cancel()
            if 0 <= onward < count and onward not in self._slabs and not self._closed:
                self._slabs[onward] = self._pool.submit(self._read, onward)

    def _read(self, number: int) -> xarray.DataArray:
        start = number * self.thickness
        part = slice(start, min(start + self.thickness, self.size))
        return read_at(self.image, {**self.places, self.axis: part})


def chunk_along(image: xarray.DataArray, axis: str) -> int:
    """Return how many planes are decoded at once; 0 for pixels in memory."""
    if image.chunks is None:
        return 0
    pixels = pixels_of(image)
    at = image.dims.index(axis)
    if isinstance(pixels, LazyPixels):
        return int(pixels.reader.spec.chunks[at])
    return int(pixels.chunks[at] if pixels is not None else max(image.chunks[at]))


def _divided(thickness: int, most: int) -> int:
    """Return ``thickness`` halved until it is at most ``most``, so that slabs end where chunks do.

    >>> _divided(64, 20), _divided(3, 1)
    (16, 1)
    """
    while thickness > most:
        thickness = -(-thickness // 2)
    return thickness
