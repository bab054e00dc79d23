"""What a source of pixels is: the contract of every reader, ours and those of other packages.

A reader is made from a path or an object, knows its :class:`~bigimg.geometry.spec.ImageSpec` without reading
a pixel, and gives any region as a numpy array of stored values. ``bigimg.testing.check_reader`` proves it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

from bigimg.errors import InputError, UsageError, any_of
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array, Part, Region

PARTS: tuple[Part, ...] = get_args(Part.__value__)
"""The parts of complex values."""
CHOOSE_PART = any_of([f"part={part!r}" for part in PARTS])
"""How one is asked for, for messages."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the pixels of a source can be had, and what having them costs."""

    kind: Literal["random", "sequential", "whole"]
    """Any region at its own price; one ordered pass; or only the full frame at once."""
    why: str
    """The reason, for a person: ``tiles of 512 x 512, deflate``, ``interlaced PNG``."""
    order: tuple[str, ...] = ()
    """Axis names from slowest to fastest as the source yields them; needed for ``sequential``.

    A sequential source is read in full-width slabs along its slow axes, in this order: a PNG with
    ``("y", "x", "c")`` in bands of rows, a ``.nii.gz`` with ``("t", "z", "y", "x")`` volume by volume.
    """
    fixed_bytes: int = 0
    """Memory the reader holds while open, whatever is read (libraries loaded, line caches, tile tables);
    for ``whole`` the decoded frame and what the codec needs beside it."""
    read_bytes: int = 0
    """Memory one call of ``read`` uses beside its result: a decoded source chunk and its compressed form."""
    wide: bool = False
    """Whether a piece of a row costs about as much as the row: uncompressed rows that are short. Bands as wide
    as the image, or half, are then faster than blocks, where they fit; nothing is decoded twice without them."""


@runtime_checkable
class Reader(Protocol):
    """A source of pixels.

    ``read`` may be called from several threads at once. A reader can be pickled, and opens its source
    again on the other side. A reader of several files also has ``paths``, a sequence of their names, so that
    nothing is written over one of them. Of a file that holds coarser levels of the image too, it also has ``coarser``;
    see :func:`coarser_of`.
    """

    @property
    def spec(self) -> ImageSpec:
        """What the image is; known without reading a pixel."""

    @property
    def access(self) -> Access:
        """How its pixels can be had."""

    @property
    def source(self) -> str:
        """What is read, for messages: a path, a URL, ``array``."""

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``, in native byte order and of ``spec.dtype``.

        The array may be a view with any strides that the caller does not write to. ``region`` lies within
        the image and every slice has step None.

        Raises
        ------
        InputError
            The source is corrupt or shorter than it says: never made-up pixels.
        """

    def close(self) -> None:
        """Let go of files; reading afterwards opens them again. Calling it twice is fine."""


def as_kind(reader: Reader, kind: str | None) -> Reader:
    """Return ``reader``, or that of the indices into the palette where the numbers of a picture are a kind of labels.

    Parameters
    ----------
    reader : Reader
        One with a method ``indices`` has a palette if that returns another reader.
    kind : {"image", "labels", "mask"}, optional
        What its numbers mean, as a person says.
    """
    indices = getattr(reader, "indices", None)
    if kind not in ("labels", "mask") or indices is None or (found := indices()) is None:
        return reader
    reader.close()
    return found  # type: ignore[no-any-return]


def parts_of(reader: Reader) -> tuple[Part, ...]:
    """Return the parts of complex values that ``reader`` lets choose; none where its values are real."""
    return getattr(reader, "parts", ())


def as_part(reader: Reader, part: Part | None) -> Reader:
    """Return ``reader``, or where its values are complex the reader of one part of them.

    Parameters
    ----------
    reader : Reader
        One with complex values has their parts in ``parts``, and a method ``of_part``.
    part : {"real", "imaginary", "magnitude", "phase"}, optional

    Raises
    ------
    InputError
        The values are complex, and no part is chosen.
    UsageError
        They are not, and a part is chosen; or there is no such part.
    """
    if part is not None and part not in PARTS:
        raise UsageError(f"part={part!r}: give {', '.join(map(repr, PARTS))}")
    if not parts_of(reader):
        if part is not None:
            raise UsageError(
                f"{reader.source}: part={part!r} is for complex values, and these are real; leave it out"
            )
        return reader
    if part is None:
        reader.close()
        raise InputError(f"{reader.source}: its values are complex; take one part: {CHOOSE_PART}")
    return reader.of_part(part)  # type: ignore[attr-defined,no-any-return]


def coarser_of(reader: Reader) -> tuple[Callable[[], Reader], ...]:
    """Return what opens each coarser level that the file of ``reader`` holds, fine to coarse; nothing is read for it.

    Each gives a reader with the same axes; what that says of spacing, channels and so on is not used. An attribute
    ``lossy`` of a reader is true where the file may not give back the pixels that went in.
    """
    return tuple(getattr(reader, "coarser", ()))


def files_of(reader: Reader) -> tuple[str, ...]:
    """Return the absolute names of what ``reader`` reads, as far as it tells; files need not exist under them."""
    names = (reader.source, *getattr(reader, "paths", ()))
    return tuple(os.path.abspath(name) for name in names if name != "array" and "://" not in name)


def check_source(reader: object) -> None:
    """Refuse a reader whose source lies beside a store and is gone; nothing is opened, and any other reader is fine."""
    getattr(reader, "check", lambda: None)()


def open_source_of(reader: object) -> None:
    """Open the source that lies beside the store of ``reader``, if any, so that ``access`` is what it costs."""
    getattr(reader, "open_source", lambda: None)()
