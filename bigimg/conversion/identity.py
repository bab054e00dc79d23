"""What a source is known by for a later run that may continue this one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import google_crc32c

from bigimg.geometry.holes import as_json
from bigimg.omezarr.manifest import raise_error
from bigimg.omezarr.metadata import FORMAT
from bigimg.omezarr.objects import readable
from bigimg.planning.options import Options
from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Reader, files_of
from bigimg.readers.digest import DIGEST_BYTES
from bigimg.types import Json

OF_TRANSPORT = frozenset({"insecure", "max_download", "fetch"})
"""Options of a source that change nothing of its pixels."""
ADDED = frozenset({"colors", "window"})
"""Options that came later: they count where they are given, so that what was made without them is known."""
MOST_READ = 32
"""Files of a source of which head and tail are read; of more, sizes and times say enough."""


def identity(plan: ConversionPlan, reader: Reader) -> dict[str, Json] | None:
    """Return what must be the same for a run to continue an earlier one.

    None for a source that cannot be recognised later: an array, a stream. A reader that computes its pixels from a
    source has an attribute ``identity`` that says how; None there means that it cannot be recognised.

    Raises
    ------
    InputError
        The system does not let us read the source.
    """
    with readable(plan.source):
        found = fingerprint(*local_files(reader))
    source: Json = None if found is None else [plan.source, found]
    if hasattr(reader, "identity"):
        source = None if reader.identity is None else {"of": source, "made": reader.identity}
    if source is None:
        return None
    spec = plan.spec
    return {
        "source": source,
        "options of the source": plan.opening,
        "axes and channels": [
            [[axis.name, axis.spacing, axis.unit, axis.origin] for axis in spec.axes],
            [[channel.name, channel.color] for channel in spec.channels],
        ],
        "image": [list(spec.dims), list(spec.shape), str(spec.dtype), spec.kind, *as_json(spec.missing)],
        "options": {"method": plan.method, "codec": plan.codec, "format": FORMAT, "ome": plan.ome_version},
        "layout": [[list(p.level.shape), list(p.chunk), list(p.shard)] for p in plan.stored],
        "blocks": [[s.reads, list(s.writes), list(s.block)] for s in plan.sweeps],
    }


def request(reader: Reader, settings: Options, opening: Mapping[str, Any]) -> str | None:
    """Return a SHA-256 of the bytes of a source, as far as they are cheap to see, and of what is asked for.

    It stands in the store, so that a later run finds that there is nothing to do. Neither names nor times of files are
    in it, nor the options that do not change the store. None for what has no files.
    """
    if (seen := fingerprint(*local_files(reader), stamped=False)) is None:
        return None
    asked = counted_options(replace(settings, memory=0, workers=None))
    text = json.dumps([seen, asked, chosen(opening), FORMAT], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def counted_options(settings: Options) -> dict[str, Any]:
    """Return the options of a store that tell two runs apart, by name."""
    return {name: value for name, value in asdict(settings).items() if value or name not in ADDED}


def chosen(opening: Mapping[str, Any]) -> str:
    """Return the options, as JSON, that choose what is read of a source: two runs with others read other pixels."""
    return json.dumps(said(opening), sort_keys=True, default=str)


def said(opening: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are given, without those of transport."""
    given = {name: value for name, value in opening.items() if name not in OF_TRANSPORT}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def local_files(reader: Reader) -> tuple[str, ...]:
    """Return the files and folders that ``reader`` reads; of an address the copy, of a member the zip file."""
    local = getattr(reader, "local", None)
    return (local,) if local else files_of(reader)


def fingerprint(*names: str, stamped: bool = True) -> Json:
    """Return number, bytes and a digest of files, as far as they are cheap to see; None where none is there.

    Parameters
    ----------
    *names : str
        Files, and folders with all that is in them. What is not there is passed by: a reader also names files that it
        reads where they are there.
    stamped : bool
        With their names and times of change.
    """
    there = [name for name in dict.fromkeys(names) if os.path.exists(name)]
    read = len(there) <= MOST_READ
    digest = count = total = 0
    for name in there:
        folder = os.path.isdir(name)
        for file, status in _files(name) if folder else [(os.path.abspath(name), os.stat(name))]:
            line = f"{file} {status.st_mtime_ns} " if stamped else ""
            digest = google_crc32c.extend(
                digest, f"{line}{status.st_size}\n".encode("utf-8", "surrogateescape")
            )
            count, total = count + 1, total + status.st_size
        if read and not folder:
            digest = _extended(digest, name, status.st_size)
    return [count, total, digest] if there else None


def _extended(digest: int, path: str, size: int) -> int:
    """Return ``digest`` with head and tail of a file."""
    with open(path, "rb") as file:
        digest = google_crc32c.extend(digest, file.read(DIGEST_BYTES))
        file.seek(max(0, size - DIGEST_BYTES))
        return int(google_crc32c.extend(digest, file.read(DIGEST_BYTES)))


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the name inside ``folder`` of each file in it, in order, and what the system says of it."""
    for where, folders, files in os.walk(folder, onerror=raise_error):
        folders.sort()
        for name in sorted(files):
            yield f"{os.path.relpath(where, folder)}/{name}", os.stat(os.path.join(where, name))
