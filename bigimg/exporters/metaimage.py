"""MetaImage: a header of text, and plain pixels behind it (``.mha``) or in a ``.raw`` beside it (``.mhd``).

What only this module knows: the world of ITK is LPS in millimetres, row *i* of ``TransformMatrix`` is the
direction of axis *i*, and numbers are written with all digits of a float64. An image that does not say where it
lies has its coordinates taken as RAS+, as ``img.bigimg.affine`` gives them and as NIfTI files get them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Asked, Layout, refuse_options
from bigimg.exporters.units import MILLIMETERS
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Array

TYPES = {
    "b1": "MET_UCHAR", "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT",
    "u4": "MET_UINT", "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


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
    # A plane of a volume keeps its place in it only as a volume of one plane.
    deep = "z" in sizes or "t" in sizes or spec.world is not None
    count = 4 if "t" in sizes else 3 if deep else 2
    spacing, turned, origin = _geometry(spec, count)
    fields = {
        "ObjectType": "Image",
        "NDims": str(count),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": _text(turned.T.reshape(-1)),
        "Offset": _text(origin),
        "CenterOfRotation": _text([0.0] * count),
        "ElementSpacing": _text(spacing),
        "DimSize": " ".join(str(sizes.get(name, 1)) for name in "xyzt"[:count]),
    }
    if "c" in sizes:
        fields["ElementNumberOfChannels"] = str(sizes["c"])
    fields |= {"ElementType": kind, "ElementDataFile": data_file}
    return "".join(f"{name} = {value}\n" for name, value in fields.items()).encode()


def _geometry(spec: ImageSpec, count: int) -> tuple[Array, Array, Array]:
    """Return spacing, directions (a column an axis) and origin of ``count`` axes, x first, in LPS millimetres."""
    axes = {axis.name: axis for axis in spec.axes}
    affine = index_to_world(spec.axes, spec.world)
    if spec.world is None:
        scale = [MILLIMETERS.get(axes[n].unit or "", 1.0) if n in axes else 1.0 for n in "xyz"]
        affine = np.diag([*scale, 1.0]) @ affine
    affine = RAS_TO_LPS @ affine
    spacing, turned, origin = np.ones(count), np.eye(count), np.zeros(count)
    space = min(count, 3)
    spacing[:space] = np.linalg.norm(affine[:3, :space], axis=0)
    for i, name in enumerate("xyz"[:space]):
        if name in axes:  # the spacing as it is, where the length of the column is it but for the last digits
            said = abs(axes[name].spacing) * MILLIMETERS.get(axes[name].unit or "", 1.0)
            spacing[i] = said if abs(said - spacing[i]) <= 1e-14 * said else spacing[i]
    turned[:space, :space] = affine[:space, :space] / spacing[:space]
    origin[:space] = affine[:space, 3]
    if "t" in axes:
        spacing[3], origin[3] = axes["t"].spacing, axes["t"].origin
    return spacing, turned, origin


def _text(numbers: Iterable[float]) -> str:
    """Return numbers with all their digits; no minus before a zero."""
    return " ".join(repr(float(number) + 0.0) for number in numbers)
