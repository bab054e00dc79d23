"""What is known of an image before a pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bigimg.errors import InputError, UsageError
from bigimg.geometry.affine import Affine
from bigimg.geometry.axes import ORDER, Axis
from bigimg.types import DType, Json, Kind, Shape


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of an image."""

    name: str
    color: str | None = None
    """Six hexadecimal digits, ``FF0000``; None when the file does not say."""


RGB = (Channel("R", "FF0000"), Channel("G", "00FF00"), Channel("B", "0000FF"))
RGBA = (*RGB, Channel("A", "FFFFFF"))


@dataclass(frozen=True, slots=True)
class Scaling:
    """The straight line from stored to real values: ``real = slope * stored + intercept``."""

    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Shape, type and meaning of an image.

    ``shape`` and ``dtype`` describe the *stored* values, in native byte order and in the axis order
    ``t c z y x``; :attr:`scaling` says how real values follow from them.
    """

    axes: tuple[Axis, ...]
    dtype: DType
    chunks: Shape
    """What the source decodes at once (a tile, a strip, a page), one number an axis, in pixels."""
    channels: tuple[Channel, ...] = ()
    """One for each index along ``c``; empty when there is no such axis or the file names none."""
    world: Affine | None = None
    """From coordinate values (x, y, z) to RAS+ millimetres; None when the file does not say."""
    kind: Kind = "image"
    scaling: Scaling | None = None
    window: tuple[float, float] | None = None
    """The display window that the file declares, in real values."""
    meta: Mapping[str, Json] = field(default_factory=dict)
    """The file's own fields under their own names, JSON-safe; written along with the pixels."""
    padding: tuple[int, int] | None = None
    """Stored values from and to which a pixel is no measurement: statistics leave these out."""
    notes: tuple[str, ...] = ()
    """What was assumed or is doubtful, a sentence each; shown by ``info`` and ``plan``, and kept in a store."""
    private: Mapping[str, Json] = field(default_factory=dict)
    """More fields like ``meta``, which may tell who was imaged: they stay here, and are written nowhere unless a
    person asks for it."""
    of_source: tuple[str, ...] = ()
    """More like ``notes``, of the source alone, as which other images it holds: shown and not kept."""

    def __post_init__(self) -> None:
        names = self.dims
        if sorted(names, key=ORDER.index) != list(names) or len(set(names)) != len(names):
            raise UsageError(
                f"axes {' '.join(names)} are not in the order {' '.join(ORDER)}, each at most once"
            )
        if not {"y", "x"} <= set(names):
            raise UsageError(f"axes {' '.join(names)} lack y or x")
        if len(self.chunks) != len(self.axes):
            raise UsageError(f"chunks {self.chunks} do not match axes {' '.join(names)}")
        if self.dtype.kind not in "buif" or self.dtype.itemsize > 8:
            raise InputError(
                f"pixels of type {self.dtype} are not supported: use booleans, integers or floats"
            )
        if self.channels and len(self.channels) != self.shape[names.index("c")]:
            raise UsageError(
                f"{len(self.channels)} channel names for {self.shape[names.index('c')]} channels"
            )
        object.__setattr__(self, "dtype", np.dtype(self.dtype).newbyteorder("="))

    @property
    def dims(self) -> tuple[str, ...]:
        """Axis names, as in ``("c", "y", "x")``."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> Shape:
        """Pixels along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole image, decoded."""
        return self.dtype.itemsize * self.size

    @property
    def size(self) -> int:
        """Number of values in the whole image."""
        count = 1
        for axis in self.axes:
            count *= axis.size
        return count

    def axis(self, name: str) -> int:
        """Return the position of the axis called ``name``.

        Raises
        ------
        UsageError
            There is no such axis.
        """
        try:
            return self.dims.index(name)
        except ValueError:
            raise UsageError(f"no axis {name!r} in an image with axes {' '.join(self.dims)}") from None
