"""A node resampled onto the grid of an image, as a mask of another level."""

from __future__ import annotations

import numpy as np

from bigimg.lazy.node import Node, read_shared, token_of
from bigimg.types import Array, Region, Shape


class OnGrid(Node):
    """The nearest pixels of a mask on the grid of an image; size 1 along the axes that the mask does not have.

    Parameters
    ----------
    pixels : Node
        The mask itself, its axes in the order of the image.
    shape : tuple of int
        Of the image.
    axes : tuple of int
        For each axis of the image its number in the mask, or None if the mask does not have it.
    index : tuple of ndarray
        For each axis of the image and each pixel along it, the pixel of the mask; None if the two are the same.
    as_bool : bool
        Whether integers other than 0 mean true.
    """

    prefix = "bigimg-grid"

    def __init__(
        self, pixels: Node, shape: Shape, axes: tuple[int | None, ...],
        index: tuple[Array | None, ...], *, as_bool: bool,
    ) -> None:  # fmt: skip
        self.pixels, self.sources = pixels, (pixels,)
        self.shape = tuple(1 if axis is None else n for n, axis in zip(shape, axes, strict=True))
        self.dtype = np.dtype(bool) if as_bool else pixels.dtype
        self.axes, self.index, self.as_bool = axes, index, as_bool
        self.read_bytes = pixels.read_bytes
        self.chunks = tuple(
            1 if axis is None else max(1, pixels.chunks[axis] * n // pixels.shape[axis])
            for axis, n in zip(axes, self.shape, strict=True)
        )
        positions = [None if line is None else line.tobytes() for line in index]
        self.token = token_of(pixels.token, self.shape, axes, positions, as_bool)

    @property
    def order(self) -> tuple[int, ...]:  # type: ignore[override]
        """The order of the mask, if it has one."""
        rest = tuple(i for i, axis in enumerate(self.axes) if axis is None)
        return (*(self.axes.index(axis) for axis in self.pixels.order), *rest) if self.pixels.order else ()

    @property
    def is_mapped(self) -> bool:
        """Whether the mask has another resolution."""
        return any(index is not None for index in self.index)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` of the image."""
        lines = zip(self.axes, self.index, region, strict=True)
        wanted = [
            (part, None if line is None else line[part]) for axis, line, part in lines if axis is not None
        ]
        cut = tuple(
            part if taken is None else slice(int(taken.min()), int(taken.max()) + 1) for part, taken in wanted
        )
        found = read_shared(self.pixels, cut)
        for axis, (part, (_, taken)) in enumerate(zip(cut, wanted, strict=True)):
            if taken is not None:
                found = np.take(found, taken - part.start, axis)
        return self.with_all_axes(found)

    def with_all_axes(self, values: Array) -> Array:
        """Return pixels of the mask with the axes of the image."""
        found = values[tuple(None if axis is None else slice(None) for axis in self.axes)]
        return found != 0 if self.as_bool else found
