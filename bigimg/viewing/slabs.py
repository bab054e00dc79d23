"""Planes of one image, one after the other: slabs as thick as a chunk are kept, and the next slab is read ahead.

A chunk is decoded whole for any of its planes, so the planes of a slab come from memory. The slabs around the present
plane are kept, as many as the cache holds. So memory is bounded for a volume of any length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from bigimg.lazy.leaves import LazyPixels
from bigimg.ops.derived import pixels_of
from bigimg.viewing.levels import read_at

if TYPE_CHECKING:
    import xarray

CACHE_BYTES = 256 << 20
"""Memory of all slabs together."""
STEP = 10
"""Planes of a page; a move over more planes is a jump."""
LEAST_PLANES = 4
"""Planes of a slab if a chunk is thinner, because starting a read takes time."""


class Slabs:
    """The planes of an image along one axis, for one thread, as that of a window.

    Parameters
    ----------
    image : DataArray
        A level.
    axis : str
    places : mapping of str to int
        Positions along other axes that a plane does not have, as t.
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
        # Memory for at least three slabs, and one more while the next slab is read.
        most = max(1, cache_bytes // (4 * max(1, plane_bytes)))
        self.thickness = _divided(max(chunk, LEAST_PLANES), most) if chunk else self.size
        self.most = max(3, cache_bytes // max(1, plane_bytes * self.thickness) - 1)
        # A plane is read before its slab if that takes less time, so not if the source can only be decoded in order.
        pixels = pixels_of(image)
        cheap = isinstance(pixels, LazyPixels) and pixels.reader.access.kind == "random"
        self._alone = cheap and self.thickness > 1
        self._last: int | None = None
        self._slabs: dict[int, Future[xarray.DataArray]] = {}
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, "bigimg-ahead") if chunk else None

    def plane(self, index: int) -> xarray.DataArray:
        """Return the plane at ``index``, computed; the next slab in the direction of the move is read ahead.

        If its slab is not in memory, only the plane is read, because that is faster. After a step the thread then
        reads the slab; after a jump it waits for the next step, because dragging a slider passes many planes.

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
        """Free the slabs, and end the thread; planes are lazy from now on."""
        self._slabs.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _held(self, number: int) -> xarray.DataArray | None:
        """Return a slab that is in memory; else None."""
        future = self._slabs.get(number)
        if future is None or not future.done() or future.cancelled() or future.exception() is not None:
            return None
        return future.result()

    def _have(self, number: int) -> xarray.DataArray:
        """Return a slab; it is read here if no thread is reading it."""
        future = self._slabs.pop(number, None)
        if future is None or future.cancel():  # a slab that waits in the queue is read here sooner
            future = Future()
            future.set_result(self._read(number))
        slab = future.result()
        self._slabs[number] = future  # unless it failed: then the next call tries again
        return slab

    def _start(self, number: int) -> None:
        """Let the thread read a slab, if there is such a slab and it is not read yet."""
        assert self._pool is not None
        if 0 <= number < -(-self.size // self.thickness) and number not in self._slabs:
            self._slabs[number] = self._pool.submit(self._read, number, workers=1)

    def _forget_far_from(self, number: int) -> None:
        """Free the farthest slabs, if there are more than the cache may hold."""
        for far in sorted(self._slabs, key=lambda n: abs(n - number))[self.most :]:
            self._slabs.pop(far).cancel()

    def _read(self, number: int, workers: int | None = None) -> xarray.DataArray:
        start = number * self.thickness
        part = slice(start, min(start + self.thickness, self.size))
        return read_at(self.image, {**self.places, self.axis: part}, workers=workers)


def chunk_along(image: xarray.DataArray, axis: str) -> int:
    """Return how many planes are decoded at once; 0 for pixels in memory."""
    if image.chunks is None:
        return 0
    pixels, at = pixels_of(image), image.dims.index(axis)
    return int(pixels.chunks[at] if pixels is not None else max(image.chunks[at]))


def _divided(thickness: int, most: int) -> int:
    """Return ``thickness`` halved until it is at most ``most``, so that slabs end where chunks do.

    >>> _divided(64, 20), _divided(3, 1)
    (16, 1)
    """
    while thickness > most:
        thickness = -(-thickness // 2)
    return thickness
