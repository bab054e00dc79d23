"""JPEG XL, JPEG XR, OpenEXR and HDR that encoders of imagecodecs wrote: known pixels, sizes, what is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, BudgetError, InputError, UnknownFormatError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.registry import find_format, open_file
from bigimg.testing import check_reader
from bigimg.types import Array

RNG = np.random.default_rng(0)


def picture(dtype: str, samples: int = 1, rows: int = 37, columns: int = 50) -> Array:
    shape = (rows, columns, samples) if samples > 1 else (rows, columns)
    if dtype[0] == "f":
        return (RNG.random(shape) * 9).astype(dtype)
    return RNG.integers(0, 250 if dtype == "u1" else 60_000, shape).astype(dtype)


def written(path: Path, codec: str, array: Array, **options: Any) -> Path:
    lossless = {"jpegxl": {"lossless": True}, "jpegxr": {"level": 1.0}}.get(codec, {})
    path.write_bytes(bytes(getattr(imagecodecs, f"{codec}_encode")(array, **(lossless | options))))
    return path


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


def channels_first(array: Array) -> Array:
    return np.moveaxis(array, -1, 0) if array.ndim == 3 else array


@pytest.mark.parametrize(
    ("codec", "dtype", "samples"),
    [
        *(("jpegxl", dtype, samples) for dtype in ("u1", "u2", "f2", "f4") for samples in (1, 3, 4)),
        ("jpegxl", "u1", 2),
        *(("jpegxr", dtype, samples) for dtype in ("u1", "u2") for samples in (1, 3, 4)),
        ("jpegxr", "f2", 1),
        *(("exr", dtype, samples) for dtype in ("u4", "f2", "f4") for samples in (1, 3, 4)),
    ],
)
def test_pixels(tmp_path: Path, codec: str, dtype: str, samples: int) -> None:
    array = picture(dtype, samples)
    path = written(tmp_path / f"a.{codec}", codec, array)
    assert find_format(path).name == codec
    check_reader(lambda: open_file(path), expected=channels_first(array))
    names = [channel.name for channel in open_file(path).spec.channels]
    assert names == {1: [], 2: ["grey", "A"], 3: ["R", "G", "B"], 4: ["R", "G", "B", "A"]}[samples]


def test_hdr(tmp_path: Path) -> None:
    array = picture("f4", 3)
    path = written(tmp_path / "a.hdr", "rgbe", array)
    found = whole(open_file(path))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, channels_first(imagecodecs.rgbe_decode(path.read_bytes())))
    largest = array.max(axis=2)
    assert (
        np.abs(found - channels_first(array)) <= largest / 128
    ).all()  # eight bits for the largest of three
    check_reader(lambda: open_file(path))


def test_bits_and_containers_of_jpegxl(tmp_path: Path) -> None:
    array = picture("u2") % 1024
    reader = open_file(written(tmp_path / "a.jxl", "jpegxl", array, bitspersample=10, usecontainer=True))
    np.testing.assert_array_equal(whole(reader), array)
    assert reader.spec.meta["bits_per_sample"] == 10
    lossy = written(tmp_path / "b.jxl", "jpegxl", picture("u1", 3), lossless=False)
    np.testing.assert_array_equal(
        whole(open_file(lossy)), channels_first(imagecodecs.jpegxl_decode(lossy.read_bytes()))
    )


def test_converted_inside_the_budget_and_refused_beyond(tmp_path: Path) -> None:
    array = picture("f4", 3)
    path = written(tmp_path / "a.exr", "exr", array)
    bigimg.convert(path, tmp_path / "a.ome.zarr", progress=False)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "a.ome.zarr"), channels_first(array))
    large = written(tmp_path / "b.jxl", "jpegxl", np.zeros((6000, 6000), "u1"))
    with pytest.raises(BudgetError, match=r"b\.jxl"):
        bigimg.plan(large, tmp_path / "b.ome.zarr", memory="400MB")


@pytest.mark.parametrize("codec", ["jpegxl", "jpegxr", "exr", "rgbe"])
def test_what_is_cut_is_named(tmp_path: Path, codec: str) -> None:
    dtype = {"jpegxl": "u1", "jpegxr": "u2"}.get(codec, "f4")
    path = written(tmp_path / "a", codec, picture(dtype, 3, 90, 120))
    good = path.read_bytes()
    for size in [14, 30, *RNG.integers(40, len(good) - 1, 9).tolist(), len(good) - 8]:
        path.write_bytes(good[:size])
        with pytest.raises(InputError, match=str(path)):
            whole(open_file(path))


@pytest.mark.parametrize("codec", ["jpegxl", "jpegxr", "exr", "rgbe"])
def test_damaged_headers_are_named_or_give_a_picture(tmp_path: Path, codec: str) -> None:
    dtype = {"jpegxl": "u1", "jpegxr": "u2"}.get(codec, "f4")
    path = written(tmp_path / "a", codec, picture(dtype, 3))
    good = path.read_bytes()
    for _ in range(20):
        bad = bytearray(good)
        bad[int(RNG.integers(4, min(200, len(good))))] ^= 1 << int(RNG.integers(8))
        path.write_bytes(bad)
        try:
            reader = open_file(path)
            if reader.access.fixed_bytes < 100_000_000:
                whole(reader)
        except BigimgError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    frames = RNG.integers(0, 99, (3, 20, 30, 3)).astype("u1")
    with pytest.raises(InputError, match="animated JPEG XL"):
        open_file(written(tmp_path / "a.jxl", "jpegxl", frames))
    path = written(tmp_path / "a.exr", "exr", picture("f4", 3))
    content = path.read_bytes()
    path.write_bytes(content[:4] + struct.pack("<I", 2 | 0x1000) + content[8:])
    with pytest.raises(InputError, match="several parts"):
        open_file(path)
    path.write_bytes(content.replace(b"B\0\2\0\0\0", b"Z\0\2\0\0\0", 1))
    with pytest.raises(InputError, match=r"its channels are Z \(float32\), G .*Y or R G B"):
        open_file(path)
    path = written(tmp_path / "a.hdr", "rgbe", picture("f4", 3))
    path.write_bytes(path.read_bytes().replace(b"-Y 37", b"+Y 37"))
    with pytest.raises(InputError, match=r"its rows go \+Y \+X"):
        open_file(path)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(UnknownFormatError, match="HEIF, which bigimg does not read"):
        open_file(tmp_path / "a.heic")
    bomb = written(tmp_path / "b.jxr", "jpegxr", picture("u1"))
    content = bytearray(bomb.read_bytes())
    at = content.index(b"WMPHOTO\0")
    content[at + 12 : at + 16] = b"\xff\xfe\xff\xfe"  # rows and columns
    bomb.write_bytes(content)
    with pytest.raises(InputError, match="only 1850 values are expected"):
        whole(open_file(bomb))
