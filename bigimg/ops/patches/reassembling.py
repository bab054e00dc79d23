"""The inverse of a grid: patches put back where they were cut out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.opening.data_array import to_labelled
from bigimg.ops.arguments import check_channels
from bigimg.ops.patches.blending import Blended, checked_blend, gapless, held_bytes
from bigimg.ops.patches.labels import Labels
from bigimg.ops.patches.positions import Grid
from bigimg.ops.patches.sequence import PatchArrays, Patches
from bigimg.ops.patches.sources import spec_of
from bigimg.reader import Access
from bigimg.types import Array, Json, Shape

BLOCK_BYTES = 16 << 20


def reassemble(
    patches: Patches, values: Any = None, *, blend: str = "crop", channels: str = "last"
) -> xarray.DataArray:
    """Return the image that the patches of a grid were cut from; lazy.

    Parameters
    ----------
    patches : Patches
        A whole grid without gaps; no patch was left out.
    values : array or sequence of arrays, optional
        Other pixels of the patches, in the same order, as ``patches.stack()`` after processing. Each has the size of a
        patch along the axes of space and time; type and number of channels may differ.
    blend : {"crop", "hann", "linear"}
        Where patches overlap: each pixel from the patch it is most inside, or a transition from one to the next.
        Where the patches agree all three give their values, bit for bit.
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
    check_channels(channels)
    labels, names = patches.labels, [name for name in patches.labels.dims if name != "c"]
    gapless(grid, names)
    given = PatchArrays(patches, channels) if values is None else values
    named = zip(labels.shape(patches.cutter.patch), patches.dims, strict=True)
    sides = tuple(n for n, name in named if name != "c")
    at = labels.channel_axis(channels)
    first = _first(given, len(patches), sides, at)
    covered = tuple(
        replace(line, size=min(line.size, line.last + line.patch)) if line.edge == "drop" else line
        for line in grid.lines
    )
    grid = Grid(covered)
    made = first.shape[at] if first.ndim > len(sides) else None
    spec = spec_of(patches, grid, first.dtype, made)
    band = tuple(min(1024, n) for n in spec.shape)
    axes = [i for i, name in enumerate(spec.dims) if name != "c"]
    access = Access("random", "patches", read_bytes=held_bytes(grid, axes, band, made or 1) + first.nbytes)
    maker = _Given(given, grid, labels, channels)
    image = Blended(grid, spec, checked_blend(blend, None), maker, access, patches.source, patches.paths)
    return to_labelled(image, block_bytes=BLOCK_BYTES, made=True)


def _first(values: Any, count: int, sides: Shape, at: int) -> Array:
    """Return the first of ``values``; an error is raised if their number or size does not fit the patches."""
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
    """Patches with given pixels; a :class:`~bigimg.ops.patches.blending.Maker`."""

    identity: Json = None

    def __init__(self, values: Any, grid: Grid, labels: Labels, channels: str) -> None:
        self.values, self.grid, self.labels, self.channels = values, grid, labels, channels

    def make(self, cells: Sequence[range]) -> Iterator[tuple[Shape, Array]]:
        """Yield index and pixels of the patches in a box of the grid, in C order."""
        for index in itertools.product(*cells):
            number = int(np.ravel_multi_index(index, self.grid.counts))
            yield index, self.labels.with_all_axes(np.asarray(self.values[number]), self.channels)
