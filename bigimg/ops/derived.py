"""Images made from others region by region, lazily: what every operation that changes shape or grid is built on.

An operation says which region of its source a region of its result is made of, and makes it. Of an image as it
was opened, or one derived from it, the result reads straight from the reader: building it costs the same for any
number of chunks, the blocks suit the result, and one block holds one region of the source. Where the source is read
in one order alone, so is the result, band by band (:mod:`bigimg.ops.ordered`). What dask computes block by block is
read in the same way, from blocks of which some are kept. Where its blocks share what they are computed from, the result
is a layer of its graph that writes down its tasks only when they are asked for.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import ORDER
from bigimg.geometry.region import full, pieces, shape_of, shift
from bigimg.opening.labelled import opened_pixels
from bigimg.opening.open import Memory, Source, native
from bigimg.opening.open import open as open_image
from bigimg.ops.gathering import gathered
from bigimg.ops.graphs import is_apart, order_of
from bigimg.ops.ordered import Rolling, band_of
from bigimg.ops.pieces import Blocks, Pieced
from bigimg.pyramid.kernels import SCRATCH_BYTES
from bigimg.readers.bands import ordered_array
from bigimg.readers.lazy import COMPUTED, LazyPixels, explicit, resolve
from bigimg.types import Array, DType, Region, Shape

if TYPE_CHECKING:
    import xarray

PIECE_BYTES = 8 << 20
"""Source pixels behind a block at most, unless one chunk has more: sums beside them take as much again, and
larger blocks are no faster."""
KEPT_BYTES = 32 << 20
"""Of blocks that dask computed, kept for what overlaps them: a row of pieces shares those of two or three columns."""
MOST_VALUES = 1 << 22
"""Of a block, as within half a gigabyte. Of larger ones too few are kept, and each would be computed for many pieces
(of 32 MB 4 to 16 times); dask's own graph has each once, in the larger memory for which they are so large."""
SAMPLES = 64
"""On a line through an ordered source, made at once: the box around them is in few bands."""


class Operation(Protocol):
    """From regions of a result to those of its source, and from these pixels to those; can be pickled."""

    @property
    def shape(self) -> Shape:
        """Of the result."""

    @property
    def dtype(self) -> DType:
        """Of the result."""

    @property
    def beside(self) -> int:
        """Bytes a value of the source that making a region takes at most, beside source and result."""

    def source(self, region: Region) -> Region:
        """Return the region that ``region`` of the result is made of."""

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return ``region`` of the result from ``block``, the pixels of ``source``; ``block`` may be a view."""


class Derived:
    """The result of an operation as an array: shape, dtype, and ``[...]`` that computes that region and no more."""

    order: tuple[int, ...] = ()
    """Axes from slowest to fastest, where the source is read in one order alone; empty otherwise."""

    def __init__(self, pixels: Any, operation: Operation, piece: Shape) -> None:
        self.pixels = pixels
        self.operation = operation
        self.shape = operation.shape
        self.ndim = len(operation.shape)
        self.dtype = np.dtype(operation.dtype)
        self.copies = getattr(operation, "copies", False)
        self.piece = self.shape if self.copies else piece
        """Of the result, made at once."""

    @property
    def chunks(self) -> Shape:
        """What the source decodes at once, as far as it makes a part of the result."""
        theirs = chunks_of(self.pixels)
        if len(theirs) != self.ndim:
            return self.piece
        scaled = (max(1, c * n // m) for c, n, m in zip(theirs, self.shape, self.pixels.shape, strict=True))
        return tuple(scaled)

    @property
    def read_bytes(self) -> int:
        """Memory one call uses beside its result: a region of the source, and what its sums take."""
        if self.copies:
            return read_bytes(self.pixels)
        source = shape_of(self.operation.source(full(tuple(map(min, self.piece, self.shape)))))
        value = np.dtype(self.pixels.dtype).itemsize + self.operation.beside
        return int(math.prod(source) * value) + SCRATCH_BYTES + read_bytes(self.pixels)

    @property
    def fixed_bytes(self) -> int:
        """Memory that is held as long as this is open."""
        return fixed_bytes(self.pixels)

    def __getitem__(self, key: Any) -> Array:
        """Return what ``key`` selects, as numpy counts: integers, slices with any step, new axes, and lists."""
        region, index = resolve(key, self.shape)
        if not math.prod(shape_of(region)):
            return np.empty(shape_of(region), self.dtype)[index]
        if all(n <= m for n, m in zip(shape_of(region), self.piece, strict=True)):
            return self._made(region)[index]
        out = np.empty(shape_of(region), self.dtype)
        origin = tuple(s.start for s in region)
        for part in self._pieces(region):
            out[shift(part, origin)] = self._made(part)
        return out[index]

    def _pieces(self, region: Region) -> Iterator[Region]:
        return (part for _, part in pieces(region, self.piece))

    def _made(self, region: Region) -> Array:
        source = self.operation.source(region)
        return self.operation.make(self._read(source, region), source, region)

    def _read(self, source: Region, region: Region) -> Array:
        """Return the pixels of ``source``, which ``region`` is made of."""
        found: Array = self.pixels[source]
        return found


class InOrder(Derived):
    """The same of a source that is read in one order alone: each of its pixels once, while regions come in order.

    Parameters
    ----------
    pixels : array-like
    operation : Operation
    band : tuple of int
        Of the result, made at once.
    order : tuple of int
        Axes of the result from slowest to fastest.
    along : tuple of int
        Axis of the result along which bands follow one another, and that of the source.
    """

    def __init__(
        self, pixels: Any, operation: Operation, band: Shape, order: tuple[int, ...], along: tuple[int, int]
    ) -> None:
        super().__init__(pixels, operation, band)
        self.piece, self.order = band, order
        self._source = Rolling(pixels, operation, *along)

    def _pieces(self, region: Region) -> Iterator[Region]:
        found = sorted(pieces(region, self.piece), key=lambda found: [found[0][axis] for axis in self.order])
        return (part for _, part in found)

    def _read(self, source: Region, region: Region) -> Array:
        return self._source.read(source, region)


class Crossing(Derived):
    """Samples on a way through a source that is read in one order: made in that order, whichever way they run.

    Parameters
    ----------
    pixels : array-like
    operation : Operation
    piece : tuple of int
    source_order : tuple of int
        Axes of the source from slowest to fastest.
    """

    def __init__(
        self, pixels: Any, operation: Operation, piece: Shape, source_order: tuple[int, ...]
    ) -> None:
        super().__init__(pixels, operation, piece)
        self.source_order = source_order

    def _pieces(self, region: Region) -> Iterator[Region]:
        def place(part: Region) -> list[int]:
            source = self.operation.source(part)
            return [source[axis].start for axis in self.source_order]

        return iter(sorted(super()._pieces(region), key=place))


def chunks_of(pixels: Any) -> Shape:
    """Return what ``pixels`` have at once."""
    found: Shape = pixels.reader.spec.chunks if isinstance(pixels, LazyPixels) else pixels.chunks
    return found


def read_bytes(pixels: Any) -> int:
    """Return the memory that one read of ``pixels`` uses beside its result."""
    return int(pixels.reader.access.read_bytes if isinstance(pixels, LazyPixels) else pixels.read_bytes)


def fixed_bytes(pixels: Any) -> int:
    """Return the memory that ``pixels`` hold while open."""
    return int(pixels.reader.access.fixed_bytes if isinstance(pixels, LazyPixels) else pixels.fixed_bytes)


def image(
    img: Source, *, level: int = 0, memory: Memory = None, series: int | str | None = None
) -> xarray.DataArray:
    """Return ``img`` as a labelled array; one that is labelled may lack y or x, as a coronal plane does.

    Raises
    ------
    UsageError
        A dim is not one of t c z y x or has no pixels, or there is no such level.
    """
    from xarray import DataArray

    if not isinstance(img, DataArray):
        return open_image(img, level=level, memory=memory, series=series)
    if level:
        raise UsageError(f"level {level} of an array: it has no levels; give the store or the pyramid")
    if foreign := [str(name) for name in img.dims if name not in tuple(ORDER)]:
        raise UsageError(f"dim {foreign[0]!r} is not one of t c z y x; rename it, as in img.rename(...)")
    if empty := [str(name) for name, size in img.sizes.items() if not size]:
        raise UsageError(f"axis {empty[0]} has 0 pixels; an image needs at least 1")
    return native(img.transpose(*sorted(map(str, img.dims), key=ORDER.index)))


def pixels_of(img: xarray.DataArray) -> Any:
    """Return an array-like that ``img`` reads from, region by region in any order; None when there is none."""
    if img.chunks is None:
        return _Plain(img)
    found: Any = opened_pixels(img)
    if found is not None:
        return found if found.reader.access.kind == "random" else None
    found = COMPUTED.get(img.data.name)
    return None if found is None or found.order else found


def ordered_pixels_of(img: xarray.DataArray) -> tuple[Any, tuple[int, ...]] | None:
    """Return an array-like that ``img`` reads from in one order alone, and its axes from slowest to fastest."""
    if img.chunks is None:
        return None
    found: Any = opened_pixels(img)
    if found is not None:
        spec, access = found.reader.spec, found.reader.access
        return (found, tuple(map(spec.axis, access.order))) if access.kind == "sequential" else None
    found = COMPUTED.get(img.data.name)
    if found is not None:
        return (found, found.order) if found.order else None
    order = order_of(img.data, list(map(str, img.dims)))
    return None if order is None else (Pieced(Blocks(img.data), img.data.chunks, order=order), order)


class _Plain:
    """Pixels in memory, or of another lazy backend of xarray, as an array-like."""

    read_bytes = fixed_bytes = 0

    def __init__(self, img: xarray.DataArray) -> None:
        self.variable = img.variable  # .data would load, and keep, what is still lazy
        self.shape = img.shape
        self.dtype = img.dtype
        self.chunks = (1,) * img.ndim

    def __getitem__(self, region: Region) -> Array:
        """Return the pixels of ``region``, as a view where they are in memory."""
        return np.asarray(self.variable[region].values)


def source_block(img: xarray.DataArray) -> tuple[Shape, Shape]:
    """Return how many pixels of ``img`` may be behind a block of the result, and what is decoded at once."""
    pixels, most = pixels_of(img), PIECE_BYTES // img.dtype.itemsize
    sizes = tuple(map(max, img.chunks or ()))
    chunk = sizes if pixels is None else chunks_of(pixels)
    if sizes and isinstance(pixels, LazyPixels):
        most = min(most, math.prod(sizes))  # what opening it found that memory has room for
    chunk = tuple(map(min, chunk, img.shape))
    return grown(chunk, img.shape, most, img.dims), chunk


def grown(chunk: Shape, shape: Shape, most: int, dims: Any) -> Shape:
    """Return ``chunk`` doubled along its shortest side of space until ``most`` pixels; cut where it has more."""
    block = list(chunk)
    for i in range(len(block)):
        if (count := math.prod(block)) > most:
            block[i] = max(1, block[i] * most // count)
    space = [i for i, name in enumerate(dims) if name in ("z", "y", "x")]
    while longer := [i for i in space if block[i] < shape[i] and 2 * math.prod(block) <= most]:
        side = min(longer, key=block.__getitem__)
        block[side] = min(2 * block[side], shape[side])
    return tuple(block)


def derive(
    img: xarray.DataArray,
    operation: Operation,
    block: Shape | tuple[Shape, ...],
    like: xarray.DataArray,
) -> xarray.DataArray:
    """Return ``like``, which has the right labels, with the lazy pixels of ``operation`` on ``img``.

    Parameters
    ----------
    img : DataArray
        The source.
    operation : Operation
    block : tuple of int, or of tuples
        Pixels of a dask block of the result, or of all of them along each axis.
    like : DataArray
        Dims, coordinates, name and attrs of the result, over any pixels.
    """
    pixels = pixels_of(img)
    if pixels is None and math.prod(map(max, img.data.chunks)) <= MOST_VALUES and is_apart(img.data):
        pixels = Pieced(Blocks(img.data), img.data.chunks, kept_bytes=KEPT_BYTES)
    regular = all(isinstance(n, int) for n in block)
    chunks: Any = explicit(block, operation.shape) if regular else block  # type: ignore[arg-type]
    if pixels is None:
        made = _in_order(img, operation, like)
    else:
        made = Derived(pixels, operation, tuple(map(max, chunks)))
    data = gathered(img.data, operation, chunks) if made is None else _as_dask(made, img, chunks)
    found = like.copy(deep=False, data=data)
    found.encoding = {}  # of other pixels: to_zarr would take their chunks
    return found


def _as_dask(made: Derived, img: xarray.DataArray, chunks: Any) -> Any:
    if isinstance(made, Crossing):
        chunks = explicit(made.shape, made.shape)
    elif made.order:
        chunks = explicit(made.piece, made.shape)
    called = f"bigimg-{type(made.operation).__name__.lower()}-{_token(img, made.operation, chunks)}"
    # Made twice, the same object serves both: the entry must last as long as either of them.
    kept: Derived = COMPUTED.setdefault(called, made)
    meta = np.empty((0,) * kept.ndim, kept.dtype)
    if kept.order:
        return ordered_array(kept, kept.piece, kept.order, name=called, meta=meta)
    import dask.array

    return dask.array.from_array(kept, chunks, name=called, asarray=False, meta=meta)


def _in_order(img: xarray.DataArray, operation: Operation, like: xarray.DataArray) -> Derived | None:
    """Return the result as it is made of a source that has one order; None when there is none, or no such result."""
    found, dims, own = ordered_pixels_of(img), list(map(str, img.dims)), list(map(str, like.dims))
    if found is None or not own:
        return None
    pixels, axes = found
    order, band = [dims[axis] for axis in axes], tuple(map(max, img.chunks or ()))
    if not set(own) <= set(dims):
        bands = pixels if isinstance(pixels, Pieced) else Pieced(pixels, img.data.chunks, order=axes)
        return _crossing(bands, operation, own, dims, order)
    most = PIECE_BYTES // img.dtype.itemsize
    if isinstance(pixels, LazyPixels):
        most = min(most, math.prod(band))  # what opening it found that memory has room for
    piece, along = band_of(operation, own, dims, order, most)
    axis = own.index(along), dims.index(along)
    return InOrder(pixels, operation, piece, tuple(own.index(n) for n in order if n in own), axis)


def _crossing(
    pixels: Pieced, operation: Operation, own: list[str], dims: list[str], order: list[str]
) -> Crossing | None:
    """Return samples that a line through some axes has, some at a time; None where it leaves faster ones whole."""
    first = min(place for place, name in enumerate(order) if name not in own)
    faster = [name for name in order[first:] if name in own]
    if set(faster) - {"c"}:
        return None
    sizes = dict(zip(own, operation.shape, strict=True))
    piece = [sizes[name] if name in faster else 1 if name in dims else SAMPLES for name in own]
    return Crossing(pixels, operation, tuple(piece), tuple(map(dims.index, order)))


def _token(img: xarray.DataArray, operation: Operation, chunks: Any) -> str:
    """Return the same text for the same pixels, where the source has a name that says so."""
    if img.chunks is None:
        return uuid.uuid4().hex
    return hashlib.sha256(pickle.dumps((img.data.name, operation, chunks))).hexdigest()[:32]


def placeholder(
    img: xarray.DataArray,
    shape: Mapping[str, int] | None = None,
    coordinate: Callable[[str, xarray.DataArray], Any] | None = None,
    dtype: DType | None = None,
) -> xarray.DataArray:
    """Return the labels of ``img`` over no pixels, with other coordinates along the axes in ``shape``.

    Parameters
    ----------
    shape : mapping, optional
        New sizes by axis.
    coordinate : callable, optional
        From the name and the present coordinate of such an axis to the new one, a Variable.
    dtype : dtype, optional
        Of the result.
    """
    from xarray import DataArray

    none = np.zeros((), dtype or img.dtype)
    if not shape:
        return img.copy(deep=False, data=np.broadcast_to(none, img.shape))  # labels anew cost 0.2 ms
    coords: dict[Any, Any] = {}
    for name, coord in img.coords.items():
        if coordinate is not None and name in shape:
            coords[name] = coordinate(str(name), coord)
        elif not set(coord.dims) & set(shape):  # what else lies along a changed axis fits it no more
            coords[name] = coord.variable
    sizes = tuple(shape.get(str(name), n) for name, n in img.sizes.items())
    return DataArray(np.broadcast_to(none, sizes), coords, img.dims, img.name, img.attrs)
