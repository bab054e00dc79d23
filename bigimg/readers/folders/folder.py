"""A reader of many 2-D files as one volume: a folder, a pattern or a list, in natural order along z.

Every file goes through the registry, so planes are of any format that bigimg reads. What only this module
knows is how thousands of them are held: each is opened once to be checked and closed again. Readers of cheap
planes (tiles and strips that are read by window) stay open among the last ``MOST_OPEN``, as many as a block
is deep; a plane that must be decoded from its start is opened for one read and closed, one at a time.

Folders of DICOM files have an order of their own and go to :mod:`bigimg.readers.dicom.reader`.
"""

from __future__ import annotations

import glob
import hashlib
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bigimg.errors import InputError, InputNotFoundError, UnknownFormatError, UsageError, counted
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access, Reader
from bigimg.readers.folders.numbering import natural_key, numbering_notes
from bigimg.readers.registry import find_format, open_file
from bigimg.types import Array, Region

MOST_OPEN = 320
"""Readers kept: a block is 256 planes deep, so its neighbour along x or y opens nothing again; under the 1024
files that most systems allow a process."""

HELD_BYTES = 32 << 20
"""The most that kept readers may hold together; planes that would need more are opened for each read."""

READER_BYTES = 24 << 10
"""An open reader beside what it declares: its objects and metadata, measured with small TIFFs and rounded up."""

IGNORED = {"thumbs.db", "desktop.ini", "dicomdir"}
"""What systems leave in folders, in lower case; hidden files too."""


def open_folder(path: str | os.PathLike[str], *, series: int | str | None = None) -> Reader:
    """Return a reader of all files in a folder, or of those that a pattern such as ``scan/*.tif`` matches.

    Parameters
    ----------
    path : str or path-like
    series : int or str, optional
        Which series, where DICOM files hold several.

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
        return open_files(found, source=name, series=series)
    with os.scandir(name) as entries:
        seen = [
            each for each in entries if not each.name.startswith(".") and each.name.lower() not in IGNORED
        ]
        files = [each.path for each in seen if not each.is_dir()]
    folders = len(seen) - len(files)
    if not files and not folders:
        raise UnknownFormatError(f"{name}: is a folder, and it is empty; give one that holds an image")
    if folders:
        raise InputError(
            f"{name}: holds {counted(folders, 'folder')} and {counted(len(files), 'file')}, so which are the planes is "
            f"not known; give one folder, or a pattern as in '{os.path.join(name, '*.tif')}'"
        )
    return open_files(files, source=name, series=series)


def open_files(
    paths: Sequence[str | os.PathLike[str]], *, source: str | None = None, series: int | str | None = None
) -> Reader:
    """Return a reader of ``paths`` as planes along z, put in natural order.

    Parameters
    ----------
    paths : sequence of str or path-like
    source : str, optional
        What to call them together; the first and the last name otherwise.
    series : int or str, optional
        Which series, where DICOM files hold several.

    Raises
    ------
    InputNotFoundError, UnknownFormatError
        A file is not there, or of no format that is read.
    InputError
        The files are of several formats, or not planes of one size and type.
    """
    given = [os.fspath(path) for path in paths]
    if not given:
        raise UsageError("an empty list of files is no image; give the paths of its planes")
    ordered = sorted(given, key=natural_key)
    if source is None:
        source = f"{ordered[0]} … {os.path.basename(ordered[-1])}" if len(ordered) > 1 else ordered[0]
        notes = ["the files were put in natural order; bigimg.stack keeps an order of yours"] * (
            ordered != given
        )
    else:
        notes = []
    if _one_format(ordered, source) == "dicom":
        from bigimg.readers.dicom.reader import open_dicom_files

        reader: Reader = open_dicom_files(ordered, series=series)
        return reader
    if series not in (None, 0):
        raise UsageError(f"{source}: series {series!r} was asked for, and planes are one image, series 0")
    return FolderReader(ordered, source, notes)


def _one_format(paths: Sequence[str], source: str) -> str:
    """Return the format that all files have."""
    found: Counter[str] = Counter()
    unknown = ""
    for path in paths:
        try:
            found[find_format(path).name] += 1
        except UnknownFormatError as error:
            if len(paths) == 1:
                raise
            ending = os.path.splitext(path)[1] or os.path.basename(path)
            found[f"unknown ({ending})"] += 1
            unknown = unknown or str(error)
    if len(found) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in found.most_common())
        raise InputError(
            f"{source}: holds files of several formats ({counts}); give a pattern that picks the planes, as in "
            f"'{os.path.join(os.path.dirname(paths[0]), '*' + os.path.splitext(paths[0])[1])}'"
        )
    if unknown:
        raise UnknownFormatError(unknown)
    return next(iter(found))


class FolderReader:
    """Planes in files as a source of pixels; see :class:`bigimg.reader.Reader`.

    Parameters
    ----------
    paths : sequence of str
        Plane by plane.
    source : str
        What they are together.
    notes : sequence of str
    """

    def __init__(self, paths: Sequence[str], source: str, notes: Sequence[str] = ()) -> None:
        self.source = source
        self.format = f"{len(paths)} {find_format(paths[0]).name} file{'s' * (len(paths) > 1)} as planes"
        self._paths = tuple(paths)
        planes = _check(self._paths)
        self._core, self._stamp = _core(planes.spec), planes.stamp
        access, each = planes.access, planes.fixed_bytes + READER_BYTES
        room = min(MOST_OPEN, HELD_BYTES // each) if access.kind == "random" else 0
        self._keep = room if room >= min(len(paths), 16) else 0
        self.spec = _volume(
            planes, len(paths), by_window=self._keep > 0, notes=(*notes, *numbering_notes(paths))
        )
        self.access = Access(
            "random",
            f"{self.format}: {access.why}",
            ("z", *(access.order or planes.spec.dims)),
            fixed_bytes=min(self._keep, len(paths)) * each,
            read_bytes=planes.read_bytes + (0 if self._keep else each),
        )
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Reader] = OrderedDict()

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``, plane by plane."""
        axis = self.spec.axis("z")
        planes, within = region[axis], region[:axis] + region[axis + 1 :]
        if planes.stop - planes.start == 1:
            return np.expand_dims(self._read_plane(planes.start, within), axis)
        out = np.empty(shape_of(region), self.spec.dtype)
        for place, index in enumerate(range(planes.start, planes.stop)):
            np.moveaxis(out, axis, 0)[place] = self._read_plane(index, within)
        return out

    def close(self) -> None:
        """Let go of the files; a later read opens those it needs."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _read_plane(self, index: int, within: Region) -> Array:
        if self._keep:
            return self._kept(index).read(within)
        reader = self._opened(index)  # a fresh one, so that no stream ever goes back
        try:
            return reader.read(within)
        finally:
            reader.close()

    def _kept(self, index: int) -> Reader:
        """Return the open reader of a plane; the one used longest ago is closed for it."""
        with self._lock:
            reader = self._open.pop(index, None) or self._opened(index)
            self._open[index] = reader
            if len(self._open) > self._keep:
                self._open.popitem(last=False)[1].close()
        return reader

    def _opened(self, index: int) -> Reader:
        reader = open_file(self._paths[index])
        if _core(reader.spec) != self._core:
            reader.close()
            raise InputError(f"{self._paths[index]}: has changed since it was opened; open the folder again")
        return reader

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_open")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _open=OrderedDict())


class _Planes(NamedTuple):
    """What was found when each file was opened once."""

    spec: ImageSpec
    """Of the first plane."""
    access: Access
    fixed_bytes: int
    """The most that a reader of one plane holds."""
    read_bytes: int
    stamp: str
    """Another one when any file was written since: names a dask array."""
    notes: tuple[str, ...]


def _check(paths: tuple[str, ...]) -> _Planes:
    """Open every file, and refuse what is no plane or unlike the first."""
    stamp = hashlib.sha256()
    first: Reader | None = None
    fixed = read = uneven = 0
    for path in paths:
        reader = open_file(path)
        reader.close()
        spec = reader.spec
        if not set(spec.dims) <= set("cyx"):
            shape = " x ".join(map(str, spec.shape))
            raise InputError(
                f"{path}: holds more than a plane ({' '.join(spec.dims)} = {shape}), and a folder is planes along z; "
                "open the file by itself"
            )
        first = first or reader
        if _core(spec) != _core(first.spec):
            raise InputError(
                f"{path}: is {_said(spec)}, but {paths[0]} is {_said(first.spec)}; planes must be alike: give a "
                "pattern or a list that leaves it out"
            )
        uneven += spec.axes != first.spec.axes
        fixed, read = max(fixed, reader.access.fixed_bytes), max(read, reader.access.read_bytes)
        status = os.stat(path)
        stamp.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    assert first is not None
    notes = first.spec.notes
    if uneven:
        notes += (
            f"{counted(uneven, 'plane')} of {len(paths)} state another spacing than the first, which is taken",
        )
    return _Planes(first.spec, first.access, fixed, read, stamp.hexdigest(), notes)


def _volume(planes: _Planes, count: int, *, by_window: bool, notes: Sequence[str]) -> ImageSpec:
    """Return what the planes are together; what they say of the third dimension is nothing."""
    plane = planes.spec
    axis = 1 if "c" in plane.dims else 0
    chunks = plane.chunks if by_window else plane.shape
    said = [*planes.notes, "files of planes do not say how far apart these are: 1 is assumed along z"]
    if plane.world is not None:
        said.append("where each plane lies in the world is left out")
    return replace(
        plane,
        axes=(*plane.axes[:axis], Axis("z", count), *plane.axes[axis:]),
        chunks=(*chunks[:axis], 1, *chunks[axis:]),
        world=None,
        notes=(*said, *notes),
    )


def _core(spec: ImageSpec) -> tuple[object, ...]:
    """Return what the planes of one volume share."""
    return spec.dims, spec.shape, spec.dtype, spec.channels, spec.scaling, spec.kind


def _said(spec: ImageSpec) -> str:
    """Return what may differ, for a message."""
    sizes = " ".join(f"{axis.name} {axis.size}" for axis in spec.axes)
    colors = f", channels {' '.join(channel.name for channel in spec.channels)}" if spec.channels else ""
    slope = f", slope {spec.scaling.slope:g} and intercept {spec.scaling.intercept:g}" if spec.scaling else ""
    return f"{sizes} {spec.dtype}{colors}{slope}"
