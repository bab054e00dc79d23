"""Objects in a zip file. A member that is not compressed is read by position, without a copy, from any thread.

The members of an OME-Zarr in one file (``.ozx``) are not compressed. A deflated member is decompressed as a whole each
time that it is opened.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bigimg.errors import InputError, one_line
from bigimg.omezarr.documents import DOCUMENTS, most_bytes
from bigimg.omezarr.objects import Listed, OpenObject
from bigimg.omezarr.packed import first_documents, most_members
from bigimg.places.unzip import DAMAGED, pieces_of
from bigimg.system import files

HEADER_BYTES = 30
"""Of the local header of a member, in front of its name."""
MORE_EXTRA = 64
"""Bytes by which the extra field of a local header is often longer than that of the directory."""


class Archive:
    """The members of a zip file under ``prefix``, its directory read once, and only where it is needed."""

    def __init__(self, path: Path, prefix: str = "", keep: object = None) -> None:
        self.path = path
        self._keep = keep
        self.prefix = prefix
        self._starts: dict[str, int] = {}
        self._folders: dict[str, dict[str, Listed]] = {}
        self._fd = files.open_to_read(path)
        weakref.finalize(self, os.close, self._fd)
        self._reading = threading.Lock()
        length = os.fstat(self._fd).st_size
        self._first = first_documents(self._fd, length)
        if self._first is None:
            most_members(self._fd, length)  # refuses what is no zip file
        self._directory: zipfile.ZipFile | None = None

    @cached_property
    def most_members(self) -> int:
        """How many members there are at most, known without the directory."""
        return most_members(self._fd, os.fstat(self._fd).st_size)

    @property
    def _zip(self) -> zipfile.ZipFile:
        """The directory, read when an object is asked for, or a document of a file that does not begin with them."""
        with self._reading:
            if self._directory is None:
                try:
                    self._directory = zipfile.ZipFile(self.path)
                except DAMAGED as error:
                    raise InputError(
                        f"{self.path}: its directory cannot be read ({one_line(error)}); copy it again"
                    ) from error
            return self._directory

    def __reduce__(self) -> tuple[object, ...]:
        return Archive, (self.path, self.prefix)

    def below(self, key: str) -> Archive:
        """Return the members under ``key``, of the same open file."""
        assert self._zip  # read once for both
        found = object.__new__(Archive)
        found.__dict__ |= self.__dict__ | {"prefix": f"{self.prefix}{key}/", "_keep": self}
        return found

    def _info(self, key: str) -> zipfile.ZipInfo:
        try:
            return self._zip.getinfo(self.prefix + key)
        except KeyError:
            raise FileNotFoundError(key) from None

    def read(self, key: str) -> bytes:
        """Return a small object, with the checksum of the archive compared; FileNotFoundError when there is none."""
        if self._first is not None and key.rpartition("/")[2] in DOCUMENTS:
            if self.prefix + key not in self._first:
                raise FileNotFoundError(key)
            return self._first[self.prefix + key]
        info = self._info(key)
        if info.file_size > most_bytes(key):
            what = f"{info.filename} has {info.file_size} bytes, and {most_bytes(key)} are allowed"
            raise InputError(f"{self.path}: {what}; make the archive again")
        return self.unzipped(info)

    def unzipped(self, info: zipfile.ZipInfo) -> bytes:
        """Return the content of a member; zipfile makes no more bytes of it than the directory says."""
        if _is_plain(info):
            data = self._whole(info)
            if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
                raise InputError(
                    f"{self.path}: {info.filename} cannot be unzipped (its checksum is wrong); make the archive again"
                )
            return data
        try:
            # zipfile does not bound what other compressions make.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("its compression is not that of a store: deflate, or none")
            with self._zip.open(info) as member:
                return member.read(info.file_size)
        except DAMAGED as error:
            message = (
                f"{self.path}: {info.filename} cannot be unzipped ({one_line(error)}); make the archive again"
            )
            raise InputError(message) from error

    def exists(self, key: str) -> bool:
        """Return whether there is an object: the directory says so, and nothing is read."""
        try:
            if self._first is not None and key.rpartition("/")[2] in DOCUMENTS:
                return self.prefix + key in self._first
            self._info(key)
        except FileNotFoundError:
            return False
        return True

    def open(self, key: str) -> OpenObject:
        """Open one object."""
        info = self._info(key)
        if not _is_plain(info):
            return _Deflated(self, info)
        if info.filename not in self._starts:
            self._read_from_header(info, 0)
        return _Member(self._fd, self._starts[info.filename], info.file_size, self)

    def _whole(self, info: zipfile.ZipInfo) -> bytes:
        """Return the bytes of a plain member, by one read where its header is as the directory says."""
        more = len(info.filename.encode()) + len(info.extra) + MORE_EXTRA
        found = self._read_from_header(info, more + info.file_size)
        start = self._starts[info.filename] - info.header_offset
        data = found[start : start + info.file_size]
        if len(data) < info.file_size:
            rest = info.file_size - len(data)
            data += files.read_at(self._fd, rest, self._starts[info.filename] + len(data))
        return data

    def _read_from_header(self, info: zipfile.ZipInfo, more: int) -> bytes:
        """Return the local header of a member and ``more`` bytes behind it, and note where its content begins."""
        found = files.read_at(self._fd, HEADER_BYTES + more, info.header_offset)
        if found[:4] != b"PK\3\4" or len(found) < HEADER_BYTES:
            raise InputError(
                f"{self.path}: {info.filename} is not where the directory says; make the archive again"
            )
        # It has lengths of its own for name and extra field: the directory may have others.
        lengths = sum(struct.unpack("<HH", found[26:HEADER_BYTES]))
        self._starts[info.filename] = info.header_offset + HEADER_BYTES + lengths
        return found

    def members(self) -> list[zipfile.ZipInfo]:
        """Return all members under the prefix, as the directory lists them; folders are left out."""
        inside = (info for info in self._zip.infolist() if info.filename.startswith(self.prefix))
        return [info for info in inside if not info.is_dir()]

    def pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield the content of a member piece by piece.

        Raises
        ------
        InputError
            It is damaged, locked, or compressed in a way that no store is.
        """
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            what = "is locked" if info.flag_bits & 1 else "its compression is not that of a store"
            raise InputError(
                f"{self.path}: {info.filename} cannot be unzipped ({what}); make the archive again"
            )
        return pieces_of(self._zip, info, str(self.path))

    def listed(self, prefix: str) -> Mapping[str, Listed]:
        """Return what is directly under ``prefix``."""
        if not self._folders:  # of the whole file, once for all that is below
            self._folders.update(self._all_folders())
        return self._folders.get(self.prefix + prefix, {})

    def _all_folders(self) -> dict[str, dict[str, Listed]]:
        """Return what is in each folder, from one look at the directory of the file."""
        found: dict[str, dict[str, Listed]] = {"": {}}
        for info in self._zip.infolist():
            *folders, name = info.filename.split("/")
            above = ""
            for folder in folders:
                found.setdefault(above, {}).setdefault(folder, Listed(True))
                above += f"{folder}/"
            if name:
                found.setdefault(above, {})[name] = Listed(False, info.file_size)
        return found


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Return whether a member is neither compressed nor locked."""
    return info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1


class _Deflated(OpenObject):
    """A member that is decompressed as a whole, when the first bytes are read."""

    def __init__(self, archive: Archive, info: zipfile.ZipInfo) -> None:
        self.archive, self.info = archive, info

    @cached_property
    def data(self) -> bytes:
        return self.archive.unzipped(self.info)

    def __str__(self) -> str:
        return f"{self.archive.path}: {self.info.filename}"

    def size(self, likely: int | None) -> int:
        return self.info.file_size

    def pread(self, length: int, offset: int) -> bytes:
        return self.data[offset : offset + length]


@dataclass(frozen=True)
class _Member(OpenObject):
    """A member of a zip file that is not compressed."""

    fd: int
    start: int
    length: int
    archive: Archive
    """Keeps the file open for as long as it lives."""

    def __str__(self) -> str:
        return str(self.archive.path)

    def size(self, likely: int | None) -> int:
        return self.length

    def pread(self, length: int, offset: int) -> bytes:
        return files.read_at(self.fd, max(0, min(length, self.length - offset)), self.start + offset)
