"""Groups that xarray's ``to_zarr`` wrote: an image, with the coordinates of its axes as arrays beside it.

The image is the variable ``image``, or the only one that is no coordinate. Of a DataTree with the groups ``scale0`` to
``scaleN``, as bigimg makes it of a pyramid, each group is a level.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.axes import ORDER, long_unit
from bigimg.geometry.even import even_step
from bigimg.geometry.levels import level_names
from bigimg.geometry.no_data import declared
from bigimg.geometry.padding import described, no_data_note
from bigimg.geometry.spec import Channel, fields_of
from bigimg.omezarr.documents import is_key
from bigimg.omezarr.encoding import NUMERIC
from bigimg.omezarr.parse import NONSENSE, ArrayMeta, ImageMeta, LevelMeta, described_by, parse_array
from bigimg.omezarr.pixels import values_of
from bigimg.omezarr.tree import Node, Tree, join
from bigimg.types import Convention, Kind, Padding

MOST_VALUES = 1 << 20
"""Longer coordinates are not read."""
MOST_TEXTS = 4096
"""Channels whose names are read."""
MOST_NUMBER = 1e300
"""Largest number that is taken from an attribute."""
PACKING = {"scale_factor": 1.0, "add_offset": 0.0}
"""Attributes by which stored values become real ones, and what they are where they are absent."""
NAMES = {"time": "t", "channel": "c", "channels": "c", "band": "c"}
"""Usual names of axes, beside ours."""


def image_of_group(tree: Tree, group: str) -> tuple[ImageMeta, tuple[ArrayMeta, ...]] | None:
    """Return the image in a group of xarray, and the array of each level; None if there is none."""
    children = tree.children(group)
    scales = level_names(children)
    levels = [found for name in scales or [""] if (found := _level(tree, group, name)) is not None]
    if not levels or len(levels) != len(scales or [""]) or len({found[0].dims for found in levels}) > 1:
        return None
    every = tuple(image.levels[0] for image, _ in levels)
    return replace(levels[0][0], levels=every), tuple(array for _, array in levels)


def _level(tree: Tree, group: str, name: str) -> tuple[ImageMeta, ArrayMeta] | None:
    where = join(group, name)
    nodes = {child: tree.node(join(where, child)) for child in tree.children(where) if child[0] != "."}
    arrays = {child: node for child, node in nodes.items() if node and node["node_type"] == "array"}
    dims = {child: _dims(node) for child, node in arrays.items()}
    listed = {
        word for node in arrays.values() for word in str(node["attributes"].get("coordinates", "")).split()
    }
    known = [child for child in arrays if len(dims[child]) > 1 and child not in listed]
    chosen = "image" if "image" in known else known[0] if len(known) == 1 else None
    if chosen is None:
        return None
    ours = tuple(NAMES.get(dim, dim) for dim in dims[chosen])
    if len(set(ours)) != len(ours) or not set(ours) <= set(ORDER):
        return None
    meta = parse_array(arrays[chosen], source=tree.where(join(where, chosen)))
    if len(meta.shape) != len(ours):
        return None
    notes: list[str] = []
    lines = {
        our: _line(tree, join(where, dim), arrays[dim], notes)
        for dim, our in zip(dims[chosen], ours, strict=True)
        if our != "c" and dims.get(dim) == (dim,)
    }
    spacing = [lines.get(our, (1.0, 0.0, None)) for our in ours]
    level = LevelMeta(
        join(name, chosen),
        tuple(abs(step) for step, _, _ in spacing),
        tuple(start for _, start, _ in spacing),
    )
    names = [
        dim for dim, our in zip(dims[chosen], ours, strict=True) if our == "c" and dims.get(dim) == (dim,)
    ]
    padding = _no_data(arrays[chosen], meta, notes)
    return ImageMeta(
        version="", dims=ours, units=tuple(unit for _, _, unit in spacing), levels=(level,),
        channels=_channels(tree, where, names, arrays), notes=tuple(notes), padding=padding,
        backwards=tuple(our for our, (step, _, _) in zip(ours, spacing, strict=True) if step < 0),
        **_attributes(arrays[chosen]["attributes"]),
    ), meta  # fmt: skip


def _dims(node: Node) -> tuple[str, ...]:
    found = node.get("dimension_names") or node["attributes"].get("_ARRAY_DIMENSIONS") or ()
    return tuple(found) if isinstance(found, list) and all(map(is_key, found)) else ()


def _line(tree: Tree, key: str, node: Node, notes: list[str]) -> tuple[float, float, str | None]:
    """Return spacing, origin and unit of a coordinate; where it is not evenly spaced, a note says so."""
    unit, values = node["attributes"].get("units"), np.empty(0)
    with suppress(InputError):  # there are too many, or they are dates
        values = values_of(tree, key, MOST_VALUES)
    if values.dtype.kind in "iuf":
        slope, intercept = (_number(node["attributes"], name, value) for name, value in PACKING.items())
        values = values.astype(np.float64) * slope + intercept
    # Times of CF are counted from an epoch, and an origin of OME-Zarr has none.
    unit, _, epoch = unit.partition(" since ") if isinstance(unit, str) else ("", "", "")
    unit = long_unit(unit)
    if epoch:
        notes.append(f"coordinate {key} counts from {epoch}, which is not kept")
    if values.size == 1 and values.dtype.kind == "f":
        return _number(node["attributes"], "spacing", 1.0), float(values[0]), unit
    if values.size and values.dtype.kind == "f" and (step := even_step(values)) is not None:
        return step, float(values[0]), unit
    notes.append(f"coordinate {key} is not evenly spaced numbers; positions are counted from 0")
    return 1.0, 0.0, None


def _number(attrs: Mapping[str, Any], name: str, otherwise: float) -> float:
    """Return the finite number that an attribute is, or ``otherwise``."""
    value = attrs.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return otherwise
    return float(value) if abs(value) <= MOST_NUMBER else otherwise


def _no_data(node: Node, meta: ArrayMeta, notes: list[str]) -> Padding | None:
    """Return the stored value that is no measurement; a note says so.

    Of labels and masks 0 is the background, and counts.

    xarray keeps ``_FillValue`` as the fill value of zarr 2, and takes every fill value there as one. In zarr 3 it
    writes an attribute, where floats are the base64 of eight bytes.
    """
    attrs = dict(node["attributes"])
    if attrs.get("kind") in ("labels", "mask"):
        return None
    given = attrs.get("_FillValue")
    if node["zarr_format"] == 2 and node.get("fill_value") is not None:
        attrs["_FillValue"] = meta.encoding.fill
    elif isinstance(given, str) and meta.dtype.kind == "f":
        with suppress(ValueError, struct.error):  # no number of xarray
            (attrs["_FillValue"],) = struct.unpack("<d", base64.b64decode(given, validate=True))
    found = declared(attrs, meta.dtype, None)
    if not found:
        return None
    notes.append(no_data_note(found[0], "fill value"))
    if len(found) > 1:
        others = ", ".join(map(described, found[1:]))
        notes.append(
            f"pixels of {others} are declared as no data too, and are not left out: only one value can be"
        )
    return found[0]


def _channels(tree: Tree, where: str, names: list[str], arrays: Mapping[str, Node]) -> tuple[Channel, ...]:
    if not names:
        return ()
    type_name = arrays[names[0]].get("dtype", arrays[names[0]].get("data_type"))
    texts = not isinstance(type_name, str) or NUMERIC.fullmatch(type_name) is None
    found = [str(name) for name in values_of(tree, join(where, names[0]), MOST_TEXTS, texts=texts)]
    colors: list[Any] = [None] * len(found)
    if "color" in arrays and _dims(arrays["color"]) == (names[0],):
        colors = [
            str(color) or None for color in values_of(tree, join(where, "color"), MOST_TEXTS, texts=True)
        ]
    return tuple(Channel(name, color) for name, color in zip(found, colors, strict=True))


def _attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the attrs of the image say, as those of bigimg's DataArrays and of netCDF do."""
    try:
        block = dict(attrs)
        if attrs.get("convention") not in get_args(Convention.__value__):
            block.pop("convention", None)
        if attrs.get("scaling") is None and PACKING.keys() & attrs.keys():
            block["scaling"] = tuple(attrs.get(name, value) for name, value in PACKING.items())
        return {
            "kind": attrs["kind"] if attrs.get("kind") in get_args(Kind.__value__) else None,
            **described_by(block),
            "meta": fields_of(attrs, "meta"),
        }
    except NONSENSE:  # attrs of others, with other meanings
        return {}
