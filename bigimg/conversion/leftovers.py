"""What runs that were killed left beside their targets: find it, size it, remove it when told to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bigimg.conversion.commit import STORE, discard, explained, read_owner
from bigimg.errors import InputError, InputNotFoundError, OutputError
from bigimg.omezarr.manifest import GROUP
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.tree import tree_of
from bigimg.planning.memory import human_bytes
from bigimg.system.locks import take
from bigimg.system.rename import finish_exchange
from bigimg.types import Json


@dataclass(frozen=True, slots=True)
class Leftover:
    """A staging folder of ours that no run holds."""

    folder: str
    target: str
    """Name of the store that it was to become."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Leftovers:
    """All of one folder. Print it, or take :meth:`to_dict`."""

    where: str
    found: tuple[Leftover, ...]
    removed: bool

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {
            "where": self.where,
            "removed": self.removed,
            "found": [
                {"folder": left.folder, "target": left.target, "size_bytes": left.size_bytes}
                for left in self.found
            ],
        }

    def __str__(self) -> str:
        if not self.found:
            return f"{self.where}: nothing of bigimg's is left over"
        lines = [
            f"{human_bytes(left.size_bytes):>8}  {left.folder} (for {left.target})" for left in self.found
        ]
        last = "removed" if self.removed else "run the conversion again to go on, or clean --remove to remove"
        return "\n".join((*lines, last))


def clean(folder: str | os.PathLike[str], *, remove: bool = False) -> Leftovers:
    """Return what interrupted runs left in ``folder``, and remove it when ``remove`` says so.

    Only folders with our owner file that no run has locked. Below ``folder`` only the ``labels`` of stores are looked
    at, for runs that wrote a label image; no other folder is entered.

    Raises
    ------
    InputNotFoundError
        There is no such folder.
    OutputError
        What was to be removed cannot be.
    """
    where = Path(folder)
    if not where.is_dir():
        raise InputNotFoundError(f"{folder}: is no folder: name the one that holds the targets")
    found = []
    for place in (where, *_labels_below(where)):
        for path in sorted(place.glob(".*.bigimg")):
            left = _held(path, remove=remove)
            if left is not None:
                found.append(left)
    return Leftovers(os.fspath(folder), tuple(found), remove)


def _labels_below(folder: Path) -> Iterator[Path]:
    """Yield ``labels`` of the store that ``folder`` is, and of those in it; only zarr groups are entered."""
    if _is_group(folder) and (folder / LABELS).is_dir():
        yield folder / LABELS
    for name in tree_of(folder).children(""):
        if name not in (LABELS, GROUP) and _is_group(folder / name):
            yield from _labels_below(folder / name)


def _is_group(path: Path) -> bool:
    """Return whether a folder is a zarr group; an array may hold a million folders, and no labels."""
    try:
        if path.is_symlink() or not path.is_dir():
            return False
        node = tree_of(path).node("")
    except (InputError, OSError):  # not what zarr writes, or not for us to read
        return False
    return node is not None and node.get("node_type") == "group"


def _held(path: Path, *, remove: bool) -> Leftover | None:
    """Return the leftover at ``path``, or None when it is not ours or a run is at work in it."""
    if path.is_symlink() or not path.is_dir():
        return None
    try:
        lock = take(path)
    except (
        BlockingIOError,
        FileNotFoundError,
        PermissionError,
    ):  # of a run, or of somebody else in a shared folder
        return None
    try:
        try:
            owner = read_owner(path)
        except OutputError:  # not ours, or of another version
            return None
        if owner is None:
            return None
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if remove:
            with explained(path):
                finish_exchange(path / STORE, path.with_name(str(owner.get("target"))))
                discard(path)
        return Leftover(str(path), str(owner.get("target")), size)
    finally:
        lock.release()
