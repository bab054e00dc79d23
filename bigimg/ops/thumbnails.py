"""Thumbnails: small pictures of large images, made from the level that fits.

The thumbnail of a pyramid is made from the smallest level that is at least four times finer, as by ``resize``. An
image without levels is averaged once, block by block. In both cases it takes the memory of a few blocks. Where that
level is of a source that is gone, the finest level that is stored does.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import computed
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.ops.derived import image as labelled
from bigimg.ops.levels import finer_level, first_there, levels_of
from bigimg.ops.resizing import resized
from bigimg.ops.upright import upright
from bigimg.types import Array, Convention, FromSource, Opening


def thumbnail(
    img: Source,
    max_size: int = 512,
    *,
    memory: Memory = None,
    levels: FromSource | None = None,
    **opening: Unpack[Opening],
) -> Array:
    """Return a small picture of ``img`` in true aspect, of its own type; of a volume its middle plane.

    It lies as :func:`bigimg.show` draws it: upright if the image has a world affine.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    max_size : int
        Pixels of the longer side at most; a smaller image is not enlarged.
    memory, levels, **opening :
        As in :func:`bigimg.open`.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, c)
        Means, rounded for integers; of labels the nearest, of masks true from one half.

    Raises
    ------
    UsageError
        ``max_size`` is below 1.
    """
    if not isinstance(max_size, int | np.integer) or max_size < 1:
        raise UsageError(
            f"max_size={max_size!r}: give a whole number, for a thumbnail has at least 1 pixel a side"
        )
    flat, whole = flat_level(img, max_size, memory=memory, levels=levels, **opening)
    pixels: Array = computed(shrunk(flat, max_size, whole)).to_numpy()
    return pixels


def flat_level(
    img: Source,
    max_size: int,
    convention: Convention | None = None,
    *,
    memory: Memory = None,
    levels: FromSource | None = None,
    **opening: Unpack[Opening],
) -> tuple[xarray.DataArray, xarray.DataArray]:
    """Return the middle plane (c, y, x), upright, of the level that a thumbnail is made from; and of level 0.

    Where the source of the finest levels is gone, the finest stored level stands for both.
    """
    found = levels_of(img, memory=memory, levels=levels, **opening)
    number, whole = 0, found.base
    if len(found) > 1:
        sides = ("y", "x")
        number = finer_level(found, dict(zip(sides, size_of(found.base, max_size, sides), strict=True)))
        if (there := first_there(found, number)) != number:  # it is not enlarged
            number, whole = there, found[there]
    flat, whole = (upright(_middle(each), convention) for each in (found[number], whole))
    return flat, whole


def _middle(img: xarray.DataArray) -> xarray.DataArray:
    # The last two axes are the sides, as z and x of a coronal plane.
    others = [name for name in ("t", "z", "y", "x") if name in img.dims][:-2]
    return img.isel({name: img.sizes[name] // 2 for name in others})


def size_of(img: xarray.DataArray, max_size: int, sides: tuple[str, str]) -> tuple[int, int]:
    """Return height and width of a picture of ``img`` in true aspect, within ``max_size`` and not enlarged."""
    down, across = sides
    steps = [abs(coordinates.spacing(img, name)) for name in (down, across)]
    if coordinates.units(img, down) != coordinates.units(img, across):
        steps = [1.0, 1.0]  # lengths in different units have no ratio
    sizes = [img.sizes[name] for name in (down, across)]
    # The side with the larger pixels keeps their number, and the other gets fewer: no pixel is invented.
    lengths = [size * step / max(steps) for size, step in zip(sizes, steps, strict=True)]
    shrink = min(1.0, max_size / max(lengths))
    return max(1, round(lengths[0] * shrink)), max(1, round(lengths[1] * shrink))


def shrunk(img: xarray.DataArray, max_size: int, whole: xarray.DataArray | None = None) -> xarray.DataArray:
    """Return a plane with axes (h, w) or (h, w, c), in true aspect within ``max_size``; lazy.

    ``img`` is a level of ``whole``, if that is given. Means, rounded for integers; of labels the nearest, of masks true
    from one half.

    Raises
    ------
    UsageError
        It is not a plane: it has more than two axes, without c.
    """
    sides = [str(name) for name in img.dims if name != "c"]
    if len(sides) != 2:
        raise UsageError(
            f"a picture has two axes beside c, this image {' '.join(map(str, img.dims))}: take a plane"
        )
    down, across = sides
    found = labelled(img)
    whole = found if whole is None else whole
    target = size_of(whole, max_size, (down, across))
    shape = dict(zip(sides, target, strict=True))
    return resized(found, whole, shape).transpose(down, across, ...)
