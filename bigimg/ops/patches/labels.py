"""Axes, coordinates and attributes of the patches of an image, without its pixels."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray
from xarray import DataArray, Variable

from bigimg.geometry.axes import ORDER
from bigimg.types import Array, Shape


@dataclass(frozen=True)
class Labels:
    """Names, coordinates and attributes of an image, for its patches."""

    dims: tuple[str, ...]
    lines: Mapping[str, tuple[Array, Mapping[str, Any]]]
    """Values and attributes of the coordinate of each axis but c."""
    count: int
    """Number of channels; 1 without an axis c."""
    channels: Mapping[str, Any]
    """Coordinates along c."""
    attrs: Mapping[str, Any]
    dropped: tuple[str, ...]
    """Axes that the size of a patch does not name: a patch has one pixel of them, and no such axis."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Axes of a patch."""
        return tuple(name for name in self.dims if name not in self.dropped)

    def dropping(self, names: tuple[str, ...]) -> Labels:
        """Return the labels of patches without the axes ``names``."""
        return replace(self, dropped=names)

    def position(self, name: str, index: Array) -> Array:
        """Return the coordinates of pixels along an axis; beyond the image they continue evenly."""
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
        """All coordinates, with pixels that take no memory: cutting them is twice as fast as making them."""
        shape = [self.count if name == "c" else len(self.lines[name][0]) for name in self.dims]
        nothing = np.broadcast_to(np.zeros((), bool), shape)
        return self.whole(nothing).assign_coords(patch=np.int64(0))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_empty"}

    def image(self, pixels: Array, start: Sequence[int], number: int) -> xarray.DataArray:
        """Return a patch with its coordinates."""
        axes = [name for name in self.dims if name != "c"]
        sizes = (n for n, name in zip(pixels.shape, self.dims, strict=True) if name != "c")
        parts = {name: slice(begin, begin + n) for name, begin, n in zip(axes, start, sizes, strict=True)}
        if all(part.stop <= len(self.lines[name][0]) for name, part in parts.items()):
            cut = {name: part.start if name in self.dropped else part for name, part in parts.items()}
            found = self._empty.isel(cut).copy(data=self.squeezed(pixels))
            found.coords["patch"].values[...] = number  # it was copied: the copy is deep
            return found

        coords: dict[str, Any] = {"patch": number, **self.channels}
        for name, part in parts.items():
            values, attrs = self.position(name, np.arange(part.start, part.stop)), self.lines[name][1]
            one = name in self.dropped
            coords[name] = Variable((), values[0], attrs) if one else Variable((name,), values, attrs)
        return DataArray(self.squeezed(pixels), coords, self.kept, "image", dict(self.attrs))

    def whole(self, pixels: Array) -> xarray.DataArray:
        """Return all pixels of the image, of any type, with its coordinates and attributes."""
        coords = {name: Variable((name,), values, attrs) for name, (values, attrs) in self.lines.items()}
        return DataArray(pixels, {**coords, **self.channels}, self.dims, "image", dict(self.attrs))

    def squeezed(self, pixels: Array) -> Array:
        """Return a patch without the dropped axes."""
        return pixels.squeeze(tuple(i for i, name in enumerate(self.dims) if name in self.dropped))

    def plain(self, pixels: Array, channels: str) -> Array:
        """Return a patch as numpy, the axis c where ``channels`` says."""
        found = self.squeezed(pixels)
        if channels == "last" and "c" in self.kept:
            return np.moveaxis(found, self.kept.index("c"), -1)
        return found

    def channel_axis(self, channels: str) -> int:
        """Return which axis of a patch is c, if it has one: the last, or the first after t."""
        if channels == "last":
            return len(set(self.kept) - {"c"})
        return 1 if "t" in self.kept else 0

    def with_all_axes(self, pixels: Array, channels: str) -> Array:
        """Return a patch with all axes of the image, in the order t c z y x; with c if ``pixels`` have this axis."""
        names = [name for name in self.kept if name != "c"]
        dims = [name for name in self.dims if name != "c"]
        if pixels.ndim > len(names):
            first = self.channel_axis("first")
            pixels = np.moveaxis(pixels, self.channel_axis(channels), first)
            names.insert(first, "c")
            dims = sorted([*dims, "c"], key=ORDER.index)
        shape = dict(zip(names, pixels.shape, strict=True))
        return pixels.reshape([shape.get(name, 1) for name in dims])

    def shape(self, patch: Shape, channels: str = "first") -> Shape:
        """Return the shape of what :meth:`plain` gives."""
        return self.plain(np.broadcast_to(np.zeros((), bool), patch), channels).shape
