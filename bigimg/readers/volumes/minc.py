"""A reader of MINC 1 and 2: nibabel's headers; netCDF pixels read from their byte on, HDF5 ones through h5py.

MINC names its axes, so ``xspace`` is ``x`` wherever it lies in the file; nibabel's affine, whose columns follow the
file, is put in the order x y z. Each slice may have a range of real values of its own (``image-min``, ``image-max``).
HDF5 keeps one lock for the whole process and we another, so that slabs are read one after the other.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.region import grid
from bigimg.reader import Access
from bigimg.readers.failures import one_line
from bigimg.readers.raw.compressed import is_gzip
from bigimg.readers.raw.frames import Place, frames
from bigimg.readers.raw.plain import READ_BYTES, Pixels, RawReader
from bigimg.readers.volumes.hdf5 import HDF5_BYTES, Hdf5Pixels, check_inflated, import_h5py
from bigimg.readers.volumes.headers import Step, Volume, checked_shape, heard, json_safe, only_image
from bigimg.types import Array, DType, Json

if TYPE_CHECKING:
    from nibabel.minc1 import Minc1File

NAMES = {"xspace": "x", "yspace": "y", "zspace": "z", "time": "t"}
UNITS = {
    "mm": "millimeter",
    "millimeters": "millimeter",
    "s": "second",
    "seconds": "second",
    "ms": "millisecond",
}

IMAGE = "minc-2.0/image/0/image"
"""Where the pixels are in a MINC 2 file."""

PERSONAL = "history|ident|patient:.*|study:(?!modality).*"
"""Fields that may tell who was imaged, when and where, and commands with names of files."""

DOUBTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, OverflowError, OSError)
"""What nibabel and what it calls trip over in a file that is cut or no MINC."""


def open_minc(path: str | os.PathLike[str], *, series: int | None = None) -> RawReader:
    """Return a reader of the MINC volume at ``path``.

    Parameters
    ----------
    path : str or path-like
        MINC 1 (netCDF) or MINC 2 (HDF5).
    series : int, optional
        Only 0: such a file holds one image.

    Raises
    ------
    MissingExtraError
        It is MINC 2, and h5py is not installed.
    InputError
        The header makes no sense, the file is cut, or its chunks are not all there.
    """
    source = os.fspath(path)
    only_image(source, series)
    if is_gzip(source):
        raise InputError(
            f"{source}: is MINC in gzip, which cannot be read by window; unpack it with gunzip first"
        )
    with open(source, "rb") as file:
        hdf5 = file.read(4) == b"\x89HDF"
    notes: list[str] = []
    header, pixels, access = _open_hdf5(source, notes) if hdf5 else _open_netcdf(source)
    return header.reader(source, pixels, access, notes)


def _open_netcdf(path: str) -> tuple[Volume, Pixels, Access]:
    """Return what a MINC 1 file says, and its pixels from their byte on."""
    from nibabel.externals.netcdf import netcdf_file
    from nibabel.minc1 import Minc1File, MincError

    try:
        with open(path, "rb") as file:
            # Mapped, so that no pixel is read: only its address is asked. The map goes with its last array.
            net = netcdf_file(file, mmap=True)
            header = _header(path, Minc1File(net), _netcdf_meta(net))
            image = net.variables["image"].data
            offset, steps = _address(image) - _address(net._mm_buf), image.strides
            del image, net
    except InputError:
        raise
    except (MincError, *DOUBTS) as error:
        raise InputError(
            f"{path}: the MINC header is cut or makes no sense ({one_line(error)}); fetch the file again"
        ) from error
    shape, dtype = header.shape, header.dtype
    if len(shape) > 1 and steps[0] >= math.prod(shape[1:]) * dtype.itemsize:  # records may lie apart
        places = [Place(path, offset + i * steps[0]) for i in range(shape[0])]
        pixels = frames(places, outer=shape[:1], inner=shape[1:], dtype=dtype)
    else:
        pixels = frames([Place(path, offset)], outer=(), inner=shape, dtype=dtype)
    why = f"uncompressed netCDF, {dtype.newbyteorder('=')}"
    return header, pixels, Access("random", why, header.dims, read_bytes=READ_BYTES)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _netcdf_meta(net: Any) -> dict[str, Json]:
    """Return the attributes of the file and of variables that are no axis and no pixels, as ``ncdump`` names them."""
    meta = {name: json_safe(value) for name, value in net._attributes.items()}
    for name, variable in net.variables.items():
        if name not in NAMES and not name.startswith("image"):
            meta |= {f"{name}:{key}": json_safe(value) for key, value in variable._attributes.items()}
    return meta


def _open_hdf5(path: str, notes: list[str]) -> tuple[Volume, Pixels, Access]:
    """Return what a MINC 2 file says, and its pixels through h5py."""
    from nibabel.minc1 import MincError
    from nibabel.minc2 import Minc2File

    h5py = import_h5py(path)
    try:
        with h5py.File(path, "r") as file, heard(notes):
            for ranges in (file[f"{IMAGE}-min"], file[f"{IMAGE}-max"]):  # nibabel reads these whole
                for index in np.ndindex(grid(ranges.shape, ranges.chunks) if ranges.chunks else 0):
                    check_inflated(path, ranges, index)
            header = _header(path, Minc2File(file), _hdf5_meta(file))
            pixels = Hdf5Pixels(path, IMAGE, file[IMAGE])
            header = replace(header, chunks=pixels.chunks)
    except InputError:
        raise
    except (MincError, *DOUBTS, RuntimeError) as error:
        raise InputError(
            f"{path}: is no whole MINC 2 file ({one_line(error)}); fetch it again, or convert it to NIfTI"
        ) from error
    why = f"HDF5 in pieces of {' x '.join(map(str, pixels.chunks))}, {header.dtype.newbyteorder('=')}"
    return header, pixels, Access("random", why, header.dims, HDF5_BYTES, pixels.read_bytes)


def _hdf5_meta(file: Any) -> dict[str, Json]:
    """Return the attributes of the file and of its variables that are no axis and no pixels."""
    meta = {name: json_safe(value) for name, value in file.attrs.items()}
    for name, variable in file["minc-2.0"].get("info", {}).items():
        meta |= {f"{name}:{key}": json_safe(value) for key, value in variable.attrs.items()}
    return meta


def _header(path: str, minc: Minc1File, meta: dict[str, Json]) -> Volume:
    """Return what ``minc`` says of axes, places and real values, copied."""
    names = list(minc._dim_names)
    if not set(names) <= set(NAMES) or len(set(names)) != len(names) or len(set(names) - {"time"}) != 3:
        raise InputError(
            f"{path}: its axes are {', '.join(map(str, names))}, and only xspace yspace zspace and time are known; "
            "convert it to NIfTI with mnc2nii"
        )
    dtype = np.dtype(minc.get_data_dtype())
    if dtype.kind not in "iuf":
        raise InputError(f"{path}: its pixels are {dtype}, which is not supported; save them as numbers")
    steps: dict[str, Step] = {}
    start = 0.0
    for name, dim, zoom in zip(names, minc._dims, minc.get_zooms(), strict=True):
        unit = json_safe(getattr(dim, "units", None if name == "time" else b"mm"))
        steps[NAMES[name]] = (float(zoom), UNITS.get(str(unit)))
        if name == "time":
            start = float(getattr(dim, "start", 0.0))
    shape = checked_shape(path, minc.get_data_shape())
    slopes, intercepts, limits = _ranges(minc, dtype, len(shape))
    dims = tuple(NAMES[name] for name in names)
    columns = [[name for name in dims if name in "xyz"].index(name) for name in "xyz"]
    return Volume(
        dims=dims, shape=shape, dtype=dtype, affine=minc.get_affine()[:, [*columns, 3]], steps=steps, start=start,
        slopes=slopes, intercepts=intercepts, limits=limits, fields=meta, personal=PERSONAL,
    )  # fmt: skip


def _ranges(minc: Minc1File, dtype: DType, ndim: int) -> tuple[Array, Array, tuple[float, float] | None]:
    """Return slope and intercept of each slice as nibabel has them, and the valid range where it is narrower."""
    one = np.ones((1,) * ndim)
    if dtype.kind == "f":
        return one, 0 * one, None
    dims = list(minc._get_dimensions(minc._image_max))
    if dims != list(minc._get_dimensions(minc._image_min)) or dims != list(minc._dim_names)[: len(dims)]:
        raise ValueError("image-min and image-max do not follow the first axes of the image")
    low, high = (float(end) for end in minc._get_valid_range())
    read = minc._get_array if dims else minc._get_scalar
    least, most = (np.array(read(var), np.float64) for var in (minc._image_min, minc._image_max))
    slopes = (most - least) / (high - low)
    intercepts = least - low * slopes
    if not (np.isfinite(slopes).all() and np.isfinite(intercepts).all()):
        raise ValueError("image-min, image-max or the valid range are not finite")
    ends = np.iinfo(dtype)
    around = None if (low, high) == (ends.min, ends.max) else (low, high)
    shape = (*slopes.shape, *(1,) * (ndim - slopes.ndim))
    return slopes.reshape(shape), intercepts.reshape(shape), around
