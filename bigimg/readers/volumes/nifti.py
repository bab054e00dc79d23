"""A reader of NIfTI-1, NIfTI-2 and Analyze images, plain or in gzip.

nibabel reads only the header. The pixels are C-order numbers that :mod:`bigimg.readers.raw.plain` or
:mod:`bigimg.readers.raw.compressed` reads. Only this module knows the meaning of the header: ``i j k`` are ``x y z``
and lie in the file as ``z y x``. They are never flipped or reoriented, because the affine describes their orientation.
"""

from __future__ import annotations

import logging
import math
import os

import numpy as np
from nibabel import nifti1, nifti2, spm2analyze
from nibabel.analyze import AnalyzeHeader
from nibabel.spatialimages import HeaderDataError, HeaderTypeError

from bigimg.errors import InputError, reading
from bigimg.geometry.axes import MILLIMETERS
from bigimg.geometry.spec import RGB, RGBA, Channel
from bigimg.readers.raw.compressed import open_pixels, read_bytes
from bigimg.readers.raw.plain import RawReader, Stored
from bigimg.readers.volumes.headers import Volume, beside, checked_shape, in_space, sibling
from bigimg.readers.volumes.spm import spm_affine
from bigimg.types import Array

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
        ``.nii``, ``.nii.gz``, or either file of a ``.hdr`` and ``.img`` pair.

    Raises
    ------
    InputError
        The header makes no sense, the pixels are complex or longer than 64 bits, or the file is too short.
    """
    stem, suffix = os.path.splitext(source.removesuffix(".gz"))
    given = suffix.lower() == ".img"
    header_path = (beside(stem, (".hdr", ".hdr.gz", ".HDR.gz")) if given else None) or source
    with reading(source, (HeaderDataError, HeaderTypeError)):
        header, notes = _header(header_path)
        volume, offset = _volume(source, header, notes)
    if getattr(header, "is_single", False):
        pixels_path = header_path
    else:
        pixels_path = source if given else sibling(source, stem, (".img", ".img.gz", ".IMG.gz"), "its pixels")
    others = (header_path, stem + ".mat", stem + ".MAT")
    return volume.reader(source, *open_pixels(pixels_path, offset, volume.stored), notes, others)


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
    steps = in_space(header["pixdim"][1:4], space) | {"t": (float(header["pixdim"][4]), time)}
    start = float(header["toffset"]) if "toffset" in header else 0.0
    slope, intercept = (None, None) if channels else header.get_slope_inter()
    low, high = float(header["cal_min"]), float(header["cal_max"])
    labels = "intent_code" in header and int(header["intent_code"]) == LABELS
    volume = Volume(
        stored=Stored(dims, shape, dtype), affine=_affine(path, header, space, notes), steps=steps,
        start=start if math.isfinite(start) else 0.0,
        slopes=1.0 if slope is None else slope, intercepts=intercept or 0.0,
        channels=channels, kind="labels" if labels and dtype.kind in "bui" else "image",
        window=(low, high) if -math.inf < low < high < math.inf else None,
        fields={name: header[name] for name in header.keys() if name not in LAYOUT}, family="nifti",  # noqa: SIM118
    )  # fmt: skip
    return volume, offset


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
