"""A reader of NIfTI-1, NIfTI-2 and Analyze images, plain or behind gzip.

nibabel reads the header and nothing more; the pixels are C-order numbers that :mod:`bigimg.readers.raw.plain`
or :mod:`bigimg.readers.raw.compressed` reads. What only this module knows is what the header means: ``i j k`` are
``x y z`` and lie in the file as ``z y x``, never flipped or reoriented, since the affine says where they are.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bigimg.errors import InputError, InputNotFoundError
from bigimg.geometry.affine import Affine
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, Scaling
from bigimg.readers.raw.compressed import open_pixels, read_start
from bigimg.readers.raw.plain import RawReader, natural_chunks
from bigimg.readers.volumes.headers import divided, listener, only_image, world_of
from bigimg.readers.volumes.spm import spm_affine
from bigimg.types import Array, DType, Kind, Shape

if TYPE_CHECKING:
    from nibabel.analyze import AnalyzeHeader

UNITS = {1: "meter", 2: "millimeter", 3: "micrometer", 8: "second", 16: "millisecond", 24: "microsecond"}
"""The units in ``xyzt_units``, three bits of space and three of time; hertz, ppm and radians are no times."""

MILLIMETERS = {"meter": 1e3, "micrometer": 1e-3}
"""What turns an affine in these units into one in millimetres."""

LABELS = 1002
"""NIFTI_INTENT_LABEL."""

LAYOUT = {"sizeof_hdr", "extents", "session_error", "regular", "dim", "datatype", "bitpix", "vox_offset",
          "scl_slope", "scl_inter", "glmax", "glmin", "magic", "unused_str", "eol_check"}  # fmt: skip
"""Header fields that say how the file lies and nothing of the image."""
PERSONAL = "db_name|patient_id|exp_date|exp_time|generated|scannum"
"""Fields that may tell who was imaged, and when: converters put a name into ``db_name``."""

HEAD_BYTES = 540
"""The longest header, extensions left out."""


class _Layout(NamedTuple):
    """The pixels as they lie in the file, slowest axis first."""

    dims: tuple[str, ...]
    shape: Shape
    dtype: DType
    offset: int


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
        layout = _layout(source, header)
        affine, doubt = (None, None) if "magic" in header else spm_affine(_stem(source))
        notes += [doubt] if doubt else []
        spec = _spec(header, layout, affine, notes)
    except (HeaderDataError, HeaderTypeError) as error:
        raise InputError(f"{source}: the header makes no sense ({error}); write the file again") from error
    if getattr(header, "is_single", False):
        return _reader(source, header_path, spec, layout)
    if not os.path.exists(pixels_path):
        raise InputNotFoundError(f"{source}: its pixels should be in {pixels_path}; put that file beside it")
    return _reader(source, pixels_path, spec, layout)


def _reader(source: str, path: str, spec: ImageSpec, layout: _Layout) -> RawReader:
    dims, shape, dtype, offset = layout
    pixels, access = open_pixels(path, offset=offset, shape=shape, dtype=dtype, dims=dims)
    return RawReader(spec, access, source, pixels, dims)


def _pair(path: str) -> tuple[str, str]:
    """Return the file of the header and the file of the pixels, if they should be two."""
    plain = path.removesuffix(".gz")
    stem, suffix = os.path.splitext(plain)
    pixels = next(
        (p for s in (".img", ".IMG") for p in (stem + s, stem + s + ".gz") if os.path.exists(p)), None
    )
    if suffix.lower() == ".img":
        header = next(
            (p for s in (".hdr", ".HDR") for p in (stem + s, stem + s + ".gz") if os.path.exists(p)), None
        )
        return header or path, path
    return path, pixels or stem + ".img"


def _stem(path: str) -> str:
    return os.path.splitext(path.removesuffix(".gz"))[0]


def _header(path: str) -> tuple[AnalyzeHeader, list[str]]:
    """Return the checked header of ``path`` and what nibabel had to mend in it."""
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
    header.check_fix(logger=listener(notes))
    return header, notes


def _layout(path: str, header: AnalyzeHeader) -> _Layout:
    if header.sizeof_hdr == 540 and 3000 <= int(header["intent_code"]) < 3100:
        raise InputError(
            f"{path}: is CIFTI, values on brain surfaces and not an image grid; bigimg reads pixels and voxels alone"
        )
    sizes = [int(size) for size in header.get_data_shape()]
    if not sizes or min(sizes) < 1:
        raise InputError(
            f"{path}: the header says a shape of {tuple(sizes)}; every axis needs 1 pixel at least"
        )
    if math.prod(sizes[5:]) > 1:
        raise InputError(
            f"{path}: has {len(sizes)} axes of {tuple(sizes)} pixels, and only x y z t and a vector are "
            "known; split it with nibabel first"
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
    if dtype.names:  # RGB24 and RGBA32: the colours of a pixel side by side
        if "c" in dims:
            raise InputError(
                f"{path}: is a vector of colours, which has no place in t c z y x; split it first"
            )
        dims, shape, dtype = (*dims, "c"), (*shape, len(dtype.names)), np.dtype(np.uint8)
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise InputError(
            f"{path}: its pixels are {dtype}, which is not supported; save them as float64 or less"
        )
    try:
        offset = int(header.get_data_offset())
    except (ValueError, OverflowError):
        raise InputError(
            f"{path}: the header says no byte where pixels begin; write the file again"
        ) from None
    return _Layout(dims, shape, dtype, offset)


def _spec(header: AnalyzeHeader, layout: _Layout, affine: Array | None, notes: list[str]) -> ImageSpec:
    axes = _axes(header, layout, notes)
    channels: tuple[Channel, ...] = ()
    if layout.dims[-1] == "c":
        channels = RGB if layout.shape[-1] == 3 else RGBA
    slope, inter = header.get_slope_inter()
    scaling = None if slope is None or channels else Scaling(float(slope), float(inter or 0.0))
    low, high = float(header["cal_min"]), float(header["cal_max"])
    fields = {name: header[name] for name in header.keys() if name not in LAYOUT}  # noqa: SIM118
    meta, private = divided(fields, PERSONAL)
    return ImageSpec(
        axes=axes,
        dtype=layout.dtype,
        chunks=natural_chunks(axes, layout.dims),
        channels=channels,
        world=_world(header, axes, affine, notes),
        kind=_kind(header, layout.dtype),
        scaling=None if scaling == Scaling(1.0, 0.0) else scaling,
        window=(low, high) if -math.inf < low < high < math.inf else None,
        meta=meta,
        private=private,
        notes=tuple(notes),
    )


def _axes(header: AnalyzeHeader, layout: _Layout, notes: list[str]) -> tuple[Axis, ...]:
    """Return the axes in our order; x y z begin at 0, since the affine holds the translation."""
    space, time = _units(header)
    zooms = dict(zip("xyzt", (float(zoom) for zoom in header["pixdim"][1:5]), strict=True))
    axes = []
    for name, size in sorted(
        zip(layout.dims, layout.shape, strict=True), key=lambda item: ORDER.index(item[0])
    ):
        if name == "c":
            axes.append(Axis("c", size))
            continue
        spacing, unit, origin = abs(zooms[name]), space, 0.0
        if name == "t":
            unit = time
            origin = float(header["toffset"]) if "toffset" in header else 0.0
        if not 0 < spacing < math.inf:
            notes.append(f"the header gives no spacing along {name} ({zooms[name]:g}); 1 is assumed")
            spacing, unit = 1.0, None
        axes.append(Axis(name, size, spacing, unit, origin if math.isfinite(origin) else 0.0))
    return tuple(axes)


def _units(header: AnalyzeHeader) -> tuple[str | None, str | None]:
    if "xyzt_units" not in header:
        return "millimeter", None  # Analyze has always been in millimetres
    code = int(header["xyzt_units"])
    return UNITS.get(code & 7), UNITS.get(code & 56)


def _world(
    header: AnalyzeHeader, axes: tuple[Axis, ...], affine: Array | None, notes: list[str]
) -> Affine | None:
    """Return the world of ``affine``, or else of the header."""
    with np.errstate(over="ignore", invalid="ignore"):  # of headers full of noise
        if affine is None:
            affine = header.get_best_affine()
            affine[:3] *= MILLIMETERS.get(_units(header)[0] or "", 1.0)
    world = world_of(affine, axes, notes)
    if world is not None and "sform_code" in header and not (header["sform_code"] or header["qform_code"]):
        notes.append("the header has no affine (sform, qform are 0); the centre is put at 0, as nibabel does")
    return world


def _kind(header: AnalyzeHeader, dtype: DType) -> Kind:
    labels = "intent_code" in header and int(header["intent_code"]) == LABELS
    return "labels" if labels and dtype.kind in "bui" else "image"
