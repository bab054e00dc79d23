"""Files under a hidden sibling name until they are whole; then they get theirs, and replace nothing unasked.

A hard link is made only where there is no such name yet, which a rename does not promise. File systems
without hard links get an empty file of that name first, which only its maker then replaces.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bigimg.conversion.commit import explained
from bigimg.errors import TargetExistsError

MARK = "bigimg-part"
"""How an unfinished file ends: a dot, the name of the target, eight random digits, and this."""
LONGEST_NAME = 200
"""Characters of the target's name that are kept in it: a name has 255 bytes at most."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links say to ``link``."""


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
                os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield parts
            for part in parts:
                _sync(part)
            for part, target in zip(parts, targets, strict=True):
                if overwrite:
                    os.replace(part, target)
                else:
                    _name(part, target)
                    named.append(target)
            _sync(targets[-1].parent)
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
        try:
            os.link(part, target)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            os.replace(part, target)
    except FileExistsError:
        raise TargetExistsError(
            f"{target}: was made by somebody else just now; nothing was changed"
        ) from None


def _sync(path: Path) -> None:
    """Wait until ``path`` is on disk; a folder where the system knows how."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(number)
