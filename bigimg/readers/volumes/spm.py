"""The affine that SPM stores beside an ANALYZE pair, in a MATLAB file of the same name.

nibabel reads it through scipy, which nothing else in bigimg needs. A matrix of doubles is simple in MATLAB's formats 4
and 5 (compressed or not), so this module reads both. ``mat`` is the affine; ``M`` is the affine before SPM flips x.
Both count voxels from 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from bigimg.readers.volumes.headers import beside
from bigimg.types import Array

MOST_BYTES = 1 << 20
"""Bytes that are read at most: one 4 x 4 matrix for each of a thousand volumes takes 130 kB."""

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Types of numbers in format 5."""
MATRIX, COMPRESSED = 14, 15


def spm_affine(stem: str) -> tuple[Array | None, str | None]:
    """Return the affine from index (x, y, z) to world in ``stem.mat``, and a note about it; None if there is none.

    Nothing is raised: a file of that name may hold anything.
    """
    if (path := beside(stem, (".mat",))) is None:
        return None, None
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
        found = dict(_format5(content[128:], order) if order else _format4(content))
    except (OSError, ValueError, KeyError, struct.error, zlib.error) as error:
        return None, f"the .mat beside it is no readable MATLAB file ({error}); it is left out"
    for variable, flip in (("mat", 1.0), ("M", -1.0)):
        if variable in found and found[variable].shape[:2] == (4, 4):
            matrix = found[variable].reshape(4, 4, -1)
            more = f"the .mat beside it has {matrix.shape[2]} affines; the first is used"
            from_one = np.eye(4)
            from_one[:3, 3] = 1
            affine: Array = np.diag([flip, 1, 1, 1]) @ matrix[:, :, 0] @ from_one
            return affine, more if matrix.shape[2] > 1 else None
    return None, "the .mat beside it holds no 4 x 4 'mat' or 'M'; it is left out"


def _format4(content: bytes) -> Iterator[tuple[str, Array]]:
    at = 0
    while at < len(content):
        order = next((o for o in "<>" if 0 <= struct.unpack_from(o + "i", content, at)[0] < 5000), None)
        if order is None:
            raise ValueError("its first word is not a type")
        kind, rows, columns, imaginary, named = struct.unpack_from(order + "5i", content, at)
        if kind % 1000 > 59 or min(rows, columns) < 0 or not 0 < named < 256 or kind % 10 or imaginary:
            raise ValueError("it does not only hold plain matrices")
        dtype = np.dtype(order + ("f8", "f4", "i4", "i2", "u2", "u1")[kind // 10 % 10])
        name = content[at + 20 : at + 20 + named].rstrip(b"\0").decode("latin-1")
        at += 20 + named
        flat = np.frombuffer(content, dtype, rows * columns, at)
        yield name, flat.reshape((rows, columns), order="F").astype(float)
        at += flat.nbytes


def _format5(content: bytes, order: str) -> Iterator[tuple[str, Array]]:
    for kind, data in _elements(content, order):
        if kind == COMPRESSED:
            inflater = zlib.decompressobj()
            yield from _format5(inflater.decompress(data, MOST_BYTES), order)
        elif kind == MATRIX:
            parts = list(_elements(data, order))
            if len(parts) >= 4 and parts[0][1][:1] and parts[3][0] in NUMBERS:
                shape = [int(n) for n in np.frombuffer(parts[1][1], order + "i4")]
                flat = np.frombuffer(parts[3][1], order + NUMBERS[parts[3][0]])
                if flat.size == np.prod(shape):
                    yield parts[2][1].decode("latin-1"), flat.reshape(shape, order="F").astype(float)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of each element; a small element has its type and size in one word."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(order + "2I", content, at)
        if kind >> 16:
            yield kind & 0xFFFF, content[at + 4 : at + 4 + (kind >> 16)]
            at += 8
            continue
        if at + 8 + size > len(content):
            raise ValueError(f"it ends within an element of {size} bytes")
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + size + (-size % 8 if kind != COMPRESSED else 0)
