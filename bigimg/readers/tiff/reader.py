"""A reader of TIFF: classic and big, striped and tiled, OME and ImageJ, with every codec that imagecodecs has.

tifffile parses the file and groups its pages into series; :mod:`~bigimg.readers.tiff.axes` says which pages and
samples a region needs, :mod:`~bigimg.readers.tiff.segments` decodes them, :mod:`~bigimg.readers.tiff.meta` says what
they mean. The file is parsed once and tifffile closed again; two tables of numbers stay.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from typing import Any, Literal, TypedDict

import numpy as np
import tifffile

from bigimg.errors import CUT_HERE, PARTIAL, InputError, damage, reading
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.holes import each_box, hole_value, with_holes
from bigimg.geometry.region import of_axes, on_all_axes, shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import PARTS, Access
from bigimg.readers.allowed import known_channels, known_unit, public_and_private
from bigimg.readers.asked_axes import Pages
from bigimg.readers.complex_values import is_complex, of_one_part, real_of
from bigimg.readers.logged import logged_warnings
from bigimg.readers.orientation import orientation
from bigimg.readers.raw.plain import CHUNK, READ_BYTES, RawFile, is_wide
from bigimg.readers.resolution import as_written
from bigimg.readers.tiff.alike import Header, read_header
from bigimg.readers.tiff.axes import Stack, lay_out
from bigimg.readers.tiff.chain import Chain, check_promise, follow_chain, promised, whole_times
from bigimg.readers.tiff.choice import choose
from bigimg.readers.tiff.colors import is_converted
from bigimg.readers.tiff.companion import check_names, tiff_of
from bigimg.readers.tiff.completed import closed_chain, with_pages
from bigimg.readers.tiff.meta import optics, own_fields, read_meaning
from bigimg.readers.tiff.naming import as_asked, stack_of
from bigimg.readers.tiff.ranged import announced
from bigimg.readers.tiff.rows import CODER_BYTES, InOrder
from bigimg.readers.tiff.segments import BAND_BYTES, DECODE_ERRORS
from bigimg.readers.tiff.tables import MOST_PAGES, color_map, is_uncounted, read_tables
from bigimg.system.shared import Shared
from bigimg.types import Array, Kind, Part, Region

LOSSY = frozenset({6, 7, 22610, 33003, 33004, 33005, 34712, 34887, 34892, 50001, 50002, 52546})
"""Compressions that may change pixels: JPEG, JPEG XR, JPEG 2000, LERC, WebP, JPEG XL."""
WHOLE_BYTES = 64 << 20
"""Largest single compressed segment whose source is not ``whole``: every read of a segment decodes all of it."""

PARSE_ERRORS = (*DECODE_ERRORS, AttributeError, AssertionError, struct.error, SyntaxError)
"""What tifffile's plain Python raises on broken bytes; SyntaxError is that of broken XML."""


class TiffReader:
    """One series of a TIFF file, at full resolution, as a :class:`bigimg.reader.Reader`.

    Parameters
    ----------
    path : str or path-like
        A TIFF, or the companion file (OME-XML) of a set of them.
    series : int or str, optional
        Which image, by number or name; of a series with positions or other axes each index is one. By default the
        first, but the largest of a slide, or if the first is marked as a smaller copy.
    indices : bool
        Give the indices into the palette of a series that has one, not the colours.
    part : {"real", "imaginary", "magnitude", "phase"}, optional
        Which part of complex samples; without it they are only described.
    allow_partial : bool
        Open what is there of a file that is cut or was never finished; the rest is ``spec.missing``.
    axes : str, optional
        Names of all axes, where the file does not say them: ``"tzyx"``.
    pages : str or mapping, optional
        What the pages are, slowest first: ``"c"``, ``"t=10,c=2"``.
    level : int
        Of the pyramid in the file: 0 is full resolution.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    InputError
        The file is not a TIFF, is damaged, or does not say what its axes are.
    UsageError
        There is no such series.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        series: int | str | None = None,
        indices: bool = False,
        part: Part | None = None,
        allow_partial: bool = False,
        axes: str | None = None,
        pages: Pages | None = None,
        level: int = 0,
    ) -> None:
        self.source = os.fspath(path)
        self._indices, self._part = indices, part
        self._how: _How = {
            "series": series, "allow_partial": allow_partial, "axes": axes, "pages": pages, "level": level,
        }  # fmt: skip
        self._header: Header | None = None
        self._other: _Image | None = None
        self._bytes: RawFile | None = None
        self._image: Shared[_Image] = Shared()
        image = self._image.get(self._parsed)
        self.spec, self.access = image.spec, image.access
        self._complex, self._levels = image.complex, image.levels
        self.lossy = image.segments.scheme.compression in LOSSY
        files = (file.path for file in image.segments.files)
        self.paths = tuple(dict.fromkeys((self.source, *files)))

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``; see :meth:`bigimg.reader.Reader.read`."""
        return self._image.get(self._opened).read(region)

    def indices(self) -> TiffReader | None:
        """Return a reader of the indices into the palette; None where there is none."""
        if not self._image.get(self._opened).palette:
            return None
        return self._beside(TiffReader(self.source, indices=True, **self._how))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of complex samples to choose from; none where samples are real, or one is chosen."""
        return PARTS if self._complex and self._part is None else ()

    @property
    def coarser(self) -> tuple[Callable[[], TiffReader], ...]:
        """What opens each coarser level; see :func:`bigimg.reader.coarser_of`."""
        return tuple(
            functools.partial(self._at_level, level) for level in range(self._how["level"] + 1, self._levels)
        )

    def _at_level(self, level: int) -> TiffReader:
        how: _How = {**self._how, "level": level}
        return self._beside(TiffReader(self.source, indices=self._indices, part=self._part, **how))

    def of_part(self, part: Part) -> TiffReader:
        """Return the reader of one part of complex samples."""
        return self._beside(TiffReader(self.source, part=part, **self._how))

    def _beside(self, other: TiffReader) -> TiffReader:
        if self._bytes is not None and other.with_bytes(self._bytes) is None:
            raise InputError(f"{self.source}: this image cannot be read by ranges; use fetch='whole'")
        return other

    def with_bytes(self, file: RawFile) -> TiffReader | None:
        """Return the reader of the same pixels in ``file``, behind an address; None if that cannot be."""
        if not self._image.get(self._opened).segments.with_bytes(file):
            return None
        self._bytes = file
        self.access = replace(self.access, read_bytes=self.access.read_bytes + file.held_bytes, wide=False)
        return self

    def like(self, path: str) -> TiffReader | None:
        """Return the reader of the TIFF at ``path`` if it has the same header as this one, so that only pixels differ.

        Only the header is read. None where the header differs, and wherever a doubt is.
        """
        image = self._image.get(self._opened)
        if self._header is None:
            self._header = read_header(image.segments.files[0])
        try:
            file = RawFile.bytes_of(path)
        except InputError:
            return None
        found = read_header(file, self._header)
        if self._header is None or found is None or found.same != self._header.same:
            return None
        if (places := image.segments.places(found.offsets, found.counts)) is None:
            return None
        reader = object.__new__(TiffReader)
        reader.__dict__.update(self.__dict__, source=path, paths=(path,), _image=Shared(), _other=image)
        reader._header = replace(found, offsets=places[0], counts=places[1])
        reader._image.get(lambda: image.of_file(file, *places))
        more = (
            0 if image.segments.scheme.raw else 2 * (int(places[1].max()) - int(image.segments.counts.max()))
        )
        if more > 0:
            reader.access = replace(self.access, read_bytes=self.access.read_bytes + more)
        return reader

    def close(self) -> None:
        """Let go of the file; a read that is under way ends well, and a later one opens it again."""
        if (image := self._image.take()) is not None:
            image.segments.close()

    def _opened(self) -> _Image:
        image = self._parsed()
        if (image.spec.shape, image.spec.dtype) != (self.spec.shape, self.spec.dtype):
            raise InputError(f"{self.source}: has changed since it was opened; open it again")
        return image

    def _parsed(self) -> _Image:
        if self._other is not None and self._header is not None:
            return self._other.of_file(
                RawFile.bytes_of(self.source), self._header.offsets, self._header.counts
            )
        image = _Image(self.source, self._how, indices=self._indices, part=self._part)
        if self._bytes is not None:
            image.segments.with_bytes(self._bytes)
        return image

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_other": None, "_header": None}


class _How(TypedDict):
    """What a user asks for; see :class:`bigimg.types.Opening`."""

    series: int | str | None
    allow_partial: bool
    axes: str | None
    pages: Pages | None
    level: int


class _Image:
    """A parsed series: all that reads need."""

    def __init__(self, path: str, how: _How, *, indices: bool, part: Part | None) -> None:
        with reading(path, PARSE_ERRORS, "copy or write it again", what="is not a TIFF that can be read"):
            self._parse(path, how, part, indices=indices)

    def _parse(self, path: str, how: _How, part: Part | None, *, indices: bool) -> None:
        wanted, partial = how["series"], how["allow_partial"]
        path, omexml = tiff_of(path)
        chain = follow_chain(path, partial=partial)
        pages = chain.pages if chain.damage is None else 0
        with (
            logged_warnings("tifffile") as warnings,
            _file(path, chain, wanted, omexml) if partial else nullcontext(path) as file,
            tifffile.TiffFile(file, omexml=omexml) as tif,
        ):
            check_names(path, omexml or tif.ome_metadata)
            image, others = choose(path, tif, wanted)
            self.levels = len(image.series.levels)
            series = image.series.levels[how["level"]]
            page = series.keyframe
            if page.dtype is None or 0 in page.shaped:
                bits = f"SampleFormat {page.sampleformat}, {page.bitspersample} bits"
                what = f"pixels of shape {page.shape} and {bits}"
                raise InputError(f"{path}: {what} are not supported; convert them first")
            if not how["level"]:  # a description promises the planes of full resolution
                check_promise(path, tif, series, pages)
            said = partial and promised(tif, series, pages)[1] > 0
            colors = color_map(page) if series.kind not in ("imagej", "ome") else None
            self.palette = colors is not None
            if indices:
                colors = None
            stack = as_asked(stack_of(series), path, how["axes"], how["pages"])
            if colors is not None and len(colors) == 3:
                stack = Stack(
                    stack.axes + "S", (*stack.shape, 3), stack.page_axes + "S", (*stack.page_shape, 3)
                )
            self.layout = lay_out(stack, source=path, at=image.at)
            stopped = None if partial or how["level"] else whole_times(tif, series, self.layout)
            if stopped is not None:
                self.layout = replace(self.layout, shape=(stopped.times, *self.layout.shape[1:]))
            self.orientation = orientation(int(page.tags.valueof(274, 1)))
            self.dtype = np.dtype(series.dtype if colors is None else colors.dtype)
            self.complex = is_complex(self.dtype)
            if self.complex:
                self.dtype = real_of(self.dtype)
            self.segments = read_tables(
                path, series, colors, stack, part, partial=partial or stopped is not None
            )
            self.converted = is_converted(page)
            if self._goes_down() and self.segments.streams(WHOLE_BYTES):
                self.segments.in_order = InOrder(self.segments)
            spec = self._describe(tif, series, image.number)
            if "ImageDescription" in chain.lost and 270 not in tif.pages.first.tags:
                what = "its description is gone, so its axes and how many planes it had are not known"
                spec = replace(spec, notes=(*spec.notes, f"{what}: these are the pages {CUT_HERE}"))
            spec = replace(spec, of_source=(*spec.of_source, *others))
            if stopped is not None and stopped.note:
                spec = replace(spec, notes=(*spec.notes, stopped.note))
        spec = self._with_holes(path, spec, chain, promised_pages=said, partial=partial)
        if warnings and not partial:
            more = f" and {len(warnings) - 1} more" if len(warnings) > 1 else ""
            spec = replace(spec, of_source=(*spec.of_source, f"tifffile warns: {warnings[0]}{more}"))
        self.spec, self.access = spec if part is None else of_one_part(spec, part), self._access(spec)

    def of_file(self, file: RawFile, offsets: Array, counts: Array) -> _Image:
        """Return the same of another file, which has its segments elsewhere."""
        other = copy(self)
        other.segments = self.segments.of_file(file, offsets, counts)
        return other

    def read(self, region: Region) -> Array:
        """Return the values of ``region``, turned as the orientation says."""
        shown = on_all_axes(region, self.spec.dims)
        stored = self.orientation.stored(shown, *self.layout.shape[3:])
        result = np.empty(shape_of(stored), self.dtype)
        parts = [*self.layout.parts(stored)]
        with announced(self.segments, ((part.page, part.box[0], part.box[1:]) for part in parts)):
            for part in parts:
                target = self.layout.in_page(result[part.target])
                self.segments.fill(target, part.page, part.box[0], part.box[1:])
        return self.orientation.shown(result)[of_axes(self.spec.dims)]

    def _goes_down(self) -> bool:
        """Return whether rows as stored are rows from top to bottom, and one page follows the other."""
        own = self.layout.page[2:] == ("y", "x")
        return (
            own
            and self.orientation.swap is False
            and not self.orientation.flip_y
            and "c" not in {*self.layout.steps} & {*self.layout.page}
        )

    def _describe(self, tif: Any, series: Any, number: int) -> ImageSpec:
        page, layout, scheme = series.keyframe, self.layout, self.segments.scheme
        meaning = read_meaning(tif, series, index=number, channels=layout.shape[1])
        shape, spacing = dict(zip(ORDER, layout.shape, strict=True)), meaning.spacing
        depth, rows, columns = scheme.chunk
        if self.segments.in_order is not None:
            rows = self.segments.in_order.rows
        if scheme.raw:  # all pieces cost the same, so any size of chunk will do
            depth, rows, columns = 1, 1, min(columns, CHUNK)
        samples = layout.samples if scheme.shape[0] == 1 else 1
        chunk = dict.fromkeys(ORDER, 1) | dict(zip(layout.page, (samples, depth, rows, columns), strict=True))
        if self.orientation.swap:
            other = {"y": "x", "x": "y"}
            shape, chunk = ({other.get(axis, axis): n for axis, n in each.items()} for each in (shape, chunk))
            spacing = {other.get(axis, axis): step for axis, step in spacing.items()}
        steps = {axis: (as_written(step), known_unit(unit)) for axis, (step, unit) in spacing.items()}
        axes = tuple(Axis(name, shape[name], *steps.get(name, (1.0, None))) for name in layout.dims)
        notes = [*meaning.notes, *([layout.note] if layout.note else [])]
        if self.segments.absent:
            count = f"{self.segments.absent} of {self.segments.offsets.size} {scheme.kind}s"
            notes.append(f"{count} are absent from the file; TIFF defines their pixels as {scheme.nodata:g}")
        if is_uncounted(page, len(page.dataoffsets)):
            what = f"the file does not say how long its {scheme.kind}s are"
            notes.append(f"{what}: their lengths follow from their pixels and places")
        fields = own_fields(page) | optics(series)
        if len(series.levels) > 1:
            fields["levels"] = [list(level.shape) for level in series.levels]
        meta, private = public_and_private(fields, "tiff")
        chunks = tuple(min(chunk[axis.name], axis.size) for axis in axes)
        channels, names = known_channels(meaning.channels)
        kind: Kind = "mask" if self.dtype == np.bool_ else "image"
        spec = ImageSpec(axes, self.dtype, chunks, channels, kind=kind, meta=meta, notes=tuple(notes))
        return replace(
            spec, scaling=meaning.scaling, window=meaning.window, padding=meaning.padding, private=private | names,
            of_source=(*meaning.of_source, *(["pages='c' says it where they are channels"] if layout.note else [])),
        )  # fmt: skip

    def _with_holes(
        self, path: str, spec: ImageSpec, chain: Chain, *, promised_pages: bool, partial: bool
    ) -> ImageSpec:
        """Return ``spec`` with what the file lacks, and note it; without a promise that is what follows the chain."""
        if chain.lost:
            spec = replace(
                spec, notes=(*spec.notes, f"values of tags are not in the file: {', '.join(chain.lost)}")
            )
        if chain.damage is not None and not promised_pages:
            note = f"what follows its page {chain.pages - 1} is not in the file"
            spec = replace(spec, notes=(*spec.notes, note))
        if not self.segments.lost.any():
            return spec
        cells, edges = self.layout.cells(self.segments.lost, self.segments.scheme)
        if not partial and cells.any():  # of an acquisition that was stopped, and is damaged too
            what = f"{self.segments.scheme.kind}s of its whole time points are missing"
            raise InputError(f"{path}: {what}; copy it again, or {PARTIAL}")
        if cells.all():
            raise damage(path, "none of the pixels of the image are in the file")
        cells = self.orientation.shown(cells)
        edges[3:] = self.orientation.shown_edges(*edges[3:])
        kept = [ORDER.index(name) for name in spec.dims]
        boxes = (tuple(box[axis] for axis in kept) for box in each_box(cells, edges))
        spec = with_holes(spec, boxes, source=path)
        self.segments.fill_value = hole_value(spec.dtype, spec.padding)
        return spec

    def _access(self, spec: ImageSpec) -> Access:
        segments, scheme = self.segments, self.segments.scheme
        # Two numbers of a segment here, and in tuples of tifffile, of 40 bytes each; 1 KiB a page for its object.
        tables = segments.offsets.size * (16 + 2 * 40) + len(segments.offsets) * 1024
        decoded = scheme.segment_bytes
        if scheme.raw:
            wide = scheme.kind == "strip" and is_wide(spec.dims, scheme.row_bytes)
            band = max(BAND_BYTES, scheme.row_bytes)
            copies = 3 if self.complex else 1  # of a band: as stored, contiguous, one part
            return Access(
                "random", "uncompressed", (), tables, read_bytes=copies * band + READ_BYTES, wide=wide
            )
        # The coded bytes twice, the decoded pixels, and a copy of these in native order or without the predictor.
        working = 2 * int(segments.counts.max()) + 2 * decoded
        if self.converted:  # float32 of two samples, and the result
            working += 4 * decoded
        if self.complex:
            working += 2 * decoded
        if scheme.colors is not None:
            working += decoded * self.dtype.itemsize
        codec = _codec(scheme.compression) if scheme.compression != 1 else "packed"
        if segments.in_order is not None:
            over = sorted(self.layout.steps, key=lambda name: -self.layout.steps[name])
            order = (
                *(name for name in over if name in spec.dims),
                "y",
                "x",
                *("c" * (self.layout.samples > 1)),
            )
            band = segments.in_order.rows * scheme.row_bytes
            why = f"strips of {scheme.chunk[1]} rows, {codec}, decoded row by row"
            fixed = tables + CODER_BYTES + segments.window_bytes() + 2 * band
            return Access("sequential", why, order, fixed_bytes=fixed, read_bytes=3 * band)
        if segments.single:
            kind: Literal["whole", "random"] = "whole" if decoded > WHOLE_BYTES else "random"
            return Access(kind, f"one {scheme.kind}, {codec}", fixed_bytes=tables + decoded + working)
        rows, columns = scheme.chunk[1:]
        size = f"{rows} x {columns}" if scheme.kind == "tile" else "1 row" if rows == 1 else f"{rows} rows"
        return Access("random", f"{scheme.kind}s of {size}, {codec}", fixed_bytes=tables, read_bytes=working)


@contextmanager
def _file(path: str, chain: Chain, wanted: int | str | None, omexml: str | None) -> Iterator[Any]:
    """Give tifffile a file with the pages that its description promises, or with those alone that are there."""
    with closed_chain(path, chain) as there, tifffile.TiffFile(there, omexml=omexml) as tif:
        check_names(path, omexml or tif.ome_metadata)
        series = choose(path, tif, wanted)[0].series
        page = series.keyframe
        values = promised(tif, series, chain.pages)[1]
        lacking = 0 if series.kind in ("ome", "mmstack") else values // page.size + page.index - chain.pages
        end = int(page.dataoffsets[0]) + values * page.dtype.itemsize if page.dataoffsets else 0
    if lacking <= 0 and values <= series.size:
        lacking = end = 0
    if lacking > MOST_PAGES:
        raise damage(
            path, f"its description promises {lacking} pages more than the {chain.pages} that are there"
        )
    with with_pages(path, chain, lacking, end) as file:
        yield file


def _codec(compression: int) -> str:
    try:
        return str(tifffile.COMPRESSION(compression).name).lower().replace("_", " ")
    except ValueError:
        return f"codec {compression}"
