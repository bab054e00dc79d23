"""The DICOM files of a study: all those below a folder, as scanners, archives and CDs leave them.

They lie in folders within folders, often without an ending, beside an index (DICOMDIR), a viewer and its pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from bigimg.readers.sniffing import DICOM_ENDINGS, head_inside, is_dicom

SYSTEM = {"thumbs.db", "desktop.ini", "dicomdir"}
"""Files that systems and CDs leave in folders, in lower case."""
"""Names of which it is expected."""
LOOKED = 1000
"""Files without a DICOM among them after which a folder is taken for one of something else."""


class Study(NamedTuple):
    """What lies below a folder."""

    paths: list[str]
    """The DICOM files."""
    others: int
    """How many files are none; hidden ones and those of the system do not count."""


def study_below(folder: str) -> Study:
    """Return the DICOM files in ``folder`` and the folders within; hidden ones only if there are no others.

    Raises
    ------
    InputError
        The system refuses to open a file.
    """
    shown: list[str] = []
    hidden: list[str] = []
    others = 0
    for path in _files(folder):
        name = os.path.basename(path)
        if may_be_dicom(*head_inside(path)[:2]):
            (hidden if name.startswith(".") else shown).append(path)
        elif not name.startswith("."):
            others += 1
        if others >= LOOKED and not shown and not hidden:
            break
    return Study(shown or hidden, others)


def may_be_dicom(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a DICOM file, or what is left of one: opening that says what is wrong with it."""
    left_over = not head.strip(b"\0") and (bool(head) or "." not in name)
    return is_dicom(head, name) or left_over or name.endswith(DICOM_ENDINGS)


def _files(folder: str) -> Iterator[str]:
    """Yield the regular files below a folder; links to folders and hidden folders are not followed."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            path = os.path.join(where, name)
            if name.lower() not in SYSTEM and os.path.isfile(path):
                yield path
