"""Planes that a file promises and that were never written: refused, or holes where a user takes what is there.

A microscope that was stopped leaves such files. Their libraries give zeros for these planes, which nobody measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigimg.errors import PARTIAL, InputError
from bigimg.geometry.holes import boxes_of, with_holes
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array


def checked_written(
    spec: ImageSpec, written: Array, dims: Sequence[str], *, source: str, allow_partial: bool
) -> ImageSpec:
    """Return ``spec``, with the planes that were never written as holes.

    Parameters
    ----------
    spec : ImageSpec
    written : ndarray of bool
        Which planes are there, with one axis for each of ``dims``.
    dims : sequence of str
        Axes of the image that count its planes, in the order of the image, as in ``"tcz"``.
    source : str
        What is read, for the message.
    allow_partial : bool

    Raises
    ------
    InputError
        Planes are missing and ``allow_partial`` is not given, or not one plane is there.
    """
    lacking = ~np.asarray(written, bool)
    if not lacking.any():
        return spec
    first = ", ".join(f"{name} = {i}" for name, i in zip(dims, np.argwhere(lacking)[0], strict=True))
    where = f" ({first} is the first)" if first else ""
    what = f"{lacking.sum()} of {lacking.size} planes were never written{where}; what is missing is not known"
    if lacking.all():
        raise InputError(f"{source}: {what}, and nothing is there to open; record it again")
    if not allow_partial:
        raise InputError(f"{source}: {what}; record it again, or {PARTIAL}")
    grid = lacking.reshape([spec.sizes[name] if name in dims else 1 for name in spec.dims])
    edges = [range(axis.size + 1) if axis.name in dims else (0, axis.size) for axis in spec.axes]
    return with_holes(spec, boxes_of(grid, edges))
