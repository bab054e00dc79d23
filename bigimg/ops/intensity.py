"""Operations on values, pixel by pixel: grey from colour, another range, any function; geometry stays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry.region import full, pieces, rows
from bigimg.lazy.blocks import multiplied
from bigimg.lazy.dask_compute import one_object
from bigimg.lazy.derived import PIECE_BYTES
from bigimg.lazy.operation import Operation
from bigimg.lazy.pointwise import Pixelwise
from bigimg.lazy.values import Value
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.ops.arguments import as_dtype, as_pair
from bigimg.ops.derived import derive, image, pixelwise, placeholder, source_block, space_axes
from bigimg.pyramid.kernels import divided
from bigimg.types import Array, DType, Opening, Region, Shape

LUMA = (2125, 7154, 721)
"""Weights of R, G and B, parts of 10 000: Rec. 709, as in ``skimage.color.rgb2gray``."""
OF_VALUES = ("window", "scaling")
"""Attrs about the values, which are wrong once the values change."""
STRETCHED = 1 << 16
"""Pixels that are stretched at once: their float64 values fit the cache of a core."""


@dataclass(frozen=True, slots=True)
class Grey(Operation):
    """A weighted mean of some channels."""

    shape: Shape
    dtype: DType
    axis: int
    channels: tuple[int, ...]
    weights: tuple[int, ...]

    extra_bytes = 16  # sums and a term of them

    def source(self, region: Region) -> Region:
        """Return ``region`` of the channels from the first to the last."""
        span = slice(min(self.channels), max(self.channels) + 1)
        return (*region[: self.axis], span, *region[self.axis :])

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the means, of integers exact and rounded half to even when the result is of integers."""
        lines = np.moveaxis(block, self.axis, 0)
        exact = block.dtype.kind in "bui" and block.dtype.itemsize <= 4
        total = np.zeros(lines.shape[1:], np.int64 if exact else np.float64)
        for channel, weight in zip(self.channels, self.weights, strict=True):
            total += lines[channel - source[self.axis].start].astype(total.dtype) * weight
        if self.dtype.kind == "b":
            return 2 * total >= sum(self.weights)
        if exact and self.dtype.kind in "ui":
            return divided(total, sum(self.weights)).astype(self.dtype)
        mean = total / sum(self.weights)
        return (np.rint(mean) if self.dtype.kind in "ui" else mean).astype(self.dtype)


def gray(
    img: Source,
    *,
    method: Literal["luma", "mean"] = "luma",
    dtype: Any = None,
    level: int = 0,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return colour as grey, without the axis c; lazy.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    method : {"luma", "mean"}
        ``luma`` is 0.2125 R + 0.7154 G + 0.0721 B (Rec. 709, as in scikit-image); ``mean`` the plain mean of all
        channels, of any names. An alpha channel does not count.
    dtype : dtype, optional
        That of the image by default, rounded half to even; ``float`` keeps the fractions, in the image's own range.
    level, memory, **opening :
        As in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        There are no such channels, or the method is unknown.
    """
    found = image(img, level=level, memory=memory, **opening)
    if method not in ("luma", "mean"):
        raise UsageError(f"method {method!r}: give luma or mean")
    if "c" not in found.dims:
        raise UsageError(
            f"gray: the image has no channels; its axes are {' '.join(str(n) for n in found.dims)}"
        )
    names = [channel.name for channel in coordinates.channels_of(found)]
    if method == "luma" and not {"R", "G", "B"} <= set(names):
        said = ", ".join(names) or f"{found.sizes['c']} without names"
        raise UsageError(f"gray: the channels are {said}, not R G B; name them, or use method='mean'")
    chosen = [*"RGB"] if method == "luma" else [name for name in names if name != "A"]
    channels = tuple(names.index(name) for name in chosen) if names else tuple(range(found.sizes["c"]))
    weights = LUMA if method == "luma" else (1,) * len(channels)
    kind = found.dtype if dtype is None else as_dtype(dtype)
    axis = found.dims.index("c")
    like = placeholder(found, kind).isel(c=0, drop=True)
    operation = Grey(like.shape, kind, axis, channels, weights)
    block, chunk = source_block(found)
    values = 4 * PIECE_BYTES // (found.sizes["c"] * found.dtype.itemsize + operation.extra_bytes)
    unit, most = (*chunk[:axis], *chunk[axis + 1 :]), min(math.prod(block), values)
    return derive(found, operation, multiplied(unit, like.shape, space_axes(like), most), like)


def map(
    img: Source, func: Callable[[Array], Any], *, dtype: Any = None, level: int = 0, memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:  # fmt: skip
    """Return ``func`` of the pixels, block by block; lazy. Geometry, channels and metadata stay.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    func : callable
        From an ndarray to one of the same shape; each value may depend only on the value at the same position,
        because blocks come in any order and of any size. For example ``np.sqrt``.
    dtype : dtype, optional
        Type of the result. What ``func`` returns is converted to it, if no value can be lost but the last digits of
        floats. Without it ``func`` is called at once with an array of one pixel, of shape ``(1, 1, 1)`` and value
        1, to find the type of its result.
    level, memory, **opening :
        As in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        ``func`` gives another shape, or, when it is computed, a type that does not fit ``dtype``.
    """
    found = image(img, level=level, memory=memory, **opening)
    if not callable(func):
        raise UsageError(f"map: func={func!r} is no function; give one of an ndarray, as np.sqrt")
    if dtype is None:
        with np.errstate(all="ignore"):
            probe = np.asarray(func(np.ones((1,) * found.ndim, found.dtype)))
        _check(probe, (1,) * found.ndim)
        dtype = probe.dtype
    kind = as_dtype(dtype)
    return _mapped("map", found, _Checked(func, kind), kind)


class _Checked:
    """Calls a function of the caller and checks shape and type of what it returns (:class:`Pixelwise`)."""

    by_caller = True

    def __init__(self, func: Callable[[Array], Any], dtype: DType) -> None:
        self.func, self.dtype = func, dtype

    def __call__(self, blocks: Sequence[Array], region: Region, values: Sequence[Any]) -> Array:
        (block,) = blocks
        # The function may write to its argument, and a view is of pixels that others read too.
        made = np.asarray(self.func(block if block.flags.owndata else block.copy()))
        _check(made, block.shape)
        if not (np.can_cast(made.dtype, self.dtype) or made.dtype.kind == self.dtype.kind == "f"):
            raise UsageError(
                f"map: func gave {made.dtype}, and dtype {self.dtype} was asked, which cannot hold all of its "
                f"values: end func with .astype({self.dtype.name!r}), or leave out dtype"
            )
        return made.astype(self.dtype, copy=False)


def _check(made: Array, shape: Shape) -> None:
    if made.shape != shape:
        raise UsageError(
            f"map: func made {made.shape} from {shape}; it must keep the shape (see map_patches)"
        )


def _mapped(
    prefix: str, img: xarray.DataArray, function: Pixelwise, dtype: DType, values: Sequence[Value] = ()
) -> xarray.DataArray:
    """Return ``function`` of the pixels, with the coordinates of ``img`` and the attrs that are still true."""
    found = pixelwise(prefix, img, function, dtype, values=values)
    found.attrs = {name: value for name, value in img.attrs.items() if name not in OF_VALUES}
    if dtype.kind == "b":
        found.attrs["kind"] = "mask"
    elif found.attrs.get("kind") == "mask":
        found.attrs["kind"] = "image"
    return found


def rescale(
    img: Source,
    dtype: Any = "uint8",
    *,
    window: tuple[float, float] | None = None,
    percentiles: tuple[float, float] | None = None,
    by: Literal["c"] | None = None,
    level: int = 0,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return the values stretched from a window to the whole range of ``dtype``; lazy.

    Without a window the image is read twice, or once if its store keeps the histogram.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    dtype : dtype
        Integers, rounded half to even; or floats, from 0 to 1.
    window : (float, float), optional
        Values that become the ends of the range. Values outside become the nearer end, and NaN the lower end.
    percentiles : (float, float), optional
        Instead of a window, as ``(1, 99)``; smallest and largest value by default.
    by : {"c"}, optional
        A separate window for each channel; by default one for all, so that colours stay.
    level, memory, **opening :
        As in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        The window is empty, both are given, or the image holds labels.
    """
    found, kind = image(img, level=level, memory=memory, **opening), as_dtype(dtype)
    if found.attrs.get("kind") == "labels":
        raise UsageError("rescale: of labels it would make other ids; it is for images")
    if by not in (None, "c"):
        raise UsageError(f"rescale by {by!r}: give 'c', or nothing")
    if kind.kind not in "uif" or (kind.kind != "f" and kind.itemsize > 4):
        raise UsageError(f"rescale to {kind}: give floats, or integers of up to 32 bits")
    if window is not None and percentiles is not None:
        raise UsageError(f"rescale: window {window} and percentiles {percentiles} are two; give one")
    axis = found.dims.index("c") if by == "c" and "c" in found.dims else None
    if window is None:
        values = _ends(found, as_pair("percentiles", percentiles or (0.0, 100.0)), axis)
        return _mapped("rescale", found, _Stretch(kind, axis), kind, values)
    low, high = as_pair("window", window)
    if low == high:
        raise UsageError(f"window {low:g} to {high:g} is empty: give two values that differ")
    return _mapped("rescale", found, _Stretch(kind, None, np.array([[low], [high]])), kind)


def _ends(img: xarray.DataArray, q: tuple[float, float], axis: int | None) -> list[Value]:
    """Return the two ends of the window, of each channel or of all, computed once."""
    from bigimg.ops.statistics.percentiles import of_all, percentile

    found = (of_all if axis is None else percentile)(img, q).data
    if isinstance(found, np.ndarray):  # known from the store
        import dask.array as da

        found = da.from_array(found, chunks=-1)
    return [Value(one_object(_columns, found))]


def _columns(ends: Array) -> Array:
    return np.asarray(ends).reshape(2, -1)


class _Stretch:
    """From a window to the range of a type (:class:`Pixelwise`)."""

    def __init__(self, dtype: DType, axis: int | None, ends: Array | None = None) -> None:
        self.dtype, self.axis, self.ends = dtype, axis, ends

    def __call__(self, blocks: Sequence[Array], region: Region, values: Sequence[Array]) -> Array:
        """Return the stretched values; of an empty window all are the lower end."""
        (block,), ends = blocks, values[0] if self.ends is None else self.ends
        out = np.empty(block.shape, self.dtype)
        if self.axis is None:
            self._fill(out, block, float(ends[0, 0]), float(ends[1, 0]))
            return out
        for i in range(block.shape[self.axis]):
            cut, channel = (slice(None),) * self.axis + (i,), region[self.axis].start + i
            self._fill(out[cut], block[cut], float(ends[0, channel]), float(ends[1, channel]))
        return out

    def _fill(self, out: Array, block: Array, low: float, high: float) -> None:
        """Stretch as much at once as fits a core's cache: a whole block as float64 would take much memory."""
        table = None
        if block.dtype.kind in "ui" and block.itemsize <= 2 and block.size >= 1 << 8 * block.itemsize:
            unsigned = np.dtype(block.dtype.str.replace("i", "u"))
            every = np.arange(1 << 8 * unsigned.itemsize, dtype=unsigned)
            table, block = self._stretched(every.view(block.dtype), low, high), block.view(unsigned)
        for _, cut in pieces(full(block.shape), rows(block.shape, STRETCHED)):
            if table is None:
                out[cut] = self._stretched(block[cut], low, high)
            else:
                np.take(table, block[cut], out=out[cut], mode="clip")  # "raise" would take a copy

    def _stretched(self, values: Array, low: float, high: float) -> Array:
        limits = None if self.dtype.kind == "f" else np.iinfo(self.dtype)
        first, last = (0.0, 1.0) if limits is None else (float(limits.min), float(limits.max))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            share = np.subtract(values, low, dtype=np.float64)
            share /= high - low if high > low else np.inf
        np.nan_to_num(share, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        np.clip(share, 0, 1, out=share)
        share *= last - first
        share += first
        return (share if limits is None else np.rint(share, out=share)).astype(self.dtype)
