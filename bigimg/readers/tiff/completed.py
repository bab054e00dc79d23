"""A TIFF whose end is gone, completed for tifffile: with tables of the pages that its own description promises.

So tifffile groups the pages as it does in a whole file. Where the pixels of a page lie beyond the end of the real file,
they are a hole; see :mod:`~bigimg.readers.tiff.segments`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping

from bigimg.readers.tiff.chain import Chain

OFFSETS = (273, 324)
"""The tags that say where the strips or tiles of a page lie."""


class Completed(io.RawIOBase):
    """The bytes of a file, other ones at some places, and zeros up to a size.

    Parameters
    ----------
    path : str
    other : mapping of int to bytes
        Bytes by their place, within the file or behind it.
    size : int
    """

    def __init__(self, path: str, other: Mapping[int, bytes], size: int = 0) -> None:
        super().__init__()
        self.name, self._file, self._other = path, io.FileIO(path), dict(other)
        ends = (start + len(data) for start, data in self._other.items())
        self._size, self._at = max(size, os.path.getsize(path), *ends, 0), 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return that of the real file: tifffile opens the other files of a set only beside a file that has one."""
        return self._file.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; return it."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, out: memoryview | bytearray) -> int:  # type: ignore[override]
        """Fill ``out`` from the place on; return how many bytes there were."""
        start, length = self._at, max(0, min(len(out), self._size - self._at))
        self._file.seek(start)
        found = self._file.read(length)
        view = memoryview(out).cast("B")
        view[:length] = found + bytes(length - len(found))
        for place, data in self._other.items():
            low, high = max(place, start), min(place + len(data), start + length)
            if low < high:
                view[low - start : high - start] = data[low - place : high - place]
        self._at += length
        return length

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def closed_chain(path: str, chain: Chain) -> io.BufferedReader:
    """Return the file with the pages that are there alone."""
    other = dict(chain.hidden)
    if chain.damage is not None:
        other[chain.link] = bytes(chain.words.size)
    return io.BufferedReader(Completed(path, other), 1 << 16)


def with_pages(path: str, chain: Chain, pages: int, end: int) -> io.BufferedReader:
    """Return the file with ``pages`` more pages, of which no pixel is there, and at least ``end`` bytes.

    Their tables are copies of the last one. They lie where the chain leads to, so that tifffile sees whether the
    pixels of all pages come before.
    """
    other, size = dict(chain.hidden), os.path.getsize(path)
    if chain.damage is not None and pages > 0:
        start = max(size, chain.target)
        tables, arrays = bytearray(), bytearray()
        length = len(chain.table)
        behind = start + pages * length
        table = bytearray(chain.table)
        for at, (code, kind, count, _) in chain.entries():
            if code in OFFSETS:
                each = chain.number(kind, size)
                if count * len(each) > chain.words.size:
                    arrays += each * count
                    each = chain.words.pack(behind)
                table[at : at + chain.words.size] = each.ljust(chain.words.size, b"\0")
        for number in range(1, pages + 1):
            last = number == pages
            tables += table[: -chain.words.size] + chain.words.pack(0 if last else start + number * length)
        other |= {chain.link: chain.words.pack(start), start: bytes(tables), behind: bytes(arrays)}
    elif chain.damage is not None:
        other[chain.link] = bytes(chain.words.size)
    return io.BufferedReader(Completed(path, other, end), 1 << 16)
