"""An uncompressed copy of a source that cannot be read block by block inside the budget.

The copy lies beside the target, in the axis order of the source, and is removed when the pass ends. It is written in
order and read at positions through the file system, so it does not count as resident memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.blocks import strip_step, walk
from bigimg.planning.plan import SCRATCH_STRIP_BYTES
from bigimg.reader import Access, Reader
from bigimg.readers.raw.plain import READ_BYTES, RawFile, RawReader
from bigimg.system.files import write_at
from bigimg.types import Array, Region, Shape


def copy_to_scratch(reader: Reader, path: Path, advance: Callable[[int], None]) -> Reader:
    """Copy every pixel of ``reader`` to ``path`` and return a reader of the copy.

    Parameters
    ----------
    advance : callable
        Called with the bytes of each portion after it is written.
    """
    spec = reader.spec
    order = reader.access.order or spec.dims
    axes = tuple(spec.axis(name) for name in order)
    shape = tuple(spec.shape[a] for a in axes)
    with open(path, "xb", buffering=0) as file:
        for region in _strips(spec, order, reader.access):
            data = np.transpose(reader.read(region), axes)
            write_region(file.fileno(), data, tuple(region[a] for a in axes), shape)
            advance(data.nbytes)
    raw = RawFile(path, offset=0, shape=shape, dtype=spec.dtype)
    return RawReader(spec, Access("random", "scratch file", read_bytes=READ_BYTES), reader.source, raw, order)


def _strips(spec: ImageSpec, order: tuple[str, ...], access: Access) -> Iterator[Region]:
    """Yield regions of whole chunks of the source: at most ``SCRATCH_STRIP_BYTES``, or one chunk."""
    if access.kind == "sequential":
        return walk(spec.shape, strip_step(spec, order, SCRATCH_STRIP_BYTES), spec.dims, order)
    step = list(spec.chunks)
    room = SCRATCH_STRIP_BYTES // spec.dtype.itemsize
    for name in reversed(order):
        axis = spec.axis(name)
        fit = room // math.prod(n for i, n in enumerate(step) if i != axis)
        step[axis] = max(step[axis], min(fit // step[axis] * step[axis], spec.shape[axis]))
    return walk(spec.shape, tuple(step), spec.dims, order)


def write_region(fd: int, data: Array, region: Region, shape: Shape, start: int = 0) -> None:
    """Write ``data`` at ``region`` of C-order pixels of ``shape`` that begin at byte ``start``, one run at a time."""
    strides = [math.prod(shape[i + 1 :]) * data.itemsize for i in range(len(shape))]
    # Trailing axes that the region covers make one contiguous run, together with the next axis before them.
    inner = len(shape) - 1
    while inner and shape_of(region)[inner] == shape[inner]:
        inner -= 1
    for index in np.ndindex(data.shape[:inner]):
        run = np.ascontiguousarray(data[index]).reshape(-1).view(np.uint8).data
        offset = start + sum((s.start + i) * n for s, i, n in zip(region, index, strides, strict=False))
        offset += sum(s.start * n for s, n in zip(region[inner:], strides[inner:], strict=True))
        while run:
            written = write_at(fd, run, offset)
            run, offset = run[written:], offset + written
