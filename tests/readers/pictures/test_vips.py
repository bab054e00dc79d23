"""PNG and JPEG in bands: pixels as Pillow, imagecodecs and libvips itself give them, and no made-up ones."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

import bigimg
from bigimg.errors import InputError, InputNotFoundError, UsageError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.pictures.choice import open_jpeg, open_png
from bigimg.readers.pictures.vips import VipsReader
from bigimg.readers.registry import open_file
from bigimg.types import Array


def opened(path: Path) -> VipsReader:
    return cast(VipsReader, open_file(path))


def channels_last(reader: VipsReader) -> Array:
    pixels = reader.read(full(reader.spec.shape))
    return np.moveaxis(pixels, 0, 2) if reader.spec.dims[0] == "c" else pixels


def noise(*shape: int, dtype: str = "uint8") -> Array:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(height: int, width: int) -> Array:
    """An RGB picture that JPEG keeps nearly."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256 // 2], axis=-1).astype(np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def claimed(width: int, height: int) -> bytes:
    """A PNG of 8-bit RGB that claims to be of this size and holds next to nothing."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", ihdr)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def real(data: Path, *folders: str) -> list[Path]:
    return [
        f for folder in folders for f in sorted((data / folder).iterdir()) if f.suffix in (".png", ".jpg")
    ]


def test_png_pixels_are_those_of_the_owning_library(data: Path, index: dict[str, dict[str, str]]) -> None:
    checked = 0
    for path in real(data, "png", "lessons", "big2d"):
        expected = index[str(path.relative_to(data))]["pixels_sha256"]
        if path.suffix == ".png" and expected:
            pixels = np.ascontiguousarray(channels_last(opened(path)))
            assert hashlib.sha256(pixels.tobytes()).hexdigest() == expected, path.name
            checked += 1
    assert checked >= 12


def test_pictures_look_as_pillow_shows_them(data: Path) -> None:
    for path in real(data, "png", "jpeg", "lessons"):
        reader = opened(path)
        pixels = channels_last(reader)
        with Image.open(path) as image:
            if reader.spec.dtype == np.uint16 and pixels.ndim == 3:
                continue  # Pillow cuts 16-bit colour to 8
            shown = ImageOps.exif_transpose(image)
            if shown.mode == "P":
                shown = shown.convert("RGBA" if pixels.shape[2] == 4 else "RGB")
            expected = np.asarray(shown)
        assert pixels.shape == expected.shape, path.name
        # Lossy decoders may differ in the last bits.
        assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= (
            2 if path.suffix == ".jpg" else 0
        ), path.name


def test_jpeg_bands_equal_one_full_decode_of_libvips(data: Path) -> None:
    for path in real(data, "jpeg", "lessons"):
        if path.suffix == ".jpg":
            expected = pyvips.Image.jpegload(str(path)).autorot().numpy()
            assert np.array_equal(channels_last(opened(path)), expected), path.name


@pytest.mark.parametrize(
    ("mode", "shape", "dims", "names"),
    [
        ("L", (70, 50), ("y", "x"), ""),
        ("LA", (70, 50, 2), ("c", "y", "x"), "grey A"),
        ("RGB", (70, 50, 3), ("c", "y", "x"), "R G B"),
        ("RGBA", (70, 50, 4), ("c", "y", "x"), "R G B A"),
    ],
)
def test_png_axes_and_channels(
    tmp_path: Path, mode: str, shape: tuple[int, ...], dims: tuple[str, ...], names: str
) -> None:
    pixels = noise(*shape)
    Image.fromarray(pixels).save(tmp_path / "a.png", dpi=(300, 300))
    reader = open_file(tmp_path / "a.png")
    assert isinstance(reader, Reader)
    assert reader.spec.dims == dims
    assert " ".join(channel.name for channel in reader.spec.channels) == names
    assert np.array_equal(channels_last(reader), pixels)
    assert reader.access.kind == "sequential"
    assert reader.access.order == (("y", "x") if mode == "L" else ("y", "x", "c"))
    assert reader.spec.meta["dpi"] == [300.0, 300.0]
    assert {axis.spacing for axis in reader.spec.axes} == {1.0}
    assert {axis.unit for axis in reader.spec.axes} == {None}


def test_one_bit_grey_is_a_mask(tmp_path: Path) -> None:
    pixels = noise(33, 19) > 128
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reader = open_file(tmp_path / "a.png")
    assert (reader.spec.dtype, reader.spec.kind) == (np.dtype(bool), "mask")
    assert np.array_equal(channels_last(reader), pixels)
    assert "dpi" not in reader.spec.meta


def test_a_palette_becomes_its_colours(data: Path) -> None:
    reader = open_file(data / "png" / "basn3p02.png")
    assert [channel.name for channel in reader.spec.channels] == ["R", "G", "B"]
    assert reader.spec.meta["palette"] is True
    assert [c.name for c in open_file(data / "png" / "pil123p.png").spec.channels] == [
        "R",
        "G",
        "B",
        "A",
    ]  # tRNS


def test_two_and_four_bit_grey_is_scaled_and_said(tmp_path: Path) -> None:
    ihdr = struct.pack(">IIBBBBB", 4, 1, 2, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" + bytes([0b00011011]))
    path = tmp_path / "grey2.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    reader = open_file(path)
    assert channels_last(reader).tolist() == [[0, 85, 170, 255]]
    assert any("2-bit" in note for note in reader.spec.notes)
    assert reader.spec.meta["bits_per_sample"] == 2


def test_cmyk_is_four_channels_with_no_ink_at_zero(data: Path) -> None:
    reader = open_file(data / "jpeg" / "pil_sample_cmyk.jpg")
    assert [channel.name for channel in reader.spec.channels] == ["C", "M", "Y", "K"]
    assert any("no ink" in note for note in reader.spec.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(smooth(48, 80)).save(path, exif=exif, quality=95)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    reader = opened(path)
    assert reader.access.kind == ("sequential" if orientation < 3 else "whole")
    assert reader.spec.shape[1:] == expected.shape[:2]
    assert np.abs(channels_last(reader).astype(int) - expected).max() <= (2 if suffix == ".jpg" else 0)
    part = reader.read((slice(1, 2), slice(5, 20), slice(3, 11)))
    assert np.abs(part[0].astype(int) - expected[5:20, 3:11, 1]).max() <= (2 if suffix == ".jpg" else 0)


def test_codecs_that_need_the_frame_say_so(data: Path, tmp_path: Path) -> None:
    assert open_file(data / "png" / "basi2c08.png").access.kind == "whole"
    Image.fromarray(smooth(64, 64)).save(tmp_path / "p.jpg", progressive=True)
    access = open_file(tmp_path / "p.jpg").access
    assert access.kind == "whole"
    assert "progressive" in access.why
    assert access.fixed_bytes > 64 * 64 * 3 + 64 * 64 * 3  # 4:2:0 holds 1.5 coefficients of 2 bytes a pixel


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_ordered_bands_give_the_same_rows(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "bands.png"
    pixels = noise(300, 7000, 3)  # 21 kB a row: strips of 48 rows
    if not path.exists():
        Image.fromarray(pixels).save(path, compress_level=1)
    cuts = sorted(data.draw(st.sets(st.integers(1, 299), max_size=6)))
    skipped = data.draw(st.sets(st.integers(0, len(cuts))))
    reader = open_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # going on, or skipping, is never going back
        for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, 300], strict=True)):
            if number not in skipped:
                band = reader.read((slice(1, 3), slice(start, stop), slice(10, 20)))
                assert np.array_equal(band, np.moveaxis(pixels[start:stop, 10:20, 1:3], 2, 0))


def test_colour_is_a_view_without_a_copy(tmp_path: Path) -> None:
    Image.fromarray(noise(40, 30, 3)).save(tmp_path / "a.png")
    band = open_file(tmp_path / "a.png").read((slice(0, 3), slice(0, 40), slice(0, 30)))
    assert band.strides == (1, 90, 3)


def test_going_back_works_and_warns_once(tmp_path: Path) -> None:
    pixels = noise(600, 2000, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=1)
    reader = open_file(tmp_path / "a.png")
    last, first = (slice(0, 3), slice(500, 600), slice(0, 2000)), (slice(0, 3), slice(0, 100), slice(0, 2000))
    reader.read(last)
    with pytest.warns(UserWarning, match="convert"):
        assert np.array_equal(reader.read(first), np.moveaxis(pixels[:100], 2, 0))
    reader.read(last)
    reader.read(first)  # silent: warnings are errors here


def test_threads_share_one_decoder(tmp_path: Path) -> None:
    pixels = noise(500, 300, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reader = open_file(tmp_path / "a.png")
    regions = [(slice(0, 3), slice(y, y + 50), slice(0, 300)) for y in range(0, 500, 50)]
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threads may go back
        bands = list(pool.map(reader.read, regions))
    assert np.array_equal(np.concatenate(bands, axis=1), np.moveaxis(pixels, 2, 0))


def test_pickled_and_closed_readers_open_again(tmp_path: Path) -> None:
    pixels = noise(30, 20)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reader = open_file(tmp_path / "a.png")
    assert np.array_equal(channels_last(reader), pixels)
    reader.close()
    reader.close()
    assert np.array_equal(channels_last(reader), pixels)
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.spec == reader.spec
    assert np.array_equal(channels_last(copy), pixels)


def test_no_file_stays_open(tmp_path: Path) -> None:
    Image.fromarray(noise(30, 20)).save(tmp_path / "a.png")
    Image.fromarray(smooth(30, 20)).save(tmp_path / "a.jpg", progressive=True)
    for name in ("a.png", "a.jpg"):
        reader = opened(tmp_path / name)
        channels_last(reader)
        reader.close()
    if os.path.isdir("/proc/self/fd"):
        targets = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert not [target for target in targets if str(tmp_path) in target]


def test_a_rewritten_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for value in (10, 20):
        Image.fromarray(np.full((30, 20), value, np.uint8)).save(path)
        assert set(channels_last(open_file(path)).ravel()) == {value}


def test_brackets_in_a_name_are_no_options(tmp_path: Path) -> None:
    pixels = noise(8, 9)
    Image.fromarray(pixels).save(tmp_path / "scan[page=2].png")
    assert np.array_equal(channels_last(open_file(tmp_path / "scan[page=2].png")), pixels)


def whole_file(pixels: Array, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {"format": "png"}),
        (".jpg", {"format": "jpeg"}),
        (".jpg", {"format": "jpeg", "progressive": True}),
    ],
)
def test_a_cut_file_is_an_error_and_never_filler(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    content = whole_file(smooth(200, 150), **options)
    path = tmp_path / f"cut{suffix}"
    tail = 12 if suffix == ".png" else 2  # all pixels, without IEND or EOI
    path.write_bytes(content)
    good = channels_last(opened(path))
    for length in [*(len(content) * percent // 100 for percent in range(5, 100, 6)), len(content) - tail]:
        path.write_bytes(content[:length])
        if suffix == ".png" and length == len(content) - tail:
            assert np.array_equal(channels_last(opened(path)), good)  # nothing of the picture is missing
            continue
        with pytest.raises(InputError, match=path.name) as caught:
            channels_last(opened(path))
        assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_png_is_an_error(tmp_path: Path) -> None:
    # 16 bits a sample: without its checksums libpng takes these for pixels
    content = bytearray((pyvips.Image.new_from_array(noise(64, 64, dtype="uint16"))).pngsave_buffer())
    pick = random.Random(0)
    path = tmp_path / "flip.png"
    for _ in range(60):
        at = pick.randrange(content.index(b"IDAT") + 4, len(content) - 16)
        flipped = bytes((*content[:at], content[at] ^ (1 << pick.randrange(8)), *content[at + 1 :]))
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"flip\.png"):
            channels_last(opened(path))


def test_damage_that_libjpeg_only_warns_of_is_an_error(tmp_path: Path) -> None:
    content = bytearray(whole_file(noise(200, 200, 3), format="jpeg", quality=60))
    middle = content.index(b"\xff\xda") + 2000
    content[middle : middle + 40] = b"\xff\xd9" + bytes(38)  # an end in the middle of the data
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jpg"):
        channels_last(open_file(tmp_path / "a.jpg"))


def test_a_harmless_quirk_of_the_header_is_read_and_said(tmp_path: Path) -> None:
    content = bytearray(whole_file(smooth(64, 64), format="jpeg"))
    (tmp_path / "good.jpg").write_bytes(content)
    scan = content.index(b"\xff\xda")
    assert content[scan + 12] == 63
    content[scan + 12] = 0  # as phones of one maker write it; libjpeg warns and decodes
    (tmp_path / "odd.jpg").write_bytes(content)
    odd = open_file(tmp_path / "odd.jpg")
    assert np.array_equal(channels_last(odd), channels_last(open_file(tmp_path / "good.jpg")))
    assert any("may go unnoticed" in note for note in odd.spec.notes)


def test_corrupt_files_fail_clearly(data: Path) -> None:
    for name in (
        "broken.png",
        "broken_data_stream.png",
        "truncated_image.png",
        "truncated.jpg",
        "truncated_jpeg.jpg",
    ):
        with pytest.raises(InputError, match=name) as caught:
            channels_last(opened(data / "corrupt" / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opener", [open_png, open_jpeg])
def test_missing_files(tmp_path: Path, opener: Callable[[str], Reader]) -> None:
    with pytest.raises(InputNotFoundError, match=r"none\.x"):
        opener(str(tmp_path / "none.x"))


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_file_holds_one_image(tmp_path: Path, name: str) -> None:
    Image.new("L", (3, 2)).save(tmp_path / name)
    with pytest.raises(UsageError, match="series 1"):
        open_file(tmp_path / name, series=1)


def test_a_claim_of_terabytes_opens_and_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(claimed(2_000_000, 2_000_000))
    reader = open_file(tmp_path / "bomb.png")
    assert reader.spec.shape == (3, 2_000_000, 2_000_000)


@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="peak memory is read from Linux' /proc"
)
@pytest.mark.parametrize(("suffix", "options"), [(".png", {}), (".jpg", {}), (".jpg", {"interlace": True})])
def test_memory_stays_under_what_access_says(tmp_path: Path, suffix: str, options: dict[str, bool]) -> None:
    path = tmp_path / f"wide{suffix}"
    grey = (pyvips.Image.xyz(9000, 1500)[0] / 40).cast("uchar")
    picture = grey.bandjoin([grey, grey]).copy(interpretation="srgb")
    (picture.pngsave if suffix == ".png" else picture.jpegsave)(str(path), **options)
    script = """
import sys
from pathlib import Path
import numpy
import bigimg.reader
def status(key):
    text = Path("/proc/self/status").read_text()
    return int(text.split(key + ":")[1].split()[0]) * 1024
before = status("VmRSS")
from bigimg.readers.registry import open_file
Path("/proc/self/clear_refs").write_text("5")
reader = open_file(sys.argv[1])
results = 0
for y in range(0, 1500, 500):
    band = reader.read((slice(0, 3), slice(y, y + 500), slice(0, 9000)))
    results = band.nbytes if reader.access.kind == "sequential" else 0
    del band
print(status("VmHWM") - before - results, reader.access.fixed_bytes + reader.access.read_bytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    used, said = map(int, done.stdout.split())
    assert used <= said


@pytest.mark.parametrize("broken", ["checksum", "method"])
def test_a_damaged_profile_beside_the_pixels_is_told(tmp_path: Path, broken: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(
        tmp_path / "a.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    content = bytearray((tmp_path / "a.png").read_bytes())
    start = content.index(b"iCCP")
    length = int.from_bytes(content[start - 4 : start])
    if broken == "method":
        content[content.index(b"\0", start + 4) + 1] = 1
        content[start + 4 + length : start + 8 + length] = zlib.crc32(
            content[start : start + 4 + length]
        ).to_bytes(4)
    else:
        content[start + 4 + length] ^= 1
    assert bigimg.info(tmp_path / "a.png").notes == ()
    (tmp_path / "b.png").write_bytes(content)
    assert bigimg.info(tmp_path / "b.png").notes == (
        "damaged and left out: the PNG's iCCP; the pixels are whole",
    )
    np.testing.assert_array_equal(bigimg.open(tmp_path / "b.png").values, np.moveaxis(pixels, -1, 0))
