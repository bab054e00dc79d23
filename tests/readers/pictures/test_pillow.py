"""Pictures through Pillow: the pixels Pillow shows, none cut to 8 bits, and no limit of the process touched."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from bigimg.errors import InputError, InputNotFoundError, UnknownFormatError, UsageError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.pictures.pillow import PictureReader
from bigimg.readers.registry import open_file
from bigimg.types import Array

SHAPE = (37, 23)


def noise(*shape: int, dtype: str = "uint8") -> Array:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def channels_last(reader: PictureReader) -> Array:
    pixels = reader.read(full(reader.spec.shape))
    return np.moveaxis(pixels, 0, 2) if reader.spec.dims[0] == "c" else pixels


def names(reader: PictureReader) -> str:
    return " ".join(channel.name for channel in reader.spec.channels)


@pytest.mark.parametrize(
    ("suffix", "shape", "options", "channels"),
    [
        (".bmp", SHAPE, {}, ""),
        (".bmp", (*SHAPE, 3), {}, "R G B"),
        (".webp", (*SHAPE, 3), {"lossless": True}, "R G B"),
        (".webp", (*SHAPE, 4), {"lossless": True, "exact": True}, "R G B A"),
        (".pgm", SHAPE, {}, ""),
        (".ppm", (*SHAPE, 3), {}, "R G B"),
        (".jp2", (*SHAPE, 3), {}, "R G B"),
        (".tga", (*SHAPE, 3), {}, "R G B"),
        (".pcx", SHAPE, {}, ""),
        (".sgi", (*SHAPE, 3), {}, "R G B"),
    ],
)
def test_pixels_survive(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], options: dict[str, bool], channels: str
) -> None:
    pixels = noise(*shape)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path, **options)
    reader = open_file(path)
    assert isinstance(reader, Reader)
    assert names(reader) == channels
    assert reader.spec.dims == (("c", "y", "x") if channels else ("y", "x"))
    assert reader.access.kind == "whole"
    assert np.array_equal(channels_last(reader), pixels)
    part = reader.read((*[slice(0, 1)] * (len(shape) - 2), slice(3, 20), slice(5, 9)))
    assert np.array_equal(part.squeeze(), (pixels[..., 0] if len(shape) == 3 else pixels)[3:20, 5:9])


def test_one_bit_is_a_mask(tmp_path: Path) -> None:
    pixels = noise(*SHAPE) > 99
    for name in ("a.bmp", "a.pbm"):
        Image.fromarray(pixels).save(tmp_path / name)
        reader = open_file(tmp_path / name)
        assert (reader.spec.dtype, reader.spec.kind) == (np.dtype(bool), "mask")
        assert np.array_equal(channels_last(reader), pixels)


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(noise(*SHAPE, 3)).quantize(16)
    image.save(tmp_path / "a.gif")
    reader = open_file(tmp_path / "a.gif")
    assert (names(reader), reader.spec.meta["palette"]) == ("R G B", True)
    assert np.array_equal(channels_last(reader), np.asarray(image.convert("RGB")))
    image.save(tmp_path / "clear.gif", transparency=3)
    with Image.open(tmp_path / "clear.gif") as shown:
        expected = np.asarray(shown.convert("RGBA"))
    reader = open_file(tmp_path / "clear.gif")
    assert names(reader) == "R G B A"
    assert np.array_equal(channels_last(reader), expected)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_has_an_axis_t(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((*SHAPE, 3), (40 * n, 90, 255 - 40 * n), np.uint8)) for n in range(5)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    expected = []
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            expected.append(np.moveaxis(np.asarray(image.convert("RGBA")), 2, 0))
    reader = open_file(path)
    assert reader.spec.dims == ("t", "c", "y", "x")
    assert reader.spec.chunks == (1, 4, *SHAPE)
    assert reader.access.order == ("t", "y", "x", "c")
    assert np.array_equal(reader.read(full(reader.spec.shape)), np.stack(expected))
    back = reader.read((slice(1, 2), slice(0, 1), slice(0, 5), slice(0, 5)))  # an earlier frame again
    assert np.array_equal(back, np.stack(expected)[1:2, :1, :5, :5])


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    grey, colour = noise(*SHAPE, dtype="uint16"), noise(*SHAPE, 3, dtype="uint16")
    for pixels in (grey, colour):
        (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels, reversible=True))
        reader = open_file(tmp_path / "a.jp2")
        assert reader.spec.dtype == np.uint16
        assert np.array_equal(channels_last(reader), pixels)
    for kind, pixels in ((b"P5", grey % 4096), (b"P6", colour % 4096)):  # 12 bits: Pillow would scale or cut
        header = kind + b"\n# by a camera\n23 37\n4095\n"
        (tmp_path / "a.pnm").write_bytes(header + pixels.astype(">u2").tobytes())
        reader = open_file(tmp_path / "a.pnm")
        assert np.array_equal(channels_last(reader), pixels)


def test_small_maxima_of_pnm_are_not_scaled(tmp_path: Path) -> None:
    pixels = noise(*SHAPE) % 16
    (tmp_path / "a.pgm").write_bytes(b"P5 23 37 15\n" + pixels.tobytes())
    assert np.array_equal(channels_last(open_file(tmp_path / "a.pgm")), pixels)
    (tmp_path / "b.pgm").write_bytes(b"P2 1 1 15\n7\n")
    with pytest.raises(InputError, match="scale"):
        open_file(tmp_path / "b.pgm")


def test_floats(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    Image.fromarray(pixels).save(tmp_path / "a.pfm")
    reader = open_file(tmp_path / "a.pfm")
    assert reader.spec.dtype == np.float32
    assert np.array_equal(channels_last(reader), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise(*SHAPE, 3)).save(tmp_path / "a.webp", lossless=True, exif=exif)
    with Image.open(tmp_path / "a.webp") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    reader = open_file(tmp_path / "a.webp")
    assert reader.spec.shape[1:] == expected.shape[:2]
    assert np.array_equal(channels_last(reader), expected)


def test_pickled_and_closed_readers_open_again(tmp_path: Path) -> None:
    pixels = noise(*SHAPE)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    reader = pickle.loads(pickle.dumps(open_file(tmp_path / "a.bmp")))
    assert np.array_equal(channels_last(reader), pixels)
    reader.close()
    reader.close()
    assert np.array_equal(channels_last(reader), pixels)


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".webp", ".ppm", ".jp2", ".tga", ".sgi"])
def test_a_cut_file_is_an_error_and_never_filler(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise(*SHAPE, 3)).save(path)
    content = path.read_bytes()
    for percent in (10, 40, 70, 90):
        path.write_bytes(content[: len(content) * percent // 100])
        with pytest.raises(InputError, match=path.name) as caught:
            channels_last(open_file(path))
        assert "\n" not in str(caught.value)


def test_corrupt_files_fail_clearly(data: Path) -> None:
    for name in ("not_enough_data.jp2", "decompression_bomb.gif"):
        with pytest.raises(InputError, match=name):
            channels_last(open_file(data / "corrupt" / name))


def test_a_claim_of_gigabytes_opens_and_allocates_nothing(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "bomb.gif").write_bytes(b"GIF89a" + b"\xff\xff\xff\xff\0\0\0" + b",\0\0\0\0\1\0\1\0\0\2\0;")
    assert open_file(tmp_path / "bomb.gif").spec.shape[-2:] == (65535, 65535)
    (tmp_path / "bomb.ppm").write_bytes(b"P6 900000 900000 65535\n")
    with pytest.raises(InputError, match="the file has 23; it is truncated"):
        open_file(tmp_path / "bomb.ppm")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_deep_colour_that_pillow_cuts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sgi").write_bytes(b"\x01\xda\0\2" + bytes(508))
    with pytest.raises(InputError, match="16 bits"):
        open_file(tmp_path / "a.sgi")
    (tmp_path / "a.psd").write_bytes(b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\4\0\0\0\4\0\x10\0\3" + bytes(200))
    with pytest.raises(InputError, match="PSD of 16 bits"):
        open_file(tmp_path / "a.psd")
    (tmp_path / "a.pfm").write_bytes(b"PF\n2 2\n-1.0\n" + bytes(48))
    with pytest.raises(InputError, match="PFM of three channels"):
        open_file(tmp_path / "a.pfm")
    frames = noise(2, 16, 16, 3, dtype="uint16") % 1024
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(frames, bitspersample=10))
    with pytest.raises(InputError, match="animated AVIF of 10 bits"):
        open_file(tmp_path / "a.avif")


@pytest.mark.parametrize(("bits", "shape"), [(10, (*SHAPE, 3)), (12, SHAPE), (12, (*SHAPE, 4))])
def test_deep_avif_keeps_its_values(tmp_path: Path, bits: int, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape, dtype="uint16") >> (16 - bits)
    data = imagecodecs.avif_encode(pixels, level=100, bitspersample=bits)
    (tmp_path / "a.avif").write_bytes(data)
    reader = open_file(tmp_path / "a.avif")
    assert reader.spec.dtype == np.uint16
    assert np.array_equal(channels_last(reader), imagecodecs.avif_decode(data))


def test_missing_foreign_and_series(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        PictureReader(str(tmp_path / "none.bmp"))
    (tmp_path / "a.bmp").write_text("text")
    with pytest.raises(UnknownFormatError, match=r"a\.bmp"):
        PictureReader(str(tmp_path / "a.bmp"))
    Image.new("L", (3, 2)).save(tmp_path / "a.bmp")
    with pytest.raises(UsageError, match="series 2"):
        open_file(tmp_path / "a.bmp", series=2)


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux' /proc"
)
@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".jp2", ".gif", ".ppm", ".avif"])
def test_memory_stays_under_what_access_says(tmp_path: Path, suffix: str) -> None:
    y, x = np.mgrid[0:2000, 0:3000]
    Image.fromarray(np.stack([x // 12, y // 8, (x ^ y) % 256], axis=-1).astype(np.uint8)).save(
        tmp_path / f"a{suffix}"
    )
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
reader.read((slice(0, 3), slice(0, 9), slice(0, 9)))
print(status("VmHWM") - before, reader.access.fixed_bytes + reader.access.read_bytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / f"a{suffix}")],
        capture_output=True,
        text=True,
        check=True,
    )
    used, said = map(int, done.stdout.split())
    assert used <= said
