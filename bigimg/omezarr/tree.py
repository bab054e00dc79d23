"""The JSON documents of a zarr hierarchy, v2 and v3, in a folder, a zip file or behind a URL.

A node is a dict with ``zarr_format``, ``node_type`` (``group`` or ``array``), ``attributes`` and, for arrays,
what ``zarr.json`` or ``.zarray`` say. Folders and zip files are read with the standard library, URLs by fsspec.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigimg.errors import InputError, InputNotFoundError, MissingExtraError
from bigimg.places.address import redacted

type Node = dict[str, Any]

DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
ZIPPED = (".zip", ".ozx")


@dataclass(frozen=True, slots=True)
class Tree:
    """A place with keys and bytes."""

    path: str
    """As given, for messages; of a URL without what is secret."""
    folder: Path | None = None
    """The local folder, absolute: a worker may run in another one."""
    archive: Path | None = None
    """The local zip file."""
    address: str = field(default="", repr=False)
    """The URL when it is neither, with the password and token that it may hold."""

    def where(self, key: str) -> str:
        """Return how to name ``key`` in a message."""
        return join(self.path.rstrip("/"), key)

    def read(self, key: str) -> bytes | None:
        """Return the bytes at ``key``, or None where there is nothing.

        Raises
        ------
        InputError
            They are there, but cannot be read.
        """
        try:
            if self.folder is not None:
                return (self.folder / key).read_bytes()
            if self.archive is not None:
                with zipfile.ZipFile(self.archive) as file:
                    return file.read(key)
            return self._fetch(key)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, KeyError):
            return None
        except (OSError, zipfile.BadZipFile) as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise InputError(
                f"{self.where(key)}: cannot be read ({said}); check path and permissions"
            ) from error

    def _fetch(self, key: str) -> bytes:
        from fsspec.core import url_to_fs

        try:
            fs, root = url_to_fs(self.address)
            data: bytes = fs.cat_file(join(root.rstrip("/"), key))
        except (OSError, KeyError):
            raise
        except ImportError as error:
            raise MissingExtraError(
                f"{self.path}: {redacted(str(error))}; pip install 'bigimg[remote]'"
            ) from error
        except Exception as error:  # each protocol has its own kinds, and they share no root
            said = redacted(f"{type(error).__name__}: {error}")
            raise InputError(f"{self.where(key)}: cannot be fetched ({said}); check the address") from error
        return data

    def children(self, key: str) -> list[str]:
        """Return the names directly under ``key``, sorted as people count; empty where they cannot be listed."""
        prefix = f"{key}/".lstrip("/")
        names: set[str]
        try:
            if self.folder is not None:
                names = set(os.listdir(self.folder / key))
            elif self.archive is not None:
                with zipfile.ZipFile(self.archive) as file:
                    inside = [
                        name.removeprefix(prefix) for name in file.namelist() if name.startswith(prefix)
                    ]
                names = {name.split("/")[0] for name in inside}
            else:
                from fsspec.core import url_to_fs

                fs, root = url_to_fs(self.address)
                names = {Path(name).name for name in fs.ls(f"{root.rstrip('/')}/{prefix}", detail=False)}
        except (OSError, NotImplementedError):
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
        document = self._document(f"{key}/zarr.json".lstrip("/"))
        if document is not None:
            return {"attributes": {}, "node_type": "group", "zarr_format": 3} | document
        array = self._document(f"{key}/.zarray".lstrip("/"))
        attributes = self._document(f"{key}/.zattrs".lstrip("/"))
        if array is not None:
            return array | {"attributes": attributes or {}, "node_type": "array", "zarr_format": 2}
        # A .zattrs alone is taken for a group: some writers, and copies without hidden files, leave .zgroup out.
        if attributes is None and self._document(f"{key}/.zgroup".lstrip("/")) is None:
            return None
        return {"attributes": attributes or {}, "node_type": "group", "zarr_format": 2}

    def _document(self, key: str) -> Node | None:
        data = self.read(key)
        if data is None:
            return None
        try:
            document = json.loads(data)
        except ValueError as error:
            raise InputError(f"{self.where(key)}: not JSON ({error}); restore the file") from None
        if not isinstance(document, dict) or not isinstance(document.get("attributes", {}), dict):
            raise InputError(f"{self.where(key)}: not a JSON object as zarr writes it; restore the file")
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
    if re.match(r"[a-z][a-z0-9+.-]+(://|::)", name):
        return Tree(redacted(name), address=name)
    local = Path(name)
    if local.is_dir():
        return Tree(name, folder=local.absolute())
    if not local.exists():
        raise InputNotFoundError(f"{name}: there is no such file or folder; check the path")
    if local.suffix.lower() not in ZIPPED or not zipfile.is_zipfile(local):
        raise InputError(
            f"{name}: a file, and an OME-Zarr store is a folder; give the folder that holds zarr.json"
        )
    return Tree(name, archive=local.absolute())


def join(*parts: str) -> str:
    """Return the parts as one key, the empty ones left out."""
    return "/".join(part for part in parts if part)
