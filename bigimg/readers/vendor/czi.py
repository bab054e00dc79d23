"""A reader of Zeiss CZI: czifile (the extra ``bio``) reads its directory and metadata, the tiles are composed here.

An image of a CZI is a mosaic of tiles in each plane. Later tiles lie over earlier ones, in the order of their mosaic
index; which part of a tile is seen is found once. So each region is the same for any number of threads, and a tile that
is hidden is not decoded. What no tile covers was never scanned: these are holes. Tiles of coarse levels make images of
their own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from bigimg.errors import CUT_HERE
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import OF_THE_PIXELS, boxes_of, few_enough, hole_value
from bigimg.geometry.region import count, of_axes, on_all_axes, shape_of, shift
from bigimg.geometry.spec import RGBA, ImageSpec
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.plain import CHUNK, is_wide
from bigimg.readers.several import Named, pick
from bigimg.readers.vendor import czi_meta
from bigimg.readers.vendor.czi_directory import (
    LOST,
    NO_DIRECTORY,
    PIXELS,
    PLANES,
    Directory,
    Pixels,
    bytes_of,
    read_directory,
    sample_of,
)
from bigimg.readers.vendor.czi_images import (
    Mosaic,
    Series,
    at_one_index,
    check_kind,
    coarse_levels,
    images_of,
    mosaic_of,
    planes_of,
)
from bigimg.readers.vendor.czi_tiles import CODECS, JPEG, JPEG_XR, PLAIN, Part, Tiles, read_bytes, tile_bytes
from bigimg.readers.vendor.czi_times import even_step
from bigimg.readers.vendor.mosaic import gaps, pitch
from bigimg.types import Array, Region

KEPT_BYTES = 1 << 27
"""The most that decoded tiles which are wanted again take; where a row of tiles is larger, none is kept."""
LOSSY = (JPEG, JPEG_XR)
"""Compressions that may change pixels."""
BESIDE = 2
"""Tiles that are kept beside one row of them: those at the ends of the blocks that are read now. One is used, by
up to four workers (counted); the other is for a worker that lags behind."""
PLANE_BYTES = 64
"""Memory of the tables of planes, for each of them, while they are made; measured."""


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
        self.coarser: tuple[Callable[[], CziReader], ...] = ()
        """What opens each coarser level; see :func:`bigimg.reader.coarser_of`."""
        self.lossy = False

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``; see :meth:`bigimg.reader.Reader.read`."""
        t, c, z, y, x = on_all_axes(region, self.spec.dims)
        result = np.empty(shape_of((t, c, z, y, x)), self.spec.dtype)
        if self.spec.missing:  # what no tile covers is among these, and tiles that are cut off
            result[...] = hole_value(self.spec.dtype, self.spec.padding)
        place = shift((y, x), tuple(-n for n in self.corner))
        samples = self.tiles.pixels.samples
        for channel in range(c.start // samples, -(-c.stop // samples)):
            # The colours of a pixel lie next to one another, so a tile is decoded once for all of them.
            wanted = range(max(c.start - channel * samples, 0), min(c.stop - channel * samples, samples))
            at = channel * samples + wanted.start - c.start
            for i, k in itertools.product(range(t.start, t.stop), range(z.start, z.stop)):
                target = result[i - t.start, at : at + len(wanted), k - z.start]
                for tile, seen, boxes in self.mosaic.parts((i, channel, k), place):
                    if tile["at"] == LOST:
                        continue
                    top, _, left, _ = tile["box"].tolist()
                    targets = [shift(box, (place[0].start, place[1].start)) for box in boxes]
                    parts = [
                        Part(target[:, *own], shift(box, (top, left)))
                        for own, box in zip(targets, boxes, strict=True)
                    ]
                    self.tiles.copy(tile, parts, wanted, seen)
        return result[of_axes(self.spec.dims)]

    def close(self) -> None:
        """Let go of the file and of tiles that are kept; a later read opens it again."""
        self.tiles.file.close()
        self.tiles.kept.clear()


def open_czi(
    source: str,
    *,
    series: int | str | None = None,
    axis: Mapping[str, int] | None = None,
    allow_partial: bool = False,
    level: int = 0,
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
        Take planes that were never written, and tiles behind the end of a file that was cut, as holes.

    Raises
    ------
    MissingExtraError
        czifile is not installed.
    UsageError
        There is no such series, or no such index of an axis.
    InputError
        The file is cut or damaged, lacks planes, is of a kind that is not read, or an index must be chosen.
    """
    path = os.fspath(source)
    file = bytes_of(path)
    directory = read_directory(path, file, allow_partial=allow_partial)
    every = images_of(path, directory)
    number, others = pick(path, [Named(each.name, each.shape) for each in every], series)
    levels = [every[number], *coarse_levels(every[number], directory)]
    image, said = at_one_index(path, levels[level], axis)
    check_kind(path, file, image)
    pixels = PIXELS[int(image.tiles["pixels"][0])]
    planes = planes_of(path, image, every, czi_meta.planned(directory.xml))
    tiles = Tiles(path, file, pixels, _kept(image, planes, pixels))
    for tile in sample_of(image.tiles[image.tiles["at"] != LOST]):
        tiles.check(tile)
    mosaic = mosaic_of(image, planes)
    spec = replace(_spec(directory, image, planes, tiles), of_source=(*others, *said))
    spec = _with_holes(path, spec, image, mosaic, pixels.samples, allow_partial=allow_partial)
    access = _access(directory, image, spec, tiles, mosaic)
    found = CziReader(path, spec, access, mosaic, image.corner, tiles)
    opener = partial(open_czi, path, series=number, axis=axis, allow_partial=allow_partial)
    found.coarser = tuple(partial(opener, level=each) for each in range(level + 1, len(levels)))
    found.lossy = bool(np.isin(image.tiles["codec"], LOSSY).any())
    return found


def _kept(series: Series, planes: Sequence[Sequence[int]], pixels: Pixels) -> int:
    """Return how many decoded tiles are kept until all of them was read: about a row of them, where that helps."""
    boxes = _of_a_plane(series)
    steps = pitch(boxes)
    row = min(-(-series.size[1] // steps[1]) + BESIDE, 2 * len(boxes))
    on_grid = not ((boxes[:, ::2] - series.corner) % steps).any()
    if on_grid and all(step.bit_count() == 1 for step in steps):
        return 0  # blocks are powers of two as well, and cut no tile
    if (series.tiles["codec"] == PLAIN).all() or len(planes[2]) > 1:  # a block of a stack meets many planes
        return 0
    return row if row * tile_bytes(series.tiles, pixels) <= KEPT_BYTES else 0


def _of_a_plane(series: Series) -> Array:
    """Return the boxes of the tiles of one plane."""
    planes = series.tiles[list(PLANES)]
    boxes: Array = series.tiles["box"][planes == planes[0]].astype(np.int64)
    return boxes


def _spec(directory: Directory, series: Series, planes: Sequence[Sequence[int]], tiles: Tiles) -> ImageSpec:
    """Return the description of an image, without what it lacks."""
    xml, pixels = directory.xml, tiles.pixels
    samples = pixels.samples
    times, numbers, depth = planes
    sizes = (len(times), len(numbers) * samples, len(depth), *series.size)
    starts = (times[0], 0, depth[0], *series.corner)
    steps = czi_meta.spacings(xml)
    step, uneven = even_step(directory.times, 0 if "t" in steps else len(times))
    notes = (*directory.notes, *uneven)
    steps |= {"t": (step, "second")} if step else {}
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
    rows, columns = pitch(_of_a_plane(series))
    # Where pieces of tiles cost what all of them do, any size of chunk will do.
    if tiles.kept.most or (series.tiles["codec"] == PLAIN).all():
        rows, columns = 1, CHUNK
    chunk = {"t": 1, "c": samples, "z": 1, "y": rows, "x": columns}
    chunks = tuple(min(chunk[each.name], each.size) for each in axes)
    return ImageSpec(
        tuple(axes), np.dtype(pixels.dtype), chunks, known, meta=meta, notes=notes, private=private | names
    )


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
    edges = [range(0, samples * n + 1, samples) if name == "c" else range(n + 1)
             for name, n in zip("tcz", mosaic.layout.shape, strict=True)]  # fmt: skip

    def boxes(planes: Array, parts: Iterable[Sequence[int]]) -> Iterator[Region]:
        for box in boxes_of(planes, edges):
            along = [part for name, part in zip("tcz", box, strict=True) if name in spec.dims]
            yield from ((*along, slice(a, b), slice(c, d)) for a, b, c, d in parts)

    top, left = series.corner
    corner = (top, top, left, left)
    cut = [each for planes, parts in mosaic.lost() for each in boxes(planes, (parts - corner).tolist())]
    spec = _lacking(spec, cut, path, "lie in tiles behind the end of the file")
    never = [
        each
        for number, parts in enumerate(mosaic.layouts)
        if (uncovered := gaps(parts[:, 1:] - corner, *series.size))
        for each in boxes(mosaic.layout == number, uncovered)
    ]
    if any(NO_DIRECTORY in note for note in spec.notes):
        return _lacking(spec, never, path, f"lie in no tile {CUT_HERE}: they were cut off, or never scanned")
    return _lacking(spec, never, path, "were never scanned: no tile covers them")


def _lacking(spec: ImageSpec, found: Sequence[Region], path: str, what: str) -> ImageSpec:
    """Return ``spec`` with more holes, and a note that says ``what`` these pixels are."""
    if not found:
        return spec
    note = f"{100 * sum(map(count, found)) / spec.size:.3g} {OF_THE_PIXELS}{what}"
    note += ", and they are left out of statistics and coarser levels"
    missing = few_enough((*spec.missing, *found), path, "choose another scene by series=NAME")
    return replace(spec, missing=missing, notes=(*spec.notes, note))


def _access(directory: Directory, series: Series, spec: ImageSpec, tiles: Tiles, mosaic: Mosaic) -> Access:
    codecs = sorted(set(series.tiles["codec"].tolist()))
    boxes = series.tiles["box"].astype(np.int64)
    rows, columns = int((boxes[:, 1] - boxes[:, 0]).max()), int((boxes[:, 3] - boxes[:, 2]).max())
    pixels = tiles.pixels
    kept_bytes = tiles.kept.most * tile_bytes(series.tiles, pixels)
    names = " and ".join(dict.fromkeys(CODECS[codec] for codec in codecs))
    wide = codecs == [PLAIN] and is_wide(spec.dims, columns * pixels.samples * spec.dtype.itemsize)
    return Access(
        "random", f"tiles of {rows} x {columns}, {names}",
        fixed_bytes=directory.memory_bytes + PLANE_BYTES * mosaic.layout.size + kept_bytes,
        read_bytes=read_bytes(series.tiles, pixels), wide=wide,
    )  # fmt: skip
