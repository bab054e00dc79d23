"""The inverse of a grid: patches put back where they were cut out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.opening.labelled import to_labelled
from bigimg.ops.patches.blending import Blended, checked_blend, gapless, held_bytes
from bigimg.ops.patches.positions import Grid, Line
from bigimg.ops.patches.sequence import PatchArrays, Patches
from bigimg.reader import Access
from bigimg.readers.arrays.array import read_labelled
from bigimg.types import Array, Json, Shape

if TYPE_CHECKING:
    import xarray

BLOCK_BYTES = 16 << 20


def reassemble(
    patches: Patches, values: Any = None, *, blend: str = "crop", channels: str = "last"
) -> xarray.DataArray:
    """Return the image that the patches of a grid were cut from; lazy.

    Parameters
    ----------
    patches : Patches
        A whole grid without gaps, of which nothing was left out.
    values : array or sequence of arrays, optional
        In place of the pixels of the patches, in the same order: ``patches.stack()`` after some work, say. Each as
        long as a patch along the axes of space and time; of any type and number of channels.
    blend : {"crop", "hann", "linear"}
        Where patches overlap: each pixel from the patch it is most inside, or a passage from one to the next.
        Where they agree all three give their values, bit for bit.
    channels : {"last", "first"}
        Where ``values`` have the axis c.

    Returns
    -------
    DataArray
        With ``edge="drop"``, of the pixels that patches cover.

    Raises
    ------
    UsageError
        The patches are no whole grid, or the values are not of their number or size.
    """
    grid = patches.positions
    if not isinstance(grid, Grid):
        raise UsageError(
            "reassemble: random, chosen or masked patches do not cover the image; give a whole grid"
        )
    if channels not in ("first", "last"):
        raise UsageError(f"channels={channels!r}: give 'first' or 'last'")
    labels, names = patches.labels, [name for name in patches.labels.dims if name != "c"]
    gapless(grid, names)
    given = PatchArrays(patches, channels) if values is None else values
    named = zip(labels.shape(patches.cutter.patch), patches.dims, strict=True)
    sides = tuple(n for n, name in named if name != "c")
    at = _channel_axis(channels, patches)
    first = _first(given, len(patches), sides, at)
    covered = tuple(
        replace(line, size=min(line.size, line.last + line.patch)) if line.edge == "drop" else line
        for line in grid.lines
    )
    shape = dict(zip(names, (line.size for line in covered), strict=True))
    own = read_labelled(
        labels.whole(np.broadcast_to(np.zeros((), first.dtype), patches.cutter.shape)).isel(
            {name: slice(0, n) for name, n in shape.items()}
        )
    ).spec
    made = first.shape[at] if first.ndim > len(sides) else None
    axes = [axis for axis in own.axes if axis.name != "c" or made is not None]
    if made is not None and "c" not in own.dims:
        axes = sorted([*axes, Axis("c", made)], key=lambda axis: "tczyx".index(axis.name))
    axes = [axis.with_size(made) if axis.name == "c" and made is not None else axis for axis in axes]
    spec = replace(
        own, axes=tuple(axes), dtype=first.dtype, scaling=None,
        channels=own.channels if len(own.channels) == made else (),
        chunks=tuple(shape_of_chunk(covered, names).get(axis.name, axis.size) for axis in axes),
    )  # fmt: skip
    maker = _Given(given, Grid(covered), patches, at, spec.dims)
    band = tuple(min(1024, n) for n in spec.shape)
    axes_of_grid = [i for i, name in enumerate(spec.dims) if name != "c"]
    access = Access(
        "random",
        "patches",
        read_bytes=held_bytes(Grid(covered), axes_of_grid, band, made or 1) + first.nbytes,
    )
    image = Blended(Grid(covered), spec, checked_blend(blend, None), maker, access, patches.source)
    return to_labelled(image, block_bytes=BLOCK_BYTES, made=True)


def shape_of_chunk(lines: Sequence[Line], names: Sequence[str]) -> dict[str, int]:
    """Return what is had at once along each axis: a stride."""
    return {name: min(line.stride, line.size) for line, name in zip(lines, names, strict=True)}


def _channel_axis(channels: str, patches: Patches) -> int:
    """Return where the values have the axis c, if they have it."""
    kept = [name for name in patches.dims if name != "c"]
    return len(kept) if channels == "last" else (1 if "t" in kept else 0)


def _first(values: Any, count: int, sides: Shape, at: int) -> Array:
    """Return the first of ``values``, of which there are as many as patches and of their size."""
    if len(values) != count:
        raise UsageError(f"reassemble: {len(values)} values for {count} patches; give one each")
    first = np.asarray(values[0])
    space = first.shape
    if first.ndim == len(sides) + 1:
        space = (*space[:at], *space[at + 1 :])
    if space != sides:
        raise UsageError(
            f"reassemble: values of shape {first.shape} for patches of {' x '.join(map(str, sides))}; keep their size, "
            "and say with channels= whether the axis c is first or last"
        )
    return first


class _Given:
    """Patches that are there already; a :class:`~bigimg.ops.patches.blending.Maker`."""

    identity: Json = None

    def __init__(self, values: Any, grid: Grid, patches: Patches, at: int, dims: Sequence[str]) -> None:
        self.values, self.grid, self.patches, self.at, self.dims = values, grid, patches, at, dims

    def make(self, cells: Sequence[range]) -> Iterator[tuple[Shape, Array]]:
        """Yield index and pixels of the patches in a box of the grid, in C order."""
        counts = self.grid.counts
        steps = [math.prod(counts[i + 1 :]) for i in range(len(counts))]
        for index in itertools.product(*cells):
            number = sum(i * step for i, step in zip(index, steps, strict=True))
            yield index, self._with_all_axes(np.asarray(self.values[number]))

    def _with_all_axes(self, pixels: Array) -> Array:
        labels = self.patches.labels
        kept = [name for name in labels.kept if name != "c"]
        if pixels.ndim > len(kept):
            pixels = np.moveaxis(pixels, self.at, 1 if "t" in kept else 0)
            kept.insert(1 if "t" in kept else 0, "c")
        shape = dict(zip(kept, pixels.shape, strict=True))
        return pixels.reshape([shape.get(name, 1) for name in self.dims])
