"""Export to tiled TIFF and OME-TIFF with levels as SubIFDs: tifffile writes from an iterator of tiles.

Tiles are cut from slabs row by row and padded with zeros beyond the edge. A tile has the shape of a source chunk if
TIFF allows it, so that each chunk is read once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Encode, Layout, Slabs, channels_last, pixel_millimeters
from bigimg.geometry.axes import MILLIMETERS, SECONDS, short_unit
from bigimg.geometry.chunks import is_color
from bigimg.geometry.region import grid
from bigimg.geometry.spec import ImageSpec
from bigimg.system.processes import usable_cpus
from bigimg.types import Array

TILE = 512
"""Pixels of a tile along y and x by default: those of a chunk of a store."""
SMALLEST, LARGEST = 128, 1024
"""Source chunks with sides between these become tiles; TIFF demands multiples of 16."""
CLASSIC_BYTES = 4_000_000_000
"""A classic TIFF has at most 2**32 bytes; the rest is for tables and for what deflate may add."""
IN_FLIGHT_BYTES = 16 << 20
"""Bytes of tiles that are compressed at once."""
COMPRESSIONS = {"deflate": "deflate", "zstd": "zstd", "none": None}
LEVELS = {"deflate": 5, "zstd": 3}
"""Compression level of each codec."""
OME_TYPES = {"b1", "i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"}
"""Types for which OME-XML has a name."""


def lay_out(levels: Sequence[ImageSpec], target: Path, *, compression: str = "deflate") -> Layout:
    """Return how a plain TIFF holds the image: axes in tifffile's description, spacing of y and x in tags.

    Raises
    ------
    UsageError
        The compression is not known.
    """
    lost = "a plain TIFF keeps 9 digits of spacing of y and x, and no origin, z or names: use .ome.tif"
    return _lay_out(levels, target, compression, lost, ome=False)


def lay_out_ome(levels: Sequence[ImageSpec], target: Path, *, compression: str = "deflate") -> Layout:
    """Return how an OME-TIFF holds the image: spacing, units, channel names and colours in OME-XML.

    Raises
    ------
    UsageError
        OME has no such type of pixels, or the compression is not known.
    """
    spec = levels[0]
    if spec.dtype.str[1:] not in OME_TYPES:
        raise UsageError(f"{target}: OME-TIFF has no {spec.dtype}: write .npy or a plain .tif")
    return _lay_out(levels, target, compression, "OME-TIFF keeps no origin and no affine", ome=True)


def _lay_out(levels: Sequence[ImageSpec], target: Path, compression: str, lost: str, *, ome: bool) -> Layout:
    import imagecodecs  # noqa: F401  # so that the plan measures memory after these imports
    import tifffile  # noqa: F401

    if compression not in COMPRESSIONS:
        raise UsageError(f"{target}: compression {compression!r} is not one of {', '.join(COMPRESSIONS)}")
    spec = levels[0]
    # Channels of booleans are pages: readers disagree about bits that are packed side by side in a pixel.
    color = is_color(spec) and spec.dtype != bool
    order = channels_last(spec) if color else spec.dims
    tile = _tile(spec)
    encode: Encode = functools.partial(_encode, order=order, tile=tile, compression=compression, ome=ome)
    tile_bytes = math.prod(tile) * spec.dtype.itemsize * (spec.sizes["c"] if order[-1] == "c" else 1)
    return Layout(
        order, spec.dtype.newbyteorder("="), encode=encode, rows=tile[0], levels=len(levels), notes=(lost,),
        encode_bytes=4 * max(tile_bytes, IN_FLIGHT_BYTES) + 64 * _tiles(levels, tile),
    )  # fmt: skip


def _tile(spec: ImageSpec) -> tuple[int, int]:
    """Return rows and columns of a tile: those of a source chunk if TIFF allows it."""
    rows, columns = (spec.chunks[spec.axis(name)] for name in "yx")
    fits = all(n % 16 == 0 and SMALLEST <= n <= LARGEST for n in (rows, columns))
    return (rows, columns) if fits else (TILE, TILE)


def _tiles(levels: Sequence[ImageSpec], tile: tuple[int, int]) -> int:
    """Return the number of tiles of all levels."""
    return sum(
        math.prod(n for name, n in spec.sizes.items() if name not in "yx")
        * math.prod(grid((spec.sizes["y"], spec.sizes["x"]), tile))
        for spec in levels
    )


def _encode(
    levels: Sequence[Slabs], file: IO[bytes], *, order: tuple[str, ...], tile: tuple[int, int], compression: str,
    ome: bool,
) -> None:  # fmt: skip
    """Write the levels; each page of the first level has those of the other levels as SubIFDs."""
    import tifffile

    first = levels[0].spec
    color = order[-1] == "c"
    big = sum(level.spec.nbytes for level in levels) > CLASSIC_BYTES
    # A plain TIFF is described by its shape: a last axis of 1 counts as no axis, and z as rows, but not for a sample.
    narrow = first.sizes["x"] == 1 and not color and not ome
    options: dict[str, Any] = {
        "dtype": first.dtype,
        "tile": tile,
        "compression": COMPRESSIONS[compression],
        "compressionargs": {"level": LEVELS[compression]} if compression in LEVELS else None,
        "predictor": compression != "none" and first.dtype != bool and first.dtype.itemsize <= 4,
        "photometric": _photometric(first) if color else "minisblack",
        "planarconfig": "contig" if color or narrow else None,
        "extrasamples": ["unassalpha"] if color and first.channels[-1].name == "A" else None,
        "maxworkers": usable_cpus(),
        "buffersize": IN_FLIGHT_BYTES,
        "software": "bigimg",
    }
    with tifffile.TiffWriter(file, bigtiff=big, ome=ome, byteorder="<") as tif:
        for i, level in enumerate(levels):
            spec = level.spec
            shape = tuple(spec.sizes[name] for name in order)
            with closing(
                tiles(level, order, tile)
            ) as made:  # tifffile counts tiles and does not exhaust them
                tif.write(
                    made,
                    shape=(*shape, 1) if narrow else shape,
                    metadata=None if ome and i else _metadata(spec, order, ome=ome, sample=color or narrow),
                    subifds=None if i else len(levels) - 1,
                    subfiletype=1 if i else 0,
                    **_resolution(spec),
                    **options,
                )


def tiles(level: Slabs, order: tuple[str, ...], tile: tuple[int, int]) -> Generator[Array]:
    """Yield the tiles of ``level``, page by page and row by row, with zeros beyond the edge."""
    rows, columns = tile
    inner = order.index("y")
    for slab in level.arrays:
        for page in slab.reshape(-1, *slab.shape[inner:]):
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
    """Return the metadata for tifffile's description: the axes, and for OME all that OME-XML can hold."""
    color = order[-1] == "c"
    axes = "".join(order[:-1] if color else order).upper()
    metadata: dict[str, Any] = {"axes": axes + ("S" if sample else "")}
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
    """Return a colour of six digits as OME's signed 32-bit RGBA; white if there is none.

    >>> _signed("FF0000")
    -16776961
    """
    value = int((color or "FFFFFF") + "FF", 16)
    return value - (1 << 32) if value >= 1 << 31 else value


def _resolution(spec: ImageSpec) -> dict[str, Any]:
    """Return resolution tags in pixels a centimetre; none if the spacing is not a length."""
    if (sides := pixel_millimeters(spec)) is None:
        return {}
    return {"resolution": tuple(10 / side for side in sides), "resolutionunit": "CENTIMETER"}
