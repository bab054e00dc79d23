"""PNG of one plane, row after row: 1, 8 and 16 bits, grey or RGB, with or without alpha.

No library at hand takes a PNG in pieces: Pillow and libvips want the whole plane, or a file of pixels. So the
format's four kinds of chunk are written here; deflate is isal's. What only this module knows is the filter: a
row is written as it is, or as differences from its left or upper neighbours, whichever has the smaller ones.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Asked, Layout, Slabs, refuse_options
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6
LONGEST = 2**31 - 1
"""Pixels a side that the header can say."""
WORK_BYTES = 1 << 20
"""Of rows that are filtered together."""
PIECE = 1 << 20
"""Bytes handed to isal at once."""


def lay_out(levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
    """Return how a PNG holds the plane.

    Raises
    ------
    UsageError
        More than one plane, channels that are no colours, or values that are not booleans or unsigned
        integers of 8 or 16 bits.
    """
    refuse_options(asked, "PNG")
    spec = levels[0]
    order = plane_order(spec, target, "PNG")
    if spec.dtype.kind not in "bu" or spec.dtype.itemsize > 2:
        raise UsageError(
            f"{target}: PNG has no {spec.dtype}, only booleans and unsigned integers of 8 and 16 bits: write .tif or "
            ".npy, or take bigimg slice for a picture to look at"
        )
    color_type(spec, target, "PNG")
    dtype = spec.dtype.newbyteorder(">")
    row = spec.nbytes // spec.shape[spec.axis("y")]
    encode = functools.partial(write_png, target=target)
    notes = ("PNG keeps spacing to a micrometre in a metre, and neither origin nor affine",)
    return Layout(
        order, dtype, encode=encode, encode_bytes=12 * max(row, WORK_BYTES) + 4 * PIECE, notes=notes
    )


def plane_order(spec: ImageSpec, target: Path, title: str) -> tuple[str, ...]:
    """Return the order of a picture: y, x, and c last.

    Raises
    ------
    UsageError
        There is more than one plane.
    """
    more = [f"{axis.name} ({axis.size})" for axis in spec.axes if axis.name in "tz" and axis.size > 1]
    if more:
        raise UsageError(
            f"{target}: {title} holds one plane, and there are {' and '.join(more)}: choose with plane= and t=, or "
            "write .ome.tif, .nii or .npy, which hold them all"
        )
    return (*(axis.name for axis in spec.axes if axis.name != "c"), *(("c",) if "c" in spec.dims else ()))


def color_type(spec: ImageSpec, target: Path, title: str) -> int:
    """Return PNG's code for the channels.

    Raises
    ------
    UsageError
        They are no colours.
    """
    count = spec.shape[spec.axis("c")] if "c" in spec.dims else 1
    names = tuple(channel.name for channel in spec.channels)
    codes = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGB_ALPHA}
    fits = {2: names[1:] == ("A",), 3: names in ((), tuple("RGB")), 4: names == tuple("RGBA")}
    if not fits.get(count, count == 1) or (count > 1 and spec.dtype == bool):
        listed = ", ".join(names) or f"{count} without names"
        raise UsageError(
            f"{target}: {title} holds grey or red, green and blue, and the channels are {listed}: "
            "choose one with channel=, or write .ome.tif"
        )
    return codes[count]


def write_png(levels: Sequence[Slabs], file: IO[bytes], *, target: Path, compress: bool = True) -> None:
    """Write the plane to ``file``, which may be a pipe.

    Parameters
    ----------
    compress : bool
        False filters and deflates nothing, for a reader in the same machine.
    """
    from isal import isal_zlib

    spec = levels[0].spec
    height, width = (spec.shape[spec.axis(name)] for name in "yx")
    if max(height, width) > LONGEST:
        raise UsageError(f"{target}: {height} x {width} pixels are more than PNG can say: write .tif")
    bits = 1 if spec.dtype == bool else 8 * spec.dtype.itemsize
    color = color_type(spec, target, "PNG")
    file.write(SIGNATURE)
    _chunk(file, b"IHDR", struct.pack(">2I5B", width, height, bits, color, 0, 0, 0))
    if density := _density(spec):
        _chunk(file, b"pHYs", struct.pack(">2IB", *density, 1))
    deflate = isal_zlib.compressobj(1, wbits=15) if compress else zlib.compressobj(0, wbits=15)
    above: Array | None = None
    pixel = max(1, bits * (1 if color == GREY else spec.shape[spec.axis("c")]) // 8)
    inner = 2 if "c" in spec.dims else 1  # axes of a row
    waiting = bytearray()
    for slab in levels[0]:
        rows = _bytes(slab.reshape(-1, *slab.shape[-inner:]), bits)
        step = max(1, WORK_BYTES // rows.shape[1])
        for top in range(0, len(rows), step):
            part = rows[top : top + step]
            waiting += (_filtered(part, above, pixel) if compress else _plain(part)).tobytes()
            above = part[-1].copy()
            while len(waiting) >= PIECE:
                _chunk(file, b"IDAT", deflate.compress(bytes(waiting[:PIECE])))
                del waiting[:PIECE]
    _chunk(file, b"IDAT", deflate.compress(bytes(waiting)) + deflate.flush())
    _chunk(file, b"IEND", b"")


def _bytes(rows: Array, bits: int) -> Array:
    """Return rows of pixels as rows of bytes, shape (rows, bytes)."""
    if bits == 1:
        return np.packbits(rows.reshape(len(rows), -1), axis=1)
    return np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)


def _plain(rows: Array) -> Array:
    return np.concatenate([np.zeros((len(rows), 1), np.uint8), rows], axis=1)


def _filtered(rows: Array, above: Array | None, pixel: int) -> Array:
    """Return rows with the filter that makes each smallest: 0 none, 1 the pixel before, 2 the one above."""
    left = rows.copy()
    left[:, pixel:] -= rows[:, :-pixel]
    up = rows.copy()
    up[1:] -= rows[:-1]
    if above is not None:
        up[0] -= above
    kinds = [rows, left, up]
    # Differences count by their distance from 0 either way round: 255 is -1.
    sizes = [np.abs(kind.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for kind in kinds]
    best = np.argmin(sizes, axis=0).astype(np.uint8)
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = best
    for code, kind in enumerate(kinds):
        out[best == code, 1:] = kind[best == code]
    return out


def _density(spec: ImageSpec) -> tuple[int, int] | None:
    """Return pixels a metre along x and y, None where the spacing is no length or too small to say."""
    axes = [spec.axes[spec.axis(name)] for name in "xy"]
    if not all(axis.unit in MILLIMETERS for axis in axes):
        return None
    x, y = (round(1000 / (abs(axis.spacing) * MILLIMETERS[axis.unit or ""])) for axis in axes)
    return (x, y) if 0 < x < 2**31 and 0 < y < 2**31 else None


def _chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    if kind == b"IDAT" and not data:
        return
    file.write(
        b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(kind + data))))
    )
