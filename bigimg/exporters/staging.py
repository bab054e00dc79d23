"""Files under a hidden sibling name until they are whole; then they get theirs, and replace nothing unasked."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bigimg.conversion.commit import explained
from bigimg.errors import TargetExistsError
from bigimg.system.files import create
from bigimg.system.rename import rename_without_replacing
from bigimg.system.sync import sync_file, sync_folder

MARK = "bigimg-part"
"""How an unfinished file ends: a dot, the name of the target, eight random digits, and this."""
LONGEST_NAME = 200
"""Characters of the target's name that are kept in it: a name has 255 bytes at most."""


@contextmanager
def staged(targets: Sequence[Path], *, overwrite: bool = False) -> Iterator[list[Path]]:
    """Give a new empty file for each of ``targets``, which get their names when the block ends well.

    The last target appears last. When the block fails, or one of the names is taken by then, none of the
    files is left. With ``overwrite`` a file takes the place of one that is there.

    Raises
    ------
    TargetExistsError
        Somebody else made a target meanwhile; it is left alone.
    OutputError
        The disk is full, or the folder cannot be written to.
    """
    with explained(targets[-1]):
        parts = [part_of(target) for target in targets]
        begun: list[Path] = []
        named: list[Path] = []
        try:
            for part in parts:
                begun.append(part)
                os.close(create(part))
            yield parts
            for part in parts:
                sync_file(part)
            for part, target in zip(parts, targets, strict=True):
                if overwrite:
                    os.replace(part, target)
                else:
                    _name(part, target)
                    named.append(target)
            sync_folder(targets[-1].parent)
        except BaseException:
            for target in named:
                target.unlink(missing_ok=True)
            raise
        finally:
            for part in begun:
                part.unlink(missing_ok=True)


def part_of(target: Path) -> Path:
    """Return a name beside ``target`` for what is not whole yet."""
    return target.with_name(f".{target.name[:LONGEST_NAME]}.{secrets.token_hex(4)}.{MARK}")


def _name(part: Path, target: Path) -> None:
    """Give ``part`` the name of ``target``, unless that is taken."""
    try:
        rename_without_replacing(part, target)
    except FileExistsError:
        raise TargetExistsError(
            f"{target}: was made by somebody else just now; nothing was changed"
        ) from None
