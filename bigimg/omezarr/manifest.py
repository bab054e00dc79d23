"""The manifest and the statistics of a store of ours, as small zarr arrays in its group ``bigimg/``.

    bigimg/zarr.json             a group; its attributes hold the statistics
    bigimg/histogram             counts of shape (channels, bins)
    bigimg/manifest/zarr.json    a group; its attributes hold length and crc32c of all small objects
    bigimg/manifest/<level>      length and checksum of every object of a level, shape (*grid, 2)
    bigimg/provenance            a group for time, host and version; in no manifest, for it differs each time,
                                 so it holds the crc32c of its other attributes itself

Each array is one chunk, bytes and crc32c, written without zarr and readable with it. What the checksum of a
shard covers is said at the head of :mod:`~bigimg.omezarr.shard`; that of a small object covers its bytes without
their own crc32c, for the same reason.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from bigimg.errors import BigimgError, CorruptChunk, InputError, MissingChunk
from bigimg.omezarr.metadata import MANIFEST, dumps, group_metadata, plain_array_metadata
from bigimg.omezarr.objects import Place
from bigimg.omezarr.parse import parse_array
from bigimg.omezarr.shard import object_key
from bigimg.types import Array, Json

GROUP = "bigimg"
HISTOGRAM = "bigimg/histogram"
PROVENANCE = "bigimg/provenance/zarr.json"
ROOT = "zarr.json"
"""Of the image: written after the manifest that lists it."""
SMALL_TYPES = ("uint64", "int64")
"""Types of the arrays kept here."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What every object of a store must be."""

    objects: Mapping[str, tuple[int, int]]
    """Length and crc32c of metadata files and of the objects of small arrays, by path in the store."""
    levels: Mapping[int, Array]
    """For each level the length and checksum of every shard, uint64 of shape (*grid, 2)."""


@dataclass(frozen=True, slots=True)
class StoredStatistics:
    """Statistics of level 0, made while the store was written."""

    statistics: Mapping[str, Any]
    """``{"channels": [{"name", "count", "nan", "min", "max", "sum", …}]}``; integers exact."""
    histogram: Array | None
    """Counts of shape (channels, bins); None when the pixels have more than 16 bits or are floats."""
    first: int
    """The pixel value that bin 0 counts."""


def write_file(path: Path, data: bytes) -> None:
    """Write a new small file, making the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(data)


def write_array(folder: Path, values: Array) -> None:
    """Write ``values`` as a zarr array of one chunk in the new ``folder``."""
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    data = values.tobytes()
    key = object_key((0,) * values.ndim)
    write_file(folder / key, data + struct.pack("<I", google_crc32c.value(data)))
    write_file(folder / "zarr.json", dumps(plain_array_metadata(values.shape, values.dtype, values.shape)))


def read_array(folder: Place) -> Array:
    """Return what :func:`write_array` wrote to ``folder``.

    Raises
    ------
    MissingChunk
        The folder or its chunk is gone.
    CorruptChunk
        The bytes are not what was written.
    """
    document = _read_json(folder / "zarr.json")
    try:
        meta = parse_array(document, source=str(folder))
    except InputError as error:
        raise CorruptChunk(str(error)) from error
    path = folder / object_key((0,) * len(meta.shape))
    data = _read(path)
    if len(data) < 4 or struct.unpack("<I", data[-4:])[0] != google_crc32c.value(data[:-4]):
        raise CorruptChunk(f"{path}: the checksum is wrong; restore the object")
    if meta.dtype.name not in SMALL_TYPES or len(data) - 4 != meta.dtype.itemsize * int(np.prod(meta.shape)):
        raise CorruptChunk(f"{path}: {len(data)} bytes are no {meta.dtype} of shape {meta.shape}; restore it")
    return np.frombuffer(data[:-4], meta.dtype.newbyteorder("<")).astype(meta.dtype).reshape(meta.shape)


def _read(path: Place) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingChunk(f"{path}: the object is gone; restore it, or convert the source again") from None
    except BigimgError:  # some kinds are OSErrors too
        raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check the disk and permissions"
        ) from error


def _read_json(path: Place) -> dict[str, Any]:
    try:
        document = json.loads(_read(path))
    except ValueError as error:
        raise CorruptChunk(f"{path}: not JSON ({error}); restore the object") from None
    if not isinstance(document, dict):
        raise CorruptChunk(f"{path}: not a JSON object; restore it")
    return document


# ------------------------------------------------------------------------------------------------- the manifest


def write_manifest(root: Path, records: Mapping[int, Array], document: bytes) -> None:
    """Write the manifest of the store ``root``, after everything that it lists.

    Parameters
    ----------
    root : Path
        The store; arrays of levels and statistics are there, the root ``zarr.json`` is not.
    records : mapping of int to ndarray of shape (*grid, 2)
        For each level the length and checksum of every shard.
    document : bytes
        What the root ``zarr.json`` will be: its spacing and scaling must not change unnoticed either.
    """
    for level, rows in records.items():
        write_array(root / MANIFEST / str(level), np.asarray(rows, np.uint64))
    objects: dict[str, Json] = {ROOT: [len(document), _checksum(ROOT, document)]}
    for path in _small_objects(root, records):
        data = path.read_bytes()
        key = path.relative_to(root).as_posix()
        objects[key] = [len(data), _checksum(key, data)]
    write_file(root / MANIFEST / "zarr.json", dumps(group_metadata({"objects": objects})))


def _checksum(key: str, data: bytes) -> int:
    """Return the crc32c of a small object, without the crc32c that chunks of arrays end in."""
    return int(google_crc32c.value(data[:-4] if "/c/" in key else data))


def _small_objects(root: Path, levels: Iterable[int]) -> list[Path]:
    """Return the files that the manifest lists by name, in an order that depends on the names alone."""
    found = [root / str(level) / name for level in levels for name in ("zarr.json", ".zarray", ".zattrs")]
    found += [root / GROUP / "zarr.json"]
    for folder in (root / HISTOGRAM, root / MANIFEST):
        found += sorted(folder.rglob("*"))
    return [path for path in found if path.is_file()]


def read_manifest(root: Place) -> Manifest | None:
    """Return the manifest of the store ``root`` with its own objects checked, or None when there is none.

    Raises
    ------
    MissingChunk, CorruptChunk
        There is one, but part of it is gone or changed.
    """
    objects = read_objects(root)
    if objects is None:
        return None
    pattern = re.compile(rf"{MANIFEST}/(\d+)/zarr\.json")
    levels = sorted(int(match[1]) for match in map(pattern.fullmatch, objects) if match)
    return Manifest(objects, {level: read_records(root, str(level)) for level in levels})


def read_objects(root: Place) -> dict[str, tuple[int, int]] | None:
    """Return length and crc32c of the small objects of the store ``root``, or None when it has no manifest."""
    path = root / MANIFEST / "zarr.json"
    if not path.exists():
        return None
    try:
        listed = _read_json(path)["attributes"]["objects"]
        return {str(key): (int(length), int(crc)) for key, (length, crc) in listed.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptChunk(f"{path}: lists no objects ({error!r}); restore it, or convert again") from error


def read_records(root: Place, level: str) -> Array:
    """Return length and checksum of every shard of one level, uint64 of shape (*grid, 2).

    Raises
    ------
    MissingChunk, CorruptChunk
        The manifest, or its part for this level, is gone or changed.
    """
    folder = root / MANIFEST / level
    values = read_array(folder)
    objects = read_objects(root) or {}
    for key in (f"{MANIFEST}/{level}/zarr.json", f"{MANIFEST}/{level}/{object_key((0,) * values.ndim)}"):
        if key not in objects:
            raise MissingChunk(f"{root / key}: is not in the manifest; restore it, or convert again")
        check_small(root, key, objects[key])
    return values


def check_small(root: Place, key: str, record: tuple[int, int]) -> None:
    """Compare a small object with its record.

    Raises
    ------
    MissingChunk, CorruptChunk
        It is gone, or has other bytes than were written.
    """
    data = _read(root / key)
    if len(data) != record[0]:
        raise CorruptChunk(f"{root / key}: {len(data)} bytes instead of {record[0]}; restore the object")
    if _checksum(key, data) != record[1]:
        raise CorruptChunk(f"{root / key}: the checksum is not that of the manifest; restore the object")
    if "/c/" in key and data[-4:] != struct.pack("<I", record[1]):
        raise CorruptChunk(f"{root / key}: the checksum is wrong; restore the object")


def provenance_document(attributes: Mapping[str, Json]) -> bytes:
    """Return the ``zarr.json`` of the provenance, which no manifest lists: it vouches for itself."""
    crc = google_crc32c.value(dumps(attributes))
    return dumps(group_metadata({**attributes, "crc32c": crc}))


def check_provenance(root: Place) -> None:
    """Compare the provenance with its own checksum.

    Raises
    ------
    MissingChunk, CorruptChunk
        It is gone, or has other bytes than were written.
    """
    data = _read(root / PROVENANCE)
    attributes = _read_json(root / PROVENANCE).get("attributes")
    kept = dict(attributes) if isinstance(attributes, dict) else {}
    kept.pop("crc32c", None)
    if data != provenance_document(kept):
        raise CorruptChunk(f"{root / PROVENANCE}: the checksum in it is not its own; restore the object")


# ------------------------------------------------------------------------------------------------- statistics


def write_statistics(
    root: Path, statistics: Mapping[str, Json], histogram: Array | None, first: int = 0
) -> None:
    """Write statistics and histogram into the group ``bigimg`` of the store ``root``.

    Parameters
    ----------
    statistics : mapping
        ``{"channels": [{…}]}``; Python integers of any size stay exact, NaN and infinities become strings.
    histogram : ndarray of shape (channels, bins), or None
        Counts of pixels.
    first : int
        The pixel value that bin 0 counts: 0, or the least value of a signed type.
    """
    block: dict[str, Json] = {"statistics": dict(statistics)}
    if histogram is not None:
        block["histogram"] = {"path": HISTOGRAM, "first": first}
        write_array(root / HISTOGRAM, np.asarray(histogram, np.uint64))
    write_file(root / GROUP / "zarr.json", dumps(group_metadata(block)))


def read_statistics(root: Place) -> StoredStatistics | None:
    """Return the statistics kept in the store ``root``, or None when it keeps none.

    Raises
    ------
    MissingChunk, CorruptChunk
        Part of them is gone or changed.
    """
    path = root / GROUP / "zarr.json"
    if not path.exists():
        return None
    attributes = _read_json(path).get("attributes", {})
    if "statistics" not in attributes:
        return None
    about = attributes.get("histogram")
    histogram = None if about is None else read_array(root / HISTOGRAM)
    numbers = _with_numbers(attributes["statistics"])
    return StoredStatistics(numbers, histogram, 0 if about is None else int(about["first"]))


def _with_numbers(value: Any, key: str = "") -> Any:
    """Return ``value`` with the strings for NaN and infinities as floats again; names stay names."""
    if isinstance(value, dict):
        return {name: _with_numbers(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item, key) for item in value]
    return float(value) if key != "name" and value in ("NaN", "Infinity", "-Infinity") else value
