"""Orientation of image axes in a body, such as ``("R", "A", "S")``, and anatomical planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigimg.errors import UsageError
from bigimg.types import Array, Convention

ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Letters of the low and the high end of world x, y and z in RAS+ millimetres."""
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The world axis across a plane of this name."""


def checked_convention(value: str) -> Convention:
    """Return ``value`` if it says which side of a body is drawn at the right.

    Raises
    ------
    UsageError
        It says nothing of this.
    """
    known: dict[str, Convention] = {"neurological": "neurological", "radiological": "radiological"}
    if value not in known:
        what = "give neurological (the right of a body is drawn at the right) or radiological (at the left)"
        raise UsageError(f"convention {value!r}: {what}")
    return known[value]


def axis_across(plane: str, dims: Sequence[str], affine: Array | None) -> str:
    """Return the axis that the plane called ``plane`` cuts across: an axis, or that of ``axial`` and the like.

    Parameters
    ----------
    plane : str
    dims : sequence of str
        The axes of the image.
    affine : ndarray of shape (4, 4), optional
        Pixel index (x, y, z) to RAS+ millimetres; without it axial, coronal, sagittal are across z, y, x.

    Raises
    ------
    UsageError
        There is no such axis.

    >>> axis_across("axial", "zyx", None), axis_across("axial", "zyx", np.eye(4)[[0, 2, 1, 3]])
    ('z', 'y')
    """
    axis = plane
    if plane in PLANES:
        nearest = (0, 1, 2) if affine is None else nearest_axes(affine)
        axis = "xyz"[nearest.index(PLANES[plane])]
    if axis in dims:
        return axis
    what = f"{plane} (across {axis})" if plane != axis else repr(plane)
    if {"x", "y", "z"} <= set(dims):
        hint = "; name one, or axial, coronal, sagittal"
    else:
        hint = "; name one" if "t" in dims else ", which is one plane already"
    raise UsageError(f"plane {what}: the image has no {axis}; its axes are {' '.join(dims)}{hint}")


def axis_codes(affine: Array) -> tuple[str, str, str]:
    """Return the letter to which each of x, y and z points as its index grows, like nibabel's ``aff2axcodes``.

    Parameters
    ----------
    affine : ndarray of shape (4, 4)
        Pixel index (x, y, z) to RAS+ millimetres.

    Raises
    ------
    ValueError
        The matrix is singular: an axis has no direction.

    >>> axis_codes(np.diag([-2.0, 2.0, 2.0, 1.0]))
    ('L', 'A', 'S')
    """
    nearest = nearest_axes(affine)
    signs = [affine[nearest[i], i] > 0 for i in range(3)]
    codes = [ENDS[world][int(up)] for world, up in zip(nearest, signs, strict=True)]
    return codes[0], codes[1], codes[2]


def nearest_axes(affine: Array) -> tuple[int, int, int]:
    """Return the nearest world axis (0, 1, 2) of each of x, y and z; each world axis is used once."""
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.sqrt((matrix**2).sum(axis=0))
    if not (np.isfinite(matrix).all() and lengths.all()):
        raise ValueError("the affine has an axis without direction")
    left, _, right = np.linalg.svd(matrix / lengths)
    turned = np.abs(left @ right)  # the nearest rotation, without shear
    found = [0, 0, 0]
    for _ in range(3):
        world, column = np.unravel_index(turned.argmax(), (3, 3))
        found[column] = int(world)
        turned[world, :] = turned[:, column] = -1
    return found[0], found[1], found[2]


def obliquity(affine: Array) -> tuple[float, float, float]:
    """Return the degrees between each axis of the world and the nearest image axis; 0 if they are parallel.

    nibabel's function of this name gives the same in radians.

    Parameters
    ----------
    affine : ndarray of shape (4, 4)
        Pixel index (x, y, z) to RAS+ millimetres.

    >>> obliquity(np.diag([-2.0, 2.0, 3.0, 1.0]))
    (0.0, 0.0, 0.0)
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    cosines = np.abs(matrix / np.sqrt((matrix**2).sum(axis=0))).max(axis=1)
    x, y, z = np.degrees(np.arccos(np.minimum(cosines, 1.0))).tolist()
    return x, y, z
