"""A reader of planes that lie anywhere in a file, or in files: how microscopes write t, c and z.

Leica has an offset for each axis and channel, Nikon a table of frames. Both end as one table of numbers, a plane each,
for :class:`PlanesReader`; what a number means, and how the rows of a plane are had, a :class:`Planes` knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bigimg.geometry.holes import hole_value
from bigimg.geometry.region import of_axes, on_all_axes, pieces, shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.raw.plain import READ_BYTES, RawFile, as_native
from bigimg.types import Array, DType, Region

NEVER = -1
"""The number of a plane that is not there."""


MOST_PLANES = 10_000_000
"""Of an image: their numbers are a table in memory, also where most of them are missing."""


class Planes(Protocol):
    """Planes of one size, by number."""

    @property
    def dtype(self) -> DType:
        """As stored, byte order included."""

    def read_into(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        """Fill ``out``, C-contiguous, with a part of plane ``number``.

        Columns count samples, not pixels; they have a step where one sample of each pixel is wanted.
        """

    def close(self) -> None:
        """Let go of files."""


@dataclass(frozen=True, eq=False)
class PlanesReader:
    """A :class:`bigimg.reader.Reader` of planes."""

    spec: ImageSpec
    access: Access
    source: str
    planes: Planes
    numbers: Array
    """Of planes, by t, group of samples and z; :data:`NEVER` where none was written."""
    samples: int = 1
    """Values of a pixel that lie side by side, as R G B do; channel ``g * samples + s`` is sample s of group g."""
    backwards: bool = False
    """Whether these lie in reverse order, as B G R."""
    paths: tuple[str, ...] = ()
    """Files that are read."""

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``, as a view where all samples of each pixel are wanted."""
        t, c, z, y, x = every = on_all_axes(region, self.spec.dims)
        per, height, width = self.samples, y.stop - y.start, x.stop - x.start
        if c.stop - c.start == per > 1 and c.start % per == 0:
            numbers = self.numbers[t, c.start // per, z]
            out = np.empty((*numbers.shape, height, width * per), self.planes.dtype)
            for index, number in np.ndenumerate(numbers):
                self._fill(out[index], number, y, slice(x.start * per, x.stop * per))
            colors = out.reshape(*numbers.shape, height, width, per)[..., :: -1 if self.backwards else 1]
            out = np.moveaxis(colors, -1, 1)
        else:
            out = np.empty(shape_of(every), self.planes.dtype)
            for i, j, k in np.ndindex(out.shape[:3]):
                group, sample = divmod(c.start + j, per)
                first = x.start * per + (per - 1 - sample if self.backwards else sample)
                columns = slice(first, first + (width - 1) * per + 1, per)
                self._fill(out[i, j, k], self.numbers[t.start + i, group, z.start + k], y, columns)
        return as_native(out)[of_axes(self.spec.dims)]

    def _fill(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        if number == NEVER:
            out[...] = hole_value(self.spec.dtype, self.spec.padding)
        else:
            self.planes.read_into(out, int(number), rows, columns)

    def close(self) -> None:
        """Let go of files; a later read opens them again."""
        self.planes.close()


def read_plane(
    out: Array, path: str, offset: int, shape: tuple[int, int], dtype: DType, part: tuple[slice, slice]
) -> None:
    """Fill ``out`` with rows and columns of an uncompressed plane.

    Parameters
    ----------
    out : ndarray
        C-contiguous, of the shape of ``part``.
    path : str
    offset : int
        Byte of the first pixel.
    shape : tuple of int
        Rows, and values from one row to the next; the last row may lack its padding.
    dtype : dtype
        As stored, byte order included.
    part : tuple of slice
        Columns may have a step.

    Raises
    ------
    InputError
        The file ends before.
    """
    (rows, columns), (height, step) = part, shape
    if columns.step not in (None, 1):
        span = slice(columns.start, columns.stop)
        portion = max(1, READ_BYTES // ((span.stop - span.start) * dtype.itemsize))
        for _, (band,) in pieces((rows,), (portion,)):
            buffer = np.empty((band.stop - band.start, span.stop - span.start), dtype)
            read_plane(buffer, path, offset, shape, dtype, (band, span))
            out[band.start - rows.start : band.stop - rows.start] = buffer[:, :: columns.step]
        return
    whole = rows.stop - (rows.stop == height and columns.stop < step)  # the last row may lack its padding
    if whole > rows.start:
        body = RawFile(path, offset=offset, shape=(whole, step), dtype=dtype)
        body.read_into(out[: whole - rows.start], (slice(rows.start, whole), columns))
    if whole < rows.stop:
        last = RawFile(
            path, offset=offset + whole * step * dtype.itemsize, shape=(columns.stop,), dtype=dtype
        )
        last.read_into(out[-1], (columns,))
