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
    target: object, folder: Path, needed: int, *, who: str = "", about: bool = False, ways: Sequence[str] = ()
) -> None:
    """Refuse by an OutputError what the disk of ``folder`` has no room for.

    Parameters
    ----------
    target : path
        What the message begins with.
    folder : path
    needed : int
        Bytes.
    who : str
        What needs them, in the plural, if not the target.
    about : bool
        Whether they are estimated: up to a twentieth less may do then.
    ways : sequence of str
        What to do besides making room, and choosing another disk.
    """
    free = free_bytes(folder)
    if needed * (0.95 if about else 1) > free:
        what = f"{who} need" if who else "needs"
        raise OutputError(
            f"{target}: {what} {'about ' * about}{human_bytes(needed)} of disk, {human_bytes(free)} are free:",
            ways=["make room", "choose another disk", *ways],
        )
