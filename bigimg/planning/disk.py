"""Room on the disk for one job, checked before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bigimg.errors import OutputError
from bigimg.planning.memory import human_bytes


def free_bytes(folder: Path) -> int:
    """Return how many bytes are free on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


def check_free(
    target: object, folder: Path, needed: int, *, who: str = "", about: int = 0, ways: Sequence[str] = ()
) -> None:
    """Refuse by an OutputError what the disk of ``folder`` has no room for.

    Parameters
    ----------
    target : path
        What the message begins with.
    folder : path
    needed : int
        Bytes, as they will be.
    who : str
        What needs them, in the plural, if not the target.
    about : int
        Further bytes, which are estimated: up to a twentieth less of these may do.
    ways : sequence of str
        What to do besides making room, and choosing another disk.
    """
    free = free_bytes(folder)
    size = human_bytes(needed + about)
    if needed + about * 0.95 > free:
        what = f"{who} need" if who else "needs"
        raise OutputError(
            f"{target}: {what} {'about ' if about else ''}{size} of disk, {human_bytes(free)} are free:",
            ways=["make room", "choose another disk", *ways],
        )
