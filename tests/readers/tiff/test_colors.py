"""What decoded samples are: RGB where the codec, libtiff or openslide make it; else as stored."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.readers.registry import open_file
from bigimg.types import Array

ROWS, COLUMNS = 64, 48
YCC = np.random.default_rng(1).integers(60, 190, (ROWS, COLUMNS, 3)).astype(np.uint8)


def write_tiff(
    path: Path, segments: list[bytes], compression: int, photometric: int, *, tile: tuple[int, int] | None = None,
    rows: int = ROWS, subsampling: tuple[int, int] | None = (1, 1), bits: int = 8,
) -> None:  # fmt: skip
    """Write segments as they are, behind tags that tifffile would not write."""
    data = b"".join(part + b"\0" * (len(part) % 2) for part in segments)
    starts, at = [], 8
    for part in segments:
        starts.append(at)
        at += len(part) + len(part) % 2
    extra = struct.pack("<HHH", bits, bits, bits)
    lists = b"".join(struct.pack("<I", n) for n in [*starts, *map(len, segments)])
    count, single = len(segments), len(segments) == 1
    places = (starts[0], len(segments[0])) if single else (at + 6, at + 6 + 4 * count)
    codes = (324, 325) if tile else (273, 279)
    tags = [
        (256, 4, 1, COLUMNS), (257, 4, 1, ROWS), (258, 3, 3, at), (259, 3, 1, compression), (262, 3, 1, photometric),
        (277, 3, 1, 3), (284, 3, 1, 1), (codes[0], 4, count, places[0]), (codes[1], 4, count, places[1]),
    ]  # fmt: skip
    tags += [(322, 4, 1, tile[1]), (323, 4, 1, tile[0])] if tile else [(278, 4, 1, rows)]
    if subsampling:
        tags.append((530, 3, 2, subsampling[0] | subsampling[1] << 16))
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    body = data + extra + lists
    ifd = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + ifd)


def pixels_of(path: Path) -> tuple[Array, str]:
    reader = open_file(path)
    return np.moveaxis(reader.read(full(reader.spec.shape)), 0, 2), " ".join(
        c.name for c in reader.spec.channels
    )


def j2k(pixels: Array, *, mct: bool) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k", mct=mct))


@pytest.mark.parametrize(
    ("compression", "tile", "names"),
    [
        (22610, imagecodecs.jpegxr_encode(YCC, level=100), "R G B"),
        (34933, imagecodecs.png_encode(YCC), "R G B"),
        (50001, imagecodecs.webp_encode(YCC, lossless=True), "R G B"),
        (50002, imagecodecs.jpegxl_encode(YCC, lossless=True), "R G B"),
        (34712, j2k(YCC, mct=True), "R G B"),
        (33005, j2k(YCC, mct=True), "R G B"),
        (34712, j2k(YCC, mct=False), "Y Cb Cr"),
        (8, zlib.compress(YCC.tobytes()), "Y Cb Cr"),
        (1, YCC.tobytes(), "Y Cb Cr"),
    ],
)
def test_names_follow_the_codec(tmp_path: Path, compression: int, tile: bytes, names: str) -> None:
    write_tiff(tmp_path / "a.tif", [tile], compression, 6)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), YCC)
    pixels, found = pixels_of(tmp_path / "a.tif")
    assert np.array_equal(pixels, YCC)
    assert found == names


@pytest.mark.parametrize("photometric", [2, 6])
@pytest.mark.parametrize("mct", [True, False])
def test_jpeg_2000_of_aperio_becomes_rgb(tmp_path: Path, photometric: int, *, mct: bool) -> None:
    """Expected as Pillow converts Y Cb Cr of JPEG, which is openslide's formula."""
    write_tiff(tmp_path / "a.svs", [j2k(YCC, mct=mct)], 33003, photometric)
    expected = np.asarray(Image.frombytes("YCbCr", (COLUMNS, ROWS), YCC.tobytes()).convert("RGB"))
    pixels, names = pixels_of(tmp_path / "a.svs")
    assert names == "R G B"
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    write_tiff(tmp_path / "b.svs", [j2k(YCC, mct=mct)], 33005, 2)
    assert np.array_equal(pixels_of(tmp_path / "b.svs")[0], YCC)


@pytest.mark.parametrize("compression", [33003, 33005, 34712])
@pytest.mark.parametrize("steps", [(2, 1), (2, 2)])
def test_jpeg_2000_with_fewer_colours_than_pixels_is_rgb_once(
    tmp_path: Path, compression: int, steps: tuple[int, int]
) -> None:
    """imagecodecs makes RGB of it, as openslide does; it must not be converted again."""
    data = bytearray(j2k(YCC, mct=False))
    for component in (1, 2):  # the coded values make another picture so, but one that decodes
        data[43 + 3 * component : 45 + 3 * component] = bytes(steps)
    expected = imagecodecs.jpeg2k_decode(bytes(data))
    write_tiff(tmp_path / "a.svs", [bytes(data)], compression, 6)
    pixels, names = pixels_of(tmp_path / "a.svs")
    assert names == "R G B"
    assert np.array_equal(pixels, expected)


def units(pixels: Array, across: int, down: int) -> bytes:
    """Return the data units of section 21 of TIFF 6."""
    out = io.BytesIO()
    for y in range(0, len(pixels), down):
        for x in range(0, pixels.shape[1], across):
            block = pixels[y : y + down, x : x + across]
            padded = np.zeros((down, across), np.uint8)
            padded[: block.shape[0], : block.shape[1]] = block[..., 0]
            out.write(padded.tobytes() + block[0, 0, 1:].tobytes())
    return out.getvalue()


@pytest.mark.parametrize("compression", [1, 8, 5])
@pytest.mark.parametrize(("across", "down"), [(2, 2), (2, 1), (4, 2), (1, 2)])
@pytest.mark.parametrize("tiled", [False, True])
def test_subsampled_colours_are_those_of_libtiff(
    tmp_path: Path, across: int, down: int, compression: int, *, tiled: bool
) -> None:
    pack = {1: bytes, 8: zlib.compress, 5: imagecodecs.lzw_encode}[compression]
    tile = (16, 32) if tiled else None
    if tiled:
        parts = [
            np.pad(YCC, ((0, 0), (0, 16), (0, 0)))[y : y + 16, x : x + 32]
            for y in range(0, ROWS, 16)
            for x in (0, 32)
        ]
    else:
        parts = [YCC[y : y + 20] for y in range(0, ROWS, 20)]
    segments = [bytes(pack(units(part, across, down))) for part in parts]
    path = tmp_path / "a.tif"
    write_tiff(path, segments, compression, 6, tile=tile, rows=20, subsampling=(across, down))
    pixels, names = pixels_of(path)
    assert names == "R G B"
    if compression == 1:  # Pillow leaves plain bytes to its own decoder, which knows no units
        path = tmp_path / "packed.tif"
        segments = [zlib.compress(part) for part in segments]
        write_tiff(path, segments, 8, 6, tile=tile, rows=20, subsampling=(across, down))
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    assert any("libtiff" in note for note in open_file(path).spec.notes)


def test_units_that_are_cut_or_not_defined_are_refused(tmp_path: Path) -> None:
    write_tiff(
        tmp_path / "a.tif", [zlib.compress(units(YCC, 2, 2)[:-1])], 8, 6, subsampling=None
    )  # 2, 2 by default
    with pytest.raises(InputError, match="4607 of 4608 bytes"):
        pixels_of(tmp_path / "a.tif")
    write_tiff(tmp_path / "b.tif", [units(YCC, 2, 2)], 1, 6, subsampling=(3, 2))
    with pytest.raises(InputError, match="3 x 2"):
        open_file(tmp_path / "b.tif")
