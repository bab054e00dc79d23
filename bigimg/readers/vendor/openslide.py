"""A reader of slides of which no library but OpenSlide knows how their tiles lie: MRXS, VMS and BIF.

Their tiles overlap, or lie in files of JPEG that are no pictures. OpenSlide (LGPL, called through ctypes by the extra
``wsi``) puts them together. Formats whose tiles lie on a plain grid (SVS, NDPI, SCN) are read by the reader of TIFF,
which decodes each tile itself. VMU is not read: it has 12 bits, of which OpenSlide gives 8.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from bigimg.errors import AGAIN, InputError, damage, one_line, reading
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.geometry.spec import RGB, ImageSpec, SpacingNote
from bigimg.reader import Access, Reader
from bigimg.readers.allowed import public_and_private
from bigimg.readers.beside import path_beside
from bigimg.readers.extras import imported
from bigimg.readers.several import Named, pick
from bigimg.readers.tiff.choice import tiles_overlap
from bigimg.readers.tiff.reader import PARSE_ERRORS, TiffReader
from bigimg.readers.values import color_in, finite
from bigimg.system.shared import Shared
from bigimg.types import Array, Json, Region

BIF = ".bif"
SIDE = 1024
"""Pixels of a side of what is asked for at once, and of a chunk where tiles have no size of their own."""
BAND = 128
"""Rows of a piece that are mixed with the background at once."""
CACHE_BYTES = 32 << 20
"""Of decoded tiles that OpenSlide keeps: the tiles at the edge of a piece are in the next one too."""
INDEX_BYTES = 1 << 20
"""Of the index of a VMS at most; OpenSlide reads smaller ones alone."""
INDEX = b"Virtual Microscope Specimen]"
NAMING = (b"ImageFile", b"MapFile", b"OptimisationFile", b"MacroImage")
"""How the lines of an index begin that name a file."""
LIBRARY_BYTES = 48 << 20
"""Memory of OpenSlide and of its tables of tiles, measured and rounded up."""


def open_slide(path: str | os.PathLike[str], *, series: int | str | None = None) -> Reader:
    """Return a reader of a slide; of a BIF whose tiles do not overlap it is that of TIFF, which needs no extra.

    Raises
    ------
    InputError, MissingExtraError, UsageError
        As :class:`OpenSlideReader`, and as the reader of TIFF.
    """
    name = os.fspath(path)
    if name.lower().endswith(BIF):
        from tifffile import TiffFile

        with reading(name, PARSE_ERRORS, AGAIN, what="is not a BIF that can be read"), TiffFile(name) as tif:
            overlap = tiles_overlap(tif)
        if not overlap:
            return TiffReader(name, series=series)
    return OpenSlideReader(name, series=series)


class OpenSlideReader:
    """One level of a slide, as a :class:`bigimg.reader.Reader`.

    Parameters
    ----------
    path : str or path-like
        Of an MRXS or VMS the file that stands for the others.
    series : int or str, optional
        Which level, as a number or ``level 1``; the largest by default.

    Raises
    ------
    InputError
        OpenSlide cannot open the file, or an index names a file outside its own folder.
    MissingExtraError
        The extra ``wsi`` is not installed.
    UsageError
        There is no such level.
    """

    lossy = True
    """These scanners store JPEG, and OpenSlide interpolates where tiles overlap."""

    def __init__(self, path: str | os.PathLike[str], *, series: int | str | None = None) -> None:
        self.source = os.fspath(path)
        self._slide: Shared[Any] = Shared()
        self._named = _named_in(self.source)
        slide = self._slide.get(self._opened)
        properties = dict(slide.properties)
        exact = [
            (level, round(factor))
            for level, factor in enumerate(slide.level_downsamples)
            if abs(factor - round(factor)) < 1e-9  # others would be interpolated where the bounds begin
        ]
        boxes = [_bounds(properties, slide.dimensions, factor) for _, factor in exact]
        named = [Named(f"level {i}", shape_of((*box, slice(0, 3)))) for i, box in enumerate(boxes)]
        chosen, others = pick(self.source, named, series)
        self._coarser = range(chosen + 1, len(exact))
        self._level, self._factor = exact[chosen]
        self._box = boxes[chosen]
        self._shown = color_in(properties.get("openslide.background-color")) or "FFFFFF"
        self._background = np.frombuffer(bytes.fromhex(self._shown), np.uint8)
        self.spec = self._described(properties, list(slide.associated_images), others)
        tile = 4 * max(self.spec.chunks[1] * self.spec.chunks[2], SIDE * SIDE)
        self.access = Access(
            "random",
            f"tiles by OpenSlide, {properties.get('openslide.vendor')}",
            (),
            LIBRARY_BYTES + CACHE_BYTES,
            6 * tile,
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of the files: of an MRXS also those in the folder beside it, of a VMS those that it names."""
        folder = os.path.splitext(self.source)[0]
        inside = (
            sorted(os.listdir(folder))
            if self.source.lower().endswith(".mrxs") and os.path.isdir(folder)
            else []
        )
        return (self.source, *(os.path.join(folder, name) for name in inside), *self._named)

    @property
    def coarser(self) -> tuple[Callable[[], OpenSlideReader], ...]:
        """What opens each coarser level; see :func:`bigimg.reader.coarser_of`."""
        return tuple(partial(OpenSlideReader, self.source, series=level) for level in self._coarser)

    def read(self, region: Region) -> Array:
        """Return the values of ``region``.

        Raises
        ------
        InputError
            A tile is damaged. Only reads that need it fail.
        """
        channels, *plane = region
        found = np.empty(shape_of(region), np.uint8)
        for _, box in pieces(tuple(plane), (SIDE, SIDE)):
            target = shift(box, tuple(s.start for s in plane))
            found[(slice(None), *target)] = np.moveaxis(self._piece(box), -1, 0)[channels]
        return found

    def close(self) -> None:
        """Let go of the slide; reads that are under way end well, and a later one opens it again."""
        self._slide.take()  # OpenSlide closes it when the last reader of it has let go

    def _opened(self) -> Any:
        """Return a new slide."""
        openslide = imported("openslide", self.source)
        try:
            slide = openslide.OpenSlide(self.source)
            slide.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        except openslide.OpenSlideUnsupportedFormatError:
            what = "OpenSlide does not know it: files beside it may be missing"
            raise InputError(
                f"{self.source}: {what}; copy it again, with the folder of the same name"
            ) from None
        except openslide.OpenSlideError as error:
            raise damage(self.source, f"OpenSlide cannot open it ({one_line(error)})") from error
        return slide

    def _piece(self, box: Region) -> Array:
        """Return part of the level, of shape (y, x, 3); what was not scanned has the colour of the background."""
        openslide = imported("openslide", self.source)
        y, x = ((s.start + of.start) * self._factor for s, of in zip(box, self._box, strict=True))
        asked = (x, y), self._level, tuple(reversed(shape_of(box)))
        try:
            try:
                image = self._slide.get(self._opened).read_region(*asked)
            except openslide.OpenSlideError:  # an error stays with a slide, and may be that of another thread
                self.close()
                image = self._opened().read_region(*asked)
        except openslide.OpenSlideError as error:
            at = " ".join(f"{name}={s.start}:{s.stop}" for name, s in zip("yx", box, strict=True))
            raise damage(self.source, f"its pixels at {at} cannot be read ({one_line(error)})") from error
        pixels = np.asarray(image)
        color, alpha = pixels[..., :3], pixels[..., 3:]
        if alpha.min() == 255:
            return color
        mixed = np.empty(color.shape, np.uint8)
        for start in range(0, len(mixed), BAND):
            band = slice(start, start + BAND)
            cover = alpha[band].astype(np.uint16)  # 255 * 255 + 127 is the most
            mixed[band] = (color[band] * cover + self._background * (255 - cover) + 127) // 255
        return mixed

    def _described(
        self, properties: Mapping[str, str], photos: list[str], others: tuple[str, ...]
    ) -> ImageSpec:
        shown = self._shown + ("" if "openslide.background-color" in properties else ", which is assumed")
        notes = [
            f"what was not scanned has the colour {shown}; it is not told from what was, and counted like it",
            *(["its ICC profile is not applied"] if "openslide.icc-size" in properties else []),
        ]
        axes = [Axis("c", 3)]
        for name, s in zip("yx", self._box, strict=True):
            size, step = s.stop - s.start, finite(properties.get(f"openslide.mpp-{name}"))
            if not step or step <= 0:
                axes.append(Axis(name, size))
                notes.append(SpacingNote(f"the file has no pixel size along {name}; 1 is assumed", name))
                continue
            start = s.start * self._factor + (self._factor - 1) / 2
            axes.append(Axis(name, size, step * self._factor, "micrometer", start * step))
        tile = [
            int(finite(properties.get(f"openslide.level[{self._level}].tile-{of}")) or SIDE)
            for of in ("height", "width")
        ]
        chunks = (3, *(min(n, axis.size) for n, axis in zip(tile, axes[1:], strict=True)))
        if photos:
            are = "are" if len(photos) > 1 else "is"
            names = ", ".join(sorted(photos))
            others = (*others, f"{names} of the slide {are} not read: such photos may name a person")
        fields: dict[str, Json] = {**properties}
        public, private = public_and_private(fields, "openslide")
        return ImageSpec(
            tuple(axes),
            np.dtype(np.uint8),
            chunks,
            RGB,
            meta=public,
            private=private,
            notes=tuple(notes),
            of_source=others,
        )


def _named_in(path: str) -> tuple[str, ...]:
    """Return the files that the index of a VMS names; none of another file.

    Raises
    ------
    InputError
        One lies outside the folder of the index: a file from a stranger must not be able to read any file here.
    """
    with reading(path), open(path, "rb") as file:
        index = file.read(INDEX_BYTES)
    if INDEX not in index:
        return ()
    found = []
    for line in index.split(b"\n"):
        key, _, value = line.strip().partition(b"=")
        name = value.strip().decode(errors="surrogateescape")
        if not key.startswith(NAMING) or not name:
            continue
        found.append(path_beside(path, name))
    return tuple(dict.fromkeys(found))


def _bounds(properties: Mapping[str, str], size: tuple[int, int], factor: int) -> tuple[slice, slice]:
    """Return the part of a level that was scanned, along y and x; all of it where the file does not say."""
    found = []
    for name, of, whole in zip("yx", ("height", "width"), reversed(size), strict=True):
        start, length = (finite(properties.get(f"openslide.bounds-{each}")) for each in (name, of))
        first, last = (0, whole) if start is None or length is None else (int(start), int(start + length))
        first, last = max(first, 0), min(last, whole)
        found.append(slice(-(-first // factor), max(last // factor, -(-first // factor) + 1)))
    return found[0], found[1]
