"""An image as layers of napari: data, options and type of each, made from metadata; no pixel is read.

Neither napari nor Qt is imported here: a layer is a tuple ``(data, options, "image", "labels" or "points")``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from bigimg.errors import BudgetError, UsageError
from bigimg.geometry.axes import MILLIMETERS, SECONDS, Axis
from bigimg.geometry.colours import lights_of
from bigimg.geometry.spec import Channel, ImageSpec, Scaling
from bigimg.lazy.node_of_array import opened_pixels
from bigimg.omezarr.open import Store, StoreReader, open_inside, open_store
from bigimg.omezarr.packed import stem
from bigimg.opening.coordinates import channels_of
from bigimg.opening.levels import is_tree, levels_of_reader, levels_of_tree
from bigimg.opening.open import Source, open_source
from bigimg.opening.own_levels import offered, taken
from bigimg.opening.plates import Plate, plate_in
from bigimg.ops.levels import LEVELS, as_opened
from bigimg.planning.memory import budget_bytes, human_bytes
from bigimg.pyramid.summary import stored_summary
from bigimg.reader import Reader
from bigimg.types import Array, FromSource, Opening
from bigimg.viewing.napari.viewer_arrays import Decoded, Shown
from bigimg.viewing.plate_mosaic import Fields, MosaicReader, plate_levels

type Layer = tuple[Any, dict[str, Any], str]
"""Data (a list of levels, one array, or points), keyword arguments of napari's layer, and its type."""

MOST_PLANE_BYTES = 64 << 20
"""The largest plane that a viewer may read for each frame, without levels: 8192 x 8192 of 8 bits, decoded in 0.1 s."""
MOST_SIDE = 16_384
"""The longest side of a picture that a graphics card takes, in pixels."""
MOST_KEPT_BYTES = 1 << 30
"""The largest source that is kept in memory because it can only be decoded in one go."""
COLORS = ({"R", "G", "B"}, {"R", "G", "B", "A"})


def layers_of(source: Source, *, levels: FromSource | None = None, **opening: Unpack[Opening]) -> list[Layer]:
    """Return the layers of an image: one for each channel or for all colours, and one for each label image.

    Of a plate also one with the names of the wells.

    Parameters
    ----------
    source : path, array, DataArray, DataTree, Plate, Store or Reader
    levels, **opening
        As in :func:`bigimg.open`; without ``series`` all images of a store, the first one visible, and of a plate the
        first field of each well, side by side.

    Raises
    ------
    BudgetError
        The file is too large to be viewed without levels; the message has the command that makes them.
    UsageError
        ``levels`` of a stored plate are asked for, which has its own, or of a file that has none.
    InputError, IntegrityError
        It cannot be read, or it changed since it was written.
    """
    if opening.get("series") is None and isinstance(plate := plate_in(source, opening), Plate):
        if levels is not None:
            raise UsageError(f"{plate.source}: levels={levels!r}: a stored plate has levels; leave it out")
        return list(_of_plate(plate))
    reader = taken(_reader(source, **opening), levels)
    if not isinstance(reader, StoreReader):
        return list(_of_file(reader))
    store = reader.store
    layers = list(_of_store(store, _name(store.path)))
    if opening.get("series") is None:
        for other in store.series if len(store.series) > 1 else ():
            if other != store.group:
                more = open_store(store.path, series=other)
                layers += [
                    (data, {**options, "visible": False}, kind)
                    for data, options, kind in _of_store(more, f"{_name(store.path)} {other}")
                ]
    return layers


def _reader(source: Source, **opening: Unpack[Opening]) -> Reader:
    if is_tree(source):
        source = levels_of_tree(source).base
    if (xarray := sys.modules.get("xarray")) is not None and isinstance(source, xarray.DataArray):
        pixels = opened_pixels(source)  # its store has the other levels
        if (
            pixels is not None
            and isinstance(pixels.reader, LEVELS)
            and not pixels.reader.level
            and as_opened(source, pixels.reader)
            and channels_of(source) == tuple(pixels.reader.spec.channels)
        ):
            source = pixels.reader
    return open_source(source, **opening)


def _of_store(store: Store, name: str) -> Iterator[Layer]:
    levels = list(levels_of_reader(StoreReader(store)))
    windows, active = _windows(store), [shown.active for shown in store.image.shown]
    about = {"version": store.version, "levels": len(levels)}
    yield from _of_levels(levels, name, windows, active, about)
    for label in store.labels:
        for data, options, _ in _of_store(open_inside(store, f"labels/{label}"), f"{name} {label}"):
            yield data, _as_labels(options), "labels"


def _of_plate(plate: Plate) -> Iterator[Layer]:
    fields, levels = plate_levels(plate)
    several = [_windows(store) for store in fields.some()]
    windows = [
        (min(low for low, _ in known), max(high for _, high in known))
        if (known := [w for w in each if w])
        else None
        for each in zip(*several, strict=False)
    ]
    about = {"version": plate.meta.version, "levels": len(levels), "wells": list(plate.wells)}
    active = [shown.active for shown in fields.model.image.shown]
    name = plate.meta.name or _name(plate.source)
    yield from _of_levels(levels, name, windows, active, about)
    yield _names_of_wells(fields, levels[0], name)


def _names_of_wells(fields: Fields, base: MosaicReader, name: str) -> Layer:
    """Return a layer that writes the name of each well into its corner."""
    axes = base.spec.axes[-2:]
    options = {
        "name": f"{name} wells",
        "features": {"well": list(fields.wells.values())},
        "text": {"string": "{well}", "anchor": "upper_left", "color": "white", "size": 9},
        "face_color": "transparent",
        "border_color": "transparent",
        "scale": tuple(axis.spacing for axis in axes),
        "units": _units(axes),
        "axis_labels": tuple(axis.name for axis in axes),
    }
    return np.array(list(fields.wells)) * base.scale.step, options, "points"


def _of_file(reader: Reader) -> Iterator[Layer]:
    spec, access = reader.spec, reader.access
    levels = list(levels_of_reader(reader))
    shown = Shown(levels[-1], 0 if "c" in spec.dims and not _is_color(spec) else None)
    plane = math.prod(shown.shape[-3:] if _is_color(spec) else shown.shape[-2:]) * shown.dtype.itemsize
    side = max(levels[-1].spec.shape[-2:])
    own = "take those of the file by levels='source', or " if offered(reader) else ""
    convert = f"{own}make levels first: bigimg convert {reader.source} {_target(reader.source)}"
    if access.kind != "random":
        allowed = min(MOST_KEPT_BYTES, budget_bytes(None) // 2)
        if spec.nbytes > allowed:
            raise BudgetError(
                f"{reader.source}: {human_bytes(spec.nbytes)} that can only be decoded in one go ({access.why}), "
                f"allowed {human_bytes(allowed)}: {convert}",
                needed=spec.nbytes, allowed=allowed,
            )  # fmt: skip
        levels = [Decoded(reader)]
    elif plane > MOST_PLANE_BYTES or side > MOST_SIDE:
        what, without = ("a plane", "levels") if len(levels) == 1 else ("its smallest level", "smaller ones")
        raise BudgetError(
            f"{reader.source}: {what} has {human_bytes(plane)} and {side} pixels a side, and without {without} all of "
            f"it is read for each view (allowed {human_bytes(MOST_PLANE_BYTES)}, {MOST_SIDE} pixels): {convert}",
            needed=plane, allowed=MOST_PLANE_BYTES,
        )  # fmt: skip
    windows = [spec.window] * spec.sizes.get("c", 1)
    yield from _of_levels(levels, _name(reader.source), windows, [], {"levels": len(levels)})


def _of_levels(
    levels: Sequence[Reader], name: str, windows: Sequence[Any], active: Sequence[bool], about: dict[str, Any]
) -> Iterator[Layer]:
    """Yield one layer for each channel, or one for all colours."""
    spec = levels[0].spec
    axes = [axis for axis in spec.axes if axis.name != "c"]
    options: dict[str, Any] = {
        "name": name,
        "multiscale": len(levels) > 1,
        "scale": tuple(axis.spacing for axis in axes),
        "translate": tuple(axis.origin for axis in axes),
        "units": _units(axes),
        "axis_labels": tuple(axis.name for axis in axes),
        "metadata": {"bigimg": about | {"source": levels[0].source, "kind": spec.kind, "meta": dict(spec.meta)}},
    }  # fmt: skip
    if (affine := _affine(spec, axes)) is not None:
        options["affine"] = affine
        if spec.convention != "none":
            options["metadata"]["bigimg"]["convention"] = spec.convention
    color = _is_color(spec)
    channels = [None] if color or "c" not in spec.dims else list(range(spec.shape[spec.axis("c")]))
    lights = () if color else lights_of(spec.channels, len(channels))
    for i, channel in enumerate(channels):
        data = [Shown(level, channel) for level in levels]
        given = {**options, "name": _channel_name(name, spec.channels, channel)}
        shown = data if len(data) > 1 else data[0]
        if spec.kind != "image" and data[0].dtype.kind in "iu":
            yield shown, _as_labels(given), "labels"
            continue
        given["blending"] = "translucent_no_depth" if color or len(channels) == 1 else "additive"
        if i < len(active) and not color:
            given["visible"] = active[i]
        if color:
            given["rgb"] = True
        else:
            given["colormap"] = "gray" if lights[i] == "FFFFFF" else f"#{lights[i].lower()}"
            if limits := windows[i] or _full_range(data[0].dtype):
                given["contrast_limits"] = limits
        yield shown, given, "image"


def _is_color(spec: ImageSpec) -> bool:
    """Return whether the channels are the colours of one picture of 8 bits."""
    return spec.dtype == np.uint8 and spec.scaling is None and {c.name for c in spec.channels} in COLORS


def _channel_name(name: str, channels: Sequence[Channel], channel: int | None) -> str:
    if channel is None:
        return name
    return f"{name} {channels[channel].name if channels else channel}"


def _as_labels(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a label layer takes."""
    images_only = ("contrast_limits", "colormap", "blending", "rgb")
    return {key: value for key, value in options.items() if key not in images_only}


# ---------------------------------------------------------------------------------------------------- how to show


def _windows(store: Store) -> list[tuple[float, float] | None]:
    """Return the values drawn black and white in each channel, as real values: from the file, else from the store."""
    spec = store.spec()
    count = spec.sizes.get("c", 1)
    if store.image.kind is not None and spec.window is not None:
        return [spec.window] * count
    shown = [each.window for each in store.image.shown]
    if len(shown) == count and all(shown):
        return [_real(window, spec.scaling) for window in shown if window is not None]
    stored = store.statistics()
    if stored is None:
        return [None] * count
    found = (stored_summary(entry, spec.scaling) for entry in stored.statistics["channels"])
    return [(one.min, one.max) if one.min < one.max else None for one in found]


def _real(window: tuple[float, float], scaling: Scaling | None) -> tuple[float, float]:
    if scaling is None:
        return window
    low, high = sorted(value * scaling.slope + scaling.intercept for value in window)
    return low, high


def _full_range(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the limits of 8 bits, which most pictures use; None for other types."""
    return (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)) if dtype.itemsize == 1 else None


def _units(axes: Sequence[Axis]) -> tuple[str, ...]:
    """Return units that napari knows; all axes of space are in pixels if one of them has no unit."""
    known = all(axis.unit in MILLIMETERS for axis in axes if axis.type == "space")
    return tuple(
        str(axis.unit) if (known if axis.type == "space" else axis.unit in SECONDS) else "pixel"
        for axis in axes
    )


def _affine(spec: ImageSpec, axes: Sequence[Axis]) -> Array | None:
    """Return the matrix from physical coordinates to the world, in the order and the units of the axes."""
    if spec.world is None or not {"x", "y", "z"} <= {axis.name for axis in axes}:
        return None
    units = {axis.unit for axis in axes if axis.type == "space"}
    if len(units) > 1:
        return None  # a layer in several units has no affine
    millimeters = MILLIMETERS.get(str(units.pop()), 1.0)
    world = np.asarray(spec.world)[:3] / millimeters
    matrix = np.eye(len(axes) + 1)
    where = [next(i for i, axis in enumerate(axes) if axis.name == name) for name in "xyz"]
    matrix[np.ix_(where, [*where, len(axes)])] = world
    return None if np.array_equal(matrix, np.eye(len(axes) + 1)) else matrix


def _name(path: str) -> str:
    name = Path(path.rstrip("/").split("::")[-1]).name
    for ending in (".gz", ".zip"):
        name = name.removesuffix(ending)
    if (short := stem(name)) != name:
        return short
    return (Path(name).stem if Path(path).is_file() else name) or "image"


def _target(source: str) -> str:
    """Return the path of a store for the image in ``source``, in the same folder."""
    path = Path(source.split("::")[-1])
    return f"{path.with_name(path.name.split('.')[0])}.ome.zarr"
