"""Bad input: a clear error on one line in bounded time and memory, nothing left behind; or pixels that are right.

The first table says of each file under ``corrupt/`` of the real data what the command does with it, and why.
The rest is made here: files cut at several places, headers that claim more than any machine has, broken stores.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from tests.conftest import find_data
from tests.running import Ended, bigimg

SECONDS = 10
"""The goal; a hang is what the test looks for, so the child is given six times as long and told about."""
MOST_BYTES = 1_000_000_000
INPUT, INTEGRITY, BUDGET = 3, 5, 6

DATA = find_data()
CORRUPT = sorted((DATA / "corrupt").iterdir()) if DATA else []

TABLE: dict[str, tuple[int, str]] = {
    # file: (exit code, words of the message, or why it converts)
    "MR_truncated.dcm": (INPUT, "8130 are there"),
    "badVR.dcm": (INPUT, "makes no sense"),
    "broken.png": (INPUT, "no header"),
    "broken_data_stream.png": (INPUT, "is damaged: rows 0 to 127"),
    "chest_xray.mhd": (INPUT, "its pixels should be in chest_xray.raw, which is not there"),
    "crash-0e16d3bfb83be87356d026d66919deaefca44dac.tif": (
        INPUT,
        "page 0, tag GDAL_METADATA has 861 values in bytes 4048 to 4909 of a file of 4567",
    ),
    "crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif": (
        INPUT,
        "page 0, tag 0 has 16908288 values in bytes 65539 to 16973827 of a file of 3728",
    ),
    "crash-86214e58da443d2b80820cff9677a38a33dcbbca.tif": (
        INPUT,
        "page 0, tag JPEGTables has 574 values in bytes 294 to 868 of a file of 286",
    ),
    # Pillow's GIF plugin itself refuses more than twice MAX_IMAGE_PIXELS, before it allocates a frame.
    "decompression_bomb.gif": (INPUT, "declares a frame of 4364696535 pixels in a file of 44 bytes"),
    "no_meta.dcm": (INPUT, "holds DICOM tags from byte 1 on, but the preamble"),
    "not_enough_data.jp2": (INPUT, "the JPEG 2000 header cannot be read"),
    "oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif": (
        INPUT,
        "page 0 lists 11 tags in bytes 8 to 146 of a file of 88",
    ),
    "phantom_truncated.PAR": (INPUT, "Found 3 dynamic scan values, but expected 4"),
    "phantom_truncated.REC": (INPUT, "Found 3 dynamic scan values, but expected 4"),
    "seek_too_large.tif": (INPUT, "page 0 should begin at byte"),
    "tiff_overflow_rows_per_strip.tif": (
        INPUT,
        "page 0, tag StripOffsets has 39 values, and the page has 3 strips",
    ),
    "truncated.jpg": (INPUT, "ends early, within rows 0 to 255 of 442"),
    "truncated_image.png": (INPUT, "is damaged: rows 400 to 479 of 480"),
    "truncated_jpeg.jpg": (INPUT, "ends early, within rows 0 to 99 of 100"),
    # These convert: what is wrong lies outside the pixels, which equal those of the library that owns the format.
    "tiff_wrong_bits_per_sample.tiff": (
        0,
        "one bit depth for four samples, a strip of 35 MB in 11 kB: the bytes of all pixels are there",
    ),
    "total-pages-zero.tif": (0, "three pages that number themselves 0, 1, 2 of 0: each is whole"),
    "unknown_compression_method.png": (
        0,
        "an iCCP chunk of unknown method and wrong checksum: the pixels have their own, and it is right",
    ),
}


def converted(source: Path, tmp_path: Path, *options: object) -> tuple[Ended, Path]:
    """Convert in a child and hold it to time, memory and cleanliness."""
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    found = bigimg("convert", "-q", source, out / "a.ome.zarr", *options, scratch=tmp_path)
    print(
        f"{source.name}: exit {found.code}, {found.seconds:.1f} s of {SECONDS}, {found.peak_bytes / 1e6:.0f} MB"
    )
    assert 0 < found.peak_bytes < MOST_BYTES
    if found.code:
        assert not list(out.iterdir())
    return found, out / "a.ome.zarr"


def refused(source: Path, tmp_path: Path, code: int, *words: str, options: tuple[object, ...] = ()) -> None:
    found, _ = converted(source, tmp_path, *options)
    assert found.code == code, found
    assert source.name in found.line
    for word in words:
        assert word in found.line


# Real files


@pytest.mark.parametrize("path", CORRUPT, ids=lambda p: p.name)
def test_corrupt_files_of_others(path: Path, tmp_path: Path):
    code, words = TABLE[path.name]
    if code:
        refused(path, tmp_path, code, words)
    else:
        found, store = converted(path, tmp_path)
        assert found.code == 0, found.err
        pixels = owned(path)
        np.testing.assert_array_equal(zarr.open_array(store / "0", mode="r")[...], pixels)


def owned(path: Path) -> np.ndarray:
    """Return the pixels as the library that owns the format decodes them, channels first."""
    if path.suffix == ".png":
        import imagecodecs

        pixels = imagecodecs.png_decode(path.read_bytes())
    else:
        with tifffile.TiffFile(path) as file:
            pixels = file.series[0].asarray()
    return np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 and pixels.shape[-1] <= 4 else pixels


def test_the_table_is_complete(data: Path):
    assert {path.name for path in (data / "corrupt").iterdir()} == set(TABLE)


# Files cut short


def noisy(shape: tuple[int, ...], dtype: str = "u1") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape, np.uint8).astype(dtype)


def made_tiff(path: Path) -> None:
    tifffile.imwrite(path, noisy((600, 500)), rowsperstrip=32)


def made_tiled_tiff(path: Path) -> None:
    tifffile.imwrite(path, noisy((600, 500, 3)), tile=(128, 128), compression="zlib")


def made_picture(path: Path) -> None:
    Image.fromarray(noisy((600, 500, 3))).save(path)


def made_progressive(path: Path) -> None:
    Image.fromarray(noisy((600, 500, 3))).save(path, progressive=True)


def made_nifti(path: Path) -> None:
    nibabel.Nifti1Image(noisy((60, 50, 40), "i2"), np.eye(4)).to_filename(path)


def made_npy(path: Path) -> None:
    np.save(path, noisy((600, 500)))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97, -1])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.tif", made_tiff),
        ("b.tif", made_tiled_tiff),
        ("a.png", made_picture),
        ("a.jpg", made_picture),
        ("b.jpg", made_progressive),
        ("a.bmp", made_picture),
        ("a.nii", made_nifti),
        ("a.nii.gz", made_nifti),
        ("a.npy", made_npy),
    ],
)
def test_cut_short(name: str, make: Callable[[Path], None], share: float, tmp_path: Path):
    """At a header, in the middle, near the end, and of the last byte where that byte holds a pixel."""
    path = tmp_path / name
    make(path)
    size = path.stat().st_size
    kept = size - 1 if share < 0 else int(size * share)
    if share < 0 and name in ("a.png", "a.jpg", "b.jpg", "b.tif", "a.nii.gz"):
        kept = size - 14  # into the end of the last chunk, scan, tile or checksum: what follows is no pixel
    with open(path, "r+b") as file:
        file.truncate(kept)
    refused(path, tmp_path, INPUT)


def test_one_flipped_bit_in_gzip(tmp_path: Path):
    made_nifti(tmp_path / "a.nii.gz")
    content = bytearray((tmp_path / "a.nii.gz").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "a.nii.gz").write_bytes(content)
    refused(tmp_path / "a.nii.gz", tmp_path, INPUT)


def test_one_flipped_bit_in_png(tmp_path: Path):
    made_picture(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "a.png").write_bytes(content)
    refused(tmp_path / "a.png", tmp_path, INPUT)


# Headers that claim too much


def tiff_claim(path: Path, width: int, height: int, *, tile: int | None, compression: int = 1) -> None:
    """Write a TIFF of a few hundred bytes that claims ``width`` x ``height`` with one strip or tile behind it."""
    tags: list[tuple[int, int, int]] = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1), (277, 3, 1),
    ]  # fmt: skip
    if tile:
        tags += [(322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, 100)]
    else:
        tags += [(273, 4, 8), (278, 4, height), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 200) + bytes(192) + struct.pack("<H", len(tags)) + entries + bytes(4)
    )


@pytest.mark.parametrize("tile", [None, 256], ids=["one strip", "tiles"])
@pytest.mark.parametrize("compression", [1, 8], ids=["plain", "deflate"])
def test_a_tiff_that_claims_2e6_by_2e6(tile: int | None, compression: int, tmp_path: Path):
    tiff_claim(tmp_path / "a.tif", 2_000_000, 2_000_000, tile=tile, compression=compression)
    found, _ = converted(tmp_path / "a.tif", tmp_path, "--memory", "512MB")
    assert found.code in (INPUT, BUDGET)
    assert "a.tif" in found.line


def png_of(path: Path, width: int, height: int, idat: bytes, depth: int = 1) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, depth, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")
    )


def test_a_png_that_claims_2e6_by_2e6(tmp_path: Path):
    png_of(tmp_path / "a.png", 2_000_000, 2_000_000, zlib.compress(bytes(100)))
    found, _ = converted(tmp_path / "a.png", tmp_path, "--memory", "512MB")
    assert found.code in (INPUT, BUDGET)


def test_a_png_bomb_is_refused_over_the_budget(tmp_path: Path):
    """Interlaced, so it would have to be decoded at once: 400 MB from half a megabyte."""
    width = height = 20_000
    png_of(tmp_path / "a.png", width, height, zlib.compress(bytes(1000)), depth=8)
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[28] = 1  # interlace method
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    refused(tmp_path / "a.png", tmp_path, BUDGET, "allowed 256 MB", "--memory", options=("--memory", "256MB"))


def test_a_png_bomb_that_streams_is_an_image_like_any_other(tmp_path: Path):
    """1-bit, 60000 x 2000, all zero: 15 kB; decoded row by row, in little memory, to a store of little."""
    rows = zlib.compressobj(9)
    idat = b"".join(rows.compress(bytes(1 + 60_000 // 8)) for _ in range(2000)) + rows.flush()
    png_of(tmp_path / "a.png", 60_000, 2000, idat)
    assert (tmp_path / "a.png").stat().st_size < 100_000
    found, store = converted(tmp_path / "a.png", tmp_path, "--memory", "512MB")
    assert found.code == 0, found.err
    assert found.peak_bytes <= 512_000_000
    level = zarr.open_array(store / "0", mode="r")
    assert level.shape == (2000, 60_000)
    assert not level[990:1010, ::7].any()


def test_a_gzip_bomb_has_no_header_that_fits(tmp_path: Path):
    """300 MB of zeros in 300 kB are no NIfTI; only the head is inflated to see it."""
    with gzip.open(tmp_path / "a.nii.gz", "wb", compresslevel=9) as file:
        for _ in range(300):
            file.write(bytes(1_000_000))
    refused(tmp_path / "a.nii.gz", tmp_path, INPUT)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_nifti_that_claims_more_than_it_has(name: str, tmp_path: Path):
    made_nifti(tmp_path / name)
    content = bytearray(
        gzip.decompress((tmp_path / name).read_bytes())
        if name.endswith("gz")
        else (tmp_path / name).read_bytes()
    )
    content[42:48] = struct.pack("<3h", 32767, 32767, 32767)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found, _ = converted(tmp_path / name, tmp_path, "--memory", "512MB")
    assert found.code in (INPUT, BUDGET)


def test_an_npy_that_claims_more_than_it_has(tmp_path: Path):
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (2_000_000, 2_000_000)}
        )
        file.write(bytes(100))
    refused(tmp_path / "a.npy", tmp_path, INPUT)


# Broken stores


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of ours with two levels and four objects at the first."""
    np.save(tmp_path / "a.npy", noisy((300, 400)))
    found = bigimg(
        "convert", "-q", tmp_path / "a.npy", tmp_path / "store.zarr", "--chunks", "64", "--shards", "256",
        "--levels", "2", scratch=tmp_path,
    )  # fmt: skip
    assert found.code == 0, found.err
    return tmp_path / "store.zarr"


def gone(path: Path) -> None:
    path.unlink()


def half(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)


def garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xff{]" * 25)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def another(path: Path) -> None:
    """Valid JSON of something else."""
    path.write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')


@pytest.mark.parametrize("harm", [gone, half, garbage, empty, flipped, another])
@pytest.mark.parametrize("part", ["zarr.json", "0/zarr.json", "0/c/0/1"])
def test_a_broken_store_of_ours(part: str, harm: Callable[[Path], None], store: Path, tmp_path: Path):
    if harm is flipped and part.endswith("json"):
        pytest.skip("a flipped bit in JSON may well be another valid value")
    harm(store / part)
    found, _ = converted(store, tmp_path)
    assert found.code in (INPUT, INTEGRITY), found
    assert "store.zarr" in found.line
    if "/c/" in part:
        assert found.code == INTEGRITY
        assert part in found.line


def test_a_store_of_ours_without_its_manifest_is_damaged(store: Path, tmp_path: Path):
    import shutil

    shutil.rmtree(store / "bigimg")
    found, _ = converted(store, tmp_path)
    assert found.code == INTEGRITY
    assert "manifest" in found.line


def test_a_level_that_lies_about_its_shape(store: Path, tmp_path: Path):
    document = json.loads((store / "0" / "zarr.json").read_text())
    document["shape"] = [10**7, 10**7]
    (store / "0" / "zarr.json").write_text(json.dumps(document))
    found, _ = converted(store, tmp_path, "--memory", "512MB")
    assert found.code in (INPUT, INTEGRITY, BUDGET)


@pytest.mark.parametrize("harm", [garbage, half, empty])
def test_a_broken_store_of_others(harm: Callable[[Path], None], tmp_path: Path):
    """A chunk that does not decode is an error that names the store, never zeros."""
    array = zarr.create_array(tmp_path / "theirs.zarr", shape=(200, 200), chunks=(100, 100), dtype="u2")
    array[...] = noisy((200, 200), "u2")
    harm(tmp_path / "theirs.zarr" / "c" / "1" / "0")
    found, _ = converted(tmp_path / "theirs.zarr", tmp_path)
    assert found.code in (INPUT, INTEGRITY), found
    assert "theirs.zarr" in found.line
