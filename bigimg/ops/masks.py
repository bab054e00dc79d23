"""Masks: made by thresholds, applied, and measured.

A mask is a lazy image of booleans with the same axes and coordinates; ``&``, ``|``, ``~`` and all of xarray work on
it. :mod:`bigimg.ops.masks_on_grid` resamples a mask of another level or resolution onto the image.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import computed, one_object
from bigimg.lazy.node_of_array import linked_node
from bigimg.lazy.values import Value
from bigimg.opening.levels import is_tree
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.derived import pixelwise
from bigimg.ops.masks_on_grid import mask_on
from bigimg.ops.slices import part_of
from bigimg.types import Array, DType, Region

type Threshold = float | Sequence[float] | Mapping[str, float]
"""One for all channels, one each in their order, or by name."""
type Test = tuple[str, Any]
"""One of ``below above least most equals``, and the number."""

OPTIONS = {"least": "between", "most": "between"}
"""Tests whose option has another name."""
MASK_ATTRS = ("source", "world", "meta", "private")
"""Attrs of an image that are true for its masks too."""


def mask(
    img: Source,
    *,
    below: Threshold | None = None,
    above: Threshold | None = None,
    between: Sequence[Threshold] | None = None,
    equals: Threshold | None = None,
    otsu: bool = False,
) -> Any:
    """Return where the pixels fulfil all of the conditions given; lazy, booleans.

    A threshold holds for all channels, or there is one for each: a sequence in their order, or by name as in
    ``below={"R": 125, "G": 140, "B": 90}``. If names are given, the mask has only these channels, in the order of the
    image: ``above={"DAPI": 60}`` makes a mask of one channel. Another condition by name must name the same channels.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
        Each level of a pyramid is compared.
    below : float, sequence or mapping, optional
        Pixels ``<`` it.
    above : float, sequence or mapping, optional
        Pixels ``>`` it.
    between : (low, high), optional
        Pixels from low to high, both included; each of the two may be given for each channel.
    equals : float, sequence or mapping, optional
        Pixels of this value, or label.
    otsu : bool
        Pixels above Otsu's threshold of their channel (:func:`bigimg.otsu`), for a pyramid that of level 0.

    Returns
    -------
    DataArray of the shape of the image, or of the channels that are named; or a DataTree of a pyramid

    Raises
    ------
    UsageError
        No condition, a channel that is not there or that only one of two conditions names, a threshold that is
        no number, or a low above its high.
    """
    if not isinstance(otsu, bool | np.bool_):
        raise UsageError(
            f"mask: otsu={otsu!r}: give True or False; it holds for all channels (isel chooses some)"
        )
    if all(given is None for given in (below, above, between, equals)) and not otsu:
        raise UsageError("mask: give below=, above=, between=, equals= or otsu=True")
    from bigimg.ops.statistics.thresholds import otsu as otsu_of

    conditions = _conditions(below, above, between, equals)
    if not is_tree(img):
        return _mask(open_image(img), conditions, otsu_of(img) if otsu else None)
    threshold = computed(otsu_of(img)) if otsu else None
    nodes: dict[str, Any] = {"/": xarray.Dataset(attrs={**img.attrs, "kind": "mask"})}
    for name in img.children:
        found = _mask(img[name].dataset["image"], conditions, threshold)
        nodes[name] = found.to_dataset(name="image")
    return xarray.DataTree.from_dict(nodes)


def _mask(
    img: xarray.DataArray, conditions: list[tuple[str, Any]], threshold: xarray.DataArray | None
) -> xarray.DataArray:
    """Return where the pixels fulfil the conditions, and are above the ``threshold`` of their channel."""
    chosen = _named(img, conditions)
    image = _channels(img, chosen)
    values = []
    if threshold is not None and threshold.chunks is None:
        conditions = [*conditions, ("above", _chosen(threshold.values, chosen=chosen).tolist())]
    elif threshold is not None:
        values = [Value(one_object(partial(_chosen, chosen=chosen), threshold.data))]
    tests = _tests(image, conditions) if conditions else [[]]
    axis = image.dims.index("c") if "c" in image.dims else None
    found = pixelwise("mask", image, _Compare(tests, axis), np.dtype(bool), values=values)
    found = found.drop_vars("color", errors="ignore").rename("mask")
    found.attrs = {"kind": "mask"} | {key: img.attrs[key] for key in MASK_ATTRS if key in img.attrs}
    return found


def _chosen(thresholds: Array, *, chosen: list[int]) -> Array:
    found = np.atleast_1d(np.asarray(thresholds))
    return found[chosen] if chosen else found


def _conditions(below: Any, above: Any, between: Any, equals: Any) -> list[tuple[str, Any]]:
    found = [(name, given) for name, given in (("below", below), ("above", above), ("equals", equals))
             if given is not None]  # fmt: skip
    if between is not None:
        if not isinstance(between, list | tuple) or len(between) != 2:
            raise UsageError(f"between={between!r}: give two numbers, the smaller first")
        found += [("least", between[0]), ("most", between[1])]
    return found


def _named(img: xarray.DataArray, given: list[tuple[str, Any]]) -> list[int]:
    """Return the numbers of the channels that thresholds name, the same for all thresholds; empty if none is named.

    Numbers, because two channels may have the same name.
    """
    named = [(name, value) for name, value in given if isinstance(value, Mapping)]
    if not named:
        return []
    names = _names(img)
    there = f"there are {', '.join(names)}" if names else "the channels have no names: give numbers alone"
    for name, value in named:
        if not value:
            raise UsageError(f"{_option(name)}={{}}: no channel is named; {there}")
        if unknown := [key for key in value if key not in names]:
            raise UsageError(f"{_option(name)}: no channel {unknown[0]!r}; {there}")
        if absent := sorted(set(value) ^ set(named[0][1])):
            raise UsageError(
                f"{_option(named[0][0])} and {_option(name)}: only one names the channel {absent[0]!r}; "
                "give both the same"
            )
    return [i for i, name in enumerate(names) if name in named[0][1]]


def _channels(img: xarray.DataArray, chosen: list[int]) -> xarray.DataArray:
    """Return the channels of these numbers; the image itself if none or all are chosen."""
    if not chosen or len(chosen) == img.sizes["c"]:
        return img
    if linked_node(img) is None:
        return img.isel(c=chosen)
    blocks = tuple(
        (1,) * len(chosen) if name == "c" else lengths
        for name, lengths in zip(img.dims, img.chunks or (), strict=True)
    )
    return part_of(img, {"c": chosen}, blocks)


def _names(img: xarray.DataArray) -> list[str]:
    return [str(v) for v in img.coords["c"].values] if "c" in img.coords and "c" in img.dims else []


def _tests(img: xarray.DataArray, given: list[tuple[str, Any]]) -> list[list[Test]]:
    """Return the tests of each channel, or of all of them in one list."""
    columns = [(name, _by_channel(img, _option(name), value)) for name, value in given]
    count = max(len(values) for _, values in columns)
    rows = [[(name, values[i if len(values) > 1 else 0]) for name, values in columns] for i in range(count)]
    for row in rows:
        ends = dict(row)
        if "least" in ends and ends["least"] > ends["most"]:
            raise UsageError(
                f"between=({ends['least']}, {ends['most']}): give two numbers, the smaller first"
            )
    return [[_exact(name, number, img.dtype) for name, number in row] for row in rows]


def _option(name: str) -> str:
    """Return the option that a test comes from."""
    return OPTIONS.get(name, name)


def _by_channel(img: xarray.DataArray, name: str, value: Any) -> list[Any]:
    count = img.sizes.get("c", 1)
    if isinstance(value, Mapping):
        value = [value[key] for key in _names(img)]
    values = value if isinstance(value, list | tuple | np.ndarray) else [value]
    if len(values) not in (1, count):
        raise UsageError(f"{name}: {len(values)} thresholds for {count} channels; give one, or one for each")
    for number in values:
        if not isinstance(number, int | float | np.number | np.bool_) or number != number:
            raise UsageError(f"{name}={number!r}: a threshold is a number")
    return [number.item() if isinstance(number, np.generic) else number for number in values]


def _exact(name: str, number: Any, dtype: DType) -> Test:
    """Return a test that is exact for integers of any size, which numpy would compare as floats."""
    if dtype.kind == "f" or isinstance(number, int) or not math.isfinite(number):
        return name, number
    if name in ("below", "least"):  # x < 2.5 is x < 3, and x >= 2.5 is x >= 3
        return name, math.ceil(number)
    if name in ("above", "most"):
        return name, math.floor(number)
    return name, int(number) if number.is_integer() else math.nan


class _Compare:
    """Compares each channel with its own thresholds, or all with one; values are thresholds (:class:`Pixelwise`)."""

    def __init__(self, tests: list[list[Test]], axis: int | None) -> None:
        self.tests, self.axis = tests, axis

    def __call__(self, blocks: Sequence[Array], region: Region, values: Sequence[Array]) -> Array:
        (block,) = blocks
        if len(self.tests) == 1 and not values:
            return _passes(block, self.tests[0])
        out = np.empty(block.shape, bool)
        first, count = (0, 1) if self.axis is None else (region[self.axis].start, block.shape[self.axis])
        for i in range(count):
            cut = ... if self.axis is None else (slice(None),) * self.axis + (i,)
            own = self.tests[first + i if len(self.tests) > 1 else 0]
            limits = [("above", found[first + i if len(found) > 1 else 0]) for found in values]
            out[cut] = _passes(block[cut], [*own, *limits])
        return out


COMPARE: dict[str, Callable[[Array, Any], Array]] = {
    "below": operator.lt,
    "above": operator.gt,
    "least": operator.ge,
    "most": operator.le,
    "equals": operator.eq,
}


def _passes(block: Array, tests: list[Test]) -> Array:
    found: Array = COMPARE[tests[0][0]](block, tests[0][1])
    for name, number in tests[1:]:
        found &= COMPARE[name](block, number)
    return found


def apply_mask(img: Source, mask: Source, *, fill: float = 0) -> xarray.DataArray:
    """Return the image with ``fill`` where the mask is false; lazy, of the image's own type.

    Parameters
    ----------
    img : DataArray, path or anything that opens
    mask : DataArray, path or array of booleans
        With or without the axis c, of this or another level.
    fill : float
        A value that the type of the image can hold, the same in all channels.

    Raises
    ------
    UsageError
        The mask does not fit, or the type cannot hold ``fill``.
    """
    image = open_image(img)
    number = checked_fill(fill, image.dtype)
    return pixelwise(
        "masked", image, partial(_filled, fill=number), image.dtype, mask_on(image, mask, "mask")
    )


def checked_fill(fill: Any, dtype: DType) -> Any:
    """Return ``fill`` as a value of ``dtype``.

    Raises
    ------
    UsageError
        The type cannot hold it.
    """
    if isinstance(fill, str | bytes) or np.ndim(fill) or np.asarray(fill).dtype.kind not in "buif":
        raise UsageError(f"fill={fill!r}: give one number, which all channels get")
    if dtype.kind == "b":
        fits, allowed = fill in (0, 1), "True and False"
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        allowed = f"integers from {info.min} to {info.max}"
        fits = bool(np.isfinite(fill)) and int(fill) == fill and info.min <= int(fill) <= info.max
    else:
        largest = float(np.finfo(dtype).max)
        fits, allowed = not math.isfinite(fill) or abs(fill) <= largest, f"numbers up to {largest:g}"
    if not fits:
        raise UsageError(f"fill={fill}: {dtype} holds {allowed}; give one, or change the type first")
    return dtype.type(fill)


def _filled(blocks: Sequence[Array], region: Region, values: Sequence[Any], *, fill: Any) -> Array:
    """Return a block with ``fill`` where the mask is false (:class:`Pixelwise`)."""
    block, mask = blocks
    found: Array = block if mask.all() else np.where(mask, block, fill)
    return found
