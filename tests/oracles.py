"""Plain numpy forms of what DESIGN 5 says, slow and obvious: the oracles of the tests."""

from __future__ import annotations

import numpy as np

from bigimg.types import Array, Shape


def coarser(image: Array, step: Shape, method: str) -> Array:
    """Return the next level of ``image``, window by window in Python numbers."""
    out = np.empty(tuple(-(-n // f) for n, f in zip(image.shape, step, strict=True)), image.dtype)
    for index in np.ndindex(out.shape):
        window = image[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, step, strict=True))].ravel()
        out[index] = _one(window, method)
    return out


def _one(window: Array, method: str) -> object:
    if method == "nearest":
        return window[0]
    if window.dtype.kind == "f" and not np.isnan(window).all():  # NaN is no measurement
        window = window[~np.isnan(window)]
    if method == "min":
        return window.min()
    if method == "max":
        return window.max()
    if window.dtype.kind == "b":
        return 2 * int(window.sum()) >= window.size
    if method == "mode":
        values, counts = np.unique(
            window, return_counts=True
        )  # sorted: the first of the largest is the smallest id
        return values[np.argmax(counts)]
    if window.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            return window.astype(np.float64).sum() / window.size
    total, n = sum(int(v) for v in window), window.size
    quotient, rest = divmod(total, n)
    return quotient + (2 * rest > n or (2 * rest == n and quotient % 2 == 1))


def fast_mean(image: Array, step: Shape) -> Array:
    """Return the next level of a larger image of up to 32 bits, in float64 sums (exact below 2**53)."""
    pad = [(0, -n % f) for n, f in zip(image.shape, step, strict=True)]
    sums = np.pad(image.astype(np.float64), pad)
    counts = np.pad(np.ones(image.shape, np.uint8), pad)
    split = [k for n, f in zip(sums.shape, step, strict=True) for k in (n // f, f)]
    window = tuple(range(1, 2 * image.ndim, 2))
    return np.rint(sums.reshape(split).sum(window) / counts.reshape(split).sum(window)).astype(image.dtype)
