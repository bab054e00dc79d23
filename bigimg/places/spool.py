"""Bytes and file objects as temporary files, because libraries read regions of files only."""

from __future__ import annotations

import os
from typing import IO, Any

from bigimg.errors import InputError, reading
from bigimg.places.address import file_name
from bigimg.places.cache import TemporaryCopy, TemporaryFolder, writing

PIECE_BYTES = 1 << 20


def spool(source: bytes | bytearray | memoryview | IO[bytes], *, most_bytes: int) -> TemporaryCopy:
    """Return a copy of bytes, or of a binary file object from its current position on.

    Raises
    ------
    InputError
        The file object is open for text, or holds more than ``most_bytes``.
    """
    folder = TemporaryFolder()
    if isinstance(source, bytes | bytearray | memoryview):
        shown, path = f"bytes ({len(source)})", folder.path / "bytes"
        with writing(path):
            path.write_bytes(source)
        return TemporaryCopy(path, shown, folder)
    name: Any = getattr(source, "name", None)
    named = os.fspath(name) if isinstance(name, str | os.PathLike) else ""
    shown = f"file object {named or type(source).__name__}"
    path = folder.path / (file_name(f"/{named}") if named else "object")
    done = 0
    with writing(path), open(path, "xb") as file:
        while piece := _piece(source, shown):
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise InputError(f"{shown}: gives text instead of bytes; open it with mode 'rb'")
            done += len(piece)
            if done > most_bytes:
                raise InputError(f"{shown}: holds more than the allowed {most_bytes} bytes; give its path")
            file.write(piece)
    return TemporaryCopy(path, shown, folder)


def _piece(source: IO[bytes], shown: str) -> bytes:
    with reading(shown, (OSError,), "give its path", what="cannot be read"):
        return source.read(PIECE_BYTES)
