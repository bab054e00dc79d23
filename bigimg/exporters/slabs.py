"""In what portions an image is read so that it can be written: arithmetic on shapes, nothing else.

Two ways to lay pixels into a file. *Blocks*: plain numbers may be written anywhere, so the source is walked
in whole chunks of its own, each decoded once, whatever the order of the file. *Slabs*: an encoder wants the
pixels in the order of the file; a slab is a run of them, as many as make whole chunks of the source where
that fits. Where it does not, the pixels go block by block to a scratch file first, and slabs come from there.
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
"""Of a portion: enough that seeks and calls do not count, and Ctrl-C is heard between two of them."""


@dataclass(frozen=True, slots=True)
class Portions:
    """A tiling of an image and the order in which its pieces are taken."""

    step: Shape
    """Pixels of a piece along each axis of the spec."""
    order: tuple[str, ...]
    """Axis names, slowest first."""
    reread: float = 1.0
    """How often a chunk of the source is decoded, on average."""

    def regions(self, spec: ImageSpec) -> Iterator[Region]:
        """Yield the pieces in order."""
        return walk(spec.shape, self.step, spec.dims, self.order)

    def nbytes(self, spec: ImageSpec) -> int:
        """Return the bytes of the largest piece."""
        return math.prod(map(min, self.step, spec.shape)) * spec.dtype.itemsize


def block_portions(spec: ImageSpec, order: tuple[str, ...], access: Access, most_bytes: int) -> Portions:
    """Return portions of whole source chunks, longest along the fast axes of the file.

    Never less than one chunk, so the outcome may be larger than ``most_bytes``.

    Parameters
    ----------
    order : tuple of str
        Axis names of the file, slowest first.
    most_bytes : int
        Of a portion, where a chunk is not larger itself.

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
    """Return portions that are runs of the file, or None where a scratch file is the better way.

    Parameters
    ----------
    order : tuple of str
        Axis names of the file, slowest first.
    rows : int
        Rows of y that the encoder takes at once: a piece along y is a multiple of it.
    most_bytes : int
        Of a portion.
    """
    if access.kind == "sequential" and _long(spec, access.order) != _long(spec, order):
        return None
    found: Portions | None = None
    for pivot in range(len(order)):
        made = _slab(spec, order, access, pivot, rows, most_bytes)
        if made is not None and (found is None or made.reread < found.reread * (1 - 1e-9)):
            found = made
    if found is None or found.reread > MOST_REREAD:
        return None
    return found


def least_slab(spec: ImageSpec, order: tuple[str, ...], rows: int) -> int:
    """Return the bytes of the smallest slab: one row of what the encoder takes at once."""
    inner = order[order.index("y") :]
    step = [spec.shape[spec.axis(name)] if name in inner else 1 for name in spec.dims]
    step[spec.axis("y")] = min(rows, spec.shape[spec.axis("y")])
    return math.prod(step) * spec.dtype.itemsize


def _slab(
    spec: ImageSpec, order: tuple[str, ...], access: Access, pivot: int, rows: int, most_bytes: int
) -> Portions | None:
    """Return the slab cut along ``order[pivot]``: all of the faster axes, one of each slower one."""
    if pivot > order.index("y"):  # an encoder takes rows
        return None
    step = [1] * len(order)
    for name in order[pivot + 1 :]:
        step[spec.axis(name)] = spec.shape[spec.axis(name)]
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
    if access.kind != "random":  # decoded once, whatever is asked for: a forward pass, or all at once
        return Portions(tuple(step), order)
    counts = zip(spec.shape, spec.chunks, step, strict=True)
    return Portions(tuple(step), order, math.prod(_times(*count) for count in counts))


def _times(size: int, chunk: int, step: int) -> float:
    """Return how often a source chunk is met along an axis of ``size`` walked by ``step``.

    >>> _times(100, 10, 20), _times(100, 64, 1)
    (1.0, 50.0)
    """
    if step % chunk == 0 or step >= size:
        return 1.0
    met = sum(-(-min(s + step, size) // chunk) - s // chunk for s in range(0, size, step))
    return met / grid((size,), (chunk,))[0]


def _long(spec: ImageSpec, order: tuple[str, ...]) -> list[str]:
    """Return ``order`` without the axes of one pixel, which no walk moves along."""
    return [name for name in order if spec.shape[spec.axis(name)] > 1]
