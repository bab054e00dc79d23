"""The levels of any source, and the level that a smaller image is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Unpack

import xarray

from bigimg.errors import InputNotFoundError, warn
from bigimg.lazy.node_of_array import opened_pixels
from bigimg.omezarr.open import StoreReader
from bigimg.opening import coordinates
from bigimg.opening.levels import Levels, levels_of_reader
from bigimg.opening.open import Memory, Source, open_levels
from bigimg.opening.open import open as open_image
from bigimg.opening.own_levels import OwnLevel
from bigimg.ops.derived import image as labelled
from bigimg.reader import Reader, check_source
from bigimg.types import FromSource, Opening

LEVELS = (StoreReader, OwnLevel)
"""Readers of a level that know the others."""
FINER = 4
"""How many times more pixels a level has than what is made from it: it was rounded, and its windows are cut."""


def finer_level(levels: Levels[xarray.DataArray], target: Mapping[str, int]) -> int:
    """Return the smallest level for an image of ``target`` pixels along these axes: at least four times finer, or 0.

    Along an axis that no level has halved the pixels are those of full resolution, whatever the target.
    """
    sizes = {str(name): n for name, n in levels.base.sizes.items()}
    return levels.fitting(sizes | {name: min(FINER * n, sizes[name]) for name, n in target.items()})


def first_there(levels: Levels[xarray.DataArray], level: int) -> int:
    """Return ``level``, or where it is one of a source that is gone, the finest level that is stored.

    Warns
    -----
    UserWarning
        It is another one.
    """
    found, gone = level, None
    while found < len(levels) - 1 and (pixels := opened_pixels(levels[found])) is not None:
        try:
            check_source(pixels.reader)
            break
        except InputNotFoundError as error:
            gone, found = error, found + 1
    if gone is not None:
        warn(
            f"{str(gone).partition(':')[0]}: the source of its finest levels is gone: drawn from level {found}"
        )
    return found


def levels_of(
    source: Source, *, memory: Memory = None, levels: FromSource | None = None, **opening: Unpack[Opening]
) -> Levels[xarray.DataArray]:
    """Return the levels of ``source``; if it is an array as it was opened, those of its store or file.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError, BudgetError
        As :func:`bigimg.open`.
    """
    if isinstance(source, Levels):
        return source
    found = open_levels(source, memory=memory, levels=levels, **opening).map(labelled)
    pixels = opened_pixels(found.base) if isinstance(source, xarray.DataArray) else None
    reader = None if pixels is None else pixels.reader
    if pixels is None or not isinstance(reader, LEVELS) or not as_opened(found.base, reader):
        return found
    image, raw = found.base, pixels.scaling != reader.spec.scaling
    named = {name: image.coords[name] for name in ("c", "color") if name in image.coords}

    def opened(each: Reader) -> xarray.DataArray:
        if each is reader:
            return image
        return open_image(each, memory=memory, raw=raw).assign_coords(named).assign_attrs(image.attrs)

    return levels_of_reader(reader).map(opened)


def as_opened(image: xarray.DataArray, reader: Reader) -> bool:
    """Return whether the array has the geometry of its source; otherwise the levels of that do not fit it."""
    axes = [axis for axis in reader.spec.axes if axis.name != "c"]
    return all(
        math.isclose(now.spacing, axis.spacing)
        and math.isclose(now.origin, axis.origin, abs_tol=1e-9 * abs(axis.spacing))
        and now.unit == axis.unit
        for axis, now in ((axis, coordinates.axis_of(image, axis.name)) for axis in axes)
    )
