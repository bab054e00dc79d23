"""Planes, boxes and regions of an image, in pixels or in physical units; lazy.

Only the chunks that they touch are read. A plane of a store gets its own block size, a few blocks for each processor:
a block that suits the volume would often hold the whole plane, and one processor would read it alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.geometry import orientation
from bigimg.geometry.axes import Axis
from bigimg.geometry.lengths import read_pixels
from bigimg.geometry.spec import channel_number
from bigimg.lazy.blocks import multiplied
from bigimg.lazy.derived import PIECE_BYTES
from bigimg.lazy.node_of_array import linked_node
from bigimg.lazy.operation import Operation
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.ops.arguments import by_axis, space_of
from bigimg.ops.derived import derive, image, source_block
from bigimg.system.processes import usable_cpus
from bigimg.types import Array, DType, Opening, Region, Shape

FOR_A_PROCESSOR = 4
"""Blocks of a plane for each processor, unless they would be smaller than a chunk or too large for memory. With more
blocks several lie in one shard, and two threads read its index at once."""


type Chosen = int | range | Sequence[int]
"""Pixels along an axis: one, without the axis; neighbours; or any, in rising order."""


@dataclass(frozen=True, slots=True)
class Part(Operation):
    """Chosen pixels along each axis."""

    shape: Shape
    dtype: DType
    chosen: tuple[Chosen, ...]

    moves = True

    @property
    def copies(self) -> bool:  # type: ignore[override]
        """Whether there are no gaps between the chosen pixels."""
        return all(isinstance(each, int | range) for each in self.chosen)

    def source(self, region: Region) -> Region:
        """Return the region from the first to the last chosen pixel."""
        return tuple(slice(some[0], some[-1] + 1) for some in self._within(region))

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the chosen pixels."""
        for axis, some in enumerate(self._within(region)):
            if len(some) < block.shape[axis]:
                block = block.take([i - source[axis].start for i in some], axis)
        return block.squeeze(tuple(i for i, each in enumerate(self.chosen) if isinstance(each, int)))

    def _within(self, region: Region) -> list[Sequence[int]]:
        parts = iter(region)
        return [[each] if isinstance(each, int) else each[next(parts)] for each in self.chosen]


def part_of(
    img: xarray.DataArray, chosen: Mapping[str, Chosen], block: Shape | tuple[Shape, ...]
) -> xarray.DataArray:
    """Return the chosen pixels of ``img``, by the name of the axis, in blocks as :func:`derive` takes them."""
    # Of coordinates alone: pixels at any places would be copied, also where they are zeros that take no memory.
    cut = {
        name: slice(each.start, each.stop) if isinstance(each, range) else each
        for name, each in chosen.items()
    }
    coords = img.coords.to_dataset().isel(cut, missing_dims="ignore").coords
    whole = {str(name): chosen.get(str(name), range(n)) for name, n in img.sizes.items()}
    sizes = {name: len(each) for name, each in whole.items() if not isinstance(each, int)}
    operation = Part(tuple(sizes.values()), img.dtype, tuple(whole.values()))
    pixels = np.broadcast_to(np.zeros((), img.dtype), operation.shape)
    return derive(img, operation, block, xarray.DataArray(pixels, coords, list(sizes), img.name, img.attrs))


def plane(
    img: Source,
    axis: str,
    *,
    index: int | None = None,
    position: float | None = None,
    level: int = 0,
    memory: Memory = None,
    **opening: Any,
) -> xarray.DataArray:
    """Return one plane across ``axis``, without that axis; its position stays as a coordinate.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    axis : str
        A name of an axis, or ``axial``, ``coronal``, ``sagittal``: then the axis that runs most nearly that
        way in the body when the image says how it lies, else z, y or x.
    index : int, optional
        Pixel along the axis, from the end when negative; the middle by default.
    position : float, optional
        Coordinate along the axis, in its unit; the nearest plane is taken.
    level, memory, **opening :
        As in :func:`bigimg.open`; where an ``axis`` of the source must be chosen, open it first.

    Returns
    -------
    DataArray of shape (t, c, y, x), (t, c, z, x) or (t, c, z, y), of those axes that the image has

    Raises
    ------
    UsageError
        There is no such axis or level, the position is outside the image, or both are given.
    """
    found = image(img, level=level, memory=memory, **opening)
    name = axis_across(found, axis)
    index = index_along(found, name, index, position)
    if linked_node(found) is None:
        return found.isel({name: index})
    across, (_, chunk) = found.dims.index(name), source_block(found)
    shape, unit = ((*n[:across], *n[across + 1 :]) for n in (found.shape, chunk))
    few = 2 * math.prod(shape) // (FOR_A_PROCESSOR * usable_cpus())
    most = max(math.prod(unit), min(few, PIECE_BYTES // found.dtype.itemsize))
    return part_of(found, {name: index}, multiplied(unit, shape, range(len(unit)), most))


def crop(
    img: Source,
    box: Mapping[str, tuple[float | None, float | None] | slice],
    *,
    physical: bool = False,
    level: int = 0,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return the part of ``img`` within ``box``; its coordinates and affine stay true.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    box : mapping
        From the name of an axis to (start, stop) or ``slice(start, stop)``: pixels from 0, the last not included;
        None is the end. Axes that are not named stay whole.
    physical : bool
        Start and stop are coordinates, in the unit of the axis: pixels whose middles lie between them, ends included.
    level, memory, **opening :
        As in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        An axis or level is not there, or the box is empty or reaches outside.
    """
    if not isinstance(box, Mapping):
        raise UsageError(f"crop to {box!r}: give start and stop by axis, as in {{'y': (10, 20)}}")
    found = image(img, level=level, memory=memory, **opening)
    cut = {}
    for name, ends in box.items():
        if name not in found.dims:
            raise UsageError(
                f"crop along {name!r}: the axes are {' '.join(map(str, found.dims))}; name one of them"
            )
        if isinstance(ends, slice) and ends.step in (None, 1):
            ends = (ends.start, ends.stop)
        if not isinstance(ends, tuple | list) or len(ends) != 2:
            raise UsageError(f"crop along {name}: {ends!r} is no start and stop; give two, as in (10, 20)")
        cut[name] = (_between if physical and name != "c" else _inside)(found, name, *ends)
    if found.chunks is None:
        return found.isel({name: slice(part.start, part.stop) for name, part in cut.items()})
    parts = (cut.get(str(name), range(n)) for name, n in found.sizes.items())
    blocks = tuple(_cut_chunks(sizes, part) for sizes, part in zip(found.chunks, parts, strict=True))
    return part_of(found, cut, blocks)


def _cut_chunks(sizes: Shape, part: range) -> Shape:
    """Return the lengths of what a cut leaves of chunks of ``sizes``.

    >>> _cut_chunks((4, 4, 4), range(2, 9))
    (2, 4, 1)
    """
    ends = itertools.accumulate(sizes)
    left = (min(end, part.stop) - max(end - n, part.start) for end, n in zip(ends, sizes, strict=True))
    return tuple(n for n in left if n > 0)


def _inside(img: xarray.DataArray, name: str, start: Any, stop: Any) -> range:
    size = img.sizes[name]
    first, last = 0 if start is None else start, size if stop is None else stop
    if first != int(first) or last != int(last) or not 0 <= first < last <= size:
        raise UsageError(
            f"crop {first} to {last} along {name}: give whole numbers in order, from 0 to {size}"
        )
    return range(int(first), int(last))


def _between(img: xarray.DataArray, name: str, start: Any, stop: Any) -> range:
    size, step = img.sizes[name], coordinates.spacing(img, name)
    low, high, unit = *coordinates.edges(img, name), coordinates.units(img, name) or "pixels"
    first, last = low if start is None else start, high if stop is None else stop
    hair = 1e-9 * abs(step)
    if not low - hair <= first <= last <= high + hair:
        raise UsageError(
            f"crop {first:g} to {last:g} along {name}: give positions in order, from {low:g} to {high:g} {unit}"
        )
    ends = sorted((end - coordinates.origin(img, name)) / step for end in (first, last))
    begin, end = max(0, int(np.ceil(ends[0] - 1e-9))), min(size, int(np.floor(ends[1] + 1e-9)) + 1)
    if begin >= end:
        raise UsageError(f"crop {first:g} to {last:g} {unit} along {name}: no pixel's middle lies there")
    return range(begin, end)


def region(
    img: Source,
    at: Sequence[float] | Mapping[str, float],
    size: Sequence[int] | Mapping[str, int],
    *,
    level: int = 0,
    physical: bool = False,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return ``size`` pixels of a level that begin at the same position in every level, as viewers need them.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    at : sequence or mapping
        The first pixel, counted at full resolution; in the order of the axes of space, or by name.
    size : sequence or mapping of int
        Pixels of the level; an axis that neither names stays whole.
    level : int
    physical : bool
        ``at`` is a position in the units of the axes.
    memory, **opening :
        As in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        An axis or level is not there, or the region reaches outside.
    """
    base = image(img, memory=memory, **opening)
    found = base if level == 0 else image(img, level=level, memory=memory, **opening)
    starts, lengths = (
        by_axis(what, given, space_of(base))
        for what, given in (("at", at), ("size", read_pixels(size, "size")))
    )
    if set(starts) != set(lengths):
        raise UsageError(f"at names {' '.join(starts)}, size {' '.join(lengths)}: give both for each axis")
    box: dict[str, tuple[float, float]] = {}
    for name, start in starts.items():
        if not physical:
            if start != int(start) or not 0 <= start < base.sizes[name]:
                raise UsageError(
                    f"at {start} along {name}: give a whole number from 0 to {base.sizes[name] - 1}"
                )
            start = coordinates.origin(base, name) + start * coordinates.spacing(base, name)
        first = nearest_index(found, name, start)
        if lengths[name] < 1 or first + lengths[name] > found.sizes[name]:
            raise UsageError(
                f"size {lengths[name]} along {name} from pixel {first} of {found.sizes[name]}: "
                f"give 1 to {found.sizes[name] - first}"
            )
        box[name] = (first, first + lengths[name])
    return crop(found, box)


def axis_across(img: xarray.DataArray, axis: str) -> str:
    """Return the name of the axis that the plane called ``axis`` cuts across.

    Raises
    ------
    UsageError
        There is no such axis.
    """
    return orientation.axis_across(axis, list(map(str, img.dims)), coordinates.affine_of(img))


def channel_index(img: xarray.DataArray, channel: int | str) -> int:
    """Return the index along c of a channel given by number or name.

    Raises
    ------
    UsageError
        There is none.
    """
    return channel_number(
        channel, coordinates.channels_of(img), {str(n): size for n, size in img.sizes.items()}
    )


def index_along(img: xarray.DataArray, name: str, index: int | None, position: float | None) -> int:
    """Return the pixel along ``name`` at ``index``, from 0, or nearest to ``position``, or the middle.

    Raises
    ------
    UsageError
        It is outside the image, both are given, or ``index`` is no whole number.
    """
    # An index needs no spacing, and coordinates may be uneven.
    axis = Axis(name, img.sizes[name]) if position is None else coordinates.axis_of(img, name)
    return axis.pixel(index, position)


def nearest_index(img: xarray.DataArray, name: str, position: float) -> int:
    """Return the pixel along ``name`` whose centre is nearest to ``position``, in the unit of the axis.

    Raises
    ------
    UsageError
        It is more than half a pixel outside.
    """
    return coordinates.axis_of(img, name).pixel(position=position)
