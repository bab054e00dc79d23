"""What an image of DICOM planes is: axes, place, unit, window, and what a person should know of it.

What only this module knows is what tags mean for an image: spacing is that of the body or of the detector,
patient coordinates (LPS) become RAS, frames without a place are times where the file says how long one lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigimg.geometry.affine import Affine, world_from_index_affine
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, Scaling
from bigimg.readers.dicom.headers import Plane
from bigimg.readers.dicom.pixels import Pixels
from bigimg.readers.dicom.series import Stack, normal
from bigimg.readers.dicom.tags import divided, number, numbers
from bigimg.readers.raw.plain import natural_chunks
from bigimg.types import Array, DType, Kind, Shape

if TYPE_CHECKING:
    from pydicom import Dataset

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM counts to the left and to the back; we, as NIfTI, to the right and to the front."""


def describe(
    header: Dataset, planes: Sequence[Plane], order: Array, stacked: Stack, notes: list[str], source: str
) -> ImageSpec:
    """Return what the image is.

    Parameters
    ----------
    header : Dataset
        Of the first plane, all of it.
    planes : sequence of Plane
    order : ndarray of shape (t, segments, z)
        Which plane is there.
    stacked : Stack
        What else is known of their order.
    notes : list of str
        Gets what a person should know.
    source : str
        For messages.
    """
    first = planes[order.item(0)]
    axes = _axes(header, first, order, stacked, notes)
    lines = {plane.line for plane in planes}
    dtype = _dtype(first, len(lines) == 1)
    if len(lines) > 1:
        notes.append(f"slope and intercept differ from slice to slice: real values are given, as {dtype}")
    one_line = first.line if len(lines) == 1 and first.line != (1.0, 0.0) else None
    public, private = divided(header)
    _remark(header, planes, notes)
    return ImageSpec(
        axes=axes,
        dtype=dtype,
        chunks=_chunks(axes, planes),
        channels=_channels(header, first, planes),
        world=_world(first, stacked, axes, source),
        kind=_kind(header, first.pixels),
        scaling=None if one_line is None else Scaling(*one_line),
        window=_window(planes, notes),
        meta=public,
        padding=_padding(planes, dtype, notes),
        notes=tuple(notes),
        private=private,
    )


def as_clip(header: Dataset, first: Plane, order: Array, stacked: Stack) -> tuple[Array, Stack]:
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


def _chunks(axes: Sequence[Axis], planes: Sequence[Plane]) -> Shape:
    """Return what is decoded at once: a run of a plain plane, a whole plane of any other."""
    pixels = next((plane.pixels for plane in planes if not plane.pixels.plain), planes[0].pixels)
    names = [axis.name for axis in axes]
    if pixels.plain and pixels.palette is None:
        inner = "yx" if pixels.samples == 1 else "cyx" if pixels.planar else "yxc"
        return natural_chunks(
            axes, [name for name in "tzc" if name in names and name not in inner] + list(inner)
        )
    whole = "cyx" if pixels.samples > 1 or pixels.palette is not None else "yx"
    return tuple(axis.size if axis.name in whole else 1 for axis in axes)
