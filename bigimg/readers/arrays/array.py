"""A reader of arrays: numpy, dask, or xarray.DataArray.

The names of the axes of a bare array are guessed (:func:`guess_dims`); those of a DataArray, its coordinates and
``attrs`` are read (:func:`read_labelled`). A numpy array is never copied. A dask array is computed block by block, in
the thread that reads.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import Affine, as_affine
from bigimg.geometry.axes import ORDER, Axis, long_unit
from bigimg.geometry.even import even_step
from bigimg.geometry.holes import at_coordinates
from bigimg.geometry.lengths import Length, Spacing, agreed_units, read_lengths
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, Scaling, fields_of, from_text
from bigimg.lazy.foreign import Foreign
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.masked import unmasked
from bigimg.lazy.node import Node
from bigimg.lazy.node_of_array import linked_node, padding_of, private_of
from bigimg.reader import Access
from bigimg.types import Array, Region, Shape

if TYPE_CHECKING:
    import xarray


class ArrayReader:
    """A :class:`bigimg.reader.Reader` of an array in memory, or of a lazy one.

    Parameters
    ----------
    array : ndarray, dask.array.Array, or alike
        Anything with ``shape``, ``dtype`` and slices.
    dims : str or sequence of str, optional
        Names of its axes, each one of ``t c z y x``, in any order; guessed by :func:`guess_dims` otherwise.
    spacing, origin : float, str, sequence or mapping, optional
        Of the axes ``z y x``, as :mod:`bigimg.geometry.lengths` reads them: one for all, one each in the order of
        ``dims``, or by name, ``t`` too.
    unit : str or mapping, optional
        Of the axes ``z y x`` that ``spacing`` does not leave out, or by name.
    channels : sequence of str or Channel, optional
        Names along ``c``. Three or four along a last axis ``c`` are red, green, blue and alpha otherwise.
    world : array_like of shape (4, 4), optional
        From coordinates (x, y, z) to RAS+ millimetres.
    notes : sequence of str
    source : str
        What to call it in messages.
    **more
        ``kind``, ``scaling``, ``window``, ``meta``, ``padding`` and ``private``, as in
        :class:`~bigimg.geometry.spec.ImageSpec`.

    Raises
    ------
    UsageError
        Names, spacing or channels do not fit the array.
    """

    identity = None
    """Two arrays made from the same source cannot be told apart, so an unfinished store of one is never resumed."""

    def __init__(
        self,
        array: Any,
        *,
        dims: str | Sequence[str] | None = None,
        spacing: Spacing | None = None,
        origin: Spacing | None = None,
        unit: str | Mapping[str, str | None] | None = None,
        channels: Sequence[str | Channel] | None = None,
        world: Any = None,
        notes: Sequence[str] = (),
        source: str = "array",
        **more: Any,
    ) -> None:
        shape, dtype = tuple(array.shape), np.dtype(array.dtype).newbyteorder("=")
        guess = () if dims is not None else (guessed(guess_dims(shape), shape),)
        self.dims = guess_dims(shape) if dims is None else tuple(dims)
        if len(self.dims) != len(shape) or len(set(self.dims)) != len(shape):
            what = f"dims {''.join(self.dims)!r} do not name the {len(shape)} axes of shape {shape}"
            raise UsageError(f"{source}: {what}; give one of t c z y x for each")
        self.source = source
        self.array = array
        if is_computed(array):
            if any(math.isnan(size) for sizes in array.chunks for size in sizes):
                what = "chunk sizes are unknown"
                raise UsageError(f"{source}: {what}; call compute_chunk_sizes() on the dask array first")
            self.array = Foreign(array, self.dims)
        node = self.array if isinstance(self.array, Node) else None
        largest = {} if node is None else dict(zip(self.dims, node.chunks, strict=True))
        axes = _axes(source, self.dims, shape, spacing, origin, unit)
        chunks = tuple(largest.get(axis.name, 1) for axis in axes)
        named = _channels(source, self.dims, shape, channels)
        affine = None if world is None else checked_world(f"{source}: world", world)
        self.spec = ImageSpec(axes, dtype, chunks, named, affine, notes=(*guess, *notes), **more)
        if node is None:
            self.access = Access("random", f"array in memory, {dtype}", self.spec.dims)
        else:
            order = tuple(self.dims[axis] for axis in node.order)
            self.access = Access(
                "sequential" if order else "random", _why(node), order or self.spec.dims,
                fixed_bytes=node.fixed_bytes, read_bytes=node.read_bytes,
            )  # fmt: skip

    @property
    def paths(self) -> list[str]:
        """The names of the files behind a lazy array, as far as these are known."""
        return self.array.files() if isinstance(self.array, Node) else []

    def read(self, region: Region) -> Array:
        """Return the values of ``region``, as a view where the array is numpy's own.

        Raises
        ------
        UsageError
            Some of its pixels are masked: what lies below a mask is no value.
        """
        ours = self.spec.dims
        theirs = tuple(region[ours.index(name)] for name in self.dims)
        part = self.array.read(theirs) if isinstance(self.array, Node) else self.array[theirs]
        part = unmasked(part, self.source)
        part = part if part.dtype.isnative else part.astype(part.dtype.newbyteorder("="))
        return part.transpose([self.dims.index(name) for name in ours])

    def close(self) -> None:
        """Let go of computed blocks; the array belongs to the caller."""
        if isinstance(self.array, Node):
            self.array.drop()


def is_computed(array: Any) -> bool:
    """Return whether ``array`` is one of dask's; dask is there already if it is."""
    found = sys.modules.get("dask.array")
    return found is not None and isinstance(array, found.Array)


def _why(node: Node) -> str:
    if isinstance(node, LazyPixels):
        return node.reader.access.why
    if isinstance(node, Foreign):
        return f"dask array, chunks of {' x '.join(map(str, node.chunks))}"
    return "computed from its source, region by region"


def guess_dims(shape: Shape) -> tuple[str, ...]:
    """Return likely names for the axes of a bare array: a last axis of 3 or 4 after two others is colour.

    Raises
    ------
    UsageError
        It has one axis, or more than five.

    >>> ["".join(guess_dims(shape)) for shape in [(9, 9), (9, 9, 3), (9, 9, 9), (9, 9, 9, 9)]]
    ['yx', 'yxc', 'zyx', 'tzyx']
    """
    names = {2: "yx", 3: "yxc" if shape[-1:] in ((3,), (4,)) else "zyx", 4: "tzyx", 5: "tczyx"}
    if len(shape) not in names:
        what = f"an array of shape {shape} has {len(shape)} axes"
        raise UsageError(f"{what}; give one of 2 to 5 axes, or dims=")
    return tuple(names[len(shape)])


def guessed(dims: Sequence[str], shape: Shape) -> str:
    """Return the note that ``dims`` were guessed from ``shape``."""
    return f"axes {' '.join(dims)} are guessed from shape {shape}; bigimg.from_array names them by dims="


def colors(dims: Sequence[str], shape: Shape) -> tuple[Channel, ...]:
    """Return red, green, blue (and alpha) where the last of ``dims`` is ``c`` with 3 (or 4), else nothing."""
    return {3: RGB, 4: RGBA}.get(shape[-1], ()) if dims[-1] == "c" else ()


def read_labelled(img: xarray.DataArray) -> ArrayReader:
    """Return a reader of a labelled array: what its coordinates and attributes say, and its values as they are.

    Parameters
    ----------
    img : xarray.DataArray
        Dims among ``t c z y x``. Evenly spaced coordinates give spacing and origin, their ``attrs["units"]``
        the unit; ``c`` holds channel names, ``color`` along it their colours; ``attrs`` may hold ``world``,
        ``convention``, ``kind``, ``scaling``, ``window``, ``missing``, ``meta`` and ``source``, as
        :mod:`bigimg.opening.data_array` writes them.

    Raises
    ------
    UsageError
        A dim is not one of ``t c z y x`` or has no pixels, or an attribute cannot mean anything.
    """
    source = check_dims(img)
    notes: list[str] = []
    lines = {str(dim): _line(img.coords[dim], notes) for dim in img.dims if dim in img.coords and dim != "c"}
    # xarray keeps attrs in a comparison; these are attrs of the image, not of its mask.
    of_values = {} if img.dtype.kind == "b" else img.attrs
    scaling, window = of_values.get("scaling"), of_values.get("window")
    return ArrayReader(
        # Without chunks .data would load the pixels, and keep them.
        img.variable if img.chunks is None else linked_node(img) or img.data,
        dims=tuple(str(dim) for dim in img.dims),
        spacing={name: line[0] for name, line in lines.items()},
        origin={name: line[1] for name, line in lines.items()},
        unit={name: img.coords[name].attrs.get("units") for name in lines},
        channels=_channel_coord(img),
        world=img.attrs.get("world"),
        convention=img.attrs.get("convention", "neurological"),
        kind=img.attrs.get("kind", "image"),
        scaling=None if scaling is None else Scaling(float(scaling[0]), float(scaling[1])),
        window=None if window is None else (float(window[0]), float(window[1])),
        meta=fields_of(of_values, "meta"),
        padding=padding_of(img),
        missing=missing_of(img, sorted(map(str, img.dims), key=ORDER.index)),
        private={} if img.dtype.kind == "b" else private_of(img),
        notes=notes,
        source=source,
    )


def missing_of(img: xarray.DataArray, dims: Sequence[str]) -> tuple[Region, ...]:
    """Return the boxes of ``img``, with axes in the order of ``dims``, that its damaged source does not hold."""
    if "missing" not in img.attrs:
        return ()
    coords = {name: img.coords[name].values for name in ORDER if name in img.coords}
    return at_coordinates(from_text(img.attrs["missing"]), {name: img.sizes[name] for name in dims}, coords)


def check_dims(img: xarray.DataArray) -> str:
    """Return what messages call ``img``; a UsageError if a dim is not one of ``t c z y x`` or has no pixels."""
    source = str(img.attrs.get("source") or img.name or "array")
    if foreign := [str(dim) for dim in img.dims if dim not in tuple(ORDER)]:
        what = f"dim {foreign[0]!r} is not one of t c z y x"
        raise UsageError(f"{source}: {what}; rename it, as in img.rename({{{foreign[0]!r}: 'c'}})")
    if empty := [str(dim) for dim, size in img.sizes.items() if not size]:
        raise UsageError(f"{source}: axis {empty[0]} has 0 pixels; an image needs at least 1")
    return source


def _line(coord: xarray.DataArray, notes: list[str]) -> tuple[float, float]:
    """Return spacing and origin of a coordinate; if it is not evenly spaced numbers, a note says so."""
    if coord.dtype.kind not in "iuf":
        what = f"coordinate {coord.name} holds {coord.dtype}, not numbers"
        notes.append(f"{what}; positions are counted from 0")
        return 1.0, 0.0
    values = np.asarray(coord.values, np.float64)
    if values.size == 1:  # opening notes the thickness of a plane in the attrs
        return float(coord.attrs.get("spacing", 1.0)), float(values[0])
    spacing = even_step(values)
    if spacing is None:
        notes.append(f"coordinate {coord.name} is not evenly spaced; positions are counted from 0")
        return 1.0, 0.0
    return spacing, float(values[0])


def _channel_coord(img: xarray.DataArray) -> list[Channel] | None:
    if "c" not in img.dims or "c" not in img.coords:
        return None
    names = [str(name) for name in img.coords["c"].values]
    has_colors = "color" in img.coords and img.coords["color"].dims == ("c",)
    colors = [str(color) for color in img.coords["color"].values] if has_colors else [""] * len(names)
    return [Channel(name, color or None) for name, color in zip(names, colors, strict=True)]


def _axes(
    source: str, dims: Sequence[str], shape: Shape, spacing: Any, origin: Any, unit: Any
) -> tuple[Axis, ...]:
    """Return the axes in our order."""
    steps = read_lengths(spacing, f"{source}: spacing").by_axis(dims)
    starts = read_lengths(origin, f"{source}: origin").by_axis(dims)
    # An axis that a mapping leaves out is in pixels, whatever the unit of the others.
    named = [name for name in "zyx" if name in steps or not isinstance(spacing, Mapping)]
    given = unit if isinstance(unit, Mapping) else dict.fromkeys(named, unit)
    units = agreed_units(
        {name: long_unit(short) for name, short in given.items()}, spacing=steps, origin=starts
    )
    axes = {
        name: Axis(
            name,
            size,
            steps.get(name, Length(1.0)).number,
            units.get(name),
            starts.get(name, Length(0.0)).number,
        )
        for name, size in zip(dims, shape, strict=True)
    }
    return tuple(axes[name] for name in ORDER if name in axes)


def _channels(
    source: str, dims: Sequence[str], shape: Shape, channels: Sequence[str | Channel] | None
) -> tuple[Channel, ...]:
    if channels is None:
        return colors(dims, shape)
    if "c" not in dims:
        raise UsageError(f"{source}: channel names need an axis c, but the axes are {' '.join(dims)}")
    return tuple(item if isinstance(item, Channel) else Channel(str(item)) for item in channels)


def checked_world(what: str, matrix: Any) -> Affine:
    """Return an affine; a UsageError says why a matrix is none."""
    try:
        return as_affine(matrix)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{what} is no affine ({error}); give 4 rows of 4 numbers") from None
