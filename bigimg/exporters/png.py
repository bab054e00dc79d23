"""Export to PNG: one plane of 1, 8 or 16 bits, grey or RGB, with or without alpha, written row after row.

Pillow and libvips write a PNG only from a whole plane or from a file of pixels. So this module writes the four kinds of
chunk of the format; isal deflates. A row is written as it is, or as differences from its left or upper neighbours,
whichever gives the smallest numbers.
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
from bigimg.exporters.layout import Layout, Slabs, channels_last, pixel_millimeters
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6
LONGEST = 2**31 - 1
"""Pixels along a side that the header can hold."""
WORK_BYTES = 1 << 20
"""Bytes of rows that are filtered together."""
PIECE = 1 << 20
"""Bytes that isal deflates at once."""


def lay_out(levels: Sequence[ImageSpec], target: Path) -> Layout:
    """Return how a PNG holds the plane.

    Raises
    ------
    UsageError
        There is more than one plane, channels are not colours, or values are not booleans or unsigned integers of 8
        or 16 bits.
    """
    spec = levels[0]
    order = plane_order(spec, target, "PNG")
    if spec.dtype.kind not in "bu" or spec.dtype.itemsize > 2:
        raise UsageError(
            f"{target}: PNG has no {spec.dtype}, only booleans and unsigned integers of 8 and 16 bits: write .tif or "
            ".npy, or make a picture with bigimg slice"
        )
    color_type(spec, target, "PNG")
    row = spec.nbytes // spec.sizes["y"]
    return Layout(
        order, spec.dtype.newbyteorder(">"), encode=functools.partial(write_png, target=target),
        encode_bytes=12 * max(row, WORK_BYTES) + 4 * PIECE,
        notes=("PNG keeps spacing to a micrometre in a metre, and neither origin nor affine",),
    )  # fmt: skip


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
            "write .ome.tif, .nii or .npy, which hold all of them"
        )
    return channels_last(spec)


def color_type(spec: ImageSpec, target: Path, title: str) -> int:
    """Return PNG's code for the channels.

    Raises
    ------
    UsageError
        They are not colours.
    """
    count = spec.sizes.get("c", 1)
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
        If False, rows are neither filtered nor deflated.
    """
    from isal import isal_zlib

    spec = levels[0].spec
    height, width = spec.sizes["y"], spec.sizes["x"]
    if max(height, width) > LONGEST:
        raise UsageError(f"{target}: {height} x {width} pixels are more than PNG can hold: write .tif")
    bits = 1 if spec.dtype == bool else 8 * spec.dtype.itemsize
    color = color_type(spec, target, "PNG")
    file.write(SIGNATURE)
    _chunk(file, b"IHDR", struct.pack(">2I5B", width, height, bits, color, 0, 0, 0))
    if density := _density(spec):
        _chunk(file, b"pHYs", struct.pack(">2IB", *density, 1))
    deflate = isal_zlib.compressobj(1, wbits=15) if compress else zlib.compressobj(0, wbits=15)
    above: Array | None = None
    pixel = max(1, bits * spec.sizes.get("c", 1) // 8)
    row_ndim = 2 if "c" in spec.dims else 1
    waiting = bytearray()
    for slab in levels[0].arrays:
        rows = _bytes(slab.reshape(-1, *slab.shape[-row_ndim:]), bits)
        step = max(1, WORK_BYTES // rows.shape[1])
        for top in range(0, len(rows), step):
            part = rows[top : top + step]
            waiting += (_filtered(part, above, pixel) if compress else np.insert(part, 0, 0, 1)).tobytes()
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


def _filtered(rows: Array, above: Array | None, pixel: int) -> Array:
    """Return each row with the filter that makes it smallest: 0 none, 1 the left pixel, 2 the pixel above."""
    left = rows.copy()
    left[:, pixel:] -= rows[:, :-pixel]
    up = rows.copy()
    up[1:] -= rows[:-1]
    if above is not None:
        up[0] -= above
    kinds = [rows, left, up]
    # A difference counts by its distance from 0 modulo 256: 255 is -1.
    sizes = [np.abs(kind.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for kind in kinds]
    best = np.argmin(sizes, axis=0).astype(np.uint8)
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = best
    for code, kind in enumerate(kinds):
        out[best == code, 1:] = kind[best == code]
    return out


def _density(spec: ImageSpec) -> tuple[int, int] | None:
    """Return pixels a metre along x and y; None if the spacing is not a length or too small for PNG."""
    if (sides := pixel_millimeters(spec)) is None:
        return None
    x, y = (round(1000 / side) for side in sides)
    return (x, y) if 0 < x < 2**31 and 0 < y < 2**31 else None


def _chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    if kind == b"IDAT" and not data:
        return
    checksum = zlib.crc32(data, zlib.crc32(kind))
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))
