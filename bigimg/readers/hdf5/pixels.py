"""Pixels of the datasets of an HDF5 file, chunk by chunk: their bytes through h5py, unpacked by :mod:`.filters`.

The HDF5 library has one lock for the whole process, so only the bytes of a chunk are read under a lock, and threads
unpack at once. A chunk that was never written reads as zeros there, silently: here it is known from the index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from bigimg.errors import InputError, damage, one_line, reading
from bigimg.geometry.holes import hole_value
from bigimg.geometry.region import grid, pieces, shape_of, shift
from bigimg.readers.extras import imported
from bigimg.readers.hdf5.filters import BY_LIBRARY, Filter, check_filters, most_packed, unpack
from bigimg.readers.hdf5.inside import ERRORS, find_inside
from bigimg.readers.never_written import CHUNK_BYTES, unwritten
from bigimg.readers.raw.plain import CHUNK, READ_BYTES, as_native
from bigimg.system.shared import Shared
from bigimg.types import Array, DType, Region, Shape

MOST_OPEN = 64
"""Datasets that stay open."""
DATASET_BYTES = 500
"""Memory for each dataset: its name, twice, and its layout, measured and rounded up."""

UNREADABLE = "its pixels cannot be read"
AGAIN = "fetch the file again"


class Layout(NamedTuple):
    """How the numbers of a dataset lie in the file."""

    shape: Shape
    dtype: DType
    """As stored, byte order included."""
    chunks: Shape | None
    """None where they are one piece."""
    filters: tuple[Filter, ...]
    direct: bool
    """Whether the bytes of a chunk are the numbers; the library converts them otherwise."""

    @property
    def pieces(self) -> Shape:
        """What is read at once: a chunk, or a run of a dataset that is one piece."""
        return self.chunks or (*(1 for _ in self.shape[1:]), min(self.shape[-1], CHUNK))

    @property
    def read_bytes(self) -> int:
        """Memory of a read in addition to its result: a chunk packed, unpacked, and once more between two filters."""
        if self.chunks is None:
            return READ_BYTES
        nbytes = math.prod(self.chunks) * self.dtype.itemsize
        return READ_BYTES + nbytes * (2 + (len(self.filters) > 1)) + most_packed(nbytes) - nbytes


def layout_of(source: str, dataset: Any) -> Layout:
    """Return how the numbers of an open dataset lie.

    Raises
    ------
    InputError
        They are packed by a filter that is not read.
    """
    made, stored = dataset.id.get_create_plist(), dataset.id.get_type()
    filters = tuple(made.get_filter(i)[::2] for i in range(made.get_nfilters()))
    check_filters(source, filters)
    exact = stored.get_size() == dataset.dtype.itemsize
    with suppress(AttributeError):  # only integers and floats have a precision
        exact = exact and stored.get_precision() == 8 * stored.get_size()
    by_library = any(number in BY_LIBRARY for number, _ in filters)
    return Layout(dataset.shape, dataset.dtype, dataset.chunks, filters, exact and not by_library)


def written_chunks(dataset: Any) -> Array:
    """Return which chunks of an open dataset were written, along each axis; a single answer where it is one piece."""
    if not dataset.chunks:
        return np.full((1,) * dataset.ndim, dataset.id.get_storage_size() == dataset.nbytes)
    shape = grid(dataset.shape, dataset.chunks)
    if dataset.id.get_num_chunks() == math.prod(shape):
        return ~unwritten(dataset.file.filename, shape)
    found = unwritten(dataset.file.filename, shape)

    def mark(chunk: Any) -> None:
        index = tuple(at // n for at, n in zip(chunk.chunk_offset, dataset.chunks, strict=True))
        if all(i < n for i, n in zip(index, shape, strict=True)):
            found[index] = True

    dataset.id.chunk_iter(mark)
    return found


class Hdf5Pixels:
    """The numbers of one dataset, or of many of one type that the first axes count.

    Parameters
    ----------
    path : str
    file : h5py.File
        The same, open: only the layouts of the datasets are read.
    names : ndarray of object
        Names of the datasets along the first axes, without axes for one; None where one is missing.
    shape : tuple of int, optional
        Pixels along the axes of a dataset; what a larger one has beyond is left out.
    dtype : dtype, optional
        What its integers are, where the file says another type of the same size.

    Raises
    ------
    InputError
        A dataset is gone, smaller, or of another type than the first, or there is none.
    """

    def __init__(
        self, path: str, file: Any, names: Array, *, shape: Shape | None = None, dtype: DType | None = None
    ) -> None:
        self.path, self.names = path, names
        self._layouts: dict[str, Layout] = {}
        self._lacking: dict[str, Array] = {}
        for name in names.flat:
            if name is not None:
                self._describe(file, name)
        if not self._layouts:
            raise InputError(f"{path}: none of its pixels were written; write it again")
        first = next(iter(self._layouts.values()))
        inner = first.shape if shape is None else shape
        self.layout = first._replace(shape=inner)
        for name, layout in self._layouts.items():
            fits = len(layout.shape) == len(inner) and all(
                n <= there for n, there in zip(inner, layout.shape, strict=True)
            )
            if not fits or layout.dtype != first.dtype:
                what = f"its {name} is {layout.shape} {layout.dtype}, and {inner} {first.dtype} is expected"
                raise damage(path, what)
        self.shape: Shape = (*names.shape, *inner)
        self.dtype: DType = first.dtype if dtype is None else dtype
        self.chunks: Shape = (*(1 for _ in names.shape), *map(min, first.pieces, inner))
        self.read_bytes = max(layout.read_bytes for layout in self._layouts.values())
        self.hole: complex = hole_value(self.dtype, None)
        """What stands where nothing was written."""
        self._open: Shared[tuple[Any, dict[str, Any]]] = Shared()

    def written(self) -> Array:
        """Return which of the chunks of all datasets were written, along each axis of ``shape``."""
        steps = self.layout.chunks or self.layout.shape
        inner = grid(self.layout.shape, steps)
        found = ~unwritten(self.path, (*self.names.shape, *inner))
        for at, name in np.ndenumerate(self.names):
            if name is None:
                found[at] = False
            elif name in self._lacking:
                own = ~self._lacking[name][tuple(slice(0, n) for n in inner)]
                found[at] = own if own.shape == inner else own.all()
        return found

    @property
    def steps(self) -> Shape:
        """What each of :meth:`written` stands for, in pixels along each axis."""
        return (*(1 for _ in self.names.shape), *(self.layout.chunks or self.layout.shape))

    @property
    def table_bytes(self) -> int:
        """Memory of what is known of the datasets and chunks, at most."""
        return DATASET_BYTES * self.names.size + CHUNK_BYTES * math.prod(grid(self.shape, self.steps))

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` in native byte order; never written ones are ``hole``.

        Raises
        ------
        InputError
            The file is gone, or damaged there.
        """
        outer, inner = region[: self.names.ndim], region[self.names.ndim :]
        result = np.empty(shape_of(region), self.layout.dtype)
        for at, name in np.ndenumerate(self.names[outer]):
            if name is None:
                result[at] = self.hole
            else:
                self._read_one(name, inner, result[at])
        return as_native(result).view(self.dtype.newbyteorder("="))

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        if (opened := self._open.take()) is not None:
            opened[0].close()

    def _describe(self, file: Any, name: str) -> None:
        dataset = find_inside(self.path, file, name)
        if dataset is None or not hasattr(dataset, "dtype"):
            raise damage(self.path, f"its {name} is not there")
        same = {layout: layout for layout in self._layouts.values()} if len(self._layouts) < 9 else {}
        layout = layout_of(self.path, dataset)
        self._layouts[name] = same.get(layout, layout)
        lacking = ~written_chunks(dataset)
        if lacking.any():
            self._lacking[name] = lacking

    def _read_one(self, name: str, region: Region, result: Array) -> None:
        """Fill ``result`` with ``region`` of one dataset."""
        layout, lacking = self._layouts[name], self._lacking.get(name)
        start = tuple(s.start for s in region)
        for index, part in pieces(region, layout.chunks or layout.shape):
            place = shift(part, start)
            target = result[place]
            if lacking is not None and lacking[index]:
                target[...] = self.hole
            elif layout.chunks is None or not layout.direct:
                with self._open.lock, reading(self.path, ERRORS, AGAIN, what=UNREADABLE):
                    self._dataset(name).read_direct(result, part, place)  # a second copy would be made else
            else:
                chunk = self._chunk(name, layout, index)
                first = tuple(i * n for i, n in zip(index, layout.chunks, strict=True))
                target[...] = chunk[shift(part, first)]

    def _chunk(self, name: str, layout: Layout, index: Shape) -> Array:
        """Return chunk ``index`` of a dataset."""
        with self._open.lock, reading(self.path, ERRORS, AGAIN, what=UNREADABLE):
            skipped, packed = packed_chunk(self.path, self._dataset(name), index)
        return unpacked_chunk(self.path, layout, index, skipped, packed)

    def _dataset(self, name: str) -> Any:
        """Return an open dataset; the caller holds the lock."""
        if self._open.value is None:
            self._open.value = imported("h5py", self.path).File(self.path, "r"), {}
        file, datasets = self._open.value
        if name not in datasets:
            if len(datasets) >= MOST_OPEN:
                datasets.clear()
            datasets[name] = find_inside(self.path, file, name)
        return datasets[name]


def packed_chunk(path: str, dataset: Any, index: Shape) -> tuple[int, bytes]:
    """Return the filters left out of a chunk, and its bytes in the file.

    Raises
    ------
    InputError
        There are more than its pixels need.
    """
    start = tuple(i * n for i, n in zip(index, dataset.chunks, strict=True))
    most = most_packed(math.prod(dataset.chunks) * dataset.dtype.itemsize)
    if (found := dataset.id.get_chunk_info_by_coord(start).size) > most:
        raise _unfit(path, index, dataset.chunks, f"{found} bytes where at most {most} are expected")
    return dataset.id.read_direct_chunk(start)  # type: ignore[no-any-return]


def unpacked_chunk(path: str, layout: Layout, index: Shape, skipped: int, packed: bytes) -> Array:
    """Return the pixels of a chunk.

    Raises
    ------
    InputError
        It is damaged, or has more bytes inside than its shape says.
    """
    chunks = layout.chunks or layout.shape
    nbytes = math.prod(chunks) * layout.dtype.itemsize
    try:
        content = unpack(packed, layout.filters, skipped, nbytes)
    except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise _unfit(path, index, chunks, one_line(error)) from error
    return np.frombuffer(content, layout.dtype).reshape(chunks)


def check_inflated(path: str, dataset: Any, index: Shape) -> None:
    """Check that chunk ``index`` of a dataset that another library reads has no more inside than its shape says.

    Raises
    ------
    InputError
        It has more, or is damaged.
    """
    layout = layout_of(path, dataset)
    unpacked_chunk(path, layout, index, *packed_chunk(path, dataset, index))


def _unfit(path: str, index: Sequence[int], chunks: Shape, why: str) -> InputError:
    what = f"chunk {tuple(index)} of its pixels is damaged, or has more inside than its shape {chunks} needs ({why})"
    return damage(path, what, "the file is damaged, or made to exhaust memory")
