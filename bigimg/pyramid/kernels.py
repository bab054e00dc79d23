"""Downsampling of numpy blocks, one value for each window of pixels.

A window at the far edge of the image has only the pixels that exist. The block is split into a part of complete
windows and the remainders. Each part is reduced with its own window size, so no pixel is padded or invented.

Means of integers are exact sums, rounded half to even. 8- and 16-bit pixels are added in pairs, as words of twice their
width: a row of uint8 seen as uint16 has one pair in each word. This access is contiguous instead of strided and reaches
4 GB/s a core in numpy, so no compiled code is needed.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator

import numpy as np

from bigimg.geometry.padding import absent_from
from bigimg.geometry.region import grid
from bigimg.pyramid.resampling import Smooth, resample
from bigimg.types import Array, DType, Method, Padding, Region, Shape

SCRATCH_BYTES = 8_000_000
"""Memory that :func:`downsample` may use in addition to its input and its result."""
AT_ONCE = 1 << 18
"""Pixels that are sorted at once: the count of runs takes three times their bytes and more."""


def downsample(
    block: Array,
    step: Shape,
    method: Method,
    out: Array | None = None,
    *,
    padding: Padding | None = None,
    holes: Array | None = None,
) -> Array:
    """Return ``block`` with one pixel for each window of ``step`` pixels, shape rounded up, same dtype.

    Parameters
    ----------
    block : ndarray
        Starts at a window; ends at the end of a window or at the edge of the image.
    step : tuple of int
        Pixels of a window along each axis, any number.
    method : {"mean", "mode", "nearest", "min", "max"}
        ``mean`` is rounded half to even. ``mode`` is the most frequent value; of several the smallest, for booleans
        True. ``nearest`` is the first pixel of the window. For ``gaussian`` see :func:`gaussian`.
    out : ndarray, optional
        Array for the result.
    padding : (low, high), optional
        Values that are no measurements, as NaN. A window of these alone stays so; in other windows they do not count.
    holes : ndarray of bool, optional
        Pixels that are no measurements, whatever their values.
    """
    if out is None:
        out = np.empty(grid(block.shape, step), block.dtype)
    if method == "nearest":
        out[...] = block[tuple(slice(None, None, f) for f in step)]
        return out
    for source, target, window in parts(block.shape, step):
        # Masks and sums without the padding of integers take four times as much as plain sums.
        itemsize = block.dtype.itemsize * (1 if padding is None and holes is None else 4)
        for rows_in, rows_out in slabs(source, target, window, itemsize):
            slab, target_slab, small = block[rows_in], out[rows_out], max(step) <= 2
            absent = absent_from(slab, padding, None if holes is None else holes[rows_in])
            if absent is None:
                _reduce(slab, window, method, target_slab, small=small)
            else:
                _reduce_present(slab, absent, window, method, target_slab, small=small)
    return out


def parts(shape: Shape, step: Shape) -> Iterator[tuple[Region, Region, Shape]]:
    """Yield (source, target, window) of the complete windows and of each remainder at an edge."""
    along = []
    for n, f in zip(shape, step, strict=True):
        whole = n // f
        parts = [(slice(0, whole * f), slice(0, whole), f)] if whole else []
        if n % f:
            parts.append((slice(whole * f, n), slice(whole, whole + 1), n % f))
        along.append(parts)
    for combination in itertools.product(*along):
        source, target, window = zip(*combination, strict=True)
        yield source, target, window


def slabs(source: Region, target: Region, window: Shape, itemsize: int) -> Iterator[tuple[Region, Region]]:
    """Cut a part along its slow axes into slabs whose sums stay in the cache and within ``SCRATCH_BYTES``."""
    counts = [s.stop - s.start for s in target]
    # Sums take at most 8 bytes for each of at most two inputs of a window row; 256 KiB of output stay in the cache.
    most = max(1, (1 << 18) // itemsize)
    pieces = [range(0, n, n) for n in counts]
    for axis, n in enumerate(counts):
        inner = math.prod(counts[axis + 1 :])
        length = max(1, most // inner)
        pieces[axis] = range(0, n, min(n, length))
        if length > 1:
            break
    for starts in itertools.product(*pieces):
        rows_in, rows_out = [], []
        for start, p, s, t, f in zip(starts, pieces, source, target, window, strict=True):
            stop = min(start + p.step, t.stop - t.start)
            rows_in.append(slice(s.start + start * f, s.start + stop * f))
            rows_out.append(slice(t.start + start, t.start + stop))
        yield tuple(rows_in), tuple(rows_out)


def _windows(block: Array, window: Shape) -> list[Array]:
    """Return one strided view for each position in the window; their n-th pixels are those of window n."""
    return [
        block[tuple(slice(o, None, f) for o, f in zip(offsets, window, strict=True))]
        for offsets in itertools.product(*(range(f) for f in window))
    ]


def _along_axes(ufunc: np.ufunc, block: Array, window: Shape, dtype: DType) -> Array:
    """Return the reduction of each window by ``ufunc``, one axis after the other, the slowest first.

    So a window of 16 x 16 pixels costs 32 additions of rows instead of 256.
    """
    for axis, size in enumerate(window):
        if size == 1:
            continue
        rows: list[Region] = [(*(slice(None),) * axis, slice(k, None, size)) for k in range(size)]
        total = block[rows[0]].astype(dtype)
        for row in rows[1:]:
            ufunc(total, block[row], out=total, casting="unsafe")
        block = total
    return block.astype(dtype, copy=False)


def _in_order(block: Array, window: Shape) -> Array:
    """Return sums in float64, pixel by pixel: so stored levels were added, and another order may round otherwise."""
    total = np.zeros([n // f for n, f in zip(block.shape, window, strict=True)])
    for view in _windows(block, window):
        total += view
    return total


def _reduce(block: Array, window: Shape, method: Method, out: Array, *, small: bool) -> None:
    """Reduce complete windows into ``out``; if ``small``, no window is longer than two pixels."""
    kind, count = block.dtype.kind, math.prod(window)
    if count == 1:
        out[...] = block
    elif method in ("min", "max"):
        out[...] = _along_axes(np.minimum if method == "min" else np.maximum, block, window, block.dtype)
    elif method not in ("mean", "mode"):
        raise ValueError(f"windows are not reduced by {method}")
    elif kind == "b":
        few = np.dtype(np.uint8 if count < 256 else np.int64)
        np.greater_equal(_along_axes(np.add, block, window, few), -(-count // 2), out=out)
    elif method == "mode":
        out[...] = _most_frequent(_windows(block, window)) if small else _modes(block, window)
    elif _is_pairs(block, window):
        _mean_pairs(block, window, out)
    else:
        out[...] = _means(block, window, count, small=small)


def _means(block: Array, window: Shape, n: int | Array, *, small: bool) -> Array:
    """Return the sum of each window divided by ``n``: its pixels, or those of each window that count."""
    kind, size = block.dtype.kind, block.dtype.itemsize
    if kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, as intended
            full = np.dtype(np.float64)
            sums = _in_order(block, window) if small else _along_axes(np.add, block, window, full)
            return np.divide(sums, n, out=sums)
    whole = np.dtype(f"{kind}8")
    n = n if isinstance(n, int) else n.astype(whole)
    if size == 8:
        high = _along_axes(np.add, block >> 32, window, whole)
        low = _along_axes(np.add, block & 0xFFFFFFFF, window, whole)
        return mean_of_halves(high, low, n)
    wide = math.prod(window) << 8 * size >= 1 << 32
    sums = _along_axes(np.add, block, window, np.dtype(f"{kind}{8 if wide else 4}"))
    return divided(sums.astype(whole, copy=False), n)


def _reduce_present(
    block: Array, absent: Array, window: Shape, method: Method, out: Array, *, small: bool
) -> None:
    """Reduce complete windows into ``out`` without the pixels that are ``absent``; if all are, the first one stays."""
    kind, present = block.dtype.kind, ~absent
    most = math.prod(window)
    count = _along_axes(np.add, present, window, np.dtype(np.uint8 if most < 256 else np.int64))
    if method == "mode" and kind != "b":
        out[...] = _modes(block, window, absent)
        return
    if method in ("min", "max"):
        kept = np.where(present, block, block.dtype.type(_ends(block.dtype)[method == "min"]))
        out[...] = _along_axes(np.minimum if method == "min" else np.maximum, kept, window, block.dtype)
    elif method not in ("mean", "mode"):
        raise ValueError(f"windows are not reduced by {method}")
    elif kind == "b":
        wide = np.dtype(np.int64)
        np.greater_equal(2 * _along_axes(np.add, block & present, window, wide), count, out=out)
    else:
        kept = np.where(present, block, block.dtype.type(0))
        out[...] = _means(kept, window, np.maximum(count, 1), small=small)
    first = block[tuple(slice(None, None, f) for f in window)]
    np.copyto(out, first, where=count == 0)


def _ends(dtype: DType) -> tuple[float, float]:
    """Return the smallest and the largest value of ``dtype``."""
    if dtype.kind in "ui":
        return np.iinfo(dtype).min, np.iinfo(dtype).max
    return (0, 1) if dtype.kind == "b" else (-math.inf, math.inf)


def _is_pairs(block: Array, window: Shape) -> bool:
    """Return whether pairs of neighbours along the last axis can be added as words."""
    return (
        block.dtype.kind in "iu"
        and block.dtype.itemsize <= 2
        and window[-1] == 2
        and math.prod(window) & (math.prod(window) - 1) == 0
        and math.prod(window) <= 64
        and block.strides[-1] == block.dtype.itemsize
        and sys.byteorder == "little"
    )


def _mean_pairs(block: Array, window: Shape, out: Array) -> None:
    """Compute means of windows of 2**k pixels: add the halves of each word, then the rows of the window."""
    if block.dtype.kind == "i":
        # With its sign bit flipped a number is unsigned and larger by an even one: so is the mean, rounded alike.
        sign = block.dtype.type(np.iinfo(block.dtype).min)
        larger = np.bitwise_xor(block, sign, order="C").view(f"u{block.dtype.itemsize}")
        means = np.empty(out.shape, larger.dtype)
        _mean_pairs(larger, window, means)
        np.bitwise_xor(means.view(block.dtype), sign, out=out)
        return
    bits = 8 * block.dtype.itemsize
    words = block.view(f"u{2 * block.dtype.itemsize}")
    # At most 64 values of `bits` bits are added: 8 + 6 bits fit 16, and 16 + 6 fit 32.
    mask = words.dtype.type((1 << bits) - 1)
    first, *others = _windows(words, (*window[:-1], 1))
    total, high = first & mask, first >> bits
    total += high
    for row in others:
        np.bitwise_and(row, mask, out=high)
        total += high
        np.right_shift(row, bits, out=high)
        total += high
    shift = math.prod(window).bit_length() - 1
    # Round half to even without a branch: add half minus one, plus the last bit of the quotient, then shift.
    np.right_shift(total, shift, out=high)
    high &= 1
    total += high
    total += (1 << (shift - 1)) - 1
    np.right_shift(total, shift, out=out, casting="unsafe")


def mean_of_halves(high: Array, low: Array, n: int | Array) -> Array:
    """Return ``((high << 32) + low) / n`` rounded half to even, in integers and without overflow."""
    quotient, rest = np.divmod(high, n)
    mean: Array = (quotient << 32) + divided((rest << 32) + low, n)
    return mean


def divided(total: Array, n: int | Array) -> Array:
    """Return ``total / n`` rounded half to even, in integers."""
    quotient, rest = np.divmod(total, n)
    rest *= 2
    quotient += (rest > n) | ((rest == n) & (quotient % 2 == 1))
    return quotient


def _most_frequent(views: list[Array]) -> Array:
    """Return the most frequent value of each window from ``views``, one for each position; of several the smallest."""
    best, most = views[0].copy(), np.zeros(views[0].shape, np.uint8)
    for i, view in enumerate(views):
        # A pixel is compared with later ones only: the first pixel of a value counts all of them.
        count = np.ones_like(most)
        for other in views[i + 1 :]:
            count += view == other
        better = (count > most) | ((count == most) & (view < best))
        np.copyto(best, view, where=better)
        np.copyto(most, count, where=better)
    return best


def _modes(block: Array, window: Shape, absent: Array | None = None) -> Array:
    """Return the most frequent value of each window: the longest run of the sorted window, of several the first.

    Pixels that are ``absent`` count only where all of a window are.
    """
    rows = _rows_of_windows(block, window)
    without = None if absent is None else _rows_of_windows(absent, window)
    modes, count = np.empty(len(rows), block.dtype), math.prod(window)
    for start in range(0, len(rows), many := max(1, AT_ONCE // count)):
        some = slice(start, start + many)
        modes[some] = _modes_of_rows(rows[some], None if without is None else without[some])
    return modes.reshape(grid(block.shape, window))


def _rows_of_windows(block: Array, window: Shape) -> Array:
    """Return the pixels of each window as one row."""
    split = [k for n, f in zip(block.shape, window, strict=True) for k in (n // f, f)]
    inner = range(1, len(split), 2)
    rows = np.moveaxis(block.reshape(split), inner, range(block.ndim, 2 * block.ndim))
    return rows.reshape(-1, math.prod(window))


def _modes_of_rows(rows: Array, absent: Array | None) -> Array:
    count, order = rows.shape[1], np.argsort(rows, axis=1) if absent is not None else None
    rows = np.sort(rows, axis=1) if order is None else np.take_along_axis(rows, order, axis=1)
    begins = np.zeros(rows.shape, np.int32)
    np.multiply(rows[:, 1:] != rows[:, :-1], np.arange(1, count, dtype=np.int32), out=begins[:, 1:])
    lengths = np.arange(count, dtype=np.int32) - np.maximum.accumulate(begins, axis=1)
    if absent is not None and order is not None:
        lengths[np.take_along_axis(absent, order, axis=1)] = -1
    # argmax returns the first of equal lengths, and the run of the smallest value comes first.
    modes: Array = np.take_along_axis(rows, lengths.argmax(axis=1)[:, None], axis=1)
    return modes[:, 0]


def gaussian(
    block: Array,
    step: Shape,
    before: Shape,
    shape: Shape,
    padding: Padding | None = None,
    holes: Array | None = None,
) -> Array:
    """Return ``block`` halved along the axes with step 2 after the filter 1 3 3 1, a Gaussian of variance 3/4.

    Parameters
    ----------
    block : ndarray
        The windows, and one more pixel on each side of a halved axis if the image has one there.
    step : tuple of int
        1 or 2.
    before : tuple of int
        Pixels of ``block`` before the first window: 0 or 1.
    shape : tuple of int
        Shape of the result.
    padding, holes :
        What is no measurement, as in :func:`downsample`.

    Notes
    -----
    Weights outside the image are left out, and the others are scaled to a sum of one. Integers are rounded half to
    even.
    """
    axes = list(zip(step, before, block.shape, shape, strict=True))
    weights = [Smooth(first + size, 2) if f == 2 else None for f, first, size, _ in axes]
    source = tuple(slice(first, first + size) for _, first, size, _ in axes)
    region = tuple(slice(first, first + n) for _, first, _, n in axes)
    return resample(block, weights, source, region, padding, holes)
