"""A reader of Zeiss CZI: czifile (the extra ``bio``) reads its directory and metadata, the tiles are composed here.

An image of a CZI is a mosaic of tiles in each plane. Later tiles lie over earlier ones, in the order of their mosaic
index; which part of a tile is seen is found once. So each region is the same for any number of threads, and a tile that
is hidden is not decoded. What no tile covers was never scanned: these are holes. Tiles of coarse levels are left out.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bigimg.errors import InputError, UsageError, counted, damage
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import boxes_of, hole_value
from bigimg.geometry.region import count, shape_of, shift
from bigimg.geometry.spec import RGBA, ImageSpec
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.plain import CHUNK, RawFile, is_wide
from bigimg.readers.several import Named, pick
from bigimg.readers.vendor import czi_meta
from bigimg.readers.vendor.czi_directory import (
    CHOSEN, PIXELS, PLANES, SERIES, Directory, bytes_of, check_place, is_resized, level_0,
    read_directory,
)  # fmt: skip
from bigimg.readers.vendor.czi_tiles import CODECS, PLAIN, Part, Tiles, read_bytes
from bigimg.readers.vendor.mosaic import gaps, pitch, seen_parts
from bigimg.types import Array, Region, Shape

OPEN_BYTES, TILE_BYTES = 4 << 20, 1500
"""Memory of an open file, and of each of its tiles: czifile makes an object of each."""
MOST_PLANES = 1 << 24
"""Planes of an image; more are damage."""
MOST_HOLES = 4000
"""Boxes that were never scanned whose places are kept, in the store too."""


@dataclass(frozen=True)
class Series:
    """The tiles of one image of a file, of full resolution."""

    name: str
    scene: int
    """Its index in the file; -1 where the file has no scenes."""
    tiles: Array

    @property
    def channels(self) -> list[int]:
        """Numbers of its channels."""
        return np.unique(self.tiles["C"]).tolist()

    def along(self, name: str) -> range:
        """Return the indices along an axis, from the first that is there to the last."""
        return range(int(self.tiles[name].min()), int(self.tiles[name].max()) + 1)

    @property
    def corner(self) -> tuple[int, int]:
        """First row and first column."""
        return int(self.tiles["box"][:, 0].min()), int(self.tiles["box"][:, 2].min())

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        boxes, (top, left) = self.tiles["box"], self.corner
        return int(boxes[:, 1].max()) - top, int(boxes[:, 3].max()) - left

    @property
    def shape(self) -> Shape:
        """Indices along each axis that has more than one, for the list of images."""
        planes = (len(self.along("T")), len(self.channels), len(self.along("Z")))
        return (*(n for n in planes if n > 1), *self.size)


@dataclass(frozen=True)
class Mosaic:
    """The planes of an image: the tiles of each, and which parts of them are seen."""

    tiles: Array
    """Plane by plane, and of each in the order in which they are painted."""
    first: Array
    """Number of the first tile of each plane, with one axis for each of time, channel and z."""
    layouts: tuple[Array, ...]
    """See :func:`~bigimg.readers.vendor.mosaic.seen_parts`; planes whose tiles lie alike share one."""
    layout: Array
    """Number of the layout of each plane; -1 where it has no tile."""

    def parts(self, plane: tuple[int, ...], region: Region) -> Iterator[tuple[Any, list[Region]]]:
        """Yield each tile that is seen in rows and columns of a plane, and the boxes in which it is, in the file's pixels."""
        if self.layout[plane] < 0:
            return
        rows, columns = region
        parts = self.layouts[self.layout[plane]]
        met = (parts[:, 1] < rows.stop) & (parts[:, 2] > rows.start)
        met &= (parts[:, 3] < columns.stop) & (parts[:, 4] > columns.start)
        for number, found in itertools.groupby(parts[met].tolist(), key=lambda part: part[0]):
            boxes = [
                (slice(max(top, rows.start), min(bottom, rows.stop)), slice(max(left, columns.start), min(right, columns.stop)))
                for _, top, bottom, left, right in found
            ]  # fmt: skip
            yield self.tiles[self.first[plane] + number], boxes


class CziReader:
    """A :class:`bigimg.reader.Reader` of one image of a CZI.

    Parameters
    ----------
    source : str
    spec : ImageSpec
    access : Access
    mosaic : Mosaic
    corner : tuple of int
        Row and column of the file's mosaic that are the first of the image.
    tiles : Tiles
        Their pixels.
    """

    def __init__(
        self,
        source: str,
        spec: ImageSpec,
        access: Access,
        mosaic: Mosaic,
        corner: tuple[int, int],
        tiles: Tiles,
    ) -> None:
        self.source, self.spec, self.access = source, spec, access
        self.mosaic, self.corner, self.tiles = mosaic, corner, tiles

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``; see :meth:`bigimg.reader.Reader.read`."""
        along = dict(zip(self.spec.dims, region, strict=True))
        t, c, z, y, x = (along.get(name, slice(0, 1)) for name in "tczyx")
        result = np.empty(shape_of((t, c, z, y, x)), self.spec.dtype)
        if self.spec.missing:
            result[...] = hole_value(self.spec.dtype, self.spec.padding)
        place = shift((y, x), tuple(-n for n in self.corner))
        samples = self.tiles.pixels.samples
        for channel in range(c.start // samples, -(-c.stop // samples)):
            # The colours of a pixel lie next to one another, so a tile is decoded once for all of them.
            wanted = range(max(c.start - channel * samples, 0), min(c.stop - channel * samples, samples))
            at = channel * samples + wanted.start - c.start
            for i, k in itertools.product(range(t.start, t.stop), range(z.start, z.stop)):
                target = result[i - t.start, at : at + len(wanted), k - z.start]
                for tile, boxes in self.mosaic.parts((i, channel, k), place):
                    top, _, left, _ = tile["box"].tolist()
                    parts = [
                        Part(
                            target[:, *shift(box, (place[0].start, place[1].start))], shift(box, (top, left))
                        )
                        for box in boxes
                    ]
                    self.tiles.copy(tile, parts, wanted)
        return result[tuple(slice(None) if name in along else 0 for name in "tczyx")]

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        self.tiles.file.close()


def open_czi(
    source: str,
    *,
    series: int | str | None = None,
    axis: Mapping[str, int] | None = None,
    allow_partial: bool = False,
) -> CziReader:
    """Return a reader of one image of the CZI at ``source``.

    Parameters
    ----------
    source : str
    series : int or str, optional
        Which scene, view, angle or illumination; the first by default.
    axis : mapping, optional
        Index along H (phases, detectors) and B (blocks), where the file has several.
    allow_partial : bool
        Take planes that were never written as holes.

    Raises
    ------
    MissingExtraError
        czifile is not installed.
    UsageError
        There is no such series, or an index of an axis must be chosen.
    InputError
        The file is cut or damaged, lacks planes, or is of a kind that is not read.
    """
    path = os.fspath(source)
    file = bytes_of(path)
    directory = read_directory(path, file)
    every = _series(path, directory)
    number, others = pick(path, [Named(each.name, each.shape) for each in every], series)
    chosen, said = _chosen(path, every[number], axis or {})
    _check(path, file, chosen)
    pixels = PIXELS[int(chosen.tiles["pixels"][0])]
    planes = _planes(path, chosen, every, czi_meta.planned(directory.xml))
    spec = _spec(directory, chosen, planes, pixels.samples)
    spec = replace(spec, of_source=(*others, *said))
    mosaic = _mosaic(chosen, planes)
    spec = _with_holes(path, spec, chosen, mosaic, pixels.samples, allow_partial=allow_partial)
    return CziReader(
        path, spec, _access(directory, chosen, spec), mosaic, chosen.corner, Tiles(path, file, pixels)
    )


def _series(path: str, directory: Directory) -> list[Series]:
    """Return the images of a file: each scene, view, angle, illumination and type of pixels alone."""
    tiles = level_0(directory.tiles)
    if not len(tiles):
        raise InputError(
            f"{path}: holds tiles of coarse levels alone, and none of full resolution; record it again"
        )
    fields = [*SERIES, "pixels"]
    keys, inverse = np.unique(tiles[fields], return_inverse=True)
    several = {name for name in fields if len(np.unique(keys[name])) > 1}
    scenes = czi_meta.scene_names(directory.xml)
    found = []
    for number, key in enumerate(keys):
        words = []
        for name in fields:
            index = int(key[name])
            if name == "S" and index in scenes:
                words.append(scenes[index])
            elif name == "pixels" and name in several:
                words.append(PIXELS[index].name if index in PIXELS else f"pixels of type {index}")
            elif name in several:
                words.append(f"{SERIES[name]} {index}")
        found.append(Series(" ".join(words), int(key["S"]), tiles[inverse == number]))
    return found


def _chosen(path: str, series: Series, axis: Mapping[str, int]) -> tuple[Series, tuple[str, ...]]:
    """Return ``series`` at one index of each axis of which one must be chosen, and a sentence about the others."""
    said: list[str] = []
    for name in axis:
        if name not in CHOSEN:
            raise UsageError(
                f"{path}: axis={dict(axis)!r}: it has no axis {name!r} to choose of, only {' and '.join(CHOSEN)}"
            )
    for name in CHOSEN:
        there = np.unique(series.tiles[name]).tolist()
        wanted = axis.get(name, there[0] if len(there) == 1 else None)
        has = f"scene {max(series.scene, 0)} has the axis {name} ({there[0]} to {there[-1]})"
        if wanted is None:
            raise InputError(f"{path}: {has}, of which one must be chosen: axis={{{name!r}: {there[0]}}}")
        if wanted not in there:
            raise UsageError(f"{path}: axis={{{name!r}: {wanted!r}}}: {has}; choose one of these")
        if len(there) > 1:
            said.append(f"{has}, and this is {wanted}")
        series = replace(series, tiles=series.tiles[series.tiles[name] == wanted])
    return series, tuple(said)


def _check(path: str, file: RawFile, series: Series) -> None:
    """Refuse an image of a kind that is not read, or whose outermost tiles are not what the directory says."""
    tiles = series.tiles
    if is_resized(tiles).any():
        what = "its tiles are stored at another size than shown (Fast Airyscan), which is not read"
        raise InputError(f"{path}: {what}; save the processed image in ZEN")
    for name, known in (("pixels", PIXELS), ("codec", CODECS)):
        for number in set(tiles[name].tolist()) - known.keys():
            what = f"its tiles have {'pixels' if name == 'pixels' else 'the compression'} of type {number}"
            raise InputError(
                f"{path}: {what}, which is not read; save it without compression in ZEN, or as OME-TIFF"
            )
    ends = [tiles[name] for name in PLANES] + [tiles["box"][:, side] for side in range(4)]
    for number in {int(end.argmin()) for end in ends} | {int(end.argmax()) for end in ends}:
        check_place(path, file, tiles[number])


def _planes(
    path: str, series: Series, every: Sequence[Series], planned: Mapping[str, int]
) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Return the indices of time, channels and z that an image has: those that are there, and those that were planned."""
    found: list[Sequence[int]] = []
    for name in PLANES:
        own, ranges = series.along(name), [each.along(name) for each in every]
        whole = range(min(each.start for each in ranges), max(each.stop for each in ranges))
        if name == "C" and len({int(each.tiles["pixels"][0]) for each in every}) > 1:
            found.append(
                series.channels
            )  # the others have another type of pixels, and are a series of their own
        elif (
            own == whole and 0 <= own.start and own.stop <= planned.get(name, 0) and len(own) < planned[name]
        ):
            found.append(range(planned[name]))
        else:
            found.append(own)
    if (number := math.prod(map(len, found))) > MOST_PLANES:
        raise damage(path, f"its directory of {len(series.tiles)} tiles names {number} planes")
    return found[0], found[1], found[2]


def _mosaic(series: Series, planes: Sequence[Sequence[int]]) -> Mosaic:
    """Return the tiles of each plane, and which parts of them are seen."""
    shape, tiles = tuple(map(len, planes)), series.tiles
    index = [np.searchsorted(along, tiles[name]) for along, name in zip(planes, PLANES, strict=True)]
    # The order of a plane is time, channel, z; of the tiles of one, that of their mosaic index, then that of the file.
    numbers = np.ravel_multi_index(index, shape)
    order = np.lexsort((tiles["M"], numbers))
    tiles, numbers = tiles[order], numbers[order]
    first = np.searchsorted(numbers, np.arange(math.prod(shape) + 1))
    layout = np.full(math.prod(shape), -1)
    known: dict[bytes, int] = {}
    layouts: list[Array] = []
    for plane in np.unique(numbers).tolist():
        boxes = tiles["box"][first[plane] : first[plane + 1]].astype(np.int64)
        if (number := known.setdefault(boxes.tobytes(), len(layouts))) == len(layouts):
            layouts.append(seen_parts(boxes))
        layout[plane] = number
    return Mosaic(tiles, first[:-1].reshape(shape), tuple(layouts), layout.reshape(shape))


def _spec(directory: Directory, series: Series, planes: Sequence[Sequence[int]], samples: int) -> ImageSpec:
    """Return the description of an image, without what it lacks."""
    xml, pixels = directory.xml, PIXELS[int(series.tiles["pixels"][0])]
    times, numbers, depth = planes
    sizes = (len(times), len(numbers) * samples, len(depth), *series.size)
    starts = (times[0], 0, depth[0], *series.corner)
    steps = czi_meta.spacings(xml)
    axes = []
    for name, size, start in zip("tczyx", sizes, starts, strict=True):
        if size > 1 or name in "yx":
            step, unit = steps.get(name, (1.0, None))
            axes.append(Axis(name, size, step, unit, origin=start * step if unit else 0.0))
    channels = czi_meta.channels(xml, numbers)
    if samples > 1:
        colors = RGBA[:samples]
        prefix = [f"{channel.name} " if len(channels) > 1 else "" for channel in channels]
        channels = [replace(color, name=before + color.name) for before in prefix for color in colors]
    known, names = known_channels(channels)
    meta, private = public_and_private(czi_meta.fields(xml, numbers), "czi")
    boxes = series.tiles["box"].astype(np.int64)
    rows, columns = pitch(boxes[(series.tiles[list(PLANES)] == series.tiles[list(PLANES)][0])])
    if (series.tiles["codec"] == PLAIN).all():  # all pieces cost the same, so any size of chunk will do
        rows, columns = 1, CHUNK
    chunk = {"t": 1, "c": samples, "z": 1, "y": rows, "x": columns}
    chunks = tuple(min(chunk[each.name], each.size) for each in axes)
    return ImageSpec(tuple(axes), np.dtype(pixels.dtype), chunks, known, meta=meta, private=private | names)


def _with_holes(
    path: str, spec: ImageSpec, series: Series, mosaic: Mosaic, samples: int, *, allow_partial: bool
) -> ImageSpec:
    """Return ``spec`` with the planes that were never written, and what no tile covers, as holes."""
    written = mosaic.layout >= 0
    dims = [name for name, n in zip("tcz", written.shape, strict=True) if n > 1]
    if samples > 1 and "c" in dims:
        written = written.repeat(samples, axis=1)
    spec = checked_written(
        spec,
        written.reshape([spec.sizes[name] for name in dims]),
        dims,
        source=path,
        allow_partial=allow_partial,
    )
    found: list[Region] = []
    top, left = series.corner
    for number, parts in enumerate(mosaic.layouts):
        uncovered = gaps(parts[:, 1:] - (top, top, left, left), *series.size)
        edges = [range(mosaic.layout.shape[0] + 1), range(0, mosaic.layout.shape[1] * samples + 1, samples)]
        edges.append(range(mosaic.layout.shape[2] + 1))
        for box in boxes_of(mosaic.layout == number, edges) if uncovered else ():
            kept = [along for name, along in zip("tcz", box, strict=True) if name in spec.dims]
            found += ((*kept, slice(a, b), slice(c, d)) for a, b, c, d in uncovered)
    if not found:
        return spec
    lacking = sum(map(count, found))
    note = f"{100 * lacking / spec.size:.3g} % of it were never scanned: no tile covers them, and they are left out of statistics"
    if len(found) > MOST_HOLES:
        found = sorted(found, key=count, reverse=True)
        rest = sum(map(count, found[MOST_HOLES:]))
        note += f"; but {counted(rest, 'pixel')} of these lie in so many small places that they are not, and are 0"
    return replace(spec, missing=(*spec.missing, *found[:MOST_HOLES]), notes=(*spec.notes, note))


def _access(directory: Directory, series: Series, spec: ImageSpec) -> Access:
    codecs = sorted(set(series.tiles["codec"].tolist()))
    boxes = series.tiles["box"].astype(np.int64)
    rows, columns = int((boxes[:, 1] - boxes[:, 0]).max()), int((boxes[:, 3] - boxes[:, 2]).max())
    pixels = PIXELS[int(series.tiles["pixels"][0])]
    names = " and ".join(dict.fromkeys(CODECS[codec] for codec in codecs))
    wide = codecs == [PLAIN] and is_wide(spec.dims, columns * pixels.samples * spec.dtype.itemsize)
    return Access(
        "random", f"tiles of up to {rows} x {columns}, {names}",
        fixed_bytes=OPEN_BYTES + TILE_BYTES * len(directory.tiles), read_bytes=read_bytes(series.tiles, pixels), wide=wide,
    )  # fmt: skip
