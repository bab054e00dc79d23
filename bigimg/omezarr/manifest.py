"""The manifest and the statistics of a store of ours, as small zarr arrays in its group ``bigimg/``.

    bigimg/zarr.json             a group; its attributes hold the statistics
    bigimg/histogram             counts of shape (channels, bins)
    bigimg/manifest/zarr.json    a group; its attributes hold length and crc32c of all small objects, and the
                                 attributes of the image as bigimg wrote them
    bigimg/manifest/<level>      length, checksum and that of the index of every object of a level, shape (*grid, 3)
    bigimg/provenance            a group for time, host and version. They differ each time, so it is not in the
                                 manifest, and holds the crc32c of its other attributes itself

In a store of zarr 2 (OME-Zarr 0.4) the documents are ``.zgroup``, ``.zattrs`` and ``.zarray``, and no key has a ``c/``.

Each array is one chunk, bytes and crc32c, written without zarr and readable with it; the records of a level have one
for each 65536 objects. In stores of format 1 they lack the third column, and all of a level are one chunk.
:mod:`~bigimg.omezarr.shard` explains what the checksum of a shard covers. For the same reason the checksum of a small
object covers its bytes without their own crc32c.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from bigimg.errors import BigimgError, CorruptChunk, InputError, MissingChunk
from bigimg.geometry.region import full, pieces, shape_of
from bigimg.geometry.region import rows as cut
from bigimg.omezarr.documents import document_of
from bigimg.omezarr.metadata import ARRAY, ATTRIBUTES, MANIFEST, dumps, group_documents, plain_array_documents
from bigimg.omezarr.objects import Location, readable, small_object
from bigimg.omezarr.parse import ArrayMeta, parse_array
from bigimg.omezarr.shard import object_key
from bigimg.system.sync import sync_folder
from bigimg.types import Array, Json, Shape, ZarrFormat

type Record = tuple[int, int]
"""Length and crc32c of a small object."""

GROUP = "bigimg"
HISTOGRAM = "bigimg/histogram"
PROVENANCE = "bigimg/provenance"
RECORD = np.dtype([("length", "<u8"), ("crc32c", "<u4"), ("index_crc32c", "<u4")])
"""What is recorded of an object: bytes, checksum, and the crc32c of the index of a shard, 0 where there is none."""
CHUNK_ROWS = 1 << 16
"""Records in a chunk of the manifest: 1.6 MB, read at the first access to one of these objects."""
SMALL_TYPES = ("uint64", "int64")
"""Types of the arrays kept here."""


@dataclass(frozen=True, slots=True)
class StoredStatistics:
    """Statistics of level 0, made while the store was written."""

    statistics: Mapping[str, Any]
    """``{"channels": [{"name", "count", "nan", "min", "max", "sum", …}]}``; integers exact."""
    histogram: Array | None
    """Counts of shape (channels, bins); None when the pixels have more than 16 bits or are floats."""
    first: int
    """The pixel value that bin 0 counts."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """What the manifest said of the image before an edit that is under way, or was interrupted."""

    document: Record
    """The document of the root as it lies there until the edit replaces it."""
    record: Record
    written: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The attributes of the manifest."""

    objects: Mapping[str, Record]
    """All small objects by their keys."""
    written: Mapping[str, Any] | None = None
    """Attributes of the image as bigimg wrote them, whose document has the record of the root; not in older stores."""
    replaced: Replaced | None = None

    def document(self, zarr: ZarrFormat) -> bytes:
        """Return the document that holds it, the same bytes for the same values."""
        block: dict[str, Json] = {"objects": {key: list(record) for key, record in self.objects.items()}}
        if self.written is not None:
            block["written"] = dict(self.written)
        if self.replaced is not None:
            block["replaced"] = {
                "document": list(self.replaced.document),
                "record": list(self.replaced.record),
                "written": None if self.replaced.written is None else dict(self.replaced.written),
            }
        return group_documents(block, zarr)[ATTRIBUTES[zarr]]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files in and below ``folder``; raise OSError for a folder that rglob would take as empty."""
    for where, _, names in os.walk(folder, onerror=raise_error):
        yield from (Path(where, name) for name in names)


def raise_error(error: OSError) -> None:
    """Make ``os.walk`` raise an error that it would ignore."""
    raise error


def write_file(path: Path, data: bytes) -> None:
    """Write a new small file, making the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(data)


def unfinished(key: str) -> str:
    """Return the name under which the small object ``key`` is written until it replaces the one that is there."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}.{name}.bigimg"


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of a small file: whoever reads it finds the old or the new one, after a kill too."""
    new = path.with_name(unfinished(path.name))
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_documents(folder: Path, documents: Mapping[str, bytes]) -> None:
    """Write the metadata files of one node, in their order."""
    for name, data in documents.items():
        write_file(folder / name, data)


def write_array(folder: Path, values: Array, zarr: ZarrFormat = 3, chunk: Shape | None = None) -> None:
    """Write ``values`` as a zarr array of one chunk, or of such chunks, in ``folder``; fields become an axis."""
    names = values.dtype.names
    shape, dtype = (
        (values.shape, values.dtype) if names is None else ((*values.shape, len(names)), np.dtype("u8"))
    )
    chunk = chunk or shape
    for index, region in pieces(full(shape), chunk):
        whole = np.zeros(chunk, dtype.newbyteorder("<"))
        part = (
            values[region] if names is None else np.stack([values[name][region[:-1]] for name in names], -1)
        )
        whole[tuple(slice(n) for n in shape_of(region))] = part
        data = whole.tobytes()
        write_file(folder / object_key(index, zarr), data + struct.pack("<I", google_crc32c.value(data)))
    write_documents(folder, plain_array_documents(shape, dtype, zarr, chunk))


def zarr_at(root: Location) -> ZarrFormat:
    """Return the version of zarr of a store of ours: by its manifest, or by its root where that is gone."""
    for folder in (root / MANIFEST, root):
        if (folder / ATTRIBUTES[3]).exists():
            return 3
        if (folder / ATTRIBUTES[2]).exists():
            return 2
    return 3


def read_array(folder: Location, zarr: ZarrFormat = 3) -> Array:
    """Return what :func:`write_array` wrote to ``folder``.

    Raises
    ------
    MissingChunk
        The folder or its chunk is gone.
    CorruptChunk
        The bytes are not what was written.
    """
    meta = array_meta(folder, zarr)
    first = read_chunk(folder, meta, (0,) * len(meta.shape), zarr)
    if meta.shape == meta.chunk:
        return first
    values = np.empty(meta.shape, meta.dtype)
    for index, region in pieces(full(meta.shape), meta.chunk):
        part = read_chunk(folder, meta, index, zarr)
        values[region] = part[tuple(slice(n) for n in shape_of(region))]
    return values


def array_meta(folder: Location, zarr: ZarrFormat) -> ArrayMeta:
    """Return what the document of such an array says; errors as :func:`read_array`."""
    document = _read_json(folder / ARRAY[zarr])
    try:
        return parse_array(document, source=str(folder))
    except InputError as error:
        raise CorruptChunk(str(error)) from error


def read_chunk(folder: Location, meta: ArrayMeta, index: Shape, zarr: ZarrFormat) -> Array:
    """Return a whole chunk of such an array; errors as :func:`read_array`."""
    path = folder / object_key(index, zarr)
    data = read_object(path)
    if len(data) < 4 or struct.unpack("<I", data[-4:])[0] != google_crc32c.value(data[:-4]):
        raise CorruptChunk(f"{path}: the checksum is wrong; restore the object")
    if meta.dtype.name not in SMALL_TYPES or len(data) - 4 != meta.dtype.itemsize * math.prod(meta.chunk):
        raise CorruptChunk(f"{path}: {len(data)} bytes are no {meta.dtype} of shape {meta.chunk}; restore it")
    return np.frombuffer(data[:-4], meta.dtype.newbyteorder("<")).astype(meta.dtype).reshape(meta.chunk)


def read_object(path: Location) -> bytes:
    """Return a small object; MissingChunk when it is gone."""
    with readable(path):
        try:
            return small_object(path)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingChunk(
                f"{path}: the object is gone; restore it, or convert the source again"
            ) from None


def _read_json(path: Location) -> dict[str, Any]:
    data = read_object(path)
    try:
        document = document_of(data)
    except ValueError as error:
        raise CorruptChunk(f"{path}: not JSON ({error}); restore the object") from None
    return document


# ------------------------------------------------------------------------------------------------- the manifest


def _attributes(group: Location, zarr: ZarrFormat) -> Any:
    """Return the attributes of a group."""
    document = _read_json(group / ATTRIBUTES[zarr])
    found = document.get("attributes") if zarr == 3 else document
    if not isinstance(found, dict | None):
        raise CorruptChunk(f"{group / ATTRIBUTES[zarr]}: its attributes are no object; restore it")
    return found


def write_manifest(root: Path, records: Mapping[int, Array], documents: Mapping[str, bytes]) -> None:
    """Write the manifest of the store ``root``, after everything that it lists.

    Parameters
    ----------
    root : Path
        The store. Arrays and statistics are written already, the documents of the root are not.
    records : mapping of int to ndarray
        For each level what is recorded of every shard: of type :data:`RECORD` and shape grid, or of unsigned integers
        and shape (*grid, 3), or (*grid, 2) as in older stores.
    documents : mapping of str to bytes
        The future files of the root. They are listed too, and the attributes are kept as they are, so that what others
        edit later can be told from what bigimg wrote (:mod:`~bigimg.omezarr.edited`).
    """
    zarr: ZarrFormat = 3 if ATTRIBUTES[3] in documents else 2
    for level, rows in records.items():
        grid = rows.shape if rows.dtype.names else rows.shape[:-1]
        chunk = (*cut(grid, CHUNK_ROWS), 3 if rows.dtype.names else rows.shape[-1])
        write_array(root / MANIFEST / str(level), rows, zarr, chunk)
    objects = {key: record_of(key, data) for key, data in documents.items()}
    listing = group_documents({}, zarr)
    del listing[ATTRIBUTES[zarr]]
    write_documents(root / MANIFEST, listing)  # in zarr 2 a document that is listed too
    for path in _small_objects(root, records):
        key = path.relative_to(root).as_posix()
        objects[key] = record_of(key, path.read_bytes())
    written = attributes_of(documents[ATTRIBUTES[zarr]], zarr)
    write_file(root / MANIFEST / ATTRIBUTES[zarr], Manifest(objects, written).document(zarr))


def attributes_of(document: bytes, zarr: ZarrFormat) -> dict[str, Any]:
    """Return the attributes in the document of a group; ValueError when it is no JSON object."""
    found = document_of(document)
    attributes = found.get("attributes", {}) if zarr == 3 and isinstance(found, dict) else found
    if not isinstance(attributes, dict):
        raise ValueError("not a JSON object")
    return attributes


def record_of(key: str, data: bytes) -> Record:
    """Return what the manifest lists of a small object."""
    return len(data), _checksum(key, data)


def _checksum(key: str, data: bytes) -> int:
    """Return the crc32c of a small object, without the crc32c that chunks of arrays end in."""
    return int(google_crc32c.value(data[:-4] if _is_chunk(key) else data))


def _is_chunk(key: str) -> bool:
    """Return whether a key is that of a chunk; those of documents do not end in a number."""
    return key.rsplit("/", 1)[-1].isdecimal()


def _small_objects(root: Path, levels: Iterable[int]) -> list[Path]:
    """Return the files that the manifest lists, in an order that depends on the names alone."""
    found = [root / str(level) / name for level in levels for name in ("zarr.json", ".zarray", ".zattrs")]
    found += [root / GROUP / name for name in (".zgroup", *ATTRIBUTES.values())]
    found += [root / PROVENANCE / ".zgroup"]
    for folder in (root / HISTOGRAM, root / MANIFEST):
        found += sorted(files_below(folder)) if folder.exists() else ()
    return [path for path in found if path.is_file()]


def read_manifest(root: Location) -> Manifest | None:
    """Return the manifest of the store ``root``, or None when it has none.

    Raises
    ------
    CorruptChunk
        It is there, and lists no objects.
    """
    zarr = zarr_at(root)
    path = root / MANIFEST / ATTRIBUTES[zarr]
    if not path.exists():
        return None
    try:
        block = _attributes(root / MANIFEST, zarr)
        objects = {str(key): _record(pair) for key, pair in block["objects"].items()}
        written, replaced = block.get("written"), block.get("replaced")
        if replaced is not None:
            before = replaced["written"]
            replaced = Replaced(
                _record(replaced["document"]),
                _record(replaced["record"]),
                None if before is None else dict(before),
            )
        return Manifest(objects, None if written is None else dict(written), replaced)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorruptChunk(f"{path}: lists no objects ({error!r}); restore it, or convert again") from error


def _record(pair: Any) -> Record:
    length, crc = pair
    return int(length), int(crc)


def read_objects(root: Location) -> Mapping[str, Record] | None:
    """Return length and crc32c of the small objects of the store ``root``, or None when it has no manifest."""
    found = read_manifest(root)
    return None if found is None else found.objects


def check_small(root: Location, key: str, record: Record) -> None:
    """Compare a small object with its record.

    Raises
    ------
    MissingChunk, CorruptChunk
        It is gone, or has other bytes than were written.
    """
    data = read_object(root / key)
    if len(data) != record[0]:
        raise CorruptChunk(f"{root / key}: {len(data)} bytes instead of {record[0]}; restore the object")
    if _checksum(key, data) != record[1]:
        raise CorruptChunk(f"{root / key}: the checksum is not that of the manifest; restore the object")
    if _is_chunk(key) and data[-4:] != struct.pack("<I", record[1]):
        raise CorruptChunk(f"{root / key}: the checksum is wrong; restore the object")


def provenance_documents(attributes: Mapping[str, Json], zarr: ZarrFormat = 3) -> dict[str, bytes]:
    """Return the files of the provenance, with a checksum of its own, because no manifest lists it."""
    crc = google_crc32c.value(dumps(attributes))
    return group_documents({**attributes, "crc32c": crc}, zarr)


def read_provenance(root: Path) -> Mapping[str, Any] | None:
    """Return the attributes of the provenance of a store of ours; None where there are none to be read."""
    try:
        found: Mapping[str, Any] | None = _attributes(root / PROVENANCE, zarr_at(root))
    except (BigimgError, OSError):
        return None
    return found


def check_provenance(root: Location) -> None:
    """Compare the provenance with its own checksum.

    Raises
    ------
    MissingChunk, CorruptChunk
        It is gone, or has other bytes than were written.
    """
    zarr = zarr_at(root)
    path = root / PROVENANCE / ATTRIBUTES[zarr]
    data, attributes = read_object(path), _attributes(root / PROVENANCE, zarr)
    others = {key: attributes[key] for key in attributes or () if key != "crc32c"}
    if data != provenance_documents(others, zarr)[ATTRIBUTES[zarr]]:
        raise CorruptChunk(f"{path}: the checksum in it is not its own; restore the object")


# ------------------------------------------------------------------------------------------------- statistics


def write_statistics(
    root: Path, statistics: Mapping[str, Json], histogram: Array | None, first: int = 0, zarr: ZarrFormat = 3
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
        write_array(root / HISTOGRAM, np.asarray(histogram, np.uint64), zarr)
    write_documents(root / GROUP, group_documents(block, zarr))


def read_statistics(root: Location) -> StoredStatistics | None:
    """Return the statistics in the store ``root``, or None when it has none.

    Raises
    ------
    MissingChunk, CorruptChunk
        Part of them is gone or changed.
    """
    zarr = zarr_at(root)
    if not (root / GROUP / ATTRIBUTES[zarr]).exists():
        return None
    attributes = _attributes(root / GROUP, zarr) or {}
    if "statistics" not in attributes:
        return None
    about = attributes.get("histogram")
    histogram = None if about is None else read_array(root / HISTOGRAM, zarr)
    numbers = _with_numbers(attributes["statistics"])
    return StoredStatistics(numbers, histogram, 0 if about is None else int(about["first"]))


def _with_numbers(value: Any, key: str = "") -> Any:
    """Return ``value`` with floats for the strings that mean NaN and infinities; a name may be such a string."""
    if isinstance(value, dict):
        return {name: _with_numbers(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item, key) for item in value]
    return float(value) if key != "name" and value in ("NaN", "Infinity", "-Infinity") else value
