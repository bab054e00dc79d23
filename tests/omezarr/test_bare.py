"""Chunks of zarr 2 written and read by hand, against what zarr does with the same metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from bigimg.errors import CorruptChunk, MissingChunk
from bigimg.geometry.region import full, grid, piece
from bigimg.omezarr.codecs import CODECS
from bigimg.omezarr.manifest import write_documents
from bigimg.omezarr.metadata import array_documents, array_metadata_v2, dumps
from bigimg.omezarr.parse import parse_array
from bigimg.omezarr.shard import ShardLayout, read_record, read_region, write_shard
from bigimg.places.folder_target import FolderTarget
from bigimg.types import Array, CodecName
from tests.conversion.sources import noise

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int64", "float16", "float32", "float64"]


def write(folder: Path, image: Array, layout: ShardLayout) -> Array:
    folder.mkdir(parents=True, exist_ok=True)
    records = np.zeros((*grid(layout.shape, layout.chunk), 2), np.uint64)
    for index in np.ndindex(*records.shape[:-1]):
        record = write_shard(
            FolderTarget(folder, folder), index, image[piece(index, layout.chunk, layout.shape)], layout
        )
        assert read_record(folder, index, layout) == record
        records[index] = record.length, record.crc32c
    write_documents(folder, array_documents(layout, [f"d{i}" for i in range(image.ndim)]))
    return records


@st.composite
def layouts(draw: st.DrawFn) -> tuple[ShardLayout, Any]:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    chunk = tuple(draw(st.integers(1, n)) for n in shape)
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    region = tuple(slice(s, draw(st.integers(s + 1, n))) for s, n in zip(starts, shape, strict=True))
    codec: CodecName = draw(st.sampled_from(["lz4", "zstd", "none"]))
    return ShardLayout(shape, np.dtype(draw(st.sampled_from(DTYPES))), chunk, chunk, CODECS[codec], 2), region


@settings(max_examples=40)
@given(case=layouts())
def test_zarr_and_we_read_the_same(case: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    layout, region = case
    folder = tmp_path_factory.mktemp("array") / "0"
    image = noise(layout.shape, layout.dtype.name)
    records = write(folder, image, layout)
    np.testing.assert_array_equal(zarr.open_array(folder, mode="r")[...], image)
    np.testing.assert_array_equal(read_region(folder, region, layout, records), image[region])
    np.testing.assert_array_equal(read_region(folder, region, layout), image[region])


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_metadata_is_what_zarr_writes(dtype: str, codec: CodecName) -> None:
    compressor = {
        "lz4": numcodecs.Blosc("lz4", 5, 2),
        "zstd": numcodecs.Blosc("zstd", 1, 1),
        "none": None,
    }[codec]
    store = MemoryStore()
    zarr.create_array(
        store, shape=(3, 70), chunks=(1, 32), dtype=dtype, zarr_format=2, compressors=compressor,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip
    theirs = json.loads(store._store_dict[".zarray"].to_bytes())
    layout = ShardLayout((3, 70), np.dtype(dtype), (1, 32), (1, 32), CODECS[codec], 2)
    assert json.loads(dumps(array_metadata_v2(layout))) == theirs
    assert parse_array(theirs, source="a").layout == layout
    for key, other in (
        ("order", "F"),
        ("dimension_separator", "."),
        ("filters", [{"id": "delta", "dtype": "|u1"}]),
    ):
        assert parse_array({**theirs, key: other}, source="a").layout is None


def test_every_flipped_bit_and_every_cut_raises(tmp_path: Path) -> None:
    layout = ShardLayout((4, 6), np.dtype(np.uint16), (4, 6), (4, 6), CODECS["none"], 2)
    records = write(tmp_path / "0", noise((4, 6), "uint16"), layout)
    path = tmp_path / "0" / "0" / "0"
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 8]) + data[i + 1 :])
        with pytest.raises(CorruptChunk, match="0/0: holds other bytes than were written"):
            read_region(tmp_path / "0", full((4, 6)), layout, records)
        path.write_bytes(data[:i])
        with pytest.raises(CorruptChunk, match=f"0/0: {i} bytes instead of {len(data)}"):
            read_region(tmp_path / "0", full((4, 6)), layout, records)
    path.unlink()
    with pytest.raises(MissingChunk, match="0/0: the object is gone"):
        read_region(tmp_path / "0", full((4, 6)), layout, records)
