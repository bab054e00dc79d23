"""Small pictures of large images, from the level that fits.

A thumbnail of a pyramid reads a level of at least its own size; without levels the image is averaged once,
block by block, so the memory stays that of a few blocks either way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.region import scale_up
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source, open_levels
from bigimg.ops.derived import derive, source_block
from bigimg.ops.derived import image as labelled
from bigimg.ops.downsampling import window_block
from bigimg.types import Array, DType, Region, Shape

if TYPE_CHECKING:
    import xarray


def thumbnail(
    img: Source, max_size: int = 512, *, memory: Memory = None, series: int | str | None = None
) -> Array:
    """Return a small picture of ``img`` in true aspect, of its own type; of a volume its middle plane.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    max_size : int
        Pixels of the longer side at most; a smaller image is not enlarged.
    memory, series :
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
    return shrunk(flat_level(img, max_size, memory=memory, series=series), max_size)


def flat_level(
    img: Source, max_size: int, *, memory: Memory = None, series: int | str | None = None
) -> xarray.DataArray:
    """Return the middle plane (c, y, x) of the smallest level whose longer side has ``max_size`` pixels.

    The longer side is meant as the thumbnail shows it, in true aspect.
    """
    levels = open_levels(img, memory=memory, series=series).map(labelled)
    image = levels.base
    if len(levels) > 1:
        sides = ("y", "x")
        image = levels[levels.fitting(dict(zip(sides, size_of(image, max_size, sides), strict=True)))]
    beside = [name for name in ("t", "z", "y", "x") if name in image.dims][
        :-2
    ]  # z of a coronal plane is a side
    return image.isel({name: image.sizes[name] // 2 for name in beside})


def size_of(img: xarray.DataArray, max_size: int, sides: tuple[str, str]) -> tuple[int, int]:
    """Return height and width of a picture of ``img`` in true aspect, within ``max_size`` and not enlarged."""
    down, across = sides
    steps = [abs(coordinates.spacing(img, name)) for name in (down, across)]
    if coordinates.units(img, down) != coordinates.units(img, across):
        steps = [1.0, 1.0]  # lengths in unlike units have no ratio
    sizes = [img.sizes[name] for name in (down, across)]
    # The side with the coarser pixels keeps its number, the other is squeezed: no pixel is made up.
    lengths = [size * step / max(steps) for size, step in zip(sizes, steps, strict=True)]
    shrink = min(1.0, max_size / max(lengths))
    return max(1, round(lengths[0] * shrink)), max(1, round(lengths[1] * shrink))


def shrunk(img: xarray.DataArray, max_size: int) -> Array:
    """Return a plane (h, w) or (h, w, c) as numpy, in true aspect within ``max_size``.

    Raises
    ------
    UsageError
        It is not a plane: more than two axes beside c.
    """
    down, across = _sides(img)
    target = size_of(img, max_size, (down, across))
    kind = img.attrs.get("kind", "image")
    if kind == "labels":
        index = [_nearest(img.sizes[name], size) for name, size in zip((down, across), target, strict=True)]
        return _color_last(img.isel({down: index[0], across: index[1]}), down, across)
    dtype, size = img.dtype, (img.sizes[down], img.sizes[across])
    factor = _factor(size, target)
    pixels = _color_last(_averaged(img, (down, across), factor), down, across)
    if pixels.shape[:2] != target:
        pixels = _resized(pixels, target, (size[0] / factor, size[1] / factor))
    if dtype.kind == "b":
        return pixels >= 0.5
    if dtype.kind in "ui" and pixels.dtype != dtype:
        info = np.iinfo(dtype)
        return np.clip(np.rint(pixels), info.min, info.max).astype(dtype)
    return pixels.astype(dtype, copy=False)


def _sides(img: xarray.DataArray) -> tuple[str, str]:
    sides = [str(name) for name in img.dims if name != "c"]
    if len(sides) != 2:
        raise UsageError(
            f"a picture has two axes beside c, this image {' '.join(map(str, img.dims))}: take a plane"
        )
    return sides[0], sides[1]


def _color_last(img: xarray.DataArray, down: str, across: str) -> Array:
    pixels: Array = img.transpose(down, across, ...).to_numpy()
    return pixels


def _nearest(size: int, target: int) -> Array:
    return ((np.arange(target) + 0.5) * size / target).astype(np.intp)


def _factor(size: Shape, target: Shape) -> int:
    """Return the power of two to average by: all of it where that is exact, else half, for a smooth rest.

    Powers of two divide the chunks of most files, so no block waits for its neighbours.
    """
    power = int(math.log2(min(n / m for n, m in zip(size, target, strict=True))))
    exact = all(m << power == n for n, m in zip(size, target, strict=True))
    return 1 << (power if exact else max(0, power - 1))


@dataclass(frozen=True, slots=True)
class Averages:
    """The mean of each window as a float, of what is there at the edge (:class:`bigimg.ops.derived.Operation`)."""

    size: Shape
    """Of the source."""
    dtype: DType
    step: Shape

    @property
    def shape(self) -> Shape:
        """By ceil."""
        return tuple(-(-n // f) for n, f in zip(self.size, self.step, strict=True))

    @property
    def beside(self) -> int:
        """Sums, how many pixels each is of, and at the edge zeros that make windows whole."""
        return 8

    def source(self, region: Region) -> Region:
        """Return the windows of ``region``."""
        return scale_up(region, self.step, self.size)

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the means."""
        short = [(0, -n % f) for n, f in zip(block.shape, self.step, strict=True)]
        whole = np.pad(block, short) if any(n for _, n in short) else block
        shape = [k for n, f in zip(whole.shape, self.step, strict=True) for k in (n // f, f)]
        total: Array = whole.reshape(shape).sum(axis=tuple(range(1, len(shape), 2)), dtype=self.dtype)
        there = [
            np.minimum(f, n - f * np.arange(-(-n // f))) for n, f in zip(block.shape, self.step, strict=True)
        ]
        total /= math.prod(np.ix_(*there))
        return total


def _averaged(img: xarray.DataArray, sides: tuple[str, str], factor: int) -> xarray.DataArray:
    """Return means over ``factor`` pixels along ``sides`` as lazy floats; at the edge of what is there."""
    if factor == 1:
        return img
    from xarray import DataArray

    real = np.dtype(np.float64 if img.dtype.itemsize >= 4 else np.float32)
    step = tuple(factor if name in sides else 1 for name in img.dims)
    operation = Averages(img.shape, real, step)
    block, chunk = source_block(img)
    like = DataArray(np.broadcast_to(np.zeros((), real), operation.shape), dims=img.dims)
    return derive(img, operation, window_block(block, chunk, step), like)


def _resized(pixels: Array, target: Shape, used: tuple[float, float]) -> Array:
    """Return (h, w[, c]) as floats; ``used`` says how many rows and columns of ``pixels`` are image."""
    from PIL import Image

    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    box = (0.0, 0.0, used[1], used[0])
    made = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(planes[..., c], np.float32)).resize(
                (target[1], target[0]), Image.Resampling.HAMMING, box
            )
        )
        for c in range(planes.shape[-1])
    ]
    return made[0] if pixels.ndim == 2 else np.stack(made, axis=-1)
