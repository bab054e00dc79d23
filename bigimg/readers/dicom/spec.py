"""The description of an image of DICOM planes: axes, affine, channels, window and notes.

Spacing is that of the body or of the detector. Patient coordinates (LPS) become RAS. Frames without a position are
times if the file gives their duration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigimg.geometry.affine import Affine, world_from_index_affine
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import each_box, with_holes
from bigimg.geometry.padding import described
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, Scaling, SpacingNote
from bigimg.readers.allowed import CHANNEL_NAMES, is_known, public_and_private
from bigimg.readers.dicom.fields import Fields, first_item, in_frame_of_ge
from bigimg.readers.dicom.headers import Plane
from bigimg.readers.dicom.pixels import Pixels
from bigimg.readers.dicom.placing import ultrasound_spacing
from bigimg.readers.dicom.series import MISSING, Stack, normal
from bigimg.readers.dicom.tags import fields_of, number, numbers, text, transfer_syntax, value_of
from bigimg.readers.raw.plain import natural_chunks
from bigimg.readers.volumes.headers import LPS_TO_RAS
from bigimg.types import Array, DType, Json, Kind, Padding, Region, Shape

if TYPE_CHECKING:
    from pydicom import Dataset


def describe(
    header: Dataset, planes: Sequence[Plane], order: Array, stacked: Stack, notes: list[str], source: str
) -> ImageSpec:
    """Return the description of the image.

    Parameters
    ----------
    header : Dataset
        The complete header of the first plane.
    planes : sequence of Plane
    order : ndarray of shape (t, segments, z)
        Number of the plane at each position.
    stacked : Stack
        The stack that the planes make.
    notes : list of str
        Notes for the user are appended to it.
    source : str
        For messages.
    """
    first = first_of(planes, order)
    axes = _axes(header, first, order, stacked, notes)
    lines = {plane.line for plane in planes}
    dtype = _dtype(first, len(lines) == 1)
    if len(lines) > 1:
        notes.append(f"slope and intercept differ from slice to slice: real values are given, as {dtype}")
    same_line = len(lines) == 1 and first.line != (1.0, 0.0)
    fields = fields_of(header) | _of_volumes(planes, order, stacked)
    public, private = public_and_private(fields, "dicom")
    channels, names = _channels(header, first, planes)
    notes += notes_of(header, first.pixels)
    padding = _padding(planes, dtype, notes)
    spec = ImageSpec(
        axes, dtype, _chunks(axes, planes), channels=channels, kind=_kind(header, first.pixels),
        world=_world(first, stacked, axes, source), convention="radiological",
        scaling=Scaling(*first.line) if same_line else None,
        window=_window(planes, notes), padding=padding, meta=public, private=private | names,
        notes=tuple(notes), of_source=tuple(_mapping_notes(header)),
    )  # fmt: skip
    return spec if planes[0].modality == "SEG" else with_holes(spec, _holes(spec, order), source=source)


def _holes(spec: ImageSpec, order: Array) -> Iterator[Region]:
    """Yield the boxes of slices that are missing, from the number of the plane at each (t, segment, z)."""
    times, segments, depth = order.shape
    sizes = {"c": 1, "z": 1} | spec.sizes
    edges = [range(times + 1), range(segments + 1) if segments > 1 else (0, sizes["c"]), range(depth + 1)]
    for box in each_box(order == MISSING, edges):
        along = dict(zip("tcz", box, strict=True))
        yield tuple(along.get(axis.name, slice(0, axis.size)) for axis in spec.axes)


def as_clip(header: Dataset, first: Plane, order: Array, stacked: Stack) -> tuple[Array, Stack]:
    """Return frames without positions as times if the file gives their duration, otherwise as slices."""
    vector = numbers(header, "FrameTimeVector")  # the time before each frame: the first is 0
    duration = number(header, "FrameTime") or (sum(vector) / (len(vector) - 1) if len(vector) > 1 else 0)
    rate = number(header, "CineRate") or number(header, "RecommendedDisplayFrameRate")
    step = duration / 1000 if duration else 1 / rate if rate else None
    if step is not None:
        return np.swapaxes(order, 0, 2), Stack(stacked.order, None, step)
    note = f"the file does not describe its {first.pixels.frames} frames; they are read as z"
    return order, Stack(stacked.order, None, notes=(note,))


def _axes(header: Dataset, first: Plane, order: Array, stacked: Stack, notes: list[str]) -> tuple[Axis, ...]:
    times, segments, depth = order.shape
    pixels, spacing, t_step = first.pixels, first.at.spacing, stacked.t_step
    repeats = number(header, "RepetitionTime")
    if times > 1 and t_step is None and repeats:
        t_step = repeats / 1000
        notes.append("the time step is RepetitionTime")
    ultrasound = "" if "PixelSpacing" in header else ultrasound_spacing(header)[1]
    if ultrasound:
        notes.append(SpacingNote(ultrasound))
    if spacing is None:
        notes.append(SpacingNote("the file has no pixel spacing; 1 is assumed"))
    elif "PixelSpacing" not in header:
        for tag, of in (
            ("ImagerPixelSpacing", "the detector"),
            ("NominalScannedPixelSpacing", "the scanned film"),
        ):
            if tag in header:
                notes.append(SpacingNote(f"pixel spacing is that of {of} ({tag}), not of the body"))
                break
    between = first.at.between if stacked.step is None else float(np.linalg.norm(stacked.step))
    down, across = spacing or (None, None)
    samples = max(segments, 3 if pixels.palette is not None else pixels.samples)
    axes = (
        ("t", times, t_step, "second"), ("c", samples, None, None), ("z", depth, between, "millimeter"),
        ("y", pixels.height, down, "millimeter"), ("x", pixels.width, across, "millimeter"),
    )  # fmt: skip
    return tuple(
        Axis(name, size, step or 1.0, unit if step else None)
        for name, size, step, unit in axes
        if size > 1 or name in "yx"
    )


def _channels(
    header: Dataset, first: Plane, planes: Sequence[Plane]
) -> tuple[tuple[Channel, ...], dict[str, Json]]:
    """Return the channels, and private fields with the names of segments that are left out."""
    if first.pixels.palette is not None:
        return RGB, {}
    if first.pixels.samples > 1:
        return {3: RGB, 4: RGBA}[first.pixels.samples], {}
    segments = sorted({plane.segment for plane in planes if plane.segment is not None})
    names: dict[int, list[str]] = {}
    for item in header.get("SegmentSequence") or ():
        code = first_item(item, "SegmentedPropertyTypeCodeSequence")
        said = (text(item, "SegmentLabel"), "" if code is None else text(code, "CodeMeaning"))
        names[int(item.SegmentNumber)] = [name.strip() for name in said if name.strip()]
    full = [" ".join((str(number), *names.get(number, [])[:1])) for number in segments]
    kept = [
        " ".join((str(number), *[name for name in names.get(number, []) if is_known(name)][:1]))
        for number in segments
    ]
    return tuple(map(Channel, kept)), {CHANNEL_NAMES: list[Json](full)} if full != kept else {}


def first_of(planes: Sequence[Plane], order: Array) -> Plane:
    """Return the plane of the first place, of whichever segment."""
    index: int = next(i for i in order[0, :, 0].tolist() if i >= 0)
    return planes[index]


def _of_volumes(planes: Sequence[Plane], order: Array, stacked: Stack) -> dict[str, Json]:
    """Return what differs from volume to volume, as one value for each of them under the name of its field."""
    if len(order) == 1:
        return {}
    volumes = [planes[i].volume for i in order[:, 0, 0].tolist()]
    found: dict[str, Json] = {"VolumeTimes": list(stacked.times)} if stacked.times else {}
    for name in dict.fromkeys(name for volume in volumes for name in volume):
        values = [volume.get(name) for volume in volumes]
        if any(value != values[0] for value in values):
            found[name] = values
    return found


def _world(first: Plane, stacked: Stack, axes: Sequence[Axis], source: str) -> Affine | None:
    """Return the matrix from coordinates to RAS+ millimetres; None if the file has none."""
    position, orientation, spacing = first.at.position, first.at.orientation, first.at.spacing
    if position is None or orientation is None or spacing is None:
        return None
    matrix = np.eye(4)
    matrix[:3, 0] = np.multiply(orientation[:3], spacing[1])  # DICOM gives the distance of rows first
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
    binary = header.get("SegmentationType") == "BINARY"  # stored as one byte each
    return "labels" if binary or header.get("SegmentationType") == "LABELMAP" else "image"


def _window(planes: Sequence[Plane], notes: list[str]) -> tuple[float, float] | None:
    first, *others = {plane.window for plane in planes}
    if others:
        notes.append("the display window differs from slice to slice and is left out")
    return None if others else first


def _padding(planes: Sequence[Plane], dtype: DType, notes: list[str]) -> Padding | None:
    """Return first and last stored value that is no measurement, if all planes have the same."""
    padding, *others = {plane.padding for plane in planes}
    if others:
        notes.append("the padding value differs from slice to slice and is counted like any other")
        return None
    if padding is None or dtype.kind == "b":
        return None
    values = f"pixels of {described(padding)} are padding (PixelPaddingValue)"
    if dtype != planes[0].pixels.dtype:
        notes.append(
            f"{values}, but slope and intercept change it from slice to slice: it is counted like any other"
        )
        return None
    notes.append(f"{values} and left out of statistics and coarser levels")
    return padding


def notes_of(header: Dataset, first: Pixels) -> list[str]:
    """Return notes on the pixels for the user."""
    supplemental = first.palette is None and "RedPaletteColorLookupTableDescriptor" in header
    found = {
        "the file does not name its transfer syntax; it was detected from the first tags": not transfer_syntax(header),
        "low values are meant to be bright (MONOCHROME1); they are as stored": first.photometric == "MONOCHROME1",
        "overlays are left out": len(header.group_dataset(0x6000)) > 0,
        "a table to real values (ModalityLUTSequence) is not applied": "ModalityLUTSequence" in header,
        "the supplemental palette is not applied": supplemental,
        "directions of diffusion are along frequency, phase and slice, as GE has them, not in the body":
            in_frame_of_ge(header),
        "the pixels went through lossy compression": text(header, "LossyImageCompression") == "01",
        "annotations are burned into the pixels (BurnedInAnnotation): they may name a person":
            text(header, "BurnedInAnnotation") == "YES",
    }  # fmt: skip
    return [note for note, is_so in found.items() if is_so]


def _mapping_notes(header: Dataset) -> list[str]:
    """Return notes on a RealWorldValueMapping of the first frame; they have the unit as the file writes it."""
    frames = value_of(header, "PerFrameFunctionalGroupsSequence")
    shared = first_item(header, "SharedFunctionalGroupsSequence")
    mapping = Fields(header, shared, frames[0] if frames else None).mapping()
    if mapping is None:
        return []
    if not number(mapping, "RealWorldValueSlope"):
        return ["a table to real values (RealWorldValueLUTData) is not applied"]
    code = first_item(mapping, "MeasurementUnitsCodeSequence")
    unit = "" if code is None else text(code, "CodeValue")
    ends = [
        number(mapping, f"{of}RealWorldValue{end}ValueMapped")
        for of in ("", "DoubleFloat")
        for end in ("First", "Last")
    ]
    low, high = ends[:2] if ends[0] is not None else ends[2:]
    values = (
        ""
        if low is None or high is None
        else f"; stored values outside {low:g} to {high:g} have no meaning there"
    )
    return [f"real values are those of RealWorldValueMapping{f', in {unit}' if unit else ''}{values}"]


def _chunks(axes: Sequence[Axis], planes: Sequence[Plane]) -> Shape:
    """Return what is decoded at once: a run of pixels of an uncompressed plane, or a whole plane."""
    pixels = next((plane.pixels for plane in planes if not plane.pixels.plain), planes[0].pixels)
    names = [axis.name for axis in axes]
    if pixels.plain and pixels.palette is None:
        inner = "yx" if pixels.samples == 1 else "cyx" if pixels.planar else "yxc"
        return natural_chunks(axes, [n for n in "tzc" if n in names and n not in inner] + list(inner))
    whole = "cyx" if pixels.samples > 1 or pixels.palette is not None else "yx"
    return tuple(axis.size if axis.name in whole else 1 for axis in axes)
