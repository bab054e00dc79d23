"""Large files behind addresses, read by ranges: their tables are copied to an empty file here, their pixels never."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigimg.errors import InputError, UsageError
from bigimg.opening.local_copy import LocalCopyReader
from bigimg.places.address import file_name, redacted
from bigimg.places.cache import TemporaryFolder, writing
from bigimg.places.ranges import Gathered, NoRanges, Remote, remote_file
from bigimg.places.transfer import Version
from bigimg.reader import Reader
from bigimg.readers.boundary import bounded
from bigimg.readers.raw.ranged import RangedFile
from bigimg.readers.registry import find_format, open_file
from bigimg.readers.tiff.remote_tables import copy_tables
from bigimg.types import Opening

LEAST_BYTES = 10**9
"""Smaller files are fetched whole: that takes seconds, and planes across the order of the file cost nothing then."""
HEAD_BYTES = 1 << 16
"""Fetched at once: the head of a file, and neighbouring tables of a TIFF."""
FORMATS = ("tiff", "nifti", "npy", "mrc", "metaimage", "nrrd", "mgh")
"""Formats whose pixels may lie in a file as they are, or whose tables say where each piece is."""


@dataclass(frozen=True, eq=False)
class RangedReader(LocalCopyReader):
    """A reader of a file behind an address, whose tables alone are here."""

    identity: str = ""
    """ETag and size, by which a later run knows the source again."""


def by_ranges(address: str, opening: Opening, of_readers: Mapping[str, Any]) -> RangedReader | None:
    """Return a reader of the file at ``address`` that fetches what is read; None where that cannot be.

    Parameters
    ----------
    address : str
    opening : Opening
        What a user asked for; of it ``fetch``, ``series`` and ``insecure`` are used.
    of_readers : mapping
        The options that readers take.

    Raises
    ------
    UsageError
        ``fetch="ranges"`` was asked for, and the file or its server does not allow that.
    InputNotFoundError, InputError
        There is no such file, or it may not be read.
    """
    shown, asked = redacted(address), opening.get("fetch") == "ranges"
    file = remote_file(address, insecure=opening.get("insecure", False))
    why, reader = "its server gives no parts of files", None
    folder = TemporaryFolder()
    path = folder.path / file_name(address)
    with suppress(NoRanges):
        version = file.patiently(file.version)
        why = "it is no TIFF and no uncompressed pixels in one file"
        with writing(folder.path):
            reader = _opened(file, version, path, opening.get("series"), of_readers)
    if reader is None:
        if asked:
            raise UsageError(f"{shown}: fetch='ranges' was asked for, and {why}; leave it out")
        return None
    size = (version.total or 0) / 1e9
    how = "as was asked for" if asked else f"as it has {size:.2f} GB (fetch='whole' fetches it first)"
    return RangedReader(
        reader, shown, str(path), find_format(path).title, folder, how=f"read by ranges, {how}",
        identity=f"{version.exact} {version.total}",
    )  # fmt: skip


def _opened(
    file: Remote, version: Version, path: Path, series: int | str | None, asked: Mapping[str, Any]
) -> Reader | None:
    """Return the reader of a file whose tables are copied to ``path``; None if it cannot be read so."""
    total = version.total or 0
    tables = _Tables(file, version, path)
    tables.copy(0, min(HEAD_BYTES, total))
    try:
        found = find_format(path)
        if found.name not in FORMATS or (found.name == "tiff" and not copy_tables(tables.copy, total)):
            return None
        opened = open_file(path, series=series, **asked)
        hook = getattr(opened, "with_bytes", None)
        if hook is None or (found.name != "tiff" and opened.pixels.offset > HEAD_BYTES):  # type: ignore[attr-defined]
            return None
        bytes_of = RangedFile(file.shown, Gathered(file, version))
        reader: Reader | None = hook(bytes_of)
        return None if reader is None else bounded(file.shown, lambda: reader)
    except (InputError, UsageError, AttributeError):  # whoever has all of it says what is wrong
        return None


class _Tables:
    """A file that is empty but for what was copied; pieces are fetched with what follows them."""

    def __init__(self, file: Remote, version: Version, path: Path) -> None:
        self.file, self.version, self.path = file, version, path
        self.have: dict[int, bytes] = {}
        with open(path, "wb") as made:
            made.truncate(version.total or 0)

    def copy(self, start: int, length: int) -> bytes:
        """Return the bytes at ``start``, which are in the file then."""
        first, last = start // HEAD_BYTES, -(-(start + length) // HEAD_BYTES)
        missing = [number for number in range(first, last) if number not in self.have]
        if missing:
            begin = missing[0] * HEAD_BYTES
            end = min((missing[-1] + 1) * HEAD_BYTES, self.version.total or 0)
            data = self.file.patiently(lambda: self.file.part(begin, end, self.version))
            with open(self.path, "r+b") as out:
                out.seek(begin)
                out.write(data)
            for number in range(missing[0], missing[-1] + 1):
                at = number * HEAD_BYTES - begin
                self.have[number] = data[at : at + HEAD_BYTES]
        found = b"".join(self.have[number] for number in range(first, last))
        return found[start - first * HEAD_BYTES :][:length]
