"""The journal of a run: one record for each finished block, and which blocks are still as they were recorded.

A record is ``length, crc32c, JSON``. Blocks finish in any order and faster than a disk syncs, so a thread of its own
writes and syncs the records, all that wait at once. If a run is killed in the middle of a record, the incomplete
record is cut off when the journal is read again.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import queue
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from bigimg.conversion.block import BlockResult, StoredArray
from bigimg.conversion.commit import JOURNAL, Staging
from bigimg.errors import InputError, IntegrityError
from bigimg.omezarr.manifest import files_below
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.shard import ObjectRecord, read_record
from bigimg.pyramid.partial import Partial
from bigimg.system import files, sync
from bigimg.system.signals import undisturbed

HEAD = struct.Struct("<II")
WAITING = 4
"""Records that may wait for the disk, and that are written at once: a kill loses at most twice as many blocks."""


AHEAD = 64
"""Blocks checked together: enough to keep the workers busy, few enough for their histograms to fit in memory."""

type Entry = tuple[int, BlockResult]
"""One finished block: the number of its sweep, and what it returned."""


class Journal:
    """Appends entries to a file, and syncs them, until it is closed."""

    def __init__(self, path: Path) -> None:
        self.file = files.open_to_append(path)
        self.waiting: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self.error: OSError | None = None
        self.thread = threading.Thread(target=self._drain, name="bigimg-journal", daemon=True)
        self.thread.start()

    def append(self, entry: Entry) -> None:
        """Hand ``entry`` over to be written; wait while too many entries wait for the disk.

        Raises
        ------
        OSError
            An earlier entry could not be written.
        """
        if self.error is not None:
            raise self.error
        record = encode(entry)
        with undisturbed():
            # A signal in the middle of put leaves a dead waiter in the queue, which takes the wake-up of a live one.
            self.waiting.put(record)

    def close(self) -> None:
        """Write and sync the waiting entries, and close the file; raise an error of the disk."""
        with undisturbed():
            self.waiting.put(None)
            self.thread.join()
            os.close(self.file)
        if self.error is not None:
            raise self.error

    def _drain(self) -> None:
        open_ = True
        while open_:
            records = [self.waiting.get()]
            while len(records) < WAITING and not self.waiting.empty():
                records.append(self.waiting.get())
            open_ = None not in records
            if self.error is None:
                try:
                    data = b"".join(record for record in records if record is not None)
                    while data:
                        data = data[os.write(self.file, data) :]
                    sync.sync_data(self.file)
                except OSError as error:
                    self.error = error


def encode(entry: Entry) -> bytes:
    """Return one record."""
    sweep, result = entry
    body = json.dumps(
        {
            "sweep": sweep,
            "start": result.start,
            "bytes": result.read_bytes,
            "records": {
                level: [
                    [*record.index, record.length, record.crc32c, record.index_crc32c] for record in records
                ]
                for level, records in result.records.items()
            },
            "partials": [[channel, _partial_to_json(part)] for channel, part in result.partials],
        }
    ).encode()
    return HEAD.pack(len(body), google_crc32c.value(body)) + body


def _partial_to_json(part: Partial) -> dict[str, Any]:
    values = asdict(part)
    if part.histogram is not None:
        # 16 bits make 65536 counts, most of them zero. Not base85: that encoder is written in Python, and slow.
        (seen,) = np.nonzero(part.histogram)
        first, last = (int(seen[0]), int(seen[-1]) + 1) if seen.size else (0, 0)
        packed = zlib.compress(np.asarray(part.histogram[first:last], "<u4").tobytes(), 1)
        values["histogram"] = [part.histogram.size, first, base64.b64encode(packed).decode()]
    return values


def _partial_from_json(values: dict[str, Any]) -> Partial:
    if values["histogram"] is not None:
        size, first, text = values["histogram"]
        counts = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4")
        values["histogram"] = np.zeros(size, np.int64)
        values["histogram"][first : first + counts.size] = counts
    return Partial(**values)


def decode(body: bytes) -> Entry:
    """Return the entry of a record without its head."""
    values = json.loads(body)
    records = {
        int(level): [ObjectRecord(tuple(row[:-3]), *row[-3:]) for row in rows]
        for level, rows in values["records"].items()
    }
    partials = [(channel, _partial_from_json(part)) for channel, part in values["partials"]]
    return values["sweep"], BlockResult(tuple(values["start"]), records, partials, values["bytes"])


def read_journal(path: Path) -> Iterator[Entry]:
    """Yield the entries of the journal at ``path``, and cut off what follows the last complete one."""
    whole = 0
    with open(path, "r+b") as file:
        while len(head := file.read(HEAD.size)) == HEAD.size:
            length, checksum = HEAD.unpack(head)
            body = file.read(length)
            if len(body) < length or google_crc32c.value(body) != checksum:
                break
            try:
                entry = decode(body)
            except (KeyError, TypeError, ValueError):
                break  # complete, but not written by bigimg
            whole = file.tell()
            yield entry
        file.truncate(whole)


def finished_blocks(staging: Staging, arrays: Mapping[int, StoredArray], workers: int) -> Iterator[Entry]:
    """Yield sweep and result of each block in the journal whose objects still match, and remove every other file.

    A block of a later sweep stays if its own objects match, even if blocks of the level below must be made again:
    it was made from that level as stored, and a block that is made again comes out the same.
    """
    finished: set[str] = set()
    seen: set[tuple[int, tuple[int, ...]]] = set()
    with ThreadPoolExecutor(workers) as pool:
        for entries in itertools.batched(read_journal(staging.folder / JOURNAL), AHEAD):
            intact = pool.map(partial(_is_intact, arrays=arrays), entries)
            for (sweep, result), is_intact in zip(entries, intact, strict=True):
                if is_intact and (sweep, result.start) not in seen:
                    seen.add((sweep, result.start))
                    for level, records in result.records.items():
                        array = arrays[level]
                        finished.update(str(array.folder / array.layout.key(each.index)) for each in records)
                    yield sweep, result
    # Objects of unfinished blocks, and metadata, which is written anew.
    labels = staging.store / LABELS  # stores of their own, whole or with their own journal
    for path in files_below(staging.store):
        if str(path) not in finished and not path.is_relative_to(labels):
            path.unlink()


def _is_intact(entry: Entry, arrays: Mapping[int, StoredArray]) -> bool:
    try:
        return all(
            read_record(arrays[level].folder, record.index, arrays[level].layout) == record
            for level, records in entry[1].records.items()
            for record in records
        )
    except (IntegrityError, InputError, OSError):
        return False  # what cannot be read is written again, elsewhere on the disk
