"""Objects in a zip file, by position where they are stored as they are: no copy, and any number of threads.

An OME-Zarr in one file (``.ozx``) is stored so. A deflated member is unpacked whole each time that it is opened.
"""

from __future__ import annotations

import os
import weakref
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigimg.errors import InputError
from bigimg.omezarr.objects import Listed, OpenObject
from bigimg.system import files


class Archive:
    """The members of a zip file under ``prefix``, its directory read once."""

    def __init__(self, path: Path, prefix: str = "", keep: object = None) -> None:
        self.path = path
        self._keep = keep
        self.prefix = prefix
        self._zip = zipfile.ZipFile(path)
        self._folders: dict[str, dict[str, Listed]] = {}
        self._fd = files.open_to_read(path)
        weakref.finalize(self, os.close, self._fd)

    def __reduce__(self) -> tuple[object, ...]:
        return Archive, (self.path, self.prefix)

    def _info(self, key: str) -> zipfile.ZipInfo:
        try:
            return self._zip.getinfo(self.prefix + key)
        except KeyError:
            raise FileNotFoundError(key) from None

    def read(self, key: str) -> bytes:
        """Return one object; FileNotFoundError when there is none."""
        info = self._info(key)
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise InputError(
                f"{self.path}: {info.filename} cannot be unzipped ({error}); make the archive again"
            ) from error

    def open(self, key: str) -> OpenObject:
        """Open one object."""
        info = self._info(key)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            return _Bytes(self.read(key))
        # The lengths in the directory need not be those before the data.
        head = files.read_at(self._fd, 30, info.header_offset)
        start = (
            info.header_offset
            + 30
            + int.from_bytes(head[26:28], "little")
            + int.from_bytes(head[28:30], "little")
        )
        return _Member(self._fd, start, info.file_size, self)

    def listed(self, prefix: str) -> Mapping[str, Listed]:
        """Return what is directly under ``prefix``."""
        if not self._folders:
            self._folders = self._all_folders()
        return self._folders.get(prefix, {})

    def _all_folders(self) -> dict[str, dict[str, Listed]]:
        """Return what is in each folder, from one look at the directory of the file."""
        found: dict[str, dict[str, Listed]] = {"": {}}
        for info in self._zip.infolist():
            if info.filename.startswith(self.prefix):
                *folders, name = info.filename.removeprefix(self.prefix).split("/")
                above = ""
                for folder in folders:
                    found.setdefault(above, {}).setdefault(folder, Listed(True))
                    above += f"{folder}/"
                if name:
                    found.setdefault(above, {})[name] = Listed(False, info.file_size)
        return found


class _Bytes:
    """An object in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def size(self, likely: int | None) -> int:
        return len(self.data)

    def state(self) -> object:
        return None

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        pass

    def pread(self, length: int, offset: int) -> bytes:
        return self.data[offset : offset + length]

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of a zip file that is stored as it is."""

    fd: int
    start: int
    length: int
    archive: Archive
    """Which closes the file."""

    def size(self, likely: int | None) -> int:
        return self.length

    def state(self) -> object:
        return None

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        pass

    def pread(self, length: int, offset: int) -> bytes:
        return files.read_at(self.fd, max(0, min(length, self.length - offset)), self.start + offset)

    def close(self) -> None:
        pass
