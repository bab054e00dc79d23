"""Pixels from a reader into a file, uncompressed or through an encoder or gzip; the next portion is read ahead."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np

from bigimg.conversion.progress import Meter
from bigimg.conversion.scratch import write_region
from bigimg.exporters.layout import Layout, Slabs
from bigimg.exporters.plan import SCRATCH, ExportPlan, scratch_spec
from bigimg.exporters.slabs import Portions
from bigimg.reader import Reader
from bigimg.readers.raw.plain import RawFile, RawReader
from bigimg.types import Array, DType, Region

GZIP_PIECE = 1 << 20
"""Bytes that igzip gets at once: portions of any size then give the same file."""


def write_plain(plan: ExportPlan, reader: Reader, file: IO[bytes], meter: Meter) -> None:
    """Write head and uncompressed pixels, block by block, each at its position."""
    file.write(plan.layout.head)
    file.flush()  # the pixels are written without its buffer
    _fill(reader, plan.portions[0], plan.layout, file.fileno(), len(plan.layout.head), meter)


def _fill(
    reader: Reader, portions: Portions, layout: Layout, descriptor: int, start: int, meter: Meter
) -> None:
    axes = [reader.spec.axis(name) for name in layout.order]
    shape = tuple(reader.spec.shape[a] for a in axes)
    for region, data in ahead(reader, portions):
        data = as_stored(data.transpose(axes), layout.dtype)
        write_region(descriptor, data, tuple(region[a] for a in axes), shape, start)
        meter.advance(data.nbytes)


def encode(plan: ExportPlan, readers: Sequence[Reader], file: IO[bytes], meter: Meter, scratch: Path) -> None:
    """Give the pixels to the encoder in the order of the file, through a scratch file if the plan has one."""
    levels = [Slabs(reader.spec, _slabs(plan, i, reader, meter, scratch)) for i, reader in enumerate(readers)]
    try:
        if plan.layout.encode is not None:
            plan.layout.encode(levels, file)
        else:
            _gzip(plan.layout.head, levels[0].arrays, file)
    finally:
        for level in levels:
            level.arrays.close()
        scratch.unlink(missing_ok=True)


def _slabs(plan: ExportPlan, number: int, reader: Reader, meter: Meter, scratch: Path) -> Generator[Array]:
    """Yield level ``number``, slab after slab."""
    source, portions = reader, plan.portions[number]
    if plan.slabs:
        meter.stage = "scratch"
        source, portions = _copied(reader, portions, plan.layout, meter, scratch), plan.slabs[number]
        meter.stage = "export"
    axes = [reader.spec.axis(name) for name in plan.layout.order]
    try:
        for _, data in ahead(source, portions):
            meter.advance(data.nbytes)  # not after the yield: not every encoder asks again after the last
            yield np.ascontiguousarray(as_stored(data.transpose(axes), plan.layout.dtype))
    finally:
        if source is not reader:
            source.close()


def _copied(reader: Reader, portions: Portions, layout: Layout, meter: Meter, scratch: Path) -> Reader:
    """Copy a level to the scratch file in the order of the file, and return a reader of the copy."""
    order, spec = layout.order, scratch_spec(reader.spec, layout)
    with open(scratch, "wb", buffering=0) as file:
        _fill(reader, portions, Layout(order, spec.dtype), file.fileno(), 0, meter)
    shape = tuple(spec.sizes[name] for name in order)
    pixels = RawFile(scratch, offset=0, shape=shape, dtype=spec.dtype)
    return RawReader(spec, SCRATCH, reader.source, pixels, order)


def ahead(reader: Reader, portions: Portions) -> Iterator[tuple[Region, Array]]:
    """Yield each region of ``portions`` with its pixels, while the next region is read."""
    regions = portions.regions(reader.spec)
    with ThreadPoolExecutor(1, "bigimg-read") as pool:
        here = next(regions)
        coming = pool.submit(reader.read, here)
        for after in regions:
            data = coming.result()
            coming = pool.submit(reader.read, after)
            yield here, data
            del data
            here = after
        yield here, coming.result()


def as_stored(data: Array, dtype: DType) -> Array:
    """Return ``data`` with the type of the file, booleans as 0 and 1; a copy is made only if it is needed."""
    if data.dtype.kind == "b" and dtype.kind != "b":
        return data.view(np.uint8)
    return data.astype(dtype, copy=False)


def _gzip(head: bytes, slabs: Iterable[Array], file: IO[bytes]) -> None:
    """Compress head and pixels; the stream holds neither a time nor a name."""
    from isal import igzip

    with igzip.IGzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
        piece = bytearray(head)
        for slab in slabs:
            view: Any = memoryview(slab.reshape(-1).view(np.uint8))
            while view:
                room = GZIP_PIECE - len(piece)
                piece += view[:room]
                view = view[room:]
                if len(piece) == GZIP_PIECE:
                    stream.write(piece)
                    piece.clear()
        stream.write(piece)
