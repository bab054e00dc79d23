"""The portions in which an image is read to be written: arithmetic on shapes only.

There are two kinds. *Blocks*: uncompressed numbers can be written at any position, so the source is read in whole
chunks of its own, each decoded once. *Slabs*: an encoder needs the pixels in the order of the file. A slab is a run of
these pixels, made of whole source chunks if memory allows it. If not, the pixels first go to a scratch file block by
block, and slabs are read from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bigimg.geometry.region import grid
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import MOST_REREAD, strip_step, walk
from bigimg.reader import Access
from bigimg.types import Region, Shape

MOST_BYTES = 32 << 20
"""Bytes of a portion: large enough that seeks and calls cost little, small enough that Ctrl-C stops soon."""


@dataclass(frozen=True, slots=True)
class Portions:
    """A tiling of an image, and the order of its pieces."""

    step: Shape
    """Pixels of a piece along each axis of the spec."""
    order: tuple[str, ...]
    """Axis names, slowest first."""
    reread: float = 1.0
    """How often a source chunk is decoded, on average."""

    def regions(self, spec: ImageSpec) -> Iterator[Region]:
        """Yield the pieces in order."""
        return walk(spec.shape, self.step, spec.dims, self.order)

    def nbytes(self, spec: ImageSpec) -> int:
        """Return the bytes of the largest piece."""
        return math.prod(map(min, self.step, spec.shape)) * spec.dtype.itemsize


def block_portions(spec: ImageSpec, order: tuple[str, ...], access: Access, most_bytes: int) -> Portions:
    """Return portions of whole source chunks, longest along the fast axes of the file.

    A portion has at least one chunk, so it may be larger than ``most_bytes``.

    Parameters
    ----------
    order : tuple of str
        Axis names of the file, slowest first.
    most_bytes : int
        Bytes of a portion, unless one chunk is larger.

    >>> from bigimg.geometry.axes import Axis
    >>> import numpy as np
    >>> spec = ImageSpec((Axis("z", 100), Axis("y", 200), Axis("x", 300)), np.dtype("u1"), (64, 64, 64))
    >>> block_portions(spec, ("z", "y", "x"), Access("random", ""), 3_000_000).step
    (64, 128, 300)
    """
    if access.kind == "sequential":
        return Portions(strip_step(spec, access.order, most_bytes), access.order)
    step = list(map(min, spec.chunks, spec.shape))
    if access.kind == "whole":
        step = [1] * len(step)
    for name in reversed(order):
        axis = spec.axis(name)
        room = most_bytes // (spec.dtype.itemsize * math.prod(n for i, n in enumerate(step) if i != axis))
        fit = spec.shape[axis] if room >= spec.shape[axis] else room // step[axis] * step[axis]
        step[axis] = max(step[axis], fit)
        if step[axis] < spec.shape[axis]:
            break
    return Portions(tuple(step), order)


def slab_portions(
    spec: ImageSpec, order: tuple[str, ...], access: Access, rows: int, most_bytes: int
) -> Portions | None:
    """Return portions that are runs of the file; None if a scratch file is better.

    Parameters
    ----------
    order : tuple of str
        Axis names of the file, slowest first.
    rows : int
        Rows of y that the encoder takes at once: a piece along y is a multiple of it.
    most_bytes : int
        Bytes of a portion.
    """
    if access.kind == "sequential" and _long(spec, access.order) != _long(spec, order):
        return None
    # An encoder takes rows, so no axis inside a row is cut. The slowest of equally good axes is.
    pivots = range(order.index("y") + 1)
    slabs = (_slab(spec, order, access, pivot, rows, most_bytes) for pivot in pivots)
    best = min(filter(None, slabs), key=lambda slab: round(slab.reread, 9), default=None)
    return best if best is not None and best.reread <= MOST_REREAD else None


def least_slab(spec: ImageSpec, order: tuple[str, ...], rows: int) -> int:
    """Return the bytes of the smallest slab: the rows that the encoder takes at once."""
    inner = order[order.index("y") + 1 :]
    values = min(rows, spec.sizes["y"]) * math.prod(spec.sizes[name] for name in inner)
    return values * spec.dtype.itemsize


def _slab(
    spec: ImageSpec, order: tuple[str, ...], access: Access, pivot: int, rows: int, most_bytes: int
) -> Portions | None:
    """Return the slab that is cut along ``order[pivot]``: complete faster axes, one index of each slower axis."""
    step = [size if name in order[pivot + 1 :] else 1 for name, size in spec.sizes.items()]
    axis = spec.axis(order[pivot])
    size, chunk = spec.shape[axis], min(spec.chunks[axis], spec.shape[axis])
    unit = rows if order[pivot] == "y" else 1
    fit = most_bytes // (math.prod(step) * spec.dtype.itemsize)
    whole = math.lcm(chunk, unit)
    if fit >= size:
        step[axis] = size
    elif fit >= whole:
        step[axis] = fit // whole * whole
    elif fit >= min(unit, size):
        step[axis] = fit // unit * unit
    else:
        return None
    if access.kind != "random":  # decoded once, in one forward pass or all at once
        return Portions(tuple(step), order)
    counts = zip(spec.shape, spec.chunks, step, strict=True)
    return Portions(tuple(step), order, math.prod(_times(*count) for count in counts))


def _times(size: int, chunk: int, step: int) -> float:
    """Return how often a source chunk is read, on average, along an axis of ``size`` in steps of ``step``.

    >>> _times(100, 10, 20), _times(100, 64, 1)
    (1.0, 50.0)
    """
    if step % chunk == 0 or step >= size:
        return 1.0
    met = sum(-(-min(s + step, size) // chunk) - s // chunk for s in range(0, size, step))
    return met / grid((size,), (chunk,))[0]


def _long(spec: ImageSpec, order: tuple[str, ...]) -> list[str]:
    """Return ``order`` without the axes of one pixel: their order does not matter."""
    return [name for name in order if spec.sizes[name] > 1]
