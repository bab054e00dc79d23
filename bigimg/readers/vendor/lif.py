"""Leica LIF, LOF and XLEF: headers through liffile (the extra ``bio``), pixels read by ourselves.

The header (XML) says for each axis and channel how many bytes apart its elements lie, in any order, with padded rows
and with colours as B G R. A project (XLEF) names other files: LOF with the pixels of an image, or a TIFF a plane.
Nothing has a checksum: a flipped bit of a pixel is not noticed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from bigimg.errors import AGAIN, PARTIAL, InputError, damage, reading
from bigimg.geometry.region import of_axes
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.beside import file_beside
from bigimg.readers.extras import imported
from bigimg.readers.folders.grid import stacked
from bigimg.readers.folders.reader import GridReader
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.plain import READ_BYTES, is_wide, natural_chunks
from bigimg.readers.several import Named, pick
from bigimg.readers.vendor.lif_header import Header
from bigimg.readers.vendor.planes import NEVER, PlanesReader, read_plane
from bigimg.types import Array, DType, Shape

LIBRARY_BYTES = 12 << 20
"""Of liffile and what it imports, measured and rounded up."""

XML_FACTOR = 8
"""Bytes of a parsed header for each of its bytes in the file, measured: 170 MB for 22 MB with 5,000 images."""

ERRORS = (KeyError, ValueError, TypeError, IndexError, AssertionError, ElementTree.ParseError)
"""What liffile raises for headers that make no sense; its own error is a ValueError."""


def open_lif(
    path: str,
    *,
    series: int | str | None = None,
    axis: Mapping[str, int] | None = None,
    allow_partial: bool = False,
) -> PlanesReader:
    """Return a reader of one image of a LIF, a LOF or a project (XLEF).

    Parameters
    ----------
    path : str
    series : int or str, optional
        Which image, by number or by its name with those of its folders; the first one with pixels by default.
    axis : mapping of str to int, optional
        Which index along axes that are none of t c z y x, and no wavelengths.
    allow_partial : bool
        Take the planes that a truncated file lacks for holes.

    Raises
    ------
    InputError
        The file is damaged or truncated, a file that it names is missing or lies outside its folder, or an index must
        be chosen.
    UsageError
        There is no such series, or no such index.
    """
    liffile = imported("liffile", path)
    with reading(path, ERRORS, AGAIN), liffile.LifFile(path) as file:
        xml_bytes = _check_references(path, file, set())
        images = list(file.images)
        if not images:
            raise InputError(f"{path}: holds no image; record or export it again")
        every = [Named(image.path, _shape(image)) for image in images]
        main = next((i for i, each in enumerate(every) if each.shape), 0)
        number, others = pick(path, every, series, main=main)
        image, name = images[number], f"series {number} {images[number].path}"
        if image.is_flim:
            what = f"{name} is raw FLIM, times of photons and no pixels, which is not read"
            raise InputError(f"{path}: {what}; choose another series, or export it as an image")
        if len(files := _files(path, image, name)) == 1 and files[0].lower().endswith(".lof"):
            with liffile.LifFile(files[0]) as lof:
                found = _reader(path, lof.images[0], name, axis, partial=allow_partial)
        else:
            found = _reader(path, image, name, axis, files, partial=allow_partial)
    fixed = LIBRARY_BYTES + XML_FACTOR * xml_bytes + found.access.fixed_bytes
    return replace(
        found,
        spec=replace(found.spec, of_source=(*found.spec.of_source, *others)),
        access=replace(found.access, fixed_bytes=fixed),
        paths=tuple(dict.fromkeys((path, *found.paths))),
    )


def _shape(image: Any) -> Shape:
    """Return the shape of an image; that of one that cannot be read is empty, so that the others can be."""
    if not image.is_flim:
        with suppress(*ERRORS):
            return Header(image).shape
    return ()


def _reader(
    path: str,
    image: Any,
    name: str,
    axis: Mapping[str, int] | None,
    files: Sequence[str] = (),
    *,
    partial: bool,
) -> PlanesReader:
    """Return the reader of an image whose pixels lie in its own file, or in ``files``."""
    header, block = Header(image), _block(path, image, name)
    index, said = header.indices(path, name, axis)
    places, own = header.places(path, name, index), image.parent.filepath
    backwards = header.backwards and not files
    axes, notes = header.axes()
    named = header.channels()
    if header.backwards:
        named = [each for i in range(0, len(named), 3) for each in named[i : i + 3][::-1]]
    channels, private = known_channels(named)
    public, more = public_and_private(header.settings(), "lif")
    dims = [each.name for each in axes]
    order = [*(each for each in dims if each != "c"), "c"] if header.samples > 1 else dims
    spec = ImageSpec(
        axes,
        header.dtype,
        natural_chunks(axes, order),
        channels,
        meta=public,
        notes=notes,
        private=more | private,
        of_source=said,
    )
    if files:
        planes, numbers = _tiff_planes(path, header, name, block, places, files)
        access = planes.folder.access
        return PlanesReader(
            spec, access, path, planes, numbers, header.samples, paths=tuple(planes.folder.paths)
        )
    there = _there(path, own, header, name, block, places, partial=partial)
    written = np.repeat(there, header.samples, axis=1)[of_axes(dims)[:3]]
    counted = [each for each in dims if each in "tcz"]
    spec = checked_written(spec, written, counted, source=path, allow_partial=partial)
    numbers = np.where(there, places + block.offset, NEVER)
    wide = is_wide(dims, header.row * header.dtype.itemsize)
    access = Access(
        "random", "uncompressed", fixed_bytes=2 * numbers.nbytes, read_bytes=READ_BYTES, wide=wide
    )
    raw = _RawPlanes(own, (header.rows, header.row), header.dtype)
    return PlanesReader(spec, access, path, raw, numbers, header.samples, backwards, (own,))


def _block(path: str, image: Any, name: str) -> Any:
    """Return where the pixels of an image lie, as liffile has it."""
    try:
        return image.memory_block
    except (IndexError, KeyError) as error:
        raise damage(path, f"the pixels of {name} are not in it ({error})") from error


def _there(
    path: str, own: str, header: Header, name: str, block: Any, places: Array, *, partial: bool
) -> Array:
    """Return which planes lie within the pixels of an image that are in its file."""
    size = os.path.getsize(own)
    room = min(block.size, size - block.offset)
    ends = places + ((header.rows - 1) * header.row + header.width) * header.dtype.itemsize
    lacking = ends > room
    if lacking.any() and (not partial or lacking.all()):
        where = f"it has {room} bytes of pixels" if room == block.size else f"ends at byte {size}"
        what = f"{where}, before the end of {lacking.sum()} of the {lacking.size} planes of {name}"
        more = "" if lacking.all() else f", or {PARTIAL}"
        raise InputError(f"{own if own != os.path.abspath(path) else path}: {what}; {AGAIN}{more}")
    found: Array = ~lacking
    return found


def _files(path: str, image: Any, name: str) -> list[str]:
    """Return the files with the pixels of an image of a project."""
    return [_named(path, image.parent.dirname, each.file) for each in _block(path, image, name).frames]


def _tiff_planes(
    path: str, header: Header, name: str, block: Any, places: Array, files: Sequence[str]
) -> tuple[_TiffPlanes, Array]:
    """Return planes of which each is a TIFF, and their numbers."""
    if not all(each.lower().endswith((".tif", ".tiff")) for each in files):
        what = f"the pixels of {name} lie in files as {files[0]}, and only TIFF and LOF are read"
        raise InputError(f"{path}: {what}; export it as LIF")
    numbers = {each.offset: i for i, each in enumerate(block.frames)}
    if not all(place in numbers for place in places.flat):
        raise InputError(
            f"{path}: the planes of {name} are not one TIFF each; open the TIFF itself: {files[0]}"
        )
    folder = GridReader(stacked(files), path, plain=True)
    sizes, width = folder.spec.sizes, header.width // header.samples
    same = (sizes["y"], sizes["x"], folder.spec.dtype) == (header.rows, width, header.dtype)
    if not same or sizes.get("c", 1) < header.samples:
        what = f"its TIFFs have {sizes['y']} x {sizes['x']} pixels of {folder.spec.dtype}"
        raise damage(path, f"{what}, and the project says {header.rows} x {width} of {header.dtype}")
    return _TiffPlanes(folder, header.samples), np.vectorize(numbers.__getitem__)(places)


def _named(path: str, folder: str, name: str, what: str = "its pixels") -> str:
    """Return the path of a file that the project at ``path`` names, as seen from ``folder``."""
    own = os.path.abspath(path)
    return file_beside(own, unquote(name), os.path.relpath(folder, os.path.dirname(own)), what=what)


def _check_references(path: str, file: Any, seen: set[str]) -> int:
    """Refuse a project that names files outside its folder, or itself: liffile opens whatever is named.

    Returns
    -------
    int
        Bytes of the headers of all files.
    """
    if file.filepath in seen:
        raise damage(path, f"its file {file.filepath} is named twice")
    seen.add(file.filepath)
    for each in file.xml_element.iterfind("./Element/Children/Reference"):
        if each.get("File") is not None:
            _named(path, file.dirname, each.attrib["File"], "a part of it")
    pixels = sum(each.size for each in file.memory_blocks.values() if each.offset > 0)
    own: int = max(0, os.path.getsize(file.filepath) - pixels)
    return own + sum(_check_references(path, child, seen) for child in file.children)


@dataclass(frozen=True)
class _RawPlanes:
    """Uncompressed planes of one file; the number of a plane is the byte of its first pixel."""

    path: str
    shape: tuple[int, int]
    """Rows, and values from one row to the next."""
    dtype: DType

    def read_into(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        """Fill ``out`` with a part of a plane."""
        read_plane(out, self.path, number, self.shape, self.dtype, (rows, columns))

    def close(self) -> None:
        """Do nothing: no file is open."""


@dataclass(frozen=True)
class _TiffPlanes:
    """Planes in TIFFs, numbered as in a folder of them."""

    folder: GridReader
    samples: int

    @property
    def dtype(self) -> DType:
        """That of the TIFFs, in native byte order."""
        return self.folder.spec.dtype

    def read_into(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        """Fill ``out`` with a part of a plane; LAS X writes grey TIFFs with three equal colours too."""
        per, spec = self.samples, self.folder.spec
        step = columns.step or 1
        samples = slice(columns.start % per, columns.start % per + 1) if step > 1 else slice(0, per)
        along = {"z": slice(number, number + 1), "c": samples, "y": rows}
        along["x"] = slice(columns.start // per, -(-columns.stop // per))
        part = self.folder.read(tuple(along[name] for name in spec.dims))
        out[...] = (np.moveaxis(part, spec.axis("c"), -1) if "c" in spec.dims else part).reshape(out.shape)

    def close(self) -> None:
        """Let go of the TIFFs."""
        self.folder.close()
