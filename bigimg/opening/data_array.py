"""A reader as a lazy ``xarray.DataArray`` over dask, with coordinates in physical units.

All DataArrays of bigimg follow the conventions of this module. Coordinates of ``t z y x`` are pixel centres with the
attrs ``units`` (the long name, if known) and ``spacing`` (used only if one pixel is left). The coordinate ``c`` holds
channel names, and ``color`` along it their colours. Attrs are ``kind`` and ``source``, and if they apply ``sources``
(the files, where ``source`` is no path), ``world``, ``convention`` (if it is not neurological), ``scaling`` (of an
array with stored values), ``window``, ``missing`` (boxes that a damaged source does not hold, by coordinates) and
``meta``. netCDF has numbers in a row and text alone for attrs, so ``world`` is its 16 numbers row by row, and
``sources``, ``missing`` and ``meta`` are JSON. Fields that may tell who was imaged are never attrs, which notebooks
show and ``to_zarr`` writes: :func:`~bigimg.lazy.node_of_array.private_of` finds them.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import uuid
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import flat_affine
from bigimg.geometry.axes import ORDER
from bigimg.geometry.holes import by_coordinate, told_apart
from bigimg.geometry.lengths import Pixels
from bigimg.geometry.spec import ImageSpec, as_text
from bigimg.lazy.blocks import band_shape, block_shape, explicit
from bigimg.lazy.leaves import LazyPixels
from bigimg.lazy.node_of_array import linked
from bigimg.opening.coordinates import coordinate
from bigimg.planning.options import lengths
from bigimg.reader import Reader
from bigimg.readers.arrays.array import check_dims, read_labelled
from bigimg.types import Shape

if TYPE_CHECKING:
    import xarray


def to_labelled(
    reader: Reader, *, raw: bool = False, block_bytes: int, chunks: Pixels | None = None, made: bool = False
) -> xarray.DataArray:
    """Return the image of ``reader``, lazy; its blocks are multiples of what the source decodes at once.

    Parameters
    ----------
    reader : Reader
    raw : bool
        Keep stored values where the file declares a slope and intercept, and note these in the attrs.
    block_bytes : int
        Bytes of a dask block at most, but never less than a row of an ordered source.
    chunks : int, sequence or mapping, optional
        Pixels of a dask block, instead of what fits ``block_bytes``.
    made : bool
        The pixels are made by a function that has no name, so they never get the name of other pixels.

    Returns
    -------
    DataArray of shape (t, c, z, y, x), of which those axes that the image has

    Raises
    ------
    UsageError
        ``chunks`` do not fit the axes.
    """
    from bigimg.lazy.dask_edge import as_dask

    spec, access = reader.spec, reader.access
    wanted = checked_chunks(chunks, spec)
    pixels = LazyPixels(reader, raw=raw, token=uuid.uuid4().hex if made else _token(reader, raw))
    itemsize = pixels.dtype.itemsize
    if pixels.order:
        block = band_shape(spec, access.order, block_bytes, itemsize=itemsize)
    else:
        block = wanted or block_shape(spec, block_bytes, itemsize=itemsize)
    data = as_dask(pixels, explicit(block, spec.shape))
    rechunked = wanted is not None and bool(pixels.order)
    img = label(data.rechunk(wanted) if rechunked else data, spec, raw=raw, source=reader.source)
    if (paths := getattr(reader, "paths", ())) and not os.path.lexists(reader.source):
        img.attrs["sources"] = as_text(list(paths))  # arithmetic of xarray keeps the attrs alone
    return img if rechunked else linked(img, pixels)


def label(data: Any, spec: ImageSpec, *, raw: bool, source: str) -> xarray.DataArray:
    """Return ``data`` (numpy or dask, axes as in ``spec``) with the coordinates and attrs of ``spec``."""
    from xarray import DataArray

    if spec.channels and "c" in spec.dims:
        spec = replace(spec, channels=told_apart(spec.channels, spec.missing, spec.axis("c")))
    coords: dict[str, Any] = {
        axis.name: coordinate(axis.name, axis.size, spacing=axis.spacing, origin=axis.origin, unit=axis.unit)
        for axis in spec.axes
        if axis.name != "c"
    }
    if spec.channels:
        names, colors = (
            [each or "" for each in part] for part in zip(*map(astuple, spec.channels), strict=True)
        )
        axis = ("c",) if "c" in spec.dims else ()
        coords["c"] = names if axis else names[0]
        if any(colors):
            coords["color"] = (axis, colors if axis else colors[0])
    attrs: dict[str, Any] = {"kind": spec.kind, "source": source}
    if spec.world is not None:
        attrs["world"] = flat_affine(spec.world)
        if spec.convention != "neurological":
            attrs["convention"] = spec.convention
    if raw and spec.scaling is not None:
        attrs["scaling"] = [spec.scaling.slope, spec.scaling.intercept]
    if spec.window is not None:
        attrs["window"] = list(spec.window)
    if spec.missing:
        attrs["missing"] = as_text(by_coordinate(spec.missing, spec.axes, spec.channels))
    if spec.meta:
        attrs["meta"] = as_text(dict(spec.meta))
    return DataArray(data, coords, spec.dims, "image", attrs)


def checked_chunks(chunks: Pixels | None, spec: ImageSpec) -> Shape | None:
    """Return one number of pixels for each axis of ``spec``, None for None.

    Raises
    ------
    UsageError
        An axis is not there, a number is neither positive nor -1, or there are too few.
    """
    wanted = lengths(chunks, spec, "chunks", otherwise=-1)
    if wanted is None:
        return None
    if any(n < 1 and n != -1 for n in wanted):
        names = " ".join(spec.dims)
        raise UsageError(f"chunks {chunks!r} do not fit axes {names}: give each at least 1, or -1 for all")
    return tuple(s if n == -1 else min(n, s) for n, s in zip(wanted, spec.shape, strict=True))


def _token(reader: Reader, raw: bool) -> str:
    """Return the same text for the same pixels, from the pickled reader and the state of the file."""
    if not os.path.exists(reader.source):  # an array: pickling would copy it
        return uuid.uuid4().hex
    status = os.stat(reader.source)
    seen = (pickle.dumps(reader), status.st_mtime_ns, status.st_size, raw)
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:32]


def completed(img: xarray.DataArray) -> xarray.DataArray:
    """Return ``img`` in the order t c z y x, with coordinates for axes that have none.

    A plane may lack y or x, as a coronal one.
    """
    if not {"y", "x"} <= set(img.dims):
        check_dims(img)
        return img.transpose(*sorted(map(str, img.dims), key=ORDER.index))
    spec = read_labelled(img).spec
    known = label(np.broadcast_to(np.zeros((), spec.dtype), spec.shape), spec, raw=False, source="array")
    missing = {
        name: coord for name, coord in known.coords.items() if name not in img.coords and name != "color"
    }
    found = img.transpose(*spec.dims).assign_coords(missing)
    found.attrs.setdefault("kind", spec.kind)
    return found
