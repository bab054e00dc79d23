"""Shared by MetaImage and NRRD, the two formats of ITK: a text header in LPS millimetres, uncompressed pixels.

Numbers are written with all their digits. If an image has no affine, its coordinates count as RAS+, as in
``img.bigimg.affine`` and in NIfTI files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Layout
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

type Header = Callable[[ImageSpec, str, Path | None], bytes]
"""Makes a header from the image, the format's name of its type, and the file of the pixels if that is another."""


def behind_text(
    title: str, kinds: Mapping[str, str], header: Header, spec: ImageSpec, target: Path, *, detached: str,
    notes: Iterable[str],
) -> Layout:  # fmt: skip
    """Return how pixels lie behind a text header, or in a ``.raw`` file if ``target`` ends in ``detached``.

    Raises
    ------
    UsageError
        The type of the pixels is not in ``kinds``.
    """
    kind = kinds.get(spec.dtype.str[1:])
    if kind is None:
        raise UsageError(f"{target}: {title} has no {spec.dtype}: write .npy or .tif, or use float32")
    order = tuple(name for name in ("t", "z", "y", "x", "c") if name in spec.dims)
    pixels = target.with_suffix(".raw") if target.suffix.lower() == detached else None
    head = header(spec, kind, pixels)
    dtype = spec.dtype.newbyteorder("<")
    if dtype.kind == "b":
        notes = (*notes, f"{title} has no booleans: they are written as 0 and 1 of 8 bits")
        dtype = np.dtype(np.uint8)
    if pixels is not None:
        return Layout(order, dtype, header_file=(target, head), pixels_file=pixels, notes=tuple(notes))
    return Layout(order, dtype, head, notes=tuple(notes))


def axis_count(spec: ImageSpec) -> int:
    """Return how many of x y z t the file has; a plane with an affine becomes a volume of one plane to keep it."""
    if "t" in spec.dims:
        return 4
    return 3 if "z" in spec.dims or spec.world is not None else 2


def geometry(spec: ImageSpec, count: int) -> tuple[Array, Array, Array]:
    """Return spacing, directions (a column an axis) and origin of ``count`` axes, x first, in LPS millimetres."""
    axes = {axis.name: axis for axis in spec.axes}
    affine = index_to_world(spec.axes, spec.world)
    if spec.world is None:
        scale = [MILLIMETERS.get(axes[n].unit or "", 1.0) if n in axes else 1.0 for n in "xyz"]
        affine = np.diag([*scale, 1.0]) @ affine
    affine = RAS_TO_LPS @ affine
    spacing, directions, origin = np.ones(count), np.eye(count), np.zeros(count)
    space = min(count, 3)
    spacing[:space] = np.linalg.norm(affine[:3, :space], axis=0)
    for i, name in enumerate("xyz"[:space]):
        if name in axes:  # the exact spacing, if the length of the column differs in the last digits only
            exact = abs(axes[name].spacing) * MILLIMETERS.get(axes[name].unit or "", 1.0)
            spacing[i] = exact if abs(exact - spacing[i]) <= 1e-14 * exact else spacing[i]
    directions[:space, :space] = affine[:space, :space] / spacing[:space]
    origin[:space] = affine[:space, 3]
    if "t" in axes:
        spacing[3], origin[3] = axes["t"].spacing, axes["t"].origin
    return spacing, directions, origin


def digits(numbers: Iterable[float]) -> str:
    """Return numbers with all their digits; a zero has no minus sign."""
    return " ".join(repr(float(number) + 0.0) for number in numbers)
