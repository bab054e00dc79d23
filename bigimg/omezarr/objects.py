"""The objects of a store, wherever they lie: files of a folder, members of a zip file, what a URL answers.

Readers of manifest and shards take a :class:`Place`: a ``pathlib.Path`` is one, an :class:`ObjectPath` into a zip
file (:mod:`~bigimg.omezarr.archive`) or behind a URL (:mod:`~bigimg.omezarr.web`) the other. So each is checked alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bigimg.system import files


class Place(Protocol):
    """What a path and a place elsewhere have in common."""

    def __truediv__(self, key: str) -> Place: ...

    def read_bytes(self) -> bytes:
        """Return all of the object; FileNotFoundError when there is none."""

    def exists(self) -> bool:
        """Return whether there is an object."""


class OpenObject(Protocol):
    """An object that is open for reading."""

    def size(self, likely: int | None) -> int:
        """Return its length, or one that is not ``likely`` when it is not that."""

    def state(self) -> object:
        """Return what is another thing when the object is another; None where that is not known without asking."""

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Say which (offset, length) will be read next, in their order."""

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to ``length`` bytes from ``offset`` on: fewer where the object ends."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing says of an object or a folder."""

    folder: bool
    length: int | None = None
    """Of an object, in bytes; None where the place does not tell."""


class Objects(Protocol):
    """Objects by their keys."""

    def read(self, key: str) -> bytes:
        """Return one object; FileNotFoundError when there is none."""

    def open(self, key: str) -> OpenObject:
        """Open one object."""

    def listed(self, prefix: str) -> Mapping[str, Listed]:
        """Return what is directly under ``prefix``, which is empty or ends in a slash, by name."""


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """A place inside a zip file or behind a URL, as a ``Path`` is one on disk."""

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
        try:
            self.objects.read(self.key)
        except FileNotFoundError:
            return False
        return True


def opened(place: Place) -> OpenObject:
    """Return the object at ``place``, open; FileNotFoundError when it is not there (of a URL: when it is read)."""
    if isinstance(place, ObjectPath):
        return place.objects.open(place.key)
    assert isinstance(place, Path)
    return _File(place)


class _File:
    """A file on disk."""

    def __init__(self, path: Path) -> None:
        self.fd = files.open_to_read(path)

    def size(self, likely: int | None) -> int:
        return os.fstat(self.fd).st_size

    def state(self) -> object:
        status = os.fstat(self.fd)
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        pass

    def pread(self, length: int, offset: int) -> bytes:
        return files.read_at(self.fd, length, offset)

    def close(self) -> None:
        os.close(self.fd)
