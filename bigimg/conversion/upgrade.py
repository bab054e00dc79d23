"""A store of ours made one of a newer version of OME-Zarr by its metadata alone; no object of pixels is touched.

Arrays and chunks of 0.5 and 0.6 are the same, so only the attributes of the image and of its label images change, as
by an edit: a kill leaves the old ones or the new, and the manifest vouches for them. Label images come first, so that
after a kill the same command goes on. 0.4 is made of zarr 2, whose chunks have other names and no shards and
checksums: a hierarchy of zarr 3 could point to them, but few programs would read it, so such a store is converted.

A plate is of one version: its fields come first, then the lists of the wells, and that of the plate last.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bigimg.conversion import commit
from bigimg.conversion.attributes import write_attributes
from bigimg.conversion.edit import (
    attributes_of_image,
    image_folder,
    label_folders,
    levels_of,
    method_of,
    own_store,
)
from bigimg.conversion.target import is_own_plate
from bigimg.errors import OutputError, UsageError, counted
from bigimg.omezarr.manifest import read_manifest, replace_file, zarr_at
from bigimg.omezarr.metadata import ATTRIBUTES, LABELS, dumps
from bigimg.omezarr.open import open_store
from bigimg.omezarr.plate_tree import fields_of, plate_of
from bigimg.omezarr.plates import PlateMeta, is_well
from bigimg.omezarr.tree import Tree, join, tree_of
from bigimg.omezarr.upgraded import upgraded
from bigimg.system.locks import locked
from bigimg.types import Version

TARGETS = ("0.5", "0.6")
"""Versions that a store can be upgraded to."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade changed. Print it, or take :meth:`to_dict`."""

    store: str
    before: str
    """Version of OME-Zarr."""
    after: str
    labels: tuple[str, ...]
    """Label images that were upgraded too."""
    notes: tuple[str, ...]
    fields: tuple[str, ...] = ()
    """Fields of a plate that were upgraded, with their label images."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        lists = {"labels": list(self.labels), "notes": list(self.notes), "fields": list(self.fields)}
        return asdict(self) | lists

    def __str__(self) -> str:
        same = self.before == self.after
        lines = [
            f"  OME-Zarr {self.after} already" if same else f"  OME-Zarr {self.after}, was {self.before}"
        ]
        lines += [f"  {LABELS}/{name}: follows" for name in self.labels]
        lines += [f"  {counted(len(self.fields), 'field')} with their label images"] if self.fields else []
        return "\n".join([self.store, *lines, *(f"note: {note}" for note in self.notes)])


def upgrade(store: str | os.PathLike[str], *, to: Version = "0.6") -> Upgrade:
    """Make ``store`` one of OME-Zarr ``to`` by its metadata alone; no pixel is read or written.

    The manifest follows, and so do the label images in the store. A run that is killed leaves the old metadata or the
    new of each image, and the same call goes on. Programs that do not read ``to`` no longer read the store.

    Parameters
    ----------
    store : path
        An OME-Zarr image or plate that bigimg wrote, of version 0.5. A plate is upgraded with all its fields.
    to : {"0.6", "0.5"}

    Returns
    -------
    Upgrade
        ``.before`` and ``.after``, ``.labels`` that follow, ``.fields`` of a plate, ``.notes``, ``.to_dict()``.

    Raises
    ------
    UsageError
        The store is of 0.4, whose chunks are of another kind (the message has the line that converts it), or newer than
        ``to``, or no folder, or a field of a plate, which has one version.
    InputNotFoundError, InputError, IntegrityError
        The store does not exist, or its metadata is damaged.
    OutputError
        bigimg did not write the store, or it cannot be written to.
    """
    if to not in TARGETS:
        raise UsageError(f"to={to!r}: a store is upgraded to {' or '.join(TARGETS)}")
    tree = tree_of(store)
    if tree.folder is not None and (plate := plate_of(tree)) is not None:
        return _of_plate(tree, tree.folder, plate, to)
    root = image_folder(store)
    if (above := tree_of(root.parent).node("")) is not None and is_well(above["attributes"]):
        raise UsageError(f"{store}: is a field of a plate, which has one version: upgrade {root.parents[2]}")
    with commit.explained(root):
        return _of_image(root, os.fspath(store), to)


def _of_plate(tree: Tree, root: Path, plate: PlateMeta, to: Version) -> Upgrade:
    """Upgrade all fields of a plate, which are checked first, and then what lists them."""
    _check(root, plate.version, to, own=is_own_plate(root))
    fields = [join(well.path, each.path) for well in plate.wells for each in fields_of(tree, well.path)]
    with commit.explained(root):
        for path in fields:
            _checked(root / path, to)
        found = [_of_image(root / path, path, to) for path in fields]
        for well in plate.wells:
            _upgrade_group(root / well.path, to)
        _upgrade_group(root, to)
    changed = tuple(each.store for each in found if each.before != to or each.labels)
    notes = tuple(f"{each.store}/{note}" for each in found for note in each.notes)
    return Upgrade(tree.path, plate.version, to, (), notes, changed)


def _of_image(root: Path, shown: str, to: Version) -> Upgrade:
    """Upgrade one image, its label images first."""
    labels, notes = list[str](), list[str]()
    with locked(root):
        before = _checked(root, to)
        for name in label_folders(root):
            folder = root / LABELS / name
            if read_manifest(folder) is None:
                notes.append(f"{LABELS}/{name}: was not written by bigimg, and stays as it is: convert it")
                continue
            with locked(folder):
                if _checked(folder, to) != to:
                    labels.append(name)
                _upgrade(folder, to)
        _upgrade_group(root / LABELS, to)
        _upgrade(root, to)
    return Upgrade(shown, before, to, tuple(labels), tuple(notes))


def _checked(root: Path, to: Version) -> str:
    """Return the version of the image in ``root``, from which it can be upgraded."""
    store = open_store(root)
    _check(root, store.version or "", to, own=store.has_manifest)
    return store.version or ""


def _check(root: Path, version: str, to: Version, *, own: bool) -> None:
    """Refuse a store that cannot be upgraded from ``version``."""
    way = f"convert it with ome_version={to!r}"
    if zarr_at(root) == 2:
        raise UsageError(
            f"{root}: has chunks of zarr 2, as OME-Zarr 0.4 has, and metadata alone make it no {to}: {way}"
        )
    if not own:
        raise OutputError(f"{root}: bigimg did not write this store, and upgrades its own alone: {way}")
    if version > to:
        raise UsageError(
            f"{root}: is OME-Zarr {version}, newer than {to}: convert it with ome_version={to!r}"
        )


def _upgrade(root: Path, to: Version) -> None:
    """Write the attributes of one image; those of an upgrade that was killed are brought to their end."""
    store, attributes = own_store(root), attributes_of_image(root)
    if store.version != to:
        spec = store.spec()
        attributes = upgraded(
            attributes, spec, levels_of(store, spec.axes), method=method_of(store), version=to
        )
    write_attributes(root, attributes)


def _upgrade_group(folder: Path, to: Version) -> None:
    """Write the version into the document that lists label images, fields or wells, if there is one."""
    path = folder / ATTRIBUTES[3]
    if not path.exists():
        return
    with locked(folder):
        try:
            document = json.loads(path.read_bytes())
            block = document["attributes"]["ome"]
            changed = block.get("version") != to
        except (ValueError, KeyError, TypeError, AttributeError):
            raise OutputError(f"{path}: not JSON as OME-Zarr has it, and left alone: restore it") from None
        if changed:
            block["version"] = to
            replace_file(path, dumps(document))
        commit.hook("listed")
