"""The JSON documents of a zarr hierarchy, v2 and v3, in a folder, a zip file or behind a URL.

A node is a dict with ``zarr_format``, ``node_type`` (``group`` or ``array``), ``attributes`` and, for arrays, the
other members of ``zarr.json`` or ``.zarray``. The module :mod:`~bigimg.omezarr.objects` reads the bytes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigimg.errors import InputError, InputNotFoundError, one_line
from bigimg.omezarr.archive import Archive
from bigimg.omezarr.documents import document_of, is_key
from bigimg.omezarr.objects import Location, ObjectPath, listing, readable, small_object
from bigimg.omezarr.web import Web
from bigimg.places.address import redacted
from bigimg.places.staging import why_absent
from bigimg.places.unzip import DAMAGED

type Node = dict[str, Any]

ZIPPED = (".zip", ".ozx")
NAMED_ZIPS = (".ozx", ".zarr.zip")
"""Endings of the names of zip files that hold a store."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Objects by their keys, in a folder, a zip file or behind a URL."""

    path: str
    """As the user wrote it, for messages; of a URL without secrets."""
    folder: Path | None = None
    """The local folder, absolute, because a worker may have another current folder."""
    objects: Archive | Web | None = None
    """The zip file or URL, when it is no folder."""

    def where(self, key: str) -> str:
        """Return how to name ``key`` in a message."""
        return join(self.path.rstrip("/"), key)

    def location(self, key: str) -> Location:
        """Return the location of a group or array: a path if it is on disk.

        Raises
        ------
        InputError
            The key leads out of the tree. Links on disk are followed: only who may write there makes them.
        """
        if not is_key(key):
            raise InputError(
                f"{self.path}: its metadata name {key!r:.80}, which is no place in it; correct them"
            )
        if self.objects is not None:
            return ObjectPath(self.objects, key, self.where(key))
        assert self.folder is not None
        return self.folder / key

    def below(self, key: str) -> Tree | None:
        """Return the tree at ``key``, such as a label image; None behind a URL, which has an address for it."""
        if self.folder is not None:
            return Tree(self.where(key), folder=self.folder / key)
        return (
            Tree(self.where(key), objects=self.objects.below(key))
            if isinstance(self.objects, Archive)
            else None
        )

    def read(self, key: str) -> bytes | None:
        """Return the bytes at ``key``, or None where there is nothing.

        Raises
        ------
        InputError
            They are there, but cannot be read.
        """
        with readable(self.where(key)):
            try:
                return small_object(self.location(key))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def children(self, key: str) -> list[str]:
        """Return the names directly under ``key``, numbers first and in order; empty where they cannot be listed."""
        try:
            where = self.location(key)
            names = os.listdir(where) if isinstance(where, Path) else [*listing(where)]
        except (OSError, NotImplementedError):  # fsspec raises the latter for servers that list nothing
            return []
        return sorted(
            names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
        )

    def node(self, key: str) -> Node | None:
        """Return the node at ``key``, or None where there is none.

        Raises
        ------
        InputError
            A document there is not JSON, or not an object.
        """
        document = self._document(join(key, "zarr.json"))
        if document is not None:
            return {"attributes": {}, "node_type": "group", "zarr_format": 3} | document
        array = self._document(join(key, ".zarray"))
        attributes = self._document(join(key, ".zattrs"))
        if array is not None:
            return array | {"attributes": attributes or {}, "node_type": "array", "zarr_format": 2}
        # A .zattrs alone counts as a group, because some writers and some copies lack .zgroup.
        if attributes is None and self._document(join(key, ".zgroup")) is None:
            return None
        return {"attributes": attributes or {}, "node_type": "group", "zarr_format": 2}

    def _document(self, key: str) -> Node | None:
        data = self.read(key)
        if data is None:
            return None
        try:
            document = document_of(data)
            if not isinstance(document.get("attributes", {}), dict):
                raise ValueError("its attributes are no object")
        except ValueError as error:
            raise InputError(
                f"{self.where(key)}: not JSON as zarr writes it ({one_line(error)}); restore it"
            ) from None
        return document


def tree_of(path: str | os.PathLike[str]) -> Tree:
    """Return the tree at a folder, a zip file or a URL.

    Raises
    ------
    InputNotFoundError
        There is no such folder or file.
    InputError
        It is a file, and not a zip file.
    """
    name = os.fspath(path)
    if re.match(r"[a-z][a-z0-9+.-]+(://|::)", name) and not os.path.lexists(name):
        return Tree(redacted(name), objects=Web(name))
    local = Path(name)
    if local.is_dir():
        return Tree(name, folder=local.absolute())
    if not local.exists():
        raise InputNotFoundError(why_absent(name))
    if local.suffix.lower() not in ZIPPED:
        raise InputError(f"{name}: a file, and an OME-Zarr store is a folder; give the folder with zarr.json")
    return zipped_tree(local, shown=name)


def zipped_tree(path: str | os.PathLike[str], prefix: str = "", *, shown: str, keep: object = None) -> Tree:
    """Return the tree in a local zip file.

    Parameters
    ----------
    path : path
    prefix : str
        The folder in it, with a slash at its end.
    shown : str
        Name of the tree in messages.
    keep : object
        Keeps the file for as long as the tree lives.

    Raises
    ------
    InputError
        It is no zip file.
    """
    try:
        return Tree(shown, objects=Archive(Path(path).absolute(), prefix, keep))
    except DAMAGED as error:
        raise InputError(
            f"{shown}: not a zip file that can be read ({one_line(error)}); copy it again"
        ) from error


def join(*parts: str) -> str:
    """Return the parts as one key, the empty ones left out."""
    return "/".join(part for part in parts if part)
