"""NIfTI: the header that nibabel makes, and pixels with x fastest.

What only this module knows is how meaning goes into the header. The affine is written in the unit of the
spacing (metre, millimetre or micrometre) as sform, and as qform too where it has no shear. NIfTI-1 keeps it in
float32, about 7 digits; NIfTI-2 in float64. An image that does not say where it lies gets its coordinates as
RAS+, with the code that nibabel gives such an affine, 2.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Asked, Layout, refuse_options
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import MILLIMETERS, SECONDS
from bigimg.geometry.spec import RGB, RGBA, ImageSpec
from bigimg.types import Array, DType, Json

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

LONGEST = 32767
"""Pixels along an axis that NIfTI-1 can say."""
SPACE = {"meter": "meter", "millimeter": "mm", "micrometer": "micron"}
"""Units of length that the header has, as nibabel calls them."""
TIME = {"second": "sec", "millisecond": "msec", "microsecond": "usec"}
LABELS = 1002
"""NIFTI_INTENT_LABEL."""
SHEAR = 1e-5
"""How far the columns of an affine may be from a rotation for a qform: float32 quaternions know no better."""
TEXTS = ("descrip", "aux_file", "intent_name")
"""Header fields that are copied when the source was a NIfTI too."""


def lay_out(levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
    """Return how a ``.nii`` or ``.nii.gz`` file holds the image.

    Raises
    ------
    UsageError
        float16 pixels, or an axis too long for the version that was asked for.
    """
    refuse_options(asked, "NIfTI", "version")
    spec = levels[0]
    if spec.dtype == np.float16:
        raise UsageError(f"{target}: NIfTI has no float16: write .npy or .tif, or convert to float32 first")
    colors = {RGB: 3, RGBA: 4}.get(spec.channels) if spec.dtype == np.uint8 else None
    slow = () if colors else ("c",)
    order = tuple(n for n in (*slow, "t", "z", "y", "x", *(("c",) if colors else ())) if n in spec.dims)
    header = _header(spec, target, asked.version, colors)
    _place(header, spec)
    notes = []
    if spec.dtype == bool:
        notes.append("NIfTI has no booleans: they are written as 0 and 1 of 8 bits, marked as labels")
    if spec.channels and not colors:
        notes.append("NIfTI keeps no names of channels")
    if header["sizeof_hdr"] == 348:
        notes.append("NIfTI-1 keeps spacing and affine in float32, 7 digits; version=2 keeps 64 bits")
    head = io.BytesIO()
    header.write_to(head)
    pixels = head.getvalue().ljust(int(header["vox_offset"]), b"\0")
    zipped = target.name.lower().endswith(".gz")
    return Layout(order, _stored(spec.dtype), pixels, gzip=zipped, notes=tuple(notes))


def _stored(dtype: DType) -> DType:
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("<")


def _header(spec: ImageSpec, target: Path, version: int | None, colors: int | None) -> Nifti1Header:
    """Return a header with shape, type, scaling, intent and window."""
    from nibabel import nifti1, nifti2

    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    names = [name for name in "xyztc" if name != "c" or not colors]
    last = max(i for i, name in enumerate(names) if name in sizes)
    shape = tuple(sizes.get(name, 1) for name in names[: last + 1])
    if version not in (None, 1, 2):
        raise UsageError(f"{target}: version {version} of NIfTI: there are 1 and 2")
    if version == 1 and max(shape) > LONGEST:
        raise UsageError(
            f"{target}: an axis of {max(shape)} pixels is too long for NIfTI-1 (at most {LONGEST}): use version 2"
        )
    second = version == 2 or max(shape) > LONGEST
    header = (nifti2.Nifti2Header if second else nifti1.Nifti1Header)(endianness="<")
    header.set_data_shape(shape)
    header.set_data_dtype("RGB" if colors == 3 else "RGBA" if colors == 4 else _stored(spec.dtype))
    header["vox_offset"] = 544 if second else 352
    header["scl_slope"], header["scl_inter"] = (
        (1.0, 0.0) if spec.scaling is None else (spec.scaling.slope, spec.scaling.intercept)
    )
    for name in TEXTS:
        if isinstance(text := spec.meta.get(name), str):
            header[name] = text.encode("latin-1", "replace")[: header.template_dtype[name].itemsize]
    if spec.kind in ("labels", "mask"):
        header["intent_code"] = LABELS
    elif 0 < (intent := _code(spec.meta.get("intent_code"), 2100)) != LABELS:
        header["intent_code"] = intent
    if spec.window is not None:
        header["cal_min"], header["cal_max"] = spec.window
    return header


def _place(header: Nifti1Header, spec: ImageSpec) -> None:
    """Write spacing, units and affine into ``header``."""
    axes = {axis.name: axis for axis in spec.axes}
    unit, scale = space_unit(spec)
    time = axes.get("t")
    time_unit, time_scale = None, 1.0
    if time is not None and time.unit in SECONDS:
        time_unit, time_scale = (time.unit, 1.0) if time.unit in TIME else ("second", SECONDS[time.unit])
    header.set_xyzt_units(SPACE[unit] if unit else None, TIME[time_unit] if time_unit else None)
    zooms = [abs(axes[n].spacing) * scale[n] if n in axes else 1.0 for n in "xyz"]
    if time is not None:
        zooms.append(time.spacing * time_scale)
        header["toffset"] = time.origin * time_scale
    affine = index_to_world(spec.axes, spec.world)
    if spec.world is not None:
        affine[:3] /= MILLIMETERS[unit] if unit else 1.0
    else:
        affine[:3] = [row * scale.get(name, 1.0) for name, row in zip("xyz", affine, strict=False)]
    if "z" not in axes:
        zooms[2] = float(np.linalg.norm(affine[:3, 2])) or 1.0
    code = _code(spec.meta.get("sform_code"), 5) or _code(spec.meta.get("qform_code"), 5)
    code = code or (1 if spec.world is not None else 2)
    header.set_sform(affine, code)
    if _is_rotation(affine, zooms[:3]):
        header.set_qform(affine, _code(spec.meta.get("qform_code"), 5) or code)
    header["pixdim"][1 : len(zooms) + 1] = zooms  # set_qform puts the lengths of the columns there


def space_unit(spec: ImageSpec) -> tuple[str | None, dict[str, float]]:
    """Return the unit of length to write, and what turns the spacing of each axis into it.

    The unit of the axes where it is one and the header has it, else the nearest smaller one; None where an
    axis has no length.
    """
    units = {axis.name: axis.unit for axis in spec.axes if axis.type == "space"}
    if not all(unit in MILLIMETERS for unit in units.values()):
        return None, dict.fromkeys(units, 1.0)
    known = {unit for unit in units.values() if unit is not None}
    if len(known) == 1 and known <= set(SPACE):
        return known.pop(), dict.fromkeys(units, 1.0)
    small = max(MILLIMETERS[unit] for unit in known) <= MILLIMETERS["micrometer"]
    chosen = "micrometer" if small else "millimeter"
    # The factors are powers of ten and 25.4: their quotient is right to the last digit but one.
    return chosen, {
        n: MILLIMETERS[unit] / MILLIMETERS[chosen] for n, unit in units.items() if unit is not None
    }


def _is_rotation(affine: Array, zooms: Sequence[float]) -> bool:
    """Return whether ``affine`` is a rotation of axes of these spacings, which a quaternion can say."""
    turned = affine[:3, :3] / np.asarray(zooms)
    return bool(np.abs(turned.T @ turned - np.eye(3)).max() < SHEAR)


def _code(value: Json, most: int) -> int:
    """Return a code of the source's header; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else 0
