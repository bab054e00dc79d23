"""What a source is known by: for a later run that may continue this one, and in the provenance of the store."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import google_crc32c

from bigimg.geometry.holes import as_json
from bigimg.omezarr.manifest import raise_error
from bigimg.omezarr.metadata import FORMAT
from bigimg.omezarr.objects import readable
from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Reader
from bigimg.types import Json

DIGEST_BYTES = 1 << 16
"""Read at the head and at the tail of a file."""
WHOLE_BYTES = 1 << 25
"""Sources of at most this size are read once more for their digest: it takes some milliseconds."""


def identity(plan: ConversionPlan, reader: Reader) -> dict[str, Json] | None:
    """Return what must be the same for a run to continue an earlier one.

    None for a source that cannot be recognised later: an array, a stream. A reader that computes its pixels from a
    source has an attribute ``identity`` that says how; None there means that it cannot be recognised.

    Raises
    ------
    InputError
        The system does not let us read the source.
    """
    local = getattr(reader, "local", None)  # the zip file, or the copy of what was downloaded
    with readable(plan.source):
        source = fingerprint(plan.source) if local is None else [plan.source, fingerprint(local)]
    if hasattr(reader, "identity"):
        source = None if reader.identity is None else {"of": source, "made": reader.identity}
    if source is None:
        return None
    spec = plan.spec
    return {
        "source": source,
        "axes and channels": [
            [[axis.name, axis.spacing, axis.unit, axis.origin] for axis in spec.axes],
            [[channel.name, channel.color] for channel in spec.channels],
        ],
        "image": [list(spec.dims), list(spec.shape), str(spec.dtype), spec.kind, *as_json(spec.missing)],
        "options": {"method": plan.method, "codec": plan.codec, "format": FORMAT, "ome": plan.ome_version},
        "layout": [[list(p.level.shape), list(p.chunk), list(p.shard)] for p in plan.levels],
        "blocks": [[s.reads, list(s.writes), list(s.block)] for s in plan.sweeps],
    }


def fingerprint(source: str) -> Json:
    """Return size, time of change and a digest of head and tail of a file; of a folder, of the list of its files."""
    path = Path(source)
    if path.is_file():
        status = path.stat()
        with open(path, "rb") as file:
            head = file.read(DIGEST_BYTES)
            file.seek(max(0, status.st_size - DIGEST_BYTES))
            tail = file.read(DIGEST_BYTES)
        digest = google_crc32c.extend(google_crc32c.value(head), tail)
        return [os.path.abspath(path), status.st_size, status.st_mtime_ns, digest]
    if path.is_dir():
        digest = count = 0
        for where, folders, files in os.walk(path, onerror=raise_error):
            folders.sort()
            for name in sorted(files):
                status = os.stat(os.path.join(where, name))
                line = f"{os.path.relpath(where, path)}/{name} {status.st_size} {status.st_mtime_ns}\n"
                digest = google_crc32c.extend(digest, line.encode("utf-8", "surrogateescape"))
                count += 1
        return [os.path.abspath(path), count, digest]
    return None


def source_digest(reader: Reader) -> Json:
    """Return a SHA-256 by which the source of ``reader`` can be found again without its name; None if it has no files.

    Of one small file it is what ``sha256sum`` prints. Of a large one it is of its head and tail, and of several files
    it is of their digests, one after the other.
    """
    local = getattr(reader, "local", None)  # the zip file, or the copy of what was downloaded
    names = [local] if local else list(getattr(reader, "paths", ())) or [reader.source]
    with contextlib.suppress(OSError):
        sizes = [os.path.getsize(name) for name in names if os.path.isfile(name)]
        if len(sizes) == len(names):
            whole = sum(sizes) <= WHOLE_BYTES
            found = [_sha256(name, size, whole) for name, size in zip(names, sizes, strict=True)]
            combined = found[0] if len(found) == 1 else hashlib.sha256(b"".join(found)).digest()
            return {
                "sha256": combined.hex(), "files": len(names), "bytes": sum(sizes),
                "of": "all bytes" if whole else f"the first and last {DIGEST_BYTES} bytes",
            }  # fmt: skip
    return None


def _sha256(name: str, size: int, whole: bool) -> bytes:
    with open(name, "rb") as file:
        if whole or size <= 2 * DIGEST_BYTES:
            return hashlib.file_digest(file, "sha256").digest()
        digest = hashlib.sha256(file.read(DIGEST_BYTES))
        file.seek(size - DIGEST_BYTES)
        digest.update(file.read(DIGEST_BYTES))
        return digest.digest()
