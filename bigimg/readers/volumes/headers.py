"""Shared by readers of scanned volumes: pairs of files, axes and affines, header fields as JSON."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bigimg.errors import InputError, InputNotFoundError, one_line, reading
from bigimg.geometry.affine import Affine, is_singular, world_from_index_affine
from bigimg.geometry.axes import MILLIMETERS, ORDER, Axis
from bigimg.geometry.padding import described, no_data_note
from bigimg.geometry.spec import Channel, ImageSpec, Scaling, SpacingNote
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, known_unit, public_and_private
from bigimg.readers.complex_values import is_complex, real_of
from bigimg.readers.raw.plain import Pixels, RawReader, Stored, natural_chunks
from bigimg.readers.raw.scaled import (
    PART_BYTES,
    SLAB_BYTES,
    PartPixels,
    ScaledPixels,
    real_dtype,
    same_for_all,
)
from bigimg.readers.raw.streams import PACKED
from bigimg.readers.volumes.label_names import kind_of
from bigimg.types import Array, DType, Json, Kind, Padding, Shape

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From left, posterior, superior (DICOM, ITK) to right, anterior, superior (nibabel, bigimg)."""

type Step = tuple[float, str | None]
"""Distance of pixel centres along an axis, and its unit."""

type Factors = Array | float
"""One for all pixels, or with as many axes as these, of length 1 along an axis where they do not change."""


def unpacked_name(path: str) -> str:
    """Return ``path`` without the ending of a compressed file."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix in PACKED else path


def beside(stem: str, suffixes: Sequence[str]) -> str | None:
    """Return the first file that exists of ``stem`` with one of ``suffixes``, in lower or upper case."""
    spelt = (each for suffix in suffixes for each in (suffix, suffix.lower(), suffix.upper()))
    return next((stem + each for each in spelt if os.path.isfile(stem + each)), None)


def sibling(path: str, stem: str, suffixes: Sequence[str], what: str) -> str:
    """Return the file that :func:`beside` finds.

    Raises
    ------
    InputNotFoundError
        There is none. The message names ``path`` and says ``what`` is missing.
    """
    if found := beside(stem, suffixes):
        return found
    where = f"{what} should be in {stem}{suffixes[0]}, which is not there"
    raise InputNotFoundError(f"{path}: {where}; put that file beside it")


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


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The header of a scanned volume, in terms that all such formats share."""

    stored: Stored
    affine: Array | None
    """From index (x, y, z) to RAS+ millimetres; None if the header has none."""
    steps: Mapping[str, Step]
    """Spacing and unit of the axes that have one."""
    starts: Mapping[str, float] = field(default_factory=dict)
    """Coordinate of the first pixel along an axis, in its unit; of x y z only without an affine, which has it else."""
    slopes: Factors = 1.0
    intercepts: Factors = 0.0
    frame: str = "slice"
    """What each slope belongs to, for messages."""
    no_data: Sequence[Padding] = ()
    """Ranges of stored values that are no measurements."""
    channels: tuple[Channel, ...] = ()
    fields: Mapping[str, Any]
    """Fields of the header, under their own names."""
    family: str
    """Key of the lists in :mod:`bigimg.readers.allowed`."""
    chunks: Shape | None = None
    """What is decoded at once, along ``dims``; runs of uncompressed numbers by default."""
    kind: Kind = "image"
    body: bool = True
    """Whether ``affine`` leads to a body, and not only to a world without right and left."""
    window: tuple[float, float] | None = None

    def reader(
        self, source: str, pixels: Pixels, access: Access, notes: list[str], others: tuple[str, ...] = ()
    ) -> RawReader:
        """Return the reader of ``pixels``, which hold the stored values; ``others`` are further files of it.

        If all frames have the same slope and intercept, these are the scaling of the image. Otherwise stored values
        of two frames cannot be compared, and the reader gives real values.
        """
        dims = self.stored.dims
        pixels, dtype, scaling, padding, access = self._values(source, pixels, access, notes)
        axes = self._axes(notes)
        by_name = dict(zip(dims, self.chunks or (), strict=False))
        fields = {name: json_safe(value) for name, value in self.fields.items()}
        meta, private = public_and_private(fields, self.family)
        channels, names = known_channels(self.channels)
        several = bool({"c", "t"} & set(dims))
        kind, note = kind_of(
            self.kind, source, dtype, self.fields, scaled=scaling is not None, several=several
        )
        spec = ImageSpec(
            axes, dtype, tuple(by_name[axis.name] for axis in axes) if by_name else natural_chunks(axes, dims),
            channels=channels, kind=kind, window=self.window, meta=meta, private=private | names,
            world=self._world(axes, notes), convention="neurological" if self.body else "none", notes=tuple(notes),
            of_source=(note,) if note else (), scaling=scaling, padding=padding,
        )  # fmt: skip
        return RawReader(spec, access, source, pixels, dims, others)

    def _values(
        self, source: str, pixels: Pixels, access: Access, notes: list[str]
    ) -> tuple[Pixels, DType, Scaling | None, Padding | None, Access]:
        """Return what the reader gives: stored values with a scaling and padding, or real ones, or parts of complex."""
        dims, dtype = self.stored.dims, self.stored.dtype.newbyteorder("=")
        if not is_complex(dtype) and (dtype.kind not in "buif" or dtype.itemsize > 8):
            what = f"its pixels are {dtype}, which is not supported"
            raise InputError(f"{source}: {what}; save them as float64")
        slopes, intercepts = (np.array(each, ndmin=len(dims)) for each in (self.slopes, self.intercepts))
        scaling = same_for_all(slopes, intercepts)
        identical = scaling == Scaling(1.0, 0.0)
        if is_complex(dtype):  # the slope belongs to the complex value, not to a part of it
            if not identical:
                dtype = np.dtype(np.complex128)
                pixels = ScaledPixels(pixels, dtype, slopes, intercepts)
            dtype, access = real_of(dtype), replace(access, read_bytes=access.read_bytes + PART_BYTES)
            return PartPixels(pixels, dtype), dtype, None, None, access
        if scaling is not None and len(self.no_data) < 2:
            padding = self.no_data[0] if self.no_data else None
            if padding is not None:
                notes.append(no_data_note(padding, "fill value or valid range"))
            return pixels, dtype, None if identical else scaling, padding, access
        if scaling is None:
            access = replace(access, why=f"{access.why}, scaled {self.frame} by {self.frame}")
            notes.append(f"each {self.frame} has its own slope: real values are given, not stored ones")
        if self.no_data:
            ranges = " and of ".join(map(described, self.no_data))
            notes.append(f"stored values of {ranges} are no data: real values are given, with NaN there")
        dtype = real_dtype(dtype, slopes, intercepts)
        pixels = ScaledPixels(pixels, dtype, slopes, intercepts, tuple(self.no_data))
        return pixels, dtype, None, None, replace(access, read_bytes=access.read_bytes + SLAB_BYTES)

    def _axes(self, notes: list[str]) -> tuple[Axis, ...]:
        """Return the axes in the order t c z y x.

        An axis that has no step gets spacing 1; an impossible spacing becomes 1 with a note.
        """
        axes, sizes = [], dict(zip(self.stored.dims, self.stored.shape, strict=True))
        for name in sorted(sizes, key=ORDER.index):
            spacing, unit = self.steps.get(name, (1.0, None))
            if not 0 < abs(spacing) < math.inf:
                what = f"the header gives no spacing along {name} ({spacing:g}); 1 is assumed"
                notes.append(SpacingNote(what, name))
                spacing, unit = 1.0, None
            start = self.starts.get(name, 0.0) if self.affine is None or name == "t" else 0.0
            axes.append(Axis(name, sizes[name], abs(float(spacing)), known_unit(unit), start))
        return tuple(axes)

    def _world(self, axes: Sequence[Axis], notes: list[str]) -> Affine | None:
        """Return the matrix from coordinates to RAS+ mm; None if the header has none that is finite."""
        if self.affine is None:
            return None
        with np.errstate(over="ignore", invalid="ignore"):  # headers may hold random bytes
            by_name = {axis.name: axis for axis in axes}
            space = [by_name.get(name, Axis(name, 1)) for name in "xyz"]
            steps = [axis.spacing * MILLIMETERS.get(axis.unit or "", 1.0) for axis in space]
            world = world_from_index_affine(completed(self.affine, steps), axes)
            if not np.isfinite(world).all():
                notes.append("the affine of the header is not finite, and is left out")
            elif is_singular(world):
                notes.append(
                    "the affine of the header is singular: two axes have one direction, or one has none; it is left out"
                )
            else:
                for axis, column in zip(space, self.affine[:3, :3].T, strict=True):
                    if axis.size > 1 and not column.any():
                        notes.append(
                            f"the header gives no direction along {axis.name}; it is the normal of the others"
                        )
                return world
        return None


def completed(affine: Array, steps: Sequence[float] = (1.0, 1.0, 1.0)) -> Array:
    """Return ``affine`` with the normal of two columns in place of one of zeros, as that of a single slice may be.

    Parameters
    ----------
    affine : ndarray of shape (4, 4)
    steps : (x, y, z)
        The length of a column that is filled in.
    """
    found = np.array(affine, np.float64)
    lengths = np.linalg.norm(found[:3, :3], axis=0)
    absent = np.flatnonzero(lengths == 0)
    if len(absent) == 1 and np.isfinite(found).all():
        column = int(absent[0])
        first, second = (found[:3, (column + i) % 3] / lengths[(column + i) % 3] for i in (1, 2))
        normal = np.cross(first, second)
        length = float(np.linalg.norm(normal))
        found[:3, column] = normal / length * steps[column] if length > 1e-6 else 0.0
    return found


def volumes(source: str, sizes: Sequence[int], dtype: DType, slowest: str = "t") -> Stored:
    """Return how volumes of ``sizes``, fastest axis first, lie in a file; a single one has no axis ``slowest``.

    Raises
    ------
    InputError
        See :func:`checked_shape`.
    """
    sizes = checked_shape(source, sizes)
    shape = tuple(reversed(sizes if len(sizes) > 3 and sizes[3] > 1 else sizes[:3]))
    return Stored((slowest, "z", "y", "x")[-len(shape) :], shape, dtype)


def in_space(zooms: Iterable[float], unit: str | None = "millimeter") -> dict[str, Step]:
    """Return the steps along x, y and z, as far as there are ``zooms``."""
    return {name: (float(zoom), unit) for name, zoom in zip("xyz", zooms, strict=False)}


def json_safe(value: Any) -> Json:
    """Return a header field as JSON has it: text up to its first null byte, None for a number that is not finite."""
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


@contextmanager
def reading_header(
    source: str, path: str, errors: Sequence[type[Exception]], remedy: str, notes: list[str]
) -> Iterator[None]:
    """Read a header with nibabel: name the file in each error, and append each warning to ``notes``.

    Parameters
    ----------
    source, path : str
        The file that was asked for, and the one that has the header.
    errors : sequence of exceptions
        Classes of nibabel's own for a header that makes no sense; builtin ones are known.
    remedy : str
        See :func:`~bigimg.errors.reading`.
    notes : list of str
    """
    who = path if path == source else f"{source}: its {os.path.basename(path)}"
    builtin = (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, OverflowError)
    with warnings.catch_warnings(record=True) as caught, reading(who, (*errors, *builtin), remedy):
        warnings.simplefilter("always")
        yield
    notes += dict.fromkeys(one_line(warning.message) for warning in caught)
