"""Shards written and read by hand, against what zarr does with the same metadata."""

from __future__ import annotations

import itertools
import os
import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bigimg.errors import CorruptChunk, InputError, MissingChunk
from bigimg.geometry.region import full, grid, piece
from bigimg.omezarr import pixels
from bigimg.omezarr.codecs import CODECS
from bigimg.omezarr.metadata import array_metadata, dumps
from bigimg.omezarr.shard import (
    CachedIndex,
    ObjectRecord,
    ShardLayout,
    object_key,
    read_record,
    read_region,
    write_shard,
)
from bigimg.places.folder_target import FolderTarget
from bigimg.types import Array, CodecName, Region, Shape

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int64", "float16", "float32", "float64"]
NOISE = np.random.default_rng(3)


def noise(shape: Shape, dtype: str = "uint8") -> Array:
    raw = NOISE.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    return raw[..., 0] > 127 if dtype == "bool" else raw.view(dtype)[..., 0]


def layout_of(
    shape: Shape, chunk: Shape, shard: Shape, dtype: str = "uint8", codec: CodecName = "lz4"
) -> ShardLayout:
    return ShardLayout(shape, np.dtype(dtype), chunk, shard, CODECS[codec])


def new_target(folder: Path) -> FolderTarget:
    folder.mkdir(parents=True, exist_ok=True)
    return FolderTarget(folder, folder)


def write(folder: Path, image: Array, layout: ShardLayout) -> Array:
    """Write every shard of ``image`` with its metadata; return the records as the manifest keeps them."""
    objects = grid(layout.shape, layout.shard)
    records = np.zeros((*objects, 3), np.uint64)
    for index in np.ndindex(*objects):
        record = write_shard(
            new_target(folder), index, image[piece(index, layout.shard, layout.shape)], layout
        )
        assert record.index == index
        records[index] = record.length, record.crc32c, record.index_crc32c
    (folder / "zarr.json").write_bytes(dumps(array_metadata(layout, [f"d{i}" for i in range(image.ndim)])))
    return records


@st.composite
def layouts(draw: st.DrawFn) -> tuple[ShardLayout, Region]:
    ndim = draw(st.integers(1, 4))
    chunk = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    shard = tuple(c * draw(st.integers(1, 3)) for c in chunk)
    shape = tuple(draw(st.integers(1, 13)) for _ in range(ndim))
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    region = tuple(slice(a, draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))
    codec = draw(st.sampled_from(list(CODECS)))
    return layout_of(shape, chunk, shard, draw(st.sampled_from(DTYPES)), codec), region


@settings(max_examples=60)
@given(case=layouts())
def test_zarr_reads_what_we_write_and_so_do_we(
    case: tuple[ShardLayout, Region], tmp_path_factory: pytest.TempPathFactory
) -> None:
    layout, region = case
    folder = tmp_path_factory.mktemp("array")
    image = noise(layout.shape, layout.dtype.name)
    records = write(folder, image, layout)
    theirs = zarr.open_array(folder, mode="r")
    assert theirs[...].tobytes() == image.tobytes()
    ours = read_region(folder, region, layout, records)
    assert ours.dtype == image.dtype
    assert ours.tobytes() == image[region].tobytes()
    for index in np.ndindex(*records.shape[:-1]):
        assert read_record(folder, index, layout) == ObjectRecord(index, *map(int, records[index]))


@pytest.mark.parametrize("codec", list(CODECS))
def test_we_read_what_zarr_writes(tmp_path: Path, codec: CodecName) -> None:
    layout = layout_of((5, 70, 50), (1, 16, 16), (4, 32, 32), "uint16", codec)
    (tmp_path / "zarr.json").write_bytes(dumps(array_metadata(layout, "zyx")))
    image = noise(layout.shape, "uint16")
    zarr.open_array(tmp_path, mode="r+")[...] = image
    np.testing.assert_array_equal(read_region(tmp_path, full(layout.shape), layout), image)


def test_noncontiguous_and_foreign_byte_order_are_written_right(tmp_path: Path) -> None:
    layout = layout_of((8, 8), (4, 4), (8, 8), "uint16")
    image = noise((8, 8), "uint16")
    for i, given_data in enumerate(
        [image.T.copy().T, image.astype(image.dtype.newbyteorder()), image[::-1][::-1]]
    ):
        write_shard(new_target(tmp_path / str(i)), (0, 0), given_data, layout)
        np.testing.assert_array_equal(read_region(tmp_path / str(i), full((8, 8)), layout), image)


def test_another_type_is_refused_rather_than_reinterpreted(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Cannot cast"):
        write_shard(
            new_target(tmp_path),
            (0, 0),
            np.zeros((4, 4), np.int64),
            layout_of((4, 4), (4, 4), (4, 4), "uint16"),
        )


def test_checksum_tells_shards_of_equal_length_apart(tmp_path: Path) -> None:
    """A crc32c over all bytes would not: each chunk ends in its own, which resets it to a constant."""
    layout = layout_of((32, 32), (16, 16), (32, 32), codec="none")
    first, second = (
        write_shard(new_target(tmp_path / name), (0, 0), noise((32, 32)), layout) for name in "ab"
    )
    assert first.length == second.length
    plain = [google_crc32c.value((tmp_path / name / "c/0/0").read_bytes()) for name in "ab"]
    assert plain[0] == plain[1]
    assert first.crc32c != second.crc32c


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, ShardLayout, Array, Array]:
    """An array of 2 x 2 shards of 2 x 2 chunks of incompressible pixels, the last ones cut."""
    layout = layout_of((60, 50), (16, 16), (32, 32))
    image = noise(layout.shape)
    return tmp_path, layout, image, write(tmp_path, image, layout)


def test_lost_object(stored: tuple[Path, ShardLayout, Array, Array]) -> None:
    folder, layout, image, records = stored
    (folder / object_key((1, 0))).unlink()
    with pytest.raises(MissingChunk, match=r"c/1/0: the object is gone"):
        read_region(folder, full(layout.shape), layout, records)
    there = (slice(0, 32), slice(0, 50))
    np.testing.assert_array_equal(read_region(folder, there, layout, records), image[there])


def test_swapped_objects_of_equal_length(
    stored: tuple[Path, ShardLayout, Array, Array], tmp_path: Path
) -> None:
    _, layout, _, _ = stored
    folder = tmp_path / "none"
    layout = layout_of((32, 64), (16, 16), (32, 32), codec="none")
    records = write(folder, noise(layout.shape), layout)
    a, b = folder / object_key((0, 0)), folder / object_key((0, 1))
    assert a.stat().st_size == b.stat().st_size
    a.rename(folder / "spare")
    b.rename(a)
    (folder / "spare").rename(b)
    with pytest.raises(CorruptChunk, match=r"c/0/0: holds other pixels"):
        read_region(folder, full(layout.shape), layout, records)


def test_every_cut_raises(stored: tuple[Path, ShardLayout, Array, Array]) -> None:
    folder, layout, _, records = stored
    path = folder / object_key((0, 0))
    data = path.read_bytes()
    for n in (0, 1, 4, layout.index_bytes - 1, layout.index_bytes, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:n])
        with pytest.raises(CorruptChunk, match=r"c/0/0: .* instead of"):
            read_region(folder, full(layout.shape), layout, records)
        with pytest.raises(CorruptChunk, match=r"c/0/0"):
            read_region(folder, full(layout.shape), layout)
    path.write_bytes(data + b"\0")
    with pytest.raises(CorruptChunk, match=r"c/0/0"):
        read_region(folder, full(layout.shape), layout, records)


@pytest.mark.parametrize("with_records", [True, False])
def test_every_flipped_bit_raises(stored: tuple[Path, ShardLayout, Array, Array], with_records: bool) -> None:
    folder, layout, _, records = stored
    path = folder / object_key((1, 1))
    data = path.read_bytes()
    for position in itertools.chain(
        range(0, len(data), 13), range(len(data) - layout.index_bytes, len(data))
    ):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises((CorruptChunk, MissingChunk), match=r"c/1/1"):
            read_region(folder, full(layout.shape), layout, records if with_records else None)


def test_chunk_dropped_from_the_index_costs_only_its_own_pixels(
    stored: tuple[Path, ShardLayout, Array, Array],
) -> None:
    folder, layout, image, records = stored
    path = folder / object_key((0, 1))
    data = path.read_bytes()
    table = bytearray(data[-layout.index_bytes : -4])
    table[32:48] = b"\xff" * 16
    path.write_bytes(
        data[: -layout.index_bytes] + table + struct.pack("<I", google_crc32c.value(bytes(table)))
    )
    with pytest.raises(MissingChunk, match=r"c/0/1: its chunk \(1, 0\) is not in the shard index"):
        read_region(folder, full(layout.shape), layout, records)
    above = (slice(0, 16), slice(0, 50))
    np.testing.assert_array_equal(read_region(folder, above, layout, records), image[above])


@pytest.mark.parametrize("entry", [(2**63, 100), (0, 2), (10, 2**64 - 1)], ids=["beyond", "short", "endless"])
def test_index_that_points_nowhere(
    stored: tuple[Path, ShardLayout, Array, Array], entry: tuple[int, int]
) -> None:
    folder, layout, _, _ = stored
    path = folder / object_key((0, 0))
    data = path.read_bytes()
    table = struct.pack("<QQ", *entry) + data[-layout.index_bytes + 16 : -4]
    path.write_bytes(data[: -layout.index_bytes] + table + struct.pack("<I", google_crc32c.value(table)))
    with pytest.raises(CorruptChunk, match=r"chunk \(0, 0\) lies outside the object"):
        read_region(folder, full(layout.shape), layout)


def test_known_indices_are_not_read_again(stored: tuple[Path, ShardLayout, Array, Array]) -> None:
    folder, layout, image, records = stored
    known: dict[Shape, Array] = {}
    read_region(folder, full(layout.shape), layout, records, cache=known)
    assert sorted(known) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    again = read_region(folder, full(layout.shape), layout, records, cache=known)
    np.testing.assert_array_equal(again, image)


def test_no_descriptor_stays_open(stored: tuple[Path, ShardLayout, Array, Array]) -> None:
    folder, layout, _, records = stored
    before = len(os.listdir("/proc/self/fd"))
    read_region(folder, full(layout.shape), layout, records)
    (folder / object_key((0, 0))).write_bytes(b"x" * 300)
    with pytest.raises(CorruptChunk):
        read_region(folder, full(layout.shape), layout, records)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_the_system_refuses_is_an_input_error(stored: tuple[Path, ShardLayout, Array, Array]) -> None:
    folder, layout, _, _ = stored
    path = folder / object_key((0, 0))
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(InputError, match=r"c/0/0: cannot be read"):
        read_region(folder, full(layout.shape), layout)


def test_indices_are_kept_in_one_table_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As arrays of their own they hold on to the memory between them, which grew with the store."""
    layout = ShardLayout((64, 64), np.dtype("u1"), (4, 4), (8, 8), CODECS["lz4"])
    monkeypatch.setattr(pixels, "INDEX_CACHE_BYTES", 3 * (layout.index_bytes + pixels.ENTRY_BYTES))
    cache = pixels.IndexCache(layout)
    indices = [np.arange(8, dtype="<u8").reshape(2, 2, 2) + n for n in range(5)]
    for n, offsets in enumerate(indices):
        cache[0, n] = CachedIndex(offsets, n)
        cache[0, n] = CachedIndex(offsets, n + 10)  # the object changed
    assert [cache.get((0, n)) is None for n in range(5)] == [True, True, False, False, False]
    assert cache.table.shape == (3, 2, 2, 2)
    for n in (2, 3, 4):
        found = cache.get((0, n))
        assert found is not None
        np.testing.assert_array_equal(found.offsets, indices[n])
        assert found.state == n + 10
        assert not np.shares_memory(found.offsets, cache.table)  # another thread may fill the row
