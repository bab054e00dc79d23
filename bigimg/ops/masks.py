"""Masks: made by thresholds, applied, and measured.

A mask is an image of true and false of the same axes and coordinates, lazy; ``&``, ``|``, ``~`` and all of
xarray work on it. One of another level or resolution is brought onto the image as :mod:`bigimg.ops.aligning` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.lazy.dask_compute import computed
from bigimg.lazy.link import linked, linked_node
from bigimg.lazy.node import Node
from bigimg.lazy.values import Value
from bigimg.opening.levels import is_tree
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.aligning import mask_on
from bigimg.ops.derived import derive, pixelwise, placeholder
from bigimg.types import Array, DType, Region, Shape

if TYPE_CHECKING:
    import xarray

type Threshold = float | Sequence[float] | Mapping[str, float]
"""One for all channels, one each in their order, or by name."""
type Test = tuple[str, Any]
"""One of ``below above least most equals``, and the number."""

SAID = {"least": "between", "most": "between"}
"""Tests that a person asks for under another name."""
KEPT = ("source", "world", "meta", "private")
"""Attrs of an image that are true of its masks too."""


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

    Thresholds hold for all channels, or are given for each: a sequence in their order, or by name as in
    ``below={"R": 125, "G": 140, "B": 90}``. Where names are given, the mask has these channels alone, in the order
    of the image: ``above={"DAPI": 60}`` is a mask of one channel, and a condition that names it too may join.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
        Of a pyramid, each level is compared.
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
    if is_tree(img):
        return _of_pyramid(img, below, above, between, equals, otsu)
    given = _conditions(below, above, between, equals)
    whole = open_image(img)
    chosen = _named(whole, given)
    image = _channels(whole, chosen)
    tests = _tests(image, given) if given else [[]]
    values = []
    if otsu:
        from bigimg.ops.statistics.thresholds import otsu as otsu_of

        threshold = otsu_of(img)
        if threshold.chunks is None:  # the store knew
            tests = _tests(image, [*given, ("above", _chosen(threshold.values, chosen=chosen).tolist())])
        else:
            values = [_value_of(threshold.data, chosen)]
    return _compared(image, tests, values)


def _value_of(threshold: Any, chosen: list[int]) -> Any:
    """Return thresholds of the chosen channels, computed once."""
    from bigimg.lazy.dask_compute import one_object
    from bigimg.lazy.values import Value

    return Value(one_object(partial(_chosen, chosen=chosen), threshold))


def _chosen(thresholds: Array, *, chosen: list[int]) -> Array:
    found = np.atleast_1d(np.asarray(thresholds))
    return found[chosen] if chosen else found


def _of_pyramid(
    tree: xarray.DataTree, below: Any, above: Any, between: Any, equals: Any, otsu: bool
) -> xarray.DataTree:
    import xarray

    given = {"below": below, "above": above, "between": between, "equals": equals}
    nodes: dict[str, Any] = {"/": xarray.Dataset(attrs={**tree.attrs, "kind": "mask"})}
    threshold = None
    if otsu:
        from bigimg.ops.statistics.thresholds import otsu as otsu_of

        threshold = computed(otsu_of(tree))
    for name in tree.children:
        whole = tree[name].dataset["image"]
        conditions = _conditions(**given)
        chosen = _named(whole, conditions)
        image = _channels(whole, chosen)
        if threshold is not None:
            conditions.append(("above", _chosen(threshold.values, chosen=chosen).tolist()))
        nodes[name] = _compared(image, _tests(image, conditions)).to_dataset(name="image")
    return xarray.DataTree.from_dict(nodes)


def _conditions(below: Any, above: Any, between: Any, equals: Any) -> list[tuple[str, Any]]:
    found = [(name, given) for name, given in (("below", below), ("above", above), ("equals", equals))
             if given is not None]  # fmt: skip
    if between is not None:
        if not isinstance(between, list | tuple) or len(between) != 2:
            raise UsageError(f"between={between!r}: give two numbers, the smaller first")
        found += [("least", between[0]), ("most", between[1])]
    return found


def _named(img: xarray.DataArray, given: list[tuple[str, Any]]) -> list[int]:
    """Return the places of the channels that thresholds name, the same in each; empty where none is named.

    By their places, for two channels may have one name.
    """
    named = [(name, value) for name, value in given if isinstance(value, Mapping)]
    if not named:
        return []
    names = _names(img)
    there = f"there are {', '.join(names)}" if names else "the channels have no names: give numbers alone"
    for name, value in named:
        if not value:
            raise UsageError(f"{_said(name)}={{}}: no channel is named; {there}")
        if unknown := [key for key in value if key not in names]:
            raise UsageError(f"{_said(name)}: no channel {unknown[0]!r}; {there}")
        if absent := sorted(set(value) ^ set(named[0][1])):
            raise UsageError(
                f"{_said(named[0][0])} and {_said(name)}: only one names the channel {absent[0]!r}; give both the same"
            )
    return [i for i, name in enumerate(names) if name in named[0][1]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some channels (:class:`bigimg.lazy.derived.Operation`)."""

    shape: Shape
    dtype: DType
    axis: int
    indices: tuple[int, ...]

    @property
    def extra_bytes(self) -> int:
        """Nothing: the pixels are the result."""
        return 0

    def source(self, region: Region) -> Region:
        """Return ``region`` of the channels from the first to the last."""
        wanted = self.indices[region[self.axis]]
        return (*region[: self.axis], slice(min(wanted), max(wanted) + 1), *region[self.axis + 1 :])

    def make(self, block: Array, source: Region, region: Region) -> Array:
        """Return the channels."""
        first = source[self.axis].start
        return block.take([i - first for i in self.indices[region[self.axis]]], self.axis)


def _channels(img: xarray.DataArray, chosen: list[int]) -> xarray.DataArray:
    """Return the channels at these places; all of them as they were opened where none is chosen, or each."""
    if not chosen or len(chosen) == img.sizes["c"]:
        return img
    if linked_node(img) is None:
        return img.isel(c=chosen)
    like = placeholder(img).isel(c=chosen)
    axis = img.dims.index("c")
    blocks = tuple(
        (1,) * len(chosen) if name == "c" else lengths
        for name, lengths in zip(img.dims, img.chunks or (), strict=True)
    )
    return derive(img, Chosen(like.shape, img.dtype, axis, tuple(chosen)), blocks, like)


def _names(img: xarray.DataArray) -> list[str]:
    return [str(v) for v in img.coords["c"].values] if "c" in img.coords and "c" in img.dims else []


def _tests(img: xarray.DataArray, given: list[tuple[str, Any]]) -> list[list[Test]]:
    """Return the tests of each channel, or of all of them in one list."""
    columns = [(name, _by_channel(img, _said(name), value)) for name, value in given]
    count = max(len(values) for _, values in columns)
    rows = [[(name, values[i if len(values) > 1 else 0]) for name, values in columns] for i in range(count)]
    for row in rows:
        ends = dict(row)
        if "least" in ends and ends["least"] > ends["most"]:
            raise UsageError(
                f"between=({ends['least']}, {ends['most']}): give two numbers, the smaller first"
            )
    return [[_exact(name, number, img.dtype) for name, number in row] for row in rows]


def _said(name: str) -> str:
    """Return the name of a test as a person gives it."""
    return SAID.get(name, name)


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


def _compared(
    img: xarray.DataArray, tests: list[list[Test]], values: Sequence[Value] = ()
) -> xarray.DataArray:
    axis = img.dims.index("c") if "c" in img.dims else None
    return _as_mask(img, *pixelwise("mask", img, _Compare(tests, axis), np.dtype(bool), values=values))


class _Compare:
    """Compares each channel with its own thresholds, or all with one; values are limits too (:class:`Pixelwise`)."""

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
    "below": lambda block, t: block < t,
    "above": lambda block, t: block > t,
    "least": lambda block, t: block >= t,
    "most": lambda block, t: block <= t,
    "equals": lambda block, t: block == t,
}


def _passes(block: Array, tests: list[Test]) -> Array:
    found: Array = COMPARE[tests[0][0]](block, tests[0][1])
    for name, number in tests[1:]:
        found &= COMPARE[name](block, number)
    return found


def _as_mask(img: xarray.DataArray, node: Node, data: Any) -> xarray.DataArray:
    """Return true and false with the coordinates of ``img``."""
    attrs = {key: img.attrs[key] for key in KEPT if key in img.attrs}
    coords = {name: coord for name, coord in img.coords.items() if name != "color"}
    import xarray

    return linked(xarray.DataArray(data, coords, img.dims, "mask", {"kind": "mask", **attrs}), node)


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
    node, data = pixelwise("masked", image, _Fill(number), image.dtype, mask_on(image, mask, "mask"))
    return linked(image.copy(deep=False, data=data), node)


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


class _Fill:
    """Puts one value where the mask is false (:class:`Pixelwise`)."""

    def __init__(self, fill: Any) -> None:
        self.fill = fill

    def __call__(self, blocks: Sequence[Array], region: Region, values: Sequence[Any]) -> Array:
        block, chosen = blocks
        found: Array = block if chosen.all() else np.where(chosen, block, self.fill)
        return found
