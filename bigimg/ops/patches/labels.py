"""What the patches of an image are called: axes, coordinates and attributes, without a pixel."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.types import Array, Shape

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Labels:
    """Names, coordinates and attributes of an image, for its patches."""

    dims: tuple[str, ...]
    lines: Mapping[str, tuple[Array, Mapping[str, Any]]]
    """Values and attributes of the coordinate of each axis but c."""
    count: int
    """Of channels; 1 without an axis c."""
    channels: Mapping[str, Any]
    """Coordinates along c."""
    attrs: Mapping[str, Any]
    dropped: tuple[str, ...]
    """Axes of which a patch has one pixel because its size names them not; a patch has no such axis."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Axes of a patch."""
        return tuple(name for name in self.dims if name not in self.dropped)

    def dropping(self, names: tuple[str, ...]) -> Labels:
        """Return the labels of patches without the axes ``names``."""
        return replace(self, dropped=names)

    def place(self, name: str, index: Array) -> Array:
        """Return the coordinates of pixels along an axis; beyond the image they go on evenly."""
        values = self.lines[name][0]
        inside = values[np.clip(index, 0, len(values) - 1)]
        beyond = index - (len(values) - 1)
        if not np.any(beyond > 0):
            return np.asarray(inside)
        return np.where(beyond > 0, inside + beyond * self.spacing(name), inside)

    def spacing(self, name: str) -> float:
        """Return the distance of pixel centres."""
        values, attrs = self.lines[name]
        return float(values[1] - values[0]) if len(values) > 1 else float(attrs.get("spacing", 1.0))

    @functools.cached_property
    def _empty(self) -> xarray.DataArray:
        """All coordinates on one value without memory: to cut them is twice as fast as to make them."""
        shape = [self.count if name == "c" else len(self.lines[name][0]) for name in self.dims]
        nothing = np.broadcast_to(np.zeros((), bool), shape)
        return self.whole(nothing).assign_coords(patch=np.int64(0))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_empty"}

    def image(self, pixels: Array, start: Sequence[int], number: int) -> xarray.DataArray:
        """Return a patch with its coordinates."""
        from xarray import DataArray, Variable

        axes = [name for name in self.dims if name != "c"]
        ends = [begin + n for begin, n, name in zip(start, self._sides(pixels), axes, strict=True)]
        if all(end <= len(self.lines[name][0]) for end, name in zip(ends, axes, strict=True)):
            cut: dict[str, slice | int] = {
                name: begin if name in self.dropped else slice(begin, end)
                for name, begin, end in zip(axes, start, ends, strict=True)
            }
            found = self._empty.isel(cut).copy(data=self.squeezed(pixels))
            found.coords["patch"].values[...] = number  # its own: the copy is a deep one
            return found

        coords: dict[str, Any] = {"patch": number, **self.channels}
        begins = iter(start)
        for axis, name in enumerate(self.dims):
            if name == "c":
                continue
            begin, attrs = next(begins), self.lines[name][1]
            place = self.place(name, np.arange(begin, begin + pixels.shape[axis]))
            one = name in self.dropped
            coords[name] = Variable((), place[0], attrs) if one else Variable((name,), place, attrs)
        return DataArray(self.squeezed(pixels), coords, self.kept, "image", dict(self.attrs))

    def _sides(self, pixels: Array) -> list[int]:
        return [n for n, name in zip(pixels.shape, self.dims, strict=True) if name != "c"]

    def whole(self, pixels: Array) -> xarray.DataArray:
        """Return all pixels of the image, of any type, with its coordinates and attributes."""
        from xarray import DataArray, Variable

        coords = {name: Variable((name,), values, attrs) for name, (values, attrs) in self.lines.items()}
        return DataArray(pixels, {**coords, **self.channels}, self.dims, "image", dict(self.attrs))

    def squeezed(self, pixels: Array) -> Array:
        """Return a patch without the axes that a patch has not."""
        return pixels.squeeze(tuple(i for i, name in enumerate(self.dims) if name in self.dropped))

    def plain(self, pixels: Array, channels: str) -> Array:
        """Return a patch as numpy, the axis c where ``channels`` says."""
        found = self.squeezed(pixels)
        if channels == "last" and "c" in self.kept:
            return np.moveaxis(found, self.kept.index("c"), -1)
        return found

    def shape(self, patch: Shape, channels: str = "first") -> Shape:
        """Return the shape of what :meth:`plain` gives."""
        return self.plain(np.broadcast_to(np.zeros((), bool), patch), channels).shape
