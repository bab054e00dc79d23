"""The objects of a store, which may be files of a folder, members of a zip file, or answers of a URL.

The readers of manifest and shards take a :class:`Location`. It is either a ``pathlib.Path``, or an :class:`ObjectPath`
into a zip file (:mod:`~bigimg.omezarr.archive`) or behind a URL (:mod:`~bigimg.omezarr.web`). So the same code checks
all three.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from bigimg.errors import BigimgError, InputError
from bigimg.omezarr.documents import most_bytes
from bigimg.system import files


class Location(Protocol):
    """Where an object or a folder of objects is: what a ``Path`` and an :class:`ObjectPath` have in common."""

    def __truediv__(self, key: str) -> Location: ...

    def read_bytes(self) -> bytes:
        """Return all of the object; FileNotFoundError when there is none."""

    def exists(self) -> bool:
        """Return whether there is an object."""


class OpenObject(ABC):
    """An object that is open for reading."""

    far = False
    """Whether each read that was not announced is a request to somewhere else."""

    @abstractmethod
    def size(self, likely: int | None) -> int:
        """Return its length; where it is not ``likely``, any other number will do."""

    @abstractmethod
    def pread(self, length: int, offset: int) -> bytes:
        """Return up to ``length`` bytes from ``offset`` on: fewer where the object ends."""

    def whole(self, most: int) -> bytes:
        """Return all of the object.

        Raises
        ------
        InputError
            It has more than ``most`` bytes.
        """
        size = self.known_size()
        if size > most:
            raise InputError(f"{self}: has {size} bytes, and its array allows {most}; restore it")
        return self.pread(size, 0)

    def ending(self, length: int) -> bytes:
        """Return up to ``length`` bytes at the end."""
        size = self.known_size()
        length = min(length, size)
        return self.pread(length, size - length)

    def known_size(self) -> int:
        """Return the length; :data:`ANY` where it would take a request to know it."""
        return self.size(None)

    def state(self) -> object:
        """Return a value that changes with the object; None where it cannot be known without a request."""
        return None

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:  # noqa: B027
        """Announce the (offset, length) of the next reads, in their order."""

    def close(self) -> None:  # noqa: B027
        """Release what is held."""


DANGLING = -1
"""Length of a link that leads nowhere."""
ANY = 2**64
"""Length of an object whose length is not known."""


class Listed(NamedTuple):
    """What a listing says of an object or a folder."""

    folder: bool
    length: int | None = None
    """Of an object, in bytes; None where the listing does not have it."""


class Objects(Protocol):
    """Objects by their keys."""

    def read(self, key: str) -> bytes:
        """Return one object; FileNotFoundError when there is none."""

    def exists(self, key: str) -> bool:
        """Return whether there is an object."""

    def open(self, key: str) -> OpenObject:
        """Open one object."""

    def listed(self, prefix: str) -> Mapping[str, Listed]:
        """Return what is directly under ``prefix``, which is empty or ends in a slash, by name."""


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """An object or a folder of objects inside a zip file or behind a URL."""

    objects: Objects
    key: str
    shown: str
    """For messages, without what is secret."""

    def __truediv__(self, key: str) -> ObjectPath:
        return ObjectPath(self.objects, f"{self.key}/{key}".lstrip("/"), f"{self.shown}/{key}")

    def __str__(self) -> str:
        return self.shown

    def read_bytes(self) -> bytes:
        """Return all of the object; FileNotFoundError when there is none."""
        return self.objects.read(self.key)

    def exists(self) -> bool:
        """Return whether there is an object."""
        return self.objects.exists(self.key)


@contextmanager
def readable(what: object) -> Iterator[None]:
    """Turn an error of the system about reading ``what`` into an InputError that says what to do."""
    try:
        yield
    except BigimgError:  # some of them are OSErrors too
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{what}: cannot be read ({reason}); check the disk and permissions") from error


def listing(folder: Location) -> Mapping[str, Listed]:
    """Return what ``folder`` holds, by name; nothing when it is not there or not a folder."""
    try:
        if isinstance(folder, ObjectPath):
            return folder.objects.listed(f"{folder.key}/".lstrip("/"))
        assert isinstance(folder, Path)
        with os.scandir(folder) as entries:
            return {entry.name: _listed(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _listed(entry: os.DirEntry[str]) -> Listed:
    if entry.is_dir(follow_symlinks=False):
        return Listed(True)
    try:
        return Listed(False, entry.stat().st_size)
    except FileNotFoundError:
        return Listed(False, DANGLING)


def small_object(location: Location) -> bytes:
    """Return all of a document, or of another object that is read as a whole.

    Raises
    ------
    FileNotFoundError, InputError
        There is none, or it is longer than such an object may be, or no file.
    """
    if isinstance(location, Path):
        status = location.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{location}: is no file but a pipe or a device; replace it")
        most = most_bytes(location.name)
        if status.st_size > most:
            raise InputError(f"{location}: has {status.st_size} bytes, and {most} are allowed; restore it")
    return location.read_bytes()


def opened(location: Location) -> OpenObject:
    """Return the open object at ``location``; FileNotFoundError when it is not there (of a URL: when it is read)."""
    if isinstance(location, ObjectPath):
        return location.objects.open(location.key)
    assert isinstance(location, Path)
    return _File(location)


class _File(OpenObject):
    """A file on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: is no file; restore the object")
        self.fd = files.open_to_read(path)

    def __str__(self) -> str:
        return str(self.path)

    def size(self, likely: int | None) -> int:
        return os.fstat(self.fd).st_size

    def state(self) -> object:
        status = os.fstat(self.fd)
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def pread(self, length: int, offset: int) -> bytes:
        return files.read_at(self.fd, length, offset)

    def close(self) -> None:
        os.close(self.fd)
