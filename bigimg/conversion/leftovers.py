"""The staging folders that killed runs left beside their targets: found, measured, and removed on request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bigimg.conversion.commit import STORE, discard, explained, read_owner
from bigimg.errors import InputError, InputNotFoundError, OutputError
from bigimg.omezarr.manifest import GROUP
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.tree import tree_of
from bigimg.planning.memory import human_bytes
from bigimg.system.locks import take
from bigimg.system.rename import finish_exchange


@dataclass(frozen=True, slots=True)
class Leftover:
    """A staging folder of ours that no run holds."""

    folder: str
    target: str
    """Name of the store that was being written."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Leftovers:
    """All of one folder. Print it, or take :meth:`to_dict`."""

    where: str
    found: tuple[Leftover, ...]
    removed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return asdict(self) | {"found": [asdict(left) for left in self.found]}

    def __str__(self) -> str:
        if not self.found:
            return f"{self.where}: nothing of bigimg's is left over"
        lines = [
            f"{human_bytes(left.size_bytes):>8}  {left.folder} (for {left.target})" for left in self.found
        ]
        last = "removed" if self.removed else "run the conversion again to go on, or clean --remove to remove"
        return "\n".join((*lines, last))


def clean(folder: str | os.PathLike[str], *, remove: bool = False) -> Leftovers:
    """Return what interrupted runs left in ``folder``, and remove it if ``remove`` is true.

    Only folders with our owner file count, and only if no run has locked them. Below ``folder`` the ``labels`` of
    stores are searched for runs that wrote a label image; no other folder is entered.

    Raises
    ------
    InputNotFoundError
        There is no such folder.
    OutputError
        A folder cannot be removed.
    """
    where = Path(folder)
    if not where.is_dir():
        raise InputNotFoundError(f"{folder}: is no folder: name the one that holds the targets")
    paths = [path for each in (where, *_labels_below(where)) for path in sorted(each.glob(".*.bigimg"))]
    found = [_leftover(path, remove=remove) for path in paths]
    return Leftovers(os.fspath(folder), tuple(left for left in found if left is not None), remove)


def _labels_below(folder: Path) -> Iterator[Path]:
    """Yield ``labels`` of the store that ``folder`` is, and of those in it; only zarr groups are entered."""
    if _is_group(folder) and (folder / LABELS).is_dir():
        yield folder / LABELS
    for name in tree_of(folder).children(""):
        if name not in (LABELS, GROUP) and _is_group(folder / name):
            yield from _labels_below(folder / name)


def _is_group(path: Path) -> bool:
    """Return whether a folder is a zarr group; an array has no labels, and may hold a million folders."""
    try:
        if path.is_symlink() or not path.is_dir():
            return False
        node = tree_of(path).node("")
    except (InputError, OSError):  # not what zarr writes, or no permission to read it
        return False
    return node is not None and node.get("node_type") == "group"


def _leftover(path: Path, *, remove: bool) -> Leftover | None:
    """Return the leftover at ``path``, or None when it is not ours or a run is using it."""
    if path.is_symlink() or not path.is_dir():
        return None
    try:
        lock = take(path)
    except (BlockingIOError, FileNotFoundError, PermissionError):  # of a run, or of another user
        return None
    try:
        if (owner := read_owner(path)) is None:
            return None
        target = str(owner.get("target"))
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    except OutputError:  # not ours, or of another version
        lock.release()
        return None
    try:
        if remove:
            with explained(path):
                finish_exchange(path / STORE, path.with_name(target))
                discard(path)
        return Leftover(str(path), target, size)
    finally:
        lock.release()
