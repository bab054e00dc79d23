"""A store in one file, as RFC-9 of OME-Zarr has it: a zip file of its objects, named ``.ozx``; :mod:`archive` reads it.

The objects are not compressed again. The documents ``zarr.json`` come first, in the file and in its directory, the root
before what lies below it, so that a reader knows the hierarchy from the first bytes; the comment says so. Of any store
the same bytes are made whenever and wherever it is packed.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from bigimg.errors import InputError
from bigimg.omezarr.documents import is_key
from bigimg.omezarr.manifest import raise_error
from bigimg.omezarr.metadata import ATTRIBUTES
from bigimg.system import files

PACKED = ".ozx"
"""Ending of the names of stores in one file."""
PIECE_BYTES = 1 << 20
"""Bytes that are copied at once."""
DIRECTORY_BYTES = 700
"""Memory for each object of a zip file while its directory is known, measured."""
MEMBER = struct.Struct("<4s5H3I2H")
"""Local header of a member, in front of its name."""
LOCKED_OR_LATER = 1 | 8
"""Flags of a member whose content is encrypted, or whose lengths follow it."""
ENTRY_BYTES = 46
"""Of a member in the directory, in front of its name."""
END, END_BYTES, FAR, FAR_BYTES = b"PK\5\6", 22, b"PK\6\7", 20
"""The end of the file, in front of its comment; what is in front of that where the file is large."""
TAIL_BYTES = 1 << 12
"""Bytes in which the end of the file is looked for, with its comment."""
HEAD_BYTES = 1 << 18
"""Bytes in which the documents are looked for; those of an image of six levels take 20 kB."""
BEGINNING = (1980, 1, 1, 0, 0, 0)
"""Time of change of each object: the first that a zip file can name."""


def is_packed(name: str | os.PathLike[str]) -> bool:
    """Return whether ``name`` is that of a store in one file."""
    return os.fspath(name).rstrip("/").lower().endswith(PACKED)


def stem(name: str | os.PathLike[str]) -> str:
    """Return the last part of the path of a store, without the endings of stores.

    >>> stem("out/a.ome.zarr"), stem("a.ozx"), stem("a.levels.ome.zarr/"), stem(".zarr")
    ('a', 'a', 'a.levels', '.zarr')
    """
    last = os.path.basename(os.fspath(name).rstrip("/"))
    return last.removesuffix(PACKED).removesuffix(".zarr").removesuffix(".ome") or last


def objects_below(folder: Path) -> dict[str, int]:
    """Return the length of each object of the store in ``folder`` by its key, in the order in which they are packed.

    Hidden files are no objects: an editor, a desktop or an interrupted run left them.

    Raises
    ------
    InputError
        There is a link or another file that has no bytes of its own, or a name that is no key.
    """
    found = {}
    for where, folders, names in os.walk(folder, onerror=raise_error):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(where, name) for name in (*folders, *names) if not name.startswith(".")):
            key, status = path.relative_to(folder).as_posix(), path.lstat()
            if not is_key(key):
                raise InputError(f"{path}: has a name that no key of a store can have; rename it")
            if stat.S_ISREG(status.st_mode):
                found[key] = status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                raise InputError(f"{path}: is a link, a pipe or a device: put the file itself there")
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def _place(key: str) -> tuple[object, ...]:
    """Return by what keys are sorted: documents before pixels, higher ones first, numbers by their value."""
    parts = [(int(part), part) if part.isdecimal() else (-1, part) for part in key.split("/")]
    return (0, len(parts), parts) if _is_document(key) else (1, 0, parts)


def _is_document(key: str) -> bool:
    return key.rpartition("/")[2] == ATTRIBUTES[3]


def comment_of(version: str | None) -> bytes:
    """Return the comment of the zip file, by which readers know the version, and that documents come first."""
    if version is None:
        return b""
    first = {"centralDirectory": {"jsonFirst": True}}
    return json.dumps({"ome": {"version": version, "zipFile": first}}, separators=(",", ":")).encode()


def first_documents(file: int, length: int) -> dict[str, bytes] | None:
    """Return the documents at the beginning of the open zip file, by name; None where it does not promise them all.

    So a store is opened without its directory, which takes 50 ms for 16,000 objects.

    Parameters
    ----------
    file : int
        Descriptor.
    length : int
        Of the file, in bytes.
    """
    tail = files.read_at(file, TAIL_BYTES, max(0, length - TAIL_BYTES))
    if not _promises(tail[tail.rfind(END) + len(END) :] if END in tail else b""):
        return None
    head, at, found = files.read_at(file, HEAD_BYTES, 0), 0, dict[str, bytes]()
    while head[at : at + 4] == b"PK\3\4" and len(head) >= at + MEMBER.size:
        _, _, flags, method, _, _, crc, size, _, of_name, of_extra = MEMBER.unpack_from(head, at)
        begin = at + MEMBER.size + of_name + of_extra
        name, data = head[at + MEMBER.size : begin - of_extra], head[begin : begin + size]
        if name.rpartition(b"/")[2] != b"zarr.json":
            return found
        if flags & LOCKED_OR_LATER or method or zlib.crc32(data) != crc:
            return None  # damage among them; or they are more than was read
        found[name.decode("utf-8", "replace")] = data
        at = begin + size
    return None


def most_members(file: int, length: int) -> int:
    """Return how many members the open zip file has at most, by the length of its directory, which is not read.

    Raises
    ------
    zipfile.BadZipFile
        It has no end as zip files have it.
    """
    longest = FAR_BYTES + END_BYTES + (1 << 16)  # with the longest comment
    tail = files.read_at(file, longest, max(0, length - longest))
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + END_BYTES:
        raise zipfile.BadZipFile("File is not a zip file")
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if size == 0xFFFFFFFF and tail[at - FAR_BYTES : at].startswith(FAR):
        where = int.from_bytes(tail[at - 12 : at - 4], "little")
        size = int.from_bytes(files.read_at(file, 8, where + 40), "little")
    return min(size, length) // ENTRY_BYTES


def _promises(end: bytes) -> bool:
    """Return whether the comment of a zip file, behind the mark of its ``end``, says that documents come first."""
    try:
        said = json.loads(end[18:].rstrip(b"\0"))
        return said["ome"]["zipFile"]["centralDirectory"]["jsonFirst"] is True
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def write_packed(
    folder: Path, objects: Mapping[str, int], file: Path, version: str | None,
    advance: Callable[[int], None] | None = None,
) -> None:  # fmt: skip
    """Pack the store in ``folder`` into the new ``file``.

    Parameters
    ----------
    folder : Path
    objects : mapping of str to int
        Those of :func:`objects_below`.
    file : Path
    version : str, optional
        Of OME-Zarr; None for a hierarchy of zarr that is none.
    advance : callable, optional
        Gets the number of bytes after each portion.

    Raises
    ------
    InputError
        An object became longer or shorter meanwhile, or a document was edited.
    """
    with open(file, "xb") as out, zipfile.ZipFile(out, "w") as archive:
        archive.comment = comment_of(version)
        for key, length in objects.items():
            info = zipfile.ZipInfo(key, BEGINNING)
            info.file_size, info.create_system, info.external_attr = length, 3, 0o644 << 16
            written = 0
            with open(folder / key, "rb") as source, archive.open(info, "w") as member:
                while piece := source.read(PIECE_BYTES):
                    member.write(piece)
                    written += len(piece)
                    if advance is not None:
                        advance(len(piece))
            if written != length:
                raise InputError(f"{folder / key}: changed while it was packed: pack the store again")
        for info in filter(lambda info: _is_document(info.filename), archive.infolist()):
            if zlib.crc32((folder / info.filename).read_bytes()) != info.CRC:
                raise InputError(f"{folder}: was edited while it was packed: pack it again")
