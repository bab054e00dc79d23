"""Where an image lies as ITK's formats say it: LPS in millimetres, every number with all digits of a float64.

An image that does not say where it lies has its coordinates taken as RAS+, as ``img.bigimg.affine`` gives them and
as NIfTI files get them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


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
