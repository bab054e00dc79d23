"""Masks: made by thresholds, applied, and measured.

A mask is an image of true and false of the same axes and coordinates, lazy; ``&``, ``|``, ``~`` and all of
xarray work on it. One of another level or resolution is brought onto the image as :mod:`bigimg.ops.aligning` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import UsageError
from bigimg.opening.levels import is_tree
from bigimg.opening.open import Source
from bigimg.opening.open import open as open_image
from bigimg.ops.computing import computed
from bigimg.types import Array, DType

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
    named = _named(whole, given)
    image = whole.isel(named)
    found = _compared(image, _tests(image, given)) if given else None
    if otsu:
        from bigimg.ops.statistics.thresholds import otsu as otsu_of

        threshold = otsu_of(img).isel(named)
        if threshold.chunks is None:  # the store knew
            by_otsu = _compared(image, _tests(image, [("above", threshold.values.tolist())]))
        else:
            if "c" in threshold.dims:  # else dask does it, and imports distributed to choose how: 0.2 s
                blocks = image.chunksizes["c"] if image.chunks is not None else -1
                threshold = threshold.copy(data=threshold.data.rechunk((blocks,), method="tasks"))
            by_otsu = _as_mask(image, (image > threshold).transpose(*image.dims).data)
        found = by_otsu if found is None else found & by_otsu
    assert found is not None
    return _as_mask(image, found.data)


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
        named = _named(whole, _conditions(below, above, between, equals))
        image = whole.isel(named)
        found = mask(image, **given) if any(value is not None for value in given.values()) else None
        if threshold is not None:
            here = threshold.isel(named).values.tolist()
            by_otsu = _compared(image, _tests(image, [("above", here)]))
            found = by_otsu if found is None else found & by_otsu
        assert found is not None
        nodes[name] = _as_mask(image, found.data).to_dataset(name="image")
    return xarray.DataTree.from_dict(nodes)


def _conditions(below: Any, above: Any, between: Any, equals: Any) -> list[tuple[str, Any]]:
    found = [(name, given) for name, given in (("below", below), ("above", above), ("equals", equals))
             if given is not None]  # fmt: skip
    if between is not None:
        if not isinstance(between, list | tuple) or len(between) != 2:
            raise UsageError(f"between={between!r}: give two numbers, the smaller first")
        found += [("least", between[0]), ("most", between[1])]
    return found


def _named(img: xarray.DataArray, given: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return which channels thresholds name, the same in each, as ``isel`` takes it; empty where none is named.

    By their places, for two channels may have one name; neighbours as a slice, so that an image of which all are
    named stays as it was opened.
    """
    named = [(name, value) for name, value in given if isinstance(value, Mapping)]
    if not named:
        return {}
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
    chosen = [i for i, name in enumerate(names) if name in named[0][1]]
    first, stop = chosen[0], chosen[-1] + 1
    return {"c": slice(first, stop) if stop - first == len(chosen) else chosen}


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


def _compared(img: xarray.DataArray, tests: list[list[Test]]) -> xarray.DataArray:
    image = img if img.chunks is not None else img.chunk()
    if len(tests) == 1:
        compare: Any = partial(_passes, tests=tests[0])
    else:
        axis = image.dims.index("c")
        starts = np.cumsum([0, *image.data.chunks[axis]]).tolist()
        compare = _ByChannel(tests, axis, starts)
    data = image.data.map_blocks(compare, dtype=bool, meta=_no_pixels(image), token="mask")
    return _as_mask(img, data)


def _no_pixels(img: xarray.DataArray) -> Array:
    return np.empty((0,) * img.ndim, bool)


class _ByChannel:
    """Compares each channel with its own thresholds."""

    def __init__(self, tests: list[list[Test]], axis: int, starts: list[int]) -> None:
        self.tests, self.axis, self.starts = tests, axis, starts

    def __call__(self, block: Array, block_id: tuple[int, ...]) -> Array:
        out = np.empty(block.shape, bool)
        for i in range(block.shape[self.axis]):
            cut = (slice(None),) * self.axis + (i,)
            out[cut] = _passes(block[cut], self.tests[self.starts[block_id[self.axis]] + i])
        return out


COMPARE: dict[str, Callable[[Array, Any], Array]] = {
    "below": lambda block, t: block < t,
    "above": lambda block, t: block > t,
    "least": lambda block, t: block >= t,
    "most": lambda block, t: block <= t,
    "equals": lambda block, t: block == t,
}


def _passes(block: Array, tests: list[Test]) -> Array:
    found = COMPARE[tests[0][0]](block, tests[0][1])
    for name, number in tests[1:]:
        found &= COMPARE[name](block, number)
    return found


def _as_mask(img: xarray.DataArray, data: Any) -> xarray.DataArray:
    """Return true and false with the coordinates of ``img``."""
    attrs = {key: img.attrs[key] for key in KEPT if key in img.attrs}
    coords = {name: coord for name, coord in img.coords.items() if name != "color"}
    import xarray

    return xarray.DataArray(data, coords, img.dims, "mask", {"kind": "mask", **attrs})


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
    from bigimg.ops.aligning import mask_on

    image = open_image(img)
    number = checked_fill(fill, image.dtype)
    chunked = image if image.chunks is not None else image.chunk()
    chosen = mask_on(image, mask, "mask").as_dask(chunked.data.chunks)
    import dask.array as da

    meta = np.empty((0,) * image.ndim, image.dtype)
    data = da.map_blocks(
        _filled, chunked.data, chosen, fill=number, dtype=image.dtype, meta=meta, token="masked"
    )
    return chunked.copy(data=data)


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


def _filled(block: Array, chosen: Array, *, fill: Any) -> Array:
    if chosen.all():
        return block
    found: Array = np.where(chosen, block, fill)
    return found
