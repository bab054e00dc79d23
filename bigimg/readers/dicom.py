"""A reader of DICOM: one file, or the files of a series as one stack, each plane read when it is asked for.

pydicom reads headers and decodes; :mod:`bigimg.readers.dicom_series` puts slices in order or refuses. What only
this module knows is what becomes of them: slices are z, or t where the tags say so, colours and segments c;
slope and intercept are kept apart where all slices share them; patient coordinates (LPS) become RAS.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import InconsistentSeries, InputError, InputNotFoundError, UsageError
from bigimg.geometry.affine import Affine, world_from_index_affine
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import shape_of
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, Scaling
from bigimg.reader import Access
from bigimg.readers.dicom_headers import DAMAGE, Plane, damaged, planes_of, read_header
from bigimg.readers.dicom_pixels import DEFLATED, Pixels, inflated_bytes
from bigimg.readers.dicom_series import Stack, normal, stack
from bigimg.readers.dicom_tags import divided, number, numbers
from bigimg.readers.rawfile import READ_BYTES, natural_chunks
from bigimg.types import Array, DType, Kind, Region, Shape

if TYPE_CHECKING:
    from pydicom import Dataset

LIBRARY_BYTES = 12_000_000
"""What the plugins that decode compressed frames take when the first one does, measured."""
QUIET = threading.Lock()
"""Held while warnings are counted: what is caught is the process's, and two that open at once would mix it up."""
LISTED = 12
"""Series named in a message, at most."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM counts to the left and to the back; we, as NIfTI, to the right and to the front."""
SAME_DIRECTION = 1e-3
"""Cosines that differ by less are one orientation: 0.06 degrees."""


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
    doubt = f"{len(said)} values of the headers break a rule of DICOM"
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
    chosen = _chosen(_series(planes), series, source)
    notes = [f"{skipped} of {len(paths)} files hold no pixels and are left out"] if skipped else []
    try:
        return _reader(chosen, source, notes)
    except InputError:  # is a ValueError too
        raise
    except DAMAGE as error:
        raise damaged(chosen[0].pixels.path, error) from error


def _series(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Return planes that belong together, in an order that does not depend on that of the files."""
    groups: dict[tuple[object, ...], list[list[Plane]]] = {}
    for plane in planes:
        alike = groups.setdefault((plane.series, *plane.kin), [])
        for group in alike:  # one for each orientation
            if _same_direction(group[0], plane):
                group.append(plane)
                break
        else:
            alike.append([plane])
    found = [group for alike in groups.values() for group in alike]
    return sorted(found, key=lambda group: (group[0].number, group[0].series, min(map(_rank, group))))


def _rank(plane: Plane) -> tuple[float, str, int]:
    return plane.at.keys.get("InstanceNumber", math.inf), plane.at.uid, plane.frame


def _same_direction(a: Plane, b: Plane) -> bool:
    if a.at.orientation is None or b.at.orientation is None:
        return a.at.orientation is b.at.orientation
    return bool(np.allclose(a.at.orientation, b.at.orientation, rtol=0, atol=SAME_DIRECTION))


def _chosen(groups: list[list[Plane]], series: int | str | None, source: str) -> list[Plane]:
    if isinstance(series, str) and series.isdecimal():
        series = int(series)
    if isinstance(series, str):
        named = [group for group in groups if group[0].series == series]
        if len(named) == 1:
            return named[0]
        raise UsageError(f"{source}: series {series!r} is there {len(named)} times; {_listed(groups)}")
    if series is not None:
        if 0 <= series < len(groups):
            return groups[series]
        raise UsageError(f"{source}: series {series} was asked; {_listed(groups)}")
    if len(groups) == 1:
        return groups[0]
    # Files of one series that do not fit together are no choice that a person has made.
    kind = InconsistentSeries if len({group[0].series for group in groups}) == 1 else InputError
    raise kind(f"{source}: {_listed(groups)}; choose one with --series NUMBER (series=)")


def _listed(groups: list[list[Plane]]) -> str:
    lines = [
        f"{i}: {g[0].modality} {g[0].pixels.rows} x {g[0].pixels.columns}, {len(g)} image{'s' * (len(g) > 1)}"
        for i, g in enumerate(groups[:LISTED])
    ]
    more = ["…"] if len(groups) > LISTED else []
    return f"there are {len(groups)} series or stacks ({'; '.join(lines + more)})"


def _reader(planes: Sequence[Plane], source: str, notes: list[str]) -> DicomReader:
    """Return the reader of planes that belong together."""
    _one_type(planes, source)
    order, stacked = _ordered(planes, source)
    first = planes[order.item(0)]
    header = read_header(first.pixels.path)[0]
    if first.pixels.frames > 1 and first.at.position is None:
        order, stacked = _as_clip(header, first, order, stacked)
    notes += stacked.notes
    axes = _axes(header, first, order, stacked, notes)
    lines = np.array([[[planes[i].line for i in row] for row in part] for part in order])
    same = bool((lines == lines[0, 0, 0]).all())
    slope, intercept = (float(v) for v in lines[0, 0, 0])
    dtype = _dtype(first, same)
    if not same:
        notes.append(f"slope and intercept differ from slice to slice: real values are given, as {dtype}")
    files = {id(planes[i].pixels): planes[i].pixels for i in order.flat}
    number_of = {key: i for i, key in enumerate(files)}
    index = np.array([[[(number_of[id(planes[i].pixels)], planes[i].frame) for i in row] for row in part]
                      for part in order])  # fmt: skip
    public, private = divided(header)
    _remark(header, planes, notes)
    spec = ImageSpec(
        axes=axes,
        dtype=dtype,
        chunks=_chunks(axes, first.pixels),
        channels=_channels(header, first, planes),
        world=_world(first, stacked, axes, source),
        kind=_kind(header, first.pixels),
        scaling=Scaling(slope, intercept) if same and (slope, intercept) != (1.0, 0.0) else None,
        window=_window(planes, notes),
        meta=public,
        padding=_padding(planes, dtype, notes),
        notes=tuple(notes),
        private=private,
    )
    kept = tuple(files.values())
    return DicomReader(spec, _access(kept, spec), source, kept, index, None if same else lines)


def _one_type(planes: Sequence[Plane], source: str) -> None:
    kinds: dict[tuple[str, str], int] = {}
    for plane in planes:
        key = plane.pixels.photometric.split("_")[0], str(plane.pixels.dtype)
        kinds[key] = kinds.get(key, 0) + 1
    if len(kinds) > 1:
        said = " and ".join(f"{count} of {name} {dtype}" for (name, dtype), count in kinds.items())
        raise InconsistentSeries(f"{source}: holds {said}, which are no one image; open them apart")


def _ordered(planes: Sequence[Plane], source: str) -> tuple[Array, Stack]:
    """Return the planes as an array of shape (t, segments, z), and what else is known of their order."""
    segments = sorted({plane.segment for plane in planes if plane.segment is not None})
    if len(segments) < 2:
        found = stack([plane.at for plane in planes], source)
        return found.order[:, None, :], found
    parts = []
    for segment in segments:
        where = [i for i, plane in enumerate(planes) if plane.segment == segment]
        found = stack([planes[i].at for i in where], source)
        parts.append(np.asarray(where)[found.order])
    places = [[planes[i].at.position for i in part.ravel().tolist()] for part in parts]
    if len({part.shape for part in parts}) > 1 or any(not _near(places[0], place) for place in places):
        sizes = ", ".join(str(part.shape[1]) for part in parts)
        raise InconsistentSeries(
            f"{source}: its {len(segments)} segments cover different slices ({sizes} of them), which makes no one "
            "volume; take it apart with highdicom"
        )
    return np.stack(parts, axis=1), found


def _near(a: Sequence[object], b: Sequence[object]) -> bool:
    if any(position is None for position in (*a, *b)):
        return all(position is None for position in (*a, *b))
    return bool(np.allclose(np.array(a, np.float64), np.array(b, np.float64), rtol=0, atol=1e-3))


def _as_clip(header: Dataset, first: Plane, order: Array, stacked: Stack) -> tuple[Array, Stack]:
    """Return frames without positions as times where the file says how long one lasts, else as slices."""
    vector = numbers(header, "FrameTimeVector")  # of what lies before each frame: the first is 0
    lasts = number(header, "FrameTime") or (sum(vector) / (len(vector) - 1) if len(vector) > 1 else 0)
    rate = number(header, "CineRate") or number(header, "RecommendedDisplayFrameRate")
    step = lasts / 1000 if lasts else 1 / rate if rate else None
    if step is not None:
        return np.swapaxes(order, 0, 2), Stack(stacked.order, None, step)
    note = f"the file does not say what its {first.pixels.frames} frames are; they are taken as z"
    return order, Stack(stacked.order, None, notes=(note,))


def _axes(header: Dataset, first: Plane, order: Array, stacked: Stack, notes: list[str]) -> tuple[Axis, ...]:
    times, segments, depth = order.shape
    axes = []
    if times > 1:
        step, repeats = stacked.t_step, number(header, "RepetitionTime")
        if step is None and repeats:
            step = repeats / 1000
            notes.append("the time step is RepetitionTime")
        axes.append(Axis("t", times, step or 1.0, "second" if step else None))
    samples = 3 if first.pixels.palette is not None else first.pixels.samples
    if max(samples, segments) > 1:
        axes.append(Axis("c", max(samples, segments)))
    if depth > 1:
        known = stacked.step is not None
        axes.append(
            Axis("z", depth, _length(stacked.step) if known else 1.0, "millimeter" if known else None)
        )
    spacing, unit = first.at.spacing, "millimeter"
    if spacing is None:
        notes.append("the file gives no pixel spacing; 1 is assumed")
    elif "PixelSpacing" not in header and "ImagerPixelSpacing" in header:
        notes.append(
            "pixel spacing is that of the detector (ImagerPixelSpacing): the body is nearer to the tube"
        )
    down, across = spacing or (1.0, 1.0)
    axes.append(Axis("y", first.pixels.rows, down, unit if spacing else None))
    axes.append(Axis("x", first.pixels.columns, across, unit if spacing else None))
    return tuple(axes)


def _length(step: Sequence[float] | None) -> float:
    return float(np.linalg.norm(step or (1.0,)))


def _channels(header: Dataset, first: Plane, planes: Sequence[Plane]) -> tuple[Channel, ...]:
    if first.pixels.palette is not None:
        return RGB
    if first.pixels.samples > 1:
        return {3: RGB, 4: RGBA}[first.pixels.samples]
    segments = sorted({plane.segment for plane in planes if plane.segment is not None})
    if len(segments) < 2:
        return ()
    # By the code of what a segment is: its label is free text.
    names = {}
    for item in header.get("SegmentSequence") or ():
        code = item.get("SegmentedPropertyTypeCodeSequence")
        names[int(item.SegmentNumber)] = str(code[0].get("CodeMeaning") or "") if code else ""
    return tuple(Channel(f"{number} {names.get(number, '')}".strip()) for number in segments)


def _world(first: Plane, stacked: Stack, axes: Sequence[Axis], source: str) -> Affine | None:
    """Return the way from coordinates to RAS+ millimetres; None when the file does not say."""
    position, orientation, spacing = first.at.position, first.at.orientation, first.at.spacing
    if position is None or orientation is None or spacing is None:
        return None
    matrix = np.eye(4)
    matrix[:3, 0] = np.multiply(orientation[:3], spacing[1])  # DICOM says the distance of rows first
    matrix[:3, 1] = np.multiply(orientation[3:], spacing[0])
    matrix[:3, 2] = normal(first.at, source) if stacked.step is None else stacked.step
    matrix[:3, 3] = position
    return world_from_index_affine(LPS_TO_RAS @ matrix, axes)


def _dtype(first: Plane, same_line: bool) -> DType:
    pixels = first.pixels
    if pixels.palette is not None:
        return pixels.palette.dtype
    if pixels.allocated == 1:
        return np.dtype(np.bool_)
    if not same_line:
        return np.dtype(np.float64 if pixels.dtype.itemsize >= 4 else np.float32)
    return pixels.dtype


def _kind(header: Dataset, pixels: Pixels) -> Kind:
    if pixels.allocated == 1:
        return "mask"
    binary = header.get("SegmentationType") == "BINARY"  # stored a byte each
    return "labels" if binary or header.get("SegmentationType") == "LABELMAP" else "image"


def _window(planes: Sequence[Plane], notes: list[str]) -> tuple[float, float] | None:
    windows = {plane.window for plane in planes}
    if len(windows) > 1:
        notes.append("the display window differs from slice to slice and is left out")
        return None
    return windows.pop()


def _padding(planes: Sequence[Plane], dtype: DType, notes: list[str]) -> tuple[int, int] | None:
    """Return the stored values that are no measurement, the same ones in all planes."""
    found = {plane.padding for plane in planes}
    padding = found.pop()
    if found:
        notes.append("the padding value differs from slice to slice and is counted like any other")
        return None
    if padding is None or dtype.kind not in "ui":
        return None
    low, high = padding
    said = f"{low}" if low == high else f"{low} to {high}"
    notes.append(f"pixels of {said} are padding (PixelPaddingValue) and left out of statistics")
    return padding


def _remark(header: Dataset, planes: Sequence[Plane], notes: list[str]) -> None:
    """Add what a person should know of the pixels."""
    first = planes[0].pixels
    if not hasattr(header, "file_meta") or "TransferSyntaxUID" not in header.file_meta:
        notes.append("the file does not say how it is stored; that was found out from its first tags")
    if first.photometric == "MONOCHROME1":
        notes.append("low values are meant to be bright (MONOCHROME1); they are as stored")
    if len(header.group_dataset(0x6000)):
        notes.append("overlays are left out")
    if "ModalityLUTSequence" in header:
        notes.append("a table to real values (ModalityLUTSequence) is not applied")
    if first.palette is None and "RedPaletteColorLookupTableDescriptor" in header:
        notes.append("the supplemental palette is not applied")
    if str(header.get("LossyImageCompression") or "") == "01":
        notes.append("the pixels went through lossy compression")
    if str(header.get("BurnedInAnnotation") or "") == "YES":
        notes.append("annotations are burned into the pixels (BurnedInAnnotation): they may name a person")


def _chunks(axes: Sequence[Axis], pixels: Pixels) -> Shape:
    """Return what is decoded at once: a run of a plain plane, a whole plane of any other."""
    names = [axis.name for axis in axes]
    if pixels.plain and pixels.palette is None:
        inner = "yx" if pixels.samples == 1 else "cyx" if pixels.planar else "yxc"
        return natural_chunks(
            axes, [name for name in "tzc" if name in names and name not in inner] + list(inner)
        )
    whole = "cyx" if pixels.samples > 1 or pixels.palette is not None else "yx"
    return tuple(axis.size if axis.name in whole else 1 for axis in axes)


def _access(files: Sequence[Pixels], spec: ImageSpec) -> Access:
    first = files[0]
    plane = max(pixels.plane_bytes for pixels in files)
    values = plane // first.dtype.itemsize
    wider = spec.dtype.itemsize * values * (3 if first.palette is not None else 1)  # a plane with its colours
    many = f"{len(files)} files" if len(files) > 1 else "1 file"
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
