"""Any region of uncompressed pixels in a file, read with ``pread`` and no more memory than the region.

Plain TIFF strips, ``.nii``, ``.npy`` and raw volumes are all C-order numbers from some byte on. :func:`read_runs` turns
a region into few reads: runs that touch are read straight into the result; runs with small gaps are read together into
a buffer of ``READ_BYTES`` and copied from there. :class:`RawReader` is a reader of such pixels in any order of axes.

The file is not mapped: a mapped page counts as resident memory, and a file that is cut while it is read would end
the process with SIGBUS instead of an error.
"""

from __future__ import annotations

import itertools
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from bigimg.errors import InputError, reading
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access, Reader
from bigimg.readers.complex_values import of_one_part
from bigimg.system import files
from bigimg.types import Array, DType, Part, Region, Shape

READ_BYTES = 1 << 20
"""The most that one call of ``RawFile.read`` holds in addition to its result, in bytes."""

GAP_BYTES = 16 << 10
"""Runs with smaller gaps are read as one: a ``pread`` takes about 2 µs, the time to copy 16 KiB."""

type ReadRun = Callable[[Array, int], None]
"""Fills a contiguous 1-D array with the pixels from a number on."""

CHUNK = 64
"""Pixels along the fastest axis that the spec gives as read at once. Any number works; this one divides our blocks."""


class Stored(NamedTuple):
    """How the numbers of an image lie in a file: in C order, one after the other."""

    dims: tuple[str, ...]
    """Names of the axes, slowest first."""
    shape: Shape
    dtype: DType
    """Byte order included."""


class RawPixels(ABC):
    """C-order numbers in a file, from byte ``offset`` on.

    Parameters
    ----------
    path : str or path-like
    offset : int
        Byte of the first pixel.
    shape : tuple of int
        Pixels along each axis, slowest first.
    dtype : dtype
        As stored, byte order included.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    InputError
        The file cannot be opened, or is too short for ``offset`` and ``shape``.
    """

    def __init__(self, path: str | os.PathLike[str], *, offset: int, shape: Shape, dtype: DType) -> None:
        self.path = os.fspath(path)
        self.offset = offset
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.end = offset + math.prod(shape) * self.dtype.itemsize

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``, C-contiguous and in native byte order.

        Raises
        ------
        InputError
            The file is cut or damaged within or before the region.
        """
        result = np.empty(shape_of(region), self.dtype)
        self.read_into(result, region)
        return as_native(result)

    @abstractmethod
    def read_into(self, result: Array, region: Region) -> None:
        """Fill ``result``, C-contiguous and of the dtype as stored, with the pixels of ``region``."""

    def _check_length(self, most: int, size: str) -> None:
        """Refuse a file that holds fewer bytes than the pixels need: at most ``most``."""
        if self.offset < 0 or most < self.end:
            what = f"bytes {self.offset} to {self.end} (shape {self.shape}, {self.dtype}), but {size}"
            raise InputError(
                f"{self.path}: pixels should take {what}; it is truncated, or its header is wrong"
            )


class RawFile(RawPixels):
    """Uncompressed pixels in a file; see :class:`RawPixels`.

    Reads may come from many threads: each is a ``pread`` on one descriptor, without a lock or a position.
    """

    held_bytes = 0
    """Memory that one read uses beside its result."""

    def __init__(self, path: str | os.PathLike[str], *, offset: int, shape: Shape, dtype: DType) -> None:
        super().__init__(path, offset=offset, shape=shape, dtype=dtype)
        self._descriptor: _Descriptor | None = None
        self._open()

    @classmethod
    def bytes_of(cls, path: str | os.PathLike[str]) -> RawFile:
        """Return all bytes of a file as one axis."""
        file = cls(path, offset=0, shape=(0,), dtype=np.dtype(np.uint8))
        assert file._descriptor is not None
        file.end = os.fstat(file._descriptor.number).st_size
        file.shape = (file.end,)
        return file

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Announce the (offset, length) of this thread's next reads: behind an address they are fetched together."""

    def bytes_at(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes of the file from ``start`` on; InputError where it ends before."""
        descriptor = self._descriptor or self._open()
        with reading(self.path):
            found = files.read_at(descriptor.number, size, start)
        if len(found) == size:
            return found
        whole = self.part(
            offset=start, shape=(size,), dtype=np.dtype(np.uint8)
        )  # Linux gives at most 2 GiB a call
        return whole.read((slice(0, size),)).tobytes()

    def part(self, *, offset: int, shape: Shape, dtype: DType) -> RawFile:
        """Return other pixels of the same file, which is opened again only if it was closed.

        That they lie in the file is found when they are read.
        """
        descriptor = self._descriptor
        if descriptor is None:
            return RawFile(self.path, offset=offset, shape=shape, dtype=dtype)
        other = object.__new__(RawFile)  # neither __init__ nor copy, which would open the file
        RawPixels.__init__(other, self.path, offset=offset, shape=shape, dtype=dtype)
        other._descriptor = descriptor
        return other

    def read_into(self, result: Array, region: Region) -> None:
        """Fill ``result``, C-contiguous and of the dtype as stored, with the pixels of ``region``."""
        descriptor = self._descriptor or self._open()
        read_runs(result, region, self.shape, lambda flat, first: self._pread(descriptor, flat, first))

    def read_run(self, flat: Array, first: int) -> None:
        """Fill ``flat``, contiguous and of one axis, with the pixels from number ``first`` on: a :data:`ReadRun`."""
        self._pread(self._descriptor or self._open(), flat, first)

    def close(self) -> None:
        """Let go of the file; a read that is under way ends well, and a later one opens it again."""
        self._descriptor = None

    def _open(self) -> _Descriptor:
        with reading(self.path):
            descriptor = _Descriptor(self.path)
            size = os.fstat(descriptor.number).st_size
        self._check_length(size, f"the file has {size}")
        self._descriptor = descriptor
        return descriptor

    def _pread(self, descriptor: _Descriptor, flat: Array, first: int) -> None:
        """Fill ``flat`` with the pixels from number ``first`` on."""
        view = memoryview(flat.view(np.uint8))
        byte = self.offset + first * self.dtype.itemsize
        done = 0
        while done < len(view):  # Linux gives at most 2 GiB a call
            try:
                got = files.read_into(descriptor.number, view[done:], byte + done)
            except OSError as error:
                what = f"cannot be read at byte {byte + done} ({error.strerror})"
                raise InputError(f"{self.path}: {what}; check the disk") from error
            if not got:
                what = f"ends at byte {byte + done}, where pixels were expected up to byte {byte + len(view)}"
                raise InputError(f"{self.path}: {what}; it was cut after it was opened")
            done += got

    def __reduce__(self) -> tuple[object, ...]:
        return partial(RawFile, self.path, offset=self.offset, shape=self.shape, dtype=self.dtype), ()


def read_once(path: str, offset: int, shape: Shape, dtype: DType, region: Region) -> Array:
    """Return ``region`` of a :class:`RawFile` that is opened only for this read."""
    with closing(RawFile(path, offset=offset, shape=shape, dtype=dtype)) as file:
        return file.read(region)


class _Descriptor:
    """A file descriptor that is closed with its last user.

    ``close`` in one thread must not close it during a ``pread`` in another: the number could then belong to another
    file, whose bytes would be taken for pixels.
    """

    def __init__(self, path: str) -> None:
        self.number = files.open_to_read(path)

    def __del__(self) -> None:
        if hasattr(self, "number"):  # not when os.open failed
            with suppress(OSError):  # nothing that was read is lost, and no caller could catch it
                os.close(self.number)


class Pixels(Protocol):
    """Pixels in the axis order of a file, plain (:class:`RawFile`) or compressed."""

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` in native byte order."""

    def close(self) -> None:
        """Let go of the file."""


type Opened = tuple[Pixels, Access]
"""Pixels, and how they are read."""


@dataclass(frozen=True)
class RawReader:
    """A :class:`bigimg.reader.Reader` of pixels whose axes have another order in the file."""

    spec: ImageSpec
    access: Access
    source: str
    pixels: Pixels
    dims: tuple[str, ...]
    """Axis names of ``pixels``, slowest first: those of the spec in any order."""
    beside: tuple[str, ...] = ()
    """Files beside the source that were read with it, as the header of a pair."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of all files that are read."""
        pixels: Any = self.pixels
        while hasattr(pixels, "pixels"):  # behind a scaling, or a part of complex values
            pixels = pixels.pixels
        parts = getattr(pixels, "starts", (pixels,))
        return tuple(dict.fromkeys((*self.beside, *(getattr(part, "path", self.source) for part in parts))))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of complex values to choose from; none where the values are real, or one is chosen."""
        return getattr(self.pixels, "parts", ())

    def of_part(self, part: Part) -> RawReader:
        """Return the reader of one part of complex values."""
        pixels = self.pixels.of_part(part)  # type: ignore[attr-defined]
        return replace(self, pixels=pixels, spec=of_one_part(self.spec, part))

    def with_bytes(self, file: RawFile) -> RawReader | None:
        """Return the reader of the same pixels in ``file``, which is behind an address; None if that cannot be.

        The file that was opened need not hold them then.
        """
        own = self.pixels
        if type(own) is not RawFile or self.access.kind != "random" or own.end > file.shape[0]:
            return None
        pixels = file.part(offset=own.offset, shape=own.shape, dtype=own.dtype)
        access = replace(self.access, read_bytes=self.access.read_bytes + file.held_bytes, wide=False)
        return replace(self, pixels=pixels, access=access)

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``, as a transposed view where the orders differ."""
        ours = self.spec.dims
        part = self.pixels.read(tuple(region[ours.index(name)] for name in self.dims))
        return part.transpose([self.dims.index(name) for name in ours])

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        self.pixels.close()


@dataclass(frozen=True)
class ChosenReader(RawReader):
    """A :class:`RawReader` of one image of a source that holds several."""

    identity: str = ""
    """Its name there, so that a run that was interrupted is not continued with another image."""
    coarser: tuple[Callable[[], Reader], ...] = ()
    """What opens each coarser level of it; see :func:`bigimg.reader.coarser_of`."""
    lossy: bool = False
    """Whether the source may not give back the pixels that went in."""


def is_wide(dims: Sequence[str], row_bytes: int) -> bool:
    """Return whether a row is so short that reading a piece of it takes as long as reading all of it.

    Blocks of 256 cut the planes of a volume into four along x: with rows of 2 KB, each block would read all four
    pieces and use one.
    """
    return "z" in dims and row_bytes <= GAP_BYTES


def natural_chunks(axes: Sequence[Axis], dims: Sequence[str]) -> Shape:
    """Return the chunk of uncompressed pixels that is read at once; the file has the ``axes`` in the order ``dims``.

    >>> natural_chunks([Axis("c", 3), Axis("y", 500), Axis("x", 500)], "yxc")
    (3, 1, 64)
    """
    whole = "c" if dims[-1] == "c" else ""  # the colours of a pixel lie next to one another
    fast = [name for name in dims if name != whole][-1]
    most = dict.fromkeys(dims, 1) | {fast: CHUNK}
    return tuple(axis.size if axis.name == whole else min(axis.size, most[axis.name]) for axis in axes)


def as_native(array: Array) -> Array:
    """Return ``array`` in native byte order; its bytes are swapped in place where needed."""
    if array.dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def read_runs(result: Array, region: Region, shape: Shape, read: ReadRun) -> None:
    """Fill ``result`` with ``region`` of C-order pixels, in few reads, each further on in the file.

    Parameters
    ----------
    result : ndarray
        C-contiguous, of the shape of ``region`` and the dtype of the pixels.
    region : tuple of slice
    shape : tuple of int
        Pixels of the whole array along each axis.
    read : callable
        ``read(flat, first)`` fills a contiguous 1-D array with the pixels from number ``first`` on.
    """
    flat = result.reshape(-1)
    first, steps = _coalesce(region, shape)
    outer, inner, rows = _split(steps, result.itemsize)
    size = math.prod(step.size for step in inner)
    indices = itertools.product(*(range(step.size) for step in outer))
    for start, index in zip(range(0, flat.size, size), indices, strict=True):
        position = first + sum(i * step.stride for i, step in zip(index, outer, strict=True))
        part = flat[start : start + size]
        if len(inner) == 1:
            read(part, position)
        else:
            _cut(part.reshape(tuple(step.size for step in inner)), position, inner, rows, read)


def _cut(target: Array, position: int, steps: list[_Step], rows: int, read: ReadRun) -> None:
    """Read ``rows`` of the first of ``steps`` at a time, gaps included, and copy the pixels out."""
    row_stride = steps[0].stride
    strides = tuple(step.stride * target.itemsize for step in steps)
    tail = sum((step.size - 1) * step.stride for step in steps[1:]) + 1
    buffer = np.empty((min(rows, len(target)) - 1) * row_stride + tail, target.dtype)
    for row in range(0, len(target), rows):
        part = target[row : row + rows]
        read(buffer[: (len(part) - 1) * row_stride + tail], position + row * row_stride)
        part[...] = np.ndarray(part.shape, target.dtype, buffer, strides=strides)


class _Step(NamedTuple):
    """Some of a region's pixels along an axis of the file: their number, and how many pixels apart they lie."""

    size: int
    stride: int


def _coalesce(region: Region, shape: Shape) -> tuple[int, list[_Step]]:
    """Return the first pixel of ``region`` and as few steps as possible; the last one is a run of stride 1.

    >>> _coalesce((slice(1, 2), slice(0, 3), slice(0, 5)), (4, 8, 5))
    (40, [_Step(size=15, stride=1)])
    """
    first, stride = 0, 1
    steps = [_Step(1, 1)]  # from the fastest axis to the slowest
    for axis, size in zip(reversed(region), reversed(shape), strict=True):
        count = axis.stop - axis.start
        first += axis.start * stride
        fast = steps[-1]
        if fast.size * fast.stride == stride:
            steps[-1] = _Step(fast.size * count, fast.stride)
        elif count > 1:
            steps.append(_Step(count, stride))
        stride *= size
    return first, steps[::-1]


def _split(steps: list[_Step], item: int) -> tuple[list[_Step], list[_Step], int]:
    """Return the steps to loop over, those that one read covers, and how many of the first of these a read has.

    >>> _split([_Step(9, 1 << 20), _Step(3, 100), _Step(10, 1)], 1)
    ([_Step(size=9, stride=1048576)], [_Step(size=3, stride=100), _Step(size=10, stride=1)], 3)
    """
    cut = len(steps) - 1
    span = rows = steps[-1].size
    while cut:
        step = steps[cut - 1]
        fit = (READ_BYTES // item - span) // step.stride + 1
        if (step.stride - span) * item > GAP_BYTES or fit < 2:
            break
        cut, rows = cut - 1, min(fit, step.size)
        if fit < step.size:
            break
        span += (step.size - 1) * step.stride
    return steps[:cut], steps[cut:], rows
