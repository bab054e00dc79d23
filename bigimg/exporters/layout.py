"""How a file will hold an image: an exporter decides this before anything is written.

An exporter is one function, a :class:`LayoutFunction`. It takes the description of an image and returns a
:class:`Layout`, or raises a UsageError that names a format that can hold the image. It reads no pixel and no file.
Files of uncompressed numbers (NIfTI, MetaImage, npy) need header bytes and the order of the axes; the other formats
have a function ``encode``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array, DType


class Slabs(NamedTuple):
    """The pixels of one level, in the order of the file."""

    spec: ImageSpec
    """The description of the level."""
    arrays: Generator[Array]
    """C-contiguous arrays in the order of the layout, from the first pixel to the last.

    An array is cut along one axis. It is complete along the faster axes and has length 1 along the slower ones; its
    ``ndim`` is that of the image.
    """


type Encode = Callable[[Sequence[Slabs], IO[bytes]], None]
"""Writes the pixels of the levels, the largest first, into a new file."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file holds an image."""

    order: tuple[str, ...]
    """Axis names in the order of the file, slowest first."""
    dtype: DType
    """Type of the values in the file, byte order included."""
    head: bytes = b""
    """Bytes before the pixels."""
    encode: Encode | None = None
    """Writes the pixels; None if they are written uncompressed after ``head``."""
    gzip: bool = False
    """Whether head and pixels are compressed with gzip."""
    header_file: tuple[Path, bytes] | None = None
    """Path and content of a separate header file; it appears last."""
    pixels_file: Path | None = None
    """File of the pixels, if it is not the target."""
    rows: int = 1
    """Rows of y that the encoder takes at once."""
    encode_bytes: int = 0
    """Memory of the encoder in addition to its input slab."""
    levels: int = 1
    """Number of pyramid levels that the file will hold."""
    notes: tuple[str, ...] = ()
    """What the file cannot hold, one sentence each."""


type LayoutFunction = Callable[..., Layout]
"""The function of an exporter: takes the levels (sequence of ImageSpec), the path of the target and the options of the
format by name, and returns how the target will hold the image.

It raises UsageError if the format cannot hold the axes or the type, or an option has an impossible value.
"""


def pixel_millimeters(spec: ImageSpec) -> list[float] | None:
    """Return the width and height of a pixel in millimetres; None if the spacing is not a length."""
    axes = [spec.axes[spec.axis(name)] for name in "xy"]
    if not all(axis.unit in MILLIMETERS for axis in axes):
        return None
    return [abs(axis.spacing) * MILLIMETERS[axis.unit or ""] for axis in axes]


def channels_last(spec: ImageSpec) -> tuple[str, ...]:
    """Return the axis names of ``spec`` with ``c`` at the end."""
    return tuple(sorted(spec.dims, key="c".__eq__))
