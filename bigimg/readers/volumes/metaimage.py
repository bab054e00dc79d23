"""A reader of MetaImage: ``.mhd`` with one or more data files, ``.mha`` with the pixels behind the header.

The header is lines of ``Name = value``; the last is ``ElementDataFile``. No library but ITK reads it. Row *i* of
``TransformMatrix`` is the direction of axis *i*, ``Offset`` is the origin, and the world is LPS in millimetres, as in
ITK. ``MET_LONG`` has 4 bytes, as MetaIO reads it on every machine.
"""

from __future__ import annotations

import math

import numpy as np

from bigimg.errors import InputError, reading
from bigimg.geometry.axes import MILLIMETERS
from bigimg.readers.raw.detached import Encoding, Layout, data_files, number, numbers, open_detached, text_of
from bigimg.readers.raw.plain import RawReader, Stored
from bigimg.readers.volumes.headers import LPS_TO_RAS, Step, Volume, checked_shape, in_space
from bigimg.types import Array

TYPES = {
    "MET_CHAR": "i1", "MET_ASCII_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
"""``MET_…_ARRAY`` is the same type, with ``ElementNumberOfChannels``."""

UNITS = {"mm": "millimeter", "cm": "centimeter", "um": "micrometer"}
"""Units in ``DistanceUnits``."""

SPACINGS = ("ElementSpacing", "ElementSize")
ORIGINS = ("Offset", "Position", "Origin")
"""Names of one field; the first that the header has counts."""

MOST_HEADER = 16 << 20
"""Bytes of a header at most, its list of files included."""

LAYOUT = {"ElementDataFile", "HeaderSize", "CompressedData", "CompressedDataSize", "BinaryData", "DimSize", "NDims",
          "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "ElementType", "ElementNumberOfChannels"}  # fmt: skip
"""Fields that describe the file and not the image."""


PERSONAL = "Comment|Name|ID|AcquisitionDate|(?!Element|Object|Transform|Center|Anatomical|Distance|Offset|Position|" \
           "Origin|Rotation|Orientation|Modality|Sequence|Color|ParentID).*"  # fmt: skip
"""All but the fields of the format itself: ITK adds any tag of a DICOM file."""


def open_metaimage(source: str) -> RawReader:
    """Return a reader of the MetaImage at ``source``.

    Parameters
    ----------
    source : str
        The ``.mhd`` or ``.mha``.

    Raises
    ------
    InputNotFoundError
        The data file is not there.
    InputError
        The header makes no sense, names data outside its folder, or the data are too short.
    """
    fields, listed, end = _read_header(source)
    if fields.get("ObjectType", "Image") != "Image":
        raise InputError(f"{source}: is a MetaIO {fields['ObjectType']}; bigimg reads images only")
    with reading(source, (ValueError, OverflowError)):
        layout = _layout(source, fields, end)
        affine, steps, starts = _geometry(fields, len(layout.stored.dims) - ("c" in layout.stored.dims))
        slope = number(fields, "ElementToIntensityFunctionSlope", float, 1.0)
        intercept = number(fields, "ElementToIntensityFunctionOffset", float, 0.0)
    named = fields["ElementDataFile"]
    local = named.upper() == "LOCAL"
    files = [source] if local else data_files(source, named, listed, layout.stored.shape[0])
    pixels, access = open_detached(source, files, layout)
    notes: list[str] = []
    origins = [name for name in ORIGINS if name in fields]
    if len({fields[name] for name in origins}) > 1:
        notes.append(f"the header has {' and '.join(origins)}, which differ; {origins[0]} is used")
    volume = Volume(
        stored=layout.stored, affine=affine, steps=steps, starts=starts, slopes=slope, intercepts=intercept,
        personal=PERSONAL, fields={name: fields[name] for name in fields if name not in LAYOUT},
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes)


def _read_header(path: str) -> tuple[dict[str, str], list[str], int]:
    """Return the fields, the names behind ``ElementDataFile = LIST``, and the byte where the header ends."""
    fields: dict[str, str] = {}
    with reading(path), open(path, "rb") as file:
        while "ElementDataFile" not in fields:
            line = file.readline(4096)
            name, equals, value = line.decode("latin-1").partition("=")
            if not line or file.tell() > MOST_HEADER or (line.strip() and not equals):
                what = f"line {len(fields) + 1} of the header is no 'Name = value'"
                why = "no line before it is ElementDataFile"
                raise InputError(f"{path}: {what}, and {why}; check that it is a MetaImage")
            if equals:
                fields[name.strip()] = value.strip()
        end = file.tell()
        words = fields["ElementDataFile"].split()
        text = file.read(MOST_HEADER) if words[:1] == ["LIST"] else b""
    return fields, list(filter(None, map(str.strip, text.decode("latin-1").splitlines()))), end


def _layout(source: str, fields: dict[str, str], end: int) -> Layout:
    """Return how the pixels lie in their files; the header ends at byte ``end``."""
    sizes = checked_shape(source, numbers(fields, "DimSize", int))
    if number(fields, "NDims", int, len(sizes)) != len(sizes):
        raise ValueError(f"NDims is {fields['NDims']} and DimSize has {len(sizes)} numbers")
    if len(sizes) < 2 or math.prod(sizes[4:]) > 1:
        raise ValueError(f"it has {len(sizes)} axes, and only x y z t are known")
    sizes = sizes[:4]
    kind = TYPES.get(text_of(fields, "ElementType").removesuffix("_ARRAY"))
    if kind is None:
        raise ValueError(f"ElementType is {fields['ElementType']}, not one of {' '.join(TYPES)}")
    msb = _true(fields, "ElementByteOrderMSB", _true(fields, "BinaryDataByteOrderMSB", False))
    channels = number(fields, "ElementNumberOfChannels", int, 1)
    if channels < 1:
        raise ValueError(f"ElementNumberOfChannels is {channels}")
    dims, shape = tuple("xyzt"[: len(sizes)][::-1]), tuple(reversed(sizes))
    encoding: Encoding = "zlib" if _true(fields, "CompressedData", False) else "raw"
    if not _true(fields, "BinaryData", True):
        encoding = "text"
    skip = number(fields, "HeaderSize", int, 0)
    if skip < -1 or (skip == -1 and encoding != "raw"):
        raise ValueError(f"HeaderSize is {skip}")
    local = fields["ElementDataFile"].upper() == "LOCAL"
    start = end if local else max(skip, 0)  # in a LOCAL file these bytes are this header, whose end is known
    if channels > 1:
        dims, shape = (*dims, "c"), (*shape, channels)
    stored = Stored(dims, shape, np.dtype((">" if msb else "<") + kind))
    return Layout(stored, encoding, min(skip, 0), start)


def _true(fields: dict[str, str], name: str, otherwise: bool) -> bool:
    return fields[name][:1] in tuple("TtYy1") if name in fields else otherwise


def _numbers(fields: dict[str, str], names: tuple[str, ...], count: int) -> list[float] | None:
    """Return the numbers of the first field of ``names`` that the header has; None if it has none of them."""
    found = next((name for name in names if name in fields), None)
    if found is None:
        return None
    values = numbers(fields, found, float)
    if len(values) < count:
        raise ValueError(f"{found} has {len(values)} numbers, not {count}")
    return values


def _geometry(fields: dict[str, str], ndim: int) -> tuple[Array | None, dict[str, Step], dict[str, float]]:
    """Return the affine from index (x, y, z) to RAS+ mm, the steps, and where axes begin.

    A picture whose axes are not turned lies in no body, and has no affine.
    """
    unit = UNITS.get(fields.get("DistanceUnits", "mm"), "millimeter")
    spacings = _numbers(fields, SPACINGS, ndim) or [1.0] * ndim
    rows = _numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), ndim * ndim)
    turned = np.eye(ndim) if rows is None else np.array(rows[: ndim * ndim]).reshape(ndim, ndim)
    origin = _numbers(fields, ORIGINS, ndim) or [0.0] * ndim
    space = min(ndim, 3)
    affine = np.eye(4)
    affine[:space, :space] = turned[:space, :space].T * spacings[:space]
    affine[:space, 3] = origin[:space]
    affine[:3] *= MILLIMETERS[unit]
    steps = in_space(spacings, unit)
    if ndim > 3:
        steps["t"] = (spacings[3], None)
    starts = dict(zip("xyzt", origin, strict=False))
    if ndim == 2 and np.array_equal(turned, np.eye(2)):
        return None, steps, starts
    return LPS_TO_RAS @ affine, steps, starts
