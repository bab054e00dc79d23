"""Shared by readers of scanned volumes: pairs of files, axes and affines, header fields as JSON."""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bigimg.errors import InputError, InputNotFoundError
from bigimg.geometry.affine import Affine, world_from_index_affine
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.spec import Channel, ImageSpec, Scaling
from bigimg.reader import Access
from bigimg.readers.failures import one_line, reading
from bigimg.readers.raw.plain import Pixels, RawReader, natural_chunks
from bigimg.readers.raw.scaled import SLAB_BYTES, ScaledPixels, real_dtype, same_for_all
from bigimg.types import Array, DType, Json, Kind, Shape

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From left, posterior, superior (DICOM, ITK) to right, anterior, superior (nibabel, bigimg)."""

type Step = tuple[float, str | None]
"""Distance of pixel centres along an axis, and its unit."""


def sibling(path: str, stem: str, suffixes: Sequence[str], what: str) -> str:
    """Return the first file that exists of ``stem`` with one of ``suffixes``, in lower or upper case.

    Raises
    ------
    InputNotFoundError
        There is none. The message names ``path`` and says ``what`` is missing.
    """
    for suffix in suffixes:
        for spelt in dict.fromkeys((suffix, suffix.lower(), suffix.upper())):
            if os.path.isfile(stem + spelt):
                return stem + spelt
    raise InputNotFoundError(
        f"{path}: {what} should be in {stem}{suffixes[0]}, which is not there; put that file beside it"
    )


def in_folder(header: str, name: str) -> str:
    """Return the path of the data file that ``header`` calls ``name``: in its folder or below.

    Raises
    ------
    InputError
        ``name`` leads out of the folder. A header from a stranger must not be able to read any file here.
    """
    inside = os.path.normpath(name.replace("\\", "/"))
    if not name or os.path.isabs(inside) or inside.split("/")[0] in ("..", ".") or ":" in inside:
        raise InputError(
            f"{header}: names its data file {name!r}, outside its own folder; put that file beside it and "
            "correct the header"
        )
    return os.path.join(os.path.dirname(header), inside)


def numbers[T: (int, float)](
    fields: Mapping[str, str], name: str, kind: type[T], otherwise: str = ""
) -> list[T]:
    """Return the words of the field ``name`` as numbers.

    Raises
    ------
    ValueError
        A word is none; the message names the field.
    """
    text = fields.get(name, otherwise)
    try:
        return [kind(word) for word in text.split()]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} is {text!r:.80}, not {what}") from None


def number[T: (int, float)](fields: Mapping[str, str], name: str, kind: type[T], otherwise: T) -> T:
    """Return the one number of the field ``name``, ``otherwise`` where there is no such field.

    Raises
    ------
    ValueError
        It is none, or not finite; the message names the field.
    """
    found = numbers(fields, name, kind, str(otherwise))
    if len(found) != 1 or not math.isfinite(found[0]):
        raise ValueError(f"{name} is {fields[name]!r:.80}, not one number")
    return found[0]


def checked_shape(source: str, sizes: Sequence[int]) -> Shape:
    """Return ``sizes`` as a shape.

    Raises
    ------
    InputError
        There are no sizes, or one is below 1.
    """
    shape = tuple(int(size) for size in sizes)
    if not shape or min(shape) < 1:
        raise InputError(f"{source}: the header says a shape of {shape}; every axis needs 1 pixel at least")
    return shape


def axes_of(
    dims: Sequence[str], shape: Shape, steps: Mapping[str, Step], notes: list[str], *, start: float = 0.0
) -> tuple[Axis, ...]:
    """Return the axes in the order t c z y x; the origin of x y z is 0, because the affine holds the translation.

    Parameters
    ----------
    dims, shape : sequence
        Names and pixels, in any order.
    steps : mapping
        Spacing and unit by name. An axis that has none gets spacing 1; an impossible spacing becomes 1 with a note.
    start : float
        Coordinate of the first pixel along ``t``, in its unit.
    """
    axes = []
    for name, size in sorted(zip(dims, shape, strict=True), key=lambda item: ORDER.index(item[0])):
        spacing, unit = steps.get(name, (1.0, None))
        if not 0 < abs(spacing) < math.inf:
            notes.append(f"the header gives no spacing along {name} ({spacing:g}); 1 is assumed")
            spacing, unit = 1.0, None
        axes.append(Axis(name, size, abs(float(spacing)), unit, start if name == "t" else 0.0))
    return tuple(axes)


def world_of(affine: Array, axes: Sequence[Axis], notes: list[str]) -> Affine | None:
    """Return the matrix from coordinates to RAS+ mm for ``affine`` from index (x, y, z); None if not finite."""
    with np.errstate(over="ignore", invalid="ignore"):  # headers may hold random bytes
        world = world_from_index_affine(affine, axes)
    if np.isfinite(world).all():
        return world
    notes.append("the affine of the header is not finite, and is left out")
    return None


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The header of a scanned volume, in terms that all such formats share."""

    dims: tuple[str, ...]
    """Names of the axes as the file stores them, slowest first."""
    shape: Shape
    dtype: DType
    """Type of the stored values, in any byte order."""
    affine: Array | None
    """From index (x, y, z) to RAS+ millimetres; None if the header has none."""
    steps: Mapping[str, Step]
    """Spacing and unit of the axes that have one."""
    start: float = 0.0
    """Coordinate of the first pixel along ``t``, in its unit."""
    slopes: Array | None = None
    """With as many axes as ``dims``, of length 1 along an axis where they do not change; None if nothing is scaled."""
    intercepts: Array | None = None
    """Of the same kind; zeros by default."""
    frame: str = "slice"
    """What each slope belongs to, for messages."""
    limits: tuple[float, float] | None = None
    """See :class:`~bigimg.readers.raw.scaled.ScaledPixels`."""
    channels: tuple[Channel, ...] = ()
    fields: Mapping[str, Any]
    """Fields of the header, under their own names."""
    personal: str = ""
    """See :func:`public_and_private`."""
    chunks: Shape | None = None
    """What is decoded at once, along ``dims``; runs of uncompressed numbers by default."""
    kind: Kind = "image"
    window: tuple[float, float] | None = None

    def reader(
        self, source: str, pixels: Pixels, access: Access, notes: list[str], beside: tuple[str, ...] = ()
    ) -> RawReader:
        """Return the reader of ``pixels``, which hold the stored values; files ``beside`` were read with them.

        If all frames have the same slope and intercept, these are the scaling of the image. Otherwise stored values
        of two frames cannot be compared, and the reader gives real values.
        """
        dtype, scaling = self.dtype.newbyteorder("="), None
        if self.slopes is not None:
            slopes = self.slopes
            intercepts = np.zeros((1,) * slopes.ndim) if self.intercepts is None else self.intercepts
            scaling = same_for_all(slopes, intercepts)
            if scaling is None:
                dtype = real_dtype(dtype, slopes, intercepts)
                pixels = ScaledPixels(pixels, slopes, intercepts, dtype, self.limits)
                why = f"{access.why}, scaled {self.frame} by {self.frame}"
                access = replace(access, why=why, read_bytes=access.read_bytes + SLAB_BYTES)
                notes.append(f"each {self.frame} has its own slope: real values are given, not stored ones")
            elif self.limits is not None:
                low, high = self.limits
                notes.append(f"values outside the valid range of {low:g} to {high:g} are kept as stored")
        axes = axes_of(self.dims, self.shape, self.steps, notes, start=self.start)
        by_name = dict(zip(self.dims, self.chunks or (), strict=False))
        meta, private = public_and_private(self.fields, self.personal)
        spec = ImageSpec(
            axes, dtype, tuple(by_name[axis.name] for axis in axes) if by_name else natural_chunks(axes, self.dims),
            channels=self.channels, kind=self.kind, window=self.window, meta=meta, private=private,
            world=None if self.affine is None else world_of(self.affine, axes, notes), notes=tuple(notes),
            scaling=None if scaling == Scaling(1.0, 0.0) else scaling,
        )  # fmt: skip
        return RawReader(spec, access, source, pixels, self.dims, beside)


def json_safe(value: Any) -> Json:
    """Return a header field as JSON has it: text up to its first null byte, None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        item = value.tolist()
        return [json_safe(part) for part in np.asarray(value)] if isinstance(item, list) else json_safe(item)
    if isinstance(value, bytes):
        return value.rstrip(b"\0").split(b"\0")[0].decode("latin-1")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def public_and_private(fields: Mapping[str, Any], personal: str) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return ``meta`` and ``private``: the latter holds the fields that may tell who was imaged, when or where.

    Parameters
    ----------
    fields : mapping
    personal : str
        Regular expression that matches the whole name of such a field.
    """
    meta, private = dict[str, Json](), dict[str, Json]()
    for name, value in fields.items():
        (private if re.fullmatch(personal, name) else meta)[name] = json_safe(value)
    return meta, private


def logger_into(notes: list[str]) -> logging.Logger:
    """Return a new logger that appends the messages of nibabel to ``notes``."""
    handler = logging.Handler()
    handler.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.Logger("bigimg.readers", logging.INFO)
    logger.addHandler(handler)
    return logger


@contextmanager
def reading_header(
    who: str, errors: Sequence[type[Exception]], remedy: str, notes: list[str]
) -> Iterator[None]:
    """Read a header with nibabel: name the file in each error, and append each warning to ``notes``.

    Parameters
    ----------
    who, remedy : str
        See :func:`~bigimg.readers.failures.reading`.
    errors : sequence of exceptions
        Classes of nibabel's own for a header that makes no sense; builtin ones are known.
    notes : list of str
    """
    builtin = (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, OverflowError)
    with warnings.catch_warnings(record=True) as caught, reading(who, (*errors, *builtin), remedy):
        warnings.simplefilter("always")
        yield
    notes += dict.fromkeys(one_line(warning.message) for warning in caught)
