"""A digest by which the files of a source are found again, under whatever name."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from bigimg.reader import Reader
from bigimg.types import Json

DIGEST_BYTES = 1 << 16
"""Read at the head and at the tail of a file."""
WHOLE_BYTES = 1 << 25
"""Sources of at most this size are read once more for their digest: it takes some milliseconds."""
MOST_READ = 1000
"""Files of a source that are read for its digest, evenly spread; of the others the sizes count."""
SOME = "all sizes, and "
"""What ``of`` begins with where only some of the files are read."""


def source_digest(reader: Reader, said: Mapping[str, Any] | None = None) -> Json:
    """Return a SHA-256 by which the source of ``reader`` can be found again without its name; None if it has no files.

    Of one small file it is what ``sha256sum`` prints. Of a large one it is of its head and tail, and of several files
    it is of their digests, one after the other. Of more than ``MOST_READ`` files it is of the sizes of all, and of the
    digests of some.

    Parameters
    ----------
    reader : Reader
    said : mapping, optional
        An earlier digest to compare with: that of very many files was once of the digests of all, and is again then.
    """
    local = getattr(reader, "local", None)  # the zip file, or the copy of what was downloaded
    names = [local] if local else list(getattr(reader, "paths", ())) or [reader.source]
    return files_digest(names, every=said is not None and not str(said.get("of")).startswith(SOME))


def files_digest(names: Iterable[str], *, every: bool = False) -> Json:
    """Return :func:`source_digest` of the files ``names``; of the digests of ``every`` file, however many they are."""
    there = list(
        filter(os.path.lexists, names)
    )  # a reader also names files that are read where they are there
    with contextlib.suppress(OSError):
        sizes = [os.path.getsize(name) for name in there if os.path.isfile(name)]
        if sizes and len(sizes) == len(there):
            whole = sum(sizes) <= WHOLE_BYTES
            step = 1 if every else -(-len(there) // MOST_READ)
            found = [
                _sha256(name, size, whole) for name, size in zip(there[::step], sizes[::step], strict=True)
            ]
            of = "all bytes" if whole else f"the first and last {DIGEST_BYTES} bytes"
            if step > 1:
                found.append(" ".join(map(str, sizes)).encode())
                of = f"{SOME}{of} of each file whose number {step} divides"
            combined = found[0] if len(found) == 1 else hashlib.sha256(b"".join(found)).digest()
            return {"sha256": combined.hex(), "files": len(there), "bytes": sum(sizes), "of": of}
    return None


def _sha256(name: str, size: int, whole: bool) -> bytes:
    with open(name, "rb") as file:
        if whole or size <= 2 * DIGEST_BYTES:
            return hashlib.file_digest(file, "sha256").digest()
        digest = hashlib.sha256(file.read(DIGEST_BYTES))
        file.seek(size - DIGEST_BYTES)
        digest.update(file.read(DIGEST_BYTES))
        return digest.digest()
