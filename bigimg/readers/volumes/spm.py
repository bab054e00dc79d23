"""The affine that SPM keeps beside an ANALYZE pair, in a MATLAB file of the same name.

nibabel reads it through scipy, which nothing else of ours needs; a matrix of doubles is little in MATLAB's formats 4
and 5 (compressed or not), so those are read here. ``mat`` is the affine, ``M`` the same before SPM turns x round;
both count voxels from 1.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from bigimg.types import Array

MOST_BYTES = 1 << 20
"""A file of one 4 x 4 matrix for each of a thousand volumes has 130 kB; more is something else."""

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Types of format 5."""
MATRIX, COMPRESSED = 14, 15


def spm_affine(stem: str) -> tuple[Array | None, str | None]:
    """Return the affine from index (x, y, z) to world in ``stem.mat``, and a doubt; None where there is none.

    Raises nothing: what lies beside an image under that name may be anything.
    """
    path = next((stem + suffix for suffix in (".mat", ".MAT") if os.path.isfile(stem + suffix)), None)
    if path is None:
        return None, None
    try:
        with open(path, "rb") as file:
            found = matrices(file.read(MOST_BYTES))
    except (OSError, ValueError, KeyError, struct.error, zlib.error) as error:
        return (
            None,
            f"{os.path.basename(path)} beside it is no MATLAB file that we read ({error}); it is left out",
        )
    for name, flip in (("mat", 1.0), ("M", -1.0)):
        if name in found and found[name].shape[:2] == (4, 4):
            matrix = found[name].reshape(4, 4, -1)
            doubt = None
            if matrix.shape[2] > 1:
                doubt = f"{os.path.basename(path)} has {matrix.shape[2]} affines; the first is taken"
            from_one = np.eye(4)
            from_one[:3, 3] = 1
            affine: Array = np.diag([flip, 1, 1, 1]) @ matrix[:, :, 0] @ from_one
            return affine, doubt
    return None, f"{os.path.basename(path)} beside it holds no 4 x 4 'mat' or 'M'; it is left out"


def matrices(content: bytes) -> dict[str, Array]:
    """Return the real matrices in a MATLAB file, by name; those of other kinds are passed over.

    Raises
    ------
    ValueError, KeyError, struct.error, zlib.error
        It is none, or cut.
    """
    if content[126:128] in (b"IM", b"MI"):
        order = "<" if content[126:128] == b"IM" else ">"
        return dict(_format5(content[128:], order))
    return dict(_format4(content))


def _format4(content: bytes) -> Iterator[tuple[str, Array]]:
    at = 0
    while at < len(content):
        order = next((o for o in "<>" if 0 <= struct.unpack_from(o + "i", content, at)[0] < 5000), None)
        if order is None:
            raise ValueError("its first word is no type")
        kind, rows, columns, imaginary, named = struct.unpack_from(order + "5i", content, at)
        if kind % 1000 > 59 or min(rows, columns) < 0 or not 0 < named < 256 or kind % 10 or imaginary:
            raise ValueError("it holds other things than plain matrices")
        dtype = np.dtype({0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}[kind // 10 % 10])
        name = content[at + 20 : at + 20 + named].rstrip(b"\0").decode("latin-1")
        at += 20 + named
        flat = np.frombuffer(content, dtype.newbyteorder("<" if order == "<" else ">"), rows * columns, at)
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
                shape = [int(n) for n in np.frombuffer(parts[1][1], _dtype("i4", order))]
                flat = np.frombuffer(parts[3][1], _dtype(NUMBERS[parts[3][0]], order))
                if flat.size == np.prod(shape):
                    yield parts[2][1].decode("latin-1"), flat.reshape(shape, order="F").astype(float)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of each element; small ones have both in one word."""
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


def _dtype(code: str, order: str) -> np.dtype[np.generic]:
    return np.dtype(code).newbyteorder("<" if order == "<" else ">")
