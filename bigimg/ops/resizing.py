"""Resizing to any smaller shape: each pixel of the result is the mean of the area that it covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry.holes import holes_in, holes_of_windows
from bigimg.geometry.lengths import read_pixels
from bigimg.lazy.node_of_array import padding_of
from bigimg.lazy.operation import Operation
from bigimg.opening.coordinates import spacing
from bigimg.opening.open import Memory, Source
from bigimg.ops.arguments import as_number, by_axis, space_of
from bigimg.ops.derived import derive, resampled, source_block, with_missing
from bigimg.ops.levels import finer_level, levels_of
from bigimg.pyramid.resampling import Area, Weights, needed, resample
from bigimg.readers.arrays.array import missing_of
from bigimg.types import Array, DType, Opening, Padding, Region, Shape

type Target = str | Sequence[int] | Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Weighted(Operation):
    """Each pixel is a weighted mean."""

    shape: Shape
    dtype: DType
    weights: tuple[Weights | None, ...]
    """Weights of the pixels along each axis; None leaves an axis as it is."""
    padding: Padding | None = None
    """Values that do not count."""
    holes: tuple[Region, ...] = ()
    """Boxes of the source that do not count."""

    extra_bytes = 32  # sums in float64, a term of them, and the weights where pixels are left out

    def source(self, region: Region) -> Region:
        """Return all pixels with a weight."""
        return needed(self.weights, region)

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the means."""
        return resample(block, self.weights, source, region, self.padding, holes_in(self.holes, source))


@dataclass(frozen=True, slots=True)
class Nearest(Operation):
    """Each pixel is the pixel of the source in which its middle lies."""

    shape: Shape
    dtype: DType
    lengths: Shape
    """Lengths of the source, if its pixels are as long as ``steps``: the last pixel of a level may reach beyond."""
    steps: Shape

    moves = True

    def source(self, region: Region) -> Region:
        """Return from the first to the last pixel that is taken."""
        ends = [self._taken(region, axis)[[0, -1]] for axis in range(len(region))]
        return tuple(slice(int(first), int(last) + 1) for first, last in ends)

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the pixels."""
        index = [self._taken(region, axis) - source[axis].start for axis in range(block.ndim)]
        return block[np.ix_(*index)]

    def _taken(self, region: Region, axis: int) -> Array:
        """Return the pixels along ``axis`` of the source."""
        return _nearest(region[axis], self.lengths[axis], self.shape[axis], self.steps[axis])


def _nearest(pixels: slice, length: int, target: int, step: int) -> Array:
    """Return the pixels of the source in which the middles of ``pixels`` of the result lie."""
    found: Array = (2 * np.arange(pixels.start, pixels.stop) + 1) * length // (2 * target * step)
    return found


def resize(
    img: Source,
    shape: Target,
    *,
    method: Literal["mean", "nearest"] | None = None,
    level: int | None = None,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return ``img`` in any smaller shape, without aliasing; lazy.

    Of a pyramid the smallest level that is at least four times finer is read, so little is read; also if the pyramid
    is given as the array that :func:`bigimg.open` gives of it. Without such a level, or with ``level=0``, full
    resolution is read, and each pixel is the exact mean of the area that it covers.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    shape : sequence or mapping of int
        Pixels of the last axes of space, in the order of the image: ``(h, w)``, where Pillow has (w, h); or by name.
    method : {"mean", "nearest"}, optional
        ``nearest`` for labels, ``mean`` otherwise; integers are rounded half to even, masks are true from one half.
    level : int, optional
        Level of a pyramid to read.
    memory, **opening :
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray with the dims and the dtype of ``img``
        The field of view stays; the coordinates are those of the new pixels.

    Raises
    ------
    UsageError
        A side is below 1 or longer than that of the image, or an axis, level or method is unknown.
    """
    levels = levels_of(img, memory=memory, **opening)
    found = levels[finer_level(levels, sides(levels.base, shape)) if level is None else level]
    return resized(found, levels.base, shape, method)


def resized(
    found: xarray.DataArray, whole: xarray.DataArray, shape: Target, method: str | None = None
) -> xarray.DataArray:
    """Return ``found``, a level of ``whole``, in another shape, as :func:`resize` does."""
    how = method or ("nearest" if found.attrs.get("kind") == "labels" else "mean")
    if how not in ("mean", "nearest"):
        raise UsageError(f"method {method!r}: give mean or nearest")
    if how == "mean" and found.attrs.get("kind") == "labels":
        raise UsageError("method 'mean' of labels would make ids that are none; use nearest")
    target = sides(found, shape)
    if all(whole.sizes[name] == found.sizes[name] == n for name, n in target.items()):
        return found
    return _resized(found, target, whole, mean=how == "mean")


def sides(img: xarray.DataArray, shape: Target) -> dict[str, int]:
    """Return the new size of each axis in ``shape``.

    Raises
    ------
    UsageError
        An axis is not there, or a side is below 1 or longer than that of the image.
    """
    space = space_of(img)
    given = by_axis("shape", read_pixels(shape, "shape"), space, fewest=min(2, len(space)))
    for name, asked in given.items():
        n = as_number(f"pixels along {name}", asked, "a whole number")
        if not n.is_integer() or not 1 <= n <= img.sizes[name]:
            raise UsageError(
                f"{n:g} pixels along {name}: give 1 to {img.sizes[name]}; to make pixels up is for interp of xarray"
            )
    return {name: int(n) for name, n in given.items()}


def _resized(
    img: xarray.DataArray,
    target: Mapping[str, int],
    whole: xarray.DataArray,
    *,
    mean: bool,
) -> xarray.DataArray:
    """Return ``img``, a level of ``whole``, with other sizes along some axes."""
    sizes = tuple(target.get(str(name), n) for name, n in img.sizes.items())
    extents = {
        str(name): _extent(img, whole, str(name)) if name in target else (n, 1)
        for name, n in img.sizes.items()
    }
    lengths, steps = zip(*extents.values(), strict=True)
    axes = zip(lengths, sizes, steps, strict=True)
    weights = tuple(Area(n, m, step) if n != m or step > 1 else None for n, m, step in axes)
    holes = missing_of(img, list(map(str, img.dims)))
    operation = (
        Weighted(sizes, img.dtype, weights, padding_of(img), holes)
        if mean
        else Nearest(sizes, img.dtype, lengths, steps)
    )
    block, _ = source_block(img)
    ratios = [n / m for n, m in zip(img.shape, sizes, strict=True)]
    shape = tuple(max(1, min(m, int(b / r))) for b, r, m in zip(block, ratios, sizes, strict=True))

    pixels = {name: (n, extents[name][0] / extents[name][1] / n) for name, n in target.items()}
    like = resampled(img, {name: (n, ratio) for name, (n, ratio) in pixels.items() if ratio != 1})
    if holes:
        like = with_missing(
            like, holes_of_windows(holes, img.shape, *_windows(lengths, sizes, steps, mean=mean))
        )
    return derive(img, operation, shape, like)


def _windows(lengths: Shape, sizes: Shape, steps: Shape, *, mean: bool) -> tuple[list[Array], list[Array]]:
    """Return the first and the last but one pixel of the source from which each pixel of the result is made."""
    axes = list(zip(lengths, sizes, steps, strict=True))
    if not mean:
        taken = [_nearest(slice(0, m), n, m, step) for n, m, step in axes]
        return taken, [line + 1 for line in taken]
    starts = [np.arange(m) * n // (m * step) for n, m, step in axes]
    return starts, [-(-np.arange(1, m + 1) * n // (m * step)) for n, m, step in axes]


def _extent(img: xarray.DataArray, whole: xarray.DataArray, name: str) -> tuple[int, int]:
    """Return the length of ``img`` along an axis, and the length of one of its pixels, in pixels of ``whole``.

    A level of 451 pixels may cover 3601 pixels of full resolution, 8 each: its last pixel reaches beyond.
    """
    pixels, size = whole.sizes[name], img.sizes[name]
    if size != pixels:
        step = round(spacing(img, name) / spacing(whole, name))
        if step > 0 and -(-pixels // step) == size:
            return pixels, step
    return size, 1
