"""Planes of one image, one after the other: a chunk's thickness of them is kept, and the next one read ahead.

A chunk is decoded whole whichever of its planes is wanted, so whoever goes on plane by plane gets them from memory.
Those around the present plane are, as many as the cache holds, so memory stays bounded however long the volume is.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from bigimg.lazy.leaves import LazyPixels
from bigimg.ops.derived import pixels_of
from bigimg.viewing.levels import read_at

if TYPE_CHECKING:
    import xarray

CACHE_BYTES = 256 << 20
"""Of all slabs together."""
STEP = 10
"""Planes, a page: whoever moves farther jumps."""
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
        self, image: xarray.DataArray, axis: str, places: Mapping[str, int], *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.image = image
        self.axis = axis
        self.places = dict(places)
        self.size: int = image.sizes[axis]
        kept = [n for name, n in image.sizes.items() if name != axis and name not in places]
        plane_bytes = math.prod(kept) * image.dtype.itemsize
        chunk = chunk_along(image, axis)
        # At least three at rest, and while the next is read the farthest is not yet gone.
        most = max(1, cache_bytes // (4 * max(1, plane_bytes)))
        self.thickness = _divided(max(chunk, LEAST_PLANES), most) if chunk else self.size
        self.most = max(3, cache_bytes // max(1, plane_bytes * self.thickness) - 1)
        # A plane is read before the slab that it is in where that costs less: not where all is decoded in order.
        pixels = pixels_of(image)
        cheap = isinstance(pixels, LazyPixels) and pixels.reader.access.kind == "random"
        self._alone = cheap and self.thickness > 1
        self._last: int | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._slabs: dict[int, Future[xarray.DataArray]] = {}
        self._pool = ThreadPoolExecutor(1, "bigimg-ahead") if chunk else None

    def plane(self, index: int) -> xarray.DataArray:
        """Return the plane at ``index``, computed; what comes next in the way that was moved is read ahead.

        Of a slab that is not there the plane alone is read, for that is sooner done. After a step the slab is read
        behind it, and after a jump not before the next step: whoever drags a slider passes many.

        Raises
        ------
        MissingChunk, CorruptChunk, InputError
            Its pixels cannot be had.
        """
        if self._pool is None:
            return self.image.isel({**self.places, self.axis: index})
        number = index // self.thickness
        last, self._last = self._last, index
        slab = self._held(number) if self._alone else self._have(number)
        if slab is not None:
            self._start(number + (1 if last is None or index >= last else -1))
            self._forget_far_from(number)
            return slab.isel({self.axis: index - number * self.thickness})
        plane = read_at(self.image, {**self.places, self.axis: index})
        if last is None or abs(index - last) <= STEP:
            self._start(number)
        self._forget_far_from(number)
        return plane

    def close(self) -> None:
        """Let go of the slabs and of the thread."""
        with self._lock:
            self._closed = True
            self._slabs.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _held(self, number: int) -> xarray.DataArray | None:
        """Return a slab that is there and whole."""
        with self._lock:
            future = self._slabs.get(number)
        if future is None or not future.done() or future.cancelled() or future.exception() is not None:
            return None
        return future.result()

    def _have(self, number: int) -> xarray.DataArray:
        """Return a slab, whatever it takes."""
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

    def _start(self, number: int) -> None:
        """Have a slab read by the thread, if there is one and nobody did."""
        assert self._pool is not None
        with self._lock:
            if (
                0 <= number < -(-self.size // self.thickness)
                and number not in self._slabs
                and not self._closed
            ):
                self._slabs[number] = self._pool.submit(self._read, number, workers=1)

    def _forget_far_from(self, number: int) -> None:
        """Let go of the farthest slabs, where there are more than may be held."""
        with self._lock:
            far = sorted(self._slabs, key=lambda n: abs(n - number))[self.most :]
            for each in far:
                self._slabs.pop(each).cancel()

    def _read(self, number: int, workers: int | None = None) -> xarray.DataArray:
        start = number * self.thickness
        part = slice(start, min(start + self.thickness, self.size))
        return read_at(self.image, {**self.places, self.axis: part}, workers=workers)


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
