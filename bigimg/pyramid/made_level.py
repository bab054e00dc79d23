"""A level that is not stored: it is made from the level below when it is read, as a conversion makes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from bigimg.geometry.holes import holes_in
from bigimg.geometry.region import pieces, scale_up, shape_of, shift
from bigimg.geometry.spec import ImageSpec
from bigimg.pyramid import kernels
from bigimg.reader import Access, Reader, check_source
from bigimg.types import Array, Method, Region, Shape

PIECE_BYTES = 4_000_000
"""Decoded bytes of the finer level that are read at once, or one row of its chunks where that is more."""


def made_levels(
    base: Reader,
    specs: Iterable[ImageSpec],
    method: Method,
    seen: Callable[[Region, Array], None] | None = None,
) -> tuple[Reader, ...]:
    """Return ``base`` and readers of the levels above it, one for each of ``specs``.

    Parameters
    ----------
    seen : callable, optional
        Gets each region that was read of ``base``, and its pixels; several threads call it.
    """
    levels = [base]
    for spec in specs:
        levels.append(MadeLevel(levels[-1], spec, method, seen if len(levels) == 1 else None))
    return tuple(levels)


class MadeLevel:
    """A level that is not stored, made from the level below when it is read, as a conversion makes it.

    Parameters
    ----------
    below : Reader
    spec : ImageSpec
        Of this level; its chunks are those of the level below.
    method : str
        How its pixels are made.
    seen : callable, optional
        Gets each region that was read of the level below, and its pixels.
    """

    def __init__(
        self,
        below: Reader,
        spec: ImageSpec,
        method: Method,
        seen: Callable[[Region, Array], None] | None = None,
    ) -> None:
        self.below, self.method, self.seen = below, method, seen
        self.source = below.source
        pairs = zip(below.spec.shape, spec.shape, strict=True)
        self.step: Shape = tuple(1 if n == m else 2 for n, m in pairs)
        chunks = (max(1, n // f) for n, f in zip(below.spec.chunks, self.step, strict=True))
        self.spec = replace(spec, chunks=tuple(chunks))

    @property
    def paths(self) -> tuple[str, ...]:
        """Those of the level below."""
        return tuple(getattr(self.below, "paths", ()))

    @property
    def access(self) -> Access:
        """That of the level below, and the pixels of it that are in memory for a read."""
        below = self.below.access
        most = max(
            math.prod(self._piece(self.spec.shape)) * math.prod(self.step) * self.spec.dtype.itemsize, 1
        )
        return replace(below, read_bytes=below.read_bytes + 2 * most + kernels.SCRATCH_BYTES)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``.

        Raises
        ------
        InputError
            As the level below.
        """
        found = np.empty(shape_of(region), self.spec.dtype)
        start = tuple(s.start for s in region)
        for part in self._parts(region):
            under = scale_up(part, self.step, self.below.spec.shape)
            pixels = self.below.read(under)
            if pixels.strides[-1] != pixels.itemsize:
                pixels = np.ascontiguousarray(pixels)
            if self.seen is not None:
                self.seen(under, pixels)
            holes = holes_in(self.below.spec.missing, under)
            out = found[shift(part, start)]
            kernels.downsample(pixels, self.step, self.method, out, padding=self.spec.padding, holes=holes)
        return found

    def check(self) -> None:
        """Refuse what the level below refuses."""
        check_source(self.below)

    def close(self) -> None:
        """Close the level below."""
        self.below.close()

    def _parts(self, region: Region) -> Iterator[Region]:
        return (part for _, part in pieces(region, self._piece(shape_of(region))))

    def _piece(self, shape: Shape) -> Shape:
        """Return the shape of what is made at once of ``shape``: bands along the slowest axes, of whole chunks."""
        piece = list(shape)
        names = self.below.access.order or self.spec.dims
        for name in names:
            axis = self.spec.axis(name)
            size = math.prod(piece) // piece[axis] * math.prod(self.step) * self.spec.dtype.itemsize
            chunk = min(shape[axis], self.spec.chunks[axis])
            piece[axis] = min(shape[axis], max(chunk, PIECE_BYTES // size // chunk * chunk))
            if size * chunk <= PIECE_BYTES:
                break
        return tuple(piece)
