"""Sizes of the blocks of an opened image: whole chunks of its source, or bands of a source that has an order."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bigimg.geometry.region import grid
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Shape


def block_shape(spec: ImageSpec, block_bytes: int, *, itemsize: int) -> Shape:
    """Return the block shape of a source with random access: chunks, multiplied up to ``block_bytes``.

    Parameters
    ----------
    spec : ImageSpec
    block_bytes, itemsize : int
        Bytes of a block, and of one value in it.
    """
    space = [i for i, axis in enumerate(spec.axes) if axis.type == "space"]
    return multiplied(spec.chunks, spec.shape, space, max(1, block_bytes // itemsize))


def multiplied(chunks: Shape, shape: Shape, space: Sequence[int], most: int) -> Shape:
    """Return ``chunks`` multiplied until they have ``most`` pixels.

    The axes ``space`` grow before all others, the shortest side first. A chunk that has more pixels is cut along its
    slow axes; it is then decoded once for each piece.

    >>> multiplied((1, 10, 10), (3, 90, 90), [1, 2], 500), multiplied((1, 10, 10), (3, 90, 90), [1, 2], 50)
    ((1, 20, 20), (1, 5, 10))
    """
    block = list(map(min, chunks, shape))
    for i in range(len(block)):
        if (count := math.prod(block)) > most:
            block[i] = max(1, block[i] * most // count)
    for group in (list(space), [i for i in range(len(block)) if i not in space]):
        while longer := [
            i
            for i in group
            if block[i] < shape[i] and math.prod(block) // block[i] * min(2 * block[i], shape[i]) <= most
        ]:
            side = min(longer, key=block.__getitem__)
            block[side] = min(2 * block[side], shape[side])
        if any(block[i] < shape[i] for i in group):
            break
    return tuple(block)


def band_shape(spec: ImageSpec, order: tuple[str, ...], block_bytes: int, *, itemsize: int) -> Shape:
    """Return the shape of bands of at most ``block_bytes`` of an ordered source, but never less than one row.

    A band is full along the fast axes, has a part of one slow axis, and one pixel of each slower axis: rows of a
    picture, planes of one volume.

    >>> import numpy as np
    >>> from bigimg.geometry.axes import Axis
    >>> axes = (Axis("t", 9), Axis("z", 40), Axis("y", 100), Axis("x", 100))
    >>> spec = ImageSpec(axes, np.dtype("u1"), (1, 1, 100, 100))
    >>> band_shape(spec, ("t", "z", "y", "x"), 205_000, itemsize=1)
    (1, 20, 100, 100)
    """
    most = max(1, block_bytes // itemsize)
    row = max(i for i, name in enumerate(order) if name != "c")  # a row is never cut
    band = [1] * len(spec.axes)
    for name in order[row:]:
        band[spec.axis(name)] = spec.shape[spec.axis(name)]
    for name in reversed(order[:row]):
        axis = spec.axis(name)
        chunk, size = spec.chunks[axis], spec.shape[axis]
        rows = max(1, most // math.prod(band))
        band[axis] = size if rows >= size else (rows // chunk * chunk or rows)
        if band[axis] < size:
            break
    return tuple(band)


def explicit(block: Shape, shape: Shape) -> tuple[Shape, ...]:
    """Return the length of each block along each axis: dask's ``chunks``.

    >>> explicit((4,), (10,))
    ((4, 4, 2),)
    """
    counts = grid(shape, block)
    return tuple(
        (*(n,) * (c - 1), size - n * (c - 1)) if c else (0,)
        for n, c, size in zip(block, counts, shape, strict=True)
    )
