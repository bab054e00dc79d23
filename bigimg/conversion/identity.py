"""What a source is known by for a later run that may continue this one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import google_crc32c

from bigimg.geometry.holes import as_json
from bigimg.omezarr.manifest import raise_error
from bigimg.omezarr.metadata import FORMAT
from bigimg.omezarr.objects import readable
from bigimg.places.address import is_url
from bigimg.planning.options import Options
from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Reader, files_of
from bigimg.readers.digest import DIGEST_BYTES
from bigimg.types import Json

OF_TRANSPORT = frozenset({"insecure", "max_download"})
"""Options of a source that change nothing of its pixels."""


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
        if source is not None and (others := _others(plan.source, reader)):
            source = [source, [fingerprint(name) for name in others]]
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


def request(source: str, reader: Reader, settings: Options, opening: Mapping[str, Any]) -> str | None:
    """Return a SHA-256 of all files of a source, as far as their bytes are cheap to see, and of what is asked.

    It stands in the store, so that a later run finds that there is nothing to do. Neither the name of the source nor
    its time is in it, nor the options that do not change the store. None for what is no file, folder or address.
    """
    asked = asdict(replace(settings, memory=0, workers=None))
    seen: object
    if os.path.isfile(source):
        seen = _bytes_of(source)
    elif os.path.isdir(source):
        seen = [(name, status.st_size) for name, status in _files(source)]
    elif is_url(source):
        seen = source
    else:
        return None
    if others := _others(source, reader):
        seen = [seen, [_bytes_of(name) for name in others]]
    text = json.dumps([seen, asked, chosen(opening), FORMAT], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def chosen(opening: Mapping[str, Any]) -> str:
    """Return the options, as JSON, that choose what is read of a source: two runs with others read other pixels."""
    return json.dumps(said(opening), sort_keys=True, default=str)


def said(opening: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are given, without those of transport."""
    given = {name: value for name, value in opening.items() if name not in OF_TRANSPORT}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def fingerprint(source: str) -> Json:
    """Return size, time of change and a digest of head and tail of a file; of a folder, of the list of its files."""
    path = Path(source)
    if path.is_file():
        return [os.path.abspath(path), *_of_file(source)]
    if path.is_dir():
        digest = count = 0
        for name, status in _files(source):
            line = f"{name} {status.st_size} {status.st_mtime_ns}\n"
            digest = google_crc32c.extend(digest, line.encode("utf-8", "surrogateescape"))
            count += 1
        return [os.path.abspath(path), count, digest]
    return None


def _others(source: str, reader: Reader) -> list[str]:
    """Return the files besides ``source`` that ``reader`` reads; of what lies in a zip file none."""
    if getattr(reader, "local", None) is not None:
        return []
    return [name for name in files_of(reader) if name != os.path.abspath(source) and os.path.isfile(name)]


def _bytes_of(path: str) -> tuple[int, int]:
    size, _, digest = _of_file(path)
    return size, digest


def _of_file(path: str) -> tuple[int, int, int]:
    """Return size, time of change and a digest of head and tail of a file."""
    status = os.stat(path)
    with open(path, "rb") as file:
        head = file.read(DIGEST_BYTES)
        file.seek(max(0, status.st_size - DIGEST_BYTES))
        tail = file.read(DIGEST_BYTES)
    return status.st_size, status.st_mtime_ns, google_crc32c.extend(google_crc32c.value(head), tail)


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the name inside ``folder`` of each file in it, in order, and what the system says of it."""
    for where, folders, files in os.walk(folder, onerror=raise_error):
        folders.sort()
        for name in sorted(files):
            yield f"{os.path.relpath(where, folder)}/{name}", os.stat(os.path.join(where, name))
