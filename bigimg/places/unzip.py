"""A member of a zip file as a temporary file, together with the other files of the same image.

Members keep their names but are never written outside a temporary folder. Their sizes are added up first, because a
small archive may unpack to more bytes than the disk has.
"""

from __future__ import annotations

import lzma
import posixpath
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bigimg.errors import InputError, InputNotFoundError, OutputError, few, reading
from bigimg.places.cache import TemporaryCopy, TemporaryFolder, writing
from bigimg.places.pairs import companions

PIECE_BYTES = 1 << 20
"""Bytes that are unpacked at once; data files are searched in the first piece of a header."""

SMALL_PIECE_BYTES = 1 << 12
"""The same of bzip2 and LZMA, of which zipfile decompresses so many bytes to any number: to 80 MB at most."""

DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, LookupError,
    ArithmeticError, OSError,
)  # fmt: skip
"""Exceptions of an archive that is damaged, or whose compression zipfile does not know (its NotImplementedError)."""

unzipping = partial(
    reading, parse_errors=DAMAGED, remedy="fetch it again, or unzip it by hand", what="cannot be unzipped"
)
"""``with unzipping(shown)``: errors of zipfile within name the archive."""


def unzip(archive: Path, member: str, *, shown: str, most_bytes: int) -> TemporaryCopy:
    """Return a copy of ``member`` and of the other files of its image.

    Parameters
    ----------
    archive : Path
    member : str
        A file in it, or a folder, of which all files are copied.
    shown : str
        Name of the archive in messages.
    most_bytes : int
        Largest sum of the sizes of all copies.

    Raises
    ------
    InputNotFoundError
        There is no such member; the message names some that exist.
    InputError
        The archive is damaged or locked, or unpacks to more than ``most_bytes``.
    OutputError
        There is no room in the cache.
    """
    with unzipping(shown):
        opened = zipfile.ZipFile(archive)
    with opened:
        wanted, is_folder = _wanted(opened, member, shown)
        total = sum(info.file_size for info in wanted)
        if total > most_bytes:
            what = f"unpacks to {total} bytes, allowed {most_bytes}"
            raise InputError(
                f"{shown}::{member}: {what};", ways=[f"use max_download='{-(-total // 10**6)}MB'"]
            )
        folder = TemporaryFolder()
        if total > (room := shutil.disk_usage(folder.path).free):
            what = f"the cache has room for {room} bytes, and {shown}::{member} unpacks to {total}"
            raise OutputError(f"{folder.path}: {what}; set BIGIMG_CACHE to a folder with more")
        for info in wanted:
            _copy(opened, info, folder.path / _base(info.filename), shown)
    path = folder.path if is_folder else folder.path / _base(member)
    return TemporaryCopy(path, f"{shown}::{member}", folder)


def members(archive: Path, *, shown: str) -> list[str]:
    """Return the names of the files in ``archive``.

    Raises
    ------
    InputError
        The file is no zip file.
    """
    with unzipping(shown), zipfile.ZipFile(archive) as opened:
        return [info.filename for info in opened.infolist() if not info.is_dir()]


def _wanted(opened: zipfile.ZipFile, member: str, shown: str) -> tuple[list[zipfile.ZipInfo], bool]:
    """Return the members to unpack, and whether ``member`` is a folder."""
    files = {info.filename: info for info in opened.infolist() if not info.is_dir()}
    if member in files:
        return [files[member], *_companions(opened, files, member, shown)], False
    inside = [info for name, info in files.items() if posixpath.dirname(name) == member]
    if not inside:
        raise InputNotFoundError(f"{shown}: holds no {member!r}; it holds {few(sorted(files)) or 'nothing'}")
    return inside, True


def _companions(
    opened: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo], member: str, shown: str
) -> list[zipfile.ZipInfo]:
    """Return the other members of the image to which ``member`` belongs."""
    folder, own = posixpath.split(member)
    others = {_base(n): i for n, i in files.items() if posixpath.dirname(n) == folder and n != member}
    found = companions(own, others, lambda: next(pieces_of(opened, files[member], shown), b""))
    return [others[name] for name in found]


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, shown: str) -> None:
    """Write one member; zipfile stops at its declared size and checks its CRC at the end."""
    if info.flag_bits & 1:
        raise InputError(f"{shown}::{info.filename}: is locked with a password; unzip it by hand")
    with writing(target), open(target, "xb") as file:
        for piece in pieces_of(opened, info, shown):
            file.write(piece)


def pieces_of(opened: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Iterator[bytes]:
    """Yield the content of a member.

    Raises
    ------
    InputError
        It is damaged: its checksum is compared at the end.
    """
    plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    with unzipping(f"{shown}::{info.filename}"), opened.open(info) as source:
        while piece := source.read(PIECE_BYTES if plain else SMALL_PIECE_BYTES):
            yield piece


def _base(name: str) -> str:
    """Return the last part of a member's name: only this part is used on disk."""
    return posixpath.basename(name.replace("\\", "/")) or "member"
