"""A reader of DICOM: one file, or the files of a series as one stack, each plane read when it is asked for.

pydicom reads headers and decodes. One step follows another, each in a file of its own: headers become planes
(``dicom_headers``, ``dicom_layout``), planes series (``dicom_grouping``), a series an even stack or an error
(``dicom_series``), a stack an image (``dicom_spec``); ``dicom_pixels`` reads, ``dicom_tags`` says what may be told.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bigimg.errors import InputError, InputNotFoundError, counted
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.dicom.grouping import chosen, ordered, series_of
from bigimg.readers.dicom.headers import DAMAGE, Plane, damaged, planes_of, read_header
from bigimg.readers.dicom.pixels import DEFLATED, Pixels, inflated_bytes
from bigimg.readers.dicom.spec import as_clip, describe
from bigimg.readers.raw.plain import READ_BYTES
from bigimg.types import Array, Region

LIBRARY_BYTES = 12_000_000
"""What the plugins that decode compressed frames take when the first one does, measured."""
QUIET = threading.Lock()
"""Held while warnings are counted: what is caught is the process's, and two that open at once would mix it up."""


@dataclass(frozen=True)
class DicomReader:
    """A :class:`bigimg.reader.Reader` of planes that lie in any number of files."""

    spec: ImageSpec
    access: Access
    source: str
    files: tuple[Pixels, ...]
    index: Array
    """Of shape (t, segments, z, 2): file and frame of each plane."""
    lines: Array | None = None
    """Of shape (t, segments, z, 2): slope and intercept of each plane, where they differ."""

    @property
    def format(self) -> str:
        """What the files are, for ``info``."""
        return "DICOM" if len(self.files) == 1 else f"DICOM, {len(self.files)} files"

    def read(self, region: Region) -> Array:
        """Return the values of ``region``, plane by plane.

        Raises
        ------
        InputError
            A file is corrupt, or shorter than it says.
        """
        where = dict(zip(self.spec.dims, region, strict=True))
        t, c, z = (where.get(name, slice(0, 1)) for name in "tcz")
        found = np.empty(shape_of(region), self.spec.dtype)
        whole = found.reshape([s.stop - s.start for s in (t, c, z, where["y"], where["x"])])
        segments = self.index.shape[1] > 1
        for it, iz in np.ndindex(whole.shape[0], whole.shape[2]):
            for ic in range(c.start, c.stop) if segments else (0,):
                place = (it + t.start, ic, iz + z.start)
                file, frame = self.index[place]
                plane = self.files[file].read(int(frame), where["y"], where["x"])
                if self.lines is not None:
                    slope, intercept = self.lines[place]
                    plane = plane * slope + intercept
                if segments:
                    whole[it, ic - c.start, iz] = plane
                else:
                    whole[it, :, iz] = plane[c] if plane.ndim == 3 else plane
        return found

    def close(self) -> None:
        """Let go of what a deflated file holds; no file is open between reads."""
        for pixels in self.files:
            pixels.close()


def open_dicom(path: str | os.PathLike[str], *, series: int | str | None = None) -> DicomReader:
    """Return a reader of the DICOM file at ``path``.

    Parameters
    ----------
    path : str or path-like
    series : int or str, optional
        Which stack of a file that holds several.

    Raises
    ------
    InputError
        It is damaged, holds no image, or frames that make no stack.
    MissingExtraError
        Its pixels are compressed in a way that needs the extra ``dicom``.
    """
    return open_dicom_files([os.fspath(path)], series=series)


def open_dicom_files(paths: Sequence[str], *, series: int | str | None = None) -> DicomReader:
    """Return a reader of one series among the DICOM files at ``paths``.

    Parameters
    ----------
    paths : sequence of str
        In any order; files without pixels (reports, indices) are passed over.
    series : int or str, optional
        Which series: its place in the list that the error shows, or its SeriesInstanceUID. Needed when there
        are several that differ in UID, size or orientation.

    Returns
    -------
    DicomReader
        Of ``(z, y, x)`` for a stack of slices, with ``t`` where several lie at each place, with ``c`` for colour.

    Raises
    ------
    InputError
        There are several series and none was chosen, or a file is damaged.
    InconsistentSeries
        The slices of the series make no even stack.
    MissingExtraError
        The pixels are compressed in a way that needs the extra ``dicom``.
    """
    paths = [os.fspath(path) for path in paths]
    if not paths:
        raise InputNotFoundError("no DICOM files were given; check the folder or the pattern")
    source = paths[0] if len(paths) == 1 else _folder(paths)
    # pydicom warns of every value that breaks a rule, in words that may name a person: they are counted.
    with QUIET, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        reader = _opened(paths, series, source)
    if not said:
        return reader
    doubt = f"rules of DICOM are broken by {counted(len(said), 'value')} of the headers"
    return replace(reader, spec=replace(reader.spec, notes=(*reader.spec.notes, doubt)))


def _folder(paths: Sequence[str]) -> str:
    folders = [os.path.dirname(path) for path in paths]
    return (
        os.path.commonpath(list(map(os.path.abspath, folders)))
        if len(set(folders)) > 1
        else folders[0] or "."
    )


def _opened(paths: Sequence[str], series: int | str | None, source: str) -> DicomReader:
    planes: list[Plane] = []
    skipped = 0
    for path in paths:
        found = planes_of(path)
        skipped += not found
        planes += found
    if not planes:
        what = "holds no pixels" if len(paths) == 1 else f"none of {len(paths)} DICOM files holds pixels"
        raise InputError(f"{source}: {what}; give an image")
    together = chosen(series_of(planes), series, source)
    notes = [f"{skipped} of {len(paths)} files hold no pixels and are left out"] if skipped else []
    try:
        return _reader(together, source, notes)
    except InputError:  # is a ValueError too
        raise
    except DAMAGE as error:
        raise damaged(together[0].pixels.path, error) from error


def _reader(planes: Sequence[Plane], source: str, notes: list[str]) -> DicomReader:
    """Return the reader of planes that belong together."""
    order, stacked = ordered(planes, source)
    first = planes[order.item(0)]
    header = read_header(first.pixels.path)[0]
    if first.pixels.frames > 1 and first.at.position is None:
        order, stacked = as_clip(header, first, order, stacked)
    notes += stacked.notes
    spec = describe(header, planes, order, stacked, notes, source)
    in_order = [planes[i] for i in order.ravel().tolist()]
    files = {id(plane.pixels): plane.pixels for plane in in_order}
    number_of = {key: i for i, key in enumerate(files)}
    index = np.array([(number_of[id(plane.pixels)], plane.frame) for plane in in_order])
    lines = np.array([plane.line for plane in in_order])
    kept = tuple(files.values())
    return DicomReader(
        spec,
        _access(kept, spec),
        source,
        kept,
        index.reshape(*order.shape, 2),
        lines.reshape(*order.shape, 2) if (lines != lines[0]).any() else None,
    )


def _access(files: Sequence[Pixels], spec: ImageSpec) -> Access:
    first = files[0]
    plane = max(pixels.plane_bytes for pixels in files)
    values = plane // first.dtype.itemsize
    wider = spec.dtype.itemsize * values * (3 if first.palette is not None else 1)  # a plane with its colours
    many = counted(len(files), "file")
    if any(pixels.syntax == DEFLATED for pixels in files):
        held = sum(2 * inflated_bytes(pixels.path) for pixels in files if pixels.syntax == DEFLATED)
        return Access("whole", f"{many}, deflated", spec.dims, fixed_bytes=held + plane, read_bytes=wider)
    if all(pixels.plain for pixels in files):
        real = 8 * values if spec.dtype.kind == "f" != first.dtype.kind else 0  # float64 on the way
        return Access(
            "random", f"{many}, uncompressed", spec.dims, read_bytes=READ_BYTES + plane + real + wider
        )
    from pydicom.uid import UID

    coded = max(pixels.length // pixels.frames for pixels in files)
    name = UID(next(pixels.syntax for pixels in files if not pixels.plain)).name
    return Access(
        "random",
        f"{many}, {name.split(' (')[0]}, decoded frame by frame",
        spec.dims,
        fixed_bytes=LIBRARY_BYTES,
        read_bytes=4 * plane + 2 * coded + wider,
    )
