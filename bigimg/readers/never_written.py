"""Planes or chunks that a file promises and that were never written: refused, or holes where a user takes the rest.

A microscope that was stopped leaves such files. Their libraries give zeros for these, which nobody measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bigimg.errors import PARTIAL, InputError, damage
from bigimg.geometry.holes import each_box, with_holes
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array, Shape

MOST_CHUNKS = 1 << 27
"""More than a file has: 100 TB in chunks of 1 MB."""
CHUNK_BYTES = 4
"""Memory for each chunk: whether it was written, kept, and three copies while :func:`checked_written` looks."""


def unwritten(source: str, counts: Sequence[int]) -> Array:
    """Return an array of False for so many chunks along each axis.

    Raises
    ------
    InputError
        There are more than a file has.
    """
    if (count := math.prod(counts)) > MOST_CHUNKS:
        raise damage(source, f"its header says {count} chunks, and at most {MOST_CHUNKS} are looked for")
    return np.zeros(tuple(counts), bool)


def checked_written(
    spec: ImageSpec,
    written: Array,
    dims: Sequence[str],
    *,
    source: str,
    allow_partial: bool,
    steps: Shape | None = None,
) -> ImageSpec:
    """Return ``spec``, with the planes, or the chunks, that were never written as holes.

    Parameters
    ----------
    spec : ImageSpec
    written : ndarray of bool
        Which planes or chunks are there, with one axis for each of ``dims``.
    dims : sequence of str
        Axes of the image that count its planes or chunks, in any order.
    source : str
        What is read, for the message.
    allow_partial : bool
    steps : tuple of int, optional
        Pixels of a chunk along each of ``dims``, where ``written`` counts chunks.

    Raises
    ------
    InputError
        Planes or chunks are missing and ``allow_partial`` is not given, or not one plane is there.
    """
    order = [dims.index(name) for name in spec.dims if name in dims]
    lacking = ~np.asarray(written, bool).transpose(order)
    if not lacking.any():
        return spec
    step = {dims[axis]: steps[axis] if steps else 1 for axis in order}
    at = zip(step.items(), np.unravel_index(lacking.argmax(), lacking.shape), strict=True)
    first = ", ".join(f"{name} = {i * n}" for (name, n), i in at)
    where = f" ({first} is the first)" if first else ""
    noun = "planes" if steps is None else "chunks"
    what = f"{lacking.sum()} of {lacking.size} {noun} were never written{where}; what is missing is not known"
    again = (
        "record it again" if steps is None else "write it again"
    )  # chunks may be those of a computed image
    if lacking.all():
        raise InputError(f"{source}: {what}, and nothing is there to open; {again}")
    if not allow_partial:
        empty = "" if steps is None else "if its writer leaves out empty chunks, "
        raise InputError(f"{source}: {what}; {again}, or {empty}{PARTIAL}")
    return with_lacking(spec, lacking, dims, source=source, steps=steps)


def with_lacking(
    spec: ImageSpec, lacking: Array, dims: Sequence[str], *, source: str, steps: Shape | None = None
) -> ImageSpec:
    """Return ``spec`` with the planes, or the chunks, that are ``lacking`` as holes; see :func:`checked_written`."""
    step = dict(zip(dims, steps or (1,) * len(dims), strict=True))
    sizes = iter(lacking.shape)
    cells = lacking.reshape([next(sizes) if name in dims else 1 for name in spec.dims])
    edges = [[*range(0, axis.size, step.get(axis.name, axis.size)), axis.size] for axis in spec.axes]
    return with_holes(spec, each_box(cells, edges), source=source)
