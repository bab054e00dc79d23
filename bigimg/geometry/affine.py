"""Affines as 4x4 tuples: from index to coordinate to world.

An index becomes a position in two steps: the coordinate (``origin + index * spacing`` along each axis, in its unit),
and ``world``, a 4x4 matrix from coordinates (x, y, z) to RAS+ millimetres. Only ``world`` is stored with an array. A
crop or a stride changes only the coordinates, so ``world`` stays correct.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bigimg.geometry.axes import MILLIMETERS, Axis
from bigimg.types import Array

type Affine = tuple[tuple[float, float, float, float], ...]
"""Four rows of four numbers, acting on column vectors (x, y, z, 1)."""


def as_affine(matrix: Array | Sequence[Sequence[float]]) -> Affine:
    """Return ``matrix`` of shape (4, 4), or its 16 numbers row by row, as nested tuples of Python floats."""
    rows = np.asarray(matrix, dtype=np.float64)
    rows = rows.reshape(4, 4) if rows.shape == (16,) else rows
    if rows.shape != (4, 4):
        raise ValueError(f"an affine has shape (4, 4), not {rows.shape}")
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows)


def flat_affine(matrix: Affine) -> list[float]:
    """Return the 16 numbers of an affine, row by row."""
    return [number for row in matrix for number in row]


def index_to_coordinate(axes: Sequence[Axis]) -> Array:
    """Return the 4x4 matrix from index (x, y, z) to coordinate; absent axes have spacing 1 and origin 0."""
    matrix = np.eye(4)
    by_name = {axis.name: axis for axis in axes}
    for row, name in enumerate("xyz"):
        if name in by_name:
            matrix[row, row] = by_name[name].spacing
            matrix[row, 3] = by_name[name].origin
    return matrix


def index_to_world(axes: Sequence[Axis], world: Affine | None) -> Array:
    """Return the 4x4 matrix from pixel index (x, y, z) to the world, in nibabel's order."""
    matrix = index_to_coordinate(axes)
    return matrix if world is None else np.asarray(world) @ matrix


def world_from_index_affine(affine: Array, axes: Sequence[Axis]) -> Affine:
    """Return the ``world`` for which :func:`index_to_world` of ``axes`` is ``affine``.

    Parameters
    ----------
    affine : ndarray of shape (4, 4)
        Pixel index (x, y, z) to RAS+ millimetres, as a NIfTI file holds it.
    axes : sequence of Axis
        Axes whose spacing and origin ``affine`` includes.
    """
    return as_affine(np.asarray(affine, dtype=np.float64) @ np.linalg.inv(index_to_coordinate(axes)))


def in_units(world: Affine, units: Mapping[str, tuple[str | None, str | None]]) -> Affine:
    """Return ``world`` for the same numbers of coordinates in other units.

    Parameters
    ----------
    world : tuple of 4 rows
        A turn alone, whose column has length 1 though the unit is no millimetre, stays: it is for any unit.
    units : mapping of str to (str or None, str or None)
        Old and new unit, by the name of the axis.
    """
    matrix = np.array(world, dtype=np.float64)
    for name, (old, new) in units.items():
        if name not in "xyz" or old == new or new not in MILLIMETERS:
            continue
        column = matrix[:3, "xyz".index(name)]
        length = float(np.linalg.norm(column))
        if length and (old not in MILLIMETERS or math.isclose(length, MILLIMETERS[old], rel_tol=1e-3)):
            column *= MILLIMETERS[new] / length
    return as_affine(matrix)


def is_singular(affine: Array | Affine) -> bool:
    """Return whether the columns of an affine span less than the space, to the 7 digits that a header keeps."""
    matrix = np.asarray(affine, np.float64)[:3, :3]
    lengths = np.linalg.norm(matrix, axis=0)
    if not (np.isfinite(matrix).all() and lengths.all() and np.isfinite(lengths).all()):
        return True
    return bool(np.linalg.svd(matrix / lengths, compute_uv=False)[-1] < 1e-6)
