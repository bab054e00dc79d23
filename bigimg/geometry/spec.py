"""The description of an image that is known before a pixel is read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bigimg.errors import InputError, UsageError
from bigimg.geometry.affine import Affine
from bigimg.geometry.axes import ORDER, Axis
from bigimg.types import Convention, DType, Json, Kind, Padding, Region, Shape


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of an image."""

    name: str
    color: str | None = None
    """Six hexadecimal digits, ``FF0000``; None if the file names no colour."""


def channel_number(channel: int | str, channels: Sequence[Channel], sizes: Mapping[str, int]) -> int:
    """Return the number of a channel that is given by number or name, of an image of ``sizes`` by axis.

    Raises
    ------
    UsageError
        There is none.
    """
    if "c" not in sizes:
        raise UsageError(f"no channel {channel!r}: the axes are {' '.join(sizes)}, without channels")
    names, count = [known.name for known in channels], sizes["c"]
    if isinstance(channel, str):
        if channel in names:
            return names.index(channel)
        if not re.fullmatch(r"-?\d{1,18}", channel):
            said = ", ".join(names) or "no names, only numbers"
            raise UsageError(f"no channel {channel!r:.80}; there are {said}")
        channel = int(channel)
    if not hasattr(channel, "__index__") or not -count <= channel < count:
        said = f", or a name: {', '.join(names)}" if names else ""
        raise UsageError(f"no channel {channel!r} of {count}; give 0 to {count - 1}{said}")
    return int(channel) % count


RGB = (Channel("R", "FF0000"), Channel("G", "00FF00"), Channel("B", "0000FF"))
RGBA = (*RGB, Channel("A", "FFFFFF"))


@dataclass(frozen=True, slots=True)
class Scaling:
    """How real values follow from stored values: ``real = slope * stored + intercept``."""

    slope: float
    intercept: float


class SpacingNote(str):
    """A note on the spacing that the file gives, or does not, along ``axes``; moot where a user gives another."""

    axes: str
    listed: str
    """The text before the names of the axes, of a note that ends with them."""

    def __new__(cls, text: str, axes: str = "yx", listed: str = "") -> SpacingNote:
        """Return the note."""
        note = super().__new__(cls, text)
        note.axes, note.listed = axes, listed
        return note

    @classmethod
    def along(cls, text: str, axes: str) -> SpacingNote:
        """Return a note that ends with the names of its axes.

        >>> SpacingNote.along("1 is assumed along", "tz")
        '1 is assumed along t and z'
        """
        return cls(f"{text} {' and '.join(axes)}", axes, text)

    def without(self, given: Collection[str]) -> SpacingNote | None:
        """Return what is left of the note where a user gives the spacing along some axes; None where nothing is."""
        left = "".join(name for name in self.axes if name not in given)
        if not left:
            return None
        return SpacingNote.along(self.listed, left) if self.listed else self


def notes_beside(notes: Iterable[str], given: Collection[str]) -> tuple[str, ...]:
    """Return what is left of ``notes`` where the spacing along the axes ``given`` is known otherwise."""
    left = (note.without(given) if isinstance(note, SpacingNote) else note for note in notes)
    return tuple(note for note in left if note is not None)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Shape, type and meaning of an image.

    ``shape`` and ``dtype`` describe the *stored* values, in native byte order and in the axis order
    ``t c z y x``. Real values follow from them by :attr:`scaling`.
    """

    axes: tuple[Axis, ...]
    dtype: DType
    chunks: Shape
    """What the source decodes at once (a tile, a strip, a page), in pixels along each axis."""
    channels: tuple[Channel, ...] = ()
    """One for each index along ``c``, or one for the image if there is no such axis; empty if the file names none."""
    world: Affine | None = None
    """Matrix from coordinate values (x, y, z) to RAS+ millimetres; None if the file has none."""
    kind: Kind = "image"
    scaling: Scaling | None = None
    window: tuple[float, float] | None = None
    """Lower and upper end of the display window that the file declares, in real values."""
    meta: Mapping[str, Json] = field(default_factory=dict)
    """Fields of the file under their own names, JSON-safe; they are written with the pixels."""
    padding: Padding | None = None
    """Stored values that are no measurements; statistics and the pixels of coarser levels leave them out."""
    missing: tuple[Region, ...] = ()
    """Boxes of pixels that a damaged source does not hold; they are no measurements either."""
    notes: tuple[str, ...] = ()
    """What was assumed or is doubtful, one sentence each; ``info`` and ``plan`` show them, a store keeps them."""
    private: Mapping[str, Json] = field(default_factory=dict)
    """More fields of the file, which may tell who was imaged. They are written only if a user asks for it."""
    of_source: tuple[str, ...] = ()
    """Notes on the source alone, such as the other images it holds; they are shown, and a store does not keep them."""
    convention: Convention = "neurological"
    """How planes are drawn when there is a ``world``: as in nibabel, as in DICOM viewers, or without letters."""

    def __post_init__(self) -> None:
        names = self.dims
        if sorted(names, key=ORDER.index) != list(names) or len(set(names)) != len(names):
            raise UsageError(f"axes {' '.join(names)} are not in the order {' '.join(ORDER)}, each once")
        if not {"y", "x"} <= set(names):
            raise UsageError(f"axes {' '.join(names)} lack y or x")
        if len(self.chunks) != len(self.axes):
            raise UsageError(f"chunks {self.chunks} do not match axes {' '.join(names)}")
        if any(len(hole) != len(self.axes) for hole in self.missing):
            raise UsageError(f"missing boxes do not match axes {' '.join(names)}")
        if self.dtype.kind not in "buif" or self.dtype.itemsize > 8:
            raise InputError(f"pixels of type {self.dtype} are not supported: use booleans, integers, floats")
        if self.channels and len(self.channels) != (count := self.sizes.get("c", 1)):
            raise UsageError(f"{len(self.channels)} channel names for {count} channels")
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
    def sizes(self) -> dict[str, int]:
        """Pixels along each axis, by the name of the axis."""
        return {axis.name: axis.size for axis in self.axes}

    @property
    def nbytes(self) -> int:
        """Bytes of the whole image, decoded."""
        return self.dtype.itemsize * self.size

    @property
    def size(self) -> int:
        """Number of values in the whole image."""
        return math.prod(self.shape)

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


def as_text(value: object) -> str:
    """Return ``value`` as JSON, for the attrs of a DataArray: netCDF has no attrs of other shapes."""
    return json.dumps(value, ensure_ascii=False, default=str)


def from_text(value: object) -> object:
    """Return what :func:`as_text` made a text of; anything else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def fields_of(attrs: Mapping[Any, Any], name: str) -> dict[str, Json]:
    """Return the metadata fields that the attrs of a DataArray hold under ``name``, as JSON or as a mapping."""
    found = from_text(attrs.get(name))
    return dict(found) if isinstance(found, Mapping) else {}
