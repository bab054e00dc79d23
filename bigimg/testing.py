"""``check_reader`` checks that a reader keeps the contract of :mod:`bigimg.reader`.

It is for the tests of our readers and of readers in other packages. It needs no test framework: it raises
``AssertionError`` with the region and what is wrong. The regions are seeded, so a failure can be repeated.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from bigimg.geometry.axes import ORDER
from bigimg.geometry.region import full, shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Reader
from bigimg.readers.allowed import public_and_private
from bigimg.types import Array, Region

MOST_BYTES = 256 << 20
"""The largest image that is checked: it is read whole several times."""

RANDOM_REGIONS = 12
"""Regions besides the corners: with 12 each axis is cut at both ends."""

THREADS = 8
"""More threads than the usual test machine has cores."""


def check_reader(reader_factory: Callable[[], Reader], *, expected: Array | None = None) -> None:
    """Check that a reader keeps the contract.

    Parameters
    ----------
    reader_factory : callable
        Opens the source and returns a new reader; it is called several times.
    expected : ndarray, optional
        The stored values in the axis order of ``spec``, from another library. An image with another value at
        each corner reveals any flip or exchange of axes.

    Raises
    ------
    AssertionError
        The reader breaks the contract; the message says where.

    Examples
    --------
    >>> import numpy as np
    >>> from bigimg.readers.arrays.array import ArrayReader
    >>> pixels = np.arange(12).reshape(3, 4)
    >>> check_reader(lambda: ArrayReader(pixels, dims="yx"), expected=pixels)
    """
    with closing(reader_factory()) as reader:
        _check_description(reader)
        spec = reader.spec
        assert spec.nbytes <= MOST_BYTES, f"{spec.nbytes} bytes are too many for a test; use a smaller image"
        whole = _read(reader, full(spec.shape)).copy()
        if expected is not None:
            _same(whole, expected, full(spec.shape), "does not match what was expected")
    if reader.access.kind == "sequential":
        _check_in_order(reader_factory, whole)
        _check_backwards(reader_factory, whole)
    with warnings.catch_warnings():  # about reading backwards; _check_backwards has checked them
        warnings.simplefilter("ignore", UserWarning)
        _check_regions(reader_factory, whole)
        _check_again(reader_factory, whole)


def _check_description(reader: Reader) -> None:
    """Check the attributes of a reader; no pixel is read."""
    assert isinstance(reader, Reader), f"{type(reader).__name__} lacks a member of bigimg.reader.Reader"
    spec, access = reader.spec, reader.access
    assert isinstance(spec, ImageSpec), f"spec is a {type(spec).__name__}, not an ImageSpec"
    assert list(spec.dims) == sorted(spec.dims, key=ORDER.index), f"axes {spec.dims} are not in order {ORDER}"
    assert spec.dtype.isnative, f"spec.dtype {spec.dtype!r} is not in native byte order"
    for axis, chunk in zip(spec.axes, spec.chunks, strict=True):
        assert chunk >= 1, f"chunk of {chunk} along {axis.name}"
    assert reader.source and isinstance(reader.source, str), "source is empty"
    free = public_and_private(spec.meta)[1]
    assert not free, (
        f"spec.meta has {next(iter(free))!r}, which bigimg.readers.allowed does not list: put it into private"
    )
    assert access.kind in ("random", "sequential", "whole"), f"access.kind is {access.kind!r}"
    assert access.why, "access.why is empty"
    assert access.fixed_bytes >= 0, "access.fixed_bytes is negative"
    assert access.read_bytes >= 0, "access.read_bytes is negative"
    if access.kind == "sequential":
        assert sorted(access.order) == sorted(spec.dims), f"access.order {access.order} must name {spec.dims}"


def _read(reader: Reader, region: Region) -> Array:
    """Read ``region``, check type and shape, and return the pixels."""
    spec = reader.spec
    got = reader.read(region)
    assert isinstance(got, np.ndarray), f"read gave a {type(got).__name__}, not a numpy array"
    assert got.shape == shape_of(region), f"read of {_name(spec, region)} gave shape {got.shape}"
    assert got.dtype == spec.dtype, f"read gave {got.dtype!r}, but spec.dtype is {spec.dtype!r}"
    assert got.dtype.isnative, f"read gave {got.dtype!r}, which is not in native byte order"
    return got


def _check_regions(reader_factory: Callable[[], Reader], whole: Array) -> None:
    """Read regions one after another, then from many threads at once."""
    with closing(reader_factory()) as reader, ThreadPoolExecutor(THREADS) as pool:

        def check(region: Region, message: str) -> None:
            _same(_read(reader, region), whole[region], region, f"{_name(reader.spec, region)} {message}")

        for region in _regions(whole.shape):
            check(region, "differs")
        again = list(_regions(whole.shape)) * 2
        list(pool.map(lambda region: check(region, "differs when read from many threads"), again))


def _check_in_order(reader_factory: Callable[[], Reader], whole: Array) -> None:
    """Read bands along each slow axis in order: together they must be the image, without a warning."""
    for bands in (2, 3):
        with closing(reader_factory()) as reader, warnings.catch_warnings():
            warnings.simplefilter("error")
            for region in _bands(reader.spec, reader.access.order, bands):
                _same(_read(reader, region), whole[region], region, "differs when read in order")


def _check_backwards(reader_factory: Callable[[], Reader], whole: Array) -> None:
    """Read the end, then the start twice: the pixels must be right each time, with one warning.

    A source that keeps its last chunk can go back within it at no cost, and need not warn of that.
    """
    with closing(reader_factory()) as reader:
        order = reader.access.order
        slow = next((name for name in order if reader.spec.shape[reader.spec.axis(name)] > 1), order[0])
        axis = reader.spec.axis(slow)
        size = whole.shape[axis]
        ends = [slice(size - 1, size), slice(0, 1), slice(0, 1)]
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for end in ends:
                region = tuple(end if i == axis else s for i, s in enumerate(full(whole.shape)))
                _same(_read(reader, region), whole[region], region, "differs when read backwards")
        messages = [str(w.message) for w in seen if issubclass(w.category, UserWarning)]
        assert len(messages) <= 1, f"reading backwards must warn once, not {len(messages)} times: {messages}"
        if size > 2 * reader.spec.chunks[axis]:  # else the start may still be cached
            assert messages, "reading backwards must warn once with a UserWarning, and did not"


def _check_again(reader_factory: Callable[[], Reader], whole: Array) -> None:
    """Read after pickling, and after closing twice."""
    with closing(reader_factory()) as reader:
        copy: Reader = pickle.loads(pickle.dumps(reader))
        reader.close()
        reader.close()
        _same(_read(reader, full(whole.shape)), whole, full(whole.shape), "differs after close()")
    with closing(copy):
        assert copy.spec == reader.spec, "spec is another after pickling"
        assert copy.access == reader.access, "access is another after pickling"
        _same(_read(copy, full(whole.shape)), whole, full(whole.shape), "differs after pickling")


def _regions(shape: tuple[int, ...]) -> Iterator[Region]:
    """Yield the first and last pixel, the corners of all axes, the middle and seeded regions."""
    corners = np.array(np.meshgrid(*([0, size - 1] for size in shape))).reshape(len(shape), -1).T
    for corner in np.unique(corners, axis=0):
        yield tuple(slice(int(i), int(i) + 1) for i in corner)
    for axis in range(len(shape)):  # one line along each axis, through the middle
        yield tuple(slice(0, n) if i == axis else slice(n // 2, n // 2 + 1) for i, n in enumerate(shape))
    rng = np.random.default_rng(0)
    for _ in range(RANDOM_REGIONS):
        ends = [sorted(rng.choice(size + 1, 2, replace=False)) for size in shape]
        yield tuple(slice(int(a), int(b)) for a, b in ends)


def _bands(spec: ImageSpec, order: tuple[str, ...], bands: int) -> Iterator[Region]:
    """Yield slabs of the image in the order of the source: cut along the slowest axes only."""
    sizes = {axis.name: axis.size for axis in spec.axes}
    slow = [name for name in order if name not in "xc" or order.index(name) == 0]
    fixed = slow[:-1] if len(slow) > 1 else []
    last = slow[-1]
    step = max(1, -(-sizes[last] // bands))
    for index in np.ndindex(*(sizes[name] for name in fixed)):
        for start in range(0, sizes[last], step):
            where = {name: slice(i, i + 1) for name, i in zip(fixed, index, strict=True)}
            where[last] = slice(start, min(start + step, sizes[last]))
            yield tuple(where.get(axis.name, slice(0, axis.size)) for axis in spec.axes)


def _same(got: Array, expected: Array, region: Region, message: str) -> None:
    """Assert equal shape and values, with NaN equal to NaN; the message names the first pixel that differs."""
    assert got.shape == expected.shape, f"{message}: shape {got.shape} for {expected.shape}"
    wrong = got != expected
    if got.dtype.kind == "f":
        wrong &= ~(np.isnan(got) & np.isnan(expected))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        index = tuple(i + s.start for i, s in zip(at, region, strict=True))
        raise AssertionError(
            f"{message}: {int(wrong.sum())} of {wrong.size} pixels, first at {index}: {got[at]} for {expected[at]}"
        )


def _name(spec: ImageSpec, region: Region) -> str:
    return " ".join(f"{name}={s.start}:{s.stop}" for name, s in zip(spec.dims, region, strict=True))
