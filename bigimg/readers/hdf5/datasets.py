"""A reader of one dataset of any HDF5 file, named as ``file.h5::/path/in/file``; its axes are found or guessed.

Names of axes are those of dimension scales or labels, of ilastik's ``axistags``, or of ``_ARRAY_DIMENSIONS``. Spacing
comes from even dimension scales, or from ``element_size_um``, as Fiji and ilastik write it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any

import numpy as np

from bigimg.errors import InputError, UsageError
from bigimg.geometry.axes import ORDER, Axis, long_unit
from bigimg.geometry.even import even_step
from bigimg.geometry.no_data import declared
from bigimg.geometry.padding import no_data_note
from bigimg.geometry.spec import ImageSpec
from bigimg.places.address import MEMBER
from bigimg.readers.allowed import known_unit
from bigimg.readers.arrays.array import colors, guess_dims, guessed
from bigimg.readers.complex_values import is_complex, real_of
from bigimg.readers.extras import imported
from bigimg.readers.hdf5.inside import find_inside, reading_hdf5
from bigimg.readers.hdf5.pixels import Hdf5Pixels
from bigimg.readers.hdf5.reader import hdf5_reader, text_of
from bigimg.readers.raw.plain import RawReader
from bigimg.types import DType, Shape

MOST_LISTED = 9
MOST_VISITED = 10_000
"""Objects of a file that are looked at for datasets."""
MOST_SCALE = 1_000_000
"""Values of a dimension scale that are read."""

DIMENSIONS = {"time": "t", "channel": "c", "channels": "c", "depth": "z", "height": "y", "width": "x"}


def open_dataset(source: str, *, series: int | str | None, allow_partial: bool) -> RawReader:
    """Return a reader of one dataset of the HDF5 file ``source``.

    Parameters
    ----------
    source : str
    series : int or str, optional
        The path of the dataset; it may be left out where there is one.
    allow_partial : bool
        Open what is there where chunks were never written.

    Raises
    ------
    MissingExtraError
        h5py is not installed.
    InputError
        The file is damaged, or has several datasets, of which none was named.
    UsageError
        There is no such series.
    """
    h5py = imported("h5py", source)
    with reading_hdf5(source), h5py.File(source, "r") as file:
        notes: list[str] = []
        name = _chosen(source, file, series, notes)
        dataset = find_inside(source, file, name)
        if not _is_image(dataset):
            what = "is no dataset of numbers with two axes or more" if dataset is not None else "is not there"
            raise InputError(f"{source}: {name} {what}; {_listed(_images(file, notes), notes)}")
        pixels = Hdf5Pixels(source, file, np.array(name, object))
        dims = _dims(source, dataset, notes)
        axes = _axes(source, file, dataset, dims)
        padding = declared(dataset.attrs, pixels.dtype, None)[:1]
    if padding:
        notes.append(no_data_note(padding[0], "fill value"))
    dtype = real_of(pixels.dtype) if is_complex(pixels.dtype) else pixels.dtype
    chunks = dict(zip(dims, pixels.chunks, strict=True))
    spec = ImageSpec(
        axes, dtype, tuple(chunks[axis.name] for axis in axes), channels=colors(dims, pixels.shape),
        padding=padding[0] if padding else None, notes=tuple(notes),
    )  # fmt: skip
    return hdf5_reader(source, spec, pixels, dims, allow_partial=allow_partial)


def _chosen(source: str, file: Any, series: int | str | None, notes: list[str]) -> str:
    """Return the name of the dataset that is meant."""
    if isinstance(series, str):
        return series
    found = _images(file, notes)
    if not found:
        raise InputError(f"{source}: has no dataset of numbers with two axes or more; it holds no image")
    if series is None and len(found) > 1:
        raise InputError(
            f"{source}: name a dataset, as in '{source}{MEMBER}{found[0][0]}'; {_listed(found, notes)}"
        )
    if not 0 <= (number := series or 0) < len(found):
        raise UsageError(f"{source}: there is no series {number}; {_listed(found, notes)}")
    return found[number][0]


def _images(file: Any, notes: list[str]) -> list[tuple[str, Shape, DType]]:
    """Return name, shape and type of the datasets of a file that may be images, as far as it holds them itself.

    If not all of the file is searched, the ``notes`` say so.
    """
    found: list[tuple[str, Shape, DType]] = []
    visited = 0

    def look(name: str, each: Any) -> bool | None:
        nonlocal visited
        visited += 1
        if visited > MOST_VISITED:
            return True
        if _is_image(each):
            found.append((f"/{name}", each.shape, each.dtype))
        return None

    if file.visititems(look):  # follows hard links alone
        notes.append(
            f"its first {MOST_VISITED} objects were searched for datasets: name others by their paths"
        )
    return found


def _is_image(found: Any) -> bool:
    """Return whether ``found`` is a dataset of numbers along two to five axes."""
    if not hasattr(found, "dtype") or not hasattr(found, "chunks") or not found.shape:
        return False
    sizes, kind = found.shape, found.dtype
    return 2 <= len(sizes) <= len(ORDER) and min(sizes) > 0 and (kind.kind in "buif" or is_complex(kind))


def _listed(found: Sequence[tuple[str, Shape, DType]], notes: Sequence[str]) -> str:
    shown = [f"{name} ({' x '.join(map(str, shape))} {dtype})" for name, shape, dtype in found[:MOST_LISTED]]
    more = [f"… {len(found)} in all"] if len(found) > MOST_LISTED else []
    return "; ".join([f"it has {', '.join([*shown, *more]) or 'none'}", *notes])


def _dims(source: str, dataset: Any, notes: list[str]) -> tuple[str, ...]:
    """Return the names of the axes."""
    labels = [each.label or (each.keys()[0] if len(each) else "") for each in dataset.dims]
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        labels = [axis["key"] for axis in json.loads(text_of(dataset.attrs, "axistags"))["axes"]]
    if "_ARRAY_DIMENSIONS" in dataset.attrs:
        labels = [str(each) for each in np.ravel(dataset.attrs["_ARRAY_DIMENSIONS"]).tolist()]
    names = [each.rpartition("/")[2].lower() for each in labels]
    dims = tuple(DIMENSIONS.get(each, each) for each in names)
    if (
        len(dims) == dataset.ndim
        and set(dims) <= set(ORDER)
        and len(set(dims)) == len(dims)
        and {*"yx"} <= {*dims}
    ):
        return dims
    try:
        dims = guess_dims(dataset.shape)
    except UsageError as error:
        raise InputError(f"{source}: {error}") from None
    notes.append(guessed(dims, dataset.shape))
    return dims


def _axes(source: str, file: Any, dataset: Any, dims: Sequence[str]) -> tuple[Axis, ...]:
    """Return the axes in the order t c z y x, with spacing where dimension scales or ``element_size_um`` say it."""
    sizes = np.ravel(dataset.attrs.get("element_size_um", ())).tolist()
    space = [name for name in dims if name in "zyx"]
    micrometers = dict(zip(space[::-1], sizes[::-1], strict=False))  # of z, y and x, also where there is no z
    axes = {}
    for name, size, scales in zip(dims, dataset.shape, dataset.dims, strict=True):
        spacing, unit, origin = 1.0, None, 0.0
        if isinstance(said := micrometers.get(name), float) and 0 < said < math.inf:
            spacing, unit = said, "micrometer"
        elif len(scales) and name != "c":
            spacing, unit, origin = _of_scale(source, file, scales[0].name, size) or (1.0, None, 0.0)
        axes[name] = Axis(name, size, spacing, unit, origin)
    return tuple(axes[name] for name in ORDER if name in axes)


def _of_scale(source: str, file: Any, name: str, size: int) -> tuple[float, str | None, float] | None:
    """Return spacing, unit and origin of a dimension scale; None where it is not even.

    Raises
    ------
    InputError
        Its values lie in another file, or are damaged.
    """
    scale = find_inside(source, file, name)
    if scale is None or scale.shape != (size,) or not 1 < size <= MOST_SCALE or scale.dtype.kind not in "iuf":
        return None
    with closing(Hdf5Pixels(source, file, np.array(name, object))) as pixels:
        values = pixels.read((slice(0, size),)).astype(np.float64)
    step = even_step(values) if np.isfinite(values).all() else None
    if step is None or step <= 0:
        return None
    unit = text_of(scale.attrs, "units") or text_of(scale.attrs, "unit")
    return step, known_unit(long_unit(unit)), float(values[0])
