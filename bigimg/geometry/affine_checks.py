"""Checks of matrices that a user gives: they are places in space, and agree with the spacing."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import Affine, is_singular, world_from_index_affine
from bigimg.geometry.axes import MILLIMETERS, Axis

AGREEING = 1e-3
"""Part by which two statements of one spacing may differ: headers keep few digits."""


def placed(
    axes: Sequence[Axis], affine: Affine, given: Collection[str] = ()
) -> tuple[tuple[Axis, ...], Affine]:
    """Return ``axes`` with the spacings that ``affine`` has, and the ``world`` of these coordinates.

    Parameters
    ----------
    axes : sequence of Axis
        An axis of space without a unit gets millimetres.
    affine : tuple of 4 rows
        Pixel index (x, y, z) to RAS+ millimetres.
    given : collection of str
        Axes whose spacing a user gave, which must agree.

    Raises
    ------
    UsageError
        The affine is singular or not finite, a spacing contradicts it, or a unit is no length.
    """
    matrix = np.asarray(affine)
    if is_singular(matrix):
        raise UsageError(
            "affine: its axes span no space (a column is 0, not finite, or along another); correct it"
        )
    found = []
    for axis in axes:
        if axis.type == "space":
            unit = axis.unit or "millimeter"
            if unit not in MILLIMETERS:
                raise UsageError(
                    f"affine leads to millimetres, and the unit of {axis.name} is {unit}; give a length"
                )
            step = float(np.linalg.norm(matrix[:3, "xyz".index(axis.name)])) / MILLIMETERS[unit]
            if axis.name in given and not math.isclose(abs(axis.spacing), step, rel_tol=AGREEING):
                said = f"affine has a spacing of {step:.6g} {unit} along {axis.name}, and spacing says {axis.spacing:g}"
                raise UsageError(f"{said}; leave spacing out, or correct one of them")
            axis = replace(axis, spacing=axis.spacing if axis.name in given else step, unit=unit)
        found.append(axis)
    return tuple(found), world_from_index_affine(matrix, found)


def check_world(world: Affine, axes: Sequence[Axis]) -> None:
    """Refuse a matrix from coordinates to millimetres that has other lengths than the coordinates.

    A turn alone, whose columns have length 1, is taken for coordinates in any unit. Without a unit all axes must have
    one scale, unless their spacing is 1: then coordinates are indices.

    Raises
    ------
    UsageError
        It has.
    """
    lengths = dict(zip("xyz", np.linalg.norm(np.asarray(world)[:3, :3], axis=0).tolist(), strict=True))
    space = [axis for axis in axes if axis.type == "space"]
    bare = not any(axis.unit in MILLIMETERS for axis in space)
    if bare and all(axis.spacing == 1 for axis in space):
        return
    if all(math.isclose(lengths[axis.name], 1, rel_tol=AGREEING) for axis in space):
        return
    for axis in space:
        want = lengths[space[0].name] if bare else MILLIMETERS.get(axis.unit or "")
        if want is not None and not math.isclose(lengths[axis.name], want, rel_tol=AGREEING):
            unit = axis.unit or "unit"
            said = f"world makes {lengths[axis.name]:.6g} mm of 1 {unit} along {axis.name}, not {want:.6g}"
            meant = (
                "it goes from coordinates, not from pixels, to millimetres: an affine of pixels is affine="
            )
            raise UsageError(f"{said}; {meant}")
