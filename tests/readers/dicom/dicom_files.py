"""DICOM files made by pydicom: slices, frames and patients that never were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from bigimg.types import Array

CT = "1.2.840.10008.5.1.4.1.1.2"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*words: object) -> str:
    """Return the same unique id for the same words."""
    return str(generate_uid(entropy_srcs=[str(word) for word in words]))


def header(pixels: Array, *, colour: bool = False, **tags: Any) -> Dataset:
    """Return an image of shape (y, x), (frames, y, x) or with colours last."""
    frames = pixels.shape[0] if pixels.ndim - colour == 3 else 1
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = (
        ExplicitVRLittleEndian if pixels.dtype.byteorder != ">" else ExplicitVRBigEndian
    )
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CT
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid(
        pixels.tobytes(), sorted(tags.items())
    )
    made.SeriesInstanceUID = uid("series")
    made.Modality, made.SeriesNumber = "CT", 1
    made.Rows, made.Columns, made.SamplesPerPixel = rows, columns, 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    if frames > 1:
        made.NumberOfFrames = frames
    data = pixels.tobytes()
    made.add_new(0x7FE00010, "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))
    for name, value in tags.items():
        if value is None:
            del made[name]
        else:
            setattr(made, name, value)
    return made


def save(made: Dataset, path: Path) -> Path:
    """Write a file with preamble and file meta."""
    made.save_as(path, enforce_file_format=True)
    return path


def decimal(numbers: Iterable[float]) -> list[str]:
    """Return numbers as scanners write them: 16 characters at most."""
    return [f"{number:.10g}"[:16] for number in numbers]


def place(index: float, *, step: Sequence[float], origin: Sequence[float] = (-20.0, 10.0, 5.0)) -> list[str]:
    """Return the position of slice ``index``."""
    return decimal(np.asarray(origin) + index * np.asarray(step))


def series(
    folder: Path,
    volume: Array,
    *,
    step: Sequence[float] = (0.0, 0.0, 2.5),
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (0.5, 0.75),
    **tags: Any,
) -> list[Path]:
    """Write ``volume`` of shape (z, y, x) as one file a slice, named in no order of space."""
    folder.mkdir(exist_ok=True)
    names = np.random.default_rng(len(volume)).permutation(len(volume))
    return [
        save(
            header(
                plane,
                ImagePositionPatient=place(z, step=step),
                ImageOrientationPatient=decimal(orientation),
                PixelSpacing=decimal(spacing),
                InstanceNumber=z + 1,
                **tags,
            ),
            folder / f"{names[z]:04d}.dcm",
        )
        for z, plane in enumerate(volume)
    ]


def enhanced(pixels: Array, positions: Sequence[Sequence[float]], **tags: Any) -> Dataset:
    """Return a multi-frame image with the place of each frame in its functional groups."""
    made = header(pixels, **tags)
    shared, measures, turned = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.75]
    turned.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
    made.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for position in positions:
        group, where = Dataset(), Dataset()
        where.ImagePositionPatient = list(position)
        group.PlanePositionSequence = [where]
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
    return made
