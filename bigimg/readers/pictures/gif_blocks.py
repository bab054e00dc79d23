"""A check that a GIF has its end mark: Pillow takes the end of a cut file for the end of the animation."""

from __future__ import annotations

import os
from typing import BinaryIO

from bigimg.readers.failures import damage

EXTENSION, IMAGE, END = b"\x21", b"\x2c", b"\x3b"


def check_gif(path: str) -> None:
    """Refuse a GIF whose blocks end before its end mark.

    Raises
    ------
    InputError
        The file is cut, so the number of its frames is not known.
    """
    frames = 0
    with open(path, "rb") as file:
        _skip_colors(file, file.read(13)[10:11])
        while (kind := file.read(1)) != END:
            if kind == IMAGE:
                frames += 1
                _skip_colors(file, file.read(9)[8:9])
            elif kind != EXTENSION:
                where = "ends" if not kind else f"has a block of unknown kind {kind[0]}"
                at = f"at byte {file.tell() - len(kind)}, after {frames} frames and before the end mark of a GIF"
                raise damage(path, f"{where} {at}")
            file.seek(1, os.SEEK_CUR)  # the label of an extension, the bits a code of an image
            while size := file.read(1):
                if size == b"\0":
                    break
                file.seek(size[0], os.SEEK_CUR)


def _skip_colors(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 * (2 << (flags[0] & 7)), os.SEEK_CUR)
