"""A node of another grid laid onto that of an image, as a mask of another level."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from bigimg.lazy.node import Node, token_of
from bigimg.types import Array, Region, Shape


class OnGrid(Node):
    """Pixels on the grid of an image, of size 1 along the axes that they do not have.

    Parameters
    ----------
    pixels : Node
        The mask itself, its axes in the order of the image.
    shape : tuple of int
        Of the image.
    axes : tuple of int
        For each axis of the image that of the mask, None where it has none.
    index : tuple of ndarray
        For each axis of the image the position in the mask of each pixel; None where that is its own.
    as_bool : bool
        Whether 1 stands for true.
    """

    called = "bigimg-grid"

    def __init__(
        self, pixels: Node, shape: Shape, axes: tuple[int | None, ...],
        index: tuple[Array | None, ...], *, as_bool: bool,
    ) -> None:  # fmt: skip
        self.pixels, self.sources = pixels, (pixels,)
        self.shape = tuple(1 if axis is None else n for n, axis in zip(shape, axes, strict=True))
        self.dtype = np.dtype(bool) if as_bool else pixels.dtype
        self.axes, self.index, self.as_bool = axes, index, as_bool

    @property
    def order(self) -> tuple[int, ...]:  # type: ignore[override]
        """That of the mask, where it has one."""
        rest = tuple(i for i, axis in enumerate(self.axes) if axis is None)
        return (*(self.axes.index(axis) for axis in self.pixels.order), *rest) if self.pixels.order else ()

    @property
    def chunks(self) -> Shape:
        """Those of the mask, as large as they are on the grid of the image."""
        known = list(zip(self.pixels.chunks, self.pixels.shape, strict=True))
        return tuple(
            1 if axis is None else max(1, known[axis][0] * n // known[axis][1])
            for axis, n in zip(self.axes, self.shape, strict=True)
        )

    @property
    def read_bytes(self) -> int:
        """What the mask needs."""
        return self.pixels.read_bytes

    @cached_property
    def token(self) -> str:
        """Of the mask and its place."""
        index = [None if own is None else own.tobytes() for own in self.index]
        return token_of(self.pixels.token, self.shape, self.axes, index, self.as_bool)

    @property
    def is_mapped(self) -> bool:
        """Whether it is of another resolution."""
        return any(index is not None for index in self.index)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` of the image."""
        taken: list[Array | slice] = []
        cut: list[slice] = []
        for axis, index, part in zip(self.axes, self.index, region, strict=True):
            if axis is None:
                continue
            if index is None:
                taken.append(slice(None))
                cut.append(part)
            else:
                inside = index[part]
                low, high = int(inside.min()), int(inside.max())
                taken.append(inside - low)
                cut.append(slice(low, high + 1))
        found = self.pixels.read(tuple(cut))
        for axis, which in enumerate(taken):
            if not isinstance(which, slice):
                found = np.take(found, which, axis)
        return self.spread(found)

    def spread(self, values: Array) -> Array:
        """Return pixels of the mask with the axes of the image."""
        found = values[tuple(None if axis is None else slice(None) for axis in self.axes)]
        return found != 0 if self.as_bool else found
