"""A folder into which many processes write objects, until their right to do so is taken away.

An object is written into the folder ``parts`` of its run and renamed into place once it is whole. So no half object
has a name, the same object may be written twice, and to remove ``parts`` (:func:`revoke`) is to end the right of all
writers of that run at once, also of those that nobody can reach: a rename out of a folder that is gone fails.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from errno import EBUSY, ENOENT, ENOTEMPTY
from pathlib import Path

from bigimg.places.new_file import NewFile

PARTS = "parts-"
"""How the name of such a folder begins; the id of the run follows."""
REVOKED = "revoked-"
"""And once no writer may use it."""


@dataclass(frozen=True, slots=True)
class FolderTarget:
    """Where the objects of a store or of an array of it are put. It can be pickled and sent to a worker."""

    folder: Path
    """Of the store or the array. It is made before the first object; what is above it is never made here."""
    parts: Path
    """On the same volume."""
    durable: bool = False
    """Sync each object before it gets its name: the process that ends the run cannot sync the memory of other hosts."""

    def below(self, name: str) -> FolderTarget:
        """Return the target of what is called ``name`` in it."""
        return replace(self, folder=self.folder / name)

    @contextmanager
    def sink(self, key: str, most: int, room: int) -> Iterator[NewFile]:
        """Give a file to be filled, which becomes the object ``key`` if the block ends well; see :class:`NewFile`.

        Raises
        ------
        FileNotFoundError
            The run was given up, and this object is not there.
        """
        part = self.parts / secrets.token_hex(8)
        with NewFile(part, most, room, durable=self.durable) as file:
            yield file
        self._put(part, self.folder / key)

    def _put(self, part: Path, path: Path) -> None:
        try:
            os.replace(part, path)
        except FileNotFoundError:
            if not part.exists():
                raise FileNotFoundError(ENOENT, "the run was given up", str(path)) from None
            self._make_folders(path.parent)
            os.replace(part, path)

    def _make_folders(self, folder: Path) -> None:
        """Make ``folder`` and those between it and the array; not the array, which is gone if the run was given up."""
        made = self.folder
        for name in folder.relative_to(self.folder).parts:
            made /= name
            with suppress(FileExistsError):
                made.mkdir()


def begin_parts(staging: Path) -> Path:
    """Return a new folder for the parts of a run in its ``staging`` folder, after all earlier runs lost theirs."""
    revoke(staging)
    parts = staging / f"{PARTS}{secrets.token_hex(4)}"
    parts.mkdir()
    return parts


def revoke(staging: Path) -> None:
    """Take from every writer of every run in ``staging`` the right to put objects into place, at once.

    What they were writing is removed.
    """
    for parts in staging.glob(f"{PARTS}*"):
        with suppress(FileNotFoundError):
            # In one step: while a folder is emptied, a writer might still make and rename a file.
            parts.rename(parts.with_name(f"{REVOKED}{secrets.token_hex(4)}"))
    for gone in staging.glob(f"{REVOKED}*"):
        remove_folder(gone)


def remove_folder(folder: Path) -> None:
    """Remove ``folder`` with all that is in it, if it is there.

    It is tried for some seconds: a writer that has just lost its right may be making a folder in it, and a network file
    system keeps files that somebody has open.
    """
    for patience in range(100, -1, -1):
        try:
            shutil.rmtree(folder)
            return
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError as error:
            if error.errno not in (ENOTEMPTY, EBUSY) or not patience:
                raise
        time.sleep(0.05)
