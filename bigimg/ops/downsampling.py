"""Downsampling by whole factors: each window of pixels becomes one pixel, with the numbers of a pyramid's levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Unpack, get_args

import xarray

from bigimg.errors import UsageError
from bigimg.geometry.chunks import default_chunks
from bigimg.geometry.holes import coarser_holes, holes_in
from bigimg.geometry.lengths import Length, Pixels, Spacing, read_lengths, read_pixels
from bigimg.geometry.levels import plan_levels
from bigimg.geometry.region import grid, scale_up
from bigimg.geometry.units import converted
from bigimg.lazy.node_of_array import opened_pixels, padding_of
from bigimg.lazy.operation import Operation
from bigimg.omezarr.open import StoreReader
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.ops.arguments import as_number, by_axis, space_of
from bigimg.ops.derived import derive, image, resampled, source_block, with_missing
from bigimg.ops.resizing import Weighted
from bigimg.planning.options import halved_axes, method_of
from bigimg.pyramid import kernels
from bigimg.pyramid.resampling import Smooth
from bigimg.readers.arrays.array import missing_of
from bigimg.types import Array, DType, Method, Opening, Padding, Region, Shape

METHODS: tuple[Method, ...] = get_args(Method.__value__)
REPEATS: frozenset[Method] = frozenset({"nearest", "min", "max"})
"""Methods by which several steps give the same numbers as one step."""


@dataclass(frozen=True, slots=True)
class Windows(Operation):
    """Each window of ``step`` pixels becomes one; windows at the far edges have fewer pixels."""

    shape: Shape
    dtype: DType
    size: Shape
    """Shape of the source."""
    step: Shape
    method: Method
    padding: Padding | None = None
    """Values that do not count."""
    holes: tuple[Region, ...] = ()
    """Boxes of the source that do not count."""

    extra_bytes = 8  # sums

    def source(self, region: Region) -> Region:
        """Return the windows of ``region``."""
        return scale_up(region, self.step, self.size)

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the reduced windows."""
        holes = holes_in(self.holes, source)
        return kernels.downsample(block, self.step, self.method, padding=self.padding, holes=holes)


def windows(
    size: Shape,
    dtype: DType,
    step: Shape,
    method: Method,
    padding: Padding | None = None,
    holes: tuple[Region, ...] = (),
) -> Operation:
    """Return the operation that makes one pixel of each window of ``step`` pixels; a Gaussian uses neighbours too."""
    shape = grid(size, step)
    if method != "gaussian":
        return Windows(shape, dtype, size, step, method, padding, holes)
    smooth = (Smooth(n, f) if f > 1 else None for n, f in zip(size, step, strict=True))
    return Weighted(shape, dtype, tuple(smooth), padding, holes)


def downsample(
    img: Source,
    factor: Pixels | None = None,
    *,
    to_spacing: Spacing | None = None,
    method: Method | None = None,
    level: int = 0,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return ``img`` with each window of ``factor`` pixels made into one; lazy.

    A pyramid is downsampled from full resolution in one step: the mean of 4 x 4 pixels, while level 2 of a store
    is the mean of rounded means. A stored level is read instead only if it holds the same numbers: one halving
    by the same method, or any level for ``nearest``, ``min`` and ``max``.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    factor : int, str, sequence or mapping
        Pixels of a window: one number for all axes of space, one for each axis but c, or by name (t too), as ``4``,
        ``"4"`` or ``"z=1,y=4,x=4"``.
    to_spacing : float, str, sequence or mapping, optional
        Instead of a factor: the spacing of the result, in the unit of the axis or in the one that is given, as ``2``,
        ``"2um"``, ``(2, 0.5, 0.5)`` or ``{"z": (7, "mm")}``. The nearest whole factor is taken; the coordinates have
        the exact spacing. An axis whose pixels are already larger stays as it is.
    method : {"mean", "mode", "nearest", "min", "max", "gaussian"}, optional
        ``mean`` for images and ``mode`` for labels and masks by default. Means of integers are exact and rounded half
        to even; windows at the far edges have only the pixels that are there; ``mode`` takes the smallest id of
        several, true for masks; ``gaussian`` smooths first, with variance (f**2 - 1) / 4. NaN and
        values that the file declares as no measurements do not count.
    level : int
        Level of a pyramid to read.
    memory, **opening :
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray with the dims and the dtype of ``img``
        Its coordinates are the middles of the windows; the first pixels for ``nearest``.

    Raises
    ------
    UsageError
        A factor is below 1 or beyond the image, the pixels are larger than ``to_spacing`` along all axes, or an
        axis or method is unknown.
    """
    found = image(img, level=level, memory=memory, **opening)
    how = method_for(found, method)
    step = _step(found, factor, to_spacing)
    start, done = _stored(found, step, how, memory)
    rest = tuple(f // d for f, d in zip(step, done, strict=True))
    return windowed(start, rest, how)


def method_for(img: xarray.DataArray, method: Method | None) -> Method:
    """Return ``method``, or the default for the kind of image.

    Raises
    ------
    UsageError
        It is unknown, or would average ids.
    """
    kind = _kind(img)
    if method is None:
        return "mean" if kind == "image" and img.dtype != bool else "mode"
    if method not in METHODS:
        raise UsageError(f"method {method!r}: give one of {', '.join(METHODS)}")
    return method_of(kind, method)


def _kind(img: xarray.DataArray) -> Any:
    return img.attrs.get("kind", "mask" if img.dtype == bool else "image")


def windowed(img: xarray.DataArray, step: Shape, method: Method) -> xarray.DataArray:
    """Return ``img`` with windows of ``step`` pixels, one number for each axis, made into one each."""
    if max(step) == 1:
        return img
    holes = missing_of(img, list(map(str, img.dims)))
    operation = windows(img.shape, img.dtype, step, method, padding_of(img), holes)
    named = zip(img.sizes.items(), step, strict=True)
    like = resampled(
        img, {str(name): (-(-n // f), f) for (name, n), f in named if f > 1}, centred=method != "nearest"
    )
    if holes:
        like = with_missing(like, coarser_holes(holes, img.shape, step, first=method == "nearest"))
    return derive(img, operation, window_block(*source_block(img), step), like)


def window_block(block: Shape, chunk: Shape, step: Shape) -> Shape:
    """Return pixels of a block of the result: whole windows of whole chunks, if they fit ``block``.

    >>> window_block((2048, 2048), (512, 512), (3, 4)), window_block((512, 512), (512, 512), (3, 4))
    ((512, 512), (170, 128))
    """
    found = []
    for most, unit, f in zip(block, chunk, step, strict=True):
        whole = math.lcm(unit, f)
        found.append(most // whole * whole // f if whole <= most else max(1, most // f))
    return tuple(found)


def _step(img: xarray.DataArray, factor: Any, to_spacing: Any) -> Shape:
    """Return the factor of each axis."""
    if (factor is None) == (to_spacing is None):
        raise UsageError("downsample: give factor or to_spacing, one of them")
    space, names = space_of(img), [str(name) for name in img.dims if name != "c"]
    if to_spacing is not None:
        wanted = read_lengths(to_spacing, "to_spacing").distances().by_axis(names)
        found = {name: _factor(img, name, length) for name, length in wanted.items()}
        if found and not any(found.values()):
            said = ", ".join(f"{abs(coordinates.spacing(img, name)):g} along {name}" for name in found)
            raise UsageError(
                f"to_spacing={to_spacing}: the pixels are larger already, {said}, and are made no smaller; give more"
            )
        return tuple(max(1, found.get(str(name), 1)) for name in img.dims)
    factor = read_pixels(factor, "factor")
    by_name = not isinstance(factor, Real)
    given = by_axis("factor", factor, names, one=space)
    longest = max((img.sizes[name] for name in space), default=1)
    for name, number in given.items():
        number = as_number("factor", number, "a whole number, or one for each axis by name")
        most = img.sizes[name] if by_name else longest  # one number for all may be larger than a short axis
        if not number.is_integer() or not 1 <= number <= most:
            raise UsageError(
                f"factor {number:g} along {name} of {img.sizes[name]} pixels: give a whole number from 1 to {most}"
            )
    return tuple(max(1, int(given.get(str(name), 1))) for name in img.dims)


def _factor(img: xarray.DataArray, name: str, length: Length) -> int:
    """Return the whole factor nearest to a spacing; 0 if the pixels are already larger."""
    have, unit = abs(coordinates.spacing(img, name)), coordinates.units(img, name)
    wanted = converted(length.number, length.unit, unit)
    if wanted is None:
        raise UsageError(
            f"to_spacing {length.number:g} {length.unit} along {name}: the image is in {unit or 'pixels'} there; give "
            "a number without a unit, or set the spacing first with with_geometry(spacing=...)"
        )
    if wanted < 0.999 * have:
        return 0
    return min(max(1, round(wanted / have)), img.sizes[name])


def _stored(
    img: xarray.DataArray, step: Shape, method: Method, memory: Memory
) -> tuple[xarray.DataArray, Shape]:
    """Return the coarsest stored level from which ``step`` gives the right numbers, and the factors of that level."""
    ones = (1,) * img.ndim
    pixels = opened_pixels(img)
    reader = None if pixels is None else pixels.reader
    if pixels is None or pixels.scaling is not None or not isinstance(reader, StoreReader):
        return img, ones  # with slope and intercept: stored levels are means of rounded values
    image = reader.store.image
    if image.manifest is None or image.method != method:
        return img, ones  # levels of other programs may not be what their metadata says
    best, factors = img, ones
    for number in range(reader.level + 1, len(reader.store.levels)):
        done = _factors(reader, number)
        if done is None or any(f % d for f, d in zip(step, done, strict=True)):
            continue
        if method in REPEATS or (done == step and number == reader.level + 1):
            best, factors = open_image(StoreReader(reader.store, number), memory=memory), done
    if best is img:
        return img, ones
    # Pixels come from the level; coordinates and attrs from the image, where they may have been changed.
    same = windowed(img, factors, method)
    return same.copy(data=best.data), factors


def _factors(reader: StoreReader, number: int) -> Shape | None:
    """Return how many pixels of the level of ``reader`` a pixel of level ``number`` covers along each axis."""
    fine, coarse = reader.store.levels[reader.level], reader.store.levels[number]
    found = tuple(round(b / a) for a, b in zip(fine.spacing, coarse.spacing, strict=True))
    fits = all(f >= 1 and -(-n // f) == m for n, m, f in zip(fine.shape, coarse.shape, found, strict=True))
    return found if fits else None


def build_pyramid(
    img: Source,
    *,
    levels: int | None = None,
    halve: str | None = None,
    method: Method | None = None,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataTree:
    """Return levels of any image, as :func:`bigimg.convert` would store them; lazy, nothing is written.

    Each level is made from the one below, rounded as it would be stored. An axis is halved while its spacing is
    under twice the smallest, until the image fits a chunk; planes whose spacing is not known are kept.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    levels : int, optional
        How many, full resolution included.
    halve : str, optional
        Names of the axes that every level halves instead, as ``"yx"``.
    method : {"mean", "mode", "nearest", "min", "max", "gaussian"}, optional
        As in :func:`downsample`.
    memory, **opening :
        As in :func:`bigimg.open`.

    Returns
    -------
    DataTree with ``scale0`` to ``scaleN``, each with the variable ``image``

    Raises
    ------
    UsageError
        ``levels`` is below 1, ``halve`` names an axis that is not there or none of space, or the method is unknown.
    """
    if isinstance(levels, str) or (levels is not None and levels < 1):
        raise UsageError(f"levels={levels!r}: give at least 1, the full resolution")
    found = image(img, memory=memory, **opening)
    how = method_for(found, method)
    axes = [axis for axis in coordinates.axes_of(found) if axis.name in found.dims]
    halved = halved_axes(halve, [axis.name for axis in axes])
    placed = coordinates.world_of(found) is not None
    planned = plan_levels(axes, default_chunks(axes), method=how, count=levels, halve=halved, placed=placed)
    nodes = {"/": xarray.Dataset(attrs={"source": found.attrs.get("source", "array"), "kind": _kind(found)})}
    for level in planned:
        found = windowed(found, level.step, how)
        nodes[f"scale{level.index}"] = found.to_dataset(name="image")
    return xarray.DataTree.from_dict(nodes)
