"""Percentiles as ``numpy.percentile`` has them (linear), exactly, without sorting the image.

For 8- and 16-bit integers they follow from how often each value occurs, which a store keeps. For other types the
values of the wanted ranks are found digit by digit. Numbers become unsigned integers that sort in the same way. A first
pass counts their leading 16 bits; each further pass counts the next bits of the numbers that begin with the digits
found so far. This takes two passes for 32 bits of one channel, four for 64. Memory does not grow with the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import one_object
from bigimg.opening.open import Source
from bigimg.ops.arguments import as_numbers
from bigimg.ops.statistics.by_channel import by_channel, rows_of
from bigimg.ops.statistics.tallies import Counts, numbers
from bigimg.types import Array, DType, Opening

FIRST_BITS = 16
COUNTED_BYTES = 64 << 20
"""Memory of the counts of all parts of a pass."""


def percentile(
    img: Source, q: float | Sequence[float], *, where: Any = None, **opening: Unpack[Opening]
) -> xarray.DataArray:
    """Return percentiles of each channel, exact and as ``numpy.percentile`` interpolates them; lazy.

    If ``img`` is a whole 8- or 16-bit image in a store, no pixel is read. NaN and padding are left out.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    q : float or sequence of float
        From 0 to 100.
    where : mask, optional
        Count only where it is true.
    **opening
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray of shape (percentile, c), without ``percentile`` for a single number and without c where there is none
        float64; NaN where there is no value.

    Raises
    ------
    UsageError
        A percentile is not from 0 to 100, or the mask does not fit.
    """
    found = _percentiles(img, _checked(q), where, **opening)
    return found if np.ndim(q) else found[0]


def of_all(img: xarray.DataArray, q: Sequence[float]) -> xarray.DataArray:
    """Return the percentiles ``q`` of all channels together."""
    return _percentiles(img, _checked(q), None, together=True)


def _percentiles(
    img: Source, q: Array, where: Any, *, together: bool = False, **opening: Unpack[Opening]
) -> xarray.DataArray:
    of_counts, of_pixels = partial(_of_rows, q=q), partial(_of_pixels, q=q)
    dims = ("percentile", "c")
    return by_channel(
        img, where, "percentile", dims, {"percentile": q}, of_counts, of_pixels, together=together, **opening
    )


def _checked(q: float | Sequence[float]) -> Array:
    asked = np.atleast_1d(as_numbers("percentile", q, "numbers from 0 to 100"))
    if asked.ndim != 1 or not asked.size or not ((asked >= 0) & (asked <= 100)).all():
        wrong = next((float(v) for v in asked.flat if not 0 <= v <= 100), q)
        raise UsageError(f"percentile {wrong}: give numbers from 0 to 100")
    return asked


def of_counts(counts: Array, values: Array, q: Array) -> Array:
    """Return the percentiles of ``values`` that occur ``counts`` times each."""
    order = np.argsort(values, kind="stable")  # with a negative slope they fall
    below = np.cumsum(counts[order])
    n = int(below[-1]) if below.size else 0
    if not n:
        return np.full(len(q), np.nan)
    ranks, share = _ranks(n, q)
    at = np.searchsorted(below, ranks, side="right")
    low, high = values[order][at].astype(np.float64)
    return _between(low, high, share)


def _ranks(n: int, q: Array) -> tuple[Array, Array]:
    """Return the ranks (2, q) between which each percentile lies, and where between them, from 0 to 1."""
    rank = (n - 1) * (q / 100)
    low = np.floor(rank).astype(np.int64)
    return np.stack([low, np.minimum(low + 1, n - 1)]), rank - low


def _between(low: Array, high: Array, share: Array) -> Array:
    """Interpolate as numpy does, from the nearer end; equal infinities stay what they are."""
    with np.errstate(invalid="ignore"):
        step = high - low
        found = np.where(share >= 0.5, high - step * (1 - share), low + step * share)
    found = np.where(share == 0, low, found)
    result: Array = np.where(low == high, low, found)
    return result


def _of_rows(counts: Array, values: Array, *, q: Array) -> Array:
    return np.stack([of_counts(row, values, q) for row in counts], axis=1)


def _of_pixels(img: xarray.DataArray, by: list[str], where: Any, *, q: Array) -> Any:
    from bigimg.ops.statistics.reducing import reduce_image

    state = None
    for shift, bits in _digits(img.dtype, img.sizes["c"] if by else 1, len(q)):
        tallies = reduce_image(img, by, partial(_next, img.dtype, shift, bits), where=where, shared=state)
        narrow = partial(_narrowed, q=q, bits=bits)
        state = one_object(narrow, tallies) if state is None else one_object(narrow, tallies, state)
    return one_object(partial(_of_digits, dtype=img.dtype), state)


# ---------------------------------------------------------------------------------------------- digit by digit


@dataclass(frozen=True, eq=False)
class State:
    """The wanted ranks and their digits found so far."""

    share: Array
    """(c, q): how far each percentile lies between its two ranks."""
    prefix: Array
    """(c, 2, q): the digits so far, uint64."""
    rank: Array
    """(c, 2, q): the rank among the values with the same digits; -1 for channels without values."""


class Digits(Counts):
    """Counts one digit of the numbers that begin with each of some prefixes."""

    def __init__(self, dtype: DType, shift: int, bits: int, prefixes: Array) -> None:
        self.dtype, self.shift, self.bits, self.prefixes = dtype, shift, bits, prefixes
        self.counts = np.zeros((len(prefixes), 1 << bits), np.int64)

    def add(self, values: Array) -> None:
        """Count values."""
        keys = sortable(numbers(values))
        above = self.shift + self.bits
        whole = above >= 8 * keys.dtype.itemsize
        for row, prefix in zip(self.counts, self.prefixes, strict=True):
            chosen = keys if whole else keys[(keys >> keys.dtype.type(above)) == keys.dtype.type(prefix)]
            digits = (chosen >> keys.dtype.type(self.shift)) & keys.dtype.type((1 << self.bits) - 1)
            row += np.bincount(digits.astype(np.intp, copy=False), minlength=len(row))


def _next(dtype: DType, shift: int, bits: int, state: State | None = None) -> Digits:
    """Return a tally of a pass from the result of the pass before it."""
    prefixes = np.zeros(1, np.uint64) if state is None else np.unique(state.prefix)
    return Digits(dtype, shift, bits, prefixes)


def _digits(dtype: DType, channels: int, count: int) -> list[tuple[int, int]]:
    """Return shift and number of bits of each digit, as many bits at once as memory allows.

    >>> _digits(np.dtype("f4"), 1, 2), _digits(np.dtype("f4"), 3, 2)
    ([(16, 16), (0, 16)], [(16, 16), (4, 12), (0, 4)])
    """
    from bigimg.ops.statistics.reducing import PARTS

    counters = channels * channels * 2 * count  # each channel counts the prefixes of all
    room = COUNTED_BYTES // (8 * PARTS * counters)
    most = min(16, max(4, room.bit_length() - 1))
    left = 8 * dtype.itemsize
    found, bits = [], min(FIRST_BITS, left)
    while left:
        bits = min(bits, left)
        left -= bits
        found.append((left, bits))
        bits = most
    return found


def sortable(values: Array) -> Array:
    """Return unsigned integers of the same size that sort as ``values`` do."""
    keys, top = _bits(np.ascontiguousarray(values), values.dtype)
    if values.dtype.kind == "i":
        keys = keys ^ top
    return np.where(keys & top, ~keys, keys | top) if values.dtype.kind == "f" else keys


def _from_sortable(keys: Array, dtype: DType) -> Array:
    keys, top = _bits(keys.astype(f"u{dtype.itemsize}"), dtype)
    if dtype.kind == "i":
        keys = keys ^ top
    elif dtype.kind == "f":
        keys = np.where(keys & top, keys ^ top, ~keys)
    found: Array = keys.view(dtype)
    return found


def _bits(values: Array, dtype: DType) -> tuple[Array, Any]:
    """Return values as unsigned integers, and their highest bit."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return values.view(unsigned), unsigned.type(1 << (8 * dtype.itemsize - 1))


def _narrowed(tallies: Array, box: Any = None, *, q: Array, bits: int) -> State:
    """Return the state with one more digit known."""
    rows: list[Digits] = rows_of(tallies)
    state = _first_state(rows, q) if box is None else box.item()
    prefix, rank = state.prefix.copy(), state.rank.copy()
    for c, tally in enumerate(rows):
        for at in np.ndindex(prefix.shape[1:]):
            if rank[c][at] < 0:
                continue
            row = int(np.searchsorted(tally.prefixes, state.prefix[c][at]))
            below = np.cumsum(tally.counts[row])
            digit = int(np.searchsorted(below, rank[c][at], side="right"))
            rank[c][at] -= below[digit - 1] if digit else 0
            prefix[c][at] = (int(prefix[c][at]) << bits) | digit
    return State(state.share, prefix, rank)


def _first_state(rows: list[Digits], q: Array) -> State:
    share, rank = np.zeros((len(rows), len(q))), np.full((len(rows), 2, len(q)), -1, np.int64)
    for c, tally in enumerate(rows):
        if n := int(tally.counts.sum()):
            rank[c], share[c] = _ranks(n, q)
    return State(share, np.zeros(rank.shape, np.uint64), rank)


def _of_digits(box: Array, *, dtype: DType) -> Array:
    state: State = box.item()
    columns = []
    for share, prefix, rank in zip(state.share, state.prefix, state.rank, strict=True):
        low, high = _from_sortable(prefix, dtype).astype(np.float64)
        columns.append(np.where(rank[0] < 0, np.nan, _between(low, high, share)))
    return np.stack(columns, axis=1)
