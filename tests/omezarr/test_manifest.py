"""The manifest and the statistics: what is kept is read back exactly, and every damage is named."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.errors import CorruptChunk, IntegrityError, MissingChunk
from bigimg.omezarr import manifest, records
from bigimg.omezarr.manifest import (
    PROVENANCE,
    RECORD,
    check_provenance,
    provenance_documents,
    read_array,
    read_objects,
    read_statistics,
    write_array,
    write_documents,
    write_file,
    write_manifest,
    write_statistics,
)
from bigimg.omezarr.metadata import ATTRIBUTES, dumps, group_documents, group_metadata
from bigimg.omezarr.records import Records
from bigimg.types import Array, Json, ZarrFormat


@settings(max_examples=25)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    dtype=st.sampled_from(["uint64", "int64", ">u8"]),
    seed=st.integers(0, 2**32 - 1),
    zarr_format=st.sampled_from([2, 3]),
)
def test_arrays_come_back_and_zarr_reads_them(
    shape: list[int], dtype: str, seed: int, zarr_format: ZarrFormat, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store") / "a"
    values = np.random.default_rng(seed).integers(0, 2**63, shape).astype(dtype)
    write_array(folder, values, zarr_format)
    np.testing.assert_array_equal(read_array(folder, zarr_format), values)
    np.testing.assert_array_equal(zarr.open_array(folder, mode="r")[...], values)


def test_every_flipped_bit_of_an_array_raises(tmp_path: Path) -> None:
    write_array(tmp_path / "a", np.arange(6, dtype=np.uint64).reshape(2, 3))
    path = tmp_path / "a/c/0/0"
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 4]) + data[i + 1 :])
        with pytest.raises(CorruptChunk, match="c/0/0: the checksum is wrong"):
            read_array(tmp_path / "a")
    for i in range(len(data)):
        path.write_bytes(data[:i])
        with pytest.raises(CorruptChunk, match="c/0/0"):
            read_array(tmp_path / "a")
    path.unlink()
    with pytest.raises(MissingChunk, match="c/0/0: the object is gone"):
        read_array(tmp_path / "a")
    (tmp_path / "a/zarr.json").write_text("{")
    with pytest.raises(CorruptChunk, match=r"zarr\.json: not JSON"):
        read_array(tmp_path / "a")


def test_statistics_are_exact(tmp_path: Path) -> None:
    """Integers of any size, the last digit of floats, and what JSON has no number for."""
    channel: dict[str, Json] = {
        "name": "NaN", "count": 2**53 + 1, "nan": 3, "min": -math.inf, "max": math.nan, "sum": 0.1 + 0.2,
        "sum_squares": 2**130 + 1, "squared_deviations": None,
    }  # fmt: skip
    counts = np.array([[0, 2**63, 7]], np.uint64)
    write_statistics(tmp_path, {"channels": [channel]}, counts, -128)
    json.loads((tmp_path / "bigimg/zarr.json").read_bytes(), parse_constant=pytest.fail)
    stored = read_statistics(tmp_path)
    assert stored is not None
    assert repr(stored.statistics) == repr({"channels": [channel]})
    assert stored.first == -128
    np.testing.assert_array_equal(stored.histogram, counts)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "bigimg/histogram", mode="r")[...], counts)


def test_statistics_without_histogram(tmp_path: Path) -> None:
    assert read_statistics(tmp_path) is None
    write_statistics(tmp_path, {"channels": []}, None)
    stored = read_statistics(tmp_path)
    assert stored is not None
    assert (stored.statistics, stored.histogram, stored.first) == ({"channels": []}, None, 0)


def test_manifest_lists_what_must_not_change_and_not_the_provenance(tmp_path: Path) -> None:
    write_file(tmp_path / "0/zarr.json", b"{}")
    write_statistics(tmp_path, {"channels": []}, np.ones((1, 2), np.uint64))
    write_file(tmp_path / "bigimg/provenance/zarr.json", dumps(group_metadata({"host": "here"})))
    rows = np.arange(8, dtype=np.uint64).reshape(2, 2, 2)
    write_manifest(tmp_path, {0: rows}, {"zarr.json": b"{}"})
    objects = read_objects(tmp_path)
    assert objects is not None
    assert sorted(objects) == [
        "0/zarr.json", "bigimg/histogram/c/0/0", "bigimg/histogram/zarr.json",
        "bigimg/manifest/0/c/0/0/0", "bigimg/manifest/0/zarr.json", "bigimg/zarr.json", "zarr.json",
    ]  # fmt: skip
    assert objects["0/zarr.json"][0] == 2
    np.testing.assert_array_equal(Records(tmp_path, "0").all(), rows)
    assert read_objects(tmp_path / "0") is None


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("grid", [(7,), (3, 5), (2, 3, 4)])
def test_records_are_read_chunk_by_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid: tuple[int, ...], zarr_format: ZarrFormat
) -> None:
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 4)
    monkeypatch.setattr(records, "KEPT", 2)
    rows = np.zeros(grid, RECORD)
    for i, name in enumerate(RECORD.names or ()):
        rows[name] = np.random.default_rng(i).integers(1, 2**31, grid)
    documents = group_documents({}, zarr_format)
    write_manifest(tmp_path, {0: rows}, documents)
    expected = np.stack([rows[name] for name in RECORD.names or ()], -1).astype(np.uint64)
    folder = tmp_path / "bigimg/manifest/0"
    np.testing.assert_array_equal(zarr.open_array(folder, mode="r")[...], expected)
    np.testing.assert_array_equal(read_array(folder, zarr_format), expected)
    found = Records(tmp_path, "0")
    assert (found.grid, found.chunks) == (grid, {})
    for index in np.ndindex(*grid):
        np.testing.assert_array_equal(found[index], expected[index])
        assert len(found.chunks) <= 2
    np.testing.assert_array_equal(found.all(), expected)
    chunks = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.isdecimal())
    assert len(chunks) > 1
    chunks[-1].write_bytes(chunks[0].read_bytes())
    found = Records(tmp_path, "0")
    np.testing.assert_array_equal(found[(0,) * len(grid)], expected[(0,) * len(grid)])
    with pytest.raises(CorruptChunk, match="the checksum is not that of the manifest"):
        found[tuple(n - 1 for n in grid)]
    chunks[-1].unlink()
    with pytest.raises(MissingChunk, match="the object is gone"):
        found[tuple(n - 1 for n in grid)]


def test_swapped_parts_of_the_manifest_are_found(tmp_path: Path) -> None:
    """Both are whole and of equal length, and end in their own crc32c: only their content tells them apart."""
    write_manifest(tmp_path, {i: np.full((2, 2, 2), i, np.uint64) for i in (0, 1)}, {"zarr.json": b"{}"})
    first, second = (tmp_path / f"bigimg/manifest/{i}/c/0/0/0" for i in (0, 1))
    first.rename(tmp_path / "spare")
    second.rename(first)
    (tmp_path / "spare").rename(second)
    with pytest.raises(CorruptChunk, match=r"manifest/0/c/0/0/0: the checksum is not that of the manifest"):
        Records(tmp_path, "0")


@pytest.mark.parametrize("zarr", [2, 3])
def test_the_provenance_vouches_for_itself(tmp_path: Path, zarr: ZarrFormat) -> None:
    write_documents(tmp_path, group_documents({}, zarr))
    said = provenance_documents({"written": "today", "size": math.inf}, zarr)
    write_documents(tmp_path / PROVENANCE, said)
    check_provenance(tmp_path)
    path = tmp_path / PROVENANCE / ATTRIBUTES[zarr]
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :])
        with pytest.raises(CorruptChunk, match=rf"provenance/{ATTRIBUTES[zarr]}: "):
            check_provenance(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"attributes": {"objects": {"a": 1}}}', "[]"])
def test_manifest_that_lists_nothing(ours: tuple[Path, Array], text: str) -> None:
    root, _ = ours
    (root / "bigimg/manifest/zarr.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"bigimg/manifest/zarr\.json: "):
        read_objects(root)


def test_a_folder_that_cannot_be_listed_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that lists less than there is would call a sound store damaged."""
    write_array(tmp_path / "bigimg/histogram", np.zeros((1, 4), np.uint64))
    scandir = os.scandir

    def failing(path: Path) -> Iterator[os.DirEntry[str]]:
        if os.fspath(path).endswith("histogram/c"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(OSError, match="Input/output"):
        write_manifest(tmp_path, {0: np.zeros((2, 2, 2), np.uint64)}, {"zarr.json": b"{}"})
