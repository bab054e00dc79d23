"""Export to MetaImage: a text header, and pixels behind it (``.mha``) or in a ``.raw`` file (``.mhd``).

Row *i* of ``TransformMatrix`` is the direction of axis *i*. The world is that of :mod:`~bigimg.exporters.itk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bigimg.exporters.itk import axis_count, behind_text, digits, geometry
from bigimg.exporters.layout import Layout, Options
from bigimg.geometry.spec import ImageSpec

TYPES = {
    "b1": "MET_UCHAR", "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT",
    "u4": "MET_UINT", "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip


def lay_out(levels: Sequence[ImageSpec], target: Path, options: Options) -> Layout:
    """Return how a ``.mha``, or a ``.mhd`` and its ``.raw``, hold the image; channels are the fastest axis.

    Raises
    ------
    UsageError
        float16 pixels.
    """
    spec = levels[0]
    notes = ["MetaImage keeps no unit of time"] if "t" in spec.dims else []
    if spec.channels:
        notes.append("MetaImage keeps no names of channels")
    return behind_text("MetaImage", TYPES, _header, spec, target, detached=".mhd", notes=notes)


def _header(spec: ImageSpec, kind: str, pixels: Path | None) -> bytes:
    """Return the text of the header."""
    sizes, count = spec.sizes, axis_count(spec)
    spacing, directions, origin = geometry(spec, count)
    fields = {
        "ObjectType": "Image",
        "NDims": str(count),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": digits(directions.T.reshape(-1)),
        "Offset": digits(origin),
        "CenterOfRotation": digits([0.0] * count),
        "ElementSpacing": digits(spacing),
        "DimSize": " ".join(str(sizes.get(name, 1)) for name in "xyzt"[:count]),
    }
    if "c" in sizes:
        fields["ElementNumberOfChannels"] = str(sizes["c"])
    fields |= {"ElementType": kind, "ElementDataFile": pixels.name if pixels else "LOCAL"}
    return "".join(f"{name} = {value}\n" for name, value in fields.items()).encode()
