"""The tables of segments of a TIFF series: where each strip and tile of each page lies, as tifffile read it.

What only this module knows is tifffile's objects. Its pages hold offsets as tuples of Python numbers; they are
copied once into two integer arrays, and pages that follow one another without gaps need no more than the first.
"""

from __future__ import annotations

import functools
import math
import os
import struct
from dataclasses import replace
from typing import Any

import numpy as np

from bigimg.errors import InputError
from bigimg.readers.tiff_meta import PALETTE
from bigimg.readers.tiff_segments import Scheme, Segments, one_line
from bigimg.system.files import read_at
from bigimg.types import Array, DType

MOST_TAGS = 4096
"""tifffile takes pages of more tags as broken."""


def check_chain(path: str) -> None:
    """Refuse a file whose pages lead round in a circle; tifffile would follow one of over 100 pages for ever.

    Raises
    ------
    InputError
        A page follows a second time.
    """
    if path.lower().endswith(".ndpi"):  # offsets of 64 bits in a classic TIFF: a dialect for tifffile alone
        return
    with open(path, "rb", buffering=0) as file:
        read = functools.partial(read_at, file.fileno())
        header = read(16, 0)
        order = {b"II": "<", b"MM": ">"}.get(header[:2])
        if order is None or len(header) < 16:
            return
        big = header[2:4] in (b"+\0", b"\0+")
        count, word = (
            struct.Struct(order + ("Q" if big else "H")),
            struct.Struct(order + ("Q" if big else "I")),
        )
        offset = word.unpack_from(header, 8 if big else 4)[0]
        seen: set[int] = set()
        size = os.fstat(file.fileno()).st_size
        while 0 < offset < size:
            if offset in seen:
                raise InputError(
                    f"{path}: page {len(seen)} is one of those before it: the file is damaged; write it again"
                )
            seen.add(offset)
            head = read(count.size, offset)
            tags = count.unpack(head)[0] if len(head) == count.size else size
            if tags > MOST_TAGS:
                return  # nothing that tifffile would follow
            link = read(word.size, offset + count.size + tags * (20 if big else 12))
            offset = word.unpack(link)[0] if len(link) == word.size else 0


def read_tables(path: str, series: Any, colors: Array | None) -> Segments:
    """Return the segments of all pages of ``series``, checked.

    Parameters
    ----------
    path : str
    series : tifffile.TiffPageSeries
        Of an open file.
    colors : ndarray of shape (3, n), optional
        The colour map, when samples are indices into it.

    Raises
    ------
    InputError
        A page or segment is missing, or lies where it cannot.
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
        raise InputError(
            f"{path}: tiles or strips of {chunk} pixels cannot be; the file is damaged: write it again"
        )
    scheme = Scheme(
        shape=page.shaped, chunk=chunk, dtype=stored, compression=int(page.compression),
        word="tile" if page.is_tiled else "strip", raw=raw, decode=page.decode, jpegheader=page.jpegheader,
        nodata=page.nodata, colors=colors,
    )  # fmt: skip
    if not raw:
        try:
            scheme.decode(None, 0)  # says now what keeps every segment from being decoded
        except (ValueError, NotImplementedError) as error:
            raise InputError(
                f"{path}: its pixels cannot be decoded ({one_line(error)}); convert it with another program first"
            ) from error
    if raw and not getattr(series, "is_multifile", False) and series.dataoffset is not None:
        return _contiguous(path, series, scheme)
    return _scattered(path, series, scheme)


def color_map(page: Any) -> Array | None:
    """Return the colour map of a palette page, shape (3, n), in 8 bits where it needs no more; else None."""
    colors = page.colormap
    if (
        page.photometric != PALETTE
        or colors is None
        or page.samplesperpixel > 1
        or page.dtype.char not in "?BH"
    ):
        return None
    colors = np.asarray(colors)
    if colors.max(initial=0) <= 255:  # some writers never scaled it to 16 bits
        return colors.astype(np.uint8)
    if not (colors & 255).any() or not (colors % 257).any():
        return (colors >> 8).astype(np.uint8)
    return colors.astype(np.uint16)


def _contiguous(path: str, series: Any, scheme: Scheme) -> Segments:
    """Return the segments of pages that follow one another, of which the file may describe only the first."""
    whole = replace(scheme, chunk=(1, scheme.shape[2], scheme.shape[3]), word="strip")
    pages = math.prod(series.shape) // math.prod(series.keyframe.shape)
    counts = np.full((pages, scheme.shape[0] * scheme.shape[1]), whole.segment_bytes, np.uint64)
    before = np.arange(counts.size, dtype=np.uint64).reshape(counts.shape) * np.uint64(whole.segment_bytes)
    return Segments(whole, [path], [0] * pages, before + np.uint64(series.dataoffset), counts, [None])


def _scattered(path: str, series: Any, scheme: Scheme) -> Segments:
    """Return the segments of pages that each say where theirs are."""
    each = scheme.count
    files: dict[str, int] = {}
    file_of: list[int] = []
    offsets: list[Array] = []
    counts: list[Array] = []
    tables: list[bytes | None] = []
    for number, page in enumerate(series.pages):
        if page is None:
            raise InputError(
                f"{path}: its metadata name {len(series.pages)} pages, of which page {number} is in no file beside "
                "it; put all files of the set into one folder"
            )
        if min(len(page.dataoffsets), len(page.databytecounts)) < each:
            raise InputError(
                f"{path}: page {number} lists {min(len(page.dataoffsets), len(page.databytecounts))} of "
                f"{each} {scheme.word}s; the file is truncated or damaged: copy or write it again"
            )
        name = path if page.parent is series.parent else page.parent.filehandle.path
        file_of.append(files.setdefault(name, len(files)))
        offsets.append(np.array(page.dataoffsets[:each], np.uint64))
        counts.append(np.array(page.databytecounts[:each], np.uint64))
        tables.append(page.jpegtables)
    shared = tables[:1] if tables.count(tables[0]) == len(tables) else tables
    return Segments(scheme, list(files), file_of, np.stack(offsets), np.stack(counts), shared)
