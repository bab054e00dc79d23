"""Arrays of others, as zarr writes them: the same pixels, no more bytes than the metadata allow, no code but ours."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

from bigimg.errors import BigimgError, CorruptChunk, InputError
from bigimg.omezarr.decoders import COMPRESSORS, UNDECODABLE, decompressed
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.omezarr.parse import parse_array
from bigimg.types import Array
from tests.omezarr.test_parse import V2, V3, changed
from tests.running import bigimg

PIXELS = np.random.default_rng(3).integers(0, 4000, (3, 20, 30)).astype("<u2")


def read(path: Path) -> Array:
    reader = StoreReader(open_store(path))
    return reader.read(tuple(slice(0, n) for n in reader.spec.shape))


@pytest.mark.parametrize("place", ["start", "end"])
@pytest.mark.parametrize("checked", [True, False])
def test_shards_with_any_index(place: Any, checked: bool, tmp_path: Path) -> None:
    index = [BytesCodec(), Crc32cCodec()] if checked else [BytesCodec()]
    inner = [TransposeCodec(order=(2, 0, 1)), BytesCodec(endian="big"), GzipCodec(level=1), Crc32cCodec()]
    codec = ShardingCodec(chunk_shape=(1, 8, 8), codecs=inner, index_codecs=index, index_location=place)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=PIXELS.shape, chunks=(2, 16, 16), dtype="u2", serializer=codec, compressors=None,
        filters=None, fill_value=7,
    )  # fmt: skip
    array[:2] = PIXELS[:2]
    np.testing.assert_array_equal(
        read(tmp_path / "a.zarr"), np.concatenate([PIXELS[:2], np.full_like(PIXELS[2:], 7)])
    )


@pytest.mark.parametrize("name", ["default", "v2"])
@pytest.mark.parametrize("separator", ["/", "."])
def test_names_of_objects(name: Any, separator: Any, tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=PIXELS.shape, chunks=(2, 16, 16), dtype="u2",
        chunk_key_encoding={"name": name, "separator": separator},
    )  # fmt: skip
    array[...] = PIXELS
    np.testing.assert_array_equal(read(tmp_path / "a.zarr"), PIXELS)


@pytest.mark.parametrize(
    "filters",
    [
        [numcodecs.Delta("<u2")],
        [numcodecs.FixedScaleOffset(offset=10, scale=1, dtype="<u2", astype="<i4")],
        [numcodecs.Shuffle(2), numcodecs.CRC32()],
        [numcodecs.Delta("<u2"), numcodecs.Zlib(1), numcodecs.Adler32()],
    ],
)
def test_filters(filters: list[Any], tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=PIXELS.shape, chunks=(2, 16, 16), dtype="<u2", zarr_format=2, filters=filters,
        compressors=numcodecs.Zstd(1),
    )  # fmt: skip
    array[...] = PIXELS
    np.testing.assert_array_equal(read(tmp_path / "a.zarr"), PIXELS)


@pytest.mark.parametrize("fill", [None, "NaN", "-Infinity", 1.5])
def test_fill_values_of_what_is_absent(fill: Any, tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(4, 4), chunks=(2, 2), dtype="f4", fill_value=0 if fill is None else fill
    )
    array[:2, :2] = 3
    np.testing.assert_array_equal(read(tmp_path / "a.zarr"), array[...])


# --------------------------------------------------------------------------------------- bytes that become many


def _made(name: str, data: bytes) -> bytes:
    make: dict[str, Callable[[bytes], Any]] = {
        "blosc": numcodecs.Blosc("lz4", 1).encode,
        "lz4": numcodecs.LZ4().encode,
        "zstd": numcodecs.Zstd(1).encode,
        "gzip": lambda b: (
            gzip.compress(b[: len(b) // 2], 1) + gzip.compress(b[len(b) // 2 :], 1)
        ),  # two members
        "zlib": lambda b: zlib.compress(b, 1),
        "bz2": lambda b: bz2.compress(b, 1),
        "lzma": lambda b: lzma.compress(b, preset=0),
        "crc32c": lambda b: b + struct.pack("<I", zarr_crc(b)),
    }
    return bytes(make[name](data))


def zarr_crc(data: bytes) -> int:
    return int.from_bytes(bytes(numcodecs.CRC32C().encode(data))[-4:], "little")


@pytest.mark.parametrize("name", COMPRESSORS)
def test_no_more_bytes_than_allowed(name: str) -> None:
    data = _made(name, bytes(range(250)) * 40)
    assert bytes(decompressed(name, data, 10_000)) == bytes(range(250)) * 40
    for most in (9_999, 100, 0):
        with pytest.raises(UNDECODABLE):
            decompressed(name, data, most)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_bytes_of_anything(name: str) -> None:
    """Cut, flipped or made up: refused, or other bytes, never an exception of another kind, never more bytes."""
    data = _made(name, bytes(range(250)) * 40)
    rng = np.random.default_rng(0)
    for i in range(200):
        cut = data[: int(rng.integers(len(data)))] if i % 2 else bytearray(data)
        if isinstance(cut, bytearray):
            cut[int(rng.integers(min(len(cut), 40)))] ^= int(rng.integers(1, 256))
        try:
            found = decompressed(name, bytes(cut), 10_000)
        except UNDECODABLE:
            continue
        assert len(found) <= 10_000


def zstd_of_many_frames() -> bytes:
    """Return a quarter of a gigabyte of zeros, in frames that each say that they are small."""
    return bytes(numcodecs.Zstd(1).encode(bytes(65_536))) * 3_800


def lying_blosc() -> bytes:
    """Return a chunk whose header says two gigabytes, of a few bytes."""
    data = bytearray(numcodecs.Blosc("lz4").encode(bytes(4096)))
    data[4:8] = struct.pack("<i", 2**31 - 1)
    return bytes(data)


BOMBS: dict[str, tuple[Any, Callable[[], bytes]]] = {
    "frames": (numcodecs.Zstd(1), zstd_of_many_frames),
    "blosc": (numcodecs.Blosc("lz4"), lying_blosc),
    "gzip": (numcodecs.GZip(1), lambda: gzip.compress(bytes(50_000_000), 1) * 8),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_chunk_that_is_a_bomb(name: str, tmp_path: Path) -> None:
    codec, make = BOMBS[name]
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(64, 64),
        chunks=(64, 64),
        dtype="u1",
        zarr_format=2,
        compressors=codec,
        filters=None,
    )
    array[...] = 1
    (tmp_path / "a.zarr/0.0").write_bytes(make())
    ended = bigimg("stats", tmp_path / "a.zarr", scratch=tmp_path)
    assert ended.code in (3, 5), ended.err
    assert "a.zarr" in ended.line
    assert ended.peak_bytes < 200_000_000


def test_a_shard_whose_chunks_are_bombs(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(64, 64),
        chunks=(32, 32),
        shards=(64, 64),
        dtype="u1",
        compressors=ZstdCodec(level=1),
    )
    array[...] = 1
    path = tmp_path / "a.zarr/c/0/0"
    bomb, index = bytes(numcodecs.Zstd(1).encode(bytes(100_000_000))), path.read_bytes()[-68:-4]
    table = np.frombuffer(index, "<u8").reshape(4, 2).copy()
    table[:] = 0, len(bomb)
    path.write_bytes(bomb + table.tobytes() + struct.pack("<I", zarr_crc(table.tobytes())))
    with pytest.raises(CorruptChunk, match=r"chunk \(0, 0\) does not decode"):
        read(tmp_path / "a.zarr")


# ---------------------------------------------------------------------------------------------- hostile metadata


@pytest.mark.parametrize(
    ("document", "path", "value", "said"),
    [
        (V2, ("filters",), [{"id": "pickle"}], "filters has the codec .*pickle"),
        (V2, ("compressor",), {"id": "json2"}, "compressor has the codec .*json2"),
        (V2, ("compressor",), "blosc", "id of 'blosc' is not text"),
        (V2, ("filters",), {"id": "delta"}, "filters is .* not a list"),
        (V2, ("filters",), [{"id": "delta", "dtype": "|O"}], "values of type '|O'"),
        (V2, ("filters",), [{"id": "astype", "encode_dtype": "<U999999", "decode_dtype": "<u2"}], "<U999999"),
        (V2, ("filters",), [{"id": "delta"}], "dtype"),
        (V2, ("compressor",), {"id": "lzma", "format": 3}, "lzma"),
        (V2, ("order",), "Z", "order is 'Z'"),
        (V2, ("dimension_separator",), "../", "dimension_separator is '../'"),
        (V2, ("dtype",), "(1000000000,)u1", "values of type"),
        (V2, ("dtype",), "M8[ns]", "values of type"),
        (V3, ("codecs",), [], "codecs lack bytes"),
        (V3, ("codecs",), {"name": "bytes"}, "codecs|KeyError"),
        (V3, ("codecs",), [{"name": "bytes"}, {"name": "numcodecs.pickle"}], "numcodecs.pickle"),
        (V3, ("codecs",), [{"name": "bytes", "configuration": [1]}], "configuration of"),
        (V3, ("codecs",), [{"name": "bytes", "configuration": {"endian": 7}}], "endian of bytes is 7"),
        (
            V3,
            ("codecs",),
            [{"name": "transpose", "configuration": {"order": [0, 0]}}, "bytes"],
            "order of transpose",
        ),
        (
            V3,
            ("codecs",),
            [{"name": "transpose", "configuration": {"order": "C"}}, "bytes"],
            "order of transpose",
        ),
        (V3, ("codecs", 0, "configuration", "index_location"), "middle", "index_location is 'middle'"),
        (V3, ("codecs", 0, "configuration", "index_codecs"), ["gzip"], "index_codecs is"),
        (V3, ("codecs", 0, "configuration", "codecs"), 5, "codecs is 5"),
        (V3, ("chunk_key_encoding",), {"name": "hilbert"}, "chunk_key_encoding is 'hilbert'"),
        (V3, ("chunk_key_encoding", "configuration", "separator"), "/../", "separator of chunk_key_encoding"),
        (V3, ("shape",), [2**31, 2**31], "shape is .*pixels"),
        (V3, ("data_type",), {"name": "uint8"}, "values of type"),
        (V3, ("dimension_names",), ["y"], "names of dimensions are"),
        (V3, ("dimension_names",), "yx", "names of dimensions are"),
        (V3, ("dimension_names",), [1, {}], "names of dimensions are"),
    ],
)
def test_what_is_wrong_is_named(document: Any, path: tuple[Any, ...], value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_array(changed(document, path, value), source="s")
    assert str(caught.value).startswith(("s/.zarray: ", "s/zarr.json: "))
    assert len(str(caught.value)) < 500


def test_a_codec_that_runs_code_is_not_run(tmp_path: Path) -> None:
    root = tmp_path / "a.zarr"
    array = zarr.create_array(
        root,
        shape=(4, 4),
        chunks=(4, 4),
        dtype="u1",
        zarr_format=2,
        filters=[numcodecs.Delta("|u1")],
        compressors=None,
    )
    array[...] = 1
    text = (root / ".zarray").read_text()
    begin, end = text.index('"filters"'), text.index("]", text.index('"filters"')) + 1
    (root / ".zarray").write_text(f'{text[:begin]}"filters": [{{"id": "pickle"}}]{text[end:]}')
    (root / "0.0").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(BigimgError, match="pickle"):
        read(root)
    assert not (tmp_path / "ran").exists()


def test_what_imagecodecs_promises() -> None:
    """A decoder that is given memory writes no further."""
    with pytest.raises(RuntimeError):
        imagecodecs.zstd_decode(_made("zstd", bytes(1000)), out=bytearray(999))


@pytest.mark.parametrize(
    ("dtype", "filters"),
    [("u1", [numcodecs.AsType("i8", "u1")]), ("u2", [numcodecs.Delta("<u2", "<i4")]), ("u1", []), ("f8", [])],
)
def test_declared_memory_holds_what_filters_make(dtype: str, filters: list[Any], tmp_path: Path) -> None:
    pixels = np.arange(256 * 512).reshape(256, 512).astype(dtype)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=pixels.shape, chunks=pixels.shape, dtype=dtype, zarr_format=2, filters=filters,
        compressors=numcodecs.Zlib(1),
    )  # fmt: skip
    array[...] = pixels
    reader = StoreReader(open_store(tmp_path / "a.zarr"))
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(reader.read((slice(0, 2), slice(0, 3))), pixels[:2, :3])
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    declared = reader.access.read_bytes + reader.access.fixed_bytes
    assert used <= declared <= 3 * pixels.nbytes * (8 // pixels.itemsize if filters else 1) + 48
