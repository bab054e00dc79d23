"""Several blocks as one task: how many, what they return, and that the store is the same for any number."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from bigimg.conversion import batch, commit
from bigimg.conversion.batch import ROW, Batch, BatchSize, in_batches
from bigimg.conversion.journal import HEAD, decode, encode, read_journal
from bigimg.conversion.pool import ExecutorPool
from bigimg.faces.convert import convert_to_store
from bigimg.pyramid.partial import Partial
from tests.conversion.test_run import tree

ASKED = {"memory": "2GB", "chunks": 32, "shards": 32, "progress": False}


class Slots(ExecutorPool):
    """Of a pool: how many tasks run at once, and how long each should take."""

    def __init__(self, workers: int, seconds: float = 1.0) -> None:
        self.workers, self.batch_seconds = workers, seconds


def sizes(slots: int, blocks: int, seconds: float, target: float = 1.0, weight: int = 1) -> list[int]:
    """Return the sizes of batches of a sweep of ``blocks`` that take ``seconds`` each, one batch after the other."""
    size = BatchSize(Slots(slots, target), blocks)
    found = []
    for units in in_batches(((("unit", number), weight) for number in range(blocks // weight)), size):
        size.took(weight * len(units), seconds * weight * len(units))
        found.append(weight * len(units))
    return found


def test_batches_grow_to_what_the_seconds_allow_and_shrink_at_the_end() -> None:
    found = sizes(2, 10_000, 0.01)
    assert found[:8] == [1, 2, 4, 8, 16, 32, 64, 100]
    assert max(found) == 100
    assert found[-8:] == [1] * 8
    assert sum(found) == 10_000
    assert max(sizes(2, 10**5, 1e-9)) == batch.MOST
    assert set(sizes(2, 100, 3.0)) == {1}, "blocks that take longer go out one by one"


@pytest.mark.parametrize(
    ("channels", "bins", "most"), [(3, 65536, 1024), (50, 65536, 3), (500, 256, 1024), (9, 2**19, 1)]
)
def test_a_batch_holds_few_histograms(channels: int, bins: int, most: int) -> None:
    counted = np.broadcast_to(np.int64(0), (channels, bins))
    size = BatchSize(Slots(1, 9.0), 10**6, counted)
    for _ in range(12):
        size.took(size.now(), 1e-6)
    assert size.now() == most


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_every_slot_has_work_until_the_end(slots: int) -> None:
    left = 5_000
    for held in sizes(slots, left, 1e-6):
        assert held <= max(1, left / (4 * slots))
        left -= held
    assert left == 0
    assert set(sizes(slots, 4 * slots, 1e-6)) == {1}, "a small image"


def test_a_unit_of_several_blocks_is_never_cut() -> None:
    found = sizes(1, 7_000, 1e-6, weight=7)
    assert sum(found) == 7_000
    assert all(held % 7 == 0 for held in found)
    assert max(found) > 100


def example(partials: list[tuple[int, Partial]]) -> Batch:
    rows = np.zeros(3, ROW)
    rows["object"], rows["record"]["length"], rows["record"]["crc32c"] = (
        [4, 5, 2**40],
        [2**33, 1, 7],
        [2**32 - 1, 0, 9],
    )
    return Batch(np.array([9, 3, 2**35], "<u8"), {0: rows, 2: rows[:1]}, partials, 2**41)


@pytest.mark.parametrize(
    "partials",
    [
        [],
        [(0, Partial(2**40, 3, -(2**63), 2**64, -(2**90), 2**150)), (5, Partial(0, 7))],
        [(1, Partial(4, 0, -1.5, 2.25, 0.1, 1e300)), (1, Partial(5, 2, -math.inf, math.inf, 3.0, 0.5))],
        [(7, Partial(4, 0, -1.5, 2.25, 0.1, 1e300)), (0, Partial(0, 9))],
    ],
)  # fmt: skip
def test_a_record_holds_every_number_exactly(partials: list[tuple[int, Partial]]) -> None:
    entry = 3, example(partials)
    record = encode(entry)
    sweep, found = decode(record[HEAD.size :])
    assert sweep == 3
    assert found.read_bytes == 2**41
    np.testing.assert_array_equal(found.blocks, entry[1].blocks)
    assert set(found.records) == {0, 2}
    for level, rows in entry[1].records.items():
        np.testing.assert_array_equal(found.records[level], rows)
    assert sorted(found.partials, key=repr) == sorted(partials, key=repr)


@pytest.mark.parametrize("seen", [{}, {0: 5}, {65535: 2**40, 17: 1}])
def test_a_record_holds_histograms(seen: dict[int, int]) -> None:
    histogram = np.zeros(65536, np.int64)
    histogram[list(seen)] = list(seen.values())
    _, found = decode(encode((0, example([(2, Partial(8, 1, histogram=histogram))])))[HEAD.size :])
    ((channel, part),) = found.partials
    assert (channel, part.count, part.nan) == (2, 8, 1)
    assert part.histogram is not None
    np.testing.assert_array_equal(part.histogram, histogram)


def test_a_journal_is_cut_at_any_byte_to_its_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    records = [encode((n, example([(0, Partial(1, 0, 1, 1, 1, 1))]))) for n in range(3)]
    data = b"".join(records)
    ends = np.cumsum([len(record) for record in records])
    for size in range(0, len(data) + 1, 7):
        path.write_bytes(data[:size])
        whole = int((ends <= size).sum())
        assert [sweep for sweep, _ in read_journal(path)] == list(range(whole))
        assert path.stat().st_size == ([0, *ends.tolist()][whole])


@pytest.fixture(scope="module", params=["u2", "i4", "f4"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "in.npy"
    np.save(path, np.random.default_rng(0).normal(90, 30, (2, 500, 700)).astype(request.param))
    return path


@pytest.mark.parametrize(("most", "seconds"), [(3, 9.0), (1024, 9.0)])
def test_the_store_is_the_same_for_any_batches(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, seconds: float
) -> None:
    target, other = tmp_path / "a" / "a.ome.zarr", tmp_path / "b" / "a.ome.zarr"
    target.parent.mkdir()
    other.parent.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(batch, "MOST", 1)
        convert_to_store(source, target, workers=2, **ASKED)
    monkeypatch.setattr(ExecutorPool, "batch_seconds", seconds)
    monkeypatch.setattr(batch, "MOST", most)
    convert_to_store(source, other, workers=1, **ASKED)
    assert tree(other) == tree(target)


def test_a_batch_with_a_damaged_object_is_made_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, target = tmp_path / "a.ome.zarr", tmp_path / "b" / "a.ome.zarr"
    target.parent.mkdir()
    convert_to_store(source, whole, **ASKED)
    monkeypatch.setattr(ExecutorPool, "batch_seconds", 9.0)

    def stop(step: str) -> None:
        if step == "swept":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commit, "hook", stop)
        with pytest.raises(KeyboardInterrupt):
            convert_to_store(source, target, workers=1, **ASKED)
    folder = commit.staging_folder(target)
    batches = list(read_journal(folder / "journal"))
    blocks = sum(each.blocks.size for _, each in batches)
    _, damaged = max(batches, key=lambda entry: entry[1].blocks.size)
    assert damaged.blocks.size > 1
    layer, row, column = np.unravel_index(int(damaged.records[0]["object"][-1]), (1, 16, 22))
    path = folder / "store" / "0" / "c" / str(layer) / str(row) / str(column)
    path.write_bytes(path.read_bytes()[:-1])
    (path.parent / "99").touch()
    assert convert_to_store(source, target, **ASKED).blocks_resumed == blocks - damaged.blocks.size
    assert tree(target) == tree(whole)
    assert os.listdir(target.parent) == [target.name]
