"""Export to NIfTI: nibabel makes the header; in the pixels x is the fastest axis.

The affine is written in the unit of the spacing (metre, millimetre or micrometre) as sform, and also as qform if it has
no shear. NIfTI-1 stores it in float32, about 7 digits; NIfTI-2 in float64. If an image has no affine, its coordinates
count as RAS+, with code 2 as nibabel gives it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import UsageError
from bigimg.exporters.layout import Layout
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.axes import MILLIMETERS, SECONDS
from bigimg.geometry.spec import RGB, RGBA, ImageSpec, Scaling
from bigimg.types import Array, DType, Json

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

LONGEST = 32767
"""Pixels along an axis that NIfTI-1 can hold."""
SPACE = {"meter": "meter", "millimeter": "mm", "micrometer": "micron"}
"""Units of length in the header, by nibabel's names."""
TIME = {"second": "sec", "millisecond": "msec", "microsecond": "usec"}
LABELS = 1002
"""NIFTI_INTENT_LABEL."""
SHEAR = 1e-5
"""Largest deviation of the columns from a rotation for a qform; float32 quaternions are no more exact."""
TEXTS = ("descrip", "aux_file", "intent_name")
"""Header fields that are copied if the source is a NIfTI too."""


def lay_out(levels: Sequence[ImageSpec], target: Path, *, version: int | None = None) -> Layout:
    """Return how a ``.nii`` or ``.nii.gz`` file holds the image.

    Raises
    ------
    UsageError
        float16 pixels, or an axis too long for the version that was asked for.
    """
    spec = levels[0]
    if spec.dtype == np.float16:
        raise UsageError(f"{target}: NIfTI has no float16: write .npy or .tif, or convert to float32 first")
    colors = {RGB: 3, RGBA: 4}.get(spec.channels) if spec.dtype == np.uint8 else None
    order = tuple(name for name in ("tzyxc" if colors else "ctzyx") if name in spec.dims)
    header = _header(spec, target, version, colors)
    _set_geometry(header, spec)
    notes = []
    if spec.dtype == bool:
        notes.append("NIfTI has no booleans: they are written as 0 and 1 of 8 bits, marked as labels")
    if spec.channels and not colors:
        notes.append("NIfTI keeps no names of channels")
    if spec.dtype.kind in "iu" and spec.dtype.itemsize == 8:
        programs = "SPM, FSL, AFNI and most viewers cannot read"
        notes.append(
            f"{spec.dtype} stays as it is, which {programs}; convert to int32 or float64 first for them"
        )
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

    sizes = spec.sizes
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
    scaling = spec.scaling or Scaling(1.0, 0.0)
    header["scl_slope"], header["scl_inter"] = scaling.slope, scaling.intercept
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


def _set_geometry(header: Nifti1Header, spec: ImageSpec) -> None:
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
    code = _code(spec.meta.get("sform_code"), 5) or _code(spec.meta.get("qform_code"), 5)
    code = code or (1 if spec.world is not None else 2)
    lengths = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    # The affine has the last word where a world contradicts the spacing; equal ones keep the digits of the spacing.
    zooms[:3] = [
        z if math.isclose(z, n, rel_tol=1e-6) or not n else n for z, n in zip(zooms, lengths, strict=False)
    ]
    header.set_sform(affine, code)
    if _is_rotation(affine, zooms[:3]):
        header.set_qform(affine, _code(spec.meta.get("qform_code"), 5) or code)
    header["pixdim"][1 : len(zooms) + 1] = zooms  # set_qform overwrites them with the lengths of the columns


def space_unit(spec: ImageSpec) -> tuple[str | None, dict[str, float]]:
    """Return the unit of length to write, and the factor for the spacing of each axis.

    If all axes have one unit that NIfTI has, it is that one, otherwise the next smaller one of NIfTI. It is None if an
    axis has no unit of length.
    """
    units = {axis.name: axis.unit for axis in spec.axes if axis.type == "space"}
    if not all(unit in MILLIMETERS for unit in units.values()):
        return None, dict.fromkeys(units, 1.0)
    known = {unit for unit in units.values() if unit is not None}
    if len(known) == 1 and known <= set(SPACE):
        return known.pop(), dict.fromkeys(units, 1.0)
    small = max(MILLIMETERS[unit] for unit in known) <= MILLIMETERS["micrometer"]
    chosen = "micrometer" if small else "millimeter"
    # The factors are powers of ten and 25.4: only the last digit of their quotient may be wrong.
    return chosen, {name: MILLIMETERS[unit or ""] / MILLIMETERS[chosen] for name, unit in units.items()}


def _is_rotation(affine: Array, zooms: Sequence[float]) -> bool:
    """Return whether ``affine`` is a rotation of axes with these spacings, which a quaternion can hold."""
    columns = affine[:3, :3] / np.asarray(zooms)
    return bool(np.abs(columns.T @ columns - np.eye(3)).max() < SHEAR)


def _code(value: Json, most: int) -> int:
    """Return ``value`` if it is a code from 0 to ``most``, otherwise 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else 0
