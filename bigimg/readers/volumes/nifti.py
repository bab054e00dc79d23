"""A reader of NIfTI-1, NIfTI-2 and Analyze images, plain or in gzip.

nibabel reads only the header. The pixels are C-order numbers that :mod:`bigimg.readers.raw.plain` or
:mod:`bigimg.readers.raw.compressed` reads. Only this module knows the meaning of the header: ``i j k`` are ``x y z``
and lie in the file as ``z y x``. They are never flipped or reoriented, because the affine describes their orientation.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from bigimg.errors import InputError, InputNotFoundError
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import RGB, RGBA, Channel
from bigimg.readers.failures import only_image
from bigimg.readers.raw.compressed import open_pixels, read_start
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.volumes.headers import Volume, checked_shape, logger_into
from bigimg.readers.volumes.spm import spm_affine
from bigimg.types import Array

if TYPE_CHECKING:
    from nibabel.analyze import AnalyzeHeader

UNITS = {1: "meter", 2: "millimeter", 3: "micrometer", 8: "second", 16: "millisecond", 24: "microsecond"}
"""Units in ``xyzt_units``: three bits for space, three for time; hertz, ppm and radians are not times."""

LABELS = 1002
"""NIFTI_INTENT_LABEL."""

LAYOUT = {"sizeof_hdr", "extents", "session_error", "regular", "dim", "datatype", "bitpix", "vox_offset",
          "scl_slope", "scl_inter", "glmax", "glmin", "magic", "unused_str", "eol_check"}  # fmt: skip
"""Header fields that describe the file and not the image."""
PERSONAL = "db_name|patient_id|exp_date|exp_time|generated|scannum"
"""Fields that may tell who was imaged, and when: converters put a name into ``db_name``."""

HEAD_BYTES = 540
"""The longest header, without extensions."""


def open_nifti(path: str | os.PathLike[str], *, series: int | None = None) -> RawReader:
    """Return a reader of the NIfTI or Analyze image at ``path``.

    Parameters
    ----------
    path : str or path-like
        ``.nii``, ``.nii.gz``, or either file of a ``.hdr`` and ``.img`` pair.
    series : int, optional
        Only 0: such a file holds one image.

    Raises
    ------
    InputError
        The header makes no sense, the pixels are complex or longer than 64 bits, or the file is too short.
    """
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError

    source = os.fspath(path)
    only_image(source, series)
    header_path, pixels_path = _pair(source)
    try:
        header, notes = _header(header_path)
        volume, offset = _volume(source, header, notes)
    except (HeaderDataError, HeaderTypeError) as error:
        raise InputError(f"{source}: the header makes no sense ({error}); write the file again") from error
    if getattr(header, "is_single", False):
        pixels_path = header_path
    elif not os.path.exists(pixels_path):
        raise InputNotFoundError(f"{source}: its pixels should be in {pixels_path}; put that file beside it")
    dims, shape, dtype = volume.dims, volume.shape, volume.dtype
    pixels, access = open_pixels(pixels_path, offset=offset, shape=shape, dtype=dtype, dims=dims)
    stem = os.path.splitext(source.removesuffix(".gz"))[0]
    return volume.reader(source, pixels, access, notes, (header_path, stem + ".mat", stem + ".MAT"))


def _pair(path: str) -> tuple[str, str]:
    """Return the file of the header, and the file of the pixels if these are two files."""
    stem, suffix = os.path.splitext(path.removesuffix(".gz"))
    if suffix.lower() == ".img":
        return _existing(stem, ".hdr") or path, path
    return path, _existing(stem, ".img") or stem + ".img"


def _existing(stem: str, suffix: str) -> str | None:
    """Return the file ``stem`` with ``suffix`` in lower or upper case, plain or with ``.gz``; None if there is none."""
    names = (stem + spelt + gz for spelt in (suffix, suffix.upper()) for gz in ("", ".gz"))
    return next((name for name in names if os.path.exists(name)), None)


def _header(path: str) -> tuple[AnalyzeHeader, list[str]]:
    """Return the checked header of ``path`` and what nibabel repaired in it."""
    from nibabel import nifti1, nifti2, spm2analyze

    head = read_start(path, HEAD_BYTES)
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
    header.check_fix(logger=logger_into(notes))
    return header, notes


def _volume(path: str, header: AnalyzeHeader, notes: list[str]) -> tuple[Volume, int]:
    """Return the image that ``header`` describes, and the byte where its pixels begin."""
    if header.sizeof_hdr == 540 and 3000 <= int(header["intent_code"]) < 3100:
        raise InputError(
            f"{path}: is CIFTI, which holds values on brain surfaces; bigimg reads grids of pixels and voxels only"
        )
    sizes = list(checked_shape(path, header.get_data_shape()))
    if math.prod(sizes[5:]) > 1:
        raise InputError(
            f"{path}: has {len(sizes)} axes of {tuple(sizes)} pixels, and only x y z t and a vector are known; split "
            "it with nibabel first"
        )
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    names = ["x", "y", "z", "t", "c"][: len(sizes)]
    if len(sizes) == 5 and sizes[3] == 1:
        names.remove("t")
        del sizes[3]
    if len(sizes) == 1:
        names, sizes = ["x", "y"], [*sizes, 1]
    dims, shape = tuple(reversed(names)), tuple(reversed(sizes))
    dtype = np.dtype(header.get_data_dtype())
    channels: tuple[Channel, ...] = ()
    if dtype.names:  # RGB24 and RGBA32: the colours of a pixel lie side by side
        if "c" in dims:
            raise InputError(f"{path}: is a vector of colours, which t c z y x cannot hold; split it first")
        channels = RGB if len(dtype.names) == 3 else RGBA
        dims, shape, dtype = (*dims, "c"), (*shape, len(channels)), np.dtype(np.uint8)
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise InputError(f"{path}: its pixels are {dtype}, which is not supported; save them as float64")
    try:
        offset = int(header.get_data_offset())
    except (ValueError, OverflowError):
        raise InputError(f"{path}: the header has no valid offset of the pixels; write it again") from None
    space, time = _units(header)
    steps = dict(zip("xyzt", ((float(zoom), space) for zoom in header["pixdim"][1:4]), strict=False))
    steps["t"] = (float(header["pixdim"][4]), time)
    start = float(header["toffset"]) if "toffset" in header else 0.0
    slope, intercept = header.get_slope_inter()
    one = np.ones((1,) * len(dims))
    low, high = float(header["cal_min"]), float(header["cal_max"])
    labels = "intent_code" in header and int(header["intent_code"]) == LABELS
    volume = Volume(
        dims=dims, shape=shape, dtype=dtype, affine=_affine(path, header, space, notes), steps=steps,
        start=start if math.isfinite(start) else 0.0,
        slopes=None if slope is None or channels else slope * one, intercepts=(intercept or 0.0) * one,
        channels=channels, kind="labels" if labels and dtype.kind in "bui" else "image",
        window=(low, high) if -math.inf < low < high < math.inf else None,
        fields={name: header[name] for name in header.keys() if name not in LAYOUT}, personal=PERSONAL,  # noqa: SIM118
    )  # fmt: skip
    return volume, offset


def _units(header: AnalyzeHeader) -> tuple[str | None, str | None]:
    """Return the units of space and of time."""
    if "xyzt_units" not in header:
        return "millimeter", None  # Analyze is always in millimetres
    code = int(header["xyzt_units"])
    return UNITS.get(code & 7), UNITS.get(code & 56)


def _affine(path: str, header: AnalyzeHeader, space: str | None, notes: list[str]) -> Array:
    """Return the affine of SPM's file beside an Analyze pair, or of the header, to RAS+ millimetres."""
    if "magic" not in header:
        affine, doubt = spm_affine(os.path.splitext(path.removesuffix(".gz"))[0])
        notes += [doubt] if doubt else []
        if affine is not None:
            return affine
    elif not (header["sform_code"] or header["qform_code"]):
        notes.append("the header has no affine (sform, qform are 0); the centre is put at 0, as nibabel does")
    with np.errstate(over="ignore", invalid="ignore"):  # headers may hold random bytes
        best: Array = header.get_best_affine()
        best[:3] *= MILLIMETERS.get(space or "", 1.0)
    return best
