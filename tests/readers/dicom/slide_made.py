"""DICOM slides made by pydicom: tiles of any array, in files as scanners write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import get_encoder
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    VLWholeSlideMicroscopyImageStorage,
)

from bigimg.types import Array
from tests.readers.dicom.dicom_files import save, uid

type Tables = Literal["basic", "none", "extended"]


def tiles_of(plane: Array, rows: int, columns: int) -> list[Array]:
    """Return the tiles of a plane of shape (y, x) or (y, x, c), row by row, filled up with 7."""
    down, across = -(-plane.shape[0] // rows), -(-plane.shape[1] // columns)
    full = np.full((down * rows, across * columns, *plane.shape[2:]), 7, plane.dtype)
    full[: plane.shape[0], : plane.shape[1]] = plane
    return [
        np.ascontiguousarray(full[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns])
        for r in range(down)
        for c in range(across)
    ]


def coded(tile: Array, syntax: str, photometric: str = "RGB") -> bytes:
    """Return a tile as the transfer syntax has it."""
    if syntax == JPEG2000Lossless:
        return bytes(imagecodecs.jpeg2k_encode(tile, level=0, reversible=True, mct=photometric == "YBR_RCT"))
    if syntax == JPEGBaseline8Bit:
        made = BytesIO()
        if photometric == "RGB":  # no marker says so: the header alone does
            return bytes(imagecodecs.jpeg8_encode(tile, level=95, colorspace="RGB", outcolorspace="RGB"))
        Image.fromarray(tile).save(
            made, "JPEG", quality=95, subsampling=0 if photometric == "YBR_FULL" else 1
        )
        return made.getvalue()
    if syntax == RLELossless:
        options = {
            "rows": tile.shape[0], "columns": tile.shape[1], "number_of_frames": 1, "bits_allocated": 8,
            "bits_stored": 8, "samples_per_pixel": tile[0, 0].size, "planar_configuration": 1,
            "pixel_representation": 0, "photometric_interpretation": photometric,
        }  # fmt: skip
        return bytes(get_encoder(RLELossless).encode(tile, encoding_plugin="pydicom", **options))
    return tile.tobytes()


def slide(
    tiles: Sequence[Array], shape: tuple[int, int], *, syntax: str = ExplicitVRLittleEndian, photometric: str = "",
    tables: Tables = "basic", places: Sequence[tuple[Any, ...]] | None = None, paths: Sequence[str] = ("0",),
    planes: int = 1, spacing: float = 0.0005, kind: str = "VOLUME", number: int = 0, **tags: Any,
) -> Dataset:  # fmt: skip
    """Return a slide of tiles in order.

    Parameters
    ----------
    places : sequence of tuple, optional
        Row and column of the first pixel of each tile, counted from 0, position along z in micrometres and optical
        path. Without them the slide has all tiles.
    """
    first = tiles[0]
    color = first.ndim == 3
    photometric = photometric or ("RGB" if color else "MONOCHROME2")
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid(
        first.tobytes(), kind, number, shape, tags.items()
    )
    made.SeriesInstanceUID, made.StudyInstanceUID = uid("slide"), uid("study")
    made.FrameOfReferenceUID, made.InstanceNumber, made.Modality = uid("frame"), number, "SM"
    made.PatientName, made.ContainerIdentifier, made.Manufacturer = "Roe^Jane", "S21-1234", "ACME"
    made.ImageType = ["ORIGINAL", "PRIMARY", kind, "NONE"]
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = shape
    made.TotalPixelMatrixFocalPlanes, made.NumberOfOpticalPaths = planes, len(paths)
    made.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    made.ImagedVolumeWidth, made.ImagedVolumeHeight = shape[1] * spacing, shape[0] * spacing
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "20.5", "40.25"
    made.TotalPixelMatrixOriginSequence = [origin]
    made.Rows, made.Columns, made.NumberOfFrames = *first.shape[:2], len(tiles)
    made.SamplesPerPixel, made.PhotometricInterpretation = 3 if color else 1, photometric
    if color:
        made.PlanarConfiguration = 0
    bits = first.dtype.itemsize * 8
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits, bits - 1, 0
    made.OpticalPathSequence = [_path(name) for name in paths]
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing, spacing], "0.001"
    if planes > 1:
        measures.SpacingBetweenSlices = "0.002"
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    made.DimensionOrganizationType = "TILED_FULL" if places is None else "TILED_SPARSE"
    if places is not None:
        made.PerFrameFunctionalGroupsSequence = [_group(*place) for place in places]
    frames = [coded(tile, syntax, photometric) for tile in tiles]
    if syntax == ExplicitVRLittleEndian:
        data = b"".join(frames)
        made.add_new(0x7FE00010, "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))
    elif tables == "extended":
        data, made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = encapsulate_extended(frames)
        made.add_new(0x7FE00010, "OB", data)
    else:
        made.add_new(0x7FE00010, "OB", encapsulate(frames, has_bot=tables == "basic"))
    if syntax != ExplicitVRLittleEndian:
        made["PixelData"].is_undefined_length = True
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def _path(name: str) -> Dataset:
    made = Dataset()
    made.OpticalPathIdentifier, made.ObjectiveLensPower = name[:16], 20
    if name in ("DAPI", "GFP"):
        made.OpticalPathDescription = name
    return made


def _group(row: int, column: int, z: float | None = None, path: str | None = None) -> Dataset:
    position, made = Dataset(), Dataset()
    position.RowPositionInTotalImagePixelMatrix, position.ColumnPositionInTotalImagePixelMatrix = (
        row + 1,
        column + 1,
    )
    if z is not None:
        position.ZOffsetInSlideCoordinateSystem = f"{z:g}"
    made.PlanePositionSlideSequence = [position]
    if path is not None:
        light = Dataset()
        light.OpticalPathIdentifier = path
        made.OpticalPathIdentificationSequence = [light]
    return made


def concatenated(made: Dataset, cuts: Sequence[int], folder: Path) -> list[Path]:
    """Write an uncompressed slide in parts that begin at the frames ``cuts``."""
    size = made.Rows * made.Columns * made.SamplesPerPixel * made.BitsAllocated // 8
    ends, paths = [*cuts[1:], int(made.NumberOfFrames)], []
    data = made.PixelData
    for i, (start, end) in enumerate(zip(cuts, ends, strict=True)):
        made.ConcatenationUID, made.InConcatenationNumber = uid("parts"), i + 1
        made.InConcatenationTotalNumber, made.ConcatenationFrameOffsetNumber = len(cuts), start
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid("part", i)
        made.NumberOfFrames, made.PixelData = end - start, data[start * size : end * size]
        paths.append(save(made, folder / f"part{i}.dcm"))
    return paths


def table_at(path: Path) -> int:
    """Return where the first number of the basic table of offsets lies in a file."""
    content = path.read_bytes()
    at = content.rindex(struct.pack("<HH", 0x7FE0, 0x0010) + b"OB\0\0\xff\xff\xff\xff")
    return at + 12 + 8
