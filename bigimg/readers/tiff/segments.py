"""Pixels of TIFF pages, from the strips and tiles that hold them.

tifffile parses the file once, and its decoder of a single segment is used here. The offsets and lengths of all
segments are two integer arrays, so that a read looks up nothing in the file and needs no lock. Uncompressed bytes are
read without a decoder. Offsets and lengths that cannot be right are refused before anything is decoded.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import tifffile

from bigimg.errors import PARTIAL, InputError, damage, one_line
from bigimg.geometry.region import full, grid, pieces, shape_of, shift
from bigimg.readers.coded_sizes import check_coded_size
from bigimg.readers.codestreams import fax_is_cut, jpeg_is_cut, jxr_is_cut
from bigimg.readers.complex_values import part_of
from bigimg.readers.raw.plain import RawFile
from bigimg.readers.tiff.rows import PORTION_BYTES, STREAMED, ZSTD, ZSTD_HEAD, Coded, InOrder, zstd_window
from bigimg.types import Array, DType, Part, Region, Shape

BAND_BYTES = 1 << 22
"""Bytes of uncompressed rows read at once: so few that the processor's cache holds them until they are copied."""

JPEG = frozenset({7, 33007, 34892})
"""Compression tags of JPEG streams."""

CUT: dict[int, Callable[[bytes], bool]] = {
    **dict.fromkeys(JPEG, jpeg_is_cut), 22610: jxr_is_cut, 34934: jxr_is_cut, 4: fax_is_cut,
}  # fmt: skip
"""Compression tag to the check that a stream is cut, for decoders that do not notice it."""

PICTURES = frozenset(tifffile.TIFF.IMAGE_COMPRESSIONS) | {34887}
"""Compression tags of coded pictures, LERC among them: they say how large they are, and decoders believe it."""

UNIT = 16
"""Rows and columns of what JPEG codes at once: a picture may be larger than its segment, up to a multiple."""
CUTS = 64
"""Parts of an uncompressed plane of which the last is lost where the file is cut within it."""
MOST_CUT = 10_000
"""Pages that are cut into parts; of more, a plane that is cut is lost."""

MOST_EXPANSION = {5: 4096, 8: 1100, 32773: 64, 32946: 1100}
"""Compression tag to the most bytes that one byte can stand for: LZW, deflate, PackBits, old deflate."""

DECODE_ERRORS = (ValueError, RuntimeError, TypeError, LookupError, ArithmeticError, MemoryError, ImportError)
"""What decoders raise on bytes that they cannot decode; imagecodecs' own errors are RuntimeErrors."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How each page of a series is cut into segments and how these are stored; the same for all pages."""

    shape: tuple[int, int, int, int, int]
    """Separate samples, depth, rows, columns and interleaved samples of a page."""
    chunk: Shape
    """Depth, rows and columns of a segment."""
    dtype: DType
    """Of a stored sample, byte order of the file included."""
    compression: int
    kind: str
    """Of segments: ``tile`` or ``strip``."""
    raw: bool
    """The bytes of a segment are its pixels."""
    decode: Callable[..., tuple[Array | None, Any, Any]]
    """tifffile's ``TiffPage.decode``."""
    jpegheader: bytes | None = None
    nodata: float = 0
    colors: Array | None = None
    """Colour map of shape (3, n), or (1, n) of greys: a stored sample is an index into it."""
    part: Part | None = None
    """Which part of complex samples is given."""
    predictor: int | None = None
    """What is done with the rows of samples before they are compressed; None where bits are packed otherwise."""

    @property
    def grid(self) -> Shape:
        """Segments along depth, rows and columns."""
        return grid(self.shape[1:4], self.chunk)

    @property
    def count(self) -> int:
        """Segments of a page."""
        return self.shape[0] * math.prod(self.grid)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of a segment, decoded."""
        return self.chunk[2] * self.shape[4] * self.dtype.itemsize

    @property
    def segment_bytes(self) -> int:
        """Bytes of a segment, decoded."""
        return self.chunk[0] * self.chunk[1] * self.row_bytes

    @property
    def coded_samples(self) -> int:
        """The most samples of a coded picture that is a segment."""
        rows, columns = (-(-size // UNIT) * UNIT for size in self.chunk[1:])
        return self.chunk[0] * rows * columns * self.shape[4]


class Segments:
    """The segments of a series of pages.

    Parameters
    ----------
    scheme : Scheme
    files : sequence of str
        Files that hold the pages.
    file_of : sequence of int
        Index into ``files`` for each page.
    offsets, counts : ndarray of uint64, shape (pages, segments)
        Byte of the file at which each segment begins, and its length. Both are 0 where the file has no such
        segment; TIFF defines its pixels as nodata.
    lost : ndarray of bool, shape (pages, segments), optional
        Segments that should be there and are not. If it is given, those beyond the end of a file are lost too;
        otherwise they are damage.
    tables : sequence of (bytes or None)
        JPEG tables of each page, or one for all.

    Raises
    ------
    InputError
        A segment lies outside its file, or has too few bytes for its pixels.
    """

    def __init__(
        self,
        scheme: Scheme,
        files: Sequence[str],
        file_of: Sequence[int],
        offsets: Array,
        counts: Array,
        tables: Sequence[bytes | None],
        lost: Array | None = None,
    ) -> None:
        self.files = [RawFile.bytes_of(path) for path in files]
        for file in self.files[1:]:  # a series may have thousands, so only the first stays open
            file.close()
        self.file_of = file_of
        if scheme.raw and scheme.kind == "strip" and offsets.shape[1] == 1:
            # Writers often give a wrong length of a single strip; its offset and the size of the file limit it.
            counts = np.where(offsets > 0, np.uint64(scheme.segment_bytes), counts)
        sizes = np.array([file.shape[0] for file in self.files], np.uint64)[np.asarray(file_of)][:, None]
        self.scheme, self.offsets, self.counts = _merge_strips(scheme, offsets, counts)
        self.lost = np.zeros(self.offsets.shape, bool)
        if lost is not None:
            self.lost |= lost.reshape(*self.lost.shape, -1).all(axis=2)  # strips may have been merged
            if (self.offsets + self.counts > sizes).any():
                self._cut_strips()
        self.tables, self.fill_value = tables, scheme.nodata
        self._check(sizes, partial=lost is not None)
        self.absent = int((self.counts == 0).sum() - self.lost.sum())
        self._absent: Any = scheme.nodata
        if scheme.dtype.kind == "c" and scheme.part:
            self._absent = part_of(np.array([scheme.nodata], scheme.dtype), scheme.part)
        self.remote = False  # behind an address
        self.in_order: InOrder | None = None
        """Where strips are so large that they are decoded row by row."""
        self._lock = threading.Lock()
        self._decoded: Array | None = None  # of the only segment

    @property
    def single(self) -> bool:
        """The whole image is one segment that must be decoded."""
        return self.offsets.size == 1 and not self.scheme.raw

    def places(self, offsets: Array, counts: Array) -> tuple[Array, Array] | None:
        """Return offsets and lengths of another file of one page as of these segments; None if that cannot be.

        Parameters
        ----------
        offsets, counts : ndarray of uint64, shape (segments,)
            As that file gives them.
        """
        if self.offsets.shape[0] > 1 or self.absent or self.lost.any():
            return None
        if offsets.size != self.offsets.size:  # strips that follow one another are one here
            if self.offsets.size > 1 or (offsets[1:] != offsets[:-1] + counts[:-1]).any():
                return None
            offsets, counts = offsets[:1], counts.sum(keepdims=True)
        return None if (counts < self._fewest).any() else (offsets, counts)

    def of_file(self, file: RawFile, offsets: Array, counts: Array) -> Segments:
        """Return the segments of another file of one page, at the :meth:`places` of these."""
        other = copy(self)
        other.files = [file]
        other.offsets, other.counts = offsets[None], counts[None]
        other._lock, other._decoded = threading.Lock(), None
        other.in_order = None if self.in_order is None else InOrder(other)
        return other

    @cached_property
    def _fewest(self) -> Array:
        """The fewest bytes that each segment of a page can have."""
        most = 1 if self.scheme.raw else MOST_EXPANSION.get(self.scheme.compression)
        return self._needed() // most if most else np.zeros(1, np.uint64)

    def with_bytes(self, file: RawFile) -> bool:
        """Read the segments from ``file``, if all are in the file that is open now; return whether that can be."""
        if len(self.files) > 1 or self.in_order is not None or self.scheme.compression in ZSTD:
            return False
        self.close()
        self.files, self.remote = [file], True
        return True

    def fill(self, out: Array, page: int, samples: slice, box: Region) -> None:
        """Copy ``samples`` of the pixels ``box`` (depth, rows, columns) of ``page`` into ``out``.

        Parameters
        ----------
        out : ndarray of shape (samples, depth, rows, columns)
        """
        scheme = self.scheme
        if self.in_order is not None:

            def put(rows: slice, pixels: Array) -> None:
                self._put(out[:, :, rows], pixels[None, :, box[2]], samples, page, 0)

            self.in_order.read(page, box[1], put)
            return
        along = scheme.grid
        start = tuple(s.start for s in box)
        planes = range(samples.start, samples.stop) if scheme.shape[0] > 1 else (0,)
        for row, plane in enumerate(planes):
            target, wanted = (out[row : row + 1], slice(0, 1)) if scheme.shape[0] > 1 else (out, samples)
            for index, piece in pieces(box, scheme.chunk):
                number = ((plane * along[0] + index[0]) * along[1] + index[1]) * along[2] + index[2]
                corner = tuple(i * n for i, n in zip(index, scheme.chunk, strict=True))
                part = target[(slice(None), *shift(piece, start))]
                inside = shift(piece, corner)
                if self.lost[page, number]:
                    part[...] = self.fill_value
                elif not self.counts[page, number]:
                    part[...] = self._absent
                elif scheme.raw and self.counts[page, number] >= self._size_at(corner):
                    self._copy_raw(part, page, number, wanted, inside, corner)
                else:
                    self._put(part, self._decode(page, number)[inside], wanted, page, number)

    def close(self) -> None:
        """Let go of the files and of the decoded segment."""
        for file in self.files:
            file.close()
        self._decoded = None
        if self.in_order is not None:
            self.in_order.forget()

    def streams(self, most: int) -> bool:
        """Return whether these are strips of more than ``most`` bytes that can be decoded row by row."""
        scheme = self.scheme
        plain = scheme.kind == "strip" and scheme.shape[:2] == (1, 1) and scheme.predictor is not None
        large = plain and not scheme.raw and scheme.compression in STREAMED and scheme.segment_bytes > most
        return large and not self.absent and not self.lost.any()

    def path_of(self, page: int) -> str:
        """Return the file that holds ``page``."""
        return self.files[self.file_of[page]].path

    def coded(self, page: int, number: int) -> Any:
        """Return the decoded bytes of a strip as a file."""
        file = Coded(
            self.files[self.file_of[page]], int(self.offsets[page, number]), int(self.counts[page, number])
        )
        return STREAMED[self.scheme.compression](io.BufferedReader(file, PORTION_BYTES))

    def window_bytes(self) -> int:
        """Return how much the decoder of a strip keeps of what it decoded; 0 but for zstd, whose writers choose."""
        if self.scheme.compression not in ZSTD:
            return 0
        most = 0
        for page, number in np.ndindex(*self.offsets.shape):
            file, start = self.files[self.file_of[page]], int(self.offsets[page, number])
            head = file.bytes_at(start, min(ZSTD_HEAD, int(self.counts[page, number])))
            most = max(most, zstd_window(head))
            if file is not self.files[0]:
                file.close()
        return most

    def _copy_raw(
        self, out: Array, page: int, number: int, samples: slice, box: Region, corner: Shape
    ) -> None:
        """Copy ``samples`` of the pixels ``box`` of an uncompressed segment into ``out``."""
        scheme = self.scheme
        whole = self.files[self.file_of[page]]
        shape = (scheme.chunk[0], self._rows_at(corner), scheme.chunk[2], scheme.shape[4])
        stored, wanted = samples, slice(0, samples.stop - samples.start)
        if scheme.colors is not None:  # an index is read, and the samples are those of the colour map
            stored, wanted = slice(0, scheme.shape[4]), samples
        offset = int(self.offsets[page, number])
        with closing(whole.part(offset=offset, shape=shape, dtype=scheme.dtype)) as file:
            direct = scheme.colors is None and len(out) == 1 and out.dtype == scheme.dtype
            if direct and out.flags.c_contiguous:
                file.read_into(out[0, ..., None], (*box, samples))
                return
            depth, rows, columns = shape_of(box)
            band = max(1, BAND_BYTES // (columns * (stored.stop - stored.start) * scheme.dtype.itemsize))
            for _, piece in pieces(full((depth, rows)), (1, band)):
                z, y = shift(piece, (-box[0].start, -box[1].start))
                pixels = file.read((z, y, box[2], stored))
                self._put(out[(slice(None), *piece)], pixels, wanted, page, number)

    def _decode(self, page: int, number: int) -> Array:
        """Return the pixels of a segment, of shape (depth, rows, columns, interleaved samples)."""
        if not self.single:
            return self._decode_now(page, number)
        with self._lock:  # other threads need the same pixels
            if self._decoded is None:
                self._decoded = self._decode_now(page, number)
            return self._decoded

    def _decode_now(self, page: int, number: int) -> Array:
        scheme = self.scheme
        file = self.files[self.file_of[page]]
        start = int(self.offsets[page, number])
        data = file.bytes_at(start, int(self.counts[page, number]))
        if file is not self.files[0]:
            file.close()
        extra: dict[str, bytes | None] = {}
        if scheme.compression in JPEG or scheme.compression == 6:
            tables = self.tables[page if len(self.tables) > 1 else 0]
            extra = {"jpegtables": tables, "jpegheader": scheme.jpegheader}
        if (is_cut := CUT.get(scheme.compression)) and scheme.jpegheader is None and is_cut(data):
            raise self.error(page, number, "is cut short: its coded stream has no end")
        try:
            if scheme.compression in PICTURES:
                check_coded_size(data, scheme.coded_samples)
            pixels, _, _ = scheme.decode(data, number, **extra)
        except DECODE_ERRORS as error:
            why = "it is damaged or of a variant that is not supported"
            raise self.error(page, number, f"cannot be decoded ({one_line(error)})", why) from error
        if pixels is None or pixels.ndim != 4 or pixels.shape[3] != scheme.shape[4]:
            raise self.error(page, number, "decodes to another number of samples than the page has")
        native = scheme.dtype.newbyteorder("=")
        if pixels.dtype != native and native != np.bool_ and not np.can_cast(pixels.dtype, native, "safe"):
            raise self.error(page, number, f"decodes to {pixels.dtype} where the page says {native}")
        return pixels

    def _put(self, out: Array, pixels: Array, samples: slice, page: int, number: int) -> None:
        """Copy ``pixels`` (depth, rows, columns, samples) into ``out`` (samples, depth, rows, columns)."""
        if pixels.shape[:3] != out.shape[1:]:
            raise self.error(page, number, f"decodes to fewer pixels than {out.shape[1:]}")
        colors = self.scheme.colors
        if colors is None:
            wanted = pixels[..., samples]
            if self.scheme.dtype.kind == "c":
                wanted = part_of(wanted, self.scheme.part)
            out[...] = wanted.transpose(3, 0, 1, 2)
            return
        indices = pixels[..., 0].view(np.uint8) if pixels.dtype == np.bool_ else pixels[..., 0]
        if indices.max() >= colors.shape[1]:
            raise self.error(page, number, f"has index {indices.max()} in a colour map of {colors.shape[1]}")
        for plane, sample in zip(out, range(samples.start, samples.stop), strict=True):
            plane[...] = colors[sample][indices]

    def _rows_at(self, corner: Shape) -> int:
        """Return the rows that a segment stores: tiles are padded, and strips end with the image."""
        rows = self.scheme.chunk[1]
        return rows if self.scheme.kind == "tile" else min(rows, self.scheme.shape[2] - corner[1])

    def _size_at(self, corner: Shape) -> int:
        return self.scheme.chunk[0] * self._rows_at(corner) * self.scheme.row_bytes

    def _cut_strips(self) -> None:
        """Cut uncompressed planes of one strip each into several, so that not all of a plane is lost."""
        scheme, rows = self.scheme, max(1, -(-self.scheme.shape[2] // CUTS))
        one = (
            scheme.raw
            and scheme.kind == "strip"
            and scheme.chunk[0] == 1
            and scheme.chunk[1] >= scheme.shape[2]
        )
        if not one or len(self.offsets) > MOST_CUT:
            return
        first = np.arange(0, scheme.shape[2], rows, dtype=np.uint64)
        lengths = np.minimum(rows, scheme.shape[2] - first) * np.uint64(scheme.row_bytes)
        there = self.offsets[..., None] > 0
        starts = np.where(there, self.offsets[..., None] + first * np.uint64(scheme.row_bytes), 0)
        shape = (len(starts), -1)
        self.counts, self.lost = (
            np.where(there, lengths, 0).reshape(shape),
            self.lost.repeat(len(first), axis=1),
        )
        self.offsets, self.scheme = starts.reshape(shape), replace(scheme, chunk=(1, rows, scheme.chunk[2]))

    def _check(self, sizes: Array, *, partial: bool) -> None:
        """Refuse segments whose offsets and lengths cannot be right; those beyond the end are lost if ``partial``."""
        needed = self._needed()
        counts = np.minimum(self.counts, needed) if self.scheme.raw else self.counts
        outside = (self.offsets > sizes) | (counts > sizes) | (self.offsets + counts > sizes)
        if partial:
            self.lost |= outside | ((self.offsets == 0) != (self.counts == 0))
            self.offsets, self.counts = (np.where(self.lost, 0, each) for each in (self.offsets, self.counts))
            outside = np.zeros_like(outside)
            counts = self.counts
        for page, number in np.argwhere(outside)[:1].tolist():
            start, size = int(self.offsets[page, number]), sizes[page, 0]
            end = start + int(counts[page, number])
            error = self.error(page, number, f"takes bytes {start} to {end} of a file of {size}")
            raise InputError(f"{error}, or {PARTIAL}")
        for page, number in np.argwhere((self.offsets == 0) != (self.counts == 0))[:1].tolist():
            start, count = self.offsets[page, number], self.counts[page, number]
            raise self.error(page, number, f"has {count} bytes at offset {start}, where no pixels can be")
        most = 1 if self.scheme.raw else MOST_EXPANSION.get(self.scheme.compression)
        if most is None or (self.scheme.raw and self.scheme.kind == "tile"):
            return  # writers may leave out the padding of raw tiles at the edge; decoding finds out
        for page, number in np.argwhere((self.counts > 0) & (self.counts < needed // most))[:1].tolist():
            there = f"has {self.counts[page, number]} bytes, too few for {needed[number]} of pixels"
            raise self.error(page, number, there)

    def _needed(self) -> Array:
        """Return the fewest bytes of each segment of a page: those of its pixels; one bit a sample if encoded."""
        scheme = self.scheme
        rows = np.full(scheme.grid[1], scheme.chunk[1], np.uint64)
        if scheme.kind == "strip":
            rows[-1] = scheme.shape[2] - (len(rows) - 1) * scheme.chunk[1]
        row_bytes = scheme.row_bytes if scheme.raw else scheme.row_bytes // scheme.dtype.itemsize // 8
        each = rows[:, None] * np.uint64(row_bytes * scheme.chunk[0])
        return np.broadcast_to(each, (scheme.shape[0], *scheme.grid)).reshape(-1)

    def error(self, page: int, number: int, what: str, *why: str) -> InputError:
        """Return the error of a damaged segment."""
        path = self.files[self.file_of[page]].path
        return damage(path, f"page {page}, {self.scheme.kind} {number} {what}", *why)


def _merge_strips(scheme: Scheme, offsets: Array, counts: Array) -> tuple[Scheme, Array, Array]:
    """Return uncompressed strips that follow one another as one strip a plane, so that they are read together."""
    depth, rows, columns = scheme.chunk
    planes = scheme.shape[0] * scheme.shape[1]
    if not scheme.raw or depth > 1 or scheme.kind == "tile" or rows >= scheme.shape[2]:
        return scheme, offsets, counts
    starts = offsets.reshape(len(offsets), planes, -1)
    lengths = counts.reshape(starts.shape)
    full_strip = np.uint64(scheme.segment_bytes)
    if (starts[..., 1:] != starts[..., :-1] + full_strip).any() or (lengths[..., :-1] != full_strip).any():
        return scheme, offsets, counts
    whole = replace(scheme, chunk=(1, scheme.shape[2], columns))
    return whole, np.ascontiguousarray(starts[..., 0]), lengths.sum(axis=2)
