"""The level for a screen, and reading the pixels that it shows, on all processors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from bigimg.lazy.dask_compute import computed
from bigimg.lazy.node_of_array import opened_pixels
from bigimg.opening import coordinates
from bigimg.opening.levels import Levels as LevelsOf
from bigimg.opening.open import Memory
from bigimg.ops.derived import pixels_of, placeholder
from bigimg.planning.room import room
from bigimg.system.processes import usable_cpus

if TYPE_CHECKING:
    import xarray

type Levels = LevelsOf[xarray.DataArray]

HELD_BYTES = 256 << 20
"""The largest image that is kept whole, if it can only be read in order and several of its planes are drawn."""
SHARED_BYTES = 1 << 18
"""The largest plane that one processor reads alone: to start another one takes as long."""


def held(levels: Levels, memory: Memory) -> Levels:
    """Return the levels for drawing several planes; a small image that can only be read in order is computed now.

    Otherwise each plane of a ``.nii.gz`` would be a pass over the file.
    """
    pixels = opened_pixels(levels.base)
    ordered = pixels is not None and pixels.reader.access.kind != "random"
    # A quarter of the memory: while it is computed there are two copies, and drawing needs the rest.
    if len(levels) == 1 and ordered and levels.base.nbytes <= min(HELD_BYTES, room(memory).free // 4):
        return levels.map(computed)
    return levels


def level_for(
    levels: Levels, sides: tuple[str, str], pixels: tuple[float, float], *, enough: float = 1.0
) -> int:
    """Return the smallest level that has ``enough`` pixels for each on the screen, along both sides.

    Parameters
    ----------
    sides : (str, str)
        Axes that run down and across.
    pixels : (float, float)
        Height and width on the screen.
    """
    base = levels.base
    wanted = zip(sides, needed(base, sides, pixels), strict=True)
    return levels.fitting({name: enough * min(n, base.sizes[name]) for name, n in wanted})


def lengths(image: xarray.DataArray, sides: tuple[str, str]) -> tuple[float, float]:
    """Return the physical length along each side; in pixels if the two have different units."""
    if coordinates.units(image, sides[0]) != coordinates.units(image, sides[1]):
        return float(image.sizes[sides[0]]), float(image.sizes[sides[1]])
    down, across = (image.sizes[name] * abs(coordinates.spacing(image, name)) for name in sides)
    return down, across


def needed(
    image: xarray.DataArray, sides: tuple[str, str], pixels: tuple[float, float]
) -> tuple[float, float]:
    """Return the size on the screen in pixels, in true aspect and within ``pixels`` (height, width)."""
    down, across = lengths(image, sides)
    scale = min(pixels[0] / down, pixels[1] / across)
    return down * scale, across * scale


def nearest_in(level: xarray.DataArray, base: xarray.DataArray, name: str, index: int) -> int:
    """Return the index along ``name`` of ``level`` whose pixel holds the centre of pixel ``index`` of ``base``."""
    if level.sizes[name] == base.sizes[name]:
        return index
    position = coordinates.origin(base, name) + index * coordinates.spacing(base, name)
    found = round((position - coordinates.origin(level, name)) / coordinates.spacing(level, name))
    return min(max(found, 0), level.sizes[name] - 1)


def read_at(
    image: xarray.DataArray, places: Mapping[str, int | slice], *, workers: int | None = None
) -> xarray.DataArray:
    """Return the computed part of ``image`` at ``places``, read on all processors or on ``workers`` of them.

    Slicing in dask's graph would read whole blocks, 64 MB each.
    """
    pixels = pixels_of(image)
    if pixels is None:
        found: xarray.DataArray = computed(image.isel(places))
        return found
    like = placeholder(image).isel(places)
    region = tuple(
        slice(at, at + 1) if isinstance(at, int) else slice(*at.indices(size))
        for at, size in ((places.get(str(name), slice(None)), size) for name, size in image.sizes.items())
    )
    shape = tuple(part.stop - part.start for part in region)
    lines = max(range(len(shape)), key=shape.__getitem__)
    out = np.empty(shape, image.dtype)

    def fill(start: int, stop: int) -> None:
        part = slice(start, stop)
        inside = (*region[:lines], part, *region[lines + 1 :])
        first = region[lines].start
        out[(*(slice(None),) * lines, slice(start - first, stop - first))] = pixels[inside]

    parts = _shares(
        region[lines], pixels.chunks[lines], (workers or usable_cpus()) if out.nbytes > SHARED_BYTES else 1
    )
    if len(parts) == 1:
        fill(*parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(lambda ends: fill(*ends), parts))
    return like.copy(data=out.reshape(like.shape))


def _shares(line: slice, chunk: int, count: int) -> list[tuple[int, int]]:
    """Return ``line`` cut into at most ``count`` parts between chunks."""
    first, last = line.start // chunk, -(-line.stop // chunk)
    cuts = sorted({first + (last - first) * i // count for i in range(count + 1)})
    return [
        (max(low * chunk, line.start), min(high * chunk, line.stop)) for low, high in itertools.pairwise(cuts)
    ]
