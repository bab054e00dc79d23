"""Opening paths, URLs, arrays and stores as readers, DataArrays and pyramids.

This module defines what can be opened as an image, and how large the blocks of a lazy image are: a reduction runs on
all processors, and each holds one block and numpy's temporary arrays.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine_checks import placed
from bigimg.geometry.lengths import Pixels, Spacing, read_lengths
from bigimg.geometry.levels import checked_level
from bigimg.geometry.region import full
from bigimg.geometry.spec import Channel
from bigimg.geometry.units import asked_unit
from bigimg.lazy.leaves import real_dtype, scaled
from bigimg.opening.coordinates import coordinate_bytes
from bigimg.opening.data_array import checked_chunks, completed, label, to_labelled
from bigimg.opening.levels import Levels, is_pyramid, is_tree, levels_of_reader, levels_of_tree
from bigimg.opening.own_levels import taken
from bigimg.opening.sources import (
    Asked,
    is_place,
    may_be_store,
    no_file_there,
    open_place,
    zipped_store,
)
from bigimg.places.address import is_bucket, is_store_url, other_scheme, redacted
from bigimg.planning.room import DECODERS_BYTES, LATER, room
from bigimg.reader import Reader, as_part, check_source
from bigimg.readers.arrays.array import ArrayReader, checked_world, is_computed, read_labelled
from bigimg.readers.registry import no_options
from bigimg.system.processes import usable_cpus
from bigimg.types import Array, FromSource, Opening

if TYPE_CHECKING:
    import xarray

type Memory = int | float | str | None
type Source = Any
"""A place (``bigimg.opening.sources.is_place``), Reader, Store, DataArray, Dataset, DataTree, numpy or dask array."""

BLOCK_BYTES = 64 << 20
"""The largest block: larger ones make nothing faster, and the first pixel comes later."""
REDUCTION_BYTES = 24
"""Bytes that a reduction holds for each value of a block: ``std`` makes a mask, differences and squares."""
RESULT_BYTES = 8
"""Bytes of a value after arithmetic: ``img * 0.5`` of 8 bits is float64."""
LEAST = 1 << 20
"""Bytes of a block of each thread, in the smallest plan."""


def open_source(source: Source, *, progress: object = None, **opening: Unpack[Opening]) -> Reader:
    """Return a reader of ``source``: a place of files or of a store, an array, a Store or a Reader.

    Parameters
    ----------
    source : path, URL, ``file.zip::member``, folder, pattern, list of paths, bytes, file object, Store, Reader, \
            DataArray, Dataset, DataTree, ndarray or dask array
    progress : object
        How the progress of a download is shown; see :class:`bigimg.opening.sources.Asked`.
    **opening
        Options of the source: see :class:`bigimg.types.Opening`.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError
        There is nothing, or nothing that can be read; or its values are complex and no part is chosen.
    UsageError
        ``source`` is none of these, or an option means nothing for it.
    """
    return as_part(opened(source, Asked(opening, progress)), opening.get("part"))


def opened(source: Source, asked: Asked) -> Reader:
    """Return a reader of ``source``; of complex values no part is chosen yet."""
    if is_place(source):
        if isinstance(source, str | os.PathLike):
            store = zipped_store(source, asked)
            if store is not None or may_be_store(source):
                from bigimg.omezarr.open import StoreReader, is_store, open_store
                from bigimg.opening.finer_levels import with_source

                name = os.fspath(source)
                scheme = None if os.path.lexists(name) else other_scheme(name)
                # For a remote store opening raises the right error, as for a package that is not installed.
                if store is not None or (scheme and is_store_url(name)) or is_store(source):
                    no_options(redacted(name), asked.of_readers)
                    return StoreReader(with_source(open_store(store or source, series=asked.series)))
                if scheme and not is_bucket(name):
                    raise no_file_there(redacted(name), scheme)
        return open_place(source, asked)
    asked.refuse()
    if _is_opened_store(source):
        from bigimg.omezarr.store import StoreReader
        from bigimg.opening.finer_levels import with_source

        return StoreReader(with_source(source))
    if is_tree(source):
        source = levels_of_tree(source).base
    if (xarray := sys.modules.get("xarray")) is not None and isinstance(source, xarray.DataArray):
        return read_labelled(source)
    if isinstance(source, Reader):
        return source
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        return ArrayReader(source, kind="mask" if source.dtype == bool else "image")
    raise _no_image(source)


def open(
    source: Source,
    *,
    level: int = 0,
    memory: Memory = None,
    raw: bool = False,
    chunks: Pixels | None = None,
    levels: FromSource | None = None,
    **opening: Unpack[Opening],
) -> xarray.DataArray:
    """Return the image in ``source`` as a lazy DataArray; no pixel is read.

    Parameters
    ----------
    source : path, URL, ``file.zip::member``, folder, pattern, list of paths, bytes, file object, Store, \
            DataArray, Dataset, DataTree, ndarray or dask array
    level : int
        Level of a pyramid: 0 is full resolution, -1 the smallest.
    memory : int or str, optional
        The budget in bytes or as ``1GB``; a reduction over the array stays within.
    raw : bool
        Keep stored values where the file declares a slope and intercept.
    chunks : int, str, sequence or mapping, optional
        Pixels of a dask block, instead of what fits the budget: one number for all axes of space, one for each axis,
        or by name, as ``64``, ``"64"``, ``(1, 64, 64)`` or ``"y=512,x=512"``; -1 is all of an axis.
    levels : {"source"}, optional
        Take the coarser levels that a file has itself, as slides do, if they are means: some places of each are read
        and compared with the level below.
    **opening
        series, part, insecure, max_download, on_gap, tilt, allow_partial, axis, pattern, axes, pages, plate: see
        :class:`bigimg.types.Opening`.

    Returns
    -------
    DataArray of shape (t, c, z, y, x), of which those axes that the image has

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError
        There is nothing, or nothing that can be read.
    UsageError
        There is no such level or series, or the file has no levels.
    BudgetError
        The source must be decoded whole, and that does not fit.
    """
    import xarray

    if is_tree(source):
        source = levels_of_tree(source)[level]
    elif _is_read(source):
        reader = levels_of_source(source, memory=memory, levels=levels, **opening)[level]
        check_source(reader)
        return _labelled(reader, memory, raw=raw, chunks=chunks)
    else:
        checked_level(level, 1, "array")
    refuse_options(opening, levels)
    image = completed(source) if isinstance(source, xarray.DataArray) else from_array(source)
    if chunks is not None:
        wanted = checked_chunks(chunks, read_labelled(image).spec) or ()
        image = image.chunk(dict(zip(image.dims, wanted, strict=True)))
    return native(image)


def open_pyramid(
    source: Source, *, memory: Memory = None, levels: FromSource | None = None, **opening: Unpack[Opening]
) -> xarray.DataTree:
    """Return all levels of the image in ``source``: ``scale0`` to ``scaleN``, each with the variable ``image``.

    A source without levels has ``scale0`` alone, and so has a file, unless ``levels="source"`` takes the levels that it
    has itself. The options are those of :func:`open`.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, BudgetError
        As :func:`open`.
    """
    import xarray

    if is_pyramid(source):
        refuse_options(opening, levels)
        return source
    images = open_levels(source, memory=memory, levels=levels, **opening)
    base = images.base.attrs
    about = {"source": base.get("source", "array"), "kind": base.get("kind", "image")}
    nodes: dict[str, xarray.Dataset] = {"/": xarray.Dataset(attrs=about)}
    for number, image in enumerate(images):
        nodes[f"scale{number}"] = image.to_dataset(name="image")
    return xarray.DataTree.from_dict(nodes)


def imread(source: Source, *, memory: Memory = None, **opening: Unpack[Opening]) -> Array:
    """Return all pixels as numpy, real values, colour last as matplotlib wants it.

    The options are those of :func:`open`.

    Raises
    ------
    BudgetError
        It does not fit ``memory``.
    """
    reader = open_source(source, **opening)
    spec = reader.spec
    values = spec.nbytes + (real_dtype(spec).itemsize * spec.size if spec.scaling else 0)
    access = reader.access
    room(memory).take(
        reader.source,
        {"pixels": values, "reading": access.fixed_bytes + access.read_bytes},
        "open it lazily with bigimg.open, or a smaller level of a store",
    )
    pixels = reader.read(full(spec.shape))
    reader.close()
    if spec.scaling is not None:
        pixels = scaled(pixels, spec.scaling, real_dtype(spec))
    return np.moveaxis(pixels, spec.axis("c"), -1) if "c" in spec.dims else pixels


def from_array(
    array: Any,
    *,
    dims: str | Sequence[str] | None = None,
    spacing: Spacing | None = None,
    unit: str | None = None,
    channels: Sequence[str | Channel] | None = None,
    affine: Array | Sequence[Sequence[float]] | None = None,
) -> xarray.DataArray:
    """Return a bare array with names, coordinates and units; numpy pixels are not copied before they are computed.

    Parameters
    ----------
    array : ndarray or dask array
    dims : str, optional
        Names of its axes in its own order, as in ``"yxc"``; guessed from the shape otherwise.
    spacing : float, str, sequence or mapping, optional
        One for all axes of space, one each in the order of ``dims``, or by name, each with a unit or without:
        ``0.5``, ``"0.5um"``, ``(2, 0.5, 0.5)``, ``"z=7mm,y=0.5um"`` or ``{"z": (7, "mm")}``.
    unit : str, optional
        Unit of spacings without one, short or long: ``um``, ``millimeter``.
    channels : sequence of str, optional
    affine : array_like of shape (4, 4), optional
        Pixel index (x, y, z) to RAS+ millimetres, as nibabel has it. The spacing follows from it, in millimetres
        if no unit is given.

    Raises
    ------
    UsageError
        It is no array, names, spacing or channels do not fit it, spacing and affine contradict each other, a spacing
        is no distance, or OME-Zarr has no such unit.
    """
    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        raise _no_image(array)
    kind = "mask" if np.dtype(array.dtype) == bool else "image"
    read_lengths(spacing).distances(backwards=True)
    reader = ArrayReader(
        array, dims=dims, spacing=spacing, unit=asked_unit(unit), channels=channels, kind=kind
    )
    if affine is not None:
        given = [name for name in reader.dims if name in "zyx"] if spacing is not None else ()
        axes, world = placed(reader.spec.axes, checked_world("affine", affine), given)
        space = {axis.name: axis for axis in axes if axis.type == "space"}
        reader = ArrayReader(
            array, dims=reader.dims, spacing={name: axis.spacing for name, axis in space.items()},
            unit={name: axis.unit for name, axis in space.items()}, channels=channels, kind=kind, world=world,
        )  # fmt: skip
    if is_computed(array):  # it keeps its graph; otherwise each task would run a graph
        order = [reader.dims.index(name) for name in reader.spec.dims]
        return label(array.transpose(order), reader.spec, raw=False, source=reader.source)
    return to_labelled(reader, block_bytes=BLOCK_BYTES)


def levels_of_source(
    source: Source,
    *,
    progress: object = None,
    memory: Memory = None,
    levels: FromSource | None = None,
    **opening: Unpack[Opening],
) -> Levels[Reader]:
    """Return a reader of each level of ``source``; ``opening`` are options of :class:`bigimg.types.Opening`.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, UsageError
        As :func:`open_source`, and as :func:`open` with ``levels="source"``.
    BudgetError
        With ``levels="source"``, what is read to compare the levels does not fit ``memory``.
    """
    if is_tree(source):
        refuse_options(opening, levels)
        return levels_of_tree(source).map(read_labelled)
    return levels_of_reader(taken(open_source(source, progress=progress, **opening), levels, memory))


def open_levels(
    source: Source, *, memory: Memory = None, levels: FromSource | None = None, **opening: Unpack[Opening]
) -> Levels[xarray.DataArray]:
    """Return the image of each level of ``source``, which is opened when it is used; an array has one level.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, BudgetError, UsageError
        As :func:`open`.
    """
    import xarray

    tree, array = is_tree(source), isinstance(source, xarray.DataArray)
    if not (tree or array) and _is_read(source):
        return levels_of_source(source, memory=memory, levels=levels, **opening).map(
            lambda reader: _labelled(reader, memory)
        )
    refuse_options(opening, levels)
    if tree:
        return levels_of_tree(source)
    image = source if array else native(from_array(source))
    return Levels(1, lambda _: image, "array")


def _labelled(
    reader: Reader, memory: Memory, *, raw: bool = False, chunks: Pixels | None = None
) -> xarray.DataArray:
    """Return the image of ``reader`` with blocks of a size that a reduction can hold."""
    import dask.array  # noqa: F401  # before the memory of the process is measured

    threads, access, here = usable_cpus(), reader.access, room(memory)
    reading, coordinates = (
        access.fixed_bytes + threads * access.read_bytes,
        coordinate_bytes(reader.spec.axes),
    )
    here.take(
        reader.source,
        {"reading": reading, "blocks": threads * LEAST, "coordinates": coordinates, **LATER},
        "close what else is open, or convert it first on a larger machine",
    )
    free = here.free - access.fixed_bytes - coordinates - DECODERS_BYTES
    itemsize = (reader.spec.dtype if raw else real_dtype(reader.spec)).itemsize
    values = max(LEAST, free // threads - access.read_bytes) // (
        2 * max(itemsize, RESULT_BYTES) + REDUCTION_BYTES
    )
    block_bytes = min(BLOCK_BYTES, values * itemsize)
    return to_labelled(reader, raw=raw, block_bytes=block_bytes, chunks=chunks)


def refuse_options(opening: Opening, levels: FromSource | None = None) -> None:
    """Refuse options of a source for an array, which is open already."""
    Asked(opening).refuse()
    if levels is not None:
        raise UsageError(f"array: levels={levels!r} is for files that hold coarser levels; leave it out")
    if (part := opening.get("part")) is not None:
        raise UsageError(f"array: part={part!r} is for files; take the part of the array, as numpy.abs does")


def native(img: xarray.DataArray) -> xarray.DataArray:
    """Return the image with numbers in the byte order of this machine, converted block by block if necessary.

    Code that looks at the bits of a value would see wrong numbers otherwise.
    """
    if img.dtype.isnative:
        return img
    return (img if img.chunks is not None else img.chunk("auto")).astype(img.dtype.newbyteorder("="))


def _no_image(source: object) -> UsageError:
    return UsageError(f"{type(source).__name__} is no image: give a path, an array or a DataArray")


def _is_opened_store(source: Source) -> bool:
    """Return whether ``source`` is a Store; if so, its module is imported already."""
    stores = sys.modules.get("bigimg.omezarr.store")
    return stores is not None and isinstance(source, stores.Store)


def _is_read(source: Source) -> bool:
    """Return whether ``source`` is read by a reader, and is no array."""
    return _is_opened_store(source) or isinstance(source, Reader) or is_place(source)
