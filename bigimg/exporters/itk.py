"""What ITK's two formats of text and plain pixels share: LPS in millimetres, every number with all its digits.

An image that does not say where it lies has its coordinates taken as RAS+, as ``img.bigimg.affine`` gives them and
as NIfTI files get them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Asked, Layout, refuse_options
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

type Header = Callable[[ImageSpec, str, Path | None], bytes]
"""From the image, the format's name of its type, and the file of the pixels where they have one of their own."""


def behind_text(
    title: str, kinds: Mapping[str, str], header: Header, spec: ImageSpec, target: Path, asked: Asked, *,
    detached: str, notes: Iterable[str],
) -> Layout:  # fmt: skip
    """Return how plain pixels lie behind a header of text, or in a ``.raw`` where ``target`` ends in ``detached``.

    Raises
    ------
    UsageError
        The format has no such pixels, ``kinds`` being those it has.
    """
    refuse_options(asked, title)
    kind = kinds.get(f"{spec.dtype.kind}{spec.dtype.itemsize}")
    if kind is None:
        raise UsageError(
            f"{target}: {title} has no {spec.dtype}: write .npy or .tif, or convert to float32 first"
        )
    order = tuple(name for name in ("t", "z", "y", "x", "c") if name in spec.dims)
    pixels = target.with_suffix(".raw") if target.suffix.lower() == detached else None
    head = header(spec, kind, pixels)
    said = list(notes)
    if spec.dtype == bool:
        said.append(f"{title} has no booleans: they are written as 0 and 1 of 8 bits")
    dtype = np.dtype(np.uint8) if spec.dtype == bool else spec.dtype.newbyteorder("<")
    if pixels is not None:
        return Layout(order, dtype, header_file=(target, head), pixels_file=pixels, notes=tuple(said))
    return Layout(order, dtype, head, notes=tuple(said))


def axis_count(spec: ImageSpec) -> int:
    """Return how many of x y z t the file has: a plane of a volume keeps its place only as a volume of one plane."""
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
    spacing, turned, origin = np.ones(count), np.eye(count), np.zeros(count)
    space = min(count, 3)
    spacing[:space] = np.linalg.norm(affine[:3, :space], axis=0)
    for i, name in enumerate("xyz"[:space]):
        if name in axes:  # the spacing as it is, where the length of the column is it but for the last digits
            said = abs(axes[name].spacing) * MILLIMETERS.get(axes[name].unit or "", 1.0)
            spacing[i] = said if abs(said - spacing[i]) <= 1e-14 * said else spacing[i]
    turned[:space, :space] = affine[:space, :space] / spacing[:space]
    origin[:space] = affine[:space, 3]
    if "t" in axes:
        spacing[3], origin[3] = axes["t"].spacing, axes["t"].origin
    return spacing, turned, origin


def digits(numbers: Iterable[float]) -> str:
    """Return numbers with all their digits; no minus before a zero."""
    return " ".join(repr(float(number) + 0.0) for number in numbers)
