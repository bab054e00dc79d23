"""Readers that change another reader: one plane, time or channel of it, or real values instead of stored ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import as_affine, index_to_world
from bigimg.geometry.axes import Axis, short_unit
from bigimg.geometry.orientation import PLANES, nearest_axes, no_plane
from bigimg.geometry.spec import ImageSpec
from bigimg.lazy.leaves import real_dtype, scaled
from bigimg.reader import Access, Reader
from bigimg.types import Array, Region


class Cut:
    """A reader of one index along some axes of another reader, without these axes.

    The axes of a plane across y or x are renamed to y and x; the slower axis becomes y. ``world`` follows.
    """

    def __init__(self, reader: Reader, cut: Mapping[str, int]) -> None:
        self.reader = reader
        self.cut = dict(cut)
        self.source = reader.source
        spec, access = reader.spec, reader.access
        kept = [axis for axis in spec.axes if axis.name not in cut]
        flat = [axis.name for axis in kept if axis.type == "space"]
        if len(flat) < 2:
            raise UsageError(
                f"{self.source}: the plane across {' '.join(cut)} of {' '.join(spec.dims)} is a line"
            )
        new = dict(zip(flat[-2:], "yx", strict=True)) if len(flat) == 2 else {}
        self.spec = replace(
            spec,
            axes=tuple(replace(axis, name=new.get(axis.name, axis.name)) for axis in kept),
            chunks=tuple(n for n, axis in zip(spec.chunks, spec.axes, strict=True) if axis.name not in cut),
            channels=() if "c" in cut else spec.channels,
            world=None
            if spec.world is None
            else as_affine(np.asarray(spec.world) @ _cut_to_whole(spec, cut, new)),
        )
        order = tuple(new.get(name, name) for name in access.order if name not in cut)
        self.access: Access = replace(access, order=order)

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``."""
        slices = iter(region)
        indices = [self.cut.get(name) for name in self.reader.spec.dims]
        whole = tuple(next(slices) if i is None else slice(i, i + 1) for i in indices)
        return self.reader.read(whole)[tuple(slice(None) if i is None else 0 for i in indices)]

    def close(self) -> None:
        """Close the other reader."""
        self.reader.close()


class Real:
    """A reader of the real values of another reader: slope and intercept are applied."""

    working = 1.0
    """Bytes beside each byte of the result while it is made."""

    def __init__(self, reader: Reader) -> None:
        assert reader.spec.scaling is not None
        self.reader, self.scaling = reader, reader.spec.scaling
        self.source, self.access = reader.source, reader.access
        self.spec = replace(reader.spec, dtype=real_dtype(reader.spec), scaling=None)

    def read(self, region: Region) -> Array:
        """Return the real values of ``region``."""
        return scaled(self.reader.read(region), self.scaling, self.spec.dtype)

    def close(self) -> None:
        """Close the other reader."""
        self.reader.close()


def _cut_to_whole(spec: ImageSpec, cut: Mapping[str, int], new: Mapping[str, str]) -> Array:
    """Return the 4x4 matrix from coordinates (x, y, z) of the cut to those of the whole image.

    The axis that was cut takes the remaining name; its step is one pixel.
    """
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    axes = {axis.name: axis for axis in spec.axes}
    taken = []
    for row, name in enumerate("xyz"):
        if name in axes and name not in cut:
            taken.append(new.get(name, name))
            matrix[row, "xyz".index(taken[-1])] = 1.0
    left = iter(name for name in "xyz" if name not in taken)
    for row, name in enumerate("xyz"):
        if name in cut or name not in axes:
            axis = axes.get(name, Axis(name, 1))
            matrix[row, "xyz".index(next(left))] = axis.spacing
            matrix[row, 3] = axis.origin + cut.get(name, 0) * axis.spacing
    return matrix


def plane_index(spec: ImageSpec, plane: str, index: int | None, position: float | None) -> tuple[str, int]:
    """Return the axis across the plane called ``plane``, and the index along it, as in :func:`bigimg.plane`.

    Raises
    ------
    UsageError
        There is no such axis, or the index or position is outside the image.
    """
    name = plane
    if plane in PLANES:
        name = "xyz"[PLANES[plane]]
        if spec.world is not None:
            name = "xyz"[nearest_axes(index_to_world(spec.axes, spec.world)).index(PLANES[plane])]
    if name not in spec.dims:
        raise UsageError(no_plane(plane, name, spec.dims))
    axis = spec.axes[spec.axis(name)]
    if index is not None and position is not None:
        raise UsageError(f"plane {plane}: index {index} and position {position} exclude each other; give one")
    if position is not None:
        pixel = (position - axis.origin) / axis.spacing
        if not -0.5 - 1e-9 <= pixel <= axis.size - 0.5 + 1e-9:
            ends = sorted((axis.origin - axis.spacing / 2, axis.origin + axis.spacing * (axis.size - 0.5)))
            raise UsageError(
                f"position {position:g} along {name} is outside the image, which reaches from {ends[0]:g} to "
                f"{ends[1]:g} {short_unit(axis.unit)}"
            )
        return name, min(max(round(pixel), 0), axis.size - 1)
    return name, axis.size // 2 if index is None else checked_index(spec, name, index)


def channel_index(spec: ImageSpec, channel: int | str) -> int:
    """Return the index along c of a channel given by number or name.

    Raises
    ------
    UsageError
        There is no such channel.
    """
    names = [known.name for known in spec.channels]
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    if isinstance(channel, str) and not channel.removeprefix("-").isdecimal():
        raise UsageError(f"no channel {channel!r}; there are {', '.join(names) or 'no names, only numbers'}")
    return checked_index(spec, "c", int(channel))


def checked_index(spec: ImageSpec, name: str, index: int) -> int:
    """Return ``index`` along axis ``name``, counted from the start.

    Raises
    ------
    UsageError
        There is no such axis, or the index is outside the image.
    """
    size = spec.shape[spec.axis(name)]
    if not -size <= index < size:
        raise UsageError(f"index {index} along {name} of {size} pixels; give 0 to {size - 1}")
    return index % size
