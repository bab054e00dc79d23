"""OME-Zarr and zarr JSON read into frozen values; :mod:`~bigimg.omezarr.metadata` writes it.

Documents of others are read too: OME-Zarr 0.1 to 0.3 (axes implied, no scales), 0.4, 0.5 and 0.6, and arrays of zarr
v2 and v3. From 0.6 the scale and translation of a dataset to its intrinsic coordinate system are used. From an affine
or a rotation only the lengths and the origin are used, and a note says so. The functions are pure: they take dicts,
and need neither files nor zarr.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from bigimg.errors import InputError, one_line
from bigimg.geometry.affine import Affine, as_affine
from bigimg.geometry.axes import ORDER, long_unit
from bigimg.geometry.holes import of_json as boxes_of_json
from bigimg.geometry.padding import of_json
from bigimg.geometry.spec import Channel, Scaling
from bigimg.omezarr.codecs import codec_of, codec_of_compressor
from bigimg.omezarr.documents import is_key
from bigimg.omezarr.encoding import Encoding, encoding_v2, encoding_v3, numeric, text_type
from bigimg.omezarr.finer import Finer, finer_of
from bigimg.omezarr.metadata import FORMAT, array_metadata, array_metadata_v2
from bigimg.omezarr.shard import ShardLayout
from bigimg.types import Array, Convention, DType, Json, Kind, Padding, Region, Shape

MOST_PIXELS = 2**31
"""Largest length of an axis; a larger number is an error in the document, and computing with it would overflow."""
MOST_IN_ALL = 2**56
"""Largest number of pixels; their bytes are still counted by a signed number of 64 bits."""
MOST_AXES = 8
MOST_NAME = 160
"""Letters of a name."""

NONSENSE = (KeyError, TypeError, IndexError, AttributeError, ValueError, ArithmeticError)
"""Exceptions that malformed documents cause."""

type Attributes = Mapping[str, Any]
"""Decoded JSON of others: anything may be missing or of another type."""


@dataclass(frozen=True, slots=True)
class LevelMeta:
    """One level as the image describes it, numbers in the order of the stored axes."""

    path: str
    scale: tuple[float, ...] | None
    """Spacing; None in versions that have no key for it."""
    translation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ChannelShown:
    """How a viewer first displays a channel."""

    window: tuple[float, float] | None
    """In stored values."""
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMeta:
    """What the attributes of a group say of its image; of an image that bigimg wrote, what its own block says."""

    version: str
    dims: tuple[str, ...]
    """Canonical axis names in stored order, each one of ``t c z y x``."""
    units: tuple[str | None, ...]
    levels: tuple[LevelMeta, ...]
    channels: tuple[Channel, ...] = ()
    window: tuple[float, float] | None = None
    """Of ours as the source declared it, in real values; else when all channels have the same, in stored values."""
    is_label: bool = False
    notes: tuple[str, ...] = ()
    shown: tuple[ChannelShown, ...] = ()
    """One for each channel in ``omero``."""
    kind: Kind | None = None
    """What the numbers mean; this and what follows is only known of an image that bigimg wrote."""
    world: Affine | None = None
    convention: Convention = "neurological"
    scaling: Scaling | None = None
    meta: Mapping[str, Json] = field(default_factory=dict)
    manifest: str | None = None
    backwards: tuple[str, ...] = ()
    """Axes whose spacing is below zero."""
    padding: Padding | None = None
    missing: tuple[Region, ...] = ()
    """Boxes of level 0 that are no measurements."""
    method: str | None = None
    """How its levels were made."""
    finer: Finer | None = None
    """The levels that are not stored; None where all are."""


@dataclass(frozen=True, slots=True)
class ArrayMeta:
    """A zarr array as its JSON describes it, in stored axis order."""

    shape: Shape
    dtype: DType
    """As stored, byte order included."""
    chunk: Shape
    """Unit of reading: inner chunks of a sharded array."""
    shard: Shape
    """Unit of writing: the chunk itself where there are no shards."""
    dims: tuple[str | None, ...] | None
    layout: ShardLayout | None
    """Its layout, when it is one of ours: then the manifest can check it."""
    encoding: Encoding
    """How its objects are named, and how their bytes become pixels."""


def ome_block(attributes: Attributes) -> Attributes:
    """Return the part of ``attributes`` that is OME-Zarr: under ``ome`` since 0.5, everything before."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def label_names(attributes: Attributes) -> tuple[str, ...]:
    """Return the label images that the attributes of a group list; none if that is no list."""
    listed = ome_block(attributes).get("labels")
    return tuple(name for name in listed if name and is_key(name)) if isinstance(listed, list) else ()


def is_image(attributes: Attributes) -> bool:
    """Return whether the attributes describe a multiscale image."""
    return isinstance(ome_block(attributes).get("multiscales"), list)


def parse_image(attributes: Attributes, *, source: str) -> ImageMeta:
    """Return what the attributes of a group say of its image.

    Parameters
    ----------
    attributes : mapping
        Content of ``.zattrs``, or of ``attributes`` in ``zarr.json``.
    source : str
        The path, for messages.

    Raises
    ------
    InputError
        Something that the version demands is missing, or an axis is none of ``t c z y x``.
    """
    ome = ome_block(attributes)
    try:
        return _image(ome, attributes, source)
    except NONSENSE as error:
        if isinstance(error, InputError):
            raise
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{source}: OME-Zarr metadata is incomplete ({cause}); write it again") from error


def _image(ome: Attributes, attributes: Attributes, source: str) -> ImageMeta:
    multiscale = ome["multiscales"][0]
    notes: list[str] = []
    if len(ome["multiscales"]) > 1:
        notes.append(f"the first of {len(ome['multiscales'])} multiscales is used")
    version = one_line(ome.get("version") or multiscale.get("version") or "0.4")
    axes, intrinsic = _axes(multiscale, version)
    dims = tuple(_canonical(axis, source) for axis in axes)
    if len(set(dims)) != len(dims):
        raise InputError(f"{source}: axes {' '.join(dims)} repeat a name; give each axis its own name")
    outer = None if intrinsic else multiscale.get("coordinateTransformations")
    levels = tuple(_level(dataset, outer, len(dims), notes) for dataset in multiscale["datasets"])
    if not levels:
        raise InputError(f"{source}: multiscales lists no datasets; the store holds no array to read")
    channels, shown = _omero(ome.get("omero"))
    windows = {channel.window for channel in shown}
    own = _own(attributes.get("bigimg"), source)
    if not own and intrinsic and multiscale.get("coordinateTransformations"):
        notes.append("transformations between its coordinate systems are not used")
    if not own and any("orientation" in axis for axis in axes):
        notes.append("the orientation of its axes is not used")
    found = {
        "version": version,
        "dims": dims,
        "units": tuple(
            long_unit(readable_name(unit)) if isinstance(unit := axis.get("unit"), str) else None
            for axis in axes
        ),
        "levels": levels,
        "channels": channels,
        "window": windows.pop() if len(windows) == 1 else None,
        "is_label": "image-label" in ome,
        "shown": shown,
    }
    return ImageMeta(**found | own | {"notes": (*dict.fromkeys(notes), *own.get("notes", ()))})


def _axes(multiscale: Attributes, version: str) -> tuple[list[Attributes], bool]:
    """Return the axes, and whether they come from a named coordinate system (0.6)."""
    if systems := multiscale.get("coordinateSystems"):
        output = multiscale["datasets"][0]["coordinateTransformations"][0].get("output")
        name = output.get("name") if isinstance(output, Mapping) else output
        system = next((s for s in systems if s["name"] == name), systems[0])
        return system["axes"], True
    axes = multiscale.get("axes")
    if axes is None:
        if version not in ("0.1", "0.2"):
            raise KeyError("axes")
        axes = list(ORDER)  # 0.1 and 0.2 know five axes only, in this order
    return [{"name": axis} if isinstance(axis, str) else axis for axis in axes], False


def _canonical(axis: Attributes, source: str) -> str:
    """Return which of ``t c z y x`` the axis is, by its name, else by its type."""
    name = str(axis["name"])
    if name.lower() in tuple(ORDER):
        return name.lower()
    by_type = {"time": "t", "channel": "c"}.get(str(axis.get("type")))
    if by_type is None:
        raise InputError(
            f"{source}: axis {name!r:.80} is none of {' '.join(ORDER)}; select along it and store again"
        )
    return by_type


def _level(dataset: Attributes, outer: Any, ndim: int, notes: list[str]) -> LevelMeta:
    if not is_key(dataset["path"]):
        raise ValueError(
            f"path of a dataset is {dataset['path']!r:.80}, not the name of an array in this group"
        )
    given = dataset.get("coordinateTransformations")
    if given is None and outer is None:
        return LevelMeta(dataset["path"], None, (0.0,) * ndim)
    matrix = np.eye(ndim + 1)
    for transformation in [*(given or []), *(outer or [])]:
        matrix = _matrix(transformation, ndim, notes) @ matrix
    linear = matrix[:-1, :-1]
    scale = np.diag(linear)
    if np.count_nonzero(linear - np.diag(scale)):
        scale = np.linalg.norm(linear, axis=0)
        notes.append("the transformation of the levels turns the axes: only lengths and the origin are used")
    if not np.all(np.isfinite(matrix)) or not np.all(scale):
        raise ValueError(f"scale {scale.tolist()} of {dataset['path']}")
    return LevelMeta(dataset["path"], tuple(map(float, scale)), tuple(map(float, matrix[:-1, -1])))


def _matrix(transformation: Attributes, ndim: int, notes: list[str]) -> Array:
    """Return one coordinate transformation as a matrix of shape (ndim + 1, ndim + 1)."""
    kind = transformation["type"]
    matrix = np.eye(ndim + 1)
    if kind == "scale" and "scale" in transformation:
        matrix[:ndim, :ndim] = np.diag(_numbers(transformation["scale"], ndim))
    elif kind == "translation" and "translation" in transformation:
        matrix[:ndim, ndim] = _numbers(transformation["translation"], ndim)
    elif kind == "affine" and "affine" in transformation:
        matrix[:ndim] = np.asarray(transformation["affine"], dtype=np.float64).reshape(-1, ndim + 1)[:ndim]
    elif kind == "rotation" and "rotation" in transformation:
        matrix[:ndim, :ndim] = np.asarray(transformation["rotation"], dtype=np.float64).reshape(ndim, ndim)
    elif kind == "sequence":
        for step in transformation["transformations"]:
            matrix = _matrix(step, ndim, notes) @ matrix
    elif kind != "identity":
        notes.append(f"a transformation of type {one_line(kind)} is left out of spacing and origin")
    return matrix


def _numbers(values: Sequence[float], ndim: int) -> list[float]:
    if len(values) != ndim:
        raise ValueError(f"{len(values)} numbers {list(values)} for {ndim} axes")
    return [float(value) for value in values]


def _omero(omero: Any) -> tuple[tuple[Channel, ...], tuple[ChannelShown, ...]]:
    """Return the channels of an ``omero`` block; malformed parts of it are ignored."""
    entries = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        return (), ()
    channels, shown = [], []
    for i, entry in enumerate(entries):
        color = entry.get("color")
        valid = isinstance(color, str) and len(color) == 6 and set(color.upper()) <= set("0123456789ABCDEF")
        channels.append(Channel(readable_name(entry.get("label") or i), color.upper() if valid else None))
        window = entry.get("window")
        pair: list[Any] = [window.get("start"), window.get("end")] if isinstance(window, Mapping) else [None]
        known = all(isinstance(value, int | float) and math.isfinite(value) for value in pair)
        limits = (float(pair[0]), float(pair[1])) if known else None
        shown.append(ChannelShown(limits, entry.get("active") is not False))
    return tuple(channels), tuple(shown)


def readable_name(given: object) -> str:
    """Return a name as it is, unless it would fill the screen or has signs that terminals obey."""
    name = str(given)
    return name if len(name) <= MOST_NAME and name.isprintable() else one_line(name)


def described_by(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return what bigimg writes of an image, in the fields of a store and in the attrs of a DataArray alike."""
    world, scaling, window = map(block.get, ("world", "scaling", "window"))
    return {
        "world": None if world is None else as_affine(world),
        "convention": block.get("convention", "neurological"),
        "scaling": None if scaling is None else Scaling(float(scaling[0]), float(scaling[1])),
        "window": None if window is None else (float(window[0]), float(window[1])),
    }


def _own(block: Any, source: str) -> dict[str, Any]:
    """Return the fields of :class:`ImageMeta` that bigimg wrote itself; none if it did not write the image."""
    if not isinstance(block, Mapping) or "format" not in block:
        return {}
    if block["format"] > FORMAT:
        raise InputError(
            f"{source}: written in format {block['format']}, and this bigimg reads up to {FORMAT}; update bigimg"
        )
    kind, manifest = block.get("kind", "image"), block.get("manifest")
    if kind not in get_args(Kind.__value__) or not isinstance(manifest, str | None):
        raise ValueError(f"bigimg has the kind {kind!r:.80} and the manifest {manifest!r:.80}")
    return {
        "kind": kind,
        **described_by(block),
        "channels": tuple(Channel(name, color) for name, color in block.get("channels", ())),
        "meta": dict(block.get("meta", {})),
        "notes": tuple(block.get("notes", ())),
        "manifest": manifest,
        "backwards": tuple(block.get("backwards", ())),
        "padding": of_json(block.get("padding")),
        "missing": boxes_of_json(block.get("missing")),
        "method": block.get("method"),
        "finer": finer_of(block),
    }


def parse_array(document: Attributes, *, source: str, texts: bool = False) -> ArrayMeta:
    """Return the array of numbers, or of texts, that a ``zarr.json`` (v3) or ``.zarray`` (v2) describes.

    Raises
    ------
    InputError
        It is no array, has no regular chunks, or its values are no numbers.
    """
    try:
        read_type = text_type if texts else numeric
        return (_array_v2 if document["zarr_format"] == 2 else _array_v3)(document, read_type)
    except NONSENSE as error:
        file = f"{source}/.zarray" if document.get("zarr_format") == 2 else f"{source}/zarr.json"
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{file}: not a zarr array that can be read ({cause}); write it again") from error


def _array_v2(document: Attributes, read_type: Callable[[Any], DType]) -> ArrayMeta:
    shape = _shape(document)
    chunk = _sizes(document, "chunks", len(shape))
    dims = document.get("attributes", {}).get("_ARRAY_DIMENSIONS")
    dtype, layout = read_type(document["dtype"]), None
    _check_fill(document.get("fill_value"), dtype)
    codec = codec_of_compressor(document.get("compressor"))
    if codec is not None and shape:
        layout = ShardLayout(shape, dtype, chunk, chunk, codec, 2)
        if any(document.get(key) != wanted for key, wanted in array_metadata_v2(layout).items()):
            layout = None
    encoding = encoding_v2(document, dtype, chunk, document.get("fill_value"))
    return ArrayMeta(shape, dtype, chunk, chunk, _names(dims, len(shape)), layout, encoding)


def _array_v3(document: Attributes, read_type: Callable[[Any], DType]) -> ArrayMeta:
    if document["node_type"] != "array":
        raise ValueError(f"node_type is {document['node_type']!r:.80}, not array")
    grid = document["chunk_grid"]
    if grid["name"] != "regular":
        raise ValueError(f"chunk_grid is {grid['name']!r:.80}, not regular")
    shape = _shape(document)
    shard = chunk = _sizes(grid["configuration"], "chunk_shape", len(shape))
    dtype = read_type(document["data_type"])
    _check_fill(document.get("fill_value"), dtype)
    codecs = document["codecs"]
    layout = None
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        inner = codecs[0]["configuration"]
        chunk = _sizes(inner, "chunk_shape", len(shape))
        if any(s % c for s, c in zip(shard, chunk, strict=True)):
            raise ValueError(f"chunk_shape {chunk} of the shards does not divide {shard}")
        codec = codec_of(inner["codecs"], dtype)
        if codec is not None:
            layout = ShardLayout(shape, dtype, chunk, shard, codec)
    dims = document.get("dimension_names")
    if layout is not None and any(
        # An array with other metadata than bigimg writes is not read as one of ours.
        document.get(key) != wanted
        for key, wanted in array_metadata(layout, dims or ()).items()
        if key in ("codecs", "chunk_key_encoding", "chunk_grid")
    ):
        layout = None
    encoding = encoding_v3(document, dtype, chunk, document.get("fill_value"))
    return ArrayMeta(shape, encoding.dtype, chunk, shard, _names(dims, len(shape)), layout, encoding)


def _names(given: Any, ndim: int) -> tuple[str | None, ...] | None:
    """Return the names of the axes, None where there are none."""
    if given is None or given == []:
        return None
    if not isinstance(given, list | tuple) or not all(isinstance(name, str | None) for name in given):
        raise ValueError(f"names of dimensions are {given!r:.80}, not a list of text")
    if len(given) != ndim:
        raise ValueError(f"names of dimensions are {given!r:.80}, and the array has {ndim} axes")
    return tuple(given)


def _shape(document: Attributes) -> Shape:
    shape = _sizes(document, "shape")
    if math.prod(shape) > MOST_IN_ALL or len(shape) > MOST_AXES:
        raise ValueError(f"shape is {list(shape)!r:.80}, more than {MOST_AXES} axes or {MOST_IN_ALL} pixels")
    return shape


def _sizes(block: Attributes, field: str, ndim: int | None = None) -> Shape:
    """Return the whole numbers above 0 that ``field`` has for each of ``ndim`` axes."""
    given = block[field]
    whole = isinstance(given, list | tuple) and all(type(n) is int and 0 < n <= MOST_PIXELS for n in given)
    if not whole or (ndim is not None and len(given) != ndim):
        wanted = "a number" if ndim is None else f"{ndim} numbers"
        raise ValueError(f"{field} is {given!r:.80}, not {wanted} from 1 to {MOST_PIXELS} for the axes")
    return tuple(given)


def _check_fill(value: Any, dtype: DType) -> None:
    """Refuse a fill value that no pixel of ``dtype`` can have; it may be absent."""
    if value is None or dtype.kind == "U":
        return
    if dtype.kind == "f" and isinstance(value, str):
        fits = re.fullmatch(rf"NaN|-?Infinity|0x[0-9a-fA-F]{{{2 * dtype.itemsize}}}", value) is not None
    elif dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        fits = isinstance(value, int | float) and (abs(value) <= most or not math.isfinite(value))
    else:
        ends = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        fits = isinstance(value, int | float) and ends[0] <= value <= ends[1] and value == int(value)
    if not fits:
        raise ValueError(f"fill_value is {value!r:.80}, which no pixel of {dtype} can have")
