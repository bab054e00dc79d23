"""Which objects of a store of ours are missing, cut, changed or not ours: small objects are read, shards measured.

The check believes nothing that the store says without a checksum, so that one damage does not hide the next.
Lengths come from listings, one folder at a time: no shard is opened, and memory does not grow with the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bigimg.errors import BigimgError, InputError, MissingChunk
from bigimg.omezarr import manifest
from bigimg.omezarr.documents import DOCUMENTS
from bigimg.omezarr.edited import check_copy, check_document, edited_image
from bigimg.omezarr.manifest import GROUP, HISTOGRAM, PROVENANCE
from bigimg.omezarr.metadata import ARRAY, ATTRIBUTES, CONSOLIDATED, LABELS, MANIFEST
from bigimg.omezarr.objects import DANGLING, Listed, Location, listing
from bigimg.omezarr.parse import ArrayMeta, parse_array
from bigimg.omezarr.records import COLUMNS
from bigimg.omezarr.shard import object_grid
from bigimg.omezarr.tree import Tree
from bigimg.types import Array, Shape
from bigimg.verification.levels import OwnLevel, of_object
from bigimg.verification.report import Finding, Findings, Problem

type Listing = Mapping[str, Listed]
"""What a folder holds, by name."""


def is_ours(root: Location) -> bool:
    """Return whether the store ``root`` has a manifest of ours, or what is left of one."""
    if isinstance(root, Path):
        return (root / MANIFEST).is_dir()
    return any((root / MANIFEST / name).exists() for name in ATTRIBUTES.values()) or (
        _list_root(root) is not None and bool(listing(root / MANIFEST))
    )


def _list_root(root: Location) -> Listing | None:
    """Return what a store of ours holds, by name; None where it cannot be listed, as on many web servers."""
    if isinstance(root, Path):
        return listing(root)
    try:
        found = listing(root)
    except (OSError, InputError, NotImplementedError):  # each protocol refuses in its own way
        return None
    return found if GROUP in found else None


class CheckedObjects:
    """A store of ours whose objects were checked: all for presence and length, the small ones for their bytes.

    It tells what later checks can rely on. What others edited is no damage, and is added to ``found.edits``.

    Parameters
    ----------
    tree : Tree
    found : Findings
    trusting : bool
        Take edited attributes of which an older bigimg kept no copy for an edit.
    """

    def __init__(self, tree: Tree, found: Findings, *, trusting: bool = False) -> None:
        self.tree, self.found, self.place = tree, found, tree.location("")
        self.zarr = manifest.zarr_at(self.place)
        self.array, self.attributes = ARRAY[self.zarr], ATTRIBUTES[self.zarr]
        self.at_root = _list_root(self.place)
        self.names = set() if self.at_root is None else {*self.at_root, *listing(self.place / MANIFEST)}
        self.damaged: set[str] = set()
        """Keys of the small objects that are not as written."""
        self.objects: Mapping[str, manifest.Record] = {}
        """Length and checksum of the small objects, by the manifest."""
        listed = self._manifest()
        found.objects += len(self.objects) + 2  # the list itself, and the provenance
        self.root: Mapping[str, Any] | None = None
        """Attributes of the image as they count; None when its document is damaged."""
        for key, record in self.objects.items():
            with self._noting_damage():
                if key == self.attributes:
                    self.root = self._root(listed, trusting=trusting)
                elif key.startswith(f"{GROUP}/") or key.rpartition("/")[2] not in DOCUMENTS:
                    manifest.check_small(self.place, key, record)
                else:
                    check_document(self.place, key, record)
        statistics = (f"{GROUP}/{self.attributes}", HISTOGRAM)
        self.statistics = not any(key.startswith(statistics) for key in self.damaged)
        """Whether the statistics and the histogram are as written."""
        self.documents = bool(self.objects) and not self.damaged
        """Whether all small objects are as written."""
        with self._noting_damage():
            manifest.check_provenance(self.place)
        if self.at_root is None:
            found.note("objects were not looked for: they cannot be listed there, so lengths are unknown")
        self.levels: dict[int, OwnLevel] = {}
        for index in self._level_numbers():
            if (level := self._level(index)) is not None:
                self.levels[index] = level
            self.documents &= level is not None and level.records is not None
        if self.at_root is not None:
            self._find_unlisted_at_root(self.at_root)

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        """Turn an error about a small object into a finding, and remember which object it is."""
        try:
            yield
        except BigimgError as error:
            key, _, message = str(error).removeprefix(f"{self.place}/").partition(": ")
            array = re.sub(r"/(zarr\.json|\.zarray|\.zattrs|c/[0-9/]+)$", "", key)
            level = array.rsplit("/", 1)[-1]
            kind: Problem = "missing" if isinstance(error, MissingChunk) else "corrupt"
            number = int(level) if level.isdecimal() else None
            self.found.add(Finding(kind, key, message, array if array != key else None, number))
            self.damaged.add(key)

    # ------------------------------------------------------------------------------------------ small objects

    def _manifest(self) -> manifest.Manifest:
        """Return the manifest, after its list of small objects was compared with what bigimg would write of it."""
        name = f"{MANIFEST}/{self.attributes}"
        with self._noting_damage():
            listed = manifest.read_manifest(self.place)
            if listed is None:
                message = "the list of objects is gone; restore it, or convert again"
                raise MissingChunk(f"{self.place / name}: {message}")
            self.objects = listed.objects
            if (self.place / name).read_bytes() != listed.document(self.zarr):
                self.found.add(Finding("corrupt", name, "other bytes than bigimg writes; restore the object"))
            needed = {self.attributes, f"{GROUP}/{self.attributes}"}
            for i in self._level_numbers():
                needed |= {f"{i}/{self.array}", f"{i}/{self.attributes}", f"{MANIFEST}/{i}/{self.array}"}
            for key in sorted(needed - set(self.objects)):
                self.found.add(Finding("metadata", name, f"does not list {key}; restore the object"))
            if listed.replaced is not None:
                self.found.note("an edit was interrupted: the metadata before or after it counts; edit again")
            with self._noting_damage():
                check_copy(self.place, listed)
            return listed
        self.found.note("the list of small objects is damaged: metadata was not compared with it")
        return manifest.Manifest(self.objects)

    def _root(self, listed: manifest.Manifest, *, trusting: bool) -> Mapping[str, Any] | None:
        """Return the attributes of the image as they count, and remember what others edited."""
        if (edited := edited_image(self.place, listed, trusting=trusting)) is not None:
            self.found.edits += [f"{self.attributes}: {change}" for change in edited.changes]
            return edited.attributes
        node = self.tree.node("")
        return None if node is None else node["attributes"]

    def _level_numbers(self) -> list[int]:
        """Return the levels that the manifest or the names in the store tell of."""
        listed = {
            key.split("/")[-2]
            for key in self.objects
            if key.startswith(f"{MANIFEST}/") and key.endswith(f"/{self.array}")
        }
        return sorted(int(name) for name in listed | self.names if name.isdecimal())

    def _level(self, index: int) -> OwnLevel | None:
        """Check the objects of one level; return None when its metadata is damaged."""
        records = self._records(index)
        meta = self._metadata(index)
        if meta is None or meta.layout is None:
            self.found.note(f"level {index}: its metadata is damaged, so its pixels were not checked")
            self._measure(index, None if records is None else records[..., 0], measured=True)
            return None
        grid = object_grid(meta.layout)
        if records is not None and (records.shape[:-1] != grid or records.shape[-1] not in COLUMNS):
            message = f"lists a grid of {records.shape[:-1]} objects, and the array has {grid}; restore both"
            self.found.add(Finding("metadata", f"{MANIFEST}/{index}/{self.array}", message))
            records = None
        if records is None:
            own = "have no checksums" if self.zarr == 2 else "have their own checksums alone"
            self.found.note(f"level {index}: its part of the manifest is damaged: chunks {own}")
        lengths = np.zeros(grid) if records is None else records[..., 0]
        self._measure(index, lengths, measured=records is not None)
        dims = tuple(map(str, meta.dims or ()))
        return OwnLevel(index, self.place / str(index), dims, meta.layout, records)

    def _metadata(self, index: int) -> ArrayMeta | None:
        """Return the metadata of a level, or None when it is damaged."""
        key = f"{index}/{self.array}"
        if {key, f"{index}/{self.attributes}"} & self.damaged:
            return None
        with self._noting_damage():
            node = self.tree.node(str(index))
            if node is None:
                raise MissingChunk(f"{self.place / key}: the object is gone; restore it, or convert again")
            meta = parse_array(node, source=str(self.place / str(index)))
            if meta.layout is None:
                raise InputError(f"{self.place / key}: not an array as bigimg writes it; restore the object")
            return meta
        return None

    def _records(self, index: int) -> Array | None:
        """Return length and checksum of every shard of a level, or None when these are damaged."""
        folder = f"{MANIFEST}/{index}"
        if any(name.startswith(f"{folder}/") for name in self.damaged):
            return None
        with self._noting_damage():
            return manifest.read_array(self.place / folder, self.zarr)
        return None

    # -------------------------------------------------------------------------------------------- the folders

    def _measure(self, index: int, lengths: Array | None, *, measured: bool) -> None:
        """Compare the files of one level with what belongs there, and if ``measured`` with their ``lengths``."""
        if self.at_root is None:
            return
        key, documents = str(index), {self.array, self.attributes}
        if self.zarr == 3:
            self._find_unlisted(key, listing(self.place / key), {*documents, "c"})
            key, documents = f"{key}/c", set()
        if lengths is not None:
            self.found.objects += lengths.size
            self._compare(key, index, (), lengths, measured, documents)

    def _compare(
        self, key: str, level: int, index: Shape, lengths: Array, measured: bool, documents: Set[str] = frozenset()
    ) -> None:  # fmt: skip
        """Compare the folder ``key`` with ``lengths`` of its objects, of shape grid[len(index):]."""
        inside = listing(self.place / key)
        for i in range(len(lengths)) if lengths.ndim > 1 else ():
            self._compare(f"{key}/{i}", level, (*index, i), lengths[i], measured)
        for i, length in enumerate(lengths.tolist()) if lengths.ndim == 1 else ():
            entry = inside.get(str(i))
            if entry is None or entry.length == DANGLING:
                message = "the object is gone; its pixels are lost, restore it"
                self.found.add(of_object("missing", level, (*index, i), message, self.zarr))
            elif measured and entry.length not in (length, None):
                message = f"{entry.length} bytes instead of {length}; restore the object"
                self.found.add(of_object("corrupt", level, (*index, i), message, self.zarr))
        self._find_unlisted(key, inside, {*documents, *map(str, range(len(lengths)))})

    def _find_unlisted_at_root(self, at_root: Listing) -> None:
        """Find the objects at the root and in our own group that the manifest does not list."""
        levels = {name for name in at_root if name.isdecimal()}
        replaced = (self.attributes, CONSOLIDATED)
        known = {LABELS, GROUP, *replaced, *map(manifest.unfinished, replaced), *levels}
        theirs = {
            name for name, entry in at_root.items()
            if entry.folder and name not in known and not listing(self.place / name).keys().isdisjoint(DOCUMENTS)
        }  # fmt: skip
        if theirs:
            self.found.note(f"{', '.join(sorted(theirs))}: written by others, and not checked")
        self._find_unlisted("", at_root, {*known, *theirs, *self.objects})
        if self.objects:
            listed = f"{MANIFEST}/{self.attributes}"
            known = {*self.objects, listed, manifest.unfinished(listed), f"{PROVENANCE}/{self.attributes}"}
            own = self._files(GROUP, listing(self.place / GROUP))
            self.found.add(*(_unlisted(key) for key in own if key not in known))

    def _find_unlisted(self, key: str, inside: Listing, known: Set[str]) -> None:
        """Report every object ``inside`` the folder ``key`` except those with ``known`` names."""
        others = {name: entry for name, entry in inside.items() if name not in known}
        self.found.add(*map(_unlisted, self._files(key, others)))

    def _files(self, key: str, inside: Listing) -> Iterator[str]:
        """Yield the paths of all objects ``inside`` the folder ``key``; a linked folder is not entered."""
        for name, entry in sorted(inside.items()):
            path = f"{key}/{name}".lstrip("/")
            if entry.folder:
                yield from self._files(path, listing(self.place / path))
            else:
                yield path


def _unlisted(key: str) -> Finding:
    return Finding("extra", key, "is not in the manifest; remove it, bigimg did not write it")
