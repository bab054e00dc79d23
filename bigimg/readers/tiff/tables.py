"""The tables of segments of a TIFF series: where each strip and tile of each page lies, as tifffile read it.

tifffile's pages hold offsets as tuples of Python numbers; they are copied once into two integer arrays. For pages that
follow one another without gaps the offset of the first is enough.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from dataclasses import replace
from typing import Any

import numpy as np

from bigimg.errors import InputError, damage, reading
from bigimg.readers.tiff.axes import Stack
from bigimg.readers.tiff.chain import check_chain, remedy
from bigimg.readers.tiff.colors import PALETTE, decoder_of
from bigimg.readers.tiff.segments import Scheme, Segments
from bigimg.types import Array, DType, Part

GDAL_TAGS = (33550, 33922, 34264, 34735, 42112, 42113)
"""Tags of GDAL, whose option SPARSE_OK leaves out strips and tiles of nodata (offset and length 0), even whole pages.

Other writers leave out tiles where a slide was not scanned. If strips or whole pages are missing there, it is damage.
"""


MOST_PAGES = 1_000_000
"""That a description may promise and the file lack: each takes about 100 bytes of tables."""


def read_tables(
    path: str,
    series: Any,
    colors: Array | None,
    stack: Stack,
    part: Part | None = None,
    *,
    partial: bool = False,
) -> Segments:
    """Return the segments of all pages of ``series``, checked.

    Parameters
    ----------
    path : str
    series : tifffile.TiffPageSeries
        Of an open file.
    colors : ndarray of shape (3, n), optional
        The colour map, when samples are indices into it.
    stack : Stack
        Of the series; a page of it may be several of the file.
    part : {"real", "imaginary", "magnitude", "phase"}, optional
        Which part of complex samples.
    partial : bool
        Take pages and segments that are missing for lost ones.

    Raises
    ------
    InputError
        A page or segment is missing, or lies where it cannot be.
    """
    page = series.keyframe
    stored: DType = np.dtype(page.dtype.newbyteorder(page.parent.byteorder))
    raw = (
        page.compression == 1 and page.predictor == 1 and page.fillorder == 1 and not page.is_subsampled
        and page.sampleformat != 5 and page.bitspersample == stored.itemsize * 8
    )  # fmt: skip
    chunk = (page.tiledepth, page.tilelength, page.tilewidth)
    if not page.is_tiled:
        chunk = (1, page.rowsperstrip, page.imagewidth)
    if min(chunk) < 1:
        raise damage(path, f"tiles or strips of {chunk} pixels cannot be")
    whole_samples = (
        page.fillorder == 1 and not page.is_subsampled and page.bitspersample == stored.itemsize * 8
    )
    predictor = (
        page.predictor if whole_samples and stored.kind in "uif" and page.predictor in (1, 2, 3) else None
    )
    scheme = Scheme(
        shape=page.shaped, chunk=chunk, dtype=stored, compression=int(page.compression),
        kind="tile" if page.is_tiled else "strip", raw=raw, decode=decoder_of(page), jpegheader=page.jpegheader,
        nodata=page.nodata, colors=colors, part=part, predictor=predictor,
    )  # fmt: skip
    for code in (324, 325) if 324 in page.tags else (273, 279):
        tag = page.tags.get(code)
        if tag is not None and tag.count != scheme.count and not page.is_lsm:
            there = f"has {tag.count} values, and the page has {scheme.count} {scheme.kind}s"
            raise damage(path, f"page {page.index}, tag {tag.name} {there}")
    if not raw:
        errors, what = (ValueError, NotImplementedError), "its pixels cannot be decoded"
        with reading(path, errors, "convert it with another program first", what=what):
            scheme.decode(None, 0)  # raises now what would fail for every segment
    if raw and not getattr(series, "is_multifile", False) and series.dataoffset is not None:
        if (
            page.axes == "YX" and stack.page_axes == "YXS" and colors is None
        ):  # each page is a row of channels
            rows, columns, channels = stack.page_shape
            scheme = replace(scheme, shape=(1, 1, rows, columns, channels))
        return _contiguous(path, series, scheme, partial=partial)
    return _scattered(path, series, scheme, partial=partial)


def is_uncounted(page: Any, count: int) -> bool:
    """Return whether ``page`` says where its ``count`` segments begin and not how long they are."""
    return count > 1 and not {279, 325} & {tag.code for tag in page.tags}


def _lengths(page: Any, scheme: Scheme) -> list[int]:
    """Return the length of each segment: that of its pixels, or up to what comes next where it is compressed."""
    starts = page.dataoffsets[: scheme.count]
    if scheme.raw:
        left = scheme.shape[2] % scheme.chunk[1] or scheme.chunk[1]
        last = scheme.segment_bytes if scheme.kind == "tile" else left * scheme.row_bytes
        rows = scheme.grid[1]
        return [
            last if i // scheme.grid[2] % rows == rows - 1 else scheme.segment_bytes
            for i in range(len(starts))
        ]
    ends = sorted({*starts, int(page.parent.filehandle.size)})
    return [ends[min(bisect_right(ends, start), len(ends) - 1)] - start for start in starts]


def color_map(page: Any) -> Array | None:
    """Return the colour map of a palette page in 8 bits where these are enough; None where there is none.

    Its shape is (3, n), or (1, n) where it has only greys.
    """
    usable = page.samplesperpixel == 1 and page.dtype.char in "?BH"
    if page.photometric != PALETTE or page.colormap is None or not usable:
        return None
    colors: Array = np.asarray(page.colormap)
    if (colors == colors[:1]).all():
        colors = colors[:1]
    if colors.max(initial=0) <= 255:  # some writers never scaled it to 16 bits
        return colors.astype(np.uint8)
    if not (colors & 255).any() or not (colors % 257).any():
        return (colors >> 8).astype(np.uint8)
    return colors.astype(np.uint16)


def _contiguous(path: str, series: Any, scheme: Scheme, *, partial: bool) -> Segments:
    """Return the segments of pages that follow one another without gaps; the file may describe only the first."""
    whole = replace(scheme, chunk=(1, scheme.shape[2], scheme.shape[3]), kind="strip")
    pages = math.prod(series.shape) // math.prod(scheme.shape)
    end, size = (
        series.dataoffset + pages * math.prod(scheme.shape) * scheme.dtype.itemsize,
        os.path.getsize(path),
    )
    if end > size and pages * scheme.shape[0] * scheme.shape[1] > MOST_PAGES:
        raise damage(path, f"its description promises pixels up to byte {end}, and the file has {size}")
    counts = np.full((pages, scheme.shape[0] * scheme.shape[1]), whole.segment_bytes, np.uint64)
    before = np.arange(counts.size, dtype=np.uint64).reshape(counts.shape) * np.uint64(whole.segment_bytes)
    lost = np.zeros(counts.shape, bool) if partial else None
    return Segments(whole, [path], [0] * pages, before + np.uint64(series.dataoffset), counts, [None], lost)


def _scattered(path: str, series: Any, scheme: Scheme, *, partial: bool) -> Segments:
    """Return the segments of pages that have tables of offsets."""
    each = scheme.count
    files: dict[str, int] = {}
    file_of: list[int] = []
    offsets: list[Array] = []
    counts: list[Array] = []
    tables: list[bytes | None] = []
    promised = math.prod(series.shape) // math.prod(series.keyframe.shape)
    uncounted = is_uncounted(series.keyframe, each)
    if len(series) != promised:
        raise damage(path, f"its metadata promise {promised} pages, and {len(series)} are there")
    for number, page in enumerate(series.pages):
        if page is None and partial:
            file_of.append(files.setdefault(path, len(files)))
            offsets.append(np.zeros(each, np.uint64))
            counts.append(np.zeros(each, np.uint64))
            tables.append(None)
            continue
        if page is None:
            what = f"its metadata promise {promised} pages, and page {number} is in no file"
            raise InputError(f"{path}: {what}; {remedy(series.parent)}")
        lengths_of = _lengths(page, scheme) if uncounted else page.databytecounts
        if (lists := min(len(page.dataoffsets), len(lengths_of))) < each and not partial:
            raise damage(path, f"page {number} lists {lists} of {each} {scheme.kind}s")
        name = path if page.parent is series.parent else page.parent.filehandle.path
        if name not in files and name != path and not partial:
            check_chain(name)
        file_of.append(files.setdefault(name, len(files)))
        offsets.append(np.zeros(each, np.uint64))
        counts.append(np.zeros(each, np.uint64))
        offsets[-1][:lists], counts[-1][:lists] = page.dataoffsets[:lists], lengths_of[:lists]
        tables.append(page.jpegtables)
    shared = tables[:1] if tables.count(tables[0]) == len(tables) else tables
    starts, lengths = np.stack(offsets), np.stack(counts)
    absent = (starts == 0) & (lengths == 0)
    if scheme.kind == "tile":  # Aperio writes empty tiles at the offset of the next one
        absent |= lengths == 0
        starts[absent] = 0
    unwritten = absent.all(axis=1) if scheme.kind == "tile" else absent.any(axis=1)
    lost = None
    if not any(code in series.keyframe.tags for code in GDAL_TAGS):
        if partial:
            lost = np.where(unwritten[:, None], absent, False)
            unwritten[:] = False
        for number in np.flatnonzero(unwritten)[:1].tolist():
            where = f"page {number}, {scheme.kind} {int(absent[number].argmax())}"
            raise damage(path, f"{where} was never written: its offset and length are 0")
    elif partial:
        lost = np.array([page is None for page in series.pages])[:, None] & absent
    return Segments(scheme, list(files), file_of, starts, lengths, shared, lost)
