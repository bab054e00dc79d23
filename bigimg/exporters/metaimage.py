"""MetaImage: a header of text, and plain pixels behind it (``.mha``) or in a ``.raw`` beside it (``.mhd``).

What only this module knows: row *i* of ``TransformMatrix`` is the direction of axis *i*. The world is that of
:mod:`~bigimg.exporters.itk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.itk import axis_count, digits, geometry
from bigimg.exporters.layout import Asked, Layout, refuse_options
from bigimg.geometry.spec import ImageSpec

TYPES = {
    "b1": "MET_UCHAR", "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT",
    "u4": "MET_UINT", "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip


def lay_out(levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
    """Return how a ``.mha``, or a ``.mhd`` and its ``.raw``, hold the image; channels are the fastest axis.

    Raises
    ------
    UsageError
        float16 pixels.
    """
    refuse_options(asked, "MetaImage")
    spec = levels[0]
    kind = TYPES.get(f"{spec.dtype.kind}{spec.dtype.itemsize}")
    if kind is None:
        raise UsageError(
            f"{target}: MetaImage has no {spec.dtype}: write .npy or .tif, or convert to float32 first"
        )
    order = tuple(name for name in ("t", "z", "y", "x", "c") if name in spec.dims)
    detached = target.suffix.lower() == ".mhd"
    pixels = target.with_suffix(".raw") if detached else None
    head = _header(spec, kind, pixels.name if pixels else "LOCAL")
    notes = ["MetaImage keeps no unit of time"] if "t" in order else []
    if spec.channels:
        notes.append("MetaImage keeps no names of channels")
    if spec.dtype == bool:
        notes.append("MetaImage has no booleans: they are written as 0 and 1 of 8 bits")
    dtype = np.dtype(np.uint8) if spec.dtype == bool else spec.dtype.newbyteorder("<")
    if pixels is not None:
        return Layout(order, dtype, header_file=(target, head), pixels_file=pixels, notes=tuple(notes))
    return Layout(order, dtype, head, notes=tuple(notes))


def _header(spec: ImageSpec, kind: str, data_file: str) -> bytes:
    """Return the text of the header."""
    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    count = axis_count(spec)
    spacing, turned, origin = geometry(spec, count)
    fields = {
        "ObjectType": "Image",
        "NDims": str(count),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": digits(turned.T.reshape(-1)),
        "Offset": digits(origin),
        "CenterOfRotation": digits([0.0] * count),
        "ElementSpacing": digits(spacing),
        "DimSize": " ".join(str(sizes.get(name, 1)) for name in "xyzt"[:count]),
    }
    if "c" in sizes:
        fields["ElementNumberOfChannels"] = str(sizes["c"])
    fields |= {"ElementType": kind, "ElementDataFile": data_file}
    return "".join(f"{name} = {value}\n" for name, value in fields.items()).encode()
