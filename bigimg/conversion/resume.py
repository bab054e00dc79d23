"""What an earlier run finished and what still is as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bigimg.conversion.block import BlockResult, StoredArray
from bigimg.conversion.commit import Staging
from bigimg.conversion.journal import Entry, read_journal
from bigimg.errors import InputError, IntegrityError
from bigimg.omezarr.manifest import files_below
from bigimg.omezarr.shard import read_record

AHEAD = 64
"""Blocks checked in one go: enough to keep the workers busy, few enough to hold their histograms."""


def kept_blocks(
    staging: Staging, arrays: Mapping[int, StoredArray], workers: int
) -> Iterator[tuple[int, BlockResult]]:
    """Yield sweep and result of each journalled block whose objects still match, and remove every other file.

    A block of a later sweep is kept only on its own merits: it was made from the level below as stored, and a
    block of that level that has to be made again comes out the same.
    """
    kept: set[str] = set()
    seen: set[tuple[int, tuple[int, ...]]] = set()
    with ThreadPoolExecutor(workers) as pool:
        portion: list[Entry] = []
        for entry in _and_then_none(read_journal(staging.journal)):
            if entry is not None:
                portion.append(entry)
            if portion and (entry is None or len(portion) == AHEAD):
                for one, whole in zip(
                    portion, pool.map(lambda e: _is_whole(e, arrays), portion), strict=True
                ):
                    key = (one.sweep, one.result.start)
                    if whole and key not in seen:
                        seen.add(key)
                        kept.update(_files(one, arrays))
                        yield one.sweep, one.result
                portion = []
    _remove_others(staging.store, kept)


def _and_then_none(entries: Iterator[Entry]) -> Iterator[Entry | None]:
    yield from entries
    yield None


def _is_whole(entry: Entry, arrays: Mapping[int, StoredArray]) -> bool:
    for level, records in entry.result.records.items():
        array = arrays[level]
        for record in records:
            try:
                if read_record(array.folder, record.index, array.layout) != record:
                    return False
            except (IntegrityError, InputError, OSError):
                return False  # what cannot be read is written again, elsewhere on the disk
    return True


def _files(entry: Entry, arrays: Mapping[int, StoredArray]) -> Iterator[str]:
    for level, records in entry.result.records.items():
        for record in records:
            yield str(arrays[level].folder / arrays[level].layout.key(record.index))


def _remove_others(store: Path, kept: set[str]) -> None:
    """Remove objects of blocks that were under way, and metadata, which is written anew."""
    for path in files_below(store):
        if str(path) not in kept:
            path.unlink()
