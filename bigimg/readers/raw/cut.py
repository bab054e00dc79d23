"""Uncompressed planes of a file that was cut: those that are there as a whole are read, the others are holes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

import numpy as np

from bigimg.errors import AGAIN, PARTIAL, InputError, InputNotFoundError
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.readers.never_written import CHUNK_BYTES, unwritten, with_lacking
from bigimg.readers.raw.compressed import open_pixels, packing_of, plain_access
from bigimg.readers.raw.plain import Opened, RawFile, Stored, as_native
from bigimg.types import Array, Region, Shape


@dataclass(frozen=True)
class CutPixels:
    """C-order numbers of which the file holds the first planes; :class:`~bigimg.readers.raw.plain.Pixels`."""

    there: RawFile
    """The planes that are there, one after the other."""
    outer: Shape
    """Planes that the file promises, along each axis that counts them."""

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` in native byte order; in planes that are not there 0, or NaN.

        Raises
        ------
        InputError
            The file is shorter than when it was opened.
        """
        planes, inside = region[: len(self.outer)], region[len(self.outer) :]
        dtype = self.there.dtype
        result = np.full(shape_of(region), math.nan if dtype.kind in "fc" else 0, dtype)
        for at in np.ndindex(shape_of(planes)):
            number = int(
                np.ravel_multi_index([s.start + i for s, i in zip(planes, at, strict=True)], self.outer)
            )
            if number < self.there.shape[0]:
                self.there.read_into(result[at][None], (slice(number, number + 1), *inside))
        return as_native(result)

    def close(self) -> None:
        """Let go of the file."""
        self.there.close()

    @property
    def path(self) -> str:
        """The name of the file."""
        return self.there.path

    def with_holes(self, spec: ImageSpec, stored: Stored) -> ImageSpec:
        """Return ``spec`` with the planes that are not there as holes."""
        lacking = ~unwritten(self.path, self.outer)
        lacking.reshape(-1)[: self.there.shape[0]] = False
        dims = stored.dims[: lacking.ndim]
        order = sorted(range(lacking.ndim), key=lambda axis: spec.dims.index(dims[axis]))
        return with_lacking(spec, lacking.transpose(order), [dims[axis] for axis in order], source=self.path)


def open_or_cut(path: str, offset: int, stored: Stored, *, allow_partial: bool) -> Opened:
    """Return what :func:`~bigimg.readers.raw.compressed.open_pixels` does, or :class:`CutPixels` of a file that is cut.

    A plane is all of the last two axes, beside colours; where there are no others, it is a row. A file that is
    compressed as a whole is not taken in part.

    Raises
    ------
    InputNotFoundError, InputError
        There is no such file, or it is cut and ``allow_partial`` is not given, or not one plane is there.
    """
    try:
        return open_pixels(path, offset, stored)
    except InputNotFoundError:
        raise
    except InputError as error:
        planes = max(1, len(stored.dims) - 2 - ("c" in stored.dims))
        outer, inner = stored.shape[:planes], stored.shape[planes:]
        there = 0 if packing_of(path) else os.path.getsize(path) - offset
        there //= math.prod(inner) * stored.dtype.itemsize
        if not 0 < there < math.prod(outer):
            raise
        if not allow_partial:
            raise InputError(f"{error}: {AGAIN}, or {PARTIAL}") from None
    file = RawFile(path, offset=offset, shape=(there, *inner), dtype=stored.dtype)
    table = CHUNK_BYTES * math.prod(outer)
    return CutPixels(file, outer), replace(plain_access(stored), fixed_bytes=table)
