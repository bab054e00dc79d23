"""Coarser blocks from finer ones: numpy in, numpy out.

Each kernel makes one value of each window of pixels. A window at the far edge of the image has only the
pixels that exist: the block is cut into the part with full windows and the odd rests, and each part is
reduced with its own window, so no pixel is ever padded or invented.

Means of integers are exact sums rounded half to even. Sums of 8- and 16-bit pixels are done two at a time in
words of twice the width (a row of uint8 seen as uint16 holds a pair in its low and high byte): contiguous
instead of strided, 4 GB/s a core in plain numpy, which is why nothing here waits for a compiler.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator

import numpy as np

from bigimg.types import Array, Method, Region, Shape

SCRATCH_BYTES = 8_000_000
"""Memory that a call of :func:`downsample` may use beside its input and its result."""


def downsample(block: Array, step: Shape, method: Method, out: Array | None = None) -> Array:
    """Return ``block`` with each window of ``step`` pixels made into one, shape by ceil, same dtype.

    Parameters
    ----------
    block : ndarray
        Begins on a window; ends on one or at the edge of the image.
    step : tuple of int
        Pixels of a window along each axis.
    method : {"mean", "mode", "nearest", "min", "max"}
        ``mean`` is rounded half to even; ``mode`` breaks ties to the smallest, or to true for booleans;
        ``nearest`` takes the first pixel of the window. ``gaussian`` needs its neighbours:
        see :func:`gaussian`.
    out : ndarray, optional
        Where to put the result.
    """
    if out is None:
        out = np.empty(tuple(-(-n // f) for n, f in zip(block.shape, step, strict=True)), block.dtype)
    if method == "nearest":
        out[...] = block[tuple(slice(None, None, f) for f in step)]
        return out
    reduce = _KERNELS[method]
    for source, target, window in parts(block.shape, step):
        for rows_in, rows_out in slabs(source, target, window, block.dtype.itemsize):
            reduce(block[rows_in], window, out[rows_out])
    return out


def parts(shape: Shape, step: Shape) -> Iterator[tuple[Region, Region, Shape]]:
    """Yield (source, target, window) of the full windows and of each odd rest."""
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
    """Cut a part along its longest outer axes so that the sums of a slab stay in the cache and in the scratch."""
    counts = [s.stop - s.start for s in target]
    # Sums are at most 8 bytes for each of at most two inputs of a window row; 256 KiB of output stays in cache.
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
    """Return one strided view a position in the window: their n-th pixels make up window n."""
    return [
        block[tuple(slice(o, None, f) for o, f in zip(offsets, window, strict=True))]
        for offsets in itertools.product(*(range(f) for f in window))
    ]


def _mean(block: Array, window: Shape, out: Array) -> None:
    n = math.prod(window)
    if n == 1:
        out[...] = block
    elif block.dtype.kind == "b":
        _mode_bool(block, window, out)
    elif block.dtype.kind == "f":
        _mean_float(block, window, out)
    elif block.dtype.itemsize == 8:
        _mean_wide(block, window, out)
    elif _is_pairs(block, window):
        _mean_pairs(block, window, out)
    else:
        kind = block.dtype.kind
        total = np.zeros(out.shape, f"{kind}8")
        for view in _windows(block, window):
            total += view
        out[...] = divided(total, n)


def _is_pairs(block: Array, window: Shape) -> bool:
    """Return whether two neighbours along the last axis can be added as one word."""
    return (
        block.dtype.kind == "u"
        and block.dtype.itemsize <= 2
        and window[-1] == 2
        and math.prod(window) & (math.prod(window) - 1) == 0
        and math.prod(window) <= 64
        and block.strides[-1] == block.dtype.itemsize
        and sys.byteorder == "little"
    )


def _mean_pairs(block: Array, window: Shape, out: Array) -> None:
    """Means of windows of 2**k pixels: low half plus high half of each word, then the rows of the window."""
    bits = 8 * block.dtype.itemsize
    words = block.view(f"u{2 * block.dtype.itemsize}")
    # At most 64 values of `bits` bits are added: 8 + 6 bits fit 16, and 16 + 6 fit 32.
    mask = words.dtype.type((1 << bits) - 1)
    total: Array | None = None
    high: Array | None = None
    for row in _windows(words, (*window[:-1], 1)):
        if total is None or high is None:
            total, high = row & mask, row >> bits
            total += high
        else:
            np.bitwise_and(row, mask, out=high)
            total += high
            np.right_shift(row, bits, out=high)
            total += high
    assert total is not None and high is not None
    shift = math.prod(window).bit_length() - 1
    # Half to even without a branch: add half less one, plus the last bit of the quotient, then shift.
    np.right_shift(total, shift, out=high)
    high &= 1
    total += high
    total += (1 << (shift - 1)) - 1
    np.right_shift(total, shift, out=out, casting="unsafe")


def _mean_float(block: Array, window: Shape, out: Array) -> None:
    total = np.zeros(out.shape, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, as it should be
        for view in _windows(block, window):
            total += view
        total /= math.prod(window)
        out[...] = total


def _mean_wide(block: Array, window: Shape, out: Array) -> None:
    """Means of 64-bit integers: sums of the high and low halves, so that nothing overflows."""
    n = math.prod(window)
    high = np.zeros(out.shape, block.dtype)
    low = np.zeros(out.shape, block.dtype)
    for view in _windows(block, window):
        high += view >> 32
        low += view & 0xFFFFFFFF
    quotient, rest = np.divmod(high, n)
    out[...] = (quotient << 32) + divided((rest << 32) + low, n)


def divided(total: Array, n: int) -> Array:
    """Return ``total / n`` rounded half to even, in integers."""
    quotient, rest = np.divmod(total, n)
    rest *= 2
    quotient += (rest > n) | ((rest == n) & (quotient % 2 == 1))
    return quotient


def _mode(block: Array, window: Shape, out: Array) -> None:
    if block.dtype.kind == "b":
        _mode_bool(block, window, out)
        return
    views = _windows(block, window)
    best, most = views[0].copy(), np.zeros(out.shape, np.uint8 if len(views) < 256 else np.int64)
    for i, view in enumerate(views):
        # Each pixel is compared with those after it only: the first of its kind sees them all.
        count = np.ones_like(most)
        for other in views[i + 1 :]:
            count += view == other
        better = (count > most) | ((count == most) & (view < best))
        np.copyto(best, view, where=better)
        np.copyto(most, count, where=better)
    out[...] = best


def _mode_bool(block: Array, window: Shape, out: Array) -> None:
    views = _windows(block, window)
    count = np.zeros(out.shape, np.uint8 if len(views) < 128 else np.int64)
    for view in views:
        count += view
    np.greater_equal(count, -(-len(views) // 2), out=out)


def _extreme(ufunc: np.ufunc) -> Callable[[Array, Shape, Array], None]:
    def reduce(block: Array, window: Shape, out: Array) -> None:
        views = _windows(block, window)
        out[...] = views[0]
        for view in views[1:]:
            ufunc(out, view, out=out)

    return reduce


_KERNELS: dict[Method, Callable[[Array, Shape, Array], None]] = {
    "mean": _mean,
    "mode": _mode,
    "min": _extreme(np.minimum),
    "max": _extreme(np.maximum),
}


def gaussian(block: Array, step: Shape, before: Shape, shape: Shape) -> Array:
    """Return ``block`` halved along the axes with step 2 after the filter 1 3 3 1, a Gaussian of variance 3/4.

    Parameters
    ----------
    block : ndarray
        The windows asked for and one pixel more on each side of a halved axis, where the image has one.
    step : tuple of int
        1 or 2.
    before : tuple of int
        Pixels of ``block`` before the first window: 0 or 1.
    shape : tuple of int
        Of the result.

    Notes
    -----
    Weights that fall outside the image are left out and the rest made to sum to one. Sums are in float64;
    integers are rounded half to even.
    """
    total = block.astype(np.float64)
    for axis, (f, first, n) in enumerate(zip(step, before, shape, strict=True)):
        if f == 1:
            continue
        size = total.shape[axis]
        parts = np.moveaxis(total, axis, 0)
        result, weights = np.zeros((n, *parts.shape[1:])), np.zeros(n)
        for offset, weight in zip((-1, 0, 1, 2), (1.0, 3.0, 3.0, 1.0), strict=True):
            where = np.arange(n) * 2 + first + offset
            inside = (where >= 0) & (where < size)
            result[inside] += weight * parts[where[inside]]
            weights[inside] += weight
        result /= weights.reshape(-1, *[1] * (result.ndim - 1))
        total = np.moveaxis(result, 0, axis)
    if block.dtype.kind == "f":
        return np.ascontiguousarray(total.astype(block.dtype))
    if block.dtype.kind == "b":
        return np.ascontiguousarray(total >= 0.5)
    limits = np.iinfo(block.dtype)
    return np.ascontiguousarray(np.clip(np.rint(total), limits.min, limits.max).astype(block.dtype))
