"""A reader of NIfTI-1, NIfTI-2 and Analyze images, plain or compressed.

nibabel reads only the header. The pixels are C-order numbers that :mod:`bigimg.readers.raw.plain` or
:mod:`bigimg.readers.raw.compressed` reads. Only this module knows the meaning of the header: ``i j k`` are ``x y z``
and lie in the file as ``z y x``. They are never flipped or reoriented, because the affine describes their orientation.
"""

from __future__ import annotations

import itertools
import logging
import math
import os

import numpy as np
from nibabel import nifti1, nifti2, spm2analyze
from nibabel.analyze import AnalyzeHeader
from nibabel.spatialimages import HeaderDataError, HeaderTypeError

from bigimg.errors import InputError, reading
from bigimg.geometry.affine import is_singular
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.orientation import axis_codes
from bigimg.geometry.spec import RGB, RGBA, Channel
from bigimg.readers.raw.compressed import open_pixels, read_bytes
from bigimg.readers.raw.plain import RawReader, Stored
from bigimg.readers.raw.streams import PACKED
from bigimg.readers.volumes.headers import (
    Volume,
    beside,
    checked_shape,
    completed,
    in_space,
    sibling,
    unpacked_name,
)
from bigimg.readers.volumes.spm import spm_affine
from bigimg.types import Array, Shape

UNITS = {1: "meter", 2: "millimeter", 3: "micrometer", 8: "second", 16: "millisecond", 24: "microsecond"}
"""Units in ``xyzt_units``: three bits for space, three for time; hertz, ppm and radians are not times."""

LABELS = 1002
"""NIFTI_INTENT_LABEL."""

LAYOUT = {"sizeof_hdr", "extents", "session_error", "regular", "dim", "datatype", "bitpix", "vox_offset",
          "scl_slope", "scl_inter", "glmax", "glmin", "magic", "unused_str", "eol_check"}  # fmt: skip
"""Header fields that describe the file and not the image."""

HEAD_BYTES = 540
"""The longest header, without extensions."""


def open_nifti(source: str) -> RawReader:
    """Return a reader of the NIfTI or Analyze image at ``source``.

    Parameters
    ----------
    source : str
        ``.nii``, or either file of a ``.hdr`` and ``.img`` pair; each plain or as ``.gz``, ``.bz2`` or ``.zst``.

    Raises
    ------
    InputError
        The header makes no sense, the pixels are longer than 64 bits, or the file is too short.
    """
    stem, suffix = os.path.splitext(unpacked_name(source))
    given = suffix.lower() == ".img"
    header_path = (beside(stem, _packed(".hdr")) if given else None) or source
    with reading(source, (HeaderDataError, HeaderTypeError)):
        header, notes = _header(header_path)
        volume, offset = _volume(source, header, notes)
    if getattr(header, "is_single", False):
        pixels_path = header_path
    else:
        pixels_path = source if given else sibling(source, stem, _packed(".img"), "its pixels")
    others = (header_path, stem + ".mat", stem + ".MAT")
    return volume.reader(source, *open_pixels(pixels_path, offset, volume.stored), notes, others)


def _packed(suffix: str) -> tuple[str, ...]:
    """Return the names that a file of a pair may end in."""
    return (suffix, *(each + packing for packing in PACKED for each in (suffix, suffix.upper())))


def _header(path: str) -> tuple[AnalyzeHeader, list[str]]:
    """Return the checked header of ``path`` and what nibabel repaired in it."""
    head = read_bytes(path, HEAD_BYTES)
    kinds: dict[bytes, type[AnalyzeHeader]] = {
        b"n+1\0": nifti1.Nifti1Header, b"ni1\0": nifti1.Nifti1PairHeader,
        b"n+2\0": nifti2.Nifti2Header, b"ni2\0": nifti2.Nifti2PairHeader,
    }  # fmt: skip
    kind = kinds.get(head[4:8]) or kinds.get(head[344:348])
    if kind is None and 348 in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")):
        kind = spm2analyze.Spm2AnalyzeHeader
    if kind is None:
        raise InputError(f"{path}: has no NIfTI or Analyze header; check that it is such a file")
    size = kind.template_dtype.itemsize
    if len(head) < size:
        raise InputError(f"{path}: ends at byte {len(head)} of a header of {size}; it is truncated")
    header = kind(head[:size], check=False)
    notes: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        notes.append(record.getMessage())
        return False

    logger = logging.Logger("bigimg.readers", logging.INFO)
    logger.addFilter(note)
    header.check_fix(logger=logger)
    return header, notes


def _volume(path: str, header: AnalyzeHeader, notes: list[str]) -> tuple[Volume, int]:
    """Return the image that ``header`` describes, and the byte where its pixels begin."""
    if header.sizeof_hdr == 540 and 3000 <= int(header["intent_code"]) < 3100:
        what = "is CIFTI, which holds values on brain surfaces"
        raise InputError(f"{path}: {what}; bigimg reads grids of pixels and voxels only")
    sizes = checked_shape(path, header.get_data_shape())
    if math.prod(sizes[5:]) > 1:
        what = f"has {len(sizes)} axes of {sizes} pixels, and only x y z t and a vector are known"
        raise InputError(f"{path}: {what}; split it with nibabel first")
    named = {name: n for name, n in zip("xyztc", sizes, strict=False) if n > 1 or name in "xyz"}
    named.setdefault("y", 1)
    dims, shape = tuple(reversed(named)), tuple(reversed(named.values()))
    dtype = np.dtype(header.get_data_dtype())
    channels: tuple[Channel, ...] = ()
    if dtype.names:  # RGB24 and RGBA32: the colours of a pixel lie side by side
        if "c" in dims:
            raise InputError(f"{path}: is a vector of colours, which t c z y x cannot hold; split it first")
        channels = RGB if len(dtype.names) == 3 else RGBA
        dims, shape, dtype = (*dims, "c"), (*shape, len(channels)), np.dtype(np.uint8)
    what = "the header has no valid offset of the pixels"
    with reading(path, (ValueError, OverflowError), "write it again", what=what):
        offset = int(header.get_data_offset())
    code = int(header["xyzt_units"]) if "xyzt_units" in header else 2  # Analyze is always in millimetres
    space, time = UNITS.get(code & 7), UNITS.get(code & 56)
    affine = _affine(path, header, notes)
    steps = in_space(_spacings(header, affine, notes), space) | {"t": (float(header["pixdim"][4]), time)}
    if affine is not None:
        affine[:3] *= MILLIMETERS.get(space or "", 1.0)
    start = float(header["toffset"]) if "toffset" in header else 0.0
    slope, intercept = (None, None) if channels else header.get_slope_inter()
    low, high = float(header["cal_min"]), float(header["cal_max"])
    labels = "intent_code" in header and int(header["intent_code"]) == LABELS
    volume = Volume(
        stored=Stored(dims, shape, dtype), affine=affine, steps=steps,
        starts={"t": start if math.isfinite(start) else 0.0},
        slopes=1.0 if slope is None else slope, intercepts=intercept or 0.0,
        body=_knows_body(header, affine), channels=channels,
        kind="labels" if labels and dtype.kind in "bui" else "image",
        window=(low, high) if -math.inf < low < high < math.inf else None,
        fields={name: header[name] for name in header.keys() if name not in LAYOUT}, family="nifti",  # noqa: SIM118
    )  # fmt: skip
    return volume, offset


def _affine(path: str, header: AnalyzeHeader, notes: list[str]) -> Array | None:
    """Return the affine of SPM's file beside an Analyze pair, or of the header, to RAS+ in the unit of the header.

    None if the header has affines of which none can be used: the image then lies nowhere.
    """
    if "magic" not in header:
        affine, doubt = spm_affine(os.path.splitext(unpacked_name(path))[0])
        notes += [doubt] if doubt else []
        return np.array(header.get_best_affine() if affine is None else affine)
    with np.errstate(over="ignore", invalid="ignore"):  # headers may hold random bytes
        _normalize_quaternion(header, notes)
        forms = {
            name: getattr(header, f"get_{name}")() for name in ("sform", "qform") if header[f"{name}_code"]
        }
        if not forms:
            notes.append(
                "the header has no affine (sform, qform are 0); the centre is put at 0, as nibabel does"
            )
            return np.array(header.get_base_affine())
        sizes = (*header.get_data_shape()[:3], 1, 1)[:3]
        usable = {name: form for name, form in forms.items() if _is_usable(form, sizes)}
        best = next(iter(usable), None)
        for name in forms.keys() - usable.keys():
            instead = f"the {best} is used" if best else "it is left out"
            notes.append(f"the {name} is not finite or singular, so that its axes span no space; {instead}")
        if len(usable) == 2:
            notes += _differences(usable["sform"], usable["qform"], sizes)
    return np.array(usable[best]) if best else None


def _knows_body(header: AnalyzeHeader, affine: Array | None) -> bool:
    """Return whether the affine is one that the file has, and not a guess."""
    if "magic" in header:
        return bool(header["sform_code"] or header["qform_code"])
    return affine is not None and not np.allclose(affine, header.get_best_affine())


def _is_usable(form: Array, sizes: Shape) -> bool:
    """Return whether the axes span space; an axis of one pixel needs no direction."""
    directed = form[:3, :3].any(axis=0)
    return all(directed[i] or sizes[i] == 1 for i in range(3)) and not is_singular(completed(form))


def _normalize_quaternion(header: AnalyzeHeader, notes: list[str]) -> None:
    """Shorten a quaternion that is longer than 1 to length 1, as NIfTI's own C library does; nibabel refuses it."""
    names = ("quatern_b", "quatern_c", "quatern_d")
    length = float(np.linalg.norm([float(header[name]) for name in names]))
    if header["qform_code"] and 1 + 1e-7 < length < math.inf:
        for name in names:
            header[name] = header[name] / length
        if length > 1.001:  # less is rounding
            notes.append(
                f"the quaternion of the qform is {length:g} long, not 1; it is shortened, as NIfTI's library does"
            )


def _differences(sform: Array, qform: Array, sizes: Shape) -> list[str]:
    """Return a note if the two affines put a corner of the image more than a tenth of a voxel apart."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, n - 1) for n in sizes))]).T
    apart = float(np.linalg.norm(((sform - qform) @ corners)[:3], axis=0).max())
    if apart <= 0.1 * np.linalg.norm(sform[:3, :3], axis=0).min():
        return []
    ours, theirs = ("".join(axis_codes(form)) for form in (sform, qform))
    turned = f", where the axes run {theirs} and not {ours}" if ours != theirs else ""
    what = f"sform and qform put voxels up to {apart:.4g} apart{turned}"
    return [f"{what}; the sform is used, as in nibabel, where ITK may use the qform"]


def _spacings(header: AnalyzeHeader, affine: Array | None, notes: list[str]) -> list[float]:
    """Return the spacings of x, y, z: those of the affine where ``pixdim`` has others, as positions come from it."""
    given = [float(step) for step in header["pixdim"][1:4]]
    steps = given if affine is None else np.linalg.norm(affine[:3, :3], axis=0).tolist()
    found = [
        step if 0 < step < math.inf and not math.isclose(abs(old), step, rel_tol=1e-3) else old
        for old, step in zip(given, steps, strict=True)
    ]
    if found != given and "magic" in header:  # an Analyze header has no affine: it is in SPM's file beside it
        old, new = (" x ".join(f"{step:g}" for step in each) for each in (given, found))
        notes.append(f"pixdim says a spacing of {old}, and the affine {new}, which is used")
    return found
