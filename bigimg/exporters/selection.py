"""The part of a source that is exported: its levels, one plane, time or channel, stored or real values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import as_affine, index_to_world
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import holes_in, through
from bigimg.geometry.orientation import axis_across
from bigimg.geometry.spec import ImageSpec, channel_number
from bigimg.lazy.leaves import real_dtype, scaled
from bigimg.reader import Access, Reader
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Array, Region


def cut_indices(
    spec: ImageSpec, plane: str | None, index: int | None, position: float | None, t: int | None,
    channel: int | str | None,
) -> dict[str, int]:  # fmt: skip
    """Return the index along each axis of which one index is written.

    Raises
    ------
    UsageError
        An argument does not fit the image or the other arguments.
    """
    cut: dict[str, int] = {}
    if plane is not None:
        affine = None if spec.world is None else index_to_world(spec.axes, spec.world)
        name = axis_across(plane, spec.dims, affine)
        cut[name] = spec.axes[spec.axis(name)].pixel(index, position)
    elif index is not None or position is not None:
        raise UsageError("index= and position= say where a plane is: give plane= as well")
    if t is not None:
        cut["t"] = spec.axes[spec.axis("t")].pixel(t)
    if channel is not None:
        cut["c"] = channel_number(channel, spec.channels, spec.sizes)
    return cut


def smaller_levels(readers: Sequence[Reader], cut: Mapping[str, int]) -> list[Reader]:
    """Return the first reader, and those of the next levels as long as only y and x become smaller."""
    chosen = [readers[0]]
    if set(cut) & set("zyx"):
        return chosen
    for reader in readers[1:]:
        before, now = chosen[-1].spec.sizes, reader.spec.sizes
        if before == now or before | {"y": 1, "x": 1} != now | {"y": 1, "x": 1}:
            break
        chosen.append(reader)
    return chosen


def reader_to_write(reader: Reader, cut: Mapping[str, int], *, raw: bool) -> Reader:
    """Return a reader of what is written: the indices ``cut`` of ``reader``, real values unless ``raw``."""
    real = not raw and reader.spec.scaling is not None and not isinstance(reader, ArrayReader)
    return Selection(reader, cut, real=real) if cut or real else reader


class Selection:
    """A reader of one index along some axes of another reader, without these axes; of real values if ``real``.

    The axes of a plane across y or x are renamed to y and x; the slower axis becomes y. ``world`` follows.
    """

    def __init__(self, reader: Reader, cut: Mapping[str, int], *, real: bool) -> None:
        self.reader, self.cut, self.source = reader, cut, reader.source
        spec, access = reader.spec, reader.access
        self.scaling = spec.scaling if real else None
        self.working = 1.0 if real else 0.0
        """Bytes beside each byte of the result while it is made."""
        kept = [axis for axis in spec.axes if axis.name not in cut]
        flat = [axis.name for axis in kept if axis.type == "space"]
        if len(flat) < 2:
            raise UsageError(
                f"{self.source}: the plane across {' '.join(cut)} of {' '.join(spec.dims)} is a line"
            )
        new = dict(zip(flat[-2:], "yx", strict=True)) if len(flat) == 2 else {}
        world = spec.world
        self.spec = replace(
            spec,
            axes=tuple(replace(axis, name=new.get(axis.name, axis.name)) for axis in kept),
            dtype=real_dtype(spec) if real else spec.dtype,
            scaling=None if real else spec.scaling,
            chunks=tuple(spec.chunks[spec.axis(axis.name)] for axis in kept),
            missing=through(spec.missing, [cut.get(name) for name in spec.dims]),
            channels=() if "c" in cut else spec.channels,
            world=None if world is None else as_affine(np.asarray(world) @ _cut_to_whole(spec, cut, new)),
        )
        order = tuple(new.get(name, name) for name in access.order if name not in cut)
        self.access: Access = replace(access, order=order)

    def read(self, region: Region) -> Array:
        """Return the values of ``region``."""
        slices = iter(region)
        indices = [self.cut.get(name) for name in self.reader.spec.dims]
        whole = tuple(next(slices) if i is None else slice(i, i + 1) for i in indices)
        found = self.reader.read(whole)[tuple(slice(None) if i is None else 0 for i in indices)]
        if self.scaling is None:
            return found
        real = scaled(found, self.scaling, self.spec.dtype)
        if (holes := holes_in(self.spec.missing, region)) is not None:
            real[holes] = np.nan
        return real

    def close(self) -> None:
        """Close the other reader."""
        self.reader.close()


def _cut_to_whole(spec: ImageSpec, cut: Mapping[str, int], new: Mapping[str, str]) -> Array:
    """Return the 4x4 matrix from coordinates (x, y, z) of the cut to those of the whole image.

    An axis that was cut, or is not there, takes a name that is left; its step is one pixel.
    """
    axes = {axis.name: axis for axis in spec.axes}
    names = {name: new.get(name, name) for name in "xyz" if name in axes and name not in cut}
    left = iter(name for name in "xyz" if name not in names.values())
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for row, name in enumerate("xyz"):
        if name in names:
            matrix[row, "xyz".index(names[name])] = 1.0
            continue
        axis = axes.get(name, Axis(name, 1))
        matrix[row, "xyz".index(next(left))] = axis.spacing
        matrix[row, 3] = axis.origin + cut.get(name, 0) * axis.spacing
    return matrix
