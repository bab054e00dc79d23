"""The JSON that we write: the documents of arrays, groups and images in OME-Zarr and zarr.

Only this module and :mod:`~bigimg.omezarr.parse`, which reads the documents, know their keys: OME-Zarr 0.4
(attributes at the top, zarr v2), 0.5 (under ``ome``, zarr v3) and 0.6 (named coordinate systems). The functions are
pure: they return dicts, and need neither files nor zarr. What OME-Zarr has no key for is under ``bigimg``. The
published schemas of all three versions, and the pydantic models, accept these documents.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from bigimg.geometry.affine import Affine
from bigimg.geometry.axes import Axis
from bigimg.geometry.colours import lights_of
from bigimg.geometry.holes import as_json as boxes_as_json
from bigimg.geometry.levels import Level
from bigimg.geometry.padding import as_json
from bigimg.geometry.spec import Channel, ImageSpec
from bigimg.omezarr.codecs import bytes_codec
from bigimg.omezarr.finer import Finer
from bigimg.omezarr.shard import ShardLayout
from bigimg.types import DType, Json, Method, Shape, Version, ZarrFormat

type Document = dict[str, Json]
type Windows = Sequence[tuple[float, float]]
"""Low and high for each channel."""

FORMAT = 2
"""Version of the ``bigimg`` attributes and the manifest; a reader refuses what is newer."""
MANIFEST = "bigimg/manifest"
LABELS = "labels"
"""The group of label images beside an image: stores of their own, with manifests of their own."""
ATTRIBUTES: dict[ZarrFormat, str] = {2: ".zattrs", 3: "zarr.json"}
"""Where the attributes of a node are."""
ARRAY: dict[ZarrFormat, str] = {2: ".zarray", 3: "zarr.json"}
"""Where shape, type and chunks of an array are."""
CONSOLIDATED = ".zmetadata"
"""Copies of the documents of zarr 2 in one file, as zarr-python makes them; those of zarr 3 are in the root."""
ALIGNED = 0.9
"""Smallest cosine between an axis and the direction of the body that names it: at most 25 degrees oblique."""
DIRECTIONS = (
    ("right-to-left", "left-to-right"),
    ("anterior-to-posterior", "posterior-to-anterior"),
    ("superior-to-inferior", "inferior-to-superior"),
)
"""RFC-4 names for x, y, z of the world (RAS+), against it and along it."""


def dumps(document: Mapping[str, Json]) -> bytes:
    """Return ``document`` as the strict JSON that we write, the same bytes for the same values.

    A name of a file that is not UTF-8 has halves of surrogates, which JSON writes as it writes backslashes.
    """
    text = json.dumps(strict(dict(document)), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def strict(value: Json) -> Json:
    """Return ``value`` with NaN and infinities as the strings zarr uses: JSON has no numbers for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


# ---------------------------------------------------------------------------------------------- zarr, written


def group_documents(attributes: Mapping[str, Json], zarr: ZarrFormat) -> dict[str, bytes]:
    """Return the files of a group by name. The last one has the attributes, which make a group an image."""
    if zarr == 3:
        return {"zarr.json": dumps(group_metadata(attributes))}
    return {".zgroup": dumps({"zarr_format": 2}), ".zattrs": dumps(attributes)}


def array_documents(layout: ShardLayout, dims: Sequence[str]) -> dict[str, bytes]:
    """Return the files that describe an array of ours by name."""
    if layout.zarr == 3:
        return {"zarr.json": dumps(array_metadata(layout, dims))}
    # Zarr 2 has no key for the names of axes; this one is the convention of xarray.
    names = dumps({"_ARRAY_DIMENSIONS": list(dims)})
    return {".zattrs": names, ".zarray": dumps(array_metadata_v2(layout))}


def plain_array_documents(shape: Shape, dtype: DType, zarr: ZarrFormat, chunk: Shape) -> dict[str, bytes]:
    """Return the files that describe a small array: its chunks are bytes and crc32c."""
    if zarr == 3:
        return {"zarr.json": dumps(_array(shape, dtype, chunk, [bytes_codec(dtype), {"name": "crc32c"}]))}
    return {".zarray": dumps(_array_v2(shape, dtype, chunk, {"id": "crc32c"}))}


def group_metadata(attributes: Mapping[str, Json]) -> Document:
    """Return the ``zarr.json`` of a group."""
    return {"attributes": dict(attributes), "zarr_format": 3, "node_type": "group"}


def array_metadata(layout: ShardLayout, dims: Sequence[str]) -> Document:
    """Return the ``zarr.json`` of an array of shards, as ``zarr.create_array`` would write it."""
    sharding: Json = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(layout.chunk),
            "codecs": layout.codec.metadata(layout.dtype),
            "index_codecs": [bytes_codec(np.dtype(np.uint64)), {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    document = _array(layout.shape, layout.dtype, layout.shard, [sharding])
    return document | {"dimension_names": list(dims)}


def array_metadata_v2(layout: ShardLayout) -> Document:
    """Return the ``.zarray`` of an array of bare chunks, as ``zarr.create_array`` would write it."""
    return _array_v2(layout.shape, layout.dtype, layout.chunk, layout.codec.compressor)


def _array_v2(shape: Shape, dtype: DType, chunks: Shape, compressor: Json) -> Document:
    return {
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": dtype.newbyteorder("<").str,
        "fill_value": _fill(dtype),
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
        "compressor": compressor,
        "zarr_format": 2,
    }


def _fill(dtype: DType) -> Json:
    return {"b": False, "f": 0.0}.get(dtype.kind, 0)


def _array(shape: Shape, dtype: DType, chunks: Shape, codecs: list[Json]) -> Document:
    return {
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill(dtype),
        "codecs": codecs,
        "attributes": {},
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


# ------------------------------------------------------------------------------------------ OME-Zarr, written


def image_attributes(
    spec: ImageSpec,
    levels: Sequence[Level],
    *,
    method: Method,
    name: str,
    windows: Windows | None = None,
    active: Sequence[bool] = (),
    label: Mapping[str, Json] | None = None,
    version: Version = "0.5",
    finer: Finer | None = None,
) -> Document:
    """Return the attributes of the root group of an image.

    Parameters
    ----------
    spec : ImageSpec
    levels : sequence of Level
        Those that are stored, as the arrays ``0``, ``1``, …
    method : str
        How the levels were made.
    name : str
        Shown by viewers.
    windows : sequence of (low, high), optional
        Display window of each channel in *stored* values, used if ``spec.window`` is None.
    active : sequence of bool, optional
        Which channels are shown first; all but alpha by default.
    label : mapping, optional
        Colours and properties of ids, for a label image.
    version : str
        Of OME-Zarr.
    finer : Finer, optional
        The levels that are not stored.
    """
    multiscale: Document = {"name": name}
    axes: list[Json] = [_axis(axis, spec) for axis in spec.axes]
    if version == "0.6":
        multiscale |= _systems(spec, axes)
    else:
        multiscale["axes"] = axes
    multiscale["datasets"] = [_dataset(str(i), level, version) for i, level in enumerate(levels)]
    multiscale["type"] = method
    multiscale["metadata"] = {
        "method": method,
        "description": f"{method} of windows of the level below, by bigimg",
    }
    ome: Document = {"multiscales": [multiscale]}
    if (omero := _omero(spec, windows, active)) is not None:
        ome["omero"] = omero
    if spec.kind in ("labels", "mask") and spec.dtype.kind in "iu":
        ome["image-label"] = dict(label or {})
    if version == "0.4":
        multiscale["version"] = version
        for key in ("omero", "image-label"):
            if key in ome:
                ome[key] = cast(Document, ome[key]) | {"version": version}
        return ome | {"bigimg": _own_block(spec, method, finer)}
    return {"ome": {"version": version} | ome, "bigimg": _own_block(spec, method, finer)}


def _axis(axis: Axis, spec: ImageSpec) -> Document:
    entry: Document = {"name": axis.name, "type": axis.type}
    if axis.unit is not None:
        entry["unit"] = axis.unit
    direction = _direction(axis, spec.world)
    # RFC-4: the schema of 0.5 allows more members of an axis, and readers that do not know this one ignore it.
    return entry if direction is None else entry | {"orientation": {"type": "anatomical", "value": direction}}


def _direction(axis: Axis, world: Affine | None) -> str | None:
    """Return the RFC-4 name of the direction in which the index along ``axis`` grows."""
    if world is None or axis.type != "space":
        return None
    column = np.asarray(world)[:3, "xyz".index(axis.name)] * math.copysign(1, axis.spacing)
    length = float(np.linalg.norm(column))
    main = int(np.argmax(np.abs(column)))
    if not length or abs(column[main]) < ALIGNED * length:
        return None
    return DIRECTIONS[main][int(column[main] > 0)]


def _dataset(path: str, level: Level, version: Version) -> Document:
    # OME-Zarr demands scales above zero. The axes that run backwards are listed under "bigimg".
    scale: Document = {"type": "scale", "scale": [abs(float(s)) for s in level.spacing]}
    translation: Document = {"type": "translation", "translation": [float(o) for o in level.origin]}
    if version != "0.6":
        return {"path": path, "coordinateTransformations": [scale, translation]}
    sequence: Document = {
        "type": "sequence",
        "transformations": [scale, translation],
        "input": {"path": path},
        "output": {"name": "physical"},
    }
    return {"path": path, "coordinateTransformations": [sequence]}


def _systems(spec: ImageSpec, axes: list[Json]) -> Document:
    """Return coordinate systems of 0.6; with a world, the affine that leads to it."""
    systems: list[Json] = [{"name": "physical", "axes": axes}]
    if spec.world is None or "z" not in spec.dims:
        return {"coordinateSystems": systems}
    systems.append(
        {"name": "RAS", "axes": [{"name": axis.name, "type": axis.type, "unit": "millimeter"}
                                 if axis.type == "space" else entry
                                 for axis, entry in zip(spec.axes, axes, strict=True)]}
    )  # fmt: skip
    matrix = np.eye(len(axes), len(axes) + 1)
    where = [spec.axis(name) for name in "xyz"]
    matrix[np.ix_(where, [*where, len(axes)])] = np.asarray(spec.world)[:3]
    affine: Document = {
        "type": "affine",
        "affine": cast(list[Json], matrix.tolist()),
        "input": {"name": "physical"},
        "output": {"name": "RAS"},
    }
    return {"coordinateSystems": systems, "coordinateTransformations": [affine]}


def _omero(spec: ImageSpec, windows: Windows | None, active: Sequence[bool]) -> Document | None:
    """Return how to display the channels, or None where nothing is known or the pixels are no intensities."""
    count = spec.shape[spec.axis("c")] if "c" in spec.dims else 1
    windows = _stored_windows(spec, windows, count)
    if spec.kind != "image" or windows is None:
        return None
    limits: tuple[float, float] | None = None
    if spec.dtype.kind in "iu" and spec.dtype.itemsize <= 2:
        limits = (np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max)
    channels = list(spec.channels) or [Channel(f"Channel {i}" if count > 1 else "grey") for i in range(count)]
    lights = lights_of(spec.channels, count)
    entries: list[Json] = []
    for i, (channel, (low, high)) in enumerate(zip(channels, windows, strict=True)):
        smallest, largest = limits or (low, high)
        limit: Document = {"min": float(min(smallest, low)), "max": float(max(largest, high))}
        entries.append({
            "label": channel.name, "color": lights[i],
            "window": limit | {"start": float(low), "end": float(high)},
            # Alpha shown as one more colour would wash out the picture.
            "active": active[i] if active else channel.name != "A",
            "inverted": False, "coefficient": 1, "family": "linear",
        })  # fmt: skip
    defaults: Document = {"model": "color" if count > 1 else "greyscale", "defaultT": 0}
    defaults["defaultZ"] = spec.shape[spec.axis("z")] // 2 if "z" in spec.dims else 0
    return {"channels": entries, "rdefs": defaults}


def _stored_windows(spec: ImageSpec, windows: Windows | None, count: int) -> Windows | None:
    """Return one display window a channel in stored values: that of the file, else ``windows``, else that of 8 bits."""
    low: float
    high: float
    if spec.window is not None:
        low, high = spec.window
        if spec.scaling is not None and spec.scaling.slope:
            slope, intercept = spec.scaling.slope, spec.scaling.intercept
            low, high = sorted(((low - intercept) / slope, (high - intercept) / slope))
        windows = [(low, high)] * count
    elif not windows and spec.dtype.kind == "b":
        windows = [(0, 1)] * count
    elif not windows and spec.dtype.itemsize == 1:
        windows = [(np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max)] * count
    return windows if windows and all(map(math.isfinite, np.ravel(windows))) else None


def _own_block(spec: ImageSpec, method: Method, finer: Finer | None) -> Document:
    """Return the attributes that only bigimg reads; without time and host, so that equal files give equal bytes."""
    block: Document = {
        "format": FORMAT,
        "kind": spec.kind,
        "method": method,
        "world": None if spec.world is None else [list(row) for row in spec.world],
        "scaling": None if spec.scaling is None else [spec.scaling.slope, spec.scaling.intercept],
        "window": None if spec.window is None else list(spec.window),
        "channels": [[channel.name, channel.color] for channel in spec.channels],
        "meta": strict(dict(spec.meta)),
        "notes": list(spec.notes),
        "manifest": MANIFEST,
    }
    if spec.convention != "neurological":
        block["convention"] = spec.convention
    if spec.padding is not None:
        block["padding"] = as_json(spec.padding)
    if spec.missing:
        block["missing"] = boxes_as_json(spec.missing)
    if backwards := [axis.name for axis in spec.axes if axis.spacing < 0]:
        block["backwards"] = list[Json](backwards)
    if finer is not None:
        block["source"] = finer.at(spec.axes).to_json()
    return block
