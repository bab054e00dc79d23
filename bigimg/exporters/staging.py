"""Files with a hidden name until they are complete; then they get their names, and replace nothing by default."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bigimg.conversion.commit import explained
from bigimg.errors import TargetExistsError
from bigimg.system.files import create
from bigimg.system.rename import rename_without_replacing
from bigimg.system.sync import sync_file, sync_folder

MARK = "bigimg-part"
"""Ending of an unfinished file, behind a dot, the name of the target and eight random digits."""
LONGEST_NAME = 200
"""Characters of the target's name that are used: a name has at most 255 bytes."""


@contextmanager
def staged(targets: Sequence[Path], *, overwrite: bool = False) -> Iterator[list[Path]]:
    """Give a new empty file for each of ``targets``; the files get these names if the block succeeds.

    The last target appears last. If the block fails or one of the names is taken, no file is left. With ``overwrite``
    a file replaces an existing one.

    Raises
    ------
    TargetExistsError
        Somebody else made a target meanwhile; it is unchanged.
    OutputError
        The disk is full, or the folder cannot be written to.
    """
    parts = [part_of(target) for target in targets]
    with explained(targets[-1]), ExitStack() as unfinished, ExitStack() as named:
        for part in parts:
            unfinished.callback(part.unlink, missing_ok=True)
            os.close(create(part))
        yield parts
        for part in parts:
            sync_file(part)
        for part, target in zip(parts, targets, strict=True):
            if overwrite:
                os.replace(part, target)
            else:
                give_name(part, target)
                named.callback(target.unlink, missing_ok=True)
        sync_folder(targets[-1].parent)
        named.pop_all()  # all went well: they stay


def part_of(target: Path) -> Path:
    """Return a new hidden name beside ``target`` for an unfinished file."""
    return target.with_name(f".{target.name[:LONGEST_NAME]}.{secrets.token_hex(4)}.{MARK}")


def give_name(part: Path, target: Path) -> None:
    """Give a file or folder ``part`` the name ``target``; raise TargetExistsError if the name is taken."""
    try:
        rename_without_replacing(part, target)
    except FileExistsError:
        raise TargetExistsError(f"{target}: somebody else made it just now; nothing was changed") from None
