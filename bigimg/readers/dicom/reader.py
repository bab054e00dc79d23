"""A reader of DICOM: one file, or the files of a series as one stack; a plane is read when it is needed.

pydicom reads headers and decodes pixels. Headers become planes (``dicom_headers``, ``dicom_layout``), planes become
series (``dicom_grouping``), a series becomes an even stack or an error (``dicom_series``), and a stack becomes an image
(``dicom_spec``). ``dicom_pixels`` reads pixels, and ``dicom_tags`` reads tags.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bigimg.errors import (
    InputError,
    InputNotFoundError,
    MissingExtraError,
    UsageError,
    counted,
    without_remedy,
)
from bigimg.geometry.holes import hole_value
from bigimg.geometry.region import on_all_axes, shape_of
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.dicom.files import OfFiles
from bigimg.readers.dicom.grouping import chosen, ordered, series_of
from bigimg.readers.dicom.headers import Plane, planes_of, read_header, reading_dicom
from bigimg.readers.dicom.pixels import Pixels
from bigimg.readers.dicom.series import MISSING, Uneven
from bigimg.readers.dicom.slide import SlideReader, open_slide
from bigimg.readers.dicom.slide_files import is_slide
from bigimg.readers.dicom.spec import as_clip, describe, first_of
from bigimg.readers.dicom.study import study_below
from bigimg.readers.raw.plain import READ_BYTES
from bigimg.types import Array, OnGap, Region, Tilt

LIBRARY_BYTES = 12_000_000
"""Memory of the plugins that decode compressed frames, from the first frame on, measured."""
QUIET = threading.Lock()
"""Held while warnings are counted: they are caught for the whole process, so two threads would mix them up."""


@dataclass(frozen=True)
class DicomReader(OfFiles):
    """A :class:`bigimg.reader.Reader` of planes in any number of files."""

    title = "DICOM"
    index: Array
    """Of shape (t, segments, z, 2): file and frame of each plane; -1 where there is none."""
    fill: float = 0
    """Value of a plane that is not there."""
    lines: Array | None = None
    """Of shape (t, segments, z, 2): slope and intercept of each plane; None if all are equal."""

    def read(self, region: Region) -> Array:
        """Return the values of ``region``, plane by plane.

        Raises
        ------
        InputError
            A file is corrupt, or shorter than it says.
        """
        t, c, z, y, x = every = on_all_axes(region, self.spec.dims)
        whole = np.empty(shape_of(every), self.spec.dtype)
        segments = self.index.shape[1] > 1
        for it, iz in np.ndindex(whole.shape[0], whole.shape[2]):
            for ic in range(c.start, c.stop) if segments else (0,):
                at = (it + t.start, ic, iz + z.start)
                file, frame = self.index[at]
                if file < 0:
                    whole[it, ic - c.start if segments else slice(None), iz] = self.fill
                    continue
                plane = self.files[file].read(int(frame), y, x)
                if self.lines is not None:
                    slope, intercept = self.lines[at]
                    plane = plane * slope + intercept
                if segments:
                    whole[it, ic - c.start, iz] = plane
                else:
                    whole[it, :, iz] = plane[c] if plane.ndim == 3 else plane
        return whole.reshape(shape_of(region))


def open_dicom(
    path: str | os.PathLike[str],
    *,
    series: int | str | None = None,
    on_gap: OnGap | None = None,
    tilt: Tilt = "error",
    allow_partial: bool = False,
) -> DicomReader | SlideReader:
    """Return a reader of the DICOM file at ``path``.

    Parameters
    ----------
    path : str or path-like
    series : int or str, optional
        Which stack, if the file holds several.
    on_gap, tilt, allow_partial :
        As in :func:`open_dicom_files`.

    Raises
    ------
    InputError
        The file is damaged, holds no image, or its frames make no stack.
    MissingExtraError
        Its pixels are compressed in a way that needs the extra ``dicom``.
    """
    name = os.fspath(path)
    if os.path.basename(name).lower() == "dicomdir":  # it stands for what lies beside it
        study = study_below(os.path.dirname(name) or ".")
        if study.paths:
            return open_dicom_files(
                study.paths,
                series=series,
                others=study.others,
                on_gap=on_gap,
                tilt=tilt,
                allow_partial=allow_partial,
            )
    return open_dicom_files([name], series=series, on_gap=on_gap, tilt=tilt, allow_partial=allow_partial)


def open_dicom_files(
    paths: Sequence[str],
    *,
    series: int | str | None = None,
    others: int = 0,
    on_gap: OnGap | None = None,
    tilt: Tilt = "error",
    allow_partial: bool = False,
) -> DicomReader | SlideReader:
    """Return a reader of one series among the DICOM files at ``paths``.

    Parameters
    ----------
    paths : sequence of str
        In any order; files without pixels (reports, indices) are skipped.
    series : int or str, optional
        Which series: its number in the list that the error shows, or its SeriesInstanceUID. It is needed if there are
        several, which differ in UID, size, orientation or in what they show.
    others : int
        Files beside them that are no DICOM, for a note.
    on_gap : {"error", "fill", "split"}, optional
        Where slices are missing or lie unevenly: refuse the series, leave holes in gaps of whole slices, or make each
        even part a series to choose. By default it is refused, and filled where damaged files are left out.
    tilt : {"error", "keep"}
        Where each slice is shifted in its plane: refuse the series, or keep the tilt in the affine.
    allow_partial : bool
        Leave out damaged files. A slice between two others is then a hole, unless ``on_gap`` says otherwise; at the
        ends of a series, nothing says that there was one. Where each position has several slices, a position that
        lacks one is refused all the same.

    Returns
    -------
    DicomReader or SlideReader
        Of ``(z, y, x)`` for a stack of slices; with ``t`` if each position has several slices, with ``c`` for colour.
        Of one level of a whole slide, if any of the files is of one; see :func:`bigimg.readers.dicom.slide.open_slide`.

    Raises
    ------
    InputError
        There are several series and ``series`` is None, or a file is damaged.
    InconsistentSeries
        The slices of the series make no even stack.
    MissingExtraError
        The pixels are compressed in a way that needs the extra ``dicom``.
    """
    paths = [os.fspath(path) for path in paths]
    if not paths:
        raise InputNotFoundError("no DICOM files were given; check the folder or the pattern")
    source = paths[0] if len(paths) == 1 else _folder(paths)
    slides = [path for path in paths if is_slide(path)]
    if slides and (on_gap is not None or tilt != "error"):
        asked = f"tilt={tilt!r}" if on_gap is None else f"on_gap={on_gap!r}"
        raise UsageError(
            f"{source}: {asked} is for stacks of slices, and this is a slide in tiles; leave it out"
        )
    # pydicom warns of each value that breaks a rule, and its text may name a person: warnings are only counted.
    with QUIET, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reader: DicomReader | SlideReader
        if slides:
            left = len(paths) - len(slides) + others
            are = "is" if left == 1 else "are"
            notes = [f"{counted(left, 'file')} beside those of the slide {are} left out"] if left else []
            reader = open_slide(slides, source, series=series, allow_partial=allow_partial, notes=notes)
        else:
            reader = _opened(paths, series, source, others, on_gap, tilt, partial=allow_partial)
    if not caught:
        return reader
    note = f"rules of DICOM are broken by {counted(len(caught), 'value')} of the headers"
    return replace(reader, spec=replace(reader.spec, notes=(*reader.spec.notes, note)))


def _folder(paths: Sequence[str]) -> str:
    folders = {os.path.dirname(path) for path in paths}
    return os.path.commonpath(map(os.path.abspath, folders)) if len(folders) > 1 else folders.pop() or "."


def _opened(
    paths: Sequence[str],
    series: int | str | None,
    source: str,
    others: int,
    on_gap: OnGap | None,
    tilt: Tilt,
    *,
    partial: bool,
) -> DicomReader:
    by_file: list[list[Plane]] = []
    damaged: list[str] = []
    for path in paths:
        try:
            by_file.append(planes_of(path))
        except MissingExtraError:
            raise
        except InputError as error:
            if not partial or len(paths) == 1:
                raise
            damaged.append(without_remedy(error))
    planes = [plane for found in by_file for plane in found]
    skipped = by_file.count([])
    if damaged and not planes:
        raise InputError(
            f"{source}: none of {len(paths)} DICOM files can be opened ({damaged[0]}); give an image"
        )
    uneven = Uneven(on_gap or ("fill" if damaged else "error"), tilt)
    if not planes:
        what = "holds no pixels" if len(paths) == 1 else f"none of {len(paths)} DICOM files holds pixels"
        raise InputError(f"{source}: {what}; give an image")
    stack = chosen(series_of(planes, uneven, source), series, source)
    notes = [f"{skipped} of {len(paths)} files hold no pixels and are left out"] if skipped else []
    if others:
        notes.append(
            f"{counted(others, 'file')} beside the DICOM files {'is' if others == 1 else 'are'} left out"
        )
    with reading_dicom(stack[0].pixels.path):
        reader = _reader(stack, source, notes, uneven)
    if not damaged:
        return reader
    are = "is" if len(damaged) == 1 else "are"
    note = f"{counted(len(damaged), 'file')} of {len(paths)} {are} damaged and left out: {damaged[0]}"
    return replace(reader, spec=replace(reader.spec, of_source=(*reader.spec.of_source, note)))


def _reader(planes: Sequence[Plane], source: str, notes: list[str], uneven: Uneven) -> DicomReader:
    """Return the reader of planes that belong together."""
    order, stacked = ordered(planes, source, uneven)
    first = first_of(planes, order)
    header = read_header(first.pixels.path)[0]
    if first.pixels.frames > 1 and first.at.position is None and first.at.place is None:
        order, stacked = as_clip(header, first, order, stacked)
    notes += stacked.notes
    spec = describe(header, planes, order, stacked, notes, source)
    in_order = [planes[i] for i in order.ravel().tolist() if i != MISSING]
    files = {id(plane.pixels): plane.pixels for plane in in_order}
    number_of = {key: i for i, key in enumerate(files)}
    there = order.ravel() != MISSING
    index = np.full((order.size, 2), MISSING)
    index[there] = [(number_of[id(plane.pixels)], plane.frame) for plane in in_order]
    lines = np.full((order.size, 2), first.line)
    lines[there] = [plane.line for plane in in_order]
    pixels = tuple(files.values())
    fill = 0 if planes[0].modality == "SEG" else hole_value(spec.dtype, spec.padding)
    differ = bool((lines != lines[0]).any())
    return DicomReader(
        spec, _access(pixels, spec), source, pixels, index.reshape(*order.shape, 2), fill,
        lines.reshape(*order.shape, 2) if differ else None,
    )  # fmt: skip


def _access(files: Sequence[Pixels], spec: ImageSpec) -> Access:
    first = files[0]
    plane = max(pixels.plane_bytes for pixels in files)
    values = plane // first.dtype.itemsize
    result = spec.dtype.itemsize * values * (3 if first.palette is not None else 1)  # one plane of the result
    many = counted(len(files), "file")
    if any(pixels.packed for pixels in files):
        packed = [pixels for pixels in files if pixels.packed]
        inflated = sum(2 * pixels.unpacked for pixels in packed)
        return Access(
            "whole",
            f"{many}, {f'in {packed[0].packing}' if packed[0].packing else 'deflated'}",
            spec.dims,
            inflated + plane,
            result,
        )
    if all(pixels.plain for pixels in files):
        real = 8 * values if spec.dtype.kind == "f" != first.dtype.kind else 0  # values in float64
        read_bytes = READ_BYTES + plane + real + result
        return Access("random", f"{many}, uncompressed", spec.dims, read_bytes=read_bytes)
    from pydicom.uid import UID

    coded = max(pixels.length // pixels.frames for pixels in files)
    name = UID(next(pixels.syntax for pixels in files if not pixels.plain)).name
    why = f"{many}, {name.split(' (')[0]}, decoded frame by frame"
    return Access("random", why, spec.dims, LIBRARY_BYTES, 4 * plane + 2 * coded + result)
