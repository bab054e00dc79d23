"""TIFF and OME-TIFF, tiled, with levels as SubIFDs: tifffile writes, from an iterator of tiles.

What only this module knows: tiles are cut from slabs row by row, padded with zeros beyond the edge, and the
tile follows the chunks of the source where these are allowed as tiles, so that a chunk is met once.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Asked, Encode, Layout, Slabs, refuse_options
from bigimg.geometry.axes import MILLIMETERS, SECONDS, short_unit
from bigimg.geometry.chunks import is_color
from bigimg.geometry.spec import ImageSpec
from bigimg.system.processes import usable_cpus
from bigimg.types import Array

TILE = 512
"""Pixels of a tile along y and x where the source suggests none: as a chunk of a store."""
SMALLEST, LARGEST = 128, 1024
"""Chunks of a source between these become tiles; TIFF wants multiples of 16."""
CLASSIC_BYTES = 4_000_000_000
"""A classic TIFF counts to 2**32; what deflate may add and the tables are kept free."""
IN_FLIGHT_BYTES = 16 << 20
"""Tiles compressed at once."""
COMPRESSIONS = {"deflate": "deflate", "zstd": "zstd", "none": None}
LEVELS = {"deflate": 5, "zstd": 3}
"""How hard each tries."""
OME_TYPES = {"b1", "i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"}
"""Types that OME-XML has a name for."""


def lay_out(levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
    """Return how a plain TIFF holds the image: the axes by tifffile's description, spacing of y and x by tags.

    Raises
    ------
    UsageError
        The compression is none of those known.
    """
    lost = (
        "a plain TIFF keeps spacing along y and x to 9 digits, and neither origin, z nor names: use .ome.tif"
    )
    return _lay_out(levels, target, asked, lost, ome=False)


def lay_out_ome(levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
    """Return how an OME-TIFF holds the image: spacing, units, channel names and colours in OME-XML.

    Raises
    ------
    UsageError
        OME has no such type of pixels, or the compression is none of those known.
    """
    spec = levels[0]
    if f"{spec.dtype.kind}{spec.dtype.itemsize}" not in OME_TYPES:
        raise UsageError(f"{target}: OME-TIFF has no {spec.dtype}: write .npy or a plain .tif")
    return _lay_out(levels, target, asked, "OME-TIFF keeps no origin and no affine", ome=True)


def _lay_out(levels: Sequence[ImageSpec], target: Path, asked: Asked, lost: str, *, ome: bool) -> Layout:
    import imagecodecs  # noqa: F401  # these are there before memory is planned
    import tifffile  # noqa: F401

    refuse_options(asked, "TIFF", "compression")
    compression = asked.compression or "deflate"
    if compression not in COMPRESSIONS:
        raise UsageError(f"{target}: compression {compression!r} is not one of {', '.join(COMPRESSIONS)}")
    spec = levels[0]
    # Channels of bits are pages: packed side by side in a pixel, each reader takes them for others.
    color = is_color(spec) and spec.dtype != bool
    order = (*(n for n in spec.dims if n != "c"), "c") if color else spec.dims
    rows, columns = _tile(spec)
    encode: Encode = functools.partial(
        _encode, order=order, tile=(rows, columns), compression=compression, ome=ome
    )
    tile = rows * columns * spec.dtype.itemsize * (spec.shape[spec.axis("c")] if order[-1] == "c" else 1)
    return Layout(
        order, spec.dtype.newbyteorder("="), encode=encode, rows=rows, levels=len(levels), notes=(lost,),
        encode_bytes=4 * max(tile, IN_FLIGHT_BYTES) + 64 * _tiles(levels, (rows, columns)),
    )  # fmt: skip


def _tile(spec: ImageSpec) -> tuple[int, int]:
    """Return rows and columns of a tile: those of a source chunk where TIFF allows it."""
    rows, columns = (spec.chunks[spec.axis(name)] for name in "yx")
    fits = all(n % 16 == 0 and SMALLEST <= n <= LARGEST for n in (rows, columns))
    return (rows, columns) if fits else (TILE, TILE)


def _tiles(levels: Sequence[ImageSpec], tile: tuple[int, int]) -> int:
    """Return the number of tiles of all levels."""
    count = 0
    for spec in levels:
        height, width = (spec.shape[spec.axis(name)] for name in "yx")
        planes = spec.size // (height * width)
        count += planes * -(-height // tile[0]) * -(-width // tile[1])
    return count


def _encode(
    levels: Sequence[Slabs],
    file: IO[bytes],
    *,
    order: tuple[str, ...],
    tile: tuple[int, int],
    compression: str,
    ome: bool,
) -> None:
    """Write the levels, each page of the first with those of the others as SubIFDs."""
    import tifffile

    first = levels[0].spec
    color = order[-1] == "c"
    big = sum(level.spec.nbytes for level in levels) > CLASSIC_BYTES
    options: dict[str, Any] = {
        "dtype": first.dtype,
        "tile": tile,
        "compression": COMPRESSIONS[compression],
        "predictor": compression != "none" and first.dtype != bool and first.dtype.itemsize <= 4,
        "photometric": _photometric(first) if color else "minisblack",
        "planarconfig": "contig" if color else None,
        "maxworkers": usable_cpus(),
        "buffersize": IN_FLIGHT_BYTES,
        "software": "bigimg",
    }
    if compression in LEVELS:
        options["compressionargs"] = {"level": LEVELS[compression]}
    if color and first.channels[-1].name == "A":
        options["extrasamples"] = ["unassalpha"]
    # Where tifffile describes the shape it takes a last axis of 1 for no axis, and z for rows; of a sample it does not.
    narrow = first.shape[first.axis("x")] == 1 and not color and not ome
    if narrow:
        options["planarconfig"] = "contig"
    with tifffile.TiffWriter(file, bigtiff=big, ome=ome, byteorder="<") as tif:
        for i, level in enumerate(levels):
            spec = level.spec
            shape = tuple(spec.shape[spec.axis(name)] for name in order)
            with closing(
                tiles(level, order, tile)
            ) as made:  # tifffile counts them and does not ask for the end
                tif.write(
                    made,
                    shape=(*shape, 1) if narrow else shape,
                    metadata=_metadata(spec, order, ome=ome, sample=color or narrow) if i == 0 else None,
                    subifds=len(levels) - 1 if i == 0 else None,
                    subfiletype=1 if i else 0,
                    **_resolution(spec),
                    **options,
                )


def tiles(level: Slabs, order: tuple[str, ...], tile: tuple[int, int]) -> Generator[Array]:
    """Yield the tiles of ``level``, page by page and row by row, full of zeros beyond the edge."""
    rows, columns = tile
    inner = order.index("y")
    for slab in level:
        pages = slab.reshape(-1, *slab.shape[inner:])
        for page in pages:
            for y in range(0, page.shape[0], rows):
                for x in range(0, page.shape[1], columns):
                    part = page[y : y + rows, x : x + columns]
                    if part.shape[:2] == tile:
                        yield np.ascontiguousarray(part)
                        continue
                    whole = np.zeros((*tile, *part.shape[2:]), part.dtype)
                    whole[: part.shape[0], : part.shape[1]] = part
                    yield whole


def _photometric(spec: ImageSpec) -> str:
    names = {channel.name for channel in spec.channels}
    return "rgb" if names >= set("RGB") else "separated" if names >= set("CMYK") else "minisblack"


def _metadata(spec: ImageSpec, order: tuple[str, ...], *, ome: bool, sample: bool) -> dict[str, Any]:
    """Return what tifffile writes into the description: the axes, and for OME all that it has words for."""
    color = order[-1] == "c"
    metadata: dict[str, Any] = {
        "axes": "".join(order[:-1] if color else order).upper() + ("S" if sample else "")
    }
    if not ome:
        return metadata
    for axis in spec.axes:
        if axis.name == "c" or (axis.unit is None and axis.spacing == 1):
            continue
        known = axis.unit in (SECONDS if axis.name == "t" else MILLIMETERS)
        unit = short_unit(axis.unit) if known else "s" if axis.name == "t" else "pixel"
        key = "TimeIncrement" if axis.name == "t" else f"PhysicalSize{axis.name.upper()}"
        metadata |= {key: repr(abs(axis.spacing)), f"{key}Unit": unit}
    if spec.channels and not color:
        metadata["Channel"] = {
            "Name": [channel.name for channel in spec.channels],
            "Color": [_signed(channel.color) for channel in spec.channels],
        }
    return metadata


def _signed(color: str | None) -> int:
    """Return six digits as OME's signed 32-bit RGBA; white where there are none.

    >>> _signed("FF0000")
    -16776961
    """
    value = int((color or "FFFFFF") + "FF", 16)
    return value - (1 << 32) if value >= 1 << 31 else value


def _resolution(spec: ImageSpec) -> dict[str, Any]:
    """Return pixels a centimetre as resolution tags, where the spacing is a length."""
    axes = [spec.axes[spec.axis(name)] for name in "xy"]
    if not all(axis.unit in MILLIMETERS for axis in axes):
        return {}
    density = [10 / (abs(axis.spacing) * MILLIMETERS[axis.unit or ""]) for axis in axes]
    return {"resolution": tuple(density), "resolutionunit": "CENTIMETER"}
