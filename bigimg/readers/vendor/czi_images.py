"""The images of a CZI file: which there are, which is meant, and what tiles each plane of it has."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bigimg.errors import InputError, damage
from bigimg.geometry.region import overlap
from bigimg.readers.raw.plain import RawFile
from bigimg.readers.several import pick_indices
from bigimg.readers.vendor import czi_meta
from bigimg.readers.vendor.czi_directory import (
    CHOSEN,
    LOST,
    PIXELS,
    PLANES,
    SERIES,
    Directory,
    check_place,
    is_resized,
    level_0,
    of_level,
)
from bigimg.readers.vendor.czi_tiles import CODECS
from bigimg.readers.vendor.mosaic import seen_parts
from bigimg.types import Array, Region, Shape

MOST_LEVELS = 20
"""Levels of an image; more are damage."""
MOST_PLANES = 1 << 24
"""Planes of an image; more are damage."""


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
        return [int(number) for number in np.unique(self.tiles["C"])]

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
    seen: tuple[Array, ...]
    """Pixels that are seen of each tile of a layout."""

    def parts(self, plane: tuple[int, ...], region: Region) -> Iterator[tuple[Any, int, list[Region]]]:
        """Yield each tile that is seen in rows and columns of a plane, its pixels that are, and the boxes of those.

        All count pixels as the file does, which may begin at any number.
        """
        if self.layout[plane] < 0:
            return
        rows, columns = region
        parts, seen = self.layouts[self.layout[plane]], self.seen[self.layout[plane]]
        met = (parts[:, 1] < rows.stop) & (parts[:, 2] > rows.start)
        met &= (parts[:, 3] < columns.stop) & (parts[:, 4] > columns.start)
        for number, found in itertools.groupby(parts[met].tolist(), key=lambda part: part[0]):
            boxes = [overlap(region, (slice(a, b), slice(c, d))) for _, a, b, c, d in found]
            yield self.tiles[self.first[plane] + number], int(seen[number]), boxes

    def lost(self) -> Iterator[tuple[Array, Array]]:
        """Yield some planes that have tiles, and the boxes in them that are seen of tiles which are cut off.

        Planes are an array of bool of the shape of ``layout``.
        """
        first, layout = self.first.reshape(-1), self.layout.reshape(-1)
        lost = np.flatnonzero(self.tiles["at"] == LOST)
        planes, index = np.unique(np.searchsorted(first, lost, "right") - 1, return_index=True)
        alike: dict[tuple[int, bytes], list[int]] = {}
        for plane, own in zip(planes.tolist(), np.split(lost, index[1:]), strict=False):
            if layout[plane] >= 0:
                alike.setdefault((int(layout[plane]), (own - first[plane]).tobytes()), []).append(plane)
        for (number, own_of), same in alike.items():
            parts, cells = self.layouts[number], np.zeros(self.layout.shape, bool)
            cells.reshape(-1)[same] = True
            yield cells, parts[np.isin(parts[:, 0], np.frombuffer(own_of, np.int64)), 1:]


def images_of(path: str, directory: Directory) -> list[Series]:
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


def coarse_levels(series: Series, directory: Directory) -> list[Series]:
    """Return the coarser levels of an image that the file has itself, fine to coarse.

    Left out are levels whose tiles begin within a pixel.
    """
    fields = [*SERIES, "pixels"]
    own = directory.tiles[directory.tiles[fields] == series.tiles[fields][0]]
    own = own[is_resized(own) & (own["stored"] > 0).all(axis=1)]
    sizes = own["box"][:, 1::2] - own["box"][:, ::2]
    zooms = np.unique(np.rint(sizes / own["stored"]).astype(int).max(axis=1)).tolist() if len(own) else []
    found = []
    for zoom in zooms if len(zooms) <= MOST_LEVELS else ():
        tiles = of_level(own, zoom)
        starts = own["box"][np.isin(own["at"], tiles["at"])][:, ::2] - series.corner
        if zoom > 1 and len(tiles) and not (starts % zoom).any():
            found.append(replace(series, tiles=tiles))
    return found


def at_one_index(path: str, series: Series, axis: Mapping[str, int] | None) -> tuple[Series, tuple[str, ...]]:
    """Return ``series`` at one index of each axis of which one must be chosen, and sentences about the others."""
    there = {name: np.unique(series.tiles[name]).tolist() for name in CHOSEN}
    index, said = pick_indices(path, f"scene {max(series.scene, 0)}", there, axis)
    meant = np.logical_and.reduce([series.tiles[name] == number for name, number in index.items()])
    return replace(series, tiles=series.tiles[meant]), said


def check_kind(path: str, file: RawFile, series: Series) -> None:
    """Refuse an image of a kind that is not read, or whose outermost tiles are not what the directory says."""
    tiles = series.tiles
    if (is_resized(tiles) & (tiles["zoom"] == 1)).any():
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
        if tiles["at"][number] != LOST:
            check_place(path, file, tiles[number])


def planes_of(
    path: str, series: Series, every: Sequence[Series], planned: Mapping[str, int]
) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Return the indices of time, channels and z that an image has, with those that were planned and are not there."""
    found: list[Sequence[int]] = []
    for name in PLANES:
        own, ranges = series.along(name), [each.along(name) for each in every]
        whole = range(min(each.start for each in ranges), max(each.stop for each in ranges))
        most = planned.get(name, 0)
        if name == "C" and len({int(each.tiles["pixels"][0]) for each in every}) > 1:
            found.append(series.channels)  # those of another type of pixels are a series of their own
        elif own == whole and own.start >= 0 and own.stop <= most and len(own) < most:
            found.append(range(most))
        else:
            found.append(own)
    if (number := math.prod(map(len, found))) > MOST_PLANES:
        raise damage(path, f"its directory of {len(series.tiles)} tiles names {number} planes")
    return found[0], found[1], found[2]


def mosaic_of(series: Series, planes: Sequence[Sequence[int]]) -> Mosaic:
    """Return the tiles of each plane, and which parts of them are seen; a plane of which all are lost has none."""
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
        if (tiles["at"][first[plane] : first[plane + 1]] != LOST).any():
            layout[plane] = number
    seen = (
        np.bincount(each[:, 0], (each[:, 2] - each[:, 1]) * (each[:, 4] - each[:, 3])) for each in layouts
    )
    return Mosaic(tiles, first[:-1].reshape(shape), tuple(layouts), layout.reshape(shape), tuple(seen))
