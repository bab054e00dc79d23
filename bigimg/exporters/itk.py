"""Export to MetaImage and NRRD, the two formats of ITK: a text header in LPS millimetres, uncompressed pixels.

The pixels lie behind the header (``.mha``, ``.nrrd``) or in a ``.raw`` file (``.mhd``, ``.nhdr``). Numbers are written
with all their digits. If a volume has no affine, its coordinates count as RAS+, as in ``img.bigimg.affine`` and in
NIfTI files; a picture without one keeps its axes, with the identity as direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Layout
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import RGB, RGBA, ImageSpec
from bigimg.types import Array

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
METAIMAGE_TYPES = {
    "b1": "MET_UCHAR", "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT",
    "u4": "MET_UINT", "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip
NRRD_TYPES = {
    "b1": "uint8", "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
    "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip


def lay_out_metaimage(levels: Sequence[ImageSpec], target: Path) -> Layout:
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
    return _lay_out("MetaImage", METAIMAGE_TYPES, _metaimage, spec, target, notes)


def lay_out_nrrd(levels: Sequence[ImageSpec], target: Path) -> Layout:
    """Return how a ``.nrrd``, or a ``.nhdr`` and its ``.raw``, hold the image; channels are the fastest axis.

    Raises
    ------
    UsageError
        float16 pixels.
    """
    spec = levels[0]
    time = "NRRD keeps no origin of time, and ITK reads no NRRD with time: write .mha for it"
    notes = [time] if "t" in spec.dims else []
    if spec.channels and spec.channels not in (RGB, RGBA):
        notes.append("NRRD keeps no names of channels")
    return _lay_out("NRRD", NRRD_TYPES, _nrrd, spec, target, notes)


def _lay_out(
    title: str, kinds: Mapping[str, str], header: Callable[[ImageSpec, str, Path | None], str], spec: ImageSpec,
    target: Path, notes: list[str],
) -> Layout:  # fmt: skip
    """Return how pixels lie behind the text that ``header`` makes, or in a ``.raw`` file beside it."""
    kind = kinds.get(spec.dtype.str[1:])
    if kind is None:
        raise UsageError(f"{target}: {title} has no {spec.dtype}: write .npy or .tif, or use float32")
    order = tuple(name for name in ("t", "z", "y", "x", "c") if name in spec.dims)
    dtype = spec.dtype.newbyteorder("<")
    if dtype.kind == "b":
        notes.append(f"{title} has no booleans: they are written as 0 and 1 of 8 bits")
        dtype = np.dtype(np.uint8)
    pixels = target.with_suffix(".raw") if target.suffix.lower() in (".mhd", ".nhdr") else None
    head = header(spec, kind, pixels).encode()
    if pixels is not None:
        return Layout(order, dtype, header_file=(target, head), pixels_file=pixels, notes=tuple(notes))
    return Layout(order, dtype, head, notes=tuple(notes))


def _metaimage(spec: ImageSpec, kind: str, pixels: Path | None) -> str:
    """Return a header of MetaImage; row *i* of ``TransformMatrix`` is the direction of axis *i*."""
    sizes, count = spec.sizes, _axis_count(spec)
    spacing, directions, origin = _geometry(spec, count)
    fields = {
        "ObjectType": "Image",
        "NDims": str(count),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": _digits(directions.T.reshape(-1)),
        "Offset": _digits(origin),
        "CenterOfRotation": _digits([0.0] * count),
        "ElementSpacing": _digits(spacing),
        "DimSize": " ".join(str(sizes.get(name, 1)) for name in "xyzt"[:count]),
    }
    if "c" in sizes:
        fields["ElementNumberOfChannels"] = str(sizes["c"])
    fields |= {"ElementType": kind, "ElementDataFile": pixels.name if pixels else "LOCAL"}
    return "".join(f"{name} = {value}\n" for name, value in fields.items())


def _nrrd(spec: ImageSpec, kind: str, pixels: Path | None) -> str:
    """Return a header of NRRD, with the empty line before attached pixels.

    The first axis is the fastest. An axis of space has a vector, its direction times its spacing; channels and time
    have none.
    """
    sizes, count = spec.sizes, _axis_count(spec)
    space = min(count, 3)
    names = [*(["c"] if "c" in sizes else []), *"xyzt"[:count]]
    spacing, directions, origin = _geometry(spec, count)
    vectors = {name: _vector(directions[:space, i] * spacing[i]) for i, name in enumerate("xyz"[:space])}
    colour = {RGB: "RGB-color", RGBA: "RGBA-color"}.get(spec.channels, "vector")
    kinds = {"c": colour, "t": "time"}
    fields = {
        "type": kind,
        "dimension": str(len(names)),
        **({"space": "left-posterior-superior"} if space == 3 else {"space dimension": "2"}),
        "sizes": " ".join(str(sizes.get(name, 1)) for name in names),
        "space directions": " ".join(vectors.get(name, "none") for name in names),
        "kinds": " ".join(kinds.get(name, "domain") for name in names),
        "endian": "little",
        "encoding": "raw",
        "space units": " ".join(['"mm"'] * space),
        "space origin": _vector(origin[:space]),
    }
    if "t" in sizes:
        step = spec.axes[spec.axis("t")]
        fields["spacings"] = " ".join(_digits([step.spacing]) if name == "t" else "nan" for name in names)
        fields["units"] = " ".join(f'"{(step.unit or "") if name == "t" else ""}"' for name in names)
    if pixels is not None:
        fields["data file"] = pixels.name
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return "NRRD0005\n" + text + ("" if pixels else "\n")


def _axis_count(spec: ImageSpec) -> int:
    """Return how many of x y z t the file has; a plane with an affine becomes a volume of one plane to keep it."""
    if "t" in spec.dims:
        return 4
    return 3 if "z" in spec.dims or spec.world is not None else 2


def _geometry(spec: ImageSpec, count: int) -> tuple[Array, Array, Array]:
    """Return spacing, directions (a column an axis) and origin of ``count`` axes, x first, in LPS millimetres."""
    axes = {axis.name: axis for axis in spec.axes}
    scale = [MILLIMETERS.get(axes[n].unit or "", 1.0) if n in axes else 1.0 for n in "xyz"]
    affine = index_to_world(spec.axes, spec.world)
    if spec.world is None:
        affine = np.diag([*scale, 1.0]) @ affine
    if count != 2:  # a picture lies in no body: its axes stay as they are
        affine = RAS_TO_LPS @ affine
    spacing, directions, origin = np.ones(count), np.eye(count), np.zeros(count)
    space = min(count, 3)
    spacing[:space] = np.linalg.norm(affine[:3, :space], axis=0)
    for i, name in enumerate("xyz"[:space]):
        if name in axes:  # the exact spacing, if the length of the column differs in the last digits only
            exact = abs(axes[name].spacing) * scale[i]
            spacing[i] = exact if abs(exact - spacing[i]) <= 1e-14 * exact else spacing[i]
    directions[:space, :space] = affine[:space, :space] / spacing[:space]
    origin[:space] = affine[:space, 3]
    if "t" in axes:
        spacing[3], origin[3] = axes["t"].spacing, axes["t"].origin
    return spacing, directions, origin


def _digits(numbers: Iterable[float]) -> str:
    """Return numbers with all their digits; a zero has no minus sign."""
    return " ".join(repr(float(number) + 0.0) for number in numbers)


def _vector(numbers: Iterable[float]) -> str:
    return "(" + _digits(numbers).replace(" ", ",") + ")"
