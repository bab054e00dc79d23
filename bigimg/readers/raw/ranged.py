"""Pixels and tables of a file behind an address, read by ranges through the same face as those of a file on disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigimg.errors import InputError
from bigimg.places.ranges import HELD_BYTES, Gathered
from bigimg.readers.raw.plain import RawFile, RawPixels, read_runs
from bigimg.types import Array, DType, Region, Shape


class RangedFile(RawFile):
    """Uncompressed pixels in a file behind an address; see :class:`RawPixels`.

    Parameters
    ----------
    shown : str
        The address for messages.
    gathered : Gathered
    offset, shape, dtype
        As of :class:`RawPixels`; all bytes by default.
    """

    held_bytes = HELD_BYTES

    def __init__(
        self, shown: str, gathered: Gathered, *, offset: int = 0, shape: Shape | None = None,
        dtype: DType = np.dtype(np.uint8),  # noqa: B008
    ) -> None:  # fmt: skip
        shape = (gathered.size,) if shape is None else shape
        RawPixels.__init__(self, shown, offset=offset, shape=shape, dtype=dtype)
        self.gathered = gathered
        self._check_length(gathered.size, f"the file has {gathered.size}")

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Announce the (offset, length) of the next reads of this thread."""
        self.gathered.expect(ranges)

    def bytes_at(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes of the file from ``start`` on; InputError where it ends before."""
        found = self.gathered.pread(size, start)
        if len(found) != size:
            raise InputError(
                f"{self.path}: ends at byte {start + len(found)}, where more should be; fetch it again"
            )
        return found

    def part(self, *, offset: int, shape: Shape, dtype: DType) -> RangedFile:
        """Return other pixels of the same file."""
        return RangedFile(self.path, self.gathered, offset=offset, shape=shape, dtype=dtype)

    def read_into(self, result: Array, region: Region) -> None:
        """Fill ``result`` with the pixels of ``region``; what it needs of the file is fetched together."""
        runs: list[tuple[int, int]] = []

        def note(flat: Array, first: int) -> None:
            runs.append((self.offset + first * self.dtype.itemsize, flat.nbytes))

        read_runs(result, region, self.shape, note)
        announced = self.gathered.expects(runs)  # by who reads several pieces of the file
        if not announced:
            self.expect(runs)
        read_runs(result, region, self.shape, self.read_run)
        if not announced:
            self.expect([])

    def read_run(self, flat: Array, first: int) -> None:
        """Fill ``flat`` with the pixels from number ``first`` on."""
        start = self.offset + first * self.dtype.itemsize
        flat.view(np.uint8)[...] = np.frombuffer(self.bytes_at(start, flat.nbytes), np.uint8)

    def close(self) -> None:
        """Do nothing: between two reads nothing is held."""

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a file behind an address is opened again, not pickled")
