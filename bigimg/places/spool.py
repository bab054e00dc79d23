"""Bytes and file objects as a temporary file: libraries read windows of files, not of objects."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bigimg.errors import InputError
from bigimg.places.address import file_name
from bigimg.places.cache import TemporaryFolder, writing

PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Spooled:
    """A copy of bytes, gone with this object."""

    path: Path
    shown: str
    """What to call it in messages."""
    folder: TemporaryFolder


def spool(source: bytes | bytearray | memoryview | IO[bytes], *, most_bytes: int) -> Spooled:
    """Return a copy of bytes, or of what a binary file object holds from where it stands.

    Raises
    ------
    InputError
        It is open for text, or holds more than ``most_bytes``.
    """
    folder = TemporaryFolder()
    if isinstance(source, bytes | bytearray | memoryview):
        shown, path = f"bytes ({len(source)})", folder.path / "bytes"
        with writing(path):
            path.write_bytes(source)
        return Spooled(path, shown, folder)
    name: Any = getattr(source, "name", None)
    shown = f"file object {os.fspath(name) if isinstance(name, str | os.PathLike) else type(source).__name__}"
    path = folder.path / (
        file_name(f"/{os.fspath(name)}") if isinstance(name, str | os.PathLike) else "object"
    )
    done = 0
    with writing(path), open(path, "xb") as file:
        while piece := _piece(source, shown):
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise InputError(f"{shown}: gives text, and an image is bytes; open it with mode 'rb'")
            done += len(piece)
            if done > most_bytes:
                raise InputError(f"{shown}: holds more than the allowed {most_bytes} bytes; give its path")
            file.write(piece)
    return Spooled(path, shown, folder)


def _piece(source: IO[bytes], shown: str) -> bytes:
    try:
        return source.read(PIECE_BYTES)
    except OSError as error:
        raise InputError(f"{shown}: cannot be read ({error.strerror or error}); give its path") from error
