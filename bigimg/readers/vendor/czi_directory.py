"""The directory of a CZI file: where its tiles lie in the image and in the file, as arrays.

czifile reads header, entries and metadata, once. It believes the sizes that the file says, so these are checked first.
A file without a directory was not finished, and is refused; who takes what is there gets the tiles that are found one
by one, each of which says what its entry in the directory says.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from bigimg.errors import AGAIN, CUT_HERE, PARTIAL, InputError, damage, one_line
from bigimg.readers.extras import imported
from bigimg.readers.logged import logged_warnings
from bigimg.readers.raw.plain import RawFile
from bigimg.readers.vendor.czi_times import recorded_times
from bigimg.types import Array, Shape

SERIES = {"S": "scene", "V": "view", "R": "angle", "I": "illumination"}
"""Axes of which each index is an image of its own, and what one is called."""
CHOSEN = "HB"
"""Axes of which a user chooses one index: phases (or detectors), blocks."""
PLANES = "TCZ"

TILE = np.dtype([
    *((name, np.int32) for name in (*SERIES, *CHOSEN, *PLANES)), ("M", np.int32), ("box", np.int32, 4),
    ("stored", np.int32, 2), ("pixels", np.int32), ("codec", np.int32), ("pyramid", bool), ("part", np.int32),
    ("entry", np.int32), ("at", np.int64), ("zoom", np.int32),
])  # fmt: skip
"""A tile: its index along each axis, its place in the mosaic (first row, last row but one, first column, last column
but one), rows and columns as stored, types of pixels and compression, whether it is one of a coarse level, number of
its file, bytes of its directory entry, byte of the file where it begins (:data:`LOST` where it is cut off), and pixels
of full resolution along a pixel of it, where the place counts pixels of a coarse level."""
LOST = -1

ENTRY_BYTES, DIMENSION_BYTES, HEAD_BYTES, SEGMENT_BYTES = 32, 20, 48, 32
"""Of a directory entry without and of each of its dimensions, of the head of a tile, and of the head of any segment."""
ENTRY_ROOM = 240
"""Bytes that the directory entry in the head of a tile takes at least."""
SUBBLOCK = b"ZISRAWSUBBLOCK\0"
OPEN_BYTES, TILE_BYTES, XML_BYTES = 4 << 20, 1500, 16
"""Memory that an open file takes, and each of its tiles, and each byte of its metadata; measured and rounded up."""
CHECKED = 1000
"""Tiles that are compared with the directory when a file is opened; all are before they are read."""


NO_DIRECTORY = (
    f"its directory: these are the tiles {CUT_HERE}, and what was behind them is not known, as more of the image and "
    "other scenes"
)
"""What a file lacks of which the tiles are found one by one."""


class Pixels(NamedTuple):
    """A type of pixels."""

    name: str
    dtype: str
    samples: int = 1


PIXELS = {
    0: Pixels("Gray8", "<u1"), 1: Pixels("Gray16", "<u2"), 2: Pixels("Gray32Float", "<f4"),
    3: Pixels("Bgr24", "<u1", 3), 4: Pixels("Bgr48", "<u2", 3), 8: Pixels("Bgr96Float", "<f4", 3),
    9: Pixels("Bgra32", "<u1", 4), 12: Pixels("Gray32", "<i4"), 13: Pixels("Gray64", "<f8"),
}  # fmt: skip
"""Types of pixels that are read, by their number in the file."""


@dataclass(frozen=True)
class Directory:
    """What a CZI file says beside its pixels."""

    tiles: Array
    """Of :data:`TILE`, in the order of the file."""
    xml: Any
    """Root of its metadata, an element of ``xml.etree``; None if there are none."""
    memory_bytes: int
    """What reading them took at most."""
    times: Array
    """Seconds at which time points were recorded; none if the file does not say it."""
    notes: tuple[str, ...] = ()
    """What the file lacks, where what is there was asked for."""


def read_directory(path: str, file: RawFile, *, allow_partial: bool = False) -> Directory:
    """Return tiles and metadata of the CZI file at ``path``, of which ``file`` has the bytes.

    With ``allow_partial`` they may lack what was cut off: tiles are then :data:`LOST`.

    Raises
    ------
    MissingExtraError
        czifile is not installed.
    InputError
        The file is cut, damaged, was not finished, or is one of a set.
    """
    czifile = imported("czifile", path)
    notes: list[str] = []
    errors = (ValueError, struct.error, LookupError, ArithmeticError, SyntaxError)  # SyntaxError: of XML
    try:
        with logged_warnings("czifile"), czifile.CziFile(path) as czi:
            if czi.header.file_part:
                what = (
                    f"is file {czi.header.file_part} of a set of files, of which the first has the directory"
                )
                raise InputError(f"{path}: {what}; save it as one file in ZEN")
            try:
                data = _segment(
                    path, file, czi.header.directory_position, b"ZISRAWDIRECTORY", "its directory"
                )
                entries: Iterable[bytes] = list(_entries(path, data))  # raises here what it lacks
            except InputError as error:
                entries = _walked(path, file)
                _or_partial(path, file, error, notes, NO_DIRECTORY, allow_partial)
            # One entry at a time: all that czifile makes of a directory take ten times the memory of the array.
            entry_of = czifile.CziDirectoryEntryDV
            tiles = np.fromiter((_tile(path, entry_of(entry, 0)) for entry in entries), TILE)
            xml = ""
            if czi.header.metadata_position:
                try:
                    _check_metadata(path, file, czi.header.metadata_position)
                    xml = czi.metadata()
                except InputError as error:
                    what = "its metadata: spacing, time steps and names of channels are not known"
                    _or_partial(path, file, error, notes, what, allow_partial)
            times = recorded_times(file, czi.header.attachment_directory_position)
        root = ElementTree.fromstring(xml) if xml else None
    except InputError:
        raise
    except errors as error:
        raise damage(path, f"its header, directory or metadata make no sense ({one_line(error)})") from error
    if not len(tiles):
        raise InputError(f"{path}: holds no tile of an image; record it again")
    if tiles["part"].any():
        parts = len(np.unique(tiles["part"]))
        what = f"is one of a set of {parts} or more files, in which its tiles lie, and only single files are read"
        raise InputError(f"{path}: {what}; save it as one file in ZEN")
    lost = _cut_off(path, file, tiles)
    if lost.any():
        where = f"beyond the {file.shape[0]} bytes of the file"
        if lost.all():
            every = f"all of its {len(tiles)} tiles lie" if len(tiles) > 1 else "its one tile lies"
            raise damage(path, f"{every} {where}")
        if not allow_partial:
            raise InputError(
                f"{path}: {lost.sum()} of its {len(tiles)} tiles lie {where}; {AGAIN}, or {PARTIAL}"
            )
    for tile in sample_of(tiles[~lost]):
        check_place(path, file, tile)
    tiles["at"][lost] = LOST
    memory = OPEN_BYTES + TILE_BYTES * len(tiles) + XML_BYTES * len(xml)
    return Directory(tiles, root, memory, times, tuple(notes))


def _or_partial(
    path: str, file: RawFile, error: InputError, notes: list[str], what: str, allow_partial: bool
) -> None:
    """Note that the file lacks ``what``, where what is there was asked for; else raise ``error``, which names that."""
    if not allow_partial:
        try:
            read_directory(path, file, allow_partial=True)
        except InputError:  # nothing is there to take
            raise error from None
        raise InputError(f"{error}, or {PARTIAL}") from None
    notes.append(f"the file lacks {what}")


def _cut_off(path: str, file: RawFile, tiles: Array) -> Array:
    """Return which tiles do not lie in the file as a whole; of those that begin in it, the last one may be cut."""
    if (tiles["at"] < 0).any():
        raise damage(path, "its directory names tiles before the first byte of the file")
    lost: Array = tiles["at"] + tiles["entry"] + HEAD_BYTES > file.shape[0]
    if not lost.all():
        last = int(np.where(lost, LOST, tiles["at"]).argmax())
        start, length, attached = parts_of(tiles[last], check_place(path, file, tiles[last]))
        lost[last] = start + length + attached > file.shape[0]
    return lost


def parts_of(tile: Any, head: bytes) -> tuple[int, int, int]:
    """Return first byte and length of the pixels of a tile, and the length of what is attached behind them.

    Parameters
    ----------
    tile : element of an array of :data:`TILE`
    head : bytes
        What :func:`check_place` returns.
    """
    metadata, attached, length = struct.unpack_from("<iiq", head, 32)
    start = int(tile["at"]) + HEAD_BYTES + max(ENTRY_ROOM, int(tile["entry"])) + metadata
    return start, length, attached


def sample_of(tiles: Array) -> Array:
    """Return at most :data:`CHECKED` of ``tiles``, evenly spread."""
    found: Array = tiles[:: -(-len(tiles) // CHECKED)]
    return found


def level_0(tiles: Array) -> Array:
    """Return those of ``tiles`` that are of no coarse level.

    Some programs do not mark the tiles of a pyramid: these are stored at another size than shown, and their plane has
    others too. Where it has no others, all are returned; see :func:`is_resized`.
    """
    tiles = tiles[~tiles["pyramid"]]
    planes, resized = [*SERIES, *CHOSEN, *PLANES], is_resized(tiles)
    known = set(tiles[~resized][planes].tolist()) if resized.any() else set()
    pairs = zip(resized.tolist(), tiles[planes].tolist(), strict=True)
    kept: Array = tiles[np.array([not other or plane not in known for other, plane in pairs], bool)]
    return kept


def is_resized(tiles: Array) -> Array:
    """Return which of ``tiles`` are stored at another size than shown."""
    found: Array = (tiles["stored"] != tiles["box"][:, 1::2] - tiles["box"][:, ::2]).any(axis=1)
    return found


def of_level(tiles: Array, zoom: int) -> Array:
    """Return those of ``tiles`` of which a pixel stands for ``zoom`` of full resolution along y and x.

    Their places count pixels of their level.
    """
    sizes = tiles["box"][:, 1::2] - tiles["box"][:, ::2]
    found: Array = tiles[(np.rint(sizes / tiles["stored"]) == zoom).all(axis=1)].copy()
    starts = found["box"][:, ::2] // zoom
    found["box"][:, ::2], found["box"][:, 1::2], found["zoom"] = starts, starts + found["stored"], zoom
    return found


def check_place(path: str, file: RawFile, tile: Any) -> bytes:
    """Return the head of a tile, which says of itself what the directory says of it.

    Parameters
    ----------
    path : str
    file : RawFile
    tile : element of an array of :data:`TILE`

    Raises
    ------
    InputError
        There is no tile, or another one.
    """
    head = _bytes(path, file, int(tile["at"]), HEAD_BYTES + int(tile["entry"]))
    kind, pixels, codec, pyramid, dims = struct.unpack_from("<2si12xiB5xi", head, HEAD_BYTES)
    own = {"pixels": pixels, "codec": codec, "pyramid": int(pyramid != 0)}
    if head.startswith(SUBBLOCK) and kind == b"DV" and len(head) == _entry_end(dims):
        sizes = {"Y": (0, 0), "X": (0, 0)}
        for name, start, size, _, stored in struct.iter_unpack("<4siifi", head[HEAD_BYTES + ENTRY_BYTES :]):
            letter = name.rstrip(b"\0").decode("latin-1")
            own[letter], sizes[letter] = start, (size, stored or size)
        top, left = own.pop("Y", 0), own.pop("X", 0)
        shown, stored = zip(sizes["Y"], sizes["X"], strict=True)
        coarse = stored != shown
        if (zoom := int(tile["zoom"])) > 1:
            top, left, shown = top // zoom, left // zoom, stored
        same = tile["box"].tolist() == [top, top + shown[0], left, left + shown[1]]
        same = same and tile["stored"].tolist() == list(stored) and own.keys() <= set(TILE.names or ())
        # What is no tile of full resolution need not be the same in all.
        if same and (coarse or all(int(tile[name]) == number for name, number in own.items())):
            return head
    raise damage(path, f"the tile at byte {int(tile['at'])} is not the one that the directory names")


def _entry_end(dims: int) -> int:
    return HEAD_BYTES + ENTRY_BYTES + DIMENSION_BYTES * dims


def _entries(path: str, data: bytes) -> Iterator[bytes]:
    """Yield the entries of a directory; a size that the file says wrongly is not believed."""
    (count,), at = struct.unpack_from("<i", data), 128
    for _ in range(count):
        dims = struct.unpack_from("<i", data, at + ENTRY_BYTES - 4)[0] if at + ENTRY_BYTES <= len(data) else 0
        end = at + ENTRY_BYTES + DIMENSION_BYTES * dims
        if dims <= 0 or end > len(data):
            raise damage(path, f"its directory ends before the {count} tiles that it names")
        yield data[at:end]
        at = end


def _walked(path: str, file: RawFile) -> Iterator[bytes]:
    """Yield the entries in the heads of the tiles, segment by segment, as far as the file goes."""
    at, size = 0, file.shape[0]
    while at + HEAD_BYTES + ENTRY_BYTES <= size:
        head = _bytes(path, file, at, HEAD_BYTES + ENTRY_BYTES)
        name, allocated = struct.unpack_from("<16sq", head)
        if name.startswith(SUBBLOCK):
            (dims,) = struct.unpack_from("<i", head, HEAD_BYTES + ENTRY_BYTES - 4)
            if dims <= 0 or at + _entry_end(dims) > size:
                return
            entry = _bytes(path, file, at + HEAD_BYTES, _entry_end(dims) - HEAD_BYTES)
            yield (
                entry[:6] + struct.pack("<q", at) + entry[14:]
            )  # its own place, for it may not have known it yet
        if allocated < 0 or not name.startswith((b"ZISRAW", b"DELETED")):
            return
        at += SEGMENT_BYTES + allocated


def _check_metadata(path: str, file: RawFile, at: int) -> None:
    """Refuse metadata that reach beyond the end of the file."""
    (length,) = struct.unpack_from("<i", _segment(path, file, at, b"ZISRAWMETADATA", "its metadata", 4))
    if length < 0 or at + SEGMENT_BYTES + 256 + length > file.shape[0]:
        raise damage(path, f"its metadata reach beyond the {file.shape[0]} bytes of the file")


def _segment(path: str, file: RawFile, at: int, name: bytes, what: str, most: int | None = None) -> bytes:
    """Return what is used of the segment at byte ``at``, which lies in the file, or its first ``most`` bytes."""
    if at <= 0:
        why = "which is written last: its recording was not finished; record it again"
        raise InputError(f"{path}: lacks {what}, {why}")
    found, allocated, used = struct.unpack("<16sqq", _bytes(path, file, at, SEGMENT_BYTES))
    if found.rstrip(b"\0") != name:
        raise damage(path, f"{what} should begin at byte {at}, and does not")
    if (used or allocated) < 128:
        raise damage(path, f"{what} has {used or allocated} bytes")
    return _bytes(path, file, at + SEGMENT_BYTES, most or used or allocated)


def _bytes(path: str, file: RawFile, at: int, length: int) -> bytes:
    if at < 0 or length < 0 or at + length > file.shape[0]:
        raise damage(path, f"bytes {at} to {at + length} are needed, and the file has {file.shape[0]}")
    return file.read((slice(at, at + length),)).tobytes()


def _tile(path: str, entry: Any) -> tuple[Any, ...]:
    """Return what an entry of czifile says, as a :data:`TILE`."""
    start: Mapping[str, int] = dict(zip(entry.dims[:-1], entry.start, strict=False))
    shape: Mapping[str, int] = dict(zip(entry.dims[:-1], entry.shape, strict=False))
    stored: Mapping[str, int] = dict(zip(entry.dims[:-1], entry.stored_shape, strict=False))
    for name, size in shape.items():
        if name in "YX":
            if size < 1 or stored[name] < 1 or abs(start[name]) + size >= 1 << 31:
                raise damage(
                    path,
                    f"a tile in its directory has {size} pixels from {start[name]} on along {name.lower()}",
                )
        elif name not in (*SERIES, *CHOSEN, *PLANES) or size != 1:
            what = (
                f"a tile has {size} indices along the axis {name}" if size != 1 else f"it has the axis {name}"
            )
            raise InputError(f"{path}: {what}, which is not known here; export it as OME-TIFF in ZEN")
    if not {"Y", "X"} <= shape.keys():
        raise InputError(
            f"{path}: its tiles have the axes {' '.join(shape)}, without y or x, which is no image"
        )
    along = [start.get(name, 0) for name in (*SERIES, *CHOSEN, *PLANES)][1:]
    y, x = start["Y"], start["X"]
    box = (y, y + shape["Y"], x, x + shape["X"])
    return (
        entry.scene_index, *along, entry.mosaic_index, box, (stored["Y"], stored["X"]), entry.pixel_type.value,
        entry.compression.value, entry.pyramid_type.value != 0, entry.file_part, entry.storage_size,
        entry.file_position, 1,
    )  # fmt: skip


def bytes_of(path: str | os.PathLike[str]) -> RawFile:
    """Return all bytes of a file, of which any can be read from any thread."""
    size: Shape = (os.path.getsize(path),)
    return RawFile(path, offset=0, shape=size, dtype=np.dtype(np.uint8))
