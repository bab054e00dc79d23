"""Reads of a TIFF behind an address: all segments that a region needs are announced, so that they come together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.readers.tiff.segments import Segments
from bigimg.types import Region


@contextmanager
def announced(segments: Segments, wanted: Iterable[tuple[int, slice, Region]]) -> Iterator[None]:
    """Announce which pixels (page, samples, box) this thread fills within the block."""
    if not segments.remote:
        yield
        return
    segments.files[0].expect([span for each in wanted for span in _ranges(segments, *each)])
    yield
    segments.files[0].expect([])


def _ranges(segments: Segments, page: int, samples: slice, box: Region) -> Iterator[tuple[int, int]]:
    """Yield offset and length of what holds these pixels: segments, or those of their rows that are stored plainly."""
    scheme, along = segments.scheme, segments.scheme.grid
    for plane in range(samples.start, samples.stop) if scheme.shape[0] > 1 else (0,):
        for index, piece in pieces(box, scheme.chunk):
            number = ((plane * along[0] + index[0]) * along[1] + index[1]) * along[2] + index[2]
            start, count = int(segments.offsets[page, number]), int(segments.counts[page, number])
            if scheme.raw and count:
                rows = shift(piece, tuple(i * n for i, n in zip(index, scheme.chunk, strict=True)))[1]
                start, count = start + rows.start * scheme.row_bytes, shape_of((rows,))[0] * scheme.row_bytes
            yield start, count
