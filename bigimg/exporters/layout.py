"""How a file will hold an image: what an exporter decides before anything is written.

An exporter is one function, a :class:`LayOut`: from what the image is to a :class:`Layout`, or a UsageError
that says which format can. It reads no pixel and touches no disk. Files of plain numbers (NIfTI, MetaImage,
npy) need no more than that: header bytes and the order of the axes. The others bring an ``encode``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from bigimg.errors import UsageError
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array, DType


@dataclass(frozen=True, slots=True)
class Asked:
    """Options that a person may give; each belongs to some of the formats."""

    compression: str | None = None
    """TIFF: ``deflate`` (the default), ``zstd`` or ``none``."""
    quality: int | None = None
    """JPEG: 1 to 100."""
    version: int | None = None
    """NIfTI: 1 or 2."""


class Slabs(Protocol):
    """The pixels of one level as the file wants them."""

    @property
    def spec(self) -> ImageSpec:
        """What the level is."""

    def __iter__(self) -> Iterator[Array]:
        """Yield C-contiguous arrays in the order of the layout, from the first pixel to the last.

        Each is full along the axes faster than the one it is cut along, and of length 1 along the slower
        ones; ``ndim`` is that of the image.
        """


type Encode = Callable[[Sequence[Slabs], IO[bytes]], None]
"""Writes the pixels of the levels, the largest first, into a new file."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file holds an image."""

    order: tuple[str, ...]
    """Axis names from slowest to fastest, as the pixels follow one another in the file."""
    dtype: DType
    """Of the values in the file, byte order included."""
    head: bytes = b""
    """What comes before the pixels."""
    encode: Encode | None = None
    """What writes the pixels; None where they lie as they are, after ``head``."""
    gzip: bool = False
    """Whether head and pixels go through gzip."""
    header_file: tuple[Path, bytes] | None = None
    """A second file that describes the first: it appears last."""
    pixels_file: Path | None = None
    """Where the pixels go, when not to the target."""
    rows: int = 1
    """Rows of y that an encoder takes at once."""
    encode_bytes: int = 0
    """Memory of the encoder beside the slab it is given."""
    levels: int = 1
    """How many levels of a pyramid the file will hold."""
    notes: tuple[str, ...] = ()
    """What the file cannot hold, a sentence each."""


class LayOut(Protocol):
    """What an exporter is."""

    def __call__(self, levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
        """Return how ``target`` will hold an image of which these levels are at hand.

        Raises
        ------
        UsageError
            The format cannot hold the axes or the type, or an option means nothing to it.
        """


def refuse_options(asked: Asked, title: str, *known: str) -> None:
    """Raise a UsageError for an option that the format does not have."""
    for name, of in (("compression", "TIFF"), ("quality", "JPEG"), ("version", "NIfTI")):
        if name not in known and getattr(asked, name) is not None:
            raise UsageError(
                f"{name}={getattr(asked, name)!r} is an option of {of}, not of {title}: leave it out"
            )
