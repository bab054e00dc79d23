"""Plain PNG: every filter, sample and chunking gives the pixels that were written; no damage passes for a picture."""

from __future__ import annotations

import dataclasses
import io
import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bigimg.errors import InputError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.pictures import png
from bigimg.readers.pictures.choice import open_png as open_file
from bigimg.readers.pictures.header import read_png_header
from bigimg.readers.pictures.png import PngReader
from bigimg.readers.pictures.vips import VipsReader
from bigimg.types import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOR = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def filtered(pixels: Array, kinds: list[int]) -> bytes:
    """Filter the rows (y, x, c) as the standard says, row ``i`` by ``kinds[i]``; a plain loop, for small pictures."""
    step = pixels.shape[2] * pixels.itemsize
    rows = [row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels]
    out = bytearray()
    for i, row in enumerate(rows):
        above = rows[i - 1] if i else bytes(len(row))
        out.append(kinds[i])
        for at, value in enumerate(row):
            left = row[at - step] if at >= step else 0
            corner = above[at - step] if at >= step else 0
            up = above[at]
            paeth = min((left, up, corner), key=lambda v, p=left + up - corner: abs(p - v))  # type: ignore[misc]
            out.append((value - (0, left, up, (left + up) // 2, paeth)[kinds[i]]) % 256)
    return bytes(out)


def file_of(pixels: Array, rows: bytes, cuts: list[int] | None = None, *, before: bytes = b"") -> bytes:
    """Return a PNG with the filtered ``rows``, deflated and cut into IDAT chunks."""
    height, width, bands = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, COLOR[bands], 0, 0, 0)
    packed = zlib.compress(rows)
    ends = [0, *sorted(cut % (len(packed) + 1) for cut in cuts or []), len(packed)]
    data = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in itertools.pairwise(ends))
    return SIGNATURE + chunk(b"IHDR", head) + before + data + chunk(b"IEND", b"")


def noise(*shape: int, dtype: str = "u1", seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def last(reader: Reader) -> Array:
    """Read all of it, colour last."""
    pixels = reader.read(full(reader.spec.shape))
    return np.moveaxis(pixels, 0, 2) if pixels.ndim == 3 else pixels[:, :, None]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_plain_png(data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All filters, samples and sizes; chunks of any length, none too; strips of a few rows; bands in order."""
    height, width = data.draw(st.integers(1, 23)), data.draw(st.integers(1, 11))
    bands, dtype = data.draw(st.sampled_from([1, 2, 3, 4])), data.draw(st.sampled_from(["u1", "u2"]))
    pixels = noise(height, width, bands, dtype=dtype, seed=data.draw(st.integers(0, 9)))
    kinds = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    cuts = data.draw(st.lists(st.integers(0, 10**4), max_size=6))
    path = tmp_path / "a.png"
    path.write_bytes(file_of(pixels, filtered(pixels, kinds), cuts))
    monkeypatch.setattr(png, "STRIP_BYTES", data.draw(st.sampled_from([1, 200, 1 << 20])))
    reader = open_file(path)
    assert isinstance(reader, PngReader)
    assert np.array_equal(last(reader), pixels)
    reader.close()
    ends = sorted({0, height, *data.draw(st.lists(st.integers(0, height), max_size=4))})
    for top, bottom in itertools.pairwise(ends):  # a warning would be an error
        columns = (
            slice(*sorted(data.draw(st.permutations(range(width + 1)))[:2]))
            if bottom % 2
            else slice(0, width)
        )
        region = (slice(0, bands), slice(top, bottom), columns)[bands == 1 :]
        got = reader.read(region)
        assert got.dtype == np.dtype(dtype)
        expected = pixels[top:bottom, columns]
        assert np.array_equal(np.moveaxis(got, 0, 2) if bands > 1 else got[:, :, None], expected)


@pytest.mark.parametrize("kind", ["none", "sub", "up", "avg", "paeth", "all"])
def test_files_of_libvips(kind: str, tmp_path: Path) -> None:
    """Larger than a strip and a stored block; deflated by another."""
    y, x = np.mgrid[0:700, 0:900]
    pixels = np.stack([x // 3 + y // 5, x // 2, y // 4], axis=-1).astype("u1") + noise(700, 900, 3) // 32
    pyvips.Image.new_from_array(pixels).pngsave(str(tmp_path / "a.png"), filter=kind)
    reader = open_file(tmp_path / "a.png")
    assert isinstance(reader, PngReader)
    assert reader.spec.chunks[1] < 700
    assert np.array_equal(last(reader), pixels)
    old = VipsReader(str(tmp_path / "a.png"), "png")
    assert np.array_equal(last(old), pixels)


def test_is_described_as_libvips_describes_it(data: Path) -> None:
    plain = 0
    for path in sorted((data / "png").glob("*.png")) + sorted((data / "lessons").glob("*.png")):
        reader = open_file(path)
        if isinstance(reader, PngReader):
            plain += 1
            spec = VipsReader(str(path), "png").spec
            assert dataclasses.replace(reader.spec, chunks=spec.chunks) == spec, path.name
    assert plain >= 5


@pytest.mark.parametrize(
    ("name", "body", "plain"),
    [
        (b"tRNS", bytes(6), False),
        (b"PLTE", bytes(6), False),
        (b"tEXt", b"Title\0a", True),
        (b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0", False),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0", True),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\x09\x01\x12", False),
    ],
)
def test_which_ones_are_plain(name: bytes, body: bytes, plain: bool, tmp_path: Path) -> None:
    pixels = noise(5, 4, 3)
    rows = filtered(pixels, [1] * 5)
    (tmp_path / "a.png").write_bytes(file_of(pixels, rows, before=chunk(name, body)))
    assert read_png_header(str(tmp_path / "a.png")).plain is plain
    wrong = chunk(name, body)[:-1] + b"?"  # what libvips makes of a wrong checksum is its affair
    (tmp_path / "b.png").write_bytes(file_of(pixels, rows, before=wrong))
    assert not read_png_header(str(tmp_path / "b.png")).plain


def test_wider_than_libpng_takes(tmp_path: Path) -> None:
    pixels = noise(3, 1_000_001, 1)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    (tmp_path / "a.png").write_bytes(file_of(pixels, rows))
    assert np.array_equal(last(open_file(tmp_path / "a.png")), pixels)
    pixels, rows = pixels[:, :999_999], b"".join(b"\0" + row.tobytes() for row in pixels[:, :999_999])
    (tmp_path / "b.png").write_bytes(file_of(pixels, rows))
    assert isinstance(open_file(tmp_path / "b.png"), PngReader)
    assert np.array_equal(last(open_file(tmp_path / "b.png")), pixels)


def fails_or_is(path: Path, pixels: Array) -> bool:
    """Read all; return whether it failed, and fail if it gave other pixels."""
    try:
        got = last(open_file(path))
    except InputError:
        return True
    assert np.array_equal(got, pixels)
    return False


def test_every_flipped_bit_of_header_and_data_is_seen(tmp_path: Path) -> None:
    pixels = noise(6, 5, 3)
    content = file_of(pixels, filtered(pixels, [0, 1, 2, 3, 4, 4]), [20, 50])
    path = tmp_path / "flip.png"
    for at in range(8, len(content) - 12):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        assert fails_or_is(path, pixels), f"byte {at}"


def test_every_cut_is_seen(tmp_path: Path) -> None:
    pixels = noise(6, 5, 3)
    content = file_of(pixels, filtered(pixels, [0, 1, 2, 3, 4, 4]), [20, 50])
    path = tmp_path / "cut.png"
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        if length < len(content) - 12:  # IEND
            with pytest.raises(InputError):
                last(open_file(path))
        else:
            assert not fails_or_is(path, pixels)


def test_data_that_do_not_fit_the_header(tmp_path: Path) -> None:
    pixels = noise(6, 5, 3)
    rows = filtered(pixels, [1] * 6)
    path = tmp_path / "a.png"
    for wrong, words in (
        (rows[:-1], "rows 5 to 5 of 6 cannot be decoded"),
        (b"", "rows 0 to 5 of 6 cannot be decoded"),
        (b"\x05" + rows[1:], "cannot be decoded"),
    ):
        path.write_bytes(file_of(pixels, wrong))
        with pytest.raises(InputError, match=words):
            last(open_file(path))
    good = file_of(pixels, rows)
    packed = zlib.compress(rows)
    for wrong_data in (
        chunk(b"IDAT", packed[:-1] + bytes([packed[-1] ^ 1])),  # Adler-32
        chunk(b"IDAT", packed[:30]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", packed[30:]),
        chunk(b"IDAT", b""),
        chunk(b"IDAT", b"\x78\xbb" + packed[2:]),  # a preset dictionary
    ):
        path.write_bytes(good.replace(chunk(b"IDAT", packed), wrong_data))
        with pytest.raises(InputError, match=r"a\.png"):
            last(open_file(path))


def test_damage_is_found_when_its_rows_are_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "STRIP_BYTES", 1)
    pixels = noise(40, 2000, 3)
    content = bytearray(
        file_of(pixels, b"".join(b"\0" + row.tobytes() for row in pixels), list(range(0, 10**6, 997)))
    )
    content[len(content) // 2] ^= 4
    (tmp_path / "a.png").write_bytes(content)
    reader = open_file(tmp_path / "a.png")
    part = reader.read((slice(0, 3), slice(0, 12), slice(0, 2000)))
    assert np.array_equal(part, np.moveaxis(pixels[:12], 2, 0))
    with pytest.raises(InputError, match=r"rows (1[2-9]|2[0-3]) to (15|19|23) of 40"):
        reader.read((slice(0, 3), slice(12, 40), slice(0, 2000)))
    with pytest.raises(InputError):  # and again
        reader.read((slice(0, 3), slice(12, 40), slice(0, 2000)))


def test_a_file_that_changed_is_not_read_on_from(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(30, 20)).save(path)
    reader = open_file(path)
    buffer = io.BytesIO()
    Image.fromarray(noise(31, 20)).save(buffer, "png")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="rewritten"):
        last(reader)


@pytest.mark.parametrize("more", [1, 200, 300_000])
@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint8"), (2, "uint16")])
def test_more_data_after_the_last_row_are_left_out_with_a_warning(
    tmp_path: Path, bands: int, dtype: str, more: int
) -> None:
    """libpng warns of them too; expected are Pillow's pixels, as they were written."""
    pixels = np.random.default_rng(1).integers(0, 255, (40, 50, bands)).astype(dtype)
    path = tmp_path / "a.png"
    path.write_bytes(file_of(pixels, filtered(pixels, [0] * 40) + bytes(more)))
    reader = open_file(path)
    with pytest.warns(UserWarning, match="more data follow the last row"):
        found = reader.read(full(reader.spec.shape))
    assert np.array_equal(found if bands == 1 else np.moveaxis(found, 0, 2), pixels.squeeze())


@pytest.mark.parametrize("interlaced", [False, True])
def test_more_data_in_a_png_of_libvips(tmp_path: Path, *, interlaced: bool) -> None:
    """A palette of 4 bits, whose rows libvips decodes, and one in which the last pass is followed by more."""
    indices = np.random.default_rng(1).integers(0, 16, (8, 8)).astype(np.uint8)
    starts = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    parts = [indices[y::down, x::right] for y, x, down, right in starts] if interlaced else [indices]
    rows = bytearray()
    for part in parts:
        for row in part:
            padded = [*row.tolist(), *[0] * (len(row) % 2)]
            rows += b"\0" + bytes(a << 4 | b for a, b in itertools.batched(padded, 2))
    palette = bytes(i * step % 256 for i in range(16) for step in (37, 91, 53))
    head = struct.pack(">IIBBBBB", 8, 8, 4, 3, 0, 0, int(interlaced))
    data = chunk(b"IDAT", zlib.compress(bytes(rows) + bytes(200)))
    path = tmp_path / "a.png"
    path.write_bytes(SIGNATURE + chunk(b"IHDR", head) + chunk(b"PLTE", palette) + data + chunk(b"IEND", b""))
    colors = np.frombuffer(palette, np.uint8).reshape(16, 3)
    reader = open_file(path)
    assert np.array_equal(np.moveaxis(reader.read(full(reader.spec.shape)), 0, 2), colors[indices])
