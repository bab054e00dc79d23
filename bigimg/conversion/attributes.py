"""The attributes of an image in a store of ours replaced: whole or not at all, also when the run is killed.

Two documents change, the root and the manifest, and no rename replaces two files. So the manifest comes first, and
holds both what the root will be and what it is:

    replace manifest     with the record and the attributes of the new root, and of the old one
    replace root         by one rename: this is the edit
    replace manifest     without those of the old root

A run that is killed at any of these lines leaves the old metadata or the new, and the manifest vouches for it. Copies
of zarr 2 in ``.zmetadata`` are put aside before and made again behind, so that they never say anything else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigimg.conversion import commit
from bigimg.omezarr.manifest import (
    Manifest,
    Record,
    Replaced,
    read_manifest,
    read_object,
    record_of,
    replace_file,
    unfinished,
    zarr_at,
)
from bigimg.omezarr.metadata import ATTRIBUTES, CONSOLIDATED, MANIFEST, dumps, group_documents
from bigimg.system.sync import sync_folder


def write_attributes(root: Path, attributes: Mapping[str, Any]) -> None:
    """Put ``attributes`` in the place of those of the image in ``root``, and renew the manifest.

    A kill leaves the old or the new ones, and the manifest vouches for them.
    """
    zarr, manifest = zarr_at(root), read_manifest(root)
    assert manifest is not None
    key = ATTRIBUTES[zarr]
    old = read_object(root / key)
    plain = group_documents(attributes, zarr)[key]
    objects = {**manifest.objects, key: record_of(key, plain)}
    new = Manifest(objects, json.loads(dumps(attributes)))
    finished = new.document(zarr)
    inside = {f"{MANIFEST}/{key}": finished}
    document = _with_copies(root, json.loads(old), plain, inside) if zarr == 3 else plain
    aside = root / unfinished(CONSOLIDATED)
    if old == document and (root / MANIFEST / key).read_bytes() == finished and not aside.exists():
        return
    replaced = _as_it_is(manifest, key, record_of(key, old))
    if zarr == 2 and (root / CONSOLIDATED).exists():
        os.replace(root / CONSOLIDATED, aside)
        sync_folder(root)
    replace_file(root / MANIFEST / key, replace(new, replaced=replaced).document(zarr))
    commit.hook("announced")
    replace_file(root / key, document)
    commit.hook("edited")
    replace_file(root / MANIFEST / key, finished)
    commit.hook("vouched")
    if (copies := _read(aside)) is not None:
        _renew(root, copies)
    commit.hook("copied")


def _as_it_is(manifest: Manifest, key: str, document: Record) -> Replaced:
    """Return what the manifest says of the root that lies there now."""
    if manifest.replaced is not None and manifest.replaced.document == document:
        return manifest.replaced  # an edit was interrupted before it came to the root
    return Replaced(document, manifest.objects[key], manifest.written)


def _with_copies(root: Path, old: dict[str, Any], plain: bytes, inside: Mapping[str, bytes]) -> bytes:
    """Return the document of a root of zarr 3, with what else is in it, such as copies of the documents below."""
    rest = {
        name: value for name, value in old.items() if name not in ("attributes", "zarr_format", "node_type")
    }
    if not rest:
        return plain
    copies = rest.get("consolidated_metadata")
    if isinstance(copies, dict) and isinstance(copies.get("metadata"), dict):
        found = {}
        for node, copy in copies["metadata"].items():
            key = f"{node}/{ATTRIBUTES[3]}"
            data = inside.get(key) or (_read(root / key))
            known = (
                {"consolidated_metadata": copy["consolidated_metadata"]}
                if "consolidated_metadata" in copy
                else {}
            )
            found[node] = copy if data is None else {**json.loads(data), **known}
        rest["consolidated_metadata"] = {**copies, "metadata": found}
    return dumps({**json.loads(plain), **rest})


def _renew(root: Path, copies: bytes) -> None:
    """Make the copies of documents of zarr 2 again that were put aside."""
    try:
        found = json.loads(copies)
        known = {key: _read(root / key) for key in found["metadata"]}
    except (ValueError, KeyError, TypeError):  # no copies, or the run was killed while it wrote them
        (root / unfinished(CONSOLIDATED)).unlink()
        return
    documents = {key: json.loads(data) for key, data in known.items() if data is not None}
    replace_file(root / CONSOLIDATED, dumps({**found, "metadata": documents}))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
