"""A reader of many 2-D files as one volume: a folder, a pattern or a list, in natural order along z.

The registry opens each file, so planes may have any format that bigimg reads. Each file is opened once to be checked,
and closed again. For planes that are read by window (tiles and strips), the last ``MOST_OPEN`` readers stay open, as
many as a block is deep. A plane that must be decoded from its start is opened for one read, one at a time.

DICOM files have an order of their own; :mod:`bigimg.readers.dicom.reader` reads folders of them.
"""

from __future__ import annotations

import glob
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from bigimg.errors import (
    PARTIAL,
    InputError,
    InputNotFoundError,
    MissingExtraError,
    UnknownFormatError,
    UsageError,
    counted,
    without_remedy,
)
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import boxes_of, hole_value, with_holes
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec, SpacingNote
from bigimg.reader import Access, Reader, as_kind, as_part, parts_of
from bigimg.readers.boundary import bounded
from bigimg.readers.dicom.study import SYSTEM, Study, may_be_dicom, study_below
from bigimg.readers.folders.numbering import natural_key, numbering_notes, patterns_note
from bigimg.readers.registry import find_format, no_options, only_image, open_file
from bigimg.readers.sniffing import document_in, head_inside, is_dicom
from bigimg.types import Array, Kind, Part, Region

MOST_OPEN = 320
"""Readers that stay open. A block is 256 planes deep, so its neighbour along x or y opens none again. Most systems let
a process open 1024 files."""

OPEN_BYTES = 32 << 20
"""Bytes that open readers may hold together; planes that need more are opened for each read."""

READER_BYTES = 24 << 10
"""Of an open reader, in addition to its ``fixed_bytes``: objects and metadata, measured with small TIFFs."""

MOST_NAMED = 5
"""Damaged files that are named in the notes."""


def open_folder(path: str | os.PathLike[str], *, series: int | str | None = None, **asked: Any) -> Reader:
    """Return a reader of all files in a folder, or of those that a pattern such as ``scan/*.tif`` matches.

    Parameters
    ----------
    path : str or path-like
    series : int or str, optional
        Which series, where DICOM files hold several.
    **asked
        Other options of :class:`bigimg.types.Opening`. By ``allow_partial`` a file that cannot be opened is a hole.

    Raises
    ------
    InputNotFoundError
        There is no such folder, or nothing in it matches.
    InputError
        The files are of several formats, or not planes of one size and type.
    """
    name = os.fspath(path)
    if not os.path.isdir(name):
        found = [each for each in glob.glob(name, recursive=True) if os.path.isfile(each)]
        if not found:
            raise InputNotFoundError(f"{name}: no file matches; check the pattern and the folder")
        return open_files(found, source=name, series=series, **asked)
    if document_in(name) is not None:
        return open_file(name, series=series, **asked)
    with os.scandir(name) as entries:
        ours = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in SYSTEM]
        files = [entry.path for entry in ours if not entry.is_dir()]
    folders = len(ours) - len(files)
    if (folders or not files) and not any(_is_picture(path) for path in files):
        study = study_below(name)
        if study.paths:
            return _open_study(study, series, asked)
    if not files and not folders:
        raise UnknownFormatError(f"{name}: is a folder, and it is empty; give one that holds an image")
    if folders:
        both = f"{counted(folders, 'folder')} and {counted(len(files), 'file')}"
        remedy = f"give one folder, or a pattern as in '{os.path.join(name, '*.tif')}'"
        raise InputError(f"{name}: holds {both}, so which are the planes is not known; {remedy}")
    return open_files(files, source=name, series=series, **asked)


def open_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
    source: str | None = None,
    series: int | str | None = None,
    **asked: Any,
) -> Reader:
    """Return a reader of ``paths`` as planes along z, put in natural order.

    Parameters
    ----------
    paths : sequence of str or path-like
    source : str, optional
        Their name together; by default the first and the last path.
    series : int or str, optional
        Which series, where DICOM files hold several.
    **asked
        Other options of :class:`bigimg.types.Opening`. By ``allow_partial`` a file that cannot be opened is a hole.

    Raises
    ------
    InputNotFoundError, UnknownFormatError
        A file is not there, or of no format that is read.
    InputError
        The files are of several formats, or not planes of one size and type.
    """
    names = [os.fspath(path) for path in paths]
    if not names:
        raise UsageError("an empty list of files is no image; give the paths of its planes")
    ordered, given = sorted(names, key=natural_key), source is not None
    notes: tuple[str, ...] = ()
    if source is None:
        source = f"{ordered[0]} … {os.path.basename(ordered[-1])}" if len(ordered) > 1 else ordered[0]
        if ordered != names:
            notes = ("the files were put in natural order; bigimg.stack keeps the order of a list",)
    if given and (study := _study_among(ordered)).paths:  # a person who lists the files means each of them
        return _open_study(study, series, asked)
    partial = bool(asked.get("allow_partial"))
    if _one_format(ordered, source, partial=partial) == "dicom":
        return _open_study(Study(ordered, 0), series, asked)
    only_image(source, series)
    no_options(source, asked, but={"allow_partial"})
    return FolderReader(ordered, source, notes, allow_partial=partial)


def _open_study(study: Study, series: int | str | None, asked: Mapping[str, Any]) -> Reader:
    from bigimg.readers.dicom.reader import open_dicom_files

    paths = study.paths
    source = os.path.dirname(paths[0]) or "."
    return bounded(source, lambda: open_dicom_files(paths, series=series, others=study.others, **asked))


def _is_picture(path: str) -> bool:
    """Return whether a file is an image of another format than DICOM."""
    try:
        return find_format(path).name != "dicom"
    except UnknownFormatError:
        return False


def _study_among(paths: Sequence[str]) -> Study:
    """Return the DICOM files among ``paths``; they do not count where most of the files are other images."""
    found: list[str] = []
    others: list[str] = []
    sure = False
    for path in paths:
        head, name, _ = head_inside(path)
        sure |= is_dicom(head, name)
        (found if may_be_dicom(head, name) else others).append(path)
    if not sure:
        return Study([], 0)
    pictures = sum(map(_is_picture, others))
    return Study([] if pictures > len(found) else found, len(others))


def _one_format(paths: Sequence[str], source: str, *, partial: bool) -> str:
    """Return the format that all files have, but for damaged ones if ``partial``.

    A file of no known format is damaged if its name ends as those of the others do.
    """
    found: Counter[str] = Counter()
    unknown: dict[str, UnknownFormatError] = {}
    endings: set[str] = set()
    for path in paths:
        ending = os.path.splitext(path)[1]
        try:
            found[find_format(path).name] += 1
            endings.add(ending.lower())
        except UnknownFormatError as error:
            unknown[path] = error
    damaged = [path for path in unknown if os.path.splitext(path)[1].lower() in endings]
    if len(found) == 1 and damaged and len(damaged) == len(unknown):
        if not partial:
            raise _lacking(unknown[damaged[0]], len(damaged), len(paths))
        return next(iter(found))
    found.update(f"unknown ({os.path.splitext(path)[1] or os.path.basename(path)})" for path in unknown)
    if len(found) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in found.most_common())
        pattern = os.path.join(os.path.dirname(paths[0]), "*" + os.path.splitext(paths[0])[1])
        what = f"holds files of several formats ({counts})"
        raise InputError(f"{source}: {what}; give a pattern that picks the planes, as in '{pattern}'")
    if unknown:
        raise next(iter(unknown.values()))
    return next(iter(found))


def _lacking(error: InputError, damaged: int, files: int) -> InputError:
    """Return the error of a damaged file of a folder: that of the file, and what else can be done."""
    more = f" ({counted(damaged, 'file')} of {files} cannot be opened)" if damaged > 1 else ""
    return type(error)(f"{error}{more}, or {PARTIAL} (its plane is then missing)")


class FolderReader:
    """Planes in files as a source of pixels; see :class:`bigimg.reader.Reader`.

    Parameters
    ----------
    paths : sequence of str
        Plane by plane.
    source : str
        What they are together.
    notes : sequence of str
    kind : {"labels", "mask"}, optional
        What the numbers mean, as a person says: of labels and masks the indices into palettes are read.
    part : {"real", "imaginary", "magnitude", "phase"}, optional
        Which part of complex values.
    allow_partial : bool
        Take the planes of files that cannot be opened for holes.
    """

    def __init__(
        self,
        paths: Sequence[str],
        source: str,
        notes: Sequence[str] = (),
        *,
        kind: Kind | None = None,
        part: Part | None = None,
        allow_partial: bool = False,
    ) -> None:
        self.source, self._notes, self._kind, self._part = source, notes, kind, part
        self._planes, self._partial = tuple(paths), allow_partial
        found = _check(self._planes, kind, part, partial=allow_partial)
        first, access, self._stamp, self.paths, self._lost, doubts = found
        self._first = next(i for i in range(len(paths)) if i not in self._lost)
        name = find_format(paths[self._first]).name
        self.format = f"{len(paths)} {name} file{'s' * (len(paths) > 1)} as planes"
        plane, self.parts = first.spec, parts_of(first)
        self._shared, each = _shared(first), access.fixed_bytes + READER_BYTES
        room = min(MOST_OPEN, OPEN_BYTES // each) if access.kind == "random" else 0
        self._most_open = room if room >= min(len(paths), 16) else 0
        notes = (*doubts, *notes, *numbering_notes(paths))
        volume = _volume(plane, len(paths), by_window=self._most_open > 0, notes=notes)
        volume = with_holes(volume, _holes(volume, self._lost))
        lost = [
            f"{error}: its plane is missing" for error in self._lost.values()
        ]  # names are kept in no store
        more = (*patterns_note(paths), *lost[:MOST_NAMED])
        self.spec = replace(volume, of_source=(*volume.of_source, *more))
        order = ("z", *(access.order or plane.dims))
        fixed, read = min(self._most_open, len(paths)) * each, 0 if self._most_open else each
        why = f"{self.format}: {access.why}"
        self.access = Access("random", why, order, fixed_bytes=fixed, read_bytes=access.read_bytes + read)
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Reader] = OrderedDict()

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``, plane by plane."""
        axis = self.spec.axis("z")
        planes, within = region[axis], region[:axis] + region[axis + 1 :]
        if planes.stop - planes.start == 1:
            return np.expand_dims(self._read_plane(planes.start, within), axis)
        out = np.empty(shape_of(region), self.spec.dtype)
        for index, plane in zip(range(planes.start, planes.stop), np.moveaxis(out, axis, 0), strict=True):
            plane[...] = self._read_plane(index, within)
        return out

    def indices(self) -> FolderReader | None:
        """Return a reader of the indices into the palettes; None where the first plane has none."""
        with (
            closing(open_file(self._planes[self._first])) as first,
            closing(as_kind(first, "labels")) as found,
        ):
            if found is first:
                return None
        return FolderReader(
            self._planes, self.source, self._notes, kind="labels", allow_partial=self._partial
        )

    def of_part(self, part: Part) -> FolderReader:
        """Return the reader of one part of complex values."""
        return FolderReader(
            self._planes, self.source, self._notes, kind=self._kind, part=part, allow_partial=self._partial
        )

    def close(self) -> None:
        """Let go of the files; a later read opens those it needs."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _read_plane(self, index: int, within: Region) -> Array:
        if index in self._lost:
            return np.full(shape_of(within), hole_value(self.spec.dtype, self.spec.padding), self.spec.dtype)
        if self._most_open:
            return self._cached(index).read(within)
        with closing(self._opened(index)) as reader:  # it begins at the top, so no stream is read backwards
            return reader.read(within)

    def _cached(self, index: int) -> Reader:
        """Return an open reader of a plane; at the limit, the reader that was used longest ago is closed."""
        with self._lock:
            reader = self._open.pop(index, None) or self._opened(index)
            self._open[index] = reader
            if len(self._open) > self._most_open:
                self._open.popitem(last=False)[1].close()
        return reader

    def _opened(self, index: int) -> Reader:
        reader = _plane(self._planes[index], self._kind, self._part)
        if _shared(reader) != self._shared:
            reader.close()
            raise InputError(f"{self._planes[index]}: has changed since it was opened; open the folder again")
        return reader

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_open")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _open=OrderedDict())


def _plane(path: str, kind: Kind | None, part: Part | None) -> Reader:
    reader = as_kind(open_file(path), kind)
    return reader if part is None else as_part(reader, part)


def _check(
    paths: Sequence[str], kind: Kind | None, part: Part | None, *, partial: bool
) -> tuple[Reader, Access, int, list[str], dict[int, str], Sequence[str]]:
    """Open every file; refuse one that is no plane or is unlike the first, and one that is damaged unless ``partial``.

    Returns the reader of the first plane, closed, the costs of the most expensive one, a stamp that changes when a file
    is written, the names of all files (a plane may be several), what is wrong with damaged ones by their number, and
    notes.
    """
    lost: dict[int, str] = {}
    stamp = 0
    first: Reader | None = None
    fixed = read = uneven = 0
    names: list[str] = []
    for number, path in enumerate(paths):
        try:
            reader = _plane(path, kind, part)
        except MissingExtraError:
            raise
        except InputError as error:
            if len(paths) > 1 and not partial:
                raise _lacking(error, 1, len(paths)) from error
            if not partial:
                raise
            lost[number] = without_remedy(error)
            names.append(path)
            continue
        reader.close()
        spec = reader.spec
        if not set(spec.dims) <= set("cyx"):
            shape = " x ".join(map(str, spec.shape))
            what = f"holds more than a plane ({' '.join(spec.dims)} = {shape})"
            raise InputError(f"{path}: {what}, and a folder is planes along z; open the file by itself")
        first = first or reader
        if _shared(reader) != _shared(first):
            what = f"is {_summary(reader)}, but {paths[0]} is {_summary(first)}; planes must be alike"
            raise InputError(f"{path}: {what}: give a pattern or a list that leaves it out")
        uneven += spec.axes != first.spec.axes
        fixed, read = max(fixed, reader.access.fixed_bytes), max(read, reader.access.read_bytes)
        names += dict.fromkeys((path, *getattr(reader, "paths", ())))
        status = os.stat(path)
        stamp = hash((stamp, status.st_size, status.st_mtime_ns))
    if first is None:
        raise InputError(
            f"{next(iter(lost.values()))}, and none of {counted(len(paths), 'file')} can be opened"
        )
    access = replace(first.access, fixed_bytes=fixed, read_bytes=read)
    many = f"{counted(uneven, 'plane')} of {len(paths)}"
    notes = [SpacingNote(f"{many} have another spacing than the first, which is used")] if uneven else []
    return first, access, stamp, names, lost, notes


def _holes(volume: ImageSpec, lost: Iterable[int]) -> Iterator[Region]:
    """Yield the planes that are ``lost``, runs of them as one box."""
    gone = np.zeros(volume.sizes["z"], bool)
    gone[list(lost)] = True
    axis = volume.axis("z")
    for (part,) in boxes_of(gone, [range(len(gone) + 1)]):
        yield tuple(part if i == axis else slice(0, n) for i, n in enumerate(volume.shape))


def _volume(plane: ImageSpec, count: int, *, by_window: bool, notes: Sequence[str]) -> ImageSpec:
    """Return the description of the volume; the planes say nothing about the third dimension."""
    axis = 1 if "c" in plane.dims else 0
    chunks = plane.chunks if by_window else plane.shape
    more: list[str] = [
        SpacingNote("files of planes do not say how far apart the planes are: 1 is assumed along z", "z")
    ]
    if plane.world is not None:
        more.append("the position of each plane in the world is left out")
    axes = (*plane.axes[:axis], Axis("z", count), *plane.axes[axis:])
    chunks = (*chunks[:axis], 1, *chunks[axis:])
    return replace(plane, axes=axes, chunks=chunks, world=None, notes=(*plane.notes, *more, *notes))


def _shared(reader: Reader) -> tuple[object, ...]:
    """Return what all planes of a volume must have in common."""
    spec = reader.spec
    return spec.dims, spec.shape, spec.dtype, spec.channels, spec.scaling, spec.kind, parts_of(reader)


def _summary(reader: Reader) -> str:
    """Return what ``_shared`` compares, for a message."""
    spec = reader.spec
    sizes = " ".join(f"{axis.name} {axis.size}" for axis in spec.axes)
    colors = f", channels {' '.join(channel.name for channel in spec.channels)}" if spec.channels else ""
    slope = f", slope {spec.scaling.slope:g} and intercept {spec.scaling.intercept:g}" if spec.scaling else ""
    return f"{sizes} {'complex ' if parts_of(reader) else ''}{spec.dtype}{colors}{slope}"
