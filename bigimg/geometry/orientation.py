"""Which way the axes of an image point in a body: ``("R", "A", "S")`` and the planes named after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigimg.types import Array

ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Where low and high values of world x, y and z lie in RAS+ millimetres."""
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The world axis that a plane of this name cuts across."""


def no_plane(asked: str, axis: str, dims: Sequence[str]) -> str:
    """Return what to say where an image with the axes ``dims`` has no ``axis``, which ``asked`` would cut across.

    >>> no_plane("axial", "z", "cyx")
    'plane axial (across z): the image has no z; its axes are c y x, which is one plane already'
    """
    what = f"{asked} (across {axis})" if asked != axis else repr(asked)
    if {"x", "y", "z"} <= set(dims):
        hint = "; name one, or axial, coronal, sagittal"
    else:
        hint = "; name one" if "t" in dims else ", which is one plane already"
    return f"plane {what}: the image has no {axis}; its axes are {' '.join(dims)}{hint}"


def axis_codes(affine: Array) -> tuple[str, str, str]:
    """Return the letter that each of x, y and z points to as its index grows, as nibabel's ``aff2axcodes``.

    Parameters
    ----------
    affine : ndarray of shape (4, 4)
        Pixel index (x, y, z) to RAS+ millimetres.

    Raises
    ------
    ValueError
        The matrix is singular: an axis points nowhere.

    >>> axis_codes(np.diag([-2.0, 2.0, 2.0, 1.0]))
    ('L', 'A', 'S')
    """
    nearest = nearest_axes(affine)
    signs = [affine[nearest[i], i] > 0 for i in range(3)]
    codes = [ENDS[world][int(up)] for world, up in zip(nearest, signs, strict=True)]
    return codes[0], codes[1], codes[2]


def nearest_axes(affine: Array) -> tuple[int, int, int]:
    """Return the world axis (0, 1, 2) that each of x, y and z runs along most nearly, each once."""
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.sqrt((matrix**2).sum(axis=0))
    if not (np.isfinite(matrix).all() and lengths.all()):
        raise ValueError("the affine has an axis without direction")
    left, _, right = np.linalg.svd(matrix / lengths)
    turned = np.abs(left @ right)  # the nearest pure rotation: shear does not decide
    found = [0, 0, 0]
    for _ in range(3):
        world, column = np.unravel_index(turned.argmax(), (3, 3))
        found[column] = int(world)
        turned[world, :] = turned[:, column] = -1
    return found[0], found[1], found[2]


def obliquity(affine: Array) -> tuple[float, float, float]:
    """Return the degrees between each axis of the world and the image axis nearest to it; 0 for a straight image.

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
