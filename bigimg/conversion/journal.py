"""The journal of a run: one record for each finished batch, and which batches are still as they were recorded.

A record is ``length, crc32c, body``. The body is the length of its head, the head as JSON, then arrays without gaps:
the numbers of the blocks, the rows of each level, packed histograms, floats. Batches finish in any order and faster
than a disk syncs, so a thread of its own writes and syncs the records, all that wait at once. If a run is killed in
the middle of a record, the incomplete record is cut off when the journal is read again.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import google_crc32c
import numpy as np

from bigimg.conversion.batch import ROW, Batch
from bigimg.conversion.block import StoredArray
from bigimg.conversion.commit import JOURNAL, Staging
from bigimg.errors import InputError, IntegrityError
from bigimg.omezarr.manifest import files_below
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.shard import object_grid, read_record
from bigimg.pyramid.partial import Partial
from bigimg.system import files, sync
from bigimg.system.signals import undisturbed
from bigimg.types import Array, DType, Json

HEAD = struct.Struct("<II")
LENGTH = struct.Struct("<I")
WAITING = 4
"""Records that may wait for the disk, and that are written at once: a kill loses at most twice as many batches."""

AHEAD = 64
"""Batches checked together: enough to keep the workers busy, few enough for their histograms to fit in memory."""

FLOATS = np.dtype(
    [
        ("channel", "<u4"),
        ("count", "<u8"),
        ("nan", "<u8"),
        ("low", "<f8"),
        ("high", "<f8"),
        ("total", "<f8"),
        ("squares", "<f8"),
    ]
)
"""The statistics of a float channel in one block in which a value is counted."""

type Entry = tuple[int, Batch]
"""One finished batch: the number of its sweep, and what it returned."""


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
    sweep, batch = entry
    tail = [batch.blocks.tobytes(), *(rows.tobytes() for rows in batch.records.values())]
    partials: list[Json] = []
    floats: list[tuple[float | None, ...]] = []
    for channel, part in batch.partials:
        numbers = (part.count, part.nan, part.low, part.high, part.total, part.squares)
        if isinstance(part.total, float):
            floats.append((channel, *numbers))
            continue
        about: Json = None
        if part.histogram is not None:  # 16 bits make 65536 counts, most of them zero
            (seen,) = np.nonzero(part.histogram)
            first, last = (int(seen[0]), int(seen[-1]) + 1) if seen.size else (0, 0)
            packed = zlib.compress(np.asarray(part.histogram[first:last], "<u8").tobytes(), 1)
            about = [part.histogram.size, first, len(packed)]
            tail.append(packed)
        partials.append([channel, *numbers, about])
    tail.append(np.array(floats, FLOATS).tobytes())
    head = json.dumps(
        {
            "sweep": sweep,
            "bytes": batch.read_bytes,
            "blocks": batch.blocks.size,
            "records": {level: rows.size for level, rows in batch.records.items()},
            "partials": partials,
            "floats": len(floats),
        }
    ).encode()
    body = b"".join([LENGTH.pack(len(head)), head, *tail])
    return HEAD.pack(len(body), google_crc32c.value(body)) + body


def decode(body: bytes) -> Entry:
    """Return the entry of a record without its head."""
    (length,) = LENGTH.unpack_from(body)
    at = LENGTH.size + length
    values = json.loads(body[LENGTH.size : at])

    def taken(count: int, dtype: DType) -> Array:
        nonlocal at
        at += count * dtype.itemsize
        return np.frombuffer(body, dtype, count, at - count * dtype.itemsize)

    blocks = taken(values["blocks"], np.dtype("<u8"))
    records = {int(level): taken(n, ROW) for level, n in values["records"].items()}
    partials = []
    for channel, *numbers, about in values["partials"]:
        part = Partial(*numbers)
        if about is not None:
            size, first, packed = about
            counts = np.frombuffer(zlib.decompress(taken(packed, np.dtype("u1")).tobytes()), "<u8")
            histogram = np.zeros(size, np.int64)
            histogram[first : first + counts.size] = counts
            part = replace(part, histogram=histogram)
        partials.append((channel, part))
    partials += [
        (channel, Partial(*numbers)) for channel, *numbers in taken(values["floats"], FLOATS).tolist()
    ]
    return values["sweep"], Batch(blocks, records, partials, values["bytes"])


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
            except (KeyError, TypeError, ValueError, struct.error, zlib.error):
                break  # complete, but not written by bigimg
            whole = file.tell()
            yield entry
        file.truncate(whole)


def finished_batches(staging: Staging, arrays: Mapping[int, StoredArray], workers: int) -> Iterator[Entry]:
    """Yield each batch in the journal whose objects all still match; the blocks of another one are made again.

    A block of a later sweep stays if its own objects match, even if blocks of the level below must be made again:
    it was made from that level as stored, and a block that is made again comes out the same.
    """
    with ThreadPoolExecutor(workers) as pool:
        for entries in itertools.batched(read_journal(staging.folder / JOURNAL), AHEAD):
            intact = pool.map(partial(_is_intact, arrays=arrays), entries)
            yield from itertools.compress(entries, intact)


def _is_intact(entry: Entry, arrays: Mapping[int, StoredArray]) -> bool:
    try:
        return all(
            _record(arrays[level], number) == record
            for level, rows in entry[1].records.items()
            for number, record in rows.tolist()
        )
    except (IntegrityError, InputError, OSError):
        return False  # what cannot be read is written again, elsewhere on the disk


def _record(array: StoredArray, number: int) -> tuple[int, int, int]:
    index = tuple(map(int, np.unravel_index(number, object_grid(array.layout))))
    record = read_record(array.folder, index, array.layout)
    return record.length, record.crc32c, record.index_crc32c


def remove_others(staging: Staging, arrays: Mapping[int, StoredArray], records: Mapping[int, Array]) -> None:
    """Remove every file of the unfinished store that ``records`` do not have.

    Those are objects of unfinished blocks, and metadata, which is written anew.
    """
    labels = staging.store / LABELS  # stores of their own, whole or with their own journal
    kept = [(array, records[level]) for level, array in arrays.items() if array.kept]
    for path in files_below(staging.store):
        if not path.is_relative_to(labels) and not any(_is_recorded(path, *each) for each in kept):
            path.unlink()


def _is_recorded(path: Path, array: StoredArray, records: Array) -> bool:
    if not path.is_relative_to(array.folder):
        return False
    key = path.relative_to(array.folder)
    index = tuple(int(name) for name in key.parts if name.isdecimal())
    inside = len(index) == records.ndim and all(i < n for i, n in zip(index, records.shape, strict=True))
    return inside and array.layout.key(index) == key.as_posix() and bool(records[index]["length"])
