"""A member of a zip file as a file of its own, with what belongs beside it, for as long as it is read.

Members are written under their own names but never outside a folder of ours, and only as many bytes as were
counted beforehand: a small archive may unpack to more than the disk holds.
"""

from __future__ import annotations

import posixpath
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bigimg.errors import InputError, InputNotFoundError, OutputError
from bigimg.places.cache import TemporaryFolder, writing

PIECE_BYTES = 1 << 20

PAIRED = {".hdr", ".img", ".mhd", ".nhdr", ".head", ".brik", ".par", ".rec"}
"""Endings of files that are one of two; the other has the same name up to the first dot."""

HEADERS = {".mhd", ".nhdr"}
"""These name their data files themselves, as any name in the same folder."""

HEADER_BYTES = 1 << 20
"""The most of such a header that is looked at."""

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)
"""What reading a damaged or exotic member raises."""


@dataclass(frozen=True)
class Unzipped:
    """A copy of a member, gone with this object."""

    path: Path
    """A file, or a folder when the member is one."""
    folder: TemporaryFolder


def unzip(archive: Path, member: str, *, shown: str, most_bytes: int) -> Unzipped:
    """Return a copy of ``member`` and of the files that belong to it.

    Parameters
    ----------
    archive : Path
    member : str
        A file in it, or a folder whose files are wanted.
    shown : str
        What to call the archive in messages.
    most_bytes : int
        What all copies may take together.

    Raises
    ------
    InputNotFoundError
        There is no such member; the message names some that are there.
    InputError
        The archive is damaged or locked, or unpacks to more than ``most_bytes``.
    OutputError
        There is no room for it.
    """
    try:
        opened = zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise InputNotFoundError(f"{shown}: there is no such file; check the path") from None
    except DAMAGED as error:
        raise _damaged(shown, error) from error
    with opened:
        wanted, is_folder = _wanted(opened, member, shown)
        total = sum(info.file_size for info in wanted)
        if total > most_bytes:
            raise InputError(
                f"{shown}::{member}: unpacks to {total} bytes, allowed {most_bytes}; use "
                f"max_download='{-(-total // 10**6)}MB'"
            )
        folder = TemporaryFolder()
        if total > (room := shutil.disk_usage(folder.path).free):
            raise OutputError(
                f"{folder.path}: the cache has room for {room} bytes, and {shown}::{member} unpacks to {total}; set "
                "BIGIMG_CACHE to a folder with more"
            )
        for info in wanted:
            _copy(opened, info, folder.path / _base(info.filename), shown)
    return Unzipped(folder.path if is_folder else folder.path / _base(member), folder)


def members(archive: Path, *, shown: str) -> list[str]:
    """Return the names of the files in ``archive``.

    Raises
    ------
    InputError
        It is no zip file.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return [info.filename for info in opened.infolist() if not info.is_dir()]
    except DAMAGED as error:
        raise _damaged(shown, error) from error


def few(names: Sequence[str], most: int = 6) -> str:
    """Return some names, for a message."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def _wanted(opened: zipfile.ZipFile, member: str, shown: str) -> tuple[list[zipfile.ZipInfo], bool]:
    """Return what to unpack, and whether ``member`` is a folder."""
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
    """Return the members beside ``member`` without which it is no image."""
    ending = posixpath.splitext(member.lower().removesuffix(".gz"))[1]
    if ending not in PAIRED:
        return []
    folder, own = posixpath.split(member)
    beside = {n: i for n, i in files.items() if posixpath.dirname(n) == folder and n != member}
    stem = own.partition(".")[0]
    found = {name: info for name, info in beside.items() if _base(name).partition(".")[0] == stem}
    if ending in HEADERS:
        try:
            with opened.open(files[member]) as file:
                text = file.read(HEADER_BYTES).decode("latin-1")
        except DAMAGED as error:
            raise _damaged(f"{shown}::{member}", error) from error
        pattern = "%" in text  # numbered data files: which ones, the reader will say
        found |= {name: info for name, info in beside.items() if pattern or _base(name) in text}
    return list(found.values())


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, shown: str) -> None:
    """Write one member; zipfile stops at the size it declares, and checks its CRC at the end."""
    if info.flag_bits & 1:
        raise InputError(f"{shown}::{info.filename}: is locked with a password; unzip it by hand")
    with writing(target), open(target, "xb") as file:
        try:
            source = opened.open(info)
        except DAMAGED as error:
            raise _damaged(f"{shown}::{info.filename}", error) from error
        with source:
            while True:
                try:
                    piece = source.read(PIECE_BYTES)
                except DAMAGED as error:
                    raise _damaged(f"{shown}::{info.filename}", error) from error
                if not piece:
                    return
                file.write(piece)


def _base(name: str) -> str:
    """Return the last part of a member's name: all of it that is used on disk."""
    return posixpath.basename(name.replace("\\", "/")) or "member"


def _damaged(shown: str, error: Exception) -> InputError:
    said = " ".join(str(error).split())[:100] or type(error).__name__
    return InputError(f"{shown}: cannot be unzipped ({said}); fetch it again, or unzip it by hand")
