"""The conformance kit: ``check_reader`` proves that a reader keeps the contract of :mod:`bigimg.reader`.

For packages that bring a reader of their own, and for ours. It needs no test framework: it raises
``AssertionError`` with the region and what was wrong. Regions are seeded, so a failure comes back.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bigimg.geometry.axes import ORDER
from bigimg.geometry.region import full, shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Reader
from bigimg.types import Array, Region

MOST_BYTES = 256 << 20
"""Images up to this are read whole; larger ones are no use in a test."""

RANDOM_REGIONS = 12
"""Besides the corners: enough that each axis is cut at both ends."""

THREADS = 8
"""More than most machines of a continuous integration have cores."""


def check_reader(reader_factory: Callable[[], Reader], *, expected: Array | None = None) -> None:
    """Check that a reader keeps the contract.

    Parameters
    ----------
    reader_factory : callable
        Opens the source and returns a new reader of it; called several times.
    expected : ndarray, optional
        The stored values in the axis order of ``spec``, from another library. An image with another value at
        each corner shows any flip or exchange of axes.

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
    reader = reader_factory()
    try:
        _check_face(reader)
        spec = reader.spec
        assert spec.nbytes <= MOST_BYTES, f"{spec.nbytes} bytes are too many for a test; use a smaller image"
        whole = _read(reader, full(spec.shape)).copy()
        if expected is not None:
            _same(whole, expected, full(spec.shape), "does not match what was expected")
    finally:
        reader.close()
    if reader.access.kind == "sequential":
        _check_in_order(reader_factory, whole)
        _check_backwards(reader_factory, whole)
    with warnings.catch_warnings():  # of regions read backwards, which _check_backwards has seen to
        warnings.simplefilter("ignore", UserWarning)
        _check_regions(reader_factory, whole)
        _check_threads(reader_factory, whole)
        _check_pickle(reader_factory, whole)
        _check_close(reader_factory, whole)


def _check_face(reader: Reader) -> None:
    """Check what a reader says before a pixel is read."""
    assert isinstance(reader, Reader), f"{type(reader).__name__} lacks a member of bigimg.reader.Reader"
    spec, access = reader.spec, reader.access
    assert isinstance(spec, ImageSpec), f"spec is a {type(spec).__name__}, not an ImageSpec"
    assert list(spec.dims) == sorted(spec.dims, key=ORDER.index), f"axes {spec.dims} are not in order {ORDER}"
    assert spec.dtype.isnative, f"spec.dtype {spec.dtype!r} is not in native byte order"
    for axis, chunk in zip(spec.axes, spec.chunks, strict=True):
        assert chunk >= 1, f"chunk of {chunk} along {axis.name}"
    assert reader.source and isinstance(reader.source, str), "source is empty"
    assert access.kind in ("random", "sequential", "whole"), f"access.kind is {access.kind!r}"
    assert access.why, "access.why is empty"
    assert access.fixed_bytes >= 0, "access.fixed_bytes is negative"
    assert access.read_bytes >= 0, "access.read_bytes is negative"
    if access.kind == "sequential":
        assert sorted(access.order) == sorted(spec.dims), f"access.order {access.order} must name {spec.dims}"


def _read(reader: Reader, region: Region) -> Array:
    """Return ``region`` after checking everything but its values."""
    spec = reader.spec
    got = reader.read(region)
    assert isinstance(got, np.ndarray), f"read gave a {type(got).__name__}, not a numpy array"
    assert got.shape == shape_of(region), f"read of {_name(spec, region)} gave shape {got.shape}"
    assert got.dtype == spec.dtype, f"read gave {got.dtype!r}, but spec.dtype is {spec.dtype!r}"
    assert got.dtype.isnative, f"read gave {got.dtype!r}, which is not in native byte order"
    return got


def _check_regions(reader_factory: Callable[[], Reader], whole: Array) -> None:
    reader = reader_factory()
    try:
        for region in _regions(whole.shape):
            _same(_read(reader, region), whole[region], region, f"{_name(reader.spec, region)} differs")
    finally:
        reader.close()


def _check_in_order(reader_factory: Callable[[], Reader], whole: Array) -> None:
    """Read bands along each slow axis in order: together they are the image, and nothing is warned of."""
    for bands in (2, 3):
        reader = reader_factory()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for region in _bands(reader.spec, reader.access.order, bands):
                    _same(_read(reader, region), whole[region], region, "differs when read in order")
        finally:
            reader.close()


def _check_backwards(reader_factory: Callable[[], Reader], whole: Array) -> None:
    """Read the end, then the start twice: right each time, and warned of once.

    A source that keeps its last chunk goes back within it for nothing, and need not warn of that.
    """
    reader = reader_factory()
    try:
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
        said = [str(w.message) for w in seen if issubclass(w.category, UserWarning)]
        assert len(said) <= 1, f"reading backwards warned {len(said)} times, and once is enough: {said}"
        if size > 2 * reader.spec.chunks[axis]:  # else the start may still be at hand
            assert said, "reading backwards must warn once with a UserWarning, and did not"
    finally:
        reader.close()


def _check_threads(reader_factory: Callable[[], Reader], whole: Array) -> None:
    """Read from many threads at once."""
    reader = reader_factory()

    def work(region: Region) -> None:
        _same(_read(reader, region), whole[region], region, "differs when read from many threads")

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, list(_regions(whole.shape)) * 2))
    finally:
        reader.close()


def _check_pickle(reader_factory: Callable[[], Reader], whole: Array) -> None:
    reader = reader_factory()
    try:
        other: Reader = pickle.loads(pickle.dumps(reader))
    finally:
        reader.close()
    try:
        assert other.spec == reader.spec, "spec is another after pickling"
        assert other.access == reader.access, "access is another after pickling"
        _same(_read(other, full(whole.shape)), whole, full(whole.shape), "differs after pickling")
    finally:
        other.close()


def _check_close(reader_factory: Callable[[], Reader], whole: Array) -> None:
    reader = reader_factory()
    reader.close()
    reader.close()
    try:
        _same(_read(reader, full(whole.shape)), whole, full(whole.shape), "differs after close()")
    finally:
        reader.close()


def _regions(shape: tuple[int, ...]) -> Iterator[Region]:
    """Yield the first and last pixel, the corners of all axes, the middle and seeded regions."""
    corners = np.array(np.meshgrid(*([0, size - 1] for size in shape))).reshape(len(shape), -1).T
    for corner in np.unique(corners, axis=0):
        yield tuple(slice(int(i), int(i) + 1) for i in corner)
    for axis, size in enumerate(shape):  # one line along each axis, through the middle
        yield tuple(slice(0, size) if i == axis else slice(n // 2, n // 2 + 1) for i, n in enumerate(shape))
    rng = np.random.default_rng(0)
    for _ in range(RANDOM_REGIONS):
        ends = [sorted(rng.choice(size + 1, 2, replace=False)) for size in shape]
        yield tuple(slice(int(a), int(b)) for a, b in ends)


def _bands(spec: ImageSpec, order: tuple[str, ...], bands: int) -> Iterator[Region]:
    """Yield slabs of the image in the order the source has them: cut along the slowest axes alone."""
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
    """Assert equal shape and values, NaN included, and say which pixel differs first."""
    assert got.shape == expected.shape, f"{message}: shape {got.shape} for {expected.shape}"
    wrong = got != expected
    if got.dtype.kind == "f":
        wrong &= ~(np.isnan(got) & np.isnan(expected))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = tuple(i + s.start for i, s in zip(at, region, strict=True))
        raise AssertionError(
            f"{message}: {int(wrong.sum())} of {wrong.size} pixels, first at {place}: {got[at]} for {expected[at]}"
        )


def _name(spec: ImageSpec, region: Region) -> str:
    return " ".join(f"{name}={s.start}:{s.stop}" for name, s in zip(spec.dims, region, strict=True))
