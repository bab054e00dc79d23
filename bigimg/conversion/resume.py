"""The blocks that an earlier run finished and that are still as they were written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bigimg.conversion.block import BlockResult, StoredArray
from bigimg.conversion.commit import Staging
from bigimg.conversion.journal import Entry, read_journal
from bigimg.errors import InputError, IntegrityError
from bigimg.omezarr.manifest import files_below
from bigimg.omezarr.shard import read_record

AHEAD = 64
"""Blocks checked together: enough to keep the workers busy, few enough for their histograms to fit in memory."""


def finished_blocks(
    staging: Staging, arrays: Mapping[int, StoredArray], workers: int
) -> Iterator[tuple[int, BlockResult]]:
    """Yield sweep and result of each block in the journal whose objects still match, and remove every other file.

    A block of a later sweep stays if its own objects match, even if blocks of the level below must be made again:
    it was made from that level as stored, and a block that is made again comes out the same.
    """
    finished: set[str] = set()
    seen: set[tuple[int, tuple[int, ...]]] = set()
    with ThreadPoolExecutor(workers) as pool:
        for entries in itertools.batched(read_journal(staging.journal), AHEAD):
            intact = pool.map(partial(_is_intact, arrays=arrays), entries)
            for entry, is_intact in zip(entries, intact, strict=True):
                key = (entry.sweep, entry.result.start)
                if is_intact and key not in seen:
                    seen.add(key)
                    finished.update(_files(entry, arrays))
                    yield entry.sweep, entry.result
    # Objects of unfinished blocks, and metadata, which is written anew.
    for path in files_below(staging.store):
        if str(path) not in finished:
            path.unlink()


def _is_intact(entry: Entry, arrays: Mapping[int, StoredArray]) -> bool:
    try:
        return all(
            read_record(arrays[level].folder, record.index, arrays[level].layout) == record
            for level, records in entry.result.records.items()
            for record in records
        )
    except (IntegrityError, InputError, OSError):
        return False  # what cannot be read is written again, elsewhere on the disk


def _files(entry: Entry, arrays: Mapping[int, StoredArray]) -> Iterator[str]:
    for level, records in entry.result.records.items():
        for record in records:
            yield str(arrays[level].folder / arrays[level].layout.key(record.index))
