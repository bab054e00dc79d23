"""Downsampling by windows of any size; :mod:`.kernels` is for windows of up to two pixels along an axis.

The kernels handle each pixel of a window by itself, which is fastest for four or eight pixels. This module adds or
compares along one axis after the other, so a window of 16 x 16 pixels costs 32 additions of rows instead of 256.
"""

from __future__ import annotations

import math

import numpy as np

from bigimg.pyramid.kernels import divided, downsample, mean_of_halves, parts, slabs
from bigimg.types import Array, DType, Method, Region, Shape

AT_ONCE = 1 << 18
"""Pixels that are sorted at once: the count of runs takes three times their bytes and more."""


def reduce_windows(block: Array, step: Shape, method: Method) -> Array:
    """Return ``block`` with one pixel for each window of ``step`` pixels, shape rounded up, same dtype.

    Parameters
    ----------
    block : ndarray
        Starts at a window; ends at the end of a window or at the edge of the image.
    step : tuple of int
        Pixels of a window along each axis, any number.
    method : {"mean", "mode", "nearest", "min", "max"}
        As in :func:`bigimg.pyramid.kernels.downsample`, with the same results.
    """
    if max(step) <= 2 or method == "nearest":
        return downsample(block, step, method)
    out = np.empty(tuple(-(-n // f) for n, f in zip(block.shape, step, strict=True)), block.dtype)
    for source, target, window in parts(block.shape, step):
        for rows_in, rows_out in slabs(source, target, window, block.dtype.itemsize):
            _reduce(block[rows_in], window, method, out[rows_out])
    return out


def _reduce(block: Array, window: Shape, method: Method, out: Array) -> None:
    kind, count = block.dtype.kind, math.prod(window)
    if method in ("min", "max"):
        out[...] = _along_axes(np.minimum if method == "min" else np.maximum, block, window, block.dtype)
    elif method not in ("mean", "mode"):
        raise ValueError(f"windows are not reduced by {method}")
    elif kind == "b":
        out[...] = 2 * _along_axes(np.add, block, window, np.dtype(np.int64)) >= count
    elif method == "mode":
        out[...] = _modes(block, window)
    elif kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, as intended
            out[...] = _along_axes(np.add, block, window, np.dtype(np.float64)) / count
    elif block.dtype.itemsize == 8:
        out[...] = _mean_wide(block, window)
    else:
        wide = count << 8 * block.dtype.itemsize >= 1 << 32
        sums = _along_axes(np.add, block, window, np.dtype(f"{kind}{8 if wide else 4}"))
        out[...] = divided(sums.astype(f"{kind}8", copy=False), count)


def _along_axes(ufunc: np.ufunc, block: Array, window: Shape, dtype: DType) -> Array:
    """Return the reduction of each window by ``ufunc``, one axis after the other, the slowest first."""
    for axis, size in enumerate(window):
        if size == 1:
            continue
        rows: list[Region] = [(*(slice(None),) * axis, slice(k, None, size)) for k in range(size)]
        total = block[rows[0]].astype(dtype)
        for row in rows[1:]:
            ufunc(total, block[row], out=total, casting="unsafe")
        block = total
    return block.astype(dtype, copy=False)


def _mean_wide(block: Array, window: Shape) -> Array:
    """Return means of 64-bit integers from sums of their halves, so that nothing overflows."""
    high = _along_axes(np.add, block >> 32, window, block.dtype)
    low = _along_axes(np.add, block & 0xFFFFFFFF, window, block.dtype)
    return mean_of_halves(high, low, math.prod(window))


def _modes(block: Array, window: Shape) -> Array:
    """Return the most frequent value of each window: the longest run of the sorted window, of several the first."""
    split = [k for n, f in zip(block.shape, window, strict=True) for k in (n // f, f)]
    inner = range(1, len(split), 2)
    rows = np.moveaxis(block.reshape(split), inner, range(block.ndim, 2 * block.ndim))
    shape, count = rows.shape[: block.ndim], math.prod(window)
    rows = rows.reshape(-1, count)
    modes = np.empty(len(rows), block.dtype)
    for start in range(0, len(rows), many := max(1, AT_ONCE // count)):
        modes[start : start + many] = _modes_of_rows(rows[start : start + many])
    return modes.reshape(shape)


def _modes_of_rows(rows: Array) -> Array:
    count = rows.shape[1]
    rows = np.sort(rows, axis=1)
    begins = np.zeros(rows.shape, np.int32)
    np.multiply(rows[:, 1:] != rows[:, :-1], np.arange(1, count, dtype=np.int32), out=begins[:, 1:])
    lengths = np.arange(count, dtype=np.int32) - np.maximum.accumulate(begins, axis=1)
    # argmax returns the first of equal lengths, and the run of the smallest value comes first.
    modes: Array = np.take_along_axis(rows, lengths.argmax(axis=1)[:, None], axis=1)
    return modes[:, 0]
