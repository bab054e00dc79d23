"""Masks: made by thresholds, applied, and measured.

A mask is a lazy image of booleans with the same axes and coordinates; ``&``, ``|``, ``~`` and all of xarray work on
it. :mod:`bigimg.ops.masks_on_grid` resamples a mask of another level or resolution onto the image.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Unpack

import numpy as np
import xarray

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import computed, one_object
from bigimg.lazy.node_of_array import linked_node
from bigimg.lazy.operation import Operation
from bigimg.lazy.values import Value
from bigimg.opening.levels import is_pyramid, levels_of_tree
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.derived import derive, pixelwise, placeholder, source_block
from bigimg.ops.intensity import gray as _gray
from bigimg.ops.masks_on_grid import mask_on
from bigimg.ops.slices import part_of
from bigimg.types import Array, DType, Opening, Region, Shape

type Threshold = float | Sequence[float] | Mapping[str, float]
"""One for all channels, one each in their order, or by name."""
type Compare = Callable[[Any, Any], Any]
type Condition = tuple[Compare, str, Any]
"""How pixels are compared, the option that says so, and its thresholds."""
type Test = tuple[Compare, Any]
"""How pixels are compared, and with which number."""
MASK_ATTRS = ("source", "world", "convention", "missing", "meta")
"""Attrs of an image that are true for its masks too."""


def mask(
    img: Source,
    *,
    below: Threshold | None = None,
    above: Threshold | None = None,
    between: Sequence[Threshold] | None = None,
    equals: Threshold | None = None,
    otsu: bool = False,
    below_otsu: bool = False,
    gray: Literal["luma", "mean"] | None = None,
    any: bool = False,
    **opening: Unpack[Opening],
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
    below_otsu : bool
        All others: pixels not above that threshold, as tissue on a bright slide. NaN is in neither.
    gray : {"luma", "mean"}, optional
        Compare the grey value of the channels (:func:`bigimg.gray`), not each channel.
    any : bool
        One mask, without the axis c: true where at least one channel fulfils all conditions.
    **opening
        As in :func:`bigimg.open`.

    Returns
    -------
    DataArray of the shape of the image, or of the channels that are named; or a DataTree of a pyramid
        Without the axis c for ``gray`` and ``any``.

    Raises
    ------
    UsageError
        No condition, a channel that is not there or that only one of two conditions names, a threshold that is
        no number, a low above its high, or no grey can be made of the channels.
    """
    for name, flag in (("otsu", otsu), ("below_otsu", below_otsu), ("any", any)):
        if not isinstance(flag, bool | np.bool_):
            raise UsageError(
                f"mask: {name}={flag!r}: give True or False; it holds for all channels (isel chooses some)"
            )
    if otsu and below_otsu:
        raise UsageError("mask: otsu=True and below_otsu=True are two halves of the pixels; give one")
    if all(given is None for given in (below, above, between, equals)) and not otsu and not below_otsu:
        raise UsageError("mask: give below=, above=, between=, equals=, otsu=True or below_otsu=True")
    from bigimg.ops.statistics.thresholds import otsu as otsu_of

    conditions = _conditions(below, above, between, equals)
    compare = operator.le if below_otsu else operator.gt
    seen: Any = partial(open_image, **opening) if gray is None else partial(_gray, method=gray, **opening)
    if not is_pyramid(img):
        image = seen(img)
        threshold = otsu_of(image) if otsu or below_otsu else None
        return _mask(image, conditions, threshold, compare, any=any)
    base = seen(levels_of_tree(img).base) if gray else img
    threshold = computed(otsu_of(base)) if otsu or below_otsu else None
    nodes: dict[str, Any] = {"/": xarray.Dataset(attrs={**img.attrs, "kind": "mask"})}
    for number, level in enumerate(levels_of_tree(img)):
        found = _mask(seen(level), conditions, threshold, compare, any=any)
        nodes[f"scale{number}"] = found.to_dataset(name="image")
    return xarray.DataTree.from_dict(nodes)


def _mask(
    img: xarray.DataArray,
    conditions: list[Condition],
    threshold: xarray.DataArray | None,
    compare: Compare,
    *,
    any: bool,
) -> xarray.DataArray:
    """Return where the pixels fulfil the conditions, and ``compare`` with the ``threshold`` of their channel."""
    chosen = _named(img, conditions)
    image = _channels(img, chosen)
    values = []
    if threshold is not None and threshold.chunks is None:
        conditions = [*conditions, (compare, "otsu", _chosen(threshold.values, chosen=chosen).tolist())]
    elif threshold is not None:
        values = [Value(one_object(partial(_chosen, chosen=chosen), threshold.data))]
    tests = _tests(image, conditions) if conditions else [[]]
    axis = image.dims.index("c") if "c" in image.dims else None
    found = pixelwise("mask", image, _Compare(tests, axis, compare), np.dtype(bool), values=values)
    if any and axis is not None:
        found = _any_channel(found, axis)
    found = found.drop_vars("color", errors="ignore").rename("mask")
    found.attrs = {"kind": "mask"} | {key: img.attrs[key] for key in MASK_ATTRS if key in img.attrs}
    return found


@dataclass(frozen=True, slots=True)
class AnyChannel(Operation):
    """True where the mask of at least one channel is true."""

    shape: Shape
    dtype: DType
    axis: int
    channels: int

    def source(self, region: Region) -> Region:
        """Return ``region`` of all channels."""
        return (*region[: self.axis], slice(0, self.channels), *region[self.axis :])

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the mask."""
        found: Array = block.any(axis=self.axis)
        return found


def _any_channel(mask: xarray.DataArray, axis: int) -> xarray.DataArray:
    like = placeholder(mask).isel(c=0, drop=True)
    block, _ = source_block(mask)
    operation = AnyChannel(like.shape, np.dtype(bool), axis, mask.shape[axis])
    return derive(mask, operation, (*block[:axis], *block[axis + 1 :]), like)


def _chosen(thresholds: Array, *, chosen: list[int]) -> Array:
    found = np.atleast_1d(np.asarray(thresholds))
    return found[chosen] if chosen else found


def _conditions(below: Any, above: Any, between: Any, equals: Any) -> list[Condition]:
    given = [(operator.lt, "below", below), (operator.gt, "above", above), (operator.eq, "equals", equals)]
    found: list[Condition] = [condition for condition in given if condition[2] is not None]
    if between is not None:
        if not isinstance(between, list | tuple) or len(between) != 2:
            raise UsageError(f"between={between!r}: give two numbers, the smaller first")
        found += [(operator.ge, "between", between[0]), (operator.le, "between", between[1])]
    return found


def _named(img: xarray.DataArray, given: list[Condition]) -> list[int]:
    """Return the numbers of the channels that thresholds name, the same for all thresholds; empty if none is named.

    Numbers, because two channels may have the same name.
    """
    named = [(option, value) for _, option, value in given if isinstance(value, Mapping)]
    if not named:
        return []
    names, (first, channels) = _names(img), named[0]
    there = f"there are {', '.join(names)}" if names else "the channels have no names: give numbers alone"
    for option, value in named:
        if not value:
            raise UsageError(f"{option}={{}}: no channel is named; {there}")
        if unknown := [key for key in value if key not in names]:
            raise UsageError(f"{option}: no channel {unknown[0]!r}; {there}")
        if absent := sorted(set(value) ^ set(channels)):
            raise UsageError(
                f"{first} and {option}: only one names the channel {absent[0]!r}; give both the same"
            )
    return [i for i, name in enumerate(names) if name in channels]


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


def _tests(img: xarray.DataArray, given: list[Condition]) -> list[list[Test]]:
    """Return the tests of each channel, or of all of them in one list."""
    columns = [(compare, _by_channel(img, option, value)) for compare, option, value in given]
    count = max(len(values) for _, values in columns)
    rows = [[(test, values[i if len(values) > 1 else 0]) for test, values in columns] for i in range(count)]
    for ends in map(dict, rows):
        if operator.ge in ends and (low := ends[operator.ge]) > (high := ends[operator.le]):
            raise UsageError(f"between=({low}, {high}): give two numbers, the smaller first")
    return [[_exact(compare, number, img.dtype) for compare, number in row] for row in rows]


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


def _exact(compare: Callable[[Any, Any], Any], number: Any, dtype: DType) -> Test:
    """Return a test that is exact for integers of any size, which numpy would compare as floats."""
    if dtype.kind == "f" or isinstance(number, int) or not math.isfinite(number):
        return compare, number
    if compare is operator.eq:
        return compare, int(number) if number.is_integer() else math.nan
    # x < 2.5 is x < 3, and x >= 2.5 is x >= 3
    return compare, (math.ceil if compare in (operator.lt, operator.ge) else math.floor)(number)


class _Compare:
    """Compares each channel with its own thresholds, or all with one; values are thresholds (:class:`Pixelwise`)."""

    def __init__(self, tests: list[list[Test]], axis: int | None, compare: Compare) -> None:
        self.tests, self.axis, self.compare = tests, axis, compare

    def __call__(self, blocks: Sequence[Array], region: Region, values: Sequence[Array]) -> Array:
        (block,) = blocks
        if len(self.tests) == 1 and not values:
            return _passes(block, self.tests[0])
        out = np.empty(block.shape, bool)
        first, count = (0, 1) if self.axis is None else (region[self.axis].start, block.shape[self.axis])
        for i in range(count):
            cut = ... if self.axis is None else (slice(None),) * self.axis + (i,)
            own = self.tests[first + i if len(self.tests) > 1 else 0]
            limits = [(self.compare, found[first + i if len(found) > 1 else 0]) for found in values]
            out[cut] = _passes(block[cut], [*own, *limits])
        return out


def _passes(block: Array, tests: list[Test]) -> Array:
    (compare, number), *others = tests
    found: Array = compare(block, number)
    for compare, number in others:
        found &= compare(block, number)
    return found


def apply_mask(img: Source, mask: Source, *, fill: float = 0, **opening: Unpack[Opening]) -> xarray.DataArray:
    """Return the image with ``fill`` where the mask is false; lazy, of the image's own type.

    Parameters
    ----------
    img : DataArray, path or anything that opens
    mask : DataArray, path or array of booleans
        With or without the axis c, of this or another level.
    fill : float
        A value that the type of the image can hold, the same in all channels.
    **opening
        Of ``img``, as in :func:`bigimg.open`.

    Raises
    ------
    UsageError
        The mask does not fit, or the type cannot hold ``fill``.
    """
    image = open_image(img, **opening)
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
