"""Large compressed strips are decoded row by row: the same pixels in the memory of a few rows; damage is named."""

from __future__ import annotations

import io
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.readers.tiff import reader as module
from bigimg.readers.tiff import rows
from bigimg.readers.tiff.reader import TiffReader
from bigimg.testing import check_reader
from bigimg.types import Array

CODECS = ["zlib", "lzw", "packbits", "zstd"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(rows, "BAND_BYTES", 3000)
    monkeypatch.setattr(rows, "PORTION_BYTES", 700)


def picture(*shape: int, dtype: str = "u1") -> Array:
    random = np.random.default_rng(7)
    smooth = np.cumsum(random.integers(-2, 3, shape), axis=1) + random.integers(0, 2, shape)
    return (smooth % 251).astype(dtype)


def whole(path: Path) -> Array:
    reader = TiffReader(path)
    pixels = reader.read(full(reader.spec.shape))
    reader.close()
    return pixels


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", "<f4", ">f8"])
@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_codecs_and_predictors(codec: str, dtype: str, predictor: int, tmp_path: Path) -> None:
    if (predictor == 3) != (dtype[-2] == "f") and predictor > 1:
        return
    image = picture(90, 70, dtype=dtype)
    options = {"compression": codec, "predictor": predictor if predictor > 1 else None, "byteorder": dtype[0]}
    tifffile.imwrite(
        tmp_path / "a.tif",
        image,
        rowsperstrip=90,
        **options if dtype != "u1" else options | {"byteorder": "<"},
    )
    reader = TiffReader(tmp_path / "a.tif")
    assert reader.access.kind == "sequential"
    assert reader.access.order == ("y", "x")
    np.testing.assert_array_equal(whole(tmp_path / "a.tif"), image.astype(image.dtype.newbyteorder("=")))


@pytest.mark.parametrize("codec", CODECS)
def test_the_contract_with_colours_and_pages(codec: str, tmp_path: Path) -> None:
    image = picture(2, 40, 50, 3)
    tifffile.imwrite(
        tmp_path / "a.tif", image, rowsperstrip=17, compression=codec, predictor=True, photometric="rgb"
    )
    reader = TiffReader(tmp_path / "a.tif")
    assert reader.access.order == ("z", "y", "x", "c")
    check_reader(lambda: TiffReader(tmp_path / "a.tif"), expected=image.transpose(3, 0, 1, 2))


def test_what_cannot_go_down_is_whole(tmp_path: Path) -> None:
    image = picture(40, 50)
    for name, options in {
        "turned": {"extratags": [(274, 3, 1, 6, True)]}, "jpeg": {"compression": "jpeg"},
        "separate": {"planarconfig": "separate", "photometric": "rgb"},
    }.items():  # fmt: skip
        path, pixels = tmp_path / f"{name}.tif", np.stack([image] * 3) if name == "separate" else image
        tifffile.imwrite(path, pixels, rowsperstrip=40, **{"compression": "zlib"} | options)
        assert TiffReader(path).access.kind != "sequential"


def test_going_back_warns_once(tmp_path: Path) -> None:
    image = picture(90, 70)
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=90, compression="zlib")
    reader = TiffReader(tmp_path / "a.tif")
    np.testing.assert_array_equal(reader.read((slice(80, 90), slice(3, 9))), image[80:90, 3:9])
    with pytest.warns(UserWarning, match="rows from 42 on are read again"):
        np.testing.assert_array_equal(reader.read((slice(50, 60), slice(3, 9))), image[50:60, 3:9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(reader.read((slice(45, 60), slice(0, 9))), image[45:60, :9])
        np.testing.assert_array_equal(reader.read((slice(0, 2), slice(0, 9))), image[:2, :9])


@pytest.mark.parametrize("codec", CODECS)
def test_cuts_and_flips_are_named(codec: str, tmp_path: Path) -> None:
    image = picture(90, 70, dtype="u2")
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=90, compression=codec)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        (start,), (size,) = tif.pages[0].dataoffsets, tif.pages[0].databytecounts
        counts = tif.pages[0].tags["StripByteCounts"]
    data = (tmp_path / "a.tif").read_bytes()
    cut = bytearray(data)
    cut[counts.valueoffset : counts.valueoffset + 4] = (size * 2 // 3).to_bytes(4, "little")
    (tmp_path / "cut.tif").write_bytes(cut)
    with pytest.raises(InputError, match=r"cut.tif: page 0, strip 0 cannot be decoded from row \d+ of 90 on"):
        whole(tmp_path / "cut.tif")
    assert whole(tmp_path / "a.tif").shape == (90, 70)
    random = np.random.default_rng(1)
    for _ in range(20):
        flipped = bytearray(data)
        flipped[start + int(random.integers(size))] ^= 1 << int(random.integers(8))
        (tmp_path / "flip.tif").write_bytes(flipped)
        try:
            pixels = whole(tmp_path / "flip.tif")
        except InputError as error:
            if "flip.tif: page 0, strip 0 cannot be decoded from row" not in str(error):
                raise
        else:
            assert pixels.shape == image.shape
            assert codec != "zlib" or np.array_equal(pixels, image)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([2, 40, 256]), st.integers(1, 60_000))
def test_lzw_and_packbits_in_pieces(seed: int, values: int, size: int) -> None:
    """Random bytes clear the table often, few values late; both as a library writes them."""
    random = np.random.default_rng(seed)
    plain = (
        np.repeat(random.integers(0, values, size // 3 + 1), random.integers(1, 5, size // 3 + 1))
        .astype("u1")
        .tobytes()
    )
    for encode, decode in ((imagecodecs.lzw_encode, rows.lzw), (imagecodecs.packbits_encode, rows.packbits)):
        assert b"".join(decode(io.BytesIO(encode(plain)))) == plain


def test_blank_pixels_are_many_bytes_a_table(tmp_path: Path) -> None:
    image = np.zeros((3000, 3000), "u1")
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=3000, compression="lzw")
    np.testing.assert_array_equal(whole(tmp_path / "a.tif"), image)


def test_a_pass(tmp_path: Path) -> None:
    image = picture(300, 200, 3)
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=300, compression="lzw", photometric="rgb")
    tree = bigimg.convert(tmp_path / "a.tif", tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(tree["scale0/image"].values, np.moveaxis(image, -1, 0))


@pytest.mark.parametrize("window", [12, 25])
def test_the_window_of_zstd_is_counted(window: int, tmp_path: Path) -> None:
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    image = picture(90, 70)
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
    coded = packer.compress(image[:40].tobytes()) + packer.compress(image[40:].tobytes()) + packer.flush()
    tifffile.imwrite(
        tmp_path / "a.tif", iter([coded]), shape=image.shape, dtype="u1", rowsperstrip=90, compression="zstd"
    )
    np.testing.assert_array_equal(whole(tmp_path / "a.tif"), image)
    fixed = TiffReader(tmp_path / "a.tif").access.fixed_bytes - rows.CODER_BYTES
    assert 1 << window <= fixed < (1 << window) + 20_000


@pytest.mark.parametrize("level", [1, 22])
@pytest.mark.parametrize("size", [100, 300, 70_000])
def test_windows_of_one_segment(level: int, size: int) -> None:
    assert rows.zstd_window(imagecodecs.zstd_encode(bytes(size), level=level)[:18]) == size


def test_a_table_of_lzw_that_is_never_cleared_is_refused() -> None:
    coded = io.BytesIO(b"\x80" + bytes(4 << 20))
    with pytest.raises(ValueError, match="no code clears its table"):
        next(rows.lzw(coded))
    assert coded.tell() <= 2 * rows.MOST_TABLE


def test_closing_waits_for_a_read_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(300, 40)
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=300, compression="zlib")
    reader, begun, fill = TiffReader(tmp_path / "a.tif"), threading.Event(), rows.InOrder._fill

    def slow(self: rows.InOrder, *args: Any, **more: Any) -> None:
        if begun.is_set():
            time.sleep(0.01)
        begun.set()
        fill(self, *args, **more)

    monkeypatch.setattr(rows.InOrder, "_fill", slow)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(reader.read, full(reader.spec.shape))
        begun.wait()
        reader.close()
        np.testing.assert_array_equal(found.result(), image)


def test_a_read_that_failed_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no codec failed, but memory was short."""
    image = picture(90, 70)
    tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=90, compression="zlib", predictor=True)
    reader, decode = TiffReader(tmp_path / "a.tif"), imagecodecs.delta_decode

    def short(*args: object, **options: object) -> Array:
        raise MemoryError

    monkeypatch.setattr(imagecodecs, "delta_decode", short)
    with pytest.raises(MemoryError):
        reader.read(full(image.shape))
    monkeypatch.setattr(imagecodecs, "delta_decode", decode)
    np.testing.assert_array_equal(reader.read(full(image.shape)), image)
    reader.close()
