"""A reader of MINC 1 and 2: nibabel reads headers; netCDF pixels are uncompressed, HDF5 pixels go through h5py.

MINC names its axes, so ``xspace`` is ``x`` at any position in the file. The columns of nibabel's affine follow the file
and are put in the order x y z. Each slice may have its own range of real values (``image-min``, ``image-max``). Stored
values beyond the valid range are no measurements, where nibabel takes its ends for them.
HDF5 has one lock for the whole process, and bigimg another, so slabs are read one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from nibabel.externals.netcdf import netcdf_file
from nibabel.minc1 import Minc1File, MincError
from nibabel.minc2 import Minc2File

from bigimg.errors import InputError
from bigimg.geometry.no_data import declared
from bigimg.geometry.region import grid
from bigimg.reader import Access
from bigimg.readers.extras import imported
from bigimg.readers.hdf5.inside import HDF5_BYTES, check_inside, reading_hdf5
from bigimg.readers.hdf5.pixels import Hdf5Pixels, check_inflated
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.frames import FrameStart, open_frames
from bigimg.readers.raw.plain import Pixels, RawReader, Stored
from bigimg.readers.volumes.headers import Factors, Step, Volume, checked_shape, json_safe, reading_header
from bigimg.types import Array, DType, Json

NAMES = {"xspace": "x", "yspace": "y", "zspace": "z", "time": "t"}
UNITS = {"mm": "millimeter", "millimeters": "millimeter", "s": "second", "seconds": "second",
         "ms": "millisecond"}  # fmt: skip

IMAGE = "minc-2.0/image/0/image"
"""Path of the pixels in a MINC 2 file."""


def open_minc(source: str) -> RawReader:
    """Return a reader of the MINC volume at ``source``.

    Parameters
    ----------
    source : str
        MINC 1 (netCDF) or MINC 2 (HDF5).

    Raises
    ------
    MissingExtraError
        It is MINC 2, and h5py is not installed.
    InputError
        The header makes no sense, the file is truncated, or chunks are missing.
    """
    with open(source, "rb") as file:
        hdf5 = file.read(4) == b"\x89HDF"
    notes: list[str] = []
    volume, pixels, access = _open_hdf5(source, notes) if hdf5 else _open_netcdf(source, notes)
    reader = volume.reader(source, pixels, access, notes)
    if isinstance(pixels, Hdf5Pixels):
        dims, steps = volume.stored.dims, pixels.steps
        checked_written(reader.spec, pixels.written(), dims, source=source, allow_partial=False, steps=steps)
    return reader


def _open_netcdf(path: str, notes: list[str]) -> tuple[Volume, Pixels, Access]:
    """Return the header of a MINC 1 file, and its uncompressed pixels."""
    with reading_header(path, path, (MincError,), "fetch the file again", notes), open(path, "rb") as file:
        # The file is mapped, so no pixel is read: only addresses are used. The last array closes the map.
        net = netcdf_file(file, mmap=True)
        others = {n: v for n, v in net.variables.items() if n not in NAMES and not n.startswith("image")}
        meta = _meta(net._attributes, {name: variable._attributes for name, variable in others.items()})
        volume = _volume(path, Minc1File(net), meta)
        image = net.variables["image"].data
        offset, record_bytes = _address(image) - _address(net._mm_buf), image.strides[0]
        del image, others, net
    shape, dtype = volume.stored.shape, volume.stored.dtype
    starts = [FrameStart(path, offset)]
    if len(shape) > 1 and record_bytes >= math.prod(shape[1:]) * dtype.itemsize:  # records may lie apart
        starts = [FrameStart(path, offset + i * record_bytes) for i in range(shape[0])]
    return volume, *open_frames(starts, volume.stored, "uncompressed netCDF")


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _meta(attributes: Mapping[str, Any], variables: Mapping[str, Mapping[str, Any]]) -> dict[str, Json]:
    """Return the attributes of a file and of its variables, named as by ``ncdump``."""
    of_variables = {f"{name}:{key}": value for name, own in variables.items() for key, value in own.items()}
    return {name: json_safe(value) for name, value in {**attributes, **of_variables}.items()}


def _open_hdf5(path: str, notes: list[str]) -> tuple[Volume, Pixels, Access]:
    """Return the header of a MINC 2 file, and its pixels through h5py."""
    h5py = imported("h5py", path)
    remedy = "fetch it again, or convert it to NIfTI"
    errors = (MincError, RuntimeError, OSError)
    with reading_hdf5(path):
        opened = h5py.File(path, "r")
    with opened as file, reading_header(path, path, errors, remedy, notes):
        check_inside(path, file)
        for ranges in (file[f"{IMAGE}-min"], file[f"{IMAGE}-max"]):  # nibabel reads these as a whole
            for index in np.ndindex(grid(ranges.shape, ranges.chunks) if ranges.chunks else 0):
                check_inflated(path, ranges, index)
        info = file["minc-2.0"].get("info", {})
        meta = _meta(file.attrs, {name: variable.attrs for name, variable in info.items()})
        volume = _volume(path, Minc2File(file), meta)
        pixels = Hdf5Pixels(path, file, np.array(IMAGE, object))
        volume = replace(volume, chunks=pixels.chunks)
    why = f"HDF5 in chunks of {' x '.join(map(str, pixels.chunks))}, {volume.stored.dtype.newbyteorder('=')}"
    fixed = HDF5_BYTES + pixels.table_bytes
    return volume, pixels, Access("random", why, volume.stored.dims, fixed, pixels.read_bytes)


def _volume(path: str, minc: Minc1File, meta: dict[str, Json]) -> Volume:
    """Return a copy of what ``minc`` says about axes, affine and real values."""
    names = list(minc._dim_names)
    if not set(names) <= set(NAMES) or len(set(names)) != len(names) or len(set(names) - {"time"}) != 3:
        what = f"its axes are {', '.join(map(str, names))}, and only xspace yspace zspace and time are known"
        raise InputError(f"{path}: {what}; convert it to NIfTI with mnc2nii")
    dtype = np.dtype(minc.get_data_dtype())
    steps: dict[str, Step] = {}
    start = 0.0
    for name, dim, zoom in zip(names, minc._dims, minc.get_zooms(), strict=True):
        unit = json_safe(getattr(dim, "units", None if name == "time" else b"mm"))
        steps[NAMES[name]] = (float(zoom), UNITS.get(str(unit)))
        if name == "time":
            start = float(getattr(dim, "start", 0.0))
    shape = checked_shape(path, minc.get_data_shape())
    slopes, intercepts, valid = _ranges(minc, dtype, len(shape))
    attributes = getattr(minc._image, "attrs", None) or minc._image._attributes  # of HDF5, of netCDF
    dims = tuple(NAMES[name] for name in names)
    columns = [[name for name in dims if name in "xyz"].index(name) for name in "xyz"]
    return Volume(
        stored=Stored(dims, shape, dtype), affine=minc.get_affine()[:, [*columns, 3]], steps=steps, starts={"t": start},
        slopes=slopes, intercepts=intercepts, no_data=declared(attributes, dtype, valid), fields=meta, family="minc",
    )  # fmt: skip


def _ranges(minc: Minc1File, dtype: DType, ndim: int) -> tuple[Factors, Factors, tuple[float, float] | None]:
    """Return slope and intercept of each slice as nibabel computes them, and the valid range of integers."""
    if dtype.kind == "f":
        return 1.0, 0.0, None
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
    shape = (*slopes.shape, *(1,) * (ndim - slopes.ndim))
    return slopes.reshape(shape), intercepts.reshape(shape), (low, high)
