"""Leica LIF, LOF and XLEF: headers through liffile (the extra ``bio``), pixels read by ourselves.

The header (XML) says for each axis and channel how many bytes apart its elements lie, in any order, with padded rows
and with colours as B G R. A project (XLEF) names other files: LOF with the pixels of an image, or a TIFF a plane.
Nothing has a checksum: a flipped bit of a pixel is not noticed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from bigimg.errors import AGAIN, PARTIAL, InputError, InputNotFoundError, MissingExtraError, damage, reading
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, Channel, ImageSpec
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.folders.folder import FolderReader
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.plain import READ_BYTES, is_wide, natural_chunks
from bigimg.readers.several import Named, pick
from bigimg.readers.vendor.planes import MOST_PLANES, NEVER, Planes, PlanesReader, chosen, read_plane
from bigimg.types import Array, DType
from bigimg.version import install_line

NAMES = dict(enumerate(("x", "y", "z", "t", "λ", "A", "N", "Q", "Λ", "M", "L"), 1))
"""Axes by DimID, with the letters of liffile: emission, rotation, slices over time, excitation, mosaic, loop."""

WAVELENGTHS = {"Λ": "excitation", "λ": "emission"}

COLORS = {
    "red": "FF0000", "green": "00FF00", "blue": "0000FF", "cyan": "00FFFF", "magenta": "FF00FF", "yellow": "FFFF00",
    "gray": "FFFFFF", "grey": "FFFFFF",
}  # fmt: skip
"""By the name of the lookup table."""

UNITS = {"m": ("micrometer", 1e6), "s": ("second", 1.0)}

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
        Which index along axes that are none of t c z y x, and not of wavelengths.
    allow_partial : bool
        Take the planes that a truncated file lacks for holes.

    Raises
    ------
    InputError
        The file is damaged or truncated, or a file that it names is missing or lies outside its folder.
    UsageError
        There is no such series, or an index must be chosen.
    """
    liffile = import_liffile(path)
    with ExitStack() as stack, reading(path, ERRORS, AGAIN):
        file = stack.enter_context(liffile.LifFile(path))
        _check_references(path, file, set())
        images = list(file.images)
        if not images:
            raise InputError(f"{path}: holds no image; record or export it again")
        every = [Named(image.path, _shape(image)) for image in images]
        main = next((i for i, image in enumerate(images) if not image.is_flim), 0)
        number, others = pick(path, every, series, main=main)
        return _Image(path, images[number], number, others, stack).reader(axis, partial=allow_partial)


class _Step(NamedTuple):
    """An axis as the header describes it."""

    size: int
    stride: int
    """Bytes from one element to the next."""
    origin: float = 0.0
    length: float = 0.0
    """From the first element to the last."""
    unit: str = ""


def _steps(image: Any) -> dict[str, _Step]:
    """Return the axes of an image by name."""
    found = {}
    for each in image.xml_element.iterfind("./Data/Image/ImageDescription/Dimensions/DimensionDescription"):
        name = NAMES.get(int(each.attrib["DimID"]), f"D{each.attrib['DimID']}")
        size, stride = int(each.attrib["NumberOfElements"]), int(each.attrib["BytesInc"])
        if name in found or size < 1 or stride < 0 or int(each.get("BitInc", 0)):
            raise ValueError(f"axis {name} of {size} elements, {stride} bytes apart")
        origin, length = float(each.attrib["Origin"]), float(each.attrib["Length"])
        found[name] = _Step(size, stride, origin, length, each.attrib["Unit"])
    return found


def _descriptions(image: Any) -> list[Any]:
    """Return the descriptions of channels, in the order of the file."""
    found = image.xml_element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    return sorted(found, key=lambda each: int(each.attrib["BytesInc"]))


def _shape(image: Any) -> tuple[int, ...]:
    if image.is_flim:
        return ()
    sizes = {name: step.size for name, step in _steps(image).items()}
    waves = math.prod(sizes.pop(name, 1) for name in WAVELENGTHS)
    ours = [sizes.pop("t", 1), waves * len(_descriptions(image)), *(sizes.pop(name, 1) for name in "zyx")]
    return tuple(size for size in (*sizes.values(), *ours) if size > 1)


class _Image:
    """One image of a file, on the way to its reader."""

    def __init__(self, path: str, image: Any, number: int, others: tuple[str, ...], stack: ExitStack) -> None:
        self.path, self.name, self.others = path, f"series {number} {image.path}", others
        if image.is_flim:
            what = f"{self.name} is raw FLIM, times of photons and no pixels, which is not read"
            raise InputError(f"{path}: {what}; choose another series, or export it as an image")
        self.block = _block(path, image, self.name)
        self.folder, self.files = image.parent.dirname, [each.file for each in self.block.frames]
        blocks = image.parent.memory_blocks.values()
        self.header = os.path.getsize(image.parent.filepath) - sum(
            each.size for each in blocks if each.offset > 0
        )
        if len(self.files) == 1 and self.files[0].lower().endswith(".lof"):
            inner = stack.enter_context(type(image.parent)(self._beside(self.files[0])))
            self.folder, self.files, image = inner.dirname, [], inner.images[0]
            self.block = _block(path, image, self.name)
        self.image, self.file = image, image.parent.filepath
        self.steps, self.described = _steps(image), _descriptions(image)
        self.dtype: DType = image.dtype
        item = self.dtype.itemsize
        self.x = self.steps.get("x", _Step(1, item * max(1, self.block.size == 0)))
        self.per = max(1, self.x.stride // item)
        self.width = self.x.size * self.per
        flat = self.steps.get("y", _Step(1, self.width * item))
        self.rows, self.row = flat.size, (flat.stride if flat.size > 1 else self.width * item) // item
        places = np.array([int(each.attrib["BytesInc"]) for each in self.described])
        if (
            self.x.stride not in (0, self.per * item)
            or self.row < self.width
            or len(places) % self.per
            or (places.reshape(-1, self.per) - places[:: self.per, None] != np.arange(self.per) * item).any()
            or any(int(each.get("BitInc", 0)) for each in self.described)
        ):
            raise InputError(
                f"{path}: the pixels of {self.name} lie in an order that is not read; export them as TIFF"
            )
        self.groups = places[:: self.per]

    def reader(self, axis: Mapping[str, int] | None, *, partial: bool) -> PlanesReader:
        """Return the reader; ``axis`` chooses among axes that we have not."""
        places = self._places(axis)
        planes, numbers = (
            self._tiff_planes(places) if self.files else self._raw_planes(places, partial=partial)
        )
        backwards = not self.files and self.per == 3 and self._tags()[:2] == ["3", "2"]
        axes, notes = self._axes(numbers.shape)
        dims = [each.name for each in axes]
        order = [*(name for name in dims if name != "c"), "c"] if self.per > 1 else dims
        channels, private = known_channels(self._channels())
        public, more = public_and_private(self._optics(), "lif")
        spec = ImageSpec(
            axes, self.dtype, natural_chunks(axes, order), channels, meta=public, notes=notes,
            private=more | private, of_source=self.others,
        )  # fmt: skip
        written = (numbers != NEVER)[tuple(slice(None) if name in dims else 0 for name in "tcz")]
        if self.per > 1 and "c" in dims:
            written = np.repeat(written, self.per, axis=dims.index("c"))
        counted = [name for name in dims if name in "tcz"]
        spec = checked_written(spec, written, counted, source=self.path, allow_partial=partial)
        access, paths = Access("random", "uncompressed", read_bytes=READ_BYTES), [self.path, self.file]
        if isinstance(planes, _TiffPlanes):
            access, paths = planes.folder.access, [self.path, *planes.folder.paths]
        fixed = LIBRARY_BYTES + XML_FACTOR * max(self.header, 0) + 2 * numbers.nbytes + access.fixed_bytes
        wide = is_wide(dims, self.row * self.dtype.itemsize)
        access = Access("random", access.why, fixed_bytes=fixed, read_bytes=access.read_bytes, wide=wide)
        return PlanesReader(
            spec, access, self.path, planes, numbers, self.per, backwards, tuple(dict.fromkeys(paths))
        )

    def _places(self, axis: Mapping[str, int] | None) -> Array:
        """Return where each plane begins in the memory of the image, by t, group and z, in bytes."""
        others = {name: step.size for name, step in self.steps.items() if name not in "tzyxΛλ"}
        if others.get("M", 1) > 1 and "M" not in (axis or {}):
            what = f"{self.name} is a mosaic of {others['M']} tiles that were not merged"
            remedy = "export it merged by LAS X, or take one tile by axis={'M': 0}"
            raise InputError(f"{self.path}: {what}; {remedy}")
        index = chosen(self.path, self.name, others, axis)
        t, z, *waves = (self.steps.get(name, _Step(1, 0)) for name in ("t", "z", *WAVELENGTHS))
        count = t.size * z.size * len(self.groups) * math.prod(step.size for step in waves)
        if count > MOST_PLANES:
            raise damage(
                self.path, f"{self.name} should have {count} planes, and at most {MOST_PLANES} are read"
            )
        first = sum(self.steps[name].stride * at for name, at in index.items())
        along = [np.arange(step.size) * step.stride for step in (t, *waves, z)]
        found: Array = reduce(np.add.outer, (along[0], self.groups, *along[1:])) + first
        return found.reshape(t.size, -1, z.size)

    def _raw_planes(self, places: Array, *, partial: bool) -> tuple[Planes, Array]:
        """Return planes that lie in one file; those that reach beyond its end are not there."""
        item, size = self.dtype.itemsize, os.path.getsize(self.file)
        lasts = places + ((self.rows - 1) * self.row + self.width) * item
        room = min(self.block.size, size - self.block.offset)
        lacking = lasts > room
        if lacking.any() and (not partial or lacking.all()):
            where = (
                f"{self.file} ends at byte {size}"
                if room < self.block.size
                else f"it has {room} bytes of pixels"
            )
            where = where.removeprefix(f"{os.path.abspath(self.path)} ")
            what = f"{where}, before the end of {lacking.sum()} of the {lacking.size} planes of {self.name}"
            more = "" if lacking.all() else f", or {PARTIAL}"
            raise InputError(f"{self.path}: {what}; {AGAIN}{more}")
        planes = _RawPlanes(self.file, (self.rows, self.row), self.dtype)
        return planes, np.where(lacking, NEVER, places + self.block.offset)

    def _tiff_planes(self, places: Array) -> tuple[Planes, Array]:
        """Return planes of which each is a TIFF beside the project."""
        if not all(name.lower().endswith((".tif", ".tiff")) for name in self.files):
            what = f"the pixels of {self.name} lie in files as {self.files[0]}, which are read from TIFF and LOF alone"
            raise InputError(f"{self.path}: {what}; export it as LIF")
        numbers = {each.offset: i for i, each in enumerate(self.block.frames)}
        if not all(place in numbers for place in places.flat):
            what = f"the planes of {self.name} are not one TIFF each"
            raise InputError(f"{self.path}: {what}; open the TIFF itself: {self._beside(self.files[0])}")
        folder = FolderReader([self._beside(name) for name in self.files], self.path)
        sizes = folder.spec.sizes
        found = sizes["y"], sizes["x"], folder.spec.dtype
        if found != (self.rows, self.x.size, self.dtype) or sizes.get("c", 1) not in (1, 3):
            what = f"its TIFFs have {sizes} pixels of {folder.spec.dtype}"
            raise damage(
                self.path, f"{what}, and the project says {self.rows} x {self.x.size} of {self.dtype}"
            )
        return _TiffPlanes(folder, self.per), np.vectorize(numbers.__getitem__)(places)

    def _beside(self, name: str) -> str:
        return _inside(self.path, self.folder, name)

    def _tags(self) -> list[str | None]:
        return [each.get("ChannelTag") for each in self.described]

    def _axes(self, counts: Sequence[int]) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
        """Return the axes that are longer than 1, and notes; the planes are ``counts`` along t, group and z."""
        channels, found, notes = counts[1] * self.per, [], []
        for name in "tczyx":
            step = self.steps.get(name, _Step(1, 0))
            size = channels if name == "c" else step.size
            if size == 1 and name in "tcz":
                continue
            unit, factor = UNITS.get(step.unit, (None, 1.0))
            if step.length < 0:
                notes.append(f"{name} was recorded from its far end on: index 0 has the largest coordinate")
            spacing = abs(step.length) * factor / max(size - 1, 1)
            known = name != "c" and spacing > 0 and math.isfinite(spacing)
            origin = (
                round(step.origin * factor, 9)
                if known and step.length > 0 and math.isfinite(step.origin)
                else 0.0
            )
            found.append(Axis(name, size, spacing, unit, origin) if known else Axis(name, size))
        for name in "yx":
            if name not in self.steps:
                scan = " ".join(each for each in self.steps)
                notes.append(f"the file has no axis {name} (it is a scan along {scan}), so {name} has size 1")
        return tuple(found), tuple(notes)

    def _channels(self) -> list[Channel]:
        """Return channels, for each wavelength where there are such axes."""
        if self.per == 3 and sorted(map(str, self._tags())) == ["1", "2", "3"]:
            base = list(RGB)
        else:
            colors = [COLORS.get(each.get("LUTName", "").lower()) for each in self.described]
            base = [Channel(name, color) for name, color in zip(self._names(), colors, strict=True)]
        found = [""]
        for axis, what in WAVELENGTHS.items():
            step = self.steps.get(axis, _Step(1, 0))
            if step.size > 1:
                waves = np.linspace(step.origin, step.origin + step.length, step.size) * 1e9
                found = [f"{before} {what} {wave:.4g} nm".strip() for before in found for wave in waves]
        if len(found) == 1:
            return base
        alone = len(base) == 1
        groups = [base[i : i + self.per] for i in range(0, len(base), self.per)]
        return [
            Channel(wave if alone else f"{each.name} {wave}", each.color)
            for group in groups
            for wave in found
            for each in group
        ]

    def _names(self) -> list[str]:
        """Return the dyes of channels, or what else liffile finds to name them by."""
        with suppress(ValueError, AssertionError):  # liffile knows no padded rows but those of colours
            for name in "CS":
                if len(found := self.image.coords.get(name, ())) == len(self.described):
                    return [str(each) for each in found]
        return [_dye(each, i) for i, each in enumerate(self.described)]

    def _optics(self) -> dict[str, Any]:
        """Return the settings of the microscope."""
        found = self.image.xml_element.find(".//ATLConfocalSettingDefinition")
        if found is None:
            found = self.image.xml_element.find(".//ATLCameraSettingDefinition")
        return {} if found is None else dict(found.attrib)


def _dye(description: Any, number: int) -> str:
    """Return the dye of a channel, else its number as liffile names it."""
    found = description.find("ChannelProperty[Key='DyeName']")
    dye: str | None = found.findtext("Value") if found is not None else None
    return dye.removeprefix("Leica/") if dye else f"Ch{number}"


def _block(path: str, image: Any, name: str) -> Any:
    """Return where the pixels of an image lie."""
    try:
        return image.memory_block
    except (IndexError, KeyError) as error:
        raise damage(path, f"the pixels of {name} are not in it ({error})") from error


def _inside(path: str, folder: str, name: str) -> str:
    """Return the path of a file that a project names, as seen from ``folder``.

    Raises
    ------
    InputError
        It lies outside the folder of the project at ``path``: a project must not be able to read any file here.
    InputNotFoundError
        It is not there.
    """
    root = os.path.dirname(os.path.abspath(path))
    found = os.path.normpath(os.path.join(folder, unquote(name).replace("\\", "/")))
    if os.path.commonpath([root, found]) != root:
        what = f"names the file {name!r}, outside its own folder"
        raise InputError(
            f"{path}: {what}; open the .xlef of the project, with all its files below its folder"
        )
    if not os.path.exists(found):
        raise InputNotFoundError(f"{path}: its file {found} is missing; copy the whole folder of the project")
    return found


def _check_references(path: str, file: Any, seen: set[str]) -> None:
    """Refuse a project that names files outside its folder, or itself: liffile opens whatever is named."""
    if file.filepath in seen:
        raise damage(path, f"its file {file.filepath} is named twice")
    seen.add(file.filepath)
    for each in file.xml_element.iterfind("./Element/Children/Reference"):
        if each.get("File") is not None:
            _inside(path, file.dirname, each.attrib["File"])
    for child in file.children:
        _check_references(path, child, seen)


@dataclass(frozen=True)
class _RawPlanes:
    """Uncompressed planes of one file; the number of a plane is the byte of its first pixel."""

    path: str
    shape: tuple[int, int]
    """Rows, and samples from one row to the next."""
    dtype: DType

    def read_into(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        """Fill ``out`` with a part of a plane."""
        read_plane(out, self.path, number, self.shape, self.dtype, (rows, columns))

    def close(self) -> None:
        """Do nothing: no file is open."""


@dataclass(frozen=True)
class _TiffPlanes:
    """Planes in TIFFs, numbered as in a folder of them."""

    folder: FolderReader
    samples: int

    @property
    def dtype(self) -> DType:
        """That of the TIFFs, in native byte order."""
        return self.folder.spec.dtype

    def read_into(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        """Fill ``out`` with a part of a plane; LAS X writes grey TIFFs with three equal colours too."""
        per = self.samples
        along = {"z": slice(number, number + 1), "c": slice(0, per), "y": rows}
        along["x"] = slice(columns.start // per, columns.stop // per)
        part = self.folder.read(tuple(along[name] for name in self.folder.spec.dims))
        if per > 1:
            part = np.moveaxis(part, self.folder.spec.axis("c"), -1)
        out[...] = part.reshape(out.shape)

    def close(self) -> None:
        """Let go of the TIFFs."""
        self.folder.close()


def import_liffile(path: str) -> Any:
    """Return liffile.

    Raises
    ------
    MissingExtraError
        It is not installed; the message has the line that installs it.
    """
    try:
        import liffile
    except ImportError:
        what = "is a file of Leica, whose header liffile reads, and that is not installed"
        raise MissingExtraError(f"{path}: {what}: {install_line('bio')}") from None
    return liffile
