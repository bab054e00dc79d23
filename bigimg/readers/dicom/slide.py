"""A reader of whole slides in DICOM: the tiles of one level in any number of files, read one by one.

A slide is a series of files: its levels, its focal planes and optical paths, each in files of their own or together,
and each file in parts (a concatenation). The levels are images to choose from, the largest is the first. Photos of
the glass and of its label are taken only by someone who asks for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bigimg.errors import PARTIAL, InconsistentSeries, InputError, counted, damage, without_remedy
from bigimg.geometry.axes import Axis
from bigimg.geometry.even import even_step
from bigimg.geometry.holes import each_box, hole_value, with_holes
from bigimg.geometry.region import on_all_axes, pieces, shape_of, shift
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, SpacingNote
from bigimg.geometry.units import converted
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.dicom.fields import Fields, first_item
from bigimg.readers.dicom.files import OfFiles
from bigimg.readers.dicom.pixels import Pixels
from bigimg.readers.dicom.slide_files import SlideFile, origin_of, slide_file
from bigimg.readers.dicom.spec import notes_of
from bigimg.readers.dicom.tags import fields_of, number, numbers, text, value_of
from bigimg.readers.several import Named, only_photos, pick
from bigimg.types import Array, Json, Region

if TYPE_CHECKING:
    from pydicom import Dataset

TABLE_BYTES = 300
"""Memory of the tables for each frame while they are made, measured."""
LIBRARY_BYTES = 24_000_000
"""Memory of pydicom and the decoders, from the first frame on, measured."""
MOST_CELLS = 1 << 25
"""Places of tiles, taken or not, each of 8 bytes: a header of a few bytes can promise any number of them."""
EVEN = 0.05
"""Largest deviation of a focal plane from an even distance, in parts of it."""


@dataclass(frozen=True)
class SlideReader(OfFiles):
    """A :class:`bigimg.reader.Reader` of one level of a slide."""

    title = "DICOM slide"
    index: Array
    """Of shape (paths, planes, rows, columns, 2): file and frame of each tile; -1 where there is none."""
    fill: float = 0
    """Value of pixels that were not scanned."""
    coarser: tuple[Callable[[], SlideReader], ...] = ()
    """What opens each coarser level; see :func:`bigimg.reader.coarser_of`."""
    lossy: bool = False
    """Whether its tiles may have lost something when they were stored, now or before."""

    def read(self, region: Region) -> Array:
        """Return the values of ``region``, tile by tile.

        Raises
        ------
        InputError
            A file is corrupt, or shorter than it says.
        """
        _, c, z, y, x = on_all_axes(region, self.spec.dims)
        size = self.files[0].rows, self.files[0].columns
        colored = self.files[0].samples > 1
        whole = np.empty(shape_of((c, z, y, x)), self.spec.dtype)
        for (row, column), box in pieces((y, x), size):
            target = shift(box, (y.start, x.start))
            inside = shift(box, (row * size[0], column * size[1]))
            for plane in range(z.start, z.stop):
                for path in (0,) if colored else range(c.start, c.stop):
                    file, frame = self.index[path, plane, row, column].tolist()
                    values: Any = self.fill if file < 0 else self.files[file].read(frame, *inside)
                    if colored:
                        whole[(slice(None), plane - z.start, *target)] = values if file < 0 else values[c]
                    else:
                        whole[(path - c.start, plane - z.start, *target)] = values
        return whole.reshape(shape_of(region))


@dataclass(frozen=True)
class _Image:
    """The frames of one level, or of one photo."""

    members: list[tuple[SlideFile, Array]]
    """Files and the numbers of their frames."""

    @property
    def first(self) -> SlideFile:
        return self.members[0][0]

    @property
    def shape(self) -> tuple[int, ...]:
        pixels = self.first.pixels
        return (*self.first.shape, pixels.samples) if pixels.samples > 1 else self.first.shape


def open_slide(
    paths: Sequence[str],
    source: str,
    *,
    series: int | str | None,
    allow_partial: bool,
    notes: Sequence[str] = (),
) -> SlideReader:
    """Return a reader of one level of the slide in the DICOM files at ``paths``.

    Parameters
    ----------
    paths : sequence of str
    source : str
        What they are together, for messages.
    series : int or str, optional
        Number or name of a level or photo, or the SeriesInstanceUID of a slide among several.
    allow_partial : bool
        Leave out damaged files, and frames behind the end of files that are cut; tiles that are then in no file are
        holes.
    notes : sequence of str
        Notes on the source.

    Raises
    ------
    InputError
        There are several slides and none is chosen, or only photos; a file is damaged, or parts are missing.
    InconsistentSeries
        Two files show one place, or their tiles differ in size or type.
    UsageError
        There is no such image.
    """
    files, damaged = _files(paths, source, partial=allow_partial)
    images, names, main = _images(files)
    if isinstance(series, str) and (
        own := [i for i, each in enumerate(images) if each.first.slide[0] == series]
    ):
        main, series = own[0], None
    if series is None and main is not None and images[main].first.photo:
        raise only_photos(source)
    number, others = pick(
        source, [Named(name, each.shape) for name, each in zip(names, images, strict=True)], series, main=main
    )
    image = images[number]
    _check_complete(image, source, partial=allow_partial)
    if damaged:
        are = "is" if len(damaged) == 1 else "are"
        others = (
            *others,
            f"{counted(len(damaged), 'file')} of {len(paths)} {are} damaged and left out: {damaged[0]}",
        )
    reader = _reader(image, source, (*notes, *others))
    opener = partial(open_slide, paths, source, allow_partial=allow_partial)
    coarser = tuple(partial(opener, series=level) for level in _coarser(names, number))
    return replace(reader, coarser=coarser, lossy=any(file.lossy for file, _ in image.members))


def _coarser(names: Sequence[str], number: int) -> Iterator[int]:
    """Yield the numbers of the coarser levels of an image, which follow it; none of a photo."""
    of, word, _ = names[number].rpartition("level ")
    for each in range(number + 1, len(names) if word else 0):
        if names[each].rpartition("level ")[:2] != (of, word):
            return
        yield each


def _files(paths: Sequence[str], source: str, *, partial: bool) -> tuple[list[SlideFile], list[str]]:
    """Return the files, and what is wrong with those that are left out."""
    files, damaged = list[SlideFile](), list[str]()
    for path in paths:
        try:
            files.append(slide_file(path, allow_partial=partial))
        except InputError as error:
            if not partial or len(paths) == 1:
                raise
            damaged.append(without_remedy(error))
    if not files:
        raise InputError(f"{source}: none of {len(paths)} files of the slide can be opened ({damaged[0]})")
    copies = {text(each.header, "SOPInstanceUID"): each for each in files}
    if len(copies) < len(files) and all(copies):
        raise InconsistentSeries(f"{source}: files have copies (same SOPInstanceUID); remove the copies")
    return sorted(
        files, key=lambda each: (number(each.header, "InstanceNumber") or 0, each.pixels.path)
    ), damaged


class _Kind(NamedTuple):
    """What the frames of one image have in common; images are listed in the order of these."""

    slide: int
    """Number of the slide."""
    photo: str
    """Empty for what was scanned, which comes first."""
    path: str
    """Optical path of a colour image: each is an image of its own."""
    smaller: int
    """The number of its pixels, negative: the largest level comes first."""
    shape: tuple[int, int]
    samples: int


def _images(files: Sequence[SlideFile]) -> tuple[list[_Image], list[str], int | None]:
    """Return all images with their names, and which of them is taken where none is chosen (None: one must be)."""
    slides = list(dict.fromkeys(file.slide for file in files))
    found: dict[_Kind, _Image] = {}
    for file in files:
        colored, shape = file.pixels.samples > 1, file.shape
        for i, path in enumerate(file.paths if colored else [""]):
            frames = np.flatnonzero(file.path == i) if colored else np.arange(file.pixels.frames)
            if frames.size:
                size = -shape[0] * shape[1]
                kind = _Kind(slides.index(file.slide), file.photo, path, size, shape, file.pixels.samples)
                found.setdefault(kind, _Image([])).members.append((file, frames))
    kinds = sorted(found, key=lambda kind: (kind.slide, kind.photo != "", kind.photo == "label", kind))
    scanned = [kind for kind in kinds if not kind.photo]
    several_slides = len({kind.slide for kind in scanned}) > 1
    several_paths = len({(kind.slide, kind.path) for kind in scanned}) > len({kind.slide for kind in scanned})
    names, levels = list[str](), Counter[tuple[int, str]]()
    for kind in kinds:
        words = [f"slide {kind.slide}"] if several_slides else []
        if not kind.photo:
            words += [f"path {kind.path}"] if several_paths else []
            words += [f"level {levels[kind.slide, kind.path]}"]
            levels[kind.slide, kind.path] += 1
        names.append(" ".join([*words, kind.photo]).strip())
    main = None if several_slides else kinds.index(scanned[0]) if scanned else 0
    return [found[kind] for kind in kinds], names, main


def _check_complete(image: _Image, source: str, *, partial: bool) -> None:
    """Refuse an image of which parts are in no file."""
    wholes: dict[str, list[SlideFile]] = {}
    for file, _ in image.members:
        wholes.setdefault(file.whole, []).append(file)
    for parts in wholes.values():
        there, expected = sum(file.pixels.frames for file in parts), parts[0].expected
        most = number(parts[0].header, "InConcatenationTotalNumber")
        lacking = bool(most and len(parts) < most)
        if (there < expected or lacking) and not partial:
            which = sorted(int(number(file.header, "InConcatenationNumber") or 0) for file in parts)
            here = (
                f"{'part' if len(parts) == 1 else 'parts'} {', '.join(map(str, which))}" if which[0] else "it"
            )
            what = f"{here} of its {most:g} parts" if most else here
            count = f", {there} of {expected} tiles," if expected else ""
            are = "is" if len(parts) == 1 else "are"
            raise InputError(
                f"{source}: {what}{count} {are} there; give the folder with all of them, or {PARTIAL}"
            )


def _reader(image: _Image, source: str, of_source: tuple[str, ...]) -> SlideReader:
    """Return the reader of one image."""
    files = [file for file, _ in image.members]
    first, notes = files[0], list[str]()
    alike = {
        (f.pixels.rows, f.pixels.columns, f.pixels.dtype.name, f.pixels.photometric == "MONOCHROME1")
        for f in files
    }
    if len(alike) > 1:
        kinds = " and ".join(f"{rows} x {columns} {dtype}" for rows, columns, dtype, _ in sorted(alike))
        raise InconsistentSeries(
            f"{source}: its tiles are of several kinds ({kinds}); open the files separately"
        )
    paths = (
        list(dict.fromkeys(name for f in files for name in f.paths)) if first.pixels.samples == 1 else [""]
    )
    index, z = _laid_out(image, paths, source, notes)
    spec = _described(image, source, paths, z, notes)
    spec = replace(spec, of_source=of_source)
    holes = _holes(spec, index, first.pixels, source)
    spec = with_holes(spec, holes, source=source, remedy="open another level by series=NUMBER")
    pixels = tuple(f.pixels for f in files)
    return SlideReader(
        spec, _access(pixels, index), source, pixels, index, hole_value(spec.dtype, spec.padding)
    )


def _laid_out(image: _Image, paths: list[str], source: str, notes: list[str]) -> tuple[Array, Array]:
    """Return file and frame of each tile, and the position of each focal plane in micrometres."""
    first = image.first
    grid = tuple(
        -(-n // size) for n, size in zip(first.shape, (first.pixels.rows, first.pixels.columns), strict=True)
    )
    z = np.concatenate([file.z[frames] for file, frames in image.members])
    tile = np.concatenate([file.tile[frames] for file, frames in image.members])
    path = np.concatenate([
        np.array([paths.index(name) if len(paths) > 1 else 0 for name in file.paths])[file.path[frames]]
        for file, frames in image.members
    ])  # fmt: skip
    where = np.concatenate([
        np.stack([np.full(len(frames), i), frames], axis=1) for i, (_, frames) in enumerate(image.members)
    ])  # fmt: skip
    planes, plane = np.unique(z, return_inverse=True)
    flat = np.ravel_multi_index((path, tile[:, 0], tile[:, 1]), (len(paths), *grid))
    if len(planes) > 1 and len(np.unique(flat)) == len(flat):  # the focus followed the tissue
        notes.append(
            f"its tiles lie {planes[0]:g} to {planes[-1]:g} µm above the glass, as the focus followed the tissue"
        )
        planes, plane = planes[:1], np.zeros_like(plane)
    if (cells := math.prod((len(paths), len(planes), *grid))) > MOST_CELLS:
        what = f"its header says {cells} places of tiles, and at most {MOST_CELLS} are kept"
        raise damage(source, what)
    index = np.full((len(paths), len(planes), *grid, 2), -1, np.int32)
    index[path, plane, tile[:, 0], tile[:, 1]] = where
    if (index[..., 0] >= 0).sum() < len(where):
        lost = len(where) - int((index[..., 0] >= 0).sum())
        what = f"{lost} of {len(where)} tiles lie where another one lies"
        raise InconsistentSeries(f"{source}: {what}; open the files separately")
    return index, planes


def _described(image: _Image, source: str, paths: list[str], z: Array, notes: list[str]) -> ImageSpec:
    """Return the description of the image, but for its holes."""
    file = image.first
    header, pixels = file.header, file.pixels
    shared = Fields(header, first_item(header, "SharedFunctionalGroupsSequence"), None)
    spacing = shared.numbers("PixelSpacing", "PixelMeasuresSequence", 2)
    if not spacing or min(spacing) <= 0:
        notes.append(SpacingNote("the file has no pixel spacing; 1 is assumed"))
        spacing = None
    known = all(f.z_known for f, _ in image.members)
    step = even_step(z, within=EVEN) if len(z) > 1 and known else None
    if len(z) > 1 and step is None:
        where = (
            f"lie at {', '.join(f'{v:g}' for v in z)} µm, not evenly" if known else "have no known distance"
        )
        notes.append(SpacingNote(f"the focal planes {where}: 1 is assumed", "z"))
    samples = pixels.samples if pixels.samples > 1 else len(paths)
    axes = [
        Axis("c", samples) if samples > 1 else None,
        Axis("z", len(z), round(step, 6), "micrometer", float(z[0])) if step is not None
        else Axis("z", len(z)) if len(z) > 1 else None,
        *(_along(name, n, step, start) for name, n, step, start in zip(
            "yx", file.shape, spacing or (None, None), _start(header), strict=True)),
    ]  # fmt: skip
    kept = tuple(axis for axis in axes if axis is not None)
    channels, names = ({3: RGB, 4: RGBA}[samples], {}) if pixels.samples > 1 else _channels(image, paths)
    chunk = {"c": pixels.samples, "y": pixels.rows, "x": pixels.columns}
    notes += notes_of(header, pixels) + _slide_notes(file)
    public, private = public_and_private(fields_of(header) | _lens(header), "dicom")
    return ImageSpec(
        kept, pixels.dtype, tuple(min(chunk.get(axis.name, 1), axis.size) for axis in kept), channels,
        meta=public, private=private | names, notes=tuple(notes),
    )  # fmt: skip


def _along(name: str, size: int, step: float | None, start: float) -> Axis:
    """Return an axis in micrometres from numbers in millimetres."""
    if step is None:
        return Axis(name, size)
    micrometres = [converted(value, "millimeter", "micrometer") or 0.0 for value in (step, start)]
    return Axis(name, size, micrometres[0], "micrometer", micrometres[1])


def _start(header: Dataset) -> tuple[float, float]:
    """Return where the first pixel lies on the glass along y and x, in millimetres."""
    directions = numbers(header, "ImageOrientationSlide")
    if len(directions) != 6:
        return 0.0, 0.0
    across, down = np.reshape(directions, (2, 3))[:, :2] @ np.array(origin_of(header)[:2])
    return float(down), float(across)


def _channels(image: _Image, paths: list[str]) -> tuple[tuple[Channel, ...], dict[str, Json]]:
    """Return a channel for each optical path, by what it is called or by its wavelength."""
    names: dict[str, str] = {}
    for file, _ in image.members:
        for item in value_of(file.header, "OpticalPathSequence") or ():
            wave = number(item, "IlluminationWaveLength")
            said = text(item, "OpticalPathDescription").strip() or (f"{wave:g}nm" if wave else "")
            names.setdefault(text(item, "OpticalPathIdentifier"), said)
    if not any(names.get(path) for path in paths):
        return (), {}
    return known_channels([Channel(names.get(path) or f"Channel {i}") for i, path in enumerate(paths)])


def _lens(header: Dataset) -> dict[str, Json]:
    item = first_item(header, "OpticalPathSequence")
    power = None if item is None else number(item, "ObjectiveLensPower")
    return {} if power is None else {"ObjectiveLensPower": power}


def _slide_notes(file: SlideFile) -> list[str]:
    """Return notes on what the header says and is not done, and on what may name a person."""
    header = file.header
    profiles = [item for item in value_of(header, "OpticalPathSequence") or () if "ICCProfile" in item]
    absent = numbers(header, "RecommendedAbsentPixelCIELabValue")
    named = text(header, "SpecimenLabelInImage") == "YES" or file.photo == "label"
    found = {
        "colours are as the scanner gave them; its ICC profile is not applied": bool(profiles),
        "the label of the slide is in the image: it may name a person": named,
        f"for what was not scanned it recommends the CIELab colour {' '.join(f'{v:g}' for v in absent)}": bool(
            absent
        ),
    }
    return [note for note, is_so in found.items() if is_so]


def _holes(spec: ImageSpec, index: Array, pixels: Pixels, source: str) -> Iterator[Region]:
    """Return the boxes in which no tile lies."""
    lacking = index[..., 0] < 0
    if lacking.all():
        raise InputError(f"{source}: none of its tiles is there; fetch it again")
    paths, planes, down, across = lacking.shape
    edges = [
        (0, spec.sizes.get("c", 1)) if pixels.samples > 1 else range(paths + 1), range(planes + 1),
        [min(i * pixels.rows, spec.sizes["y"]) for i in range(down + 1)],
        [min(i * pixels.columns, spec.sizes["x"]) for i in range(across + 1)],
    ]  # fmt: skip
    for box in each_box(lacking, edges):
        along = dict(zip("czyx", box, strict=True))
        yield tuple(along[name] for name in spec.dims)


def _access(files: Sequence[Pixels], index: Array) -> Access:
    from pydicom.uid import UID

    first = files[0]
    tile, frames = first.plane_bytes, sum(pixels.frames for pixels in files)
    codec = "uncompressed" if first.plain else UID(first.syntax).name.split(" (")[0]
    why = f"tiles of {first.rows} x {first.columns}, {codec}"
    coded = max(2 * tile, max(pixels.length // pixels.frames for pixels in files))
    fixed = LIBRARY_BYTES + TABLE_BYTES * frames + index.nbytes
    return Access("random", why, (), fixed, 4 * tile + 2 * coded)
